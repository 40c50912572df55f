//! The pins of program, maps and attachments, removed under the running daemon: they are made again, and while they can't be
//! that is trouble.

use anyhow::{Context, Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use system_tests::expect::{is_consistent, kernel_answers};
use system_tests::paths::SERVER;
use system_tests::process::run;
use system_tests::server::{Server, Xdp};
use system_tests::topology::{Lan, SERVER_IF};
use system_tests::wait::{PROMPT, until};

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.250"]
lease-time = "10m"
"#;

fn lan() -> Result<Lan> {
    Lan::new("pins", SERVER, 24)
}

/// The pins of attachments.
fn link_pins(pins: &Path) -> Result<Vec<PathBuf>> {
    let all = fs::read_dir(pins)?.flatten().map(|entry| entry.path());
    Ok(all
        .filter(|pin| pin.file_name().is_some_and(|name| name.to_string_lossy().starts_with("link-")))
        .collect())
}

/// `rm -rf` of the pins takes nothing off while the daemon runs, and after its end the kernel renews as ever.
#[test]
fn pins_that_are_removed_are_made_again() -> Result<()> {
    let lan = lan()?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let lease = lan.client(1).dora()?;
    let pins = lan.world.bpf().join("xdhcpd");
    let count = || fs::read_dir(&pins).map(Iterator::count).unwrap_or_default();
    let all = count();
    fs::remove_dir_all(&pins)?;
    until("all to be pinned again", PROMPT, || Ok((count() == all).then_some(())))?;
    until("the log to tell", PROMPT, || Ok(server.log().contains("they are pinned again").then_some(())))?;
    ensure!(!server.log().contains("was taken off"), "{}", server.log());
    until("no trouble to be left", PROMPT, || {
        Ok(server.json(&["status"])?["trouble"].is_null().then_some(()))
    })?;
    ensure!(server.interface(SERVER_IF)?["xdp"] == "native");
    kernel_answers(&server, &lan.client(1), &lease)?;
    link_pins(&pins)?.iter().try_for_each(fs::remove_file)?;
    until("the attachment to be pinned again", PROMPT, || Ok((count() == all).then_some(())))?;
    server.crash()?;
    lan.client(1).renew(&lease).context("nobody answers after the daemon's end")?;
    server.start_again()?;
    ensure!(server.lease(lease.address)?.is_some(), "the lease is gone");
    is_consistent(&server)
}

/// What somebody pins under one of our names is not ours: the objects count, not their names.
#[test]
fn another_s_map_in_the_place_of_a_pin_is_not_taken_for_ours() -> Result<()> {
    let lan = lan()?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let lease = lan.client(1).dora()?;
    let pins = lan.world.bpf().join("xdhcpd");
    let id = |pin: &Path| -> Result<Value> {
        let shown = run(Command::new("bpftool").args(["-j", "map", "show", "pinned"]).arg(pin))?;
        Ok(serde_json::from_str::<Value>(&shown)?["id"].clone())
    };
    for name in ["SLOTS", "COUNTERS"] {
        let pin = pins.join(name);
        let ours = id(&pin)?;
        fs::remove_file(&pin)?;
        let mut foreign = Command::new("bpftool");
        foreign.args(["map", "create"]).arg(&pin);
        run(foreign.args(["type", "array", "key", "4", "value", "8", "entries", "4", "name", "foreign"]))?;
        until("ours to be pinned again", PROMPT, || {
            Ok((id(&pin).ok().as_ref() == Some(&ours)).then_some(()))
        })?;
    }
    ensure!(server.log().contains("and is not ours"), "{}", server.log());
    kernel_answers(&server, &lan.client(1), &lease)?;
    server.crash()?;
    server.start_again()?;
    ensure!(server.lease(lease.address)?.is_some(), "the lease is gone");
    is_consistent(&server)
}

/// What is in a file system that was unmounted lives for as long as the daemon holds it: that is trouble, until one is there.
#[test]
fn a_bpffs_that_is_unmounted_is_trouble_until_another_is_there() -> Result<()> {
    let lan = lan()?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let lease = lan.client(1).dora()?;
    let bpf = lan.world.bpf();
    umount2(&bpf, MntFlags::MNT_DETACH)?;
    until("trouble to be shown", PROMPT, || {
        let trouble = server.json(&["status"])?["trouble"].to_string();
        Ok(trouble.contains("is not pinned any more").then_some(()))
    })?;
    kernel_answers(&server, &lan.client(1), &lease)?;
    mount(Some("bpf"), &bpf, Some("bpf"), MsFlags::empty(), Some("mode=0700"))?;
    until("the trouble to be over", PROMPT, || {
        Ok(server.json(&["status"])?["trouble"].is_null().then_some(()))
    })?;
    server.crash()?;
    lan.client(1).renew(&lease).context("nobody answers after the daemon's end")?;
    server.start_again()?;
    ensure!(server.lease(lease.address)?.is_some(), "the lease is gone");
    is_consistent(&server)
}
