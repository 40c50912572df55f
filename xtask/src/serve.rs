//! `cargo xtask run`, `attach` and `detach`: the daemon on a real NIC.

use std::{fs, os::unix::process::CommandExt, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};

use crate::{
    build::{self, Profile},
    derive::Nic,
    process,
    setup::{self, Purpose},
    workspace,
};

/// Arguments of `cargo xtask run`, `attach` and `detach`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The NIC
    #[arg(long, value_name = "IF")]
    iface: String,
    /// The configuration; derived from the NIC's address when not given
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Serves on a NIC in the foreground. Does not return once the daemon runs.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    become_daemon("run", &config(args)?)
}

/// Loads and pins the XDP program.
pub(crate) fn attach(args: &Args) -> Result<ExitCode> {
    become_daemon("attach", &config(args)?)
}

/// Takes the XDP program off again. The configuration of the last `run` or `attach` will do, whatever the NIC's address is now.
pub(crate) fn detach(args: &Args) -> Result<ExitCode> {
    let last = derived_path(args);
    become_daemon("detach", &if args.config.is_none() && last.exists() { last } else { config(args)? })
}

fn config(args: &Args) -> Result<PathBuf> {
    if let Some(config) = &args.config {
        return Ok(config.clone());
    }
    let text = Nic::find(&args.iface)?.config()?;
    let path = derived_path(args);
    let dir = path.parent().context("the configuration's place has no directory")?;
    fs::create_dir_all(dir)
        .and_then(|()| fs::write(&path, &text))
        .with_context(|| format!("can't write {}", path.display()))?;
    println!("configuration derived for {}, in {}:\n", args.iface, path.display());
    text.lines().for_each(|line| println!("    {line}"));
    println!();
    Ok(path)
}

fn derived_path(args: &Args) -> PathBuf {
    workspace::target_dir().join("xtask").join(format!("{}.toml", args.iface))
}

/// Builds, then replaces this process by the daemon, so that signals and exit status are its own.
fn become_daemon(verb: &str, config: &std::path::Path) -> Result<ExitCode> {
    let toolchain = setup::prepare(Purpose::Build)?;
    let daemon = build::everything(&toolchain, Profile::Release)?;
    let mut command = process::as_root(&daemon)?;
    Err(command.arg(verb).arg("--config").arg(config).exec())
        .with_context(|| format!("can't start {}", daemon.display()))
}
