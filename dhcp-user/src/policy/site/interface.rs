//! An interface, as policy knows it.

use std::net::Ipv4Addr;

/// The properties of an interface that policy needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's name of it.
    pub name: String,
    /// Its index while this kernel runs.
    pub ifindex: u32,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// The longest IP datagram that it takes; 0 while it isn't there.
    pub mtu: u32,
    /// Its addresses, the first one first.
    pub addresses: Vec<Ipv4Addr>,
}
