//! Streams of requests that flow while something else is done.

use anyhow::{Context, Result, bail, ensure};
use load_ebpf::lane::{
    BITS, CHAIN, FIRST, FRAME, IN_ORDER, LANES, Lane, POSITION, RETRY, SPAN, TIMED, TURN_CELLS, TURN_END,
    TURN_FIRST, TURN_NEXT,
};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::sender::Sender;
use super::template::bits;
use super::{Count, Counts, LOOK, Load, Pace, Report, Stream, Target};

/// Without any answer for so long, no more is expected.
const QUIET: Duration = Duration::from_millis(300);
/// So many requests a second one CPU sends beside what else it does for them; more are shared among several. What is
/// answered costs it more than what is not.
const OF_ONE_CPU: f64 = 1.5e6;
const NEWCOMERS_OF_ONE_CPU: f64 = 2.2e6;

/// Ends the sending when dropped, so that it ends if what was done meanwhile panics.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What happens once a client that looked for a lease has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The next one begins, at once.
    NextBegins,
    /// Nothing. Who finds none begins anew after this time, if at all.
    Rest(Option<Duration>),
}

impl Then {
    fn retry(self) -> u64 {
        match self {
            Self::Rest(Some(after)) => u64::try_from(after.as_nanos()).unwrap_or(u64::MAX).max(1),
            Self::Rest(None) | Self::NextBegins => 0,
        }
    }
}

impl Load<'_> {
    /// Lets clients 0 to `clients` extend their leases for a while.
    ///
    /// # Errors
    /// When the kernel refuses, or a reply was wrong.
    pub fn renew(&self, clients: u32, pace: Pace, time: Duration) -> Result<Report> {
        self.renew_while(clients, pace, || thread::sleep(time)).map(|(report, ())| report)
    }

    /// The same frames, to the reflector.
    ///
    /// # Errors
    /// As [`renew`](Self::renew), and without a reflector.
    pub fn reflect(&self, clients: u32, pace: Pace, time: Duration) -> Result<Report> {
        let stream = Stream { target: Target::Reflector, ..Stream::renewals(clients, pace) };
        self.run(&[stream], || thread::sleep(time)).map(|(report, ())| report)
    }

    /// As [`renew`](Self::renew), for as long as `work` takes.
    ///
    /// # Errors
    /// As [`renew`](Self::renew).
    pub fn renew_while<T>(&self, clients: u32, pace: Pace, work: impl FnOnce() -> T) -> Result<(Report, T)> {
        self.run(&[Stream::renewals(clients, pace)], work)
    }

    /// Sends streams of requests while `work` is done, then waits for the last answers.
    ///
    /// # Errors
    /// When the kernel refuses, or a reply was wrong.
    pub fn run<T>(&self, streams: &[Stream], work: impl FnOnce() -> T) -> Result<(Report, T)> {
        for stream in streams {
            self.direct(
                stream.lane,
                &stream.clients,
                stream.turn,
                stream.again_after,
                self.cpus_for(stream.lane, stream.pace),
            )?;
            self.lane_cell(stream.lane, TIMED).store(stream.timed.into(), Ordering::Release);
        }
        let senders: Vec<(Sender<'_>, _)> = streams
            .iter()
            .map(|stream| {
                Ok((self.sender(stream.lane, stream.target)?, self.shares(stream.lane, stream.pace)))
            })
            .collect::<Result<_>>()?;
        let stop = AtomicBool::new(false);
        let before = self.moment()?;
        let began = Instant::now();
        let (elapsed, busy, in_time, work) = thread::scope(|scope| -> Result<_> {
            let end = End(&stop);
            let mut threads = Vec::new();
            for (sender, shares) in senders {
                for (cpu, pace) in shares {
                    let stop = &stop;
                    threads.push(scope.spawn(move || sender.run(cpu, pace, stop)));
                }
            }
            let done = work();
            let (elapsed, in_time) = (began.elapsed(), self.counts());
            drop(end);
            let mut busy = Duration::ZERO;
            for thread in threads {
                busy += thread.join().map_err(|_| anyhow::anyhow!("a sending thread panicked"))??;
            }
            Ok((elapsed, busy, in_time, done))
        })?;
        self.settle(&before.counts);
        let report = Report { busy, ..self.since(before, elapsed, Some(in_time))? };
        Ok((report.right()?, work))
    }

    /// Says whose requests a lane is to send.
    pub(super) fn direct(
        &self,
        lane: Lane,
        clients: &Range<u32>,
        turn: u32,
        again_after: Option<Duration>,
        cpus: &[usize],
    ) -> Result<()> {
        match lane {
            Lane::Discover => self.share(clients, turn, Then::Rest(again_after)),
            Lane::Select => bail!("what answers an OFFER is sent when there is one"),
            _ => self.divide(lane, clients, cpus),
        }
    }

    /// The CPUs that send at this pace: no more than it takes, so that a server on the same machine has others to itself, as it
    /// has where frames come from a NIC with few queues.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some CPUs")]
    fn cpus_for(&self, lane: Lane, pace: Pace) -> &[usize] {
        let all = self.cpus.len();
        let of_one = if lane == Lane::Discover { NEWCOMERS_OF_ONE_CPU } else { OF_ONE_CPU };
        let few = match pace {
            Pace::Full | Pace::Single => all,
            Pace::Rate(rate) => ((rate / of_one).ceil() as usize).clamp(1, all),
        };
        &self.cpus[all - few..]
    }

    /// Each CPU that sends with its part of the pace.
    fn shares(&self, lane: Lane, pace: Pace) -> Vec<(usize, Pace)> {
        let cpus = self.cpus_for(lane, pace);
        let part = match pace {
            Pace::Full | Pace::Single => pace,
            Pace::Rate(rate) => Pace::Rate(rate / cpus.len() as f64),
        };
        cpus.iter().map(|cpu| (*cpu, part)).collect()
    }

    /// All CPUs take from the same clients: in shuffled order those who get a lease one after the other, so that neighbours
    /// in number have none at neighbouring addresses; else in the order of their numbers, which costs least.
    pub(super) fn share(&self, clients: &Range<u32>, turn: u32, then: Then) -> Result<()> {
        ensure!(clients.end <= self.crowd.clients, "{clients:?} of {} clients", self.crowd.clients);
        ensure!(clients.contains(&turn), "{turn} is none of {clients:?}");
        let span = clients.end - clients.start;
        let settings = [
            (FIRST, clients.start.into()),
            (SPAN, span.into()),
            (BITS, if then == Then::NextBegins { bits(span)? } else { IN_ORDER.into() }),
            (CHAIN, (then == Then::NextBegins).into()),
            (RETRY, then.retry()),
            (POSITION, (turn - clients.start).into()),
        ];
        for (cell, value) in settings {
            self.lane_cell(Lane::Discover, cell).store(value, Ordering::Release);
        }
        Ok(())
    }

    /// Whose turn it is next of clients that look for a lease.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the number of a client")]
    pub fn turn(&self) -> u32 {
        let cell = |cell| self.lane_cell(Lane::Discover, cell).load(Ordering::Acquire);
        (cell(FIRST) + cell(POSITION) % cell(SPAN).max(1)) as u32
    }

    /// Each of some CPUs has clients of its own.
    fn divide(&self, lane: Lane, clients: &Range<u32>, cpus: &[usize]) -> Result<()> {
        ensure!(clients.end <= self.crowd.clients, "{clients:?} of {} clients", self.crowd.clients);
        for (cpu, part) in parts(clients, cpus) {
            let mut cells = [0; TURN_CELLS];
            (cells[TURN_FIRST], cells[TURN_END]) = (part.start.into(), part.end.into());
            cells[TURN_NEXT] = cells[TURN_FIRST];
            self.object.turns.write((cpu * LANES + lane as usize) * TURN_CELLS, &cells);
        }
        Ok(())
    }

    pub(super) fn sender(&self, lane: Lane, target: Target) -> Result<Sender<'_>> {
        let ifindex = match target {
            Target::Server => self.to_server,
            Target::Reflector => self.reflector.as_ref().context("there is no reflector")?.ifindex,
        };
        Ok(Sender {
            namespace: self.end.namespace,
            program: self.object.program(lane.program())?,
            ifindex,
            len: FRAME + self.link_header() - 14,
        })
    }

    /// Waits until every request is answered, or nothing has come for a while.
    fn settle(&self, before: &Counts) {
        let mut seen = self.counts();
        let mut quiet_since = Instant::now();
        loop {
            let now = self.counts();
            let run = now.clone() - before;
            if run.answered() + run.stray() + run.of(Count::Unsent) >= run.sent()
                || quiet_since.elapsed() > QUIET
            {
                return;
            }
            if now != seen {
                (seen, quiet_since) = (now, Instant::now());
            }
            thread::sleep(LOOK);
        }
    }
}

/// Each CPU with its part of some clients.
pub(super) fn parts(clients: &Range<u32>, cpus: &[usize]) -> impl Iterator<Item = (usize, Range<u32>)> {
    let (mut first, mut left) = (clients.start, clients.end - clients.start);
    (1_u32..).zip(cpus).collect::<Vec<_>>().into_iter().rev().map(move |(among, cpu)| {
        let part = first..first + left / among;
        (first, left) = (part.end, left - left / among);
        (*cpu, part)
    })
}
