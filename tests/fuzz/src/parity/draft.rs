//! A DHCP message and all that carries it, field by field, so that each can be something else.

use std::net::Ipv4Addr;

/// What a sender did about the UDP checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UdpSum {
    /// It is right.
    Full,
    /// None at all, as IPv4 allows.
    Absent,
    /// The pseudo-header's only: of a local socket whose interface was to do the rest.
    Partial,
    /// It is off by this.
    Off(u16),
}

/// A message, unwritten.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Destination and source stations.
    pub stations: ([u8; 6], [u8; 6]),
    /// VLAN tags, outer first: protocol and control information.
    pub tags: Vec<(u16, u16)>,
    /// The first octets of the IP header: version and length, service.
    pub ip_first: [u8; 2],
    /// IP identification and fragment.
    pub ip_middle: [u16; 2],
    /// Time to live.
    pub ttl: u8,
    /// IP protocol.
    pub protocol: u8,
    /// IP source and destination.
    pub hosts: (Ipv4Addr, Ipv4Addr),
    /// UDP source and destination.
    pub ports: (u16, u16),
    /// The UDP checksum.
    pub sum: UdpSum,
    /// `op`, `htype`, `hlen`, `hops`.
    pub first: [u8; 4],
    /// `xid`.
    pub xid: u32,
    /// `secs`.
    pub secs: u16,
    /// `flags`.
    pub flags: u16,
    /// `ciaddr`, `yiaddr`, `siaddr`, `giaddr`.
    pub addresses: [Ipv4Addr; 4],
    /// `chaddr` with its padding.
    pub chaddr: [u8; 16],
    /// `sname` and `file`.
    pub names: Vec<u8>,
    /// What is before the options.
    pub cookie: [u8; 4],
    /// The option area.
    pub area: Vec<u8>,
    /// Zeros follow until the BOOTP message has so many octets.
    pub least: usize,
    /// What follows the datagram in the frame.
    pub trailer: Vec<u8>,
    /// How much the lengths of IP and UDP say too much.
    pub lies: (i16, i16),
}

/// Which of a draft's addresses is `ciaddr`.
pub const CIADDR: usize = 0;
/// Which is `giaddr`.
pub const GIADDR: usize = 3;

impl Draft {
    /// A client's message with these options and nothing else set.
    #[must_use]
    pub fn new(chaddr: [u8; 6], area: Vec<u8>) -> Self {
        let mut padded = [0; 16];
        padded[..6].copy_from_slice(&chaddr);
        Self {
            stations: ([0xff; 6], chaddr),
            tags: Vec::new(),
            ip_first: [0x45, 0x10],
            ip_middle: [0, 0],
            ttl: 64,
            protocol: 17,
            hosts: (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST),
            ports: (68, 67),
            sum: UdpSum::Full,
            first: [1, 1, 6, 0],
            xid: 0,
            secs: 0,
            flags: 0,
            addresses: [Ipv4Addr::UNSPECIFIED; 4],
            chaddr: padded,
            names: vec![0; 192],
            cookie: [99, 130, 83, 99],
            area,
            least: 300,
            trailer: Vec::new(),
            lies: (0, 0),
        }
    }

    /// The frame. Checksums are of what is written, whatever that is.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut bootp = self.first.to_vec();
        bootp.extend(self.xid.to_be_bytes());
        bootp.extend(self.secs.to_be_bytes());
        bootp.extend(self.flags.to_be_bytes());
        self.addresses.iter().for_each(|address| bootp.extend(address.octets()));
        bootp.extend(self.chaddr);
        bootp.extend(&self.names);
        bootp.extend(self.cookie);
        bootp.extend(&self.area);
        bootp.resize(bootp.len().max(self.least), 0);

        let length = |more: usize, lie: i16| (more as u16).wrapping_add_signed(lie).to_be_bytes();
        let mut frame = [self.stations.0, self.stations.1].concat();
        for (protocol, control) in &self.tags {
            frame.extend(protocol.to_be_bytes());
            frame.extend(control.to_be_bytes());
        }
        frame.extend([8, 0]);
        let l3 = frame.len();
        frame.extend(self.ip_first);
        frame.extend(length(28 + bootp.len(), self.lies.0));
        self.ip_middle.iter().for_each(|word| frame.extend(word.to_be_bytes()));
        frame.extend([self.ttl, self.protocol, 0, 0]);
        frame.extend(self.hosts.0.octets());
        frame.extend(self.hosts.1.octets());
        frame.extend(self.ports.0.to_be_bytes());
        frame.extend(self.ports.1.to_be_bytes());
        frame.extend(length(8 + bootp.len(), self.lies.1));
        frame.extend([0, 0]);
        frame.extend(bootp);
        let ip_sum = !ones_complement(0, &frame[l3..l3 + 20]);
        frame[l3 + 10..l3 + 12].copy_from_slice(&ip_sum.to_be_bytes());
        let udp_sum = self.udp_sum(&frame[l3..]);
        frame[l3 + 26..l3 + 28].copy_from_slice(&udp_sum.to_be_bytes());
        frame.extend(&self.trailer);
        frame
    }

    fn udp_sum(&self, packet: &[u8]) -> u16 {
        let pseudo = ones_complement(0, &packet[12..20]);
        let pseudo = ones_complement(pseudo, &[0, packet[9]]);
        let pseudo = ones_complement(pseudo, &packet[24..26]);
        let full = match !ones_complement(pseudo, &packet[20..]) {
            0 => 0xffff,
            sum => sum,
        };
        match self.sum {
            UdpSum::Full => full,
            UdpSum::Absent => 0,
            UdpSum::Partial => pseudo,
            UdpSum::Off(by) => full.wrapping_add(by),
        }
    }
}

/// The one's complement sum of what was added up and of big-endian words, the last padded with zero (RFC 1071).
#[must_use]
pub fn ones_complement(before: u16, octets: &[u8]) -> u16 {
    let mut sum = u64::from(before);
    let mut words = octets.chunks_exact(2);
    for word in &mut words {
        sum += u64::from(u16::from_be_bytes([word[0], word[1]]));
    }
    if let [last] = words.remainder() {
        sum += u64::from(*last) << 8;
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
