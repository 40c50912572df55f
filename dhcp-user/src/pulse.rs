//! Signs of life of the deciding thread, for threads that can't ask it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::BootNanos;

/// The step that the deciding thread is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// It has nothing to do, or is not watched yet.
    Waiting,
    /// A beat: the regular work.
    Beat,
    /// Frames are read and decided.
    Deciding,
    /// What waited for a commit is done, and the next commit handed over.
    Committing,
    /// Replies are sent.
    Sending,
    /// An operator is answered.
    Answering,
    /// Interfaces are followed: attached to, looked at.
    Following,
    /// A configuration is gone over to.
    Reloading,
}

impl Stage {
    const ALL: [Self; 8] = [
        Self::Waiting,
        Self::Beat,
        Self::Deciding,
        Self::Committing,
        Self::Sending,
        Self::Answering,
        Self::Following,
        Self::Reloading,
    ];

    /// In words for the operator.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting for something to do",
            Self::Beat => "its beat",
            Self::Deciding => "deciding",
            Self::Committing => "going on after a commit",
            Self::Sending => "sending replies",
            Self::Answering => "answering an operator",
            Self::Following => "following interfaces",
            Self::Reloading => "reloading the configuration",
        }
    }

    /// As figures have it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Beat => "beat",
            Self::Deciding => "deciding",
            Self::Committing => "committing",
            Self::Sending => "sending",
            Self::Answering => "answering",
            Self::Following => "following",
            Self::Reloading => "reloading",
        }
    }
}

/// How long the thread was at a stage at a time, at most: in microseconds, and in words. What is longer comes after the last.
const SPELLS: [(u64, &str); 5] =
    [(100, "0.1 ms"), (1_000, "1 ms"), (5_000, "5 ms"), (20_000, "20 ms"), (100_000, "100 ms")];
const LONGER: &str = "longer";

/// Written by the deciding thread and by its watchdog, read by any thread.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Zero while nobody is to watch: before the daemon serves, and when it ends.
    beats: AtomicU64,
    stage: AtomicU8,
    /// For how many milliseconds no beat has come.
    late: AtomicU64,
    /// Whether it is counted how long stages take.
    is_timed: AtomicBool,
    /// When the present one began, in nanoseconds since the machine did; zero if that is not known.
    since: AtomicU64,
    spells: [[AtomicU64; SPELLS.len() + 1]; Stage::ALL.len()],
}

impl Pulse {
    /// The thread that decides lives.
    pub fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// It is about to end, which takes as long as it takes.
    pub fn rest(&self) {
        self.beats.store(0, Ordering::Relaxed);
    }

    /// From now on counts how long stages take.
    pub fn time(&self) {
        self.is_timed.store(true, Ordering::Relaxed);
    }

    /// Sets the present step.
    pub fn at(&self, stage: Stage) {
        if self.is_timed.load(Ordering::Relaxed) {
            self.count(self.stage(), BootNanos::now().0);
        }
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    /// The stage that ends `now` is counted by how long it took.
    fn count(&self, ends: Stage, now: u64) {
        let since = self.since.swap(now, Ordering::Relaxed);
        let took = now.saturating_sub(since) / 1_000;
        let place = SPELLS.partition_point(|(most, _)| *most < took);
        let spells = self.spells.get(ends as usize).and_then(|of| of.get(place));
        if let Some(spells) = spells.filter(|_| since > 0) {
            spells.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often it was at each stage for how long at a time: no longer than that, and longer than what comes before.
    pub fn spells(&self) -> impl Iterator<Item = (Stage, &'static str, u64)> + '_ {
        let places = || SPELLS.iter().map(|(_, words)| *words).chain([LONGER]);
        Stage::ALL.into_iter().zip(&self.spells).flat_map(move |(stage, counts)| {
            places().zip(counts).map(move |(at_most, count)| (stage, at_most, count.load(Ordering::Relaxed)))
        })
    }

    /// The present step.
    #[must_use]
    pub fn stage(&self) -> Stage {
        let stage = usize::from(self.stage.load(Ordering::Relaxed));
        Stage::ALL.get(stage).copied().unwrap_or(Stage::Waiting)
    }

    /// How many beats there were; none while nobody is to watch.
    #[must_use]
    pub fn beats(&self) -> Option<u64> {
        Some(self.beats.load(Ordering::Relaxed)).filter(|beats| *beats > 0)
    }

    /// Sets the time without a beat, by the watchdog's count.
    pub fn set_late(&self, late: Duration) {
        self.late.store(u64::try_from(late.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// For how long no beat has come.
    #[must_use]
    pub fn late(&self) -> Duration {
        Duration::from_millis(self.late.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_is_the_one_it_was() {
        let pulse = Pulse::default();
        for stage in Stage::ALL {
            pulse.at(stage);
            assert_eq!(pulse.stage(), stage);
        }
    }

    #[test]
    fn how_long_a_stage_took_is_counted_where_that_is_wanted() {
        let pulse = Pulse::default();
        pulse.at(Stage::Deciding);
        assert_eq!(pulse.spells().map(|(_, _, count)| count).sum::<u64>(), 0);
        for (ends, micros) in
            [(Stage::Waiting, 1), (Stage::Deciding, 101), (Stage::Sending, 201), (Stage::Deciding, 200_202)]
        {
            pulse.count(ends, micros * 1_000);
        }
        let found: Vec<_> = pulse.spells().filter(|(_, _, count)| *count > 0).collect();
        let [first, longer] = [(Stage::Deciding, "0.1 ms", 1), (Stage::Deciding, LONGER, 1)];
        assert_eq!(found, [first, longer, (Stage::Sending, "0.1 ms", 1)]);
        pulse.time();
        pulse.at(Stage::Waiting);
        assert_eq!(pulse.spells().map(|(_, _, count)| count).sum::<u64>(), 4);
    }

    #[test]
    fn nobody_watches_before_the_first_beat_or_at_the_end() {
        let pulse = Pulse::default();
        assert_eq!(pulse.beats(), None);
        pulse.beat();
        assert_eq!(pulse.beats(), Some(1));
        pulse.rest();
        assert_eq!(pulse.beats(), None);
    }
}
