//! Measurements beside the counters: the duration of decisions and commits, and the size of commits.

use std::time::{Duration, Instant};

use super::counts;
use crate::clock::BootNanos;
use crate::control::{Figures, Histogram, MOST_POOLS, Measured, PoolCounts, RingFigures, RingFill};
use crate::policy::State;
use crate::server::Server;

/// Bounds for disk times, in seconds.
const COMMIT_SECONDS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
/// Bounds for changes in a commit.
const COMMIT_CHANGES: &[f64] =
    &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0];
/// Bounds for decision times, in seconds; after the last a message is too old to be decided.
const DECISION_SECONDS: &[f64] =
    &[0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0, 4.0];

/// Measurements since the daemon began.
#[derive(Debug)]
pub(in crate::server) struct Measuring {
    commit_seconds: Histogram,
    commit_changes: Histogram,
    commits_failed: u64,
    renewals_received: u64,
    /// `None`: nobody is served metrics, and so no message is measured.
    decisions: Option<Decisions>,
}

#[derive(Debug)]
struct Decisions {
    seconds: Histogram,
    /// When the messages of the present batch arrived.
    arrived: Vec<u64>,
}

impl Measuring {
    /// `messages`: whether each message is measured, and not only each commit.
    pub(in crate::server) fn new(messages: bool) -> Self {
        let decisions = || Decisions { seconds: Histogram::new(DECISION_SECONDS), arrived: Vec::new() };
        Self {
            commit_seconds: Histogram::new(COMMIT_SECONDS),
            commit_changes: Histogram::new(COMMIT_CHANGES),
            commits_failed: 0,
            renewals_received: 0,
            decisions: messages.then(decisions),
        }
    }

    /// A message that arrived then is to be decided.
    pub(in crate::server) fn admitted(&mut self, arrived: u64) {
        if let Some(decisions) = &mut self.decisions {
            decisions.arrived.push(arrived);
        }
    }

    /// All of them are decided, and actions that need no disk are carried out.
    pub(in crate::server) fn decided(&mut self) {
        let Some(Decisions { seconds, arrived }) = &mut self.decisions else { return };
        if arrived.is_empty() {
            return;
        }
        let now = BootNanos::now().0;
        for at in arrived.drain(..) {
            seconds.count(Duration::from_nanos(now.saturating_sub(at)).as_secs_f64());
        }
    }

    /// A renewal has come that the kernel did not answer.
    pub(in crate::server) fn renewal(&mut self) {
        self.renewals_received += 1;
    }

    /// A commit of so many changes has come to its end.
    pub(in crate::server) fn committed(&mut self, took: Duration, changes: usize, has_failed: bool) {
        self.commit_seconds.count(took.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        self.commit_changes.count(changes as f64);
        self.commits_failed += u64::from(has_failed);
    }
}

impl Server {
    /// All that is counted and measured, as it is now.
    ///
    /// # Errors
    /// When the kernel's counters can't be read.
    pub(in crate::server) fn measured(&self) -> anyhow::Result<Measured> {
        let Measuring { commit_seconds, commit_changes, commits_failed, renewals_received, decisions } =
            &self.measuring;
        let decision_seconds = decisions.as_ref().map(|decisions| decisions.seconds.clone());
        let size = self.committing.size();
        let (pools, other_pools) = self.first_pools();
        Ok(Measured {
            status: self.status(),
            stats: self.stats()?,
            rings: self.rings(),
            pools,
            other_pools,
            quarantined: self.policy.quarantined().count() as u64,
            renewals_received: *renewals_received,
            undone: self.decided.len() as u64,
            commit_seconds: commit_seconds.clone(),
            commit_changes: commit_changes.clone(),
            commits_failed: *commits_failed,
            decision_seconds: decision_seconds.unwrap_or_else(|| Histogram::new(DECISION_SECONDS)),
            spells: self.pulse.spells().map(|(stage, most, count)| (stage.label(), most, count)).collect(),
            store_octets: size.octets,
            store_records: size.records,
        })
    }

    /// The figures for `top`.
    ///
    /// # Errors
    /// When the kernel's counters can't be read.
    pub(in crate::server) fn figures(&mut self) -> anyhow::Result<Figures> {
        let rings = self.rings().into_iter().map(|fill| RingFigures {
            ring: fill.ring.into(),
            size: fill.size,
            waiting: fill.waiting,
        });
        Ok(Figures {
            status: self.status(),
            stats: self.stats()?,
            rings: rings.collect(),
            pools: self.first_pools().0,
            renewals_received: self.measuring.renewals_received,
            busiest: self.busy.told(Instant::now()),
        })
    }

    fn rings(&self) -> Vec<RingFill> {
        let of = |kernel: &crate::datapath::program::kernel::Kernel| {
            kernel.rings().map(|(ring, size, waiting)| RingFill { ring, size, waiting }).collect()
        };
        self.kernel.as_ref().map(of).unwrap_or_default()
    }

    /// The first pools one by one, and the rest together.
    fn first_pools(&self) -> (Vec<PoolCounts>, Option<PoolCounts>) {
        let first = self.policy.pools().take(MOST_POOLS).map(|pool| counts(&pool)).collect();
        let rest = self.policy.pools().skip(MOST_POOLS);
        let rest = rest.fold(None, |sum: Option<PoolCounts>, pool| {
            let of = |state| pool.tally.of(state);
            let sum = sum.unwrap_or_else(|| PoolCounts {
                subnet: "others".to_owned(),
                pool: "others".to_owned(),
                size: 0,
                free: 0,
                offered: 0,
                leased: 0,
                grace: 0,
                quarantined: 0,
                reserved: 0,
            });
            Some(PoolCounts {
                size: sum.size.saturating_add(pool.tally.size()),
                free: sum.free.saturating_add(of(State::Free)),
                offered: sum.offered.saturating_add(of(State::Offered)),
                leased: sum.leased.saturating_add(of(State::Leased)),
                grace: sum.grace.saturating_add(of(State::Grace)),
                quarantined: sum.quarantined.saturating_add(of(State::Quarantined)),
                reserved: sum.reserved.saturating_add(of(State::Reserved)),
                ..sum
            })
        });
        (first, rest)
    }
}
