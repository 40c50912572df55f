//! The read commands of Kea's API, asked by Kea's own client.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Stdio;
use system_tests::http::{ask, connect};
use system_tests::paths::SERVER;
use system_tests::server::{Server, Xdp};
use system_tests::topology::Lan;

const SUBNETS: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.49", "10.0.0.60 - 10.0.0.69"]
lease-time = "10m"
"#;
const LISTEN: &str = "kea-api-listen = \"127.0.0.1:8000\"";

fn address() -> SocketAddr {
    ([127, 0, 0, 1], 8000).into()
}

/// What kea-shell prints for a command: the object of the one service.
fn shell(lan: &Lan, command: &str, arguments: &str) -> Result<Value> {
    let mut shell = lan.server.command("kea-shell");
    shell.args(["--host", "127.0.0.1", "--port", "8000", "--service", "dhcp4", command]);
    shell.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = shell.spawn().context("starting kea-shell")?;
    running.stdin.take().context("no way to tell it arguments")?.write_all(arguments.as_bytes())?;
    let said = running.wait_with_output()?;
    let text = String::from_utf8(said.stdout)?;
    let answer: Value = serde_json::from_str(&text).with_context(|| format!("{command}: {text}"))?;
    ensure!(answer.as_array().is_some_and(|all| all.len() == 1), "{command}: {answer}");
    Ok(answer[0].clone())
}

#[test]
fn kea_shell_reads_version_status_figures_configuration_and_leases() -> Result<()> {
    let lan = Lan::new("kea-api", SERVER, 24)?;
    let server = Server::with_settings(&lan, Xdp::Native, LISTEN, SUBNETS)?;
    let mut held = Vec::new();
    for n in 1..=5 {
        held.push(lan.client(n).dora()?);
    }
    let listed = shell(&lan, "list-commands", "")?;
    ensure!(
        listed["result"] == 0 && listed["arguments"].as_array().is_some_and(|all| all.len() == 7),
        "{listed}"
    );
    let version = shell(&lan, "version-get", "")?;
    ensure!(version["text"] == server.json(&["status"])?["version"], "{version}");
    let status = shell(&lan, "status-get", "")?;
    ensure!(
        status["arguments"]["pid"] == server.pid()?.as_raw() && status["arguments"]["uptime"].is_u64(),
        "{status}"
    );

    let statistics = shell(&lan, "statistic-get-all", "")?["arguments"].clone();
    let value = |name: &str| statistics[name][0][0].as_u64();
    ensure!(value("pkt4-discover-received") == Some(5) && value("pkt4-ack-sent") == Some(5), "{statistics}");
    ensure!(value("subnet[1].total-addresses") == Some(50), "{statistics}");
    ensure!(value("subnet[1].assigned-addresses") == Some(5), "{statistics}");
    let config = shell(&lan, "config-get", "")?["arguments"]["Dhcp4"].clone();
    ensure!(config["subnet4"][0]["subnet"] == "10.0.0.0/24" && config["subnet4"][0]["id"] == 1, "{config}");
    ensure!(config["subnet4"][0]["pools"][1]["pool"] == "10.0.0.60-10.0.0.69", "{config}");

    // Two pages, and nothing behind them.
    let (mut from, mut seen) = ("start".to_owned(), Vec::new());
    loop {
        let page = shell(&lan, "lease4-get-page", &format!("\"from\": \"{from}\", \"limit\": 3"))?;
        let leases = page["arguments"]["leases"].as_array().context("no leases")?.clone();
        ensure!(page["result"] == if leases.is_empty() { 3 } else { 0 }, "{page}");
        ensure!(page["arguments"]["count"] == leases.len(), "{page}");
        let Some(last) = leases.last() else { break };
        from = last["ip-address"].as_str().context("no address")?.to_owned();
        seen.extend(leases);
    }
    let addresses: Vec<String> = held.iter().map(|lease| lease.address.to_string()).collect();
    let told: Vec<&str> = seen.iter().filter_map(|lease| lease["ip-address"].as_str()).collect();
    ensure!(told == addresses, "{told:?}, but {addresses:?} are leased");
    let first = &seen[0];
    ensure!(
        first["hw-address"] == "02:c1:00:00:00:01" && first["state"] == 0 && first["subnet-id"] == 1,
        "{first}"
    );
    ensure!(first["valid-lft"].as_u64().is_some_and(|lasts| (599..=601).contains(&lasts)), "{first}");

    let one = shell(&lan, "lease4-get", "\"ip-address\": \"10.0.0.10\"")?;
    ensure!(one["result"] == 0 && one["arguments"]["hw-address"] == "02:c1:00:00:00:01", "{one}");
    ensure!(shell(&lan, "lease4-get", "\"ip-address\": \"10.0.0.40\"")?["result"] == 3);
    for (command, arguments, result) in [
        ("lease4-get", "", 1),
        ("lease4-get-page", "\"from\": \"start\"", 1),
        ("lease4-get-page", "\"from\": \"x\", \"limit\": 1", 1),
        ("lease4-get-page", "\"from\": \"start\", \"limit\": 0", 1),
        ("lease4-get-page", "\"from\": \"start\", \"limit\": 100000000", 1),
        ("config-set", "\"Dhcp4\": {}", 2),
        ("lease4-del", "\"ip-address\": \"10.0.0.10\"", 2),
        ("shutdown", "", 2),
    ] {
        let refused = shell(&lan, command, arguments)?;
        ensure!(
            refused["result"] == result && refused["text"].is_string(),
            "{command} {arguments}: {refused}"
        );
    }
    ensure!(server.json(&["leases"])?.as_array().is_some_and(|all| all.len() == 5), "nothing was changed");
    Ok(())
}

#[test]
fn what_is_no_command_is_refused_and_without_the_key_nothing_listens() -> Result<()> {
    let lan = Lan::new("kea-api", SERVER, 24)?;
    let mut server = Server::with_settings(&lan, Xdp::Off, LISTEN, SUBNETS)?;
    let post = |body: &str, host: &str| {
        let length = body.len();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        ask(&lan.server, address(), &(head + body))
    };
    let deep = "[".repeat(60_000);
    for wrong in [
        "",
        "{",
        "[]",
        "\u{0}",
        "{\"command\": 7}",
        "{\"command\": \"x\", \"service\": {}}",
        &deep,
        &"x".repeat(70_000),
    ] {
        let refused = post(wrong, "127.0.0.1:8000")?;
        ensure!(refused.status == 400 && refused.body.contains("400"), "{:.40}: {refused:?}", wrong);
    }
    let get = system_tests::http::get(&lan.server, address(), "/")?;
    ensure!(get.status == 400, "{get:?}");
    let status = "{\"command\": \"status-get\", \"service\": [\"dhcp6\", \"dhcp4\"]}";
    let two: Value = serde_json::from_str(&post(status, "localhost")?.body)?;
    ensure!(two[0]["result"] == 1 && two[1]["result"] == 0, "{two}");
    // A page of somebody else whose name leads here.
    ensure!(post(status, "evil.example:8000")?.status == 421);
    // Who begins a command and never ends it holds up nobody.
    let mut slow = connect(&lan.server, address())?;
    slow.write_all(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")?;
    ensure!(post(status, "localhost")?.status == 200);
    lan.client(1).dora()?;
    drop(slow);
    server.stop()?;
    let without = Server::start(&lan, Xdp::Off, SUBNETS)?;
    ensure!(connect(&lan.server, address()).is_err(), "nothing is to listen");
    without.json(&["status"]).map(drop)
}
