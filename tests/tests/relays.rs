//! Relay information as relays really write it: it comes back as it was, and serves as far as it can be understood.

use anyhow::{Context as _, Result, ensure};
use std::net::Ipv4Addr;
use system_tests::client::{Client, Request, Via, append_option, granted};
use system_tests::paths::{AGENT_MAC, SERVER};
use system_tests::server::{Server, Xdp};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, deadline};
use system_tests::wire::{Kind, Tag};

const RELAY: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);

const SUBNETS: &str = r#"
[[class]]
name = "port p"
match = { circuit-id = ["70"] }
options = { domain-name = "p.example" }

[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.50 - 10.0.0.99"]

[[subnet]]
prefix = "10.9.0.0/24"
pools = ["10.9.0.50 - 10.9.0.150"]
lease-time = "1h"
options = { routers = ["10.9.0.1"], domain-name = "example.org" }

[[subnet]]
prefix = "10.8.0.0/24"
pools = ["10.8.0.50 - 10.8.0.99"]
options = { domain-name = "selected.example" }
"#;

fn lan() -> Result<Lan> {
    Lan::new("relays", SERVER, 24)
}

/// Client `n` behind the relay, which says this of it.
fn behind<'a>(lan: &'a Lan, n: u16, said: &[u8]) -> Client<'a> {
    let via = Via::Relay { mac: AGENT_MAC, address: RELAY, agent_info: Some(said.to_vec()) };
    Client { via, ..lan.client(n) }
}

fn odd(server: &Server) -> Result<u64> {
    server.stats()?.count(&["daemon", "odd", "unusable-agent-information"])
}

/// RFC 3046 §2.2: all of it is echoed. §2.0 has it a list without padding or END; relays have been seen to pad it, to end it, to
/// write text or nothing into it. Their clients are served like all others, and renewed by the kernel.
#[test]
fn what_is_no_list_of_sub_options_is_echoed_and_serves_as_far_as_it_goes() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNETS)?;
    let at_port: [&[u8]; 4] = [b"\x01\x01p\xff", b"\x01\x01p\0", b"\x01\x01p\0\0\0", b"\x01\x01p\x02\x09cut"];
    let nowhere: [&[u8]; 8] = [
        b"\x01",
        b"\x01\x09a",
        b"eth 0/1/2:100",
        // Sub-options 5, 10 and 11 of a length that they can't have (RFC 3527, RFC 5010, RFC 5107).
        b"\x05\x03\x0a\x08\0",
        b"\x05\0",
        b"\x0a\0",
        b"\x0b\x02\x0a\x09",
        b"\x0b\x05\x0a\x09\0\x01\x01",
    ];
    let cases = at_port.map(|said| (said, "p.example")).into_iter();
    for (n, (said, domain)) in (1..).zip(cases.chain(nowhere.map(|said| (said, "example.org")))) {
        let client = behind(&lan, n, said);
        let before = odd(&server)?;
        let offer = client.discover().with_context(|| format!("{said:02x?}"))?;
        let ack = client.select(&offer)?;
        let lease = granted(&ack)?;
        ensure!(lease.address.octets()[..3] == [10, 9, 0] && lease.server == SERVER, "{said:02x?}: {ack:?}");
        ensure!(odd(&server)? == before + 2, "{said:02x?}: {}", server.stats()?.0);
        let acked = server.stats()?.all_kernel_acked()?;
        for answer in [offer, ack, client.rebind(&lease)?, client.reboot(&lease)?] {
            ensure!(answer.option(82) == Some(said), "{said:02x?}: {answer:?}");
            ensure!(answer.option(15) == Some(domain.as_bytes()), "{said:02x?}: {answer:?}");
        }
        let past = client.renew(&lease)?;
        ensure!(past.option(82).is_none() && past.option(15) == Some(domain.as_bytes()), "{past:?}");
        ensure!(server.stats()?.all_kernel_acked()? == acked + 3, "{said:02x?}: the kernel knows all three");
        client.release(&lease)?;
    }
    ensure!(server.json(&["audit"])?["consistent"] == true);
    Ok(())
}

/// RFC 3527 §3, RFC 5107 §4: an address that no host can have selects nothing, and nobody can be the server there.
#[test]
fn an_address_that_no_host_can_have_is_none() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNETS)?;
    for (n, said) in (1..).zip([
        &b"\x05\x04\0\0\0\0"[..],
        b"\x05\x04\x7f\0\0\x01",
        b"\x0b\x04\0\0\0\0",
        b"\x0b\x04\xff\xff\xff\xff",
        b"\x0b\x04\xe0\0\0\x01",
    ]) {
        let client = behind(&lan, n, said);
        let lease = client.dora().with_context(|| format!("{said:02x?}"))?;
        ensure!(
            lease.address.octets()[..3] == [10, 9, 0] && lease.server == SERVER,
            "{said:02x?}: {lease:?}"
        );
        client.rebind(&lease)?;
        client.renew(&lease)?;
    }
    ensure!(odd(&server)? == 0, "{}", server.stats()?.0);
    Ok(())
}

/// The same of what is right: the subnet selected, and the relay as the server.
#[test]
fn link_selection_and_server_override_hold_to_the_end_of_the_lease() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNETS)?;
    let selecting = behind(&lan, 1, b"\x05\x04\x0a\x08\0\0\x01\x01q");
    let lease = selecting.dora()?;
    ensure!(lease.address.octets()[..3] == [10, 8, 0] && lease.server == SERVER, "{lease:?}");
    let acked = server.stats()?.all_kernel_acked()?;
    for answer in [selecting.rebind(&lease)?, selecting.reboot(&lease)?, selecting.renew(&lease)?] {
        ensure!(answer.option(15) == Some(b"selected.example"), "{answer:?}");
    }
    ensure!(server.stats()?.all_kernel_acked()? == acked + 3, "{}", server.stats()?.0);

    // Clients talk to the relay for good, which sends on what is unicast to it, and says so (RFC 5010).
    let mut overriding = behind(&lan, 2, b"\x0b\x04\x0a\x09\0\x01");
    let lease = overriding.dora()?;
    ensure!(lease.server == RELAY, "{lease:?}");
    if let Via::Relay { agent_info, .. } = &mut overriding.via {
        *agent_info = Some(b"\x0a\x01\x80\x0b\x04\x0a\x09\0\x01".to_vec());
    }
    for _ in 0..2 {
        let ack = overriding.exchange(&overriding.rebinding(&lease))?;
        ensure!(ack.kind == Kind::Ack && ack.address_option(54)? == RELAY, "{ack:?}");
    }
    Ok(())
}

/// RFC 8357 §5: a relay that sends from another port than 67, and says so by sub-option 19, is answered there, and gets the
/// sub-option back. Without the sub-option the answer goes to port 67 (RFC 2131 §4.1).
#[test]
fn a_relay_that_sends_from_another_port_is_answered_there_if_it_says_so() -> Result<()> {
    const PORT: u16 = 1067;
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNETS)?;
    for (n, said, port) in [(1, &b"\x01\x01q\x13\0"[..], PORT), (2, b"\x01\x01q", 67)] {
        let client = behind(&lan, n, said);
        let answered = |mut request: Request, kind: Kind| -> Result<()> {
            request.envelope.src_port = PORT;
            lan.socket.send(&request.frame()?)?;
            let at = deadline(PROMPT);
            loop {
                let frame = lan.socket.receive(at)?.context("no answer")?;
                if frame.get(46..50) != Some(&request.message.xid.to_be_bytes()[..]) {
                    continue;
                }
                ensure!(frame[36..38] == port.to_be_bytes(), "to port {:?}", &frame[36..38]);
                ensure!(frame.windows(3).any(|three| three == [53, 1, kind as u8]), "{frame:02x?}");
                let echo = [&[82, u8::try_from(said.len())?][..], said].concat();
                ensure!(frame.windows(echo.len()).any(|part| part == echo) || kind == Kind::Nak);
                return Ok(());
            }
        };
        answered(client.discovering(), Kind::Offer)?;
        let lease = client.dora()?;
        for _ in 0..2 {
            answered(client.rebinding(&lease), Kind::Ack)?;
            answered(client.rebooting(lease.address), Kind::Ack)?;
        }
        answered(client.rebooting(Ipv4Addr::new(10, 0, 0, 60)), Kind::Nak)?;
    }
    ensure!(server.json(&["audit"])?["consistent"] == true);
    Ok(())
}

/// A sub-option that contradicts itself says nothing (no RFC has one twice); all of it comes back.
#[test]
fn a_link_selected_twice_is_none_unless_it_is_the_same() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNETS)?;
    for (n, said, net, counted) in [
        (1, &b"\x05\x04\x0a\x08\0\0\x05\x04\x0a\x08\0\0"[..], 8, 0),
        (2, b"\x05\x04\x0a\x08\0\0\x05\x04\x0a\x09\0\0", 9, 1),
    ] {
        let before = odd(&server)?;
        let offer = behind(&lan, n, said).discover()?;
        ensure!(offer.message.yiaddr.octets()[1] == net, "{said:02x?}: {offer:?}");
        ensure!(offer.option(82) == Some(said) && odd(&server)? == before + counted, "{offer:?}");
    }
    Ok(())
}

/// RFC 3011 §2: a client that selects another subnet than its lease's does not go on with that, by the kernel or the daemon.
#[test]
fn a_renewal_that_selects_another_subnet_is_refused() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNETS)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    (0..2).try_for_each(|_| client.renew(&lease).map(drop))?;
    let acked = server.stats()?.all_kernel_acked()?;
    for mut request in [client.renewing(&lease), client.rebinding(&lease), client.rebooting(lease.address)] {
        append_option(&mut request.message.options, 118, &[10, 8, 0, 0]);
        let answer = client.exchange(&request)?;
        ensure!(answer.kind == Kind::Nak, "{answer:?}");
    }
    ensure!(server.stats()?.all_kernel_acked()? == acked);
    client.renew(&lease)?;
    Ok(())
}

/// A client on a link of ours sends with its tags: what comes by others, fewer or more, is another's.
#[test]
fn a_renewal_with_other_tags_goes_on_with_no_lease_of_a_vlan() -> Result<()> {
    let lan = lan()?;
    let tagged = SUBNETS.replace(
        "\nprefix = \"10.8.0.0/24\"",
        "\nprefix = \"10.8.0.0/24\"\nvlan = 7\nserver-id = \"10.8.0.1\"",
    );
    let server = Server::start(&lan, Xdp::Native, &tagged)?;
    let here = Client { tags: vec![Tag::customer(7)], ..lan.client(1) };
    let lease = here.dora()?;
    ensure!(lease.address.octets()[..3] == [10, 8, 0], "{lease:?}");
    here.renew(&lease)?;
    for tags in
        [vec![], vec![Tag::customer(8)], vec![Tag::provider(9)], vec![Tag::provider(8), Tag::customer(7)]]
    {
        let elsewhere = Client { tags: tags.clone(), ..here.clone() };
        let acked = server.stats()?.all_kernel_acked()?;
        let answers =
            lan.client(9).answers_to(&[elsewhere.renewing(&lease).frame()?], Ipv4Addr::new(10, 0, 0, 5))?;
        ensure!(answers.iter().all(|answer| answer.kind != Kind::Ack), "{tags:?}: {answers:?}");
        ensure!(server.stats()?.all_kernel_acked()? == acked, "{tags:?}");
    }
    here.renew(&lease)?;
    Ok(())
}
