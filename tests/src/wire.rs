//! DHCP frames as they are on the wire, octet by octet.

use anyhow::{Result, ensure};
use std::net::Ipv4Addr;

/// A hardware address.
pub type Mac = [u8; 6];

/// Everybody on the link.
pub const BROADCAST: Mac = [0xff; 6];

/// The UDP port of servers and relays.
pub const SERVER_PORT: u16 = 67;
/// The UDP port of clients.
pub const CLIENT_PORT: u16 = 68;

/// The least a BOOTP message may have (RFC 1542 §2.1).
pub const SHORTEST_BOOTP: usize = 300;
/// What comes before the options: the fixed fields and the cookie.
pub const FIXED: usize = 240;

pub(crate) const COOKIE: [u8; 4] = [99, 130, 83, 99];
const ETHERTYPE_IPV4: u16 = 0x0800;
pub(crate) const UDP: u8 = 17;
pub(crate) const END: u8 = 255;

/// The DHCP message types (RFC 2132 §9.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// None: BOOTP (RFC 951)
    Bootp = 0,
    /// DHCPDISCOVER
    Discover = 1,
    /// DHCPOFFER
    Offer,
    /// DHCPREQUEST
    Request,
    /// DHCPDECLINE
    Decline,
    /// DHCPACK
    Ack,
    /// DHCPNAK
    Nak,
    /// DHCPRELEASE
    Release,
    /// DHCPINFORM
    Inform,
    /// DHCPLEASEQUERY (RFC 4388)
    LeaseQuery = 10,
    /// DHCPLEASEUNASSIGNED
    LeaseUnassigned,
    /// DHCPLEASEUNKNOWN
    LeaseUnknown,
    /// DHCPLEASEACTIVE
    LeaseActive,
}

impl Kind {
    /// Whether it answers a LEASEQUERY: what it says is of another client than the one that asked.
    #[must_use]
    pub fn tells_of_a_lease(self) -> bool {
        matches!(self, Self::LeaseUnassigned | Self::LeaseUnknown | Self::LeaseActive)
    }
}

/// A VLAN tag: the type that announces it and the id in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// 0x8100 (802.1Q) or 0x88a8 (802.1ad).
    pub tpid: u16,
    /// VLAN id, without priority bits.
    pub id: u16,
}

impl Tag {
    /// A tag as customers set it (802.1Q).
    #[must_use]
    pub const fn customer(id: u16) -> Self {
        Self { tpid: 0x8100, id }
    }

    /// A tag as providers set it around a customer's (802.1ad).
    #[must_use]
    pub const fn provider(id: u16) -> Self {
        Self { tpid: 0x88a8, id }
    }
}

/// All that is around a DHCP message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Sender on the link.
    pub eth_src: Mac,
    /// Receiver on the link.
    pub eth_dst: Mac,
    /// VLAN tags, outermost first.
    pub tags: Vec<Tag>,
    /// IP sender.
    pub ip_src: Ipv4Addr,
    /// IP receiver.
    pub ip_dst: Ipv4Addr,
    /// UDP source port.
    pub src_port: u16,
    /// UDP destination port.
    pub dst_port: u16,
}

impl Envelope {
    /// The whole frame around `payload`, with full checksums.
    ///
    /// # Errors
    /// When the payload is longer than an IPv4 packet can hold.
    pub fn frame(&self, payload: &[u8]) -> Result<Vec<u8>> {
        let mut frame = self.link_header(ETHERTYPE_IPV4);
        let udp = self.udp(payload)?;
        frame.extend(self.ip_header(u16::try_from(20 + udp.len())?));
        frame.extend(udp);
        Ok(frame)
    }

    /// The Ethernet header and the tags, ending with the type of what follows.
    #[must_use]
    pub fn link_header(&self, ethertype: u16) -> Vec<u8> {
        let mut header = [self.eth_dst, self.eth_src].concat();
        for tag in &self.tags {
            header.extend(tag.tpid.to_be_bytes());
            header.extend(tag.id.to_be_bytes());
        }
        header.extend(ethertype.to_be_bytes());
        header
    }

    fn ip_header(&self, total: u16) -> [u8; 20] {
        let mut header = [0_u8; 20];
        header[0] = 0x45;
        header[2..4].copy_from_slice(&total.to_be_bytes());
        header[8] = 64;
        header[9] = UDP;
        header[12..16].copy_from_slice(&self.ip_src.octets());
        header[16..20].copy_from_slice(&self.ip_dst.octets());
        let sum = checksum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        header
    }

    fn udp(&self, payload: &[u8]) -> Result<Vec<u8>> {
        let len = u16::try_from(8 + payload.len())?;
        let mut udp = Vec::with_capacity(usize::from(len));
        for field in [self.src_port, self.dst_port, len, 0] {
            udp.extend(field.to_be_bytes());
        }
        udp.extend_from_slice(payload);
        let sum = match udp_checksum(self.ip_src, self.ip_dst, &udp) {
            0 => 0xffff,
            sum => sum,
        };
        udp[6..8].copy_from_slice(&sum.to_be_bytes());
        Ok(udp)
    }
}

/// The Internet checksum (RFC 1071) of `octets`: 0 if they hold a right one.
#[must_use]
pub fn checksum(octets: &[u8]) -> u16 {
    let mut sum = 0_u64;
    for pair in octets.chunks(2) {
        sum += u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0));
    }
    // The one's complement sum is the sum modulo 0xffff, where 0 of a sum that is not 0 is written 0xffff.
    let folded = if sum == 0 { 0 } else { (sum - 1) % 0xffff + 1 };
    0xffff - low_half(folded)
}

/// The checksum of a UDP datagram and its pseudo header: 0 if it holds a right one.
#[must_use]
pub fn udp_checksum(src: Ipv4Addr, dst: Ipv4Addr, udp: &[u8]) -> u16 {
    let mut all = [src.octets(), dst.octets()].concat();
    all.extend([0, UDP]);
    all.extend(low_half(udp.len() as u64).to_be_bytes());
    all.extend_from_slice(udp);
    checksum(&all)
}

#[expect(clippy::cast_possible_truncation, reason = "an IPv4 packet is no longer, a folded sum no greater")]
fn low_half(number: u64) -> u16 {
    number as u16
}

/// A DHCP message, its options still in wire form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// 1 from clients, 2 from servers.
    pub op: u8,
    /// Kind of hardware address; 1 is Ethernet.
    pub htype: u8,
    /// Length of the hardware address.
    pub hlen: u8,
    /// Relays on the way.
    pub hops: u8,
    /// Transaction id.
    pub xid: u32,
    /// Seconds since the client began.
    pub secs: u16,
    /// The broadcast flag is the highest bit.
    pub flags: u16,
    /// The client's address, if it has one.
    pub ciaddr: Ipv4Addr,
    /// The address it gets.
    pub yiaddr: Ipv4Addr,
    /// The next server in a network boot.
    pub siaddr: Ipv4Addr,
    /// The relay's address on the client's link.
    pub giaddr: Ipv4Addr,
    /// The client's hardware address, padded.
    pub chaddr: [u8; 16],
    /// Server host name.
    pub sname: [u8; 64],
    /// Boot file name.
    pub file: [u8; 128],
    /// What says that options follow.
    pub cookie: [u8; 4],
    /// The option area as it is sent, END included, padding not.
    pub options: Vec<u8>,
}

/// The bit of `flags` by which a client asks for a broadcast answer.
pub const BROADCAST_FLAG: u16 = 0x8000;

impl Message {
    /// A client's message with nothing in it but who it is from.
    #[must_use]
    pub fn from_client(mac: Mac, xid: u32, options: Vec<u8>) -> Self {
        let mut chaddr = [0; 16];
        chaddr[..6].copy_from_slice(&mac);
        Self {
            op: 1,
            htype: 1,
            hlen: 6,
            hops: 0,
            xid,
            secs: 0,
            flags: 0,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            yiaddr: Ipv4Addr::UNSPECIFIED,
            siaddr: Ipv4Addr::UNSPECIFIED,
            giaddr: Ipv4Addr::UNSPECIFIED,
            chaddr,
            sname: [0; 64],
            file: [0; 128],
            cookie: COOKIE,
            options,
        }
    }

    /// The message's octets, zero-padded to 300 as clients do it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut octets = vec![self.op, self.htype, self.hlen, self.hops];
        octets.extend(self.xid.to_be_bytes());
        octets.extend(self.secs.to_be_bytes());
        octets.extend(self.flags.to_be_bytes());
        for address in [self.ciaddr, self.yiaddr, self.siaddr, self.giaddr] {
            octets.extend(address.octets());
        }
        octets.extend(self.chaddr);
        octets.extend(self.sname);
        octets.extend(self.file);
        octets.extend(self.cookie);
        octets.extend_from_slice(&self.options);
        octets.resize(octets.len().max(SHORTEST_BOOTP), 0);
        octets
    }

    pub(crate) fn decode(octets: &[u8]) -> Result<Self> {
        ensure!(octets.len() >= FIXED, "a message of {} octets has no options", octets.len());
        Ok(Self {
            op: octets[0],
            htype: octets[1],
            hlen: octets[2],
            hops: octets[3],
            xid: u32::from_be_bytes(array(octets, 4)),
            secs: u16::from_be_bytes(array(octets, 8)),
            flags: u16::from_be_bytes(array(octets, 10)),
            ciaddr: address(octets, 12),
            yiaddr: address(octets, 16),
            siaddr: address(octets, 20),
            giaddr: address(octets, 24),
            chaddr: array(octets, 28),
            sname: array(octets, 44),
            file: array(octets, 108),
            cookie: array(octets, 236),
            options: octets[FIXED..].to_vec(),
        })
    }
}

/// An option area: every option in order, then END.
///
/// # Panics
/// When a value is longer than the 255 octets one option can hold: a mistake of the test.
#[must_use]
pub fn options(list: &[(u8, &[u8])]) -> Vec<u8> {
    let mut area = Vec::new();
    for (code, value) in list {
        let Ok(len) = u8::try_from(value.len()) else { panic!("option {code} has {} octets", value.len()) };
        area.extend([*code, len]);
        area.extend_from_slice(value);
    }
    area.push(END);
    area
}

/// The envelope and the message of a frame from a client or a relay, read without a check; `None` if it is another's.
///
/// # Errors
/// When the message ends before its options.
pub fn read_request(frame: &[u8]) -> Result<Option<(Envelope, Message)>> {
    let Some((tags, ip)) = link_layer(frame) else { return Ok(None) };
    if ip.len() < 28 || ip[0] != 0x45 || ip[9] != UDP {
        return Ok(None);
    }
    let [src_port, dst_port] = [20, 22].map(|at| u16::from_be_bytes(array(ip, at)));
    if dst_port != SERVER_PORT {
        return Ok(None);
    }
    let envelope = Envelope {
        eth_dst: array(frame, 0),
        eth_src: array(frame, 6),
        tags,
        ip_src: address(ip, 12),
        ip_dst: address(ip, 16),
        src_port,
        dst_port,
    };
    let message = Message::decode(&ip[28..])?;
    // A server answers a relay at the port that requests go to.
    Ok((message.op == 1).then_some((envelope, message)))
}

/// The tags of a frame and the IPv4 packet in it, if there is one.
pub(crate) fn link_layer(frame: &[u8]) -> Option<(Vec<Tag>, &[u8])> {
    let mut tags = Vec::new();
    let mut at = 12;
    loop {
        let kind = u16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?);
        at += 2;
        match kind {
            0x8100 | 0x88a8 => {
                let control = u16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?);
                tags.push(Tag { tpid: kind, id: control & 0x0fff });
                at += 2;
            }
            ETHERTYPE_IPV4 => return Some((tags, &frame[at..])),
            _ => return None,
        }
    }
}

pub(crate) fn array<const N: usize>(octets: &[u8], at: usize) -> [u8; N] {
    let mut found = [0; N];
    found.copy_from_slice(&octets[at..at + N]);
    found
}

pub(crate) fn address(octets: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::from(array::<4>(octets, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of RFC 1071 §3, and a well-known IPv4 header.
    #[test]
    fn checksums_are_those_of_the_books() {
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        let header =
            [0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7];
        assert_eq!(checksum(&header), 0);
        assert_eq!(checksum(&[0xff, 0xff]), 0);
        assert_eq!(checksum(&[0, 0]), 0xffff);
    }
}
