//! Reads what the programs have counted.

use anyhow::{Context, Result};
use load_ebpf::counts::CELLS;
use load_ebpf::latency::{BUCKETS, KINDS, Kind};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Count, Counts, Drops, Histogram, Load, REFLECTED_IF, Report};

/// All counters at one moment.
pub(super) struct Moment {
    overrun: u64,
    pub(super) counts: Counts,
    renewal: Histogram,
    offer: Histogram,
    exchange: Histogram,
}

impl Load<'_> {
    /// Everything counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut sum = [0; CELLS];
        for row in self.object.counts.cells().chunks(sum.len()) {
            sum.iter_mut().zip(row).for_each(|(sum, cell)| *sum += cell.load(Ordering::Relaxed));
        }
        Counts(sum)
    }

    pub(super) fn latency(&self, kind: Kind) -> Histogram {
        let cells = self.object.latencies.cells();
        let rows: Vec<Vec<u64>> = cells
            .chunks(KINDS * BUCKETS)
            .map(|cpu| {
                let from = kind as usize * BUCKETS;
                cpu[from..from + BUCKETS].iter().map(|cell| cell.load(Ordering::Relaxed)).collect()
            })
            .collect();
        Histogram::sum(rows.iter().map(Vec::as_slice))
    }

    pub(super) fn moment(&self) -> Result<Moment> {
        Ok(Moment {
            overrun: self.overrun()?,
            counts: self.counts(),
            renewal: self.latency(Kind::Renewal),
            offer: self.latency(Kind::Offer),
            exchange: self.latency(Kind::Exchange),
        })
    }

    /// Frames that found the link's ring full.
    pub(super) fn overrun(&self) -> Result<u64> {
        if self.end.drops == Drops::Traced {
            return Ok(self.counts().of(Count::Unsent));
        }
        let mut sum = 0;
        for interface in
            [Some(self.end.interface), self.reflector.is_some().then_some(REFLECTED_IF)].into_iter().flatten()
        {
            let said = self.end.namespace.ip(&format!("-json -stats link show dev {interface}"))?;
            let said: serde_json::Value =
                serde_json::from_str(&said).context("`ip -json` prints something else")?;
            let dropped = said[0]["stats64"]["tx"]["dropped"].as_u64();
            sum +=
                dropped.with_context(|| format!("`ip` does not say how much {interface} dropped: {said}"))?;
        }
        Ok(sum)
    }

    pub(super) fn since(&self, before: Moment, elapsed: Duration, in_time: Option<Counts>) -> Result<Report> {
        let now = self.moment()?;
        let counts = now.counts - &before.counts;
        Ok(Report {
            overrun: now.overrun - before.overrun,
            in_time: in_time.map_or_else(|| counts.clone(), |in_time| in_time - &before.counts),
            counts,
            elapsed,
            busy: Duration::ZERO,
            renewal: now.renewal - &before.renewal,
            offer: now.offer - &before.offer,
            exchange: now.exchange - &before.exchange,
        })
    }
}
