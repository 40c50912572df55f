//! Leases move from one server to another, and are backed up, without a promise getting lost on the way.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use system_tests::client::{Client, Via};
use system_tests::paths::{AGENT_INFO, AGENT_MAC, SERVER};
use system_tests::process::{output, run};
use system_tests::server::{Server, Xdp, cli};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};
use system_tests::wire::options;

const SUBNETS: &str = r#"
[[subnet]]
prefix = "10.0.0.0/21"
pools = ["10.0.0.10 - 10.0.4.250"]
lease-time = "10m"
options = { routers = ["10.0.0.1"] }

[[subnet]]
prefix = "10.1.0.0/24"
pools = ["10.1.0.10 - 10.1.0.250"]
lease-time = "10m"
"#;

fn lan() -> Result<Lan> {
    Lan::new("export", SERVER, 21)
}

/// A client behind a relay that says something of it; it has a client identifier.
fn relayed<'a>(lan: &'a Lan, n: u16) -> Client<'a> {
    let agent_info = Some(AGENT_INFO.to_vec());
    let via = Via::Relay { mac: AGENT_MAC, address: Ipv4Addr::new(10, 1, 0, 1), agent_info };
    Client { via, client_id: Some(b"\x00relayed".to_vec()), ..lan.client(n) }
}

fn export(server: &Server) -> Result<String> {
    run(&mut server.cli(&["export"])?)
}

/// The file that a world keeps an export in.
fn kept(lan: &Lan, export: &str) -> Result<String> {
    Ok(lan.world.write("leases.jsonl", export)?.display().to_string())
}

/// What an import came to, which must exit with `status`.
fn import(server: &Server, file: &str, status: i32) -> Result<Value> {
    let output = output(server.cli(&["import", file])?.arg("--json"))?;
    ensure!(output.status.code() == Some(status), "{output:?}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The last line of each address, which is the one that counts.
fn last_lines(export: &str) -> Result<HashMap<Ipv4Addr, Value>> {
    let lines = export.lines().map(|line| -> Result<_> {
        let lease: Value = serde_json::from_str(line)?;
        let address = lease["address"].as_str().context("no address")?.parse()?;
        Ok((address, lease))
    });
    lines.collect()
}

#[test]
fn a_lease_moved_to_another_server_is_honoured_there() -> Result<()> {
    let old = lan()?;
    let mut server = Server::start(&old, Xdp::Native, SUBNETS)?;
    let lease = old.client(1).dora()?;
    old.client(1).renew(&lease)?;
    let far = relayed(&old, 2).dora()?;
    let declined = old.client(3).dora()?;
    old.client(3).decline(&declined)?;
    until("the quarantine to begin", PROMPT, || Ok((server.pool_count("quarantined")? == 1).then_some(())))?;
    let exported = export(&server)?;
    server.stop()?;

    let new = lan()?;
    let successor = Server::start(&new, Xdp::Native, SUBNETS)?;
    let done = import(&successor, &kept(&new, &exported)?, 0)?;
    ensure!(done["imported"] == 3 && done["refused"] == serde_json::json!([]), "{done}");
    let shown = successor.lease(far.address)?.context("the relayed lease is not listed")?;
    ensure!(shown["state"] == "leased" && shown["client-id"] == "00:72:65:6c:61:79:65:64", "{shown}");
    ensure!(successor.json(&["quarantine"])?[0]["address"] == declined.address.to_string());

    for (client, lease) in [(new.client(1), lease), (relayed(&new, 2), far)] {
        client.rebind(&lease).with_context(|| format!("{lease:?} is not honoured"))?;
        let before = successor.stats()?.kernel_acked("rebinding")?;
        until("the kernel to honour it too", PROMPT, || {
            client.rebind(&lease)?;
            Ok((successor.stats()?.kernel_acked("rebinding")? > before).then_some(()))
        })?;
    }
    for n in 10..20 {
        let fresh = new.client(n).dora()?;
        ensure!(
            fresh.address != lease.address && fresh.address != declined.address,
            "{fresh:?} is given twice"
        );
    }
    let audit = successor.json(&["audit"])?;
    ensure!(audit["consistent"] == true, "{audit}");
    Ok(())
}

/// What is said to be imported is on disk.
#[test]
fn what_was_imported_survives_a_crash() -> Result<()> {
    let old = lan()?;
    let server = Server::start(&old, Xdp::Off, SUBNETS)?;
    let lease = old.client(1).dora()?;
    let exported = export(&server)?;
    let new = lan()?;
    let mut successor = Server::start(&new, Xdp::Off, SUBNETS)?;
    import(&successor, &kept(&new, &exported)?, 0)?;
    successor.crash()?;
    successor.start_again()?;
    new.client(1).renew(&lease)?;
    Ok(())
}

#[test]
fn what_breaks_a_promise_is_refused_line_by_line() -> Result<()> {
    let old = lan()?;
    let server = Server::start(&old, Xdp::Native, SUBNETS)?;
    let (first, second) = (old.client(1).dora()?, old.client(2).dora()?);
    let exported = export(&server)?;

    let new = lan()?;
    let successor = Server::start(&new, Xdp::Native, SUBNETS)?;
    let mine = new.client(7).dora()?;
    ensure!(mine.address == first.address, "{mine:?}");
    let elsewhere = r#"{"address":"192.0.2.1","state":"leased","hw-address":"02:00:00:00:00:01"}"#;
    let file = kept(&new, &format!("{exported}not JSON\n{elsewhere}\n"))?;
    let done = import(&successor, &file, 1)?;
    let refused = done["refused"].as_array().context("nothing is refused")?;
    let told = |line: u64| refused.iter().find(|no| no["line"] == line).map(|no| no["why"].to_string());
    ensure!(done["imported"] == 1 && refused.len() == 3, "{done}");
    ensure!(told(1).is_some_and(|why| why.contains("leased to 02:c1:00:00:00:07")), "{done}");
    ensure!(told(3).is_some_and(|why| why.contains("no lease")), "{done}");
    ensure!(told(4).is_some_and(|why| why.contains("no pool")), "{done}");
    let text = output(&mut successor.cli(&["import", &file])?)?;
    let said = String::from_utf8_lossy(&text.stderr);
    ensure!(text.status.code() == Some(1) && said.contains("leases.jsonl:1: 10.0.0.10: "), "{text:?}");

    new.client(7).renew(&mine)?;
    new.client(2).renew(&second)?;
    ensure!(successor.json(&["audit"])?["consistent"] == true);
    Ok(())
}

/// A client moves, while the export is under way, from an address that has not gone out yet to one that has.
#[test]
fn an_export_misses_nothing_that_changes_meanwhile() -> Result<()> {
    let lan = lan()?;
    let _server = Server::start(&lan, Xdp::Native, SUBNETS)?;
    let leases = (0..1100).map(|n| lan.client(n).dora()).collect::<Result<Vec<_>>>()?;
    let mut exporting = UnixStream::connect(lan.world.dir().join("control.sock"))?;
    exporting.set_read_timeout(Some(PROMPT))?;
    exporting.write_all(b"{\"verb\":\"export\"}\n")?;
    let mut from = BufReader::with_capacity(512, exporting);
    let mut exported = String::new();
    from.read_line(&mut exported)?;

    // The rest waits in the socket's buffers, or to be made: there is more than these hold.
    let (low, high) = (&leases[0], &leases[1099]);
    let first = serde_json::from_str::<Value>(&exported)?;
    ensure!(first["item"]["address"] == low.address.to_string(), "{first}");
    lan.client(0).release(low)?;
    lan.client(1099).release(high)?;
    let mover = lan.client(1099);
    let mut asking = mover.rebooting(low.address);
    asking.message.options = options(&[(53, &[3]), (54, &SERVER.octets()), (50, &low.address.octets())]);
    let taken = mover.exchange(&asking)?;
    ensure!(taken.message.yiaddr == low.address, "{taken:?}");

    while from.read_line(&mut exported)? > 0 {}
    let items: Vec<Value> = exported
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| Ok(serde_json::from_str::<Value>(line)?))
        .collect::<Result<_>>()?;
    ensure!(items.last().is_some_and(|end| end["end"] == "done"), "{:?}", items.last());
    let lines: Vec<String> =
        items.iter().map(|line| &line["item"]).filter(|i| !i.is_null()).map(Value::to_string).collect();
    let last = last_lines(&lines.join("\n"))?;
    ensure!(leases[1..1099].iter().all(|lease| last[&lease.address]["state"] == "leased"));
    let at_low = &last[&low.address];
    ensure!(at_low["state"] == "leased" && at_low["hw-address"] == "02:c1:00:00:04:4b", "{at_low}");
    ensure!(
        last.get(&high.address).is_none_or(|at_high| at_high["state"] == "free"),
        "a client with two leases"
    );
    let went_out_twice = lines.len() > last.len();
    ensure!(went_out_twice, "the export was over before anything changed");
    Ok(())
}

#[test]
fn a_server_that_is_stopped_is_exported_from_its_disk() -> Result<()> {
    let lan = lan()?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNETS)?;
    let lease = lan.client(1).dora()?;
    let config = PathBuf::from(lan.world.dir()).join("xdhcpd.toml");
    let exported = || output(cli()?.arg("export").arg("--config").arg(&config));
    let refused = exported()?;
    ensure!(refused.status.code() == Some(1), "{refused:?}");
    ensure!(String::from_utf8_lossy(&refused.stderr).contains("in use"), "{refused:?}");
    let live = last_lines(&export(&server)?)?;
    server.stop()?;
    let stored = exported()?;
    ensure!(stored.status.success(), "{stored:?}");
    let stored = last_lines(std::str::from_utf8(&stored.stdout)?)?;
    for key in ["state", "hw-address", "server", "lease-time", "interface"] {
        ensure!(stored[&lease.address][key] == live[&lease.address][key], "{key}: {stored:?}, {live:?}");
    }
    ensure!(stored.len() == live.len());
    Ok(())
}
