//! The command line: its verbs, and their exit statuses.

// What the daemon or a file says is shown or refused in words, whatever it is.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod ask;
mod capture;
mod check_config;
mod daemon;
mod derive_config;
mod explain_diff;
mod extcap;
mod import;
mod leases;
mod output;
mod page;
mod readable;
mod release;
mod reservation;
mod serve;
mod shell;
mod store;
mod table;
mod text;
mod top;
mod transfer;
mod who_had;
mod words;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use ask::Ask;
pub use capture::Capture;
pub use check_config::CheckConfig;
pub use derive_config::DeriveConfig;
pub use extcap::Extcap;
pub use import::{ImportConfig, ImportLeases};
pub use output::without_stdout;
pub use serve::{Attach, Detach, Run};
pub use shell::{Completions, Man, Reference};
pub use store::Store;
pub use top::Top;
pub use transfer::{Export, Import};
pub use who_had::WhoHad;

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
    /// Serve in the foreground, until SIGTERM or SIGINT
    Run(Run),
    /// Load, attach and pin the XDP program without serving
    Attach(Attach),
    /// Remove attachments and maps; renewals are no longer answered in the kernel
    Detach(Detach),
    /// Check a configuration file: exit status 0, or 1 with every error and its line
    CheckConfig(CheckConfig),
    /// Print a configuration for the subnet that an interface is in, to begin with
    DeriveConfig(DeriveConfig),
    /// Print a script that completes verbs and arguments for bash, zsh, fish, …
    Completions(Completions),
    /// Write the manual's pages, one for each verb
    #[command(hide = true)]
    Man(Man),
    /// Write the list of keys into configuration.md, and the schema beside it
    #[command(hide = true)]
    Reference(Reference),
    /// Run hooks for the daemon that has started this process
    #[command(hide = true)]
    HookRunner,
    /// Capture what comes and what leaves, the kernel's answers included, with what became of each frame and why
    Capture(Capture),
    /// Answer Wireshark, which starts this from its extcap directory
    #[command(hide = true)]
    Extcap(Extcap),
    /// Print all that another server needs to honour the leases, or the configuration for another server
    Export(Export),
    /// Honour the leases that another server has exported: exit status 1 if any is refused
    Import(Import),
    /// Make a configuration of another server's: exit status 1 if none can be made
    ImportConfig(ImportConfig),
    /// Honour the leases in another server's files: exit status 1 if the daemon refuses any
    ImportLeases(ImportLeases),
    /// Tell who had which address when, from the lease journal: exit status 1 if nobody
    WhoHad(WhoHad),
    /// Look at a lease store
    Store(Store),
    /// Show on the terminal what the server is doing now, until q is pressed
    Top(Top),
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

/// Runs hooks until the daemon has ended.
#[must_use]
pub fn run_hooks() -> Exit {
    match crate::hooks::run() {
        Ok(()) => Exit::Done,
        Err(error) => output::complain(Exit::No, format_args!("hooks can't be run: {error}")),
    }
}

/// Clap's message instead of a command: help that was asked for, or an error in the arguments.
#[must_use]
pub fn explain(usage: &clap::Error) -> Exit {
    match usage.print() {
        Ok(()) if !usage.use_stderr() => Exit::Done,
        Err(error) if !usage.use_stderr() => output::finish(Exit::Done, Err(error)),
        _ => Exit::Usage,
    }
}
