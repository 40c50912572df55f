//! `derive-config`: derives a configuration from a NIC's IPv4 address and its gateway.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, bail};
use nix::ifaddrs::getifaddrs;

use super::Exit;
use super::output::{complain, finish};
use crate::reason;

/// The NIC to serve on.
#[derive(Clone, Debug, clap::Args)]
pub struct DeriveConfig {
    /// The NIC; the one with the default route when not given
    #[arg(value_name = "INTERFACE")]
    interface: Option<String>,
}

impl DeriveConfig {
    /// Prints a configuration for the subnet that a NIC is in.
    #[must_use]
    pub fn run(self) -> Exit {
        let interface = self.interface.map_or_else(with_default_route, Ok);
        match interface.and_then(|name| Nic::find(&name)).and_then(|nic| nic.config()) {
            Ok(config) => finish(Exit::Done, io::stdout().write_all(config.as_bytes())),
            Err(error) => complain(Exit::No, reason::told(&error)),
        }
    }
}

/// The NIC that the default route is on.
fn with_default_route() -> Result<String> {
    let routes = routes()?;
    let names = routes.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    let found = names.into_iter().find(|name| gateway(name, &routes).is_some());
    found.map(str::to_owned).context("there is no default route: name the interface to serve on")
}

fn routes() -> Result<String> {
    fs::read_to_string("/proc/net/route").context("can't read the routing table")
}

/// Addresses at the low end of a subnet that stay out of the pool: that is where routers and servers are given theirs.
const HEAD: u32 = 9;

/// No pool is larger: it is a first trial, not a site's plan.
const LARGEST_POOL: u32 = 4096;

/// A NIC's place in its network.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Nic {
    name: String,
    address: Ipv4Addr,
    prefix_len: u32,
    /// The default route's next hop, if it is on this NIC.
    gateway: Option<Ipv4Addr>,
}

impl Nic {
    /// Asks the kernel.
    ///
    /// # Errors
    /// When there is no such NIC, or it has no IPv4 address.
    fn find(name: &str) -> Result<Self> {
        if nix::net::if_::if_nametoindex(name).is_err() {
            bail!("there is no interface {name}; `ip link` lists those that are there");
        }
        let own = getifaddrs()
            .context("can't list interface addresses")?
            .filter(|entry| entry.interface_name == name)
            .find_map(|entry| {
                Some((entry.address?.as_sockaddr_in()?.ip(), entry.netmask?.as_sockaddr_in()?.ip()))
            });
        let Some((address, mask)) = own else {
            bail!(
                "{name} has no IPv4 address: give it one (`ip address add 192.0.2.1/24 dev {name}`), or write the configuration by hand"
            );
        };
        let routes = routes()?;
        Ok(Self {
            name: name.to_owned(),
            address,
            prefix_len: mask.to_bits().count_ones(),
            gateway: gateway(name, &routes),
        })
    }

    /// The text of a configuration that serves the NIC's own subnet.
    ///
    /// # Errors
    /// When the subnet is too small to lease from.
    fn config(&self) -> Result<String> {
        let Self { name, address, prefix_len, gateway } = self;
        let pools = self.pools();
        if pools.is_empty() {
            bail!(
                "{address}/{prefix_len} on {name} leaves no address to lease: write the configuration by hand"
            );
        }
        let network = Ipv4Addr::from_bits(self.network());
        let pools: Vec<_> = pools.iter().map(|(first, last)| format!("\"{first} - {last}\"")).collect();
        let options = gateway
            .map_or_else(String::new, |gateway| format!("options = {{ routers = [\"{gateway}\"] }}\n"));
        Ok(format!(
            "# Derived from {address}/{prefix_len} on {name}.\n\
             [[interface]]\n\
             name = \"{name}\"\n\
             \n\
             [[subnet]]\n\
             prefix = \"{network}/{prefix_len}\"\n\
             pools = [{}]\n\
             # Another server may be in charge of this network: say nothing to clients that have its addresses.\n\
             authoritative = false\n\
             {options}",
            pools.join(", ")
        ))
    }

    fn network(&self) -> u32 {
        self.address.to_bits() & u32::MAX.checked_shl(32 - self.prefix_len).unwrap_or(0)
    }

    /// Ranges of the subnet without its head, and without the addresses that are known to be taken.
    fn pools(&self) -> Vec<(Ipv4Addr, Ipv4Addr)> {
        let size = 1_u64 << (32 - self.prefix_len);
        // Neither the network's own address nor its broadcast address.
        let Some(hosts) = size.checked_sub(2).and_then(|hosts| u32::try_from(hosts).ok()) else {
            return Vec::new();
        };
        let head = HEAD.min(hosts / 8);
        let first = self.network() + 1 + head;
        let end = first + (hosts - head).min(LARGEST_POOL);
        let taken: BTreeSet<u32> =
            [Some(self.address), self.gateway].into_iter().flatten().map(u32::from).collect();
        let mut pools = Vec::new();
        let mut start = first;
        for stop in taken.range(first..end).copied().chain([end]) {
            if start < stop {
                pools.push((Ipv4Addr::from_bits(start), Ipv4Addr::from_bits(stop - 1)));
            }
            start = stop + 1;
        }
        pools
    }
}

/// The next hop of the default route over a NIC, out of `/proc/net/route`.
fn gateway(nic: &str, routes: &str) -> Option<Ipv4Addr> {
    routes.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let (name, destination, gateway) = (fields.next()?, fields.next()?, fields.next()?);
        if name != nic || destination != "00000000" || gateway == "00000000" {
            return None;
        }
        // Addresses are printed as the number that their octets in memory make on this machine.
        Some(Ipv4Addr::from(u32::from_str_radix(gateway, 16).ok()?.to_ne_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nic(address: [u8; 4], prefix_len: u32, gateway: Option<[u8; 4]>) -> Nic {
        Nic { name: "eth0".into(), address: address.into(), prefix_len, gateway: gateway.map(Ipv4Addr::from) }
    }

    fn pools(nic: &Nic) -> Vec<String> {
        nic.pools().iter().map(|(first, last)| format!("{first}-{last}")).collect()
    }

    #[test]
    fn head_own_address_and_gateway_are_left_out() {
        assert_eq!(pools(&nic([192, 0, 2, 1], 24, None)), ["192.0.2.10-192.0.2.254"]);
        assert_eq!(
            pools(&nic([192, 0, 2, 100], 24, None)),
            ["192.0.2.10-192.0.2.99", "192.0.2.101-192.0.2.254"]
        );
        assert_eq!(pools(&nic([192, 0, 2, 10], 24, Some([192, 0, 2, 254]))), ["192.0.2.11-192.0.2.253"]);
    }

    #[test]
    fn small_subnets_keep_what_they_can() {
        assert_eq!(pools(&nic([192, 0, 2, 17], 28, None)), ["192.0.2.18-192.0.2.30"]);
        assert_eq!(pools(&nic([192, 0, 2, 1], 30, None)), ["192.0.2.2-192.0.2.2"]);
        assert!(nic([192, 0, 2, 1], 31, None).config().is_err());
        assert!(nic([192, 0, 2, 1], 32, None).config().is_err());
    }

    #[test]
    fn a_large_subnet_gets_a_pool_of_bounded_size() {
        assert_eq!(pools(&nic([10, 0, 0, 1], 8, None)), ["10.0.0.10-10.0.16.9"]);
        assert_eq!(pools(&nic([10, 0, 0, 1], 0, None)), ["0.0.0.10-0.0.16.9"]);
    }

    #[test]
    fn the_gateway_is_offered_as_router() {
        let config = nic([192, 0, 2, 9], 24, Some([192, 0, 2, 1])).config().expect("a /24 has room");
        assert!(
            config.contains("prefix = \"192.0.2.0/24\"\npools = [\"192.0.2.10 - 192.0.2.254\"]"),
            "{config}"
        );
        assert!(config.contains("options = { routers = [\"192.0.2.1\"] }"), "{config}");
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_gateway_is_read_from_the_routing_table() {
        let routes = "Iface\tDestination\tGateway \tFlags\n\
                      eth1\t00000000\t0101A8C0\t0003\n\
                      eth0\t000200C0\t00000000\t0001\n\
                      eth0\t00000000\t010200C0\t0003\n";
        assert_eq!(gateway("eth0", routes), Some(Ipv4Addr::new(192, 0, 2, 1)));
        assert_eq!(gateway("eth2", routes), None);
    }
}
