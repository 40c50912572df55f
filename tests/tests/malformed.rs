//! Frames no client should send: counted, never answered wrongly, and the server goes on.

use anyhow::{Context, Result, bail, ensure};
use std::collections::HashSet;
use std::net::Ipv4Addr;
use system_tests::answer::Answer;
use system_tests::client::{Client, Lease, Request};
use system_tests::echo;
use system_tests::mangle::{IP_TOTAL, UDP_LENGTH, resealed, with_word};
use system_tests::paths::{self, SERVER};
use system_tests::server::{Server, Xdp};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};
use system_tests::wire::{FIXED, Kind, Message, options};

const WITNESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);

/// Room for a lease per frame of these tests.
const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/20"
pools = ["10.0.1.0 - 10.0.15.250"]
max-leases-per-device = 4000
options = { routers = ["10.0.0.1"] }
"#;

/// Ethernet, IPv4 and UDP headers.
const HEADERS: usize = 14 + 20 + 8;

fn lan() -> Result<Lan> {
    Lan::new("malformed", SERVER, 20)
}

/// Sends frames the server may not answer, in batches that no rate limit is about, and sees to it that each is counted.
fn unanswered(lan: &Lan, server: &mut Server, frames: &[Vec<u8>]) -> Result<()> {
    if let Some(answer) = answers(lan, server, frames)?.first() {
        let asked = frames.iter().find(|frame| xid(frame) == Some(answer.message.xid));
        bail!("{:?} answers {asked:02x?}", answer.kind);
    }
    Ok(())
}

/// What the server sends in return for frames; each of them must be counted, and the server survive them.
fn answers(lan: &Lan, server: &mut Server, frames: &[Vec<u8>]) -> Result<Vec<Answer>> {
    let witness = lan.client(0xffff);
    let before = server.stats()?.seen()?;
    let mut all = Vec::new();
    for batch in frames.chunks(50) {
        all.extend(witness.answers_to(batch, WITNESS)?);
    }
    let sent = frames.len() as u64;
    until("every frame to be counted", PROMPT, || {
        Ok((server.stats()?.seen()? >= before + sent).then_some(()))
    })?;
    ensure!(server.is_running()?, "the daemon died");
    Ok(all)
}

fn xid(frame: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(frame.get(HEADERS + 4..HEADERS + 8)?.try_into().ok()?))
}

/// The frame cut to `len` octets, its headers still speaking of all of it.
fn cut(frame: &[u8], len: usize) -> Vec<u8> {
    frame[..len].to_vec()
}

/// A frame around the first `len` octets of the message, its headers right about that.
fn shortened(request: &Request, len: usize) -> Result<Vec<u8>> {
    request.envelope.frame(&request.message.encode()[..len])
}

/// A renewal the kernel would answer, and the lease it is for: a fresh one each time.
fn renewal<'a>(lan: &'a Lan, n: u16) -> Result<(Client<'a>, Lease, Request)> {
    let client = lan.client(n);
    let lease = client.dora()?;
    let request = client.renewing(&lease);
    Ok((client, lease, request))
}

#[test]
fn a_renewal_cut_anywhere_is_not_answered() -> Result<()> {
    let lan = lan()?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let whole = renewal(&lan, 0)?.2.frame()?.len();
    let mut frames = Vec::new();
    for (n, len) in (1..).zip(14..whole) {
        frames.push(cut(&renewal(&lan, n)?.2.frame()?, len));
    }
    unanswered(&lan, &mut server, &frames)?;
    // They were real leases, and still are.
    let (client, lease, _) = renewal(&lan, 1)?;
    client.renew(&lease).map(drop)
}

/// Whether what the first `len` octets of the message have of options is whole: some, and none cut.
fn is_whole(request: &Request, len: usize) -> bool {
    let area = &request.message.options[..len.saturating_sub(FIXED).min(request.message.options.len())];
    let mut rest = area;
    while let [_, length, values @ ..] = rest {
        let Some(next) = values.get(usize::from(*length)..) else { return false };
        rest = next;
    }
    !area.is_empty() && matches!(rest, [] | [255])
}

/// The headers agree with what came, but the message stops short. One that has lost only padding after END is whole, and
/// so is one that ends between two options: nothing tells that there was more.
#[test]
fn a_message_cut_anywhere_is_answered_only_if_whole() -> Result<()> {
    let lan = lan()?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let request = renewal(&lan, 0)?.2;
    let whole = FIXED + request.message.options.len();
    let (mut broken, mut complete) = (Vec::new(), Vec::new());
    for (n, len) in (1..).zip(0..request.message.encode().len()) {
        let request = if n % 2 == 0 { renewal(&lan, n)?.2 } else { lan.client(n).discovering() };
        let frame = shortened(&request, len)?;
        if is_whole(&request, len) { complete.push(frame) } else { broken.push(frame) }
    }
    ensure!(broken.len() >= whole - 20 && complete.len() >= 4);
    unanswered(&lan, &mut server, &broken)?;
    let answered: HashSet<u32> =
        answers(&lan, &mut server, &complete)?.iter().map(|answer| answer.message.xid).collect();
    for frame in &complete {
        ensure!(
            xid(frame).is_some_and(|xid| answered.contains(&xid)),
            "padding is nobody's duty: {frame:02x?}"
        );
    }
    Ok(())
}

#[test]
fn headers_that_lie_are_not_believed() -> Result<()> {
    let lan = lan()?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let mut number = 0;
    let mut frames = Vec::new();
    let mut broken = |change: &dyn Fn(Vec<u8>) -> Vec<u8>| -> Result<()> {
        number += 1;
        frames.push(change(renewal(&lan, number)?.2.frame()?));
        Ok(())
    };
    for len in [0, 7, 8, 9, 299, 307, 309, 1472, 0xffff] {
        broken(&|frame| resealed(with_word(&frame, UDP_LENGTH, len)))?;
    }
    for total in [0, 19, 20, 28, 267, 327, 329, 1500, 0xffff] {
        broken(&|frame| resealed(with_word(&frame, IP_TOTAL, total)))?;
    }
    // A wrong IP checksum; a header shorter than itself; no IP version at all.
    broken(&|frame| with_word(&frame, 24, 0x1234))?;
    for first in [0x44, 0x40, 0x05, 0x65] {
        broken(&|mut frame| {
            frame[14] = first;
            resealed(frame)
        })?;
    }
    unanswered(&lan, &mut server, &frames)
}

/// Everything about a renewal that must not differ from what the lease is bound to.
#[test]
fn a_renewal_that_is_not_quite_the_clients_is_not_acked() -> Result<()> {
    let lan = lan()?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let elsewhere = Ipv4Addr::new(10, 0, 15, 251);
    type Change<'a> = (&'a str, &'a dyn Fn(&mut Request));
    let changes: [Change; 16] = [
        ("op 2", &|r| r.message.op = 2),
        ("op 0", &|r| r.message.op = 0),
        ("htype 6", &|r| r.message.htype = 6),
        ("hlen 0, no identifier", &|r| r.message.hlen = 0),
        ("hlen 17", &|r| r.message.hlen = 17),
        ("hlen 255", &|r| r.message.hlen = 255),
        ("another cookie", &|r| r.message.cookie = [99, 130, 83, 100]),
        ("no cookie", &|r| r.message.cookie = [0; 4]),
        ("another source", &|r| r.envelope.ip_src = elsewhere),
        ("another chaddr", &|r| r.message.chaddr[5] ^= 0x80),
        ("a ciaddr nobody has", &|r| {
            r.message.ciaddr = elsewhere;
            r.envelope.ip_src = elsewhere;
        }),
        ("giaddr is the server's", &|r| r.message.giaddr = SERVER),
        ("giaddr is multicast", &|r| r.message.giaddr = Ipv4Addr::new(224, 0, 0, 1)),
        ("giaddr is broadcast", &|r| r.message.giaddr = Ipv4Addr::BROADCAST),
        ("giaddr is loopback", &|r| r.message.giaddr = Ipv4Addr::LOCALHOST),
        ("giaddr serves nobody", &|r| r.message.giaddr = Ipv4Addr::new(203, 0, 113, 1)),
    ];
    for (n, (what, change)) in (1..).zip(changes) {
        let (client, lease, mut request) = renewal(&lan, n)?;
        change(&mut request);
        for answer in answers(&lan, &mut server, &[request.frame()?]).with_context(|| what.to_owned())? {
            ensure!(answer.kind == Kind::Nak, "{what}: {:?}", answer.kind);
            echo::check(&request, &answer).with_context(|| what.to_owned())?;
        }
        client.renew(&lease).with_context(|| format!("after {what} the true client was refused"))?;
    }
    Ok(())
}

/// Options that are wrong, odd, or at the edge of what is allowed. Which of them get an answer is the server's
/// business; that it is a right one, is the harness's (`Answer::decode` and the echo rules). Nothing may die.
#[test]
fn odd_options_get_a_right_answer_or_none() -> Result<()> {
    let lan = lan()?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let long = [b'x'; 255];
    let kind: (u8, &[u8]) = (53, &[1]);
    let wanted: (u8, &[u8]) = (55, &[1, 3, 6]);
    let no_end = |mut area: Vec<u8>| {
        area.pop();
        area
    };
    let mut overload = [0; 128];
    overload[..4].copy_from_slice(&[52, 1, 3, 255]);
    let areas: Vec<(&str, Vec<u8>)> = vec![
        ("no options", vec![255]),
        ("not even END", vec![]),
        ("no message type", options(&[wanted])),
        ("an empty message type", options(&[(53, &[]), wanted])),
        ("a message type of two octets", options(&[(53, &[1, 1]), wanted])),
        ("message type 0", options(&[(53, &[0]), wanted])),
        ("message type 255", options(&[(53, &[255]), wanted])),
        ("an OFFER from a client", options(&[(53, &[2]), wanted])),
        ("an ACK from a client", options(&[(53, &[5]), wanted])),
        ("two message types", options(&[kind, wanted, (53, &[3])])),
        ("a message type far behind", options(&[(43, &long), (43, &long), kind])),
        ("missing END", no_end(options(&[kind, wanted]))),
        ("an option cut off", [options(&[kind]), vec![12, 40, b'a']].concat()[..].to_vec()),
        ("padding between options", [vec![0; 30], options(&[kind, wanted])].concat()),
        ("an empty identifier", options(&[kind, (61, &[])])),
        ("an identifier of one octet", options(&[kind, (61, &[1])])),
        ("an identifier of 255 octets", options(&[kind, (61, &long)])),
        ("an identifier in two parts", options(&[kind, (61, &long), (61, &long)])),
        ("an empty host name", options(&[kind, (12, &[])])),
        ("a host name of 255 octets", options(&[kind, (12, &long)])),
        ("a host name with %n", options(&[kind, (12, b"%n%s%n")])),
        ("a host name that is no text", options(&[kind, (12, &[0, 0xff, 0xc3, 0x28])])),
        ("an empty FQDN", options(&[kind, (81, &[])])),
        ("an FQDN with a long label", options(&[kind, (81, &[&[4, 0, 0, 200][..], &long[..200]].concat())])),
        ("a maximum size of 0", options(&[kind, (57, &[0, 0])])),
        ("a maximum size of 575", options(&[kind, (57, &[2, 63])])),
        ("a maximum size of one octet", options(&[kind, (57, &[2])])),
        ("a wished address of three octets", options(&[kind, (50, &[10, 0, 1])])),
        ("a wished address of five octets", options(&[kind, (50, &[10, 0, 1, 2, 3])])),
        ("a lease time of three octets", options(&[kind, (51, &[0, 0, 1])])),
        ("a lease time of 0", options(&[kind, (51, &[0; 4])])),
        ("a lease without end", options(&[kind, (51, &[0xff; 4])])),
        ("an empty list of wishes", options(&[kind, (55, &[])])),
        ("every wish there is", options(&[kind, (55, &(1..=254).collect::<Vec<u8>>())])),
        ("overload of nothing", options(&[kind, (52, &[0])])),
        ("overload of both", options(&[kind, (52, &[3])])),
        ("relay information from a client", options(&[kind, (82, b"\x01\x04fake")])),
        ("relay information that overruns", options(&[kind, (82, &[1, 200, 0])])),
        ("subnet selection of two octets", options(&[kind, (118, &[10, 0])])),
        ("user class of nothing", options(&[kind, (77, &[0])])),
        ("the longest there is", options(&[kind, (43, &long), (43, &long), (43, &long), (43, &long)])),
    ];
    for (n, (what, area)) in (1..).zip(areas) {
        let client = lan.client(n);
        let mut request = client.discovering();
        request.message.options = area;
        right_or_none(&lan, &mut server, &request).with_context(|| what.to_owned())?;
        // sname and file may hold more options (RFC 2132 §9.3), even ones that say so again.
        let mut overloaded = request.again();
        overloaded.message.file = overload;
        right_or_none(&lan, &mut server, &overloaded).with_context(|| format!("{what}, overloaded"))?;
    }
    lan.client(0).dora().map(drop)
}

fn right_or_none(lan: &Lan, server: &mut Server, request: &Request) -> Result<()> {
    for answer in answers(lan, server, &[request.frame()?])? {
        echo::check(request, &answer)?;
    }
    Ok(())
}

/// What must not be answered whatever else is true of it.
#[test]
fn messages_no_client_sends_are_not_answered() -> Result<()> {
    let lan = lan()?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let mut frames = Vec::new();
    let mut send = |n: u16, change: &dyn Fn(&mut Message)| -> Result<()> {
        let mut request = lan.client(n).discovering();
        change(&mut request.message);
        frames.push(request.frame()?);
        Ok(())
    };
    for (n, kind) in (1..).zip([0_u8, 2, 5, 6, 9, 255]) {
        send(n, &|message| message.options = options(&[(53, &[kind])]))?;
    }
    send(20, &|message| message.op = 2)?;
    send(21, &|message| message.op = 0)?;
    send(22, &|message| message.cookie = [1, 2, 3, 4])?;
    send(23, &|message| message.hlen = 17)?;
    send(24, &|message| message.hlen = 255)?;
    send(25, &|message| message.options = vec![])?;
    send(26, &|message| message.giaddr = Ipv4Addr::new(224, 0, 0, 1))?;
    send(27, &|message| message.giaddr = Ipv4Addr::BROADCAST)?;
    unanswered(&lan, &mut server, &frames)
}

/// The same on tagged frames: cut before, within and behind the tags.
#[test]
fn tagged_renewals_cut_anywhere_are_not_answered() -> Result<()> {
    let lan = Lan::new("malformed", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Native, &paths::subnets("max-leases-per-device = 200"))?;
    let mut frames = Vec::new();
    for (n, path) in (1..).zip(paths::all()) {
        let client = path.client(&lan, n);
        let lease = client.dora()?;
        // More would be shed for being too many from one client.
        for state in system_tests::client::Renewal::ALL {
            let whole = client.extending(state, &lease).frame()?;
            for len in [14, 16, 18, 20, 22, 40, 50] {
                frames.push(cut(&whole, len));
            }
        }
    }
    unanswered(&lan, &mut server, &frames)
}
