//! Events: followers and the log get all changes of leases and pools, with the client concerned.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use system_tests::client::{Client, Lease, Via};
use system_tests::full_disk::FullDisk;
use system_tests::paths::{self, AGENT_MAC, SERVER};
use system_tests::process::{Process, output};
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
    follower.told(&server, "quarantined", declined.address)?;
    server.json(&["quarantine", "clear", &declined.address.to_string()])?;
    follower.told(&server, "quarantine-over", declined.address)?;

    let ended = lan.client(3).dora()?;
    server.json(&["lease", "release", &ended.address.to_string()])?;
    follower.told(&server, "released-by-operator", ended.address)?;
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

/// What is kept of the events after a number; the line of each is read.
fn kept(server: &Server<'_>, since: u64) -> Result<Vec<Value>> {
    let mut command = server.cli(&["events", "--json", "--since", &since.to_string(), "--no-follow"])?;
    let said = output(&mut command)?;
    ensure!(said.status.success(), "{said:?}");
    let lines = std::str::from_utf8(&said.stdout)?.lines();
    lines.map(|line| serde_json::from_str(line).with_context(|| format!("no event: {line}"))).collect()
}

fn numbers(events: &[Value]) -> Vec<u64> {
    events.iter().filter_map(|event| event["number"].as_u64()).collect()
}

fn log_of(lan: &Lan) -> PathBuf {
    lan.world.dir().join("state/events")
}

/// Whoever goes on where it was has had every event once, however often the daemon is killed in the middle of it.
#[test]
fn who_goes_on_where_it_was_has_no_gap_and_nothing_twice_however_the_daemon_ends() -> Result<()> {
    let lan = Lan::new("events", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Off, SUBNETS)?;
    let (mut seen, mut granted): (Vec<Value>, Vec<String>) = (Vec::new(), Vec::new());
    for round in 0..4_u16 {
        let last = seen.last().and_then(|event| event["number"].as_u64()).unwrap_or(0);
        let mut command = server.cli(&["events", "--json", "--since", &last.to_string()])?;
        command.env("RUST_BACKTRACE", "0");
        let log = lan.world.dir().join(format!("follower-{round}.log"));
        let follower = Process::start("events", command, &log)?;
        for n in 0..4 {
            granted.push(lan.client(round * 16 + n).dora()?.address.to_string());
        }
        let mut told = Vec::new();
        until("the last grant to be told of", PROMPT, || {
            told =
                follower.log().lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect();
            let is_last =
                |event: &Value| event["what"] == "granted" && event["address"] == granted[granted.len() - 1];
            Ok(told.iter().any(is_last).then_some(()))
        })?;
        seen.extend(told);
        // What happens while nobody follows and the daemon dies is told afterwards.
        granted.push(lan.client(round * 16 + 9).dora()?.address.to_string());
        if round % 2 == 0 {
            // What waits in the queue of a daemon that is killed is in no log.
            let last = seen.last().and_then(|event| event["number"].as_u64()).context("no event")?;
            until("the last grant to be kept", PROMPT, || {
                let rest = kept(&server, last)?;
                Ok(rest.iter().any(|event| event["address"] == granted[granted.len() - 1]).then_some(()))
            })?;
            server.crash()?;
        } else {
            server.stop()?;
        }
        server.start_again()?;
    }
    let last = seen.last().and_then(|event| event["number"].as_u64()).context("no event")?;
    until("the last grant to be kept", PROMPT, || {
        let rest = kept(&server, last)?;
        Ok(rest.iter().any(|event| event["address"] == granted[granted.len() - 1]).then_some(()))
    })?;
    seen.extend(kept(&server, last)?);
    let all = numbers(&seen);
    let expected: Vec<u64> = (1..=all.len() as u64).collect();
    ensure!(all == expected && all.len() == seen.len(), "{all:?}");
    let told: Vec<&Value> =
        seen.iter().filter(|event| event["what"] == "granted").map(|event| &event["address"]).collect();
    ensure!(told == granted.iter().collect::<Vec<_>>(), "{told:?}, but {granted:?} were granted");
    let count = |what: &str| seen.iter().filter(|event| event["what"] == what).count();
    ensure!(count("started") == 5 && count("stopped") == 2 && count("lost") == 0, "{seen:?}");
    ensure!(kept(&server, 3)? == seen[3..], "a part of it");

    let beyond = output(&mut server.cli(&["events", "--since", "100000"])?)?;
    ensure!(beyond.status.code() == Some(1), "{beyond:?}");
    ensure!(String::from_utf8_lossy(&beyond.stderr).contains("another log"), "{beyond:?}");
    Ok(())
}

#[test]
fn who_asks_for_what_is_not_kept_any_more_is_told_how_much_is_missing() -> Result<()> {
    let lan = Lan::new("events", SERVER, 24)?;
    let settings = "event-log = \"64 KiB\"";
    let server = Server::with_settings(&lan, Xdp::Off, settings, SUBNETS)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    let (missing, rest) = until("the log to be full", after(60), || {
        for _ in 0..50 {
            client.reboot(&lease)?;
        }
        let all = kept(&server, 1)?;
        let first = all.first().context("no events")?;
        let missing = first["count"].as_u64().filter(|_| first["what"] == "missed");
        Ok(missing.map(|missing| (missing, all[1..].to_vec())))
    })?;
    let all = numbers(&rest);
    ensure!(all.first() == Some(&(missing + 2)) && all.len() == rest.len(), "{missing} missing: {all:?}");
    ensure!(all.windows(2).all(|pair| pair[1] == pair[0] + 1), "{all:?}");
    let octets: u64 =
        fs::read_dir(log_of(&lan))?.flatten().filter_map(|file| Some(file.metadata().ok()?.len())).sum();
    ensure!(octets < 66 << 10, "{octets} octets");
    Ok(())
}

/// Whether `status` tells of the log.
fn troubled(server: &Server<'_>, wanted: bool) -> Result<()> {
    until(&format!("trouble with the event log to be {wanted}"), PROMPT, || {
        let status = server.json(&["status"])?;
        let told = status["trouble"].as_str().is_some_and(|trouble| trouble.contains("event log"));
        Ok((told == wanted).then_some(()))
    })
}

#[test]
fn a_log_that_goes_away_or_has_no_room_costs_no_lease_and_a_line_says_what_is_not_in_it() -> Result<()> {
    let lan = Lan::new("events", SERVER, 24)?;
    let disk = FullDisk::mount(&log_of(&lan), "1m")?;
    let server = Server::start(&lan, Xdp::Off, SUBNETS)?;
    let mut follower = Follower::of(&server, &lan)?;
    disk.fill()?;
    let first = lan.client(1);
    let lease = first.dora()?;
    until("the disk to be told of", PROMPT, || {
        // The file's last page may have room for some lines yet.
        first.reboot(&lease)?;
        let trouble = server.json(&["status"])?["trouble"].as_str().map(str::to_owned);
        Ok(trouble.filter(|trouble| trouble.contains("event log")).map(drop))
    })?;
    let second = lan.client(2).dora()?;
    let told = follower.told(&server, "granted", second.address)?;
    ensure!(told.get("number").is_none(), "what is not in the log has no number: {told}");
    disk.make_room()?;
    troubled(&server, false)?;
    let lost = |events: &[Value]| events.iter().filter(|event| event["what"] == "lost").count();
    until("a line that says what is lost", PROMPT, || Ok((lost(&kept(&server, 0)?) == 1).then_some(())))?;
    let stats = server.json(&["stats"])?;
    ensure!(stats["daemon"]["events-not-kept"].as_u64().is_some_and(|count| count > 0), "{stats}");
    let third = lan.client(3).dora()?;
    ensure!(follower.told(&server, "granted", third.address)?["number"].is_u64());
    let all = numbers(&kept(&server, 0)?);
    ensure!(all == (1..=all.len() as u64).collect::<Vec<_>>(), "{all:?}");
    follower.0.signal(Signal::SIGTERM)?;
    follower.0.wait(PROMPT).map(drop)
}

#[test]
fn without_a_log_events_are_told_as_they_happen_and_nothing_is_written() -> Result<()> {
    let lan = Lan::new("events", SERVER, 24)?;
    let server = Server::with_settings(&lan, Xdp::Off, "event-log = \"off\"", SUBNETS)?;
    let mut follower = Follower::of(&server, &lan)?;
    let lease = lan.client(1).dora()?;
    let told = follower.told(&server, "granted", lease.address)?;
    ensure!(told.get("number").is_none() && !log_of(&lan).exists(), "{told}");
    let asked = output(&mut server.cli(&["events", "--since", "0"])?)?;
    ensure!(asked.status.code() == Some(1), "{asked:?}");
    ensure!(String::from_utf8_lossy(&asked.stderr).contains("event-log"), "{asked:?}");
    follower.0.signal(Signal::SIGTERM)?;
    follower.0.wait(PROMPT).map(drop)
}
