//! The demonstration behind `cargo xtask demo`: a real client's renewal is answered in the driver, daemon or no daemon.

mod capture;
mod story;

use std::process::ExitCode;

use anyhow::{Result, bail};
use system_tests::confine;

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
    match std::env::args().nth(1).as_deref() {
        None => confine::run_inside(&[]),
        Some(confine::INSIDE) => {
            confine::settle_in()?;
            match story::tell() {
                Ok(never) => match never {},
                Err(error) => {
                    println!("\nFAILED: {error:#}");
                    Ok(ExitCode::FAILURE)
                }
            }
        }
        Some(_) => {
            bail!("no arguments, please: run this as root with XDHCPD_BIN set, as `cargo xtask demo` does")
        }
    }
}
