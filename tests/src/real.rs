//! Real DHCP clients: dhclient, udhcpc and dhcpcd, each configured to keep its files in a given place and to call our
//! script.
//!
//! The script writes a line per event to a file, sets the address, and touches nothing else.

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::packet::PacketSocket;
use crate::process::{Process, run};
use crate::topology::{CLIENT_IF, Lan};
use crate::wait::until;
use crate::wire::read_request;

/// A DHCP client as Debian packages it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// ISC's, from `isc-dhcp-client`.
    Dhclient,
    /// Busybox's, from `udhcpc`.
    Udhcpc,
    /// Roy Marples', from `dhcpcd-base`.
    Dhcpcd,
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Dhclient, Self::Udhcpc, Self::Dhcpcd];

    /// Its file name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dhclient => "dhclient",
            Self::Udhcpc => "udhcpc",
            Self::Dhcpcd => "dhcpcd",
        }
    }

    /// Whether it asks for its old address by INIT-REBOOT when it starts; the others begin with a DISCOVER.
    #[must_use]
    pub fn reboots(self) -> bool {
        self != Self::Udhcpc
    }
}

/// What a client told its script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The client's own word for it.
    pub reason: String,
    /// The address it has now, if any.
    pub address: Option<Ipv4Addr>,
}

/// One run of a real client after another, on the client side of a link.
#[derive(Debug)]
pub struct RealClient<'a> {
    lan: &'a Lan,
    program: Program,
    script: PathBuf,
    events: PathBuf,
    seen: usize,
    process: Option<Process>,
}

impl<'a> RealClient<'a> {
    /// A client that has never run.
    ///
    /// # Errors
    /// When its files cannot be written.
    pub fn new(lan: &'a Lan, program: Program) -> Result<Self> {
        let events = lan.world.write("events", "")?;
        let script = lan.world.write("script", &script(program, &events.display().to_string()))?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        lan.world.write("dhclient.conf", DHCLIENT_CONF)?;
        lan.world.write("dhclient.leases", "")?;
        lan.world.write("dhcpcd.conf", DHCPCD_CONF)?;
        // dhcpcd drops its privileges and still has to run the script and to write here.
        fs::set_permissions(lan.world.dir(), fs::Permissions::from_mode(0o755))?;
        Ok(Self { lan, program, script, events, seen: 0, process: None })
    }

    /// Starts the client, with what it remembers from its last run.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&mut self) -> Result<()> {
        let mut command = self.command();
        match self.program {
            Program::Dhclient => command.args(["-d", "-1"]).arg(CLIENT_IF),
            Program::Udhcpc => {
                command.args(["-f", "-n", "-t", "10", "-T", "1", "-i", CLIENT_IF]).args(self.remembered())
            }
            Program::Dhcpcd => command.args(["-B", "-d"]).arg(CLIENT_IF),
        };
        let log = self.lan.world.dir().join("client.log");
        self.process = Some(Process::start(self.program.name(), command, &log)?);
        Ok(())
    }

    /// The program with the options that keep it away from the host's files.
    fn command(&self) -> Command {
        let dir = self.lan.world.dir();
        let mut command = self.lan.clients.command(self.program.name());
        match self.program {
            Program::Dhclient => command
                .args(["-4", "-v", "-sf"])
                .arg(&self.script)
                .arg("-cf")
                .arg(dir.join("dhclient.conf"))
                .arg("-lf")
                .arg(dir.join("dhclient.leases"))
                .arg("-pf")
                .arg(dir.join("dhclient.pid")),
            Program::Udhcpc => command.arg("-s").arg(&self.script).arg("-p").arg(dir.join("udhcpc.pid")),
            Program::Dhcpcd => {
                command.args(["-4", "-f"]).arg(dir.join("dhcpcd.conf")).arg("-c").arg(&self.script)
            }
        };
        command
    }

    /// udhcpc keeps no lease file: whoever starts it tells it the address it had.
    fn remembered(&self) -> Vec<String> {
        let last = self.events().ok().and_then(|events| events.iter().rev().find_map(|event| event.address));
        last.map(|address| vec!["-r".to_owned(), address.to_string()]).unwrap_or_default()
    }

    /// Waits for the next event that is one of `reasons` and returns the address it came with.
    ///
    /// # Errors
    /// When it does not come in time, or without an address.
    pub fn expect(&mut self, reasons: &[&str], within: Duration) -> Result<Ipv4Addr> {
        let what = format!("{} to report one of {reasons:?}", self.program.name());
        let event = until(&what, within, || self.next(reasons))
            .with_context(|| format!("it reported {:?}", self.events().unwrap_or_default()))?;
        event.address.with_context(|| format!("{event:?} came without an address"))
    }

    /// Waits until the client has broadcast a REQUEST for the address it holds.
    ///
    /// `wire` must have been opened before the client was told to.
    ///
    /// # Errors
    /// When it does not do so in time.
    pub fn expect_broadcast(&self, wire: &PacketSocket, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        while let Some(frame) = wire.receive(deadline)? {
            if let Some((envelope, message)) = read_request(&frame)?
                && envelope.ip_dst == Ipv4Addr::BROADCAST
                && !message.ciaddr.is_unspecified()
            {
                return Ok(());
            }
        }
        bail!("{} did not broadcast within {within:?}", self.program.name())
    }

    fn next(&mut self, reasons: &[&str]) -> Result<Option<Event>> {
        let events = self.events()?;
        let found = events
            .iter()
            .enumerate()
            .skip(self.seen)
            .find(|(_, event)| reasons.contains(&event.reason.as_str()));
        Ok(found.map(|(at, event)| {
            self.seen = at + 1;
            event.clone()
        }))
    }

    /// Everything reported so far.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn events(&self) -> Result<Vec<Event>> {
        let text = fs::read_to_string(&self.events)?;
        // A line without its end is still being written.
        Ok(text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(parse).collect())
    }

    /// The events by which this program reports a new lease.
    #[must_use]
    pub fn bound(&self) -> &'static [&'static str] {
        match self.program {
            Program::Dhclient => &["BOUND"],
            Program::Udhcpc => &["bound"],
            Program::Dhcpcd => &["BOUND"],
        }
    }

    /// Asks the client to renew now, if it can be asked; otherwise T1 will make it.
    ///
    /// # Errors
    /// When it does not take the order.
    pub fn renew(&self) -> Result<()> {
        match self.program {
            Program::Dhclient => Ok(()),
            Program::Udhcpc => self.running()?.signal(Signal::SIGUSR1),
            Program::Dhcpcd => run(self.command().args(["-N", CLIENT_IF])).map(drop),
        }
    }

    /// The events by which this program reports that its lease was renewed.
    #[must_use]
    pub fn renewed(&self) -> &'static [&'static str] {
        match self.program {
            Program::Dhclient => &["RENEW"],
            Program::Udhcpc => &["renew"],
            Program::Dhcpcd => &["RENEW"],
        }
    }

    /// Asks the client to go on to REBINDING, if it can be asked; otherwise its timers will make it.
    ///
    /// udhcpc does so after three unicasts that nobody answered.
    ///
    /// # Errors
    /// When it does not take the order.
    pub fn rebind(&self) -> Result<()> {
        match self.program {
            Program::Dhclient | Program::Udhcpc => self.renew(),
            Program::Dhcpcd => run(self.command().args(["-n", CLIENT_IF])).map(drop),
        }
    }

    /// The events by which this program may report that its lease was extended by a broadcast.
    ///
    /// Only the wire shows for certain that it was one: see [`RealClient::expect_broadcast`].
    #[must_use]
    pub fn rebound(&self) -> &'static [&'static str] {
        match self.program {
            // dhclient broadcasts once T2 is over, but its script hears the same word all the same.
            Program::Dhclient => &["RENEW", "REBIND"],
            Program::Udhcpc => &["renew", "bound"],
            Program::Dhcpcd => &["REBIND"],
        }
    }

    /// The events by which this program reports that it has its old address again after a start.
    #[must_use]
    pub fn rebooted(&self) -> &'static [&'static str] {
        match self.program {
            Program::Dhclient => &["REBOOT"],
            Program::Udhcpc => &["bound"],
            Program::Dhcpcd => &["REBOOT"],
        }
    }

    /// Ends the client without a word to the server, as pulling the plug would; its lease file stays.
    ///
    /// dhcpcd has a process for each thing it does, and they would survive the one that was started here.
    ///
    /// # Errors
    /// When it is not running.
    pub fn unplug(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the client is not running")?;
        self.lan.clients.evacuate()?;
        process.kill()
    }

    /// Makes the client give its lease back.
    ///
    /// # Errors
    /// When it does not take the order.
    pub fn release(&mut self) -> Result<()> {
        match self.program {
            Program::Dhclient => run(self.command().args(["-r", CLIENT_IF])).map(drop),
            Program::Udhcpc => self.running()?.signal(Signal::SIGUSR2),
            Program::Dhcpcd => run(self.command().args(["-k", CLIENT_IF])).map(drop),
        }
    }

    fn running(&self) -> Result<&Process> {
        match &self.process {
            Some(process) => Ok(process),
            None => bail!("{} is not running", self.program.name()),
        }
    }
}

const DHCLIENT_CONF: &str = "\
timeout 30;
retry 1;
reboot 5;
backoff-cutoff 2;
initial-interval 1;
send host-name \"plain\";
request subnet-mask, broadcast-address, routers, domain-name, domain-name-servers, host-name;
";

/// No duplicate address detection: it would make each lease five seconds slow.
const DHCPCD_CONF: &str = "\
noarp
noipv4ll
noipv6
nohook resolv.conf, hostname, ntp.conf
option subnet_mask, routers, domain_name_servers, domain_name
";

fn script(program: Program, events: &str) -> String {
    let (reason, address, set) = match program {
        Program::Dhclient => (
            "$reason",
            "$new_ip_address",
            r#"case "$reason" in
PREINIT) ip link set "$interface" up ;;
BOUND|RENEW|REBIND|REBOOT) ip address replace "$new_ip_address/24" dev "$interface" ;;
EXPIRE|FAIL|STOP|RELEASE) ip address flush dev "$interface" ;;
esac"#,
        ),
        Program::Udhcpc => (
            "$1",
            "$ip",
            r#"case "$1" in
bound|renew) ip address replace "$ip/24" dev "$interface" ;;
deconfig) ip address flush dev "$interface" ;;
esac"#,
        ),
        Program::Dhcpcd => ("$reason", "$new_ip_address", ""),
    };
    format!("#!/bin/sh\n{set}\necho \"{reason} {address}\" >> {events}\n")
}

fn parse(line: &str) -> Event {
    let mut words = line.split_whitespace();
    let reason = words.next().unwrap_or_default().to_owned();
    Event { reason, address: words.next().and_then(|word| word.parse().ok()) }
}
