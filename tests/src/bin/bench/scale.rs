//! The cost of a renewal as leases grow in number, and of a new lease as its pool grows and fills.

use std::ops::Range;
use std::time::Duration;
use std::{fmt, fs};

use anyhow::{Context, Result};
use system_tests::load::{Lane, Load, Pace};
use system_tests::server::Server;
use system_tests::topology::Lan;

use crate::report::{Axis, Cell, Goal, Kind, Plot, Section, Series, Table};
use crate::statistics::spread;
use crate::unable::if_able;
use crate::unit::Unit;
use crate::{Bench, site, step};

const METHOD: &str = "Renewals: CPU time each at full rate, less what the reflector takes for the same frame, with leases at \
    random; it grows with the memory that is touched. New leases: a pool of the size is leased up to the share, then \
    clients come and go, so that the share stays; what is given is the daemon's CPU time for one exchange of the four \
    messages, its release not counted. The fullest large pool and the emptiest small one are compared once more, \
    served beside each other and asked turn about: the median of the turns.";

/// How many clients come and go at a time, at most.
const ROUND: u32 = 1_000;
/// Clients under way at a time.
const WINDOW: u32 = 64;

pub(crate) fn measure(bench: &Bench) -> Result<Section> {
    let mut section = Section::new("scale", "As it grows", METHOD);
    if bench.is_first_run() {
        renewals(&mut section, bench)?;
        new_leases(&mut section, bench)?;
    }
    pools(&mut section, bench)?;
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
    let load = site::load(&lan, bench.crowd(leases, leases))?;
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

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a pool of {} kept {} full", self.size, percent(self.filled))
    }
}

/// A share in thousandths, as it is read.
fn percent(filled: u32) -> String {
    format!("{} %", f64::from(filled) / 10.0)
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
                Cell::text(percent(filled)),
                Cell::number(pool.round().min(WINDOW).into(), Unit::Count),
                Cell::number(cost, Unit::Seconds),
            ]);
        }
    }
    let series = |filled: u32| {
        let points = all.iter().filter(|one| one.1 == filled).map(|one| (one.0.into(), one.2)).collect();
        Series::line(format!("{} full", percent(filled)), points)
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

/// The fullest large pool beside the emptiest small one.
fn pools(section: &mut Section, bench: &Bench) -> Result<()> {
    let (large, small) = (Pool { size: 1_000_000, filled: 999 }, Pool { size: 1_000, filled: 10 });
    if let Some(times) = if_able(section, against(&large, &small, bench))? {
        let what = "DORA cost, pool 1 M at 99.9 % full against 1 k at 1 %";
        section.goal(what, times, Unit::Times, Goal::at_most(1.3, 1.1));
    }
    Ok(())
}

/// The daemon's CPU seconds for one exchange.
fn exchange(pool: &Pool, bench: &Bench) -> Result<f64> {
    let wanted: u32 = bench.scale.of(2_000, 20_000);
    // A pool with room for one at a time takes so many turns that the last is as good as the first.
    let turns = wanted.div_ceil(pool.round()).min(bench.scale.of(50, 400));
    let lan = site::lan("bench-pool")?;
    let mut kept = Kept::new(&lan, pool, turns, bench)?;
    step(&format!("scale: {pool}"));
    // The first turn is warming up.
    kept.turn()?;
    let costs: Vec<f64> = (1..turns).map(|_| kept.turn()).collect::<Result<_>>()?;
    Ok(costs.iter().sum::<f64>() / f64::from(turns - 1))
}

/// What an exchange costs in a pool, as a multiple of what it costs in another that is served beside it: the median of
/// many turns, each of the one and then of the other.
fn against(pool: &Pool, other: &Pool, bench: &Bench) -> Result<f64> {
    let (lan, other_lan) = (site::lan("bench-pool")?, site::lan("bench-beside")?);
    // How often clients come and go.
    let turns = bench.scale.of(30, 60);
    let mut kept = Kept::new(&lan, pool, turns, bench)?;
    let mut beside = Kept::new(&other_lan, other, turns, bench)?;
    step(&format!("scale: {pool}, against {other}"));
    let ratio = |_| Ok(kept.turn()? / beside.turn()?);
    let ratios: Vec<f64> = (0..turns).map(ratio).collect::<Result<_>>()?;
    // The first turn is warming up.
    Ok(spread(&ratios[1..]).context("nothing was measured")?.median)
}

/// A pool that is kept as full as it is, while clients come and go.
struct Kept<'a> {
    server: Server<'a>,
    load: Load<'a>,
    settled: u32,
    round: u32,
    turn: u32,
}

impl<'a> Kept<'a> {
    fn new(lan: &'a Lan, pool: &Pool, turns: u32, bench: &Bench) -> Result<Self> {
        let (settled, round) = (pool.settled(), pool.round());
        let load = site::load(lan, bench.crowd(settled + turns * round, pool.size))?;
        let server = site::serve(lan, pool.size)?;
        site::lease_all(&load, settled)?;
        Ok(Self { server, load, settled, round, turn: 0 })
    }

    /// Lets clients come and go. The daemon's CPU seconds for each to come.
    fn turn(&mut self) -> Result<f64> {
        // Others each time: no client may say much in a row.
        let first = self.settled + self.turn * self.round;
        let newcomers = first..first + self.round;
        self.turn += 1;
        let before = cpu(&self.server)?;
        self.load.dora(newcomers.clone(), WINDOW.min(self.round), site::PATIENCE)?;
        let spent = cpu(&self.server)? - before;
        leave(&self.load, &self.server, newcomers, self.settled)?;
        Ok(spent / f64::from(self.round))
    }
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
