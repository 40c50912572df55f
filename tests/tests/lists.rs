//! Lists for operators: filtered as asked, and readable whatever clients have sent.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::process::Command;
use system_tests::client::{Client, Via, append_option};
use system_tests::paths::{AGENT_INFO, AGENT_MAC, SERVER};
use system_tests::process::{output, run};
use system_tests::server::{Server, Xdp, cli};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};
use system_tests::wire::Tag;

const SUBNETS: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.200"]
lease-time = "10m"
options = { routers = ["10.0.0.1"], domain-name = "example.org" }

[[subnet]]
prefix = "10.1.0.0/24"
pools = ["10.1.0.10 - 10.1.0.200"]
options = { routers = ["10.1.0.1"] }

[[subnet]]
prefix = "10.2.0.0/24"
vlan = 100
server-id = "10.2.0.1"
pools = ["10.2.0.10 - 10.2.0.200"]
"#;

/// Three on the link, one of them with a name and a nasty identifier; one behind a relay; one on a VLAN.
fn get_leases(lan: &Lan) -> Result<()> {
    for n in 1..3 {
        lan.client(n).dora()?;
    }
    let named = Client { client_id: Some(b"\0\x1b[2J".to_vec()), ..lan.client(3) };
    let offer = named.discover()?;
    let mut request = named.selecting(&offer)?;
    append_option(&mut request.message.options, 12, b"Printer-with-a-rather-long-name-of-its-own");
    named.exchange(&request)?;
    let relay = "10.1.0.1".parse()?;
    let via = Via::Relay { mac: AGENT_MAC, address: relay, agent_info: Some(AGENT_INFO.to_vec()) };
    Client { via, ..lan.client(4) }.dora()?;
    let mut tagged = Client { tags: vec![Tag::customer(100)], ..lan.client(5) };
    tagged.server.ip = "10.2.0.1".parse()?;
    tagged.dora()?;
    Ok(())
}

#[test]
fn leases_are_cut_to_what_is_asked_for() -> Result<()> {
    let lan = Lan::new("lists", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Off, SUBNETS)?;
    get_leases(&lan)?;
    let count = |words: &[&str]| -> Result<usize> {
        let words: Vec<&str> = ["leases"].iter().chain(words).copied().collect();
        Ok(server.json(&words)?.as_array().context("a list")?.len())
    };
    for (words, due) in [
        (&[][..], 5),
        (&["--subnet", "10.0.0.0/24"], 3),
        (&["--mac", "02:c1:00:00:00:03"], 1),
        (&["--mac", "02:C1"], 5),
        (&["--host", "printer"], 1),
        (&["--circuit", "port-7"], 1),
        (&["--circuit", "hex:70:6f:72:74:2d:37"], 1),
        (&["--vlan", "100"], 1),
        (&["--vlan", "0"], 4),
        (&["--state", "grace"], 0),
        (&["--older-than", "1h"], 0),
        (&["--older-than", "0s"], 5),
        (&["--limit", "2"], 2),
        (&["--limit", "2", "--sort", "mac"], 2),
        (&["--subnet", "10.0.0.0/24", "--host", "printer"], 1),
    ] {
        ensure!(count(words)? == due, "{words:?} gave {}, not {due}", count(words)?);
    }
    let by_mac = server.json(&["leases", "--sort", "mac", "--limit", "1"])?;
    ensure!(by_mac[0]["hw-address"] == "02:c1:00:00:00:01", "{by_mac}");
    let behind = server.json(&["leases", "--circuit", "port-7"])?;
    ensure!(behind[0]["circuit-id"] == "port-7" && behind[0]["remote-id"] == "building", "{behind}");
    for wrong in [&["--subnet", "10.0.0.1/24"][..], &["--vlan", "x"], &["--sort", "colour"], &["--mac", "2"]]
    {
        let ended = output(server.cli(&["leases"])?.args(wrong))?;
        ensure!(ended.status.code() == Some(2), "{wrong:?}: {ended:?}");
    }
    Ok(())
}

#[test]
fn what_is_shown_fits_and_says_what_was_sent_and_nothing_that_a_terminal_obeys() -> Result<()> {
    let lan = Lan::new("lists", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Native, SUBNETS)?;
    get_leases(&lan)?;
    let text = run(&mut server.cli(&["leases"])?)?;
    let heads: Vec<&str> = text.lines().next().context("heads")?.split_whitespace().collect();
    ensure!(heads == ["ADDRESS", "MAC", "HOST", "STATE", "EXPIRES"], "{text}");
    let wide = run(server.cli(&["leases"])?.arg("--wide"))?;
    ensure!(
        wide.contains("port-7") && wide.contains("building") && wide.contains("00:1b:5b:32:4a"),
        "{wide}"
    );
    let some = run(server.cli(&["leases"])?.args(["--columns", "host,address"]))?;
    ensure!(some.starts_with("HOST"), "{some}");
    ensure!(![&text, &wide, &some].iter().any(|text| text.contains('\u{1b}')), "no escapes");

    // On a terminal of eighty columns.
    let program = cli()?.get_program().to_str().context("text")?.to_owned();
    let socket = lan.world.dir().join("control.sock");
    let on_terminal = |before: &str| -> Result<String> {
        let words = format!("stty cols 80; {before} {program} leases --control {}", socket.display());
        let mut script = Command::new("script");
        script.args(["-qec", &words, "/dev/null"]).env("TERM", "xterm").env_remove("NO_COLOR");
        run(&mut script)
    };
    let shown = on_terminal("PAGER=cat")?;
    ensure!(shown.contains("\u{1b}[1mADDRESS") && shown.contains("\u{1b}[32mleased"), "{shown:?}");
    ensure!(shown.contains('…'), "{shown}");
    let plain = on_terminal("NO_COLOR=1 PAGER=cat")?;
    ensure!(!plain.contains('\u{1b}'), "{plain:?}");
    ensure!(plain.lines().all(|line| line.trim_end().chars().count() <= 80), "{plain}");
    let paged = on_terminal("NO_COLOR=1 PAGER='sed s/^/page:/'")?;
    ensure!(paged.lines().all(|line| line.starts_with("page:")), "{paged}");

    let shown = run(&mut server.cli(&["lease", "show", "10.0.0.10"])?)?;
    for (name, value) in [("routers", "10.0.0.1"), ("domain-name", "example.org"), ("dhcp-lease-time", "600")]
    {
        let says = |line: &str| line.split_whitespace().collect::<Vec<_>>() == [name, value];
        ensure!(shown.lines().any(says), "{name}: {shown}");
    }
    Ok(())
}

#[test]
fn counters_are_there_from_the_start() -> Result<()> {
    let lan = Lan::new("lists", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Off, SUBNETS)?;
    let stats = server.stats()?;
    let dropped = stats.0["daemon"]["dropped"].as_object().context("dropped")?;
    let page = include_str!("../../dhcp-user/docs/explain.md");
    for name in page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()) {
        ensure!(dropped.get(name) == Some(&Value::from(0)), "{name}: {}", stats.0);
    }
    ensure!(stats.0["daemon"]["odd"]["no-end"] == 0, "{}", stats.0);
    Ok(())
}

#[test]
fn several_leases_are_ended_at_once_and_all_only_if_that_is_meant() -> Result<()> {
    let lan = Lan::new("lists", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Off, SUBNETS)?;
    get_leases(&lan)?;
    let leased = || -> Result<usize> {
        Ok(server.json(&["leases", "--state", "leased"])?.as_array().context("a list")?.len())
    };
    let status = |words: &[&str]| -> Result<Option<i32>> {
        Ok(output(server.cli(&["lease", "release"])?.args(words))?.status.code())
    };
    ensure!(status(&[])? == Some(2) && status(&["10.0.0.10", "--host", "printer"])? == Some(2));
    ensure!(status(&["--subnet", "10.0.0.0/24"])? == Some(1), "nobody has said yes");
    ensure!(status(&["--subnet", "192.0.2.0/24", "--yes"])? == Some(1), "there is none");
    ensure!(leased()? == 5);
    ensure!(status(&["10.0.0.10", "10.0.0.11", "--now"])? == Some(0));
    until("two to be gone", PROMPT, || Ok((leased()? == 3).then_some(())))?;
    ensure!(status(&["10.0.0.10", "10.0.0.12", "--now"])? == Some(1), "one of them is no lease");
    ensure!(status(&["--mac", "02:c1", "--yes", "--now"])? == Some(0));
    until("all to be gone", PROMPT, || Ok((leased()? == 0).then_some(())))
}

#[test]
fn a_daemon_is_found_by_its_configuration_or_the_environment() -> Result<()> {
    let lan = Lan::new("lists", SERVER, 24)?;
    let _server = Server::start(&lan, Xdp::Off, SUBNETS)?;
    let socket = lan.world.dir().join("control.sock");
    let config = lan.world.dir().join("xdhcpd.toml");
    run(cli()?.args(["status", "--config"]).arg(&config))?;
    run(cli()?.arg("status").env("XDHCPD_CONTROL", &socket))?;
    let both = output(cli()?.args(["status", "--config"]).arg(&config).arg("--control").arg(&socket))?;
    ensure!(both.status.code() == Some(2), "{both:?}");
    let nowhere = output(cli()?.arg("leases").env("XDHCPD_CONTROL", "/nowhere.sock"))?;
    ensure!(nowhere.status.code() == Some(3), "{nowhere:?}");
    Ok(())
}
