//! The calendar of deadlines, with at least one entry for every address that has one.

use std::collections::{BTreeMap, VecDeque};

use dhcp_ebpf::lease::BootSecs;

use crate::policy::site::place::Place;

/// Deadlines, earliest first; those of a second in the order they were set in. An entry may be too early (the kernel
/// extended the lease) or void: the code that takes it out judges, and sets it anew.
///
/// Entries are grouped by second: a heap of millions would cost one access for each of its levels, for each entry
/// that is taken out.
#[derive(Debug, Default)]
pub(super) struct Deadlines(BTreeMap<BootSecs, VecDeque<Place>>);

impl Deadlines {
    pub(super) fn add(&mut self, at: BootSecs, place: Place) {
        self.0.entry(at).or_default().push_back(place);
    }

    /// The earliest entry.
    pub(super) fn next(&self) -> Option<BootSecs> {
        self.0.first_key_value().map(|(at, _)| *at)
    }

    /// Takes out the earliest entry if its moment has come by `now`.
    pub(super) fn take_due(&mut self, now: BootSecs) -> Option<(BootSecs, Place)> {
        let mut second = self.0.first_entry().filter(|second| *second.key() <= now)?;
        let (at, place) = (*second.key(), second.get_mut().pop_front());
        if second.get().is_empty() {
            second.remove();
        }
        Some((at, place?))
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.values().map(VecDeque::len).sum()
    }
}

/// The moments at which the calendar has an address looked at: the earliest, and the latest if that is another. Zero is
/// none.
#[derive(Debug, Default)]
pub(super) struct Moments {
    armed: BootSecs,
    later: BootSecs,
}

impl Moments {
    /// The moment it is looked at next.
    pub(super) fn armed(&self) -> Option<BootSecs> {
        Some(self.armed).filter(|at| *at != BootSecs(0))
    }

    /// Has it looked at no later than `due`; true if the calendar is to have that moment too. Of several that it has,
    /// one in the middle is forgotten: the last would be set again and again, and lie there for as long as a lease.
    pub(super) fn arm(&mut self, due: BootSecs) -> bool {
        let earlier = self.armed().is_none_or(|armed| due < armed);
        if earlier {
            if self.later == BootSecs(0) {
                self.later = self.armed;
            }
            self.armed = due;
        }
        earlier
    }

    /// The moment `at` is past, or nothing waits for it any more; false if it was not the next, which is all the same.
    pub(super) fn disarm(&mut self, at: BootSecs) -> bool {
        let next = self.armed() == Some(at);
        if next {
            self.armed = std::mem::take(&mut self.later);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::book::addresses::Addresses;
    use crate::policy::site::subnet::SubnetId;

    #[test]
    fn what_is_due_comes_out_by_its_second_and_then_as_it_was_set() {
        let addresses = [1, 2, 3].map(|last| (SubnetId(0), [192, 0, 2, last].into()));
        let places: Vec<Place> = Addresses::new(&[], &addresses).places().collect();
        let mut deadlines = Deadlines::default();
        for (at, number) in [(9, 2), (7, 1), (9, 0)] {
            deadlines.add(BootSecs(at), places[number]);
        }
        assert_eq!((deadlines.next(), deadlines.take_due(BootSecs(6))), (Some(BootSecs(7)), None));
        assert_eq!(deadlines.take_due(BootSecs(8)), Some((BootSecs(7), places[1])));
        assert_eq!(deadlines.take_due(BootSecs(8)), None);
        let rest = [2, 0].map(|number| Some((BootSecs(9), places[number])));
        assert_eq!([(); 2].map(|()| deadlines.take_due(BootSecs(9))), rest);
        assert_eq!((deadlines.next(), deadlines.take_due(BootSecs::NEVER)), (None, None));
    }
}
