//! The wire most tests need: a server's namespace and a client's, joined by a veth pair.
//!
//! ```text
//!   server namespace                      client namespace
//!   ┌──────────────────┐                  ┌──────────────────┐
//!   │ xdhcpd      srv0 │══════ veth ══════│ cli0             │
//!   │ XDP program here │                  │ XDP_PASS here    │
//!   └──────────────────┘                  └──────────────────┘
//! ```

use anyhow::Result;
use std::net::Ipv4Addr;

use crate::client::{Client, ServerAddress, Via};
use crate::namespace::{End, Namespace};
use crate::packet::{PacketSocket, Sees};
use crate::pass::Pass;
use crate::wire::Mac;
use crate::world::World;

/// The server's interface.
pub const SERVER_IF: &str = "srv0";
/// The router or relay, on the server's link.
pub const AGENT_MAC: Mac = [0x02, 0x4a, 0, 0, 0, 1];
/// The clients' interface.
pub const CLIENT_IF: &str = "cli0";
/// The server's hardware address.
pub const SERVER_MAC: Mac = [0x02, 0x53, 0, 0, 0, 1];
/// The hardware address of the client's interface; scripted clients use others.
pub const CLIENT_MAC: Mac = [0x02, 0x43, 0, 0, 0, 1];

/// Two namespaces on one link.
#[derive(Debug)]
pub struct Lan {
    /// Where scripted clients speak.
    pub socket: PacketSocket,
    /// The program on the clients' end.
    pub pass: Pass,
    /// Queues of the link each way.
    pub queues: usize,
    /// The clients' side.
    pub clients: Namespace,
    /// The server's side.
    pub server: Namespace,
    /// How clients address the server.
    pub server_address: ServerAddress,
    /// Last, because everything else lives in it.
    pub world: World,
}

impl Lan {
    /// A link on which the server has `server_ip` in a prefix of `len` bits.
    ///
    /// # Errors
    /// Without root's rights, or when the kernel refuses.
    pub fn new(name: &str, server_ip: Ipv4Addr, len: u8) -> Result<Self> {
        Self::with_queues(name, 1, server_ip, len)
    }

    /// As [`new`](Self::new), on a link with several queues, for load. Frames from several CPUs may overtake each other.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_queues(name: &str, queues: usize, server_ip: Ipv4Addr, len: u8) -> Result<Self> {
        let world = World::new(name)?;
        let server = Namespace::new()?;
        let clients = Namespace::new()?;
        let here = End { name: SERVER_IF, mac: SERVER_MAC, address: Some((server_ip, len)) };
        let there = End { name: CLIENT_IF, mac: CLIENT_MAC, address: None };
        server.join_by(queues, &here, &clients, &there)?;
        let pass = Pass::attach(&clients, CLIENT_IF)?;
        let socket = PacketSocket::open(&clients, CLIENT_IF, Sees::Arrivals)?;
        let server_address = ServerAddress { mac: SERVER_MAC, ip: server_ip };
        Ok(Self { socket, pass, queues, clients, server, server_address, world })
    }

    /// Has the clients' own kernel use an address, as a host that was configured by hand would.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn occupy(&self, address: Ipv4Addr, interface: &str) -> Result<()> {
        self.clients.ip(&format!("address add {address}/32 dev {interface}")).map(drop)
    }

    /// Has it use the address no longer.
    ///
    /// # Errors
    /// When it did not.
    pub fn leave(&self, address: Ipv4Addr, interface: &str) -> Result<()> {
        self.clients.ip(&format!("address del {address}/32 dev {interface}")).map(drop)
    }

    /// Makes the clients' side the router to 10.9.0.0/24, where a relay serves hosts that answer behind it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn route_behind_relay(&self) -> Result<()> {
        self.clients.ip(&format!("address add 10.0.0.2/24 dev {CLIENT_IF}"))?;
        self.server.ip(&format!("route add 10.9.0.0/24 via 10.0.0.2 dev {SERVER_IF}")).map(drop)
    }

    /// The scripted client number `n` behind the relay of 10.9.0.0/24.
    #[must_use]
    pub fn relayed_client(&self, n: u16) -> Client<'_> {
        let via = Via::Relay { mac: AGENT_MAC, address: Ipv4Addr::new(10, 9, 0, 1), agent_info: None };
        Client { via, ..self.client(n) }
    }

    /// The scripted client number `n` on this link.
    #[must_use]
    pub fn client(&self, n: u16) -> Client<'_> {
        let [high, low] = n.to_be_bytes();
        Client::new(&self.socket, [0x02, 0xc1, 0, 0, high, low], self.server_address)
    }
}
