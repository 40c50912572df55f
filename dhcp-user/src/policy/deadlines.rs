//! When something is due: a calendar with at least one entry for every address that waits for a moment.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use dhcp_ebpf::lease::BootSecs;

use super::addresses::Place;

/// Deadlines, earliest first. An entry may turn out to be too early (the kernel extended the lease) or void: whoever
/// takes it out judges, and sets it anew.
#[derive(Debug, Default)]
pub(super) struct Deadlines(BinaryHeap<Reverse<(BootSecs, Place)>>);

impl Deadlines {
    pub(super) fn add(&mut self, at: BootSecs, place: Place) {
        self.0.push(Reverse((at, place)));
    }

    /// The earliest entry.
    pub(super) fn next(&self) -> Option<BootSecs> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes out the earliest entry if its moment has come by `now`.
    pub(super) fn take_due(&mut self, now: BootSecs) -> Option<(BootSecs, Place)> {
        if self.next()? > now {
            return None;
        }
        self.0.pop().map(|Reverse(entry)| entry)
    }
}
