//! What a renewal costs as leases grow in number, and a new lease as its pool grows and fills.

use std::fs;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result};
use system_tests::load::{Lane, Load, Pace};
use system_tests::server::Server;

use crate::report::{Axis, Cell, Goal, Kind, Plot, Section, Series, Table};
use crate::statistics::spread;
use crate::unable::if_able;
use crate::unit::Unit;
use crate::{Bench, site, step};

const METHOD: &str = "Renewals: CPU time each at full rate, less what the reflector takes for the same frame, with leases at \
    random; it grows with the memory that is touched. New leases: a pool of the size is leased up to the share, then \
    clients come and go, so that the share stays; what is given is the daemon's CPU time for one exchange of the four \
    messages, its release not counted.";

/// How many clients come and go at a time, at most.
const ROUND: u32 = 1_000;
/// Clients under way at a time.
const WINDOW: u32 = 64;

pub(crate) fn measure(bench: &Bench) -> Result<Section> {
    let mut section = Section::new("scale", "As it grows", METHOD);
    renewals(&mut section, bench)?;
    new_leases(&mut section, bench)?;
    Ok(section)
}

fn renewals(section: &mut Section, bench: &Bench) -> Result<()> {
    let sizes: &[u32] =
        bench.scale.of(&[1_000, 10_000, 100_000], &[1_000, 10_000, 100_000, 1_000_000, 4_000_000]);
    let (mut rows, mut points) = (Vec::new(), Vec::new());
    for &leases in sizes {
        let Some(cost) = if_able(section, renewal(leases, bench))? else { continue };
        points.push((leases.into(), cost));
        rows.push(vec![Cell::number(leases.into(), Unit::Count), Cell::number(cost, Unit::Seconds)]);
    }
    section.plots.push(Plot {
        title: "CPU time that a renewal takes, the reflector's taken off".to_owned(),
        kind: Kind::Lines,
        x: Axis::logarithmic("leases", Unit::Count),
        y: Axis::linear("CPU time", Unit::Seconds),
        series: vec![Series::line("xdhcpd", points)],
    });
    section.tables.push(Table::new("A renewal", &["Leases", "CPU time"], rows));
    Ok(())
}

/// CPU seconds of one renewal without what the reflector takes.
fn renewal(leases: u32, bench: &Bench) -> Result<f64> {
    let lan = site::lan("bench-scale")?;
    let load = site::load(&lan, site::crowd(leases, leases))?;
    let _server = site::serve(&lan, leases)?;
    site::lease_all(&load, leases)?;
    let time = Duration::from_millis(500);
    load.renew(leases, Pace::Full, time)?;
    let mut costs = Vec::new();
    for round in 1..=bench.scale.of(3, 9) {
        step(&format!("scale: {leases} leases, round {round}"));
        let reflected = load.reflect(leases, Pace::Full, time)?.cpu_per_renewal();
        costs.push(load.renew(leases, Pace::Full, time)?.cpu_per_renewal() - reflected);
    }
    Ok(spread(&costs).context("nothing was measured")?.median)
}

/// A pool of thousands, and how full it is kept, in thousandths.
struct Pool {
    size: u32,
    filled: u32,
}

impl Pool {
    /// How many of its addresses stay leased.
    const fn settled(&self) -> u32 {
        self.size / 1000 * self.filled
    }

    /// How many clients come and go in one turn.
    fn round(&self) -> u32 {
        (self.size - self.settled()).min(ROUND)
    }
}

fn new_leases(section: &mut Section, bench: &Bench) -> Result<()> {
    let sizes: &[u32] = bench.scale.of(&[1_000, 100_000], &[1_000, 10_000, 100_000, 1_000_000]);
    let (mut rows, mut all) = (Vec::new(), Vec::new());
    for &size in sizes {
        for filled in [10, 500, 900, 999] {
            let pool = Pool { size, filled };
            let found = exchange(&pool, bench);
            let Some(cost) = if_able(section, found)? else { continue };
            all.push((size, filled, cost));
            rows.push(vec![
                Cell::number(size.into(), Unit::Count),
                Cell::text(format!("{} %", f64::from(filled) / 10.0)),
                Cell::number(pool.round().min(WINDOW).into(), Unit::Count),
                Cell::number(cost, Unit::Seconds),
            ]);
        }
    }
    let at = |size, filled| all.iter().find(|one| (one.0, one.1) == (size, filled)).map(|one| one.2);
    if let (Some(large), Some(small)) = (at(1_000_000, 999), at(1_000, 10)) {
        let what = "DORA cost, pool 1 M at 99.9 % full against 1 k at 1 %";
        section.goal(what, large / small, Unit::Times, Goal::at_most(1.3, 1.1));
    }
    let series = |filled: u32| {
        let points = all.iter().filter(|one| one.1 == filled).map(|one| (one.0.into(), one.2)).collect();
        Series::line(format!("{} % full", f64::from(filled) / 10.0), points)
    };
    section.plots.push(Plot {
        title: "The daemon's CPU time for a new lease".to_owned(),
        kind: Kind::Lines,
        x: Axis::logarithmic("addresses in the pool", Unit::Count),
        y: Axis::linear("CPU time", Unit::Seconds),
        series: [10, 500, 900, 999].map(series).into(),
    });
    section.tables.push(Table::new("A new lease", &["Pool", "Full", "Clients at a time", "CPU time"], rows));
    Ok(())
}

/// The daemon's CPU seconds for one exchange.
fn exchange(pool: &Pool, bench: &Bench) -> Result<f64> {
    let (settled, round) = (pool.settled(), pool.round());
    let lan = site::lan("bench-pool")?;
    let wanted: u32 = bench.scale.of(2_000, 20_000);
    // A pool with room for one at a time takes so many turns that the last is as good as the first.
    let turns = wanted.div_ceil(round).min(bench.scale.of(50, 400));
    let load = site::load(&lan, site::crowd(settled + turns * round, pool.size))?;
    let server = site::serve(&lan, pool.size)?;
    site::lease_all(&load, settled)?;
    let (mut spent, mut leased) = (0.0, 0_u32);
    step(&format!("scale: a pool of {} kept {} % full", pool.size, f64::from(pool.filled) / 10.0));
    for turn in 0..turns {
        // Others each time: no client may say much in a row.
        let first = settled + turn * round;
        let newcomers = first..first + round;
        let before = cpu(&server)?;
        load.dora(newcomers.clone(), WINDOW.min(round), site::PATIENCE)?;
        // The first turn is warming up.
        if turn > 0 {
            spent += cpu(&server)? - before;
            leased += round;
        }
        leave(&load, &server, newcomers, settled)?;
    }
    Ok(spent / f64::from(leased))
}

/// Lets those that come and go go, and waits until the server knows.
fn leave(load: &Load<'_>, server: &Server<'_>, newcomers: Range<u32>, settled: u32) -> Result<()> {
    load.ask(Lane::Release, newcomers)?;
    system_tests::wait::until("released leases to be free", site::PATIENCE, || {
        Ok((server.pool_count("leased")? == u64::from(settled)).then_some(()))
    })
}

/// CPU seconds that the daemon's threads have used, as the scheduler counts them.
fn cpu(server: &Server<'_>) -> Result<f64> {
    let tasks = format!("/proc/{}/task", server.pid()?);
    let mut sum = 0.0;
    for task in fs::read_dir(&tasks).with_context(|| format!("cannot read {tasks}"))? {
        let path = task?.path().join("schedstat");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let nanoseconds: f64 = text.split(' ').next().context("an empty schedstat")?.parse()?;
        sum += nanoseconds / 1e9;
    }
    Ok(sum)
}
