//! The control socket: the rights of real other users by their groups, and the log of their requests.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
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

/// A client that asks this, and then reads no more than the kernel takes for it.
fn deaf(lan: &Lan, line: &str) -> Result<UnixStream> {
    let mut stream = UnixStream::connect(lan.world.dir().join("control.sock"))?;
    stream.write_all(line.as_bytes())?;
    Ok(stream)
}

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

/// Who follows has room of its own, and who reads nothing makes room for those who ask and read.
#[test]
fn followers_and_clients_that_do_not_read_keep_no_command_out() -> Result<()> {
    let lan = Lan::new("control", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Off, SUBNET)?;
    let mut crowd = Vec::new();
    let asked = |verb: &str| format!("{{\"verb\":\"{verb}\"}}\n");
    for _ in 0..40 {
        crowd.push(deaf(&lan, &asked("events"))?);
        crowd.push(deaf(&lan, &asked("capture"))?);
    }
    server.json(&["status"])?;
    // A new follower takes the place of one that has read nothing, however little that is.
    let mut follower = until("a follower to be let in", PROMPT, || {
        let mut stream = BufReader::new(deaf(&lan, &asked("events"))?);
        let mut first = String::new();
        stream.read_line(&mut first)?;
        Ok((!first.contains("as many")).then_some(stream))
    })?;
    for _ in 0..3 {
        ensure!(follower.read_line(&mut String::new())? > 0, "a follower that reads lost its place");
    }
    for _ in 0..40 {
        crowd.push(deaf(&lan, &asked("import"))?);
        crowd.push(deaf(&lan, &asked("leases"))?);
        crowd.push(deaf(&lan, "")?);
    }
    until("a command to be answered", PROMPT, || Ok(server.json(&["status"]).ok()))?;
    ensure!(server.json(&["leases"])?.as_array().is_some_and(Vec::is_empty));
    let left_out = server.stats()?.count(&["daemon", "control-clients-left-out"])?;
    ensure!(left_out > 0, "{left_out}");
    drop(crowd);
    Ok(())
}

/// A socket that is removed is made anew; another's in its place is left alone.
#[test]
fn a_socket_that_is_removed_is_made_anew_and_anothers_is_not_taken() -> Result<()> {
    let lan = Lan::new("control", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Off, SUBNET)?;
    let path = lan.world.dir().join("control.sock");
    fs::remove_file(&path)?;
    until("commands to be answered again", PROMPT, || Ok(server.json(&["status"]).ok()))?;
    ensure!(server.log().contains("is made anew"), "{}", server.log());
    ensure!(fs::metadata(&path)?.permissions().mode() & 0o777 == 0o660);
    fs::remove_file(&path)?;
    let other = UnixListener::bind(&path)?;
    until("the log to tell", PROMPT, || {
        Ok(server.log().contains("something else is in its place").then_some(()))
    })?;
    ensure!(UnixStream::connect(&path).is_ok(), "the other's is gone");
    drop(other);
    fs::remove_file(&path)?;
    until("commands to be answered again", PROMPT, || Ok(server.json(&["status"]).ok()))?;
    server.stop()?;
    ensure!(!path.exists(), "it is left behind");
    Ok(())
}
