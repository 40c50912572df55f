//! A NIC of this machine, cabled to a machine on which a DHCP server runs that somebody else has started.
//!
//! ```text
//!   this machine                                  the other one
//!   ┌──────────────────────────────┐              ┌──────────────────┐
//!   │ the generator             IF │════ cable ═══│ IF      a server │
//!   │ (load): receive, renew, …    │              │                  │
//!   └──────────────────────────────┘              └──────────────────┘
//! ```
//!
//! What is changed of the interface, its XDP program and that it takes frames to any hardware address, is held by
//! descriptors: the kernel takes it back when this process ends, however it ends.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use serde_json::Value;

use crate::answer::Answer;
use crate::client::{Client, ServerAddress};
use crate::load::{ClientEnd, Crowd, Drops, Sorts, Way};
use crate::namespace::{Namespace, spelled};
use crate::packet::{PacketSocket, Sees};
use crate::pass::Pass;
use crate::process::run;
use crate::wait::{PROMPT, deadline, until};
use crate::wire::{BROADCAST, Kind, Mac, Tag};

/// The client that asks who serves.
const SCOUT: Mac = [0x02, 0xc1, 0, 0, 0, 1];
/// When it asks again.
const AGAIN: Duration = Duration::from_secs(1);
/// The shortest prefix of which every address can be kept account of.
const WIDEST: u32 = 8;

/// The NIC, and what was learnt of the server behind it.
#[derive(Debug)]
pub struct Nic {
    /// What else the machine uses the interface for, in a sentence each.
    pub concerns: Vec<String>,
    namespace: Namespace,
    name: String,
    pass: Pass,
    queues: usize,
    server: ServerAddress,
    net: Net,
    /// As long as it is open, frames to all clients are let in.
    _overhears: PacketSocket,
}

/// Addresses from the first to the last of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Net {
    first: Ipv4Addr,
    addresses: u32,
}

impl<'a> From<&'a Nic> for ClientEnd<'a> {
    fn from(nic: &'a Nic) -> Self {
        Self {
            namespace: &nic.namespace,
            interface: &nic.name,
            pass: &nic.pass,
            queues: nic.queues,
            server: nic.server,
            drops: Drops::Traced,
        }
    }
}

impl Nic {
    /// Takes an interface of the caller's network namespace, and asks on it, in frames with these tags, who serves.
    ///
    /// The calling thread, and those it starts, keep from now on to CPUs that have a queue of the interface: many drivers
    /// drop what a program sends on another.
    ///
    /// # Errors
    /// When the interface can't be used, or nobody answers: each says why in a sentence.
    pub fn open(name: &str, tags: &[Tag]) -> Result<Self> {
        let namespace = Namespace::here()?;
        let found = look(&namespace, name)?;
        let program = &found["xdp"]["prog"]["id"];
        ensure!(
            found.get("xdp").is_none(),
            "{name} has an XDP program already ({program}): end what attached it, or `ip link set {name} xdp off`"
        );
        ensure!(
            is_up(&found),
            "{name} is down or has no carrier: `ip link set {name} up`, and look at the cable"
        );
        let queues = queues(&namespace, name);
        keep_to(queues).with_context(|| format!("no CPU may be used that has a queue of {name}"))?;
        let pass = Pass::attach(&namespace, name).with_context(|| {
            format!("the driver of {name} does not take an XDP program (native mode is needed; jumbo frames and LRO may be in its way)")
        })?;
        // Many drivers set their rings up anew for a program, and the link goes down for it.
        until(&format!("the carrier of {name} to come back"), PROMPT, || {
            Ok(is_up(&look(&namespace, name)?).then_some(()))
        })?;
        let socket = PacketSocket::open(&namespace, name, Sees::Arrivals)?;
        socket.overhear(&namespace, name)?;
        let (server, net) = scout(&socket, tags).with_context(|| format!("on {name}"))?;
        let concerns = concerns(&namespace, name)?;
        let name = name.to_owned();
        Ok(Self { concerns, namespace, name, pass, queues, server, net, _overhears: socket })
    }

    /// So many clients, which accept any address of the net that the server has offered one of.
    #[must_use]
    pub fn crowd(&self, clients: u32, way: Way) -> Crowd {
        Crowd {
            clients,
            first_address: self.net.first,
            addresses: self.net.addresses,
            way,
            sorts: Sorts::Alike,
        }
    }

    /// The interface, and the server behind it.
    #[must_use]
    pub fn in_words(&self) -> String {
        let said =
            |arguments: &[&str]| run(self.namespace.command("ethtool").args(arguments).arg(&self.name));
        let driver = said(&["-i"]).ok().and_then(|text| field(&text, "driver"));
        let speed = said(&[]).ok().and_then(|text| field(&text, "Speed"));
        format!(
            "{} ({}, {}), native XDP, {} queues, to a server on another machine: {} at {}",
            self.name,
            driver.as_deref().unwrap_or("driver unknown"),
            speed.as_deref().unwrap_or("speed unknown"),
            self.queues,
            self.server.ip,
            spelled(self.server.mac)
        )
    }
}

/// What `ip` says of an interface.
fn look(namespace: &Namespace, name: &str) -> Result<Value> {
    let said = run(namespace.command("ip").args(["-json", "-details", "link", "show", "dev", name]))
        .map_err(|error| {
            error.context(format!("there is no interface {name} here (`ip link` lists them)"))
        })?;
    let mut said: Value = serde_json::from_str(&said).context("`ip -json` prints something else")?;
    Ok(said[0].take())
}

fn is_up(interface: &Value) -> bool {
    interface["flags"].as_array().is_some_and(|flags| flags.iter().any(|flag| flag == "LOWER_UP"))
}

/// Why an operator might not want it flooded.
fn concerns(namespace: &Namespace, name: &str) -> Result<Vec<String>> {
    let list = |arguments: &str| -> Result<Vec<Value>> {
        serde_json::from_str(&namespace.ip(arguments)?).context("`ip -json` prints something else")
    };
    let mut found = Vec::new();
    if !list(&format!("-json route show default dev {name}"))?.is_empty() {
        found
            .push(format!("The machine's default route goes over {name}: all that is behind it is flooded."));
    }
    let addresses = list(&format!("-json -4 address show dev {name}"))?;
    if let Some(address) = addresses.iter().find_map(|entry| entry["addr_info"][0]["local"].as_str()) {
        found.push(format!(
            "The machine has an address on {name}, {address}: what it does there meets the load."
        ));
    }
    Ok(found)
}

/// How many queues frames come in by. A driver that can't tell has one.
fn queues(namespace: &Namespace, name: &str) -> usize {
    let said = run(namespace.command("ethtool").args(["-l", name])).unwrap_or_default();
    let now = said.split_once("Current hardware settings:").map_or("", |(_, now)| now);
    let count = |kind| field(now, kind).and_then(|count| count.parse::<usize>().ok()).unwrap_or(0);
    (count("RX") + count("Combined")).max(1)
}

/// A field of what `ethtool` prints.
fn field(text: &str, name: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'))?.trim();
    Some(value.to_owned())
}

/// Keeps the calling thread, and those it starts, to the first CPUs.
fn keep_to(cpus: usize) -> Result<()> {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this)?;
    let mut kept = CpuSet::new();
    for cpu in (0..cpus.min(CpuSet::count())).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false)) {
        kept.set(cpu)?;
    }
    Ok(sched_setaffinity(this, &kept)?)
}

/// Asks who serves, until somebody offers an address; it is not taken.
fn scout(socket: &PacketSocket, tags: &[Tag]) -> Result<(ServerAddress, Net)> {
    let nobody = ServerAddress { mac: BROADCAST, ip: Ipv4Addr::UNSPECIFIED };
    let client = Client { tags: tags.to_vec(), ..Client::new(socket, SCOUT, nobody) };
    let deadline = deadline(PROMPT);
    while Instant::now() < deadline {
        let asked = client.discovering();
        client.send(&asked)?;
        let again = Instant::now() + AGAIN;
        while let Some(frame) = socket.receive(again)? {
            let Some(answer) = Answer::decode_neighbours(&frame).context("a DHCP server's frame is wrong")?
            else {
                continue;
            };
            if answer.kind == Kind::Offer && answer.message.xid == asked.message.xid {
                let server = ServerAddress { mac: answer.envelope.eth_src, ip: answer.address_option(54)? };
                return Ok((server, Net::around(answer.message.yiaddr, answer.number_option(1)?)?));
            }
        }
    }
    bail!(
        "no DHCP server answers a DISCOVER within {PROMPT:?}: is one serving at the other end, with free addresses, and \
         are its VLANs as asked (--qinq)?"
    )
}

impl Net {
    /// The net that an address is in.
    fn around(address: Ipv4Addr, mask: u32) -> Result<Self> {
        let len = mask.leading_ones();
        ensure!(mask.count_ones() == len, "the server's subnet mask is none: {}", Ipv4Addr::from(mask));
        ensure!(
            len >= WIDEST,
            "the server's subnet is a /{len}: no more than a /{WIDEST} can be kept account of"
        );
        let addresses = 1_u32.checked_shl(u32::BITS - len).unwrap_or(1);
        Ok(Self { first: Ipv4Addr::from(u32::from(address) & mask), addresses })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_net_is_known_by_one_of_its_addresses() {
        let around = |address: [u8; 4], len: u32| {
            Net::around(address.into(), u32::MAX.checked_shl(32 - len).unwrap_or(0))
        };
        let net = around([10, 0, 1, 7], 8).expect("as wide as can be");
        assert_eq!(net, Net { first: Ipv4Addr::new(10, 0, 0, 0), addresses: 1 << 24 });
        let net = around([192, 0, 2, 130], 25).expect("narrow");
        assert_eq!(net, Net { first: Ipv4Addr::new(192, 0, 2, 128), addresses: 128 });
        assert_eq!(around([192, 0, 2, 1], 32).expect("one address").addresses, 1);
        assert!(around([10, 0, 0, 1], 7).is_err());
        assert!(Net::around(Ipv4Addr::new(10, 0, 0, 1), 0xff00_ff00).is_err());
    }

    #[test]
    fn a_field_of_what_ethtool_prints_is_found() {
        let text = "Current hardware settings:\nRX:\t\t2\nTX:\t\t2\nOther:\t\tn/a\nCombined:\tn/a\n";
        assert_eq!(field(text, "RX").as_deref(), Some("2"));
        assert_eq!(field(text, "Combined").as_deref(), Some("n/a"));
        assert_eq!(field(text, "Speed"), None);
    }
}
