//! The end: on SIGTERM the daemon closes the store before it exits with 0, and does not wait for ever.

use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};
use system_tests::faults::Faults;
use system_tests::paths::SERVER;
use system_tests::server::{Launch, Server, Xdp};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/16"
pools = ["10.0.0.10 - 10.0.3.250"]
lease-time = "10m"
"#;

/// The daemon has 20 s for a disk, and a little for all else.
const BOUND: Duration = Duration::from_secs(60);

/// Without the log of events, which is made durable at the end, too: a fault that comes once would be its own.
fn start<'a>(lan: &'a Lan, faults: &Faults, xdp: Xdp) -> Result<Server<'a>> {
    let mut server = Server::with_settings(lan, xdp, "event-log = \"off\"", SUBNET)?;
    server.stop()?;
    server.start_again_with(&Launch { environment: &faults.environment(), ..Launch::default() })?;
    Ok(server)
}

/// Whether it ended with an error, and said this.
fn ended_with(server: &mut Server<'_>, said: &str) -> Result<()> {
    let ended = server.stop_within(BOUND);
    let error = ended.err().with_context(|| format!("it ended as if all were well: {}", server.log()))?;
    ensure!(format!("{error:#}").contains("exit status: 1"), "{error:#}");
    ensure!(server.log().contains(said), "{}", server.log());
    Ok(())
}

/// How far the log had come is made durable at the end only: after a loss of power it would tell of less than there is.
#[test]
fn a_store_that_cannot_be_closed_is_told() -> Result<()> {
    let lan = Lan::new("end", SERVER, 16)?;
    let faults = Faults::new(lan.world.dir())?;
    let mut server = start(&lan, &faults, Xdp::Off)?;
    let lease = lan.client(1).dora()?;
    server.json(&["audit"])?;
    let failing = faults.fail_once("fdatasync", libc::EIO)?;
    ended_with(&mut server, "the store could not be closed in order")?;
    ensure!(failing.is_spent(), "nothing was made durable at the end");
    server.start_again()?;
    lan.client(1).renew(&lease)?;
    ensure!(server.json(&["audit"])?["consistent"] == true);
    server.stop()
}

#[test]
fn a_disk_that_does_not_answer_is_waited_for_only_so_long() -> Result<()> {
    let lan = Lan::new("end", SERVER, 16)?;
    let faults = Faults::new(lan.world.dir())?;
    let mut server = start(&lan, &faults, Xdp::Native)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    client.renew(&lease)?;
    let stalled = faults.wait("fdatasync")?;
    let waiting = lan.client(2);
    let selecting = waiting.selecting(&waiting.discover()?)?;
    waiting.send(&selecting)?;
    until("a commit to be under way", PROMPT, || {
        let status = server.json(&["status"])?;
        let trouble = status["trouble"].as_str().unwrap_or_default();
        Ok(trouble.contains("the disk has not answered").then_some(()))
    })?;
    ended_with(&mut server, "the disk has not answered")?;
    ensure!(waiting.answer(&selecting, Instant::now())?.is_none(), "promised without a commit");
    client.renew(&lease).context("the kernel goes on")?;
    drop(stalled);
    server.start_again()?;
    client.rebind(&lease)?;
    waiting.dora()?;
    ensure!(server.json(&["audit"])?["consistent"] == true);
    server.stop()
}
