//! More newcomers than the server can serve, while clients that have a lease go on renewing.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use system_tests::load::{Count, Load, Pace, Report, Stream};

use crate::report::{Axis, Cell, Goal, Kind, Plot, Section, Series, Table};
use crate::subject::{Subject, forgiving};
use crate::unable::if_able;
use crate::unit::Unit;
use crate::{Bench, capacity, site, step};

const METHOD: &str = "A round begins with the server's own peak, in a closed loop. Right after it newcomers look for a lease at 1, 2, \
    5 and 10 times that rate, in an open loop: they come whether or not others were served, and ask again after two \
    seconds. Goodput is what was leased per second, as a share of the most that was leased, at the peak or in any of the \
    runs. Meanwhile clients that have a lease renew it, at a rate that is little for the server alone. What one CPU can \
    send comes by one. All rounds are over the same pool, which gets fuller. Ours are five, of which medians count; those of \
    any other server three, in a quick run one.";
/// What is to be said of others beside ours.
const PEERS: &str = " ISC dhcpd is slower the larger its pool, dnsmasq the more leases it has: with addresses for so many newcomers \
    they do less than elsewhere in this report.";

const FACTORS: [f64; 4] = [1.0, 2.0, 5.0, 10.0];
/// How often ours is measured; the median counts.
const ROUNDS: u32 = 5;

/// A server under too much load.
struct Found {
    subject: Subject,
    rounds: Vec<Round>,
}

/// A server at its peak, and right after that beyond it.
struct Round {
    /// Its peak in a closed loop, which is what offered load is counted in.
    peak: f64,
    /// What came of each of [`FACTORS`].
    runs: [Report; FACTORS.len()],
}

pub(crate) fn measure(bench: &mut Bench) -> Result<Section> {
    let peers = if bench.peers().is_empty() { "" } else { PEERS };
    let mut section = Section::new("overload", "More than it can do", format!("{METHOD}{peers}"));
    let mut all = Vec::new();
    let others = if bench.is_first_run() { bench.peers() } else { &[] };
    for subject in [bench.subject()].iter().chain(others).copied() {
        match subject.missing() {
            Some(why) => section.remark(why),
            None => {
                let found = one(subject, bench);
                all.extend(forgiving(subject, &mut section, found)?);
            }
        }
    }
    let first = all.iter().find(|found| found.subject == bench.subject());
    if let Some((found, (_, _, goodput))) = first.and_then(|found| Some((found, found.runs().last()?))) {
        let what = "goodput at 10 times its own peak offered, of the peak";
        if found.subject == Subject::Xdhcpd {
            section.goal(what, goodput, Unit::Share, Goal::at_least(0.95, 0.98));
        } else {
            section.figure(what, goodput, Unit::Share);
        }
    }
    let flooded = flood(&mut section, bench);
    if_able(&mut section, flooded)?;
    section.plots.push(plot(&all));
    section.tables.push(table(&all));
    Ok(section)
}

impl Found {
    /// The most that it leased in a second, at its peak or in the runs, each by its middle round.
    fn peak(&self) -> f64 {
        let mut peaks: Vec<f64> = self.rounds.iter().map(|round| round.peak).collect();
        peaks.sort_by(f64::total_cmp);
        let runs = (0..FACTORS.len()).map(|run| self.middle(run).rate(Count::Bound));
        runs.fold(peaks[peaks.len() / 2], f64::max)
    }

    /// Of the runs with one of [`FACTORS`] the one that leased neither most nor least.
    fn middle(&self, run: usize) -> &Report {
        let mut reports: Vec<&Report> = self.rounds.iter().map(|round| &round.runs[run]).collect();
        reports.sort_by(|one, other| one.rate(Count::Bound).total_cmp(&other.rate(Count::Bound)));
        reports[reports.len() / 2]
    }

    /// Times the peak that was offered, what came of it, and what was leased as a share of the peak.
    fn runs(&self) -> impl Iterator<Item = (f64, &Report, f64)> {
        let peak = self.peak();
        FACTORS.iter().enumerate().map(move |(run, factor)| {
            let report = self.middle(run);
            (*factor, report, report.rate(Count::Bound) / peak)
        })
    }
}

fn one(subject: Subject, bench: &mut Bench) -> Result<Found> {
    let best = bench.new_leases(subject)?.rate;
    let rounds = if subject == Subject::Xdhcpd { ROUNDS } else { bench.scale.of(1, 3) };
    let shares = shares(rounds);
    let time = bench.scale.of(Duration::from_millis(500), Duration::from_secs(1));
    let time = bench.time_for(1.1 * best * f64::from(shares), time)?;
    let settled = bench.newcomers(subject.leases(1_000));
    let newcomers = newcomers(best * f64::from(shares), time, subject);
    let clients = settled + newcomers;
    let site = bench.site("bench-overload")?;
    let load = site.load(bench.crowd(clients + 1, clients + 1))?;
    let mut running = site.start(subject, &load, clients + 1)?;
    site::lease_all(&load, settled)?;
    site.introduce(&load, settled)?;
    let (renewing, window) = match subject {
        Subject::Xdhcpd => (50_000.0, 1024),
        Subject::Kea | Subject::Isc => (500.0, 64),
        Subject::Dnsmasq => (40.0, 64),
        Subject::Elsewhere => (little(best), 1024),
    };
    // Those of the closed loops first; then those who come in all other runs, one after the other.
    let share = newcomers / shares;
    let crowd = settled + rounds * share..clients;
    let mut turn = crowd.start;
    let mut found = Vec::new();
    for number in 0..rounds {
        let said = |what: &str| step(&format!("overload: {} {what}, round {}", subject.name(), number + 1));
        said("at its peak");
        let first = settled + number * share;
        let peak = capacity::in_turn(&load, first..first + share, window)?.rate;
        running.check()?;
        let mut run = |factor: f64| {
            said(&format!("at {factor} times its peak"));
            let newcomers = Stream { turn, ..Stream::newcomers(crowd.clone(), Pace::Rate(peak * factor)) };
            let streams = [newcomers, Stream::renewals(settled, Pace::Rate(renewing))];
            let (report, ()) = load.run(&streams, || thread::sleep(time))?;
            running.check()?;
            turn = load.turn();
            anyhow::Ok(report)
        };
        let [one, two, five, ten] = FACTORS;
        found.push(Round { peak, runs: [run(one)?, run(two)?, run(five)?, run(ten)?] });
    }
    Ok(Found { subject, rounds: found })
}

/// Newcomers come in so many shares of what the server does at its best in the time of a run. Five get a lease in a round, one
/// of them in the closed loop, and ten more must be there to look for one at once in the last; whose turn it is again has waited
/// long enough.
const fn shares(rounds: u32) -> u32 {
    10 * rounds + 14
}

/// So many that nobody is missing in all the runs, as far as the server can have so many addresses. The best that
/// the server did elsewhere is about what it will do here.
#[expect(clippy::cast_possible_truncation, reason = "bounded")]
fn newcomers(per_second: f64, time: Duration, subject: Subject) -> u32 {
    let wanted = per_second * time.as_secs_f64();
    let most = if subject == Subject::Isc { 60_000.0 } else { 8e6 };
    wanted.clamp(1_000.0, most) as u32
}

/// Renewals a second that are little for a server whose peak of new leases is known.
fn little(peak: f64) -> f64 {
    peak / 20.0
}

/// A million DISCOVERs a second, most of which can't be answered.
fn flood(section: &mut Section, bench: &mut Bench) -> Result<()> {
    const FLOOD: f64 = 1e6;
    let subject = bench.subject();
    let renewing = match subject {
        Subject::Xdhcpd => 100_000.0,
        _ => little(bench.new_leases(subject)?.rate),
    };
    let time = bench.scale.of(Duration::from_secs(1), Duration::from_millis(1900));
    let time = bench.time_for(1.05 * FLOOD, time)?;
    let settled = bench.newcomers(10_000);
    let clients = bench.at_most(settled + 2_000_000);
    let site = bench.site("bench-flood")?;
    let load = site.load(bench.crowd(clients, clients))?;
    let mut running = site.start(subject, &load, clients)?;
    site::lease_all(&load, settled)?;
    step("overload: a flood of DISCOVERs");
    let streams = [
        Stream::newcomers(settled..clients, Pace::Rate(FLOOD)),
        Stream::renewals(settled, Pace::Rate(renewing)),
    ];
    let (report, ()) = load.run(&streams, || thread::sleep(time))?;
    running.check()?;
    if report.rate(Count::Discovers) < 0.9 * FLOOD {
        section.remark("The clients' side did not come to a million DISCOVERs a second.");
    }
    section.figure("flood: DISCOVERs sent", report.rate(Count::Discovers), Unit::PerSecond);
    section.figure("flood: renewals sent meanwhile", report.rate(Count::Renewals), Unit::PerSecond);
    section.figure("flood: new leases meanwhile", report.rate(Count::Bound), Unit::PerSecond);
    let (what, lost) = ("renewals lost while DISCOVERs flood at 1 M/s", report.lost_share());
    if subject != Subject::Xdhcpd {
        section.figure(what, lost, Unit::Share);
        return Ok(());
    }
    section.goal(what, lost, Unit::Share, Goal::at_most(0.01, 0.001));
    still_fine(&load, settled)
}

/// After the flood every renewal is answered again.
fn still_fine(load: &Load<'_>, settled: u32) -> Result<()> {
    let after = load.renew(settled, Pace::Rate(10_000.0), Duration::from_millis(500))?;
    anyhow::ensure!(
        after.lost_renewals() == 0,
        "after the flood renewals are still lost: {:?}",
        after.counts
    );
    Ok(())
}

fn plot(all: &[Found]) -> Plot {
    let series = all.iter().map(|found| {
        let points = found.runs().map(|(factor, _, goodput)| (factor, goodput));
        Series::line(found.subject.titled(), points.collect())
    });
    Plot {
        title: "New leases as a share of the peak".to_owned(),
        kind: Kind::Lines,
        x: Axis::logarithmic("offered, times the peak", Unit::Count),
        y: Axis::linear("goodput, of the peak", Unit::Share),
        series: series.collect(),
    }
}

fn table(all: &[Found]) -> Table {
    let rows = all.iter().flat_map(|found| {
        found.runs().map(|(factor, report, goodput)| {
            let rate = |count| Cell::number(report.rate(count), Unit::PerSecond);
            vec![
                Cell::text(found.subject.titled()),
                Cell::number(factor, Unit::Times),
                rate(Count::Discovers),
                rate(Count::Bound),
                Cell::number(goodput, Unit::Share),
                rate(Count::Renewals),
                Cell::number(report.lost_share(), Unit::Share),
            ]
        })
    });
    let columns =
        ["Server", "Offered", "DISCOVERs", "Leases", "Of the peak", "Renewals meanwhile", "Renewals lost"];
    Table::new("Newcomers and renewals", &columns, rows)
}
