//! Replies as frames: written by the same code that writes them in the kernel.

use std::net::Ipv4Addr;

use bytes::Bytes;
use dhcp_ebpf::frame::HostFrame;
use dhcp_ebpf::reply::{self, Asked, Envelope, Kind};
use dhcp_ebpf::slot::{ANSWER_HEAD, CHUNK_CELLS, MAX_CHUNKS};
use dhcp_ebpf::wire::bootp;
use dhcp_ebpf::{publish, request};

use super::body::Body;
use super::memory::Region;
use crate::message::Request;
use crate::policy::{Answer, Reply};

/// The frame of a reply. `ours` is the hardware address of the interface the request came in on.
///
/// `None`: the answer is longer than a frame.
#[must_use]
pub fn write(request: &Request, reply: &Reply, ours: [u8; 6]) -> Option<Bytes> {
    let (kind, yiaddr, server, answer) = parts(reply);
    let body = Body::of(answer)?;
    let asked = Asked {
        eth_src: request.eth_src.into(),
        ciaddr: request.ciaddr.into(),
        giaddr: request.giaddr.into(),
        chaddr: request.mac().unwrap_or(request.eth_src).into(),
        flags: request.flags.to_be(),
    };
    let envelope = Envelope::address(kind, &asked, ours.into(), server.into(), yiaddr.into());

    let mut head = request.frame.to_vec();
    let l3 = request::locate(&mut HostFrame::new(&mut head, request.frame.len()), 0).ok()?.l3;
    let len = reply::frame_len(l3, &body.head);
    // What identifies the client stays; sname, file and options of the request go.
    head.truncate(l3 + bootp::SNAME);
    head.resize(len.max(l3 + bootp::OPTIONS), 0);
    head[l3 + bootp::COOKIE..l3 + bootp::OPTIONS].copy_from_slice(&bootp::COOKIE_RAW.to_ne_bytes());
    let mut frame = HostFrame::new(&mut head, len);
    reply::write_headers(&mut frame, l3, &envelope, &body.head)?;
    let cells = Region::heap(MAX_CHUNKS * CHUNK_CELLS);
    let chunk = |index: usize| cells.cells().element(u32::try_from(index).ok()?, CHUNK_CELLS);
    debug_assert!(body.bytes.len() <= 8 * (MAX_CHUNKS * CHUNK_CELLS - ANSWER_HEAD));
    publish::write_answer(&body.head, &body.bytes, |index| chunk(index).unwrap_or(cells.cells()));
    reply::write_body(&mut frame, l3, &body.head, chunk)?;
    Some(head.into())
}

fn parts(reply: &Reply) -> (Kind, Ipv4Addr, Ipv4Addr, &Answer) {
    match reply {
        Reply::Offer { yiaddr, server, answer } => (Kind::Offer, *yiaddr, *server, answer),
        Reply::Ack { yiaddr, server, answer } => (Kind::Ack, *yiaddr, *server, answer),
        Reply::InformAck { server, answer } => (Kind::Ack, Ipv4Addr::UNSPECIFIED, *server, answer),
        Reply::Nak { server, answer } => (Kind::Nak, Ipv4Addr::UNSPECIFIED, *server, answer),
    }
}
