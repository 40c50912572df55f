//! The demonstrations behind `cargo xtask demo`: a real client's renewal is answered in the driver, daemon or no daemon; and
//! with `--tour` what else a site has.

mod capture;
mod story;
mod tour;

use std::process::ExitCode;

use anyhow::{Result, bail};
use system_tests::confine;

/// Asks for the tour.
const TOUR: &str = "--tour";

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
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => confine::run_inside(&[]),
        [TOUR] => confine::run_inside(&[TOUR.into()]),
        [confine::INSIDE, rest @ ..] => {
            confine::settle_in()?;
            let shown = if rest.contains(&TOUR) { tour::guide() } else { story::tell() };
            match shown {
                Ok(never) => match never {},
                Err(error) => {
                    println!("\nFAILED: {error:#}");
                    Ok(ExitCode::FAILURE)
                }
            }
        }
        _ => {
            bail!(
                "no arguments but {TOUR}, please: run this as root with XDHCPD_BIN set, as `cargo xtask demo` does"
            )
        }
    }
}
