//! Judges what comes to the clients, and goes on from an OFFER to its REQUEST.

use crate::memory::{self, Client, count, counted, own, took};
use crate::packet::{Octets, Packet};
use crate::verify;
use crate::{send, write};
use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::bpf_ktime_get_ns;
use load_ebpf::client::{self, State, Word};
use load_ebpf::counts::Count;
use load_ebpf::lane::{CHAIN, Lane};
use load_ebpf::latency::Kind;

const IPV4: u16 = 0x0800;
const TAG: u16 = 0x8100;
const SERVICE_TAG: u16 = 0x88a8;
const UDP: u8 = 17;
const BOOTP: usize = 28;
const OPTIONS: usize = BOOTP + 240;
/// Behind the IP header's start: the fixed part, and the first option.
const LOOKED_AT: usize = OPTIONS + 4;
const COOKIE: u32 = u32::from_ne_bytes([99, 130, 83, 99]);

const OFFER: u8 = 2;
const ACK: u8 = 5;
const NAK: u8 = 6;

/// One reply in so many is inspected to its last octet; a power of two.
const INSPECTED: u64 = 64;

/// What became of a frame.
enum Judged {
    /// Nothing more is to be done.
    Done(Count),
    /// It is for somebody else.
    Foreign,
    /// The client accepts what it was offered.
    Accepts { number: u32, turn: u8, address: u32 },
    /// The client has its lease.
    Bound,
}

/// Judges a frame. All that concerns our clients ends here.
#[inline(always)]
pub fn judge(packet: Packet) -> u32 {
    let judged = match link_header(packet) {
        14 => judge_behind::<14>(packet),
        18 => judge_behind::<18>(packet),
        22 => judge_behind::<22>(packet),
        _ => Judged::Foreign,
    };
    match judged {
        Judged::Done(what) => {
            count(what);
            xdp_action::XDP_DROP
        }
        Judged::Foreign => {
            count(Count::Foreign);
            xdp_action::XDP_PASS
        }
        Judged::Accepts { number, turn, address } => {
            count(Count::Offers);
            accept(packet, number, turn, address)
        }
        Judged::Bound => {
            count(Count::Bound);
            match memory::lane(Lane::Discover) {
                Some(lane) if lane.get(CHAIN) != 0 => send::discover(packet),
                _ => xdp_action::XDP_DROP,
            }
        }
    }
}

/// Octets before the IP header, or 0.
#[inline(always)]
fn link_header(packet: Packet) -> usize {
    let Some(frame) = packet.reach(0, 22 + LOOKED_AT) else { return 0 };
    let tagged = |at: usize| matches!(frame.be16(at), TAG | SERVICE_TAG);
    match frame.be16(12) {
        IPV4 => 14,
        _ if tagged(12) && frame.be16(16) == IPV4 => 18,
        _ if tagged(12) && tagged(16) && frame.be16(20) == IPV4 => 22,
        _ => 0,
    }
}

#[inline(always)]
fn judge_behind<const IP: usize>(packet: Packet) -> Judged {
    let Some(frame) = packet.reach(0, IP + LOOKED_AT) else { return Judged::Foreign };
    let Some(number) = addressee::<IP>(frame) else { return Judged::Foreign };
    if !verify::ip_header(frame, IP) {
        return Judged::Done(Count::WrongHeader);
    }
    let udp_len = frame.be16(IP + 24);
    if frame.be16(IP + 2) != udp_len.wrapping_add(20) || packet.len() != IP + 20 + usize::from(udp_len) {
        return Judged::Done(Count::WrongLength);
    }
    let Some(client) = memory::client(number) else { return Judged::Done(Count::WrongClient) };
    let word = client.word();
    let xid = frame.get::<u32>(IP + BOOTP + 4);
    if xid & !0xff != client::xid(number, 0) {
        return Judged::Done(Count::WrongXid);
    }
    if xid != client::xid(number, word.turn()) {
        return Judged::Done(Count::Late);
    }
    if frame.get::<u8>(IP + BOOTP) == 1 {
        return reflected::<IP>(frame, client, word);
    }
    if frame.get::<u32>(IP + BOOTP + 236) != COOKIE {
        return Judged::Done(Count::WrongType);
    }
    if counted(Count::Renewed).is_multiple_of(INSPECTED) || word.is(State::Requesting) {
        count(Count::Inspected);
        if !verify::udp(packet, IP, udp_len) {
            return Judged::Done(Count::WrongChecksum);
        }
        if !verify::options(packet, IP + OPTIONS, word.0) {
            return Judged::Done(Count::WrongOptions);
        }
    }
    // The frame's start may have moved for the verifier's taste.
    let Some(frame) = packet.reach(0, IP + LOOKED_AT) else { return Judged::Foreign };
    let kind = if frame.get::<u8>(IP + OPTIONS) == 53 {
        frame.get::<u8>(IP + OPTIONS + 2)
    } else {
        verify::message_type(packet, IP + OPTIONS)
    };
    let address = frame.get::<u32>(IP + BOOTP + 16);
    match kind {
        OFFER => offered(client, number, word, address),
        ACK => acknowledged(client, number, word, address),
        NAK => refused(client, word),
        _ => Judged::Done(Count::WrongType),
    }
}

/// The number of our client that a DHCP frame is about.
#[inline(always)]
fn addressee<const IP: usize>(frame: Octets) -> Option<u32> {
    let dhcp = frame.get::<u8>(IP) == 0x45
        && frame.get::<u8>(IP + 9) == UDP
        && matches!(frame.be16(IP + 22), 67 | 68);
    if !dhcp {
        return None;
    }
    client::number(frame.get(IP + BOOTP + 28), frame.get(IP + BOOTP + 32))
}

/// A request that came back as it was.
#[inline(always)]
fn reflected<const IP: usize>(frame: Octets, client: Client, word: Word) -> Judged {
    let ciaddr = frame.get::<u32>(IP + BOOTP + 12);
    if ciaddr != 0 && ciaddr != word.address() {
        return Judged::Done(Count::WrongAddress);
    }
    if !word.is(State::Renewing) {
        return Judged::Done(Count::Repeated);
    }
    extended(client, word, Count::Reflected)
}

#[inline(always)]
fn offered(client: Client, number: u32, word: Word, address: u32) -> Judged {
    if !word.is(State::Selecting) || !client.step(word, Word::new(address, word.turn(), State::Requesting)) {
        return Judged::Done(Count::Repeated);
    }
    if client.since() != 0 {
        took(Kind::Offer, now().wrapping_sub(client.since()));
    }
    Judged::Accepts { number, turn: word.turn(), address }
}

#[inline(always)]
fn acknowledged(client: Client, number: u32, word: Word, address: u32) -> Judged {
    if word.is(State::Idle) || word.is(State::Selecting) {
        return Judged::Done(Count::WrongType);
    }
    if address != word.address() {
        return Judged::Done(Count::WrongAddress);
    }
    if word.is(State::Renewing) {
        return extended(client, word, Count::Renewed);
    }
    if word.is(State::Bound) || !client.step(word, Word::new(address, word.turn(), State::Bound)) {
        return Judged::Done(Count::Repeated);
    }
    if !own(address, number) {
        return Judged::Done(Count::TwiceGiven);
    }
    if client.since() != 0 {
        took(Kind::Exchange, now().wrapping_sub(client.since()));
    }
    Judged::Bound
}

#[inline(always)]
fn extended(client: Client, word: Word, counts_as: Count) -> Judged {
    let since = client.since();
    if !client.step(word, Word::new(word.address(), word.turn(), State::Bound)) {
        return Judged::Done(Count::Late);
    }
    if since != 0 {
        took(Kind::Renewal, now().wrapping_sub(since));
    }
    Judged::Done(counts_as)
}

#[inline(always)]
fn refused(client: Client, word: Word) -> Judged {
    if word.is(State::Requesting) {
        client.step(word, Word::new(0, word.turn(), State::Idle));
    }
    Judged::Done(Count::Refused)
}

/// Turns the OFFER into the REQUEST that answers it.
#[inline(always)]
fn accept(packet: Packet, number: u32, turn: u8, address: u32) -> u32 {
    let written = memory::frame(Lane::Select, number)
        .is_some_and(|frame| write::request(packet, frame, number, turn, address));
    if written {
        count(Count::Requests);
        xdp_action::XDP_TX
    } else {
        xdp_action::XDP_DROP
    }
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_ns() }
}
