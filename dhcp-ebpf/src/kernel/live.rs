//! Frames that the daemon has the kernel send: each run of a call takes the next, and the driver sends what it is made of.

use super::maps::{self, MapCells};
use super::packet::Packet;
use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::programs::RawTracePointContext;
use dhcp_ebpf::abi::live::{Call, FRAME, LAST, LEN, LONGEST, MARK};
use dhcp_ebpf::frame::{Frame as _, bounded};
use dhcp_ebpf::slot::Cells as _;

/// Octets that are copied at once.
const BLOCK: usize = 64;

/// Whether a frame is one of the daemon's, still to be written.
#[inline(always)]
pub fn is_blank(packet: &Packet) -> bool {
    packet.metadata() == MARK && maps::call().is_some_and(|call| call.load(Call::COUNT) != 0)
}

/// Writes the next frame of the call over a blank one, and sends it. Blank ones beyond the last are dropped.
#[inline(never)]
pub fn send(packet: &mut Packet) -> u32 {
    if write_next(packet).is_some() { xdp_action::XDP_TX } else { xdp_action::XDP_DROP }
}

#[inline(always)]
fn write_next(packet: &mut Packet) -> Option<()> {
    let call = maps::call()?;
    let number = call.load(Call::NEXT);
    if number >= call.load(Call::COUNT) {
        return None;
    }
    call.store(Call::NEXT, number + 1);
    let frame = maps::outgoing(number as u32)?;
    let len = bounded(frame.load(LEN) as usize, LONGEST);
    if !packet.drop_metadata(MARK) || !packet.trim(len) {
        return None;
    }
    copy(frame, packet, len)
}

#[inline(always)]
fn copy(frame: MapCells, packet: &mut Packet, len: usize) -> Option<()> {
    let mut cell = 0;
    while cell < LONGEST / BLOCK * (BLOCK / 8) {
        let Some(to) = packet.window::<BLOCK>(8 * cell) else { break };
        let from = |word| frame.load(FRAME + cell + word);
        to.set_raw64::<0>(from(0));
        to.set_raw64::<8>(from(1));
        to.set_raw64::<16>(from(2));
        to.set_raw64::<24>(from(3));
        to.set_raw64::<32>(from(4));
        to.set_raw64::<40>(from(5));
        to.set_raw64::<48>(from(6));
        to.set_raw64::<56>(from(7));
        cell += BLOCK / 8;
    }
    while cell < LONGEST / 8 {
        let Some(to) = packet.window::<8>(8 * cell) else { break };
        to.set_raw64::<0>(frame.load(FRAME + cell));
        cell += 1;
    }
    // The last bytes, by the word that ends with the frame.
    packet.window::<8>(bounded(len.wrapping_sub(8), LONGEST - 8))?.set_raw64::<0>(frame.load(LAST));
    Some(())
}

/// Notes how many frames of a call a driver has taken, and how many it has not. Where it is run with no interface at all, by
/// the daemon: which thread is about to call.
///
/// What is sent from an interface to itself by the thread that calls is the call's: the answers to renewals leave without
/// this, and other daemons have other threads.
#[inline(always)]
pub fn note(ctx: &RawTracePointContext) -> Option<()> {
    let (from, to): (u64, u64) = (ctx.arg(0), ctx.arg(1));
    if from != to {
        return None;
    }
    let call = maps::call()?;
    let thread = bpf_get_current_pid_tgid();
    if from == 0 {
        call.store(Call::THREAD, thread);
        return None;
    }
    if call.load(Call::COUNT) == 0 || call.load(Call::THREAD) != thread {
        return None;
    }
    let (taken, left): (u32, u32) = (ctx.arg(2), ctx.arg(3));
    let number = call.load(Call::NOTES);
    call.store(Call::NOTES, number + 1);
    if number < Call::MOST_NOTES as u64 {
        let at = bounded(number as usize, Call::MOST_NOTES - 1);
        call.store(Call::FIRST_NOTE + at, u64::from(taken) | u64::from(left) << 32);
    }
    Some(())
}
