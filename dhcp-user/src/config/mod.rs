//! The configuration: what the operator wrote, parsed once and checked as a whole.

mod options;
mod prefix;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

pub use options::OptionSet;
pub use prefix::{Pool, Prefix};

/// A configuration that was found to hold together.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What holds for the daemon as a whole.
    pub server: Server,
    /// The interfaces served, at least one.
    pub interfaces: Vec<Interface>,
    /// The subnets served; no two overlap.
    pub subnets: Vec<Subnet>,
}

/// The `[server]` table. Durations are in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Directory of the embedded store.
    pub state_dir: PathBuf,
    /// Unix socket that the management commands connect to.
    pub control_socket: PathBuf,
    /// Where to serve Prometheus metrics, if anywhere.
    pub metrics_listen: Option<SocketAddr>,
    /// How long an unanswered OFFER keeps its address.
    pub offer_hold: u32,
    /// Whether addresses are probed for conflicts before they are offered.
    pub probe: Probe,
    /// The first probation of an address that was declined or seen in use.
    pub quarantine: u32,
    /// Where leases are committed.
    pub store: StoreChoice,
    /// Directory on a bpffs where program, link and maps are pinned.
    pub pin_dir: PathBuf,
    /// How many lease times ahead of the last ACK the store commits; at least 1 + T1 / lease time of each subnet.
    pub horizon: f64,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            state_dir: PathBuf::from("/var/lib/xdhcpd"),
            control_socket: PathBuf::from("/run/xdhcpd/control.sock"),
            metrics_listen: None,
            offer_hold: 10,
            probe: Probe::Auto,
            quarantine: 24 * 60 * 60,
            store: StoreChoice::Embedded,
            pin_dir: PathBuf::from("/sys/fs/bpf/xdhcpd"),
            horizon: 2.0,
        }
    }
}

/// Conflict probing before an OFFER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// ARP on the link, ICMP echo through a relay.
    Auto,
    /// Never.
    Off,
}

/// Where leases are committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreChoice {
    /// The store inside the daemon, under `state-dir`.
    Embedded,
    /// An etcd cluster, by its endpoints (URLs).
    Etcd(Vec<String>),
}

/// One `[[interface]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's name of it.
    pub name: String,
    /// How the XDP program is attached.
    pub xdp: XdpMode,
}

/// How the XDP program is attached to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver where it can, else in the stack.
    Auto,
    /// In the driver, or not at all.
    Native,
    /// In the stack (skb mode).
    Generic,
    /// Not attached: the daemon answers everything.
    Off,
}

/// The VLAN ids of a link; 0 stands for no tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vlan {
    /// Outer (or only) VLAN id, 0 when frames are untagged.
    pub outer: u16,
    /// Inner VLAN id, 0 unless frames carry two tags.
    pub inner: u16,
}

/// One `[[subnet]]`. Durations are in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Subnet {
    /// The addresses of this subnet.
    pub prefix: Prefix,
    /// The tags its frames carry on the interface.
    pub vlan: Vlan,
    /// Ranges for dynamic leases, all inside `prefix`, none overlapping another of any subnet.
    pub pools: Vec<Pool>,
    /// The lease time given when the client asks for none.
    pub lease_time: u32,
    /// T1 of a lease of `lease_time`.
    pub renew_time: u32,
    /// T2 of a lease of `lease_time`.
    pub rebind_time: u32,
    /// The shortest lease time that a client's own wish is granted.
    pub min_lease_time: u32,
    /// The longest lease time that a client's own wish is granted.
    pub max_lease_time: u32,
    /// How long an expired address is kept for its last owner before it may be reused.
    pub grace: u32,
    /// Whether clients with an address that can't be theirs get a NAK.
    pub authoritative: bool,
    /// Relay addresses (giaddr) served from this subnet beside its own addresses.
    pub relays: Vec<Ipv4Addr>,
    /// The server identifier, where it isn't the interface's own address.
    pub server_id: Option<Ipv4Addr>,
    /// How many leases a device (chaddr) may hold.
    pub max_leases_per_device: u32,
    /// How many leases a device may hold whose client identifiers are those of a RAS.
    pub max_leases_per_ras_device: u32,
    /// Options of every answer from this subnet: the server's, overridden by the subnet's.
    pub options: OptionSet,
    /// `siaddr`: the next server of a client that boots.
    pub next_server: Option<Ipv4Addr>,
    /// `sname`: at most 63 octets.
    pub server_name: Option<String>,
    /// `file`: at most 127 octets.
    pub boot_file: Option<String>,
    /// Addresses that belong to a client, inside pools or outside.
    pub reservations: Vec<Reservation>,
}

/// One `[[subnet.reservation]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The client it is for.
    pub key: ReservationKey,
    /// The address that only this client gets.
    pub address: Ipv4Addr,
    /// The host name given to the client.
    pub host_name: Option<String>,
    /// Options for this client, overriding the subnet's.
    pub options: OptionSet,
}

/// What a client with a reservation is recognised by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReservationKey {
    /// Its hardware address (chaddr, Ethernet), whatever client identifier it sends.
    HwAddress([u8; 6]),
    /// Its client identifier (option 61), type octet included.
    ClientId(Vec<u8>),
    /// The circuit id that its relay adds (option 82, sub-option 1).
    CircuitId(Vec<u8>),
}
