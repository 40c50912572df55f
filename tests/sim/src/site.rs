//! What is served, in several versions, and where devices are.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::OnceLock;

use dhcp_ebpf::abi::NetAddr;
use dhcp_user::config::Config;
use dhcp_user::policy::Interface;

/// The interface's index.
pub const IFINDEX: u32 = 7;
/// Its hardware address.
pub const OURS: [u8; 6] = [0x02, 0xaa, 0, 0, 0, 0x01];
/// Its addresses.
pub const SERVERS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 1, 1)];
/// The address that is reserved for a client, in one of the configurations.
pub const RESERVED: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 11);
/// The relay.
pub const RELAY: Ipv4Addr = Ipv4Addr::new(10, 8, 0, 1);
/// The router's hardware address, by which the relay's messages come.
pub const ROUTER: [u8; 6] = [0x02, 0x40, 0x73, 0, 0, 0xfe];

/// Where a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Location {
    /// On the link.
    Link,
    /// On a VLAN.
    Vlan,
    /// Behind the relay.
    Relay,
}

impl Location {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Link, Self::Vlan, Self::Relay];

    /// The tags of frames from there.
    #[must_use]
    pub const fn tags(self) -> &'static [(u16, u16)] {
        match self {
            Self::Vlan => &[(0x8100, 100)],
            Self::Link | Self::Relay => &[],
        }
    }

    /// Our address for unicast messages.
    #[must_use]
    pub const fn server(self) -> Ipv4Addr {
        match self {
            Self::Vlan => SERVERS[1],
            Self::Link | Self::Relay => SERVERS[0],
        }
    }

    /// The addresses that are given out there, by any of the configurations, with some beyond.
    pub fn addresses(self) -> impl Iterator<Item = Ipv4Addr> {
        let [a, b, c] = match self {
            Self::Link => [10, 0, 0],
            Self::Vlan => [10, 0, 1],
            Self::Relay => [10, 9, 0],
        };
        (10..28).map(move |d| Ipv4Addr::new(a, b, c, d))
    }
}

/// A version of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// As it began.
    Wide,
    /// Smaller pools, other options and times, a reservation.
    Narrow,
    /// One more subnet, which takes larger maps.
    Grown,
}

impl Version {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Wide, Self::Narrow, Self::Grown];

    fn text(self) -> String {
        let (dns, last, more) = match self {
            Self::Wide => (53, 27, ""),
            Self::Narrow => {
                (54, 24, "reservation = [{ hw-address = \"02:c1:1e:27:00:02\", address = \"10.0.0.11\" }]\n")
            }
            Self::Grown => (53, 27, ""),
        };
        let grown = match self {
            Self::Grown => {
                "[[subnet]]\nprefix = \"10.0.2.0/24\"\nvlan = 200\nserver-id = \"10.0.2.1\"\npools = [\"10.0.2.10 - 10.0.2.99\"]\nlease-time = \"1h\"\n"
            }
            Self::Wide | Self::Narrow => "",
        };
        format!(
            r#"
[server]
quarantine = "20m"
event-log = "off"
[[interface]]
name = "eth0"
xdp = "off"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.{last}"]
lease-time = "40m"
grace = "4m"
options = {{ routers = ["10.0.0.1"], domain-name-servers = ["10.0.0.{dns}"], domain-name = "example.org" }}
{more}[[subnet]]
prefix = "10.0.1.0/24"
vlan = 100
pools = ["10.0.1.10 - 10.0.1.{last}"]
lease-time = "20m"
options = {{ routers = ["10.0.1.1"] }}
[[subnet]]
prefix = "10.9.0.0/24"
relays = ["10.8.0.1"]
pools = ["10.9.0.10 - 10.9.0.{last}"]
lease-time = "90m"
options = {{ routers = ["10.9.0.1"], domain-name-servers = ["10.0.0.{dns}"] }}
{grown}"#
        )
    }

    /// The configuration.
    #[must_use]
    pub fn config(self) -> Config {
        static PARSED: OnceLock<[Config; 3]> = OnceLock::new();
        let parsed = PARSED
            .get_or_init(|| Self::ALL.map(|version| Config::parse(&version.text(), "simulated").unwrap()));
        parsed[self as usize].clone()
    }

    /// Whether it reserves an address for this client.
    #[must_use]
    pub fn reserves(self, place: Location, number: u8) -> bool {
        self == Self::Narrow && (place, number) == (Location::Link, 2)
    }

    /// Whether this client may have the address by it.
    #[must_use]
    pub fn grants(self, address: Ipv4Addr, place: Location, number: u8) -> bool {
        let is_anothers = self == Self::Narrow && address == RESERVED && !self.reserves(place, number);
        self.gives(address) && !is_anothers
    }

    /// Whether it gives this address to devices there.
    #[must_use]
    pub fn gives(self, address: Ipv4Addr) -> bool {
        let last = if self == Self::Narrow { 24 } else { 27 };
        (10..=last).contains(&address.octets()[3])
    }
}

/// The interface.
#[must_use]
pub fn interface() -> Interface {
    Interface { name: "eth0".into(), ifindex: IFINDEX, mac: OURS, mtu: 1500, addresses: SERVERS.to_vec() }
}

/// Addresses that frames for us go to.
#[must_use]
pub fn ours() -> HashSet<NetAddr> {
    let nets = [[10, 0, 0], [10, 0, 1], [10, 9, 0]];
    let broadcasts = nets.map(|[a, b, c]| Ipv4Addr::new(a, b, c, 255));
    SERVERS.into_iter().chain(broadcasts).map(NetAddr::from).collect()
}
