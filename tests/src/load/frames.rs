//! The frames that the programs send, made in user space: for generators outside of this machine.

use load_ebpf::client::{hardware_address, xid};
use load_ebpf::lane::{
    CIADDR, CIRCUIT, CIRCUIT_AT, ETHERNET_SOURCE, FILL, FRAME, FRAME_CELLS, HOST_NAME, IDENTIFIER, IP_SOURCE,
    Lane, REQUESTED, letters, sort,
};
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;

use super::Load;
use crate::wire::{address, checksum, udp_checksum};

const BOOTP: usize = 28;
const AFTER_TYPE: usize = BOOTP + 240 + 3;

impl Load<'_> {
    /// A client's request on a lane, as it would be its request number `turn`.
    #[must_use]
    pub fn frame(&self, lane: Lane, client: u32, turn: u8) -> Vec<u8> {
        let cell = |at| self.frame_cell(lane, sort(client), at).load(Ordering::Acquire);
        let mut frame: Vec<u8> = (0..FRAME_CELLS).flat_map(|at| cell(at).to_ne_bytes()).collect();
        let ip = self.link_header();
        frame.truncate(FRAME + ip - 14);
        let (head, tail) = hardware_address(client);
        let mac = [&head.to_ne_bytes()[..], &tail.to_ne_bytes()].concat();
        let leased = self.address_of(client).unwrap_or(Ipv4Addr::UNSPECIFIED).octets();
        let fill = cell(FILL);
        let mut put = |at: usize, octets: &[u8]| frame[at..at + octets.len()].copy_from_slice(octets);
        put(ip + BOOTP + 4, &xid(client, turn).to_ne_bytes());
        put(ip + BOOTP + 28, &mac);
        for (what, at) in [(IP_SOURCE, 12), (CIADDR, BOOTP + 12), (REQUESTED, AFTER_TYPE + 2)] {
            if fill & what != 0 {
                put(ip + at, &leased);
            }
        }
        let mut at = ip + AFTER_TYPE + if fill & REQUESTED == 0 { 0 } else { 6 };
        if fill & IDENTIFIER != 0 {
            put(at + 3, &mac);
            at += 9;
        }
        if fill & HOST_NAME != 0 {
            let (first, second) = letters(client);
            put(at + 2, &[first.to_ne_bytes(), second.to_ne_bytes()].concat());
        }
        if fill & CIRCUIT != 0 {
            put(usize::try_from(cell(CIRCUIT_AT)).unwrap_or_default(), &client.to_ne_bytes());
        }
        if fill & ETHERNET_SOURCE != 0 {
            put(6, &mac);
        }
        add_checksums(&mut frame[ip..]);
        frame
    }
}

/// Fills in the checksums of an IPv4 packet whose checksum fields are zero.
fn add_checksums(packet: &mut [u8]) {
    let sum = checksum(&packet[..20]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    let sum = match udp_checksum(address(packet, 12), address(packet, 16), &packet[20..]) {
        0 => 0xffff,
        sum => sum,
    };
    packet[26..28].copy_from_slice(&sum.to_be_bytes());
}
