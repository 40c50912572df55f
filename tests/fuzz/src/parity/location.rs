//! Where clients are, what they send from there, and the server that all are clients of.

use std::net::Ipv4Addr;

use dhcp_user::config::Config;
use dhcp_user::policy::Interface;

use super::draft::{CIADDR, Draft, GIADDR};
use super::shape::{Device, Message, Shape};
use crate::chance::Chance;

/// The interface's hardware address.
pub const OURS: [u8; 6] = [0x02, 0xaa, 0, 0, 0, 0x01];
/// A router's before some of the clients.
pub const ROUTER: [u8; 6] = [0x02, 0x40, 0x73, 0, 0, 0xfe];
/// The interface's index: what a program is told of frames that no driver has seen is that of the loopback interface.
pub const IFINDEX: u32 = 1;
/// The interface's addresses.
pub const SERVERS: [Ipv4Addr; 3] =
    [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 1, 1), Ipv4Addr::new(10, 0, 2, 1)];
/// Where relays send from.
const RELAY_SOURCE: Ipv4Addr = Ipv4Addr::new(10, 8, 9, 9);

/// What is served: answers short, with boot fields, with options in sname and file, and longer than requests are.
const CONFIG: &str = r#"
[server]
probe = "off"
[[interface]]
name = "lo"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.250"]
lease-time = "1h"
options = { routers = ["10.0.0.1"], domain-name-servers = ["10.0.0.53"], domain-name = "example.org" }
[[subnet]]
prefix = "10.0.1.0/24"
vlan = 100
pools = ["10.0.1.10 - 10.0.1.250"]
lease-time = "2h"
next-server = "10.0.1.9"
server-hostname = "boot"
boot-file-name = "images/first.img"
options = { routers = ["10.0.1.1"] }
[[subnet]]
prefix = "10.0.2.0/24"
vlan = [200, 100]
pools = ["10.0.2.10 - 10.0.2.250"]
lease-time = "1h"
options = { domain-name-servers = [MANY], domain-name = "a.domain.name.a.domain.name.a.domain.name" }
[[subnet]]
prefix = "10.9.0.0/24"
relays = ["10.8.0.1"]
pools = ["10.9.0.10 - 10.9.0.250"]
lease-time = "1h"
options = { routers = ["10.9.0.1"], domain-name-servers = [SOME] }
[[subnet]]
prefix = "10.9.1.0/24"
vlan = 100
relays = ["10.8.1.1"]
pools = ["10.9.1.10 - 10.9.1.250"]
lease-time = "3h"
options = { routers = ["10.9.1.1"], classless-static-route = ["10.0.0.0/8 - 10.9.1.1"] }
"#;

/// The configuration of the server.
#[must_use]
pub fn config() -> Config {
    let servers = |count: u8| (1..=count).map(|n| format!("\"10.0.9.{n}\"")).collect::<Vec<_>>().join(", ");
    let text = CONFIG.replace("MANY", &servers(58)).replace("SOME", &servers(25));
    Config::parse(&text, "parity").unwrap()
}

/// Its interface.
#[must_use]
pub fn interface() -> Interface {
    Interface { name: "lo".into(), ifindex: IFINDEX, mac: OURS, mtu: 1500, addresses: SERVERS.to_vec() }
}

/// Addresses whose slots there are to be: one of each subnet.
pub const NETS: [Ipv4Addr; 5] = [
    Ipv4Addr::new(10, 0, 0, 0),
    Ipv4Addr::new(10, 0, 1, 0),
    Ipv4Addr::new(10, 0, 2, 0),
    Ipv4Addr::new(10, 9, 0, 0),
    Ipv4Addr::new(10, 9, 1, 0),
];

const DOT1Q: u16 = 0x8100;
const DOT1AD: u16 = 0x88a8;

/// What is between a client and us.
#[derive(Clone, Copy, Debug)]
pub struct Location {
    tags: &'static [(u16, u16)],
    /// Our address that unicast messages go to.
    server: Ipv4Addr,
    relay: Option<Ipv4Addr>,
    /// What the relay says of the client, as an option.
    agent: &'static [u8],
    /// Unicast messages come by a router.
    routed: bool,
}

const DIRECT: Location = Location { tags: &[], server: SERVERS[0], relay: None, agent: &[], routed: false };

/// All of them.
pub const LOCATIONS: [Location; 8] = [
    DIRECT,
    Location { routed: true, ..DIRECT },
    Location { tags: &[(DOT1Q, 0x6000)], ..DIRECT },
    Location { tags: &[(DOT1Q, 0x6064)], server: SERVERS[1], ..DIRECT },
    Location { tags: &[(DOT1AD, 0x00c8), (DOT1Q, 0x0064)], server: SERVERS[2], ..DIRECT },
    Location { relay: Some(Ipv4Addr::new(10, 8, 0, 1)), ..DIRECT },
    Location {
        relay: Some(Ipv4Addr::new(10, 8, 0, 1)),
        agent: &[82, 6, 1, 4, b'e', b't', b'h', b'9'],
        ..DIRECT
    },
    Location {
        tags: &[(DOT1Q, 0x0064)],
        relay: Some(Ipv4Addr::new(10, 8, 1, 1)),
        agent: &[82, 10, 1, 2, 0, 7, 2, 4, b'n', b'o', b'd', b'e'],
        ..DIRECT
    },
];

/// A client: of some kind, somewhere.
#[derive(Clone, Debug)]
pub struct Client {
    shape: Shape,
    place: Location,
    /// What it knows of itself and its lease.
    pub(crate) device: Device,
}

impl Client {
    /// A client that has no lease yet.
    #[must_use]
    pub(crate) fn new(number: u8, shape: Shape, place: Location) -> Self {
        let mac = [0x02, 0xc1, 0x1e, 0x27, 0xff, number];
        let device =
            Device { mac, address: Ipv4Addr::UNSPECIFIED, server: place.server, sent: number.into() };
        Self { shape, place, device }
    }

    /// Any of the messages that it sends while it has a lease, or to get one.
    pub(crate) fn any(&self, chance: &mut Chance<'_>) -> Draft {
        let reboots = self.shape.reboots();
        self.message(match chance.below(16) {
            0 => Message::Discover,
            1 => Message::Select,
            2..=7 => Message::Renew,
            8..=10 if reboots => Message::Reboot,
            _ => Message::Rebind,
        })
    }

    /// One of its messages.
    #[must_use]
    pub(crate) fn message(&self, message: Message) -> Draft {
        let Self { shape, place, device } = self;
        let mut draft = Draft::new(device.mac, shape.area(message, device));
        draft.xid = 0x3903_f326 ^ device.sent;
        draft.tags = place.tags.to_vec();
        if matches!(message, Message::Renew | Message::Rebind) {
            draft.hosts.0 = device.address;
            if !shape.without_ciaddr {
                draft.addresses[CIADDR] = device.address;
            }
        }
        let unicast = message == Message::Renew && !shape.broadcasts;
        if unicast || place.relay.is_some() {
            draft.stations.0 = OURS;
            draft.hosts.1 = place.server;
        }
        if place.routed && unicast {
            draft.stations.1 = ROUTER;
        }
        if let Some(giaddr) = place.relay {
            draft.stations.1 = ROUTER;
            draft.hosts.0 = RELAY_SOURCE;
            draft.ports.0 = 67;
            draft.first[3] = 1;
            draft.addresses[GIADDR] = giaddr;
            let end = draft.area.len() - 1;
            draft.area.splice(end..end, place.agent.iter().copied());
        }
        draft
    }
}
