//! Where replies go, and what the daemon writes by the same code as the kernel: OFFERs and NAKs, other hardware.

mod twin;

use dhcp_ebpf::abi::{Mac, NetAddr};
use dhcp_ebpf::checksum::Sum;
use dhcp_ebpf::frame::HostFrame;
use dhcp_ebpf::publish;
use dhcp_ebpf::reply::{self, Asked, Envelope, Kind};
use std::net::Ipv4Addr;
use twin::expected;
use twin::maps::{HeapCells, heap};
use twin::sent::{Sent, State, Way, l3};
use twin::{ADDRESS, BROADCAST, CLIENT, GIADDR, OURS, ROUTER, SERVER};

const UNSPECIFIED: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const EVERYBODY: Ipv4Addr = Ipv4Addr::BROADCAST;

/// Where a reply goes (station, address, port), and its ciaddr and flags: RFC 2131 §4.1, §4.3.2 and table 3.
fn addressed(
    kind: Kind,
    ciaddr: Ipv4Addr,
    giaddr: Ipv4Addr,
    flags: u16,
) -> ([u8; 6], Ipv4Addr, u16, Ipv4Addr, u16) {
    let asked = Asked {
        eth_src: ROUTER.into(),
        ciaddr: ciaddr.into(),
        giaddr: giaddr.into(),
        chaddr: CLIENT.into(),
        flags: flags.to_be(),
    };
    let envelope = Envelope::address(kind, &asked, OURS.into(), SERVER.into(), ADDRESS.into());
    assert_eq!((envelope.eth_src, envelope.ip_src), (Mac::from(OURS), NetAddr::from(SERVER)));
    assert_eq!(envelope.yiaddr, NetAddr::from(ADDRESS));
    let to = (envelope.eth_dst.bytes(), envelope.ip_dst.into(), envelope.port);
    (to.0, to.1, to.2, envelope.ciaddr.into(), u16::from_be(envelope.flags))
}

/// RFC 2131 §4.1, stated (to-relay, to-all, to-hardware): an OFFER finds its client.
/// RFC 2131 §4.1, SHOULD (broadcast-bit, unicast-else): as the broadcast bit says.
#[test]
fn offers_go_where_the_client_can_hear_them() {
    assert_eq!(addressed(Kind::Offer, UNSPECIFIED, UNSPECIFIED, 0), (CLIENT, ADDRESS, 68, UNSPECIFIED, 0));
    assert_eq!(
        addressed(Kind::Offer, UNSPECIFIED, UNSPECIFIED, 0x8000),
        (BROADCAST, EVERYBODY, 68, UNSPECIFIED, 0x8000)
    );
    for flags in [0, 0x8000] {
        assert_eq!(
            addressed(Kind::Offer, UNSPECIFIED, GIADDR, flags),
            (ROUTER, GIADDR, 67, UNSPECIFIED, flags)
        );
    }
}

/// RFC 2131 §4.1, stated (to-relay, to-ciaddr, to-hardware): an ACK finds its client.
/// RFC 2131 §4.3.1, stated (t3-ciaddr, t3-flags): ciaddr and flags are the request's.
#[test]
fn acks_go_to_the_address_that_the_client_has() {
    for flags in [0, 0x8000] {
        assert_eq!(addressed(Kind::Ack, ADDRESS, UNSPECIFIED, flags), (ROUTER, ADDRESS, 68, ADDRESS, flags));
        assert_eq!(addressed(Kind::Ack, ADDRESS, GIADDR, flags), (ROUTER, GIADDR, 67, ADDRESS, flags));
    }
    assert_eq!(addressed(Kind::Ack, UNSPECIFIED, UNSPECIFIED, 0), (CLIENT, ADDRESS, 68, UNSPECIFIED, 0));
    // Only the top bit asks for broadcast; the rest of the flags means nothing, and is echoed.
    assert_eq!(
        addressed(Kind::Ack, UNSPECIFIED, UNSPECIFIED, 0x7fff),
        (CLIENT, ADDRESS, 68, UNSPECIFIED, 0x7fff)
    );
}

/// RFC 2131 §4.3.2, MUST (nak-broadcast, nak-broadcast-bit): a NAK is for everybody, or has the relay make it so.
/// RFC 2131 §3.2, MUST (nak-to-relay): it goes to the relay, if there is one.
/// RFC 2131 §4.3.1, stated (t3-ciaddr): its ciaddr is 0.
#[test]
fn naks_are_broadcast_and_relays_are_told_to() {
    for (ciaddr, flags) in [(UNSPECIFIED, 0), (ADDRESS, 0), (ADDRESS, 0x8000)] {
        assert_eq!(
            addressed(Kind::Nak, ciaddr, UNSPECIFIED, flags),
            (BROADCAST, EVERYBODY, 68, UNSPECIFIED, flags)
        );
        assert_eq!(
            addressed(Kind::Nak, ciaddr, GIADDR, flags),
            (ROUTER, GIADDR, 67, UNSPECIFIED, flags | 0x8000)
        );
    }
}

/// Writes a reply over a request's frame as the daemon does.
fn written(mut frame: Vec<u8>, body: &[u8], envelope: &Envelope) -> Vec<u8> {
    let head = publish::head_of(body, 240, 60, NetAddr::UNSPECIFIED).expect("a body that fits");
    let memory = heap(16 * publish::chunks_for(body.len()));
    let chunk = |index: usize| HeapCells(&memory[16 * index..][..16]);
    publish::write_answer(&head, body, chunk);
    let len = reply::frame_len(l3(0), &head);
    frame.resize(frame.len().max(len), 0);
    let mut frame = HostFrame::new(&mut frame, len);
    reply::write_headers(&mut frame, l3(0), envelope, &head, Sum::default()).expect("room enough");
    reply::write_body(&mut frame, l3(0), &head, |index| Some(chunk(index))).expect("room enough");
    frame.bytes().to_vec()
}

#[test]
fn a_hardware_address_of_sixteen_bytes_is_echoed_and_summed() {
    let mut request = Sent::request(State::InitReboot, Way::Direct).frame();
    let chaddr: [u8; 16] = std::array::from_fn(|at| 0xf0 | u8::try_from(at).unwrap_or(0));
    request[l3(0) + 28 + 1] = 32;
    request[l3(0) + 28 + 2] = 16;
    request[l3(0) + 28 + 28..][..16].copy_from_slice(&chaddr);
    let asked = Asked {
        eth_src: CLIENT.into(),
        ciaddr: NetAddr::UNSPECIFIED,
        giaddr: NetAddr::UNSPECIFIED,
        chaddr: CLIENT.into(),
        flags: 0,
    };
    let envelope = Envelope::address(Kind::Offer, &asked, OURS.into(), SERVER.into(), ADDRESS.into());
    let body: Vec<u8> = [53, 1, 2, 255].into_iter().chain([0; 296]).collect();
    let offer = expected::inspect(&written(request, &body, &envelope));
    assert_eq!(offer.bootp[..3], [2, 32, 16], "op, htype, hlen");
    assert_eq!(offer.bootp[28..44], chaddr);
    assert_eq!((offer.eth_dst, offer.ip_dst, offer.ports), (CLIENT, ADDRESS, (67, 68)));
}
