//! `cargo xtask demo`: everything a fresh machine needs for it, then the demonstration itself (`tests/src/bin/demo`).

use std::{os::unix::process::CommandExt, process::ExitCode};

use anyhow::{Context, Result};

use crate::{
    build::{self, Profile},
    process,
    setup::{self, Purpose},
    workspace,
};

/// Sets up, builds, and becomes the demonstration, so that signals and exit status are its own.
pub(crate) fn main() -> Result<ExitCode> {
    setup::prepare(Purpose::Demo)?;
    let daemon = build::daemon_and(Profile::Release, &["demo"])?;
    let demo = workspace::target_dir().join("release/demo");
    Err(process::as_root_with(&daemon)?.arg(demo).exec()).context("can't start the demonstration")
}
