//! Kea's own load generator, perfdhcp, as a second opinion where it can keep up.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use system_tests::perfdhcp::{self, Load, reported};

use crate::report::{Cell, Section, Table};
use crate::subject::{Subject, forgiving};
use crate::unit::Unit;
use crate::{Bench, site, step};

/// Later answers count as lost, as they do by default.
const PATIENCE: Duration = Duration::from_secs(1);

/// A server and what perfdhcp made of it.
struct Found {
    subject: Subject,
    offered: u32,
    achieved: f64,
    /// Answers that came and found perfdhcp's socket full.
    overflowed: u64,
}

/// Adds exchanges per second by perfdhcp, at rates that are little and much for Kea.
pub(crate) fn cross_check(section: &mut Section, bench: &Bench) -> Result<()> {
    if !Path::new("/usr/sbin/perfdhcp").exists() {
        section.remark("perfdhcp is not installed (no /usr/sbin/perfdhcp): no cross-check");
        return Ok(());
    }
    let mut all = Vec::new();
    for subject in [Subject::Xdhcpd, Subject::Kea] {
        for offered in bench.scale.of(vec![1_000, 4_000], vec![1_000, 2_000, 4_000, 8_000]) {
            if subject.missing().is_none() {
                all.extend(forgiving(subject, section, one(subject, offered, bench))?);
            }
        }
    }
    let rows = all.iter().map(|found| {
        vec![
            Cell::text(found.subject.titled()),
            Cell::number(found.offered.into(), Unit::PerSecond),
            Cell::number(found.achieved, Unit::PerSecond),
            Cell::number(found.achieved / f64::from(found.offered), Unit::Share),
            Cell::number(found.overflowed as f64, Unit::Count),
        ]
    });
    section.tables.push(Table::new(
        "Cross-check: new leases by perfdhcp, which is one thread in user space and poses as a relay",
        &["Server", "Offered", "Achieved", "Share", "Lost by its socket"],
        rows,
    ));
    Ok(())
}

fn one(subject: Subject, offered: u32, bench: &Bench) -> Result<Found> {
    step(&format!("perfdhcp: {} at {offered}/s", subject.name()));
    let seconds = bench.scale.of(2, 5);
    let clients = offered * seconds * 2;
    let lan = site::lan("bench-perfdhcp")?;
    let load = site::load(&lan, site::crowd(1, clients))?;
    let _running = subject.start(&lan, &load, clients)?;
    let asked = Load { exchanges: offered, renewals: 0, clients, seconds, patience: PATIENCE };
    let mut perfdhcp = perfdhcp::start(&lan, site::PREFIX, asked)?;
    perfdhcp.hush();
    // Its exit status says whether anything was lost; so do its numbers.
    perfdhcp.wait(Duration::from_secs(u64::from(seconds) + 30))?;
    // The rate that it reports counts the time that it waits for last answers, too.
    let acks = reported(&perfdhcp.log(), "REQUEST-ACK", "received packets")?;
    let achieved = acks as f64 / f64::from(seconds);
    Ok(Found { subject, offered, achieved, overflowed: perfdhcp::overflowed(&lan)? })
}
