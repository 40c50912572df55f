//! The same load for other servers, each at its best settings.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use system_tests::load::{Load, Pace};

use crate::capacity::{self, Best};
use crate::report::{Axis, Cell, Goal, Kind, Plot, Section, Series, Table, Whose};
use crate::subject::{Subject, forgiving};
use crate::unit::Unit;
use crate::{Bench, Scale, perfdhcp, site, step};

const METHOD: &str = "The same clients, frames and checks for each server, one after the other in this run. Renewals: the \
    highest rate of which at most one in a hundred stays unanswered, found by halving; for xdhcpd and the reflector, full \
    rate. New leases: the best of closed loops with several numbers of clients at a time, and of open loops at and above \
    that rate, each begun with an empty server. The CPUs are kept from sleeping for all servers, as xdhcpd has it under load. Leases are for an hour. What each of them promises of a lease after a power cut stands in the table: it is not the same.";

/// What was found about one server.
struct Found {
    subject: Subject,
    leases: u32,
    renewals: Option<Best>,
    new_leases: Rc<Best>,
}

pub(crate) fn measure(bench: &mut Bench) -> Result<Section> {
    let mut section = Section::new("peers", "Beside other servers", METHOD);
    let mut all = Vec::new();
    let mut reflected = f64::NAN;
    let others: &[Subject] = if bench.is_first_run() { &Subject::PEERS } else { &[Subject::Kea] };
    for subject in [Subject::Xdhcpd].iter().chain(others).copied() {
        if let Some(why) = subject.missing() {
            section.remark(why);
            continue;
        }
        let found = one(subject, bench);
        let Some((found, reflector)) = forgiving(subject, &mut section, found)? else { continue };
        if subject == Subject::Xdhcpd {
            reflected = reflector;
        }
        all.push(found);
    }
    let probed = probed(bench)?;
    goals(&mut section, &all, probed);
    section.plots = plots(&all, reflected);
    section.tables.push(table(&all));
    section.tables.push(terms(&all));
    if bench.is_first_run() {
        perfdhcp::cross_check(&mut section, bench)?;
    }
    Ok(section)
}

fn one(subject: Subject, bench: &mut Bench) -> Result<(Found, f64)> {
    let leases = subject.leases(10_000);
    let lan = site::lan("bench-peers")?;
    let load = site::load(&lan, bench.crowd(leases + 1, 2 * leases))?;
    let mut running = subject.start(&lan, &load, 2 * leases)?;
    site::lease_all(&load, leases)?;
    let (renewals, reflected) = if subject == Subject::Xdhcpd {
        let (best, reflected) = at_full_rate(&load, leases, bench.scale)?;
        (Some(best), reflected)
    } else {
        site::introduce(&lan, &load, leases)?;
        step(&format!("{}: the highest rate of renewals", subject.name()));
        (capacity::renewals(&load, &mut running, leases, bench.scale, 100.0)?, f64::NAN)
    };
    drop(running);
    let new_leases = bench.new_leases(subject)?;
    Ok((Found { subject, leases, renewals, new_leases }, reflected))
}

/// New leases a second of ours at its default settings.
fn probed(bench: &Bench) -> Result<f64> {
    let clients = bench.scale.of(20_000, 60_000);
    step(&format!("xdhcpd: {clients} new leases, each address probed"));
    let lan = site::lan("bench-probing")?;
    let load = site::load(&lan, bench.crowd(clients, 2 * clients))?;
    let _server = site::serve_probing(&lan, 2 * clients)?;
    Ok(capacity::in_turn(&load, 0..clients, site::WHERE_PROBED)?.rate)
}

/// Ours has nothing to search for: what the clients' side can send, it answers.
fn at_full_rate(load: &Load<'_>, leases: u32, scale: Scale) -> Result<(Best, f64)> {
    let mut best: Option<Best> = None;
    let mut reflected = 0.0_f64;
    for _ in 0..scale.of(3, 9) {
        step("xdhcpd: renewals at full rate");
        let time = Duration::from_millis(500);
        reflected = reflected.max(load.reflect(leases, Pace::Full, time)?.renewal_rate());
        let report = load.renew(leases, Pace::Full, time)?;
        let rate = report.renewal_rate();
        best = best.filter(|best| best.rate > rate).or(Some(Best { rate, report }));
    }
    Ok((best.context("nothing was measured")?, reflected))
}

fn goals(section: &mut Section, all: &[Found], probed: f64) {
    let of = |subject| all.iter().find(|found| found.subject == subject);
    let (Some(ours), Some(kea)) = (of(Subject::Xdhcpd), of(Subject::Kea)) else { return };
    let they_are = Subject::Kea.titled();
    if let (Some(we), Some(they)) = (&ours.renewals, &kea.renewals) {
        section.goal(
            format!("renewals, times those of {they_are} at its best"),
            we.rate / they.rate,
            Unit::Times,
            Goal::at_least(150.0, 300.0),
        );
    }
    section.goal(
        format!("new leases, neither probing, times those of {they_are} at its best, which does not fsync"),
        ours.new_leases.rate / kea.new_leases.rate,
        Unit::Times,
        Goal::at_least(15.0, 25.0),
    );
    section.goal(
        format!("new leases at default settings (each address probed), times those of {they_are}, which neither probes nor fsyncs"),
        probed / kea.new_leases.rate,
        Unit::Times,
        Goal::at_least(15.0, 25.0),
    );
}

fn plots(all: &[Found], reflected: f64) -> Vec<Plot> {
    let renewals = |found: &Found| found.renewals.as_ref().map(|best| best.rate);
    let new_leases = |found: &Found| Some(found.new_leases.rate);
    let mut answered = bars(all, renewals);
    if reflected.is_finite() {
        answered.push(Series::bar("reflector: no server", Whose::Limit, reflected));
    }
    let plot = |title: &str, label: &str, series| {
        let mut plot = Plot {
            title: title.to_owned(),
            kind: Kind::Bars,
            x: Axis::linear("", Unit::Count),
            y: Axis::logarithmic(label, Unit::PerSecond),
            series,
        };
        plot.compare();
        plot
    };
    vec![
        plot("Renewals, at most 1 % unanswered", "renewals answered per second", answered),
        plot("New leases, at best", "leases per second", bars(all, new_leases)),
    ]
}

fn ours(all: &[Found]) -> Option<&Found> {
    all.iter().find(|found| found.subject == Subject::Xdhcpd)
}

/// A bar for each server.
fn bars(all: &[Found], rate: impl Fn(&Found) -> Option<f64>) -> Vec<Series> {
    let bar = |found: &Found| {
        let whose = if found.subject == Subject::Xdhcpd { Whose::Ours } else { Whose::Others };
        Some(Series::bar(found.subject.titled(), whose, rate(found)?))
    };
    all.iter().filter_map(bar).collect()
}

fn table(all: &[Found]) -> Table {
    let ours = ours(all);
    let times = |mine: Option<f64>, theirs: Option<f64>| match (mine, theirs) {
        (Some(mine), Some(theirs)) => Cell::number(mine / theirs, Unit::Times),
        _ => Cell::Nothing,
    };
    let rate = |best: Option<&Best>| best.map(|best| best.rate);
    let rows = all.iter().map(|found| {
        let renewals = rate(found.renewals.as_ref());
        let new_leases = Some(found.new_leases.rate);
        vec![
            Cell::text(found.subject.titled()),
            Cell::number(found.leases.into(), Unit::Count),
            renewals.map_or(Cell::Nothing, |rate| Cell::number(rate, Unit::PerSecond)),
            times(ours.and_then(|ours| rate(ours.renewals.as_ref())), renewals),
            Cell::number(found.new_leases.rate, Unit::PerSecond),
            times(ours.map(|ours| ours.new_leases.rate), new_leases),
            Cell::number(site::seconds(found.new_leases.report.exchange.quantile(0.5)), Unit::Seconds),
        ]
    });
    let columns = ["Server", "Leases", "Renewals", "xdhcpd:", "New leases", "xdhcpd:", "DORA p50 there"];
    Table::new("Side by side", &columns, rows)
}

fn terms(all: &[Found]) -> Table {
    let rows = all.iter().map(|found| {
        let subject = found.subject;
        vec![Cell::text(subject.titled()), Cell::text(subject.settings()), Cell::text(subject.durability())]
    });
    Table::new("Settings, and what outlives a power cut", &["Server", "Settings", "On disk"], rows)
}
