//! How long the daemon takes to come back, and what its clients notice.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use system_tests::load::{Load, Pace};
use system_tests::server::Server;

use crate::report::{Cell, Section, Table};
use crate::unit::Unit;
use crate::{Bench, site, step};

const METHOD: &str = "The daemon is ended and started again with all its leases: properly, by SIGKILL, and after a reboot, for \
    which the pinned maps are taken away with the program so that all has to come from disk. Time runs from the start of the \
    process until a client without a lease has got one. Meanwhile others renew at 100 k/s.";

/// Renewals that go on meanwhile.
const RENEWING: f64 = 100_000.0;

/// How the daemon ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Properly,
    Killed,
    Rebooted,
}

pub(crate) fn measure(bench: &Bench) -> Result<Section> {
    let mut section = Section::new("start", "Down and up again", METHOD);
    let leases = bench.scale.of(100_000, 1_000_000);
    let lan = site::lan("bench-start")?;
    // One newcomer for each start.
    let newcomers = 3;
    let load = site::load(&lan, bench.crowd(leases + newcomers, leases + newcomers))?;
    let mut server = site::serve(&lan, leases + newcomers)?;
    site::lease_all(&load, leases)?;
    let mut rows = Vec::new();
    for (newcomer, end) in (leases..).zip([End::Properly, End::Killed, End::Rebooted]) {
        step(&format!("start: {leases} leases, {}", end.words()));
        rows.push(one(&load, &mut server, leases, newcomer, end)?);
    }
    let columns = [
        "Ended",
        "Leases",
        "Until it ended",
        "Until it serves",
        "Renewals meanwhile",
        "Lost",
        "Lost then, at 100 k/s",
    ];
    section.tables.push(Table::new("Until a newcomer has a lease", &columns, rows));
    Ok(section)
}

impl End {
    const fn words(self) -> &'static str {
        match self {
            Self::Properly => "ended properly",
            Self::Killed => "killed",
            Self::Rebooted => "ended, maps gone",
        }
    }
}

fn one(load: &Load<'_>, server: &mut Server<'_>, leases: u32, newcomer: u32, end: End) -> Result<Vec<Cell>> {
    let restart = |server: &mut Server<'_>| -> Result<[Duration; 2]> {
        let asked = Instant::now();
        match end {
            End::Killed => server.crash()?,
            End::Properly | End::Rebooted => server.stop_within(site::PATIENCE)?,
        }
        let ended = asked.elapsed();
        if end == End::Rebooted {
            server.detach()?;
        }
        let began = Instant::now();
        server.start_again_within(site::PATIENCE)?;
        load.dora(newcomer..newcomer + 1, 1, site::PATIENCE)?;
        Ok([ended, began.elapsed()])
    };
    // Without the program nobody renews, and frames sent to the interface would be lost on the way.
    let ([ended, took], sent, lost) = if end == End::Rebooted {
        (restart(server)?, Cell::Nothing, Cell::Nothing)
    } else {
        let (report, took) = load.renew_while(leases, Pace::Rate(RENEWING), || restart(server))?;
        (
            took?,
            Cell::number(report.renewed() as f64, Unit::Count),
            Cell::number(report.lost_renewals() as f64, Unit::Count),
        )
    };
    let after = load.renew(leases, Pace::Rate(RENEWING), Duration::from_millis(500))?;
    // What the kernel knew is gone with the maps: then the daemon hears the first renewal of each client.
    let forgotten = end == End::Rebooted;
    ensure!(forgotten || after.lost_renewals() == 0, "renewals are lost afterwards: {:?}", after.counts);
    Ok(vec![
        Cell::text(end.words()),
        Cell::number(leases.into(), Unit::Count),
        Cell::number(ended.as_secs_f64(), Unit::Seconds),
        Cell::number(took.as_secs_f64(), Unit::Seconds),
        sent,
        lost,
        Cell::number(after.lost_share(), Unit::Share),
    ])
}
