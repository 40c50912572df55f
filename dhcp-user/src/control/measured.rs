//! All counters and measurements at one moment.

use super::report::{PoolCounts, Stats, Status};

/// How many pools are reported one by one; the rest are reported as one.
pub const MOST_POOLS: usize = 1000;

/// All that is counted and measured, at one moment.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The daemon itself.
    pub status: Status,
    /// The counters of kernel and daemon.
    pub stats: Stats,
    /// How full the rings between kernel and daemon are.
    pub rings: Vec<RingFill>,
    /// The first pools, in the order of the configuration.
    pub pools: Vec<PoolCounts>,
    /// The sum of all further pools, if there are any.
    pub other_pools: Option<PoolCounts>,
    /// How many addresses are in quarantine, those in no pool included.
    pub quarantined: u64,
    /// REQUESTs with ciaddr that came to the daemon: renewals that the kernel has not answered.
    pub renewals_received: u64,
    /// How many decided actions wait for the disk.
    pub undone: u64,
    /// How long commits took, in seconds.
    pub commit_seconds: Histogram,
    /// How many changes they had.
    pub commit_changes: Histogram,
    /// How many of them failed.
    pub commits_failed: u64,
    /// How long after they arrived messages were decided, in seconds.
    pub decision_seconds: Histogram,
    /// How often the deciding thread was at which stage for how long at a time, where that is measured.
    pub spells: Vec<(&'static str, &'static str, u64)>,
    /// How large the store is.
    pub store_octets: u64,
    /// How many records are in it.
    pub store_records: u64,
}

/// A ring between kernel and daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingFill {
    /// Its name.
    pub ring: &'static str,
    /// How many octets it holds at most.
    pub size: u64,
    /// How many of them wait to be read.
    pub waiting: u64,
}

/// How often something was how large.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// Upper bounds, ascending; values above the last are counted, too.
    bounds: &'static [f64],
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    /// Without anything counted.
    #[must_use]
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len().saturating_add(1)], sum: 0.0 }
    }

    /// Counts one.
    pub fn count(&mut self, value: f64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(place) {
            *count = count.saturating_add(1);
        }
        self.sum += value;
    }

    /// How many were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all that was counted.
    #[must_use]
    pub const fn sum(&self) -> f64 {
        self.sum
    }

    /// How many were above the bound before and not above this one, for each bound, infinity the last.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        self.bounds.iter().copied().chain([f64::INFINITY]).zip(self.counts.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_counted_below_the_first_bound_that_it_does_not_pass() {
        let mut histogram = Histogram::new(&[1.0, 10.0]);
        for value in [0.0, 1.0, 1.5, 10.0, 11.0, 1e9] {
            histogram.count(value);
        }
        let counts: Vec<_> = histogram.buckets().collect();
        assert_eq!(counts, [(1.0, 2), (10.0, 2), (f64::INFINITY, 2)]);
        assert_eq!((histogram.total(), histogram.sum()), (6, 1e9 + 23.5));
    }
}
