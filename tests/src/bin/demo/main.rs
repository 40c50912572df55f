//! The demonstration behind `cargo xtask demo`: a real client's renewal is answered in the driver, daemon or no daemon.

mod capture;
mod confine;
mod story;

use std::process::ExitCode;

use anyhow::{Result, bail};
use system_tests::real::Program;

const USAGE: &str =
    "usage: demo udhcpc|dhclient (as root, with XDHCPD_BIN set: `cargo xtask demo` does all that)";

fn main() -> ExitCode {
    match demonstrate() {
        Ok(status) => status,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demonstrate() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [confine::INSIDE, client] => {
            confine::settle_in()?;
            match story::tell(program(client)?) {
                Ok(never) => match never {},
                Err(error) => {
                    println!("\nFAILED: {error:#}");
                    Ok(ExitCode::FAILURE)
                }
            }
        }
        [client] => {
            program(client)?;
            confine::run_inside(client)
        }
        _ => bail!(USAGE),
    }
}

fn program(name: &str) -> Result<Program> {
    match name {
        "udhcpc" => Ok(Program::Udhcpc),
        "dhclient" => Ok(Program::Dhclient),
        _ => bail!(USAGE),
    }
}
