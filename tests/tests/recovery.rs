//! A million leases: how long a start takes with the maps kept and with the maps gone, and that it brings all of them.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use system_tests::client::{Client, Lease};
use system_tests::process::{output, run};
use system_tests::server::{Home, Launch, Server, Xdp};
use system_tests::topology::Lan;
use system_tests::wait::until;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const LEASES: u32 = 1_000_000;
/// 10.16.0.0 and the addresses after it.
const FIRST: u32 = 0x0a10_0000;
const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/8"
pools = ["10.16.0.0 - 10.31.255.255"]
lease-time = "1h"
options = { routers = ["10.0.0.1"], domain-name-servers = ["10.0.0.53"] }
"#;
/// Far more than a start may take on a machine that has nothing else to do; what it does take is printed.
const PATIENCE: Duration = Duration::from_secs(100);

/// A server that has taken a million leases over, and one more of a client that is there.
fn with_a_million(lan: &Lan) -> Result<(Server<'_>, Client<'_>, Lease)> {
    let server = Server::start(Home::from(lan).under_load(), Xdp::Native, SUBNET)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    let mut lines = String::new();
    let addresses = (FIRST..).map(Ipv4Addr::from).filter(|address| *address != lease.address);
    for (number, address) in (0..LEASES - 1).zip(addresses) {
        let [a, b, c, d] = number.to_be_bytes();
        writeln!(
            lines,
            r#"{{"address":"{address}","state":"leased","hw-address":"02:ee:{a:02x}:{b:02x}:{c:02x}:{d:02x}","lease-time":3600,"expires-in":3600,"committed-for":7200}}"#
        )?;
    }
    let file = lan.world.write("leases.jsonl", &lines)?;
    let began = Instant::now();
    run(&mut server.cli(&["import", &file.display().to_string()])?)?;
    println!("imported in {:.1?}", began.elapsed());
    fs::remove_file(file)?;
    all_there(&server)?;
    Ok((server, client, lease))
}

fn all_there(server: &Server<'_>) -> Result<()> {
    let leased = server.pool_count("leased")?;
    ensure!(leased == u64::from(LEASES), "{leased} leases of {LEASES}");
    Ok(())
}

/// Starts the server, and says how long it took to its first answer and until it was done.
fn start(lan: &Lan, server: &mut Server<'_>, how: &str, number: u16) -> Result<()> {
    let began = Instant::now();
    server.launch_again(&Launch::default())?;
    // Each asks once: one that repeats itself is heard only so often.
    let mut newcomers = number..;
    until("an offer", PATIENCE, || {
        let client = lan.client(newcomers.next().context("no more clients")?);
        let request = client.discovering();
        client.send(&request)?;
        Ok(client.answer(&request, Instant::now() + Duration::from_millis(50))?.map(drop))
    })?;
    let first = began.elapsed();
    until("the server to be done", PATIENCE, || Ok(server.json(&["status"]).ok().map(drop)))?;
    let (done, cpu) = (began.elapsed(), server.cpu_time()?);
    println!(
        "maps {how}: first packet served after {first:.2?}, all reconciled after {done:.2?} ({cpu:.2?} of a CPU)"
    );
    all_there(server)
}

/// Who asks a server that starts is told so, and is answered when it serves.
fn ask_while_it_starts(server: &mut Server<'_>) -> Result<()> {
    server.launch_again(&Launch::default())?;
    let said = until("the control socket to be answered", PATIENCE, || {
        let said = output(server.cli(&["status"])?.arg("--json"))?;
        Ok((said.status.code() != Some(3)).then_some(said))
    })?;
    let status: Value = serde_json::from_slice(&said.stdout).with_context(|| format!("{said:?}"))?;
    ensure!(said.status.code() == Some(1) && status["stage"] == "starting", "{said:?}");
    all_there(server)?;
    ensure!(server.json(&["status"])?["stage"] == "serving");
    Ok(())
}

#[test]
fn a_million_leases_are_there_again_after_a_crash() -> Result<()> {
    let lan = Lan::new("recovery", SERVER, 8)?;
    let (mut server, client, lease) = with_a_million(&lan)?;
    server.crash()?;
    client.renew(&lease).context("while it is dead")?;
    start(&lan, &mut server, "kept", 1000)?;
    let before = server.stats()?.kernel_acked("renewing")?;
    client.renew(&lease)?;
    ensure!(server.stats()?.kernel_acked("renewing")? == before + 1, "the kernel has forgotten {lease:?}");

    server.crash()?;
    server.detach()?;
    start(&lan, &mut server, "gone", 5000)?;
    client.renew(&lease)?;

    server.crash()?;
    ask_while_it_starts(&mut server)
}
