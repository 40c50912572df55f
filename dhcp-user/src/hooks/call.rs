//! The messages between the daemon and the runner: a line of JSON each. The first line to the runner is a list of all
//! hooks.

use serde::{Deserialize, Serialize};

use crate::config;
use crate::events::EventRecord;

/// A hook, as the runner knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Program {
    pub(super) command: Vec<String>,
    /// In seconds.
    pub(super) timeout: u32,
    pub(super) at_once: usize,
    pub(super) queue: usize,
}

impl From<&config::Hook> for Program {
    fn from(hook: &config::Hook) -> Self {
        Self {
            command: hook.command.clone(),
            timeout: hook.timeout,
            at_once: hook.at_once.get(),
            queue: hook.queue.get(),
        }
    }
}

/// These hooks are to be run for this event.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Call {
    pub(super) hooks: Vec<usize>,
    pub(super) event: EventRecord,
}

/// A line from the process that runs programs, and from the one that keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum FromRunner {
    /// A program was run.
    Ran(Report),
    /// The process that runs programs has ended; another is started in so many seconds.
    Ended { how: String, again_in: u64 },
    /// Another is started.
    Begun,
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) hook: usize,
    pub(super) became: CallOutcome,
    /// How many events found no room in its queue since the last report.
    pub(super) dropped: u64,
    /// How many processes it had left behind, which were ended.
    pub(super) left_behind: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum CallOutcome {
    /// It ended with exit status 0.
    Done,
    /// It ended otherwise: how, and its last words on standard error.
    Failed(String),
    /// It was ended after its time.
    TimedOut(String),
    /// There is no such program, or no process can be started.
    NotStarted(String),
}
