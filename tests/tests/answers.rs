//! Requests as real devices send them, which the RFCs have otherwise, get the answer that serves the device.

use anyhow::{Result, ensure};
use system_tests::client::{Client, Request, WANTED, granted};
use system_tests::paths::SERVER;
use system_tests::server::{Server, Xdp};
use system_tests::topology::Lan;
use system_tests::wire::{Kind, options};

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.50 - 10.0.0.59"]
lease-time = "1h"
options = { routers = ["10.0.0.1"], domain-name-servers = ["10.0.0.53"], domain-name = "example.org" }
"#;

fn lan() -> Result<Lan> {
    Lan::new("answers", SERVER, 24)
}

/// `request` with another option area.
fn with_options(mut request: Request, list: &[(u8, &[u8])]) -> Request {
    request.message.options = options(list);
    request
}

/// The REQUEST that selects the address a DISCOVER was offered, filled in as some stacks do.
fn selecting(client: &Client, requested: bool) -> Result<Request> {
    let offer = client.discover()?;
    let (address, server) = (offer.message.yiaddr, offer.address_option(54)?);
    let asked = address.octets();
    let mut list: Vec<(u8, &[u8])> = vec![(53, &[3])];
    let server = server.octets();
    list.push((54, &server));
    if requested {
        list.push((50, &asked));
    }
    list.push((55, &WANTED));
    let mut request = with_options(client.selecting(&offer)?, &list);
    request.message.ciaddr = address;
    Ok(request)
}

/// RFC 2131 §4.3.2: option 54 tells SELECTING, whatever is in `ciaddr`.
#[test]
fn a_client_that_fills_in_ciaddr_while_it_selects_gets_its_lease() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    for (n, requested) in [(1, true), (2, false)] {
        let client = lan.client(n);
        let request = selecting(&client, requested)?;
        let lease = granted(&client.exchange(&request)?)?;
        ensure!(lease.address == request.message.ciaddr);
        ensure!(server.lease(lease.address)?.is_some_and(|lease| lease["state"] == "leased"));
        // What it has it renews, and goes on naming us.
        let server_id = lease.server.octets();
        let renewing = with_options(client.renewing(&lease), &[(53, &[3]), (54, &server_id), (55, &WANTED)]);
        client.extend(&renewing, &lease)?;
        client.extend(&renewing.again(), &lease)?;
        let rebinding = with_options(client.rebinding(&lease), &[(53, &[3]), (54, &server_id), (55, &WANTED)]);
        client.extend(&rebinding, &lease)?;
    }
    let stranger = lan.client(3);
    let mut taken = selecting(&stranger, false)?;
    taken.message.ciaddr = [10, 0, 0, 50].into();
    let answer = stranger.exchange(&taken)?;
    ensure!(answer.kind == Kind::Nak, "{:?} for another's address", answer.kind);
    Ok(())
}
