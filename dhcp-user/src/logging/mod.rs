//! The log: lines on standard error. They hold up no thread, end no process, and are counted if they can't be
//! written.
//!
//! Code that logs puts a line into a bounded queue, and goes on. A thread of its own writes; only that one ever waits
//! for a pipe that nobody reads, or fails on a full disk. `docs/log.md` describes the log for operators.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod format;
mod layer;
mod queue;
mod seldom;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::env::VarError;
use std::fmt::Display;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use format::{Datagrams, Form, Weight};
pub use format::{LogFormat, NOTICE, has_colours};
use layer::Written;
use queue::{Line, Queue};
pub use seldom::Seldom;

/// The variable that replaces the default level.
const VARIABLE: &str = "RUST_LOG";
/// How long the last lines may take to be written when the process ends.
const LAST_LINES: Duration = Duration::from_secs(1);

/// There is one standard error, so there is one log.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// The log of a process that serves, for as long as it is held: then the last lines have a second to be written.
#[derive(Debug)]
pub struct Log {
    queue: &'static Queue,
    form: Form,
}

impl Log {
    /// Starts to log at `level`, or as `RUST_LOG` says, panics included.
    ///
    /// # Errors
    /// When `RUST_LOG` can't be understood, there can be no thread, or the process has a log already.
    pub fn start(level: &str, format: LogFormat) -> Result<Self> {
        let filter = filter(level)?;
        let form = Form::of(format);
        let queue = match form {
            Form::Journal => Queue::before(Datagrams::to_the_journal()?, form),
            _ => {
                let to = io::stderr().as_fd().try_clone_to_owned();
                Queue::before(File::from(to.context("standard error can't be used")?), form)
            }
        };
        let queue = queue.context("the thread that writes the log can't be started")?;
        QUEUE.set(queue).map_err(|_| anyhow!("there is a log already"))?;
        let queue = QUEUE.get().context("there is no log")?;
        let set_up = match form {
            // What the subscriber itself has to say it would print past the queue, and fail if it can't.
            Form::Text { colours } => tracing_subscriber::fmt()
                // The filter decides.
                .with_max_level(LevelFilter::TRACE)
                .with_writer(move || Line(queue))
                .with_target(false)
                .log_internal_errors(false)
                .with_ansi(colours)
                .finish()
                .with(filter)
                .try_init(),
            Form::Prefixed | Form::Json | Form::Journal => {
                tracing_subscriber::registry().with(Written { queue, form }.with_filter(filter)).try_init()
            }
        };
        set_up.map_err(|error| anyhow!("the log can't be set up: {error}"))?;
        std::panic::set_hook(Box::new(move |panic| tell(queue, form, panic)));
        Ok(Self { queue, form })
    }

    /// Says something as it is, without time or level.
    pub fn say(&self, what: impl Display) {
        self.queue.put(self.form.plain(&what.to_string()));
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.queue.flush(LAST_LINES);
    }
}

/// How many lines could not be written, so far.
#[must_use]
pub fn lines_dropped() -> u64 {
    QUEUE.get().map_or(0, Queue::dropped)
}

fn filter(level: &str) -> Result<Targets> {
    match std::env::var(VARIABLE) {
        Ok(wanted) if !wanted.is_empty() => targets(&wanted).with_context(|| {
            format!(
                "{VARIABLE} is \"{wanted}\": write a level (error, warn, info, debug, trace), or unset it"
            )
        }),
        Ok(_) | Err(VarError::NotPresent) => level.parse().context("the log has no such level"),
        Err(error @ VarError::NotUnicode(_)) => Err(error).context(VARIABLE),
    }
}

/// Levels by target, separated by commas. A target or a level that is empty is a slip, though the library takes it for all.
fn targets(wanted: &str) -> Result<Targets> {
    if wanted.split([',', '=']).any(str::is_empty) {
        bail!("a target or a level is empty");
    }
    for word in wanted.split(',') {
        let level = word.split_once('=').map_or(word, |(_, level)| level);
        if level.parse::<LevelFilter>().is_err() {
            // The library takes a word that is no level for a target, of which it shows all, and nothing of all others.
            bail!("\"{level}\" is no level");
        }
    }
    Ok(wanted.parse()?)
}

/// Puts a panic into the log, and gives it a moment: the process may be about to end.
fn tell(queue: &Queue, form: Form, panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("without a name");
    let backtrace = Backtrace::capture();
    let backtrace = match backtrace.status() {
        BacktraceStatus::Captured => format!("\n{backtrace}"),
        _ => String::new(),
    };
    queue.put(form.line(Weight::Error, &format!("thread {name}: {panic}{backtrace}")));
    if name != queue::THREAD {
        queue.flush(LAST_LINES);
    }
}
