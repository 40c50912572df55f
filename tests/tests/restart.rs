//! The daemon may die at any instant: no promise is forgotten, and renewals go on as far as the store has foreseen.

use anyhow::{Context, Result, ensure};
use std::collections::HashSet;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant, SystemTime};
use system_tests::client::{Client, Lease};
use system_tests::paths::SERVER;
use system_tests::server::{Server, Stats, Xdp, after};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};
use system_tests::wire::SERVER_PORT;

/// What has waited for longer is old.
const OLD: Duration = Duration::from_secs(5);
const LONG: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.250"]
lease-time = "10m"
options = { routers = ["10.0.0.1"] }
"#;

/// A lease of six seconds: foreseen for twice that, so the kernel may go on for six seconds by itself.
const SHORT: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.250"]
lease-time = "6s"
options = { routers = ["10.0.0.1"] }
"#;
const SHORT_LEASE: u32 = 6;

/// Every lease is listed, and still its client's; none is given to anybody else.
fn nothing_lost(server: &Server, lan: &Lan, held: &[(Client, Lease)], newcomer: u16) -> Result<()> {
    let listed = server.json(&["leases"])?;
    let listed: HashSet<&str> = listed
        .as_array()
        .context("`leases` is not a list")?
        .iter()
        .filter(|lease| lease["state"] == "leased")
        .filter_map(|lease| lease["address"].as_str())
        .collect();
    for (client, lease) in held {
        ensure!(listed.contains(lease.address.to_string().as_str()), "{lease:?} is forgotten");
        client.renew(lease).with_context(|| format!("after the restart {lease:?} was not renewed"))?;
    }
    let fresh = lan.client(newcomer).dora()?;
    ensure!(held.iter().all(|(_, lease)| lease.address != fresh.address), "{fresh:?} was promised twice");
    Ok(())
}

/// RFC 2131 §3.1, stated (commit-first): the binding is stored before the ACK leaves.
#[test]
fn killed_right_after_an_ack_it_remembers_the_lease() -> Result<()> {
    let lan = Lan::new("restart", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Native, LONG)?;
    let mut held = Vec::new();
    for round in 0..5 {
        for n in 0..10 {
            let client = lan.client(100 * round + n);
            let lease = client.dora()?;
            held.push((client, lease));
        }
        // The last ACK is just being read: nothing has happened since that the daemon could have written.
        server.crash()?;
        server.start_again()?;
        nothing_lost(&server, &lan, &held, 1000 + round)?;
    }
    Ok(())
}

/// Killed while it makes its maps, or fills larger ones, it leaves some that can't be relied on.
#[test]
fn maps_that_were_never_finished_are_made_anew() -> Result<()> {
    let lan = Lan::new("restart", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Native, LONG)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    server.crash()?;
    let control = server.map("CONTROL");
    let mut cells = control.read(0)?;
    cells[..8].fill(0);
    control.write(0, &cells)?;

    server.start_again()?;
    ensure!(!server.log().contains("WARN"), "it is nothing to be warned of: {}", server.log());
    ensure!(server.log().contains("cut short"), "{}", server.log());
    nothing_lost(&server, &lan, &[(client, lease)], 2)?;
    ensure!(server.json(&["audit"])?["consistent"] == true);
    ensure!(control.read(0)?[..8] != [0; 8], "nobody would take over what it has made");
    Ok(())
}

/// RFC 2131 §3.1, stated (commit-first): the binding is stored before the ACK leaves.
#[test]
fn killed_without_the_kernel_path_it_remembers_the_lease() -> Result<()> {
    let lan = Lan::new("restart", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Off, LONG)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    server.crash()?;
    server.start_again()?;
    nothing_lost(&server, &lan, &[(client, lease)], 2)
}

#[test]
fn ended_properly_it_leaves_renewals_to_the_kernel() -> Result<()> {
    let lan = Lan::new("restart", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Native, LONG)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    server.stop()?;
    client.renew(&lease).context("with the daemon gone")?;
    server.start_again()?;
    client.renew(&lease).context("with the daemon back")?;
    nothing_lost(&server, &lan, &[(client, lease)], 2)
}

/// A subnet on the link and one behind a relay, each with its router.
fn near_and_far(near: &str, far: &str) -> String {
    format!(
        r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.250"]
lease-time = "10m"
options = {{ routers = ["{near}"] }}

[[subnet]]
prefix = "10.9.0.0/24"
pools = ["10.9.0.10 - 10.9.0.250"]
lease-time = "10m"
options = {{ routers = ["{far}"] }}
"#
    )
}

/// How many renewals the kernel has answered, and how many REQUESTs this daemon has heard.
fn renewals(server: &Server) -> Result<(u64, u64)> {
    let stats = server.stats()?;
    Ok((stats.kernel_acked("renewing")?, stats.received("request")?))
}

/// What changed about answers meanwhile concerns the leases that are answered otherwise now, and no others.
#[test]
fn started_with_other_options_it_has_the_kernel_forget_what_they_change_and_nothing_else() -> Result<()> {
    let lan = Lan::new("restart", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Native, &near_and_far("10.0.0.1", "10.9.0.1"))?;
    let (near, far) = (lan.client(1), lan.relayed_client(2));
    let (near_lease, far_lease) = (near.dora()?, far.dora()?);
    server.stop()?;
    let one_more = "[[subnet]]\nprefix = \"10.8.0.0/24\"\npools = [\"10.8.0.10 - 10.8.0.20\"]\n";
    let subnets = near_and_far("10.0.0.254", "10.9.0.1");
    server.rewrite(&lan, Xdp::Native, &format!("{one_more}{subnets}"))?;
    server.start_again()?;

    let (kernels, _) = renewals(&server)?;
    ensure!(far.renew(&far_lease)?.option(3) == Some(&[10, 9, 0, 1][..]));
    ensure!(renewals(&server)? == (kernels + 1, 0), "it is told the same as before, and went up");
    let changed = Some(&[10, 0, 0, 254][..]);
    ensure!(near.renew(&near_lease)?.option(3) == changed, "it is told what it was told before");
    ensure!(renewals(&server)? == (kernels + 1, 1), "the kernel can't have known");
    ensure!(near.renew(&near_lease)?.option(3) == changed);
    ensure!(renewals(&server)? == (kernels + 2, 1), "the kernel has been told, and it went up once more");

    // Nothing has changed since.
    server.stop()?;
    server.start_again()?;
    let (kernels, _) = renewals(&server)?;
    ensure!(near.renew(&near_lease)?.option(3) == changed);
    far.renew(&far_lease)?;
    ensure!(renewals(&server)? == (kernels + 2, 0));
    ensure!(server.json(&["audit"])?["consistent"] == true);
    Ok(())
}

#[test]
fn renewals_while_it_is_gone_end_at_the_horizon_and_nothing_is_lost() -> Result<()> {
    outage(|server| server.crash(), |server| server.start_again())
}

#[test]
fn renewals_while_it_hangs_end_at_the_horizon_and_nothing_is_lost() -> Result<()> {
    outage(|server| server.freeze(), |server| server.thaw())
}

fn outage(
    fail: impl FnOnce(&mut Server<'_>) -> Result<()>,
    recover: impl FnOnce(&mut Server<'_>) -> Result<()>,
) -> Result<()> {
    let lan = Lan::new("restart", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Native, SHORT)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    let before = server.stats()?;
    let foreseen = committed_until(&server, &lease)?;
    fail(&mut server)?;

    let (mut renewed, mut last_answered) = (0, SystemTime::now());
    let refused = until("renewals to end at the horizon", after(2 * SHORT_LEASE), || {
        let asked = SystemTime::now();
        if !ask(&client, &lease)? {
            return Ok(Some(asked));
        }
        renewed += 1;
        last_answered = asked;
        Ok(None)
    })?;
    ensure!(renewed > 1, "only {renewed} renewals were answered without the daemon");
    // Promises are whole seconds of boot time, rounded up; what is listed is off by half of one.
    let term = Duration::from_secs(lease.seconds.into());
    let slack = Duration::from_secs(2);
    ensure!(last_answered + term <= foreseen + slack, "a renewal was promised past {foreseen:?}");
    ensure!(refused + term + slack >= foreseen, "renewals ended long before {foreseen:?} was near");

    recover(&mut server)?;
    until("renewals to be answered again", PROMPT, || Ok(ask(&client, &lease)?.then_some(())))?;
    let listed = server.lease(lease.address)?.context("the lease is forgotten")?;
    ensure!(listed["state"] == "leased" && listed["kernel-renewals"].as_u64() >= Some(1), "{listed}");
    ensure!(committed_until(&server, &lease)? > foreseen, "the horizon did not move");
    let now = server.stats()?;
    ensure!(beyond(&now)? > beyond(&before)?, "it was not the horizon that ended renewals: {}", now.0);
    until("the kernel to answer again", PROMPT, || {
        client.renew(&lease)?;
        Ok((server.stats()?.kernel_acked("renewing")? > now.kernel_acked("renewing")?).then_some(()))
    })?;
    nothing_lost(&server, &lan, &[(client, lease)], 2)
}

/// What the store has foreseen for a lease.
fn committed_until(server: &Server, lease: &Lease) -> Result<SystemTime> {
    let listed = server.lease(lease.address)?.context("the lease is not listed")?;
    let text = listed["committed-until"].as_str().with_context(|| format!("{listed}"))?;
    humantime::parse_rfc3339(text).with_context(|| format!("`committed-until` is {text}"))
}

/// Requests that the kernel could not answer, or not any more. Once the daemon has been silent for some seconds they
/// are passed to the stack instead of sent up.
fn beyond(stats: &Stats) -> Result<u64> {
    Ok(stats.count(&["kernel", "punted", "horizon"])?
        + stats.count(&["kernel", "passed-why", "daemon-away"])?)
}

/// Whether a renewal is answered. The kernel does so at once or never; half a second is for a busy machine.
fn ask(client: &Client, lease: &Lease) -> Result<bool> {
    let request = client.renewing(lease);
    client.send(&request)?;
    Ok(client.answer(&request, Instant::now() + Duration::from_millis(500))?.is_some())
}

/// What is sent while nobody is there goes to the host's stack; the server hears the client again when it is back.
#[test]
fn a_new_client_waits_for_the_daemon_and_no_longer() -> Result<()> {
    let lan = Lan::new("restart", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Native, LONG)?;
    server.crash()?;
    lan.client(1).send(&lan.client(1).discovering())?;
    server.start_again()?;
    lan.client(1).dora()?;
    Ok(())
}

/// Rather than into a ring that nobody reads; once it is back, what comes is its own again. What it was sent long before is
/// answered no more: its client has repeated it, or given up.
#[test]
fn what_a_silent_daemon_would_get_goes_to_the_hosts_stack() -> Result<()> {
    let lan = Lan::new("restart", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Native, LONG)?;
    let stack = lan.server.enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, SERVER_PORT)))??;
    stack.set_nonblocking(true)?;
    let heard = || stack.recv(&mut [0; 1500]).is_ok();
    let lease = lan.client(1).dora()?;
    ensure!(!heard(), "the daemon is there, and the stack heard a client");

    server.freeze()?;
    let waiting = lan.client(3);
    let old = waiting.discovering();
    waiting.send(&old)?;
    let sent = Instant::now();
    // So many that none asks too often, and that there are addresses for all when it is back.
    let mut newcomers = (100..200).cycle();
    until("a DISCOVER to come to the stack", PROMPT, || {
        let client = lan.client(newcomers.next().context("no more clients")?);
        client.send(&client.discovering())?;
        Ok(heard().then_some(()))
    })?;
    lan.client(1).renew(&lease).context("the kernel goes on")?;
    until("what went up first to be old", PROMPT, || Ok((sent.elapsed() > OLD).then_some(())))?;

    server.thaw()?;
    // Before it answers a command it has told the kernel that it is back.
    let stats = server.stats()?;
    ensure!(stats.count(&["daemon", "dropped", "stale"])? >= 1, "{}", stats.0);
    ensure!(waiting.answer(&old, Instant::now())?.is_none(), "a DISCOVER of long ago is answered");
    ensure!(stats.count(&["kernel", "passed-why", "daemon-away"])? >= 1, "{}", stats.0);
    while heard() {}
    lan.client(2).dora()?;
    ensure!(!heard(), "the daemon is back, and the stack heard a client");
    Ok(())
}
