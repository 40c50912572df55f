//! A hostile machine: while anything that the daemon waits for, writes to or asks of the kernel waits or fails, renewals,
//! newcomers and `status` are answered, or `status` says what stands still.

use anyhow::{Context, Result, ensure};
use std::process::Stdio;
use std::time::{Duration, Instant};
use system_tests::client::{Client, Lease};
use system_tests::faults::Faults;
use system_tests::paths::SERVER;
use system_tests::process::output;
use system_tests::server::{Launch, Server, Xdp};
use system_tests::topology::{Lan, SERVER_IF};
use system_tests::wait::{PROMPT, until};
use system_tests::wire::Kind;

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/16"
pools = ["10.0.0.10 - 10.0.3.250"]
lease-time = "10m"
options = { routers = ["10.0.0.1"] }
"#;

/// A server whose system calls can be made to wait or fail.
fn start<'a>(lan: &'a Lan, faults: &Faults, xdp: Xdp) -> Result<Server<'a>> {
    let mut server = Server::start(lan, xdp, SUBNET)?;
    server.stop()?;
    server.start_again_with(&Launch { environment: &faults.environment(), ..Launch::default() })?;
    Ok(server)
}

/// A renewal is answered by the kernel, a newcomer gets an OFFER, and an operator the status; which that is.
fn serves(server: &Server, client: &Client, lease: &Lease, newcomer: &Client) -> Result<serde_json::Value> {
    client.renew(lease).context("a renewal")?;
    ensure!(newcomer.discover().context("a newcomer")?.kind == Kind::Offer);
    server.json(&["status"]).context("an operator")
}

fn trouble(status: &serde_json::Value) -> &str {
    status["trouble"].as_str().unwrap_or_default()
}

#[test]
fn a_disk_that_does_not_answer_holds_up_nobody_who_needs_none() -> Result<()> {
    let lan = Lan::new("stalled-disk", SERVER, 16)?;
    let faults = Faults::new(lan.world.dir())?;
    let server = start(&lan, &faults, Xdp::Native)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    client.renew(&lease)?;
    let other = lan.client(2).dora()?;

    let stalled = faults.wait("fdatasync")?;
    let waiting = lan.client(3);
    let selecting = waiting.selecting(&waiting.discover()?)?;
    waiting.send(&selecting)?;
    let status = until("the trouble to be told", PROMPT, || {
        let status = server.json(&["status"])?;
        Ok(trouble(&status).contains("the disk has not answered").then_some(status))
    })?;
    ensure!(trouble(&status).contains("no lease is granted"), "{status}");
    serves(&server, &client, &lease, &lan.client(4))?;
    let unanswered = waiting.answer(&selecting, Instant::now() + Duration::from_millis(100))?;
    ensure!(unanswered.is_none(), "promised without a commit: {unanswered:?}");

    // What an operator orders is decided at once, and that it is not on disk is said after a while.
    let release = output(&mut server.cli(&["lease", "release", &other.address.to_string()])?)?;
    let said = String::from_utf8_lossy(&release.stderr).into_owned();
    ensure!(release.status.code() == Some(1) && said.contains("not on disk yet"), "{release:?}");
    let released = server.lease(other.address)?.context("it is remembered")?;
    ensure!(released["state"] == "grace" && released["not-committed"] == true, "{released}");
    // What only reads has its answer.
    for words in [&["stats"][..], &["pools"], &["leases"], &["orphans"], &["quarantine"]] {
        server.json(words).with_context(|| words.join(" "))?;
    }
    server.json(&["explain", &lease.address.to_string()])?;
    serves(&server, &client, &lease, &lan.client(5))?;
    let reload = output(&mut server.cli(&["reload"])?)?;
    let said = String::from_utf8_lossy(&reload.stderr).into_owned();
    ensure!(reload.status.code() == Some(1) && said.contains("not on disk yet"), "{reload:?}");
    serves(&server, &client, &lease, &lan.client(6))?;
    let audit = output(&mut server.cli(&["audit"])?)?;
    let said = String::from_utf8_lossy(&audit.stderr).into_owned();
    ensure!(audit.status.code() == Some(1) && said.contains("the disk has not answered"), "{audit:?}");

    // As soon as the disk answers all that was decided is done.
    drop(stalled);
    until("commits to be taken again", PROMPT, || {
        Ok(server.json(&["status"])?.get("trouble").is_none().then_some(()))
    })?;
    let granted = lan.client(7).dora()?;
    ensure!(server.lease(granted.address)?.context("it is leased")?.get("not-committed").is_none());
    ensure!(server.lease(other.address)?.context("it is remembered")?["state"] == "grace");
    let audit = server.json(&["audit"])?;
    ensure!(audit["consistent"] == true, "{audit}");
    Ok(())
}

/// Interfaces change, and the configuration, while a commit is under way; what it was for is done under the new ones.
#[test]
fn what_changes_while_the_disk_does_not_answer_holds_for_what_was_decided_before() -> Result<()> {
    let lan = Lan::new("stalled-change", SERVER, 16)?;
    let faults = Faults::new(lan.world.dir())?;
    let server = start(&lan, &faults, Xdp::Native)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    client.renew(&lease)?;

    let stalled = faults.wait("fdatasync")?;
    let waiting = lan.client(2);
    let selecting = waiting.selecting(&waiting.discover()?)?;
    waiting.send(&selecting)?;
    until("a commit to be under way", PROMPT, || {
        Ok(trouble(&server.json(&["status"])?).contains("has not answered").then_some(()))
    })?;
    // Other options: what the kernel is told of the lease that is not on disk yet must not say the former ones.
    server.rewrite(&lan, Xdp::Native, &SUBNET.replace("10.0.0.1\"]", "10.0.0.2\"]"))?;
    server.hang_up()?;
    until("the new configuration to be in force", PROMPT, || {
        let offer = lan.client(3).discover()?;
        Ok((offer.option(3) == Some(&[10, 0, 0, 2][..])).then_some(()))
    })?;
    drop(stalled);
    let ack = waiting.answer(&selecting, Instant::now() + PROMPT)?.context("an ACK when it is on disk")?;
    ensure!(ack.kind == Kind::Ack);
    let granted = system_tests::client::granted(&ack)?;
    for (client, lease) in [(&waiting, &granted), (&client, &lease)] {
        let renewed = client.renew(lease)?;
        ensure!(renewed.option(3) == Some(&[10, 0, 0, 2][..]), "a former answer: {renewed:?}");
    }
    let audit = server.json(&["audit"])?;
    ensure!(audit["consistent"] == true, "{audit}");
    Ok(())
}

/// What happens to interfaces while the disk stands still is followed, and newcomers get their OFFERs all the while.
#[test]
fn interfaces_that_change_while_the_disk_does_not_answer_hold_up_no_offer() -> Result<()> {
    let lan = Lan::new("stalled-links", SERVER, 16)?;
    let faults = Faults::new(lan.world.dir())?;
    let server = start(&lan, &faults, Xdp::Native)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    client.renew(&lease)?;
    let stalled = faults.wait("fdatasync")?;
    let waiting = lan.client(2);
    let selecting = waiting.selecting(&waiting.discover()?)?;
    waiting.send(&selecting)?;
    until("a commit to be under way", PROMPT, || {
        Ok(trouble(&server.json(&["status"])?).contains("has not answered").then_some(()))
    })?;
    let mut newcomers = (10..).map(|n| lan.client(n));
    let mut shown = |what: &str, command: &str, fits: &dyn Fn(&serde_json::Value) -> bool| {
        lan.server.ip(command)?;
        until(what, PROMPT, || {
            let newcomer = newcomers.next().context("clients without end")?;
            let status = serves(&server, &client, &lease, &newcomer)?;
            let mut interfaces = status["interfaces"].as_array().into_iter().flatten();
            Ok(interfaces.find(|interface| interface["name"] == SERVER_IF).is_some_and(fits).then_some(()))
        })
    };
    let has = |address: &'static str| {
        move |interface: &serde_json::Value| interface["addresses"].to_string().contains(address)
    };
    shown("another address", &format!("address add 10.0.0.3/16 dev {SERVER_IF}"), &has("10.0.0.3"))?;
    let other = "10.77.0.1";
    shown("an address of another network", &format!("address add {other}/24 dev {SERVER_IF}"), &has(other))?;
    shown("it gone", &format!("address del {other}/24 dev {SERVER_IF}"), &|status| !has(other)(status))?;
    lan.server.ip(&format!("link set {SERVER_IF} mtu 1400"))?;
    until("the MTU", PROMPT, || Ok(server.log().contains("MTU changed").then_some(())))?;
    serves(&server, &client, &lease, &lan.client(3))?;
    let unanswered = waiting.answer(&selecting, Instant::now() + Duration::from_millis(100))?;
    ensure!(unanswered.is_none(), "promised without a commit: {unanswered:?}");
    drop(stalled);
    let ack = waiting.exchange(&selecting).context("an ACK when it is on disk")?;
    ensure!(ack.kind == Kind::Ack);
    let audit = server.json(&["audit"])?;
    ensure!(audit["consistent"] == true, "{audit}");
    Ok(())
}

/// A configuration on a file system that doesn't answer, or one that takes long to be read.
#[test]
fn a_reload_that_takes_long_holds_up_nobody() -> Result<()> {
    let lan = Lan::new("slow-reload", SERVER, 16)?;
    let faults = Faults::new(lan.world.dir())?;
    let server = start(&lan, &faults, Xdp::Native)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    client.renew(&lease)?;
    server.rewrite(&lan, Xdp::Native, &SUBNET.replace("10.0.0.1\"]", "10.0.0.2\"]"))?;
    let stalled = faults.wait("open64")?;
    let mut reload = server.cli(&["reload"])?.stdout(Stdio::null()).spawn()?;
    until("the reload to be asked for", PROMPT, || {
        Ok(server.log().contains("request=Reload").then_some(()))
    })?;
    serves(&server, &client, &lease, &lan.client(2))?;
    let offer = lan.client(3).discover()?;
    ensure!(offer.option(3) == Some(&[10, 0, 0, 1][..]), "the former configuration is in force");
    lan.client(4).dora()?;
    ensure!(reload.try_wait()?.is_none(), "nothing is reloaded yet");
    drop(stalled);
    ensure!(reload.wait()?.success());
    ensure!(client.renew(&lease)?.option(3) == Some(&[10, 0, 0, 2][..]), "a former answer");
    Ok(())
}

/// No thread is needed after the start: what is done beside the deciding thread is done by threads that are there.
#[test]
fn interfaces_are_followed_though_no_thread_can_be_started() -> Result<()> {
    let lan = Lan::new("no-thread", SERVER, 16)?;
    let faults = Faults::new(lan.world.dir())?;
    let server = start(&lan, &faults, Xdp::Native)?;
    until("threads that were needed for a moment to be gone", 2 * PROMPT, || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid()?))?;
        let mut names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
        Ok(names.all(|name| !name.contains("tokio")).then_some(()))
    })?;
    let _refused = faults.fail("pthread_create", libc::EAGAIN)?;
    for (state, shown) in [("down", "down"), ("up", "up"), ("down", "down"), ("up", "up")] {
        lan.server.ip(&format!("link set {SERVER_IF} {state}"))?;
        until(&format!("the link to be shown {shown}"), PROMPT, || {
            Ok((server.interface(SERVER_IF)?["link"] == shown).then_some(()))
        })?;
    }
    lan.client(1).dora()?;
    server.reload()?;
    Ok(())
}

#[test]
fn a_socket_that_fails_is_opened_again() -> Result<()> {
    let lan = Lan::new("deaf", SERVER, 16)?;
    let faults = Faults::new(lan.world.dir())?;
    let server = start(&lan, &faults, Xdp::Off)?;
    lan.client(1).dora()?;
    let failing = faults.fail("recvmsg", libc::ENOMEM)?;
    let unheard = lan.client(2);
    unheard.send(&unheard.discovering())?;
    until("the interface to be told of", PROMPT, || {
        Ok(trouble(&server.json(&["status"])?).contains("srv0 can't be listened on").then_some(()))
    })?;
    drop(failing);
    until("the interface to be listened on again", PROMPT, || {
        Ok(server.json(&["status"])?.get("trouble").is_none().then_some(()))
    })?;
    lan.client(3).dora()?;
    Ok(())
}

#[test]
fn that_interfaces_can_not_be_looked_at_is_told_until_they_can() -> Result<()> {
    let lan = Lan::new("blind", SERVER, 16)?;
    let faults = Faults::new(lan.world.dir())?;
    let server = start(&lan, &faults, Xdp::Native)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    client.renew(&lease)?;
    // Netlink answers nothing, as with too many open files.
    let failing = faults.fail("socket.16", libc::EMFILE)?;
    lan.server.ip(&format!("link set {SERVER_IF} mtu 1400"))?;
    until("what can't be seen to be told", PROMPT, || {
        Ok(trouble(&server.json(&["status"])?).contains("interfaces can't be looked at").then_some(()))
    })?;
    serves(&server, &client, &lease, &lan.client(2))?;
    drop(failing);
    until("interfaces to be looked at again", 2 * PROMPT, || {
        Ok(server.json(&["status"])?.get("trouble").is_none().then_some(()))
    })?;
    Ok(())
}

/// The thread that looks at interfaces waits for the kernel; nobody waits for that thread.
#[test]
fn a_kernel_that_does_not_answer_netlink_is_told_of_until_it_does() -> Result<()> {
    let lan = Lan::new("no-netlink", SERVER, 16)?;
    let faults = Faults::new(lan.world.dir())?;
    let server = start(&lan, &faults, Xdp::Native)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    client.renew(&lease)?;
    let stalled = faults.wait("recvfrom")?;
    until("what stands still to be told", 2 * PROMPT, || {
        Ok(trouble(&server.json(&["status"])?).contains("not answered a look at interfaces").then_some(()))
    })?;
    serves(&server, &client, &lease, &lan.client(2))?;
    lan.client(3).dora()?;
    server.reload()?;
    // What happened meanwhile is found when the kernel answers.
    lan.server.ip(&format!("link set {SERVER_IF} mtu 1400"))?;
    drop(stalled);
    until("interfaces to be looked at again", 2 * PROMPT, || {
        Ok(server.json(&["status"])?.get("trouble").is_none().then_some(()))
    })?;
    until("the change to be found", 2 * PROMPT, || Ok(server.log().contains("MTU changed").then_some(())))?;
    lan.client(4).dora().map(drop)
}

/// What fails around it costs what needs it, and is told; all else goes on, and all of it when the fault is over.
#[test]
fn whatever_system_call_fails_the_rest_goes_on() -> Result<()> {
    let lan = Lan::new("failing", SERVER, 16)?;
    let faults = Faults::new(lan.world.dir())?;
    let server = start(&lan, &faults, Xdp::Native)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    client.renew(&lease)?;
    let needs_none = [
        ("open64", libc::EMFILE),
        ("pthread_create", libc::EAGAIN),
        ("fallocate64", libc::ENOSPC),
        ("posix_fallocate64", libc::ENOSPC),
        ("recvfrom", libc::ENOBUFS),
        ("sendto", libc::ENOBUFS),
    ];
    for (number, (function, errno)) in (10..).zip(needs_none) {
        let _failing = faults.fail(function, errno)?;
        serves(&server, &client, &lease, &lan.client(number)).with_context(|| format!("{function} fails"))?;
        lan.client(number).dora().with_context(|| format!("{function} fails"))?;
    }
    for (number, (function, errno)) in
        (20..).zip([("fdatasync", libc::EIO), ("pwrite64", libc::ENOSPC), ("pwrite64", libc::EROFS)])
    {
        let failing = faults.fail(function, errno)?;
        let newcomer = lan.client(number);
        let selecting = newcomer.selecting(&newcomer.discover()?)?;
        newcomer.send(&selecting)?;
        until("that nothing can be committed to be told", PROMPT, || {
            Ok(trouble(&server.json(&["status"])?).contains("no lease can be granted").then_some(()))
        })?;
        serves(&server, &client, &lease, &lan.client(number + 10))
            .with_context(|| format!("{function} fails"))?;
        ensure!(newcomer.answer(&selecting, Instant::now() + Duration::from_millis(50))?.is_none());
        drop(failing);
        until("commits to be taken again", 4 * PROMPT, || {
            Ok(server.json(&["status"])?.get("trouble").is_none().then_some(()))
        })?;
        lan.client(number + 20).dora().with_context(|| format!("{function} works again"))?;
    }
    // What can't be sent is lost, as on any wire, and counted.
    let failing = faults.fail("sendmmsg", libc::ENOBUFS)?;
    let unanswered = lan.client(50);
    unanswered.send(&unanswered.discovering())?;
    until("the loss to be counted", PROMPT, || {
        let dropped = server.stats()?.0["daemon"]["dropped"]["not-sent"].as_u64();
        Ok(dropped.is_some_and(|dropped| dropped > 0).then_some(()))
    })?;
    client.renew(&lease)?;
    drop(failing);
    lan.client(51).dora()?;
    let failing = faults.fail("accept4", libc::EMFILE)?;
    client.renew(&lease)?;
    lan.client(52).dora()?;
    drop(failing);
    ensure!(server.json(&["status"])?.get("trouble").is_none());
    let audit = server.json(&["audit"])?;
    ensure!(audit["consistent"] == true, "{audit}");
    Ok(())
}

/// A thread that decides nothing is told of by one that lives, and does not live on.
#[test]
fn a_daemon_that_stands_still_says_so_and_ends() -> Result<()> {
    let lan = Lan::new("standing", SERVER, 16)?;
    let faults = Faults::new(lan.world.dir())?;
    let mut server = start(&lan, &faults, Xdp::Native)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    client.renew(&lease)?;
    let _standing = faults.wait("sendmmsg")?;
    let newcomer = lan.client(2);
    newcomer.send(&newcomer.discovering())?;
    let status = until("`status` to find that nobody decides", PROMPT, || {
        let status = output(&mut server.cli(&["status"])?)?;
        Ok((!status.status.success()).then_some(status))
    })?;
    let said = String::from_utf8_lossy(&status.stderr).into_owned();
    ensure!(status.status.code() == Some(3) && said.contains("stands still"), "{status:?}");
    ensure!(said.contains("sending replies"), "what it is at: {said}");
    client.renew(&lease).context("the kernel goes on")?;
    until("the daemon to end", 6 * PROMPT, || Ok((!server.is_running()?).then_some(())))?;
    ensure!(server.log().contains("stands still for good"), "{}", server.log());
    client.renew(&lease).context("the kernel goes on without it")?;
    server.start_again()?;
    lan.client(3).dora()?;
    Ok(())
}

/// After a long outage there is much to be brought to the disk and to the kernel. Both get it in parts, and nobody waits for all
/// of it.
#[test]
fn what_a_long_outage_leaves_is_made_good_for_in_parts() -> Result<()> {
    const LEASES: u16 = 6000;
    let lan = Lan::new("long-outage", SERVER, 16)?;
    let faults = Faults::new(lan.world.dir())?;
    let mut server = Server::start(&lan, Xdp::Native, &SUBNET.replace("10.0.3.250", "10.0.63.250"))?;
    server.stop()?;
    server.start_again_with(&Launch { environment: &faults.environment(), ..Launch::default() })?;
    let client = lan.client(1);
    let lease = client.dora()?;
    client.renew(&lease)?;

    let failing = faults.fail("fdatasync", libc::EIO)?;
    let line = |number: u16| {
        let [high, low] = (number + 0x0800).to_be_bytes();
        format!("4000000000 02:99:00:00:{high:02x}:{low:02x} 10.0.{high}.{low} * *\n")
    };
    // Each order is decided, and refused an answer since it is not on disk.
    let mut refused = 0;
    let mut number = 0;
    while number < LEASES {
        let part: String = (number..(number + 250).min(LEASES)).map(line).collect();
        let file = lan.world.write("dnsmasq.leases", &part)?;
        let import = output(server.cli(&["import-leases", "--from", "dnsmasq"])?.arg(&file))?;
        refused += usize::from(import.status.code() == Some(1));
        number += 250;
    }
    ensure!(refused == usize::from(LEASES.div_ceil(250)), "{refused} were refused");
    let known = server.json(&["leases", "--limit", "10"])?;
    ensure!(known[5]["not-committed"] == true, "{known}");
    serves(&server, &client, &lease, &lan.client(2))?;

    drop(failing);
    until("all to be on disk", PROMPT, || {
        Ok(server.json(&["status"])?.get("trouble").is_none().then_some(()))
    })?;
    serves(&server, &client, &lease, &lan.client(3))?;
    let status = server.json(&["status"])?;
    ensure!(status["leases"] == u64::from(LEASES) + 1, "{status}");
    // The kernel is told, too.
    until("store and kernel to have all", PROMPT, || {
        let audit = server.json(&["audit"])?;
        ensure!(audit["consistent"] == true, "{audit}");
        let words =
            String::from_utf8(output(&mut server.cli(&["lease", "show", "10.0.8.9", "--json"])?)?.stdout)?;
        Ok((!words.contains("not-committed")).then_some(()))
    })?;
    server.crash()?;
    server.start_again()?;
    let status = server.json(&["status"])?;
    ensure!(status["leases"] == u64::from(LEASES) + 1, "{status}");
    Ok(())
}
