//! The results of one run of the generator.

use anyhow::Result;
use load_ebpf::counts::{CELLS, Count};
use std::fmt;
use std::ops::Sub;
use std::time::Duration;

use super::histogram::Histogram;

/// Everything the programs count, at one moment or between two.
#[derive(Clone, PartialEq, Eq)]
pub struct Counts(pub(crate) [u64; CELLS]);

impl Counts {
    /// How often something happened.
    #[must_use]
    pub fn of(&self, what: Count) -> u64 {
        self.0[what as usize]
    }

    /// Replies that failed a check.
    #[must_use]
    pub fn wrong(&self) -> u64 {
        Count::ALL.iter().filter(|what| what.is_wrong()).map(|what| self.of(*what)).sum()
    }

    /// Requests sent that want an answer.
    #[must_use]
    pub fn sent(&self) -> u64 {
        [Count::Discovers, Count::Requests, Count::Renewals].iter().map(|what| self.of(*what)).sum()
    }

    /// Right answers in time, or what came back from a reflector.
    #[must_use]
    pub fn answered(&self) -> u64 {
        [Count::Offers, Count::Bound, Count::Renewed, Count::Reflected]
            .iter()
            .map(|what| self.of(*what))
            .sum()
    }

    /// Right answers that were too late, or not wanted any more.
    #[must_use]
    pub fn stray(&self) -> u64 {
        [Count::Late, Count::Repeated, Count::Refused].iter().map(|what| self.of(*what)).sum()
    }
}

impl fmt::Debug for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = Count::ALL.iter().filter(|what| self.of(**what) > 0);
        f.debug_map().entries(seen.map(|what| (what, self.of(*what)))).finish()
    }
}

impl Sub<&Counts> for Counts {
    type Output = Self;

    fn sub(mut self, earlier: &Counts) -> Self {
        self.0.iter_mut().zip(&earlier.0).for_each(|(now, then)| *now -= then);
        self
    }
}

/// Some replies failed a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongReplies(pub Counts);

impl fmt::Display for WrongReplies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} wrong replies: {:?}", self.0.wrong(), self.0)
    }
}

impl std::error::Error for WrongReplies {}

/// What one run saw.
#[derive(Clone, Debug)]
pub struct Report {
    /// All that was counted, answers that came after the last request included.
    pub counts: Counts,
    /// What had been counted when the last request was sent: for rates.
    pub in_time: Counts,
    /// Requests that never left: they found the link's ring full, since this machine was busy elsewhere.
    pub overrun: u64,
    /// From the first request to the last.
    pub elapsed: Duration,
    /// For how long CPUs were busy sending, all together. What goes on in the driver counts, too, as it is done by the CPU
    /// that sends: the server's program and the clients'.
    pub busy: Duration,
    /// From renewal to ACK; empty unless renewals were timed.
    pub renewal: Histogram,
    /// From DISCOVER to OFFER.
    pub offer: Histogram,
    /// From DISCOVER to ACK.
    pub exchange: Histogram,
}

impl Report {
    /// Renewals answered, by a server or by the reflector.
    #[must_use]
    pub fn renewed(&self) -> u64 {
        self.counts.of(Count::Renewed) + self.counts.of(Count::Reflected)
    }

    /// Renewals that left and that nothing right came back for.
    #[must_use]
    pub fn lost_renewals(&self) -> u64 {
        self.counts.of(Count::Renewals).saturating_sub(self.renewed() + self.overrun)
    }

    /// The share of renewals that were lost; 0 if none was sent.
    #[must_use]
    pub fn lost_share(&self) -> f64 {
        ratio(self.lost_renewals(), self.counts.of(Count::Renewals))
    }

    /// Something per second while requests were sent.
    #[must_use]
    pub fn rate(&self, what: Count) -> f64 {
        self.in_time.of(what) as f64 / self.elapsed.as_secs_f64()
    }

    /// Renewals answered per second, by a server or by the reflector.
    #[must_use]
    pub fn renewal_rate(&self) -> f64 {
        self.rate(Count::Renewed) + self.rate(Count::Reflected)
    }

    /// CPU time per renewal answered, in seconds, all that is done for it in the driver included.
    #[must_use]
    pub fn cpu_per_renewal(&self) -> f64 {
        self.busy.as_secs_f64() / self.renewed() as f64
    }

    /// Passes the report on if no reply was wrong.
    ///
    /// # Errors
    /// [`WrongReplies`]
    pub fn right(self) -> Result<Self> {
        if self.counts.wrong() == 0 {
            return Ok(self);
        }
        Err(WrongReplies(self.counts).into())
    }
}

fn ratio(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}
