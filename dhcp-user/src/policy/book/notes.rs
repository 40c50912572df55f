//! A walk over all addresses while they change: it may pause at any place, and notes the places that were touched
//! meanwhile.

use crate::policy::site::place::Place;

/// The next place of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Walked {
    /// A place that is not in a list, or is next in its list.
    At(Place),
    /// A place that is in a list, where the walk comes to it once more; or a list without any.
    Past,
    /// The end.
    Over,
}

/// How far a walk has come, and the visited places that were touched since: these have changed after their visit.
#[derive(Debug)]
pub(in crate::policy) struct Notes {
    /// The next place by its number.
    pub(super) number: u32,
    /// The pool, and its list, that are gone through after those.
    pub(super) pool: usize,
    pub(super) list: usize,
    /// The next place of that list; none at its end.
    pub(super) next: Place,
    touched: Vec<Place>,
}

impl Notes {
    pub(super) fn new() -> Self {
        Self { number: 0, pool: 0, list: 0, next: Place::NONE, touched: Vec::new() }
    }

    pub(super) fn touch(&mut self, place: Place) {
        if self.touched.last() != Some(&place) {
            self.touched.push(place);
        }
    }

    /// The place leaves the list that it is in, where `next` comes after it.
    pub(super) fn leaves(&mut self, place: Place, next: Place) {
        if self.next == place {
            self.next = next;
        }
    }

    /// Up to `most` of the places that were touched, first come first.
    pub(super) fn take_touched(&mut self, most: usize) -> Vec<Place> {
        let rest = self.touched.split_off(most.min(self.touched.len()));
        std::mem::replace(&mut self.touched, rest)
    }
}
