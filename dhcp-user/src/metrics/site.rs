//! The state that all connections share: the channel for queries, our host names, and the counts of requests.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval};

use super::host;
use super::samples::{EVERY, Sample, Samples};
use super::snapshot::{Served, Source};

/// How many pages may be open at a time, and how many may look for clients.
const PAGES: usize = 8;
const SEARCHES: usize = 2;

/// The state that all connections share.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) source: Source,
    pub(super) listens_on: SocketAddr,
    /// The name of this machine.
    pub(super) machine: String,
    /// Places for pages with live updates.
    pub(super) pages: Arc<Semaphore>,
    /// Places for searches.
    pub(super) searches: Semaphore,
    samples: Mutex<Samples>,
    counts: [AtomicU64; 4],
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Answered,
    Refused,
    BrokenOff,
    Unanswered,
}

impl Site {
    pub(super) fn new(source: Source, listens_on: SocketAddr) -> Self {
        let counts = std::array::from_fn(|_| AtomicU64::new(0));
        Self {
            source,
            listens_on,
            machine: host::machine(),
            pages: Arc::new(Semaphore::new(PAGES)),
            searches: Semaphore::new(SEARCHES),
            samples: Mutex::default(),
            counts,
        }
    }

    /// Keeps samples, for ever.
    pub(super) async fn keep_samples(&self) -> Infallible {
        let mut due = interval(EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            // Of a moment at which nobody answers there is none.
            if let Ok(snapshot) = self.source.snapshot(self.served()).await {
                self.with_samples(|samples| samples.add(Sample::of(&snapshot)));
            }
        }
    }

    pub(super) fn samples(&self) -> Vec<Sample> {
        self.with_samples(|samples| samples.all())
    }

    fn with_samples<T>(&self, work: impl FnOnce(&mut Samples) -> T) -> T {
        // Nothing panics while it is held.
        work(&mut self.samples.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn count(&self, outcome: Outcome) {
        if let Some(count) = self.counts.get(outcome as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn served(&self) -> Served {
        let [answered, refused, broken_off, unanswered] =
            self.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        Served { answered, refused, broken_off, unanswered }
    }
}
