//! What clients, routers and relays put on the wire, built byte by byte.

use super::*;

/// What a sender did about the UDP checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UdpSum {
    Full,
    /// None at all, as IPv4 allows.
    Absent,
    /// The pseudo-header's only: a local socket whose interface was to do the rest.
    Partial,
    /// A wrong one.
    Wrong,
}

/// A DHCP message and what carries it.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) eth_dst: [u8; 6],
    pub(crate) eth_src: [u8; 6],
    /// The VLAN tags, outer first.
    pub(crate) tags: Vec<Tag>,
    pub(crate) ip_src: Ipv4Addr,
    pub(crate) ip_dst: Ipv4Addr,
    pub(crate) ports: (u16, u16),
    pub(crate) udp_sum: UdpSum,
    pub(crate) hops: u8,
    pub(crate) xid: u32,
    pub(crate) secs: u16,
    pub(crate) flags: u16,
    pub(crate) ciaddr: Ipv4Addr,
    pub(crate) giaddr: Ipv4Addr,
    pub(crate) chaddr: [u8; 6],
    /// The option area through END; zeros follow up to 300 octets of BOOTP.
    pub(crate) options: Vec<u8>,
}

/// The state a client asks in (RFC 2131 §4.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Renewing,
    Rebinding,
    InitReboot,
}

/// What is between the client and us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Direct,
    Router,
    Relay,
}

pub(crate) const STATES: [State; 3] = [State::Renewing, State::Rebinding, State::InitReboot];
pub(crate) const WAYS: [Way; 3] = [Way::Direct, Way::Router, Way::Relay];

pub(crate) const DOT1Q: u16 = 0x8100;
pub(crate) const DOT1AD: u16 = 0x88a8;

/// A VLAN tag: its protocol and control information.
pub(crate) type Tag = (u16, u16);

/// Tags as they may come, and the VLAN ids that make the link.
pub(crate) const TAGS: [(&[Tag], (u16, u16)); 6] = [
    (&[], (0, 0)),
    (&[(DOT1Q, 0xa000)], (0, 0)),
    (&[(DOT1Q, 0x6064)], (100, 0)),
    (&[(DOT1AD, 0x00c8), (DOT1Q, 0x0064)], (200, 100)),
    (&[(DOT1Q, 0xe0c8), (DOT1Q, 0x1fff)], (200, 0xfff)),
    (&[(DOT1Q, 0x0064), (DOT1Q, 0xe000)], (100, 0)),
];

impl Sent {
    /// The client's request in this state, as it arrives this way.
    pub(crate) fn request(state: State, way: Way) -> Self {
        let unspecified = Ipv4Addr::UNSPECIFIED;
        let ciaddr = if state == State::InitReboot { unspecified } else { ADDRESS };
        let (eth_dst, ip_dst) = match (state, way) {
            (State::Renewing, _) | (_, Way::Relay) => (OURS, SERVER),
            _ => (BROADCAST, Ipv4Addr::BROADCAST),
        };
        let mut options = vec![53, 1, 3, 61, 7, 1, 2, 0xc1, 0x1e, 0x27, 0xff, 0x80];
        if state == State::InitReboot {
            options.extend([50, 4]);
            options.extend(ADDRESS.octets());
        }
        options.extend([55, 4, 1, 3, 6, 15, 12, 3, b'b', b'o', b'x']);
        if way == Way::Relay {
            options.extend([82, 6, 1, 4, b'e', b't', b'h', b'9']);
        }
        options.push(255);
        Self {
            eth_dst,
            eth_src: if way == Way::Direct { CLIENT } else { ROUTER },
            tags: Vec::new(),
            ip_src: if way == Way::Relay { RELAY_SRC } else { ciaddr },
            ip_dst,
            ports: (if way == Way::Relay { 67 } else { 68 }, 67),
            udp_sum: UdpSum::Full,
            hops: u8::from(way == Way::Relay),
            xid: 0x3903_f326,
            secs: 17,
            flags: 0,
            ciaddr,
            giaddr: if way == Way::Relay { GIADDR } else { unspecified },
            chaddr: CLIENT,
            options,
        }
    }

    pub(crate) fn tagged(self, tags: &[Tag]) -> Self {
        Self { tags: tags.to_vec(), ..self }
    }

    pub(crate) fn broadcast_flag(self) -> Self {
        Self { flags: 0x8000, ..self }
    }

    /// The same with more options, so that the option area through END has `len` bytes.
    pub(crate) fn lengthened(mut self, len: usize) -> Self {
        self.options.pop();
        while self.options.len() + 3 < len {
            let value = (len - 1 - self.options.len() - 2).min(255);
            self.options.extend([224, value as u8]);
            self.options.extend((0..value).map(|i| (i * 11 + len) as u8));
        }
        self.options.push(255);
        assert_eq!(self.options.len(), len);
        self
    }

    /// Another message type in option 53, which comes first.
    pub(crate) fn message_type(mut self, number: u8) -> Self {
        self.options[2] = number;
        self
    }

    /// The lease that this is a question about, as far as the link goes.
    pub(crate) fn lease(&self) -> Lease {
        let ids: Vec<u16> = self.tags.iter().map(|tag| tag.1 & 0xfff).collect();
        let at = |index: usize| ids.get(index).copied().unwrap_or(0);
        Lease { link: Link { ifindex: IFINDEX, outer: at(0), inner: at(1) }, ..Lease::new() }
    }

    pub(crate) fn bootp(&self) -> Vec<u8> {
        let mut bootp = vec![1, 1, 6, self.hops];
        bootp.extend(self.xid.to_be_bytes());
        bootp.extend(self.secs.to_be_bytes());
        bootp.extend(self.flags.to_be_bytes());
        bootp.extend(self.ciaddr.octets());
        bootp.extend([0; 8]);
        bootp.extend(self.giaddr.octets());
        bootp.extend(self.chaddr);
        bootp.extend([0; 10 + 64 + 128]);
        bootp.extend([99, 130, 83, 99]);
        bootp.extend(&self.options);
        bootp.resize(bootp.len().max(300), 0);
        bootp
    }

    pub(crate) fn frame(&self) -> Vec<u8> {
        let mut bootp = self.bootp();
        let udp_len = 8 + bootp.len() as u16;
        let mut ip = vec![0x45, 0x10];
        ip.extend((20 + udp_len).to_be_bytes());
        ip.extend([0x12, 0x34, 0x40, 0, 63, 17, 0, 0]);
        ip.extend(self.ip_src.octets());
        ip.extend(self.ip_dst.octets());
        let sum = !ones_complement(&ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());

        let mut udp = Vec::new();
        udp.extend(self.ports.0.to_be_bytes());
        udp.extend(self.ports.1.to_be_bytes());
        udp.extend(udp_len.to_be_bytes());
        udp.extend([0, 0]);
        udp.append(&mut bootp);
        let pseudo = [&ip[12..20], &[0, 17], &udp_len.to_be_bytes()].concat();
        let sum = match self.udp_sum {
            UdpSum::Absent => 0,
            UdpSum::Partial => ones_complement(&pseudo),
            UdpSum::Full => full_udp_sum(&ip[12..20], &udp),
            UdpSum::Wrong => full_udp_sum(&ip[12..20], &udp) ^ 0x0100,
        };
        udp[6..8].copy_from_slice(&sum.to_be_bytes());

        let mut frame = [self.eth_dst, self.eth_src].concat();
        for (protocol, control) in &self.tags {
            frame.extend(protocol.to_be_bytes());
            frame.extend(control.to_be_bytes());
        }
        frame.extend([0x08, 0x00]);
        frame.extend(ip);
        frame.extend(udp);
        frame
    }
}

/// The one's complement sum of big-endian words, the last padded with zero (RFC 1071).
pub(crate) fn ones_complement(bytes: &[u8]) -> u16 {
    let sum = bytes.chunks(2).fold(0u32, |sum, pair| {
        let sum = sum + u32::from(pair[0]) * 256 + u32::from(*pair.get(1).unwrap_or(&0));
        (sum & 0xffff) + (sum >> 16)
    });
    sum as u16
}

/// Makes the IP header's checksum good again after a test has changed the header.
pub(crate) fn mend_ip_sum(frame: &mut [u8], l3: usize) {
    frame[l3 + 10..l3 + 12].fill(0);
    let sum = !ones_complement(&frame[l3..l3 + 20]);
    frame[l3 + 10..l3 + 12].copy_from_slice(&sum.to_be_bytes());
}

/// The checksum of a datagram whose field for it is zero (RFC 768), between these addresses.
fn full_udp_sum(addresses: &[u8], udp: &[u8]) -> u16 {
    match !ones_complement(&[addresses, &[0, 17], &udp[4..6], udp].concat()) {
        0 => 0xffff,
        sum => sum,
    }
}

/// Makes the UDP checksum good again after a test has changed the datagram; the frame is long enough for its IP length.
pub(crate) fn mend_udp_sum(frame: &mut [u8], l3: usize) {
    let total = usize::from(u16::from_be_bytes([frame[l3 + 2], frame[l3 + 3]]));
    if !(28..=frame.len() - l3).contains(&total) {
        return;
    }
    frame[l3 + 26..l3 + 28].fill(0);
    let sum = full_udp_sum(&frame[l3 + 12..l3 + 20], &frame[l3 + 20..l3 + total]);
    frame[l3 + 26..l3 + 28].copy_from_slice(&sum.to_be_bytes());
}

/// Where the IP header begins in a frame with this many tags.
pub(crate) const fn l3(tags: usize) -> usize {
    14 + 4 * tags
}
