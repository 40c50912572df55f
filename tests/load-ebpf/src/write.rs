//! Writes a whole request over whatever the frame held.

use crate::memory::Cells;
use crate::packet::{Octets, Packet};
use load_ebpf::client::{hardware_address, xid};
use load_ebpf::lane::{
    CIADDR, ETHERNET_SOURCE, FILL, FRAME, IP_SOURCE, IP_SUM, LINK_HEADER, REQUESTED, UDP_SUM,
};

const IP_CHECKSUM: usize = 10;
const IP_SRC: usize = 12;
const UDP_CHECKSUM: usize = 26;
const BOOTP: usize = 28;
/// The value of option 50 when it follows option 53, which stands first.
const OPTION_50: usize = BOOTP + 240 + 3 + 2;

/// Writes the lane's request of client `number`, whose raw address is `address`. `false`: the frame has no room for it.
#[inline(always)]
pub fn request(packet: Packet, lane: Cells, number: u32, turn: u8, address: u32) -> bool {
    match lane.get(LINK_HEADER) {
        14 => sized::<14, FRAME>(packet, lane, number, turn, address),
        18 => sized::<18, { FRAME + 4 }>(packet, lane, number, turn, address),
        22 => sized::<22, { FRAME + 8 }>(packet, lane, number, turn, address),
        _ => false,
    }
}

#[inline(always)]
fn sized<const IP: usize, const LEN: usize>(
    packet: Packet,
    lane: Cells,
    number: u32,
    turn: u8,
    address: u32,
) -> bool {
    if packet.len() != LEN && !packet.resize(LEN) {
        return false;
    }
    let Some(frame) = packet.reach(0, LEN) else { return false };
    copy::<LEN>(frame, lane);
    fill::<IP>(frame, lane, number, turn, address);
    true
}

#[inline(always)]
fn copy<const LEN: usize>(frame: Octets, lane: Cells) {
    let mut cell = 0;
    while cell < LEN / 8 {
        frame.set(8 * cell, lane.get(cell));
        cell += 1;
    }
    // All lengths are 8 n + 2 or 8 n + 6; what a cell holds beyond the frame is not written.
    let last = lane.get(LEN / 8);
    frame.set(LEN / 8 * 8, last as u16);
    if LEN % 8 == 6 {
        frame.set(LEN / 8 * 8 + 2, (last >> 16) as u32);
    }
}

#[inline(always)]
fn fill<const IP: usize>(frame: Octets, lane: Cells, number: u32, turn: u8, address: u32) {
    let (head, tail) = hardware_address(number);
    let xid = xid(number, turn);
    let what = lane.get(FILL);
    let mut ip = lane.get(IP_SUM);
    let mut udp = lane.get(UDP_SUM);
    let word = u64::from(address);
    if what & ETHERNET_SOURCE != 0 {
        frame.set(6, head);
        frame.set(10, tail);
    }
    if what & IP_SOURCE != 0 {
        frame.set(IP + IP_SRC, address);
        ip += word;
        udp += word;
    }
    if what & CIADDR != 0 {
        frame.set(IP + BOOTP + 12, address);
        udp += word;
    }
    if what & REQUESTED != 0 {
        frame.set(IP + OPTION_50, address);
        // It stands at an odd offset, so its octets count the other way round.
        udp += u64::from(folded(word).swap_bytes());
    }
    frame.set(IP + BOOTP + 4, xid);
    frame.set(IP + BOOTP + 28, head);
    frame.set(IP + BOOTP + 32, tail);
    udp += u64::from(xid) + u64::from(head) + u64::from(tail);
    frame.set(IP + IP_CHECKSUM, !folded(ip));
    let sum = !folded(udp);
    frame.set(IP + UDP_CHECKSUM, if sum == 0 { 0xffff } else { sum });
}

/// A one's complement sum in 16 bits.
#[inline(always)]
pub fn folded(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}
