//! Restarts and upgrades under renewals at full swing: none is lost that would not have been lost without.

use anyhow::{Result, ensure};
use std::net::Ipv4Addr;
use std::time::Duration;
use system_tests::load::{Count, Crowd, Load, Pace, Report, Sorts, Way};
use system_tests::server::{Home, Launch, Server, Stats, Xdp};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const CLIENTS: u32 = 10_000;
/// How often the daemon is replaced in a row.
const TIMES: usize = 4;
/// Renewals a second, if the machine has the time.
const RATE: Pace = Pace::Rate(110_000.0);
/// Renewals a second that go through the daemon without haste: what ten million leases of an hour come to.
const MODEST_RATE: Pace = Pace::Rate(5_000.0);
const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/8"
pools = ["10.0.1.0 - 10.0.255.250"]
lease-time = "1h"
options = { routers = ["10.0.0.1"], domain-name-servers = ["10.0.0.53"] }
"#;

/// More addresses than the maps have room for that were made for a pool of before.
fn with_a_pool_to(last: &str) -> String {
    SUBNET.replace("10.0.255.250", last)
}

/// Renewals that left and that nothing came back for, not even late.
fn lost(report: &Report) -> u64 {
    report.lost_renewals().saturating_sub(report.counts.of(Count::Late))
}

/// Renews all leases all the time, first for a while with nobody interfering, then while `work` is done to the server.
fn under_load(name: &str, pace: Pace, work: impl FnOnce(&Lan, &mut Server<'_>) -> Result<()>) -> Result<()> {
    let lan = Lan::new(name, SERVER, 16)?;
    let crowd = Crowd {
        clients: CLIENTS,
        first_address: Ipv4Addr::new(10, 0, 1, 0),
        addresses: 0xff00,
        way: Way::default(),
        sorts: Sorts::Alike,
    };
    let load = Load::new(&lan, crowd)?;
    let mut server = Server::start(Home { log: "info", ..Home::from(&lan) }, Xdp::Native, SUBNET)?;
    load.dora(0..CLIENTS, 64, PROMPT * 6)?;

    let control = load.renew(CLIENTS, pace, Duration::from_secs(3))?;
    let before = server.stats()?;
    let (report, done) = load.renew_while(CLIENTS, pace, || work(&lan, &mut server))?;
    done?;
    tell("undisturbed", &control);
    tell(name, &report);
    let (sent, sent_before) = (report.counts.of(Count::Renewals), control.counts.of(Count::Renewals));
    ensure!(sent > u64::from(CLIENTS), "hardly anything was asked: {report:?}");
    ensure!(
        lost(&report) * sent_before <= lost(&control) * sent,
        "{} of {sent} renewals were lost, {} of {sent_before} without a restart: {report:?}\n{}\n{}",
        lost(&report),
        lost(&control),
        before.0,
        server.stats()?.0
    );
    nothing_forgotten(&load, &server)
}

fn tell(what: &str, report: &Report) {
    println!(
        "{what}: {:.0} renewals/s asked and {:.0}/s answered for {:.1?}; {} lost, {} answered late, {} never left",
        report.counts.of(Count::Renewals) as f64 / report.elapsed.as_secs_f64(),
        report.renewal_rate(),
        report.elapsed,
        lost(report),
        report.counts.of(Count::Late),
        report.overrun
    );
}

/// Every lease is there, and the kernel answers its client.
fn nothing_forgotten(load: &Load<'_>, server: &Server<'_>) -> Result<()> {
    ensure!(server.pool_count("leased")? == u64::from(CLIENTS), "{}", server.json(&["pools"])?);
    let audit = server.json(&["audit"])?;
    ensure!(audit["consistent"] == true, "{audit}");
    let before = server.stats()?;
    let report = load.renew(CLIENTS, Pace::Rate(20_000.0), Duration::from_secs(1))?;
    let after = server.stats()?;
    let daemons = |stats: &Stats| stats.received("request");
    ensure!(lost(&report) == 0 && daemons(&after)? == daemons(&before)?, "{report:?} {}", after.0);
    Ok(())
}

#[test]
fn a_restart_loses_no_renewal() -> Result<()> {
    under_load("restarts", RATE, |_, server| {
        (0..TIMES).try_for_each(|_| {
            server.stop()?;
            server.start_again()
        })
    })
}

/// With `--diagnose` another program is loaded, over the same maps.
#[test]
fn another_program_loses_no_renewal() -> Result<()> {
    under_load("new programs", RATE, |_, server| {
        let other = Launch { arguments: &["--diagnose"], ..Launch::default() };
        [other, Launch::default()].iter().cycle().take(TIMES).try_for_each(|launch| {
            server.stop()?;
            server.start_again_with(launch)
        })
    })
}

/// The pool grows, and with it the maps: what the kernel knows goes over to larger ones.
#[test]
fn larger_maps_lose_no_renewal() -> Result<()> {
    under_load("larger maps", RATE, |lan, server| {
        for last in ["10.3.255.250", "10.7.255.250"] {
            server.stop()?;
            server.rewrite(lan, Xdp::Native, &with_a_pool_to(last))?;
            server.start_again()?;
        }
        ensure!(server.log().contains("making larger ones"), "{}", server.log());
        let asked = server.stats()?.received("request")?;
        ensure!(asked == 0, "{asked} renewals went up");
        Ok(())
    })
}

/// What a version that laid the maps out otherwise leaves behind. Its program answers out of its maps until ours is in
/// its place; ours has maps of its own, and each client's first question goes up.
#[test]
fn maps_of_another_version_are_replaced_and_no_renewal_is_lost() -> Result<()> {
    under_load("maps of another version", MODEST_RATE, |_, server| {
        server.stop()?;
        let control = server.map("CONTROL");
        let mut cells = control.read(0)?;
        cells[0] ^= 0xff;
        control.write(0, &cells)?;
        server.start_again()?;
        until("every client to have asked once", PROMPT * 3, || {
            Ok((server.stats()?.received("request")? >= CLIENTS.into()).then_some(()))
        })
    })
}
