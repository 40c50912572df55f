//! Replies as frames: written by the same code that writes them in the kernel.

use std::net::Ipv4Addr;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use dhcp_ebpf::checksum::Sum;
use dhcp_ebpf::frame::HostFrame;
use dhcp_ebpf::reply::{self, Asked, Envelope, Kind};
use dhcp_ebpf::slot::{ANSWER_HEAD, CHUNK_CELLS, MAX_CHUNKS};
use dhcp_ebpf::wire::{bootp, udp};
use dhcp_ebpf::{publish, request};

use crate::datapath::leases::body::Body;
use crate::datapath::leases::memory::SharedCells;
use crate::message::Request;
use crate::policy::{Answer, Reply};
use crate::store::HwAddr;

/// The frame of a reply. `ours` is the hardware address of the interface the request came in on.
///
/// `None`: the answer is longer than a frame.
#[must_use]
pub fn write(request: &Request, reply: &Reply, ours: [u8; 6]) -> Option<Bytes> {
    let Parts { kind, ciaddr, yiaddr, server, answer } = parts(request, reply);
    // An OFFER of no address (RFC 8925 §3.3) can be sent to none.
    let to_all = matches!(reply, Reply::Offer { .. }) && yiaddr.is_unspecified();
    let body = Body::of(answer)?;
    let asked = Asked {
        eth_src: request.eth_src.into(),
        ciaddr: ciaddr.into(),
        giaddr: request.giaddr.into(),
        chaddr: request.mac().unwrap_or(request.eth_src).into(),
        flags: request.flags.to_be() | if to_all { bootp::BROADCAST_RAW } else { 0 },
    };
    let mut envelope = Envelope::address(kind, &asked, ours.into(), server.into(), yiaddr.into());
    if !request.relayed() {
        envelope.flags = request.flags.to_be();
    }

    let mut head = request.frame.to_vec();
    let l3 = request::locate(&mut HostFrame::new(&mut head, request.frame.len()), 0).ok()?.l3;
    // A relay that says so is answered where it sent from (RFC 8357 §5); the kernel is never told of its messages.
    if request.relayed() && request.options.agent.as_ref().is_some_and(|agent| agent.source_port) {
        let port = head.get(l3 + udp::SRC..l3 + udp::DST)?.try_into().ok().map(u16::from_be_bytes);
        envelope.port = port.filter(|port| *port != 0).unwrap_or(envelope.port);
    }
    let len = reply::frame_len(l3, &body.head);
    // What identifies the client stays; sname, file and options of the request go.
    head.truncate(l3 + bootp::SNAME);
    head.resize(len.max(l3 + bootp::OPTIONS), 0);
    head.get_mut(l3 + bootp::COOKIE..l3 + bootp::OPTIONS)?.copy_from_slice(&bootp::COOKIE_RAW.to_ne_bytes());
    if let Reply::Lease { chaddr, .. } = reply {
        tell_of(*chaddr, head.get_mut(l3..)?)?;
    }
    let mut frame = HostFrame::new(&mut head, len);
    reply::write_headers(&mut frame, l3, &envelope, &body.head, Sum::default())?;
    let cells = [const { AtomicU64::new(0) }; MAX_CHUNKS * CHUNK_CELLS];
    let cells = SharedCells::from(cells.as_slice());
    let chunk = |index: usize| cells.element(u32::try_from(index).ok()?, CHUNK_CELLS);
    debug_assert!(body.bytes.len() <= 8 * (MAX_CHUNKS * CHUNK_CELLS - ANSWER_HEAD));
    publish::write_answer(&body.head, &body.bytes, |index| chunk(index).unwrap_or(cells));
    reply::write_body(&mut frame, l3, &body.head, chunk)?;
    Some(head.into())
}

/// The addresses of a reply, and its contents.
struct Parts<'a> {
    kind: Kind,
    ciaddr: Ipv4Addr,
    yiaddr: Ipv4Addr,
    server: Ipv4Addr,
    answer: &'a Answer,
}

fn parts<'a>(request: &Request, reply: &'a Reply) -> Parts<'a> {
    let of = |kind, yiaddr: Ipv4Addr, server: Ipv4Addr, answer| Parts {
        kind,
        ciaddr: request.ciaddr,
        yiaddr,
        server,
        answer,
    };
    let none = Ipv4Addr::UNSPECIFIED;
    match reply {
        Reply::Offer { yiaddr, server, answer } => of(Kind::Offer, *yiaddr, *server, answer),
        Reply::Ack { yiaddr, server, answer } => of(Kind::Ack, *yiaddr, *server, answer),
        Reply::Bootp { yiaddr, server, answer } => of(Kind::Ack, *yiaddr, *server, answer),
        Reply::InformAck { server, answer } => of(Kind::Ack, none, *server, answer),
        Reply::Nak { server, answer } => of(Kind::Nak, none, *server, answer),
        Reply::Lease { ciaddr, server, answer, .. } => {
            Parts { ciaddr: *ciaddr, ..of(Kind::Ack, none, *server, answer) }
        }
    }
}

/// Writes another client's hardware address in the place of the requester's: `packet` begins with the IP header.
fn tell_of(chaddr: HwAddr, packet: &mut [u8]) -> Option<()> {
    let octets = chaddr.octets();
    *packet.get_mut(bootp::OP + 1)? = chaddr.htype();
    *packet.get_mut(bootp::HLEN)? = u8::try_from(octets.len()).unwrap_or_default();
    let place = packet.get_mut(bootp::CHADDR..bootp::SNAME)?;
    place.fill(0);
    place.get_mut(..octets.len())?.copy_from_slice(octets);
    Some(())
}
