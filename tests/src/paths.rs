//! Every way by which a request may reach the server: direct, routed or relayed, untagged or tagged once or twice.
//!
//! Addresses tell the way: 10.0.T.0/24 is on the server's link, 10.1.T.0/24 behind a relay, with T tags on the frames.

use std::net::Ipv4Addr;

use crate::client::{Client, Via};
use crate::topology::Lan;
use crate::wire::Tag;

pub use crate::topology::AGENT_MAC;

/// The server's own address on the untagged link.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// What the relay says of a client's port: circuit and remote id (RFC 3046).
pub const AGENT_INFO: &[u8] = b"\x01\x06port-7\x02\x08building";

/// Subnets for all these ways, each with `terms` in it.
#[must_use]
pub fn subnets(terms: &str) -> String {
    let on_vlan = ["", "vlan = 100\nserver-id = \"10.0.1.1\"", "vlan = [200, 100]\nserver-id = \"10.0.2.1\""];
    let mut all = String::new();
    for (tags, vlan) in on_vlan.iter().enumerate() {
        for place in 0..2 {
            all += &format!(
                r#"
[[subnet]]
prefix = "10.{place}.{tags}.0/24"
pools = ["10.{place}.{tags}.10 - 10.{place}.{tags}.250"]
{vlan}
{terms}
options = {{ routers = ["10.{place}.{tags}.1"], domain-name-servers = ["10.0.0.53"] }}
"#
            );
        }
    }
    all
}

/// A place for a client.
///
/// RENEWING is unicast and does not meet the relay that brought the client its lease: from behind a relay it comes
/// through the router, with giaddr unset.
#[derive(Clone, Debug)]
pub struct Path {
    /// For messages about a failure.
    pub name: String,
    tags: Vec<Tag>,
    via: Via,
    server: Ipv4Addr,
}

/// All of them.
#[must_use]
pub fn all() -> Vec<Path> {
    let tagged = [
        ("untagged", vec![]),
        ("802.1Q", vec![Tag::customer(100)]),
        ("QinQ", vec![Tag::provider(200), Tag::customer(100)]),
    ];
    let mut paths = Vec::new();
    for (number, (tagging, tags)) in (0_u8..).zip(tagged) {
        let relay =
            |agent_info| Via::Relay { mac: AGENT_MAC, address: Ipv4Addr::new(10, 1, number, 1), agent_info };
        let ways = [
            ("direct", Via::Link),
            ("relayed", relay(None)),
            ("relayed with option 82", relay(Some(AGENT_INFO.to_vec()))),
        ];
        for (way, via) in ways {
            let server = Ipv4Addr::new(10, 0, number, 1);
            paths.push(Path { name: format!("{tagging}, {way}"), tags: tags.clone(), via, server });
        }
    }
    paths
}

impl Path {
    /// The scripted client number `n`, at this place.
    #[must_use]
    pub fn client<'a>(&self, lan: &'a Lan, n: u16) -> Client<'a> {
        let mut client = Client { tags: self.tags.clone(), via: self.via.clone(), ..lan.client(n) };
        client.server.ip = self.server;
        client
    }
}
