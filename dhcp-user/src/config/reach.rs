//! Subnets that no message can reach.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::Config;
use super::errors::ConfigError;
use super::subnet::{Subnet, Vlan};

/// Option 3 (RFC 2132 §3.5).
const ROUTERS: u8 = 3;

impl Config {
    /// The warnings about subnets that no interface, VLAN or relay leads to, if the interfaces have these addresses.
    pub fn unreachable_beside(&self, own: &[Ipv4Addr]) -> Vec<ConfigError> {
        let networks = self.subnets.iter().filter(|subnet| is_reached(subnet, own));
        let networks: BTreeSet<&str> =
            networks.filter_map(|subnet| subnet.shared_network.as_deref()).collect();
        let beside =
            |subnet: &Subnet| subnet.shared_network.as_deref().is_some_and(|name| networks.contains(name));
        // A configuration that was read has a place for each subnet.
        let placed = self.subnets.iter().zip(&self.pools_at);
        let lost = placed.filter(|(subnet, _)| !is_reached(subnet, own) && !beside(subnet));
        lost.map(|(subnet, there)| ConfigError { message: message(subnet), ..there.at.clone() }).collect()
    }
}

fn is_reached(subnet: &Subnet, own: &[Ipv4Addr]) -> bool {
    let inside = |address: &Ipv4Addr| subnet.prefix.contains(*address);
    let by_link = own.iter().any(inside) || subnet.server_id.as_ref().is_some_and(inside);
    // Its router may be its relay: that has an address in it, and need not be listed.
    let routers = subnet.options.get(ROUTERS).unwrap_or_default();
    let routers = routers.as_chunks::<4>().0.iter().map(|octets| Ipv4Addr::from(*octets));
    by_link
        || !subnet.relays.is_empty()
        || routers.into_iter().any(|router| inside(&router) && !own.contains(&router))
}

fn message(subnet: &Subnet) -> String {
    let prefix = subnet.prefix;
    if subnet.vlan != Vlan::default() {
        return format!(
            "no client of {prefix} can be answered on its VLAN: no interface has an address in it; set `server-id` to the address that the server has there"
        );
    }
    format!(
        "nothing leads to {prefix}: no interface has an address in it, and it has no `relays`, no `vlan` with a `server-id`, \
         and no router of its own that could be a relay"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(subnet: &str) -> Vec<String> {
        let text = format!(
            "[[interface]]\nname = \"eth0\"\n[[subnet]]\nprefix = \"192.0.2.0/24\"\npools = [\"192.0.2.10 - 192.0.2.20\"]\nlease-time = \"1h\"\n{subnet}"
        );
        let config = Config::parse(&text, "f").expect("a configuration");
        let found = config.unreachable_beside(&[Ipv4Addr::new(192, 0, 2, 1)]);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_subnet_that_nothing_leads_to_is_named_with_its_line() {
        let other = |more: &str| {
            lost(&format!(
                "[[subnet]]\nprefix = \"10.1.0.0/24\"\npools = [\"10.1.0.10 - 10.1.0.20\"]\nlease-time = \"1h\"\n{more}"
            ))
        };
        assert_eq!(lost(""), [""; 0]);
        let said = other("");
        assert!(
            matches!(&said[..], [one] if one.starts_with("f:9:") && one.contains("nothing leads to 10.1.0.0/24")),
            "{said:?}"
        );
        let said = other("vlan = 100");
        assert!(matches!(&said[..], [one] if one.contains("set `server-id`")), "{said:?}");
        for reached in [
            "relays = [\"198.51.100.1\"]",
            "vlan = 100\nserver-id = \"10.1.0.1\"",
            "options = { routers = [\"10.1.0.1\"] }",
        ] {
            assert_eq!(other(reached), [""; 0], "{reached}");
        }
        // The server's own address is no relay's.
        assert_eq!(other("options = { routers = [\"192.0.2.1\"] }").len(), 1);
    }

    #[test]
    fn who_shares_a_network_with_one_that_is_reached_is_reached() {
        let text = "[[interface]]\nname = \"eth0\"\n\
            [[subnet]]\nprefix = \"192.0.2.0/24\"\npools = [\"192.0.2.10 - 192.0.2.20\"]\nlease-time = \"1h\"\nshared-network = \"a\"\n\
            [[subnet]]\nprefix = \"10.1.0.0/24\"\npools = [\"10.1.0.10 - 10.1.0.20\"]\nlease-time = \"1h\"\nshared-network = \"a\"\n";
        let config = Config::parse(text, "f").expect("a configuration");
        assert!(config.unreachable_beside(&[Ipv4Addr::new(192, 0, 2, 1)]).is_empty());
        assert_eq!(config.unreachable_beside(&[]).len(), 2);
    }
}
