//! Requests that are odd in two ways at once, and configurations that take away what somebody counts on.

use anyhow::{Context as _, Result, ensure};
use std::net::Ipv4Addr;
use system_tests::client::{Client, Request, Via, WANTED, append_option, granted};
use system_tests::paths::SERVER;
use system_tests::server::{Server, Xdp};
use system_tests::topology::{CLIENT_IF, Lan};
use system_tests::wait::{PROMPT, until};
use system_tests::wire::{Kind, Tag, options};

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.50 - 10.0.0.59"]
lease-time = "1h"
options = { routers = ["10.0.0.1"], domain-name = "example.org" }
"#;

/// Behind the relay that [`Lan::relayed_client`] is behind; a port has an address of its own.
const BEHIND: &str = r#"
[[subnet]]
prefix = "10.9.0.0/24"
pools = ["10.9.0.50 - 10.9.0.59"]
lease-time = "1h"

[[subnet.reservation]]
circuit-id = "port-7"
address = "10.9.0.70"
"#;

fn lan() -> Result<Lan> {
    Lan::new("oddities", SERVER, 24)
}

/// `request` with another option area.
fn with_options(mut request: Request, list: &[(u8, &[u8])]) -> Request {
    request.message.options = options(list);
    request
}

fn is_consistent(server: &Server) -> Result<()> {
    let said = server.json(&["audit"])?;
    ensure!(said["consistent"] == true, "{said}");
    Ok(())
}

/// Client `n` on this port of the relay.
fn on_port<'a>(lan: &'a Lan, n: u16, circuit: &[u8]) -> Client<'a> {
    let mut client = lan.relayed_client(n);
    if let Via::Relay { agent_info, .. } = &mut client.via {
        *agent_info = Some(circuit.to_vec());
    }
    client
}

/// RFC 2131 §4.3.2, table 4: who selects says in option 50 what. `ciaddr` beside it is no matter, be it ours or of
/// another net; a wrong option 50 is not made good by a right `ciaddr`.
#[test]
fn option_50_goes_before_ciaddr_while_a_client_selects() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    for (n, ciaddr) in [(1, [192, 168, 1, 5]), (2, [10, 0, 0, 200]), (3, [10, 0, 0, 50])] {
        let client = lan.client(n);
        let offer = client.discover()?;
        let mut request = client.selecting(&offer)?;
        request.message.ciaddr = ciaddr.into();
        let lease = granted(&client.exchange(&request)?).with_context(|| format!("ciaddr {ciaddr:?}"))?;
        ensure!(lease.address == offer.message.yiaddr);
        client.renew(&lease)?;
    }
    let client = lan.client(4);
    let offer = client.discover()?;
    let mut request = with_options(
        client.selecting(&offer)?,
        &[(53, &[3]), (54, &SERVER.octets()), (50, &[10, 0, 0, 199])],
    );
    request.message.ciaddr = offer.message.yiaddr;
    ensure!(client.exchange(&request)?.kind == Kind::Nak);
    ensure!(client.dora()?.address == offer.message.yiaddr);
    is_consistent(&server)
}

/// RFC 2132 §9.3: each overloaded field is an option area of its own. One of zeros holds nothing; one that ends in the
/// middle of an option, or whose last octet is a code without a length, makes the message malformed.
#[test]
fn each_overloaded_field_may_be_empty_and_none_may_be_cut() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    let overloading =
        |which: u8| with_options(client.renewing(&lease), &[(53, &[3]), (52, &[which]), (55, &WANTED)]);
    for which in [1, 2, 3] {
        client.extend(&overloading(which), &lease).with_context(|| format!("option 52 = {which}, empty"))?;
    }
    // One holds a host name, and has an END; the other nothing.
    let mut named = overloading(3);
    named.message.file[..6].copy_from_slice(&[12, 3, b'f', b'o', b'o', 255]);
    client.extend(&named, &lease)?;
    let mut named = overloading(3);
    named.message.sname[..6].copy_from_slice(&[12, 3, b'b', b'a', b'r', 255]);
    client.extend(&named, &lease)?;
    ensure!(server.lease(lease.address)?.is_some_and(|lease| lease["host-name"] == "bar"));

    let cut = || server.stats()?.count(&["daemon", "dropped", "option-truncated"]);
    let before = cut().unwrap_or(0);
    let mut code_alone = overloading(2);
    code_alone.message.sname = [0; 64];
    code_alone.message.sname[63] = 12;
    let mut runs_past = overloading(1);
    runs_past.message.file[126..].copy_from_slice(&[12, 9]);
    let mut in_the_area = client.renewing(&lease);
    // Longer than what is filled up with zeros to the least length.
    in_the_area.message.options = [&[53, 1, 3][..], &[0; 80], &[12]].concat();
    for (n, request) in (1..).zip([code_alone, runs_past, in_the_area]) {
        client.expect_silence(&request, Ipv4Addr::new(10, 0, 0, 5))?;
        ensure!(cut()? == before + n, "case {n}: {}", server.stats()?.0["daemon"]);
    }
    client.renew(&lease)?;
    is_consistent(&server)
}

/// RFC 2132 §9.10 with RFC 3046 §2.2: of 576 octets, what a relay says may take near half. Option 82 comes back whole, and the
/// rest as far as it fits; with tags, too.
#[test]
fn a_long_option_82_leaves_an_answer_shorter_and_never_out() -> Result<()> {
    let lan = lan()?;
    let mut wordy = String::new();
    for code in 224..230 {
        wordy += &format!(", code-{code} = \"hex:{}\"", format!("{code:02x}").repeat(80));
    }
    let tagged = BEHIND
        .replace("10.9.", "10.8.")
        .replace("lease-time", "vlan = 7\nserver-id = \"10.8.0.2\"\nlease-time");
    let subnets = [SUBNET, BEHIND, &tagged].concat();
    let subnets = subnets.replace(
        "lease-time = \"1h\"\n\n",
        &format!("lease-time = \"1h\"\noptions = {{ routers = [\"10.0.0.1\"]{wordy} }}\n\n"),
    );
    let server = Server::start(&lan, Xdp::Native, &subnets)?;
    let mut said = vec![2, 253];
    said.extend([b'x'; 253]);
    let wanted: Vec<u8> = (224..230).chain([1, 3]).collect();
    let list: &[(u8, &[u8])] = &[(55, &wanted), (57, &[2, 64])];
    let mut behind_a_tag = on_port(&lan, 2, &said);
    behind_a_tag.tags = vec![Tag::customer(7)];
    if let Via::Relay { address, .. } = &mut behind_a_tag.via {
        *address = Ipv4Addr::new(10, 8, 0, 1);
    }
    for client in [on_port(&lan, 1, &said), behind_a_tag] {
        let asking = |mut request: Request, first: &[(u8, &[u8])]| {
            let relayed = request.message.options.windows(2).any(|pair| pair == [82, 255]);
            request.message.options = options(&[first, list].concat());
            if relayed {
                append_option(&mut request.message.options, 82, &said);
            }
            request
        };
        let offer = client.exchange(&asking(client.discovering(), &[(53, &[1])]))?;
        ensure!(offer.kind == Kind::Offer && offer.option(82) == Some(&said[..]), "{offer:?}");
        let headers = 14 + 4 * client.tags.len();
        ensure!(offer.frame.len() <= headers + 576, "{} octets", offer.frame.len());
        ensure!(offer.option(3).is_some() && offer.option(51).is_some(), "{offer:?}");
        let (address, id) = (offer.message.yiaddr.octets(), offer.address_option(54)?.octets());
        let selecting = asking(client.selecting(&offer)?, &[(53, &[3]), (50, &address), (54, &id)]);
        let lease = granted(&client.exchange(&selecting)?)?;
        for _ in 0..2 {
            let rebinding = asking(client.rebinding(&lease), &[(53, &[3])]);
            let ack = client.extend(&rebinding, &lease)?;
            ensure!(ack.frame.len() <= headers + 576 && ack.option(82) == Some(&said[..]));
        }
    }
    let stats = server.stats()?;
    ensure!(stats.count(&["daemon", "dropped", "reply-too-long"]).unwrap_or(0) == 0);
    is_consistent(&server)
}

/// One port, three devices: each new one gets the address when nobody answers for the one before, who is NAKed.
#[test]
fn a_port_goes_from_device_to_device_to_device() -> Result<()> {
    let lan = lan()?;
    lan.route_behind_relay()?;
    let server = Server::with_settings(&lan, Xdp::Native, "probe = \"auto\"", &[SUBNET, BEHIND].concat())?;
    let port = Ipv4Addr::new(10, 9, 0, 70);
    let mut before = None;
    for n in 1..=3 {
        let client = on_port(&lan, n, b"\x01\x06port-7");
        let lease = client.dora().with_context(|| format!("device {n}"))?;
        ensure!(lease.address == port, "{lease:?}");
        client.rebind(&lease)?;
        if let Some((old, held)) = before.replace((client.clone(), lease)) {
            ensure!(old.exchange(&old.rebinding(&held))?.kind == Kind::Nak, "what device {n} has");
            client.rebind(&lease)?;
        }
    }
    // Two more ask while the third answers: none of them gets it, and the third goes on.
    let (third, lease) = before.context("three devices")?;
    lan.occupy(port, CLIENT_IF)?;
    for n in [1, 2] {
        let other = on_port(&lan, n, b"\x01\x06port-7");
        other.send(&other.discovering())?;
        until("it to be refused", PROMPT, || {
            let refused = server.stats()?.count(&["daemon", "dropped", "port-in-use"]).unwrap_or(0);
            Ok((refused == u64::from(n)).then_some(()))
        })?;
    }
    third.rebind(&lease)?;
    is_consistent(&server)
}

/// RFC 2131 §4.1: hardware type and address go together. A lease that goes over to a device of another kind is told to nobody
/// by the kernel, renewed as often as it likes, and goes back as well.
#[test]
fn a_lease_goes_from_ethernet_to_other_hardware_and_back() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let client_id = Some(b"\x00moves".to_vec());
    let first = Client { client_id: client_id.clone(), ..lan.client(1) };
    let second = Client { client_id, ..lan.client(2) };
    let lease = first.dora()?;
    first.renew(&lease)?;
    for (htype, hlen) in [(6, 6), (7, 1), (27, 8), (32, 16)] {
        let of = |mut request: Request| {
            (request.message.htype, request.message.hlen) = (htype, hlen);
            request.message.chaddr = [0; 16];
            request.message.chaddr[..usize::from(hlen)].fill(0x5a);
            // Without an address to send to it asks for a broadcast (RFC 4390 §2.1).
            request.message.flags = 0x8000;
            request
        };
        let kernel = server.stats()?.all_kernel_acked()?;
        for request in [second.rebooting(lease.address), second.rebinding(&lease), second.rebinding(&lease)] {
            let answer = second.exchange(&of(request)).with_context(|| format!("htype {htype}"))?;
            ensure!(answer.kind == Kind::Ack, "{answer:?}");
        }
        ensure!(server.stats()?.all_kernel_acked()? == kernel, "the kernel knows Ethernet only");
        is_consistent(&server)?;
        for _ in 0..3 {
            first.rebind(&lease)?;
        }
        ensure!(server.stats()?.all_kernel_acked()? > kernel, "it is Ethernet's again");
        is_consistent(&server)?;
    }
    Ok(())
}

/// RFC 2131 §4.3.3, §4.3.4: what a client was offered beside its lease goes with it, whichever way it ends, and whatever
/// happened between.
#[test]
fn an_offer_beside_a_lease_ends_with_it() -> Result<()> {
    let lan = lan()?;
    let one = SUBNET.replace("10.0.0.59", "10.0.0.50");
    let mut server = Server::start(&lan, Xdp::Native, &one)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    // The daemon starts anew between offer and RELEASE.
    ensure!(client.discover()?.message.yiaddr == lease.address);
    server.crash()?;
    server.start_again()?;
    client.release(&lease)?;
    let next = lan.client(2).dora()?;
    ensure!(next.address == lease.address);
    // Or between the lease and the offer; and the device boots anew, between offer and RELEASE.
    server.crash()?;
    server.start_again()?;
    let second = lan.client(2);
    ensure!(second.discover()?.message.yiaddr == lease.address);
    second.reboot(&next)?;
    ensure!(second.discover()?.message.yiaddr == lease.address);
    second.release(&next)?;
    let third = lan.client(3);
    let lease = third.dora()?;
    ensure!(third.discover()?.message.yiaddr == lease.address);
    // Who declines it is offered it no more, and nobody is.
    third.decline(&lease)?;
    until("it to be out of use", PROMPT, || Ok((server.pool_count("quarantined")? == 1).then_some(())))?;
    ensure!(server.pool_count("offered")? == 0 && server.pool_count("leased")? == 0);
    server.json(&["quarantine", "clear", &lease.address.to_string()])?;
    ensure!(lan.client(4).dora()?.address == lease.address);
    is_consistent(&server)
}

/// A reservation that is taken away, or given by another key, holds from the next contact like one that is added.
#[test]
fn a_reservation_taken_away_or_given_by_another_key_holds_from_the_next_contact() -> Result<()> {
    let reserved =
        |key: &str, address: &str| format!("[[subnet.reservation]]\n{key}\naddress = \"{address}\"\n");
    let by_card = reserved("hw-address = \"02:c1:00:00:00:01\"", "10.0.0.70");
    let by_name = reserved("client-id = \"01:02:c1:00:00:00:01\"", "10.0.0.71");
    let contacts = [0, 1, 2].into_iter().flat_map(|contact| [(contact, false), (contact, true)]);
    for (contact, restart) in contacts {
        let lan = lan()?;
        let mut server = Server::start(&lan, Xdp::Native, &[SUBNET, &by_card].concat())?;
        let client = Client { client_id: Some(vec![1, 0x02, 0xc1, 0, 0, 0, 1]), ..lan.client(1) };
        let change = |server: &mut Server, to: &str| {
            server.rewrite(&lan, Xdp::Native, &[SUBNET, to].concat())?;
            if restart {
                server.stop()?;
                return server.start_again();
            }
            server.reload()
        };
        let mut lease = client.dora()?;
        ensure!(lease.address == Ipv4Addr::new(10, 0, 0, 70));
        client.renew(&lease)?;
        for (what, to, want) in [
            ("by client identifier", by_name.as_str(), Some(71)),
            ("by card again", &by_card, Some(70)),
            ("taken away", "", None),
            ("by client identifier, after the pool's", &by_name, Some(71)),
        ] {
            change(&mut server, to)?;
            let acked = server.stats()?.all_kernel_acked()?;
            let request = match contact {
                0 => client.renewing(&lease),
                1 => client.rebinding(&lease),
                _ => client.rebooting(lease.address),
            };
            let answer = client.exchange(&request).with_context(|| format!("{what}, contact {contact}"))?;
            ensure!(answer.kind == Kind::Nak, "{what}, contact {contact}, {restart}: {:?}", answer.kind);
            ensure!(server.stats()?.all_kernel_acked()? == acked, "{what}: the kernel goes on");
            lease = client.dora()?;
            let last = lease.address.octets()[3];
            ensure!(want.map_or((50..60).contains(&last), |want| last == want), "{what}: {lease:?}");
            client.renew(&lease)?;
            is_consistent(&server)?;
        }
    }
    Ok(())
}

/// RFC 2131 §4.4.3: who has an address and wants no lease may ask all servers, from its address or from none.
#[test]
fn an_inform_that_is_broadcast_is_answered_on_the_link() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let client = lan.client(1);
    let to_all = |mut request: Request, source: Ipv4Addr| {
        request.envelope.eth_dst = [0xff; 6];
        (request.envelope.ip_src, request.envelope.ip_dst) = (source, Ipv4Addr::BROADCAST);
        request
    };
    let own = Ipv4Addr::new(10, 0, 0, 5);
    for source in [own, Ipv4Addr::UNSPECIFIED] {
        let ack =
            client.exchange(&to_all(client.informing(own), source)).with_context(|| source.to_string())?;
        ensure!(ack.kind == Kind::Ack && ack.envelope.ip_dst == own && ack.option(51).is_none(), "{ack:?}");
    }
    // From a third address, or from none to us alone, it may be for anybody.
    let mut alone = client.informing(own);
    alone.envelope.ip_src = Ipv4Addr::UNSPECIFIED;
    for request in [to_all(client.informing(own), [10, 0, 0, 6].into()), alone] {
        client.expect_silence(&request, own)?;
    }
    // Addresses that no host can have are asked for by nobody who is to have an answer.
    for wrong in [[10, 0, 0, 0], [10, 0, 0, 255], [10, 0, 0, 1]] {
        client.expect_silence(&to_all(client.informing(wrong.into()), Ipv4Addr::UNSPECIFIED), own)?;
    }
    let stats = server.stats()?;
    ensure!(stats.count(&["daemon", "dropped", "impossible-address"])? == 3, "{}", stats.0);
    ensure!(stats.count(&["daemon", "dropped", "source-mismatch"])? == 2, "{}", stats.0);
    Ok(())
}
