//! How much a server can do at most: renewals with hardly any loss, and new leases.

use std::time::Duration;

use anyhow::Result;
use system_tests::load::{Count, Load, Pace, Report};

use crate::subject::{Running, Subject};
use crate::{Scale, site, step};

/// The share of renewals that may stay unanswered.
pub(crate) const LOSS: f64 = 0.01;

/// The best that was found, and the run that found it.
pub(crate) struct Best {
    pub(crate) rate: f64,
    pub(crate) report: Report,
}

/// The highest rate of renewals of which at most one in a hundred stays unanswered: answered per second.
pub(crate) fn renewals(
    load: &Load<'_>,
    running: &mut Running<'_>,
    leases: u32,
    scale: Scale,
) -> Result<Option<Best>> {
    let time = scale.of(Duration::from_millis(700), Duration::from_millis(1500));
    let mut try_at = |rate: f64| -> Result<Option<Best>> {
        let report = load.renew(leases, Pace::Rate(rate), time)?;
        running.check()?;
        let good = report.lost_share() <= LOSS;
        Ok(good.then(|| Best { rate: report.renewal_rate(), report }))
    };
    let (mut good, mut bad) = (100.0, f64::INFINITY);
    let mut best = try_at(good)?;
    let steps = scale.of(11, 16);
    for _ in 0..steps {
        let next = if bad.is_finite() { f64::midpoint(good, bad) } else { good * 2.0 };
        match try_at(next)? {
            Some(found) => {
                good = next;
                best = best.filter(|best| best.rate > found.rate).or(Some(found));
            }
            None => bad = next,
        }
    }
    Ok(best)
}

/// The best rate of new leases in closed loops of several sizes, each with a server that starts from nothing.
pub(crate) fn new_leases(subject: Subject, scale: Scale) -> Result<Best> {
    let mut best: Option<Best> = None;
    for window in scale.of(&[64, 256][..], &[16, 64, 256, 1024][..]).iter().copied() {
        let clients = match subject {
            Subject::Xdhcpd => scale.of(20_000, 200_000),
            Subject::Kea => scale.of(4_000, 20_000),
            Subject::Isc => scale.of(1_000, 10_000),
            Subject::Dnsmasq => scale.of(200, 1_000),
        };
        step(&format!("{}: {clients} new leases, {window} at a time", subject.name()));
        let lan = site::lan("bench-capacity")?;
        let load = site::load(&lan, site::crowd(clients + 1, 2 * clients))?;
        let mut running = subject.start(&lan, &load, 2 * clients)?;
        // A server that loses much of a large window is as slow as its clients are patient.
        let Ok(report) = load.dora(0..clients, window, Duration::from_secs(120)) else { continue };
        running.check()?;
        let rate = report.rate(Count::Bound);
        best = best.filter(|best| best.rate > rate).or(Some(Best { rate, report }));
    }
    anyhow::Context::context(best, "no window let all clients get a lease")
}
