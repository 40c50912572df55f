//! The life of interfaces and the programs on them: through all changes the server serves what it can, and keeps
//! leases.

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;
use system_tests::client::{Client, Lease, ServerAddress};
use system_tests::expect::{is_consistent, kernel_answers};
use system_tests::namespace::{End, Namespace, spelled};
use system_tests::packet::{PacketSocket, Sees};
use system_tests::pass::{self, Pass};
use system_tests::paths::SERVER;
use system_tests::process::{output, run};
use system_tests::server::{Home, Launch, Server, Xdp, cli};
use system_tests::topology::{CLIENT_IF, CLIENT_MAC, Lan, SERVER_IF, SERVER_MAC};
use system_tests::wait::{PROMPT, until};
use system_tests::world::World;

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.250"]
lease-time = "10m"
options = { routers = ["10.0.0.1"] }
"#;
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

fn lan() -> Result<Lan> {
    Lan::new("life", SERVER, 24)
}

/// Waits until `status` says this of an interface.
fn shows(server: &Server, interface: &str, key: &str, value: &serde_json::Value) -> Result<()> {
    until(&format!("{interface} to be {key} {value}"), PROMPT, || {
        Ok((server.interface(interface)?[key] == *value).then_some(()))
    })
}

fn is_logged(server: &Server, what: &str) -> Result<()> {
    until(&format!("{what:?} in the log"), PROMPT, || Ok(server.log().contains(what).then_some(())))
}

#[test]
fn a_link_goes_down_and_up_again() -> Result<()> {
    for xdp in [Xdp::Native, Xdp::Off] {
        let lan = lan()?;
        let server = Server::start(&lan, xdp, SUBNET)?;
        let lease = lan.client(1).dora()?;
        lan.server.ip(&format!("link set {SERVER_IF} down"))?;
        shows(&server, SERVER_IF, "link", &json!("down"))?;
        is_logged(&server, "link down")?;
        lan.server.ip(&format!("link set {SERVER_IF} up"))?;
        shows(&server, SERVER_IF, "link", &json!("up"))?;
        until("a renewal to arrive", PROMPT, || Ok(lan.client(1).renew(&lease).is_ok().then_some(())))?;
        ensure!(lan.client(2).dora()?.address != lease.address);
        is_consistent(&server)?;
    }
    Ok(())
}

/// Nothing the kernel says is of the former address, and nothing goes on being said of it.
#[test]
fn the_servers_address_changes() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let lease = lan.client(1).dora()?;
    kernel_answers(&server, &lan.client(1), &lease)?;
    lan.server.ip(&format!("address flush dev {SERVER_IF}"))?;
    lan.server.ip(&format!("address add {OTHER}/24 dev {SERVER_IF}"))?;
    shows(&server, SERVER_IF, "addresses", &json!([OTHER]))?;

    let mut client = lan.client(1);
    client.server = ServerAddress { ip: OTHER, ..client.server };
    let renewed = Lease { server: OTHER, ..lease };
    client.rebind(&renewed).context("the first answer after the change")?;
    kernel_answers(&server, &client, &renewed)?;
    client.renew(&renewed)?;
    let mut newcomer = lan.client(2);
    newcomer.server = client.server;
    ensure!(newcomer.dora()?.server == OTHER);
    is_consistent(&server)
}

#[test]
fn another_address_beside_changes_nothing() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let lease = lan.client(1).dora()?;
    kernel_answers(&server, &lan.client(1), &lease)?;
    lan.server.ip(&format!("address add 10.7.0.1/24 dev {SERVER_IF}"))?;
    shows(&server, SERVER_IF, "addresses", &json!([SERVER, "10.7.0.1"]))?;
    let before = server.stats()?.kernel_acked("renewing")?;
    lan.client(1).renew(&lease)?;
    ensure!(server.stats()?.kernel_acked("renewing")? == before + 1);
    Ok(())
}

#[test]
fn the_hardware_address_and_the_mtu_change() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let lease = lan.client(1).dora()?;
    let mac = [0x02, 0x53, 0, 0, 0, 0x99];
    lan.server.ip(&format!("link set {SERVER_IF} mtu 1400"))?;
    is_logged(&server, "MTU changed")?;
    lan.server.ip(&format!("link set {SERVER_IF} address 02:53:00:00:00:99"))?;
    is_logged(&server, "hardware address changed")?;
    let mut client = lan.client(1);
    client.server.mac = mac;
    let before = server.stats()?.kernel_acked("renewing")?;
    client.renew(&lease)?;
    ensure!(server.stats()?.kernel_acked("renewing")? == before + 1, "the kernel takes it for a stranger's");
    Ok(())
}

/// Longer packets than a driver takes beside a program that looks at frames in one piece.
const JUMBO: u32 = 9000;

/// A restart with another `xdp` in the configuration is a restart all the same: leases go on.
#[test]
fn a_restart_goes_over_to_the_way_of_attaching_that_is_configured() -> Result<()> {
    let lan = lan()?;
    let client = lan.client(1);
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let lease = client.dora()?;
    let attached =
        || Ok::<_, anyhow::Error>(lan.server.ip(&format!("link show {SERVER_IF}"))?.contains("xdp"));
    let jumbo = || lan.clients.ip(&format!("link set {CLIENT_IF} mtu {JUMBO}"));
    ensure!(jumbo().is_err(), "the driver lets frames be longer than a program in it can see");
    for (xdp, shown) in [(Xdp::Generic, "generic"), (Xdp::Off, "off"), (Xdp::Native, "native")] {
        server.stop()?;
        server.rewrite(&lan, xdp, SUBNET)?;
        server.start_again()?;
        ensure!(server.interface(SERVER_IF)?["xdp"] == shown, "{xdp:?}: {}", server.interface(SERVER_IF)?);
        match xdp {
            Xdp::Off => {
                ensure!(!attached()?, "renewals go on that the daemon does not hear of");
                client.renew(&lease)?;
            }
            _ => kernel_answers(&server, &client, &lease).with_context(|| format!("{xdp:?}"))?,
        }
        if xdp == Xdp::Generic {
            jumbo().context("the program is in the stack")?;
            kernel_answers(&server, &client, &lease).context("on a jumbo link")?;
            lan.clients.ip(&format!("link set {CLIENT_IF} mtu 1500"))?;
        }
        is_consistent(&server)?;
    }
    Ok(())
}

#[test]
fn an_interface_that_is_configured_no_more_is_left_by_a_restart() -> Result<()> {
    let lan = lan()?;
    lan.server.ip("link add other0 type veth peer name other1")?;
    lan.server.ip("address add 10.9.0.1/24 dev other0")?;
    lan.server.ip("link set other0 up")?;
    let both = format!("[[interface]]\nname = \"other0\"\nxdp = \"native\"\n{SUBNET}");
    let mut server = Server::start(&lan, Xdp::Native, &both)?;
    let lease = lan.client(1).dora()?;
    let attached =
        |name: &str| Ok::<_, anyhow::Error>(lan.server.ip(&format!("link show {name}"))?.contains("xdp"));
    ensure!(attached("other0")?);
    server.stop()?;
    server.rewrite(&lan, Xdp::Native, SUBNET)?;
    server.start_again()?;
    ensure!(!attached("other0")?, "its requests go nowhere");
    is_logged(&server, "it is not to have the program any more")?;
    ensure!(attached(SERVER_IF)?);
    kernel_answers(&server, &lan.client(1), &lease)
}

#[test]
fn on_a_jumbo_link_it_is_attached_in_the_stack() -> Result<()> {
    let world = World::new("life")?;
    let (namespace, clients) = (Namespace::new()?, Namespace::new()?);
    let wire = Wire::jumbo(&namespace, &clients)?;
    let pins = world.bpf().join("xdhcpd");
    let home = Home::at(&namespace, world.dir().to_owned(), pins);
    let mut server = Server::start(home.clone(), Xdp::Auto, SUBNET)?;
    ensure!(server.interface(SERVER_IF)?["xdp"] == "generic", "{}", server.interface(SERVER_IF)?);
    let lease = wire.client(1).dora()?;
    kernel_answers(&server, &wire.client(1), &lease)?;
    a_long_datagram_arrives(&namespace, &clients)?;
    namespace.ip(&format!("link set {SERVER_IF} mtu 1500"))?;
    is_logged(&server, "MTU changed")?;
    kernel_answers(&server, &wire.client(1), &lease)?;
    is_consistent(&server)?;

    server.stop()?;
    let Err(refused) = Server::start(home, Xdp::Native, SUBNET) else { bail!("a driver that does all") };
    let refused = format!("{refused:#}");
    ensure!(refused.contains("MTU") && refused.contains("xdp = \"generic\""), "{refused}");
    Ok(())
}

fn a_long_datagram_arrives(server: &Namespace, clients: &Namespace) -> Result<()> {
    clients.ip(&format!("address add {OTHER}/24 dev {CLIENT_IF}"))?;
    let to = server.enter(|| UdpSocket::bind((SERVER, 0)))??;
    let from = clients.enter(|| UdpSocket::bind((OTHER, 0)))??;
    to.set_read_timeout(Some(PROMPT))?;
    from.send_to(&[7; 8000], to.local_addr()?)?;
    let mut arrived = [0; JUMBO as usize];
    let len = to.recv(&mut arrived).context("what is not DHCP does not pass")?;
    ensure!(arrived[..len] == [7; 8000]);
    Ok(())
}

/// What is configured may be made of other interfaces: those have a program in the stack.
#[test]
fn a_bridge_is_served_like_any_interface() -> Result<()> {
    let lan = lan()?;
    for what in [
        format!("link set {SERVER_IF} down"),
        format!("address flush dev {SERVER_IF}"),
        format!("link set {SERVER_IF} name port0"),
        format!("link add {SERVER_IF} address {} type bridge forward_delay 0", spelled(SERVER_MAC)),
        format!("link set port0 master {SERVER_IF}"),
        "link set port0 up".to_owned(),
        format!("address add {SERVER}/24 dev {SERVER_IF}"),
        format!("link set {SERVER_IF} up"),
    ] {
        lan.server.ip(&what)?;
    }
    let server = Server::start(&lan, Xdp::Auto, SUBNET)?;
    shows(&server, SERVER_IF, "link", &json!("up"))?;
    ensure!(server.interface(SERVER_IF)?["xdp"] == "generic", "{}", server.interface(SERVER_IF)?);
    let lease = until("a lease", PROMPT, || Ok(lan.client(1).dora().ok()))?;
    kernel_answers(&server, &lan.client(1), &lease)?;
    // Without its only port it has no link, and is served again when the port is back.
    lan.server.ip("link set port0 nomaster")?;
    shows(&server, SERVER_IF, "link", &json!("down"))?;
    lan.server.ip(&format!("link set port0 master {SERVER_IF}"))?;
    shows(&server, SERVER_IF, "link", &json!("up"))?;
    until("a renewal to arrive", PROMPT, || Ok(lan.client(1).renew(&lease).is_ok().then_some(())))?;
    kernel_answers(&server, &lan.client(1), &lease)?;
    is_consistent(&server)
}

/// A link whose ends can be made anew.
struct Wire {
    socket: PacketSocket,
    _pass: Option<Pass>,
}

impl Wire {
    fn make(server: &Namespace, clients: &Namespace) -> Result<Self> {
        let wire = Self::join(server, clients)?;
        Ok(Self { _pass: Some(Pass::attach(clients, CLIENT_IF)?), ..wire })
    }

    /// For long packets, so that no end's driver takes a program.
    fn jumbo(server: &Namespace, clients: &Namespace) -> Result<Self> {
        let wire = Self::join(server, clients)?;
        server.ip(&format!("link set {SERVER_IF} mtu {JUMBO}"))?;
        clients.ip(&format!("link set {CLIENT_IF} mtu {JUMBO}"))?;
        Ok(wire)
    }

    fn join(server: &Namespace, clients: &Namespace) -> Result<Self> {
        let here = End { name: SERVER_IF, mac: SERVER_MAC, address: Some((SERVER, 24)) };
        server.join(&here, clients, &End { name: CLIENT_IF, mac: CLIENT_MAC, address: None })?;
        let socket = PacketSocket::open(clients, CLIENT_IF, Sees::Arrivals)?;
        Ok(Self { socket, _pass: None })
    }

    fn client(&self, n: u8) -> Client<'_> {
        Client::new(&self.socket, [0x02, 0xc1, 0, 0, 0, n], ServerAddress { mac: SERVER_MAC, ip: SERVER })
    }
}

#[test]
fn an_interface_is_removed_and_made_anew() -> Result<()> {
    for xdp in [Xdp::Native, Xdp::Off] {
        let world = World::new("life")?;
        let (namespace, clients) = (Namespace::new()?, Namespace::new()?);
        let wire = Wire::make(&namespace, &clients)?;
        let pins = world.bpf().join("xdhcpd");
        let home = Home::at(&namespace, world.dir().to_owned(), pins.clone());
        let mut server = Server::start(home, xdp, SUBNET)?;
        let lease = wire.client(1).dora()?;
        let mut wire = Some(wire);
        for round in 0..3 {
            drop(wire.take());
            namespace.ip(&format!("link delete {SERVER_IF}"))?;
            shows(&server, SERVER_IF, "link", &json!("missing"))?;
            is_logged(&server, "was removed")?;
            let kept = server.lease(lease.address)?.context("the lease is gone")?;
            ensure!(kept["state"] == "leased" && kept["interface"] == SERVER_IF, "{kept}");

            let anew = wire.insert(Wire::make(&namespace, &clients)?);
            shows(&server, SERVER_IF, "link", &json!("up"))?;
            anew.client(1).renew(&lease).with_context(|| format!("round {round}"))?;
            if xdp == Xdp::Native {
                kernel_answers(&server, &anew.client(1), &lease)?;
                // The program answers as soon as it is attached, and is pinned right after.
                until("one attachment to be left, that of the present interface", PROMPT, || {
                    let links = fs::read_dir(&pins)?.filter_map(std::result::Result::ok);
                    let links = links.filter(|pin| pin.file_name().to_string_lossy().starts_with("link-"));
                    Ok((links.count() == 1).then_some(()))
                })?;
            }
            ensure!(anew.client(10 + round).dora()?.address != lease.address);
            is_consistent(&server)?;
        }
        let wire = wire.context("made anew")?;
        server.crash()?;
        server.start_again()?;
        wire.client(1).renew(&lease)?;
        is_consistent(&server)?;
    }
    Ok(())
}

#[test]
fn an_interface_is_moved_away_and_back() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let lease = lan.client(1).dora()?;
    let elsewhere = Namespace::new()?;
    lan.server.give(SERVER_IF, &elsewhere)?;
    shows(&server, SERVER_IF, "link", &json!("missing"))?;
    is_logged(&server, "was moved into another network namespace")?;
    until("the program to be taken off", PROMPT, || {
        Ok((!elsewhere.ip(&format!("link show {SERVER_IF}"))?.contains("xdp")).then_some(()))
    })?;

    elsewhere.give(SERVER_IF, &lan.server)?;
    lan.server.ip(&format!("address add {SERVER}/24 dev {SERVER_IF}"))?;
    lan.server.ip(&format!("link set {SERVER_IF} up"))?;
    shows(&server, SERVER_IF, "link", &json!("up"))?;
    shows(&server, SERVER_IF, "addresses", &json!([SERVER]))?;
    until("a renewal to arrive", PROMPT, || Ok(lan.client(1).renew(&lease).is_ok().then_some(())))?;
    kernel_answers(&server, &lan.client(1), &lease)?;
    is_consistent(&server)
}

#[test]
fn an_interface_is_renamed_and_renamed_back() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let lease = lan.client(1).dora()?;
    let rename = |from: &str, to: &str| -> Result<()> {
        lan.server.ip(&format!("link set {from} down"))?;
        lan.server.ip(&format!("link set {from} name {to}"))?;
        lan.server.ip(&format!("link set {to} up")).map(drop)
    };
    rename(SERVER_IF, "other0")?;
    shows(&server, SERVER_IF, "link", &json!("missing"))?;
    is_logged(&server, "was renamed other0")?;
    rename("other0", SERVER_IF)?;
    shows(&server, SERVER_IF, "link", &json!("up"))?;
    until("a renewal to arrive", PROMPT, || Ok(lan.client(1).renew(&lease).is_ok().then_some(())))
}

#[test]
fn a_port_of_a_bridge_is_served_on() -> Result<()> {
    let lan = lan()?;
    let subnet = format!("{SUBNET}server-id = \"{SERVER}\"\n");
    let server = Server::start(&lan, Xdp::Native, &subnet)?;
    let lease = lan.client(1).dora()?;
    lan.server.ip("link add br0 type bridge")?;
    lan.server.ip(&format!("address flush dev {SERVER_IF}"))?;
    lan.server.ip(&format!("link set {SERVER_IF} master br0"))?;
    is_logged(&server, "became a port of another interface")?;
    let before = server.stats()?.kernel_acked("renewing")?;
    lan.client(1).renew(&lease)?;
    ensure!(server.stats()?.kernel_acked("renewing")? == before + 1);
    lan.client(2).dora()?;
    lan.server.ip(&format!("link set {SERVER_IF} nomaster"))?;
    is_logged(&server, "no port of another interface any more")?;
    lan.client(1).renew(&lease)?;
    is_consistent(&server)
}

#[test]
fn an_interface_that_is_missing_at_the_start_is_served_when_it_comes() -> Result<()> {
    let lan = lan()?;
    let late = r#"
[[interface]]
name = "late0"
xdp = "native"

[[subnet]]
prefix = "10.9.0.0/24"
pools = ["10.9.0.10 - 10.9.0.250"]
lease-time = "10m"
"#;
    let mut server = Server::start(&lan, Xdp::Native, &format!("{late}{SUBNET}"))?;
    ensure!(server.interface("late0")?["link"] == "missing");
    lan.client(1).dora().context("the other interface is not served")?;

    let address = ServerAddress { mac: [0x02, 0x53, 0, 0, 0, 9], ip: Ipv4Addr::new(10, 9, 0, 1) };
    let here = End { name: "late0", mac: address.mac, address: Some((address.ip, 24)) };
    let there = End { name: "cli1", mac: [0x02, 0x43, 0, 0, 0, 9], address: None };
    lan.server.join(&here, &lan.clients, &there)?;
    let _pass = Pass::attach(&lan.clients, "cli1")?;
    let socket = PacketSocket::open(&lan.clients, "cli1", Sees::Arrivals)?;
    shows(&server, "late0", "link", &json!("up"))?;
    shows(&server, "late0", "addresses", &json!([address.ip]))?;
    let client = Client::new(&socket, [0x02, 0xc1, 0, 0, 9, 9], address);
    let lease = client.dora()?;
    kernel_answers(&server, &client, &lease)?;

    // Its leases are kept while it is away, whatever becomes of the daemon.
    server.stop()?;
    lan.server.ip("link set late0 down")?;
    lan.server.ip("link set late0 name gone0")?;
    server.start_again()?;
    let kept = server.lease(lease.address)?.context("the lease is gone")?;
    ensure!(kept["state"] == "leased" && kept["interface"] == "late0", "{kept}");
    lan.server.ip("link set gone0 name late0")?;
    lan.server.ip("link set late0 up")?;
    shows(&server, "late0", "link", &json!("up"))?;
    until("a renewal to arrive", PROMPT, || Ok(client.renew(&lease).is_ok().then_some(())))?;
    is_consistent(&server)
}

#[test]
fn a_program_that_was_taken_off_is_put_back() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let lease = lan.client(1).dora()?;
    for pin in fs::read_dir(lan.world.bpf().join("xdhcpd"))? {
        let pin = pin?;
        if pin.file_name().to_string_lossy().starts_with("link-") {
            run(Command::new("bpftool").args(["link", "detach", "pinned"]).arg(pin.path()))?;
        }
    }
    // The kernel tells nobody of it.
    is_logged(&server, "was taken off")?;
    shows(&server, SERVER_IF, "xdp", &json!("native"))?;
    kernel_answers(&server, &lan.client(1), &lease)
}

#[test]
fn a_foreign_program_is_named_with_what_to_do() -> Result<()> {
    let lan = lan()?;
    let program = lan.world.bpf().join("foreign");
    pass::pin(&program)?;
    lan.server.ip(&format!("link set dev {SERVER_IF} xdpdrv pinned {}", program.display()))?;
    let Err(refused) = Server::start(&lan, Xdp::Native, SUBNET) else {
        bail!("two programs on one interface")
    };
    let refused = format!("{refused:#}");
    let advice = format!("`ip link set dev {SERVER_IF} xdpdrv off`");
    ensure!(refused.contains("an XDP program (id") && refused.contains(&advice), "{refused}");

    // Without XDP it serves, as far as the other lets it, and says who is there.
    let server = Server::start(&lan, Xdp::Off, SUBNET)?;
    let shown = server.interface(SERVER_IF)?;
    ensure!(shown["xdp"] == "off", "{shown}");
    ensure!(shown["obstacle"].as_str().is_some_and(|obstacle| obstacle.contains(&advice)), "{shown}");
    lan.server.ip(&format!("link set dev {SERVER_IF} xdpdrv off"))?;
    until("nobody is in the way", PROMPT, || {
        Ok(server.interface(SERVER_IF)?.get("obstacle").is_none().then_some(()))
    })
}

#[test]
fn what_another_instance_left_is_named_by_detach_and_by_run() -> Result<()> {
    let lan = lan()?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    server.crash()?;
    let elsewhere = lan.world.bpf().join("another").display().to_string();
    let detach = output(lan.server.command(cli()?.get_program().to_str().context("its path")?).args([
        "detach",
        "--pin-dir",
        &elsewhere,
    ]))?;
    let said = String::from_utf8_lossy(&detach.stderr).into_owned();
    ensure!(detach.status.code() == Some(1), "{detach:?}");
    ensure!(said.contains("another xdhcpd") && said.contains("detach --pin-dir"), "{said}");

    let home = Home { pins: elsewhere.clone().into(), ..Home::from(&lan) };
    let Err(refused) = Server::start(home, Xdp::Native, SUBNET) else {
        bail!("two programs on one interface")
    };
    ensure!(format!("{refused:#}").contains("a program of another xdhcpd"), "{refused:#}");
    Ok(())
}

#[test]
fn told_to_detach_on_exit_it_leaves_nothing_behind() -> Result<()> {
    let lan = lan()?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    server.stop()?;
    server.start_again_with(&Launch { arguments: &["--detach-on-exit"], ..Launch::default() })?;
    let lease = lan.client(1).dora()?;
    kernel_answers(&server, &lan.client(1), &lease)?;
    server.stop()?;
    is_logged(&server, "stopped and detached")?;
    until("the program to be taken off", PROMPT, || {
        Ok((!lan.server.ip(&format!("link show {SERVER_IF}"))?.contains("xdp")).then_some(()))
    })?;
    ensure!(!lan.world.bpf().join("xdhcpd").exists(), "pins are left");
    server.start_again()?;
    lan.client(1).renew(&lease).context("the lease is in the store all the same")?;
    Ok(())
}
