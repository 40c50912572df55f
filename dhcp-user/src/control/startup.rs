//! The progress of a start, for commands before the daemon serves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use super::connections::Connections;
use super::peer::Admission;
use super::report::{Stage, Status};
use crate::pulse::Pulse;

/// Written by the daemon as it starts, read by the control socket.
#[derive(Debug)]
pub struct Startup {
    began: Instant,
    leases: AtomicU64,
    serves: AtomicBool,
    pulse: Arc<Pulse>,
    admission: Arc<Admission>,
    connections: Arc<Connections>,
}

impl Default for Startup {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            leases: AtomicU64::new(0),
            serves: AtomicBool::new(false),
            pulse: Arc::default(),
            admission: Arc::default(),
            connections: Arc::default(),
        }
    }
}

impl Startup {
    /// Of a daemon that answers these.
    #[must_use]
    pub fn admitting(admission: Admission) -> Self {
        Self { admission: Arc::new(admission), ..Self::default() }
    }

    pub(super) fn admission(&self) -> Arc<Admission> {
        Arc::clone(&self.admission)
    }

    /// The clients that are served.
    #[must_use]
    pub fn connections(&self) -> Arc<Connections> {
        Arc::clone(&self.connections)
    }

    /// So many leases have been taken over so far.
    pub fn restored(&self, leases: usize) {
        self.leases.store(leases as u64, Ordering::Relaxed);
    }

    /// The daemon serves: from here on it speaks for itself.
    pub fn serving(&self) {
        self.serves.store(true, Ordering::Relaxed);
    }

    /// Whether the daemon lives once it serves.
    #[must_use]
    pub fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(&self.pulse)
    }

    /// The status until then.
    pub(super) fn status(&self) -> Option<Status> {
        (!self.serves.load(Ordering::Relaxed)).then(|| Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            stage: Stage::Starting,
            uptime_seconds: self.began.elapsed().as_secs(),
            interfaces: Vec::new(),
            store: "embedded".into(),
            trouble: None,
            classes: Vec::new(),
            leases: self.leases.load(Ordering::Relaxed),
        })
    }
}
