//! The log: bounded at its default level, in the form that its reader takes, and holding up nobody.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::io::ErrorKind;
use std::os::linux::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use system_tests::paths::SERVER;
use system_tests::process::output;
use system_tests::server::{Launch, Server, Xdp, cli};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/16"
pools = ["10.0.0.10 - 10.0.250.250"]
lease-time = "10m"
"#;

/// As an operator has it: nothing is asked for.
const BY_DEFAULT: (&str, &str) = ("RUST_LOG", "");

fn start_again(server: &mut Server, arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    server.stop()?;
    let environment: Vec<_> = [BY_DEFAULT].into_iter().chain(environment.iter().copied()).collect();
    server.start_again_with(&Launch { arguments, environment: &environment, ..Launch::default() })
}

/// What the log says since `from`.
fn since(server: &Server, from: usize) -> String {
    server.log().get(from..).unwrap_or_default().to_owned()
}

#[test]
fn leases_by_the_hundred_are_not_a_line_each_and_none_is_left_out_unsaid() -> Result<()> {
    let lan = Lan::new("log", SERVER, 16)?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let from = server.log().len();
    start_again(&mut server, &[], &[])?;
    let clients = 400_u16;
    for n in 0..clients {
        lan.client(n).dora().with_context(|| format!("client {n}"))?;
    }
    let all = |text: &str| -> (usize, u64) {
        let lines = text.lines().filter(|line| line.contains(" granted address=")).count();
        let rest =
            text.lines().filter_map(|line| line.split_once("line by line: ")?.1.split(" granted").next());
        (lines, rest.filter_map(|count| count.rsplit(' ').next()?.parse::<u64>().ok()).sum())
    };
    let (lines, rest) = until("the rest to be told of", 4 * PROMPT, || {
        let (lines, rest) = all(&since(&server, from));
        Ok((lines as u64 + rest == u64::from(clients)).then_some((lines, rest)))
    })
    .with_context(|| format!("{:?}", all(&since(&server, from))))?;
    ensure!(rest > 0 && lines > 0, "{lines} lines, {rest} left out");
    Ok(())
}

#[test]
fn json_is_an_object_a_line() -> Result<()> {
    let lan = Lan::new("log", SERVER, 16)?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let from = server.log().len();
    start_again(&mut server, &["--log-format", "json"], &[])?;
    let declining = lan.client(1);
    declining.decline(&declining.dora()?)?;
    let declined = until("the DECLINE to be logged", PROMPT, || {
        // The one before ended with lines of text.
        let text = since(&server, from);
        let objects = text.lines().filter(|line| line.starts_with('{'));
        let objects: Vec<Value> = objects.filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ok(objects.into_iter().find(|object| object["message"] == "declined"))
    })?;
    ensure!(declined["level"] == "warning" && declined["client"] == "02:c1:00:00:00:01", "{declined}");
    ensure!(declined["address"].is_string() && declined["time"].is_string(), "{declined}");
    let text = since(&server, from);
    let begun = text.lines().skip_while(|line| !line.starts_with('{'));
    ensure!(begun.clone().count() > 1 && begun.clone().all(|line| line.starts_with('{')), "{text}");
    Ok(())
}

/// What systemd says of a stream, if it is this file.
fn stream(file: &Path) -> Result<String> {
    let found = fs::metadata(file)?;
    Ok(format!("{}:{}", found.st_dev(), found.st_ino()))
}

/// A journal of our own: `/run` is this world's.
fn journal() -> Result<UnixDatagram> {
    fs::create_dir_all("/run/systemd/journal")?;
    let journal = UnixDatagram::bind("/run/systemd/journal/socket")?;
    journal.set_nonblocking(true)?;
    Ok(journal)
}

#[test]
fn the_journal_gets_entries_with_fields_and_priorities() -> Result<()> {
    let lan = Lan::new("log", SERVER, 16)?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let journal = journal()?;
    let stream = stream(&lan.world.dir().join("xdhcpd.log"))?;
    start_again(&mut server, &[], &[("JOURNAL_STREAM", &stream)])?;
    let declining = lan.client(1);
    declining.decline(&declining.dora()?)?;
    let mut entries: Vec<String> = Vec::new();
    let entry = |all: &mut Vec<String>, message: &str| {
        until(&format!("the entry {message}"), PROMPT, || {
            let mut octets = [0; 16384];
            match journal.recv(&mut octets) {
                Ok(length) => all.push(String::from_utf8_lossy(&octets[..length]).into_owned()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            let begins = format!("\nMESSAGE={message} ");
            Ok(all.iter().find(|entry| entry.contains(&begins)).cloned())
        })
    };
    let granted = entry(&mut entries, "granted")?;
    ensure!(granted.starts_with("PRIORITY=6\nSYSLOG_IDENTIFIER=xdhcpd\n"), "{granted}");
    ensure!(granted.contains("\nXDHCPD_CLIENT=02:c1:00:00:00:01\n"), "{granted}");
    let declined = entry(&mut entries, "declined")?;
    ensure!(declined.starts_with("PRIORITY=4\n"), "{declined}");
    Ok(())
}

#[test]
fn a_journal_that_takes_nothing_holds_up_nobody() -> Result<()> {
    let lan = Lan::new("log", SERVER, 16)?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let _journal = journal()?;
    let stream = stream(&lan.world.dir().join("xdhcpd.log"))?;
    start_again(&mut server, &[], &[("JOURNAL_STREAM", &stream), ("RUST_LOG", "trace")])?;
    let dropped = || server.stats()?.count(&["daemon", "log-lines-dropped"]);
    let mut newcomers = 0..u16::MAX;
    while dropped()? == 0 {
        for n in newcomers.by_ref().take(100) {
            lan.client(n).dora().with_context(|| format!("client {n}"))?;
        }
    }
    server.stop()
}

#[test]
fn where_only_the_stream_is_there_lines_have_their_priority_before_them() -> Result<()> {
    let lan = Lan::new("log", SERVER, 16)?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let log = lan.world.dir().join("xdhcpd.log");
    let from = server.log().len();
    start_again(&mut server, &[], &[("JOURNAL_STREAM", &stream(&log)?)])?;
    lan.client(1).dora()?;
    until("a line with its priority", PROMPT, || {
        Ok(since(&server, from).lines().any(|line| line.starts_with("<6>granted address=")).then_some(()))
    })?;
    // Of a stream that standard error is not connected to any more nothing is known.
    let from = server.log().len();
    start_again(&mut server, &[], &[("JOURNAL_STREAM", "1:1")])?;
    lan.client(2).dora()?;
    until("a line of text", PROMPT, || {
        let text = since(&server, from);
        let line = text.lines().find(|line| line.contains(" granted ")).map(str::to_owned);
        Ok(line.filter(|line| line.starts_with("20")))
    })?;
    ensure!(!server.log().contains('\u{1b}'), "no escapes where there is no terminal");
    Ok(())
}

#[test]
fn a_level_that_is_none_is_refused_with_what_is_wrong() -> Result<()> {
    let lan = Lan::new("log", SERVER, 16)?;
    let config = lan.world.write("any.toml", "")?;
    for (wrong, said) in [
        ("inof", "\"inof\" is no level"),
        ("info,dhcp_user", "\"dhcp_user\" is no level"),
        ("dhcp_user=loud", "\"loud\" is no level"),
        ("info,,warn", "is empty"),
    ] {
        let ended = output(cli()?.args(["run", "--config"]).arg(&config).env("RUST_LOG", wrong))?;
        let text = String::from_utf8_lossy(&ended.stderr);
        ensure!(ended.status.code() == Some(2) && text.contains(said), "{wrong}: {ended:?}");
    }
    Ok(())
}
