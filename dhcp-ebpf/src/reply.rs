//! Writes a reply over the request it answers: the same code in the driver and in the daemon.
//!
//! Nothing in a reply depends on the clock. Of the request it keeps what identifies it (VLAN tags, xid, giaddr,
//! chaddr); the rest is the [`Envelope`] and the answer.

use crate::abi::{Mac, NetAddr};
use crate::checksum::Sum;
use crate::frame::{Frame, forget};
use crate::question::Hash;
use crate::slot::{ANSWER_HEAD, AnswerHead, CHUNK_CELLS, Cells, Echo, MAX_CHUNKS, Run};
use crate::wire::{HEADERS, bootp, eth, ip, udp};

/// What sort of reply it is, as far as addressing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// DHCPOFFER.
    Offer,
    /// DHCPACK, to a REQUEST or an INFORM.
    Ack,
    /// DHCPNAK.
    Nak,
}

/// What a reply's addressing follows from.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The station that sent the request.
    pub eth_src: Mac,
    /// Client address in the request.
    pub ciaddr: NetAddr,
    /// Relay address in the request.
    pub giaddr: NetAddr,
    /// Client hardware address; of a client that is not on Ethernet, the station that sent the request.
    pub chaddr: Mac,
    /// The request's flags, raw.
    pub flags: u16,
}

/// Where a reply goes and what it says outside its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The station that the frame goes to.
    pub eth_dst: Mac,
    /// Our interface's address.
    pub eth_src: Mac,
    /// The server's address.
    pub ip_src: NetAddr,
    /// The client's or the relay's address, or broadcast.
    pub ip_dst: NetAddr,
    /// UDP destination port.
    pub port: u16,
    /// ciaddr of the reply.
    pub ciaddr: NetAddr,
    /// yiaddr of the reply.
    pub yiaddr: NetAddr,
    /// Flags of the reply, raw.
    pub flags: u16,
}

impl Envelope {
    /// Addresses a reply as RFC 2131 §4.1 (and, for a NAK, §4.3.2) has it; its fields as table 3.
    ///
    /// An ACK to a ciaddr goes to the station that sent the request: the client, or a router before it.
    #[must_use]
    #[inline(always)]
    pub fn address(kind: Kind, asked: &Asked, ours: Mac, server: NetAddr, yiaddr: NetAddr) -> Self {
        let relayed = !asked.giaddr.is_unspecified();
        let nak = matches!(kind, Kind::Nak);
        let ciaddr = if matches!(kind, Kind::Ack) { asked.ciaddr } else { NetAddr::UNSPECIFIED };
        let (eth_dst, ip_dst, port) = if relayed {
            (asked.eth_src, asked.giaddr, udp::SERVER_PORT)
        } else if nak {
            (Mac::BROADCAST, NetAddr::BROADCAST, udp::CLIENT_PORT)
        } else if !ciaddr.is_unspecified() {
            (asked.eth_src, ciaddr, udp::CLIENT_PORT)
        } else if asked.flags & bootp::BROADCAST_RAW != 0 {
            (Mac::BROADCAST, NetAddr::BROADCAST, udp::CLIENT_PORT)
        } else {
            (asked.chaddr, yiaddr, udp::CLIENT_PORT)
        };
        let flags = if relayed && nak { asked.flags | bootp::BROADCAST_RAW } else { asked.flags };
        Self { eth_dst, eth_src: ours, ip_src: server, ip_dst, port, ciaddr, yiaddr, flags }
    }
}

/// How long the frame will be.
#[inline(always)]
#[must_use]
pub fn frame_len(l3: usize, head: &AnswerHead) -> usize {
    l3 + bootp::AT + usize::from(head.at) + usize::from(head.len)
}

/// Makes room for a reply of `len` bytes: behind the request where the driver has it, else before it.
///
/// `None`: neither; the frame is as it was.
#[inline(always)]
pub fn make_room<F: Frame>(frame: &mut F, l3: usize, len: usize) -> Option<()> {
    let have = frame.len();
    if len <= have || frame.grow(len - have) {
        return Some(());
    }
    let by = len - have;
    if !frame.grow_front(by) {
        return None;
    }
    move_to_front(frame, l3, by)
}

/// Moves what a reply keeps of its request (tags, and BOOTP through chaddr) `by` bytes to the front, and puts behind
/// it what a plain request has there: no names, and the cookie.
///
/// `None`: the frame ends too early.
#[inline(always)]
fn move_to_front<F: Frame>(frame: &mut F, l3: usize, by: usize) -> Option<()> {
    const KEPT: usize = eth::HEADER + 2 * eth::TAG + bootp::SNAME;
    let mut at = 0;
    while at < KEPT {
        let word = frame.window::<8>(by + at)?.raw64::<0>();
        frame.window::<8>(at)?.set_raw64::<0>(word);
        at += 8;
    }
    let names = frame.window::<{ bootp::OPTIONS - bootp::SNAME }>(l3 + bootp::SNAME)?;
    macro_rules! clear {
        ($($index:literal)*) => { $(names.set_raw64::<{ 8 * $index }>(0);)* };
    }
    clear!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23);
    names.set_raw32::<{ bootp::COOKIE - bootp::SNAME }>(bootp::COOKIE_RAW);
    Some(())
}

/// Writes Ethernet, IP, UDP and the fixed part of BOOTP, checksums included. The answer's body is not written yet, nor what
/// is echoed, which adds `echoed` to the sum.
///
/// `None`: the frame ends too early.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "a body has at most MAX_BODY bytes")]
pub fn write_headers<F: Frame>(
    frame: &mut F,
    l3: usize,
    to: &Envelope,
    head: &AnswerHead,
    echoed: Sum,
) -> Option<()> {
    let l2 = frame.window::<{ eth::ADDRESSES }>(0)?;
    l2.set_raw32::<{ eth::DST }>(to.eth_dst.head);
    l2.set_raw16::<{ eth::DST + 4 }>(to.eth_dst.tail);
    l2.set_raw32::<{ eth::SRC }>(to.eth_src.head);
    l2.set_raw16::<{ eth::SRC + 4 }>(to.eth_src.tail);

    let udp_len = (udp::HEADER as u16 + head.at + head.len).to_be();
    let total = (ip::HEADER as u16 + udp::HEADER as u16 + head.at + head.len).to_be();
    let headers = frame.window::<HEADERS>(l3)?;

    let first = u32::from_ne_bytes([ip::V4_NO_OPTIONS, 0, 0, 0]);
    let ttl = u16::from_ne_bytes([ip::REPLY_TTL, ip::UDP]);
    let ip_sum = Sum::default().raw32(first).raw16(total).raw16(ttl).raw32(to.ip_src.0).raw32(to.ip_dst.0);
    headers.set_raw16::<0>(first as u16);
    headers.set_raw16::<{ ip::TOTAL }>(total);
    headers.set_raw32::<4>(0);
    headers.set_raw16::<{ ip::TTL }>(ttl);
    headers.set_raw16::<10>(ip_sum.checksum());
    headers.set_raw32::<{ ip::SRC }>(to.ip_src.0);
    headers.set_raw32::<{ ip::DST }>(to.ip_dst.0);

    // op becomes BOOTREPLY, hops 0; htype and hlen stay.
    let op = headers.raw32::<{ bootp::OP }>() & u32::from_ne_bytes([0, 255, 255, 0])
        | u32::from_ne_bytes([2, 0, 0, 0]);
    let ports = u32::from(udp::SERVER_PORT.to_be()) + u32::from(to.port.to_be());
    // The body's sum has the cookie in it when the body begins before the cookie.
    let cookie = if usize::from(head.at) == bootp::FIXED { bootp::COOKIE_RAW } else { 0 };
    let sum = Sum::from_folded(head.sum)
        .raw32(to.ip_src.0)
        .raw32(to.ip_dst.0)
        .raw16(u16::from(ip::UDP).to_be())
        .raw16(udp_len)
        .raw32(ports)
        .raw16(udp_len)
        .raw32(op)
        .raw32(headers.raw32::<{ bootp::XID }>())
        .raw16(to.flags)
        .raw32(to.ciaddr.0)
        .raw32(to.yiaddr.0)
        .raw32(head.siaddr.0)
        .raw32(headers.raw32::<{ bootp::GIADDR }>())
        .raw64(headers.raw64::<{ bootp::CHADDR }>())
        .raw64(headers.raw64::<{ bootp::CHADDR + 8 }>())
        .raw32(cookie)
        .plus(echoed);
    headers.set_raw16::<{ udp::SRC }>(udp::SERVER_PORT.to_be());
    headers.set_raw16::<{ udp::DST }>(to.port.to_be());
    headers.set_raw16::<{ udp::LEN }>(udp_len);
    headers.set_raw16::<{ udp::CHECKSUM }>(sum.udp_checksum());
    headers.set_raw32::<{ bootp::OP }>(op);
    headers.set_raw16::<{ bootp::SECS }>(0);
    headers.set_raw16::<{ bootp::FLAGS }>(to.flags);
    headers.set_raw32::<{ bootp::CIADDR }>(to.ciaddr.0);
    headers.set_raw32::<{ bootp::YIADDR }>(to.yiaddr.0);
    headers.set_raw32::<{ bootp::SIADDR }>(head.siaddr.0);
    Some(())
}

/// Writes the answer's body from its chunks, 8 bytes at a time and 4 at the end.
///
/// `None`: the frame ends too early, or a chunk is missing.
#[inline(always)]
pub fn write_body<F: Frame, C: Cells>(
    frame: &mut F,
    l3: usize,
    head: &AnswerHead,
    chunk: impl Fn(usize) -> Option<C>,
) -> Option<()> {
    let mut at = l3 + bootp::AT + usize::from(head.at);
    let end = at + usize::from(head.len);
    let mut index = 0;
    let mut cell = ANSWER_HEAD;
    while index < MAX_CHUNKS && at < end {
        let cells = chunk(index)?;
        while cell < CHUNK_CELLS && at + 8 <= end {
            frame.window::<8>(at)?.set_raw64::<0>(cells.load(cell));
            at += 8;
            cell += 1;
        }
        if cell < CHUNK_CELLS {
            if at < end {
                #[expect(clippy::cast_possible_truncation, reason = "the first half in memory order")]
                let first_half = u64::from_le(cells.load(cell)) as u32;
                frame.window::<4>(at)?.set_raw32::<0>(first_half.to_le());
            }
            return Some(());
        }
        cell = 0;
        index += 1;
    }
    (at == end).then_some(())
}

/// What comes back of a question, taken from the request before the answer is written over it.
///
/// Only of a question that was recognised: so its options are those that the [`Echo`] was made for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echoes([Copied; 2]);

/// A run of octets, in words, and once more its last eight: so its end is written without what follows it.
#[derive(Clone, Copy, Debug, Default)]
struct Copied {
    words: [u64; Run::LONGEST / 8],
    last: u64,
    len: usize,
    sum: Sum,
}

/// The words that [`Copied`] has.
macro_rules! for_each_word {
    ($do:ident) => {
        $do!(0 1 2 3 4 5 6 7)
    };
}

impl Echoes {
    /// Takes what comes back of the options at `options_at`, whose hash is `noise` for the verifier.
    ///
    /// `None`: the frame ends too early.
    #[inline(always)]
    pub fn take<F: Frame>(frame: &mut F, options_at: usize, echo: Echo, noise: Hash) -> Option<Self> {
        let [first, second] = echo.runs();
        Some(Self([
            Copied::take(frame, options_at, first, noise)?,
            Copied::take(frame, options_at, second, noise)?,
        ]))
    }

    /// What they add to the datagram's sum where they go.
    #[inline(always)]
    #[must_use]
    pub fn sum(&self, head: &AnswerHead) -> Sum {
        let Self([first, second]) = self;
        let at = usize::from(head.echo_at);
        first.sum.from_offset(at).plus(second.sum.from_offset(at + first.len))
    }

    /// Writes them where the answer has room for them.
    ///
    /// `None`: the frame ends too early.
    #[inline(always)]
    pub fn put<F: Frame>(&self, frame: &mut F, l3: usize, head: &AnswerHead) -> Option<()> {
        let Self([first, second]) = self;
        let at = l3 + bootp::AT + usize::from(head.at) + usize::from(head.echo_at);
        first.put(frame, at)?;
        second.put(frame, at + first.len)
    }
}

impl Copied {
    #[inline(always)]
    fn take<F: Frame>(frame: &mut F, options_at: usize, run: Run, noise: Hash) -> Option<Self> {
        // All noise, never zero: to the verifier memory that is zero on one way is other memory than what was read on the next, and
        // it would follow the rest of the program once for every length.
        let mut copied = Self {
            words: [noise.0; Run::LONGEST / 8],
            last: noise.0,
            len: forget(0, noise.0),
            sum: Sum::default().forgotten(noise.0),
        };
        if run.len < Run::SHORTEST {
            return Some(copied);
        }
        copied.sum = Sum::default();
        let at = options_at + run.at;
        macro_rules! take {
            ($($index:literal)*) => { $(
                if run.len >= 8 * $index + 8 {
                    copied.words[$index] = frame.window::<8>(at + 8 * $index)?.raw64::<0>();
                    copied.sum = copied.sum.raw64(copied.words[$index]);
                }
            )* };
        }
        for_each_word!(take);
        copied.last = frame.window::<8>(at + run.len - 8)?.raw64::<0>();
        // The octets beyond the last whole word are at the top of the word that ends with them.
        let rest = (u64::from_le(copied.last) >> 1) >> (63 - 8 * (run.len % 8));
        copied.sum = copied.sum.raw64(rest.to_le()).forgotten(noise.0);
        // How many words there were is known on each way here; from here on they are one way.
        copied.len = forget(run.len, noise.0);
        Some(copied)
    }

    #[inline(always)]
    fn put<F: Frame>(&self, frame: &mut F, at: usize) -> Option<()> {
        if self.len < Run::SHORTEST {
            return Some(());
        }
        macro_rules! put {
            ($($index:literal)*) => { $(
                if self.len >= 8 * $index + 8 {
                    frame.window::<8>(at + 8 * $index)?.set_raw64::<0>(self.words[$index]);
                }
            )* };
        }
        for_each_word!(put);
        frame.window::<8>(at + self.len - 8)?.set_raw64::<0>(self.last);
        Some(())
    }
}
