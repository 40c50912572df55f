//! Signs of life of the deciding thread, for threads that can't ask it.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

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
    const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Beat,
        Self::Deciding,
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
            Self::Sending => "sending replies",
            Self::Answering => "answering an operator",
            Self::Following => "following interfaces",
            Self::Reloading => "reloading the configuration",
        }
    }
}

/// Written by the deciding thread and by its watchdog, read by any thread.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Zero while nobody is to watch: before the daemon serves, and when it ends.
    beats: AtomicU64,
    stage: AtomicU8,
    /// For how many milliseconds no beat has come.
    late: AtomicU64,
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

    /// Sets the present step.
    pub fn at(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
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
    fn nobody_watches_before_the_first_beat_or_at_the_end() {
        let pulse = Pulse::default();
        assert_eq!(pulse.beats(), None);
        pulse.beat();
        assert_eq!(pulse.beats(), Some(1));
        pulse.rest();
        assert_eq!(pulse.beats(), None);
    }
}
