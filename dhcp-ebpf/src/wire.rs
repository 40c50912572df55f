//! Where things are in a DHCP frame, and the values they must have: Ethernet, VLAN tags, IPv4, UDP, BOOTP.

/// Ethernet II (IEEE 802.3) and VLAN tags (IEEE 802.1Q): offsets from the frame's first byte.
pub mod eth {
    /// Destination and source address together.
    pub const ADDRESSES: usize = 12;
    /// The header without tags: addresses and ethertype.
    pub const HEADER: usize = 14;
    /// What one VLAN tag adds.
    pub const TAG: usize = 4;
    /// Destination address, 6 bytes.
    pub const DST: usize = 0;
    /// Source address, 6 bytes.
    pub const SRC: usize = 6;
    /// Ethertype (or tag protocol) of an untagged frame.
    pub const TYPE: usize = 12;
    /// Ethertype of IPv4.
    pub const IPV4: u16 = 0x0800;
    /// Tag protocol of an 802.1Q tag.
    pub const DOT1Q: u16 = 0x8100;
    /// Tag protocol of an 802.1ad service tag (the outer one of QinQ).
    pub const DOT1AD: u16 = 0x88a8;
    /// The VLAN id within a tag's control field; the rest is priority.
    pub const VLAN_ID: u16 = 0x0fff;
}

/// IPv4 (RFC 791): offsets from the IP header's first byte.
pub mod ip {
    /// The header without options, the only kind that is looked into.
    pub const HEADER: usize = 20;
    /// Version and header length; `0x45` is IPv4 with 20 bytes of header.
    pub const VERSION_IHL: usize = 0;
    /// Total length, header included.
    pub const TOTAL: usize = 2;
    /// Flags and fragment offset.
    pub const FRAGMENT: usize = 6;
    /// Time to live, followed by the protocol.
    pub const TTL: usize = 8;
    /// Protocol; 17 is UDP.
    pub const PROTOCOL: usize = 9;
    /// Source address.
    pub const SRC: usize = 12;
    /// Destination address.
    pub const DST: usize = 16;
    /// The first byte of an IPv4 header without options.
    pub const V4_NO_OPTIONS: u8 = 0x45;
    /// Protocol number of UDP.
    pub const UDP: u8 = 17;
    /// More-fragments flag and fragment offset: any of them set means that this is a fragment.
    pub const IS_FRAGMENT: u16 = 0x3fff;
    /// The time to live that replies leave with (RFC 1700's default).
    pub const REPLY_TTL: u8 = 64;
}

/// UDP (RFC 768): offsets from the IP header's first byte.
pub mod udp {
    /// The UDP header's length.
    pub const HEADER: usize = 8;
    /// Source port.
    pub const SRC: usize = 20;
    /// Destination port.
    pub const DST: usize = 22;
    /// Length, header included.
    pub const LEN: usize = 24;
    /// Checksum over pseudo-header, header and payload; 0 means none.
    pub const CHECKSUM: usize = 26;
    /// The port that servers and relays listen on (RFC 2131 §4.1).
    pub const SERVER_PORT: u16 = 67;
    /// The port that clients listen on.
    pub const CLIENT_PORT: u16 = 68;
}

/// BOOTP's fixed part and the DHCP cookie (RFC 2131 §2, figure 1): offsets from the IP header's first byte.
pub mod bootp {
    /// Where the BOOTP message begins.
    pub const AT: usize = 28;
    /// op, htype, hlen, hops.
    pub const OP: usize = AT;
    /// Hardware address length.
    pub const HLEN: usize = AT + 2;
    /// Transaction id.
    pub const XID: usize = AT + 4;
    /// Seconds elapsed, followed by the flags.
    pub const SECS: usize = AT + 8;
    /// Flags; the top bit asks for broadcast.
    pub const FLAGS: usize = AT + 10;
    /// Client address, filled in by clients that have one.
    pub const CIADDR: usize = AT + 12;
    /// "Your" address.
    pub const YIADDR: usize = AT + 16;
    /// Next server in bootstrap.
    pub const SIADDR: usize = AT + 20;
    /// Relay agent address.
    pub const GIADDR: usize = AT + 24;
    /// Client hardware address, 16 bytes.
    pub const CHADDR: usize = AT + 28;
    /// Server name, 64 bytes.
    pub const SNAME: usize = AT + 44;
    /// Boot file name, 128 bytes.
    pub const FILE: usize = AT + 108;
    /// The cookie that says that options follow.
    pub const COOKIE: usize = AT + 236;
    /// The first option.
    pub const OPTIONS: usize = AT + 240;
    /// The fixed part with the cookie.
    pub const FIXED: usize = 240;
    /// The least a BOOTP message has (RFC 1542 §2.1).
    pub const MINIMUM: usize = 300;
    /// The cookie's value (RFC 2131 §3), raw.
    pub const COOKIE_RAW: u32 = u32::from_ne_bytes([99, 130, 83, 99]);
    /// op BOOTREQUEST, htype Ethernet, hlen 6 as raw bytes, hops masked out by [`HOPS_MASK`].
    pub const REQUEST_ETHERNET_RAW: u32 = u32::from_ne_bytes([1, 1, 6, 0]);
    /// op BOOTREPLY, htype Ethernet, hlen 6, hops 0 as raw bytes.
    pub const REPLY_ETHERNET_RAW: u32 = u32::from_ne_bytes([2, 1, 6, 0]);
    /// Takes the hops out of a raw op/htype/hlen/hops.
    pub const HOPS_MASK: u32 = u32::from_ne_bytes([255, 255, 255, 0]);
    /// The broadcast flag, raw.
    pub const BROADCAST_RAW: u16 = u16::from_ne_bytes([0x80, 0]);
}

/// Option codes that the packet logic knows by number.
pub mod option {
    /// Padding (RFC 2132 §3.1).
    pub const PAD: u8 = 0;
    /// DHCP message type (RFC 2132 §9.6).
    pub const MESSAGE_TYPE: u8 = 53;
    /// The message type DISCOVER as an option, raw; [`TYPE_MASK`] leaves out the octet behind it.
    pub const DISCOVER_RAW: u32 = u32::from_ne_bytes([MESSAGE_TYPE, 1, 1, 0]);
    /// Takes what follows out of the raw octets of a message type.
    pub const TYPE_MASK: u32 = u32::from_ne_bytes([255, 255, 255, 0]);
    /// End of options (RFC 2132 §3.2).
    pub const END: u8 = 255;
}

/// IPv4, UDP and the fixed BOOTP part together: the window that the packet logic looks through.
pub const HEADERS: usize = ip::HEADER + udp::HEADER + bootp::FIXED;
