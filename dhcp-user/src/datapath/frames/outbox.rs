//! Replies on their way out: a few leave at once, many by a thread of their own.
//!
//! To send a frame over a packet socket takes as long as to decide it, so under load the two run on different
//! processors. With nothing waiting, the way to the thread would only cost time. The thread has a shorter way for
//! many frames.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::departure::{BySocket, Departure, Live, Outgoing};
use super::sender::Sender;
use super::unsent::{Taken, Unsent};

/// So many frames at once are not worth waking the thread for.
const FEW: usize = 8;
/// How many batches may wait. The deciding thread sends further ones at once, and so before those that wait: it never
/// waits for the sending thread, which may have to wait for the kernel's lock on interfaces.
const BATCHES: usize = 8;
/// How long the end waits for the batches handed over.
const PATIENCE: Duration = Duration::from_secs(2);

type Batch = Vec<Outgoing>;

/// The work of a thread.
pub type Work = Box<dyn FnOnce() + Send>;

/// Sends frames in the order they are handed over, as long as not too many wait.
pub struct Outbox {
    socket: Arc<BySocket>,
    /// The sender behind `socket`, except in tests.
    sender: Option<Arc<Sender>>,
    waiting: Arc<AtomicUsize>,
    unsent: Arc<Unsent>,
    /// `None` only while it is dropped.
    batches: Option<SyncSender<Batch>>,
    /// Nothing comes out of it; it ends with the thread.
    ended: Receiver<()>,
}

impl Outbox {
    /// Opens a socket and has a thread started by `start`, which sends many frames from the kernel where it can.
    ///
    /// # Errors
    /// When the process may not open packet sockets (`CAP_NET_RAW`), or start a thread.
    pub fn open(
        live: Option<Box<dyn Live + Send>>,
        start: impl FnOnce(&'static str, Work) -> Result<()>,
    ) -> Result<Self> {
        let sender = Arc::new(Sender::open()?);
        let socket = Arc::clone(&sender);
        let socket = Arc::new(move |frames: &[Outgoing]| socket.send(frames));
        let mut outbox = Self::over(socket, Departure::new(live), start)?;
        outbox.sender = Some(sender);
        Ok(outbox)
    }

    /// Sends nothing, but hands everything at once to `taken`.
    ///
    /// # Errors
    /// None.
    #[cfg(feature = "simulation")]
    pub fn to(taken: impl Fn(&[Outgoing]) + Send + Sync + 'static) -> Result<Self> {
        let socket = move |frames: &[Outgoing]| {
            taken(frames);
            Vec::new()
        };
        // Without the thread, batches leave as they do when it has enough to do.
        Self::over(Arc::new(socket), Departure::new(None), |_, _| Ok(()))
    }

    fn over(
        socket: Arc<BySocket>,
        mut departure: Departure,
        start: impl FnOnce(&'static str, Work) -> Result<()>,
    ) -> Result<Self> {
        let (waiting, unsent) = (Arc::<AtomicUsize>::default(), Arc::<Unsent>::default());
        let (batches, handed_over) = sync_channel(BATCHES);
        let work = (Arc::clone(&socket), Arc::clone(&waiting), Arc::clone(&unsent));
        let (alive, ended) = sync_channel(1);
        let work = move || {
            let _alive: SyncSender<()> = alive;
            send_all(&handed_over, &mut departure, &*work.0, &work.1, &work.2);
        };
        start("send", Box::new(work))?;
        Ok(Self { socket, sender: None, waiting, unsent, batches: Some(batches), ended })
    }

    /// Sends frames, now or soon.
    pub fn send(&self, frames: Batch) {
        if frames.is_empty() {
            return;
        }
        // Only this thread adds, so none can come between.
        if frames.len() <= FEW && self.waiting.load(Ordering::Acquire) == 0 {
            return self.unsent.add((self.socket)(&frames));
        }
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let Some(batches) = &self.batches else { return };
        // It has enough to do, or has panicked, and the daemon ends.
        if let Err(TrySendError::Full(unsent) | TrySendError::Disconnected(unsent)) = batches.try_send(frames)
        {
            self.unsent.add((self.socket)(&unsent));
            self.waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Sends on these interfaces from now on, and keeps nothing for others.
    pub fn follow(&self, interfaces: &[u32]) {
        if let Some(sender) = &self.sender {
            sender.keep_only(interfaces);
        }
    }

    /// The frames that the kernel refused since the last call, if any.
    pub fn unsent(&self) -> Option<Taken> {
        self.unsent.take()
    }
}

/// All batches handed over leave before this returns, if the kernel takes them in time.
impl Drop for Outbox {
    fn drop(&mut self) {
        drop(self.batches.take());
        // An error says that the thread has ended, or has had its time.
        let _ = self.ended.recv_timeout(PATIENCE);
    }
}

fn send_all(
    batches: &Receiver<Batch>,
    departure: &mut Departure,
    socket: &BySocket,
    waiting: &AtomicUsize,
    unsent: &Unsent,
) {
    for batch in batches {
        unsent.add(departure.send(batch, socket, Instant::now()));
        waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::thread;

    use bytes::Bytes;

    use super::*;

    /// Frames that say which they are.
    fn frames(numbers: std::ops::Range<u32>) -> Batch {
        numbers.map(|number| (number, Bytes::new())).collect()
    }

    fn start(name: &'static str, work: Work) -> Result<()> {
        Ok(thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)?)
    }

    type Left = Arc<Mutex<Vec<u32>>>;

    /// A socket that notes what left by it.
    fn noting(left: &Left) -> Arc<BySocket> {
        let left = Arc::clone(left);
        Arc::new(move |batch: &[Outgoing]| {
            left.lock().expect("nobody panics").extend(batch.iter().map(|(number, _)| *number));
            Vec::new()
        })
    }

    #[test]
    fn few_or_many_leave_in_order_and_all_before_the_end() {
        let left = Left::default();
        let outbox = Outbox::over(noting(&left), Departure::new(None), start).expect("a thread");
        let mut sent = 0;
        // Not so many batches that one could find no room.
        for size in [1, 300, 2, 9, 8, 0, 1, 500, 1].into_iter().cycle().take(200) {
            while outbox.waiting.load(Ordering::Acquire) >= BATCHES {
                thread::yield_now();
            }
            outbox.send(frames(sent..sent + size));
            sent += size;
        }
        drop(outbox);
        assert_eq!(*left.lock().expect("nobody panics"), (0..sent).collect::<Vec<_>>());
    }

    /// A kernel that says nothing until it is let, and then that it serves no interface.
    struct Standing(Receiver<()>);

    impl Live for Standing {
        fn serves(&self, _: u32) -> bool {
            let _ = self.0.recv();
            false
        }

        fn takes(&self, _: &[u8]) -> bool {
            true
        }

        fn most(&self) -> usize {
            64
        }

        fn send(&mut self, _: u32, _: &[Outgoing]) -> Vec<usize> {
            Vec::new()
        }
    }

    #[test]
    fn nobody_waits_for_a_kernel_that_gives_no_answer() {
        let left = Left::default();
        let (go_on, standing) = sync_channel(1);
        let departure = Departure::new(Some(Box::new(Standing(standing))));
        let outbox = Outbox::over(noting(&left), departure, start).expect("a thread");
        let batches = 4 * u32::try_from(BATCHES).expect("a few");
        (0..batches).for_each(|number| outbox.send(vec![(number, Bytes::new()); FEW + 1]));
        let all = batches as usize * (FEW + 1);
        assert!((1..all).contains(&left.lock().expect("nobody panics").len()));
        drop(go_on);
        drop(outbox);
        assert_eq!(left.lock().expect("nobody panics").len(), all);
    }

    #[test]
    fn what_is_refused_is_counted_once_wherever_it_was_sent() {
        let outbox = Outbox::over(Arc::new(|batch: &[Outgoing]| batch.to_vec()), Departure::new(None), start)
            .expect("a thread");
        outbox.send(frames(0..3));
        outbox.send(frames(0..100));
        let mut refused = 0;
        while refused < 103 {
            refused += outbox.unsent().map_or(0, |unsent| unsent.links.values().sum());
        }
        assert_eq!((refused, outbox.unsent()), (103, None));
    }
}
