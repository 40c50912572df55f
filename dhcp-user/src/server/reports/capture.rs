//! Captures: shows the daemon's frames in and out with their outcome; a thread shows the kernel's answers.
//!
//! The deciding thread waits for nobody here: frames go into a buffer with room for [`ROOM`], and a slow reader gets
//! the number of frames left out. While nobody captures there is neither buffer nor thread.

use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use dhcp_ebpf::verdict::Why;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::broadcast;

use crate::capture::{CaptureEvent, Captured, Direction};
use crate::clock::BootNanos;
use crate::datapath::frames::ring::Arrival;
use crate::datapath::program::capture::{Means, Tap};
use crate::reason;
use crate::server::Server;
use crate::server::process::beside::Beside;

/// How many frames a slow reader may lag behind.
const ROOM: usize = 4096;
/// How many messages may be on their way through the daemon.
const UNDER_WAY: usize = 16 * 1024;
/// How often the thread looks whether anybody still captures, and whether there are more interfaces, at least.
const LOOK: u16 = 100;
const COVER: Duration = Duration::from_secs(1);
/// How long the end waits until the plain program is back in its place.
const PATIENCE: Duration = Duration::from_secs(2);

/// The captures that there are.
#[derive(Debug, Default)]
pub(in crate::server) struct Captures {
    /// `None`: nobody captures.
    frames: Option<broadcast::Sender<CaptureEvent>>,
    /// Messages on their way through the daemon, by where their frames lie in memory.
    under_way: HashMap<usize, (BootNanos, Option<Why>)>,
    tap: Option<Running>,
}

/// The thread that captures in the kernel.
#[derive(Debug)]
struct Running {
    /// Whether it goes on; false from the moment on at which it has seen that nobody captures.
    goes_on: Arc<Mutex<bool>>,
    stop: Arc<AtomicBool>,
    ended: Receiver<()>,
}

impl Captures {
    /// One more captures from now on.
    pub(in crate::server) fn begin(
        &mut self,
        beside: &Beside,
        means: Option<Result<Means>>,
    ) -> Result<broadcast::Receiver<CaptureEvent>> {
        let frames = self.frames.get_or_insert_with(|| broadcast::channel(ROOM).0);
        let receiver = frames.subscribe();
        let Some(means) = means else {
            let _ = frames.send(CaptureEvent::Begun);
            return Ok(receiver);
        };
        if let Some(tap) = &self.tap
            && *tap.goes_on.lock().unwrap_or_else(PoisonError::into_inner)
        {
            let _ = frames.send(CaptureEvent::Begun);
            return Ok(receiver);
        }
        let (goes_on, stop) = (Arc::new(Mutex::new(true)), Arc::<AtomicBool>::default());
        let (alive, ended) = sync_channel::<()>(1);
        let (means, frames) = (means?, frames.clone());
        let work = (Arc::clone(&goes_on), Arc::clone(&stop));
        beside.passing_thread("capture", move || {
            let _alive = alive;
            match means.open() {
                Ok(mut tap) => {
                    let _ = frames.send(CaptureEvent::Begun);
                    follow(&mut tap, &frames, &work.0, &work.1);
                }
                Err(error) => {
                    let error = reason::told(&error);
                    tracing::warn!(error, "the kernel's answers can't be captured");
                    *work.0.lock().unwrap_or_else(PoisonError::into_inner) = false;
                    let _ = frames.send(CaptureEvent::WithoutKernel(error));
                }
            }
        })?;
        self.tap = Some(Running { goes_on, stop, ended });
        Ok(receiver)
    }

    /// Forgets what is needed for captures only, when there is none any more.
    pub(in crate::server) fn rest(&mut self) {
        if self.frames.as_ref().is_some_and(|frames| frames.receiver_count() == 0) {
            self.frames = None;
            self.under_way = HashMap::new();
        }
    }

    /// Ends them, before the daemon ends: the plain program answers when this returns.
    pub(in crate::server) fn end(&mut self) {
        self.frames = None;
        if let Some(tap) = self.tap.take() {
            tap.stop.store(true, Ordering::Release);
            // The error says that the thread has ended.
            let _ = tap.ended.recv_timeout(PATIENCE);
        }
    }

    /// A frame came up to the daemon. Its outcome follows later.
    pub(in crate::server) fn came(&mut self, arrival: &Arrival) {
        if self.frames.is_none() {
            return;
        }
        if self.under_way.len() >= UNDER_WAY {
            self.under_way.clear();
        }
        self.under_way.insert(place(&arrival.frame), (BootNanos(arrival.at), arrival.why));
    }

    /// It is known what becomes of a frame: it was answered, refused or taken.
    pub(in crate::server) fn became(&mut self, frame: &Bytes, ifindex: u32, what: impl FnOnce() -> String) {
        let Some(frames) = &self.frames else { return };
        let Some((at, why)) = self.under_way.remove(&place(frame)) else { return };
        let up = why.map_or_else(String::new, |why| format!(" (not by the kernel: {})", why.name()));
        let comment = format!("{}{up}", what());
        tell(frames, at, ifindex, Direction::In, comment, frame);
    }

    /// A frame leaves.
    pub(in crate::server) fn leaves(&self, frame: &Bytes, ifindex: u32, what: &str) {
        if let Some(frames) = &self.frames {
            let comment = format!("the daemon's answer: {what}");
            tell(frames, BootNanos::now(), ifindex, Direction::Out, comment, frame);
        }
    }
}

impl Server {
    /// One more captures from now on.
    pub(in crate::server) fn capture(&mut self) -> Result<broadcast::Receiver<CaptureEvent>> {
        let means = self.kernel.as_ref().map(|kernel| kernel.means_of_capture());
        self.captures.begin(&self.beside, means)
    }
}

/// A frame is shared, not copied, on its way through the daemon: it stays where it is.
fn place(frame: &Bytes) -> usize {
    frame.as_ptr().addr()
}

fn tell(
    frames: &broadcast::Sender<CaptureEvent>,
    at: BootNanos,
    ifindex: u32,
    direction: Direction,
    comment: String,
    frame: &Bytes,
) {
    let captured = Captured { at, ifindex, direction, comment, frame: frame.clone(), len: frame.len() };
    // Nobody may be capturing any more.
    let _ = frames.send(CaptureEvent::Frame(captured));
}

/// Shows the kernel's answers, until nobody captures any more.
fn follow(tap: &mut Tap, frames: &broadcast::Sender<CaptureEvent>, goes_on: &Mutex<bool>, stop: &AtomicBool) {
    let mut covered = Instant::now();
    while !stop.load(Ordering::Acquire) {
        while let Some(captured) = tap.take() {
            let _ = frames.send(CaptureEvent::Frame(captured));
            if stop.load(Ordering::Acquire) || frames.receiver_count() == 0 {
                break;
            }
        }
        let missed = tap.missed();
        if missed > 0 {
            let _ = frames.send(CaptureEvent::Missed(missed));
        }
        if covered.elapsed() > COVER {
            covered = Instant::now();
            if let Err(error) = tap.cover() {
                tracing::debug!(error = reason::told(&error), "an interface is left out of the capture");
            }
        }
        {
            let mut goes_on = goes_on.lock().unwrap_or_else(PoisonError::into_inner);
            if frames.receiver_count() == 0 {
                *goes_on = false;
                return;
            }
        }
        // However it ends, the ring is looked at again.
        let _ = poll(&mut [PollFd::new(tap.as_fd(), PollFlags::POLLIN)], PollTimeout::from(LOOK));
    }
}
