//! The process that runs the programs: a queue for each hook, and threads that take from it.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, Write as _};
use std::mem::take;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::prctl::set_child_subreaper;

use super::call::{Call, FromRunner, Program, Report};
use super::program::{self, Running};

/// How long programs have to end when the daemon has.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(10);

/// Events that wait for a hook.
#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Vec<u8>>,
    dropped: u64,
}

/// Where in the daemon's words it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// At the beginning of a line.
    AtALine,
    /// Where another process has left off: perhaps in a line.
    Anywhere,
}

/// Runs programs as the daemon says on standard input, and says on standard output what became of them, until the daemon
/// has ended.
///
/// # Errors
/// When there are no threads to be had, or what the daemon says is not understood.
pub(super) fn run(programs: &[Program], begin: Begin) -> io::Result<()> {
    // What programs leave behind comes to this process, which ends it.
    set_child_subreaper(true)?;
    let running = Arc::new(Running::default());
    let mut queues = Vec::new();
    for (hook, program) in programs.iter().enumerate() {
        let queue = Arc::new(Queue::default());
        queues.push((program.queue, Arc::clone(&queue)));
        for _ in 0..program.at_once {
            let (program, queue, running) = (program.clone(), Arc::clone(&queue), Arc::clone(&running));
            thread::Builder::new()
                .name(format!("hook-{hook}"))
                .spawn(move || serve(hook, &program, &queue, &running))?;
        }
    }
    let mut may_be_cut = begin == Begin::Anywhere;
    for line in io::stdin().lock().lines() {
        let Call { hooks, event } = match serde_json::from_str(&line?) {
            Err(_) if may_be_cut => {
                may_be_cut = false;
                continue;
            }
            call => call?,
        };
        may_be_cut = false;
        let mut event = serde_json::to_vec(&event)?;
        event.push(b'\n');
        for (room, queue) in hooks.iter().filter_map(|hook| queues.get(*hook)) {
            queue.put(&event, *room);
        }
    }
    queues.iter().for_each(|(_, queue)| queue.clear());
    let until = Instant::now() + PATIENCE;
    while !running.is_empty() && Instant::now() < until {
        thread::sleep(LOOK);
    }
    running.kill();
    Ok(())
}

impl Queue {
    fn put(&self, event: &[u8], room: usize) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.events.len() >= room {
            waiting.dropped = waiting.dropped.saturating_add(1);
        } else {
            waiting.events.push_back(event.to_owned());
            self.more.notify_one();
        }
    }

    fn next(&self) -> Vec<u8> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(event) = waiting.events.pop_front() {
                return event;
            }
            waiting = self.more.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn dropped(&self) -> u64 {
        take(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner).dropped)
    }

    fn clear(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).events.clear();
    }
}

/// Runs a hook's program for one event after another, as long as somebody wants to know.
fn serve(hook: usize, program: &Program, queue: &Queue, running: &Running) {
    loop {
        let event = queue.next();
        let (became, left_behind) = program::run(program, &event, running);
        let report = Report { hook, became, dropped: queue.dropped(), left_behind };
        let Ok(mut line) = serde_json::to_vec(&FromRunner::Ran(report)) else { return };
        line.push(b'\n');
        let mut out = io::stdout().lock();
        if out.write_all(&line).and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}
