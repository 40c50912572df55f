//! The credit of a source of evidence that costs its sender nothing: so many pieces in a row, and one more each
//! interval.

use dhcp_ebpf::lease::BootSecs;

/// A source over its credit is reported again after so many seconds.
const TELL_AGAIN: u32 = 600;

/// How much is believed of each source.
#[derive(Clone, Copy, Debug)]
pub(in crate::policy) struct Allowance {
    /// So many in a row.
    pub(in crate::policy) in_a_row: u32,
    /// And one more each time so many seconds have gone by.
    pub(in crate::policy) one_more_after: u32,
}

/// The account of one source.
#[derive(Debug)]
pub(in crate::policy) struct Account {
    allowance: Allowance,
    /// How many more are believed.
    left: u32,
    /// Since when nothing was added to that.
    since: BootSecs,
    /// When evidence was not believed, and when that was reported.
    overdrawn: Option<BootSecs>,
    told: Option<BootSecs>,
}

/// Whether one more is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Credit {
    /// It is.
    Good,
    /// Too many came from there.
    Spent {
        /// Whether to report that.
        tell: bool,
    },
}

impl Account {
    /// Nothing has come from there.
    pub(in crate::policy) fn new(allowance: Allowance, now: BootSecs) -> Self {
        Self { allowance, left: allowance.in_a_row, since: now, overdrawn: None, told: None }
    }

    /// One more comes from there.
    pub(in crate::policy) fn charge(&mut self, now: BootSecs) -> Credit {
        let Allowance { in_a_row, one_more_after } = self.allowance;
        let left = self.at(now);
        if left > self.left {
            let gained = (left - self.left).saturating_mul(one_more_after);
            self.since = if left == in_a_row { now } else { self.since.plus(gained) };
            self.left = left;
        }
        if let Some(less) = self.left.checked_sub(1) {
            if self.left == in_a_row {
                self.since = now;
            }
            self.left = less;
            return Credit::Good;
        }
        self.overdrawn = Some(now);
        let tell = self.told.is_none_or(|told| told.plus(TELL_AGAIN) <= now);
        if tell {
            self.told = Some(now);
        }
        Credit::Spent { tell }
    }

    /// Whether all is believed again.
    pub(in crate::policy) fn is_full(&self, now: BootSecs) -> bool {
        self.at(now) == self.allowance.in_a_row
    }

    /// Whether too many came from there lately.
    pub(in crate::policy) fn is_spent(&self, now: BootSecs) -> bool {
        self.overdrawn.is_some_and(|at| now < at.plus(TELL_AGAIN))
    }

    /// How many more are believed at `now`.
    fn at(&self, now: BootSecs) -> u32 {
        let gained = now.0.saturating_sub(self.since.0) / self.allowance.one_more_after;
        self.left.saturating_add(gained).min(self.allowance.in_a_row)
    }
}
