//! Hooks: programs run for events; whatever they do, none of them delays a lease.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use system_tests::client::{Client, Lease, append_option, granted};
use system_tests::paths::SERVER;
use system_tests::process::{Process, output};
use system_tests::server::{Server, Xdp, after};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.99"]
lease-time = "10m"
"#;

/// A program of the test's own.
fn program(lan: &Lan, name: &str, text: &str) -> Result<PathBuf> {
    let path = lan.world.dir().join(name);
    fs::write(&path, text)?;
    fs::set_permissions(&path, Permissions::from_mode(0o755))?;
    Ok(path)
}

fn hook(program: &Path, events: &str, more: &str) -> String {
    format!("[[hook]]\nevents = [{events}]\ncommand = [\"{}\"]\n{more}\n", program.display())
}

/// What `stats` says of a hook, as soon as it fits.
fn counts(server: &Server<'_>, hook: usize, what: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
    until(what, after(3), || {
        let counts = server.json(&["stats"])?["hooks"][hook].clone();
        Ok(fits(&counts).then_some(counts))
    })
}

/// The process that runs hooks.
fn runner(server: &Server<'_>) -> Result<Pid> {
    let path = format!("/proc/{0}/task/{0}/children", server.pid()?);
    until("the process that runs hooks", PROMPT, || {
        let children = fs::read_to_string(&path)?;
        Ok(children.split_whitespace().next().map(str::parse).transpose()?.map(Pid::from_raw))
    })
}

/// Whether a process is there that was started with these words.
fn is_running(words: &str) -> Result<bool> {
    let running = fs::read_dir("/proc")?.flatten().any(|process| {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ").contains(words)
    });
    Ok(running)
}

fn until_nothing_runs(words: &str) -> Result<()> {
    until(&format!("`{words}` to be gone"), PROMPT, || Ok((!is_running(words)?).then_some(())))
}

/// A lease, for whatever hooks do: it takes no longer than without.
fn lease(lan: &Lan, n: u16) -> Result<Lease> {
    lan.client(n).dora()
}

#[test]
fn a_hook_is_told_of_each_event_of_its_kinds_in_order_and_has_no_rights() -> Result<()> {
    let lan = Lan::new("hooks", SERVER, 24)?;
    let (told, rights) = (lan.world.dir().join("told"), lan.world.dir().join("rights"));
    let writes = format!(
        "#!/bin/sh\ncat >> {}\ngrep -E '^(Cap|NoNew)' /proc/self/status > {}\nenv >> {1}\n",
        told.display(),
        rights.display()
    );
    let writes = program(&lan, "writes", &writes)?;
    let server = Server::start(
        &lan,
        Xdp::Native,
        &(SUBNET.to_owned() + &hook(&writes, "\"granted\", \"ended\"", "")),
    )?;
    let mut expected = Vec::new();
    for n in 1..=5 {
        let client = Client { client_id: Some(vec![0, 7]), ..lan.client(n) };
        let held = client.dora()?;
        client.release(&held)?;
        for what in ["granted", "released"] {
            expected.push((what.to_owned(), held.address.to_string()));
        }
    }
    counts(&server, 0, "all runs", |counts| counts["done"] == 10)?;
    let lines: Vec<Value> =
        fs::read_to_string(&told)?.lines().map(serde_json::from_str).collect::<serde_json::Result<_>>()?;
    let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
    let seen: Vec<(String, String)> =
        lines.iter().map(|event| (text(event, "what"), text(event, "address"))).collect();
    ensure!(seen == expected, "{seen:?}, but {expected:?}");
    ensure!(lines.iter().all(|event| event["number"].is_u64() && event["client-id"] == "00:07"), "{lines:?}");
    let rights = fs::read_to_string(&rights)?;
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        ensure!(rights.contains(&format!("{set}:\t0000000000000000")), "{rights}");
    }
    ensure!(rights.contains("NoNewPrivs:\t1"), "{rights}");
    let names: Vec<&str> = rights.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    ensure!(names.iter().all(|name| ["PATH", "PWD", "OLDPWD", "SHLVL", "_"].contains(name)), "{rights}");
    Ok(())
}

/// Whatever a program does: leases are granted, it is counted and told, and nothing of it is left.
#[test]
fn a_hook_that_hangs_forks_prints_fails_or_is_not_there_costs_no_lease() -> Result<()> {
    let lan = Lan::new("hooks", SERVER, 24)?;
    let unique = lan.world.dir().file_name().context("a directory")?.to_string_lossy().into_owned();
    let hangs = program(
        &lan,
        "hangs",
        &format!("#!/bin/sh\nexec -a 'hang {unique}' sleep 1000\n").replace("/bin/sh", "/bin/bash"),
    )?;
    let forks = format!(
        "#!/bin/bash\nfor i in 1 2 3; do (exec -a 'kept {unique}' sleep 1000) & done\nsetsid bash -c \"exec -a 'away {unique}' sleep 1000\" &\n\
         until pgrep -f \"^away {unique}\" > /dev/null; do sleep 0.01; done\n"
    );
    let forks = program(&lan, "forks", &forks)?;
    let prints = program(
        &lan,
        "prints",
        "#!/bin/sh\nhead -c 20000000 /dev/zero\nhead -c 20000000 /dev/zero >&2\nprintf '\\nthe last word\\n' >&2\nexit 3\n",
    )?;
    let absent = lan.world.dir().join("absent");
    let of = |program: &Path, more: &str| hook(program, "\"granted\"", more);
    let hooks =
        of(&hangs, "timeout = \"1s\"\nqueue = 2") + &of(&forks, "") + &of(&prints, "") + &of(&absent, "");
    let mut server = Server::start(&lan, Xdp::Off, &(SUBNET.to_owned() + &hooks))?;
    for n in 1..=8 {
        lease(&lan, n)?;
    }
    let hung =
        counts(&server, 0, "runs that took too long", |counts| counts["timed-out"].as_u64() > Some(1))?;
    ensure!(hung["dropped"].as_u64() > Some(0) && hung["done"] == 0, "{hung}");
    let forked = counts(&server, 1, "runs that left something behind", |counts| counts["done"] == 8)?;
    ensure!(forked["left-behind"].as_u64() >= Some(8), "{forked}");
    counts(&server, 2, "runs that failed", |counts| counts["failed"] == 8)?;
    counts(&server, 3, "runs that could not be started", |counts| counts["not-started"] == 8)?;
    let trouble = server.json(&["status"])?["trouble"].as_str().unwrap_or_default().to_owned();
    for said in [
        "hangs fails: it took longer than 1 s",
        "prints fails: exit status 3: the last word",
        "absent fails: No such file",
    ] {
        ensure!(trouble.contains(said), "{said}: {trouble}");
    }
    until("the log to tell", PROMPT, || {
        Ok(server.log().contains("a hook failed: exit status 3").then_some(()))
    })?;
    until_nothing_runs(&format!("kept {unique}"))?;
    until_nothing_runs(&format!("away {unique}"))?;

    // Killed in the middle of a run, the daemon leaves nothing behind.
    lease(&lan, 20)?;
    until("a run", PROMPT, || Ok(is_running(&format!("hang {unique}"))?.then_some(())))?;
    let runner = runner(&server)?;
    server.crash()?;
    until("the process that runs hooks to be gone", PROMPT, || {
        Ok(kill(runner, None).is_err().then_some(()))
    })?;
    until_nothing_runs(&format!("hang {unique}"))?;

    server.start_again()?;
    lease(&lan, 30)?;
    server.stop()
}

/// What the daemon can't start any more is started again by who was there before it lost the right.
#[test]
fn a_process_that_runs_hooks_and_ends_is_started_again() -> Result<()> {
    let lan = Lan::new("hooks", SERVER, 24)?;
    let unique = lan.world.dir().file_name().context("a directory")?.to_string_lossy().into_owned();
    let hangs = program(&lan, "hangs", &format!("#!/bin/bash\nexec -a 'held {unique}' sleep 1000\n"))?;
    let quick = program(&lan, "quick", "#!/bin/sh\n")?;
    let hooks = hook(&quick, "\"granted\"", "") + &hook(&hangs, "\"granted\"", "timeout = \"10m\"");
    let mut server = Server::start(&lan, Xdp::Off, &(SUBNET.to_owned() + &hooks))?;
    let trouble = |said: &str| {
        until(said, PROMPT, || {
            let trouble = server.json(&["status"])?["trouble"].to_string();
            Ok(trouble.contains(said).then_some(()))
        })
    };
    lease(&lan, 1)?;
    counts(&server, 0, "a run", |counts| counts["done"] == 1)?;
    until("the other to run", PROMPT, || Ok(is_running(&format!("held {unique}"))?.then_some(())))?;
    let keeper = runner(&server)?;
    let kept = || -> Result<Option<Pid>> {
        let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children"))?;
        Ok(children.split_whitespace().next().map(str::parse).transpose()?.map(Pid::from_raw))
    };
    let first = kept()?.context("a runner")?;
    kill(first, Signal::SIGKILL)?;
    trouble("the process that runs hooks has ended (ended by SIGKILL)")?;
    // What ran is gone with it, and meanwhile leases are granted.
    until_nothing_runs(&format!("held {unique}"))?;
    lease(&lan, 2)?;
    until("another runner", PROMPT, || Ok(kept()?.filter(|runner| *runner != first)))?;
    lease(&lan, 3)?;
    counts(&server, 0, "runs by the other", |counts| counts["done"].as_u64() >= Some(2))?;
    until("the trouble to be over", PROMPT, || {
        Ok(server.json(&["status"])?["trouble"].is_null().then_some(()))
    })?;
    // Stopped, they hold up neither leases nor, at last, the end.
    let second = kept()?.context("a runner")?;
    for stopped in [second, keeper] {
        kill(stopped, Signal::SIGSTOP)?;
    }
    lease(&lan, 5)?;
    server.stop()?;
    // Nobody has to let them go on: they end after the daemon, and end what runs.
    until_nothing_runs(&format!("held {unique}"))?;
    server.start_again()?;
    let keeper = runner(&server)?;
    // Without both, hooks are not run, and that is said.
    let kept = || -> Result<Option<Pid>> {
        let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children"))?;
        Ok(children.split_whitespace().next().map(str::parse).transpose()?.map(Pid::from_raw))
    };
    let second = until("a runner", PROMPT, kept)?;
    kill(keeper, Signal::SIGKILL)?;
    kill(second, Signal::SIGKILL)?;
    until("the end of both to be told", PROMPT, || {
        let trouble = server.json(&["status"])?["trouble"].to_string();
        Ok(trouble.contains("the processes that run hooks have ended").then_some(()))
    })?;
    lease(&lan, 4)?;
    server.stop()
}

#[test]
fn without_a_hook_there_is_no_process_and_the_first_takes_a_restart() -> Result<()> {
    let lan = Lan::new("hooks", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Off, SUBNET)?;
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", server.pid()?))?;
    ensure!(children.trim().is_empty(), "{children}");
    ensure!(server.json(&["stats"])?.get("hooks").is_none());
    let program = program(&lan, "nothing", "#!/bin/sh\n")?;
    server.rewrite(&lan, Xdp::Off, &(SUBNET.to_owned() + &hook(&program, "\"all\"", "")))?;
    let reload = output(&mut server.cli(&["reload"])?)?;
    let said = String::from_utf8_lossy(&reload.stderr).into_owned() + &server.log();
    ensure!(said.contains("[[hook]]") && said.contains("restart"), "{said}");
    lease(&lan, 1).map(drop)
}

/// BIND with a zone for names and one for addresses, on a port of the server's namespace.
fn bind(lan: &Lan) -> Result<Process> {
    let dir = lan.world.dir().join("bind");
    fs::create_dir(&dir)?;
    let at = dir.display();
    let zone = "$TTL 60\n@ SOA ns admin 1 60 60 60 60\n@ NS ns\nns A 127.0.0.1\n";
    fs::write(dir.join("forward"), zone)?;
    fs::write(
        dir.join("backward"),
        zone.replace("ns A 127.0.0.1\n", "").replace(" ns", " ns.dhcp.example.org."),
    )?;
    let key = "key \"xdhcpd\" { algorithm hmac-sha256; secret \"c2VjcmV0IG9mIHRoZSB0ZXN0IG9uZSB0d28=\"; };\n";
    fs::write(dir.join("key"), key)?;
    let config = format!(
        "include \"{at}/key\";\n\
         options {{ directory \"{at}\"; pid-file none; session-keyfile none; listen-on port 5300 {{ 127.0.0.1; }};\n\
           listen-on-v6 {{ none; }}; recursion no; dnssec-validation no; }};\n\
         controls {{ }};\n\
         zone \"dhcp.example.org\" {{ type primary; file \"forward\"; update-policy {{ grant xdhcpd zonesub A; }}; }};\n\
         zone \"0.0.10.in-addr.arpa\" {{ type primary; file \"backward\"; update-policy {{ grant xdhcpd zonesub PTR; }}; }};\n"
    );
    fs::write(dir.join("named.conf"), config)?;
    let mut command = lan.server.command("named");
    command.arg("-g").arg("-c").arg(dir.join("named.conf"));
    Process::start("named", command, &dir.join("named.log"))
}

/// What BIND says.
fn dig(lan: &Lan, words: &[&str]) -> Result<String> {
    let mut command = lan.server.command("dig");
    command.args(["@127.0.0.1", "-p", "5300", "+short", "+tries=1", "+time=2"]).args(words);
    Ok(String::from_utf8(output(&mut command)?.stdout)?.trim().to_owned())
}

#[test]
fn names_in_the_dns_follow_leases() -> Result<()> {
    let lan = Lan::new("hooks", SERVER, 24)?;
    let named = bind(&lan)?;
    until("BIND to answer", PROMPT, || {
        Ok((dig(&lan, &["ns.dhcp.example.org"])? == "127.0.0.1").then_some(()))
    })
    .with_context(|| named.log())?;
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dhcp-user/hooks/dns-update");
    let key = lan.world.dir().join("bind/key");
    let hook = format!(
        "[[hook]]\nevents = [\"granted\", \"ended\"]\ncommand = [\"{}\", \"dhcp.example.org\", \"{}\", \"127.0.0.1\", \"5300\"]\n",
        example.display(),
        key.display()
    );
    let server = Server::start(&lan, Xdp::Native, &(SUBNET.to_owned() + &hook))?;
    let client = lan.client(1);
    let offer = client.discover()?;
    let mut selecting = client.selecting(&offer)?;
    append_option(&mut selecting.message.options, 12, b"printer");
    let held = granted(&client.exchange(&selecting)?)?;
    let is = |words: &[&str], wanted: &str| {
        until(&format!("{words:?} to be {wanted:?}"), after(3), || {
            Ok((dig(&lan, words)? == wanted).then_some(()))
        })
        .with_context(|| format!("{}\n{}", server.json(&["stats"]).unwrap_or_default()["hooks"], named.log()))
    };
    let (address, reverse) = (held.address.to_string(), held.address.to_string());
    is(&["printer.dhcp.example.org"], &address)?;
    is(&["-x", &reverse], "printer.dhcp.example.org.")?;
    client.release(&held)?;
    is(&["printer.dhcp.example.org"], "")?;
    is(&["-x", &reverse], "")?;
    Ok(())
}
