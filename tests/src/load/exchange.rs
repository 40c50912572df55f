//! New leases in a closed loop: so many clients at a time, in the kernel from one to the next.

use anyhow::{Result, bail};
use load_ebpf::client::{State, Word};
use load_ebpf::counts::Count;
use load_ebpf::lane::{CHAIN, Lane};
use nix::time::{ClockId, clock_gettime};
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::run::{Then, parts};
use super::{LOOK, Load, Report, Target};

/// A client that has waited for so long begins anew.
const PATIENCE: Duration = Duration::from_secs(2);
/// When nobody has got a lease for so long, nobody will.
const STUCK: Duration = Duration::from_secs(15);

impl Load<'_> {
    /// Lets clients get a lease each, `window` at a time, until all have one. What is lost is begun anew.
    ///
    /// # Errors
    /// When they have not all got one `within` this time, when nobody gets one for a long time, or a reply was wrong.
    pub fn dora(&self, clients: Range<u32>, window: u32, within: Duration) -> Result<Report> {
        self.dora_watched(clients, window, within, |_, _| {})
    }

    /// As [`dora`](Self::dora), and tells `watch` now and then how many have a lease by then.
    ///
    /// # Errors
    /// As [`dora`](Self::dora).
    pub fn dora_watched(
        &self,
        clients: Range<u32>,
        window: u32,
        within: Duration,
        mut watch: impl FnMut(Duration, u64),
    ) -> Result<Report> {
        let wanted = u64::from(clients.end - clients.start);
        self.share(&clients, clients.start, Then::NextBegins)?;
        let before = self.moment()?;
        let began = Instant::now();
        self.inject(window)?;
        let mut looked_after = Instant::now();
        let mut latest = (0, Instant::now());
        loop {
            let counts = self.counts() - &before.counts;
            let bound = counts.of(Count::Bound);
            watch(began.elapsed(), bound);
            // Clients whose answers are wrong would wait for right ones in vain.
            if bound >= wanted || counts.wrong() > 0 {
                break;
            }
            if bound > latest.0 {
                latest = (bound, Instant::now());
            }
            if began.elapsed() > within || latest.1.elapsed() > STUCK {
                self.lane_cell(Lane::Discover, CHAIN).store(0, Ordering::Release);
                bail!("after {:.0?} {bound} of {wanted} clients have a lease: {counts:?}", began.elapsed());
            }
            if looked_after.elapsed() > PATIENCE / 4 {
                self.begin_anew(&clients, window)?;
                looked_after = Instant::now();
            }
            thread::sleep(LOOK);
        }
        let elapsed = began.elapsed();
        self.lane_cell(Lane::Discover, CHAIN).store(0, Ordering::Release);
        self.since(before, elapsed, None)?.right()
    }

    /// Lets clients whose messages were lost begin anew, and fills the window again.
    fn begin_anew(&self, clients: &Range<u32>, window: u32) -> Result<()> {
        let now = monotonic()?;
        let patience = u64::try_from(PATIENCE.as_nanos())?;
        let (mut waiting, mut idle) = (0_u32, 0_u32);
        for number in clients.clone() {
            let [word, since] = self.client_cells(number);
            let seen = word.load(Ordering::Acquire);
            let client = Word(seen);
            if client.is(State::Idle) {
                idle += 1;
            } else if !client.has_lease() {
                let overdue = now.saturating_sub(since.load(Ordering::Acquire)) > patience;
                // What is still answered to it was asked in an earlier turn.
                let idle_again = Word::new(0, client.turn().wrapping_add(1), State::Idle).0;
                let reset = overdue
                    && word.compare_exchange(seen, idle_again, Ordering::SeqCst, Ordering::SeqCst).is_ok();
                if reset { idle += 1 } else { waiting += 1 }
            }
        }
        let missing = window.saturating_sub(waiting).min(idle);
        if missing == 0 {
            return Ok(());
        }
        // Positions that were handed out come round again; only idle clients take one.
        let span = u64::from(clients.end - clients.start);
        let scarce = span / u64::from(idle.max(1)) / 16 + 1;
        self.inject(missing.saturating_mul(u32::try_from(scarce)?))
    }

    fn inject(&self, frames: u32) -> Result<()> {
        let sender = self.sender(Lane::Discover, Target::Server)?;
        self.end.namespace.enter(|| sender.send(frames))?.map(drop)
    }

    /// Lets each of some clients ask once, whoever answers.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn ask(&self, lane: Lane, clients: Range<u32>) -> Result<()> {
        self.direct(lane, &clients, clients.start, Some(Duration::ZERO), &self.cpus)?;
        let all = clients.end - clients.start;
        if lane == Lane::Discover {
            // They are shared by all CPUs.
            return self.inject(all);
        }
        thread::scope(|scope| {
            let threads: Vec<_> = parts(&clients, &self.cpus)
                .map(|(cpu, part)| {
                    let sender = self.sender(lane, Target::Server)?;
                    Ok(scope.spawn(move || sender.send_each(cpu, part.end - part.start)))
                })
                .collect::<Result<_>>()?;
            threads.into_iter().try_for_each(|thread| {
                thread.join().map_err(|_| anyhow::anyhow!("a sending thread panicked"))?
            })
        })
    }
}

fn monotonic() -> Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(u64::try_from(Duration::from(now).as_nanos())?)
}
