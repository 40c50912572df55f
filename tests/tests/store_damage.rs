//! A lease store that is damaged, older than the maps, or gone: the daemon says so, and breaks no promise.

use anyhow::{Context, Result, ensure};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Instant;
use system_tests::client::{Client, Lease};
use system_tests::faults::Faults;
use system_tests::paths::SERVER;
use system_tests::process::{output, run};
use system_tests::server::{Launch, Server, Xdp, binary, cli};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};

/// Three addresses, so that one promised twice would soon show.
const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.12"]
lease-time = "10m"
"#;
const ACCEPT: Launch<'_> = Launch { under: &[], arguments: &["--accept-loss"], environment: &[] };

fn store(lan: &Lan) -> PathBuf {
    lan.world.dir().join("state/store")
}

fn segment(lan: &Lan) -> PathBuf {
    store(lan).join("0000000001.log")
}

/// Where the last octet that is not zero is in the file.
fn end(file: &Path) -> Result<u64> {
    let octets = fs::read(file)?;
    Ok(octets.iter().rposition(|octet| *octet != 0).context("it is blank")? as u64)
}

fn cut(file: &Path, length: u64) -> Result<()> {
    Ok(OpenOptions::new().write(true).open(file)?.set_len(length)?)
}

fn check(lan: &Lan) -> Result<Output> {
    let mut command = cli()?;
    output(command.args(["store", "check"]).arg(lan.world.dir().join("state")))
}

/// The server doesn't start, and says why.
fn refused(server: &mut Server<'_>, told: &[&str]) -> Result<()> {
    server.launch_again(&Launch::default())?;
    until("the server to end", PROMPT, || Ok((!server.is_running()?).then_some(())))?;
    let log = server.log();
    for told in told {
        ensure!(log.contains(told), "`{told}` is not told: {log}");
    }
    ensure!(!log.contains("panicked"), "{log}");
    Ok(())
}

/// Three clients with a lease each: all there are.
fn all_leased<'a>(lan: &'a Lan) -> Result<Vec<(Client<'a>, Lease)>> {
    (1..4)
        .map(|number| {
            let client = lan.client(number);
            let lease = client.dora()?;
            Ok((client, lease))
        })
        .collect()
}

/// Who has none gets no address.
fn nothing_left(lan: &Lan, server: &Server<'_>) -> Result<()> {
    let newcomer = lan.client(90);
    let before = server.stats()?.received("discover")?;
    let request = newcomer.discovering();
    newcomer.send(&request)?;
    until("the DISCOVER to be decided", PROMPT, || {
        Ok((server.stats()?.received("discover")? > before).then_some(()))
    })?;
    ensure!(newcomer.answer(&request, Instant::now())?.is_none(), "an address is promised twice");
    Ok(())
}

/// Nobody else gets an address, and who has one is answered.
fn nothing_broken(lan: &Lan, server: &Server<'_>, held: &[(Client<'_>, Lease)]) -> Result<()> {
    nothing_left(lan, server)?;
    for (client, lease) in held {
        client.renew(lease)?;
    }
    nothing_left(lan, server)
}

#[test]
fn a_segment_cut_short_is_told_and_what_the_maps_know_is_kept() -> Result<()> {
    for with_maps in [true, false] {
        let lan = Lan::new("store-damage", SERVER, 24)?;
        let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
        let held = all_leased(&lan)?;
        server.stop()?;
        ensure!(check(&lan)?.status.success(), "{:?}", check(&lan)?);
        if !with_maps {
            server.detach()?;
        }
        let segment = segment(&lan);
        let whole = end(&segment)?;
        for length in [2_000_000, whole - 40, whole / 2, 4096, 20, 0] {
            cut(&segment, length)?;
            refused(&mut server, &["0000000001.log at octet", "--accept-loss"])?;
            let checked = check(&lan)?;
            let said = String::from_utf8_lossy(&checked.stdout).into_owned();
            ensure!(checked.status.code() == Some(1) && said.contains("damaged: 0000000001.log"), "{said}");
        }
        server.start_again_with(&ACCEPT)?;
        ensure!(server.log().contains("the loss is accepted"), "{}", server.log());
        if with_maps {
            nothing_broken(&lan, &server, &held)?;
        } else {
            lan.client(9).dora()?;
        }
        ensure!(server.json(&["audit"])?["consistent"] == true);
        server.stop()?;
        // It was said once; the store is a sound one again.
        server.start_again()?;
        ensure!(check(&lan)?.status.success());
        if with_maps {
            nothing_broken(&lan, &server, &held)?;
        }
    }
    Ok(())
}

/// Its lock removed, no other daemon comes to the same store, and the one that serves goes on and makes it again.
#[test]
fn a_lock_that_is_removed_lets_no_second_server_at_the_store() -> Result<()> {
    let lan = Lan::new("store-damage", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Off, SUBNET)?;
    lan.client(1).dora()?;
    let lock = store(&lan).join("lock");
    let pid = fs::read_to_string(&lock)?;
    let config = fs::read_to_string(lan.world.dir().join("xdhcpd.toml"))?;
    let other = config.replace("control.sock", "other.sock");
    let other = lan.world.write("other.toml", &other)?;
    fs::remove_file(&lock)?;
    let mut second = lan.server.command("timeout");
    second.args(["20", &binary()?, "run", "--config"]).arg(&other);
    let ended = output(&mut second)?;
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    ensure!(ended.status.code() != Some(124) && said.contains("is in use by another xdhcpd"), "{ended:?}");
    lan.client(2).dora()?;
    until("the lock to be there again", PROMPT, || {
        Ok(fs::read_to_string(&lock).is_ok_and(|there| there == pid).then_some(()))
    })?;
    ensure!(server.json(&["status"])?["trouble"].is_null(), "{}", server.log());
    ensure!(server.log().contains("was removed, and is made again"), "{}", server.log());
    let audit = server.json(&["audit"])?;
    ensure!(audit["consistent"] == true, "{audit}");
    Ok(())
}

#[test]
fn what_is_removed_is_told() -> Result<()> {
    let lan = Lan::new("store-damage", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let held = all_leased(&lan)?;
    server.crash()?;
    let aside = lan.world.dir().join("aside");
    for (file, told) in [
        ("0000000001.log", "segments up to 1 were begun"),
        ("reached", "what told how far the store had come is not there"),
    ] {
        fs::rename(store(&lan).join(file), &aside)?;
        refused(&mut server, &[told, "--accept-loss"])?;
        fs::rename(&aside, store(&lan).join(file))?;
    }
    fs::remove_file(segment(&lan))?;
    fs::remove_file(store(&lan).join("reached"))?;
    refused(&mut server, &["there is the lock of a store, and nothing else of it"])?;
    server.start_again_with(&ACCEPT)?;
    // It is another store now: its maps' promises hold, and are in it before anything is served.
    server.crash()?;
    server.detach()?;
    server.start_again()?;
    for (_, lease) in &held {
        let listed =
            server.lease(lease.address)?.context("a promise that only the maps knew is forgotten")?;
        ensure!(listed["state"] == "leased", "{listed}");
    }
    nothing_left(&lan, &server)
}

#[test]
fn a_store_older_than_the_maps_is_told_and_gives_nothing_away() -> Result<()> {
    let lan = Lan::new("store-damage", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let former = lan.client(50);
    let was = former.dora()?;
    server.stop()?;
    let older = lan.world.dir().join("older");
    run(std::process::Command::new("cp").arg("-a").arg(store(&lan)).arg(&older))?;
    server.start_again()?;
    former.release(&was)?;
    until("the address to be free", PROMPT, || Ok((server.pool_count("free")? == 3).then_some(())))?;
    let held = all_leased(&lan)?;
    server.stop()?;

    fs::rename(store(&lan), lan.world.dir().join("newer"))?;
    fs::rename(&older, store(&lan))?;
    for _ in 0..3 {
        refused(&mut server, &["is older than the maps that are pinned", "--accept-loss"])?;
    }
    server.start_again_with(&ACCEPT)?;
    ensure!(server.log().contains("WARN"), "{}", server.log());
    nothing_broken(&lan, &server, &held)?;
    ensure!(server.json(&["audit"])?["consistent"] == true);
    server.crash()?;
    server.start_again()?;
    nothing_broken(&lan, &server, &held)
}

/// The number in the maps of the last commit that they rest on, in octets of its element.
const NUMBER: std::ops::Range<usize> = 32..40;

fn number(server: &Server<'_>) -> Result<u64> {
    let control = server.map("CONTROL").read(0)?;
    Ok(u64::from_ne_bytes(control.get(NUMBER).context("no such cell")?.try_into()?))
}

fn put_number(server: &Server<'_>, number: u64) -> Result<()> {
    let mut control = server.map("CONTROL").read(0)?;
    control.get_mut(NUMBER).context("no such cell")?.copy_from_slice(&number.to_ne_bytes());
    server.map("CONTROL").write(0, &control)
}

/// A commit is in the store before its number is in the maps: killed in between, the daemon starts as if nothing were.
#[test]
fn killed_between_a_commit_and_its_number_it_starts_and_has_lost_nothing() -> Result<()> {
    let lan = Lan::new("store-number", SERVER, 24)?;
    let faults = Faults::new(lan.world.dir())?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    server.stop()?;
    server.start_again_with(&Launch { environment: &faults.environment(), ..Launch::default() })?;
    let first = lan.client(1);
    let held = [(first.clone(), first.dora()?)];
    let before = number(&server)?;
    ensure!(before > 0, "the maps have no number");

    // The commit is written, and the disk does not say so.
    let stalled = faults.wait("fdatasync")?;
    let second = lan.client(2);
    let selecting = second.selecting(&second.discover()?)?;
    second.send(&selecting)?;
    until("a commit to be under way", PROMPT, || {
        let status = server.json(&["status"])?;
        Ok(status["trouble"].as_str().unwrap_or_default().contains("the disk has not answered").then_some(()))
    })?;
    ensure!(number(&server)? == before, "the maps rest on a commit that is not on disk");
    server.crash()?;
    drop(stalled);
    server.start_again()?;
    ensure!(!server.log().contains("older than the maps"), "{}", server.log());
    ensure!(number(&server)? > before, "what was written before the end is not known");
    held.iter().try_for_each(|(client, lease)| client.renew(lease).map(drop))?;
    let again = second.dora()?;
    ensure!(server.json(&["audit"])?["consistent"] == true);

    // The other way round, which no end of the daemon brings about: the maps rest on what the store does not have.
    let last = number(&server)?;
    server.crash()?;
    put_number(&server, last + 1)?;
    refused(&mut server, &["is older than the maps that are pinned", "--accept-loss"])?;
    server.start_again_with(&ACCEPT)?;
    held.iter().try_for_each(|(client, lease)| client.renew(lease).map(drop))?;
    second.renew(&again)?;
    ensure!(server.json(&["audit"])?["consistent"] == true);
    Ok(())
}

/// RFC 2131 §3.1: what can't be stored is not granted.
#[test]
fn a_store_removed_under_the_server_grants_nothing_more() -> Result<()> {
    let lan = Lan::new("store-damage", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let first = lan.client(1);
    let lease = first.dora()?;
    fs::remove_dir_all(store(&lan))?;
    let second = lan.client(2);
    ensure!(second.dora().is_err(), "granted though nothing of it is kept");
    let status = until("trouble to be shown", PROMPT, || {
        let status = server.json(&["status"])?;
        Ok(status.to_string().contains("is not where it was opened").then_some(status))
    })?;
    ensure!(status.to_string().contains("restart xdhcpd"), "{status}");
    // Renewals go on in the kernel up to the horizon; a new start keeps what the maps know, in a new store.
    first.renew(&lease)?;
    server.crash()?;
    server.start_again()?;
    let kept = server.lease(lease.address)?.context("it is forgotten")?;
    ensure!(kept["state"] == "leased", "{kept}");
    second.dora().map(drop)
}

/// Neither name nor inode changes, so nothing but a look at what is in the file shows it. Nobody asks for a lease.
#[test]
fn a_segment_cut_or_overwritten_under_the_server_is_told_and_nothing_is_lost() -> Result<()> {
    for is_cut in [true, false] {
        let lan = Lan::new("store-damage", SERVER, 24)?;
        let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
        let held = all_leased(&lan)?;
        let whole = fs::read(segment(&lan))?;
        if is_cut {
            cut(&segment(&lan), 4_200)?;
        } else {
            let file = OpenOptions::new().write(true).open(segment(&lan))?;
            file.write_all_at(&[0; 300], 4_096)?;
        }
        let told = if is_cut { "0000000001.log at octet 4200" } else { "0000000001.log at octet 4096" };
        until("trouble to be shown", PROMPT, || {
            let trouble = server.json(&["status"])?["trouble"].to_string();
            Ok(trouble.contains(told).then_some(()))
        })?;
        ensure!(server.log().contains(told), "{}", server.log());
        // The kernel renews all the same, and what was put back in time is what it was.
        held.iter().try_for_each(|(client, lease)| client.renew(lease).map(drop))?;
        if is_cut {
            fs::write(segment(&lan), &whole)?;
            until("the trouble to be over", PROMPT, || {
                Ok(server.json(&["status"])?["trouble"].is_null().then_some(()))
            })?;
            nothing_broken(&lan, &server, &held)?;
            continue;
        }
        server.crash()?;
        refused(&mut server, &[told, "--accept-loss"])?;
        server.start_again_with(&ACCEPT)?;
        nothing_broken(&lan, &server, &held)?;
    }
    Ok(())
}

#[test]
fn a_check_beside_the_server_says_so() -> Result<()> {
    let lan = Lan::new("store-damage", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Off, SUBNET)?;
    all_leased(&lan)?;
    let checked = check(&lan)?;
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    ensure!(checked.status.success(), "{checked:?}");
    ensure!(said.contains(&format!("pid {}", server.pid()?)) && said.contains("3 records"), "{said}");
    Ok(())
}
