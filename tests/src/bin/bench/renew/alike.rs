//! Clients as fleets have them beside clients that are all alike: the same renewals, turn about.

use std::time::Duration;

use anyhow::{Context, Result};
use system_tests::load::{Load, Pace, Sorts};
use system_tests::server::Server;
use system_tests::topology::Lan;

use super::LARGE;
use crate::asking::Asking;
use crate::report::{Goal, Section};
use crate::statistics::spread;
use crate::unit::Unit;
use crate::{Bench, site, step};

/// Adds what mixed clients reach of the rate of those that are alike, if clients are mixed.
pub(super) fn compare(section: &mut Section, bench: &Bench) -> Result<()> {
    if bench.asking.sorts() == Sorts::Alike {
        return Ok(());
    }
    let (lan, other_lan) = (site::lan("bench-mixed")?, site::lan("bench-alike")?);
    let mixed = Leased::new(&lan, bench.asking)?;
    let alike = Leased::new(&other_lan, bench.asking.alike())?;
    let time = bench.scale.of(Duration::from_millis(500), Duration::from_secs(1));
    let count = bench.scale.of(5, 11);
    let mut shares = Vec::new();
    for number in 1..=count {
        step(&format!("renew: clients that are mixed and clients that are alike, round {number} of {count}"));
        // Each time another of the two comes first.
        let (mixed, alike) = if number % 2 == 0 {
            let alike = alike.rate(time)?;
            (mixed.rate(time)?, alike)
        } else {
            (mixed.rate(time)?, alike.rate(time)?)
        };
        shares.push(mixed / alike);
    }
    section.goal(
        "renewals of mixed clients, share of the rate of clients that are alike, 10 k leases",
        spread(&shares).context("nothing was measured")?.median,
        Unit::Share,
        Goal::must_be_at_least(0.95),
    );
    Ok(())
}

/// Clients with a lease, and their server.
struct Leased<'a> {
    load: Load<'a>,
    _server: Server<'a>,
}

impl<'a> Leased<'a> {
    fn new(lan: &'a Lan, asking: Asking) -> Result<Self> {
        let load = site::load(lan, asking.by(site::crowd(LARGE, LARGE)))?;
        let server = site::serve_as(lan, LARGE, asking.subnet())?;
        site::lease_all(&load, LARGE)?;
        load.renew_by(asking.form())?;
        load.renew(LARGE, Pace::Full, Duration::from_millis(200))?;
        Ok(Self { load, _server: server })
    }

    /// Renewals answered per second at full rate.
    fn rate(&self, time: Duration) -> Result<f64> {
        Ok(self.load.renew(LARGE, Pace::Full, time)?.renewal_rate())
    }
}
