//! Everything at once: leases taken, renewed, released and declined, and the books right in the end.

use std::ops::Range;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use system_tests::load::{Count, Lane, Pace, Stream, Target};

use crate::report::{Cell, Section, Table};
use crate::subject::Subject;
use crate::unit::Unit;
use crate::{Bench, site, step};

const METHOD: &str = "Clients with leases renew them; others release theirs, a few decline theirs, and all of those come back \
    for another, at a third of the server's peak. Afterwards `xdhcpd audit` compares policy, store and kernel, and a client's \
    own idea of its lease is asked for once more.";

pub(crate) fn measure(bench: &mut Bench) -> Result<Section> {
    let mut section = Section::new("churn", "Everything at once", METHOD);
    let rate = bench.new_leases(Subject::Xdhcpd)?.rate / 3.0;
    let time = bench.scale.of(Duration::from_secs(2), Duration::from_secs(20));
    let (settled, coming) = (bench.scale.of(10_000, 100_000), bench.scale.of(20_000, 200_000));
    let clients = settled + coming;
    // What is declined stays out of use for hours.
    let lan = site::lan("bench-churn")?;
    let load = site::load(&lan, bench.crowd(clients, 2 * clients))?;
    let server = site::serve(&lan, 2 * clients)?;
    site::lease_all(&load, clients)?;
    step("churn");
    let of = |lane, clients: Range<u32>, rate| Stream {
        lane,
        target: Target::Server,
        turn: clients.start,
        clients,
        pace: Pace::Rate(rate),
        again_after: None,
        timed: false,
    };
    let middle = settled + coming / 10 * 9;
    let streams = [
        Stream::renewals(settled, Pace::Rate(100_000.0)),
        of(Lane::Release, settled..middle, rate * 0.9),
        of(Lane::Decline, middle..clients, rate * 0.01),
        Stream::newcomers(settled..clients, Pace::Rate(rate)),
    ];
    let (report, ()) = load.run(&streams, || thread::sleep(time))?;
    let rows = [
        ("renewals", Count::Renewed),
        ("RELEASEs", Count::Releases),
        ("DECLINEs", Count::Declines),
        ("new leases", Count::Bound),
    ];
    let row = |(name, count): (&str, Count)| {
        vec![
            Cell::text(name),
            Cell::number(report.rate(count), Unit::PerSecond),
            Cell::number(report.counts.of(count) as f64, Unit::Count),
        ]
    };
    section.tables.push(Table::new("Side by side", &["What", "Rate", "In all"], rows.map(row)));
    section.figure("renewals lost meanwhile", report.lost_share(), Unit::Share);
    let audit = server.json(&["audit"])?;
    ensure!(audit["consistent"] == true, "the audit finds something: {audit}");
    section.remark("The audit found policy, store and kernel in agreement.");
    let after = load.renew(settled, Pace::Rate(50_000.0), Duration::from_millis(500))?;
    ensure!(after.lost_renewals() == 0, "renewals are lost afterwards: {:?}", after.counts);
    Ok(section)
}
