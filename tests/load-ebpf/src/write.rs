//! Writes a whole request over whatever the frame held.

use crate::memory::Cells;
use crate::packet::{Octets, Packet};
use load_ebpf::client::{hardware_address, xid};
use load_ebpf::lane::{
    CIADDR, CIRCUIT, CIRCUIT_AT, ETHERNET_SOURCE, FILL, FRAME, HOST_NAME, IDENTIFIER, IP_SOURCE, IP_SUM,
    LINK_HEADER, REQUESTED, UDP_SUM, letters,
};

const IP_CHECKSUM: usize = 10;
const IP_SRC: usize = 12;
const UDP_CHECKSUM: usize = 26;
const BOOTP: usize = 28;
/// Behind option 53, which stands first.
const AFTER_TYPE: usize = BOOTP + 240 + 3;

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
    fill::<IP>(packet, frame, lane, number, turn, address);
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
fn fill<const IP: usize>(packet: Packet, frame: Octets, lane: Cells, number: u32, turn: u8, address: u32) {
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
    match (what & REQUESTED != 0, what & IDENTIFIER != 0) {
        (false, false) => udp += name::<{ AFTER_TYPE + 2 }>(frame, IP, what, number),
        (false, true) => {
            udp += identifier::<{ AFTER_TYPE + 3 }>(frame, IP, number);
            udp += name::<{ AFTER_TYPE + 9 + 2 }>(frame, IP, what, number);
        }
        (true, false) => {
            udp += requested(frame, IP, address);
            udp += name::<{ AFTER_TYPE + 6 + 2 }>(frame, IP, what, number);
        }
        (true, true) => {
            udp += requested(frame, IP, address);
            udp += identifier::<{ AFTER_TYPE + 6 + 3 }>(frame, IP, number);
            udp += name::<{ AFTER_TYPE + 6 + 9 + 2 }>(frame, IP, what, number);
        }
    }
    if what & CIRCUIT != 0 {
        let at = lane.get(CIRCUIT_AT) as usize;
        if let Some(octets) = packet.reach(at, 4) {
            octets.set(0, number);
            udp += summed(number.into(), at);
        }
    }
    frame.set(IP + BOOTP + 4, xid);
    frame.set(IP + BOOTP + 28, head);
    frame.set(IP + BOOTP + 32, tail);
    udp += u64::from(xid) + u64::from(head) + u64::from(tail);
    frame.set(IP + IP_CHECKSUM, !folded(ip));
    let sum = !folded(udp);
    frame.set(IP + UDP_CHECKSUM, if sum == 0 { 0xffff } else { sum });
}

/// Fills in option 50, whose value follows; what it adds to the sum.
#[inline(always)]
fn requested(frame: Octets, ip: usize, address: u32) -> u64 {
    frame.set(ip + AFTER_TYPE + 2, address);
    summed(address.into(), AFTER_TYPE + 2)
}

/// Fills in the hardware address in option 61; what it adds to the sum.
#[inline(always)]
fn identifier<const AT: usize>(frame: Octets, ip: usize, number: u32) -> u64 {
    let (head, tail) = hardware_address(number);
    frame.set(ip + AT, head);
    frame.set(ip + AT + 4, tail);
    summed(u64::from(head) + u64::from(tail), AT)
}

/// Fills in the host name, if there is one; what it adds to the sum.
#[inline(always)]
fn name<const AT: usize>(frame: Octets, ip: usize, what: u64, number: u32) -> u64 {
    if what & HOST_NAME == 0 {
        return 0;
    }
    let (first, second) = letters(number);
    frame.set(ip + AT, first);
    frame.set(ip + AT + 4, second);
    summed(u64::from(first) + u64::from(second), AT)
}

/// A sum of raw words as it counts from an offset: from an odd one their octets count the other way round.
#[inline(always)]
fn summed(sum: u64, at: usize) -> u64 {
    if at.is_multiple_of(2) { sum } else { folded(sum).swap_bytes().into() }
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
