//! A driver that takes its time to have the program put on it, or taken off: all else goes on, `status` says so, and a reload
//! that needs it has its answer when it is done.

use anyhow::{Context, Result, ensure};
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::thread;
use system_tests::client::{Client, Lease, ServerAddress};
use system_tests::faults::{Fault, Faults};
use system_tests::namespace::End;
use system_tests::packet::{PacketSocket, Sees};
use system_tests::pass::Pass;
use system_tests::paths::SERVER;
use system_tests::process::output;
use system_tests::server::{Launch, Server, Xdp};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};
use system_tests::wire::{Kind, Mac};

const SUBNETS: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.250"]
lease-time = "10m"

[[subnet]]
prefix = "10.9.0.0/24"
pools = ["10.9.0.10 - 10.9.0.250"]
lease-time = "10m"
"#;
const OTHER_IF: &str = "other0";
const OTHER_MAC: Mac = [0x02, 0x53, 0, 0, 0, 9];
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
/// The commands of bpf(2) that put a program on an interface and take it off.
const LINK_CREATE: &str = "bpf.28";
const LINK_DETACH: &str = "bpf.34";

fn with_other(xdp: &str) -> String {
    format!("[[interface]]\nname = \"{OTHER_IF}\"\nxdp = \"{xdp}\"\n{SUBNETS}")
}

/// A second link between the two namespaces.
struct Other {
    socket: PacketSocket,
    _pass: Pass,
}

impl Other {
    fn beside(lan: &Lan) -> Result<Self> {
        let here = End { name: OTHER_IF, mac: OTHER_MAC, address: Some((OTHER, 24)) };
        let there = End { name: "cli1", mac: [0x02, 0x43, 0, 0, 0, 9], address: None };
        lan.server.join(&here, &lan.clients, &there)?;
        let pass = Pass::attach(&lan.clients, "cli1")?;
        Ok(Self { socket: PacketSocket::open(&lan.clients, "cli1", Sees::Arrivals)?, _pass: pass })
    }

    fn client(&self) -> Client<'_> {
        Client::new(&self.socket, [0x02, 0xc1, 0, 0, 9, 9], ServerAddress { mac: OTHER_MAC, ip: OTHER })
    }
}

/// A server whose attaching can be made to wait or fail.
fn start<'a>(lan: &'a Lan, faults: &Faults, config: &str) -> Result<Server<'a>> {
    let mut server = Server::start(lan, Xdp::Native, config)?;
    server.stop()?;
    server.start_again_with(&Launch { environment: &faults.environment(), ..Launch::default() })?;
    Ok(server)
}

/// A renewal is answered by the kernel, and a newcomer gets an OFFER.
fn serves(server: &Server, client: &Client, lease: &Lease, newcomer: &Client) -> Result<()> {
    let before = server.stats()?.kernel_acked("renewing")?;
    client.renew(lease).context("a renewal")?;
    ensure!(server.stats()?.kernel_acked("renewing")? == before + 1, "the kernel has forgotten it");
    ensure!(newcomer.discover().context("a newcomer")?.kind == Kind::Offer);
    Ok(())
}

/// Renews until the kernel answers.
fn kernel_answers(server: &Server, client: &Client, lease: &Lease) -> Result<()> {
    let before = server.stats()?.kernel_acked("renewing")?;
    until("the kernel to answer", PROMPT, || {
        client.renew(lease)?;
        Ok((server.stats()?.kernel_acked("renewing")? > before).then_some(()))
    })
}

fn is_told(server: &Server, interface: &str) -> Result<()> {
    until("status to tell", PROMPT, || {
        let status = server.json(&["status"])?;
        let trouble = status["trouble"].as_str().unwrap_or_default();
        Ok((trouble.contains("has not attached") && trouble.contains(interface)).then_some(()))
    })
}

fn is_attached(lan: &Lan, interface: &str) -> Result<bool> {
    Ok(lan.server.ip(&format!("link show {interface}"))?.contains("xdp"))
}

/// What a reload answers, and what holds until the fault is over.
fn reload_under(server: &Server, fault: Fault, meanwhile: impl FnOnce() -> Result<()>) -> Result<bool> {
    let mut reload = server.cli(&["reload"])?;
    reload.stdout(Stdio::null()).stderr(Stdio::null());
    let reload = thread::spawn(move || output(&mut reload));
    meanwhile()?;
    ensure!(!reload.is_finished(), "it was answered before it was done");
    drop(fault);
    let done = reload.join().map_err(|_| anyhow::anyhow!("a panic"))??;
    Ok(done.status.success())
}

#[test]
fn a_reload_waits_for_a_driver_and_nobody_else_does() -> Result<()> {
    let lan = Lan::new("attaching-reload", SERVER, 24)?;
    let other = Other::beside(&lan)?;
    let faults = Faults::new(lan.world.dir())?;
    let server = start(&lan, &faults, SUBNETS)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    kernel_answers(&server, &client, &lease)?;

    server.rewrite(&lan, Xdp::Native, &with_other("native"))?;
    let is_done = reload_under(&server, faults.wait(LINK_CREATE)?, || {
        is_told(&server, OTHER_IF)?;
        ensure!(server.interface(OTHER_IF).is_err(), "the next configuration is in force before it can be");
        serves(&server, &client, &lease, &lan.client(2))
    })?;
    ensure!(is_done && server.json(&["status"])?.get("trouble").is_none());
    ensure!(server.interface(OTHER_IF)?["xdp"] == "native", "{}", server.interface(OTHER_IF)?);
    let there = other.client().dora()?;
    kernel_answers(&server, &other.client(), &there)?;

    // Nor does anybody wait while it is taken off.
    server.rewrite(&lan, Xdp::Native, SUBNETS)?;
    let is_done = reload_under(&server, faults.wait(LINK_DETACH)?, || {
        is_told(&server, OTHER_IF)?;
        serves(&server, &client, &lease, &lan.client(3))
    })?;
    ensure!(is_done && !is_attached(&lan, OTHER_IF)?, "it is attached still");

    // One that fails is no reload at all.
    server.rewrite(&lan, Xdp::Generic, &with_other("native"))?;
    let fails = faults.fail_once(LINK_CREATE, libc::EBUSY)?;
    let reload = output(&mut server.cli(&["reload"])?)?;
    ensure!(reload.status.code() == Some(1) && fails.is_spent(), "{reload:?}");
    ensure!(server.interface(OTHER_IF).is_err() && !is_attached(&lan, OTHER_IF)?);
    kernel_answers(&server, &client, &lease)?;
    let audit = output(&mut server.cli(&["audit"])?)?;
    ensure!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
    Ok(())
}

#[test]
fn an_interface_that_comes_is_served_while_its_driver_takes_its_time() -> Result<()> {
    let lan = Lan::new("attaching-comes", SERVER, 24)?;
    let faults = Faults::new(lan.world.dir())?;
    let server = start(&lan, &faults, &with_other("native"))?;
    let client = lan.client(1);
    let lease = client.dora()?;
    kernel_answers(&server, &client, &lease)?;

    let slow = faults.wait(LINK_CREATE)?;
    let other = Other::beside(&lan)?;
    until("it to be served", PROMPT, || {
        let shown = server.interface(OTHER_IF)?;
        Ok((shown["link"] == "up" && shown["attaching"] == true && shown["xdp"] == "off").then_some(()))
    })?;
    until("its address to be known", PROMPT, || {
        Ok((server.interface(OTHER_IF)?["addresses"] == serde_json::json!([OTHER])).then_some(()))
    })?;
    let there = other.client().dora().context("the daemon answers alone")?;
    is_told(&server, OTHER_IF)?;
    serves(&server, &client, &lease, &lan.client(2))?;
    // One that is gone meanwhile, and comes back, is attached when its turn comes.
    drop(other);
    lan.server.ip(&format!("link delete {OTHER_IF}"))?;
    until("it to be missing", PROMPT, || {
        Ok((server.interface(OTHER_IF)?["link"] == "missing").then_some(()))
    })?;
    let other = Other::beside(&lan)?;
    until("it to be served again", PROMPT, || {
        Ok((server.interface(OTHER_IF)?["link"] == "up").then_some(()))
    })?;
    drop(slow);
    until("it to be attached", PROMPT, || {
        let shown = server.interface(OTHER_IF)?;
        Ok((shown["xdp"] == "native" && shown.get("attaching").is_none()).then_some(()))
    })?;
    let again = other.client();
    until("its lease to be renewed", PROMPT, || Ok(again.renew(&there).is_ok().then_some(())))?;
    kernel_answers(&server, &again, &there)?;
    ensure!(server.json(&["status"])?.get("trouble").is_none());
    Ok(())
}
