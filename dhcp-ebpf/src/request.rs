//! From a frame to a request: where the DHCP message lies, and whether it is plain enough to be a question.

use crate::abi::{Link, Mac, NetAddr};
use crate::checksum::Sum;
use crate::frame::{Frame, Window, opaque};
use crate::verdict::{Message, Passed, Renewal, Why};
use crate::wire::{HEADERS, bootp, eth, ip, option, udp};

/// A frame that is UDP over IPv4 to port 67.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// Offset of the IP header.
    pub l3: usize,
    /// Interface and VLAN ids.
    pub link: Link,
    /// The station that sent the frame: the client, a router or a relay.
    pub eth_src: Mac,
    /// The station that it was sent to.
    pub eth_dst: Mac,
    /// The IP destination.
    pub ip_dst: NetAddr,
}

/// Finds the DHCP message in a frame, behind up to two VLAN tags.
///
/// # Errors
/// Why the frame is none of ours. Fragments and IP options are not looked into: the stack deals with them.
#[inline(always)]
pub fn locate<F: Frame>(frame: &mut F, ifindex: u32) -> Result<Located, Passed> {
    let l2 = frame.window::<{ eth::HEADER }>(0).ok_or(Passed::NotIpv4)?;
    let eth_dst = Mac::from_raw(l2.raw32::<{ eth::DST }>(), l2.raw16::<{ eth::DST + 4 }>());
    let eth_src = Mac::from_raw(l2.raw32::<{ eth::SRC }>(), l2.raw16::<{ eth::SRC + 4 }>());
    let mut link = Link { ifindex, outer: 0, inner: 0 };
    let mut l3 = eth::HEADER;
    let mut ethertype = l2.be16::<{ eth::TYPE }>();
    if ethertype != eth::IPV4 {
        (ethertype, link.outer) = untag(frame, l3, ethertype)?;
        l3 += eth::TAG;
        if ethertype != eth::IPV4 {
            (ethertype, link.inner) = untag(frame, l3, ethertype)?;
            l3 += eth::TAG;
            if ethertype != eth::IPV4 {
                return Err(Passed::NotIpv4);
            }
        }
    }
    let l3_header = frame.window::<{ ip::HEADER + udp::HEADER }>(l3).ok_or(Passed::NotUdp)?;
    if l3_header.u8::<{ ip::PROTOCOL }>() != ip::UDP {
        return Err(Passed::NotUdp);
    }
    if l3_header.u8::<{ ip::VERSION_IHL }>() != ip::V4_NO_OPTIONS {
        return Err(Passed::IpOptions);
    }
    if l3_header.be16::<{ ip::FRAGMENT }>() & ip::IS_FRAGMENT != 0 {
        return Err(Passed::Fragment);
    }
    if l3_header.be16::<{ udp::DST }>() != udp::SERVER_PORT {
        return Err(Passed::NotDhcp);
    }
    Ok(Located { l3, link, eth_src, eth_dst, ip_dst: NetAddr(l3_header.raw32::<{ ip::DST }>()) })
}

/// Reads the tag that ends at `l3 + TAG`: the ethertype behind it and its VLAN id.
#[inline(always)]
fn untag<F: Frame>(frame: &mut F, l3: usize, protocol: u16) -> Result<(u16, u16), Passed> {
    if protocol != eth::DOT1Q && protocol != eth::DOT1AD {
        return Err(Passed::NotIpv4);
    }
    let tag = frame.window::<{ eth::TAG }>(l3).ok_or(Passed::NotIpv4)?;
    Ok((tag.be16::<2>(), tag.be16::<0>() & eth::VLAN_ID))
}

/// A REQUEST-shaped message of an Ethernet client, its fixed part checked. What its options say is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The IP source.
    pub ip_src: NetAddr,
    /// Client address.
    pub ciaddr: NetAddr,
    /// Relay address.
    pub giaddr: NetAddr,
    /// Client hardware address.
    pub chaddr: Mac,
    /// The flags, raw.
    pub flags: u16,
    /// Offset of the first option in the frame.
    pub options_at: usize,
    /// Bytes of the option area.
    pub options_len: usize,
}

/// Reads the fixed part of the message that was located.
///
/// # Errors
/// Why it is no plain client's: the daemon will look at it.
#[inline(always)]
pub fn read<F: Frame>(frame: &mut F, located: &Located) -> Result<Request, Why> {
    let len = frame.len();
    let headers = frame.window::<HEADERS>(located.l3).ok_or(Why::BadLength)?;
    let total = usize::from(headers.be16::<{ ip::TOTAL }>());
    if located.l3 + total > len
        || usize::from(headers.be16::<{ udp::LEN }>()) + ip::HEADER != total
        || total <= HEADERS
    {
        return Err(Why::BadLength);
    }
    if ip_sum(headers).folded() != 0xffff {
        return Err(Why::BadChecksum);
    }
    if headers.raw32::<{ bootp::OP }>() & bootp::HOPS_MASK != bootp::REQUEST_ETHERNET_RAW
        || headers.raw32::<{ bootp::COOKIE }>() != bootp::COOKIE_RAW
        || !padding_is_zero(headers)
    {
        return Err(Why::UnusualHeader);
    }
    Ok(Request {
        ip_src: NetAddr(headers.raw32::<{ ip::SRC }>()),
        ciaddr: NetAddr(headers.raw32::<{ bootp::CIADDR }>()),
        giaddr: NetAddr(headers.raw32::<{ bootp::GIADDR }>()),
        chaddr: Mac::from_raw(headers.raw32::<{ bootp::CHADDR }>(), headers.raw16::<{ bootp::CHADDR + 4 }>()),
        flags: headers.raw16::<{ bootp::FLAGS }>(),
        options_at: located.l3 + bootp::OPTIONS,
        options_len: total - HEADERS,
    })
}

/// The sum over the whole IP header.
#[inline(always)]
fn ip_sum(headers: &Window<HEADERS>) -> Sum {
    Sum::default().raw64(headers.raw64::<0>()).raw64(headers.raw64::<8>()).raw32(headers.raw32::<16>())
}

/// Whether the datagram's checksum is right, given the sum of its options: the rest of it is added up here, but for chaddr's
/// padding, sname and file, which [`read`] has found to be zero.
///
/// There may be none (RFC 768). And a frame from a socket on this very machine may leave the datagram's own part to a card
/// that it never passes: what is there then is the sum of the pseudo-header.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "a product of three 16-bit numbers, and 64 bits wherever it matters"
)]
pub fn is_sum_right<F: Frame>(frame: &mut F, l3: usize, options: Sum) -> Option<bool> {
    let headers = frame.window::<HEADERS>(l3)?;
    let checksum = headers.raw16::<{ udp::CHECKSUM }>();
    let pseudo = Sum::default()
        .raw64(headers.raw64::<{ ip::SRC }>())
        .raw16(u16::from(ip::UDP).to_be())
        .raw16(headers.raw16::<{ udp::LEN }>());
    let all = pseudo
        .raw64(headers.raw64::<{ udp::SRC }>())
        .raw64(headers.raw64::<{ bootp::OP }>())
        .raw64(headers.raw64::<{ bootp::SECS }>())
        .raw64(headers.raw64::<{ bootp::YIADDR }>())
        .raw64(headers.raw64::<{ bootp::GIADDR }>())
        .raw16(headers.raw16::<{ bootp::CHADDR + 4 }>())
        .raw32(bootp::COOKIE_RAW)
        .plus(options);
    // One of the three is zero, in one comparison: each more would be a way of its own through the rest of the program.
    let wrong = u64::from(!all.folded()) * u64::from(checksum) * u64::from(checksum ^ pseudo.folded());
    Some(opaque(wrong as usize) == 0)
}

/// Whether chaddr's padding, sname and file hold nothing.
#[inline(always)]
fn padding_is_zero(headers: &Window<HEADERS>) -> bool {
    macro_rules! words {
        ($($index:literal)*) => { 0 $(| headers.raw64::<{ bootp::SNAME + 8 * $index }>())* };
    }
    let chaddr =
        u64::from(headers.raw16::<{ bootp::CHADDR + 6 }>()) | headers.raw64::<{ bootp::CHADDR + 8 }>();
    let names = words!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23);
    chaddr | names == 0
}

impl Request {
    /// The state that a client is in when it sends this (RFC 2131 §4.3.2, table 4), if it is a REQUEST.
    #[must_use]
    #[inline(always)]
    pub const fn state(&self, ip_dst: NetAddr) -> Renewal {
        if self.ciaddr.is_unspecified() {
            Renewal::InitReboot
        } else if ip_dst.is_broadcast() || !self.giaddr.is_unspecified() {
            Renewal::Rebinding
        } else {
            Renewal::Renewing
        }
    }
}

/// Whether the first option says DISCOVER, as it does with most clients. Only REQUESTs are shared with the kernel, so none
/// of its questions begins so.
#[inline(always)]
pub fn begins_as_discover<F: Frame>(frame: &mut F, request: &Request) -> bool {
    frame
        .window::<4>(request.options_at)
        .is_some_and(|first| first.raw32::<0>() & option::TYPE_MASK == option::DISCOVER_RAW)
}

/// How many options the shallow walk looks at. Clients put the message type first, or nearly.
const SHALLOW: usize = 16;

/// What the message seems to be, by an option 53 among its first options: good enough to choose a ring by, and used
/// for nothing else.
#[inline(always)]
pub fn message<F: Frame>(frame: &mut F, l3: usize) -> Message {
    let mut at = l3 + bootp::OPTIONS;
    let mut seen = 0;
    while seen < SHALLOW {
        let Some(next) = frame.window::<3>(at) else { return Message::Other };
        at += match next.u8::<0>() {
            option::MESSAGE_TYPE => return Message::from_type(next.u8::<2>()),
            option::END => return Message::Other,
            option::PAD => 1,
            _ => 2 + usize::from(next.u8::<1>()),
        };
        seen += 1;
    }
    Message::Other
}
