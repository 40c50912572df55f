//! Every variant of a renewal is answered in the kernel, the first time it is asked, and the daemon hears nothing.

use anyhow::{Context, Result, ensure};
use system_tests::client::{Client, Lease, Renewal, Request, Via, append_option, granted};
use system_tests::paths::{self, AGENT_MAC, Path, SERVER};
use system_tests::server::{Server, Stats, Xdp};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};

fn answered_by_kernel(server: &Server, client: &Client, state: Renewal, lease: &Lease) -> Result<()> {
    let before = server.stats()?;
    client.extend(&client.extending(state, lease), lease)?;
    let after = server.stats()?;
    let state = state.name();
    ensure!(
        after.kernel_acked(state)? == before.kernel_acked(state)? + 1,
        "the kernel did not answer; it went up because: {} instead of {}",
        after.0["kernel"]["punted"],
        before.0["kernel"]["punted"]
    );
    ensure!(after.all_kernel_acked()? == before.all_kernel_acked()? + 1, "counted twice");
    ensure!(after.received("request")? == before.received("request")?, "the daemon heard of it");
    Ok(())
}

fn every_state(server: &Server, path: &Path, client: &Client) -> Result<()> {
    let lease = client.dora().with_context(|| format!("{}: no lease", path.name))?;
    for state in Renewal::ALL {
        for time in ["first", "second"] {
            answered_by_kernel(server, client, state, &lease)
                .with_context(|| format!("{}: {} for the {time} time", path.name, state.name()))?;
        }
    }
    Ok(())
}

fn all_paths(xdp: Xdp) -> Result<()> {
    let lan = Lan::new("renew", SERVER, 24)?;
    let server = Server::start(&lan, xdp, &paths::subnets("lease-time = \"1h\""))?;
    for (n, path) in (0..).zip(paths::all()) {
        every_state(&server, &path, &path.client(&lan, 2 * n))?;
        let identified =
            Client { client_id: Some(format!("\0client {n}").into_bytes()), ..path.client(&lan, 2 * n + 1) };
        every_state(&server, &path, &identified)?;
    }
    Ok(())
}

/// RFC 2131 §4.3.2, stated (renewing-ack): whichever way it comes.
/// RFC 2131 §3.2, stated (reboot-ack): as well as INIT-REBOOT.
#[test]
fn on_every_path_in_the_driver() -> Result<()> {
    all_paths(Xdp::Native)
}

#[test]
fn on_every_path_in_generic_mode() -> Result<()> {
    all_paths(Xdp::Generic)
}

/// What a CPU remembers of one lease's net lies where it remembers that of the other's.
#[test]
fn and_beside_a_lease_4096_nets_away() -> Result<()> {
    let lan = Lan::new("renew", [10, 0, 0, 1].into(), 8)?;
    let subnet = r#"
[[subnet]]
prefix = "10.0.0.0/8"
pools = ["10.0.0.10 - 10.0.0.10", "10.16.0.10 - 10.16.0.10"]
"#;
    let server = Server::start(&lan, Xdp::Native, subnet)?;
    let leased = [1, 2].map(|client| {
        let client = lan.client(client);
        client.dora().map(|lease| (client, lease))
    });
    let leased = leased.into_iter().collect::<Result<Vec<_>>>()?;
    ensure!(leased[0].1.address != leased[1].1.address, "one address for both");
    for _ in 0..3 {
        for (client, lease) in &leased {
            answered_by_kernel(&server, client, Renewal::Renewing, lease)?;
        }
    }
    Ok(())
}

/// The list of leases tells who answered last. Renewals that fall into one second count as one extension.
#[test]
fn and_the_lease_shows_it() -> Result<()> {
    let lan = Lan::new("renew", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Native, &paths::subnets(""))?;
    let client = lan.client(1);
    let lease = client.dora()?;
    let mut seen = 0;
    until("`kernel-renewals` to rise three times", PROMPT, || {
        client.renew(&lease)?;
        let shown = server.lease(lease.address)?.context("the lease is not listed")?;
        let count = shown["kernel-renewals"].as_u64().with_context(|| format!("{shown}"))?;
        ensure!(count >= seen, "from {seen} back to {count}");
        ensure!(count == 0 || shown["last-answered-by"] == "kernel", "{shown}");
        seen = count;
        Ok((seen >= 3).then_some(()))
    })
}

/// The frame crosses a router that the kernel is: forwarded there and back, its time to live counted down.
#[test]
fn through_a_real_router() -> Result<()> {
    use std::net::Ipv4Addr;
    use system_tests::namespace::{End, Namespace, spelled};
    use system_tests::packet::{PacketSocket, Sees};
    use system_tests::pass::Pass;
    use system_tests::topology::CLIENT_IF;

    let lan = Lan::new("router", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Native, &paths::subnets("lease-time = \"1h\""))?;
    // The client side of the link becomes the router; behind it is one more link.
    let router = &lan.clients;
    router.set("net/ipv4/ip_forward", "1")?;
    router.ip(&format!("link set {CLIENT_IF} address {}", spelled(AGENT_MAC)))?;
    router.ip(&format!("address add 10.0.0.2/24 dev {CLIENT_IF}"))?;
    let behind = Namespace::new()?;
    let gateway_mac = [0x02, 0x4a, 0, 0, 0, 2];
    router.join(
        &End { name: "lan1", mac: gateway_mac, address: Some((Ipv4Addr::new(10, 1, 0, 1), 24)) },
        &behind,
        &End { name: "host0", mac: [0x02, 0x43, 0, 0, 0, 2], address: None },
    )?;
    let _pass = Pass::attach(&behind, "host0")?;
    let far = PacketSocket::open(&behind, "host0", Sees::Arrivals)?;

    let path =
        paths::all().into_iter().find(|path| path.name == "untagged, relayed").context("no such path")?;
    let relayed = path.client(&lan, 1);
    let lease = relayed.dora()?;
    router.ip(&format!("neigh replace {} lladdr {} dev lan1", lease.address, spelled(relayed.mac)))?;

    let mut client = Client { socket: &far, via: Via::Link, ..relayed };
    client.server.mac = gateway_mac;
    let before = server.stats()?;
    // What comes back is addressed by the router, so the client is the only one who can judge all of it.
    let request = client.renewing(&lease);
    let answer = client.exchange(&request)?;
    ensure!(answer.envelope.eth_src == gateway_mac && answer.message.yiaddr == lease.address, "{answer:?}");
    let after = server.stats()?;
    ensure!(after.kernel_acked("renewing")? == before.kernel_acked("renewing")? + 1, "{:?}", after.0);
    ensure!(after.received("request")? == before.received("request")?);
    Ok(())
}

/// A subnet whose ACKs have 288 octets of BOOTP more than their domain name and the name servers past the first.
fn wordy(domain: &str, name_servers: usize) -> String {
    let servers: Vec<String> = (1..=name_servers).map(|n| format!("\"10.0.0.{n}\"")).collect();
    format!(
        r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.100 - 10.0.0.250"]
options = {{ routers = ["10.0.0.1"], domain-name = "{domain}", domain-name-servers = [{}] }}
"#,
        servers.join(", ")
    )
}

/// What `client` asks to go on with its lease, saying that it takes answers of 1500 octets.
fn spacious(client: &Client, state: Renewal, lease: &Lease) -> Request {
    let mut request = client.extending(state, lease);
    append_option(&mut request.message.options, 57, &1500_u16.to_be_bytes());
    request
}

/// A lease had by a client that says so from the start.
fn spacious_lease(client: &Client) -> Result<Lease> {
    let mut discover = client.discovering();
    append_option(&mut discover.message.options, 57, &1500_u16.to_be_bytes());
    let mut select = client.selecting(&client.exchange(&discover)?)?;
    append_option(&mut select.message.options, 57, &1500_u16.to_be_bytes());
    granted(&client.exchange(&select)?)
}

/// An answer 152 octets longer than its request: the driver makes room in the frame.
#[test]
fn with_an_answer_longer_than_the_request() -> Result<()> {
    let lan = Lan::new("long", SERVER, 24)?;
    let domain = "a.rather.long.domain.name.".repeat(6) + "here.org";
    let server = Server::start(&lan, Xdp::Native, &wordy(&domain, 1))?;
    let client = lan.client(1);
    let lease = spacious_lease(&client)?;
    for state in Renewal::ALL {
        let request = spacious(&client, state, &lease);
        let before = server.stats()?;
        let answer = client.extend(&request, &lease)?;
        let after = server.stats()?;
        ensure!(after.all_kernel_acked()? == before.all_kernel_acked()? + 1, "{}", after.0["kernel"]);
        ensure!(after.received("request")? == before.received("request")?);
        ensure!(answer.option(15) == Some(domain.as_bytes()));
        ensure!(answer.frame.len() == request.frame()?.len() + 152);
    }
    Ok(())
}

/// An answer 464 octets longer: where the driver cannot make so much room the daemon answers, and nothing is lost.
#[test]
fn with_an_answer_the_frame_may_have_no_room_for() -> Result<()> {
    for xdp in [Xdp::Native, Xdp::Generic] {
        let lan = Lan::new("long", SERVER, 24)?;
        let domain = "a.rather.long.domain.name.".repeat(9) + "of.org";
        let server = Server::start(&lan, xdp, &wordy(&domain, 60))?;
        let client = lan.client(1);
        let lease = spacious_lease(&client)?;
        for state in Renewal::ALL {
            let request = spacious(&client, state, &lease);
            let before = server.stats()?;
            let answer = client.extend(&request, &lease)?;
            ensure!(answer.option(15) == Some(domain.as_bytes()));
            ensure!(answer.option(6).map(<[u8]>::len) == Some(240));
            ensure!(answer.frame.len() == request.frame()?.len() + 464);
            let after = server.stats()?;
            let no_room = |stats: &Stats| stats.count(&["kernel", "punted", "no-room"]);
            let kernel = after.all_kernel_acked()? - before.all_kernel_acked()?;
            let went_up = no_room(&after)? - no_room(&before)?;
            let daemon = after.received("request")? - before.received("request")?;
            println!("{xdp:?}, {}: kernel {kernel}, no room {went_up}", state.name());
            ensure!(kernel + went_up == 1 && daemon == went_up, "{}", after.0);
        }
    }
    Ok(())
}
