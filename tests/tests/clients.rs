//! Real clients through all their states: each renewal, the first included, is answered by the kernel.

use anyhow::{Context, Result, ensure};
use std::time::Duration;
use system_tests::packet::{PacketSocket, Sees};
use system_tests::paths::SERVER;
use system_tests::real::{Program, RealClient};
use system_tests::server::{Server, Stats, Xdp};
use system_tests::topology::{CLIENT_IF, Lan};
use system_tests::wait::until;

/// dhclient cannot be told to renew: its timers have to do it. dhcpcd takes no lease under twenty seconds.
const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.250"]
lease-time = "40s"
renew-time = "3s"
rebind-time = "6s"
options = { routers = ["10.0.0.1"], domain-name-servers = ["10.0.0.3"], domain-name = "example.org" }
"#;

const PATIENCE: Duration = Duration::from_secs(20);

/// Why the kernel leaves a request with ciaddr to the daemon: what it counts for those, and for no others.
const RENEWAL_WENT_UP: [&str; 9] = [
    "unknown-question",
    "no-slot",
    "not-alive",
    "expired",
    "horizon",
    "no-room",
    "other-identity",
    "other-server",
    "foreign-source",
];

/// How many renewals and rebindings the kernel has left to the daemon.
///
/// The daemon's own count of REQUESTs would not tell: clients repeat the one of state SELECTING as they please.
fn went_up(stats: &Stats) -> Result<u64> {
    RENEWAL_WENT_UP.iter().map(|why| stats.count(&["kernel", "punted", why])).sum()
}

/// Says who has answered the client's requests to go on with its lease; all should have been the kernel.
fn print_hits(program: Program, now: &Stats) -> Result<()> {
    let [renewing, rebinding, reboot] =
        ["renewing", "rebinding", "init-reboot"].map(|state| now.kernel_acked(state));
    let (kernel, daemon) = (now.all_kernel_acked()?, went_up(now)?);
    println!(
        "{}: {kernel} of {} answered in the kernel (renewing {}, rebinding {}, init-reboot {})",
        program.name(),
        kernel + daemon,
        renewing?,
        rebinding?,
        reboot?
    );
    ensure!(daemon == 0, "{daemon} renewals went up: {}", now.0["kernel"]["punted"]);
    Ok(())
}

/// Waits until the kernel has answered once more in `state`.
fn kernel_answers(server: &Server, state: &str, before: &Stats) -> Result<()> {
    let so_far = before.kernel_acked(state)?;
    until(&format!("the kernel to answer {state}"), PATIENCE, || {
        Ok((server.stats()?.kernel_acked(state)? > so_far).then_some(()))
    })
    .with_context(|| {
        format!("punted: {}", server.stats().map(|now| now.0["kernel"]["punted"].clone()).unwrap_or_default())
    })
}

fn through_all_states(program: Program) -> Result<()> {
    let lan = Lan::new("clients", SERVER, 24)?;
    let host_file = std::fs::read("/etc/resolv.conf").ok();
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let mut client = RealClient::new(&lan, program)?;

    client.start()?;
    let address = client.expect(client.bound(), PATIENCE)?;
    let shown = server.lease(address)?.context("the lease is not listed")?;
    ensure!(shown["last-answered-by"] == "daemon" && shown["state"] == "leased", "{shown}");

    for time in ["first", "second"] {
        let before = server.stats()?;
        client.renew()?;
        ensure!(client.expect(client.renewed(), PATIENCE)? == address);
        kernel_answers(&server, "renewing", &before).with_context(|| format!("the {time} renewal"))?;
    }
    until("the lease to show it", PATIENCE, || {
        let shown = server.lease(address)?.context("the lease is not listed")?;
        Ok((shown["last-answered-by"] == "kernel" && shown["kernel-renewals"].as_u64() > Some(0))
            .then_some(()))
    })?;

    // The server's unicast address leads nowhere from now on: only a broadcast still gets there.
    let before = server.stats()?;
    let wire = PacketSocket::open(&lan.clients, CLIENT_IF, Sees::Everything)?;
    lan.clients.ip("neigh replace 10.0.0.1 lladdr 02:00:00:00:00:66 nud permanent dev cli0")?;
    client.rebind()?;
    client.expect_broadcast(&wire, PATIENCE)?;
    kernel_answers(&server, "rebinding", &before)?;
    ensure!(client.expect(client.rebound(), PATIENCE)? == address);
    lan.clients.ip("neigh del 10.0.0.1 dev cli0")?;

    let before = server.stats()?;
    client.unplug()?;
    client.start()?;
    ensure!(client.expect(client.rebooted(), PATIENCE)? == address);
    if program.reboots() {
        kernel_answers(&server, "init-reboot", &before)?;
    }

    print_hits(program, &server.stats()?)?;
    client.release()?;
    until("the address to be free", PATIENCE, || Ok((server.pool_count("leased")? == 0).then_some(())))?;
    ensure!(server.pool_count("free")? == server.pool_count("size")?);
    ensure!(std::fs::read("/etc/resolv.conf").ok() == host_file, "a client wrote to /etc");
    Ok(())
}

#[test]
fn dhclient() -> Result<()> {
    through_all_states(Program::Dhclient)
}

#[test]
fn udhcpc() -> Result<()> {
    through_all_states(Program::Udhcpc)
}

#[test]
fn dhcpcd() -> Result<()> {
    through_all_states(Program::Dhcpcd)
}
