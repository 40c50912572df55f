//! Events: all that happens to leases and pools is told to who follows, and logged, with whom it concerns.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::net::Ipv4Addr;
use system_tests::client::{Client, Lease, Via};
use system_tests::paths::{self, AGENT_MAC, SERVER};
use system_tests::process::Process;
use system_tests::server::{Server, Xdp, after};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};

/// A pool of twenty on the link, and one of two behind a relay, whose leases are short.
const SUBNETS: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.29"]
lease-time = "10m"

[[subnet]]
prefix = "10.1.0.0/24"
pools = ["10.1.0.10 - 10.1.0.11"]
lease-time = "3s"
"#;

/// `xdhcpd events`, and what it has said.
struct Follower(Process);

impl Follower {
    fn of(server: &Server<'_>, lan: &Lan) -> Result<Self> {
        let mut command = server.cli(&["events"])?;
        command.arg("--json");
        let follower = Self(Process::start("events", command, &lan.world.dir().join("events.log"))?);
        // What happens before it listens it can't tell of.
        // No client may ask as often as it may take.
        let mut probes = 0xf00..0xfff;
        until("the first event to be told of", PROMPT, || {
            let probe = lan.client(probes.next().context("no more clients")?);
            let lease = probe.dora()?;
            probe.release(&lease)?;
            Ok((!follower.all().is_empty()).then_some(()))
        })?;
        Ok(follower)
    }

    fn all(&self) -> Vec<Value> {
        self.0.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The event `what` of `address`, which must be in the log, too.
    fn told(&self, server: &Server<'_>, what: &str, address: Ipv4Addr) -> Result<Value> {
        let event = until(&format!("{what} of {address}"), after(3), || {
            let concerns = |event: &&Value| event["what"] == what && event["address"] == address.to_string();
            Ok(self.all().iter().find(concerns).cloned())
        })?;
        logged(server, what, &address.to_string())?;
        Ok(event)
    }

    /// The event `what` of a subnet whose detail has `detail` in it, which must be in the log, too.
    fn told_of_pool(&self, server: &Server<'_>, what: &str, detail: &str) -> Result<()> {
        until(&format!("{what}: {detail}"), PROMPT, || {
            let fits = |event: &Value| {
                event["what"] == what
                    && event["subnet"] == "10.0.0.0/24"
                    && event["detail"].as_str().unwrap_or_default().contains(detail)
            };
            Ok(self.all().iter().any(fits).then_some(()))
        })?;
        logged(server, what, detail)
    }
}

/// One line of the log says both, as soon as the thread that writes it has come to it.
fn logged(server: &Server<'_>, what: &str, which: &str) -> Result<()> {
    let says = |line: &str| line.contains(what) && line.contains(which);
    until(&format!("{what} of {which} to be logged"), PROMPT, || {
        Ok(server.log().lines().any(says).then_some(()))
    })
}

#[test]
fn what_happens_to_leases_is_told_with_whom_it_concerns() -> Result<()> {
    let lan = Lan::new("events", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Off, SUBNETS)?;
    let mut follower = Follower::of(&server, &lan)?;
    let client = Client { client_id: Some(b"\0me".to_vec()), ..lan.client(1) };
    let lease = client.dora()?;
    let granted = follower.told(&server, "granted", lease.address)?;
    ensure!(granted["hw-address"] == "02:c1:00:00:00:01" && granted["client-id"] == "00:6d:65", "{granted}");
    ensure!(granted["interface"] == "srv0" && granted.get("relay").is_none(), "{granted}");
    client.renew(&lease)?;
    follower.told(&server, "renewed", lease.address)?;
    client.release(&lease)?;
    follower.told(&server, "released", lease.address)?;

    let declined: Lease = lan.client(2).dora()?;
    lan.client(2).decline(&declined)?;
    let event = follower.told(&server, "declined", declined.address)?;
    ensure!(event["hw-address"] == "02:c1:00:00:00:02", "{event}");
    follower.told(&server, "quarantined: declined", declined.address)?;
    server.json(&["quarantine", "clear", &declined.address.to_string()])?;
    follower.told(&server, "quarantine over", declined.address)?;

    let ended = lan.client(3).dora()?;
    server.json(&["lease", "release", &ended.address.to_string()])?;
    follower.told(&server, "released by the operator", ended.address)?;
    let renewing = lan.client(3).renewing(&ended);
    ensure!(lan.client(3).exchange(&renewing)?.kind == system_tests::wire::Kind::Nak, "it is to learn of it");

    let agent_info = Some(paths::AGENT_INFO.to_vec());
    let relay = Ipv4Addr::new(10, 1, 0, 1);
    let far = Client { via: Via::Relay { mac: AGENT_MAC, address: relay, agent_info }, ..lan.client(4) };
    let short = far.dora()?;
    let expired = follower.told(&server, "expired", short.address)?;
    ensure!(expired["relay"] == "10.1.0.1" && expired["hw-address"] == "02:c1:00:00:00:04", "{expired}");
    let told = expired["relay-information"].as_str().context("no relay information")?.replace(':', "");
    let info: String = paths::AGENT_INFO.iter().map(|octet| format!("{octet:02x}")).collect();
    ensure!(told == info, "{expired}");
    logged(&server, "expired", "relay_information")?;
    follower.0.signal(Signal::SIGTERM)?;
    follower.0.wait(PROMPT).map(drop)
}

#[test]
fn a_pool_that_fills_is_told_of_at_80_and_95_percent_and_when_it_is_exhausted() -> Result<()> {
    let lan = Lan::new("events", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Off, SUBNETS)?;
    let mut follower = Follower::of(&server, &lan)?;
    let full =
        |follower: &Follower| follower.all().iter().filter(|event| event["what"] == "pool-filling").count();
    for n in 1..=15 {
        lan.client(n).dora()?;
    }
    ensure!(full(&follower) == 0, "{:?}", follower.all());
    lan.client(16).dora()?;
    follower.told_of_pool(&server, "pool-filling", "80 %")?;
    for n in 17..=18 {
        lan.client(n).dora()?;
    }
    ensure!(full(&follower) == 1, "{:?}", follower.all());
    lan.client(19).dora()?;
    follower.told_of_pool(&server, "pool-filling", "95 %")?;
    lan.client(20).dora()?;
    follower.told_of_pool(&server, "pool-full", "100 %")?;
    lan.client(21).send(&lan.client(21).discovering())?;
    follower.told_of_pool(&server, "exhausted", "")?;
    follower.0.signal(Signal::SIGTERM)?;
    follower.0.wait(PROMPT).map(drop)
}
