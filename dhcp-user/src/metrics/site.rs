//! What all connections share: whom to ask, what we are called, and what has become of requests.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use super::host;
use super::snapshot::{Served, Source};

/// What all connections share.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) source: Source,
    pub(super) listens_on: SocketAddr,
    /// The name of this machine.
    pub(super) machine: String,
    counts: [AtomicU64; 4],
}

/// What becomes of a request.
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
        Self { source, listens_on, machine: host::machine(), counts }
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
