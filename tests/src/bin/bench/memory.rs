//! The memory of leases, in the kernel and in the daemon.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use anyhow::{Context, Result};
use aya::maps::MapData;
use system_tests::server::Server;
use system_tests::topology::Lan;

use crate::report::{Axis, Cell, Goal, Kind, Plot, Section, Series, Table};
use crate::unable::if_able;
use crate::unit::Unit;
use crate::{Bench, site, step};

const METHOD: &str = "A pool of so many addresses, all of them leased. The kernel's part is what it accounts for the pinned maps \
    (the pages that kernel and daemon share are counted there, once); the daemon's is its own anonymous memory. All of it is \
    divided by the leases: the program, and what there is before the first lease, included.";

/// Octets of a server with so many leases.
struct Found {
    leases: u32,
    maps: BTreeMap<String, f64>,
    daemon: f64,
}

pub(crate) fn measure(bench: &Bench) -> Result<Section> {
    let mut section = Section::new("memory", "Memory", METHOD);
    let mut all = Vec::new();
    for leases in bench.scale.of(vec![1_000, 1_000_000], vec![1_000, 10_000, 100_000, 1_000_000]) {
        all.extend(if_able(&mut section, at(leases, bench))?);
    }
    if let Some(million) = all.iter().find(|found| found.leases == 1_000_000) {
        section.goal(
            "memory per lease, kernel and daemon together, at 1 M",
            million.each(),
            Unit::Bytes,
            Goal::at_most(350.0, 280.0),
        );
    }
    section.plots.push(plot(&all));
    section.tables.push(table(&all));
    section.tables.extend(all.last().map(parts));
    Ok(section)
}

impl Found {
    fn all_maps(&self) -> f64 {
        self.maps.values().sum()
    }

    fn each(&self) -> f64 {
        (self.all_maps() + self.daemon) / f64::from(self.leases)
    }
}

fn at(leases: u32, bench: &Bench) -> Result<Found> {
    let lan = site::lan("bench-memory")?;
    let load = site::load(&lan, bench.crowd(leases, leases))?;
    let server = site::serve(&lan, leases)?;
    site::lease_all(&load, leases)?;
    step(&format!("memory: {leases} leases"));
    Ok(Found { leases, maps: maps(&lan)?, daemon: daemon(&server)? })
}

/// What the kernel accounts for each map that is pinned.
fn maps(lan: &Lan) -> Result<BTreeMap<String, f64>> {
    let mut maps = BTreeMap::new();
    for entry in fs::read_dir(lan.world.bpf().join("xdhcpd"))? {
        let entry = entry?;
        let pin = MapData::from_pin(entry.path())?;
        let about = format!("/proc/self/fdinfo/{}", pin.fd().as_fd().as_raw_fd());
        // Links are pinned beside the maps, and have no memory of their own.
        if let Some(octets) = number(Path::new(&about), "memlock:")? {
            maps.insert(entry.file_name().to_string_lossy().into_owned(), octets);
        }
    }
    Ok(maps)
}

fn daemon(server: &Server<'_>) -> Result<f64> {
    let status = format!("/proc/{}/status", server.pid()?);
    let kilobytes =
        number(Path::new(&status), "RssAnon:")?.with_context(|| format!("{status} has no RssAnon"))?;
    Ok(kilobytes * 1024.0)
}

fn number(file: &Path, name: &str) -> Result<Option<f64>> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok()))
}

fn plot(all: &[Found]) -> Plot {
    Plot {
        title: "Memory per lease".to_owned(),
        kind: Kind::Lines,
        x: Axis::logarithmic("leases", Unit::Count),
        y: Axis::logarithmic("kernel and daemon together, per lease", Unit::Bytes),
        series: vec![Series::line(
            "xdhcpd",
            all.iter().map(|found| (found.leases.into(), found.each())).collect(),
        )],
    }
}

fn table(all: &[Found]) -> Table {
    let rows = all.iter().map(|found| {
        vec![
            Cell::number(found.leases.into(), Unit::Count),
            Cell::number(found.all_maps(), Unit::Bytes),
            Cell::number(found.daemon, Unit::Bytes),
            Cell::number(found.each(), Unit::Bytes),
        ]
    });
    let columns = ["Leases", "Maps", "Daemon", "Per lease"];
    Table::new("With every address of the pool leased", &columns, rows)
}

/// What each lease takes, part by part, the largest first.
fn parts(found: &Found) -> Table {
    let maps = found.maps.iter().map(|(name, octets)| (format!("map {name}"), *octets));
    let mut parts: Vec<(String, f64)> = maps.chain([("the daemon".to_owned(), found.daemon)]).collect();
    parts.sort_by(|one, other| other.1.total_cmp(&one.1));
    let each = |octets: f64| octets / f64::from(found.leases);
    let rows = parts.into_iter().filter(|part| each(part.1) >= 0.1).map(|(name, octets)| {
        vec![Cell::text(name), Cell::number(octets, Unit::Bytes), Cell::number(each(octets), Unit::Bytes)]
    });
    let title = format!("Where it is, with {} leases", Unit::Count.shown(found.leases.into()));
    Table::new(&title, &["Part", "All", "Per lease"], rows)
}
