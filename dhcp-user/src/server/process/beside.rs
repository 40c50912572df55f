//! Threads and tasks beside the deciding thread: if one ends unexpectedly, the daemon ends with the reason.
//!
//! Each of them tries failed calls again, at growing intervals. What remains is a mistake of ours, a panic: then the
//! daemon ends and names the thread, instead of going on without it. The kernel answers renewals meanwhile, and the
//! service manager starts another daemon.

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

/// Starts threads and tasks, and hears of it when one panics.
#[derive(Clone, Debug)]
pub(in crate::server) struct Beside(UnboundedSender<&'static str>);

impl Beside {
    /// With where it comes out which of them has panicked.
    pub(in crate::server) fn new() -> (Self, UnboundedReceiver<&'static str>) {
        let (told, panics) = unbounded_channel();
        (Self(told), panics)
    }

    /// Starts a thread.
    ///
    /// # Errors
    /// When the process may have no more threads.
    pub(in crate::server) fn thread(
        &self,
        name: &'static str,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<()> {
        let watch = self.watch(name);
        let work = move || {
            let _watch = watch;
            if let Err(error) = privileges::give_up() {
                tracing::warn!(%error, thread = name, "rights that are not needed can't be given up");
            }
            work();
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
        let told = self.0.clone();
        // The runtime belongs to its thread: whoever calls may be inside another one, where none can be dropped.
        self.thread(name, move || {
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => {
                    let _ = begun.send(Ok(()));
                    if let Err(error) = runtime.block_on(async move { work().await }) {
                        tracing::error!("{name}: {error}");
                        // If the daemon is ending nobody needs to know.
                        let _ = told.send(name);
                    }
                }
                Err(error) => drop(begun.send(Err(error))),
            }
        })?;
        has_begun.recv()?.with_context(|| format!("starting the thread `{name}`"))
    }

    /// Starts a task.
    pub(in crate::server) fn task(
        &self,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        let watch = self.watch(name);
        let work = async move {
            let _watch = watch;
            work.await;
        };
        tokio::spawn(work).abort_handle()
    }

    fn watch(&self, name: &'static str) -> Watch {
        Watch { name, told: self.0.clone() }
    }
}

/// Tells when it is dropped by a panic.
struct Watch {
    name: &'static str,
    told: UnboundedSender<&'static str>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if thread::panicking() {
            // If the daemon is ending nobody needs to know.
            let _ = self.told.send(self.name);
        }
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
    async fn a_thread_or_a_task_that_panics_is_told_of_and_one_that_ends_is_not() {
        let (beside, mut panics) = Beside::new();
        beside.thread("quiet", || {}).expect("a thread");
        beside.task("stopped", std::future::pending()).abort();
        beside.thread("thread", || panic!("on purpose")).expect("a thread");
        assert_eq!(panics.recv().await, Some("thread"));
        beside.task("task", async { panic!("on purpose") });
        assert_eq!(panics.recv().await, Some("task"));
        drop(beside);
        assert_eq!(panics.recv().await, None);
    }

    #[test]
    fn waits_grow_up_to_a_bound() {
        let mut backoff = Backoff::new();
        let waits: Vec<Duration> = (0..9).map(|_| backoff.next()).collect();
        assert!(waits[0] == FIRST_WAIT && waits[1] == 2 * FIRST_WAIT && waits[8] == LONGEST_WAIT);
    }
}
