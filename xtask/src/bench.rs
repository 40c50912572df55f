//! `cargo xtask bench`: everything the benchmark needs, then the benchmark itself (`tests/src/bin/bench`).

use std::{ffi::OsString, os::unix::process::CommandExt, process::ExitCode};

use anyhow::{Context, Result};

use crate::{
    build::{self, Profile},
    process,
    setup::{self, Purpose},
    workspace,
};

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What the benchmark itself takes
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

/// Sets up, builds, and becomes the benchmark, so that signals and exit status are its own.
///
/// Other servers may not be to be had: then the report says so, and has the rest.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    setup::prepare(Purpose::Bench).or_else(|missing| {
        eprintln!("going on without what can't be installed: {missing:#}");
        setup::prepare(Purpose::Build)
    })?;
    let daemon = build::daemon_and(Profile::Release, &["bench"])?;
    build::load_generator()?;
    let bench = workspace::target_dir().join("release/bench");
    let results = workspace::target_dir().join("bench");
    Err(process::as_root_with(&daemon)?.arg(bench).arg("--results").arg(results).args(&args.words).exec())
        .context("can't start the benchmark")
}
