//! Replies on their way out: a few leave at once, many by a thread of their own.
//!
//! A frame sent over a packet socket takes the kernel as long as it took the daemon to decide it, so under load the one
//! is done on another processor than the other. With nothing waiting, going there would only cost time. The thread has a
//! shorter way for many.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::departure::{BySocket, Departure, Live, Outgoing};
use super::sender::Sender;

/// So many frames at once are not worth waking the thread for.
const FEW: usize = 8;
/// How many batches may wait. Then whoever decides waits, too: what comes in meanwhile waits in the rings. That is for as
/// long as it takes to hand over frames, never for a link: what one doesn't take at once is refused.
const BATCHES: usize = 8;

type Batch = Vec<Outgoing>;

/// Sends frames in the order they are handed over.
pub struct Outbox {
    socket: Arc<BySocket>,
    waiting: Arc<AtomicUsize>,
    refused: Arc<AtomicU64>,
    /// `None` only while it is dropped.
    batches: Option<SyncSender<Batch>>,
    thread: Option<JoinHandle<()>>,
}

impl Outbox {
    /// Opens a socket and starts the thread, which sends many frames from the kernel where it can.
    ///
    /// # Errors
    /// When the process may not open packet sockets (`CAP_NET_RAW`), or start a thread.
    pub fn open(live: Option<Box<dyn Live + Send>>) -> Result<Self> {
        let sender = Sender::open()?;
        Self::over(Arc::new(move |frames: &[Outgoing]| sender.send(frames)), Departure::new(live))
    }

    fn over(socket: Arc<BySocket>, mut departure: Departure) -> Result<Self> {
        let (waiting, refused) = (Arc::<AtomicUsize>::default(), Arc::<AtomicU64>::default());
        let (batches, handed_over) = sync_channel(BATCHES);
        let work = (Arc::clone(&socket), Arc::clone(&waiting), Arc::clone(&refused));
        let thread = thread::Builder::new()
            .name("send".into())
            .spawn(move || send_all(&handed_over, &mut departure, &*work.0, &work.1, &work.2))
            .context("starting the thread that sends")?;
        Ok(Self { socket, waiting, refused, batches: Some(batches), thread: Some(thread) })
    }

    /// Sends frames, now or soon.
    pub fn send(&self, frames: Batch) {
        if frames.is_empty() {
            return;
        }
        // Only this thread adds, so none can come between.
        if frames.len() <= FEW && self.waiting.load(Ordering::Acquire) == 0 {
            return self.count((self.socket)(&frames));
        }
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let Some(batches) = &self.batches else { return };
        if let Err(unsent) = batches.send(frames) {
            // The thread has panicked: send here from now on.
            self.count((self.socket)(&unsent.0));
            self.waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// How many frames the kernel refused since this was last asked.
    pub fn refused(&self) -> u64 {
        self.refused.swap(0, Ordering::Relaxed)
    }

    fn count(&self, refused: usize) {
        self.refused.fetch_add(refused as u64, Ordering::Relaxed);
    }
}

/// Whatever was handed over leaves before this returns.
impl Drop for Outbox {
    fn drop(&mut self) {
        drop(self.batches.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that sends has panicked: some replies were not sent");
        }
    }
}

fn send_all(
    batches: &Receiver<Batch>,
    departure: &mut Departure,
    socket: &BySocket,
    waiting: &AtomicUsize,
    refused: &AtomicU64,
) {
    for batch in batches {
        refused.fetch_add(departure.send(batch, socket, Instant::now()) as u64, Ordering::Relaxed);
        waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::Bytes;

    use super::*;

    /// Frames that say which they are.
    fn frames(numbers: std::ops::Range<u32>) -> Batch {
        numbers.map(|number| (number, Bytes::new())).collect()
    }

    #[test]
    fn few_or_many_leave_in_order_and_all_before_the_end() {
        let left = Arc::new(Mutex::new(Vec::new()));
        let leave = {
            let left = Arc::clone(&left);
            move |batch: &[Outgoing]| {
                left.lock().expect("nobody panics").extend(batch.iter().map(|(number, _)| *number));
                0
            }
        };
        let outbox = Outbox::over(Arc::new(leave), Departure::new(None)).expect("a thread");
        let mut sent = 0;
        for size in [1, 300, 2, 9, 8, 0, 1, 500, 1].into_iter().cycle().take(200) {
            outbox.send(frames(sent..sent + size));
            sent += size;
        }
        drop(outbox);
        assert_eq!(*left.lock().expect("nobody panics"), (0..sent).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_refused_is_counted_once_wherever_it_was_sent() {
        let outbox =
            Outbox::over(Arc::new(|batch: &[Outgoing]| batch.len()), Departure::new(None)).expect("a thread");
        outbox.send(frames(0..3));
        outbox.send(frames(0..100));
        let mut refused = 0;
        while refused < 103 {
            refused += outbox.refused();
        }
        assert_eq!((refused, outbox.refused()), (103, 0));
    }
}
