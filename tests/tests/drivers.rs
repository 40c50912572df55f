//! Real drivers of emulated NICs, two and two on one wire: each answers renewals by the way that `xdp` chooses.
//!
//! `cargo xtask test kernel` boots the kernels and has the NICs. A pair's hardware addresses are `52:54:00:PAIR:00:SIDE`, with
//! the server at side 1. A line that begins with `driver: ` is a row of the table that it prints.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use system_tests::client::{Client, Lease, ServerAddress};
use system_tests::namespace::Namespace;
use system_tests::packet::{PacketSocket, Sees};
use system_tests::paths::SERVER;
use system_tests::process;
use system_tests::program::attached;
use system_tests::server::{Home, Launch, Server, Xdp};
use system_tests::topology::{CLIENT_IF, SERVER_IF};
use system_tests::wait::{PROMPT, deadline, until};
use system_tests::wire::{Mac, Tag};
use system_tests::world::World;

const SUBNETS: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.250"]
lease-time = "1h"

[[subnet]]
prefix = "10.5.0.0/24"
vlan = 5
server-id = "10.5.0.1"
pools = ["10.5.0.10 - 10.5.0.250"]
lease-time = "1h"
"#;

/// The server's address in the VLAN.
const IN_VLAN: Ipv4Addr = Ipv4Addr::new(10, 5, 0, 1);
/// Clients without a tag: several, so that they meet several queues.
const PLAIN: u8 = 4;
/// All clients; the others are in the VLAN.
const CLIENTS: u8 = 6;
/// How often each client renews at a time.
const RENEWALS: u64 = 4;
/// Ordinary and jumbo frames.
const MTUS: [usize; 2] = [1500, 9000];
/// An interface for the VLAN, where the card drops what is for others.
const VLAN_IF: &str = "srv0.5";
/// What the daemon says where a card can't be told to pass on what is tagged.
const FILTERS: &str = "add a VLAN interface for each VLAN";
/// A protocol that nobody speaks (IEEE 802, local experiments).
const NOBODYS: [u8; 2] = [0x88, 0xb5];

/// Drivers that are given the program, the first kernel in which they take it, and the longest frames with which they do.
const NATIVE: [(&str, [u32; 2], usize); 2] = [("virtio_net", [4, 10], 1500), ("igb", [5, 10], 1500)];
/// A driver that takes the program from Linux 6.6 on, and is not given it unless it is asked for.
const FORGETFUL: &str = "vmxnet3";

/// Two NICs of one kind on one wire.
struct Pair {
    driver: String,
    queues: usize,
    server: String,
    clients: String,
    mac: Mac,
}

/// Two namespaces with a NIC each.
struct Wire {
    server: Namespace,
    clients: Namespace,
    mac: Mac,
}

/// What was seen of an interface that was served.
struct Seen {
    way: String,
    why: Option<String>,
    filters: bool,
    passes: bool,
    verified: u32,
}

/// Pins that are gone with it, and with them what is attached, however a row has ended.
struct Pins(PathBuf);

impl Drop for Pins {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn virtio_net() -> Result<()> {
    each_pair_of("virtio_net")
}

#[test]
fn vmxnet3() -> Result<()> {
    each_pair_of("vmxnet3")
}

#[test]
fn e1000e() -> Result<()> {
    each_pair_of("e1000e")
}

#[test]
fn igb() -> Result<()> {
    each_pair_of("igb")
}

fn each_pair_of(driver: &str) -> Result<()> {
    let pairs: Vec<_> = pairs()?.into_iter().filter(|pair| pair.driver == driver).collect();
    ensure!(!pairs.is_empty(), "there are no NICs of {driver} here: run this as `cargo xtask test kernel`");
    let release = process::run(Command::new("uname").arg("-r"))?;
    let release = release.trim();
    let mut wrong = Vec::new();
    for pair in &pairs {
        let world = World::new("drivers")?;
        let wire = Wire::of(pair)?;
        for mtu in MTUS {
            let row = format!("{release} | {driver} | {} | {mtu}", pair.queues);
            match wire.serve(&world, driver, mtu, way(driver, release, mtu)?) {
                Ok(seen) => tell(&format!("{row} | {seen}"))?,
                Err(error) => {
                    tell(&format!("{row} | WRONG | {} |", one_line(&format!("{error:#}"))))?;
                    println!("{}", wire.counted()?);
                    wrong.push(format!("{row}: {error:#}"));
                }
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Prints a row of the table, past the test runner, which keeps what is printed of tests that pass. It has begun a line.
fn tell(row: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "\ndriver: {row}")?)
}

/// How `auto` is to attach.
fn way(driver: &str, release: &str, mtu: usize) -> Result<&'static str> {
    let mut numbers = release.split(['.', '-']).map(str::parse);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        bail!("a kernel of no version: {release}")
    };
    let takes = |(name, since, longest): &(&str, [u32; 2], usize)| {
        *name == driver && [major, minor] >= *since && mtu <= *longest
    };
    Ok(if NATIVE.iter().any(takes) { "native" } else { "generic" })
}

/// The pairs of this machine, by their hardware addresses. Those of a test before may be on their way back, one end at a time.
fn pairs() -> Result<Vec<Pair>> {
    let mut sides: BTreeMap<u8, [Option<(String, Mac)>; 2]> = BTreeMap::new();
    for entry in fs::read_dir("/sys/class/net")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let text = fs::read_to_string(format!("/sys/class/net/{name}/address")).unwrap_or_default();
        let octets: Vec<u8> =
            text.trim().split(':').filter_map(|octet| u8::from_str_radix(octet, 16).ok()).collect();
        if let [0x52, 0x54, 0, pair, 0, side @ (1 | 2)] = octets[..] {
            let mac = [0x52, 0x54, 0, pair, 0, side];
            sides.entry(pair).or_default()[usize::from(side) - 1] = Some((name, mac));
        }
    }
    let pair = |ends: [Option<(String, Mac)>; 2]| {
        let [Some((server, mac)), Some((clients, _))] = ends else { return Ok(None) };
        let driver = fs::read_link(format!("/sys/class/net/{server}/device/driver"))?;
        let driver = driver.file_name().context("a driver without a name")?.to_string_lossy().into_owned();
        let mut queues = 0;
        for queue in fs::read_dir(format!("/sys/class/net/{server}/queues"))? {
            queues += usize::from(queue?.file_name().to_string_lossy().starts_with("rx"));
        }
        Ok(Some(Pair { driver, queues, server, clients, mac }))
    };
    sides.into_values().filter_map(|ends| pair(ends).transpose()).collect()
}

impl Wire {
    fn of(pair: &Pair) -> Result<Self> {
        let here = Namespace::here()?;
        let wire = Self { server: Namespace::new()?, clients: Namespace::new()?, mac: pair.mac };
        for (end, namespace, name) in
            [(&pair.server, &wire.server, SERVER_IF), (&pair.clients, &wire.clients, CLIENT_IF)]
        {
            here.ip(&format!("link set {end} down"))?;
            here.give(end, namespace)?;
            namespace.ip(&format!("link set {end} name {name}"))?;
        }
        wire.server.ip(&format!("address add {SERVER}/24 dev {SERVER_IF}"))?;
        // The daemon turns it off as well: long frames are tried without it, before there is a daemon and with one.
        let _ = process::output(wire.server.command("ethtool").args(["-K", SERVER_IF, "lro", "off"]));
        // What scripted clients write and read is what is on the wire.
        for offload in ["tx", "rxvlan", "txvlan", "gro", "lro"] {
            // Not every card has each, or lets go of it.
            let _ = process::output(wire.clients.command("ethtool").args(["-K", CLIENT_IF, offload, "off"]));
        }
        Ok(wire)
    }

    /// Has clients get and renew leases, on frames of this length, where the program is to be attached so.
    fn serve(&self, world: &World, driver: &str, mtu: usize, expected: &str) -> Result<Seen> {
        let seen = self.served_by_itself(world, mtu);
        let _ = self.server.ip(&format!("link del {VLAN_IF}"));
        let seen = seen?;
        ensure!(seen.way == expected, "attached {}, not {expected}: {:?}", seen.way, seen.why);
        if seen.way != "native" && driver != FORGETFUL {
            self.is_refused(world, mtu).context("`xdp = \"native\"`, where `auto` took the stack")?;
        }
        Ok(seen)
    }

    fn served_by_itself(&self, world: &World, mtu: usize) -> Result<Seen> {
        for (namespace, name) in [(&self.clients, CLIENT_IF), (&self.server, SERVER_IF)] {
            namespace.ip(&format!("link set {name} down"))?;
            namespace.ip(&format!("link set {name} mtu {mtu}"))?;
            self.up(namespace, name)?;
        }
        let socket = PacketSocket::open(&self.clients, CLIENT_IF, Sees::Arrivals)?;
        socket.overhear(&self.clients, CLIENT_IF)?;
        let passes = self.passes_whole(&socket, mtu)?;
        let (home, _pins) = self.home(world, &format!("{mtu}-auto"));
        let mut server = Server::start(home, Xdp::Auto, SUBNETS)?;
        let filters = self.filters()?;
        if filters {
            until("the daemon to say so", PROMPT, || Ok(server.log().contains(FILTERS).then_some(())))?;
            self.server.ip(&format!("link add link {SERVER_IF} name {VLAN_IF} type vlan id 5"))?;
            self.up(&self.server, VLAN_IF)?;
        }
        let clients: Vec<_> = (1..=CLIENTS).map(|number| self.client(&socket, number)).collect();
        let first = server.interface(SERVER_IF)?;
        let mut leases = Vec::new();
        for client in &clients {
            let lease = client.dora().with_context(|| format!("a new lease, tags {:?}", client.tags))?;
            leases.push((client, lease));
        }
        renewed(&server, &leases).context("at first")?;
        ensure!(!passes || self.passes_whole(&socket, mtu)?, "a long frame no longer comes through");

        self.server.ip(&format!("link set {SERVER_IF} down"))?;
        self.up(&self.server, SERVER_IF)?;
        if filters {
            self.up(&self.server, VLAN_IF)?;
        }
        until("the link to be known up", PROMPT, || {
            Ok((server.interface(SERVER_IF)?["link"] == "up").then_some(()))
        })?;
        renewed(&server, &leases).context("after the link was down")?;

        // Another program over the same maps, and again the first: an upgrade and a step back.
        for arguments in [&["--diagnose"][..], &[]] {
            let heard = server.stats()?.received("request")?;
            server.stop()?;
            for (client, lease) in &leases {
                client.renew(lease).context("a renewal while there is no daemon")?;
            }
            server.start_again_with(&Launch { arguments, ..Launch::default() })?;
            renewed(&server, &leases).with_context(|| format!("after a start with {arguments:?}"))?;
            let more = server.stats()?.received("request")?.saturating_sub(heard);
            ensure!(more == 0, "the daemon heard {more} renewals around a start with {arguments:?}");
        }

        let last = server.interface(SERVER_IF)?;
        ensure!(first["xdp"] == last["xdp"], "attached otherwise in the end: {last}");
        let status = server.json(&["status"])?;
        ensure!(status["trouble"].is_null(), "{status}");
        let audit = server.json(&["audit"])?;
        ensure!(audit["consistent"] == true, "{audit}");
        let text = |key: &str| first[key].as_str().map(str::to_owned);
        let program = attached(&self.server, SERVER_IF)?;
        let verified =
            program.verified_instruction_count().context("the kernel does not say what it verified")?;
        server.stop()?;
        server.detach()?;
        Ok(Seen {
            way: text("xdp").context("no way is shown")?,
            why: text("xdp-why"),
            filters,
            passes,
            verified,
        })
    }

    fn client<'a>(&self, socket: &'a PacketSocket, number: u8) -> Client<'a> {
        let (ip, tags) =
            if number > PLAIN { (IN_VLAN, vec![Tag::customer(5)]) } else { (SERVER, Vec::new()) };
        let server = ServerAddress { mac: self.mac, ip };
        Client { tags, ..Client::new(socket, [0x02, 0xc1, 0, 0, 0, number], server) }
    }

    /// The driver itself takes no program, and the daemon says what to do instead.
    fn is_refused(&self, world: &World, mtu: usize) -> Result<()> {
        let (home, _pins) = self.home(world, &format!("{mtu}-native"));
        match Server::start(home, Xdp::Native, SUBNETS) {
            Ok(_) => bail!("the driver takes the program"),
            Err(error) => {
                let said = format!("{error:#}");
                ensure!(said.contains("no native XDP here"), "{said}");
                Ok(())
            }
        }
    }

    /// Whether a frame as long as they get, of no concern to the program, comes through whole.
    fn passes_whole(&self, from: &PacketSocket, mtu: usize) -> Result<bool> {
        let to = PacketSocket::open(&self.server, SERVER_IF, Sees::Arrivals)?;
        let frame = |len: usize| -> Vec<u8> {
            let payload = (0..len).map(|at| u8::try_from(at % 251).unwrap_or(0));
            let sender = [0x02, 0xc1, 0, 0, 0, 1];
            self.mac.into_iter().chain(sender).chain(NOBODYS).chain(payload).collect()
        };
        let (long, short) = (frame(mtu), frame(100));
        // What comes after it has come by when it can't come any more.
        from.send(&long)?;
        from.send(&short)?;
        let (mut passes, deadline) = (false, deadline(PROMPT));
        while let Some(came) = to.receive(deadline)? {
            passes |= came == long;
            if came == short {
                return Ok(passes);
            }
        }
        bail!("no frame comes through at all")
    }

    /// Whether the card keeps to itself what is for VLANs of which the host has no interface.
    fn filters(&self) -> Result<bool> {
        let features = process::run(self.server.command("ethtool").args(["-k", SERVER_IF]))?;
        Ok(features.lines().any(|line| line.trim_start().starts_with("rx-vlan-filter: on [fixed]")))
    }

    /// What the drivers have counted, and the kernel.
    fn counted(&self) -> Result<String> {
        let mut counted = String::new();
        for (namespace, name) in [(&self.server, SERVER_IF), (&self.clients, CLIENT_IF)] {
            counted += &namespace.ip(&format!("-statistics link show {name}"))?;
            let statistics = process::run(namespace.command("ethtool").args(["-S", name]))?;
            counted.extend(
                statistics.lines().filter(|line| !line.ends_with(": 0")).flat_map(|line| [line, "\n"]),
            );
        }
        Ok(counted)
    }

    fn home(&self, world: &World, place: &str) -> (Home<'_>, Pins) {
        let pins = world.bpf().join(place);
        (Home::at(&self.server, world.dir().join(place), pins.clone()), Pins(pins))
    }

    fn up(&self, namespace: &Namespace, name: &str) -> Result<()> {
        namespace.ip(&format!("link set {name} up"))?;
        until(&format!("{name} to come up"), PROMPT, || {
            Ok(namespace.ip(&format!("link show {name}"))?.contains(",LOWER_UP").then_some(()))
        })
    }
}

/// Every client renews; each time it is the kernel that answers.
fn renewed(server: &Server<'_>, leases: &[(&Client<'_>, Lease)]) -> Result<()> {
    let before = server.stats()?.kernel_acked("renewing")?;
    for (client, lease) in leases {
        for number in 1..=RENEWALS {
            client.renew(lease).with_context(|| format!("renewal {number} of {}", lease.address))?;
        }
    }
    let answered = server.stats()?.kernel_acked("renewing")? - before;
    let asked = RENEWALS * u64::try_from(leases.len())?;
    ensure!(answered == asked, "{answered} of {asked} renewals were answered in the kernel");
    Ok(())
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let filters = self.filters.then(|| "its VLAN filter can't be turned off".to_owned());
        let passes = (!self.passes)
            .then(|| "frames so long don't come through, without LRO and without the program".to_owned());
        let remarks: Vec<_> =
            [self.why.as_deref().map(one_line), filters, passes].into_iter().flatten().collect();
        let remarks = remarks.join("; ");
        write!(f, "{} | {remarks} | {}", self.way, self.verified)
    }
}

/// A cell of a table.
fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().replace('|', "/")
}
