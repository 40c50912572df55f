//! Real clients through all their states: each renewal, the first included, is answered by the kernel; but the first of the
//! first NetworkManager, which no one can foresee.

use anyhow::{Context, Result, ensure};
use std::time::Duration;
use system_tests::packet::{PacketSocket, Sees};
use system_tests::paths::SERVER;
use system_tests::real::{Program, RealClient};
use system_tests::resident::{Host, Resident};
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

/// Says who has answered the client's requests to go on with its lease.
fn print_hits(name: &str, now: &Stats) -> Result<()> {
    let [renewing, rebinding, reboot] =
        ["renewing", "rebinding", "init-reboot"].map(|state| now.kernel_acked(state));
    let (kernel, daemon) = (now.all_kernel_acked()?, went_up(now)?);
    println!(
        "{name}: {kernel} of {} answered in the kernel (renewing {}, rebinding {}, init-reboot {})",
        kernel + daemon,
        renewing?,
        rebinding?,
        reboot?
    );
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

    let now = server.stats()?;
    print_hits(program.name(), &now)?;
    let daemon = went_up(&now)?;
    ensure!(daemon == 0, "{daemon} renewals went up: {}", now.0["kernel"]["punted"]);
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

/// ConnMan renews after half of the lease time, whatever it is told, and takes no lease for less than ten seconds.
const BRIEF: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.250"]
lease-time = "16s"
renew-time = "4s"
rebind-time = "12s"
options = { routers = ["10.0.0.1"], domain-name-servers = ["10.0.0.3"], domain-name = "example.org" }
"#;

/// Programs that see to a whole host begin when the host lets them.
const SLOWLY: Duration = Duration::from_secs(60);

/// Who answered a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Kernel,
    Daemon,
}

/// Waits for the next renewal after `before`, and tells who answered it.
fn next_renewal(server: &Server, before: &Stats) -> Result<By> {
    let (renewed, went) = (before.kernel_acked("renewing")?, went_up(before)?);
    until("a renewal", SLOWLY, || {
        let now = server.stats()?;
        Ok(match (now.kernel_acked("renewing")? - renewed, went_up(&now)? - went) {
            (0, 0) => None,
            (_, 0) => Some(By::Kernel),
            _ => Some(By::Daemon),
        })
    })
}

/// What is the machine's, and no client's to change.
fn machine() -> Result<(Option<Vec<u8>>, String)> {
    let names =
        ["hostname", "domainname"].map(|name| std::fs::read_to_string(format!("/proc/sys/kernel/{name}")));
    let [host, domain] = names;
    Ok((std::fs::read("/etc/resolv.conf").ok(), host? + &domain?))
}

/// A lease, its first renewals, and what comes of a start without an end.
fn a_hosts_life(server: &Server, host: &mut Host<'_>, resident: Resident, first: By) -> Result<()> {
    let before = server.stats()?;
    host.start()?;
    let address = host.expect_address(SLOWLY)?;
    let shown = server.lease(address)?.context("the lease is not listed")?;
    ensure!(shown["last-answered-by"] == "daemon" && shown["state"] == "leased", "{shown}");
    let by = next_renewal(server, &before)?;
    println!("{}: the first renewal is answered by the {by:?}", resident.name());
    ensure!(by == first, "{}", server.stats()?.0["kernel"]["punted"]);
    let before = server.stats()?;
    ensure!(next_renewal(server, &before)? == By::Kernel, "the second renewal went up");
    let shown = server.lease(address)?.context("the lease is not listed")?;
    ensure!(shown["last-answered-by"] == "kernel" && shown["kernel-renewals"].as_u64() > Some(0), "{shown}");

    host.reboot()?;
    kernel_answers(server, "init-reboot", &before)?;
    ensure!(host.expect_address(SLOWLY)? == address);
    Ok(())
}

fn resident(resident: Resident, first: By) -> Result<()> {
    let lan = Lan::new("residents", SERVER, 24)?;
    let machine_before = machine()?;
    let server = Server::start(&lan, Xdp::Native, BRIEF)?;
    let mut host = Host::new(&lan, resident)?;
    a_hosts_life(&server, &mut host, resident, first)?;
    host.stop()?;
    if resident.releases() {
        until("the address to be free", PATIENCE, || Ok((server.pool_count("leased")? == 0).then_some(())))?;
    } else {
        // The server hears in order: a RELEASE would have been heard before this.
        lan.client(9).dora()?;
        ensure!(
            server.stats()?.count(&["daemon", "received", "release"])? == 0
                && server.pool_count("leased")? == 2
        );
    }
    if first == By::Daemon {
        // What the first of its kind asked is expected of the next.
        host.become_another([0x02, 0x43, 0, 0, 0, 2])?;
        a_hosts_life(&server, &mut host, resident, By::Kernel)?;
    }
    print_hits(resident.name(), &server.stats()?)?;
    ensure!(server.json(&["audit"])?["consistent"] == true);
    ensure!(machine()? == machine_before, "a client has changed the machine");
    Ok(())
}

#[test]
fn systemd_networkd() -> Result<()> {
    resident(Resident::Networkd, By::Kernel)
}

/// Its option 57 is another in renewals than in what takes the offer: that is learnt.
#[test]
fn network_manager() -> Result<()> {
    resident(Resident::NetworkManager, By::Daemon)
}

#[test]
fn connman() -> Result<()> {
    resident(Resident::Connman, By::Kernel)
}
