//! Limits on the wire: a flood of new clients on a link is cut to its limit while leases that run go on, a client that
//! does nothing but ask is heard only so often.

use anyhow::{Result, ensure};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use system_tests::client::{Client, Via};
use system_tests::paths::{self, AGENT_MAC, SERVER};
use system_tests::server::{Server, Stats, Xdp};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};

const FLOOD: u16 = 200;
const PART: u16 = 50;

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
    // Twenty in a row, and ten for each second that it took to send all.
    ensure!((20..100).contains(&stats.sent("offer")?), "{}", stats.0);
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

/// A subscriber that makes up clients fills its own port's share; its neighbours get addresses.
#[test]
fn a_port_of_a_relay_has_a_share_of_its_own() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, &limited("circuit-rate-limit = 1"))?;
    let subscriber = |n, port: u8| Client {
        via: Via::Relay {
            mac: AGENT_MAC,
            address: Ipv4Addr::new(10, 1, 0, 1),
            agent_info: Some(vec![1, 2, b'p', port]),
        },
        ..lan.client(n)
    };
    for n in 1..=100 {
        subscriber(n, 1).send(&subscriber(n, 1).discovering())?;
    }
    let stats = dealt_with(&server, 100)?;
    ensure!(dropped(&stats, "rate-limited-circuit") >= 50, "{}", stats.0);
    subscriber(200, 2).dora()?;
    Ok(())
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
