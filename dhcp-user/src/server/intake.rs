//! Where frames come from: two rings of the program's, and the packet sockets of interfaces without it.

use std::future::pending;

use aya::maps::{MapData, RingBuf};
use aya_log::EbpfLogger;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use crate::datapath::frames::ring::{self, Arrival};
use crate::datapath::frames::watch::watched;
use crate::datapath::program::diagnosis::NamedLog;

/// How many records of a ring are taken into one batch.
pub(super) const BATCH: usize = 512;

/// Where frames come from.
pub(super) struct Intake {
    pub(super) begun: Option<AsyncFd<RingBuf<MapData>>>,
    pub(super) fresh: Option<AsyncFd<RingBuf<MapData>>>,
    pub(super) sockets: mpsc::Receiver<Arrival>,
}

impl Intake {
    /// Takes what lies in the rings.
    pub(super) fn at_hand(&mut self) -> Vec<Arrival> {
        let mut arrived = Vec::new();
        for ring in [&mut self.begun, &mut self.fresh].into_iter().flatten() {
            // A ring that is found empty here is found so once more before it is waited for.
            take_batch(ring.get_mut(), &mut arrived);
        }
        arrived
    }
}

/// Waits until a ring has records, and takes a batch of them. Never returns without a ring.
pub(super) async fn ready(ring: &mut Option<AsyncFd<RingBuf<MapData>>>) -> Vec<Arrival> {
    let Some(ring) = ring else { return pending().await };
    let Ok(mut guard) = ring.readable_mut().await else { return pending().await };
    let mut arrived = Vec::new();
    if take_batch(guard.get_inner_mut(), &mut arrived) == Left::Nothing {
        guard.clear_ready();
    }
    arrived
}

/// The state of a ring after some records were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Nothing,
    /// There may be more.
    More,
}

/// Takes records out of a ring until a batch is full.
fn take_batch(ring: &mut RingBuf<MapData>, arrived: &mut Vec<Arrival>) -> Left {
    while arrived.len() < BATCH {
        match ring::next(ring) {
            Some(record) => arrived.extend(record),
            None => return Left::Nothing,
        }
    }
    Left::More
}

/// Takes what came in by packet sockets. Never returns when there are none.
pub(super) async fn ready_sockets(sockets: &mut mpsc::Receiver<Arrival>) -> Vec<Arrival> {
    let mut arrived = Vec::new();
    match sockets.recv_many(&mut arrived, BATCH).await {
        0 => pending().await,
        _ => arrived,
    }
}

/// Brings what the program says of each frame into the log.
pub(super) async fn diagnose(logger: EbpfLogger<NamedLog>) {
    if let Ok(mut logger) = watched(logger) {
        while let Ok(mut guard) = logger.readable_mut().await {
            guard.get_inner_mut().flush();
            guard.clear_ready();
        }
    }
    tracing::warn!("what the program says of frames can't be read any more: start the daemon anew to see it");
}
