//! Watches the deciding thread: logs when it stands still and at which step, and ends the process if that lasts.
//!
//! A daemon that decides nothing is worse than none: it holds the rings, the store and the control socket. The kernel
//! answers renewals up to the horizon meanwhile, and the service manager may start another daemon. A slow disk is no
//! such reason: the deciding thread does not wait for it.

use std::process::abort;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::beside::Beside;
use crate::pulse::Pulse;

/// How often it looks.
const LOOK: Duration = Duration::from_millis(500);
/// A thread without a beat for so long is reported.
const LATE: Duration = Duration::from_secs(2);
/// Without a beat for so long, the process ends.
const TOO_LATE: Duration = Duration::from_secs(30);
/// The last line has so long to reach the log.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Begins to watch.
///
/// # Errors
/// When there can be no thread.
pub(in crate::server) fn watch(beside: &Beside, pulse: Arc<Pulse>) -> Result<()> {
    beside.thread("watchdog", move || {
        let mut patience = Patience::default();
        loop {
            let slept = Instant::now();
            sleep(LOOK);
            let verdict = patience.look(pulse.beats(), slept.elapsed());
            pulse.set_late(patience.late);
            let (at, seconds) = (pulse.stage().name(), patience.late.as_secs());
            match verdict {
                Verdict::Fine => {}
                Verdict::Late => tracing::error!(at, seconds, "the thread that decides stands still"),
                Verdict::Back => tracing::warn!("the thread that decides goes on"),
                Verdict::TooLate => {
                    tracing::error!(
                        at,
                        seconds,
                        "the thread that decides stands still for good: the daemon ends; the kernel goes on answering \
                         renewals up to the horizon"
                    );
                    sleep(LAST_WORDS);
                    // Whatever it waits for, an orderly end would wait for as well.
                    abort();
                }
            }
        }
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    /// It is late since just now.
    Late,
    /// It was late, and is no more.
    Back,
    TooLate,
}

/// How long the last beat was ago, by this thread's own looks: a process that is stopped, or a machine that sleeps, stops
/// both threads.
#[derive(Debug, Default)]
struct Patience {
    beats: Option<u64>,
    late: Duration,
    told: bool,
}

impl Patience {
    fn look(&mut self, beats: Option<u64>, slept: Duration) -> Verdict {
        if beats.is_none() || beats != self.beats {
            (self.beats, self.late) = (beats, Duration::ZERO);
            return if std::mem::take(&mut self.told) { Verdict::Back } else { Verdict::Fine };
        }
        self.late += slept.min(2 * LOOK);
        match self.late {
            late if late >= TOO_LATE => Verdict::TooLate,
            late if late >= LATE && !std::mem::replace(&mut self.told, true) => Verdict::Late,
            _ => Verdict::Fine,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_of_once_and_ended_when_it_lasts() {
        let mut patience = Patience::default();
        assert_eq!(patience.look(Some(1), LOOK), Verdict::Fine);
        let looks: Vec<Verdict> = (0..60).map(|_| patience.look(Some(1), LOOK)).collect();
        assert_eq!(looks.iter().filter(|verdict| **verdict == Verdict::Late).count(), 1);
        assert_eq!((looks[3], looks[58], looks[59]), (Verdict::Late, Verdict::Fine, Verdict::TooLate));
        assert_eq!(patience.look(Some(2), LOOK), Verdict::Back);
        assert_eq!((patience.look(Some(3), LOOK), patience.late), (Verdict::Fine, Duration::ZERO));
    }

    #[test]
    fn a_process_that_was_stopped_is_not_late() {
        let mut patience = Patience::default();
        patience.look(Some(1), LOOK);
        assert_eq!(patience.look(Some(1), Duration::from_secs(3600)), Verdict::Fine);
        assert_eq!(patience.look(Some(2), LOOK), Verdict::Fine);
    }

    #[test]
    fn nobody_is_late_at_the_start_and_at_the_end() {
        let mut patience = Patience::default();
        assert!((0..1000).all(|_| patience.look(None, LOOK) == Verdict::Fine));
    }
}
