//! Where the server is measured: two namespaces on a veth pair with a queue per CPU, and a pool of any size.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use system_tests::load::{Count, Crowd, Lane, Load, Sorts, Way};
use system_tests::namespace::spelled;
use system_tests::process::run;
use system_tests::server::{Home, Server, Xdp};
use system_tests::topology::{AGENT_MAC, Lan, SERVER_IF};

use crate::asking::RELAY;
use crate::elsewhere::{Clients, Elsewhere};
use crate::step;
use crate::subject::{Running, Subject};
use crate::unable::Unable;

/// The server's address in a net with room for millions.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// Bits of the net's prefix.
pub(crate) const PREFIX: u8 = 8;
/// The first address of the pool.
pub(crate) const FIRST: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 0);

/// How long anything may take that is only done to measure something else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(900);
/// Clients under way at a time, where that is not what is measured: so few that no server loses any.
pub(crate) const WINDOW: u32 = 32;
/// The same where each address is probed first, which takes half a second.
pub(crate) const WHERE_PROBED: u32 = 4096;
/// The same for ours, with many.
const WIDE_WINDOW: u32 = 512;
/// How many are many.
const MANY: u32 = 20_000;

/// A place where a server is measured.
pub(crate) enum Site<'a> {
    /// A link that was made for it.
    Made(Box<Lan>),
    /// A NIC, and a server that runs already.
    Elsewhere(&'a Elsewhere),
}

impl Site<'_> {
    /// The generator. On a link that was made, a reflector is beside the server.
    ///
    /// # Errors
    /// [`Unable`] where there is not room for so many clients.
    pub(crate) fn load(&self, crowd: Crowd) -> Result<Clients<'_>> {
        match self {
            Self::Made(lan) => Ok(load(lan, crowd)?.into()),
            Self::Elsewhere(elsewhere) => elsewhere.load(crowd.clients),
        }
    }

    /// The server, with a pool of so many addresses where it is not there yet.
    pub(crate) fn start(&self, subject: Subject, load: &Load<'_>, addresses: u32) -> Result<Running<'_>> {
        match self {
            Self::Made(lan) => subject.start(lan, load, addresses),
            Self::Elsewhere(_) => Ok(Running::Elsewhere),
        }
    }

    /// Has the server know the clients' hardware addresses without asking for them, where that can be had.
    pub(crate) fn introduce(&self, load: &Load<'_>, leases: u32) -> Result<()> {
        match self {
            Self::Made(lan) => introduce(lan, load, leases),
            Self::Elsewhere(_) => Ok(()),
        }
    }
}

/// A link for so many CPUs as there are.
pub(crate) fn lan(name: &str) -> Result<Lan> {
    let cpus = std::thread::available_parallelism().context("cannot tell how many CPUs there are")?;
    Lan::with_queues(name, cpus.get(), SERVER, PREFIX)
}

/// Clients that reach the server directly, and are all alike; [`Bench::crowd`](crate::Bench::crowd) has them as they are.
pub(crate) fn crowd(clients: u32, addresses: u32) -> Crowd {
    Crowd { clients, first_address: FIRST, addresses, way: Way::default(), sorts: Sorts::Alike }
}

/// Lets a program in the kernel send a frame, as everything here does.
///
/// # Errors
/// [`Unable`] where that can't be done.
pub(crate) fn try_out() -> Result<()> {
    let sends = || -> Result<()> {
        let lan = lan("bench-trial")?;
        let load = load(&lan, crowd(1, 1))?;
        load.ask(Lane::Discover, 0..1)?;
        ensure!(load.counts().of(Count::Discovers) > 0, "the program that sends was not run");
        Ok(())
    };
    sends().map_err(|error| {
        Unable(format!(
            "nothing can be measured here (it takes root, Linux 5.18, and veth with native XDP): {error:#}"
        ))
        .into()
    })
}

/// The load for a link, with a reflector beside the server.
///
/// # Errors
/// [`Unable`] if there is not the memory for so many clients and leases.
pub(crate) fn load(lan: &Lan, crowd: Crowd) -> Result<Load<'_>> {
    enough_memory(crowd.clients.max(crowd.addresses), available_memory()?)?;
    let mut load = Load::new(lan, crowd)?;
    load.add_reflector(lan)?;
    Ok(load)
}

/// The server, with a pool of so many addresses.
pub(crate) fn serve(lan: &Lan, addresses: u32) -> Result<Server<'_>> {
    serve_as(lan, addresses, "")
}

/// As [`serve`], with more keys in the subnet.
pub(crate) fn serve_as<'a>(lan: &'a Lan, addresses: u32, keys: &str) -> Result<Server<'a>> {
    Server::start(Home::from(lan).under_load(), Xdp::Native, &subnet(addresses, keys))
}

/// Where [`serve_watched`] has the server tell its metrics, in its own namespace.
pub(crate) const METRICS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 19_067);

/// The server, which also tells what it measures.
pub(crate) fn serve_watched(lan: &Lan, addresses: u32) -> Result<Server<'_>> {
    let settings = format!("probe = \"off\"\nmetrics-listen = \"{METRICS}\"");
    Server::with_settings(Home::from(lan).under_load(), Xdp::Native, &settings, &subnet(addresses, ""))
}

/// The server at its default settings: each address is probed before it is offered.
pub(crate) fn serve_probing(lan: &Lan, addresses: u32) -> Result<Server<'_>> {
    let home = Home::from(lan).under_load();
    Server::with_settings(home, Xdp::Native, "probe = \"auto\"", &subnet(addresses, ""))
}

/// Lets the first `clients` get a lease each.
pub(crate) fn lease_all(load: &Load<'_>, clients: u32) -> Result<()> {
    step(&format!("{clients} clients get their leases"));
    let window = if clients >= MANY { WIDE_WINDOW } else { WINDOW };
    load.dora(0..clients, window, PATIENCE).map(drop)
}

/// Servers that answer through the host's stack would ask for the hardware address of each client first: they are told.
pub(crate) fn introduce(lan: &Lan, load: &Load<'_>, leases: u32) -> Result<()> {
    let mut batch = String::new();
    for client in 0..leases {
        let address = load.address_of(client).context("a client without a lease")?;
        let [a, b, c, d] = client.to_be_bytes();
        let _ = writeln!(
            batch,
            "neigh replace {address} lladdr 06:4c:{a:02x}:{b:02x}:{c:02x}:{d:02x} nud permanent dev {SERVER_IF}"
        );
    }
    let file = lan.world.write("neighbours", &batch)?;
    run(lan.server.command("ip").arg("-batch").arg(file)).map(drop)
}

/// Has the server's host know the relay's hardware address.
pub(crate) fn introduce_relay(lan: &Lan) -> Result<()> {
    let (relay, mac) = (RELAY, spelled(AGENT_MAC));
    lan.server.ip(&format!("neigh replace {relay} lladdr {mac} nud permanent dev {SERVER_IF}")).map(drop)
}

/// Kilobytes that can be had without swapping.
fn available_memory() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let free = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.split_whitespace().next());
    Ok(free.context("/proc/meminfo does not say what is available")?.parse()?)
}

/// A kilobyte for each lease: for server, clients and what the kernel needs for both.
fn enough_memory(leases: u32, kilobytes: u64) -> Result<()> {
    let wanted = u64::from(leases);
    ensure!(
        kilobytes > wanted,
        Unable(format!(
            "{leases} leases take {} MB of memory, {} MB are free",
            wanted / 1000,
            kilobytes / 1000
        ))
    );
    Ok(())
}

/// Memory for clients of a server elsewhere: two words for each, one for each address it may give, and some to spare.
///
/// # Errors
/// [`Unable`]
pub(crate) fn enough_memory_for_clients(crowd: &Crowd) -> Result<()> {
    let octets = 16 * u64::from(crowd.clients) + 8 * u64::from(crowd.addresses);
    let (wanted, free) = (octets / 1000 + 10_000, available_memory()?);
    ensure!(
        free > wanted,
        Unable(format!(
            "{} clients, and the server's net of {} addresses, take {} MB of memory, {} MB are free",
            crowd.clients,
            crowd.addresses,
            wanted / 1000,
            free / 1000
        ))
    );
    Ok(())
}

/// A time in seconds; not a number if there is none.
pub(crate) fn seconds(time: Option<Duration>) -> f64 {
    time.map_or(f64::NAN, |time| time.as_secs_f64())
}

/// The part of a configuration that serves a pool of so many addresses.
pub(crate) fn subnet(addresses: u32, keys: &str) -> String {
    let last = Ipv4Addr::from(u32::from(FIRST) + addresses - 1);
    format!(
        r#"
[[subnet]]
prefix = "10.0.0.0/8"
pools = ["{FIRST} - {last}"]
lease-time = "1h"
{keys}
options = {{ routers = ["10.0.0.1"], domain-name-servers = ["10.0.0.53"], domain-name = "example.org" }}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_leases_than_fit_into_memory_are_not_tried() {
        assert!(enough_memory(1_000_000, 1_000_001).is_ok());
        let refused = enough_memory(4_000_000, 2_000_000).expect_err("too little");
        assert!(refused.is::<Unable>());
        assert_eq!(refused.to_string(), "4000000 leases take 4000 MB of memory, 2000 MB are free");
    }
}
