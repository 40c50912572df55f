//! A thread that reads a configuration and compiles it: the deciding thread only changes over to the result.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anyhow::Result;
use serde_json::{Map, Value};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::kept_reservations;
use crate::config::Config;
use crate::control::{Reloaded, Reply, ReservationEdit};
use crate::policy::{Interface, Policy};
use crate::probe::Prober;
use crate::reason;
use crate::server::equipment;
use crate::server::equipment::capacity::{self, Capacity};
use crate::server::process::beside::Beside;
use crate::waiting::Waiting;

/// Work that takes longer is reported as trouble. A hundred thousand reservations take a second or two.
const LATE: Duration = Duration::from_secs(20);

/// The thread, and its results. One configuration is made at a time, so the queues need no bound.
pub(in crate::server) struct Configuring {
    work: Sender<Work>,
    done: UnboundedReceiver<Done>,
    /// Since when something is under way.
    waiting: Waiting,
}

/// What the thread has done.
pub(in crate::server) enum Done {
    /// A configuration was read and made.
    Made(Result<Made>),
    /// The reservations that are kept have changed, and whoever asked for it waits until they are in force.
    Edited(Reply<Reloaded>),
}

type Successor = Box<dyn FnOnce(&Config, Vec<Interface>) -> Policy + Send>;

enum Work {
    Make { file: PathBuf, facts: Vec<Interface>, successor: Successor, present: Arc<Config> },
    Discard(Box<dyn Send>),
    List { present: Arc<Config>, reply: Reply<Vec<Map<String, Value>>> },
    Edit { file: PathBuf, present: Arc<Config>, edit: ReservationEdit, reply: Reply<Reloaded> },
}

/// A configuration that was read and compiled.
pub(in crate::server) struct Made {
    pub(in crate::server) next: Box<Next>,
    /// Without any lease yet.
    pub(in crate::server) policy: Box<Policy>,
}

/// A configuration that can be gone over to.
pub(in crate::server) struct Next {
    pub(in crate::server) config: Config,
    /// The interfaces as it was made for.
    pub(in crate::server) facts: Vec<Interface>,
    pub(in crate::server) prober: Option<Prober>,
    pub(in crate::server) ours: Vec<Ipv4Addr>,
    /// Addresses for which there must be slots, one of each block of 256.
    pub(in crate::server) leasable: Vec<Ipv4Addr>,
}

impl Configuring {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the process may have no more threads.
    pub(in crate::server) fn begin(beside: &Beside) -> Result<Self> {
        let (work, taken) = channel();
        let (given, done) = unbounded_channel();
        let waiting = Waiting::default();
        let files = waiting.clone();
        beside.thread("configuration", move || serve(&taken, &given, &files))?;
        Ok(Self { work, done, waiting })
    }

    /// Without the thread: what is to be made is left to whoever simulates.
    #[cfg(feature = "simulation")]
    pub(in crate::server) fn by_hand() -> Self {
        Self { work: channel().0, done: unbounded_channel().1, waiting: Waiting::default() }
    }

    /// Has the configuration in `file` read, for a policy that comes after the present one.
    pub(in crate::server) fn make(
        &self,
        file: &Path,
        facts: Vec<Interface>,
        policy: &Policy,
        present: &Arc<Config>,
    ) {
        let (successor, present) = (Box::new(policy.successor()), Arc::clone(present));
        // If the thread is no more the daemon is about to end.
        let _ = self.work.send(Work::Make { file: file.to_owned(), facts, successor, present });
    }

    /// The work that takes its time, in words.
    pub(in crate::server) fn trouble(&self) -> Option<String> {
        self.waiting.late(LATE).map(|waits| {
            format!(
                "the configuration has been read, or changed, for {} s: its files do not answer, or there is very much in \
                 them; the former one is in force",
                waits.as_secs()
            )
        })
    }

    /// What is done next; waits for ever when nothing is to be done.
    pub(in crate::server) async fn done(&mut self) -> Done {
        match self.done.recv().await {
            Some(done) => done,
            None => std::future::pending().await,
        }
    }

    /// Has the reservations that are kept told.
    pub(in crate::server) fn list(&self, present: &Arc<Config>, reply: Reply<Vec<Map<String, Value>>>) {
        let _ = self.work.send(Work::List { present: Arc::clone(present), reply });
    }

    /// Has the reservations that are kept changed.
    pub(in crate::server) fn edit(
        &self,
        file: &Path,
        present: &Arc<Config>,
        edit: ReservationEdit,
        reply: Reply<Reloaded>,
    ) {
        let present = Arc::clone(present);
        let _ = self.work.send(Work::Edit { file: file.to_owned(), present, edit, reply });
    }

    /// Frees what may take its time to be freed.
    pub(in crate::server) fn discard(&self, what: impl Send + 'static) {
        // If the thread is no more it is freed here.
        let _ = self.work.send(Work::Discard(Box::new(what)));
    }
}

fn serve(work: &Receiver<Work>, given: &UnboundedSender<Done>, waiting: &Waiting) {
    for work in work {
        let _under_way = (!matches!(work, Work::Discard(_))).then(|| waiting.begin());
        match work {
            Work::Make { file, facts, successor, present } => {
                if given.send(Done::Made(make(&file, facts, successor, &present))).is_err() {
                    return;
                }
            }
            Work::List { present, reply } => {
                reply.done(
                    kept_reservations::list(&present.server.state_dir).map_err(|error| reason::told(&error)),
                );
            }
            Work::Edit { file, present, edit, reply } => {
                match kept_reservations::edit(&file, &present.server.state_dir, edit) {
                    Ok(()) => drop(given.send(Done::Edited(reply.but("it is on disk, and not in force: ")))),
                    Err(error) => reply.no(reason::told(&error)),
                }
            }
            Work::Discard(what) => drop(what),
        }
    }
}

fn make(file: &Path, facts: Vec<Interface>, successor: Successor, present: &Config) -> Result<Made> {
    let config = Config::load(file)?;
    Capacity::of(&config).check_beside(&Capacity::of(present), capacity::memory_left())?;
    let policy = Box::new(successor(&config, facts.clone()));
    let prober = equipment::prober(&config, &facts)?;
    Ok(Made { next: Box::new(Next::of(config, facts, prober)), policy })
}

impl Next {
    /// What comes of a configuration, beside its policy.
    pub(in crate::server) fn of(config: Config, facts: Vec<Interface>, prober: Option<Prober>) -> Self {
        let blocks: BTreeSet<u32> =
            capacity::leasable(&config).map(|address| u32::from(address) & !0xff).collect();
        Self {
            prober,
            ours: equipment::ours(&config, &facts).into_iter().collect(),
            leasable: blocks.into_iter().map(Ipv4Addr::from).collect(),
            config,
            facts,
        }
    }
}
