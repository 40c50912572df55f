//! The least that an answer can cost that rests on a lease: one line of memory found by its place, one swap, one shared answer.
//!
//! It looks at nothing but what it needs: no option, no checksum, no identity. A server that does all that is right has this
//! beneath it.

use crate::memory::{self, Cells};
use crate::packet::{Octets, Packet};
use aya_ebpf::bindings::xdp_action;

const IPV4: u16 = 0x0800;
const BOOTP: usize = 28;
const OPTIONS: usize = BOOTP + 240;
/// What an answer is long behind the IP header's start, and each request here.
const LENGTH: usize = BOOTP + 300;
const SERVER_PORT: u16 = (67_u16).to_be();

/// Answers a request with ciaddr.
#[inline(always)]
pub fn answer(packet: Packet) -> u32 {
    let answered = packet.reach(0, 22 + LENGTH).map(|frame| frame.be16(16) == IPV4 || frame.be16(20) == IPV4);
    let done = match answered {
        Some(true) => behind_tags(packet),
        _ => behind::<14>(packet),
    };
    if done.is_some() { xdp_action::XDP_TX } else { xdp_action::XDP_DROP }
}

#[inline(always)]
fn behind_tags(packet: Packet) -> Option<()> {
    match packet.reach(0, 22)?.be16(16) {
        IPV4 => behind::<18>(packet),
        _ => behind::<22>(packet),
    }
}

#[inline(always)]
fn behind<const IP: usize>(packet: Packet) -> Option<()> {
    let frame = packet.reach(0, IP + LENGTH)?;
    let ciaddr = frame.get::<u32>(IP + BOOTP + 12);
    let lease = memory::floor(ciaddr)?;
    let judged = lease.get(0);
    write::<IP>(frame, memory::floor_answer()?, ciaddr);
    lease.swap(0, judged, judged.wrapping_add(1)).then_some(())
}

/// Back where it came from; the sum of the IP header stays, and UDP has none.
#[inline(always)]
fn write<const IP: usize>(frame: Octets, options: Cells, ciaddr: u32) {
    let (dst, src) = (frame.get::<u32>(0), frame.get::<u32>(6));
    let (dst_end, src_end) = (frame.get::<u16>(4), frame.get::<u16>(10));
    frame.set(0, src);
    frame.set(4, src_end);
    frame.set(6, dst);
    frame.set(10, dst_end);
    let (from, to) = (frame.get::<u32>(IP + 12), frame.get::<u32>(IP + 16));
    frame.set(IP + 12, to);
    frame.set(IP + 16, from);
    let port = frame.get::<u16>(IP + 20);
    frame.set(IP + 20, SERVER_PORT);
    frame.set(IP + 22, port);
    frame.set(IP + 26, 0_u16);
    frame.set(IP + BOOTP, 2_u8);
    frame.set(IP + BOOTP + 16, ciaddr);
    let mut cell = 0;
    while cell < 7 {
        frame.set(IP + OPTIONS + 8 * cell, options.get(cell));
        cell += 1;
    }
    frame.set(IP + OPTIONS + 56, options.get(7) as u32);
}
