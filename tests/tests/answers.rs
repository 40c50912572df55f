//! Requests as real devices send them, which the RFCs have otherwise, get the answer that serves the device.

use anyhow::{Result, ensure};
use system_tests::answer::Answer;
use system_tests::client::{Client, Request, WANTED, granted};
use system_tests::paths::SERVER;
use system_tests::server::{Server, Xdp};
use system_tests::topology::{Lan, SERVER_IF};
use system_tests::wait::{PROMPT, until};
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
        let rebinding =
            with_options(client.rebinding(&lease), &[(53, &[3]), (54, &server_id), (55, &WANTED)]);
        client.extend(&rebinding, &lease)?;
    }
    let stranger = lan.client(3);
    let mut taken = selecting(&stranger, false)?;
    taken.message.ciaddr = [10, 0, 0, 50].into();
    let answer = stranger.exchange(&taken)?;
    ensure!(answer.kind == Kind::Nak, "{:?} for another's address", answer.kind);
    Ok(())
}

/// RFC 2131 §4.1 wants an END. What the daemon answers without one, the kernel does not learn.
#[test]
fn options_without_an_end_are_served_and_counted() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let client = lan.client(1);
    let unended = |mut request: Request, zeros: usize| {
        request.message.options.pop();
        request.message.options.resize(request.message.options.len() + zeros, 0);
        request
    };
    let offer = client.exchange(&unended(client.discovering(), 0))?;
    let lease = granted(&client.exchange(&unended(client.selecting(&offer)?, 9))?)?;
    for _ in 0..3 {
        client.extend(&unended(client.renewing(&lease), 0), &lease)?;
        client.extend(&unended(client.rebinding(&lease), 30), &lease)?;
        client.extend(&unended(client.rebooting(lease.address), 0), &lease)?;
    }
    let stats = server.stats()?;
    ensure!(
        stats.count(&["daemon", "odd", "no-end"])? == 11 && stats.all_kernel_acked()? == 0,
        "{}",
        stats.0
    );
    // What has an END is answered in the kernel as ever, and overloaded fields may be empty.
    client.renew(&lease)?;
    client.renew(&lease)?;
    ensure!(server.stats()?.all_kernel_acked()? >= 1);
    let empty = with_options(client.renewing(&lease), &[(53, &[3]), (52, &[3]), (55, &WANTED)]);
    client.extend(&empty, &lease)?;
    ensure!(server.json(&["audit"])?["consistent"] == true);
    Ok(())
}

/// RFC 2132 §9.8: what fits comes, in the order asked for; RFC 2132 §3.3: the mask before the routers.
#[test]
fn a_reply_that_is_too_long_is_shortened() -> Result<()> {
    let lan = lan()?;
    let mut wordy = SUBNET.replace(" }\n", "");
    for code in 224..234 {
        wordy += &format!(", code-{code} = \"hex:{}\"", format!("{code:02x}").repeat(80));
    }
    let server = Server::start(&lan, Xdp::Native, &(wordy + " }\n"))?;
    let wanted: Vec<u8> = (224..234).rev().chain([15, 6, 3, 1]).collect();
    let list: &[(u8, &[u8])] = &[(55, &wanted), (57, &[5, 120])];
    let told = |answer: &Answer| answer.options.iter().map(|(code, _)| *code).collect::<Vec<_>>();
    let client = lan.client(1);
    let discovering =
        |client: &Client| with_options(client.discovering(), &[&[(53, &[1][..])], list].concat());
    let offer = client.exchange(&discovering(&client))?;
    ensure!(
        told(&offer) == [53, 54, 51, 58, 59, 233, 232, 231, 230, 229, 228, 227, 226, 15, 6, 1, 3],
        "{:?}",
        told(&offer)
    );
    let (address, id) = (offer.message.yiaddr.octets(), offer.address_option(54)?.octets());
    let selecting: &[(u8, &[u8])] = &[(53, &[3]), (50, &address), (54, &id)];
    let ack = client.exchange(&with_options(client.selecting(&offer)?, &[selecting, list].concat()))?;
    ensure!(ack.kind == Kind::Ack && told(&ack) == told(&offer));
    ensure!(server.stats()?.count(&["daemon", "odd", "options-without-room"])? == 2);

    // What the link does not take is not tried; the kernel's answer is the daemon's.
    let client = lan.client(2);
    let lease = client.dora()?;
    let ordered = with_options(client.renewing(&lease), &[(53, &[3]), (55, &[15, 6, 1, 3])]);
    for _ in 0..2 {
        ensure!(told(&client.extend(&ordered.again(), &lease)?) == [53, 54, 51, 58, 59, 15, 6, 1, 3]);
    }
    ensure!(server.stats()?.all_kernel_acked()? == 1);
    lan.server.ip(&format!("link set {SERVER_IF} mtu 576"))?;
    until("the MTU to be noticed", PROMPT, || Ok(server.log().contains("MTU changed").then_some(())))?;
    let newcomer = lan.client(3);
    let short = newcomer.exchange(&discovering(&newcomer))?;
    ensure!(short.frame.len() <= 14 + 576 && told(&short)[..9] == [53, 54, 51, 58, 59, 233, 232, 231, 15]);
    Ok(())
}
