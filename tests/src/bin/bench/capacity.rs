//! The capacity of a server: renewals with hardly any loss, and new leases.

use std::ops::Range;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use system_tests::load::{Count, Load, Pace, Report, Stream};

use crate::subject::{Running, Subject};
use crate::{Bench, Scale, step};

/// The share of renewals that may stay unanswered.
pub(crate) const LOSS: f64 = 0.01;

/// The best that was found, and the run that found it.
pub(crate) struct Best {
    pub(crate) rate: f64,
    pub(crate) report: Report,
}

/// The highest rate of renewals of which at most one in a hundred stays unanswered: answered per second. `from` is a rate
/// to begin with, much less than that.
pub(crate) fn renewals(
    load: &Load<'_>,
    running: &mut Running<'_>,
    leases: u32,
    scale: Scale,
    from: f64,
) -> Result<Option<Best>> {
    let time = scale.of(Duration::from_millis(700), Duration::from_millis(1500));
    let mut try_at = |rate: f64| -> Result<Option<Best>> {
        let report = load.renew(leases, Pace::Rate(rate), time)?;
        running.check()?;
        let good = report.lost_share() <= LOSS;
        Ok(good.then(|| Best { rate: report.renewal_rate(), report }))
    };
    let (mut good, mut bad) = (from, f64::INFINITY);
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

/// The best rate of new leases: in closed loops of several sizes, each with a server that starts from nothing, and in open
/// loops about as fast.
pub(crate) fn new_leases(subject: Subject, bench: &Bench) -> Result<Best> {
    let scale = bench.scale;
    let quick: &[u32] = match subject {
        Subject::Xdhcpd => &[256, 1024],
        Subject::Kea | Subject::Isc | Subject::Dnsmasq => &[16, 64],
        Subject::Elsewhere => &[64, 256, 1024],
    };
    let mut best: Option<Best> = None;
    let windows = scale.of(quick, &[16, 64, 256, 1024]);
    for window in windows.repeat(scale.of(1, 2)) {
        // A server that loses much of a large window may take longer than anybody waits.
        let Ok(found) = closed_loop(subject, window, bench) else { continue };
        best = best.filter(|best| best.rate > found.rate).or(Some(found));
    }
    open_loops(subject, best.context("no window let all clients get a lease")?, bench)
}

/// New leases for so many clients at a time, until most have one: the last may be those whose messages were lost, and who
/// wait for seconds.
fn closed_loop(subject: Subject, window: u32, bench: &Bench) -> Result<Best> {
    let scale = bench.scale;
    let clients = match subject {
        Subject::Xdhcpd => scale.of(20_000, 200_000),
        Subject::Kea => scale.of(8_000, 20_000),
        Subject::Isc => scale.of(4_000, 10_000),
        Subject::Dnsmasq => scale.of(300, 1_000),
        Subject::Elsewhere => bench.newcomers(scale.of(20_000, 200_000)),
    };
    step(&format!("{}: {clients} new leases, {window} at a time", subject.name()));
    let site = bench.site("bench-capacity")?;
    let load = site.load(bench.crowd(clients + 1, 2 * clients))?;
    let mut running = site.start(subject, &load, 2 * clients)?;
    let found = in_turn(&load, 0..clients, window)?;
    running.check()?;
    bench.has_leased(found.rate);
    Ok(found)
}

/// New leases for some clients, so many at a time, until most have one.
pub(crate) fn in_turn(load: &Load<'_>, clients: Range<u32>, window: u32) -> Result<Best> {
    let most = u64::from(clients.end - clients.start) * 9 / 10;
    let mut reached = None;
    let report = load.dora_watched(clients, window, Duration::from_secs(120), |elapsed, bound| {
        if bound >= most {
            reached.get_or_insert(bound as f64 / elapsed.as_secs_f64());
        }
    })?;
    Ok(Best { rate: reached.context("nobody got a lease")?, report })
}

/// What comes of newcomers who come as fast as others were served, and faster.
#[expect(clippy::cast_possible_truncation, reason = "what a server can lease in a few seconds")]
fn open_loops(subject: Subject, mut best: Best, bench: &Bench) -> Result<Best> {
    let rates = [1.0, 1.5, 2.0].map(|factor| best.rate * factor);
    let time = bench.scale.of(Duration::from_millis(700), Duration::from_secs(2));
    let time = bench.time_for(1.2 * rates.iter().sum::<f64>(), time)?;
    // Newcomers of its own for each, and some to spare.
    let newcomers = rates.map(|rate| (1.1 * rate * time.as_secs_f64()) as u32 + 50);
    let clients: u32 = newcomers.iter().sum();
    let site = bench.site("bench-capacity")?;
    let load = site.load(bench.crowd(clients + 1, clients + 1))?;
    let mut running = site.start(subject, &load, clients + 1)?;
    let mut first = 0;
    for (rate, newcomers) in rates.into_iter().zip(newcomers) {
        step(&format!("{}: {rate:.0} newcomers a second", subject.name()));
        let stream = Stream::newcomers(first..first + newcomers, Pace::Rate(rate));
        let (report, ()) = load.run(&[stream], || thread::sleep(time))?;
        running.check()?;
        let found = Best { rate: report.rate(Count::Bound), report };
        if found.rate > best.rate {
            best = found;
        }
        first += newcomers;
    }
    Ok(best)
}
