//! How long an answer takes when the server is not busy.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use system_tests::load::{Histogram, Load, Pace, Stream};

use crate::report::{Axis, Cell, Goal, Kind, Plot, Section, Series, Table};
use crate::subject::{Subject, forgiving};
use crate::unable::if_able;
use crate::unit::Unit;
use crate::{Bench, site, step};

const METHOD: &str = "Times are taken by the clients' programs in the kernel: when a request is written, and when its answer is \
    received. Renewals are sent one at a time, the next once the last is through, in turn with the reflector; what a server \
    adds is the difference. New leases (DISCOVER to ACK, the commit to disk included) come at a third of the peak, those of \
    a quarter of a millisecond at once (up to 100,000 a second; beyond, those of a millisecond), and keep the CPUs from sleeping.";

const METHOD_ELSEWHERE: &str = "Times are taken by the clients' programs in the kernel: when a request is written, and when its \
    answer is received, both ways over the wire and what the NICs wait before they interrupt included. Renewals are sent \
    at a rate that is little for the server; new leases (DISCOVER to ACK) come at a third of its peak.";

/// Renewals a second of a server elsewhere, at most: beyond, some would wait for others to be sent.
const FEW: f64 = 5_000.0;

const QUANTILES: [f64; 3] = [0.5, 0.99, 0.999];

pub(crate) fn measure(bench: &mut Bench) -> Result<Section> {
    if bench.elsewhere.is_some() {
        return elsewhere(bench);
    }
    let mut section = Section::new("latency", "How long it takes", METHOD);
    let (renewals, reflected) = renewals(bench)?;
    let exchanges = exchanges(bench)?;
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
    section.goal(
        "durable DORA p50 at a third of the peak",
        at(&exchanges, 0.5),
        Unit::Seconds,
        Goal::at_most(0.6e-3, 0.4e-3),
    );
    let mut all = vec![
        ("the reflector", reflected),
        ("xdhcpd, renewal", renewals),
        ("xdhcpd, DISCOVER to ACK", exchanges),
    ];
    for subject in Subject::PEERS {
        match subject.missing() {
            Some(why) => section.remark(why),
            None => {
                let found = forgiving(subject, &mut section, peer(subject, bench))?.flatten();
                all.extend(found.map(|histogram| (subject.name(), histogram)));
            }
        }
    }
    section.plots.push(plot(&all));
    section.tables.push(table(&all));
    Ok(section)
}

/// A server elsewhere, with nothing beside it.
fn elsewhere(bench: &mut Bench) -> Result<Section> {
    let mut section = Section::new("latency", "How long it takes", METHOD_ELSEWHERE);
    let mut all = Vec::new();
    let renewals = peer(Subject::Elsewhere, bench);
    all.extend(if_able(&mut section, renewals)?.flatten().map(|histogram| ("renewal", histogram)));
    let exchanges = exchanges(bench);
    all.extend(if_able(&mut section, exchanges)?.map(|histogram| ("DISCOVER to ACK", histogram)));
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
    let load = site::load(&lan, site::crowd(leases, leases))?;
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

/// New leases at a third of the peak.
#[expect(clippy::cast_possible_truncation, reason = "bounded by what a run can lease")]
fn exchanges(bench: &mut Bench) -> Result<Histogram> {
    let rate = bench.new_leases(bench.subject())?.rate / 3.0;
    let time = bench.time_for(1.2 * rate, bench.scale.of(Duration::from_secs(2), Duration::from_secs(5)))?;
    let clients = (rate * time.as_secs_f64() * 1.2) as u32 + 100;
    let site = bench.site("bench-exchanges")?;
    let load = site.load(site::crowd(clients, clients))?;
    let _running = site.start(bench.subject(), &load, clients)?;
    step("latency: new leases at a third of the peak");
    newcomers(&load, clients, rate, time)
}

fn newcomers(load: &Load<'_>, clients: u32, rate: f64, time: Duration) -> Result<Histogram> {
    let stream = Stream::newcomers(0..clients, Pace::Rate(rate));
    Ok(load.run(&[stream], || thread::sleep(time))?.0.exchange)
}

/// Renewals of a server other than ours, at a rate that is little for it.
fn peer(subject: Subject, bench: &Bench) -> Result<Option<Histogram>> {
    let leases = bench.newcomers(subject.leases(1_000));
    let site = bench.site("bench-latency")?;
    let load = site.load(site::crowd(leases + 1, 2 * leases))?;
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

fn plot(all: &[(&str, Histogram)]) -> Plot {
    let series = all.iter().map(|(name, histogram)| Series::line(*name, tail(histogram)));
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

fn table(all: &[(&str, Histogram)]) -> Table {
    let rows = all.iter().map(|(name, histogram)| {
        let quantiles =
            QUANTILES.map(|share| Cell::number(site::seconds(histogram.quantile(share)), Unit::Seconds));
        let measured = Cell::number(histogram.count() as f64, Unit::Count);
        [Cell::text(*name)].into_iter().chain(quantiles).chain([measured]).collect()
    });
    Table::new("Times", &["What", "p50", "p99", "p99.9", "Measured"], rows)
}
