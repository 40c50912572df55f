//! `run`, `attach` and `detach`: the verbs that touch the machine.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::Exit;
use super::output::{complain, finish};
use crate::config::{Config, LoadError};
use crate::datapath::interfaces::netlink;
use crate::datapath::program::{attachment, occupant};
use crate::logging::{Log, LogFormat};
use crate::process_limits;
use crate::reason;
use crate::server::{self, Capacity, OnExit, TooMuch};
use crate::store::Loss;

/// What to serve.
#[derive(Clone, Debug, clap::Args)]
pub struct Run {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The form of the log
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
    /// Log what becomes of every DHCP frame in the kernel, too (slow)
    #[arg(long)]
    diagnose: bool,
    /// Remove program, maps and attachments when told to end, instead of leaving renewals to the kernel
    #[arg(long)]
    detach_on_exit: bool,
    /// Start even if the machine has less memory left than the configuration may come to take
    #[arg(long)]
    force: bool,
    /// Start in spite of a lease store that is damaged, or older than the pinned maps: from what is sound, and from the maps
    #[arg(long)]
    accept_loss: bool,
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
        outlive_file_limits();
        // The program speaks under the name of its crate.
        logging(if self.diagnose { "info,dhcp_ebpf=debug" } else { "info" }, self.log_format, |_| {
            process_limits::enough_for_a_daemon()?;
            let config = load(&self.config)?;
            let capacity = Capacity::of(&config).beside(&config.server.pin_dir);
            match capacity.check(server::memory_left()) {
                Err(short @ TooMuch::ForTheMachine { .. }) if self.force => tracing::warn!("{short}"),
                checked => checked.with_context(|| format!("{} can't be served", self.config.display()))?,
            }
            have_files_enough(config.interfaces.len())?;
            // One thread: decisions are one after the other anyway, and the kernel's work needs the other core.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let on_exit = if self.detach_on_exit { OnExit::Detach } else { OnExit::Stay };
            let loss = if self.accept_loss { Loss::Accepted } else { Loss::Refused };
            runtime.block_on(server::run(config, &self.config, self.diagnose, on_exit, loss))?;
            Ok(Exit::Done)
        })
    }
}

/// Has a write beyond the limit of this process's files (`RLIMIT_FSIZE`) fail, as on a full disk. Without a handler the signal
/// that comes with it ends the process.
fn outlive_file_limits() {
    // If it can't be registered, such a limit ends the daemon as before.
    let _ = signal_hook::flag::register(libc::SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

/// How many files are open when all that may come has come: clients of each kind, maps, queues, and the files of one moment.
const FILES: u64 = 256;
/// How many more each interface takes.
const FILES_OF_INTERFACE: u64 = 4;
/// With fewer there is no start.
const FEWEST_FILES: u64 = 128;

/// Lets this process have as many open files as it may come to need, if it may. A start that is refused now is better than one
/// that fails half-way, or clients that are refused later.
fn have_files_enough(interfaces: usize) -> Result<()> {
    let more = FILES_OF_INTERFACE.saturating_mul(interfaces as u64);
    let (needed, fewest) = (FILES.saturating_add(more), FEWEST_FILES.saturating_add(more));
    let (now, most) = getrlimit(Resource::RLIMIT_NOFILE).context("looking how many files may be open")?;
    let may = if now < needed {
        // More than it has it need not get.
        let raised = setrlimit(Resource::RLIMIT_NOFILE, needed.min(most), most).is_ok();
        if raised { needed.min(most) } else { now }
    } else {
        now
    };
    ensure!(
        may >= fewest,
        "this process may have {may} open files, and needs {fewest} at least, {needed} with many clients of its sockets: raise the \
         limit (`ulimit -n`, `LimitNOFILE=` in a unit)"
    );
    if may < needed {
        tracing::warn!(
            may,
            needed,
            "clients of its sockets may find no open file left: raise the limit (`ulimit -n`, `LimitNOFILE=` in a unit)"
        );
    }
    Ok(())
}

impl Attach {
    /// Attaches and leaves.
    #[must_use]
    pub fn run(self) -> Exit {
        logging("info", LogFormat::Auto, |_| {
            server::attach_only(&load(&self.config)?)?;
            Ok(Exit::Done)
        })
    }
}

impl Detach {
    /// Detaches and says from where.
    #[must_use]
    pub fn run(self) -> Exit {
        logging("warn", LogFormat::Auto, |log| {
            let dir = match &self.config {
                Some(file) => load(file)?.server.pin_dir,
                None => self.pin_dir,
            };
            attachment::check_unserved(&dir)?;
            let gone = attachment::detach(&dir, self.interface.as_deref())?;
            if gone.is_empty() {
                log.say("xdhcpd: nothing is attached by way of this pin directory");
                left_over(self.interface.as_deref())
                    .iter()
                    .for_each(|left| log.say(format_args!("xdhcpd: {left}")));
                return Ok(Exit::No);
            }
            let printed = gone.iter().try_for_each(|name| writeln!(io::stdout(), "{name}: detached"));
            Ok(finish(Exit::Done, printed))
        })
    }
}

/// Programs of ours that are attached all the same: left by a process that was killed, or of another instance.
fn left_over(interface: Option<&str>) -> Vec<String> {
    // Those of others are none of our business here, and without netlink there is nothing to add.
    let links = netlink::namespace().unwrap_or_default().links.into_iter();
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

/// Does something that is logged, and says why if it fails.
fn logging(level: &str, format: LogFormat, work: impl FnOnce(&Log) -> Result<Exit>) -> Exit {
    let log = match Log::start(level, format) {
        Ok(log) => log,
        Err(error) => return complain(Exit::Usage, reason::told(&error)),
    };
    work(&log).unwrap_or_else(|error| {
        log.say(format_args!("xdhcpd: {}", reason::told(&error)));
        Exit::No
    })
}
