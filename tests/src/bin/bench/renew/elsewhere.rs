//! Renewals of a server elsewhere: at full rate, and at the highest rate that it answers nearly all of.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use system_tests::load::{Count, Load, Pace, Report};

use crate::capacity::{self, LOSS};
use crate::report::{Cell, Section, Table};
use crate::statistics::{Spread, spread};
use crate::unable::if_able;
use crate::unit::Unit;
use crate::{Bench, site, step};

const METHOD: &str = "Clients with a lease extend it as fast as this machine can send, in an order that is none for the \
    server: what is said of that is the median of several runs. If more than one in a hundred stay unanswered, then at one \
    rate after the other, to find the highest of which no more do. What this machine did not get onto the wire is not \
    counted as unanswered.";

/// What may be the reason if renewals are lost at any rate.
const UNHEARD: &str = "Renewals were lost at the lowest rate, too. A server that answers through its host's stack asks by ARP for \
    each client's hardware address, and the clients do not answer that.";

/// The longest that a server may take for what it has queued.
const QUEUED: Duration = Duration::from_secs(10);

/// What was found with one number of leases.
struct Found {
    sent: Spread,
    answered: Spread,
    unanswered: Spread,
    /// Answered per second at the highest rate with hardly any loss; not a number if there is loss at any rate.
    best: f64,
}

pub(super) fn measure(bench: &Bench, most: u32) -> Result<Section> {
    let asking = bench.asking.words();
    let mut section = Section::new("renew", "Renewals", format!("{METHOD} Here: {asking}."));
    let mut rows = Vec::new();
    let sizes = bench.scale.of(vec![10_000, 100_000], vec![10_000, 100_000, 1_000_000]);
    let fitting: Vec<u32> = sizes.into_iter().filter(|leases| *leases <= most).collect();
    for leases in if fitting.is_empty() { vec![most] } else { fitting } {
        let Some(found) = if_able(&mut section, at(leases, bench))? else { continue };
        let named = |what: &str| format!("{what}, {} leases", Unit::Count.shown(leases.into()));
        section.figure(named("renewals answered at full rate"), found.answered.median, Unit::PerSecond);
        section.figure(named("renewals answered, at most 1 % not"), found.best, Unit::PerSecond);
        if found.best.is_nan() {
            section.remark(UNHEARD);
        }
        rows.push(found.row(leases));
    }
    let columns = ["Leases", "Sent", "Answered", "least", "most", "Unanswered", "At most 1 % not"];
    section.tables.push(Table::new("At full rate, and with hardly any loss", &columns, rows));
    section.remark(
        "The server is another machine's: its CPU time, and its share of what a reflector in its place would do, are left out.",
    );
    Ok(section)
}

fn at(leases: u32, bench: &Bench) -> Result<Found> {
    let scale = bench.scale;
    let site = bench.site("bench-renew")?;
    let load = site.load(bench.crowd(leases, leases))?;
    let mut running = site.start(bench.subject(), &load, leases)?;
    site::lease_all(&load, leases)?;
    load.renew_by(bench.asking.form())?;
    let time = scale.of(Duration::from_millis(500), Duration::from_secs(1));
    // What is new to a server, or to a cache, belongs to none of the runs.
    load.renew(leases, Pace::Full, time)?;
    let count = scale.of(5, 9);
    let mut runs = Vec::new();
    for number in 1..=count {
        step(&format!("renew: {leases} leases, run {number} of {count}"));
        runs.push(load.renew(leases, Pace::Full, time)?);
    }
    let over = |values: Vec<f64>| spread(&values).context("nothing was measured");
    let left = |run: &Report| run.rate(Count::Renewals) - run.rate(Count::Unsent);
    let answered = over(runs.iter().map(|run| run.renewal_rate()).collect())?;
    let unanswered = over(runs.iter().map(|run| run.lost_share()).collect())?;
    let best = if unanswered.median <= LOSS {
        answered.median
    } else if !recovers(&load, leases)? {
        f64::NAN
    } else {
        step(&format!("renew: {leases} leases, the highest rate with hardly any loss"));
        let from = (answered.median / 8.0).max(100.0);
        capacity::renewals(&load, &mut running, leases, scale, from)?.map_or(f64::NAN, |best| best.rate)
    };
    Ok(Found { sent: over(runs.iter().map(left).collect())?, answered, unanswered, best })
}

/// A server that was flooded may be busy with what it has queued for a while: whether it comes to an end of it.
fn recovers(load: &Load<'_>, leases: u32) -> Result<bool> {
    step(&format!("renew: {leases} leases, until the server has worked off what it has queued"));
    let began = Instant::now();
    while began.elapsed() < QUEUED {
        if load.renew(leases, Pace::Rate(100.0), Duration::from_millis(500))?.lost_share() <= LOSS {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Found {
    fn row(&self, leases: u32) -> Vec<Cell> {
        vec![
            Cell::number(leases.into(), Unit::Count),
            Cell::number(self.sent.median, Unit::PerSecond),
            Cell::number(self.answered.median, Unit::PerSecond),
            Cell::number(self.answered.least, Unit::PerSecond),
            Cell::number(self.answered.most, Unit::PerSecond),
            Cell::number(self.unanswered.median, Unit::Share),
            Cell::number(self.best, Unit::PerSecond),
        ]
    }
}
