//! Copies one book to another, address by address, while both are used.

use super::Book;
use super::binding::Binding;
use super::notes::Walked;
use super::state::{State, Stock};
use super::transitions::{Page, Restored};
use crate::policy::site::place::Place;

/// The book that is copied.
impl Book {
    /// Begins a walk over all addresses, and notes of those that are touched from now on.
    pub(in crate::policy) fn begin_walk(&mut self) {
        self.all.begin_walk();
    }

    /// Ends it.
    pub(in crate::policy) fn end_walk(&mut self) {
        self.all.end_walk();
    }

    /// Whether there is one under way.
    pub(in crate::policy) fn is_walked(&self) -> bool {
        self.all.is_walked()
    }

    /// Goes on with it.
    pub(in crate::policy) fn walk_on(&mut self) -> Walked {
        self.all.walk_on()
    }

    /// Up to `most` of the addresses that were touched since the walk began, and are not taken yet.
    pub(in crate::policy) fn take_touched(&mut self, most: usize) -> Vec<Place> {
        self.all.take_touched(most)
    }

    /// All that is known of the address.
    pub(in crate::policy) fn page(&self, place: Place) -> Page {
        Page {
            address: self.address(place),
            state: self.state(place),
            probation: self.probation(place).cloned(),
            recurrences: self.recurrences(place),
            station: self.station(place),
            binding: self.all.entry(place).binding.clone(),
        }
    }

    /// How many addresses there are.
    pub(in crate::policy) fn len(&self) -> usize {
        self.all.len()
    }
}

/// The copy.
impl Book {
    /// Nothing is known of the address.
    pub(in crate::policy) fn blank(&mut self, place: Place) {
        let was_bound = self.binding(place).is_some();
        self.forget(place);
        self.quarantine.forget(self.subnet(place), place);
        let is_blank = matches!(self.state(place), State::Free | State::Reserved) && !was_bound;
        if !is_blank {
            self.free(place, Stock::Fresh);
        }
    }

    /// Gives a blank address an owner. If the owner has another address in the subnet, the index leads to the one
    /// that is leased, else to this one. If both are leased, neither ends, and the result is true.
    pub(in crate::policy) fn take_over(
        &mut self,
        place: Place,
        owner: Box<Binding>,
        station: Option<[u8; 6]>,
        restored: Restored,
    ) -> bool {
        let former = self.owned(self.subnet(place), owner.identity());
        let is_leased = former.is_some_and(|former| self.state(former) == State::Leased);
        if let Some(former) = former.filter(|_| !is_leased) {
            match self.state(former) {
                State::Grace => self.move_away(former),
                _ => self.forget(former),
            }
        }
        self.restore(place, owner, station, restored);
        is_leased && restored == Restored::Leased
    }
}
