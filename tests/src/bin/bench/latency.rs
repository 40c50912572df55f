//! How long an answer takes when the server is not busy.

mod disk;
mod stages;

use std::ops::Range;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use system_tests::load::{Histogram, Load, Pace, Stream};

use disk::Disk;

use crate::report::{Axis, Cell, Goal, Kind, Plot, Section, Series, Table};
use crate::site::Site;
use crate::subject::{Running, Subject, forgiving};
use crate::unable::if_able;
use crate::unit::Unit;
use crate::{Bench, site, step};

const METHOD: &str = "Times are taken by the clients' programs in the kernel: when a request is written, and when its answer is \
    received. Renewals are sent one at a time, the next once the last is through, in turn with the reflector; what a server \
    adds is the difference. New leases (DISCOVER to ACK, the commit to disk included) come at a third of the peak, those of \
    a quarter of a millisecond at once (up to 100,000 a second; beyond, those of a millisecond), and keep the CPUs from sleeping; \
    their addresses are not probed. In turn with them the disk is measured: 4,096 octets written over others of a file beside the \
    server's and an fdatasync, one after the other, with nothing else to do for it, the CPUs kept \
    from sleeping likewise. What the deciding thread was at, and for how long at a time, it counts itself while it tells its metrics.";

const METHOD_ELSEWHERE: &str = "Times are taken by the clients' programs in the kernel: when a request is written, and when its \
    answer is received, both ways over the wire and what the NICs wait before they interrupt included. Renewals are sent \
    at a rate that is little for the server; new leases (DISCOVER to ACK) come at a third of its peak.";

/// Renewals a second of a server elsewhere, at most: beyond, some would wait for others to be sent.
const FEW: f64 = 5_000.0;

/// In so many parts newcomers come, and the disk is measured in between.
const ROUNDS: u32 = 4;

const QUANTILES: [f64; 3] = [0.5, 0.99, 0.999];

pub(crate) fn measure(bench: &mut Bench) -> Result<Section> {
    if bench.elsewhere.is_some() {
        return elsewhere(bench);
    }
    let mut section = Section::new("latency", "How long it takes", METHOD);
    let (renewals, reflected) = renewals(bench)?;
    let Exchanges { times: exchanges, disk, stages } = exchanges(bench)?;
    let at = |histogram: &Histogram, share| site::seconds(histogram.quantile(share));
    section.goal(
        "renewal p50 above the reflector's",
        at(&renewals, 0.5) - at(&reflected, 0.5),
        Unit::Seconds,
        Goal::at_most(1.5e-6, 1e-6),
    );
    section.goal(
        "renewal p99, times the reflector's",
        at(&renewals, 0.99) / at(&reflected, 0.99),
        Unit::Times,
        Goal::at_most(2.0, 1.5),
    );
    for (share, named, most) in [(0.5, "p50", 2.5), (0.99, "p99", 4.0)] {
        section.figure(format!("durable DORA {named}"), at(&exchanges, share), Unit::Seconds);
        section.figure(format!("the disk's fdatasync {named}"), disk.quantile(share), Unit::Seconds);
        section.goal(
            format!("durable DORA {named} at a third of the peak, times the disk's own fdatasync {named}"),
            at(&exchanges, share) / disk.quantile(share),
            Unit::Times,
            Goal::must_be_at_most(most),
        );
    }
    let mut all = vec![
        ("the reflector".to_owned(), reflected),
        ("xdhcpd, renewal".to_owned(), renewals),
        ("xdhcpd, DISCOVER to ACK".to_owned(), exchanges),
    ];
    let others: &[Subject] = if bench.is_first_run() { &Subject::PEERS } else { &[] };
    for &subject in others {
        match subject.missing() {
            Some(why) => section.remark(why),
            None => {
                let found = forgiving(subject, &mut section, peer(subject, bench))?.flatten();
                all.extend(found.map(|histogram| (subject.titled(), histogram)));
            }
        }
    }
    section.plots.push(plot(&all));
    let mut times = table(&all);
    times.rows.push(disk_row(&disk));
    section.tables.push(times);
    section.tables.extend(stages);
    Ok(section)
}

/// New leases at a third of the peak.
struct Exchanges {
    times: Histogram,
    /// What the disk takes for itself.
    disk: Disk,
    /// What ours was at meanwhile.
    stages: Option<Table>,
}

/// The disk's times beside the others.
fn disk_row(disk: &Disk) -> Vec<Cell> {
    let quantiles = QUANTILES.map(|share| Cell::number(disk.quantile(share), Unit::Seconds));
    let measured = Cell::number(disk.count() as f64, Unit::Count);
    [Cell::text("the disk's fdatasync")].into_iter().chain(quantiles).chain([measured]).collect()
}

/// A server elsewhere, with nothing beside it.
fn elsewhere(bench: &mut Bench) -> Result<Section> {
    let mut section = Section::new("latency", "How long it takes", METHOD_ELSEWHERE);
    let mut all = Vec::new();
    let renewals = peer(Subject::Elsewhere, bench);
    all.extend(if_able(&mut section, renewals)?.flatten().map(|histogram| ("renewal".to_owned(), histogram)));
    let exchanges = exchanges(bench);
    all.extend(if_able(&mut section, exchanges)?.map(|found| ("DISCOVER to ACK".to_owned(), found.times)));
    for (name, histogram) in &all {
        section.figure(format!("{name} p50"), site::seconds(histogram.quantile(0.5)), Unit::Seconds);
        section.figure(format!("{name} p99"), site::seconds(histogram.quantile(0.99)), Unit::Seconds);
    }
    section.plots.push(plot(&all));
    section.tables.push(table(&all));
    Ok(section)
}

/// Renewals and reflected ones, in turn.
fn renewals(bench: &Bench) -> Result<(Histogram, Histogram)> {
    let leases = 10_000;
    let lan = site::lan("bench-latency")?;
    let load = site::load(&lan, bench.crowd(leases, leases))?;
    let _server = site::serve(&lan, leases)?;
    site::lease_all(&load, leases)?;
    let time = bench.scale.of(Duration::from_millis(300), Duration::from_secs(1));
    let (mut renewed, mut reflected) = (Vec::new(), Vec::new());
    for round in 1..=bench.scale.of(3, 9) {
        step(&format!("latency: round {round}"));
        renewed.push(load.renew(leases, Pace::Single, time)?.renewal);
        reflected.push(load.reflect(leases, Pace::Single, time)?.renewal);
    }
    let all = |histograms: Vec<Histogram>| histograms.into_iter().reduce(|sum, next| sum + &next);
    all(renewed).zip(all(reflected)).context("nothing was measured")
}

/// New leases at a third of the peak, and the disk in turn with them.
#[expect(clippy::cast_possible_truncation, reason = "bounded by what a run can lease")]
fn exchanges(bench: &mut Bench) -> Result<Exchanges> {
    let rate = bench.new_leases(bench.subject())?.rate / 3.0;
    let time = bench.time_for(1.2 * rate, bench.scale.of(Duration::from_secs(2), Duration::from_secs(5)))?;
    let clients = (rate * time.as_secs_f64() * 1.2) as u32 + 100;
    let site = bench.site("bench-exchanges")?;
    let load = site.load(bench.crowd(clients, clients))?;
    let _running = match &site {
        Site::Made(lan) => Running::Xdhcpd(site::serve_watched(lan, clients)?),
        Site::Elsewhere(_) => Running::Elsewhere,
    };
    let mut disk = Disk::new(&std::env::temp_dir())?;
    let (mut all, mut turn) = (None, 0);
    for round in 1..=ROUNDS {
        step(&format!("latency: new leases at a third of the peak, round {round} of {ROUNDS}"));
        if bench.elsewhere.is_none() {
            disk.measure(time / 2 / ROUNDS)?;
        }
        let found = newcomers(&load, turn..clients, rate, time / ROUNDS)?;
        turn = load.turn();
        all = Some(match all {
            Some(former) => former + &found,
            None => found,
        });
    }
    let stages = match &site {
        Site::Made(lan) => Some(stages::of(lan)?),
        Site::Elsewhere(_) => None,
    };
    Ok(Exchanges { times: all.context("nothing was measured")?, disk, stages })
}

fn newcomers(load: &Load<'_>, clients: Range<u32>, rate: f64, time: Duration) -> Result<Histogram> {
    let stream = Stream::newcomers(clients, Pace::Rate(rate));
    Ok(load.run(&[stream], || thread::sleep(time))?.0.exchange)
}

/// Renewals of a server other than ours, at a rate that is little for it.
fn peer(subject: Subject, bench: &Bench) -> Result<Option<Histogram>> {
    let leases = bench.newcomers(subject.leases(1_000));
    let site = bench.site("bench-latency")?;
    let load = site.load(bench.crowd(leases + 1, 2 * leases))?;
    let mut running = site.start(subject, &load, 2 * leases)?;
    site::lease_all(&load, leases)?;
    site.introduce(&load, leases)?;
    step(&format!("latency: {}", subject.name()));
    let time = bench.scale.of(Duration::from_secs(1), Duration::from_secs(5));
    let rate = match subject {
        Subject::Dnsmasq => 50.0,
        Subject::Elsewhere => FEW.min(f64::from(leases)),
        _ => 500.0,
    };
    let report = load.renew(leases, Pace::Rate(rate), time)?;
    running.check()?;
    Ok((report.renewal.count() > 0).then_some(report.renewal))
}

fn plot(all: &[(String, Histogram)]) -> Plot {
    let series = all.iter().map(|(name, histogram)| Series::line(name, tail(histogram)));
    Plot {
        title: "The share of answers that took longer".to_owned(),
        kind: Kind::Lines,
        x: Axis::logarithmic("time from request to answer", Unit::Seconds),
        y: Axis::logarithmic("share that took longer", Unit::Share),
        series: series.collect(),
    }
}

/// For each bucket, the share of all times that are in later ones.
fn tail(histogram: &Histogram) -> Vec<(f64, f64)> {
    let all = histogram.count() as f64;
    let mut left = histogram.count();
    histogram
        .buckets()
        .map(|(time, count)| {
            left -= count;
            (time.as_secs_f64(), left as f64 / all)
        })
        .filter(|(_, share)| *share > 0.0)
        .collect()
}

fn table(all: &[(String, Histogram)]) -> Table {
    let rows = all.iter().map(|(name, histogram)| {
        let quantiles =
            QUANTILES.map(|share| Cell::number(site::seconds(histogram.quantile(share)), Unit::Seconds));
        let measured = Cell::number(histogram.count() as f64, Unit::Count);
        [Cell::text(name)].into_iter().chain(quantiles).chain([measured]).collect()
    });
    Table::new("Times", &["What", "p50", "p99", "p99.9", "Measured"], rows)
}
