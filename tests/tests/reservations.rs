//! Reservations that operators add and remove while the daemon runs: in force at once, on disk before that is said, and refused
//! where `check-config` would refuse them.

use anyhow::{Result, ensure};
use std::fs;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use system_tests::client::Client;
use system_tests::paths::SERVER;
use system_tests::process::output;
use system_tests::server::{Server, Xdp, after};
use system_tests::topology::Lan;
use system_tests::wait::until;
use system_tests::wire::Kind;

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.50 - 10.0.0.59"]
lease-time = "1h"

[[subnet.reservation]]
hw-address = "02:00:00:00:00:99"
address = "10.0.0.99"
"#;

fn mac(client: &Client) -> String {
    client.mac.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":")
}

/// What the command says on its error output, if it says no.
fn refused(server: &Server<'_>, words: &[&str]) -> Result<String> {
    let said = output(&mut server.cli(words)?)?;
    ensure!(said.status.code() == Some(1), "{words:?} ended with {:?}", said.status);
    Ok(String::from_utf8_lossy(&said.stderr).into_owned())
}

fn done(server: &Server<'_>, words: &[&str]) -> Result<()> {
    let said = output(&mut server.cli(words)?)?;
    ensure!(said.status.success(), "{words:?}: {}", String::from_utf8_lossy(&said.stderr));
    Ok(())
}

/// What can't be read reserves nothing, and the addresses would be given to others: nobody takes that for a configuration.
#[test]
fn a_file_of_kept_reservations_that_cannot_be_read_is_refused() -> Result<()> {
    let lan = Lan::new("kept-damaged", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let client = lan.client(1);
    done(&server, &["reservation", "add", "--hw-address", &mac(&client), "--address", "10.0.0.7"])?;
    let kept = lan.world.dir().join("state/reservations.jsonl");
    let lines = fs::read(&kept)?;
    fs::write(&kept, [&lines[..], b"\xff\xfe\n"].concat())?;
    let said = refused(&server, &["reload"])?;
    ensure!(said.contains("can't read") && said.contains("reservations.jsonl"), "{said}");
    ensure!(client.dora()?.address == Ipv4Addr::new(10, 0, 0, 7), "what was in force stays so");
    server.stop()?;
    ensure!(server.start_again().is_err(), "a start is refused, too");
    fs::write(&kept, lines)?;
    server.start_again()
}

#[test]
fn reservations_are_kept_by_the_daemon_over_a_crash() -> Result<()> {
    let lan = Lan::new("reservations", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let client = lan.client(1);
    let (name, seven) = (mac(&client), Ipv4Addr::new(10, 0, 0, 7));
    let lease = client.dora()?;
    client.renew(&lease)?;
    ensure!(lease.address != seven);

    done(
        &server,
        &["reservation", "add", "--hw-address", &name, "--address", "10.0.0.7", "--host-name", "seven"],
    )?;
    // On disk before it was said: the daemon dies at once.
    server.crash()?;
    server.start_again()?;
    let list = server.json(&["reservation", "list"])?;
    ensure!(list[0]["address"] == "10.0.0.7" && list[0]["subnet"] == "10.0.0.0/24", "{list}");
    ensure!(client.exchange(&client.renewing(&lease)).is_ok_and(|answer| !answer.kind.tells_of_a_lease()));
    let lease = client.dora()?;
    ensure!(lease.address == seven, "{}", lease.address);
    (0..2).try_for_each(|_| client.renew(&lease).map(drop))?;

    // Where check-config would say no, so does the daemon, and nothing is changed.
    for (words, why) in [
        (vec!["--hw-address", &name, "--address", "10.0.0.8"], "has a reservation on line 1"),
        (
            vec!["--hw-address", "02:00:00:00:00:98", "--address", "10.0.0.7"],
            "10.0.0.7 is reserved on line 1",
        ),
        (
            vec!["--hw-address", "02:00:00:00:00:98", "--address", "10.0.0.99"],
            "10.0.0.99 is reserved on line",
        ),
        (vec!["--hw-address", "02:00:00:00:00:98", "--address", "10.1.0.1"], "10.1.0.1 is in no [[subnet]]"),
        (vec!["--hw-address", "02:00:00:00:00:98"], "say in which subnet"),
        (vec!["--hw-address", "x", "--address", "10.0.0.8"], "is not an Ethernet address"),
        (vec!["--hw-address", "02:00:00:00:00:98", "--subnet", "10.0.0.0/24"], "gives its client nothing"),
    ] {
        let said = refused(&server, &[&["reservation", "add"], &words[..]].concat())?;
        ensure!(said.contains(why), "{said} has no {why}");
    }
    let said = refused(&server, &["reservation", "remove", "--hw-address", "02:00:00:00:00:99"])?;
    ensure!(said.contains("those of the configuration"), "{said}");
    ensure!(server.json(&["reservation", "list"])?.as_array().is_some_and(|kept| kept.len() == 1));

    done(&server, &["reservation", "remove", "--hw-address", &name])?;
    ensure!(server.json(&["reservation", "list"])?.as_array().is_some_and(Vec::is_empty));
    let other = lan.client(2);
    ensure!(other.dora()?.address != seven);
    ensure!(server.json(&["audit"])?["consistent"] == true);
    Ok(())
}

/// A promise outlives the configuration: by a restart as by a reload, an address that is reserved for another now is not given
/// away before its owner's lease has run out by the owner's own clock.
#[test]
fn an_address_reserved_for_another_is_nobodys_while_its_owner_may_use_it() -> Result<()> {
    const SECONDS: u32 = 6;
    let subnet =
        "[[subnet]]\nprefix = \"10.0.0.0/24\"\npools = [\"10.0.0.50 - 10.0.0.59\"]\nlease-time = \"6s\"\n";
    for restart in [true, false] {
        let lan = Lan::new("reserved-later", SERVER, 24)?;
        let mut server = Server::start(&lan, Xdp::Native, subnet)?;
        let (owner, other) = (lan.client(1), lan.client(2));
        let lease = owner.dora()?;
        let asked = Instant::now();
        owner.renew(&lease)?;
        let reserved = format!(
            "{subnet}[[subnet.reservation]]\nhw-address = \"{}\"\naddress = \"{}\"\n",
            mac(&other),
            lease.address
        );
        server.rewrite(&lan, Xdp::Native, &reserved)?;
        if restart {
            server.stop()?;
            server.start_again()?;
        } else {
            server.reload()?;
        }
        let mut refused = 0;
        until("the address to be had by whom it is reserved for", after(4 * SECONDS), || {
            let discover = other.discovering();
            other.send(&discover)?;
            let soon = || Instant::now() + Duration::from_millis(300);
            let offer = other.answer(&discover, soon())?;
            let Some(offer) = offer.filter(|offer| offer.message.yiaddr == lease.address) else {
                refused += 1;
                return Ok(None);
            };
            let selecting = other.selecting(&offer)?;
            other.send(&selecting)?;
            let answer = other.answer(&selecting, soon())?;
            Ok(answer.filter(|answer| answer.kind == Kind::Ack))
        })?;
        let passed = asked.elapsed();
        ensure!(passed.as_secs() >= u64::from(SECONDS), "restart {restart}: a second ACK after {passed:?}");
        ensure!(refused > 0, "restart {restart}: it was never refused");
    }
    Ok(())
}

/// RFC 2131 §4.3.2 has silence in INIT-REBOOT for a server without a record. A client whose address is another's by now, by our own
/// record, is told at once, whatever it asks.
#[test]
fn who_lost_its_address_to_another_is_told_in_every_state() -> Result<()> {
    let lan = Lan::new("lost-address", SERVER, 24)?;
    let one = SUBNET.replace("10.0.0.59", "10.0.0.50");
    let server = Server::start(&lan, Xdp::Native, &one)?;
    let (first, second) = (lan.client(1), lan.client(2));
    let lease = first.dora()?;
    let unknown = first.rebooting(Ipv4Addr::new(10, 0, 0, 200));
    lan.client(9).expect_silence(&unknown, lease.address)?;
    done(&server, &["lease", "release", &lease.address.to_string(), "--now"])?;
    ensure!(second.dora()?.address == lease.address);
    for request in [first.rebooting(lease.address), first.rebinding(&lease), first.renewing(&lease)] {
        let answer = first.exchange(&request)?;
        ensure!(answer.kind == Kind::Nak, "{answer:?}");
    }
    let reserved = first.exchange(&first.rebooting(Ipv4Addr::new(10, 0, 0, 99)))?;
    ensure!(reserved.kind == Kind::Nak, "reserved for another: {reserved:?}");
    Ok(())
}

/// A reservation by hardware address is for the device, by whatever identifier it comes; but one identifier at a time has it.
#[test]
fn a_reserved_address_has_one_owner_however_its_device_is_called() -> Result<()> {
    let lan = Lan::new("reserved-once", SERVER, 24)?;
    let device = lan.client(1);
    let named = |id: &[u8]| Client { client_id: Some(id.to_vec()), ..lan.client(1) };
    let reservation =
        format!("[[subnet.reservation]]\nhw-address = \"{}\"\naddress = \"10.0.0.7\"\n", mac(&device));
    let server = Server::start(&lan, Xdp::Native, &[SUBNET, &reservation].concat())?;
    let seven = Ipv4Addr::new(10, 0, 0, 7);
    let (loader, system) = (named(b"\0loader"), named(b"\0system"));
    let former = loader.dora()?;
    loader.renew(&former)?;
    let lease = system.dora()?;
    ensure!(former.address == seven && lease.address == seven);
    // The kernel has no answer for the former one any more, and the daemon a NAK.
    for request in [loader.renewing(&former), loader.rebinding(&former)] {
        let answer = loader.exchange(&request)?;
        ensure!(answer.kind == Kind::Nak, "{answer:?}");
    }
    let acked = server.stats()?.all_kernel_acked()?;
    (0..3).try_for_each(|_| system.renew(&lease).map(drop))?;
    ensure!(server.stats()?.all_kernel_acked()? >= acked + 2);
    // The lines of a remote access server are in use at once.
    let line = |n: u8| named(&[&b"\x01RAS "[..], &device.mac, &[n, 0, 0, 0]].concat());
    system.release(&lease)?;
    let (one, two) = (line(1), line(2));
    let leases = [one.dora()?, two.dora()?];
    ensure!(leases[0].address == seven && leases[1].address != seven, "{leases:?}");
    for (line, lease) in [&one, &two].into_iter().zip(&leases) {
        (0..2).try_for_each(|_| line.renew(lease).map(drop))?;
    }
    ensure!(server.json(&["audit"])?["consistent"] == true);
    Ok(())
}

/// Two clients whose reservations change places wait for each other's promise: `explain` says so, and what ends it.
#[test]
fn clients_whose_reservations_change_places_learn_what_they_wait_for() -> Result<()> {
    let lan = Lan::new("swapped", SERVER, 24)?;
    let two = SUBNET.replace("10.0.0.59", "10.0.0.51");
    let server = Server::start(&lan, Xdp::Native, &two)?;
    let clients = [lan.client(1), lan.client(2)];
    let leases = [clients[0].dora()?, clients[1].dora()?];
    let swapped: Vec<String> = clients
        .iter()
        .zip([leases[1], leases[0]])
        .map(|(client, lease)| {
            let name = mac(client);
            format!("[[subnet.reservation]]\nhw-address = \"{name}\"\naddress = \"{}\"\n", lease.address)
        })
        .collect();
    server.rewrite(&lan, Xdp::Native, &[two, swapped.concat()].concat())?;
    done(&server, &["reload"])?;
    for client in &clients {
        client.send(&client.discovering())?;
        let name = mac(client);
        until("the reason", system_tests::wait::PROMPT, || {
            let said = server.json(&["explain", &name])?;
            Ok(said["why"].as_str().filter(|why| why.starts_with("reservation-held: ")).map(drop))
        })?;
    }
    for lease in leases {
        done(&server, &["lease", "release", &lease.address.to_string(), "--now"])?;
    }
    for (client, lease) in clients.iter().zip([leases[1], leases[0]]) {
        ensure!(client.dora()?.address == lease.address);
    }
    Ok(())
}
