//! Limits on the wire: a flood of new clients on a link is cut to its limit while leases that run go on, a client that
//! does nothing but ask is heard only so often, and a port of a relay has its share of messages and of leases.

use anyhow::{Context, Result, ensure};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use system_tests::client::{Client, Lease, Request, Via, append_option, granted};
use system_tests::paths::{self, AGENT_MAC, SERVER};
use system_tests::server::{Server, Stats, Xdp};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};
use system_tests::wire::{Kind, Mac};

const FLOOD: u16 = 200;
const PART: u16 = 50;
const ROUTER: Mac = [2, 0, 0, 0, 0xee, 1];

fn lan() -> Result<Lan> {
    Lan::new("limits", SERVER, 24)
}

/// The configuration's end, with `limits` as keys of its interface.
fn limited(limits: &str) -> String {
    format!("{limits}\n{}", paths::subnets("lease-time = \"10m\""))
}

fn dropped(stats: &Stats, why: &str) -> u64 {
    stats.count(&["daemon", "dropped", why]).unwrap_or(0)
}

/// What the server says once it has dealt with as many DISCOVERs as were sent.
fn dealt_with(server: &Server, sent: u64) -> Result<Stats> {
    until("all DISCOVERs to be dealt with", PROMPT, || {
        let stats = server.stats()?;
        let all = stats.received("discover")? + dropped(&stats, "rate-limited");
        ensure!(all <= sent, "{sent} were sent: {}", stats.0);
        Ok((all == sent).then_some(stats))
    })
}

fn a_flood_is_cut_to_the_limit(xdp: Xdp) -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, xdp, &limited("rate-limit = 10"))?;
    let client = lan.client(1);
    let lease = client.dora()?;
    // In parts, that a packet socket's buffer can hold.
    for part in 0..FLOOD / PART {
        for n in 0..PART {
            client.send(&lan.client(2 + part * PART + n).discovering())?;
        }
        client.renew(&lease)?;
        dealt_with(&server, 1 + u64::from((part + 1) * PART))?;
    }
    let stats = server.stats()?;
    // Ten in a row, and ten for each second that it took to send all.
    ensure!((10..100).contains(&stats.sent("offer")?), "{}", stats.0);
    ensure!(dropped(&stats, "rate-limited") > 100, "{}", stats.0);
    client.rebind(&lease)?;
    ensure!(client.reboot(&lease)?.message.yiaddr == lease.address, "what was begun is not limited");
    Ok(())
}

#[test]
fn a_flood_is_cut_to_the_limit_with_the_program_in_the_driver() -> Result<()> {
    a_flood_is_cut_to_the_limit(Xdp::Native)
}

#[test]
fn a_flood_is_cut_to_the_limit_without_the_program() -> Result<()> {
    a_flood_is_cut_to_the_limit(Xdp::Off)
}

/// Client `n` on this port of the relay of [`limited`].
fn subscriber(lan: &Lan, n: u16, port: u8) -> Client<'_> {
    let agent_info = Some(vec![1, 2, b'p', port]);
    let via = Via::Relay { mac: AGENT_MAC, address: Ipv4Addr::new(10, 1, 0, 1), agent_info };
    Client { via, ..lan.client(n) }
}

/// A subscriber that makes up clients fills its own port's share; its neighbours get addresses.
#[test]
fn a_port_of_a_relay_has_a_share_of_its_own() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, &limited("circuit-rate-limit = 1"))?;
    for n in 1..=100 {
        subscriber(&lan, n, 1).send(&subscriber(&lan, n, 1).discovering())?;
    }
    let stats = dealt_with(&server, 100)?;
    ensure!(dropped(&stats, "rate-limited-circuit") >= 50, "{}", stats.0);
    subscriber(&lan, 200, 2).dora()?;
    Ok(())
}

/// A second's worth in a row, and no more: twenty that come together get five answers, and one more for each fifth of a second
/// that it takes to hear them all.
#[test]
fn a_port_of_a_relay_has_a_seconds_worth_in_a_row() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, &limited("circuit-rate-limit = 5"))?;
    let (mut ports, mut offered) = (1_u8.., 0);
    // On a machine that stands still for longer than that, the next port may do better.
    until("twenty to be heard within three fifths of a second", PROMPT, || {
        let port = ports.next().context("no more ports")?;
        let clients = || (0..20).map(|n| subscriber(&lan, u16::from(port) * 20 + n, port));
        let begun = Instant::now();
        clients().try_for_each(|client| client.send(&client.discovering()))?;
        let stats = until("all of them to be dealt with", PROMPT, || {
            let stats = server.stats()?;
            let all = stats.sent("offer")? + dropped(&stats, "rate-limited-circuit");
            Ok((all == u64::from(port) * 20).then_some(stats))
        })?;
        let fifths = begun.elapsed().as_millis() / 200;
        let offers = stats.sent("offer")? - offered;
        offered += offers;
        ensure!((5..=5 + fifths).contains(&offers.into()), "{offers} offers in {fifths} fifths: {}", stats.0);
        Ok((offers <= 8).then_some(()))
    })
}

#[test]
fn a_client_that_does_nothing_but_ask_is_heard_only_so_often() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, &limited(""))?;
    let client = lan.client(1);
    for _ in 0..FLOOD {
        client.send(&client.discovering())?;
    }
    let stats = dealt_with(&server, u64::from(FLOOD))?;
    ensure!(stats.sent("offer")? >= 20, "{}", stats.0);
    ensure!(dropped(&stats, "rate-limited-client") >= 100, "{}", stats.0);
    lan.client(2).dora()?;
    // Its turn comes again.
    until("the client to be heard again", PROMPT, || {
        let discover = client.discovering();
        client.send(&discover)?;
        client.answer(&discover, Instant::now() + Duration::from_millis(100))
    })?;
    Ok(())
}

/// Many addresses would be leased by clients that never ask what they may have.
#[test]
fn who_asks_for_an_address_that_was_not_offered_is_limited_as_who_discovers() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, &limited("rate-limit = 10"))?;
    let client = lan.client(1);
    for n in 0..PART {
        let mut request = lan.client(2 + n).rebooting(Ipv4Addr::new(10, 0, 0, 20 + u8::try_from(n)?));
        append_option(&mut request.message.options, 54, &SERVER.octets());
        client.send(&request)?;
    }
    let stats = until("all REQUESTs to be dealt with", PROMPT, || {
        let stats = server.stats()?;
        Ok((stats.received("request")? == u64::from(PART)).then_some(stats))
    })?;
    ensure!(dropped(&stats, "rate-limited") >= u64::from(PART) / 2, "{}", stats.0);
    Ok(())
}

/// Floods of DISCOVERs in the client's name, and what it gets meanwhile: its exchange and its renewals.
fn goes_on_while(posing: &dyn Fn(&Client) -> Request, server: &Server, lan: &Lan) -> Result<()> {
    one_goes_on_while(lan.client(1), posing, server, "rate-limited-client")
}

/// The same for this client; what its poser sends is dropped for this reason.
fn one_goes_on_while(
    victim: Client,
    posing: &dyn Fn(&Client) -> Request,
    server: &Server,
    why: &str,
) -> Result<()> {
    let victim = Client { client_id: Some(b"\0victim".to_vec()), ..victim };
    let flood = |times: u16| (0..times).try_for_each(|_| victim.send(&posing(&victim).again()));
    flood(PART)?;
    for round in 0..3 {
        flood(PART)?;
        let discover = victim.discovering();
        let answer = until("an OFFER", PROMPT, || {
            flood(3)?;
            victim.send(&discover)?;
            victim.answer(&discover, Instant::now() + Duration::from_millis(300))
        })?;
        flood(PART)?;
        let lease = granted(&victim.select(&answer)?).with_context(|| format!("round {round}"))?;
        flood(PART)?;
        victim.renew(&lease)?;
        victim.rebind(&lease)?;
        victim.release(&lease)?;
        until("the RELEASE to be heard", PROMPT, || {
            Ok(server.lease(lease.address)?.is_none().then_some(()))
        })?;
    }
    ensure!(dropped(&server.stats()?, why) > 0, "nothing was refused");
    Ok(())
}

#[test]
fn who_poses_as_a_client_does_not_lock_it_out() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, &limited(""))?;
    let by_another = |victim: &Client| {
        let mut request = victim.discovering();
        request.envelope.eth_src = [2, 0, 0, 0, 0xbb, 1];
        request
    };
    goes_on_while(&by_another, &server, &lan)
}

/// Its hardware address stands in the frames as well. Its DISCOVER is heard when it is repeated.
#[test]
fn who_poses_as_a_client_in_everything_does_not_lock_it_out() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, &limited(""))?;
    goes_on_while(&|victim| victim.discovering(), &server, &lan)
}

/// The same through a router, by unicast: the far sender is neither heard nor does it use up what the client has.
#[test]
fn who_poses_as_a_client_by_routed_unicast_does_not_lock_it_out() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, &limited(""))?;
    let routed = |victim: &Client| {
        let mut request = victim.discovering();
        (request.envelope.eth_src, request.envelope.eth_dst) = (ROUTER, victim.server.mac);
        (request.envelope.ip_src, request.envelope.ip_dst) = (Ipv4Addr::new(203, 0, 113, 9), SERVER);
        request
    };
    // What is refused for where it came from counts against nobody.
    one_goes_on_while(lan.client(1), &routed, &server, "not-on-link")?;
    ensure!(dropped(&server.stats()?, "rate-limited-client") == 0, "it counts as the client's");
    Ok(())
}

/// The same by who claims to be the relay of a client behind one, from an address of a pool.
#[test]
fn who_poses_as_a_client_and_its_relay_does_not_lock_it_out() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, &limited(""))?;
    let leased = lan.client(9).dora()?.address;
    let as_relay = |victim: &Client| {
        let mut request = victim.discovering();
        request.envelope.ip_src = leased;
        request
    };
    one_goes_on_while(subscriber(&lan, 1, 7), &as_relay, &server, "relay-source")?;
    ensure!(dropped(&server.stats()?, "rate-limited-client") == 0, "it counts as the client's");
    Ok(())
}

/// Without probes a device has four leases: whoever takes four in another's name has its own used up, and not the other's.
#[test]
fn who_leases_in_a_clients_name_does_not_lock_it_out() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, &limited(""))?;
    let victim = Client { client_id: Some(b"\0victim".to_vec()), ..lan.client(1) };
    let by_another = |mut request: Request| {
        request.envelope.eth_src = [2, 0, 0, 0, 0xbb, 1];
        request
    };
    let poser = |n: u8| Client { client_id: Some(vec![0, n]), ..victim.clone() };
    for n in 0..4 {
        let offer = poser(n).exchange(&by_another(poser(n).discovering()))?;
        granted(&poser(n).exchange(&by_another(poser(n).selecting(&offer)?))?)?;
    }
    let fifth = by_another(poser(4).discovering());
    let answers = lan.client(9).answers_to(&[fifth.frame()?], Ipv4Addr::new(10, 0, 0, 5))?;
    ensure!(answers.is_empty() && dropped(&server.stats()?, "device-cap") == 1, "{answers:?}");
    let lease = victim.dora().context("the client itself")?;
    victim.renew(&lease)?;
    Ok(())
}

/// RFC 2131 §4.3.2: an unknown RENEWING is refused; each such NAK is broadcast, so a sender from far draws only so many.
#[test]
fn unknown_renewals_from_far_draw_a_bounded_number_of_naks() -> Result<()> {
    const EACH_SECOND: u64 = 10;
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, &limited(""))?;
    let begun = Instant::now();
    let frames = (0..FLOOD).map(|n| {
        let unknown = Client { via: Via::Router { mac: ROUTER }, ..lan.client(100 + n) };
        let lease = Lease { address: Ipv4Addr::new(10, 1, 0, 77), server: SERVER, seconds: 600 };
        unknown.renewing(&lease).frame()
    });
    let frames = frames.collect::<Result<Vec<_>>>()?;
    let answers = lan.client(1).answers_to(&frames, Ipv4Addr::new(10, 0, 0, 5))?;
    let naks = answers.iter().filter(|answer| answer.kind == Kind::Nak).count() as u64;
    // However slow the machine is: so many in each second that it took.
    let most = EACH_SECOND * (begun.elapsed().as_secs() + 2);
    ensure!(naks >= 1 && naks == answers.len() as u64, "{answers:?}");
    ensure!(naks <= most, "{naks} NAKs on the wire, {most} at most");
    let stats = server.stats()?;
    ensure!(stats.sent("nak")? == naks, "{}", stats.0);
    ensure!(dropped(&stats, "nak-limited") == u64::from(FLOOD) - naks, "{}", stats.0);
    // Clients on the link have a share of their own.
    let lease = Lease { address: Ipv4Addr::new(10, 0, 0, 17), server: SERVER, seconds: 600 };
    ensure!(lan.client(2).exchange(&lan.client(2).renewing(&lease))?.kind == Kind::Nak);
    Ok(())
}

/// Behind the relay each port has two leases; those who answer probes there do so by the clients' own kernel.
const PORTS_OF_TWO: &str = r#"
[[subnet]]
prefix = "10.9.0.0/24"
pools = ["10.9.0.10 - 10.9.0.30"]
lease-time = "10m"
max-leases-per-circuit = 2
"#;

/// Client `n` behind port `port` of the relay.
fn behind(lan: &Lan, n: u16, port: u8) -> Client<'_> {
    let agent_info = Some(vec![1, 2, b'p', port]);
    Client {
        via: Via::Relay { mac: AGENT_MAC, address: Ipv4Addr::new(10, 9, 0, 1), agent_info },
        ..lan.client(n)
    }
}

/// Sends DISCOVERs of this client until the refusals that the cap of its port has led to are more than `before`; no
/// answer comes to any.
fn refused_at_the_cap(server: &Server, client: &Client, before: u64) -> Result<()> {
    until("the cap to refuse the client", PROMPT, || {
        let discover = client.discovering();
        client.send(&discover)?;
        let offer = client.answer(&discover, Instant::now() + Duration::from_millis(100))?;
        ensure!(offer.is_none(), "offered beyond the cap: {offer:?}");
        Ok((dropped(&server.stats()?, "circuit-cap") > before).then_some(()))
    })?;
    let explained = server.json(&["explain", &client.mac.map(|octet| format!("{octet:02x}")).join(":")])?;
    let why = explained["why"].as_str().unwrap_or_default();
    ensure!(why.starts_with("circuit-cap: ") && why.contains("max-leases-per-circuit"), "{explained}");
    until("the refusal to be told of", PROMPT, || {
        Ok(server
            .log()
            .lines()
            .any(|line| line.contains("WARN") && line.contains("circuit-cap"))
            .then_some(()))
    })
}

fn is_leased(server: &Server, lease: &Lease) -> Result<bool> {
    Ok(server.lease(lease.address)?.is_some_and(|told| told["state"] == "leased"))
}

#[test]
fn a_port_of_a_relay_has_no_more_leases_than_it_may() -> Result<()> {
    let lan = lan()?;
    let mut server = Server::start(&lan, Xdp::Native, PORTS_OF_TWO)?;
    let leases = [behind(&lan, 1, 1).dora()?, behind(&lan, 2, 1).dora()?];
    refused_at_the_cap(&server, &behind(&lan, 3, 1), 0)?;
    // Nobody asked for more than what was offered: a REQUEST for a free address is refused as well.
    let mut request = behind(&lan, 4, 1).rebooting(Ipv4Addr::new(10, 9, 0, 25));
    append_option(&mut request.message.options, 54, &SERVER.octets());
    behind(&lan, 4, 1).send(&request)?;
    until("the REQUEST to be refused", PROMPT, || {
        Ok((dropped(&server.stats()?, "circuit-cap") > 1).then_some(()))
    })?;
    ensure!(behind(&lan, 4, 1).answer(&request, Instant::now())?.is_none());
    // What was begun goes on, and the other port has a share of its own.
    for (n, lease) in (1..).zip(&leases) {
        behind(&lan, n, 1).rebind(lease)?;
    }
    behind(&lan, 5, 2).dora()?;
    // A restart counts what there was; a RELEASE makes room.
    server.stop()?;
    server.start_again()?;
    refused_at_the_cap(&server, &behind(&lan, 3, 1), 0)?;
    behind(&lan, 1, 1).release(&leases[0])?;
    until("the RELEASE to be heard", PROMPT, || Ok((!is_leased(&server, &leases[0])?).then_some(())))?;
    behind(&lan, 3, 1).dora()?;
    ensure!(server.json(&["audit"])?["consistent"] == true);
    Ok(())
}

#[test]
fn a_silent_lease_of_a_port_makes_room_and_one_that_answers_its_probe_does_not() -> Result<()> {
    let lan = lan()?;
    lan.route_behind_relay()?;
    let server = Server::with_settings(&lan, Xdp::Native, "probe = \"auto\"", PORTS_OF_TWO)?;
    let silent = behind(&lan, 1, 1).dora()?;
    let used = behind(&lan, 2, 1).dora()?;
    lan.occupy(used.address, "lo")?;
    let third = behind(&lan, 3, 1);
    let newcomer = until("the third to be offered an address", PROMPT, || {
        let discover = third.discovering();
        third.send(&discover)?;
        third.answer(&discover, Instant::now() + Duration::from_millis(300))
    })?;
    let newcomer = granted(&third.select(&newcomer)?)?;
    ensure!(!is_leased(&server, &silent)?, "nobody answered for {silent:?}");
    ensure!(is_leased(&server, &used)? && is_leased(&server, &newcomer)?);
    behind(&lan, 2, 1).rebind(&used)?;

    // Both answer now: the port is full, and both keep what they have.
    lan.occupy(newcomer.address, "lo")?;
    refused_at_the_cap(&server, &behind(&lan, 4, 1), 0)?;
    ensure!(is_leased(&server, &used)? && is_leased(&server, &newcomer)?);
    third.rebind(&newcomer)?;
    ensure!(server.json(&["audit"])?["consistent"] == true);
    Ok(())
}
