//! Whether what the kernel answers leaves: over links that don't send it, and with offloads in the way.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use system_tests::client::{Client, Lease};
use system_tests::namespace::Namespace;
use system_tests::pass::Pass;
use system_tests::paths::SERVER;
use system_tests::process;
use system_tests::server::{Server, Xdp};
use system_tests::topology::{CLIENT_IF, Lan, SERVER_IF};
use system_tests::wait::{PROMPT, until};

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.250"]
lease-time = "10m"
options = { routers = ["10.0.0.1"] }
"#;

fn lan() -> Result<Lan> {
    Lan::new("transmission", SERVER, 24)
}

/// Renewals that the kernel counts as answered.
fn counted(server: &Server) -> Result<u64> {
    server.stats()?.kernel_acked("renewing")
}

/// Sends a renewal that the kernel answers, whether or not the answer arrives.
fn renew_unheard(server: &Server, client: &Client, lease: &Lease) -> Result<()> {
    let before = counted(server)?;
    client.send(&client.renewing(lease))?;
    until("the kernel to answer", PROMPT, || Ok((counted(server)? > before).then_some(())))
}

fn trouble(server: &Server) -> Result<Option<String>> {
    Ok(server.json(&["status"])?["trouble"].as_str().map(str::to_owned))
}

/// What became of `what`, event by event.
fn told(server: &Server, what: &str) -> Result<Vec<Value>> {
    let lines = process::run(&mut server.cli(&["events", "--json", "--since", "0", "--no-follow"])?)?;
    let events = lines.lines().map(serde_json::from_str).collect::<serde_json::Result<Vec<Value>>>()?;
    Ok(events.into_iter().filter(|event| event["what"] == what).collect())
}

/// How many answers the events say were lost on the server's interface.
fn lost(server: &Server) -> Result<u64> {
    let count = |event: &Value| {
        let detail = event["detail"].as_str().filter(|_| event["interface"] == SERVER_IF);
        let (count, what) = detail.and_then(|detail| detail.split_once(' ')).context("no detail")?;
        ensure!(what == "answers of the kernel did not leave by the driver", "{event}");
        Ok(count.parse::<u64>()?)
    };
    told(server, "answers-lost")?.iter().map(count).sum()
}

/// The fault of old: each answer was counted, and none arrived.
#[test]
fn by_itself_it_is_attached_so_that_answers_arrive_over_a_veth_whose_far_end_runs_nothing() -> Result<()> {
    let lan = lan()?;
    lan.pass.detach()?;
    let server = Server::start(&lan, Xdp::Auto, SUBNET)?;
    let lease = lan.client(1).dora()?;
    for _ in 0..12 {
        lan.client(1).renew(&lease)?;
    }
    ensure!(counted(&server)? == 12, "the daemon answered, not the kernel");
    let shown = server.interface(SERVER_IF)?;
    ensure!(shown["xdp"] == "generic" && shown["xdp-configured"] == "auto", "{shown}");
    ensure!(shown["driver"] == "veth", "{shown}");
    ensure!(shown["xdp-why"].as_str().is_some_and(|why| why.contains("veth")), "{shown}");
    ensure!(trouble(&server)?.is_none());
    ensure!(told(&server, "answers-lost")?.is_empty() && told(&server, "xdp-changed")?.is_empty());
    Ok(())
}

#[test]
fn asked_for_in_the_driver_it_stays_there_and_says_what_is_lost() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let lease = lan.client(1).dora()?;
    lan.client(1).renew(&lease)?;
    ensure!(trouble(&server)?.is_none());

    lan.pass.detach()?;
    for _ in 0..12 {
        renew_unheard(&server, &lan.client(1), &lease)?;
    }
    let said = until("the loss to be told", PROMPT, || trouble(&server))?;
    ensure!(said.contains(SERVER_IF) && said.contains("veth") && said.contains("generic"), "{said}");
    until("all of it to be told", PROMPT, || Ok(trouble(&server)?.filter(|said| said.starts_with("12 "))))?;
    ensure!(server.log().contains("did not leave by the driver"));
    ensure!(server.interface(SERVER_IF)?["xdp"] == "native");
    until("events to tell of each", PROMPT, || Ok((lost(&server)? == 12).then_some(())))?;
    ensure!(told(&server, "xdp-changed")?.is_empty(), "it stays as asked for");

    // The far end runs a program again: answers arrive, and the trouble is over.
    let _pass = Pass::attach(&lan.clients, CLIENT_IF)?;
    until("the trouble to be over", PROMPT, || {
        lan.client(1).renew(&lease)?;
        Ok(trouble(&server)?.is_none().then_some(()))
    })
}

/// What `auto` finds attached it leaves so, until it is seen to lose answers.
#[test]
fn by_itself_it_goes_over_to_the_stack_when_the_driver_loses_answers() -> Result<()> {
    let lan = lan()?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let lease = lan.client(1).dora()?;
    server.stop()?;
    server.rewrite(&lan, Xdp::Auto, SUBNET)?;
    server.start_again()?;
    let shown = server.interface(SERVER_IF)?;
    ensure!(shown["xdp"] == "native" && shown["xdp-why"] == "it was found attached so", "{shown}");

    lan.pass.detach()?;
    for _ in 0..8 {
        renew_unheard(&server, &lan.client(1), &lease)?;
    }
    until("the program to be in the stack", PROMPT, || {
        Ok((server.interface(SERVER_IF)?["xdp"] == "generic").then_some(()))
    })?;
    let shown = server.interface(SERVER_IF)?;
    ensure!(shown["xdp-why"] == "answers did not leave by the driver", "{shown}");
    let changed = until("an event to tell of it", PROMPT, || Ok(told(&server, "xdp-changed")?.pop()))?;
    let detail = "attached in the stack: answers did not leave by the driver";
    ensure!(changed["interface"] == SERVER_IF && changed["detail"] == detail, "{changed}");
    ensure!((1..=8).contains(&lost(&server)?), "{:?}", told(&server, "answers-lost")?);
    let before = counted(&server)?;
    lan.client(1).renew(&lease).context("the answers are lost still")?;
    ensure!(counted(&server)? == before + 1, "the daemon answered, not the kernel");
    ensure!(trouble(&server)?.is_none(), "it is over");
    ensure!(server.json(&["audit"])?["consistent"] == true);
    // It is not forgotten by a restart.
    server.stop()?;
    server.start_again()?;
    ensure!(server.interface(SERVER_IF)?["xdp"] == "generic");
    Ok(())
}

fn features(namespace: &Namespace, interface: &str) -> Result<String> {
    process::run(namespace.command("ethtool").args(["-k", interface]))
}

/// A tag that the driver takes off is one that the program can't see.
#[test]
fn no_tag_is_taken_off_before_the_program_sees_a_frame() -> Result<()> {
    let lan = lan()?;
    let both = ["rx-vlan-offload", "rx-vlan-stag-hw-parse"];
    let is = |what: &str, state: &str| {
        Ok::<_, anyhow::Error>(features(&lan.server, SERVER_IF)?.contains(&format!("{what}: {state}\n")))
    };
    for feature in both {
        ensure!(is(feature, "on")?, "{feature} is off from the start: this shows nothing");
    }
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    for feature in both {
        ensure!(is(feature, "off")?, "{feature} is on still");
    }
    ensure!(server.interface(SERVER_IF)?["obstacle"] == json!(null));
    // Somebody, or the network's own configuration, turns it on later.
    process::run(lan.server.command("ethtool").args(["-K", SERVER_IF, both[0], "on"]))?;
    until("the offload to be off again", PROMPT, || Ok(is(both[0], "off")?.then_some(())))?;
    until("the program to be attached still", PROMPT, || {
        Ok((server.interface(SERVER_IF)?["xdp"] == "native").then_some(()))
    })?;
    let changed = until("an event to tell of it", PROMPT, || Ok(told(&server, "xdp-changed")?.pop()))?;
    let detail = changed["detail"].as_str().unwrap_or_default();
    ensure!(changed["interface"] == SERVER_IF && detail.contains("rx-vlan-hw-parse"), "{changed}");
    Ok(())
}
