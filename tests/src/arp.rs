//! ARP as a scripted host speaks it (RFC 826, RFC 5227).

use std::net::Ipv4Addr;

use crate::wire::Mac;

const ETHERNET_AND_IPV4: &[u8] = b"\x08\x06\0\x01\x08\0\x06\x04\0";

/// A question for an address: who asks, and for what. `tags` are the octets between the source and the ARP type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who asks.
    pub by: Mac,
    /// For which address.
    pub address: Ipv4Addr,
    sender: [u8; 10],
}

impl Question {
    /// Reads `frame`, if it is an ARP request with exactly these tags.
    #[must_use]
    pub fn read(frame: &[u8], tags: &[u8]) -> Option<Self> {
        let arp =
            frame.get(12..)?.strip_prefix(tags)?.strip_prefix(ETHERNET_AND_IPV4)?.strip_prefix(b"\x01")?;
        let sender: [u8; 10] = *arp.first_chunk()?;
        let by = *sender.first_chunk()?;
        let address: [u8; 4] = *arp.get(16..)?.first_chunk()?;
        Some(Self { by, address: address.into(), sender })
    }

    /// What a host with that hardware address says to it if it has the address, or pretends to.
    #[must_use]
    pub fn answer(&self, mac: Mac, tags: &[u8]) -> Vec<u8> {
        let mut reply = [&self.by[..], &mac, tags, ETHERNET_AND_IPV4, b"\x02"].concat();
        reply.extend_from_slice(&mac);
        reply.extend_from_slice(&self.address.octets());
        reply.extend_from_slice(&self.sender);
        reply.resize(64, 0);
        reply
    }
}

/// What a host says that has the address and tells everybody so (RFC 5227 §2.3).
#[must_use]
pub fn announcement(mac: Mac, address: Ipv4Addr) -> Vec<u8> {
    let mut frame = [&[0xff; 6][..], &mac, ETHERNET_AND_IPV4, b"\x01"].concat();
    frame.extend_from_slice(&mac);
    frame.extend_from_slice(&address.octets());
    frame.extend_from_slice(&[0; 6]);
    frame.extend_from_slice(&address.octets());
    frame.resize(60, 0);
    frame
}
