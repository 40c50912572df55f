//! For how long a thread beside the deciding one has waited for somebody who may never answer: the kernel, a file system.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::clock::BootNanos;

/// Since when, in nanoseconds since the machine began; zero while nobody is waited for. Written by the thread that waits,
/// read by the deciding one.
#[derive(Clone, Debug, Default)]
pub struct Waiting(Arc<AtomicU64>);

/// It is waited until this is dropped.
#[derive(Debug)]
#[must_use = "it ends when this is dropped"]
pub struct Asked<'w>(&'w Waiting);

impl Waiting {
    /// Somebody is asked, and waited for.
    pub fn begin(&self) -> Asked<'_> {
        self.0.store(BootNanos::now().0.max(1), Relaxed);
        Asked(self)
    }

    /// For how long, if that is longer than `patience`.
    #[must_use]
    pub fn late(&self, patience: Duration) -> Option<Duration> {
        let since = Some(self.0.load(Relaxed)).filter(|since| *since > 0)?;
        let waits = Duration::from_nanos(BootNanos::now().0.saturating_sub(since));
        (waits > patience).then_some(waits)
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.0.0.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_late_until_there_is_an_answer() {
        let waiting = Waiting::default();
        assert_eq!(waiting.late(Duration::ZERO), None);
        let asked = waiting.begin();
        let begun = BootNanos::now();
        while BootNanos::now() == begun {}
        assert!(waiting.late(Duration::ZERO).is_some());
        assert_eq!(waiting.late(Duration::from_secs(3600)), None);
        drop(asked);
        assert_eq!(waiting.late(Duration::ZERO), None);
    }
}
