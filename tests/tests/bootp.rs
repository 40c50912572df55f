//! BOOTP on the wire: off by default, reserved addresses, addresses from the pool for good.

use anyhow::{Context, Result, ensure};
use std::net::Ipv4Addr;
use system_tests::answer::Answer;
use system_tests::client::{Client, Request};
use system_tests::paths::{self, SERVER};
use system_tests::server::{Server, Xdp};
use system_tests::topology::Lan;
use system_tests::wire::{BROADCAST, BROADCAST_FLAG, Kind, SHORTEST_BOOTP, options};

const WITNESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);
const RESERVED: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);

fn lan() -> Result<Lan> {
    Lan::new("bootp", SERVER, 24)
}

fn subnet(bootp: &str) -> String {
    format!(
        r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.12"]
lease-time = "10m"
grace = "0s"
boot-file-name = "/boot/image"
options = {{ routers = ["10.0.0.1"], domain-name-servers = ["10.0.0.53"] }}
{bootp}

[[subnet.reservation]]
hw-address = "02:c1:00:00:00:07"
address = "10.0.0.7"
"#
    )
}

/// The one message there is, from a client that knows nothing of DHCP.
fn booting(client: &Client<'_>) -> Request {
    let mut request = client.discovering();
    request.message.options = options(&[]);
    request
}

/// The same from one that knows nothing of vendor extensions, either.
fn booting_of_old(client: &Client<'_>) -> Request {
    let mut request = booting(client);
    request.message.cookie = [0; 4];
    request.message.options.clear();
    request
}

fn boot(client: &Client<'_>, request: &Request) -> Result<Answer> {
    let answer = client.exchange(request)?;
    ensure!(answer.kind == Kind::Bootp, "{answer:?}");
    for of_dhcp in [50, 51, 52, 53, 54, 55, 58, 59] {
        ensure!(answer.option(of_dhcp).is_none(), "a BOOTREPLY with option {of_dhcp}");
    }
    ensure!(
        answer.message.siaddr == SERVER && answer.message.file.starts_with(b"/boot/image\0"),
        "{answer:?}"
    );
    ensure!(answer.address_option(1)? == Ipv4Addr::new(255, 255, 255, 0), "{answer:?}");
    Ok(answer)
}

fn a_reserved_address_is_given(xdp: Xdp) -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, xdp, &subnet("bootp = true"))?;
    let client = lan.client(7);
    for request in [booting(&client), booting_of_old(&client)] {
        let answer = boot(&client, &request)?;
        ensure!(answer.message.yiaddr == RESERVED, "{answer:?}");
        let message = answer.frame.len() - 14 - 20 - 8;
        ensure!(message == SHORTEST_BOOTP, "{message} octets");
    }
    let mut request = booting(&client);
    request.message.flags = BROADCAST_FLAG;
    ensure!(boot(&client, &request)?.envelope.eth_dst == BROADCAST);

    let listed = server.lease(RESERVED)?.context("the lease is not listed")?;
    ensure!(listed["state"] == "leased" && listed["hw-address"] == "02:c1:00:00:00:07", "{listed}");
    lan.client(1).expect_silence(&booting(&lan.client(1)), WITNESS)?;
    let stats = server.stats()?;
    ensure!(stats.received("bootp")? == 4 && stats.sent("bootreply")? == 3, "{}", stats.0);
    ensure!(server.json(&["audit"])?["consistent"] == true);
    Ok(())
}

/// RFC 1534 §2, MUST (bootreply): no option of DHCP's, no longer than BOOTP allows.
#[test]
fn a_reserved_address_is_given_with_the_program_in_the_driver() -> Result<()> {
    a_reserved_address_is_given(Xdp::Native)
}

/// RFC 1534 §2, MUST (bootreply): the same.
#[test]
fn a_reserved_address_is_given_without_the_program() -> Result<()> {
    a_reserved_address_is_given(Xdp::Off)
}

/// RFC 1534 §2, stated (optional): without the key it is counted, and that is all.
#[test]
fn without_the_key_bootp_gets_silence() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, &subnet(""))?;
    let client = lan.client(7);
    client.expect_silence(&booting(&client), WITNESS)?;
    ensure!(server.stats()?.count(&["daemon", "dropped", "bootp"])? == 1);
    Ok(())
}

/// RFC 1534 §2, MUST (for-good): through a crash, a restart and the loss of the maps, until the operator ends it.
#[test]
fn an_address_from_the_pool_is_kept_until_the_operator_ends_it() -> Result<()> {
    let lan = lan()?;
    let mut server = Server::start(&lan, Xdp::Native, &subnet("bootp = \"dynamic\""))?;
    let client = lan.client(1);
    let address = boot(&client, &booting(&client))?.message.yiaddr;
    server.crash()?;
    server.start_again()?;
    server.stop()?;
    server.detach()?;
    server.start_again()?;
    ensure!(server.pool_count("leased")? == 1 && server.json(&["audit"])?["consistent"] == true);
    for n in 2..=3 {
        ensure!(lan.client(n).dora()?.address != address);
    }
    lan.client(4).expect_silence(&lan.client(4).discovering(), WITNESS)?;
    ensure!(boot(&client, &booting(&client))?.message.yiaddr == address);

    server.json(&["lease", "release", &address.to_string()])?;
    ensure!(lan.client(4).dora()?.address == address, "what the operator ended can be used again");
    ensure!(server.json(&["audit"])?["consistent"] == true);
    Ok(())
}

/// A network card's program speaks BOOTP, the system that it loads DHCP.
#[test]
fn a_client_that_goes_on_with_dhcp_gets_the_same_address_and_renews_in_the_kernel() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, &subnet("bootp = \"dynamic\""))?;
    let client = lan.client(1);
    let address = boot(&client, &booting(&client))?.message.yiaddr;
    let lease = client.dora()?;
    ensure!(lease.address == address && lease.seconds == 600, "{lease:?}");
    client.renew(&lease)?;
    ensure!(server.stats()?.kernel_acked("renewing")? == 1);
    ensure!(boot(&client, &booting(&client))?.message.yiaddr == address);
    // The lease is the daemon's now, and an ordinary one again when DHCP is spoken.
    client.renew(&lease)?;
    ensure!(server.stats()?.kernel_acked("renewing")? == 1);
    client.renew(&lease)?;
    ensure!(server.stats()?.kernel_acked("renewing")? == 2);
    Ok(())
}

/// Behind a relay the reply goes there, with what the relay said of the client.
#[test]
fn a_relayed_bootp_client_is_answered_through_its_relay() -> Result<()> {
    let lan = lan()?;
    let _server = Server::start(&lan, Xdp::Native, &paths::subnets("bootp = \"dynamic\""))?;
    for (n, path) in (1..).zip(paths::all()) {
        let client = path.client(&lan, n);
        let mut request = booting(&client);
        if let system_tests::client::Via::Relay { agent_info: Some(info), .. } = &client.via {
            request.message.options = options(&[(82, info)]);
        }
        let answer = client.exchange(&request).with_context(|| path.name.clone())?;
        ensure!(answer.kind == Kind::Bootp && !answer.message.yiaddr.is_unspecified(), "{}", path.name);
    }
    Ok(())
}
