//! `xdhcpd audit`: that policy, store and kernel agree is shown on a live server, and where they do not is named.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use system_tests::client::{Client, Lease};
use system_tests::paths::SERVER;
use system_tests::perfdhcp::{self, Load};
use system_tests::process::output;
use system_tests::server::{Server, Xdp};
use system_tests::topology::Lan;
use system_tests::wait::PROMPT;
use system_tests::wire::Kind;

/// An address configured by hand, for an INFORM to tell when the server is done with what came before.
const WITNESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/20"
pools = ["10.0.1.0 - 10.0.15.250"]
max-leases-per-device = 4000
"#;

/// So few that one lost is missed.
const EIGHT: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.17"]
"#;

/// What `audit` says, and whether its exit status says the same.
fn audit(server: &Server) -> Result<Value> {
    let output = output(server.cli(&["audit", "--json"])?.env_remove("RUST_LOG"))?;
    let said: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let status = if said["consistent"] == true { 0 } else { 1 };
    ensure!(output.status.code() == Some(status), "{}: {said}", output.status);
    Ok(said)
}

fn consistent(server: &Server) -> Result<()> {
    let said = audit(server)?;
    ensure!(said == json!({"consistent": true, "findings": []}), "{said}");
    Ok(())
}

/// So many clients come and go while perfdhcp runs, or more. On a slow disk the last ones are alone.
const ROUNDS: u16 = 12;

#[test]
fn nothing_is_found_on_a_busy_server_and_nobody_waits_for_that() -> Result<()> {
    let lan = Lan::new("audit", SERVER, 20)?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let load = Load { exchanges: 200, renewals: 100, clients: 400, seconds: 5, patience: PROMPT };
    let mut perfdhcp = perfdhcp::start(&lan, 20, load)?;
    let mut rounds = 0;
    while perfdhcp.is_running()? || rounds < ROUNDS {
        let client = lan.client(rounds);
        let lease = client.dora()?;
        consistent(&server)?;
        client.renew(&lease)?;
        match rounds % 3 {
            0 => client.release(&lease)?,
            1 => client.decline(&lease)?,
            _ => {}
        }
        consistent(&server)?;
        rounds += 1;
    }
    perfdhcp::finish(&lan, &mut perfdhcp)?;
    let kernel = server.stats()?.all_kernel_acked()?;
    ensure!(kernel >= rounds.into(), "the kernel answered {kernel} times, and {rounds} clients renewed");
    consistent(&server)
}

/// Q159309: on some hang-ups an address stayed out of the pool, and no restart brought it back.
#[test]
fn no_hang_up_and_no_crash_takes_an_address_out_of_the_pool() -> Result<()> {
    let lan = Lan::new("audit", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Native, &format!("{EIGHT}max-leases-per-ras-device = 8\n"))?;
    // With other identifiers now and then: no client may send as much as this in so short a time.
    let line = |n: u8, round: u8, pass: u8| Client {
        client_id: Some([&b"\x01RAS "[..], &[2, 0xc1, 0, 0, 0, 1, n, round, pass.div_ceil(4), 0]].concat()),
        ..lan.client(1)
    };
    const PASSES: u8 = 24;
    for round in 0..5 {
        let mut held: [Option<Lease>; 8] = [None; 8];
        for call in 0..8 * PASSES {
            // Each line in turn, and only every other time it hangs up properly: never the last time.
            let (n, pass) = (call % 8, call / 8);
            let (line, proper) = (line(n, round, pass), pass % 2 == 0);
            let lease = line.dora().with_context(|| format!("round {round}, call {call}"))?;
            held[usize::from(n)] = None;
            let taken = held.iter().flatten().any(|other| other.address == lease.address);
            ensure!(!taken, "{lease:?} is another line's: {held:?}");
            if proper {
                line.release(&lease)?;
            } else {
                held[usize::from(n)] = Some(lease);
            }
        }
        lan.client(2).answers_to(&[], WITNESS)?;
        server.crash()?;
        server.start_again()?;
        consistent(&server)?;
        ensure!(server.pool_count("leased")? == 8, "{}", server.json(&["pools"])?);
        for (n, lease) in (0..).zip(held.into_iter().flatten()) {
            line(n, round, PASSES - 1).release(&lease)?;
        }
    }
    lan.client(2).answers_to(&[], WITNESS)?;
    ensure!(server.pool_count("free")? == 8, "{}", server.json(&["pools"])?);
    consistent(&server)
}

/// The findings about an address.
fn found(server: &Server, address: Ipv4Addr) -> Result<Vec<String>> {
    let said = audit(server)?;
    let findings = said["findings"].as_array().context("no findings")?;
    let text = |finding: &Value| finding["what"].as_str().map(str::to_owned);
    let about = findings.iter().filter(|finding| finding["address"] == address.to_string());
    about.map(|finding| text(finding).with_context(|| format!("{finding}"))).collect()
}

#[test]
fn what_somebody_changed_in_the_kernels_maps_is_named_while_the_server_goes_on() -> Result<()> {
    let lan = Lan::new("audit", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Native, EIGHT)?;
    let clients = [1, 2, 3].map(|n| lan.client(n));
    let leases = [clients[0].dora()?, clients[1].dora()?, clients[2].dora()?];
    consistent(&server)?;
    // The slots of a pool within one /24 are numbered by the last octet.
    let slots = server.map("SLOTS");
    let slot = |address: Ipv4Addr| u32::from(address.octets()[3]);
    let free = Ipv4Addr::new(10, 0, 0, 17);
    let (dead, live) = (slots.read(slot(free))?, slots.read(slot(leases[0].address))?);

    slots.write(slot(free), &live)?;
    let said = found(&server, free)?;
    ensure!(said.iter().any(|what| what == "its word is alive, but it is not leased"), "{said:?}");
    slots.write(slot(free), &dead)?;
    consistent(&server)?;

    slots.write(slot(leases[1].address), &dead)?;
    let said = found(&server, leases[1].address)?;
    ensure!(said.iter().any(|what| what == "leased, but its word is dead"), "{said:?}");
    ensure!(found(&server, leases[0].address)?.is_empty(), "what is right is named too");

    slots.write(slot(leases[2].address), &live)?;
    let said = found(&server, leases[2].address)?;
    ensure!(said.iter().any(|what| what == "the kernel has another address in its slot"), "{said:?}");
    ensure!(!found(&server, leases[1].address)?.is_empty(), "the first difference is no longer named");

    // The server goes on, and mends what is asked of it.
    clients[0].renew(&leases[0])?;
    ensure!(clients[1].exchange(&clients[1].renewing(&leases[1]))?.kind == Kind::Ack);
    lan.client(4).dora().map(drop)
}

/// An identifier that moves to a device of another hardware type takes the lease along. The kernel, which knows Ethernet only,
/// then has it for nobody.
#[test]
fn a_lease_that_moves_off_ethernet_is_nobodys_in_the_kernel() -> Result<()> {
    let lan = Lan::new("audit", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Native, EIGHT)?;
    let client_id = Some(vec![0, b'm', b'o', b'v', b'e', b's']);
    let first = Client { client_id: client_id.clone(), ..lan.client(1) };
    let second = Client { client_id, ..lan.client(2) };
    let lease = first.dora()?;
    first.renew(&lease)?;
    consistent(&server)?;

    let mut request = second.rebooting(lease.address);
    request.message.htype = 128;
    let answer = second.exchange(&request)?;
    ensure!(answer.kind == Kind::Ack, "{answer:?}");
    consistent(&server)?;
    let before = server.stats()?.all_kernel_acked()?;
    first.renew(&lease)?;
    ensure!(server.stats()?.all_kernel_acked()? == before, "the kernel has it for the first device still");
    consistent(&server)?;

    request = second.rebooting(lease.address);
    request.message.htype = 128;
    ensure!(second.exchange(&request)?.kind == Kind::Ack);
    server.crash()?;
    server.start_again()?;
    consistent(&server)
}
