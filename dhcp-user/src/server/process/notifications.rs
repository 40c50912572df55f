//! Notifications to the service manager, which may not read them: a thread of its own sends them.
//!
//! The waiting notifications are bounded: steps (ready, reloading, stopping) in order, only the last line of status,
//! only one sign of life. So a manager that listens again gets the present state first, not an outdated one.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use crate::again::after_panics;

/// How many steps may wait. Where there are more the oldest is left out: the last ones say how things are.
const STEPS: usize = 16;
/// A sign of life that could not be sent for so long says nothing any more, and isn't.
const FRESH: Duration = Duration::from_secs(1);

/// Where notifications are put.
pub(in crate::server) struct Notifications(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    /// Something was put, or sent.
    changed: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    steps: VecDeque<String>,
    status: Option<String>,
    alive: Option<Instant>,
    /// Something is being sent.
    sending: bool,
}

impl Waiting {
    /// The notification to send next; old signs of life are dropped.
    fn next(&mut self, now: Instant) -> Option<String> {
        let alive = self.alive.take_if(|_| self.steps.is_empty() && self.status.is_none());
        let alive = alive.filter(|since| now.saturating_duration_since(*since) < FRESH);
        let said = self.steps.pop_front().or_else(|| self.status.take());
        said.or_else(|| alive.map(|_| lines(&[NotifyState::Watchdog])))
    }

    fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.status.is_none() && self.alive.is_none()
    }
}

impl Notifications {
    /// Notifications that are sent by `send`, in a thread of its own.
    pub(in crate::server) fn before(
        send: impl Fn(&str) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            changed: Condvar::new(),
            dropped: AtomicU64::new(0),
        });
        let sending = Arc::clone(&shared);
        thread::Builder::new().name("notify".to_owned()).spawn(move || {
            // What can't be given up is told of by the threads that do more.
            let _ = crate::privileges::give_up();
            after_panics(|| sending.send_all(&send));
        })?;
        Ok(Self(shared))
    }

    /// The daemon has reached a step: sends its states.
    pub(in crate::server) fn step(&self, states: &[NotifyState<'_>]) {
        let mut waiting = self.0.waiting();
        if waiting.steps.len() == STEPS {
            waiting.steps.pop_front();
            self.0.dropped.fetch_add(1, Relaxed);
        }
        waiting.steps.push_back(lines(states));
        // Each step has a line of its own.
        waiting.status = None;
        self.0.changed.notify_all();
    }

    /// The daemon's present status.
    pub(in crate::server) fn status(&self, status: &str) {
        self.0.waiting().status = Some(lines(&[NotifyState::Status(status)]));
        self.0.changed.notify_all();
    }

    /// The caller is alive.
    pub(in crate::server) fn alive(&self) {
        self.0.waiting().alive = Some(Instant::now());
        self.0.changed.notify_all();
    }

    /// Waits until all is sent, at most for so long.
    pub(in crate::server) fn flush(&self, within: Duration) {
        let unsent = |waiting: &mut Waiting| waiting.sending || !waiting.is_empty();
        // All that there was to do is done: the daemon ends in any case.
        drop(self.0.changed.wait_timeout_while(self.0.waiting(), within, unsent));
    }

    /// How many notifications were left out or refused.
    pub(in crate::server) fn dropped(&self) -> u64 {
        self.0.dropped.load(Relaxed)
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send_all(&self, send: &impl Fn(&str) -> io::Result<()>) {
        let mut waiting = self.waiting();
        if std::mem::take(&mut waiting.sending) {
            // The one that was being sent at a panic.
            self.dropped.fetch_add(1, Relaxed);
        }
        loop {
            match waiting.next(Instant::now()) {
                Some(next) => {
                    waiting.sending = true;
                    drop(waiting);
                    if let Err(error) = send(&next) {
                        self.dropped.fetch_add(1, Relaxed);
                        tracing::debug!(%error, "the service manager can't be told");
                    }
                    waiting = self.waiting();
                    waiting.sending = false;
                    self.changed.notify_all();
                }
                None => waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

fn lines(states: &[NotifyState<'_>]) -> String {
    states.iter().map(|state| format!("{state}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, sync_channel};

    const SOON: Duration = Duration::from_secs(10);

    /// A manager that takes one notification, and the next only when the test has taken that.
    fn manager() -> (Notifications, Receiver<String>) {
        let (to, told) = sync_channel(0);
        let send = move |lines: &str| to.send(lines.to_owned()).map_err(|_| io::ErrorKind::BrokenPipe.into());
        (Notifications::before(send).expect("a thread"), told)
    }

    #[test]
    fn who_listens_late_hears_every_step_in_order_and_the_last_status() {
        let (notifications, told) = manager();
        notifications.step(&[NotifyState::Ready, NotifyState::Status("serving")]);
        notifications.status("serving eth0");
        notifications.step(&[NotifyState::Reloading]);
        notifications.step(&[NotifyState::Ready]);
        (0..100).for_each(|n| notifications.status(&n.to_string()));
        let heard: Vec<String> = (0..4).map(|_| told.recv_timeout(SOON).expect("told")).collect();
        assert_eq!(heard, ["READY=1\nSTATUS=serving\n", "RELOADING=1\n", "READY=1\n", "STATUS=99\n"]);
        assert_eq!(notifications.dropped(), 0);
    }

    #[test]
    fn old_steps_give_way_and_are_counted() {
        let (notifications, told) = manager();
        // One is on its way to the manager, who doesn't take it.
        notifications.status("first");
        let all = 3 * STEPS;
        (0..all).for_each(|n| notifications.step(&[NotifyState::Status(&n.to_string())]));
        let dropped = usize::try_from(notifications.dropped()).expect("few");
        assert!((all - STEPS - 1..=all - STEPS).contains(&dropped), "{dropped}");
        let last = std::iter::from_fn(|| told.recv_timeout(SOON).ok()).find(|told| told.contains("=47"));
        assert!(last.is_some());
    }

    #[test]
    fn a_panic_costs_one_notification_and_the_next_ones_are_sent() {
        let (to, told) = sync_channel(STEPS);
        let send = move |lines: &str| {
            assert_ne!(lines, "STATUS=fatal\n", "on purpose");
            to.send(lines.to_owned()).map_err(|_| io::ErrorKind::BrokenPipe.into())
        };
        let notifications = Notifications::before(send).expect("a thread");
        notifications.step(&[NotifyState::Status("fatal")]);
        notifications.step(&[NotifyState::Ready]);
        assert_eq!(told.recv_timeout(SOON).expect("told"), "READY=1\n");
        assert_eq!(notifications.dropped(), 1);
    }

    #[test]
    fn a_sign_of_life_gets_old() {
        let begun = Instant::now();
        let mut waiting = Waiting { alive: Some(begun), ..Waiting::default() };
        assert_eq!(waiting.next(begun).as_deref(), Some("WATCHDOG=1\n"));
        assert_eq!(waiting.next(begun), None, "each is sent once");
        waiting.alive = Some(begun);
        assert_eq!(waiting.next(begun + FRESH), None);
        waiting.alive = Some(begun);
        waiting.status = Some("STATUS=\n".to_owned());
        assert_eq!(waiting.next(begun).as_deref(), Some("STATUS=\n"));
        assert_eq!(waiting.next(begun).as_deref(), Some("WATCHDOG=1\n"), "and none is lost to a status");
    }
}
