//! A thread that has the store: while the disk takes one batch, the next is decided, and nobody waits for it.
//!
//! One commit is under way at a time. The changes decided meanwhile make the next, so batches grow with the time that
//! the disk takes. The actions for the end of a commit stay here until then. The same thread reads the store, between
//! two commits.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use dhcp_ebpf::lease::BootSecs;
use tokio::sync::Notify;

use super::decided::Decided;
use super::not_committed::NotCommitted;
use crate::store::{Change, Record, Size, Store, StoreError, StoreId};

/// How many reads may wait for the thread.
const READS: usize = 64;

/// How often the thread looks whether the store still is as it was written.
const LOOK: Duration = Duration::from_secs(2);

/// The thread that has the store, and its present work.
pub(in crate::server) struct Committing {
    id: StoreId,
    /// The number of the last commit that succeeded.
    last: u64,
    /// How large the store was then.
    size: Size,
    work: Sender<Work>,
    done: Receiver<Done>,
    notify: Arc<Notify>,
    under_way: Option<CommitUnderWay>,
    /// How many reads wait.
    reads: usize,
    /// `None` where no thread does it, but whoever simulates.
    thread: Option<JoinHandle<()>>,
    #[cfg(feature = "simulation")]
    by_hand: Option<Worker>,
}

/// A commit under way.
struct CommitUnderWay {
    since: Instant,
    changes: Arc<Vec<Change>>,
    then: Vec<Decided>,
}

enum Work {
    Commit { now: BootSecs, changes: Arc<Vec<Change>> },
    Read { number: u64, addresses: Vec<Ipv4Addr> },
}

enum Done {
    /// And the number of the last commit that succeeded, and how large the store is.
    Commit(Result<(), StoreError>, u64, Size),
    Read(Read),
    /// A look has found what is wrong with the store.
    Looked(StoreError),
    /// The last thing.
    Closed(Result<(), StoreError>),
}

/// Something that the thread has done.
pub(in crate::server) enum Ended {
    Commit(Committed),
    Read(Read),
    /// The store is not as it was written any more: commits fail until it is.
    Looked(StoreError),
}

/// A commit that has come to its end.
pub(in crate::server) struct Committed {
    pub(in crate::server) changes: Arc<Vec<Change>>,
    pub(in crate::server) outcome: Result<(), StoreError>,
    /// The actions for the end of the commit, as far as the outcome allows them.
    pub(in crate::server) then: Vec<Decided>,
    /// How long it took.
    pub(in crate::server) took: Duration,
}

/// The store's records of some addresses, at a moment between two commits: all commits that ended before are in them.
pub(in crate::server) struct Read {
    /// Which read it was.
    pub(in crate::server) number: u64,
    pub(in crate::server) records: Result<Vec<(Ipv4Addr, Option<Record>)>, StoreError>,
}

impl Committing {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the process may have no more threads.
    pub(in crate::server) fn over(store: Box<dyn Store>) -> Result<Self> {
        let (mut this, worker) = Self::apart(store);
        let told = Arc::clone(&this.notify);
        let thread = thread::Builder::new()
            .name("commit".into())
            .spawn(move || {
                let told = EndSignal(told);
                worker.serve(&told.0);
            })
            .context("starting the thread that commits")?;
        this.thread = Some(thread);
        Ok(this)
    }

    /// What hands over work, and what does it.
    fn apart(store: Box<dyn Store>) -> (Self, Worker) {
        let (work, taken) = channel();
        let (given, done) = channel();
        let (id, last, size) = (store.id(), store.last_commit(), store.size());
        let this = Self {
            id,
            last,
            size,
            work,
            done,
            notify: Arc::new(Notify::new()),
            under_way: None,
            reads: 0,
            thread: None,
            #[cfg(feature = "simulation")]
            by_hand: None,
        };
        (this, Worker { store, taken, given })
    }

    /// Which store it is.
    pub(in crate::server) const fn id(&self) -> StoreId {
        self.id
    }

    /// The number of the last commit that succeeded.
    pub(in crate::server) const fn last(&self) -> u64 {
        self.last
    }

    /// How large the store was after that commit.
    pub(in crate::server) const fn size(&self) -> Size {
        self.size
    }

    /// Whether no commit is under way.
    pub(in crate::server) const fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }

    /// For how long a commit has been under way; `None` if none is.
    pub(in crate::server) fn since(&self) -> Option<Duration> {
        self.under_way.as_ref().map(|under_way| under_way.since.elapsed())
    }

    /// The changes of the commit under way.
    pub(in crate::server) fn changes(&self) -> &[Change] {
        self.under_way.as_ref().map_or(&[], |under_way| &under_way.changes)
    }

    /// The actions for the end of the commit under way.
    pub(in crate::server) fn then(&self) -> &[Decided] {
        self.under_way.as_ref().map_or(&[], |under_way| &under_way.then)
    }

    /// Begins to commit `changes`; the actions `then` come back with them.
    ///
    /// # Panics
    /// When a commit is under way.
    pub(in crate::server) fn begin(&mut self, now: BootSecs, changes: Vec<Change>, then: Vec<Decided>) {
        assert!(self.is_idle(), "a commit is begun only when none is under way");
        let changes = Arc::new(changes);
        // If the thread is no more, whoever waits for the end of this is told.
        let _ = self.work.send(Work::Commit { now, changes: Arc::clone(&changes) });
        self.under_way = Some(CommitUnderWay { since: Instant::now(), changes, then });
    }

    /// Has what the store holds of `addresses` read, after the commit under way. Says whether it will be: not where many
    /// wait already.
    pub(in crate::server) fn read(&mut self, number: u64, addresses: Vec<Ipv4Addr>) -> bool {
        if self.reads == READS {
            return false;
        }
        self.reads += 1;
        self.work.send(Work::Read { number, addresses }).is_ok()
    }

    /// Waits until the thread has done something; for ever when it has nothing to do. `None`: the thread is no more.
    pub(in crate::server) async fn ended(&mut self) -> Option<Ended> {
        loop {
            match self.done.try_recv() {
                Ok(done) => return self.back(done),
                Err(TryRecvError::Empty) => self.notify.notified().await,
                Err(TryRecvError::Disconnected) => return None,
            }
        }
    }

    /// The same without letting anything else happen, until then at most: for a start and an end, when nothing else is to be
    /// done. `None`: no commit is under way.
    ///
    /// # Errors
    /// When the disk does not answer in time, or the thread is no more.
    pub(in crate::server) fn wait(&mut self, until: Option<Instant>) -> Result<Option<Ended>, NotCommitted> {
        if self.is_idle() {
            return Ok(None);
        }
        #[cfg(feature = "simulation")]
        while self.work_by_hand().is_some() {}
        let since = self.since().unwrap_or_default();
        let done = self.receive(until).map_err(|error| no_answer(error, since))?;
        Ok(self.back(done))
    }

    /// Has the store closed, and ends the thread. All that was begun is done before.
    ///
    /// # Errors
    /// When the disk does not answer until then, or refuses.
    pub(in crate::server) fn close(mut self, until: Instant) -> Result<(), NotCommitted> {
        let since = Instant::now();
        // Without anybody who gives it work the thread ends.
        self.work = channel().0;
        let closed = loop {
            match self.receive(Some(until)) {
                Ok(Done::Closed(closed)) => break closed,
                Ok(Done::Commit(..) | Done::Read(_) | Done::Looked(_)) => {}
                Err(error) => return Err(no_answer(error, since.elapsed())),
            }
        };
        let ended = self.thread.map_or(Ok(()), JoinHandle::join);
        closed.map_err(NotCommitted::because)?;
        ended.map_err(|_| NotCommitted::because(GONE))
    }

    fn receive(&self, until: Option<Instant>) -> Result<Done, RecvTimeoutError> {
        match until {
            Some(until) => self.done.recv_timeout(until.saturating_duration_since(Instant::now())),
            None => self.done.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    fn back(&mut self, done: Done) -> Option<Ended> {
        match done {
            Done::Commit(outcome, number, size) => {
                (self.last, self.size) = (number, size);
                let CommitUnderWay { since, changes, then } = self.under_way.take()?;
                Some(Ended::Commit(Committed { changes, outcome, then, took: since.elapsed() }))
            }
            Done::Closed(_) => None,
            Done::Looked(error) => Some(Ended::Looked(error)),
            Done::Read(read) => {
                self.reads = self.reads.saturating_sub(1);
                Some(Ended::Read(read))
            }
        }
    }
}

const GONE: &str = "the thread that commits has ended";

fn no_answer(error: RecvTimeoutError, since: Duration) -> NotCommitted {
    match error {
        RecvTimeoutError::Timeout => NotCommitted::late(since),
        RecvTimeoutError::Disconnected => NotCommitted::because(GONE),
    }
}

/// Wakes the waiting task when the thread has ended, even by a panic.
struct EndSignal(Arc<Notify>);

impl Drop for EndSignal {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// What has the store, on the thread or by hand. Dropping `given` shows the other end that it has ended.
struct Worker {
    store: Box<dyn Store>,
    taken: Receiver<Work>,
    given: Sender<Done>,
}

impl Worker {
    fn serve(mut self, notify: &Notify) {
        let mut looked = Instant::now();
        loop {
            let done = match self.taken.recv_timeout(LOOK.saturating_sub(looked.elapsed())) {
                Ok(work) => Some(self.done(work)),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let wrong = if looked.elapsed() >= LOOK {
                looked = Instant::now();
                self.store.look().err().map(Done::Looked)
            } else {
                None
            };
            for done in done.into_iter().chain(wrong) {
                if self.given.send(done).is_err() {
                    return;
                }
                notify.notify_one();
            }
        }
        // If the daemon does not end in order nobody needs to know.
        let _ = self.given.send(Done::Closed(self.store.close()));
    }

    fn done(&mut self, work: Work) -> Done {
        let store = &mut self.store;
        match work {
            Work::Commit { now, changes } => {
                let outcome = store.commit(now, &changes);
                Done::Commit(outcome, store.last_commit(), store.size())
            }
            Work::Read { number, addresses } => {
                let read = |address| store.record(address).map(|record| (address, record));
                Done::Read(Read { number, records: addresses.into_iter().map(read).collect() })
            }
        }
    }
}

/// For the simulation: nothing is done but step by step.
#[cfg(feature = "simulation")]
impl Committing {
    /// Without a thread.
    #[expect(clippy::unnecessary_wraps, reason = "in the place of what starts a thread")]
    pub(in crate::server) fn by_hand(store: Box<dyn Store>) -> Result<Self> {
        let (this, worker) = Self::apart(store);
        Ok(Self { by_hand: Some(worker), ..this })
    }

    /// Does one thing that was handed over, if anything was. Of a commit, what it changes and whether that succeeded.
    pub(in crate::server) fn work_by_hand(&mut self) -> Option<(Arc<Vec<Change>>, bool)> {
        let worker = self.by_hand.as_mut()?;
        let work = worker.taken.try_recv().ok()?;
        let changes = match &work {
            Work::Commit { changes, .. } => Arc::clone(changes),
            Work::Read { .. } => Arc::default(),
        };
        let done = worker.done(work);
        let is_done = matches!(done, Done::Commit(Ok(()), ..));
        let _ = worker.given.send(done);
        Some((changes, is_done))
    }

    /// Has the store closed.
    pub(in crate::server) fn close_by_hand(mut self) -> Result<(), StoreError> {
        self.by_hand.take().map_or(Ok(()), |mut worker| worker.store.close())
    }

    /// What was done, if anything was.
    pub(in crate::server) fn done_by_hand(&mut self) -> Option<Ended> {
        let done = self.done.try_recv().ok()?;
        self.back(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Action;

    /// A store that takes a commit only when it is let.
    struct Gate(Receiver<Result<(), StoreError>>);

    impl Store for Gate {
        fn id(&self) -> StoreId {
            StoreId(7)
        }

        fn load(&mut self) -> Result<Vec<Record>, StoreError> {
            Ok(Vec::new())
        }

        fn record(&mut self, _: Ipv4Addr) -> Result<Option<Record>, StoreError> {
            Ok(None)
        }

        fn last_commit(&self) -> u64 {
            0
        }

        fn commit(&mut self, _: BootSecs, _: &[Change]) -> Result<(), StoreError> {
            self.0.recv().expect("the test goes on")
        }
    }

    const LATER: Decided = Decided::Action(Action::Horizon {
        address: Ipv4Addr::new(192, 0, 2, 1),
        generation: 3,
        until: BootSecs(9),
    });

    fn change(last: u8) -> Vec<Change> {
        vec![Change::Delete([192, 0, 2, last].into())]
    }

    fn commit(ended: Option<Ended>) -> Committed {
        match ended {
            Some(Ended::Commit(committed)) => committed,
            _ => panic!("a commit has ended"),
        }
    }

    #[tokio::test]
    async fn one_commit_is_under_way_at_a_time_and_reads_wait_for_it() {
        let (open, gate) = channel();
        let mut committing = Committing::over(Box::new(Gate(gate))).expect("a thread");
        assert!(committing.wait(None).is_ok_and(|ended| ended.is_none()) && committing.is_idle());
        committing.begin(BootSecs(1), change(1), vec![LATER]);
        assert!(committing.read(5, vec![[192, 0, 2, 1].into()]));
        assert!(!committing.is_idle() && committing.changes() == change(1) && committing.then().len() == 1);
        open.send(Ok(())).expect("the thread waits");
        let ended = commit(committing.ended().await);
        assert!(*ended.changes == change(1) && ended.outcome.is_ok());
        assert!(matches!(ended.then[..], [Decided::Action(Action::Horizon { generation: 3, .. })]));
        let Some(Ended::Read(read)) = committing.ended().await else { panic!("it is read") };
        assert!(read.number == 5 && read.records.is_ok_and(|records| records.len() == 1));
        committing.begin(BootSecs(2), change(2), Vec::new());
        open.send(Ok(())).expect("the thread waits");
        assert_eq!(*commit(committing.wait(None).expect("an answer")).changes, change(2));
        assert!(committing.is_idle() && committing.id() == StoreId(7));
    }

    #[tokio::test]
    async fn reads_that_wait_have_a_bound() {
        let (open, gate) = channel();
        let mut committing = Committing::over(Box::new(Gate(gate))).expect("a thread");
        committing.begin(BootSecs(1), change(1), Vec::new());
        assert!((0..READS as u64).all(|number| committing.read(number, Vec::new())));
        assert!(!committing.read(99, Vec::new()));
        open.send(Ok(())).expect("the thread waits");
        assert!(commit(committing.ended().await).outcome.is_ok());
        assert!(matches!(committing.ended().await, Some(Ended::Read(Read { number: 0, .. }))));
        assert!(committing.read(99, Vec::new()));
    }

    #[tokio::test]
    async fn who_waits_for_a_thread_that_is_no_more_is_told() {
        let (open, gate) = channel();
        let mut committing = Committing::over(Box::new(Gate(gate))).expect("a thread");
        committing.begin(BootSecs(1), change(1), Vec::new());
        drop(open);
        assert!(committing.ended().await.is_none());
        assert!(committing.wait(None).is_err_and(|error| error.reason() == GONE));
        assert!(committing.close(Instant::now()).is_err_and(|error| error.reason() == GONE));
    }

    #[test]
    fn a_store_is_closed_after_what_was_begun_and_nobody_waits_for_it_for_ever() {
        let (open, gate) = channel();
        let mut committing = Committing::over(Box::new(Gate(gate))).expect("a thread");
        committing.begin(BootSecs(1), change(1), Vec::new());
        let soon = || Instant::now() + Duration::from_millis(1);
        assert!(committing.wait(Some(soon())).is_err());
        assert!(!committing.is_idle(), "it is still under way");
        open.send(Ok(())).expect("the thread waits");
        assert_eq!(committing.close(Instant::now() + Duration::from_secs(60)), Ok(()));

        let (open, gate) = channel();
        let mut committing = Committing::over(Box::new(Gate(gate))).expect("a thread");
        committing.begin(BootSecs(1), change(1), Vec::new());
        assert!(committing.close(soon()).is_err());
        drop(open);
    }
}
