//! `run`, `attach` and `detach`: the verbs that touch the machine.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use tracing_subscriber::EnvFilter;

use super::Exit;
use super::output::finish;
use crate::config::{Config, LoadError};
use crate::datapath::{attachment, netlink, occupant};
use crate::server::{self, OnExit};

/// What to serve.
#[derive(Clone, Debug, clap::Args)]
pub struct Run {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Log what becomes of every DHCP frame in the kernel, too (slow)
    #[arg(long)]
    diagnose: bool,
    /// Remove program, maps and attachments when told to end, instead of leaving renewals to the kernel
    #[arg(long)]
    detach_on_exit: bool,
}

/// What to attach to.
#[derive(Clone, Debug, clap::Args)]
pub struct Attach {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// What to detach.
#[derive(Clone, Debug, clap::Args)]
pub struct Detach {
    /// The configuration whose `pin-dir` is meant
    #[arg(long, value_name = "FILE", conflicts_with = "pin_dir")]
    config: Option<PathBuf>,
    /// The pin directory itself
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf/xdhcpd")]
    pin_dir: PathBuf,
    /// Only this interface
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
}

impl Run {
    /// Serves until a signal comes.
    #[must_use]
    pub fn run(self) -> Exit {
        // The program speaks under the name of its crate.
        start_log(if self.diagnose { "info,dhcp_ebpf=debug" } else { "info" });
        told(load(&self.config).and_then(|config| {
            // One thread: decisions are one after the other anyway, and the kernel's work needs the other core.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let on_exit = if self.detach_on_exit { OnExit::Detach } else { OnExit::Stay };
            runtime.block_on(server::run(config, &self.config, self.diagnose, on_exit))
        }))
    }
}

impl Attach {
    /// Attaches and leaves.
    #[must_use]
    pub fn run(self) -> Exit {
        start_log("info");
        told(load(&self.config).and_then(|config| server::attach_only(&config)))
    }
}

impl Detach {
    /// Detaches and says from where.
    #[must_use]
    pub fn run(self) -> Exit {
        start_log("warn");
        let dir = match &self.config {
            Some(file) => load(file).map(|config| config.server.pin_dir),
            None => Ok(self.pin_dir),
        };
        match dir.and_then(|dir| attachment::detach(&dir, self.interface.as_deref())) {
            Ok(gone) if gone.is_empty() => {
                eprintln!("xdhcpd: nothing is attached by way of this pin directory");
                for left in left_over(self.interface.as_deref()) {
                    eprintln!("xdhcpd: {left}");
                }
                Exit::No
            }
            Ok(gone) => finish(
                Exit::Done,
                gone.iter().try_for_each(|name| writeln!(io::stdout(), "{name}: detached")),
            ),
            Err(error) => told(Err(error)),
        }
    }
}

/// Programs of ours that are attached all the same: left by a process that was killed, or of another instance.
fn left_over(interface: Option<&str>) -> Vec<String> {
    // Those of others are none of our business here, and without netlink there is nothing to add.
    let links = netlink::links().unwrap_or_default().into_iter();
    let named = links.filter(|link| interface.is_none_or(|name| link.facts.name == name));
    let occupied = named.filter_map(|link| Some((link.facts.name, link.xdp.filter(occupant::is_xdhcpd)?)));
    occupied.map(|(name, left)| occupant::described(&name, left)).collect()
}

pub(super) fn load(file: &std::path::Path) -> Result<Config> {
    Config::load(file)
        .map_err(|error| match error {
            LoadError::Invalid(errors) => {
                let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
                anyhow::anyhow!("{}", lines.join("\n"))
            }
            LoadError::Read { .. } => error.into(),
        })
        .with_context(|| format!("{} can't be served", file.display()))
}

fn told(outcome: Result<()>) -> Exit {
    match outcome {
        Ok(()) => Exit::Done,
        Err(error) => {
            eprintln!("xdhcpd: {error:#}");
            Exit::No
        }
    }
}

/// Logs to standard error; `RUST_LOG` overrides the level.
fn start_log(level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false).init();
}
