//! Each message of RFC 2131, by the daemon, with the XDP program attached and without it: what it gets, and what becomes
//! of the address.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::net::Ipv4Addr;
use system_tests::answer::Answer;
use system_tests::client::{Client, granted};
use system_tests::paths::{self, SERVER};
use system_tests::server::{Server, Xdp};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};
use system_tests::wire::{BROADCAST_FLAG, Kind};

/// An address configured by hand, for an INFORM to tell when the server is done with what came before.
const WITNESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);

/// A pool of three, so that a test can use it up.
const SMALL: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.12"]
lease-time = "10m"
options = { routers = ["10.0.0.1"], domain-name-servers = ["10.0.0.53", "10.0.0.54"], domain-name = "example.org" }
"#;

fn lan() -> Result<Lan> {
    Lan::new("exchange", SERVER, 24)
}

fn counted(server: &Server, what: &str, expected: u64) -> Result<()> {
    until(&format!("`pools` to count {expected} {what}"), PROMPT, || {
        Ok((server.pool_count(what)? == expected).then_some(()))
    })
}

/// The states of the only pool, which must add up to its size (reserved addresses apart, there are none).
fn adds_up(server: &Server) -> Result<()> {
    let sum: u64 = ["free", "offered", "leased", "grace", "quarantined"]
        .iter()
        .map(|state| server.pool_count(state))
        .sum::<Result<u64>>()?;
    ensure!(sum == server.pool_count("size")?, "{}", server.json(&["pools"])?);
    Ok(())
}

/// RFC 2131 §4.3.1, MUST (tells-address, t3-lease-time): OFFER and ACK name the address and the lease time.
/// RFC 2131 §4.3.1, stated (time-default, t3-fixed, t3-ciaddr, t3-yiaddr): the time that is configured; fields of table 3.
/// RFC 2131 §3.3, stated (relative-times): in seconds from now.
/// RFC 2131 §4.1, MUST (reachable-identifier): the server is known by an address that the client reaches.
/// RFC 2131 §4.1, SHOULD (identifier-on-link): by its address on the link.
#[test]
fn a_lease_is_offered_and_granted_with_all_it_needs() -> Result<()> {
    for xdp in [Xdp::Native, Xdp::Off] {
        let lan = lan()?;
        let server = Server::start(&lan, xdp, SMALL)?;
        let client = lan.client(1);
        let offer = client.discover()?;
        ensure!(offer.kind == Kind::Offer);
        let ack = client.select(&offer)?;
        let lease = granted(&ack)?;
        ensure!(
            lease.address == offer.message.yiaddr && lease.server == SERVER && lease.seconds == 600,
            "{lease:?}"
        );

        for answer in [&offer, &ack] {
            ensure!(answer.number_option(51)? == 600);
            ensure!(answer.number_option(58)? == 300 && answer.number_option(59)? == 525);
            ensure!(answer.address_option(1)? == Ipv4Addr::new(255, 255, 255, 0));
            ensure!(answer.option(3) == Some([10, 0, 0, 1].as_slice()));
            ensure!(answer.option(6) == Some([10, 0, 0, 53, 10, 0, 0, 54].as_slice()));
            ensure!(answer.option(15) == Some(b"example.org".as_slice()));
            ensure!(answer.option(12).is_none(), "nobody asked for a host name");
            ensure!((answer.message.hops, answer.message.secs) == (0, 0), "RFC 2131, table 3");
            ensure!(answer.message.ciaddr.is_unspecified(), "ciaddr is the client's own");
            ensure!(answer.envelope.ip_src == SERVER && answer.envelope.eth_src == client.server.mac);
        }
        let listed = server.lease(lease.address)?.context("the lease is not listed")?;
        ensure!(listed["state"] == "leased" && listed["hw-address"] == "02:c1:00:00:00:01", "{listed}");
        ensure!(listed["subnet"] == "10.0.0.0/24" && listed["interface"] == "srv0", "{listed}");
        ensure!(listed["last-answered-by"] == "daemon" && listed["kernel-renewals"] == 0, "{listed}");
        adds_up(&server)?;
    }
    Ok(())
}

/// RFC 2131 §3, stated (message-type, cookie): a message is what it has to be at all.
/// RFC 2131 §4.1, stated (end-last, ports, to-relay, to-all, to-hardware): it goes where it has to go.
/// RFC 2131 §4.1, SHOULD (broadcast-bit, unicast-else): as the broadcast bit says.
/// RFC 2131 §4.3.1, stated (t3-copied, t3-flags): fields come back.
/// RFC 2131 §4.3.1, MUST (t3-server-id): the server says who it is.
#[test]
fn the_answer_comes_as_the_client_asks_for_it() -> Result<()> {
    for xdp in [Xdp::Native, Xdp::Off] {
        let lan = lan()?;
        let _server = Server::start(&lan, xdp, &paths::subnets(""))?;
        for (n, path) in (1..).zip(paths::all()) {
            for (flags, id) in [(0, None), (BROADCAST_FLAG, None), (0, Some(b"\0an identifier".to_vec()))] {
                let client = Client { client_id: id, ..path.client(&lan, n) };
                let mut discover = client.discovering();
                discover.message.flags = flags;
                let offer = client.exchange(&discover).with_context(|| path.name.clone())?;
                let mut select = client.selecting(&offer)?;
                select.message.flags = flags;
                let ack = client.exchange(&select).with_context(|| path.name.clone())?;
                client.release(&granted(&ack)?)?;
            }
        }
    }
    Ok(())
}

/// RFC 2131 §4.3.2, SHOULD (reboot-wrong-net): by a NAK.
/// RFC 2131 §4.3.2, MUST (nak-broadcast, nak-broadcast-bit): which is broadcast, or has the relay do so.
/// RFC 2131 §3.2, MUST (nak-to-relay): where there is a relay, it goes there.
#[test]
fn a_client_in_the_wrong_net_is_told_so() -> Result<()> {
    for xdp in [Xdp::Native, Xdp::Off] {
        let lan = lan()?;
        let _server = Server::start(&lan, xdp, &paths::subnets(""))?;
        for (n, path) in (1..).zip(paths::all()) {
            let client = path.client(&lan, n);
            let nak = client.exchange(&client.rebooting(Ipv4Addr::new(172, 16, 0, 1))).context(path.name)?;
            ensure!(nak.kind == Kind::Nak, "{:?}", nak.kind);
            ensure!(nak.message.yiaddr.is_unspecified() && nak.option(51).is_none());
        }
    }
    Ok(())
}

/// RFC 2131 §4.3.2, MUST (reboot-unknown): silence for INIT-REBOOT.
/// RFC 2131 §3.2, SHOULD NOT (uncertain-silence): silence of what is not ours.
#[test]
fn an_unknown_client_hears_only_what_concerns_it() -> Result<()> {
    for xdp in [Xdp::Native, Xdp::Off] {
        let lan = lan()?;
        let _server = Server::start(&lan, xdp, SMALL)?;
        let client = lan.client(1);
        let known = |address| system_tests::client::Lease { address, server: SERVER, seconds: 600 };

        // INIT-REBOOT in the right net: perhaps another server's client. RFC 2131 §4.3.2: remain silent.
        client.expect_silence(&client.rebooting(Ipv4Addr::new(10, 0, 0, 200)), WITNESS)?;
        // RENEWING is addressed to us alone.
        let renewing = client.renewing(&known(Ipv4Addr::new(10, 0, 0, 11)));
        ensure!(client.exchange(&renewing)?.kind == Kind::Nak);
        // REBINDING: a NAK for an address that only we may give, silence for one that is not ours to give.
        let rebinding = client.rebinding(&known(Ipv4Addr::new(10, 0, 0, 11)));
        ensure!(client.exchange(&rebinding)?.kind == Kind::Nak);
        client.expect_silence(&client.rebinding(&known(Ipv4Addr::new(10, 0, 0, 200))), WITNESS)?;
    }
    Ok(())
}

#[test]
fn a_server_without_authority_sends_no_nak() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, &format!("{SMALL}authoritative = false\n"))?;
    let client = lan.client(1);
    client.expect_silence(&client.rebooting(Ipv4Addr::new(172, 16, 0, 1)), WITNESS)?;
    let lease =
        system_tests::client::Lease { address: Ipv4Addr::new(10, 0, 0, 11), server: SERVER, seconds: 600 };
    client.expect_silence(&client.renewing(&lease), WITNESS)?;
    ensure!(server.stats()?.sent("nak")? == 0);
    Ok(())
}

/// RFC 2131 §4.3.5, stated (inform-direct, inform-parameters): an ACK to ciaddr, with parameters.
/// RFC 2131 §4.3.5, MUST NOT (inform-no-time): without a lease time.
/// RFC 2131 §4.3.5, SHOULD NOT (inform-no-yiaddr): without an address.
/// RFC 2131 §3.4, SHOULD (inform-unicast): by unicast.
#[test]
fn an_inform_gets_options_and_no_lease() -> Result<()> {
    for xdp in [Xdp::Native, Xdp::Off] {
        let lan = lan()?;
        let server = Server::start(&lan, xdp, SMALL)?;
        let ack = lan.client(1).inform(WITNESS)?;
        ensure!(ack.kind == Kind::Ack && ack.message.yiaddr.is_unspecified(), "{ack:?}");
        ensure!(
            ack.message.ciaddr == WITNESS && ack.option(15) == Some(b"example.org".as_slice()),
            "{ack:?}"
        );
        for lease_only in [51, 58, 59] {
            ensure!(ack.option(lease_only).is_none(), "an INFORM got option {lease_only}");
        }
        ensure!(server.json(&["leases"])? == Value::Array(vec![]));
        adds_up(&server)?;
    }
    Ok(())
}

/// RFC 2131 §4.3.4, stated (released): the address is anybody's.
/// RFC 2131 §4.3.4, SHOULD (release-remembered): its client is not forgotten.
/// RFC 2131 §4.3.1, SHOULD (second-choice): it is offered its last address.
#[test]
fn a_released_address_is_free_at_once_and_its_owner_preferred() -> Result<()> {
    for xdp in [Xdp::Native, Xdp::Off] {
        let lan = lan()?;
        let server = Server::start(&lan, xdp, SMALL)?;
        let client = lan.client(1);
        let lease = client.dora()?;
        counted(&server, "leased", 1)?;
        client.release(&lease)?;
        counted(&server, "free", 3)?;
        adds_up(&server)?;

        // The kernel must not go on answering for it: the renewal goes up, and the daemon refuses it.
        ensure!(client.exchange(&client.renewing(&lease))?.kind == Kind::Nak);
        let other = lan.client(2).dora()?;
        ensure!(other.address != lease.address, "a stranger got {other:?} while there was choice");
        ensure!(client.dora()?.address == lease.address);
        adds_up(&server)?;
    }
    Ok(())
}

#[test]
fn nobody_can_release_or_decline_for_somebody_else() -> Result<()> {
    for xdp in [Xdp::Native, Xdp::Off] {
        let lan = lan()?;
        let server = Server::start(&lan, xdp, SMALL)?;
        let (client, thief) = (lan.client(1), lan.client(2));
        let lease = client.dora()?;
        thief.expect_silence(&thief.releasing(&lease), WITNESS)?;
        thief.expect_silence(&thief.declining(&lease), WITNESS)?;
        counted(&server, "leased", 1)?;
        client.renew(&lease)?;
        adds_up(&server)?;
    }
    Ok(())
}

/// RFC 2131 §4.3.3, MUST (declined): the address is not available any more.
#[test]
fn a_declined_address_is_put_aside() -> Result<()> {
    for xdp in [Xdp::Native, Xdp::Off] {
        let lan = lan()?;
        let server = Server::start(&lan, xdp, SMALL)?;
        let client = lan.client(1);
        let lease = client.dora()?;
        client.decline(&lease)?;
        counted(&server, "quarantined", 1)?;
        adds_up(&server)?;
        let next = client.dora()?;
        ensure!(next.address != lease.address, "the declined address was given out again");
        // With the last good one gone, there is none left: the declined one is no way out.
        ensure!(lan.client(2).dora()?.address != lease.address);
        lan.client(9).expect_silence(&lan.client(9).discovering(), WITNESS)?;
    }
    Ok(())
}

#[test]
fn a_pool_used_up_is_silence_and_nothing_worse() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SMALL)?;
    let clients: Vec<_> = (1..=3).map(|n| lan.client(n)).collect();
    let leases = clients.iter().map(Client::dora).collect::<Result<Vec<_>>>()?;
    let late = lan.client(4);
    late.expect_silence(&late.discovering(), WITNESS)?;
    for (client, lease) in clients.iter().zip(&leases) {
        client.renew(lease)?;
    }
    adds_up(&server)?;
    clients[1].release(&leases[1])?;
    counted(&server, "free", 1)?;
    ensure!(late.dora()?.address == leases[1].address);
    adds_up(&server)
}

/// RFC 2131 §3.1, stated (not-selected): by a REQUEST for another server.
#[test]
fn an_offer_refused_is_free_at_once() -> Result<()> {
    for xdp in [Xdp::Native, Xdp::Off] {
        let lan = lan()?;
        let server = Server::start(&lan, xdp, SMALL)?;
        let client = lan.client(1);
        let offer = client.discover()?;
        ensure!(server.pool_count("offered")? == 1);
        // The client takes another server's offer.
        let mut elsewhere: Answer = offer.clone();
        for (code, value) in &mut elsewhere.options {
            if *code == 54 {
                *value = vec![10, 0, 0, 99];
            }
        }
        client.expect_silence(&client.selecting(&elsewhere)?, WITNESS)?;
        ensure!(server.pool_count("offered")? == 0 && server.pool_count("free")? == 3);
        adds_up(&server)?;
    }
    Ok(())
}

/// RFC 2131 §3.1, SHOULD (offer-lapses): the address is available again.
#[test]
fn an_offer_forgotten_times_out() -> Result<()> {
    for xdp in [Xdp::Native, Xdp::Off] {
        let lan = lan()?;
        let server = Server::with_settings(&lan, xdp, "offer-hold = \"1s\"", SMALL)?;
        lan.client(1).discover()?;
        ensure!(server.pool_count("offered")? == 1);
        counted(&server, "offered", 0)?;
        ensure!(server.pool_count("free")? == 3);
    }
    Ok(())
}

/// RFC 4361 §6.3, stated (administrators-chaddr): where the administrator says so, the hardware address goes first.
#[test]
fn a_reservation_is_kept_for_its_client() -> Result<()> {
    let lan = lan()?;
    let reserved = format!(
        r#"{SMALL}
[[subnet.reservation]]
hw-address = "02:c1:00:00:00:07"
address = "10.0.0.7"
host-name = "seven"

[[subnet.reservation]]
client-id = "00:65:69:67:68:74"
address = "10.0.0.11"
"#
    );
    let server = Server::start(&lan, Xdp::Native, &reserved)?;
    let seven = lan.client(7);
    ensure!(seven.dora()?.address == Ipv4Addr::new(10, 0, 0, 7));
    // By hardware address it holds whatever identifier is sent.
    let renamed = Client { client_id: Some(b"\0other".to_vec()), ..seven.clone() };
    ensure!(renamed.dora()?.address == Ipv4Addr::new(10, 0, 0, 7));

    // Two of three addresses of the pool are there for everybody.
    for n in 1..=2 {
        ensure!(lan.client(n).dora()?.address != Ipv4Addr::new(10, 0, 0, 11));
    }
    lan.client(3).expect_silence(&lan.client(3).discovering(), WITNESS)?;
    let eight = Client { client_id: Some(b"\0eight".to_vec()), ..lan.client(8) };
    ensure!(eight.dora()?.address == Ipv4Addr::new(10, 0, 0, 11));
    let pools = server.json(&["pools"])?;
    ensure!(pools[0]["size"] == 3 && pools[0]["leased"] == 3, "{pools}");
    Ok(())
}

#[test]
fn a_relay_that_serves_no_subnet_of_ours_gets_nothing() -> Result<()> {
    let lan = lan()?;
    let _server = Server::start(&lan, Xdp::Native, SMALL)?;
    let relayed =
        paths::all().into_iter().find(|path| path.name == "untagged, relayed").context("no such path")?;
    let client = relayed.client(&lan, 1);
    lan.socket.send(&client.discovering().frame()?)?;
    let direct = lan.client(2);
    let answers = direct.answers_to(&[], WITNESS)?;
    ensure!(answers.is_empty(), "{answers:?}");
    Ok(())
}
