//! Changes that the store has not taken while it takes nothing, and publications that are due afterwards. Both may be
//! many: they go in parts, so the work of one turn does not grow with the length of an outage.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use super::not_committed::NotCommitted;
use crate::clock::BootNanos;
use crate::store::Change;

/// How many changes are brought to the store together.
const PART: usize = 4096;
/// The addresses that are published in a turn.
const SOME: usize = 512;
/// How long until the store is tried again, first and at most. After a failure it reads all it has, so not often.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(16);

/// The changes that the store has not taken.
#[derive(Debug)]
pub(in crate::server) struct UncommittedChanges {
    /// The last change to each address.
    changes: BTreeMap<Ipv4Addr, Change>,
    pub(super) why: NotCommitted,
    wait: Duration,
    next: BootNanos,
}

impl UncommittedChanges {
    /// These are the first that it refused.
    pub(super) fn begin(why: NotCommitted, changes: &[Change]) -> Self {
        let next = BootNanos::now().after(FIRST_WAIT);
        let mut uncommitted = Self { changes: BTreeMap::new(), why, wait: FIRST_WAIT, next };
        if !wrong!(UncommittedForgotten) {
            uncommitted.add(changes.iter().cloned());
        }
        uncommitted
    }

    pub(super) fn add(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            if !(wrong!(OlderUncommitted) && self.changes.contains_key(&change.address())) {
                self.changes.insert(change.address(), change);
            }
        }
    }

    /// The uncommitted change of an address.
    pub(super) fn of(&self, address: Ipv4Addr) -> Option<&Change> {
        self.changes.get(&address)
    }

    /// Of how many addresses a change is uncommitted.
    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether it is time to try the store again.
    pub(super) fn is_due(&self) -> bool {
        BootNanos::now() >= self.next
    }

    /// The daemon ends: there is no other time.
    pub(super) fn try_at_once(&mut self) {
        self.next = BootNanos::now();
    }

    /// The changes to commit next.
    pub(super) fn part(&self) -> Vec<Change> {
        self.changes.values().take(PART).cloned().collect()
    }

    /// The store has taken that part: true if it was all. The next part need not wait.
    pub(super) fn are_taken(&mut self, part: &[Change]) -> bool {
        for change in part {
            self.changes.remove(&change.address());
        }
        (self.wait, self.next) = (FIRST_WAIT, BootNanos::now());
        self.changes.is_empty()
    }

    /// The store has refused it again.
    pub(super) fn are_refused(&mut self, why: NotCommitted) {
        let wait = (self.wait * 2).min(LONGEST_WAIT);
        (self.why, self.wait, self.next) = (why, wait, BootNanos::now().after(wait));
    }
}

/// Addresses whose present lease is not published yet.
#[derive(Debug, Default)]
pub(in crate::server) struct Unpublished(BTreeSet<Ipv4Addr>);

impl Unpublished {
    pub(super) fn extend(&mut self, addresses: impl IntoIterator<Item = Ipv4Addr>) {
        self.0.extend(addresses);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, address: Ipv4Addr) -> bool {
        self.0.contains(&address)
    }

    /// The addresses to publish next.
    pub(super) fn take_some(&mut self) -> Vec<Ipv4Addr> {
        std::iter::from_fn(|| self.0.pop_first()).take(SOME).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deletions(addresses: std::ops::Range<u32>) -> Vec<Change> {
        addresses.map(|address| Change::Delete(Ipv4Addr::from_bits(address))).collect()
    }

    #[test]
    fn what_is_owed_is_brought_in_parts_and_each_is_taken_once() {
        let mut uncommitted = UncommittedChanges::begin(NotCommitted::because("full"), &deletions(0..10));
        assert!(!uncommitted.is_due());
        let many = u32::try_from(2 * PART).expect("a few");
        uncommitted.add(deletions(5..many + 1));
        let mut taken = 0;
        loop {
            let part = uncommitted.part();
            assert!(part.len() <= PART);
            taken += part.len();
            if uncommitted.are_taken(&part) {
                break;
            }
            assert!(uncommitted.is_due(), "the next part need not wait");
        }
        assert_eq!(taken, 2 * PART + 1);
    }

    #[test]
    fn the_store_is_tried_at_growing_intervals() {
        let mut uncommitted = UncommittedChanges::begin(NotCommitted::because("full"), &deletions(0..1));
        for _ in 0..10 {
            uncommitted.are_refused(NotCommitted::because("still"));
            assert!(!uncommitted.is_due());
        }
        assert_eq!((uncommitted.wait, uncommitted.why.reason()), (LONGEST_WAIT, "still"));
    }

    #[test]
    fn the_kernel_is_told_of_so_many_in_a_turn() {
        let mut unpublished = Unpublished::default();
        unpublished.extend((0..1000).map(Ipv4Addr::from_bits));
        unpublished.extend((0..1000).map(Ipv4Addr::from_bits));
        let turns: Vec<usize> =
            std::iter::from_fn(|| Some(unpublished.take_some().len()).filter(|some| *some > 0)).collect();
        assert_eq!(turns, [512, 488]);
        assert!(unpublished.is_empty());
    }
}
