//! Renewals at full rate, in turn with a reflector of the same frames.

mod alike;
mod elsewhere;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use system_tests::load::{Form, Load, Pace, REFLECTOR_IF, Report};
use system_tests::program::Timed;
use system_tests::topology::SERVER_IF;

use crate::report::{Cell, Goal, Section, Table};
use crate::statistics::{Spread, spread};
use crate::unable::if_able;
use crate::unit::Unit;
use crate::{Bench, site, step};

const METHOD: &str = "Clients with a lease extend it as fast as the clients' side can send, in an order \
    that is none for the server. In turn with each run, a program of one instruction that sends every frame back as it is \
    (XDP_TX) gets the same frames on a link of its own: no server on this machine could answer more. So does the floor: a \
    program that finds a lease by its place in an array, swaps a word of it, and writes an answer that all share, with no \
    look at anything else. What is said of each is the median of all runs; the shares are the medians of the rounds' own. How it grows is told of \
    what an answer takes beyond a reflected frame. Where clients are mixed, they are also compared with clients that are all alike, each \
    with a server of its own, turn about. CPU time is all that a CPU spends on a \
    frame: making it, both ways over the link, judging the reply. What the program alone takes of it the kernel counts \
    (bpf_stats) in one more run; its own two looks at the clock are in both of these numbers.";

pub(crate) fn measure(bench: &Bench) -> Result<Section> {
    if let Some(server) = &bench.elsewhere {
        return elsewhere::measure(bench, server.clients());
    }
    let scale = bench.scale;
    let asking = bench.asking.words();
    let mut section = Section::new("renew", "Renewals at full rate", format!("{METHOD} Here: {asking}."));
    let mut all = BTreeMap::new();
    for leases in scale.of(vec![SMALL, LARGE, HUGE], vec![SMALL, LARGE, 100_000, HUGE]) {
        all.extend(if_able(&mut section, at(leases, bench))?.map(|found| (leases, found)));
    }
    goals(&mut section, &all);
    alike::compare(&mut section, bench)?;
    let rows: Vec<_> = all.iter().map(|(leases, found)| found.row(*leases)).collect();
    let columns = [
        "Leases",
        "Renewals",
        "Reflected",
        "Floor",
        "Share",
        "least",
        "most",
        "of the floor",
        "least",
        "most",
        "by CPU time",
        "beyond the reflector",
        "the floor",
        "CPU each",
        "program",
        "reflector's",
        "Unanswered",
    ];
    section.tables.push(Table::new("Medians of rounds", &columns, rows));
    Ok(section)
}

/// Numbers of leases of which something is expected.
const SMALL: u32 = 256;
const LARGE: u32 = 10_000;
const HUGE: u32 = 1_000_000;

fn goals(section: &mut Section, all: &BTreeMap<u32, Found>) {
    for (leases, words, goal) in
        [(LARGE, "10 k leases", Goal::at_least(0.85, 0.95)), (HUGE, "1 M leases", Goal::at_least(0.80, 0.90))]
    {
        if let Some(found) = all.get(&leases) {
            section.goal(
                format!("renewals, share of the floor's rate, {words}"),
                found.share_of_floor.median,
                Unit::Share,
                goal,
            );
        }
    }
    if let (Some(small), Some(large)) = (all.get(&SMALL), all.get(&LARGE)) {
        let grown = |beyond: fn(&Found) -> f64| beyond(large) - beyond(small);
        let (ours, floor) = (grown(|found| found.beyond.median), grown(|found| found.floor_beyond.median));
        section.figure("what a renewal takes more with 10 k leases than with 256", ours, Unit::Seconds);
        section.figure("what the floor takes more", floor, Unit::Seconds);
        // A floor that is no slower with more leases is no measure.
        let times = if floor > 0.0 { (ours / floor).max(0.0) } else { f64::NAN };
        section.goal(
            "a renewal's growth from 256 to 10 k leases, times the floor's",
            times,
            Unit::Times,
            Goal::at_most(1.3, 1.1),
        );
    }
}

/// What the pairs of one number of leases have in common.
struct Found {
    renewed: Spread,
    reflected: Spread,
    /// Not a number where the floor can't answer: it knows requests with ciaddr alone.
    floor: Spread,
    share: Spread,
    share_of_floor: Spread,
    /// CPU seconds of an answer beyond those of a reflected frame.
    beyond: Spread,
    floor_beyond: Spread,
    share_by_cpu: Spread,
    cpu_each: Spread,
    unanswered: Spread,
    /// What the programs alone take, the server's and the reflector's.
    programs: [Duration; 2],
}

impl Found {
    fn of(pairs: &[Round], programs: [Duration; 2]) -> Result<Self> {
        let over = |value: fn(&Round) -> f64| {
            spread(&pairs.iter().map(value).collect::<Vec<_>>()).context("no pairs were measured")
        };
        Ok(Self {
            renewed: over(|pair| pair.renewed.renewal_rate())?,
            reflected: over(|pair| pair.reflected.renewal_rate())?,
            floor: over(|pair| pair.floor_rate())?,
            share: over(|pair| pair.renewed.renewal_rate() / pair.reflected.renewal_rate())?,
            share_of_floor: over(|pair| pair.renewed.renewal_rate() / pair.floor_rate())?,
            beyond: over(|pair| pair.renewed.cpu_per_renewal() - pair.reflected.cpu_per_renewal())?,
            floor_beyond: over(|pair| pair.floor_cpu() - pair.reflected.cpu_per_renewal())?,
            share_by_cpu: over(|pair| pair.reflected.cpu_per_renewal() / pair.renewed.cpu_per_renewal())?,
            cpu_each: over(|pair| pair.renewed.cpu_per_renewal())?,
            unanswered: over(|pair| pair.renewed.lost_share())?,
            programs,
        })
    }

    fn row(&self, leases: u32) -> Vec<Cell> {
        vec![
            Cell::number(leases.into(), Unit::Count),
            Cell::number(self.renewed.median, Unit::PerSecond),
            Cell::number(self.reflected.median, Unit::PerSecond),
            Cell::number(self.floor.median, Unit::PerSecond),
            Cell::number(self.share.median, Unit::Share),
            Cell::number(self.share.least, Unit::Share),
            Cell::number(self.share.most, Unit::Share),
            Cell::number(self.share_of_floor.median, Unit::Share),
            Cell::number(self.share_of_floor.least, Unit::Share),
            Cell::number(self.share_of_floor.most, Unit::Share),
            Cell::number(self.share_by_cpu.median, Unit::Share),
            Cell::number(self.beyond.median, Unit::Seconds),
            Cell::number(self.floor_beyond.median, Unit::Seconds),
            Cell::number(self.cpu_each.median, Unit::Seconds),
            Cell::number(self.programs[0].as_secs_f64(), Unit::Seconds),
            Cell::number(self.programs[1].as_secs_f64(), Unit::Seconds),
            Cell::number(self.unanswered.median, Unit::Share),
        ]
    }
}

/// Runs with the same clients, one after the other.
struct Round {
    renewed: Report,
    reflected: Report,
    floor: Option<Report>,
}

impl Round {
    fn floor_rate(&self) -> f64 {
        self.floor.as_ref().map_or(f64::NAN, Report::renewal_rate)
    }

    fn floor_cpu(&self) -> f64 {
        self.floor.as_ref().map_or(f64::NAN, Report::cpu_per_renewal)
    }
}

fn at(leases: u32, bench: &Bench) -> Result<Found> {
    let Bench { scale, asking, .. } = bench;
    let lan = site::lan("bench-renew")?;
    let load = site::load(&lan, asking.by(site::crowd(leases, leases)))?;
    let _server = site::serve_as(&lan, leases, asking.subnet())?;
    site::lease_all(&load, leases)?;
    load.renew_by(asking.form())?;
    let time = scale.of(Duration::from_millis(500), Duration::from_secs(1));
    // Caches, and pages that are touched for the first time, belong to neither.
    load.renew(leases, Pace::Full, time)?;
    let count = scale.of(5, 11);
    let has_ciaddr = asking.form() != Form::InitReboot;
    let rounds: Vec<Round> = (1..=count)
        .map(|number| {
            step(&format!("renew: {leases} leases, round {number} of {count}"));
            round(&load, leases, time, number, has_ciaddr)
        })
        .collect::<Result<_>>()?;
    step(&format!("renew: {leases} leases, the programs alone"));
    let timed = Timed::begin()?;
    let programs = [
        timed.each(&lan.server, SERVER_IF, || load.renew(leases, Pace::Full, time).map(drop))?,
        timed.each(&lan.server, REFLECTOR_IF, || load.reflect(leases, Pace::Full, time).map(drop))?,
    ];
    Found::of(&rounds, programs)
}

/// Round `number`: each time another of the three comes first.
fn round(load: &Load<'_>, leases: u32, time: Duration, number: usize, has_ciaddr: bool) -> Result<Round> {
    let renew = || load.renew(leases, Pace::Full, time);
    let reflect = || load.reflect(leases, Pace::Full, time);
    let on_floor = || has_ciaddr.then(|| load.on_the_floor(reflect)).transpose();
    Ok(match number % 3 {
        0 => {
            let (renewed, reflected) = (renew()?, reflect()?);
            Round { renewed, reflected, floor: on_floor()? }
        }
        1 => {
            let (floor, renewed) = (on_floor()?, renew()?);
            Round { renewed, reflected: reflect()?, floor }
        }
        _ => {
            let (reflected, floor) = (reflect()?, on_floor()?);
            Round { renewed: renew()?, reflected, floor }
        }
    })
}
