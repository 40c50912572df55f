//! The servers that are measured, each at the settings it is fastest with, in one namespace and one directory.

mod dnsmasq;
pub(crate) mod installed;
mod isc;
mod kea;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use system_tests::load::{Count, Lane, Load, WrongReplies};
use system_tests::pass::Pass;
use system_tests::process::Process;
use system_tests::server::Server;
use system_tests::topology::{Lan, SERVER_IF};
use system_tests::wait::{PROMPT, until};

use crate::report::Section;
use crate::site;
use crate::unable::Unable;

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    Xdhcpd,
    Kea,
    Isc,
    Dnsmasq,
    /// Whatever serves at the other end of a NIC's cable.
    Elsewhere,
}

/// A server that runs. It ends with the value.
pub(crate) enum Running<'a> {
    Xdhcpd(Server<'a>),
    Other {
        process: Process,
        _pass: Pass,
        _awake: Option<File>,
    },
    /// Somebody else has started it, and nothing is seen of it but its answers.
    Elsewhere,
}

impl Subject {
    /// Those that are not ours.
    pub(crate) const PEERS: [Self; 3] = [Self::Kea, Self::Isc, Self::Dnsmasq];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Xdhcpd => "xdhcpd",
            Self::Kea => "Kea",
            Self::Isc => "ISC dhcpd",
            Self::Dnsmasq => "dnsmasq",
            Self::Elsewhere => "the server",
        }
    }

    /// With its version, where it is somebody else's: "Kea 2.2 (Debian 12)".
    pub(crate) fn titled(self) -> String {
        let version = self.package().and_then(installed::in_short);
        version.map_or_else(|| self.name().to_owned(), |version| format!("{} {version}", self.name()))
    }

    /// The package that it comes in, in Debian.
    const fn package(self) -> Option<&'static str> {
        match self {
            Self::Xdhcpd | Self::Elsewhere => None,
            Self::Kea => Some("kea-dhcp4-server"),
            Self::Isc => Some("isc-dhcp-server"),
            Self::Dnsmasq => Some("dnsmasq-base"),
        }
    }

    /// What of a lease outlives a power cut, at the settings it is measured with.
    pub(crate) const fn durability(self) -> &'static str {
        match self {
            Self::Xdhcpd => {
                "fdatasync before every ACK of a new lease; renewals within what was committed ahead"
            }
            Self::Kea => {
                "no fsync: the lease file (memfile) is written and on disk some time later; renewals in the first \
                 quarter of the lease unwritten"
            }
            Self::Isc => {
                "fsync before every ACK of a new lease; renewals in the first quarter of the lease unwritten"
            }
            Self::Dnsmasq => "rewrites its whole lease file for every ACK",
            Self::Elsewhere => "not known here",
        }
    }

    /// How it is configured, where that matters.
    pub(crate) const fn settings(self) -> &'static str {
        match self {
            Self::Xdhcpd => "release build, native XDP, probing off but where said, log as by default",
            Self::Kea => {
                "memfile without cleanup, a thread per CPU, lease cache 25 %, no reservations looked up, no DNS updates, \
                 log: errors"
            }
            Self::Isc => "ping-check off, delayed-ack 28 within 2 ms, lease cache 25 %, no log",
            Self::Dnsmasq => "no ping, no DNS, quiet",
            Self::Elsewhere => "not known here",
        }
    }

    /// So many leases, or as many as it can be measured with: beyond, it takes minutes to get there.
    pub(crate) fn leases(self, wanted: u32) -> u32 {
        match self {
            Self::Xdhcpd | Self::Elsewhere => wanted,
            Self::Kea | Self::Isc => wanted.min(10_000),
            // It rewrites its file for each.
            Self::Dnsmasq => wanted.min(10_000).div_ceil(10),
        }
    }

    const fn installed(self) -> &'static str {
        match self {
            Self::Xdhcpd | Self::Elsewhere => "",
            Self::Kea => "/usr/sbin/kea-dhcp4",
            Self::Isc => "/usr/sbin/dhcpd",
            Self::Dnsmasq => "/usr/sbin/dnsmasq",
        }
    }

    /// Why it can't be measured here, if it can't.
    pub(crate) fn missing(self) -> Option<String> {
        let program = self.installed();
        (!program.is_empty() && !Path::new(program).exists())
            .then(|| format!("{} is not installed (no {program}): left out", self.name()))
    }

    /// Starts it with a pool of so many addresses, and waits until it answers.
    ///
    /// The last client of the load is the one that finds out, and keeps its lease.
    pub(crate) fn start<'a>(self, lan: &'a Lan, load: &Load<'_>, addresses: u32) -> Result<Running<'a>> {
        if self == Self::Xdhcpd {
            return Ok(Running::Xdhcpd(site::serve(lan, addresses)?));
        }
        let place = SubjectSetup { lan, dir: lan.world.dir().join(self.name().replace(' ', "-")), addresses };
        std::fs::create_dir_all(&place.dir)?;
        if load.crowd().way.relay.is_some() {
            // Those that answer through the host's stack would ask for the relay's hardware address first.
            site::introduce_relay(lan)?;
        }
        // Frames sent by a program arrive only where there is one.
        let pass = Pass::attach(&lan.server, SERVER_IF)?;
        let mut process = match self {
            Self::Kea => kea::start(&place)?,
            Self::Isc => isc::start(&place)?,
            Self::Dnsmasq => dnsmasq::start(&place)?,
            Self::Xdhcpd | Self::Elsewhere => bail!("started already"),
        };
        wait_until_it_answers(self, load, &mut process)?;
        process.hush();
        Ok(Running::Other { process, _pass: pass, _awake: awake() })
    }
}

/// Keeps the CPUs from sleeping while the file is open, as xdhcpd has it under load: no other server does that by itself,
/// but its operator may. `None`: this kernel takes no such request, from xdhcpd neither.
pub(crate) fn awake() -> Option<File> {
    let mut file = OpenOptions::new().write(true).open("/dev/cpu_dma_latency").ok()?;
    file.write_all(&0_i32.to_ne_bytes()).ok()?;
    Some(file)
}

/// What was found, or a remark on why it could not be: others may fail without taking the report with them. A wrong reply of
/// anybody's is an error all the same.
pub(crate) fn forgiving<T>(subject: Subject, section: &mut Section, found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is::<WrongReplies>() => Err(error),
        Err(error) if !Subject::PEERS.contains(&subject) && !error.is::<Unable>() => Err(error),
        Err(error) => {
            section.remark(format!("{} left out: {error:#}", subject.name()));
            Ok(None)
        }
    }
}

impl Running<'_> {
    /// Fails if the server has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        let (running, log) = match self {
            Self::Xdhcpd(server) => (server.is_running()?, server.log()),
            Self::Other { process, .. } => (process.is_running()?, process.log()),
            Self::Elsewhere => return Ok(()),
        };
        if running { Ok(()) } else { bail!("the server ended under load:\n{log}") }
    }
}

/// Where another server runs.
pub(crate) struct SubjectSetup<'a> {
    lan: &'a Lan,
    dir: PathBuf,
    addresses: u32,
}

impl SubjectSetup<'_> {
    /// Starts a copy of an installed program: profiles of Debian's confine the original to the system's directories.
    fn start(&self, program: &str, arguments: &[&str]) -> Result<Process> {
        let name = Path::new(program).file_name().context("a program without a name")?;
        let copy = self.dir.join(name);
        std::fs::copy(program, &copy).with_context(|| format!("cannot copy {program}"))?;
        let mut command = self.lan.server.command(&copy.display().to_string());
        command.args(arguments).current_dir(&self.dir);
        command.envs(["KEA_PIDFILE_DIR", "KEA_LOCKFILE_DIR"].map(|name| (name, &self.dir)));
        Process::start(&name.to_string_lossy(), command, &self.dir.join("log"))
    }

    fn write(&self, name: &str, content: &str) -> Result<String> {
        let path = self.dir.join(name);
        std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path.display().to_string())
    }

    fn last_address(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(site::FIRST) + self.addresses - 1)
    }
}

/// When a server that starts is asked again.
const AGAIN: Duration = Duration::from_millis(100);

fn wait_until_it_answers(subject: Subject, load: &Load<'_>, process: &mut Process) -> Result<()> {
    let last = load.crowd().clients - 1;
    let before = load.counts().of(Count::Bound);
    let mut asked: Option<Instant> = None;
    until(&format!("{} to answer", subject.name()), PROMPT, || {
        if !process.is_running()? {
            bail!("{} ended at once:\n{}", subject.name(), process.log());
        }
        if load.counts().of(Count::Bound) > before {
            return Ok(Some(()));
        }
        if asked.is_none_or(|asked| asked.elapsed() > AGAIN) {
            load.ask(Lane::Discover, last..last + 1)?;
            asked = Some(Instant::now());
        }
        Ok(None)
    })
}
