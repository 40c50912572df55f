//! The frames that the programs send, made in user space: for generators outside of this machine.

use load_ebpf::client::{hardware_address, xid};
use load_ebpf::lane::{CIADDR, ETHERNET_SOURCE, FILL, FRAME, FRAME_CELLS, IP_SOURCE, Lane, REQUESTED};
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;

use super::Load;
use crate::wire::{address, checksum, udp_checksum};

const BOOTP: usize = 28;
const OPTION_50: usize = BOOTP + 240 + 3 + 2;

impl Load<'_> {
    /// A client's request on a lane, as it would be its request number `turn`.
    #[must_use]
    pub fn frame(&self, lane: Lane, client: u32, turn: u8) -> Vec<u8> {
        let cell = |at| self.lane_cell(lane, at).load(Ordering::Acquire);
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
        for (what, at) in [(IP_SOURCE, 12), (CIADDR, BOOTP + 12), (REQUESTED, OPTION_50)] {
            if fill & what != 0 {
                put(ip + at, &leased);
            }
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
