//! The terms of one client by its reservation or its class, as the client sees them: from the daemon and from the
//! kernel.

use anyhow::{Result, ensure};
use std::net::Ipv4Addr;
use system_tests::client::{Client, Lease, Request, Via, WANTED, granted};
use system_tests::paths::{AGENT_MAC, SERVER};
use system_tests::server::{Server, Xdp};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};
use system_tests::wire::options;

/// A client's host name (RFC 2132 §3.14).
const HOST_NAME: u8 = 12;

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.50 - 10.0.0.59"]
lease-time = "1h"
options = { routers = ["10.0.0.1"], domain-name-servers = ["10.0.0.53"] }
"#;

fn lan() -> Result<Lan> {
    Lan::new("membership", SERVER, 24)
}

/// The REQUEST of RENEWING by which a client asks for its name as well.
fn renewing(client: &Client, lease: &Lease) -> Request {
    let mut request = client.renewing(lease);
    let wanted = [&WANTED[..], &[HOST_NAME]].concat();
    request.message.options = options(&[(53, &[3]), (55, &wanted)]);
    request
}

/// The mac of a client, as a configuration has it.
fn mac(client: &Client) -> String {
    client.mac.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":")
}

/// A reservation without an address: an address of the pools, and a name that the kernel tells as well. When it is
/// changed, the kernel does not say the former name once more.
#[test]
fn a_name_may_be_reserved_without_an_address() -> Result<()> {
    let lan = lan()?;
    let client = lan.client(1);
    let named = |name: &str| {
        format!("{SUBNET}[[subnet.reservation]]\nhw-address = \"{}\"\nhost-name = \"{name}\"\n", mac(&client))
    };
    let server = Server::start(&lan, Xdp::Native, &named("printer"))?;
    let lease = granted(&client.select(&client.discover()?)?)?;
    ensure!(
        u32::from(lease.address) >= u32::from_be_bytes([10, 0, 0, 50]),
        "{} is of no pool",
        lease.address
    );
    let told = |what: &str| -> Result<()> {
        let answer = client.extend(&renewing(&client, &lease), &lease)?;
        let name = answer.options.iter().find(|(code, _)| *code == HOST_NAME).map(|(_, name)| name.clone());
        ensure!(name.as_deref() == Some(what.as_bytes()), "{name:?} is not {what}");
        Ok(())
    };
    (0..3).try_for_each(|_| told("printer"))?;
    ensure!(server.stats()?.all_kernel_acked()? >= 1);
    server.rewrite(&lan, Xdp::Native, &named("scanner"))?;
    server.reload()?;
    let before = server.stats()?.all_kernel_acked()?;
    (0..3).try_for_each(|_| told("scanner"))?;
    ensure!(server.stats()?.all_kernel_acked()? > before);
    server.rewrite(&lan, Xdp::Native, SUBNET)?;
    server.reload()?;
    let answer = client.extend(&renewing(&client, &lease), &lease)?;
    ensure!(answer.options.iter().all(|(code, _)| *code != HOST_NAME));
    ensure!(server.json(&["audit"])?["consistent"] == true);
    Ok(())
}

/// A client that is dropped by a reload gets no answer any more, by the kernel neither, and keeps what it was promised; the kernel
/// goes on with all others.
#[test]
fn a_client_on_a_list_is_dropped_until_it_is_off_it() -> Result<()> {
    let lan = lan()?;
    let (client, other) = (lan.client(1), lan.client(2));
    let listed = |names: &[&Client]| -> Result<()> {
        let lines: Vec<String> = names.iter().map(|client| mac(client) + " # banned\n").collect();
        Ok(std::fs::write(lan.world.dir().join("banned.txt"), lines.concat())?)
    };
    listed(&[])?;
    let class = "[[class]]\nname = \"banned\"\nmatch = { hw-address-file = \"banned.txt\" }\ndrop = true\n";
    let server = Server::start(&lan, Xdp::Native, &format!("{class}{SUBNET}"))?;
    let (lease, others) = (client.dora()?, other.dora()?);
    for _ in 0..3 {
        client.renew(&lease)?;
        other.renew(&others)?;
    }
    let acked = server.stats()?.all_kernel_acked()?;
    ensure!(acked >= 4, "the kernel answers both: {acked}");

    listed(&[&client])?;
    server.reload()?;
    for request in [
        client.renewing(&lease),
        client.rebinding(&lease),
        client.rebooting(lease.address),
        client.discovering(),
        client.informing(lease.address),
    ] {
        client.expect_silence(&request, others.address)?;
    }
    let stats = server.stats()?;
    ensure!(stats.count(&["daemon", "dropped", "class-drop"])? == 5, "{}", stats.0);
    ensure!(stats.all_kernel_acked()? == acked, "the kernel answered");
    let explained = server.json(&["explain", &mac(&client)])?;
    ensure!(explained["why"].as_str().is_some_and(|why| why.starts_with("class-drop: ")), "{explained}");
    ensure!(server.lease(lease.address)?.is_some_and(|lease| lease["state"] == "leased"));
    (0..3).try_for_each(|_| other.renew(&others).map(drop))?;
    ensure!(server.stats()?.all_kernel_acked()? == acked + 3, "the list is nobody else's concern");

    listed(&[])?;
    server.reload()?;
    (0..3).try_for_each(|_| client.renew(&lease).map(drop))?;
    ensure!(server.stats()?.all_kernel_acked()? >= acked + 3 + 2);
    ensure!(server.json(&["audit"])?["consistent"] == true);
    Ok(())
}

/// A class has as many leases as it may, and no more: over a crash and a restart as well.
#[test]
fn a_class_gets_no_more_leases_than_its_limit() -> Result<()> {
    let lan = lan()?;
    let class = "[[class]]\nname = \"phones\"\nmatch = { vendor-class = \"phone\" }\nmax-leases = 2\n";
    let mut server = Server::start(&lan, Xdp::Native, &format!("{class}{SUBNET}"))?;
    let phone = |mut request: Request, list: &[(u8, &[u8])]| {
        request.message.options = options(&[list, &[(60, b"phone"), (55, &WANTED)]].concat());
        request
    };
    let discovering = |client: &Client| phone(client.discovering(), &[(53, &[1])]);
    let lease = |client: &Client| -> Result<Lease> {
        let offer = client.exchange(&discovering(client))?;
        let (address, server) = (offer.message.yiaddr.octets(), offer.address_option(54)?.octets());
        let asked: &[(u8, &[u8])] = &[(53, &[3]), (50, &address), (54, &server)];
        granted(&client.exchange(&phone(client.selecting(&offer)?, asked))?)
    };
    let (first, second, third) = (lan.client(1), lan.client(2), lan.client(3));
    let (held, seconds) = (lease(&first)?, lease(&second)?);
    let refused = |server: &Server<'_>| -> Result<()> {
        let count = || server.stats()?.count(&["daemon", "dropped", "class-cap"]);
        let before = count()?;
        third.expect_silence(&discovering(&third), held.address)?;
        ensure!(count()? == before + 1);
        let explained = server.json(&["explain", &mac(&third)])?;
        let why = explained["why"].as_str().unwrap_or_default();
        ensure!(why.starts_with("class-cap: ") && why.contains("max-leases"), "{explained}");
        ensure!(server.json(&["audit"])?["consistent"] == true);
        Ok(())
    };
    refused(&server)?;
    let filled = |server: &Server<'_>, held: u64| -> Result<()> {
        let status = server.json(&["status"])?;
        let due = serde_json::json!([{ "name": "phones", "held": held, "max-leases": 2 }]);
        ensure!(status["classes"] == due, "{status}");
        Ok(())
    };
    filled(&server, 2)?;
    // What is held is renewed, by the kernel too.
    (0..3).try_for_each(|_| first.extend(&phone(first.renewing(&held), &[(53, &[3])]), &held).map(drop))?;
    ensure!(server.stats()?.all_kernel_acked()? >= 1);
    server.crash()?;
    server.start_again()?;
    refused(&server)?;
    filled(&server, 2)?;
    server.reload()?;
    refused(&server)?;
    second.release(&seconds)?;
    until("its lease to be over", PROMPT, || {
        Ok(server.lease(seconds.address)?.is_none_or(|lease| lease["state"] != "leased").then_some(()))
    })?;
    filled(&server, 1)?;
    lease(&third)?;
    filled(&server, 2)?;
    ensure!(server.json(&["audit"])?["consistent"] == true);
    Ok(())
}

/// Who the relay's operator says the client is (RFC 3993), and what a vendor's relay says of it (RFC 4243): by these it is in a
/// class, and it is shown. A subnet without pools answers who has an address already.
#[test]
fn what_a_relay_says_puts_a_client_into_a_class_and_is_shown() -> Result<()> {
    let lan = lan()?;
    let subnets = r#"
[[class]]
name = "gold"
match = { subscriber-id = "cust-*", relay-vendor = "3561/gold" }
lease-time = "2h"

[[subnet]]
prefix = "10.9.0.0/24"
pools = [{ range = "10.9.0.10 - 10.9.0.20", allow = "gold" }]
lease-time = "1h"

[[subnet]]
prefix = "10.0.0.0/24"
options = { domain-name-servers = ["10.0.0.53"] }
"#;
    let server = Server::start(&lan, Xdp::Native, subnets)?;
    let behind = |n, agent_info: &[u8]| Client {
        via: Via::Relay {
            mac: AGENT_MAC,
            address: Ipv4Addr::new(10, 9, 0, 1),
            agent_info: Some(agent_info.to_vec()),
        },
        ..lan.client(n)
    };
    let gold = behind(1, b"\x01\x02p1\x06\x06cust-7\x09\x09\0\0\x0d\xe9\x04gold");
    let lease = gold.dora()?;
    ensure!(lease.seconds == 7200 && lease.address.octets()[1] == 9, "{lease:?}");
    (0..3).try_for_each(|_| gold.rebind(&lease).map(drop))?;
    ensure!(server.stats()?.all_kernel_acked()? >= 1);
    let shown = server.lease(lease.address)?.unwrap_or_default();
    ensure!(shown["subscriber-id"] == "cust-7" && shown["relay-vendor"][0] == "3561/gold", "{shown}");

    let silver = behind(2, b"\x01\x02p1\x06\x06cust-8\x09\x0b\0\0\x0d\xe9\x06silver");
    silver.send(&silver.discovering())?;
    let explained = until("the client to be heard", PROMPT, || {
        Ok(server
            .json(&["explain", &mac(&silver)])
            .ok()
            .filter(|explained| explained["messages"][0].is_object()))
    })?;
    let heard = &explained["messages"][0];
    ensure!(heard["subscriber"] == "cust-8" && heard["relay-vendor"][0] == "3561/silver", "{explained}");
    ensure!(explained["why"].as_str().is_some_and(|why| why.starts_with("no-pool: ")), "{explained}");

    let direct = lan.client(3);
    let answer = direct.inform(Ipv4Addr::new(10, 0, 0, 77))?;
    ensure!(answer.address_option(6)? == Ipv4Addr::new(10, 0, 0, 53));
    direct.expect_silence(&direct.discovering(), Ipv4Addr::new(10, 0, 0, 77))?;
    ensure!(server.json(&["audit"])?["consistent"] == true);
    Ok(())
}
