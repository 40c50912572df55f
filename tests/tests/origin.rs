//! The origin of messages: a lease is got and ended only from where its client is.

use anyhow::{Context, Result, ensure};
use std::net::Ipv4Addr;
use system_tests::client::{Client, Lease, Request, Via, append_option, granted};
use system_tests::paths::{AGENT_MAC, SERVER};
use system_tests::server::{Server, Xdp};
use system_tests::topology::Lan;
use system_tests::wire::{Kind, Mac, Tag};

const WITNESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);
const RELAY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const NOBODYS_RELAY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 77);
const ROUTER: Mac = [2, 0, 0, 0, 0xee, 1];

const SUBNETS: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.20"]

[[subnet]]
prefix = "10.9.0.0/24"
pools = ["10.9.0.10 - 10.9.0.20"]
relays = ["198.51.100.1"]
"#;

fn lan() -> Result<Lan> {
    Lan::new("origin", SERVER, 24)
}

fn through<'a>(address: Ipv4Addr, client: &Client<'a>) -> Client<'a> {
    Client { via: Via::Relay { mac: AGENT_MAC, address, agent_info: None }, ..client.clone() }
}

/// Nobody answers, and it is counted by this name.
fn refused(server: &Server, client: &Client, request: &Request, why: &str) -> Result<()> {
    let dropped =
        || Ok::<u64, anyhow::Error>(server.stats()?.count(&["daemon", "dropped", why]).unwrap_or(0));
    let before = dropped()?;
    client.expect_silence(request, WITNESS)?;
    ensure!(dropped()? == before + 1, "not counted as {why}: {}", server.stats()?.0["daemon"]);
    Ok(())
}

/// The request as the relay at `address` would bring it.
fn relayed(address: Ipv4Addr, mut request: Request) -> Request {
    request.message.giaddr = address;
    request.message.hops = 1;
    request.envelope.eth_src = AGENT_MAC;
    (request.envelope.ip_src, request.envelope.ip_dst) = (address, SERVER);
    request
}

fn by(station: Mac, mut request: Request) -> Request {
    request.envelope.eth_src = station;
    request
}

/// RELEASE and DECLINE through any giaddr, listed or not, and DECLINE without one.
#[test]
fn nobody_ends_a_lease_from_another_place() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNETS)?;
    let client = lan.client(1);
    let witness = lan.client(9);
    let direct = client.dora()?;
    let behind = through(RELAY, &lan.client(2));
    let lease = behind.dora()?;
    let to_us = |mut request: Request| {
        request.envelope.eth_dst = client.server.mac;
        request
    };
    let from_elsewhere = |whose: &Client, lease: &Lease| {
        [
            relayed(NOBODYS_RELAY, whose.releasing(lease)),
            to_us(relayed(NOBODYS_RELAY, whose.declining(lease))),
        ]
    };
    for request in from_elsewhere(&client, &direct).into_iter().chain(from_elsewhere(&behind, &lease)) {
        refused(&server, &witness, &request, "no-subnet")?;
    }
    let posing = [
        ("RELEASE by a relay", relayed(RELAY, client.releasing(&direct))),
        ("DECLINE by a relay", to_us(relayed(RELAY, client.declining(&direct)))),
        ("RELEASE by another station", by(ROUTER, client.releasing(&direct))),
        ("DECLINE by another station", by(ROUTER, client.declining(&direct))),
        ("DECLINE of a relayed lease without its relay", lan.client(2).declining(&lease)),
    ];
    for (what, request) in posing {
        refused(&server, &witness, &request, "foreign-origin").with_context(|| what.to_owned())?;
    }
    let explained = || server.json(&["explain", &direct.address.to_string()]);
    ensure!(
        explained()?["why"].as_str().is_some_and(|why| why.contains("foreign-origin")),
        "{}",
        explained()?
    );
    client.renew(&direct)?;
    behind.renew(&lease)?;
    ensure!(explained()?["decided-by"] == "kernel", "{}", explained()?);
    ensure!(server.stats()?.kernel_acked("renewing")? == 2, "something has taken a lease from the kernel");
    for (client, lease) in [(&client, &direct), (&behind, &lease)] {
        witness.expect_silence(&client.releasing(lease), WITNESS)?;
        ensure!(server.lease(lease.address)?.is_none(), "its own RELEASE did nothing");
    }
    let lease = behind.dora()?;
    witness.expect_silence(&behind.declining(&lease), WITNESS)?;
    ensure!(server.json(&["quarantine"])?.as_array().is_some_and(|all| all.len() == 1));
    Ok(())
}

/// DISCOVER and REQUEST by routed unicast, without a relay that says where the client is.
#[test]
fn no_lease_is_got_by_unicast_from_elsewhere() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNETS)?;
    let client = lan.client(1);
    let offer = client.discover()?;
    let routed = |mut request: Request, source: Ipv4Addr| {
        request.envelope.eth_src = ROUTER;
        request.envelope.eth_dst = client.server.mac;
        (request.envelope.ip_src, request.envelope.ip_dst) = (source, SERVER);
        request
    };
    for source in [Ipv4Addr::new(203, 0, 113, 9), Ipv4Addr::new(10, 9, 0, 15), Ipv4Addr::new(10, 0, 0, 15)] {
        for n in [1, 2] {
            let discover = routed(lan.client(n).discovering(), source);
            refused(&server, &client, &discover, "not-on-link")?;
            let select = routed(lan.client(n).selecting(&offer)?, source);
            refused(&server, &client, &select, "not-on-link")?;
        }
    }
    client.select(&offer)?;
    Ok(())
}

/// Who leased an address of us is a client, and no relay.
#[test]
fn a_client_that_poses_as_a_relay_is_refused() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNETS)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    let mut posing = through(RELAY, &lan.client(2)).discovering();
    posing.envelope.ip_src = lease.address;
    refused(&server, &client, &posing, "relay-source")?;
    let posing = through(lease.address, &lan.client(2)).discovering();
    refused(&server, &client, &posing, "relay-source")
}

/// What a relayed client sends past its relay is answered in the kernel. The same from a client that has moved to our own link,
/// broadcast there, is not: its address is of another network (RFC 2131 §4.3.2).
#[test]
fn a_relayed_client_that_moves_to_our_link_is_refused() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNETS)?;
    let client = lan.client(1);
    let lease = through(RELAY, &client).dora()?;
    for _ in 0..2 {
        client.extend(&by(ROUTER, client.renewing(&lease)), &lease)?;
    }
    let acked = || server.stats()?.kernel_acked("renewing");
    ensure!(acked()? == 2, "not answered in the kernel: {}", server.stats()?.0);
    let answer = client.exchange(&client.rebinding(&lease))?;
    ensure!(answer.kind == Kind::Nak, "{answer:?}");
    client.extend(&by(ROUTER, client.renewing(&lease)), &lease)?;
    ensure!(acked()? == 3, "the lease is behind its relay still: {}", server.stats()?.0);
    Ok(())
}

const TRUST: &str = "trust-agent-information = true";

/// `[[subnet]]`s with a domain for each of two ports. `by` is a key of the interface, `own` one of each subnet.
fn by_port(by: &str, own: &str) -> String {
    let port = |number: u8| {
        format!(
            r#"
[[class]]
name = "port {number}"
match = {{ circuit-id = ["70:6f:72:74:2d:3{number}"] }}
options = {{ domain-name = "port{number}.example" }}
"#
        )
    };
    let subnet = |network: &str| {
        format!(
            r#"
[[subnet]]
prefix = "{network}.0/24"
pools = ["{network}.10 - {network}.20"]
{own}
options = {{ domain-name = "example.org" }}
"#
        )
    };
    let reserved = "[[subnet.reservation]]\ncircuit-id = \"70:6f:72:74:2d:37\"\naddress = \"10.0.0.7\"\n";
    [by, &port(7), &port(8), &subnet("10.9.0"), &subnet("10.0.0"), reserved].concat()
}

/// The request with option 82 as the switch of this port adds it.
fn by_switch(port: u8, mut request: Request) -> Request {
    append_option(&mut request.message.options, 82, &circuit(port));
    request
}

fn circuit(port: u8) -> Vec<u8> {
    [b"\x01\x06port-", &[b'0' + port][..]].concat()
}

/// How often the server did not believe option 82.
fn doubted(server: &Server) -> Result<u64> {
    Ok(server.stats()?.count(&["daemon", "odd", "untrusted-agent-information"]).unwrap_or(0))
}

/// RFC 3046 §2.1 has only trusted sources believed: a subnet's `false` goes before the interface's `true`.
#[test]
fn a_subnet_need_not_believe_the_switches_that_its_interface_does() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, &by_port(TRUST, "trust-agent-information = false"))?;
    let client = lan.client(1);
    let offer = client.exchange(&by_switch(7, client.discovering()))?;
    ensure!(
        offer.option(82) == Some(&circuit(7)) && offer.option(15) == Some(b"example.org"),
        "echoed, and not believed: {offer:?}"
    );
    ensure!(offer.message.yiaddr != Ipv4Addr::new(10, 0, 0, 7), "{offer:?}");
    ensure!(doubted(&server)? == 1);
    Ok(())
}

/// A switch that adds option 82 and is no relay (giaddr stays 0), where clients can't get any past it: said of an
/// interface, or of a subnet.
#[test]
fn what_a_trusted_switch_says_is_believed() -> Result<()> {
    for trusted in [by_port(TRUST, ""), by_port("", TRUST)] {
        let lan = lan()?;
        let server = Server::start(&lan, Xdp::Native, &trusted)?;
        let client = lan.client(1);
        let offer = client.exchange(&by_switch(7, client.discovering()))?;
        ensure!(
            offer.option(82) == Some(&circuit(7)) && offer.option(15) == Some(b"port7.example"),
            "{offer:?}"
        );
        let lease = granted(&client.exchange(&by_switch(7, client.selecting(&offer)?))?)?;
        ensure!(lease.address == Ipv4Addr::new(10, 0, 0, 7), "{lease:?}");
        // The switch may add it to what is unicast as well, or only to what is broadcast: the kernel knows both.
        for request in [
            by_switch(7, client.renewing(&lease)),
            client.renewing(&lease),
            by_switch(7, client.rebinding(&lease)),
        ] {
            let ack = client.extend(&request, &lease)?;
            ensure!(ack.option(15) == Some(b"port7.example"), "{ack:?}");
        }
        let stats = server.stats()?;
        let acked = (stats.kernel_acked("renewing")?, stats.kernel_acked("rebinding")?);
        ensure!(acked == (2, 1), "{}", stats.0);
        ensure!(doubted(&server)? == 0, "{}", stats.0);
        // The reservation is the port's, and the client on another has no right to it.
        let moved = lan.client(2);
        let offer = moved.exchange(&by_switch(8, moved.discovering()))?;
        ensure!(offer.option(15) == Some(b"port8.example") && offer.message.yiaddr != lease.address);
    }
    Ok(())
}

/// The same switches where nothing is said: they serve, are echoed (RFC 3046 §2.2), counted, and not believed.
#[test]
fn what_an_untrusted_switch_says_is_echoed_and_not_believed() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, &by_port("", ""))?;
    let client = lan.client(1);
    let offer = client.exchange(&by_switch(7, client.discovering()))?;
    let lease = granted(&client.exchange(&by_switch(7, client.selecting(&offer)?))?)?;
    ensure!(lease.address != Ipv4Addr::new(10, 0, 0, 7), "{lease:?}");
    for port in [7, 8, 8] {
        let ack = client.extend(&by_switch(port, client.renewing(&lease)), &lease)?;
        ensure!(ack.option(82) == Some(&circuit(port)) && ack.option(15) == Some(b"example.org"), "{ack:?}");
    }
    let acked = server.stats()?.kernel_acked("renewing")?;
    ensure!(acked == 2 && doubted(&server)? == 3, "{}", server.stats()?.0);
    Ok(())
}

/// RFC 2131 §4.3.2: who renews passes its relay by; a switch on its way may add option 82 all the same. It counts where that is
/// said to be right for the subnet; else the relay's word holds.
#[test]
fn option_82_of_a_renewal_past_its_relay_is_believed_where_it_is_trusted() -> Result<()> {
    for (own, domain) in [("", b"port7.example"), (TRUST, b"port8.example")] {
        let lan = lan()?;
        let server = Server::start(&lan, Xdp::Native, &by_port("", own))?;
        let mut client = through(Ipv4Addr::new(10, 9, 0, 1), &lan.client(1));
        if let Via::Relay { agent_info, .. } = &mut client.via {
            *agent_info = Some(circuit(7));
        }
        let lease = client.dora()?;
        let ack = client.renew(&lease)?;
        ensure!(ack.option(82).is_none() && ack.option(15) == Some(b"port7.example"), "{ack:?}");
        ensure!(server.stats()?.kernel_acked("renewing")? == 1, "what the relay said is known");
        // The switch that it renews through says the same as the relay, and then something else.
        let same = client.extend(&by_switch(7, client.renewing(&lease)), &lease)?;
        ensure!(
            same.option(82) == Some(&circuit(7)) && same.option(15) == Some(b"port7.example"),
            "{same:?}"
        );
        let doubtful = doubted(&server)?;
        let by_daemon = client.extend(&by_switch(8, client.renewing(&lease)), &lease)?;
        ensure!(by_daemon.option(82) == Some(&circuit(8)), "{by_daemon:?}");
        ensure!(by_daemon.option(15) == Some(domain), "{own}: {by_daemon:?}");
        ensure!(doubted(&server)? == doubtful + u64::from(own.is_empty()));
        let acked = server.stats()?.kernel_acked("renewing")?;
        let by_kernel = client.extend(&by_switch(8, client.renewing(&lease)), &lease)?;
        ensure!(by_kernel.options == by_daemon.options, "{by_kernel:?}, not {by_daemon:?}");
        ensure!(server.stats()?.kernel_acked("renewing")? == acked + 1, "{}", server.stats()?.0);
        ensure!(server.json(&["audit"])?["consistent"] == true);
    }
    Ok(())
}

/// A station on another VLAN of the interface, where no subnet is, goes on with no lease of the untagged link; nor does it end
/// one then.
#[test]
fn a_lease_is_not_gone_on_with_by_other_tags() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNETS)?;
    let client = lan.client(1);
    let witness = lan.client(9);
    let lease = client.dora()?;
    client.renew(&lease)?;
    let tagged = |mut request: Request| {
        request.envelope.tags = vec![Tag { tpid: 0x8100, id: 5 }];
        request
    };
    for request in [client.renewing(&lease), client.releasing(&lease)] {
        refused(&server, &witness, &tagged(request), "no-subnet")?;
    }
    let before = server.stats()?.kernel_acked("renewing")?;
    client.renew(&lease)?;
    ensure!(server.stats()?.kernel_acked("renewing")? == before + 1, "it is the kernel's no more");
    witness.expect_silence(&client.releasing(&lease), WITNESS)?;
    ensure!(server.lease(lease.address)?.is_none(), "its own RELEASE did nothing");
    Ok(())
}
