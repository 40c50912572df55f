//! A hostile machine: while anything that the daemon waits for, writes to or asks of the kernel waits or fails, renewals,
//! newcomers and `status` are answered, or `status` says what stands still.

use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};
use system_tests::client::{Client, Lease};
use system_tests::faults::Faults;
use system_tests::paths::SERVER;
use system_tests::process::output;
use system_tests::server::{Launch, Server, Xdp};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};
use system_tests::wire::Kind;

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/16"
pools = ["10.0.0.10 - 10.0.3.250"]
lease-time = "10m"
options = { routers = ["10.0.0.1"] }
"#;

/// A server whose system calls can be made to wait or fail.
fn start<'a>(lan: &'a Lan, faults: &Faults, xdp: Xdp) -> Result<Server<'a>> {
    let mut server = Server::start(lan, xdp, SUBNET)?;
    server.stop()?;
    server.start_again_with(&Launch { environment: &faults.environment(), ..Launch::default() })?;
    Ok(server)
}

/// A renewal is answered by the kernel, a newcomer gets an OFFER, and an operator the status; which that is.
fn serves(server: &Server, client: &Client, lease: &Lease, newcomer: &Client) -> Result<serde_json::Value> {
    client.renew(lease).context("a renewal")?;
    ensure!(newcomer.discover().context("a newcomer")?.kind == Kind::Offer);
    server.json(&["status"]).context("an operator")
}

fn trouble(status: &serde_json::Value) -> &str {
    status["trouble"].as_str().unwrap_or_default()
}

#[test]
fn a_disk_that_does_not_answer_holds_up_nobody_who_needs_none() -> Result<()> {
    let lan = Lan::new("stalled-disk", SERVER, 16)?;
    let faults = Faults::new(lan.world.dir())?;
    let server = start(&lan, &faults, Xdp::Native)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    client.renew(&lease)?;
    let other = lan.client(2).dora()?;

    let stalled = faults.wait("fdatasync")?;
    let waiting = lan.client(3);
    let selecting = waiting.selecting(&waiting.discover()?)?;
    waiting.send(&selecting)?;
    let status = until("the trouble to be told", PROMPT, || {
        let status = server.json(&["status"])?;
        Ok(trouble(&status).contains("the disk has not answered").then_some(status))
    })?;
    ensure!(trouble(&status).contains("no lease is granted"), "{status}");
    serves(&server, &client, &lease, &lan.client(4))?;
    let unanswered = waiting.answer(&selecting, Instant::now() + Duration::from_millis(100))?;
    ensure!(unanswered.is_none(), "promised without a commit: {unanswered:?}");

    // What an operator orders is decided at once, and that it is not on disk is said after a while.
    let release = output(&mut server.cli(&["lease", "release", &other.address.to_string()])?)?;
    let said = String::from_utf8_lossy(&release.stderr).into_owned();
    ensure!(release.status.code() == Some(1) && said.contains("not on disk yet"), "{release:?}");
    let released = server.lease(other.address)?.context("it is remembered")?;
    ensure!(released["state"] == "grace" && released["not-committed"] == true, "{released}");
    // What only reads has its answer.
    for words in [&["stats"][..], &["pools"], &["leases"], &["orphans"], &["quarantine"]] {
        server.json(words).with_context(|| words.join(" "))?;
    }
    server.json(&["explain", &lease.address.to_string()])?;
    serves(&server, &client, &lease, &lan.client(5))?;
    let reload = output(&mut server.cli(&["reload"])?)?;
    let said = String::from_utf8_lossy(&reload.stderr).into_owned();
    ensure!(reload.status.code() == Some(1) && said.contains("not on disk yet"), "{reload:?}");
    serves(&server, &client, &lease, &lan.client(6))?;
    let audit = output(&mut server.cli(&["audit"])?)?;
    let said = String::from_utf8_lossy(&audit.stderr).into_owned();
    ensure!(audit.status.code() == Some(1) && said.contains("the disk has not answered"), "{audit:?}");

    // As soon as the disk answers all that was decided is done.
    drop(stalled);
    until("commits to be taken again", PROMPT, || {
        Ok(server.json(&["status"])?.get("trouble").is_none().then_some(()))
    })?;
    let granted = lan.client(7).dora()?;
    ensure!(server.lease(granted.address)?.context("it is leased")?.get("not-committed").is_none());
    ensure!(server.lease(other.address)?.context("it is remembered")?["state"] == "grace");
    let audit = server.json(&["audit"])?;
    ensure!(audit["consistent"] == true, "{audit}");
    Ok(())
}

/// Interfaces change, and the configuration, while a commit is under way; what it was for is done under the new ones.
#[test]
fn what_changes_while_the_disk_does_not_answer_holds_for_what_was_decided_before() -> Result<()> {
    let lan = Lan::new("stalled-change", SERVER, 16)?;
    let faults = Faults::new(lan.world.dir())?;
    let server = start(&lan, &faults, Xdp::Native)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    client.renew(&lease)?;

    let stalled = faults.wait("fdatasync")?;
    let waiting = lan.client(2);
    let selecting = waiting.selecting(&waiting.discover()?)?;
    waiting.send(&selecting)?;
    until("a commit to be under way", PROMPT, || {
        Ok(trouble(&server.json(&["status"])?).contains("has not answered").then_some(()))
    })?;
    // Other options: what the kernel is told of the lease that is not on disk yet must not say the former ones.
    server.rewrite(&lan, Xdp::Native, &SUBNET.replace("10.0.0.1\"]", "10.0.0.2\"]"))?;
    server.hang_up()?;
    until("the new configuration to be in force", PROMPT, || {
        let offer = lan.client(3).discover()?;
        Ok((offer.option(3) == Some(&[10, 0, 0, 2][..])).then_some(()))
    })?;
    drop(stalled);
    let ack = waiting.answer(&selecting, Instant::now() + PROMPT)?.context("an ACK when it is on disk")?;
    ensure!(ack.kind == Kind::Ack);
    let granted = system_tests::client::granted(&ack)?;
    for (client, lease) in [(&waiting, &granted), (&client, &lease)] {
        let renewed = client.renew(lease)?;
        ensure!(renewed.option(3) == Some(&[10, 0, 0, 2][..]), "a former answer: {renewed:?}");
    }
    let audit = server.json(&["audit"])?;
    ensure!(audit["consistent"] == true, "{audit}");
    Ok(())
}
