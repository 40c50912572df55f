//! The command line: the shapes of its JSON, its exit statuses, and what an operator's word does.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::process::Output;
use system_tests::paths::SERVER;
use system_tests::process::{output, run};
use system_tests::server::{Launch, Server, Xdp, cli};
use system_tests::topology::{Lan, SERVER_IF};
use system_tests::wait::{PROMPT, until};
use system_tests::world::World;

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.12"]
lease-time = "10m"
options = { routers = ["10.0.0.1"] }
"#;

/// Whether an object has all these keys, each with a value of the kind its example has.
fn has_shape(what: &str, value: &Value, shape: &Value) -> Result<()> {
    let (Value::Object(shape), Value::Object(found)) = (shape, value) else {
        let alike = std::mem::discriminant(shape) == std::mem::discriminant(value);
        ensure!(alike || shape.is_null() && value.is_string(), "{what} is {value}");
        return Ok(());
    };
    for (key, inner) in shape {
        let inside = found.get(key).with_context(|| format!("{what} has no {key}: {value}"))?;
        has_shape(&format!("{what}.{key}"), inside, inner)?;
    }
    Ok(())
}

#[test]
fn json_has_the_shapes_that_other_tools_rely_on() -> Result<()> {
    let lan = Lan::new("cli", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    client.renew(&lease)?;
    let declining = lan.client(2);
    declining.decline(&declining.dora()?)?;
    until("the quarantine to begin", PROMPT, || Ok((server.pool_count("quarantined")? == 1).then_some(())))?;

    let of_lease = serde_json::json!({
        "address": "", "hw-address": "", "client-id": null, "host-name": null, "state": "", "subnet": "",
        "interface": "", "expires": "", "committed-until": "", "last-answered-by": "", "kernel-renewals": 0
    });
    let lists = [
        ("leases", of_lease.clone()),
        (
            "pools",
            serde_json::json!({"subnet": "", "pool": "", "size": 3, "free": 0, "offered": 0, "leased": 0,
                "grace": 0, "quarantined": 0, "reserved": 0}),
        ),
        (
            "quarantine",
            serde_json::json!({"address": "", "since": "", "until": "", "why": "declined", "by": ""}),
        ),
    ];
    for (verb, shape) in lists {
        let shown = server.json(&[verb])?;
        let first = shown.get(0).with_context(|| format!("`{verb}` is empty: {shown}"))?;
        has_shape(verb, first, &shape)?;
    }
    let objects = [
        (
            "status",
            serde_json::json!({"version": "", "uptime-seconds": 0, "interfaces": [], "store": "", "leases": 0}),
        ),
        (
            "stats",
            serde_json::json!({
                "kernel": {"acked": {"renewing": 0, "rebinding": 0, "init-reboot": 0}, "punted": {},
                    "passed": 0, "dropped": {}},
                "daemon": {
                    "received": {"discover": 0, "request": 0, "decline": 0, "release": 0, "inform": 0},
                    "sent": {"offer": 0, "ack": 0, "nak": 0}, "dropped": {}
                }
            }),
        ),
        ("audit", serde_json::json!({"consistent": true, "findings": []})),
    ];
    for (verb, shape) in objects {
        has_shape(verb, &server.json(&[verb])?, &shape)?;
    }
    let shown = server.json(&["lease", "show", &lease.address.to_string()])?;
    has_shape("lease show", &shown, &of_lease)?;
    ensure!(shown["memos"].as_array().is_some_and(|memos| memos.len() >= 2), "{shown}");
    let status = server.json(&["status"])?;
    ensure!(
        status["interfaces"]
            == serde_json::json!([{"name": SERVER_IF, "xdp": "native", "xdp-configured": "native", "driver": "veth",
                "link": "up", "addresses": [SERVER]}])
            && status["leases"] == 1,
        "{status}"
    );
    // Without --json it is for people, and says as much.
    for verb in ["status", "stats", "pools", "leases", "quarantine", "audit"] {
        ensure!(!run(&mut server.cli(&[verb])?)?.trim().is_empty(), "`{verb}` says nothing");
    }
    ensure!(run(&mut server.cli(&["leases"])?)?.contains("10.0.0.1"));
    Ok(())
}

fn status_of(answer: &Output) -> Option<i32> {
    answer.status.code()
}

#[test]
fn exit_status_tells_no_from_wrong_and_from_unreachable() -> Result<()> {
    let lan = Lan::new("cli", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    for (words, expected) in [
        (&["audit"][..], 0),
        (&["lease", "show", "10.0.0.11"], 1),
        (&["lease", "release", "10.0.0.11"], 1),
        (&["quarantine", "clear", "10.0.0.11"], 1),
        (&["lease", "show", "no-address"], 2),
        (&["leases", "of", "mine"], 2),
    ] {
        let answer = output(&mut server.cli(words)?)?;
        ensure!(status_of(&answer) == Some(expected), "`{}`: {answer:?}", words.join(" "));
        ensure!(expected == 0 || !answer.stderr.is_empty(), "`{}` does not say why", words.join(" "));
    }
    server.stop()?;
    let answer = output(&mut server.cli(&["leases"])?)?;
    ensure!(status_of(&answer) == Some(3) && !answer.stderr.is_empty(), "{answer:?}");
    Ok(())
}

/// What an operator ends is ended at once: nobody else gets the address while it is still promised, and its client
/// has to ask the daemon whether it may go on.
#[test]
fn an_operator_ends_a_lease() -> Result<()> {
    let lan = Lan::new("cli", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    client.renew(&lease)?;
    run(&mut server.cli(&["lease", "release", &lease.address.to_string()])?)?;
    ensure!(server.pool_count("leased")? == 0 && server.pool_count("grace")? == 1);
    for n in 2..=3 {
        ensure!(lan.client(n).dora()?.address != lease.address, "it was given out while it was promised");
    }

    let before = server.stats()?;
    client.exchange(&client.renewing(&lease))?;
    let after = server.stats()?;
    ensure!(after.all_kernel_acked()? == before.all_kernel_acked()?, "the kernel goes on");
    ensure!(after.received("request")? == before.received("request")? + 1);
    let audit = server.json(&["audit"])?;
    ensure!(audit["consistent"] == true, "{audit}");
    Ok(())
}

#[test]
fn the_program_is_attached_and_detached_without_a_daemon() -> Result<()> {
    let lan = Lan::new("cli", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let attached =
        || Ok::<_, anyhow::Error>(lan.server.ip(&format!("link show {SERVER_IF}"))?.contains("xdp"));
    ensure!(attached()?);
    // It would attach again, without the maps that it serves by.
    let refused = server.detach().err().context("it was detached beside its daemon")?;
    ensure!(format!("{refused:#}").contains("stop it first"), "{refused:#}");
    lan.client(1).dora()?;
    ensure!(attached()?);
    server.stop()?;
    ensure!(attached()?, "a daemon that ends leaves the program at work");
    server.detach()?;
    ensure!(!attached()?);
    ensure!(server.detach().is_err(), "there was nothing left to detach");

    server.attach()?;
    ensure!(attached()?);
    server.start_again()?;
    let lease = lan.client(1).dora()?;
    lan.client(1).renew(&lease)?;
    ensure!(server.stats()?.kernel_acked("renewing")? == 1, "the daemon did not adopt the program");
    Ok(())
}

/// Another program in its place, or larger maps, would be without the daemon that serves.
#[test]
fn beside_a_running_daemon_nothing_is_attached() -> Result<()> {
    let lan = Lan::new("cli", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let lease = lan.client(1).dora()?;
    let larger = SUBNET.replace("10.0.0.0/24", "10.0.0.0/16").replace("10.0.0.12", "10.0.200.12");
    for subnet in [SUBNET, &larger] {
        server.rewrite(&lan, Xdp::Native, subnet)?;
        let Err(refused) = server.attach() else { bail!("attached beside the daemon") };
        let refused = format!("{refused:#}");
        for advice in ["`xdhcpd reload`", "restart", "`pin-dir`"] {
            ensure!(refused.contains(advice), "nothing of {advice}: {refused}");
        }
        let before = server.stats()?.kernel_acked("renewing")?;
        lan.client(1).renew(&lease)?;
        ensure!(server.stats()?.kernel_acked("renewing")? == before + 1, "the daemon's maps are out of use");
    }
    ensure!(!server.log().contains("taken off"), "{}", server.log());
    server.stop()?;
    server.attach()?;
    server.start_again()?;
    lan.client(1).renew(&lease)?;
    let audit = server.json(&["audit"])?;
    ensure!(audit["consistent"] == true, "{audit}");
    Ok(())
}

#[test]
fn a_configuration_is_checked_with_the_line_of_each_error() -> Result<()> {
    let world = World::new("cli")?;
    let good = format!("[[interface]]\nname = \"{SERVER_IF}\"\n{SUBNET}");
    let check = |text: &str| output(cli()?.arg("check-config").arg(world.write("checked.toml", text)?));
    let answer = check(&good)?;
    ensure!(status_of(&answer) == Some(0), "{answer:?}");
    let answer = check(&format!("{good}colour = \"red\"\ngrace = \"soon\"\n"))?;
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    ensure!(status_of(&answer) == Some(1), "{answer:?}");
    let first = good.lines().count() + 1;
    for (line, word) in (first..).zip(["colour", "soon"]) {
        let found = said.lines().any(|text| text.contains(&format!(":{line}:")) && text.contains(word));
        ensure!(found, "nothing about {word} in line {line}: {said}");
    }
    let marked = format!(" {first} | colour = \"red\"\n {} | ^\n", " ".repeat(first.to_string().len()));
    ensure!(said.contains(&marked), "the place is not shown: {said}");
    Ok(())
}

/// What a configuration may come to take is known before anything is attached; who knows better starts all the same.
#[test]
fn a_machine_without_the_memory_is_told_and_force_starts_on_it() -> Result<()> {
    let lan = Lan::new("cli-memory", SERVER, 16)?;
    let mut server = Server::start(
        &lan,
        Xdp::Native,
        "[[subnet]]\nprefix = \"10.0.0.0/16\"\npools = [\"10.0.1.0 - 10.0.250.0\"]\n",
    )?;
    let lease = lan.client(1).dora()?;
    server.stop()?;
    let meminfo = lan.world.write("meminfo", "MemTotal: 2048 kB\nMemAvailable:       1024 kB\n")?;
    let scarce = format!("mount --bind {} /proc/meminfo && exec \"$@\"", meminfo.display());
    let under = ["unshare", "--mount", "sh", "-c", scarce.as_str(), "sh"];
    server.launch_again(&Launch { under: &under, ..Launch::default() })?;
    until("the start to be refused", PROMPT, || Ok((!server.is_running()?).then_some(())))?;
    let log = server.log();
    ensure!(log.contains("can't be served") && log.contains("MiB"), "{log}");
    server.start_again_with(&Launch { under: &under, arguments: &["--force"], ..Launch::default() })?;
    ensure!(
        server.log().lines().any(|line| line.contains("WARN") && line.contains("MiB")),
        "{}",
        server.log()
    );
    lan.client(1).renew(&lease)?;
    lan.client(2).dora()?;
    server.stop()
}
