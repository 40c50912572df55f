//! The harness itself, proven against a server that others wrote: what it accepts and sees is not our own invention.

use anyhow::{Context, Result, ensure};
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};
use system_tests::client::{Client, Via};
use system_tests::packet::{PacketSocket, Sees};
use system_tests::process::{Process, run};
use system_tests::real::{Program, RealClient};
use system_tests::topology::{CLIENT_IF, Lan, SERVER_IF};
use system_tests::wait::{PROMPT, until};
use system_tests::wire::{Envelope, Kind, Tag};

const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const RELAY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// dnsmasq with a pool of its own subnet and one behind a relay.
fn dnsmasq(lan: &Lan) -> Result<Process> {
    lan.server.ip("route add 198.51.100.0/24 dev srv0")?;
    // The far side is scripted and answers no ARP.
    lan.server.ip("neigh add 198.51.100.1 lladdr 02:00:00:00:00:fe nud permanent dev srv0")?;
    let dir = lan.world.dir();
    let mut command = lan.server.command("dnsmasq");
    command
        .args(["--keep-in-foreground", "--port=0", "--conf-file=/dev/null", "--no-hosts", "--no-ping"])
        .args(["--user=root", "--log-dhcp", "--log-facility=-", "--dhcp-authoritative", "--leasefile-ro"])
        .arg(format!("--interface={SERVER_IF}"))
        .arg(format!("--pid-file={}", dir.join("dnsmasq.pid").display()))
        .args(["--dhcp-range=192.0.2.10,192.0.2.200,255.255.255.0,2m"])
        .args(["--dhcp-range=198.51.100.10,198.51.100.200,255.255.255.0,2m"])
        // T1, so that dhclient renews within the test.
        .args(["--dhcp-option-force=58,2", "--dhcp-option-force=59,8"]);
    let process = Process::start("dnsmasq", command, &dir.join("dnsmasq.log"))?;
    until("dnsmasq to listen", PROMPT, || {
        Ok(run(lan.server.command("ss").args(["-lun"]))?.contains(":67 ").then_some(()))
    })?;
    Ok(process)
}

#[test]
fn scripted_client_speaks_every_message() -> Result<()> {
    let lan = Lan::new("harness", SERVER, 24)?;
    let server = dnsmasq(&lan)?;
    let client = lan.client(1);
    // dnsmasq unicasts by way of the kernel's ARP table.
    let mac = system_tests::namespace::spelled(client.mac);

    let lease = client.dora()?;
    lan.server.ip(&format!("neigh replace {} lladdr {mac} nud permanent dev srv0", lease.address))?;
    ensure!(lease.server == SERVER && lease.seconds == 120, "{lease:?}");
    client.renew(&lease)?;
    client.rebind(&lease)?;
    client.reboot(&lease)?;
    ensure!(client.inform(lease.address)?.kind == Kind::Ack);

    let stranger = lan.client(2);
    let nak = stranger.exchange(&stranger.rebooting(Ipv4Addr::new(10, 9, 9, 9)))?;
    ensure!(nak.kind == Kind::Nak, "an address of another net got {:?}", nak.kind);

    client.release(&lease)?;
    client.decline(&client.dora()?)?;
    for word in ["DHCPRELEASE", "DHCPDECLINE", "DHCPINFORM"] {
        until(word, PROMPT, || Ok(server.log().contains(word).then_some(())))?;
    }
    Ok(())
}

#[test]
fn scripted_relay_gets_its_information_back() -> Result<()> {
    let lan = Lan::new("harness", SERVER, 24)?;
    let _server = dnsmasq(&lan)?;
    let via = Via::Relay {
        mac: [2, 0, 0, 0, 0, 0xfe],
        address: RELAY,
        agent_info: Some(b"\x01\x04port\x02\x04here".to_vec()),
    };
    let client = Client { via, ..lan.client(1) };
    let lease = client.dora()?;
    ensure!(lease.address.octets()[..3] == [198, 51, 100], "{lease:?}");
    client.rebind(&lease)?;
    Ok(())
}

#[test]
fn packet_sockets_see_tags_and_lose_none() -> Result<()> {
    let lan = Lan::new("harness", SERVER, 24)?;
    let far = PacketSocket::open(&lan.server, SERVER_IF, Sees::Arrivals)?;
    let request = lan.client(1).discovering();
    for tags in [vec![], vec![Tag::customer(100)], vec![Tag::provider(200), Tag::customer(100)]] {
        let envelope = Envelope { tags, ..request.envelope.clone() };
        let there = envelope.frame(&request.message.encode())?;
        lan.socket.send(&there)?;
        let arrived = far.receive(Instant::now() + PROMPT)?;
        ensure!(arrived.as_deref() == Some(&there[..]), "{envelope:?} to the server: {arrived:02x?}");
        far.send(&there)?;
        let back = lan.socket.receive(Instant::now() + PROMPT)?;
        ensure!(back.as_deref() == Some(&there[..]), "{envelope:?} back to the client: {back:02x?}");
    }
    Ok(())
}

fn real_client(program: Program) -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(20);
    let lan = Lan::new("harness", SERVER, 24)?;
    let before = std::fs::read("/etc/resolv.conf").ok();
    let server = dnsmasq(&lan)?;
    let mut client = RealClient::new(&lan, program)?;

    client.start()?;
    let address = client.expect(client.bound(), PATIENCE)?;
    client.renew()?;
    ensure!(client.expect(client.renewed(), PATIENCE)? == address);

    // The server's unicast address leads nowhere from now on: only a broadcast still gets there.
    lan.clients.ip("neigh replace 192.0.2.1 lladdr 02:00:00:00:00:66 nud permanent dev cli0")?;
    let wire = PacketSocket::open(&lan.clients, CLIENT_IF, Sees::Everything)?;
    client.rebind()?;
    client.expect_broadcast(&wire, PATIENCE)?;
    ensure!(client.expect(client.rebound(), PATIENCE)? == address);
    lan.clients.ip("neigh del 192.0.2.1 dev cli0")?;

    client.unplug()?;
    client.start()?;
    ensure!(client.expect(client.rebooted(), PATIENCE)? == address);
    client.release()?;
    until("the release", PATIENCE, || Ok(server.log().contains("DHCPRELEASE").then_some(())))?;

    ensure!(std::fs::read("/etc/resolv.conf").ok() == before, "a client wrote to /etc");
    let events = client.events()?;
    ensure!(!events.is_empty());
    Ok(())
}

#[test]
fn dhclient_is_driven_through_its_states() -> Result<()> {
    real_client(Program::Dhclient)
}

#[test]
fn udhcpc_is_driven_through_its_states() -> Result<()> {
    real_client(Program::Udhcpc)
}

#[test]
fn dhcpcd_is_driven_through_its_states() -> Result<()> {
    real_client(Program::Dhcpcd)
}

#[test]
fn nothing_of_a_world_is_left_behind() -> Result<()> {
    let dir = {
        let lan = Lan::new("harness", SERVER, 24)?;
        lan.world.write("file", "")?;
        lan.world.dir().to_owned()
    };
    ensure!(!Path::new(&dir).exists());
    let mounts = std::fs::read_to_string("/proc/thread-self/mounts").context("cannot read mounts")?;
    ensure!(!mounts.contains("xdhcpd-harness"), "{mounts}");
    Ok(())
}
