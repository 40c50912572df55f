//! The last hour in samples, for plots.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::snapshot::Snapshot;

/// How often a sample is kept.
pub(super) const EVERY: Duration = Duration::from_secs(10);
/// How many are: an hour's.
const KEPT: usize = 361;

/// Counters at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Sample(
    /// Seconds since 1970.
    i64,
    /// Answered by the kernel.
    u64,
    /// Renewals answered by the kernel.
    u64,
    /// Renewals that came to the daemon.
    u64,
    /// Sent by the daemon.
    u64,
    /// Not answered, or lost, by either.
    u64,
);

impl Sample {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let stats = &snapshot.measured.stats;
        let acked = &stats.kernel.acked;
        let renewals = ["renewing", "rebinding"].iter().filter_map(|state| acked.get(*state)).sum();
        let lost = stats.daemon.dropped.values().chain(stats.kernel.dropped.values()).sum();
        Self(
            Timestamp::now().as_second(),
            acked.values().sum(),
            renewals,
            snapshot.measured.renewals_received,
            stats.daemon.sent.values().sum(),
            lost,
        )
    }
}

/// The samples of the last hour, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Samples(VecDeque<Sample>);

impl Samples {
    pub(super) fn add(&mut self, sample: Sample) {
        self.0.push_back(sample);
        if self.0.len() > KEPT {
            self.0.pop_front();
        }
    }

    pub(super) fn all(&self) -> Vec<Sample> {
        self.0.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_kept() {
        let mut samples = Samples::default();
        for time in 0..1000 {
            samples.add(Sample(time, 0, 0, 0, 0, 0));
        }
        let all = samples.all();
        assert_eq!(
            (all.len(), all.first(), all.last()),
            (KEPT, Some(&Sample(639, 0, 0, 0, 0, 0)), Some(&Sample(999, 0, 0, 0, 0, 0)))
        );
    }
}
