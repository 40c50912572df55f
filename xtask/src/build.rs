//! `cargo xtask build`: the BPF objects, and the binary that carries the daemon's.

use std::{
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};
use bpf_object::{LOAD, XDHCPD};

use crate::{
    object, process,
    setup::{self, Purpose},
    workspace,
};

/// Arguments of `cargo xtask build`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Optimise the daemon too (the BPF objects always are)
    #[arg(long)]
    release: bool,
    /// Build the BPF objects anew, though those kept with the sources fit
    #[arg(long, conflicts_with_all = ["record", "verify"])]
    rebuild: bool,
    /// Build the BPF objects anew and keep them with the sources: after a change of dhcp-ebpf or tests/load-ebpf
    #[arg(long, conflicts_with = "verify")]
    record: bool,
    /// Build the BPF objects anew and fail if those kept with the sources are not of them
    #[arg(long)]
    verify: bool,
}

/// How the daemon is compiled.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    Dev,
    Release,
}

impl Profile {
    /// The directory of its results, in the target directory.
    fn directory(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// Builds, and says where the results are.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let profile = if args.release { Profile::Release } else { Profile::Dev };
    setup::prepare(Purpose::Build)?;
    if args.record {
        object::record()?;
    } else if args.rebuild {
        object::rebuild()?;
    } else if args.verify {
        object::verify()?;
    }
    let binary = daemon(profile)?;
    let generator = load_generator()?;
    println!(
        "built {} around {}; for the tests: {}",
        binary.display(),
        workspace::bpf_object().display(),
        generator.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// Builds the daemon around its BPF object; the daemon's path.
///
/// # Errors
/// When a compiler fails; it has said why by then.
pub(crate) fn daemon(profile: Profile) -> Result<PathBuf> {
    daemon_and(profile, &[])
}

/// Builds the daemon and programs of the tests in one go: what both need is compiled once. The daemon's path.
///
/// # Errors
/// As [`daemon`].
pub(crate) fn daemon_and(profile: Profile, programs: &[&str]) -> Result<PathBuf> {
    object::provide(&XDHCPD)?;
    let mut cargo = cargo();
    cargo.args(["build", "--package", "dhcp-user", "--bin", "xdhcpd"]);
    for program in programs {
        cargo.args(["--package", "system-tests", "--bin", program]);
    }
    if let Profile::Release = profile {
        cargo.arg("--release");
    }
    process::run(&mut cargo).context("the daemon does not build")?;
    Ok(workspace::target_dir().join(profile.directory()).join("xdhcpd"))
}

/// A cargo for the workspace's host crates, which embed the recorded object or the one that was built here, and no other.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(workspace::cargo());
    cargo.current_dir(workspace::root()).env_remove("XDHCPD_BPF_OBJECT");
    if let Some(object) = object::instead_of_recorded() {
        cargo.env("XDHCPD_BPF_OBJECT", object);
    }
    if std::env::var_os("CARGO_TARGET_DIR").is_some() {
        // It may be relative to where we were started.
        cargo.env("CARGO_TARGET_DIR", workspace::target_dir());
    }
    cargo
}

/// Provides the kernel half of the load generator, which tests and benchmarks load as they run; its path.
///
/// # Errors
/// When it must be built, and a compiler fails; it has said why by then.
pub(crate) fn load_generator() -> Result<PathBuf> {
    object::provide(&LOAD)
}
