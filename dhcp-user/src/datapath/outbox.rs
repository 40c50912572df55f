//! Replies on their way out: a few leave at once, many by a thread of their own.
//!
//! A frame sent over a packet socket takes the kernel as long as it took the daemon to decide it, so under load the one
//! is done on another processor than the other. With nothing waiting, going there would only cost time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result};
use bytes::Bytes;

use super::packet_socket::Sender;

/// So many frames at once are not worth waking the thread for.
const FEW: usize = 8;
/// How many batches may wait. Then whoever decides waits, too: what comes in meanwhile waits in the rings.
const BATCHES: usize = 8;

/// A batch of frames, each with the index of the interface it leaves by.
type Batch = Vec<(u32, Bytes)>;

/// How frames leave; gives how many were refused.
type Leave = dyn Fn(&[(u32, Bytes)]) -> usize + Send + Sync;

/// Sends frames in the order they are handed over.
pub struct Outbox {
    leave: Arc<Leave>,
    waiting: Arc<AtomicUsize>,
    refused: Arc<AtomicU64>,
    /// `None` only while it is dropped.
    batches: Option<SyncSender<Batch>>,
    thread: Option<JoinHandle<()>>,
}

impl Outbox {
    /// Opens the socket and starts the thread.
    ///
    /// # Errors
    /// When the process may not open packet sockets (`CAP_NET_RAW`), or start a thread.
    pub fn open() -> Result<Self> {
        let sender = Sender::open()?;
        Self::over(Arc::new(move |frames: &[(u32, Bytes)]| sender.send(frames)))
    }

    fn over(leave: Arc<Leave>) -> Result<Self> {
        let (waiting, refused) = (Arc::<AtomicUsize>::default(), Arc::<AtomicU64>::default());
        let (batches, handed_over) = sync_channel(BATCHES);
        let work = (Arc::clone(&leave), Arc::clone(&waiting), Arc::clone(&refused));
        let thread = thread::Builder::new()
            .name("send".into())
            .spawn(move || send_all(&handed_over, &*work.0, &work.1, &work.2))
            .context("starting the thread that sends")?;
        Ok(Self { leave, waiting, refused, batches: Some(batches), thread: Some(thread) })
    }

    /// Sends frames, now or soon.
    pub fn send(&self, frames: Batch) {
        if frames.is_empty() {
            return;
        }
        // Only this thread adds, so none can come between.
        if frames.len() <= FEW && self.waiting.load(Ordering::Acquire) == 0 {
            return self.count((self.leave)(&frames));
        }
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let Some(batches) = &self.batches else { return };
        if let Err(unsent) = batches.send(frames) {
            // The thread has panicked: send here from now on.
            self.count((self.leave)(&unsent.0));
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

fn send_all(batches: &Receiver<Batch>, leave: &Leave, waiting: &AtomicUsize, refused: &AtomicU64) {
    for batch in batches {
        refused.fetch_add(leave(&batch) as u64, Ordering::Relaxed);
        waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

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
            move |batch: &[(u32, Bytes)]| {
                left.lock().expect("nobody panics").extend(batch.iter().map(|(number, _)| *number));
                0
            }
        };
        let outbox = Outbox::over(Arc::new(leave)).expect("a thread");
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
        let outbox = Outbox::over(Arc::new(|batch: &[(u32, Bytes)]| batch.len())).expect("a thread");
        outbox.send(frames(0..3));
        outbox.send(frames(0..100));
        let mut refused = 0;
        while refused < 103 {
            refused += outbox.refused();
        }
        assert_eq!((refused, outbox.refused()), (103, 0));
    }
}
