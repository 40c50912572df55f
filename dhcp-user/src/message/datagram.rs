//! From an Ethernet frame to the UDP datagram inside, checked on the way.

use std::net::Ipv4Addr;

use bytes::Bytes;
use dhcp_ebpf::abi::Link;
use dhcp_ebpf::checksum::Sum;

use super::malformed::Malformed;

/// The UDP port of DHCP servers and relays.
const SERVER_PORT: u16 = 67;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_SERVICE_VLAN: u16 = 0x88a8;
const PROTOCOL_UDP: u8 = 17;
const VLAN_ID: u16 = 0x0fff;
const MORE_FRAGMENTS_OR_OFFSET: u16 = 0x3fff;
const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;

/// A UDP datagram to port 67 and where it came from.
#[derive(Clone, Debug)]
pub(super) struct Datagram {
    pub(super) eth_src: [u8; 6],
    pub(super) eth_dst: [u8; 6],
    pub(super) link: Link,
    pub(super) ip_src: Ipv4Addr,
    pub(super) ip_dst: Ipv4Addr,
    pub(super) payload: Bytes,
}

impl Datagram {
    /// Reads an Ethernet frame, untagged, 802.1Q or QinQ.
    pub(super) fn read(frame: &Bytes, ifindex: u32) -> Result<Self, Malformed> {
        let eth_dst = array(frame, 0)?;
        let eth_src = array(frame, 6)?;
        let (link, ip_at) = tags(frame, ifindex)?;
        let ip = frame.get(ip_at..).ok_or(Malformed::Truncated)?;
        let header: [u8; IP_HEADER] = array(ip, 0)?;
        if header[0] != 0x45 {
            return Err(if header[0] >> 4 == 4 { Malformed::IpHeaderLength } else { Malformed::NotDhcp });
        }
        if header[9] != PROTOCOL_UDP {
            return Err(Malformed::NotDhcp);
        }
        if u16::from_be_bytes([header[6], header[7]]) & MORE_FRAGMENTS_OR_OFFSET != 0 {
            return Err(Malformed::Fragment);
        }
        if add(Sum::default(), &header).folded() != 0xffff {
            return Err(Malformed::IpChecksum);
        }
        let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let udp = ip.get(IP_HEADER..total).ok_or(Malformed::IpLength)?;
        let ip_src = Ipv4Addr::from([header[12], header[13], header[14], header[15]]);
        let ip_dst = Ipv4Addr::from([header[16], header[17], header[18], header[19]]);
        if ip_src.is_multicast() || ip_src.is_broadcast() || ip_src.is_loopback() {
            return Err(Malformed::IpSource);
        }
        check_udp(udp, &header)?;
        let payload = frame.slice_ref(udp.get(UDP_HEADER..).unwrap_or_default());
        Ok(Self { eth_src, eth_dst, link, ip_src, ip_dst, payload })
    }
}

/// The link a frame came from and the offset of its IPv4 header. A priority tag (VLAN id 0) is no tag.
fn tags(frame: &[u8], ifindex: u32) -> Result<(Link, usize), Malformed> {
    let mut link = Link { ifindex, outer: 0, inner: 0 };
    let mut at = 12_usize;
    for _ in 0..3 {
        let behind = at.saturating_add(2);
        match u16::from_be_bytes(array(frame, at)?) {
            ETHERTYPE_IPV4 => return Ok((link, behind)),
            ETHERTYPE_VLAN | ETHERTYPE_SERVICE_VLAN => {
                let id = u16::from_be_bytes(array(frame, behind)?) & VLAN_ID;
                if link.outer == 0 {
                    link.outer = id;
                } else {
                    link.inner = id;
                }
                at = at.saturating_add(4);
            }
            _ => return Err(Malformed::NotDhcp),
        }
    }
    Err(Malformed::TooManyTags)
}

fn check_udp(udp: &[u8], ip: &[u8; IP_HEADER]) -> Result<(), Malformed> {
    let header: [u8; UDP_HEADER] = array(udp, 0)?;
    if u16::from_be_bytes([header[2], header[3]]) != SERVER_PORT {
        return Err(Malformed::NotDhcp);
    }
    let length = u16::from_be_bytes([header[4], header[5]]);
    if usize::from(length) != udp.len() {
        return Err(Malformed::UdpLength);
    }
    let checksum = u16::from_ne_bytes([header[6], header[7]]);
    let pseudo =
        add(Sum::default(), &ip[12..20]).raw16(u16::from(PROTOCOL_UDP).to_be()).raw16(length.to_be());
    // A frame from a socket on this very machine may leave the datagram's own part of the sum to a card it never
    // passes; what is there then is the pseudo-header's.
    let partial = checksum == pseudo.folded();
    if checksum == 0 || partial || add(pseudo, udp).folded() == 0xffff {
        Ok(())
    } else {
        Err(Malformed::UdpChecksum)
    }
}

/// Adds `bytes` from an even offset; of an odd number the last counts as followed by zero (RFC 1071).
fn add(sum: Sum, bytes: &[u8]) -> Sum {
    let (words, rest) = bytes.as_chunks();
    let sum = words.iter().fold(sum, |sum, word| sum.raw64(u64::from_ne_bytes(*word)));
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    sum.raw64(u64::from_ne_bytes(last))
}

/// The `N` octets at `at`.
pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Malformed> {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or(Malformed::Truncated)
}
