//! The demonstration itself, step by step; each claim is checked as it is made.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use system_tests::real::{Program, RealClient};
use system_tests::server::{Server, Stats, Xdp};
use system_tests::topology::{CLIENT_IF, Lan, SERVER_IF};
use system_tests::wait::{PROMPT, until};

use crate::capture::Capture;

const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// A lease so short that the client renews while one watches.
const SUBNET: &str = r#"
[[subnet]]
prefix = "192.0.2.0/24"
pools = ["192.0.2.10 - 192.0.2.200"]
lease-time = "12s"
options = { routers = ["192.0.2.1"], domain-name-servers = ["192.0.2.53"] }
"#;

/// Until the client renews by itself: at T1, give or take a second, so that not all clients come at once.
const RENEWAL: Duration = Duration::from_secs(12);

/// Plays it through; the first claim that does not hold is the error.
///
/// Does not return when all hold: everything that was started ends with this process. On an error the harness shows what
/// the programs had to say.
pub(crate) fn tell() -> Result<Infallible> {
    println!("xdhcpd, demonstrated: a renewal answered in the network driver\n");
    println!(
        "1. Two network namespaces and a veth pair; this machine's own network and files are not touched."
    );
    let lan = Lan::new("lan", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    ensure_native(&server)?;
    println!("      {SERVER_IF}  {SERVER}/24  xdhcpd, its XDP program attached natively");
    println!("      {CLIENT_IF}                dhclient, a real client");

    println!("\n2. The client asks for an address. What it sees:");
    let mut capture = Capture::start(&lan)?;
    let mut client = RealClient::new(&lan, Program::Dhclient)?;
    client.start()?;
    let address = client.expect(&["BOUND"], PROMPT)?;
    capture.show_through_ack(PROMPT)?;
    let leased = server.stats()?;
    let lease = lease(&server, address)?;
    show(&leased)?;

    println!("\n3. Its lease is for 12 seconds, so it soon renews. What it sees:");
    ensure!(client.expect(client.renewed(), RENEWAL)? == address, "the client was moved to another address");
    capture.show_through_ack(PROMPT)?;
    let renewed = server.stats()?;
    show(&renewed)?;
    ensure!(
        renewed.kernel_acked("renewing")? > leased.kernel_acked("renewing")?,
        "the kernel did not answer"
    );
    ensure!(renewed.received("request")? == leased.received("request")?, "the daemon was asked");
    println!("      → answered in the driver; the daemon has received no further REQUEST.");
    let noticed = noticed(&server, address, &lease["committed-until"])?;
    ensure!(noticed["last-answered-by"] == "kernel", "the daemon lists {noticed}");
    println!("      → the daemon noticed, and its promise on disk is ahead again:");
    println!(
        "      xdhcpd leases: {address} last-answered-by {}, kernel-renewals {}, committed-until {}",
        noticed["last-answered-by"], noticed["kernel-renewals"], noticed["committed-until"]
    );

    println!("\n4. The daemon's process is stopped (SIGSTOP). The client renews again. What it sees:");
    server.freeze()?;
    ensure!(client.expect(client.renewed(), RENEWAL)? == address, "the client was moved to another address");
    capture.show_through_ack(PROMPT)?;
    println!("      → answered, and there was nobody but the driver to answer.");
    server.thaw()?;
    let woken = server.stats()?;
    println!("   The daemon goes on (SIGCONT). Its counters:");
    show(&woken)?;
    ensure!(
        woken.kernel_acked("renewing")? > renewed.kernel_acked("renewing")?,
        "the kernel did not count it"
    );
    ensure!(woken.received("request")? == leased.received("request")?, "the daemon was asked");

    println!(
        "\nPASSED: the client's renewals were answered by the XDP program, with the daemon idle and with it stopped."
    );
    std::process::exit(0)
}

fn ensure_native(server: &Server<'_>) -> Result<()> {
    let xdp = server.json(&["status"])?["interfaces"][0]["xdp"].take();
    ensure!(xdp == "native", "the XDP program is not attached natively: `status` says {xdp}");
    Ok(())
}

fn lease(server: &Server<'_>, address: Ipv4Addr) -> Result<Value> {
    server.lease(address)?.with_context(|| format!("the server does not list the lease of {address}"))
}

/// Waits until the daemon has seen the renewal and its store promises more than it did.
fn noticed(server: &Server<'_>, address: Ipv4Addr, before: &Value) -> Result<Value> {
    until("the daemon to move the horizon ahead", PROMPT, || {
        let now = lease(server, address)?;
        let is_known = now["committed-until"] != *before && now["kernel-renewals"] != 0;
        // What is decided is shown at once; the kernel is told when it is on disk.
        Ok((is_known && now.get("not-committed").is_none()).then_some(now))
    })
}

fn show(stats: &Stats) -> Result<()> {
    println!(
        "      xdhcpd stats: renewals answered by the kernel {}, REQUESTs received by the daemon {}",
        stats.kernel_acked("renewing")?,
        stats.received("request")?
    );
    Ok(())
}
