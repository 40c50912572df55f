//! The `xdhcpd` binary.

use std::process::ExitCode;

use clap::Parser;
use dhcp_user::cli::{Cli, Verb};

fn main() -> ExitCode {
    match Cli::parse().verb {
        Verb::CheckConfig(check) => check.run().into(),
        Verb::Ask(ask) => ask.run().into(),
    }
}
