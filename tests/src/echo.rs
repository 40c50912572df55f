//! The parts of an answer that must equal its request.

use anyhow::{Result, ensure};
use std::net::Ipv4Addr;

use crate::answer::Answer;
use crate::request::Request;
use crate::wire::{BROADCAST, BROADCAST_FLAG, CLIENT_PORT, Kind, Mac, Message, SERVER_PORT};

/// Compares the echoed fields and options, and the addressing with that of RFC 2131 §4.1.
///
/// # Errors
/// Says what is wrong.
pub fn check(request: &Request, answer: &Answer) -> Result<()> {
    let (asked, sent) = (&request.message, &answer.message);
    let tells = answer.kind.tells_of_a_lease();
    ensure!(
        tells || (sent.htype, sent.hlen, sent.chaddr) == (asked.htype, asked.hlen, asked.chaddr),
        "the hardware address is {} {} {:02x?}",
        sent.htype,
        sent.hlen,
        sent.chaddr
    );
    ensure!(sent.giaddr == asked.giaddr, "giaddr is not echoed");
    ensure!(answer.envelope.tags == request.envelope.tags, "tags are {:?}", answer.envelope.tags);
    if !tells {
        check_echoes(asked, answer)?;
    }

    let to_relay = !asked.giaddr.is_unspecified();
    // RFC 2131 §4.3.2 wants the flag in a relayed NAK; servers differ in one that they broadcast themselves.
    let echoed = sent.flags == asked.flags;
    let raised = sent.flags == asked.flags | BROADCAST_FLAG;
    // Nobody can be reached at the address of an OFFER of none (RFC 8925 §3.3).
    let nobodys = answer.kind == Kind::Offer && sent.yiaddr.is_unspecified();
    let to_all = answer.kind == Kind::Nak || nobodys;
    let right = if !to_all { echoed } else { raised || echoed && !to_relay };
    ensure!(right, "flags are {:#x}", sent.flags);
    let sender = request.envelope.eth_src;
    let everybody = to_all || asked.flags & BROADCAST_FLAG != 0;
    let (eth_dst, ip_dst, port) = if to_relay {
        (sender, asked.giaddr, SERVER_PORT)
    } else if answer.kind != Kind::Nak && !asked.ciaddr.is_unspecified() {
        (sender, asked.ciaddr, CLIENT_PORT)
    } else if everybody {
        (BROADCAST, Ipv4Addr::BROADCAST, CLIENT_PORT)
    } else {
        (hardware_address(asked), sent.yiaddr, CLIENT_PORT)
    };
    let to = &answer.envelope;
    ensure!(
        (to.eth_dst, to.ip_dst, to.dst_port) == (eth_dst, ip_dst, port),
        "sent to {:02x?} {} port {}, not to {eth_dst:02x?} {ip_dst} port {port}",
        to.eth_dst,
        to.ip_dst,
        to.dst_port
    );
    Ok(())
}

fn hardware_address(message: &Message) -> Mac {
    let [a, b, c, d, e, f, ..] = message.chaddr;
    [a, b, c, d, e, f]
}

/// RFC 6842: the client identifier comes back. RFC 3046: relay agent information comes back, as the last option.
fn check_echoes(asked: &Message, answer: &Answer) -> Result<()> {
    let asked = values(&asked.options);
    let find = |code: u8| asked.iter().find(|(found, _)| *found == code).map(|(_, value)| value.as_slice());
    ensure!(answer.option(61) == find(61), "client identifier is {:02x?}", answer.option(61));
    ensure!(answer.option(82) == find(82), "relay agent information is {:02x?}", answer.option(82));
    let last = answer.options.last().map(|(code, _)| *code);
    ensure!(find(82).is_none() || last == Some(82), "option {last:?} is last, not 82");
    Ok(())
}

/// The options of a request that a test may have mutilated: as far as they can be read.
fn values(mut area: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut list = Vec::new();
    while let [code, len, rest @ ..] = area {
        if *code == 0 {
            area = &area[1..];
            continue;
        }
        let Some((value, rest)) = rest.split_at_checked(usize::from(*len)) else { break };
        list.push((*code, value.to_vec()));
        area = rest;
    }
    list
}
