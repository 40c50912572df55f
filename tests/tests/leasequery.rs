//! LEASEQUERY on the wire: a listed relay learns which client leases an address, kernel renewals included; nobody
//! else does.

use anyhow::{Context, Result, ensure};
use std::net::Ipv4Addr;
use std::time::Duration;
use system_tests::answer::Answer;
use system_tests::client::{Client, Renewal, Request, Via};
use system_tests::paths::{self, AGENT_MAC, SERVER};
use system_tests::server::{Server, Xdp};
use system_tests::topology::Lan;
use system_tests::wait::until;
use system_tests::wire::{Kind, options};

const RELAY: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
const WITNESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);
const ALLOWED: &str = "leasequery-from = [\"10.1.0.1\"]";
const WANTED: [u8; 6] = [51, 58, 59, 82, 91, 92];

fn lan() -> Result<Lan> {
    Lan::new("leasequery", SERVER, 24)
}

fn subscriber(lan: &Lan, n: u16) -> Client<'_> {
    let agent_info = Some(paths::AGENT_INFO.to_vec());
    Client { via: Via::Relay { mac: AGENT_MAC, address: RELAY, agent_info }, ..lan.client(n) }
}

/// A question about nothing yet, as the relay itself sends it.
fn query(lan: &Lan) -> Request {
    let relay =
        Client { via: Via::Relay { mac: AGENT_MAC, address: RELAY, agent_info: None }, ..lan.client(0) };
    let mut query = relay.discovering();
    query.message.options = options(&[(53, &[Kind::LeaseQuery as u8]), (55, &WANTED)]);
    (query.message.htype, query.message.hlen, query.message.chaddr) = (0, 0, [0; 16]);
    query
}

fn about(lan: &Lan, address: Ipv4Addr) -> Request {
    let mut query = query(lan);
    query.message.ciaddr = address;
    query
}

fn about_device(lan: &Lan, client: &Client<'_>) -> Request {
    let mut query = query(lan);
    (query.message.htype, query.message.hlen) = (1, 6);
    query.message.chaddr[..6].copy_from_slice(&client.mac);
    query
}

/// The answer, which must come to the relay.
fn ask(lan: &Lan, query: &Request) -> Result<Answer> {
    let answer = lan.client(0).exchange(query)?;
    ensure!(answer.envelope.eth_dst == AGENT_MAC && answer.address_option(54)? == SERVER, "{answer:?}");
    Ok(answer)
}

/// RFC 4388 §6.4.2, MUST (who, agent): by address and by hardware address. RFC 4388 §6.4.1, MUST (unassigned, unknown-client):
/// what nobody has, and what is not known.
#[test]
fn a_relay_learns_who_has_an_address_and_for_how_long() -> Result<()> {
    let lan = lan()?;
    let server = Server::with_settings(&lan, Xdp::Native, ALLOWED, &paths::subnets("lease-time = \"10m\""))?;
    let client = subscriber(&lan, 1);
    let lease = client.dora()?;
    for query in [about(&lan, lease.address), about_device(&lan, &client)] {
        let answer = ask(&lan, &query)?;
        ensure!(answer.kind == Kind::LeaseActive && answer.message.ciaddr == lease.address, "{answer:?}");
        ensure!(answer.message.yiaddr.is_unspecified() && answer.message.chaddr[..6] == client.mac);
        ensure!((answer.message.htype, answer.message.hlen) == (1, 6));
        ensure!((590..=600).contains(&answer.number_option(51)?), "{answer:?}");
        ensure!(
            answer.option(82) == Some(paths::AGENT_INFO) && answer.number_option(91)? <= 10,
            "{answer:?}"
        );
        ensure!(answer.options.last().map(|(code, _)| *code) == Some(82), "{answer:?}");
    }

    let nobody = Ipv4Addr::new(10, 1, 0, 200);
    let answer = ask(&lan, &about(&lan, nobody))?;
    ensure!(answer.kind == Kind::LeaseUnassigned && answer.message.ciaddr == nobody, "{answer:?}");
    let answer = ask(&lan, &about(&lan, Ipv4Addr::new(172, 16, 0, 1)))?;
    ensure!(answer.kind == Kind::LeaseUnknown, "{answer:?}");
    let answer = ask(&lan, &about_device(&lan, &lan.client(9)))?;
    ensure!(answer.kind == Kind::LeaseUnknown && answer.message.ciaddr.is_unspecified(), "{answer:?}");

    let stats = server.stats()?;
    ensure!(stats.received("leasequery")? == 5 && stats.sent("lease-active")? == 2, "{}", stats.0);
    ensure!(stats.sent("lease-unassigned")? == 1 && stats.sent("lease-unknown")? == 2, "{}", stats.0);
    Ok(())
}

/// RFC 4388 §6.4.2, MUST (times): the kernel extends a lease and the daemon hears nothing of it; whoever asks is told how it stands all the same.
#[test]
fn a_lease_that_the_kernel_extended_is_told_as_it_is() -> Result<()> {
    let lan = lan()?;
    let server = Server::with_settings(&lan, Xdp::Native, ALLOWED, &paths::subnets("lease-time = \"10m\""))?;
    let client = subscriber(&lan, 1);
    let lease = client.dora()?;
    let silent = |least| {
        until("the client to have been silent for a while", Duration::from_secs(20), || {
            let answer = ask(&lan, &about(&lan, lease.address))?;
            let (left, silent) = (answer.number_option(51)?, answer.number_option(91)?);
            // The kernel promises up to two seconds more than the client was told: whole seconds, and its clock's lag.
            ensure!((599..=602).contains(&(left + silent)), "{left} s are left after {silent}");
            Ok((silent >= least).then_some(left))
        })
    };
    let before = silent(3)?;
    client.extend(&client.extending(Renewal::Rebinding, &lease), &lease)?;
    ensure!(server.stats()?.kernel_acked("rebinding")? == 1, "the kernel did not answer");
    let after = silent(0)?;
    ensure!(after > before + 1, "{after} s are left, and {before} were before the renewal");
    Ok(())
}

/// RFC 4388 §6.3, MUST (giaddr): not without it. RFC 4388 §7, SHOULD (trusted): others get silence. RFC 4388 §6.2, MUST
/// (one-subject): so does a question about two things.
#[test]
fn who_is_not_listed_is_told_nothing() -> Result<()> {
    let lan = lan()?;
    let subnets = paths::subnets("lease-time = \"10m\"");
    let server = Server::with_settings(&lan, Xdp::Native, ALLOWED, &subnets)?;
    let client = subscriber(&lan, 1);
    let address = client.dora()?.address;
    let asker = lan.client(0);
    let mut strangers: Vec<Request> = Vec::new();
    for change in [
        |query: &mut Request| query.message.giaddr = Ipv4Addr::new(10, 1, 0, 2),
        |query: &mut Request| query.envelope.ip_src = Ipv4Addr::new(10, 1, 0, 2),
        |query: &mut Request| query.message.giaddr = Ipv4Addr::UNSPECIFIED,
    ] {
        let mut query = about(&lan, address);
        change(&mut query);
        strangers.push(query);
    }
    for query in &strangers {
        asker.expect_silence(query, WITNESS)?;
    }
    let mut twofold = about(&lan, address);
    twofold.message.options = options(&[(53, &[Kind::LeaseQuery as u8]), (61, b"\0both")]);
    asker.expect_silence(&twofold, WITNESS)?;
    let stats = server.stats()?;
    ensure!(stats.count(&["daemon", "dropped", "leasequery-not-allowed"])? == 3, "{}", stats.0);
    ensure!(stats.count(&["daemon", "dropped", "unclear-leasequery"])? == 1, "{}", stats.0);
    ensure!(ask(&lan, &about(&lan, address)).context("the one that is listed")?.kind == Kind::LeaseActive);
    Ok(())
}

/// By default nobody may ask.
#[test]
fn without_a_list_nobody_is_told_anything() -> Result<()> {
    let lan = lan()?;
    let _server = Server::start(&lan, Xdp::Native, &paths::subnets(""))?;
    let address = subscriber(&lan, 1).dora()?.address;
    lan.client(0).expect_silence(&about(&lan, address), WITNESS)
}
