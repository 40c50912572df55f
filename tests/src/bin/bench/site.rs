//! Where the server is measured: two namespaces on a veth pair with a queue per CPU, and a pool of any size.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result};
use system_tests::load::{Crowd, Load, Way};
use system_tests::process::run;
use system_tests::server::{Home, Server, Xdp};
use system_tests::topology::{Lan, SERVER_IF};

use crate::step;

/// The server's address in a net with room for millions.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// Bits of the net's prefix.
pub(crate) const PREFIX: u8 = 8;
/// The first address of the pool.
pub(crate) const FIRST: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 0);

/// How long anything may take that is only done to measure something else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(900);
/// Clients under way at a time, where that is not what is measured.
const WINDOW: u32 = 256;

/// A link for so many CPUs as there are.
pub(crate) fn lan(name: &str) -> Result<Lan> {
    let cpus = std::thread::available_parallelism().context("cannot tell how many CPUs there are")?;
    Lan::with_queues(name, cpus.get(), SERVER, PREFIX)
}

/// Clients that reach the server directly.
pub(crate) fn crowd(clients: u32, addresses: u32) -> Crowd {
    Crowd { clients, first_address: FIRST, addresses, way: Way::default() }
}

/// The load for a link, with a reflector beside the server.
pub(crate) fn load(lan: &Lan, crowd: Crowd) -> Result<Load<'_>> {
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

/// Lets the first `clients` get a lease each.
pub(crate) fn lease_all(load: &Load<'_>, clients: u32) -> Result<()> {
    step(&format!("{clients} clients get their leases"));
    load.dora(0..clients, WINDOW, PATIENCE).map(drop)
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

/// Whether a million octets are free for each thousand leases: for server, clients and what the kernel needs for both.
pub(crate) fn has_memory_for(leases: u32) -> Result<bool> {
    let text = std::fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let free = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.split_whitespace().next());
    let kilobytes: u64 = free.context("/proc/meminfo does not say what is available")?.parse()?;
    Ok(kilobytes > u64::from(leases))
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
