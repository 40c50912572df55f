//! Chooses the client whose turn it is and lets it ask.

use crate::memory::{self, Cells, Client, count, disown};
use crate::packet::Packet;
use crate::write;
use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::bpf_ktime_get_ns;
use load_ebpf::client::{State, Word, shuffled};
use load_ebpf::counts::Count;
use load_ebpf::lane::{
    BITS, FIRST, IN_ORDER, Lane, POSITION, RETRY, SPAN, TIMED, TURN_END, TURN_FIRST, TURN_NEXT,
};

/// How many clients are looked at to find one that may begin.
const TRIES: u32 = 24;

/// Lets the next client without a lease look for one.
#[inline(always)]
pub fn discover(packet: Packet) -> u32 {
    begin(packet).unwrap_or_else(nobody)
}

#[inline(always)]
fn begin(packet: Packet) -> Option<u32> {
    let lane = memory::lane(Lane::Discover)?;
    let now = now();
    let (number, client, word) = next_idle(lane, now)?;
    let turn = word.turn().wrapping_add(1);
    client.begin(now);
    if !client.step(word, Word::new(0, turn, State::Selecting)) {
        return None;
    }
    sent(write::request(packet, memory::frame(Lane::Discover, number)?, number, turn, 0), Count::Discovers)
}

#[inline(always)]
fn next_idle(lane: Cells, now: u64) -> Option<(u32, Client, Word)> {
    let (first, span, bits) = (lane.get(FIRST) as u32, lane.get(SPAN), lane.get(BITS) as u32 & 31);
    let retry = lane.get(RETRY);
    if span == 0 {
        return None;
    }
    let mut tries = 0;
    while tries < TRIES {
        tries += 1;
        let position = lane.get(POSITION);
        if !lane.swap(POSITION, position, position + 1) {
            continue;
        }
        let offset = if bits == IN_ORDER { position % span } else { shuffled(position as u32, bits).into() };
        if offset >= span {
            continue;
        }
        let number = first + offset as u32;
        let client = memory::client(number)?;
        let word = client.word();
        let tired = retry != 0 && !word.has_lease() && now.wrapping_sub(client.since()) > retry;
        if word.is(State::Idle) || tired {
            return Some((number, client, word));
        }
    }
    None
}

/// Lets the next client of this CPU extend its lease.
#[inline(always)]
pub fn renew(packet: Packet) -> u32 {
    extend(packet).unwrap_or_else(nobody)
}

#[inline(always)]
fn extend(packet: Packet) -> Option<u32> {
    let lane = memory::lane(Lane::Renew)?;
    let (number, client, word) = next_bound(Lane::Renew)?;
    let turn = word.turn().wrapping_add(1);
    client.begin(if lane.get(TIMED) != 0 { now() } else { 0 });
    client.set(Word::new(word.address(), turn, State::Renewing));
    sent(
        write::request(packet, memory::frame(Lane::Renew, number)?, number, turn, word.address()),
        Count::Renewals,
    )
}

/// Lets the next client of this CPU give its lease back.
#[inline(always)]
pub fn leave(packet: Packet, lane: Lane) -> u32 {
    give_back(packet, lane).unwrap_or_else(nobody)
}

#[inline(always)]
fn give_back(packet: Packet, which: Lane) -> Option<u32> {
    let (number, client, word) = next_bound(which)?;
    let turn = word.turn().wrapping_add(1);
    if !client.step(word, Word::new(0, turn, State::Idle)) {
        return None;
    }
    disown(word.address());
    let counted = if matches!(which, Lane::Release) { Count::Releases } else { Count::Declines };
    sent(write::request(packet, memory::frame(which, number)?, number, turn, word.address()), counted)
}

#[inline(always)]
fn next_bound(lane: Lane) -> Option<(u32, Client, Word)> {
    let turns = memory::turns(lane)?;
    let number = turns.get(TURN_NEXT);
    let after = number + 1;
    turns.set(TURN_NEXT, if after >= turns.get(TURN_END) { turns.get(TURN_FIRST) } else { after });
    let client = memory::client(number as u32)?;
    let word = client.word();
    word.has_lease().then_some((number as u32, client, word))
}

#[inline(always)]
fn sent(written: bool, what: Count) -> Option<u32> {
    count(if written { what } else { Count::Nobody });
    Some(if written { xdp_action::XDP_TX } else { xdp_action::XDP_DROP })
}

#[inline(always)]
fn nobody() -> u32 {
    count(Count::Nobody);
    xdp_action::XDP_DROP
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_ns() }
}
