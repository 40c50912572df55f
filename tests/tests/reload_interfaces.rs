//! Interfaces are taken in, taken out and attached another way by a reload, and no lease is lost by it.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::net::Ipv4Addr;
use system_tests::client::{Client, Lease, ServerAddress};
use system_tests::namespace::End;
use system_tests::packet::{PacketSocket, Sees};
use system_tests::pass::{self, Pass};
use system_tests::paths::SERVER;
use system_tests::process::output;
use system_tests::server::{Server, Xdp};
use system_tests::topology::{Lan, SERVER_IF};
use system_tests::wait::{PROMPT, until};
use system_tests::wire::Mac;

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
        lan.server.join(
            &here,
            &lan.clients,
            &End { name: "cli1", mac: [0x02, 0x43, 0, 0, 0, 9], address: None },
        )?;
        let pass = Pass::attach(&lan.clients, "cli1")?;
        Ok(Self { socket: PacketSocket::open(&lan.clients, "cli1", Sees::Arrivals)?, _pass: pass })
    }

    fn client(&self) -> Client<'_> {
        Client::new(&self.socket, [0x02, 0xc1, 0, 0, 9, 9], ServerAddress { mac: OTHER_MAC, ip: OTHER })
    }
}

fn lan() -> Result<Lan> {
    Lan::new("regroup", SERVER, 24)
}

fn is_attached(lan: &Lan, interface: &str) -> Result<bool> {
    Ok(lan.server.ip(&format!("link show {interface}"))?.contains("xdp"))
}

/// Renews until the kernel answers.
fn kernel_answers(server: &Server, client: &Client, lease: &Lease) -> Result<()> {
    let before = server.stats()?.kernel_acked("renewing")?;
    until("the kernel to answer", PROMPT, || {
        client.renew(lease)?;
        Ok((server.stats()?.kernel_acked("renewing")? > before).then_some(()))
    })
}

/// Renews, by the kernel at once.
fn kernel_goes_on(server: &Server, client: &Client, lease: &Lease) -> Result<()> {
    let before = server.stats()?.kernel_acked("renewing")?;
    client.renew(lease)?;
    ensure!(server.stats()?.kernel_acked("renewing")? == before + 1, "the kernel has forgotten it");
    Ok(())
}

fn is_consistent(server: &Server) -> Result<()> {
    let audit = output(&mut server.cli(&["audit"])?)?;
    ensure!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
    Ok(())
}

#[test]
fn an_interface_is_taken_in_and_out_and_in_again() -> Result<()> {
    let lan = lan()?;
    let other = Other::beside(&lan)?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNETS)?;
    let (client, newcomer) = (lan.client(1), other.client());
    let lease = client.dora()?;
    kernel_answers(&server, &client, &lease)?;

    server.rewrite(&lan, Xdp::Native, &with_other("native"))?;
    server.reload()?;
    kernel_goes_on(&server, &client, &lease)?;
    ensure!(server.interface(OTHER_IF)?["xdp"] == "native", "{}", server.interface(OTHER_IF)?);
    let there = newcomer.dora()?;
    kernel_answers(&server, &newcomer, &there)?;
    is_consistent(&server)?;

    for again in [false, true] {
        server.rewrite(&lan, Xdp::Native, SUBNETS)?;
        server.reload()?;
        ensure!(server.interface(OTHER_IF).is_err(), "it is shown still");
        ensure!(!is_attached(&lan, OTHER_IF)?, "its requests go nowhere");
        let kept = server.lease(there.address)?.context("the lease is gone")?;
        ensure!(kept["state"] == "leased" && kept["interface"] == OTHER_IF, "{kept}");
        kernel_goes_on(&server, &client, &lease)?;
        is_consistent(&server)?;
        if again {
            server.crash()?;
            server.start_again()?;
            is_consistent(&server)?;
        }
        server.rewrite(&lan, Xdp::Native, &with_other("native"))?;
        server.reload()?;
        newcomer.renew(&there).with_context(|| format!("the lease of before, again: {again}"))?;
        kernel_answers(&server, &newcomer, &there)?;
        let kept = server.lease(there.address)?.context("the lease is gone")?;
        ensure!(kept["interface"] == OTHER_IF, "{kept}");
        is_consistent(&server)?;
    }
    Ok(())
}

#[test]
fn an_interface_that_is_not_there_yet_is_taken_in_and_served_when_it_comes() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNETS)?;
    server.rewrite(&lan, Xdp::Native, &with_other("native"))?;
    server.reload()?;
    ensure!(server.interface(OTHER_IF)?["link"] == "missing");
    let other = Other::beside(&lan)?;
    until("it to be served", PROMPT, || Ok((server.interface(OTHER_IF)?["link"] == "up").then_some(())))?;
    until("its address to be known", PROMPT, || {
        Ok((server.interface(OTHER_IF)?["addresses"] == json!([OTHER])).then_some(()))
    })?;
    let lease = other.client().dora()?;
    kernel_answers(&server, &other.client(), &lease)?;
    is_consistent(&server)
}

#[test]
fn another_way_of_attaching_is_gone_over_to() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNETS)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    kernel_answers(&server, &client, &lease)?;
    for (xdp, shown) in [(Xdp::Generic, "generic"), (Xdp::Off, "off"), (Xdp::Native, "native")] {
        server.rewrite(&lan, xdp, SUBNETS)?;
        let done = server.json(&["reload"])?;
        ensure!(done["revoked"] == 0, "{done}");
        let interface = server.interface(SERVER_IF)?;
        ensure!(interface["xdp"] == shown && interface["xdp-configured"] == shown, "{interface}");
        match xdp {
            Xdp::Off => {
                ensure!(!is_attached(&lan, SERVER_IF)?);
                let before = server.stats()?.all_kernel_acked()?;
                client.renew(&lease)?;
                ensure!(server.stats()?.all_kernel_acked()? == before);
            }
            _ => kernel_answers(&server, &client, &lease).with_context(|| format!("{xdp:?}"))?,
        }
        is_consistent(&server)?;
    }
    Ok(())
}

/// One of two changes can't be made: the other is not made either.
#[test]
fn a_reload_that_can_t_attach_is_refused_and_changes_nothing() -> Result<()> {
    let lan = lan()?;
    let _other = Other::beside(&lan)?;
    let server = Server::start(&lan, Xdp::Native, SUBNETS)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    kernel_answers(&server, &client, &lease)?;
    let program = lan.world.bpf().join("foreign");
    pass::pin(&program)?;
    lan.server.ip(&format!("link set dev {OTHER_IF} xdpdrv pinned {}", program.display()))?;

    server.rewrite(&lan, Xdp::Generic, &with_other("native"))?;
    let refused = output(&mut server.cli(&["reload"])?)?;
    ensure!(refused.status.code() == Some(1), "{refused:?}");
    let why = String::from_utf8(refused.stderr)?;
    ensure!(why.contains(OTHER_IF) && why.contains("XDP program"), "{why}");
    let interface = server.interface(SERVER_IF)?;
    ensure!(interface["xdp"] == "native" && interface["xdp-configured"] == "native", "{interface}");
    ensure!(server.interface(OTHER_IF).is_err(), "it is served");
    kernel_goes_on(&server, &client, &lease)?;
    is_consistent(&server)?;

    lan.server.ip(&format!("link set dev {OTHER_IF} xdpdrv off"))?;
    server.reload()?;
    ensure!(server.interface(SERVER_IF)?["xdp"] == "generic");
    ensure!(server.interface(OTHER_IF)?["xdp"] == "native");
    Ok(())
}

#[test]
fn the_first_program_needs_a_restart_and_that_is_said() -> Result<()> {
    let lan = lan()?;
    let mut server = Server::start(&lan, Xdp::Off, SUBNETS)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    server.rewrite(&lan, Xdp::Native, SUBNETS)?;
    let refused = output(&mut server.cli(&["reload"])?)?;
    ensure!(refused.status.code() == Some(1), "{refused:?}");
    ensure!(String::from_utf8(refused.stderr)?.contains("restart"));
    client.renew(&lease)?;
    server.stop()?;
    server.start_again()?;
    kernel_answers(&server, &client, &lease)
}
