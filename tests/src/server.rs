//! The server under test: `xdhcpd` in its namespace, seen through its command line and its JSON.

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::namespace::Namespace;
use crate::pinned::PinnedArray;
use crate::process::{Process, output, run};
use crate::topology::{Lan, SERVER_IF};
use crate::wait::{PROMPT, until};

/// How the server takes its interface (`xdp` in its configuration).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Xdp {
    /// In the driver.
    Native,
    /// In the stack, before anything else.
    Generic,
    /// In the driver where it takes the program, else in the stack.
    Auto,
    /// By another's program, which calls it.
    External,
    /// Not at all: the daemon answers everything.
    Off,
}

impl Xdp {
    fn word(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Auto => "auto",
            Self::External => "external",
            Self::Off => "off",
        }
    }
}

/// Where a daemon runs and what it writes to.
#[derive(Clone, Debug)]
pub struct Home<'a> {
    /// It serves an interface of this namespace.
    pub namespace: &'a Namespace,
    /// Configuration, state, socket and log.
    pub dir: PathBuf,
    /// On a BPF file system.
    pub pins: PathBuf,
    /// What it logs, as `RUST_LOG` has it.
    pub log: &'static str,
}

/// What there is to know when a test fails.
const EVERYTHING: &str = "debug,aya=info,aya_obj=info";
/// What an operator has who asks for nothing: a bounded number of lines.
const BOUNDED: &str = "";

impl<'a> From<&'a Lan> for Home<'a> {
    fn from(lan: &'a Lan) -> Self {
        Self::at(&lan.server, lan.world.dir().to_owned(), lan.world.bpf().join("xdhcpd"))
    }
}

impl<'a> Home<'a> {
    /// A place in `namespace`, with a directory and a place for pins.
    #[must_use]
    pub fn at(namespace: &'a Namespace, dir: PathBuf, pins: PathBuf) -> Self {
        Self { namespace, dir, pins, log: EVERYTHING }
    }

    /// The same, for a server under load: it logs as it does by default.
    #[must_use]
    pub fn under_load(self) -> Self {
        Self { log: BOUNDED, ..self }
    }

    fn config(&self) -> PathBuf {
        self.dir.join("xdhcpd.toml")
    }

    fn log_file(&self) -> PathBuf {
        self.dir.join("xdhcpd.log")
    }

    /// Writes the configuration of a server that writes nowhere else.
    ///
    /// Probing is off unless a test is about it: scripted clients do not answer ARP.
    fn configure(&self, xdp: Xdp, settings: &str, subnets: &str) -> Result<()> {
        let dir = self.dir.display();
        let probe = if settings.contains("probe") { "" } else { "probe = \"off\"" };
        let (pins, xdp) = (self.pins.display(), xdp.word());
        // Keys of the file itself stand before the first table.
        let (top, settings) = settings.split_once("[server]\n").unwrap_or(("", settings));
        let config = format!(
            r#"{top}
[server]
state-dir = "{dir}/state"
control-socket = "{dir}/control.sock"
pin-dir = "{pins}"
{probe}
{settings}

[[interface]]
name = "{SERVER_IF}"
xdp = "{xdp}"

{subnets}
"#
        );
        fs::create_dir_all(&self.dir)?;
        fs::write(self.config(), config).with_context(|| format!("cannot write {}", self.config().display()))
    }
}

/// A running daemon.
#[derive(Debug)]
pub struct Server<'a> {
    home: Home<'a>,
    process: Process,
}

impl<'a> Server<'a> {
    /// Starts the server, with `subnets` as the part of its configuration that is the test's own.
    ///
    /// # Errors
    /// When it does not come to answer `status`.
    pub fn start(home: impl Into<Home<'a>>, xdp: Xdp, subnets: &str) -> Result<Self> {
        Self::with_settings(home, xdp, "", subnets)
    }

    /// Starts the server with more keys in `[server]`.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn with_settings(home: impl Into<Home<'a>>, xdp: Xdp, settings: &str, subnets: &str) -> Result<Self> {
        let home = home.into();
        home.configure(xdp, settings, subnets)?;
        let process = Launch::default().run(&home)?;
        let mut server = Self { home, process };
        server.wait_until_ready()?;
        Ok(server)
    }

    /// Waits until the daemon answers `status`.
    ///
    /// # Errors
    /// When it ends, or does not answer in time.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        self.wait_until_ready_within(PROMPT)
    }

    fn wait_until_ready_within(&mut self, within: Duration) -> Result<()> {
        until("the server to answer `status`", within, || {
            if !self.process.is_running()? {
                bail!("the server ended at once:\n{}", self.process.log());
            }
            Ok(output(&mut self.cli(&["status", "--json"])?)?.status.success().then_some(()))
        })
    }

    /// Replaces the configuration's subnets; nothing happens before [`Server::reload`] or a restart.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn rewrite(&self, lan: &Lan, xdp: Xdp, subnets: &str) -> Result<()> {
        Home::from(lan).configure(xdp, "", subnets)
    }

    /// The same with more keys in `[server]`.
    ///
    /// # Errors
    /// As [`Server::rewrite`].
    pub fn rewrite_with(&self, settings: &str, xdp: Xdp, subnets: &str) -> Result<()> {
        self.home.configure(xdp, settings, subnets)
    }

    /// Kills the daemon without a warning, as a crash would. Program and maps stay.
    ///
    /// # Errors
    /// When it cannot be reaped.
    pub fn crash(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Asks the daemon to end, and waits until it has.
    ///
    /// # Errors
    /// When it goes on, or ends with an error.
    pub fn stop(&mut self) -> Result<()> {
        self.stop_within(PROMPT)
    }

    /// As [`stop`](Self::stop), for a daemon that may have much to finish.
    ///
    /// # Errors
    /// As [`stop`](Self::stop).
    pub fn stop_within(&mut self, within: Duration) -> Result<()> {
        self.process.signal(Signal::SIGTERM)?;
        let status = self.process.wait(within)?;
        if status.success() { Ok(()) } else { bail!("the server ended with {status}") }
    }

    /// Starts the daemon again after [`Server::crash`] or [`Server::stop`].
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_again(&mut self) -> Result<()> {
        self.start_again_with(&Launch::default())
    }

    /// Starts the daemon again otherwise than by default.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_again_with(&mut self, launch: &Launch<'_>) -> Result<()> {
        self.launch_again(launch)?;
        self.wait_until_ready()
    }

    /// Starts the daemon again; with millions of leases that may take longer than anything in a test.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_again_within(&mut self, within: Duration) -> Result<()> {
        self.launch_again(&Launch::default())?;
        self.wait_until_ready_within(within)
    }

    /// As [`Server::start_again_with`], and does not wait until it is ready.
    ///
    /// # Errors
    /// When it cannot be started at all.
    pub fn launch_again(&mut self, launch: &Launch<'_>) -> Result<()> {
        self.process = launch.run(&self.home)?;
        Ok(())
    }

    /// Takes the XDP program off the interface and unpins all of it; the daemon must have ended.
    ///
    /// # Errors
    /// When `xdhcpd detach` fails.
    pub fn detach(&self) -> Result<()> {
        let mut command = self.home.namespace.command(&binary()?);
        run(command.args(["detach", "--config"]).arg(self.home.config())).map(drop)
    }

    /// Puts the XDP program on the interface without a daemon.
    ///
    /// # Errors
    /// When `xdhcpd attach` fails.
    pub fn attach(&self) -> Result<()> {
        let mut command = self.home.namespace.command(&binary()?);
        run(command.args(["attach", "--config"]).arg(self.home.config())).map(drop)
    }

    /// Freezes the daemon.
    ///
    /// # Errors
    /// When it is gone.
    pub fn freeze(&self) -> Result<()> {
        self.process.signal(Signal::SIGSTOP)
    }

    /// Tells the daemon to read its configuration again, as an init script does.
    ///
    /// # Errors
    /// When it is gone.
    pub fn hang_up(&self) -> Result<()> {
        self.process.signal(Signal::SIGHUP)
    }

    /// Lets a frozen daemon go on.
    ///
    /// # Errors
    /// When it is gone.
    pub fn thaw(&self) -> Result<()> {
        self.process.signal(Signal::SIGCONT)
    }

    /// Whether the daemon is still alive.
    ///
    /// # Errors
    /// When its state cannot be read.
    pub fn is_running(&mut self) -> Result<bool> {
        self.process.is_running()
    }

    /// The daemon's process id.
    ///
    /// # Errors
    /// Never on Linux, whose process ids fit.
    pub fn pid(&self) -> Result<Pid> {
        self.process.pid()
    }

    /// For how long the daemon has had a CPU so far: what its work takes, however busy the machine is.
    ///
    /// # Errors
    /// When it is gone.
    pub fn cpu_time(&self) -> Result<Duration> {
        let path = format!("/proc/{}/schedstat", self.process.pid()?);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
        nanos.map(Duration::from_nanos).with_context(|| format!("{path} says {text}"))
    }

    /// What the daemon has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Keeps to itself what the daemon has logged, when it ends.
    pub fn hush(&mut self) {
        self.process.hush();
    }

    /// A map that the daemon shares with the kernel.
    #[must_use]
    pub fn map(&self, name: &str) -> PinnedArray {
        PinnedArray(self.home.pins.join(name))
    }

    /// A management command, not yet run.
    ///
    /// # Errors
    /// When there is no server to test.
    pub fn cli(&self, words: &[&str]) -> Result<Command> {
        let mut command = cli()?;
        command.args(words).arg("--control").arg(self.home.dir.join("control.sock"));
        Ok(command)
    }

    /// The JSON that a management command prints.
    ///
    /// # Errors
    /// When the command fails or prints something else.
    pub fn json(&self, words: &[&str]) -> Result<Value> {
        let printed = run(self.cli(words)?.arg("--json"))?;
        serde_json::from_str(&printed).with_context(|| format!("`{}` is no JSON: {printed}", words.join(" ")))
    }

    /// The counters of kernel and daemon.
    ///
    /// # Errors
    /// When they cannot be had.
    pub fn stats(&self) -> Result<Stats> {
        Ok(Stats(self.json(&["stats"])?))
    }

    /// The entry of `leases` for an address, if there is one.
    ///
    /// # Errors
    /// When leases cannot be listed.
    pub fn lease(&self, address: Ipv4Addr) -> Result<Option<Value>> {
        let leases = self.json(&["leases"])?;
        let list = leases.as_array().context("`leases` is not a list")?;
        Ok(list.iter().find(|lease| lease["address"] == address.to_string()).cloned())
    }

    /// One count of the only pool.
    ///
    /// # Errors
    /// When there is no such count.
    pub fn pool_count(&self, what: &str) -> Result<u64> {
        self.json(&["pools"])?[0][what].as_u64().with_context(|| format!("`pools` has no number {what}"))
    }

    /// What `status` says of an interface.
    ///
    /// # Errors
    /// When it says nothing of it.
    pub fn interface(&self, name: &str) -> Result<Value> {
        let status = self.json(&["status"])?;
        let interfaces = status["interfaces"].as_array().context("`status` has no interfaces")?;
        let found = interfaces.iter().find(|interface| interface["name"] == name).cloned();
        found.with_context(|| format!("`status` does not know {name}: {status}"))
    }

    /// Reloads the configuration.
    ///
    /// # Errors
    /// When the server refuses it.
    pub fn reload(&self) -> Result<()> {
        run(&mut self.cli(&["reload"])?).map(drop)
    }
}

/// What `stats` said at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats(pub Value);

impl Stats {
    /// Renewals answered by the kernel, by the state of the client.
    ///
    /// # Errors
    /// When there is no such counter.
    pub fn kernel_acked(&self, state: &str) -> Result<u64> {
        self.count(&["kernel", "acked", state])
    }

    /// All renewals answered by the kernel.
    ///
    /// # Errors
    /// When they are not counted.
    pub fn all_kernel_acked(&self) -> Result<u64> {
        self.sum(&["kernel", "acked"])
    }

    /// Messages that came to the daemon.
    ///
    /// # Errors
    /// When there is no such counter.
    pub fn received(&self, kind: &str) -> Result<u64> {
        self.count(&["daemon", "received", kind])
    }

    /// Messages the daemon sent.
    ///
    /// # Errors
    /// When there is no such counter.
    pub fn sent(&self, kind: &str) -> Result<u64> {
        self.count(&["daemon", "sent", kind])
    }

    /// Every frame that the XDP program has seen, whatever became of it.
    ///
    /// # Errors
    /// When a group of counters is missing.
    pub fn seen(&self) -> Result<u64> {
        let mut all = self.count(&["kernel", "passed"])?;
        for group in ["acked", "punted", "dropped"] {
            all += self.sum(&["kernel", group])?;
        }
        Ok(all)
    }

    /// A counter by its path.
    ///
    /// # Errors
    /// When it is missing.
    pub fn count(&self, path: &[&str]) -> Result<u64> {
        self.at(path)?.as_u64().with_context(|| format!("`stats` has no number {path:?}: {}", self.0))
    }

    /// The sum of a group of counters.
    ///
    /// # Errors
    /// When it is missing.
    pub fn sum(&self, path: &[&str]) -> Result<u64> {
        let group = self.at(path)?.as_object().with_context(|| format!("{path:?} is not a group"))?;
        Ok(group.values().filter_map(Value::as_u64).sum())
    }

    fn at(&self, path: &[&str]) -> Result<&Value> {
        path.iter()
            .try_fold(&self.0, |value, key| value.get(key))
            .with_context(|| format!("`stats` has no {path:?}: {}", self.0))
    }
}

/// How a daemon is started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Launch<'a> {
    /// A program, with its arguments, that runs it.
    pub under: &'a [&'a str],
    /// More arguments of its own.
    pub arguments: &'a [&'a str],
    /// What is added to its environment.
    pub environment: &'a [(&'a str, &'a str)],
}

impl Launch<'_> {
    fn run(&self, home: &Home) -> Result<Process> {
        let binary = binary()?;
        let mut words = self.under.iter().copied().chain([binary.as_str()]);
        let mut command = home.namespace.command(words.next().context("no program")?);
        command.args(words).args(["run", "--config"]).arg(home.config()).args(self.arguments);
        command.env("RUST_LOG", home.log).envs(self.environment.iter().copied());
        Process::start("xdhcpd", command, &home.log_file())
    }
}

/// The program under test, without arguments.
///
/// # Errors
/// When there is no server to test.
pub fn cli() -> Result<Command> {
    binary().map(Command::new)
}

/// The binary under test.
///
/// # Errors
/// When there is no server to test.
pub fn binary() -> Result<String> {
    std::env::var("XDHCPD_BIN").context(
        "XDHCPD_BIN does not name the xdhcpd to test: run `cargo xtask test net`, which builds and names it",
    )
}

/// How long a lease of `seconds` may take to show that it ran out.
#[must_use]
pub fn after(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds)) + PROMPT
}
