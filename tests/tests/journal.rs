//! The lease journal: its files alone say who had which address when, and they agree with the store.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Output;
use std::time::SystemTime;
use system_tests::client::{Client, Lease, Via, WANTED, append_option, granted};
use system_tests::full_disk::FullDisk;
use system_tests::paths::{AGENT_INFO, AGENT_MAC, SERVER};
use system_tests::process::output;
use system_tests::server::{Server, Xdp, cli};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};

/// One address on the link and two behind a relay, and where the journal is.
fn subnets(journal: &std::path::Path) -> String {
    format!(
        r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.10"]
lease-time = "16s"

[[subnet]]
prefix = "10.1.0.0/24"
pools = ["10.1.0.10 - 10.1.0.11"]
lease-time = "10m"

[journal]
directory = "{}"
keep = "30d"
"#,
        journal.display()
    )
}

fn directory(lan: &Lan) -> PathBuf {
    lan.world.dir().join("journal")
}

fn who_had(lan: &Lan, words: &[&str]) -> Result<Output> {
    let mut command = cli()?;
    command.arg("who-had").args(words).arg("--json").arg("--directory").arg(directory(lan));
    output(&mut command)
}

/// What the journal says; nobody if its exit status is 1.
fn holdings(lan: &Lan, words: &[&str]) -> Result<Vec<Value>> {
    let said = who_had(lan, words)?;
    let holdings: Vec<Value> = serde_json::from_slice(&said.stdout)
        .with_context(|| format!("who-had {words:?}: {}", String::from_utf8_lossy(&said.stderr)))?;
    ensure!(said.status.code() == Some(i32::from(holdings.is_empty())), "{holdings:?}, but {}", said.status);
    Ok(holdings)
}

/// Waits until the journal says of the last one who had this what `fits`.
fn last(lan: &Lan, words: &[&str], what: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
    until(what, PROMPT, || {
        // The thread that writes may not have made it yet.
        let is_there = directory(lan).exists();
        let last = if is_there { holdings(lan, words)?.pop() } else { None };
        Ok(last.filter(|holding| fits(holding)))
    })
}

fn time<'h>(holding: &'h Value, which: &str) -> Result<&'h str> {
    holding[which].as_str().with_context(|| format!("no `{which}` in {holding}"))
}

/// Times in the journal are seconds: two that are to differ must be in two.
fn next_second() -> Result<()> {
    let second = || anyhow::Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs());
    let begun = second()?;
    until("the next second", PROMPT, || Ok((second()? > begun).then_some(())))
}

fn relayed(lan: &Lan, n: u16) -> Client<'_> {
    let relay = Ipv4Addr::new(10, 1, 0, 1);
    let via = Via::Relay { mac: AGENT_MAC, address: relay, agent_info: Some(AGENT_INFO.to_vec()) };
    Client { via, ..lan.client(n) }
}

#[test]
fn who_had_an_address_is_told_for_every_moment() -> Result<()> {
    let lan = Lan::new("journal", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Native, &subnets(&directory(&lan)))?;
    let first = Client { client_id: Some(b"\0me".to_vec()), ..lan.client(1) };
    let lease = first.dora()?;
    let address = lease.address.to_string();
    let runs = last(&lan, &[&address], "the grant", |held| held.get("to").is_none())?;
    ensure!(runs["hw-address"] == "02:c1:00:00:00:01" && runs["client-id"] == "00:6d:65", "{runs}");
    ensure!(runs["interface"] == "srv0" && runs.get("relay").is_none(), "{runs}");
    let kernel = last(&lan, &[&address], "a renewal of the kernel's", |held| {
        let _ = first.renew(&lease);
        held["kernel-renewals"].as_u64().is_some_and(|renewals| renewals > 0)
    })?;
    ensure!(kernel["from"] == runs["from"] && kernel["expires"] != runs["expires"], "{runs}, then {kernel}");

    next_second()?;
    first.release(&lease)?;
    let over = last(&lan, &[&address], "the release", |held| held.get("to").is_some())?;
    ensure!(over["why"] == "released" && over["from"] == runs["from"], "{over}");
    next_second()?;
    let second = lan.client(2).dora()?;
    ensure!(second.address == lease.address, "{second:?} is another address");
    let later =
        last(&lan, &[&address], "the second grant", |held| held["hw-address"] == "02:c1:00:00:00:02")?;

    let (begun, ended, again) = (time(&over, "from")?, time(&over, "to")?, time(&later, "from")?);
    let at = |moment: &str| holdings(&lan, &[&address, "--at", moment]);
    ensure!(at("2000-01-01T00:00:00Z")?.is_empty(), "nobody had it then");
    ensure!(at(begun)?.iter().all(|held| held["hw-address"] == "02:c1:00:00:00:01") && at(begun)?.len() == 1);
    ensure!(at(ended)?.is_empty(), "at {ended} it was nobody's: {:?}", at(ended)?);
    ensure!(at(again)?.len() == 1 && at(again)?.iter().all(|held| *held == later), "{:?}", at(again)?);
    ensure!(holdings(&lan, &[&address])?.len() == 2);
    ensure!(holdings(&lan, &[&address, "--to", begun])?.len() == 1);
    ensure!(holdings(&lan, &["--mac", "02:C1:00:00:00:01"])? == std::slice::from_ref(&over));

    let far = relayed(&lan, 3);
    let mut selecting = far.selecting(&far.discover()?)?;
    append_option(&mut selecting.message.options, 60, b"MSFT 5.0");
    append_option(&mut selecting.message.options, 161, b"https://example.com/lamp.json");
    let far = granted(&far.exchange(&selecting)?)?;
    let there = last(&lan, &["--circuit", "port-7"], "the circuit's lease", |_| true)?;
    ensure!(there["address"] == far.address.to_string() && there["remote-id"] == "building", "{there}");
    ensure!(there["relay"] == "10.1.0.1", "{there}");
    ensure!(there["parameter-list"] == serde_json::json!(WANTED), "{there}");
    ensure!(there["vendor-class"] == "MSFT 5.0", "{there}");
    ensure!(there["mud-url"] == "https://example.com/lamp.json", "{there}");

    // Files are enough.
    server.stop()?;
    ensure!(holdings(&lan, &[&address, "--at", begun])? == [over], "without the daemon");
    let mut by_config = cli()?;
    by_config.args(["who-had", &address, "--at", "2000-01-01T00:00:00Z", "--config"]);
    by_config.arg(lan.world.dir().join("xdhcpd.toml"));
    let nobody = output(&mut by_config)?;
    ensure!(nobody.status.code() == Some(1), "{nobody:?}");
    // A start after an orderly end has nothing to recover.
    server.start_again()?;
    ensure!(!written(&lan)?.contains("\"recovered\""), "{}", written(&lan)?);
    Ok(())
}

fn written(lan: &Lan) -> Result<String> {
    let mut text = String::new();
    for file in fs::read_dir(directory(lan))? {
        text += &fs::read_to_string(file?.path())?;
    }
    Ok(text)
}

fn troubled(server: &Server<'_>, wanted: bool) -> Result<()> {
    until(&format!("trouble with the journal to be {wanted}"), PROMPT, || {
        let status = server.json(&["status"])?;
        let told = status["trouble"].as_str().is_some_and(|trouble| trouble.contains("lease journal"));
        Ok((told == wanted).then_some(()))
    })
}

#[test]
fn a_directory_that_goes_away_stops_no_lease_and_what_is_missing_is_caught_up_with() -> Result<()> {
    let lan = Lan::new("journal", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Off, &subnets(&directory(&lan)))?;
    let kept: Lease = relayed(&lan, 1).dora()?;
    last(&lan, &[&kept.address.to_string()], "the first grant", |_| true)?;
    let aside = lan.world.dir().join("aside");
    fs::rename(directory(&lan), &aside)?;
    troubled(&server, true)?;
    let other = relayed(&lan, 2).dora()?;
    ensure!(!directory(&lan).exists(), "nothing is written in the place of a directory that went away");
    fs::rename(&aside, directory(&lan))?;
    troubled(&server, false)?;
    let told = last(&lan, &[&other.address.to_string()], "what was granted meanwhile", |_| true)?;
    ensure!(told["recovered"] == false, "{told}");

    // What waits when the daemon dies is in the store.
    fs::rename(directory(&lan), &aside)?;
    troubled(&server, true)?;
    relayed(&lan, 2).release(&other)?;
    until("the release", PROMPT, || {
        Ok(server.lease(other.address)?.is_none_or(|lease| lease["state"] != "leased").then_some(()))
    })?;
    let link = lan.client(3).dora()?;
    server.crash()?;
    fs::rename(&aside, directory(&lan))?;
    server.start_again()?;
    let caught_up = last(&lan, &[&link.address.to_string()], "the grant that waited", |_| true)?;
    ensure!(caught_up["recovered"] == true && caught_up["hw-address"] == "02:c1:00:00:00:03", "{caught_up}");
    let ended =
        last(&lan, &[&other.address.to_string()], "the end that waited", |held| held.get("to").is_some())?;
    ensure!(ended["why"] == "not-told", "{ended}");
    let kept = last(&lan, &[&kept.address.to_string()], "what is unchanged", |_| true)?;
    ensure!(kept.get("to").is_none() && kept["recovered"] == false, "{kept}");
    Ok(())
}

#[test]
fn a_full_disk_stops_no_lease_and_what_waited_is_written_when_there_is_room() -> Result<()> {
    let lan = Lan::new("journal", SERVER, 24)?;
    let disk = FullDisk::mount(&directory(&lan), "1m")?;
    let server = Server::start(&lan, Xdp::Off, &subnets(&directory(&lan)))?;
    let first = relayed(&lan, 1).dora()?;
    last(&lan, &[&first.address.to_string()], "the first grant", |_| true)?;
    disk.fill()?;
    // The file's last page may have room for some lines yet.
    until("the disk to be told of", PROMPT, || {
        relayed(&lan, 1).reboot(&first)?;
        let trouble = server.json(&["status"])?["trouble"].as_str().map(str::to_owned);
        Ok(trouble.filter(|trouble| trouble.contains("lease journal")).map(drop))
    })?;
    let second = relayed(&lan, 2).dora()?;
    disk.make_room()?;
    troubled(&server, false)?;
    last(&lan, &[&second.address.to_string()], "what waited", |_| true)?;
    for line in written(&lan)?.lines() {
        serde_json::from_str::<Value>(line).with_context(|| format!("half a line: {line}"))?;
    }
    Ok(())
}
