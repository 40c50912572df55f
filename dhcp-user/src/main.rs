//! The `xdhcpd` binary.

use std::process::ExitCode;

use clap::Parser;
use dhcp_user::cli::{Cli, Verb};

fn main() -> ExitCode {
    match Cli::parse().verb {
        Verb::Run(run) => run.run().into(),
        Verb::Attach(attach) => attach.run().into(),
        Verb::Detach(detach) => detach.run().into(),
        Verb::CheckConfig(check) => check.run().into(),
        Verb::Export(export) => export.run().into(),
        Verb::Import(import) => import.run().into(),
        Verb::Ask(ask) => ask.run().into(),
    }
}
