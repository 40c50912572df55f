//! A FIFO, a device, a directory or a file without an end in the place of a file that somebody names: it is said what it
//! is, and nothing hangs or takes all memory. And a standard output that is closed.

use anyhow::{Context, Result, ensure};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use system_tests::paths::SERVER;
use system_tests::process::output;
use system_tests::server::{Launch, Server, Xdp, binary};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.99"]
lease-time = "10m"
"#;

/// Runs a command that has a minute and 1 GiB of memory; 124 is that it took longer.
fn bounded(words: &[&str]) -> Result<Output> {
    let mut command = Command::new("bash");
    command.args(["-c", "ulimit -v 1048576; exec timeout 60 \"$0\" \"$@\"", &binary()?]).args(words);
    output(command.stdin(Stdio::null()))
}

/// It fails with a message that has all of `told`, and does not hang.
fn refuses(words: &[&str], told: &[&str]) -> Result<()> {
    let ended = bounded(words)?;
    let said = String::from_utf8_lossy(&ended.stderr).into_owned() + &String::from_utf8_lossy(&ended.stdout);
    ensure!(matches!(ended.status.code(), Some(1..=3)), "{words:?} ended with {:?}: {said}", ended.status);
    for told in told {
        ensure!(said.contains(told), "{words:?} doesn't say `{told}`: {said}");
    }
    ensure!(!said.contains("panicked"), "{said}");
    Ok(())
}

fn fifo(path: &Path) -> Result<String> {
    let _ = fs::remove_file(path);
    mkfifo(path, Mode::S_IRWXU)?;
    Ok(path.display().to_string())
}

const IS_A_FIFO: &str = "it is a FIFO, and must be a regular file";

#[test]
fn commands_say_what_stands_in_the_place_of_a_file() -> Result<()> {
    let lan = Lan::new("odd-files", SERVER, 24)?;
    let dir = lan.world.dir();
    let pipe = fifo(&dir.join("pipe"))?;
    let whole = lan.world.write("leases.jsonl", "")?.display().to_string();
    let _server = Server::start(&lan, Xdp::Off, SUBNET)?;
    let control = dir.join("control.sock").display().to_string();
    for words in [
        &["check-config", &pipe][..],
        &["run", "--config", &pipe],
        &["attach", "--config", &pipe],
        &["detach", "--config", &pipe],
        &["export", "--config", &pipe],
        &["export", "--config", &pipe, "--as", "kea"],
        &["import", &pipe, "--control", &control],
        &["import-config", "--from", "kea", &pipe],
        &["import-config", "--from", "isc", &pipe],
        &["import-config", "--from", "dnsmasq", &pipe],
        &["import-leases", "--from", "kea", "--print", &pipe],
        &["import-leases", "--from", "isc", "--print", &pipe],
        &["import-leases", "--from", "dnsmasq", "--print", &pipe],
    ] {
        refuses(words, &["it is a FIFO, and must be a regular file"]).or_else(|error| {
            // A verb may have no such option; what it says of its arguments is checked elsewhere.
            if error.to_string().contains("unexpected argument") { Ok(()) } else { Err(error) }
        })?;
    }
    for (path, what) in [("/dev/zero", "a device"), ("/dev", "a directory"), (&control, "a socket")] {
        refuses(&["check-config", path], &[&format!("it is {what}, and must be a regular file")])?;
        refuses(&["import", path, "--control", &control], &[&format!("it is {what}")])?;
    }
    // What somebody hands over is read, whatever it is.
    let given = |words: &[&str], text: &str| -> Result<Output> {
        let mut command = Command::new(binary()?);
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        child.stdin.take().context("a pipe")?.write_all(text.as_bytes())?;
        Ok(child.wait_with_output()?)
    };
    let config = fs::read_to_string(dir.join("xdhcpd.toml"))?;
    let checked = given(&["check-config", "/dev/stdin"], &config)?;
    ensure!(checked.status.success(), "{checked:?}");
    let isc = "subnet 10.0.0.0 netmask 255.255.255.0 { range 10.0.0.10 10.0.0.20; }\n";
    let imported = given(&["import-config", "--from", "isc", "--interface", "eth0", "/dev/stdin"], isc)?;
    ensure!(imported.status.success(), "{imported:?}");
    for file in ["-", "/dev/stdin", &whole] {
        let imported = given(&["import", file, "--control", &control], "")?;
        ensure!(imported.status.success(), "{imported:?}");
    }
    Ok(())
}

#[test]
fn a_configuration_says_what_stands_in_the_place_of_its_files_and_what_has_no_end() -> Result<()> {
    let lan = Lan::new("odd-files", SERVER, 24)?;
    let dir = lan.world.dir().to_owned();
    let server = Server::start(&lan, Xdp::Off, SUBNET)?;
    let good = fs::read_to_string(dir.join("xdhcpd.toml"))?;
    let check = |text: &str, told: &[&str]| -> Result<()> {
        let path = lan.world.write("other.toml", text)?;
        refuses(&["check-config", &path.display().to_string()], told)
    };
    fifo(&dir.join("pipe.toml"))?;
    fifo(&dir.join("pipe.csv"))?;
    fifo(&dir.join("pipe.jsonl"))?;
    check(&format!("include = [\"pipe.toml\"]\n{good}"), &["pipe.toml", IS_A_FIFO])?;
    check(&format!("include = [\"pipe*.toml\"]\n{good}"), &["pipe.toml", IS_A_FIFO])?;
    let subnet = |more: &str| good.replace("lease-time = \"10m\"", &format!("lease-time = \"10m\"\n{more}"));
    check(&subnet("reservations-file = \"pipe.csv\""), &["pipe.csv", IS_A_FIFO])?;
    check(&subnet("reservations-file = \"pipe.jsonl\""), &["pipe.jsonl", IS_A_FIFO])?;
    // Regular files by name, whose end never comes: reading waits for what the kernel will say next.
    for endless in ["/proc/kmsg", "/sys/kernel/tracing/trace_pipe", "/sys/kernel/debug/tracing/trace_pipe"] {
        if Path::new(endless).exists() {
            let link = dir.join("endless-link.csv");
            let _ = fs::remove_file(&link);
            symlink(endless, &link)?;
            let told = [endless, "where the kernel makes up what is read"];
            check(&format!("include = [\"{endless}\"]\n{good}"), &told)?;
            check(&subnet("reservations-file = \"endless-link.csv\""), &["endless-link.csv", told[1]])?;
            refuses(&["check-config", endless], &told)?;
            refuses(&["run", "--config", endless], &told)?;
            refuses(&["import-leases", "--from", "kea", "--print", endless], &told)?;
        }
    }
    let class = "[[class]]\nname = \"c\"\nmatch = { hw-address-file = \"pipe.csv\" }\n";
    check(&format!("{good}{class}"), &["pipe.csv", IS_A_FIFO])?;

    // A line of 30 MB, and files of zeros that are as long as a file system lets them be.
    let long = lan.world.write("long.toml", &format!("{good}\n# {}\n", "x".repeat(30 << 20)))?;
    refuses(&["check-config", &long.display().to_string()], &["this line is longer than 1048576 octets"])?;
    for (name, most) in [("endless.toml", "64 MiB"), ("endless.csv", "1024 MiB")] {
        File::create(dir.join(name))?.set_len(1 << 40)?;
        if name == "endless.toml" {
            let path = dir.join(name).display().to_string();
            refuses(&["check-config", &path], &[&format!("it is longer than {most}")])?;
            check(&format!("include = [\"{name}\"]\n{good}"), &["it is longer than"])?;
        } else {
            check(
                &subnet(&format!("reservations-file = \"{name}\"")),
                &[&format!("it is longer than {most}")],
            )?;
        }
    }

    // A reload under the same is refused, and what serves goes on.
    fs::write(dir.join("xdhcpd.toml"), subnet("reservations-file = \"pipe.csv\""))?;
    let reload = output(&mut server.cli(&["reload"])?)?;
    let said = String::from_utf8_lossy(&reload.stderr).into_owned();
    ensure!(reload.status.code() == Some(1) && said.contains(IS_A_FIFO), "{reload:?}");
    let _ = fs::remove_file(dir.join("endless-link.csv"));
    symlink("/proc/uptime", dir.join("endless-link.csv"))?;
    fs::write(dir.join("xdhcpd.toml"), subnet("reservations-file = \"endless-link.csv\""))?;
    let reload = output(&mut server.cli(&["reload"])?)?;
    let said = String::from_utf8_lossy(&reload.stderr).into_owned();
    ensure!(reload.status.code() == Some(1) && said.contains("makes up what is read"), "{reload:?}");
    fifo(&dir.join("xdhcpd.toml"))?;
    let reload = output(&mut server.cli(&["reload"])?)?;
    let said = String::from_utf8_lossy(&reload.stderr).into_owned();
    ensure!(reload.status.code() == Some(1) && said.contains(IS_A_FIFO), "{reload:?}");
    lan.client(1).dora().map(drop)
}

#[test]
fn a_start_and_the_store_say_what_stands_in_the_place_of_their_files() -> Result<()> {
    let lan = Lan::new("odd-files", SERVER, 24)?;
    let dir = lan.world.dir().to_owned();
    let journal = dir.join("journal");
    let config = format!("{SUBNET}[journal]\ndirectory = \"{}\"\n", journal.display());
    let mut server = Server::start(&lan, Xdp::Off, &config)?;
    lan.client(1).dora()?;
    server.stop()?;
    let state = dir.join("state");
    let place = |path: &PathBuf, what: &str| -> Result<PathBuf> {
        let aside = path.with_extension(what);
        if path.exists() {
            fs::rename(path, &aside)?;
        }
        fifo(path)?;
        Ok(aside)
    };
    let back = |path: &PathBuf, aside: &PathBuf| -> Result<()> {
        fs::remove_file(path)?;
        if aside.exists() {
            fs::rename(aside, path)?;
        }
        Ok(())
    };
    for name in ["reservations.jsonl", "store/0000000001.log", "store/reached", "store/lock"] {
        let path = state.join(name);
        let aside = place(&path, "aside")?;
        if name.starts_with("store/0") || name.ends_with("reached") {
            refuses(&["store", "check", &state.display().to_string()], &[IS_A_FIFO])?;
        }
        server.launch_again(&Launch::default())?;
        until("the start to end", PROMPT, || Ok((!server.is_running()?).then_some(())))?;
        ensure!(server.log().contains(IS_A_FIFO), "{name}: {}", server.log());
        back(&path, &aside)?;
    }
    // Journal and events are beside what is promised: it serves, and says what is wrong.
    let newest = |directory: &Path| -> Result<PathBuf> {
        let files = fs::read_dir(directory)?.flatten().map(|entry| entry.path());
        files.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).max().context("a file")
    };
    let written = newest(&journal)?;
    let aside = place(&written, "aside")?;
    refuses(&["who-had", "10.0.0.10", "--directory", &journal.display().to_string()], &[IS_A_FIFO])?;
    server.start_again()?;
    lan.client(2).dora()?;
    until("trouble with the journal to be shown", PROMPT, || {
        Ok(server.json(&["status"])?["trouble"].to_string().contains(IS_A_FIFO).then_some(()))
    })?;
    back(&written, &aside)?;
    until("the journal to be written again", PROMPT, || {
        Ok(server.json(&["status"])?["trouble"].is_null().then_some(()))
    })?;
    server.stop()?;
    let written = newest(&state.join("events"))?;
    let aside = place(&written, "aside")?;
    server.start_again()?;
    lan.client(3).dora()?;
    until("trouble with events to be shown", PROMPT, || {
        Ok(server.json(&["status"])?["trouble"].to_string().contains(IS_A_FIFO).then_some(()))
    })?;
    back(&written, &aside)?;
    server.stop()?;

    // What else may stand there: it serves, says what it is, and takes the file back when it is there again.
    for directory in [&journal, &state.join("events")] {
        let written = newest(directory)?;
        let aside = written.with_extension("aside");
        fs::rename(&written, &aside)?;
        for (what, told) in
            [("a directory", "it is a directory"), ("a loop", "symbolic links"), ("a line", "is longer")]
        {
            match what {
                "a directory" => fs::create_dir(&written)?,
                "a loop" => symlink(&written, &written)?,
                // The journal reads no more than the end of such a file.
                _ if directory == &journal => continue,
                _ => fs::write(&written, "x".repeat(3 << 20))?,
            }
            server.start_again()?;
            lan.client(4).dora()?;
            until("trouble to be shown", PROMPT, || {
                Ok(server.json(&["status"])?["trouble"].to_string().contains(told).then_some(()))
            })?;
            server.stop()?;
            if what == "a directory" { fs::remove_dir(&written)? } else { fs::remove_file(&written)? }
        }
        fs::rename(&aside, &written)?;
    }
    server.start_again()?;
    lan.client(5).dora()?;
    ensure!(server.json(&["status"])?["trouble"].is_null(), "{}", server.log());
    server.stop()
}

/// It gets as many as it may, and says what to do where that is too few; no system's error is said twice.
#[test]
fn a_start_without_open_files_says_what_to_raise() -> Result<()> {
    let lan = Lan::new("odd-files", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    server.stop()?;
    server.detach()?;
    for (limit, told) in
        [("--nofile=8:8", "LimitNOFILE"), ("--nofile=64:64", "needs 132 at least"), ("--nofile=30:8192", "")]
    {
        let before = server.log().len();
        server.launch_again(&Launch { under: &["prlimit", limit], ..Launch::default() })?;
        if told.is_empty() {
            server.wait_until_ready()?;
            server.stop()?;
            server.detach()?;
            continue;
        }
        until("the start to end", PROMPT, || Ok((!server.is_running()?).then_some(())))?;
        let said = server.log().get(before..).unwrap_or_default().to_owned();
        ensure!(said.contains(told) && !said.contains("panicked"), "{limit}: {said}");
        let twice = said.lines().any(|line| line.matches("(os error").count() > 1);
        ensure!(!twice, "{limit}: {said}");
    }
    Ok(())
}

/// A stack or memory that is too small for a start is told, and ends nothing by a signal.
#[test]
fn a_start_without_stack_or_memory_says_what_to_raise() -> Result<()> {
    let lan = Lan::new("odd-files", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Off, SUBNET)?;
    server.stop()?;
    for (limit, told) in [
        ("--stack=65536", "LimitSTACK="),
        ("--stack=262144", "LimitSTACK="),
        ("--stack=65536:16777216", ""),
        ("--data=8000000", "LimitDATA="),
        ("--data=16000000", "LimitDATA="),
        ("--data=30000000", "LimitDATA="),
        ("--as=50000000", "LimitAS="),
        ("--as=150000000", "LimitAS="),
    ] {
        if !told.is_empty() {
            let mut command = Command::new("prlimit");
            command.args([limit, &binary()?, "run", "--config"]).arg(lan.world.dir().join("xdhcpd.toml"));
            let ended = output(&mut command)?;
            let said = String::from_utf8_lossy(&ended.stderr).into_owned();
            ensure!(
                ended.status.code() == Some(1) && said.contains(told),
                "{limit}: {:?} {said}",
                ended.status
            );
            continue;
        }
        server.launch_again(&Launch { under: &["prlimit", limit], ..Launch::default() })?;
        server.wait_until_ready()?;
        lan.client(1).dora()?;
        server.stop()?;
    }
    // More than the limit leaves is refused as is more than the machine has.
    let large = fs::read_to_string(lan.world.dir().join("xdhcpd.toml"))?
        .replace("10.0.0.0/24", "10.0.0.0/12")
        .replace("10.0.0.99", "10.15.255.250");
    let large = lan.world.write("large.toml", &large)?;
    let mut command = Command::new("prlimit");
    command.args(["--data=150000000", &binary()?, "run", "--config"]).arg(large);
    let ended = output(&mut command)?;
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    ensure!(ended.status.code() == Some(1) && said.contains("MiB"), "{:?} {said}", ended.status);
    Ok(())
}

/// Rust puts `/dev/null` where a standard descriptor is closed: what is written there would count as written.
#[test]
fn a_standard_output_that_is_closed_is_no_success() -> Result<()> {
    let lan = Lan::new("odd-files", SERVER, 24)?;
    let journal = lan.world.dir().join("journal");
    let server = Server::start(
        &lan,
        Xdp::Off,
        &format!("{SUBNET}[journal]\ndirectory = \"{}\"\n", journal.display()),
    )?;
    let lease = lan.client(1).dora()?.address.to_string();
    let path = |name: &str| lan.world.dir().join(name).display().to_string();
    let (there, config, state, journal) =
        (path("control.sock"), path("xdhcpd.toml"), path("state"), path("journal"));
    let isc = "subnet 10.0.0.0 netmask 255.255.255.0 { range 10.0.0.10 10.0.0.20; }\n";
    let isc = lan.world.write("dhcpd.conf", isc)?.display().to_string();
    let mut wrong = Vec::new();
    for words in [
        &["leases", "--control", &there][..],
        &["leases", "--control", &there, "--json"],
        &["status", "--control", &there],
        &["status", "--control", &there, "--json"],
        &["stats", "--control", &there],
        &["pools", "--control", &there],
        &["orphans", "--control", &there],
        &["quarantine", "--control", &there],
        &["audit", "--control", &there],
        &["explain", &lease, "--control", &there],
        &["lease", "show", &lease, "--control", &there],
        &["reservation", "list", "--control", &there],
        &["export", "--control", &there],
        &["events", "--no-follow", "--since", "0", "--control", &there],
        &["top", "--control", &there],
        &["capture", "--write", "-", "--control", &there],
        &["who-had", &lease, "--directory", &journal],
        &["store", "check", &state],
        &["check-config", &config],
        &["check-config", &config, "--json"],
        &["import-config", "--from", "isc", "--interface", "eth0", &isc],
        &["completions", "bash"],
        &["extcap", "--extcap-interfaces"],
        &["--version"],
        &["--help"],
        &["help", "run"],
    ] {
        let mut command = lan.server.command("sh");
        command.args(["-c", "exec timeout 20 \"$0\" \"$@\" >&-", &binary()?]).args(words);
        let ended = output(command.stdin(Stdio::null()))?;
        let said = String::from_utf8_lossy(&ended.stderr);
        if !matches!(ended.status.code(), Some(1..=3)) || said.trim().is_empty() || said.contains("panicked")
        {
            wrong.push(format!("{words:?} ended with {:?} and `{said}`", ended.status.code()));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(server.json(&["status"])?["stage"] == "serving");
    Ok(())
}
