//! New leases in a closed loop: so many clients at a time, every ACK after its commit.

use anyhow::Result;
use system_tests::load::{Count, Report};

use crate::report::{Axis, Cell, Goal, Kind, Plot, Section, Series, Table};
use crate::subject::Subject;
use crate::unable::if_able;
use crate::unit::Unit;
use crate::{Bench, site, step};

const METHOD: &str = "Clients without a lease get one each: DISCOVER, OFFER, REQUEST, ACK. The clients' side is a program in \
    the kernel that turns each OFFER into its REQUEST and, once a client has its lease, lets the next begin, so that as many \
    are under way at any time as the row says.";
/// What is known of a server that was started here.
const DURABLE: &str = " Every ACK leaves after the lease is on disk (fdatasync).";

/// What limits where addresses are probed.
const PROBING: &str = "Where addresses are probed, two questions wait a quarter of a second each for an answer. The server probes ahead \
    of demand, more the more clients find nothing probed, which takes the first half second of a run; 32,768 probes may be under \
    way. Clients that come back, and all renewals, wait for no probe.";

/// How many clients are under way at a time.
const WINDOWS: [u32; 6] = [1, 8, 64, 256, 1024, 4096];

const COLUMNS: [&str; 6] = ["At a time", "Clients", "Leases", "p50", "p99", "p99.9"];

pub(crate) fn measure(bench: &mut Bench) -> Result<Section> {
    let (scale, subject) = (bench.scale, bench.subject());
    let durable = if subject == Subject::Xdhcpd { DURABLE } else { "" };
    let mut section = Section::new("dora", "New leases", format!("{METHOD}{durable}"));
    let (mut rows, mut best) = (Vec::new(), 0.0_f64);
    let mut series = Series::line(subject.name(), Vec::new());
    for window in WINDOWS {
        let clients = bench.newcomers(scale.of(20_000, 200_000).min(window * scale.of(400, 2_000)));
        if window > clients {
            continue;
        }
        step(&format!("dora: {clients} clients, {window} at a time"));
        let site = bench.site("bench-dora")?;
        let load = site.load(bench.crowd(clients, clients))?;
        let _running = site.start(subject, &load, clients)?;
        let report = load.dora(0..clients, window, site::PATIENCE)?;
        let rate = report.rate(Count::Bound);
        best = best.max(rate);
        bench.has_leased(rate);
        series.points.push((window.into(), rate));
        rows.push(row(window, clients, &report));
    }
    if subject == Subject::Xdhcpd {
        let goal = Goal::at_least(60e3, 150e3);
        section.goal("new leases/s, not probing, every ACK after its fsync", best, Unit::PerSecond, goal);
    } else {
        section.figure("new leases/s, closed loop", best, Unit::PerSecond);
        let either = bench.new_leases(subject);
        if let Some(either) = if_able(&mut section, either)? {
            section.figure("new leases/s, closed or open loop", best.max(either.rate), Unit::PerSecond);
        }
    }
    section.tables.push(Table::new("DISCOVER to ACK", &COLUMNS, rows));
    if subject == Subject::Xdhcpd {
        probing(&mut section, bench)?;
    }
    section.plots.push(Plot {
        title: "New leases per second".to_owned(),
        kind: Kind::Lines,
        x: Axis::logarithmic("clients under way at a time", Unit::Count),
        y: Axis::logarithmic("leases", Unit::PerSecond),
        series: vec![series],
    });
    Ok(section)
}

fn row(window: u32, clients: u32, report: &Report) -> Vec<Cell> {
    let quantile = |share| Cell::number(site::seconds(report.exchange.quantile(share)), Unit::Seconds);
    vec![
        Cell::number(window.into(), Unit::Count),
        Cell::number(clients.into(), Unit::Count),
        Cell::number(report.rate(Count::Bound), Unit::PerSecond),
        quantile(0.5),
        quantile(0.99),
        quantile(0.999),
    ]
}

/// The same at default settings, where what an address takes is mostly that nobody answers for it.
fn probing(section: &mut Section, bench: &Bench) -> Result<()> {
    let mut rows = Vec::new();
    for window in [256, site::WHERE_PROBED] {
        let clients = window * bench.scale.of(4, 12);
        step(&format!("dora: {clients} clients, {window} at a time, each address probed"));
        let lan = site::lan("bench-probing")?;
        let load = site::load(&lan, bench.crowd(clients, 2 * clients))?;
        let _server = site::serve_probing(&lan, 2 * clients)?;
        rows.push(row(window, clients, &load.dora(0..clients, window, site::PATIENCE)?));
    }
    section.remark(PROBING);
    section.tables.push(Table::new(
        "At default settings: each address probed before it is offered",
        &COLUMNS,
        rows,
    ));
    Ok(())
}
