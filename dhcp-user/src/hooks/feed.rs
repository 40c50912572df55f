//! The daemon's end: hands events to the runner, and counts the results.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::call::{Call, CallOutcome, FromRunner, Program, Report};
use crate::config;
use crate::events::EventRecord;
use crate::waiting::Waiting;

/// How often failures of a hook are logged.
const PAUSE: Duration = Duration::from_secs(60);
/// How long the end of the daemon waits for the runner.
const PATIENCE: Duration = Duration::from_secs(3);
/// A runner that takes longer to take an event is reported as trouble.
const LATE: Duration = Duration::from_secs(5);

/// The process that runs programs, before it gets events.
#[derive(Debug)]
pub struct Runner {
    process: Child,
    to: ChildStdin,
    from: ChildStdout,
    hooks: Vec<config::Hook>,
}

/// Hooks, as the daemon sees them.
#[derive(Debug)]
pub struct Hooks {
    shared: Arc<Mutex<Shared>>,
    /// Since when an event has been handed to the runner.
    handing: Waiting,
    ended: Receiver<()>,
}

/// The results of a hook's runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HookCounts {
    /// Its program.
    pub program: String,
    /// Runs that ended with exit status 0.
    pub done: u64,
    /// Runs that ended otherwise.
    pub failed: u64,
    /// Runs that were ended after `timeout`.
    pub timed_out: u64,
    /// Runs that could not be started.
    pub not_started: u64,
    /// Events that found no room in its queue.
    pub dropped: u64,
    /// Events of any kind that came faster than they could be handed on.
    pub missed: u64,
    /// Processes that its runs had left behind, and that were ended.
    pub left_behind: u64,
}

#[derive(Debug, Default)]
struct Shared {
    hooks: Vec<State>,
    /// The daemon is about to end.
    is_ending: bool,
    gone: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    counts: HookCounts,
    /// How its last run failed, if it has.
    failing: Option<String>,
    told: Option<Instant>,
    /// How many failures were not logged.
    untold: u64,
}

impl Runner {
    /// Starts it, if there is any hook. The process may not have given up that it can.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(hooks: &[config::Hook]) -> io::Result<Option<Self>> {
        if hooks.is_empty() {
            return Ok(None);
        }
        let mut command = Command::new("/proc/self/exe");
        command.arg0("xdhcpd").arg("hook-runner").env_clear().process_group(0).current_dir("/");
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(mut to), Some(from)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let programs: Vec<Program> = hooks.iter().map(Program::from).collect();
        put(&mut to, &programs)?;
        Ok(Some(Self { process, to, from, hooks: hooks.to_vec() }))
    }

    /// Begins to hand it events. `start` starts a thread.
    ///
    /// # Errors
    /// When there are no threads to be had.
    pub fn feed<E>(
        self,
        events: broadcast::Receiver<EventRecord>,
        start: impl Fn(&'static str, Box<dyn FnOnce() + Send>) -> Result<(), E>,
    ) -> Result<Hooks, E> {
        let Self { process, to, from, hooks } = self;
        let state = |hook: &config::Hook| {
            let program = hook.command.first().cloned().unwrap_or_default();
            State { counts: HookCounts { program, ..HookCounts::default() }, ..State::default() }
        };
        let shared = Shared { hooks: hooks.iter().map(state).collect(), ..Shared::default() };
        let shared = Arc::new(Mutex::new(shared));
        let (end, ended) = channel();
        let counted = Arc::clone(&shared);
        let handing = Waiting::default();
        let hands = handing.clone();
        start("hooks", Box::new(move || hand_over(&hooks, events, to, &counted, &hands)))?;
        let told = Arc::clone(&shared);
        start(
            "hook-reports",
            Box::new(move || {
                listen(process, from, &told);
                let _ = end.send(());
            }),
        )?;
        Ok(Hooks { shared, handing, ended })
    }
}

impl Hooks {
    /// The results of each hook's runs.
    #[must_use]
    pub fn counts(&self) -> Vec<HookCounts> {
        locked(&self.shared).hooks.iter().map(|hook| hook.counts.clone()).collect()
    }

    /// Trouble for the operator, in words.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let shared = locked(&self.shared);
        let failing = shared.hooks.iter().filter_map(|hook| {
            let why = hook.failing.as_ref()?;
            Some(format!("the hook {} fails: {why}", hook.counts.program))
        });
        let late = self.handing.late(LATE).map(|waits| {
            format!("the process that runs hooks has taken no event for {} s: events wait", waits.as_secs())
        });
        let all: Vec<String> = shared.gone.clone().into_iter().chain(late).chain(failing).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// The end begins: no more events come.
    pub fn finish(self) {
        locked(&self.shared).is_ending = true;
        if self.ended.recv_timeout(PATIENCE).is_err() {
            tracing::warn!("the process that runs hooks takes its time to end");
        }
    }

    /// The end is near: that the runner ends is no fault from here on.
    pub fn about_to_finish(&self) {
        locked(&self.shared).is_ending = true;
    }
}

fn locked(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn put(to: &mut ChildStdin, what: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    to.write_all(&line)
}

/// Hands over events until there are no more, or nobody takes them.
fn hand_over(
    hooks: &[config::Hook],
    mut events: broadcast::Receiver<EventRecord>,
    mut to: ChildStdin,
    shared: &Mutex<Shared>,
    handing: &Waiting,
) {
    loop {
        match events.blocking_recv() {
            Ok(event) => {
                let _handing = handing.begin();
                let wants = |hook: &config::Hook| hook.events.iter().any(|kind| *kind == event.what);
                let wanting: Vec<usize> = hooks
                    .iter()
                    .enumerate()
                    .filter(|(_, hook)| wants(hook))
                    .map(|(index, _)| index)
                    .collect();
                if !wanting.is_empty() && put(&mut to, &Call { hooks: wanting, event }).is_err() {
                    return;
                }
            }
            Err(RecvError::Lagged(missed)) => {
                for hook in &mut locked(shared).hooks {
                    hook.counts.missed = hook.counts.missed.saturating_add(missed);
                }
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// Counts what becomes of runs, until the runner has ended.
fn listen(mut process: Child, from: ChildStdout, shared: &Mutex<Shared>) {
    for line in BufReader::new(from).lines() {
        let Ok(line) = line else { break };
        // An end that was cut off is none.
        let Ok(line) = serde_json::from_str(&line) else { continue };
        locked(shared).hears(line);
    }
    let status = process.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
    let mut shared = locked(shared);
    if !shared.is_ending {
        let why = format!(
            "the processes that run hooks have ended ({status}): none is run until the daemon is started anew"
        );
        tracing::error!("{why}");
        shared.gone = Some(why);
    }
}

impl Shared {
    fn hears(&mut self, line: FromRunner) {
        match line {
            FromRunner::Ran(report) => {
                if let Some(hook) = self.hooks.get_mut(report.hook) {
                    hook.became(&report);
                }
            }
            FromRunner::Ended { how, again_in } => {
                let why = format!(
                    "the process that runs hooks has ended ({how}): the events that waited in it are lost, and it is started again in {again_in} s"
                );
                tracing::error!("{why}");
                self.gone = Some(why);
            }
            FromRunner::Begun => {
                tracing::info!("hooks are run again");
                self.gone = None;
            }
        }
    }
}

impl State {
    fn became(&mut self, report: &Report) {
        let (count, why) = match &report.became {
            CallOutcome::Done => (&mut self.counts.done, None),
            CallOutcome::Failed(why) => (&mut self.counts.failed, Some(why)),
            CallOutcome::TimedOut(why) => (&mut self.counts.timed_out, Some(why)),
            CallOutcome::NotStarted(why) => (&mut self.counts.not_started, Some(why)),
        };
        *count = count.saturating_add(1);
        self.counts.dropped = self.counts.dropped.saturating_add(report.dropped);
        self.counts.left_behind = self.counts.left_behind.saturating_add(report.left_behind);
        self.failing = why.cloned();
        let Some(why) = why.cloned().or_else(|| dropped(report)) else { return };
        if self.told.is_some_and(|told| told.elapsed() < PAUSE) {
            self.untold = self.untold.saturating_add(1);
            return;
        }
        self.told = Some(Instant::now());
        let others = std::mem::take(&mut self.untold);
        tracing::warn!(program = self.counts.program, others, "a hook failed: {why}");
    }
}

fn dropped(report: &Report) -> Option<String> {
    (report.dropped > 0).then(|| format!("{} events found no room in its queue", report.dropped))
}
