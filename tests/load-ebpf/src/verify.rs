//! What must be right about a reply, by arithmetic of its own.

use crate::packet::{FARTHEST, Octets, Packet, opaque};
use crate::write::folded;

/// Options before the message type is given up.
const LOOKED_AT: usize = 40;
/// The longest datagram that an Ethernet frame carries, in words of eight octets.
const WORDS: usize = 190;

const SERVER: usize = 1;
const TYPE: usize = 2;
const LEASE_TIME: usize = 4;
const NAK: usize = 8;
const ALL_OF_NAK: usize = SERVER | TYPE;
const ALL: usize = ALL_OF_NAK | LEASE_TIME;

/// Whether the checksum of the 20-octet IP header at `ip` is right.
#[inline(always)]
pub fn ip_header(frame: Octets, ip: usize) -> bool {
    let mut sum = 0_u64;
    let mut at = 0;
    while at < 20 {
        sum += u64::from(frame.get::<u32>(ip + at));
        at += 4;
    }
    folded(sum) == 0xffff
}

/// Whether the UDP checksum of the datagram behind the IP header at `ip` is right, or none is given.
#[inline(never)]
pub fn udp(packet: Packet, ip: usize, len: u16) -> bool {
    let Some(head) = packet.reach(ip + 12, 16) else { return false };
    if head.get::<u16>(14) == 0 {
        return true;
    }
    let len = usize::from(len);
    // The pseudo header: both addresses, protocol, length.
    let mut sum = u64::from(head.get::<u32>(0)) + u64::from(head.get::<u32>(4));
    sum += u64::from((17_u16).to_be()) + u64::from((len as u16).to_be());
    let mut word = 0;
    while word < WORDS {
        if 8 * word + 8 > len {
            break;
        }
        let Some(octets) = packet.reach(ip + 20 + 8 * word, 8) else { return false };
        let value = octets.get::<u64>(0);
        sum += (value & 0xffff_ffff) + (value >> 32);
        word += 1;
    }
    let mut at = 8 * word;
    let mut rest = 0;
    while rest < 7 {
        if at >= len {
            break;
        }
        let Some(octet) = packet.reach(ip + 20 + at, 1) else { return false };
        // In memory order: an octet at an even offset is the low one on a little-endian machine.
        let octet = u64::from(octet.get::<u8>(0));
        sum += if at % 2 == 0 {
            u64::from(u16::from_ne_bytes([octet as u8, 0]))
        } else {
            u64::from(u16::from_ne_bytes([0, octet as u8]))
        };
        at += 1;
        rest += 1;
    }
    folded(sum) == 0xffff
}

/// Whether the option area is whole: a server identifier, a message type, for all but a NAK a lease time, and END.
#[inline(never)]
pub fn options(packet: Packet, at: usize, noise: u64) -> bool {
    let mut at = at;
    let mut seen = 0;
    let mut options = 0;
    while options < LOOKED_AT {
        options += 1;
        at = place(at);
        seen = forget(seen, noise);
        let Some(code) = packet.reach(at, 1) else { return false };
        match code.get::<u8>(0) {
            0 => at += 1,
            255 => return seen & ALL == ALL || seen & (ALL | NAK) == ALL_OF_NAK | NAK,
            code => {
                let Some(head) = packet.reach(at, 3) else { return false };
                let len = usize::from(head.get::<u8>(1));
                match (code, len) {
                    (51, 4) => seen |= LEASE_TIME,
                    (53, 1) if head.get::<u8>(2) == 6 => seen |= NAK | TYPE,
                    (53, 1) => seen |= TYPE,
                    (54, 4) => seen |= SERVER,
                    _ => {}
                }
                at += 2 + len;
            }
        }
    }
    false
}

/// The value of option 53, or 0.
#[inline(never)]
pub fn message_type(packet: Packet, at: usize) -> u8 {
    let mut at = at;
    let mut options = 0;
    while options < LOOKED_AT {
        options += 1;
        at = place(at);
        let Some(head) = packet.reach(at, 3) else { return 0 };
        match head.get::<u8>(0) {
            0 => at += 1,
            255 => return 0,
            53 => return head.get(2),
            _ => at += 2 + usize::from(head.get::<u8>(1)),
        }
    }
    0
}

/// A place in the frame, of which the verifier knows the bounds and nothing else: so it follows the next turn of a loop
/// once, not once for each way that leads to it.
#[inline(always)]
fn place(at: usize) -> usize {
    opaque(opaque(at) & FARTHEST)
}

/// The value itself, of which the verifier knows nothing from here on, given some `noise` it knows nothing of.
#[inline(always)]
fn forget(value: usize, noise: u64) -> usize {
    value ^ opaque(noise as usize) ^ noise as usize
}
