//! The thread that reads the log for followers: no disk holds up the control socket.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::page::{Cursor, Page, read};

/// So many questions may wait: one of each client of the control socket.
const WAITING: usize = 32;

/// Reads written events, for followers.
#[derive(Clone, Debug)]
pub struct Reader {
    asked: mpsc::Sender<Question>,
    last: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Question {
    from: Cursor,
    answer: oneshot::Sender<Result<Page, String>>,
}

impl Reader {
    /// Begins to read in a directory. `start` starts a thread; `last` is the number that was given last.
    pub(super) fn begin<E>(
        directory: PathBuf,
        last: Arc<AtomicU64>,
        start: impl FnOnce(&'static str, Box<dyn FnOnce() + Send>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let (asked, mut questions) = mpsc::channel::<Question>(WAITING);
        start(
            "event-reader",
            Box::new(move || {
                while let Some(Question { from, answer }) = questions.blocking_recv() {
                    let page = read(&directory, from);
                    let _ = answer.send(page.map_err(|error| {
                        format!("the event log in {} can't be read: {error}", directory.display())
                    }));
                }
            }),
        )?;
        Ok(Self { asked, last })
    }

    /// The number that was given last.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }

    /// The events of the log from there on.
    ///
    /// # Errors
    /// Why it can't be read, in words.
    pub async fn page(&self, from: Cursor) -> Result<Page, String> {
        let gone = || "the daemon is ending".to_owned();
        let (answer, read) = oneshot::channel();
        self.asked.send(Question { from, answer }).await.map_err(|_| gone())?;
        read.await.map_err(|_| gone())?
    }
}
