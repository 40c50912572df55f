//! Requests as real devices send them, which the RFCs have otherwise, get the answer that serves the device.

use anyhow::{Result, ensure};
use serde_json::Value;
use std::net::Ipv4Addr;
use std::time::Instant;
use system_tests::answer::Answer;
use system_tests::client::{Client, Request, Via, WANTED, granted};
use system_tests::namespace::spelled;
use system_tests::paths::SERVER;
use system_tests::process;
use system_tests::server::{Server, Xdp};
use system_tests::topology::{CLIENT_IF, Lan, SERVER_IF};
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

/// RFC 2131 §4.1 wants an END. Without one the kernel learns nothing that ends in zero: it could not tell how long that is.
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
    let odd = stats.count(&["daemon", "odd", "no-end"])?;
    ensure!(odd == 2 && stats.all_kernel_acked()? == 9, "the kernel knows what it will ask: {}", stats.0);
    let zero = with_options(client.renewing(&lease), &[(53, &[3]), (55, &WANTED), (57, &[4, 0])]);
    for _ in 0..3 {
        client.extend(&unended(zero.again(), 0), &lease)?;
    }
    let stats = server.stats()?;
    ensure!(stats.count(&["daemon", "odd", "no-end"])? == odd + 3, "{}", stats.0);
    // What has an END is answered in the kernel as ever, and overloaded fields may be empty.
    client.renew(&lease)?;
    client.renew(&lease)?;
    ensure!(server.stats()?.all_kernel_acked()? > stats.all_kernel_acked()?);
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

/// RFC 8925 §3.3, SHOULD (no-address): who can do without an address, and asks whether it may, is offered none.
/// RFC 8925 §3.3, SHOULD NOT (not-reserved): nothing is kept for it.
#[test]
fn an_ipv6_only_client_holds_no_address() -> Result<()> {
    let lan = lan()?;
    let subnet = SUBNET.replace(" }\n", ", v6-only-preferred = 1800 }\n");
    let server = Server::start(&lan, Xdp::Native, &(subnet + BEHIND))?;
    for client in [lan.client(1), lan.relayed_client(1)] {
        let asking = |mut request: Request| {
            request.message.options = options(&[(53, &[1]), (55, &[1, 3, 108])]);
            request
        };
        let offer = client.exchange(&asking(client.discovering()))?;
        ensure!(offer.kind == Kind::Offer && offer.message.yiaddr.is_unspecified(), "{offer:?}");
        ensure!(offer.option(108) == Some(&[0, 0, 7, 8]) && offer.option(51).is_some(), "{offer:?}");
    }
    let pools = server.json(&["pools"])?;
    ensure!(pools.as_array().is_some_and(|all| all.iter().all(|pool| pool["offered"] == 0)), "{pools}");
    // Who does not ask gets an address, and so does who asks for one all the same.
    ensure!(!lan.client(2).dora()?.address.is_unspecified());
    ensure!(!lan.client(1).dora()?.address.is_unspecified());
    Ok(())
}

/// Behind the relay that [`Lan::relayed_client`] is behind; a port has an address of its own.
const BEHIND: &str = r#"
[[subnet]]
prefix = "10.9.0.0/24"
pools = ["10.9.0.50 - 10.9.0.59"]
options = { v6-only-preferred = 1800 }

[[subnet.reservation]]
circuit-id = "port-7"
address = "10.9.0.70"
"#;

/// The operator's word holds from the client's next contact, by a reload as by a restart, whatever the kernel knew.
#[test]
fn a_reservation_of_another_address_holds_from_the_next_contact() -> Result<()> {
    for restart in [false, true] {
        let lan = lan()?;
        let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
        let (first, second) = (lan.client(1), lan.client(2));
        let leases = [first.dora()?, second.dora()?];
        first.renew(&leases[0])?;
        ensure!(server.stats()?.all_kernel_acked()? == 1);
        // The second is to have what the first has, who is to have another.
        let reserved = |n: u8, address| {
            format!(
                "[[subnet.reservation]]\nhw-address = \"02:c1:00:00:00:{n:02x}\"\naddress = \"{address}\"\n"
            )
        };
        let changed =
            [SUBNET, &reserved(1, "10.0.0.70"), &reserved(2, &leases[0].address.to_string())].concat();
        server.rewrite(&lan, Xdp::Native, &changed)?;
        if restart {
            server.stop()?;
            server.start_again()?;
        } else {
            server.reload()?;
        }
        let acked = |server: &Server| server.stats()?.all_kernel_acked();
        let before = acked(&server)?;
        for request in
            [first.renewing(&leases[0]), first.rebinding(&leases[0]), first.rebooting(leases[0].address)]
        {
            let answer = first.exchange(&request)?;
            ensure!(answer.kind == Kind::Nak, "{:?} to {request:?}", answer.kind);
        }
        ensure!(acked(&server)? == before, "the kernel goes on");
        ensure!(first.dora()?.address == Ipv4Addr::new(10, 0, 0, 70));
        // What is promised to the first is waited for, and by nobody else got.
        for _ in 0..2 {
            second.renew(&leases[1])?;
        }
        ensure!(acked(&server)? == before, "the kernel would say so for ever");
        ensure!(lan.client(3).dora()?.address != leases[0].address);
        ensure!(server.json(&["audit"])?["consistent"] == true);
    }
    Ok(())
}

/// A renewal gets the time that is configured now, and the kernel the same from then on.
#[test]
fn a_changed_lease_time_is_granted_by_the_next_renewal() -> Result<()> {
    let lan = lan()?;
    let with = |time: &str| SUBNET.replace("\"1h\"", &format!("\"{time}\""));
    let mut server = Server::start(&lan, Xdp::Native, &with("10m"))?;
    let client = lan.client(1);
    let lease = client.dora()?;
    ensure!(lease.seconds == 600);
    for (restart, time, seconds) in [(true, "1h", 3600), (false, "20m", 1200), (false, "1h", 3600)] {
        server.rewrite(&lan, Xdp::Native, &with(time))?;
        if restart {
            server.stop()?;
            server.start_again()?;
        } else {
            server.reload()?;
        }
        let before = server.stats()?.all_kernel_acked()?;
        for _ in 0..3 {
            let told = granted(&client.exchange(&client.renewing(&lease))?)?.seconds;
            ensure!(told == seconds, "{told} of {time}");
        }
        ensure!(server.stats()?.all_kernel_acked()? == before + 2, "the first goes up, and no other");
    }
    ensure!(server.json(&["audit"])?["consistent"] == true);
    Ok(())
}

/// The address that is being given counts: the last of a pool is given for the time of a full one.
#[test]
fn the_last_address_of_a_pool_is_given_for_the_shortest_time() -> Result<()> {
    let lan = lan()?;
    let pair =
        SUBNET.replace("10.0.0.59", "10.0.0.51").replace("\"1h\"", "\"1h\"\nlease-time-when-full = \"10m\"");
    let server = Server::start(&lan, Xdp::Native, &pair)?;
    let leases = [lan.client(1).dora()?, lan.client(2).dora()?];
    ensure!(leases[0].seconds == 3600 && leases[1].seconds == 600, "{leases:?}");
    // It stays short until there is room.
    let second = lan.client(2);
    let renewed =
        || Ok::<_, anyhow::Error>(granted(&second.exchange(&second.renewing(&leases[1]))?)?.seconds);
    ensure!(renewed()? == 600);
    lan.client(1).release(&leases[0])?;
    until("an address to be free", PROMPT, || Ok((server.pool_count("free")? == 1).then_some(())))?;
    ensure!(renewed()? == 3600);
    Ok(())
}

/// The time falls in a straight line once half of the pool is in use.
#[test]
fn lease_times_fall_with_the_room_in_the_pool() -> Result<()> {
    let lan = lan()?;
    let twenty = SUBNET
        .replace("10.0.0.50 - 10.0.0.59", "10.0.0.100 - 10.0.0.119")
        .replace("\"1h\"", "\"4000s\"\nlease-time-when-full = \"1000s\"");
    let server = Server::start(&lan, Xdp::Native, &twenty)?;
    let seconds = (1..=20).map(|n| Ok(lan.client(n).dora()?.seconds)).collect::<Result<Vec<_>>>()?;
    let due: Vec<u32> = (1..=20).map(|used| 7000 - 300 * u32::max(used, 10)).collect();
    ensure!(seconds == due && seconds[19] == 1000, "{seconds:?}");
    ensure!(server.pool_count("free")? == 0);
    Ok(())
}

/// RFC 2131 §4.3.1, §4.4.5: what a renewal asks for it gets, within the bounds, from the daemon once and then from the kernel.
#[test]
fn a_renewal_gets_the_time_it_asks_for_within_the_bounds() -> Result<()> {
    let lan = lan()?;
    let bounded = SUBNET.replace("\"1h\"", "\"1h\"\nmin-lease-time = \"5m\"\nmax-lease-time = \"2h\"");
    let server = Server::start(&lan, Xdp::Native, &bounded)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    ensure!(lease.seconds == 3600);
    let day: u32 = 86400;
    for (asked, due) in [(1800, 1800), (1, 300), (day, 7200), (u32::MAX, 7200), (0, 300)] {
        let list: &[(u8, &[u8])] = &[(53, &[3]), (51, &asked.to_be_bytes()), (55, &WANTED)];
        let before = server.stats()?.all_kernel_acked()?;
        for request in [
            with_options(client.renewing(&lease), list),
            with_options(client.renewing(&lease), list),
            with_options(client.rebinding(&lease), list),
        ] {
            let ack = client.exchange(&request)?;
            let told = granted(&ack)?.seconds;
            ensure!(told == due && ack.number_option(58)? == due / 2, "{told} seconds for {asked}: {ack:?}");
        }
        let acked = server.stats()?.all_kernel_acked()? - before;
        ensure!(acked == 2, "{asked}: the kernel answered {acked}");
    }
    // Who asks for nothing gets what is configured, whatever it had before.
    client.renew(&lease)?;
    ensure!(server.json(&["audit"])?["consistent"] == true);
    Ok(())
}

/// One port, one device at a time: the new one gets the address when the old one does not answer for it.
#[test]
fn a_ports_address_goes_to_its_new_device_when_the_old_one_is_silent() -> Result<()> {
    let lan = lan()?;
    lan.route_behind_relay()?;
    let server = Server::with_settings(&lan, Xdp::Native, "probe = \"auto\"", &[SUBNET, BEHIND].concat())?;
    let on_port = |n: u16| {
        let mut client = lan.relayed_client(n);
        if let Via::Relay { agent_info, .. } = &mut client.via {
            *agent_info = Some(b"\x01\x06port-7".to_vec());
        }
        client
    };
    let port = Ipv4Addr::new(10, 9, 0, 70);
    let (first, second) = (on_port(1), on_port(2));
    let lease = first.dora()?;
    ensure!(lease.address == port);

    lan.occupy(port, CLIENT_IF)?;
    let asking = second.discovering();
    second.send(&asking)?;
    let counted =
        || Ok::<_, anyhow::Error>(server.stats()?.count(&["daemon", "dropped", "port-in-use"]).unwrap_or(0));
    until("the second device to be refused", PROMPT, || Ok((counted()? == 1).then_some(())))?;
    ensure!(second.answer(&asking, Instant::now())?.is_none(), "the first one answers for the address");
    until("the operator to be told", PROMPT, || Ok(server.log().contains("port-in-use").then_some(())))?;
    let told = until("an event", PROMPT, || {
        let lines = process::run(&mut server.cli(&["events", "--json", "--since", "0", "--no-follow"])?)?;
        Ok(lines.lines().find(|line| line.contains("\"port-in-use\"")).map(str::to_owned))
    })?;
    let told: Value = serde_json::from_str(&told)?;
    let mac = spelled(second.mac);
    ensure!(told["what"] == "port-in-use" && told["address"] == port.to_string(), "{told}");
    ensure!(told["hw-address"] == mac && told["relay"] == "10.9.0.1", "{told}");
    let detail = "another device has the address of its port, and answers";
    ensure!(told["detail"] == detail && told["relay-information"] == "01:06:70:6f:72:74:2d:37", "{told}");
    // Whether he asks for the device that gets nothing, or for the port.
    for who in [mac.as_str(), "port-7"] {
        let said = server.json(&["explain", who])?;
        let why = "port-in-use: the address is reserved for its relay's port, and another device on that port has it and \
                   answers for it; take the other device off the port, or end its lease with `lease release`";
        ensure!(said["why"] == why && said["hw-address"] == mac && said["decided-by"] == "daemon", "{said}");
    }
    first.renew(&lease)?;
    lan.leave(port, CLIENT_IF)?;

    // It was found alive just now, and is not asked again and again; a third device has to wait, too.
    first.release(&lease)?;
    let moved = on_port(3).dora()?;
    ensure!(moved.address == port, "{moved:?}");
    // Nobody answers for that one.
    let last = second.dora()?;
    ensure!(last.address == port, "{last:?}");
    let nak = on_port(3).exchange(&on_port(3).rebinding(&moved))?;
    ensure!(nak.kind == Kind::Nak, "{:?} for what another has", nak.kind);
    second.rebind(&last)?;
    ensure!(server.json(&["audit"])?["consistent"] == true);
    Ok(())
}

/// RFC 2131 §4.4.6 has a RELEASE name its server and its client as the REQUEST did. systemd-networkd leaves option 54 out, and
/// ConnMan option 61: sent to us alone, for the sender's own lease, it is meant all the same.
#[test]
fn a_release_without_server_or_client_identifier_ends_the_lease() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let mut client = lan.client(1);
    client.client_id = Some(b"\xff\x01\x02\x03\x04\0\x02\0\0\xab\x11\x07".to_vec());
    let id = client.client_id.clone().unwrap_or_default();
    let us = SERVER.octets();
    for left_out in [&[54][..], &[61], &[54, 61]] {
        let what = format!("without {left_out:?}");
        let lease = client.dora()?;
        let mut list: Vec<(u8, &[u8])> = vec![(53, &[7]), (54, &us), (61, &id)];
        list.retain(|(code, _)| !left_out.contains(code));
        client.send(&with_options(client.releasing(&lease), &list))?;
        until(&format!("the address to be free: {what}"), PROMPT, || {
            Ok((server.pool_count("leased")? == 0 && server.lease(lease.address)?.is_none()).then_some(()))
        })?;
    }
    Ok(())
}

/// A DECLINE without option 61, as ConnMan sends it, is its owner's.
#[test]
fn a_decline_without_the_client_identifier_is_the_owners() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let mut client = lan.client(1);
    client.client_id = Some(b"\x01me".to_vec());
    let lease = client.dora()?;
    let address = lease.address.octets();
    client.send(&with_options(
        client.declining(&lease),
        &[(53, &[4]), (50, &address), (54, &SERVER.octets())],
    ))?;
    until("it to be believed", PROMPT, || Ok((server.pool_count("quarantined")? == 1).then_some(())))?;
    ensure!(client.dora()?.address != lease.address);
    Ok(())
}
