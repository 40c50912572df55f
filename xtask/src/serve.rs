//! `cargo xtask run`, `attach` and `detach`: the daemon on a real NIC.

use std::{
    ffi::OsStr,
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};

use crate::{
    build::{self, Profile},
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
    let daemon = daemon()?;
    become_daemon(&daemon, &[OsStr::new("run"), "--config".as_ref(), config(&daemon, args)?.as_os_str()])
}

/// Loads and pins the XDP program.
pub(crate) fn attach(args: &Args) -> Result<ExitCode> {
    let daemon = daemon()?;
    become_daemon(&daemon, &[OsStr::new("attach"), "--config".as_ref(), config(&daemon, args)?.as_os_str()])
}

/// Takes the XDP program off again. The configuration only says where it is pinned: the default place needs none.
pub(crate) fn detach(args: &Args) -> Result<ExitCode> {
    let mut words = vec![OsStr::new("detach"), "--interface".as_ref(), args.iface.as_ref()];
    if let Some(config) = &args.config {
        words.extend(["--config".as_ref(), config.as_os_str()]);
    }
    become_daemon(&daemon()?, &words)
}

fn config(daemon: &Path, args: &Args) -> Result<PathBuf> {
    if let Some(config) = &args.config {
        return Ok(config.clone());
    }
    let text = process::output(Command::new(daemon).args(["derive-config", &args.iface]))?;
    let path = workspace::target_dir().join("xtask").join(format!("{}.toml", args.iface));
    let dir = path.parent().context("the configuration's place has no directory")?;
    fs::create_dir_all(dir)
        .and_then(|()| fs::write(&path, &text))
        .with_context(|| format!("can't write {}", path.display()))?;
    println!("configuration derived for {}, in {}:\n", args.iface, path.display());
    text.lines().for_each(|line| println!("    {line}"));
    println!();
    Ok(path)
}

fn daemon() -> Result<PathBuf> {
    setup::prepare(Purpose::Build)?;
    build::daemon(Profile::Release)
}

/// Replaces this process by the daemon, so that signals and exit status are its own.
fn become_daemon(daemon: &Path, words: &[&OsStr]) -> Result<ExitCode> {
    Err(process::as_root(daemon)?.args(words).exec())
        .with_context(|| format!("can't start {}", daemon.display()))
}
