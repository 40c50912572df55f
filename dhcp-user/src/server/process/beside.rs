//! Threads and tasks beside the deciding thread: if one ends unexpectedly, the daemon ends with the reason.
//!
//! Each of them tries failed calls again, at growing intervals. What remains is a mistake of ours: one panics, or ends
//! by itself before the daemon does. Then the daemon ends and names the thread, instead of going on without it. The
//! kernel answers renewals meanwhile, and the service manager starts another daemon.

use std::fmt;
use std::future::Future;
use std::io;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;

use crate::privileges;

/// How long until something that failed is tried again, first and at most.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// Starts threads and tasks, and hears of it when one ends that should not.
#[derive(Clone, Debug)]
pub(in crate::server) struct Beside(UnboundedSender<Gone>);

/// A thread or task that is no more, and how that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct Gone {
    name: &'static str,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Panicked,
    /// It returned, though its work is never done while the daemon serves.
    Returned,
}

/// For how long a thread or task is to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Term {
    /// As long as the daemon is.
    Always,
    /// Until its work is done.
    Work,
}

impl Beside {
    /// With where it comes out which of them has ended.
    pub(in crate::server) fn new() -> (Self, UnboundedReceiver<Gone>) {
        let (told, gone) = unbounded_channel();
        (Self(told), gone)
    }

    /// Starts a thread that is there as long as the daemon is.
    ///
    /// # Errors
    /// When the process may have no more threads.
    pub(in crate::server) fn thread(
        &self,
        name: &'static str,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<()> {
        self.start(name, Term::Always, work)
    }

    /// Starts a thread that may end when its work is done: whoever needs it finds that out.
    ///
    /// # Errors
    /// When the process may have no more threads.
    pub(in crate::server) fn passing_thread(
        &self,
        name: &'static str,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<()> {
        self.start(name, Term::Work, work)
    }

    fn start(&self, name: &'static str, term: Term, work: impl FnOnce() + Send + 'static) -> Result<()> {
        let watch = self.watch(name, term);
        let work = move || {
            let watch = watch;
            if let Err(error) = privileges::give_up() {
                tracing::warn!(%error, thread = name, "rights that are not needed can't be given up");
            }
            work();
            watch.returned();
        };
        let started = thread::Builder::new().name(name.to_owned()).spawn(work);
        started.map(drop).with_context(|| format!("starting the thread `{name}`"))
    }

    /// Starts a thread that does `work`, with a runtime of its own. If that fails the daemon ends like after a panic.
    ///
    /// # Errors
    /// When the process may have no more threads, or what a runtime needs.
    pub(in crate::server) fn runtime<F: Future<Output = io::Result<()>>>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> Result<()> {
        let (begun, has_begun) = std::sync::mpsc::sync_channel(1);
        // The runtime belongs to its thread: whoever calls may be inside another one, where none can be dropped.
        self.thread(name, move || {
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => {
                    let _ = begun.send(Ok(()));
                    if let Err(error) = runtime.block_on(async move { work().await }) {
                        tracing::error!("{name}: {error}");
                    }
                }
                Err(error) => drop(begun.send(Err(error))),
            }
        })?;
        has_begun.recv()?.with_context(|| format!("starting the thread `{name}`"))
    }

    /// Starts a task that is there until it is aborted, or the daemon ends.
    pub(in crate::server) fn task(
        &self,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        let watch = self.watch(name, Term::Always);
        let work = async move {
            let watch = watch;
            work.await;
            watch.returned();
        };
        tokio::spawn(work).abort_handle()
    }

    fn watch(&self, name: &'static str, term: Term) -> Watch {
        Watch { name, term, has_returned: false, told: self.0.clone() }
    }
}

/// Tells, when it is dropped, of a panic, or of work that ended though it was to go on. A task that was aborted has done
/// neither.
struct Watch {
    name: &'static str,
    term: Term,
    has_returned: bool,
    told: UnboundedSender<Gone>,
}

impl Watch {
    fn returned(mut self) {
        self.has_returned = true;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let how = match self.term {
            _ if thread::panicking() => How::Panicked,
            Term::Always if self.has_returned => How::Returned,
            Term::Always | Term::Work => return,
        };
        // If the daemon is ending nobody needs to know.
        let _ = self.told.send(Gone { name: self.name, how });
    }
}

impl fmt::Display for Gone {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.how {
            How::Panicked => "has panicked, see above",
            How::Returned => "has ended by itself, which it should not",
        };
        write!(to, "the thread or task `{}` {how}", self.name)
    }
}

/// How long to wait before something that failed is tried again.
#[derive(Debug)]
pub(in crate::server) struct Backoff(Duration);

impl Backoff {
    pub(in crate::server) const fn new() -> Self {
        Self(FIRST_WAIT)
    }

    /// The next wait, longer each time.
    pub(in crate::server) fn next(&mut self) -> Duration {
        let wait = self.0;
        self.0 = (wait * 2).min(LONGEST_WAIT);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thread_or_a_task_that_panics_is_told_of_and_one_that_ends_too_soon() {
        use How::{Panicked, Returned};
        let (beside, mut gone) = Beside::new();
        beside.passing_thread("quiet", || {}).expect("a thread");
        beside.task("stopped", std::future::pending()).abort();
        beside.thread("thread", || panic!("on purpose")).expect("a thread");
        assert_eq!(gone.recv().await, Some(Gone { name: "thread", how: Panicked }));
        beside.passing_thread("passing", || panic!("on purpose")).expect("a thread");
        assert_eq!(gone.recv().await, Some(Gone { name: "passing", how: Panicked }));
        beside.task("task", async { panic!("on purpose") });
        assert_eq!(gone.recv().await, Some(Gone { name: "task", how: Panicked }));
        beside.thread("over", || {}).expect("a thread");
        assert_eq!(gone.recv().await, Some(Gone { name: "over", how: Returned }));
        beside.task("done", async {});
        assert_eq!(gone.recv().await, Some(Gone { name: "done", how: Returned }));
        for (name, ended) in [("fine", Ok(())), ("failed", Err(io::ErrorKind::Other.into()))] {
            beside.runtime(name, || std::future::ready(ended)).expect("a thread");
            assert_eq!(gone.recv().await, Some(Gone { name, how: Returned }));
        }
        drop(beside);
        assert_eq!(gone.recv().await, None);
    }

    #[test]
    fn waits_grow_up_to_a_bound() {
        let mut backoff = Backoff::new();
        let waits: Vec<Duration> = (0..9).map(|_| backoff.next()).collect();
        assert!(waits[0] == FIRST_WAIT && waits[1] == 2 * FIRST_WAIT && waits[8] == LONGEST_WAIT);
    }
}
