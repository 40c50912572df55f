//! `cargo xtask demo`: everything a fresh machine needs for it, then the demonstration itself (`tests/src/bin/demo`).

use std::{os::unix::process::CommandExt, process::ExitCode};

use anyhow::{Context, Result};

use crate::{
    build::{self, Profile},
    process,
    setup::{self, Purpose},
    workspace,
};

/// Arguments of `cargo xtask demo`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Show what a site has instead: a switch from Kea, relays, VLANs, a DECLINE, a storm of 50,000 rebooting clients
    #[arg(long)]
    tour: bool,
}

/// Sets up, builds, and becomes the demonstration, so that signals and exit status are its own.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    setup::prepare(if args.tour { Purpose::Tour } else { Purpose::Demo })?;
    let daemon = build::daemon_and(Profile::Release, &["demo"])?;
    if args.tour {
        build::load_generator()?;
    }
    let demo = workspace::target_dir().join("release/demo");
    Err(process::as_root_with(&daemon)?.arg(demo).args(args.tour.then_some("--tour")).exec())
        .context("can't start the demonstration")
}
