//! The control socket: the rights of real other users by their groups, and the log of their requests.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output};
use system_tests::paths::SERVER;
use system_tests::process::output;
use system_tests::server::{Server, Xdp, binary};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.99"]
lease-time = "10m"
"#;

/// Groups of Debian's: 50 and 100.
const GROUPS: &str = "control-group = \"staff\"\ncontrol-read-group = \"100\"";

/// A command of a user who is not root, in these groups.
fn as_user(lan: &Lan, groups: &str, words: &[&str]) -> Result<Output> {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=12345", "--regid=12345"]);
    if groups.is_empty() {
        command.arg("--clear-groups");
    } else {
        command.arg(format!("--groups={groups}"));
    }
    command.arg(binary()?).args(words).arg("--control").arg(lan.world.dir().join("control.sock"));
    output(&mut command)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Lets others into the directory of the socket, as an operator must.
fn open(lan: &Lan) -> Result<()> {
    Ok(fs::set_permissions(lan.world.dir(), Permissions::from_mode(0o755))?)
}

/// A line of a program of its own, and the lines of its answer.
fn raw(lan: &Lan, line: &str) -> Result<Vec<Value>> {
    let mut stream = UnixStream::connect(lan.world.dir().join("control.sock"))?;
    stream.set_read_timeout(Some(PROMPT))?;
    stream.write_all(line.as_bytes())?;
    let lines = BufReader::new(stream).lines().collect::<std::io::Result<Vec<String>>>()?;
    let lines = lines.iter().filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_str(line).with_context(|| line.clone())).collect()
}

#[test]
fn one_group_reads_another_changes_and_nobody_else_is_heard() -> Result<()> {
    let lan = Lan::new("control", SERVER, 24)?;
    open(&lan)?;
    let server = Server::with_settings(&lan, Xdp::Off, GROUPS, SUBNET)?;
    let lease = lan.client(1).dora()?.address.to_string();
    let release = ["lease", "release", &lease];
    let code = |output: &Output| output.status.code();

    // Of no group, whatever is asked.
    for words in [&["status"][..], &["leases"], &release, &["reload"]] {
        let refused = as_user(&lan, "7", words)?;
        ensure!(
            code(&refused) == Some(1) && said(&refused).contains("neither group"),
            "{words:?}: {refused:?}"
        );
    }
    let alone = as_user(&lan, "", &["status"])?;
    ensure!(code(&alone) == Some(1), "{alone:?}");

    for words in
        [&["status"][..], &["stats"], &["leases"], &["lease", "show", &lease], &["audit"], &["pools"]]
    {
        let answered = as_user(&lan, "7,100", words)?;
        ensure!(code(&answered) == Some(0), "{words:?}: {answered:?}");
    }
    for words in [&release[..], &["reload"], &["quarantine", "clear", &lease]] {
        let refused = as_user(&lan, "7,100", words)?;
        ensure!(
            code(&refused) == Some(1) && said(&refused).contains("may read only"),
            "{words:?}: {refused:?}"
        );
    }
    ensure!(server.lease(lease.parse()?)?.is_some_and(|lease| lease["state"] == "leased"));
    until("the refusal to be logged", PROMPT, || {
        let log = server.log();
        let told =
            log.lines().any(|line| line.contains("refused on the control socket") && line.contains("12345"));
        Ok(told.then_some(()))
    })?;

    let released = as_user(&lan, "50", &release)?;
    ensure!(code(&released) == Some(0), "{released:?}");
    until("who has asked to be logged", PROMPT, || {
        let log = server.log();
        let asked = |line: &str| {
            line.contains("LeaseRelease") && line.contains("uid=Some(12345)") && line.contains("pid=Some(")
        };
        Ok(log.lines().any(|line| line.contains("INFO") && asked(line)).then_some(()))
    })?;
    server.json(&["status"]).map(drop)
}

#[test]
fn without_groups_the_socket_is_closed_to_others_and_a_group_that_is_not_there_is_told() -> Result<()> {
    let lan = Lan::new("control", SERVER, 24)?;
    open(&lan)?;
    let mut server = Server::start(&lan, Xdp::Off, SUBNET)?;
    let refused = as_user(&lan, "50,100", &["status"])?;
    ensure!(refused.status.code() == Some(3) && said(&refused).contains("Permission denied"), "{refused:?}");
    server.stop()?;
    let config = lan.world.dir().join("xdhcpd.toml");
    let text =
        fs::read_to_string(&config)?.replace("[server]", "[server]\ncontrol-group = \"no-such-group\"");
    fs::write(&config, text)?;
    let started = output(lan.server.command(&binary()?).args(["run", "--config"]).arg(&config))?;
    ensure!(
        !started.status.success() && said(&started).contains("there is no group no-such-group"),
        "{started:?}"
    );
    Ok(())
}

#[test]
fn the_protocol_says_what_it_is_and_refuses_another_version() -> Result<()> {
    let lan = Lan::new("control", SERVER, 24)?;
    let _server = Server::start(&lan, Xdp::Off, SUBNET)?;
    let hello = raw(&lan, "{\"verb\":\"hello\"}\n")?;
    let item = &hello.first().context("no answer")?["item"];
    ensure!(item["protocol"] == 1 && item["access"] == "change", "{item}");
    let verbs = item["verbs"].as_array().context("no verbs")?;
    ensure!(verbs.iter().any(|verb| verb["verb"] == "lease-release" && verb["access"] == "change"), "{item}");
    ensure!(hello.last().context("no end")?["end"] == "done", "{hello:?}");
    // What is listed is known: no verb is refused as such.
    for verb in verbs.iter().filter(|verb| verb["arguments"].as_array().is_some_and(Vec::is_empty)) {
        let name = verb["verb"].as_str().unwrap_or_default();
        if name == "import" {
            continue;
        }
        let answer = raw(&lan, &format!("{{\"verb\":\"{name}\",\"protocol\":1}}\n"))?;
        ensure!(answer.last().context("no end")?["end"] == "done", "{name}: {answer:?}");
    }
    let other = raw(&lan, "{\"verb\":\"status\",\"protocol\":2}\n")?;
    let why = other.first().context("no answer")?["end"]["refused"].as_str().unwrap_or_default().to_owned();
    ensure!(why.contains("version 2") && why.contains("speaks version 1"), "{other:?}");
    let unknown = raw(&lan, "{\"verb\":\"dance\",\"protocol\":1}\n")?;
    ensure!(unknown[0]["end"]["refused"].as_str().is_some_and(|why| why.contains("dance")), "{unknown:?}");
    Ok(())
}
