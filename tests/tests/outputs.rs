//! Each output of the daemon may stand still, be gone or be full: the daemon goes on serving, and reports what was
//! left out.

use anyhow::{Context, Result, ensure};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Output, Stdio};
use system_tests::client::{Client, ServerAddress};
use system_tests::full_disk::FullDisk;
use system_tests::namespace::End;
use system_tests::packet::{PacketSocket, Sees};
use system_tests::paths::SERVER;
use system_tests::process::{output, run};
use system_tests::server::{Launch, Server, Xdp, cli};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/16"
pools = ["10.0.0.10 - 10.0.250.250"]
lease-time = "10m"
"#;

/// Serves again, with standard error where `path` is.
fn say_to(server: &mut Server, path: &Path) -> Result<()> {
    server.stop()?;
    let to = format!("exec \"$@\" 2>>{}", path.display());
    // The most that it has to say.
    let environment = [("RUST_LOG", "trace")];
    let launch = Launch { under: &["sh", "-c", &to, "sh"], environment: &environment, ..Launch::default() };
    server.start_again_with(&launch)
}

/// A pipe that its maker could read.
fn pipe(path: &Path) -> Result<File> {
    mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)?;
    // Open for writing, too: so it has a reader before it has a writer.
    Ok(File::options().read(true).write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?)
}

fn lines_dropped(server: &Server) -> Result<u64> {
    server.stats()?.count(&["daemon", "log-lines-dropped"])
}

/// New clients get leases until lines of the log were left out, and after that; the operator is answered.
fn serves_although_it_cannot_log(lan: &Lan, server: &mut Server) -> Result<u64> {
    let mut clients = 0..u16::MAX;
    while lines_dropped(server)? == 0 {
        for n in clients.by_ref().take(100) {
            lan.client(n).dora().with_context(|| format!("client {n}"))?;
        }
    }
    for n in clients.take(20) {
        let client = lan.client(n);
        client.renew(&client.dora()?)?;
    }
    ensure!(server.json(&["status"])?["stage"] == "serving");
    let printed = output(&mut server.cli(&["stats"])?)?;
    ensure!(String::from_utf8_lossy(&printed.stdout).contains("log-lines-dropped"), "{printed:?}");
    lines_dropped(server)
}

#[test]
fn a_log_that_nobody_reads_stops_nothing_and_says_later_what_it_lacks() -> Result<()> {
    let lan = Lan::new("outputs", SERVER, 16)?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let path = lan.world.dir().join("log.fifo");
    let mut log = pipe(&path)?;
    say_to(&mut server, &path)?;
    serves_although_it_cannot_log(&lan, &mut server)?;

    // Now somebody reads.
    let mut text = Vec::new();
    let told = until("the log to say what it lacks", PROMPT, || {
        let mut octets = [0; 65536];
        match log.read(&mut octets) {
            Ok(length) => text.extend_from_slice(&octets[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().find(|line| line.contains("left out here") && line.contains("WARN"));
        Ok(line.and_then(|line| line.split(' ').find_map(|word| word.parse::<u64>().ok())))
    })?;
    ensure!(told > 0 && told <= lines_dropped(&server)?, "{told}");
    Ok(())
}

#[test]
fn it_ends_in_time_although_nobody_reads_its_log() -> Result<()> {
    let lan = Lan::new("outputs", SERVER, 16)?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let path = lan.world.dir().join("log.fifo");
    let _log = pipe(&path)?;
    say_to(&mut server, &path)?;
    serves_although_it_cannot_log(&lan, &mut server)?;
    server.stop()
}

#[test]
fn a_log_whose_reader_is_gone_stops_nothing() -> Result<()> {
    let lan = Lan::new("outputs", SERVER, 16)?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let path = lan.world.dir().join("log.fifo");
    let log = pipe(&path)?;
    say_to(&mut server, &path)?;
    drop(log);
    serves_although_it_cannot_log(&lan, &mut server)?;
    server.stop()
}

#[test]
fn a_log_on_a_full_device_stops_nothing() -> Result<()> {
    let lan = Lan::new("outputs", SERVER, 16)?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    say_to(&mut server, Path::new("/dev/full"))?;
    serves_although_it_cannot_log(&lan, &mut server)?;
    server.stop()
}

#[test]
fn log_and_state_on_one_full_disk_stop_nothing_that_was_promised() -> Result<()> {
    let lan = Lan::new("outputs", SERVER, 16)?;
    let disk = FullDisk::mount(&lan.world.dir().join("state"), "32m")?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let path = lan.world.dir().join("state/log");
    say_to(&mut server, &path)?;
    let client = lan.client(60_000);
    let lease = client.dora()?;
    disk.fill()?;
    serves_although_it_cannot_log(&lan, &mut server)?;
    client.renew(&lease)?;
    disk.make_room()?;
    lan.client(60_001).dora()?;
    until("the log to say what it lacks", PROMPT, || {
        let log = fs::read(&path)?;
        Ok(String::from_utf8_lossy(&log).contains("left out here").then_some(()))
    })?;
    ensure!(server.json(&["audit"])?["consistent"] == true);
    server.stop()
}

/// A second link of server and clients.
const SECOND: &str = r#"
[[interface]]
name = "srv1"
xdp = "off"

[[subnet]]
prefix = "10.1.0.0/16"
pools = ["10.1.0.10 - 10.1.250.250"]
lease-time = "10m"
"#;

#[test]
fn a_link_that_takes_nothing_holds_up_no_other() -> Result<()> {
    let lan = Lan::new("outputs", SERVER, 16)?;
    let (mac, ip) = ([0x02, 0x53, 0, 0, 0, 2], Ipv4Addr::new(10, 1, 0, 1));
    let here = End { name: "srv1", mac, address: Some((ip, 16)) };
    lan.server.join(
        &here,
        &lan.clients,
        &End { name: "cli1", mac: [0x02, 0x43, 0, 0, 0, 2], address: None },
    )?;
    let socket = PacketSocket::open(&lan.clients, "cli1", Sees::Arrivals)?;
    let there = |n: u16| {
        Client::new(
            &socket,
            [2, 0xc2, 0, 0, n.to_be_bytes()[0], n.to_be_bytes()[1]],
            ServerAddress { mac, ip },
        )
    };
    let server = Server::start(&lan, Xdp::Off, &format!("{SUBNET}{SECOND}"))?;
    there(0).dora()?;
    let tc = |words: &str| run(lan.server.command("tc").args(words.split(' '))).map(drop);
    // A bit a second: what is sent stays in the link's queue, which has no end.
    tc("qdisc add dev srv1 root tbf rate 8bit burst 2000 limit 100000000")?;
    let not_sent =
        || -> Result<u64> { Ok(server.stats()?.count(&["daemon", "dropped", "not-sent"]).unwrap_or(0)) };
    let mut newcomers = 1..u16::MAX;
    until("replies to be refused", PROMPT, || {
        for n in newcomers.by_ref().take(50) {
            there(n).send(&there(n).discovering())?;
        }
        Ok((not_sent()? > 20).then_some(()))
    })?;
    // Which link it is, and whose answers are lost.
    let stats = server.stats()?;
    ensure!(stats.count(&["daemon", "not-sent", "srv1"])? > 0, "{stats:?}");
    ensure!(stats.count(&["daemon", "not-sent", "srv0"])? == 0, "{stats:?}");
    let trouble = || -> Result<String> {
        Ok(server.json(&["status"])?["trouble"].as_str().unwrap_or_default().to_owned())
    };
    ensure!(trouble()?.contains("could not be sent on srv1"), "{}", trouble()?);
    until("the loss to be explained", PROMPT, || {
        let client = there(newcomers.next().context("more newcomers")?);
        client.send(&client.discovering())?;
        let mac = client.mac.map(|octet| format!("{octet:02x}")).join(":");
        let said = until("it to be heard", PROMPT, || Ok(server.json(&["explain", &mac]).ok()))?;
        Ok(said["why"].as_str().is_some_and(|why| why.starts_with("not-sent: ")).then_some(()))
    })?;

    for n in 0..50 {
        let client = lan.client(n);
        client.renew(&client.dora().with_context(|| format!("client {n} of the other link"))?)?;
    }
    tc("qdisc del dev srv1 root")?;
    until("the link to be served again", PROMPT, || Ok(there(0).dora().ok()))?;
    until("the trouble to be over", 4 * PROMPT, || Ok(trouble()?.is_empty().then_some(())))
}

#[test]
fn a_service_manager_that_does_not_listen_stops_nothing() -> Result<()> {
    let lan = Lan::new("outputs", SERVER, 16)?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    server.stop()?;
    let path = lan.world.dir().join("notify.sock");
    let manager = UnixDatagram::bind(&path)?;
    manager.set_read_timeout(Some(PROMPT))?;
    let socket = path.display().to_string();
    let environment = [("NOTIFY_SOCKET", socket.as_str())];
    server.start_again_with(&Launch { environment: &environment, ..Launch::default() })?;

    let probe = UnixDatagram::unbound()?;
    probe.set_nonblocking(true)?;
    let is_full = || match probe.send_to(b"X_TEST=1", &path) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Some(())),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(None),
    };
    until("the manager's socket to be full", PROMPT, is_full)?;
    let newcomers = |from: u16| (from..from + 20).try_for_each(|n| lan.client(n).dora().map(drop));
    newcomers(0)?;
    // More steps than are kept for a manager that never listens.
    for _ in 0..10 {
        server.reload()?;
    }
    newcomers(20)?;
    ensure!(server.json(&["status"])?["stage"] == "serving");
    ensure!(server.stats()?.count(&["daemon", "notifications-dropped"])? > 0);

    // Now it listens.
    let told = |line: &str| {
        until(&format!("the manager to be told {line}"), PROMPT, || {
            let mut octets = [0; 4096];
            let length = manager.recv(&mut octets)?;
            Ok(String::from_utf8_lossy(&octets[..length]).lines().any(|told| told == line).then_some(()))
        })
    };
    told("RELOADING=1")?;
    told("READY=1")?;
    told("WATCHDOG=1")?;
    server.stop()?;
    told("STOPPING=1")
}

#[test]
fn a_control_socket_that_cannot_be_had_is_an_error() -> Result<()> {
    let lan = Lan::new("outputs", SERVER, 16)?;
    let server = Server::start(&lan, Xdp::Off, SUBNET)?;
    let dir = lan.world.dir().display();
    let run = |socket: &str| -> Result<Output> {
        let config = format!(
            "[server]\nstate-dir = \"{dir}/other\"\ncontrol-socket = \"{socket}\"\npin-dir = \"{dir}/bpf/other\"\n\
             [[interface]]\nname = \"srv0\"\nxdp = \"off\"\n{SUBNET}"
        );
        let file = lan.world.write("other.toml", &config)?;
        let mut command = lan.server.command(cli()?.get_program().to_str().context("a name of text")?);
        output(command.args(["run", "--config"]).arg(file))
    };
    let plain = lan.world.write("plain", "")?.display().to_string();
    let cases = [
        (format!("{dir}/control.sock"), "another xdhcpd answers"),
        (plain, "no socket"),
        ("/etc/xdhcpd.sock".to_owned(), "can't make the control socket"),
        ("/proc/xdhcpd/control.sock".to_owned(), "can't make the control socket"),
    ];
    for (socket, why) in &cases {
        let ended = run(socket)?;
        let said = String::from_utf8_lossy(&ended.stderr);
        ensure!(ended.status.code() == Some(1), "{socket}: {ended:?}");
        ensure!(said.contains(why) && !said.contains("panicked"), "{socket}: {said}");
    }
    ensure!(server.json(&["status"])?["stage"] == "serving", "the first is as it was");
    Ok(())
}

#[test]
fn commands_that_nobody_reads_end_as_they_should() -> Result<()> {
    let lan = Lan::new("outputs", SERVER, 16)?;
    let server = Server::start(&lan, Xdp::Off, SUBNET)?;
    let bad = lan.world.write("bad.toml", "nonsense = 1\n")?.display().to_string();
    let gone = lan.world.dir().join("gone.sock").display().to_string();
    let leases = lan.world.write("leases.jsonl", "{}\n")?.display().to_string();
    let pins = lan.world.bpf().join("nothing").display().to_string();
    let there = lan.world.dir().join("control.sock").display().to_string();
    let full = || File::options().write(true).open("/dev/full");
    let status = |words: &[&str], environment: &[(&str, &str)], out: Stdio| -> Result<Option<i32>> {
        let mut command = cli()?;
        command.args(words).envs(environment.iter().copied()).stdin(Stdio::null());
        Ok(command.stdout(out).stderr(full()?).status()?.code())
    };
    let unanswered = [
        (1, vec!["run", "--config", &bad]),
        (1, vec!["attach", "--config", &bad]),
        (1, vec!["detach", "--config", &bad]),
        (1, vec!["detach", "--pin-dir", &pins]),
        (1, vec!["check-config", &bad]),
        (1, vec!["check-config", &gone]),
        (1, vec!["export", "--config", &bad]),
        (3, vec!["export", "--control", &gone]),
        (3, vec!["import", &leases, "--control", &gone]),
        (1, vec!["import", &leases, "--control", &there]),
        (2, vec!["import", &gone, "--control", &there]),
        (1, vec!["lease", "show", "10.0.0.77", "--control", &there]),
        (1, vec!["lease", "release", "10.0.0.77", "--control", &there]),
        (1, vec!["quarantine", "clear", "10.0.0.77", "--control", &there]),
        (1, vec!["explain", "10.0.0.77", "--control", &there]),
        (3, vec!["events", "--control", &gone]),
        (3, vec!["reload", "--control", &gone]),
        (2, vec!["nonsense"]),
        (2, vec!["lease", "show", "nonsense"]),
    ];
    for (expected, words) in &unanswered {
        let ended = status(words, &[], Stdio::null())?;
        ensure!(ended == Some(*expected), "{words:?} ended with {ended:?}, not {expected}");
    }
    for verb in ["status", "stats", "pools", "leases", "orphans", "quarantine", "audit"] {
        ensure!(status(&[verb, "--control", &gone], &[], Stdio::null())? == Some(3), "{verb}");
        ensure!(status(&[verb, "--control", &there], &[], Stdio::null())? == Some(0), "{verb}");
    }
    for verb in ["status", "stats", "pools", "leases", "audit"] {
        let ended = status(&[verb, "--control", &there, "--json"], &[], full()?.into())?;
        ensure!(ended == Some(2), "{verb} that can't be printed ended with {ended:?}");
    }
    let help = status(&["--help"], &[], full()?.into())?;
    ensure!(help == Some(2), "help that can't be printed ended with {help:?}");
    for wrong in ["info,=", "debug,,dhcp_user=nonsense"] {
        let ended = status(&["run", "--config", &bad], &[("RUST_LOG", wrong)], Stdio::null())?;
        ensure!(ended == Some(2), "RUST_LOG={wrong} ended with {ended:?}");
    }
    ensure!(server.json(&["status"])?["stage"] == "serving");
    // A server that starts by hand is told so, too.
    let mut command = cli()?;
    let said = output(command.args(["run", "--config", &bad]).env("RUST_LOG", "debug,dhcp_user=nonsense"))?;
    ensure!(String::from_utf8_lossy(&said.stderr).contains("write a level"), "{said:?}");
    Ok(())
}

/// What they print has no room, nor what they would say of that: each ends with a status that says so.
#[test]
fn commands_without_room_for_what_they_print_end_with_a_plain_status() -> Result<()> {
    let lan = Lan::new("no-room", SERVER, 16)?;
    let journal = lan.world.dir().join("journal").display().to_string();
    let config = format!("{SUBNET}[journal]\ndirectory = \"{journal}\"\n");
    let server = Server::start(&lan, Xdp::Off, &config)?;
    let lease = lan.client(1).dora()?;
    let address = lease.address.to_string();
    let path = |name: &str| lan.world.dir().join(name).display().to_string();
    let (there, gone, config, store) =
        (path("control.sock"), path("gone"), path("xdhcpd.toml"), path("state/store"));
    let isc = "subnet 10.0.0.0 netmask 255.255.255.0 { range 10.0.0.10 10.0.0.20; }\n";
    let isc = lan.world.write("dhcpd.conf", isc)?.display().to_string();
    let kea = lan.world.write("leases.csv", "nonsense\n")?.display().to_string();
    let begin = |words: &[&str]| -> Result<std::process::Child> {
        let full = || File::options().write(true).open("/dev/full");
        let mut command = lan.server.command(cli()?.get_program().to_str().context("a name of text")?);
        command.args(words).stdin(Stdio::null()).stdout(full()?).stderr(full()?);
        Ok(command.spawn()?)
    };
    let cases = [
        (2, vec!["completions", "bash"]),
        (2, vec!["man", &gone]),
        (2, vec!["reference", &gone]),
        (1, vec!["derive-config"]),
        (2, vec!["derive-config", "--interface", "srv0"]),
        (2, vec!["derive-config", "--interface", "nonsense"]),
        (2, vec!["check-config", &config, "--json"]),
        (1, vec!["check-config", &isc]),
        (2, vec!["store", "check", &store]),
        (1, vec!["store", "check", &gone]),
        (2, vec!["who-had", &address, "--directory", &journal]),
        (2, vec!["who-had", &address, "--directory", &gone]),
        (2, vec!["import-config", "--from", "isc", &isc]),
        (1, vec!["import-config", "--from", "kea", &kea]),
        (1, vec!["import-leases", "--from", "kea", &kea, "--control", &there]),
        (3, vec!["import-leases", "--from", "dnsmasq", &isc, "--control", &gone]),
        (2, vec!["top", "--control", &there]),
        (3, vec!["capture", "--control", &gone]),
        (2, vec!["extcap"]),
        (2, vec!["extcap", "--extcap-interfaces"]),
        (2, vec!["export", "--control", &there]),
        (2, vec!["events", "--no-follow", "--control", &there]),
        (2, vec!["explain", &address, "--control", &there]),
        (2, vec!["lease", "show", &address, "--control", &there]),
        (2, vec!["reservation", "list", "--control", &there, "--json"]),
        (2, vec!["--version"]),
        (2, vec!["help", "run"]),
        (1, vec!["hook-runner"]),
    ];
    let mut wrong = Vec::new();
    for (expected, words) in &cases {
        let ended = begin(words)?.wait()?.code();
        if ended != Some(*expected) {
            wrong.push(format!("{words:?} ended with {ended:?}, not {expected}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    // What follows ends with the first line that has no room.
    for words in [&["capture"][..], &["capture", "--write", "-"], &["capture", "--json"], &["events"]] {
        let mut following = begin(&[words, &["--control", &there]].concat())?;
        let mut newcomers = 10..;
        let ended = until("it to end", PROMPT, || {
            lan.client(newcomers.next().context("clients without end")?).dora()?;
            Ok(following.try_wait()?)
        });
        let _ = following.kill();
        let ended = ended.with_context(|| format!("{words:?}"))?.code();
        ensure!(ended == Some(2), "{words:?} ended with {ended:?}");
    }
    ensure!(server.json(&["status"])?["stage"] == "serving");
    Ok(())
}
