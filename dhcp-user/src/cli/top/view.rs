//! The data of the screen: the figures of two moments, and the last events.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::control::{Figures, Word};
use crate::events::EventRecord;

/// How many events are kept: more than fit on any screen.
const EVENTS: usize = 200;

/// The data of the screen.
#[derive(Debug)]
pub(super) struct View {
    pub(super) now: Box<Figures>,
    at: Instant,
    /// Those of the look before, and how long ago that was.
    before: Option<(Box<Figures>, Duration)>,
    /// The latest last.
    pub(super) events: VecDeque<EventRecord>,
    /// Why the daemon doesn't answer.
    pub(super) silent: Option<String>,
}

impl View {
    pub(super) fn new(first: Box<Figures>, at: Instant) -> Self {
        Self { now: first, at, before: None, events: VecDeque::new(), silent: None }
    }

    pub(super) fn figures(&mut self, figures: Box<Figures>, at: Instant) {
        let before = std::mem::replace(&mut self.now, figures);
        self.before = Some((before, at.duration_since(self.at)));
        self.at = at;
        self.silent = None;
    }

    pub(super) fn event(&mut self, event: EventRecord) {
        self.events.push_back(event);
        if self.events.len() > EVENTS {
            self.events.pop_front();
        }
    }

    pub(super) fn silent(&mut self, why: String) {
        self.silent = Some(why);
    }

    /// How much a counter has grown in a second; nothing before two looks. One that has begun anew has grown by all it says.
    fn rate(&self, of: impl Fn(&Figures) -> u64) -> Option<f64> {
        let (before, took) = self.before.as_ref()?;
        let (before, now) = (of(before), of(&self.now));
        #[expect(clippy::cast_precision_loss, reason = "it is shown in three digits")]
        let grown = now.checked_sub(before).unwrap_or(now) as f64;
        Some(grown / took.as_secs_f64().max(0.001))
    }

    /// The counters of a group, each with its rate and its count.
    pub(super) fn rates(&self, of: fn(&Figures) -> &BTreeMap<Word, u64>) -> Vec<(String, Option<f64>, u64)> {
        let each = of(&self.now).iter().map(|(name, count)| {
            let rate = self.rate(|figures| of(figures).get(name).copied().unwrap_or(0));
            (name.clone().into_owned(), rate, *count)
        });
        each.collect()
    }

    /// Why messages got no answer, those that grow fastest first, then those that are most.
    pub(super) fn reasons(&self) -> Vec<(String, Option<f64>, u64)> {
        let mut reasons = self.rates(|figures| &figures.stats.daemon.dropped);
        reasons.extend(self.rates(|figures| &figures.stats.kernel.dropped));
        reasons.retain(|(.., count)| *count > 0);
        reasons.sort_by(|a, b| {
            let rate = |of: &(String, Option<f64>, u64)| of.1.unwrap_or(0.0);
            rate(b).total_cmp(&rate(a)).then(b.2.cmp(&a.2)).then(a.0.cmp(&b.0))
        });
        reasons
    }

    /// The share of renewals that the kernel has answered since the last look; of all so far, where there were none.
    pub(super) fn share(&self) -> Option<f64> {
        let kernel = |figures: &Figures| {
            let acked = &figures.stats.kernel.acked;
            ["renewing", "rebinding"].iter().filter_map(|state| acked.get(*state)).sum::<u64>()
        };
        let daemon = |figures: &Figures| figures.renewals_received;
        let share = |kernel: f64, daemon: f64| (kernel + daemon > 0.0).then(|| kernel / (kernel + daemon));
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let so_far = || share(kernel(&self.now) as f64, daemon(&self.now) as f64);
        let lately = self.rate(kernel).zip(self.rate(daemon)).and_then(|(up, down)| share(up, down));
        lately.or_else(so_far)
    }
}

/// A rate or a count in at most six characters.
pub(super) fn short(number: f64) -> String {
    match number {
        number if number >= 999_500.0 => format!("{:.2}M", number / 1e6),
        number if number >= 9_950.0 => format!("{:.1}k", number / 1e3),
        number if number >= 99.5 || number.fract() == 0.0 => format!("{number:.0}"),
        number => format!("{number:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (number, text) in [
            (0.0, "0"),
            (0.5, "0.5"),
            (42.0, "42"),
            (99.7, "100"),
            (1234.0, "1234"),
            (9949.0, "9949"),
            (12_345.0, "12.3k"),
            (999_499.0, "999.5k"),
            (2_500_000.0, "2.50M"),
        ] {
            assert_eq!(short(number), text);
        }
    }
}
