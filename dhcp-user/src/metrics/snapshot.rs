//! All figures at one moment: the deciding thread's, and those of kernel and drivers on its interfaces.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, timeout};

use crate::control::{Measured, No, Query, Reply, Xdp};
use crate::datapath::interfaces::losses::{Losses, losses};
use crate::datapath::program::transmission::{Counts, exceptions};
use crate::pulse::Pulse;

/// Figures up to this age serve the next request, too.
const FRESH: Duration = Duration::from_millis(250);
/// So long the deciding thread is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// All figures at one moment.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) measured: Measured,
    /// Of the interfaces that are served.
    pub(super) losses: Vec<Losses>,
    /// The drivers' counts of the program's answers, by interface.
    pub(super) drivers: Vec<(String, Counts)>,
    /// How many frames drivers lost because of it, by interface.
    pub(super) exceptions: Vec<(String, u64)>,
    pub(super) served: Served,
}

/// The counts of requests for metrics.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Served {
    pub(super) answered: u64,
    /// There were too many connections.
    pub(super) refused: u64,
    /// Not in time, or not understood.
    pub(super) broken_off: u64,
    /// The deciding thread did not answer.
    pub(super) unanswered: u64,
}

/// Where answers of the deciding thread come from.
#[derive(Debug)]
pub(super) struct Source {
    queries: mpsc::Sender<Query>,
    pulse: Arc<Pulse>,
    /// The last snapshot. Further requests wait here, so that one query is under way at a time.
    last: Mutex<Option<(Instant, Arc<Snapshot>)>>,
}

impl Source {
    pub(super) fn new(queries: mpsc::Sender<Query>, pulse: Arc<Pulse>) -> Self {
        Self { queries, pulse, last: Mutex::new(None) }
    }

    /// Returns when nobody takes queries any more.
    pub(super) async fn ended(&self) {
        self.queries.closed().await;
    }

    /// The figures of this moment, or of one just before.
    ///
    /// # Errors
    /// Why there are none, in words.
    pub(super) async fn snapshot(&self, served: Served) -> Result<Arc<Snapshot>, String> {
        let mut last = self.last.lock().await;
        if let Some((at, snapshot)) = last.as_ref()
            && at.elapsed() < FRESH
        {
            return Ok(Arc::clone(snapshot));
        }
        let measured = self.ask(Query::Measured).await?;
        let names: Vec<&str> =
            measured.status.interfaces.iter().map(|interface| interface.name.as_str()).collect();
        let mut losses = losses().unwrap_or_else(|error| {
            tracing::debug!(error = format!("{error:#}"), "what was lost of interfaces can't be read");
            Vec::new()
        });
        losses.retain(|of| names.contains(&of.interface.as_str()));
        let native = measured.status.interfaces.iter().filter(|interface| interface.xdp == Xdp::Native);
        let native = native.map(|interface| interface.name.clone());
        let drivers = native.clone().filter_map(|name| Some((Counts::of(&name).ok()?, name)));
        let drivers = drivers.map(|(counts, name)| (name, counts)).collect();
        let exceptions = native.filter_map(|name| Some((exceptions(&name).ok()?, name)));
        let exceptions = exceptions.map(|(lost, name)| (name, lost)).collect();
        let snapshot = Arc::new(Snapshot { measured, losses, drivers, exceptions, served });
        *last = Some((Instant::now(), Arc::clone(&snapshot)));
        Ok(snapshot)
    }

    /// Asks the deciding thread.
    ///
    /// # Errors
    /// Why there is no answer, in words.
    pub(super) async fn ask<T>(&self, query: impl FnOnce(Reply<T>) -> Query) -> Result<T, String> {
        let (reply, answer) = Reply::channel();
        let asked = async {
            self.queries.send(query(reply)).await.map_err(|_| "the daemon is ending".to_owned())?;
            match answer.await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(No(why))) => Err(why),
                Err(_) => Err("the daemon is ending".to_owned()),
            }
        };
        timeout(PATIENCE, asked).await.unwrap_or_else(|_| {
            Err(format!(
                "the deciding thread has not answered for {} s; it is at: {}",
                PATIENCE.as_secs(),
                self.pulse.stage().name()
            ))
        })
    }
}
