//! An address that somebody uses already is never offered, and finding that out holds nobody else up.

use anyhow::{Context, Result, ensure};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, scope};
use std::time::{Duration, Instant};
use system_tests::arp::Question;
use system_tests::client::{Client, append_option};
use system_tests::namespace::spelled;
use system_tests::packet::{PacketSocket, Sees};
use system_tests::paths::SERVER;
use system_tests::server::{Server, Xdp};
use system_tests::topology::{CLIENT_IF, CLIENT_MAC, Lan};
use system_tests::wait::{PROMPT, until};
use system_tests::wire::{Kind, Tag};

const ON: &str = "probe = \"auto\"";

const PAIR: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.11"]
lease-time = "10m"
"#;

const BEHIND_RELAY: &str = r#"
[[subnet]]
prefix = "10.9.0.0/24"
pools = ["10.9.0.10 - 10.9.0.11"]
lease-time = "10m"
"#;

const TAKEN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 10);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 11);

fn lan() -> Result<Lan> {
    Lan::new("probing", SERVER, 24)
}

/// The address is in quarantine since it answered a probe.
fn found_in_use(server: &Server, address: Ipv4Addr, by: &str) -> Result<()> {
    let listed = server.json(&["quarantine"])?;
    let entry =
        listed.as_array().and_then(|list| list.iter().find(|entry| entry["address"] == address.to_string()));
    let entry = entry.with_context(|| format!("{address} is not in quarantine: {listed}"))?;
    ensure!(entry["why"] == "probe" && entry["by"] == by, "{entry}");
    Ok(())
}

fn an_address_in_use_is_not_offered(xdp: Xdp) -> Result<()> {
    let lan = lan()?;
    lan.occupy(TAKEN, CLIENT_IF)?;
    let server = Server::with_settings(&lan, xdp, ON, PAIR)?;
    let lease = lan.client(1).dora()?;
    ensure!(lease.address == OTHER, "{lease:?}");
    found_in_use(&server, TAKEN, &spelled(CLIENT_MAC))?;

    let late = lan.client(2).discovering();
    lan.client(2).send(&late)?;
    until("the second client to find the pool exhausted", PROMPT, || {
        let stats = server.stats()?;
        let exhausted = stats.count(&["daemon", "dropped", "exhausted"]).unwrap_or(0);
        Ok((exhausted > 0).then_some(()))
    })?;
    ensure!(lan.client(2).answer(&late, Instant::now())?.is_none(), "an address in use was offered");
    ensure!(server.pool_count("quarantined")? == 1 && server.pool_count("leased")? == 1);
    ensure!(server.json(&["audit"])?["consistent"] == true);
    Ok(())
}

/// RFC 2131 §3.1, SHOULD (probe): an address is checked before it is offered.
#[test]
fn an_address_in_use_is_not_offered_with_the_program_in_the_driver() -> Result<()> {
    an_address_in_use_is_not_offered(Xdp::Native)
}

#[test]
fn an_address_in_use_is_not_offered_with_the_program_in_the_stack() -> Result<()> {
    an_address_in_use_is_not_offered(Xdp::Generic)
}

/// RFC 2131 §3.1, SHOULD (probe): an address is checked before it is offered.
#[test]
fn an_address_in_use_is_not_offered_without_the_program() -> Result<()> {
    an_address_in_use_is_not_offered(Xdp::Off)
}

#[test]
fn an_address_in_use_is_not_offered_to_the_client_that_asks_for_it() -> Result<()> {
    let lan = lan()?;
    lan.occupy(OTHER, CLIENT_IF)?;
    let server = Server::with_settings(&lan, Xdp::Native, ON, PAIR)?;
    let mut discover = lan.client(1).discovering();
    append_option(&mut discover.message.options, 50, &OTHER.octets());
    let offer = lan.client(1).exchange(&discover)?;
    ensure!(offer.kind == Kind::Offer && offer.message.yiaddr == TAKEN, "{offer:?}");
    found_in_use(&server, OTHER, &spelled(CLIENT_MAC))
}

#[test]
fn a_first_client_waits_less_than_a_second_and_the_next_ones_not_at_all() -> Result<()> {
    let lan = lan()?;
    let pool = PAIR.replace("10.0.0.11", "10.0.0.200");
    let server = Server::with_settings(&lan, Xdp::Native, ON, &pool)?;
    let begun = Instant::now();
    lan.client(1).dora()?;
    let first = begun.elapsed();
    ensure!(first < Duration::from_secs(1), "the first lease took {first:?}");
    // The first client's probe was one of several: the others end with it.
    until("a stock of probed addresses", PROMPT, || {
        let begun = Instant::now();
        lan.client(2).dora()?;
        lan.client(3).dora()?;
        Ok((begun.elapsed() < Duration::from_millis(200)).then_some(()))
    })?;
    ensure!(server.json(&["quarantine"])?.as_array().is_some_and(Vec::is_empty));
    Ok(())
}

#[test]
fn a_client_that_waits_for_a_probe_holds_up_nobody() -> Result<()> {
    let lan = lan()?;
    let pool = PAIR.replace("10.0.0.11", "10.0.0.200");
    let _server = Server::with_settings(&lan, Xdp::Native, ON, &pool)?;
    let known = lan.client(1);
    let lease = known.dora()?;
    let mut wish = lan.client(2).discovering();
    append_option(&mut wish.message.options, 50, &[10, 0, 0, 150]);
    lan.client(2).send(&wish)?;
    let again = known.discovering();
    known.send(&again)?;
    // Answers are read in the order in which they come: had the wish been answered before, it would be passed over.
    let offer = known.answer(&again, Instant::now() + PROMPT)?.context("no offer for the known client")?;
    ensure!(offer.message.yiaddr == lease.address);
    let offer =
        lan.client(2).answer(&wish, Instant::now() + PROMPT)?.context("no offer for the other one")?;
    ensure!(offer.message.yiaddr == Ipv4Addr::new(10, 0, 0, 150));
    Ok(())
}

/// RFC 2131 §3.1, SHOULD (probe-off): the administrator says so.
#[test]
fn without_probing_an_address_is_offered_untested() -> Result<()> {
    for xdp in [Xdp::Native, Xdp::Off] {
        let lan = lan()?;
        lan.occupy(TAKEN, CLIENT_IF)?;
        let _server = Server::with_settings(&lan, xdp, "probe = \"off\"", PAIR)?;
        ensure!(lan.client(1).dora()?.address == TAKEN);
    }
    Ok(())
}

/// A host that answers ARP for `address`, on frames with these octets between the source and the ARP type, and on no others.
struct Host<'scope> {
    told_to_end: &'scope AtomicBool,
}

impl<'scope> Host<'scope> {
    fn start<'env: 'scope>(
        scope: &'scope Scope<'scope, 'env>,
        lan: &Lan,
        told_to_end: &'scope AtomicBool,
        tags: &'env [u8],
        address: Ipv4Addr,
    ) -> Result<Self> {
        let socket = PacketSocket::open(&lan.clients, CLIENT_IF, Sees::Arrivals)?;
        scope.spawn(move || -> Result<()> {
            while !told_to_end.load(Ordering::Relaxed) {
                let Some(frame) = socket.receive(Instant::now() + Duration::from_millis(50))? else {
                    continue;
                };
                let question = Question::read(&frame, tags).filter(|question| question.address == address);
                if let Some(question) = question {
                    socket.send(&question.answer(CLIENT_MAC, tags))?;
                }
            }
            Ok(())
        });
        Ok(Self { told_to_end })
    }
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        self.told_to_end.store(true, Ordering::Relaxed);
    }
}

fn an_address_in_use_on_a_vlan_is_not_offered_there(vlan: &str, tags: Vec<Tag>, octets: &[u8]) -> Result<()> {
    let lan = lan()?;
    // Untagged, a host uses what is free on the VLAN: that must not matter.
    lan.occupy(Ipv4Addr::new(10, 0, 1, 11), CLIENT_IF)?;
    let taken = Ipv4Addr::new(10, 0, 1, 10);
    let subnet = format!(
        r#"
[[subnet]]
prefix = "10.0.1.0/24"
pools = ["10.0.1.10 - 10.0.1.11"]
vlan = {vlan}
server-id = "10.0.1.1"
lease-time = "10m"
"#
    );
    let server = Server::with_settings(&lan, Xdp::Native, ON, &subnet)?;
    let mut client = Client { tags, ..lan.client(1) };
    client.server.ip = Ipv4Addr::new(10, 0, 1, 1);
    let told_to_end = AtomicBool::new(false);
    scope(|scope| {
        let _host = Host::start(scope, &lan, &told_to_end, octets, taken)?;
        ensure!(client.dora()?.address == Ipv4Addr::new(10, 0, 1, 11));
        found_in_use(&server, taken, &spelled(CLIENT_MAC))
    })
}

#[test]
fn an_address_in_use_on_a_tagged_link_is_not_offered_there() -> Result<()> {
    an_address_in_use_on_a_vlan_is_not_offered_there("100", vec![Tag::customer(100)], b"\x81\0\0\x64")
}

#[test]
fn an_address_in_use_on_a_doubly_tagged_link_is_not_offered_there() -> Result<()> {
    let tags = vec![Tag::provider(200), Tag::customer(100)];
    an_address_in_use_on_a_vlan_is_not_offered_there("[200, 100]", tags, b"\x88\xa8\0\xc8\x81\0\0\x64")
}

#[test]
fn an_address_in_use_behind_a_relay_is_not_offered() -> Result<()> {
    let lan = lan()?;
    lan.route_behind_relay()?;
    lan.occupy(Ipv4Addr::new(10, 9, 0, 10), "lo")?;
    let server = Server::with_settings(&lan, Xdp::Native, ON, BEHIND_RELAY)?;
    ensure!(lan.relayed_client(1).dora()?.address == Ipv4Addr::new(10, 9, 0, 11));
    found_in_use(&server, Ipv4Addr::new(10, 9, 0, 10), "")
}

#[test]
fn a_net_that_cannot_be_reached_is_served_untested() -> Result<()> {
    let lan = lan()?;
    let _server = Server::with_settings(&lan, Xdp::Native, ON, BEHIND_RELAY)?;
    ensure!(lan.relayed_client(1).dora()?.address == Ipv4Addr::new(10, 9, 0, 10));
    Ok(())
}

/// A pool whose candidates are just being probed, or cannot be: that is nothing to the clients of another.
#[test]
fn a_pool_that_is_being_probed_holds_up_no_other() -> Result<()> {
    let lan = lan()?;
    lan.route_behind_relay()?;
    let subnets = format!("{PAIR}{BEHIND_RELAY}").replace("0.11", "0.200");
    let _server = Server::with_settings(&lan, Xdp::Native, ON, &subnets)?;
    let (near, far) = (lan.client(1), lan.relayed_client(2));
    near.dora()?;
    let (waiting, unrelated) = (far.discovering(), lan.client(3).discovering());
    far.send(&waiting)?;
    near.send(&unrelated)?;
    // Answers are read in the order in which they come: had the one behind the relay been answered before, it would
    // be passed over here and missed below.
    let offer = near.answer(&unrelated, Instant::now() + PROMPT)?.context("no offer on the link")?;
    ensure!(offer.kind == Kind::Offer);
    let offer = far.answer(&waiting, Instant::now() + PROMPT)?.context("no offer behind the relay")?;
    ensure!(offer.message.yiaddr == Ipv4Addr::new(10, 9, 0, 10));
    Ok(())
}
