//! What comes by a network: frames, the messages in them, their options; and what policy makes of them.

use std::net::Ipv4Addr;

use bytes::Bytes;
use dhcp_ebpf::lease::BootSecs;
use dhcp_user::capture::Filter;
use dhcp_user::message::{AgentInformation, Request, options as area};
use dhcp_user::probe;

use crate::chance::Chance;
use crate::parity::run;

const IFINDEX: u32 = 7;
/// Octets of the headers of Ethernet, IPv4 and UDP.
const HEADERS: usize = 14 + 20 + 8;
/// Octets of a BOOTP message before its cookie, and where the sname and file fields are.
const FIXED: usize = 236;

/// A frame, as it is.
pub(super) fn frame(octets: &[u8]) {
    if let Ok(request) = Request::read(Bytes::copy_from_slice(octets), IFINDEX, BootSecs(1)) {
        look_at(&request);
    }
    let host = Some(Ipv4Addr::new(10, 0, 0, 7));
    let subnet = Some((Ipv4Addr::new(10, 0, 0, 0), 8));
    for filter in [
        Filter { hw_address: Some([2; 6]), ..Filter::default() },
        Filter { address: host, ..Filter::default() },
        Filter { subnet, relay: host, ..Filter::default() },
    ] {
        let _ = filter.takes("eth0", octets);
    }
}

/// A message, in a frame that is right around it: its operation, hardware type and cookie are, too, unless the first octet
/// says otherwise.
pub(super) fn message(octets: &[u8]) {
    let Some((how, message)) = octets.split_first() else { return };
    let mut message = message.to_vec();
    if how & 1 == 0 && message.len() >= FIXED + 4 {
        message[..3].copy_from_slice(&[1, 1, 6]);
        message[FIXED..FIXED + 4].copy_from_slice(&[99, 130, 83, 99]);
    }
    frame(&around(&message));
}

/// An option area: as that of a message, as overloaded fields of it, and as what a relay says.
pub(super) fn options(octets: &[u8]) {
    let whole = Bytes::copy_from_slice(octets);
    let list = area::list(&whole);
    assert!(list.iter().map(|(_, value)| value.len()).sum::<usize>() <= octets.len());
    let pieces = area::pieces(octets).count();
    assert!(pieces <= octets.len());
    for codes in [&[][..], &[50, 54], &[82], &[0, 255]] {
        let less = area::without(octets, codes);
        assert!(less.len() <= octets.len());
    }
    let agent = AgentInformation::read(whole.clone());
    assert_eq!(agent.raw, whole);
    let mut message = vec![0; FIXED];
    message[..3].copy_from_slice(&[1, 1, 6]);
    let fields = message[44..FIXED].iter_mut();
    fields.zip(octets).for_each(|(to, from)| *to = *from);
    message.extend([99, 130, 83, 99]);
    for head in [&[53, 1, 1][..], &[53, 1, 3, 52, 1, 3]] {
        let message = [&message, head, octets].concat();
        if let Ok(request) = Request::read(around(&message).into(), IFINDEX, BootSecs(1)) {
            look_at(&request);
        }
    }
}

/// What says who uses an address.
pub(super) fn arp(octets: &[u8]) {
    if let Some(sighting) = probe::read_arp(IFINDEX, octets) {
        assert_eq!(sighting.link.ifindex, IFINDEX);
    }
}

/// What happens in a world, drawn from these octets: kernel and daemon are told apart by nobody.
pub(super) fn parity(octets: &[u8]) {
    let Some((seed, happens)) = octets.split_first() else { return };
    let mut chance = Chance::of(happens);
    if let Err(difference) = run::one_world(u64::from(*seed), &mut chance, 100, None) {
        panic!("{difference:#}");
    }
}

/// All that others ask of a request.
fn look_at(request: &Request) {
    let _ = (request.host_name(), request.server_name(), request.agent_info(), request.mac());
    let _ = (request.unicast(), request.relayed(), request.oddities().count());
    assert!(request.area.len() <= request.vendor_area);
    let mut other = request.clone();
    other.disbelieve_agent();
    assert!(other.believed_agent_info().is_none());
    other.believe_switch();
}

/// A frame around a message, whose lengths and checksums are right: from everybody's neighbour to all.
fn around(message: &[u8]) -> Vec<u8> {
    let message = &message[..message.len().min(1500 - HEADERS)];
    let udp = (message.len() + 8) as u16;
    let mut frame = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 1], &[8, 0]].concat();
    let mut ip = vec![0x45, 0];
    ip.extend((udp + 20).to_be_bytes());
    ip.extend([0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255]);
    let sum = ip.as_chunks().0.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum::<u32>();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    frame.extend(ip);
    frame.extend([0, 68, 0, 67]);
    frame.extend(udp.to_be_bytes());
    // No checksum (RFC 768).
    frame.extend([0, 0]);
    frame.extend(message);
    frame
}
