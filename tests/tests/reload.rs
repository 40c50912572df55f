//! A changed configuration applies without losing a lease or a packet; a wrong one changes nothing and says why.

use anyhow::{Context, Result, ensure};
use std::net::Ipv4Addr;
use std::process::Stdio;
use system_tests::client::{Client, Lease};
use system_tests::paths::SERVER;
use system_tests::process::output;
use system_tests::server::{Server, Xdp};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};
use system_tests::wire::Kind;

const BEFORE: &str = r#"
[[subnet]]
prefix = "10.0.0.0/16"
pools = ["10.0.0.10 - 10.0.0.19"]
lease-time = "10m"
options = { routers = ["10.0.0.1"] }
"#;

/// The pool has moved to where no address was before, and there is another router.
const AFTER: &str = r#"
[[subnet]]
prefix = "10.0.0.0/16"
pools = ["10.0.7.10 - 10.0.7.19"]
lease-time = "10m"
options = { routers = ["10.0.0.254"] }
"#;

const OLD_ROUTER: &[u8] = &[10, 0, 0, 1];
const NEW_ROUTER: &[u8] = &[10, 0, 0, 254];

fn lan() -> Result<Lan> {
    Lan::new("reload", SERVER, 16)
}

fn other_router() -> String {
    BEFORE.replace("routers = [\"10.0.0.1\"]", "routers = [\"10.0.0.254\"]")
}

/// Renews until the kernel answers, by an ACK with this router.
fn kernel_answers(server: &Server, client: &Client, lease: &Lease, router: &[u8]) -> Result<()> {
    let before = server.stats()?.kernel_acked("renewing")?;
    until("the kernel to answer", PROMPT, || {
        let ack = client.renew(lease)?;
        ensure!(ack.option(3) == Some(router), "{ack:?}");
        Ok((server.stats()?.kernel_acked("renewing")? > before).then_some(()))
    })
}

/// What `xdhcpd reload` says when it says no.
fn refusal(server: &Server) -> Result<String> {
    let output = output(&mut server.cli(&["reload"])?)?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    Ok(String::from_utf8(output.stderr)?)
}

#[test]
fn a_changed_option_is_in_the_next_ack_and_then_in_the_kernels() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, BEFORE)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    kernel_answers(&server, &client, &lease, OLD_ROUTER)?;

    server.rewrite(&lan, Xdp::Native, &other_router())?;
    let done = server.json(&["reload"])?;
    ensure!(done["rewritten"] == 1 && done["revoked"] == 0, "{done}");
    let before = server.stats()?;
    let ack = client.renew(&lease)?;
    ensure!(ack.option(3) == Some(NEW_ROUTER), "{ack:?}");
    let after = server.stats()?;
    ensure!(
        after.received("request")? <= before.received("request")? + 1,
        "more than one trip to the daemon"
    );
    kernel_answers(&server, &client, &lease, NEW_ROUTER)?;
    ensure!(server.stats()?.received("request")? <= before.received("request")? + 1);
    ensure!(server.json(&["audit"])?["consistent"] == true);
    Ok(())
}

#[test]
fn answers_that_have_not_changed_stay_with_the_kernel() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, BEFORE)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    kernel_answers(&server, &client, &lease, OLD_ROUTER)?;
    let elsewhere = "[[subnet]]\nprefix = \"10.9.0.0/24\"\npools = [\"10.9.0.10 - 10.9.0.20\"]\n";
    server.rewrite(&lan, Xdp::Native, &format!("{elsewhere}{BEFORE}"))?;
    let done = server.json(&["reload"])?;
    ensure!(done["rewritten"] == 0 && done["revoked"] == 0, "{done}");
    let before = server.stats()?;
    client.renew(&lease)?;
    let after = server.stats()?;
    ensure!(after.kernel_acked("renewing")? == before.kernel_acked("renewing")? + 1, "{}", after.0);
    ensure!(server.json(&["pools"])?.as_array().is_some_and(|pools| pools.len() == 2));
    Ok(())
}

#[test]
fn a_lease_of_a_pool_that_is_gone_is_revoked() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, BEFORE)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    ensure!(lease.address == Ipv4Addr::new(10, 0, 0, 10));
    kernel_answers(&server, &client, &lease, OLD_ROUTER)?;

    server.rewrite(&lan, Xdp::Native, AFTER)?;
    let done = server.json(&["reload"])?;
    ensure!(done["revoked"] == 1 && done["rewritten"] == 0, "{done}");
    let answer = client.exchange(&client.renewing(&lease))?;
    ensure!(answer.kind == Kind::Nak, "{answer:?}");
    ensure!(server.json(&["audit"])?["consistent"] == true);

    let moved = client.dora()?;
    ensure!(moved.address == Ipv4Addr::new(10, 0, 7, 10), "{moved:?}");
    kernel_answers(&server, &client, &moved, NEW_ROUTER)
}

#[test]
fn a_wrong_file_changes_nothing_and_every_error_is_told() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, BEFORE)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    kernel_answers(&server, &client, &lease, OLD_ROUTER)?;
    let pools = server.json(&["pools"])?;

    let wrong = AFTER.replace("10m", "10 parsecs").replace("10.0.0.254", "10.0.0.256");
    server.rewrite(&lan, Xdp::Native, &wrong)?;
    let why = refusal(&server)?;
    let of = |part: &str| {
        why.lines().find(|line| line.contains(part)).with_context(|| format!("no {part}: {why}"))
    };
    ensure!(of("10 parsecs")? != of("10.0.0.256")?, "{why}");
    ensure!(why.lines().filter(|line| line.contains("xdhcpd.toml:")).count() == 2, "{why}");
    server.hang_up()?;
    until("the signal to be answered", PROMPT, || {
        Ok((server.log().matches("not reloaded").count() == 2).then_some(()))
    })?;

    ensure!(server.json(&["pools"])? == pools);
    let before = server.stats()?;
    ensure!(client.renew(&lease)?.option(3) == Some(OLD_ROUTER));
    ensure!(server.stats()?.kernel_acked("renewing")? == before.kernel_acked("renewing")? + 1);
    Ok(())
}

#[test]
fn what_takes_a_restart_is_refused_and_named() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, BEFORE)?;
    let path = lan.world.dir().join("xdhcpd.toml");
    server.rewrite(&lan, Xdp::Native, AFTER)?;
    let elsewhere = std::fs::read_to_string(&path)?.replace("/state\"", "/elsewhere\"");
    lan.world.write("xdhcpd.toml", &elsewhere)?;
    let why = refusal(&server)?;
    ensure!(why.contains("state-dir") && why.contains("restart"), "{why}");
    ensure!(lan.client(1).dora()?.address == Ipv4Addr::new(10, 0, 0, 10), "nothing has changed");
    Ok(())
}

#[test]
fn a_hang_up_signal_reloads() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, BEFORE)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    server.rewrite(&lan, Xdp::Native, &other_router())?;
    server.hang_up()?;
    until(
        "the new router",
        PROMPT,
        || Ok((client.renew(&lease)?.option(3) == Some(NEW_ROUTER)).then_some(())),
    )
}

#[test]
fn no_renewal_is_lost_while_it_reloads() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, BEFORE)?;
    let clients: Vec<_> = (0..8).map(|n| lan.client(n)).collect();
    let leases: Vec<Lease> = clients.iter().map(Client::dora).collect::<Result<_>>()?;
    // No more rounds: the daemon hears a client twenty times in a row, and two may be needed in each.
    for round in 0..6 {
        let subnets = if round % 2 == 0 { other_router() } else { BEFORE.to_owned() };
        server.rewrite(&lan, Xdp::Native, &subnets)?;
        let mut reload = server.cli(&["reload"])?.stdout(Stdio::null()).spawn()?;
        let ended = loop {
            for (client, lease) in clients.iter().zip(&leases) {
                let renewing = client.renewing(lease);
                client.extend(&renewing, lease).with_context(|| format!("in round {round}"))?;
            }
            if let Some(status) = reload.try_wait()? {
                break status;
            }
        };
        ensure!(ended.success(), "round {round}: {ended}");
    }
    ensure!(server.json(&["audit"])?["consistent"] == true);
    Ok(())
}

/// A daemon started anew takes over what the kernel has been told since: the maps agree with the file.
#[test]
fn after_a_reload_and_a_crash_the_kernel_goes_on_with_the_new_answers() -> Result<()> {
    let lan = lan()?;
    let mut server = Server::start(&lan, Xdp::Native, BEFORE)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    server.rewrite(&lan, Xdp::Native, &other_router())?;
    server.reload()?;
    kernel_answers(&server, &client, &lease, NEW_ROUTER)?;
    server.crash()?;
    server.start_again()?;
    let before = server.stats()?;
    ensure!(client.renew(&lease)?.option(3) == Some(NEW_ROUTER));
    ensure!(server.stats()?.kernel_acked("renewing")? == before.kernel_acked("renewing")? + 1);
    Ok(())
}

/// So many subnets behind one relay each, with a server address and a broadcast address of its own.
fn many_subnets(count: u32) -> String {
    let subnet = |n: u32| {
        let [_, _, high, low] = n.to_be_bytes();
        format!(
            "[[subnet]]\nprefix = \"172.{}.{low}.0/24\"\nserver-id = \"172.{}.{low}.1\"\n\
             pools = [\"172.{}.{low}.10 - 172.{}.{low}.11\"]\nrelays = [\"192.168.{high}.{low}\"]\n",
            16 + high,
            16 + high,
            16 + high,
            16 + high
        )
    };
    (0..count).map(subnet).collect()
}

#[test]
fn a_thousand_server_addresses_are_served_and_reloaded() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, &format!("{BEFORE}{}", many_subnets(1024)))?;
    let client = lan.client(1);
    let lease = client.dora()?;
    server.rewrite(&lan, Xdp::Native, &format!("{}{}", other_router(), many_subnets(1024)))?;
    server.reload()?;
    kernel_answers(&server, &client, &lease, NEW_ROUTER)
}

#[test]
fn what_the_maps_or_the_machine_can_not_hold_is_refused_and_changes_nothing() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, BEFORE)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    let wide: String = (20..120)
        .map(|net| {
            format!("[[subnet]]\nprefix = \"{net}.0.0.0/8\"\npools = [\"{net}.0.0.10 - {net}.255.255.9\"]\n")
        })
        .collect();
    for (subnets, why) in [(many_subnets(200), "no room for 200 more blocks"), (wide, "make pools smaller")] {
        server.rewrite(&lan, Xdp::Native, &format!("{}{subnets}", other_router()))?;
        let refused = output(&mut server.cli(&["reload"])?)?;
        let said = String::from_utf8_lossy(&refused.stderr);
        ensure!(refused.status.code() == Some(1) && said.contains(why), "{refused:?}");
        kernel_answers(&server, &client, &lease, OLD_ROUTER)?;
    }
    // What was refused has taken no room.
    server.rewrite(&lan, Xdp::Native, AFTER)?;
    server.reload()?;
    lan.client(2).dora().map(drop)
}
