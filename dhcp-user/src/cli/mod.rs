//! The command line: its verbs, and what they leave for the shell that called.

mod ask;
mod check_config;
mod output;
mod table;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use ask::Ask;
pub use check_config::CheckConfig;

/// A DHCPv4 server whose renewals are answered in the NIC's driver.
#[derive(Debug, Parser)]
#[command(name = "xdhcpd", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Check a configuration file: exit status 0, or 1 with every error and its line
    CheckConfig(CheckConfig),
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the help of every verb of a running daemon")]
    Ask(Ask),
}

/// How a command ended, for the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or the answer is yes.
    Done = 0,
    /// The answer is no.
    No = 1,
    /// It can't be done as it was asked.
    Usage = 2,
    /// The daemon can't be reached.
    Unreachable = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Where and how a configuration is given.
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigFile {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}
