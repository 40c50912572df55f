//! A thread that commits: while the disk takes one batch, the next is decided.
//!
//! The store is either here or with the thread, never both, so nothing is locked. One commit is under way at a time; what
//! is decided meanwhile makes the next, so batches grow with the time that the disk takes. What is to be done when a commit
//! has ended goes with it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;

use anyhow::{Context as _, Result};
use dhcp_ebpf::lease::BootSecs;
use tokio::sync::Notify;

use crate::policy::Action;
use crate::store::{Change, Store, StoreError, StoreId};

/// The store, and the thread that takes it to commit.
pub(super) struct Committing {
    id: StoreId,
    /// `None` while the thread has it.
    here: Option<Box<dyn Store>>,
    work: Sender<Work>,
    done: Receiver<(Box<dyn Store>, Committed)>,
    notify: Arc<Notify>,
}

/// A commit to be made, and at which time.
struct Work {
    store: Box<dyn Store>,
    now: BootSecs,
    changes: Vec<Change>,
    then: Vec<Action>,
}

/// A commit that has come to its end.
pub(super) struct Committed {
    pub(super) changes: Vec<Change>,
    pub(super) outcome: Result<(), StoreError>,
    /// What was to be done then, as far as the outcome lets it.
    pub(super) then: Vec<Action>,
}

impl Committing {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the process may have no more threads.
    pub(super) fn over(store: Box<dyn Store>) -> Result<Self> {
        let (work, taken) = channel();
        let (given, done) = channel();
        let notify = Arc::new(Notify::new());
        let told = Arc::clone(&notify);
        thread::Builder::new()
            .name("commit".into())
            .spawn(move || {
                let told = Told(told);
                commit_all(&taken, given, &told.0);
            })
            .context("starting the thread that commits")?;
        Ok(Self { id: store.id(), here: Some(store), work, done, notify })
    }

    /// Which store it is.
    pub(super) const fn id(&self) -> StoreId {
        self.id
    }

    /// The store; `None` while a commit is under way.
    pub(super) fn store(&mut self) -> Option<&mut (dyn Store + 'static)> {
        self.here.as_deref_mut()
    }

    /// Whether no commit is under way.
    pub(super) const fn is_idle(&self) -> bool {
        self.here.is_some()
    }

    /// Begins to commit `changes`; what is to be done `then` comes back with them.
    ///
    /// # Panics
    /// When a commit is under way.
    pub(super) fn begin(&mut self, now: BootSecs, changes: Vec<Change>, then: Vec<Action>) {
        let Some(store) = self.here.take() else {
            unreachable!("a commit is begun only when none is under way")
        };
        // If the thread is no more, whoever waits for the end of this is told.
        let _ = self.work.send(Work { store, now, changes, then });
    }

    /// Waits until the commit under way has come to its end; for ever when there is none. `None`: the thread is no more.
    pub(super) async fn ended(&mut self) -> Option<Committed> {
        loop {
            match self.done.try_recv() {
                Ok(done) => return Some(self.back(done)),
                Err(TryRecvError::Empty) => self.notify.notified().await,
                Err(TryRecvError::Disconnected) => return None,
            }
        }
    }

    /// The same without letting anything else happen. `None`: there is no commit under way.
    pub(super) fn wait(&mut self) -> Option<Committed> {
        if self.is_idle() {
            return None;
        }
        self.done.recv().ok().map(|done| self.back(done))
    }

    fn back(&mut self, (store, committed): (Box<dyn Store>, Committed)) -> Committed {
        self.here = Some(store);
        committed
    }
}

/// Whoever waits looks once more when the thread has ended, even by a panic.
struct Told(Arc<Notify>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// Whoever has `done` at the other end learns of the end of this by its being dropped.
fn commit_all(work: &Receiver<Work>, done: Sender<(Box<dyn Store>, Committed)>, notify: &Notify) {
    for Work { mut store, now, changes, then } in work {
        let outcome = store.commit(now, &changes);
        if done.send((store, Committed { changes, outcome, then })).is_err() {
            return;
        }
        notify.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::store::Record;

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

        fn commit(&mut self, _: BootSecs, _: &[Change]) -> Result<(), StoreError> {
            self.0.recv().expect("the test goes on")
        }
    }

    const LATER: Action =
        Action::Horizon { address: Ipv4Addr::new(192, 0, 2, 1), generation: 3, until: BootSecs(9) };

    fn change(last: u8) -> Vec<Change> {
        vec![Change::Delete([192, 0, 2, last].into())]
    }

    #[tokio::test]
    async fn one_commit_is_under_way_at_a_time_and_the_store_comes_back_with_it() {
        let (open, gate) = channel();
        let mut committing = Committing::over(Box::new(Gate(gate))).expect("a thread");
        assert!(committing.wait().is_none() && committing.store().is_some());
        committing.begin(BootSecs(1), change(1), vec![LATER]);
        assert!(committing.store().is_none() && !committing.is_idle());
        open.send(Ok(())).expect("the thread waits");
        let ended = committing.ended().await.expect("the thread goes on");
        assert!(ended.changes == change(1) && ended.outcome.is_ok());
        assert!(matches!(ended.then[..], [Action::Horizon { generation: 3, .. }]));
        committing.begin(BootSecs(2), change(2), Vec::new());
        open.send(Ok(())).expect("the thread waits");
        assert_eq!(committing.wait().map(|ended| ended.changes), Some(change(2)));
        assert!(committing.store().is_some() && committing.id() == StoreId(7));
    }

    #[tokio::test]
    async fn who_waits_for_a_thread_that_is_no_more_is_told() {
        let (open, gate) = channel();
        let mut committing = Committing::over(Box::new(Gate(gate))).expect("a thread");
        committing.begin(BootSecs(1), change(1), Vec::new());
        drop(open);
        assert!(committing.ended().await.is_none());
        assert!(committing.wait().is_none() && committing.store().is_none());
    }
}
