//! A store that takes no commits: the daemon promises nothing until it does, work that needs no disk goes on, nothing
//! is lost.

use anyhow::{Context, Result, ensure};
use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};
use system_tests::full_disk::FullDisk;
use system_tests::paths::SERVER;
use system_tests::process::{output, run};
use system_tests::server::{Server, Xdp};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};
use system_tests::wire::Kind;

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/16"
pools = ["10.0.0.10 - 10.0.250.250"]
lease-time = "10m"
options = { routers = ["10.0.0.1"] }
"#;

/// Leases of another server, more than the first segment of a store has room for.
fn many_leases() -> String {
    let mut lines = String::new();
    for n in 0..18_000_u32 {
        let [_, _, high, low] = (0x0a00_0800 + n).to_be_bytes();
        let id = "5a:".repeat(240);
        let line = writeln!(
            lines,
            r#"{{"address":"10.0.{high}.{low}","state":"leased","hw-address":"02:aa:00:00:{high:02x}:{low:02x}","client-id":"{id}{high:02x}:{low:02x}","expires-in":600,"committed-for":900}}"#
        );
        // Writing to a string can't fail.
        let _ = line;
    }
    lines
}

#[test]
fn while_nothing_can_be_committed_nothing_is_promised_and_nothing_is_lost() -> Result<()> {
    let lan = Lan::new("disk-full", SERVER, 16)?;
    let disk = FullDisk::mount(&lan.world.dir().join("state"), "16m")?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    client.renew(&lease)?;
    disk.fill()?;
    let file = lan.world.write("leases.jsonl", &many_leases())?.display().to_string();
    let import = output(&mut server.cli(&["import", &file])?)?;
    let said = String::from_utf8_lossy(&import.stderr).into_owned();
    ensure!(import.status.code() == Some(1) && said.contains("not on disk yet"), "{import:?}");
    ensure!(said.contains("no space left"), "{said}");

    // It says so, and what needs no commit goes on.
    let status = server.json(&["status"])?;
    ensure!(status["trouble"].as_str().is_some_and(|trouble| trouble.contains("no space left")), "{status}");
    let before = server.stats()?.kernel_acked("renewing")?;
    client.renew(&lease).context("the kernel promises what was committed before")?;
    ensure!(server.stats()?.kernel_acked("renewing")? > before);
    let newcomer = lan.client(2);
    let offer = newcomer.discover()?;
    ensure!(offer.kind == Kind::Offer);
    let selecting = newcomer.selecting(&offer)?;
    newcomer.send(&selecting)?;
    ensure!(
        newcomer.inform(std::net::Ipv4Addr::new(10, 0, 255, 1))?.kind == Kind::Ack,
        "INFORM needs no disk"
    );
    let unanswered = newcomer.answer(&selecting, Instant::now() + Duration::from_millis(100))?;
    ensure!(unanswered.is_none(), "promised without a commit: {unanswered:?}");
    ensure!(server.stats()?.count(&["daemon", "dropped", "not-committed"])? >= 1);
    let release = output(&mut server.cli(&["lease", "release", &lease.address.to_string()])?)?;
    ensure!(release.status.code() == Some(1), "what is not on disk is not said to be done: {release:?}");

    // As soon as there is room, what was decided is committed, and the daemon promises again.
    disk.make_room()?;
    until("commits to be taken again", 3 * PROMPT, || {
        Ok(server.json(&["status"])?.get("trouble").is_none().then_some(()))
    })?;
    let granted = newcomer.dora()?;
    ensure!(server.lease(lease.address)?.context("what was released is remembered")?["state"] == "grace");
    let audit = server.json(&["audit"])?;
    ensure!(audit["consistent"] == true, "{audit}");
    server.crash()?;
    server.start_again()?;
    newcomer.renew(&granted)?;
    ensure!(server.lease(lease.address)?.context("what was released is on disk")?["state"] == "grace");
    Ok(())
}

/// What is decided while nothing can be committed is not on disk; what was promised before is.
#[test]
fn killed_while_nothing_can_be_committed_it_remembers_what_it_promised() -> Result<()> {
    let lan = Lan::new("disk-full", SERVER, 16)?;
    let disk = FullDisk::mount(&lan.world.dir().join("state"), "16m")?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let leases = (0..20).map(|n| lan.client(n).dora()).collect::<Result<Vec<_>>>()?;
    disk.fill()?;
    let file = lan.world.write("leases.jsonl", &many_leases())?.display().to_string();
    ensure!(output(&mut server.cli(&["import", &file])?)?.status.code() == Some(1));
    server.crash()?;
    disk.make_room()?;
    server.start_again()?;
    for (n, lease) in (0..).zip(&leases) {
        lan.client(n).renew(lease)?;
    }
    let audit = server.json(&["audit"])?;
    ensure!(audit["consistent"] == true, "{audit}");
    Ok(())
}

/// A limit of the process's files is a full disk to it. The signal that comes with it would end a process that has no handler.
#[test]
fn a_limit_of_the_processs_files_is_outlived() -> Result<()> {
    let lan = Lan::new("disk-full", SERVER, 16)?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    client.renew(&lease)?;
    let limit = |octets: &str| {
        let pid = server.pid()?.to_string();
        run(Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={octets}")]))
    };
    limit("1000:")?;
    let newcomer = lan.client(2);
    newcomer.send(&newcomer.selecting(&newcomer.discover()?)?)?;
    until("the commit to be refused", PROMPT, || {
        Ok(server.json(&["status"])?["trouble"]
            .as_str()
            .is_some_and(|told| told.contains("store"))
            .then_some(()))
    })?;
    client.renew(&lease).context("the kernel goes on")?;
    limit("unlimited:")?;
    until("commits to be taken again", 3 * PROMPT, || {
        Ok(server.json(&["status"])?.get("trouble").is_none().then_some(()))
    })?;
    newcomer.dora()?;
    ensure!(server.json(&["audit"])?["consistent"] == true);
    Ok(())
}
