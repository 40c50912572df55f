//! The reasons why a frame is no DHCP request.

use thiserror::Error;

/// A defect that made a frame useless. Each has a counter of its own ([`Malformed::name`]); none is ever answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
pub enum Malformed {
    /// Not a UDP datagram over IPv4 to port 67.
    #[error("not IPv4/UDP to port 67")]
    NotDhcp,
    /// The frame ends inside a header.
    #[error("the frame ends inside a header")]
    Truncated,
    /// More than two VLAN tags.
    #[error("more than two VLAN tags")]
    TooManyTags,
    /// An IPv4 header with options, or of less than 20 octets.
    #[error("an IPv4 header that is not of 20 octets")]
    IpHeaderLength,
    /// A total length that the frame does not hold.
    #[error("an IPv4 total length that the frame does not hold")]
    IpLength,
    /// A fragment: whole datagrams only.
    #[error("a fragment")]
    Fragment,
    /// A wrong IPv4 header checksum.
    #[error("a wrong IPv4 header checksum")]
    IpChecksum,
    /// A source address that no host can have.
    #[error("a source address that no host can have")]
    IpSource,
    /// A UDP length that disagrees with the IPv4 total length.
    #[error("a UDP length that disagrees with the IPv4 length")]
    UdpLength,
    /// A wrong UDP checksum.
    #[error("a wrong UDP checksum")]
    UdpChecksum,
    /// A datagram too short for the BOOTP header and the cookie.
    #[error("too short for a BOOTP header and the magic cookie")]
    Short,
    /// `op` is not BOOTREQUEST.
    #[error("op is not BOOTREQUEST")]
    NotRequest,
    /// `hlen` is above the 16 octets of chaddr.
    #[error("hlen above 16")]
    HardwareAddressLength,
    /// The magic cookie (RFC 2131 §3) is another.
    #[error("a wrong magic cookie")]
    Cookie,
    /// `giaddr` is an address that no relay can have.
    #[error("a giaddr that no relay can have")]
    RelayAddress,
    /// `ciaddr` is an address that no client can have.
    #[error("a ciaddr that no client can have")]
    ClientAddress,
    /// An option runs past the end of its field.
    #[error("an option that runs past the end of its field")]
    OptionTruncated,
    /// Option 52 with a value that has no meaning, or inside an overloaded field.
    #[error("an impossible option overload")]
    Overload,
    /// An option of a fixed length that has another.
    #[error("option {0} of a wrong length")]
    OptionLength(u8),
    /// Option 53 says what is no message type, or is there more than once.
    #[error("no message type of DHCP")]
    MessageType,
    /// A message that only servers send.
    #[error("a message that only servers send")]
    ServerMessage,
    /// A client identifier shorter than the two octets of RFC 2132 §9.14, or longer than 255.
    #[error("a client identifier of an impossible length")]
    ClientIdentifier,
    /// Neither a client identifier nor a hardware address.
    #[error("neither client identifier nor hardware address")]
    NoIdentity,
}

impl Malformed {
    /// Its name as a counter.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotDhcp => "not-dhcp",
            Self::Truncated => "truncated",
            Self::TooManyTags => "too-many-tags",
            Self::IpHeaderLength => "ip-header-length",
            Self::IpLength => "ip-length",
            Self::Fragment => "fragment",
            Self::IpChecksum => "ip-checksum",
            Self::IpSource => "ip-source",
            Self::UdpLength => "udp-length",
            Self::UdpChecksum => "udp-checksum",
            Self::Short => "short",
            Self::NotRequest => "not-request",
            Self::HardwareAddressLength => "hardware-address-length",
            Self::Cookie => "cookie",
            Self::RelayAddress => "relay-address",
            Self::ClientAddress => "client-address",
            Self::OptionTruncated => "option-truncated",
            Self::Overload => "overload",
            Self::OptionLength(_) => "option-length",
            Self::MessageType => "message-type",
            Self::ServerMessage => "server-message",
            Self::ClientIdentifier => "client-identifier",
            Self::NoIdentity => "no-identity",
        }
    }
}
