//! How many leases there are of each class that limits them (`max-leases`), offers included.
//!
//! A lease counts in the classes that its client was in when it was granted last, until it ends. They stand with the binding
//! by name, so that they come along over restarts and reloads.

use std::collections::BTreeMap;

use super::addresses::Addresses;
use super::state::State;
use crate::config::{Class, ClassSet};
use crate::policy::site::place::Place;

/// The counts. Of a class without a limit nothing is counted.
#[derive(Debug, Default)]
pub(super) struct ClassCounts {
    /// The name of each class that is counted, by its place in the configuration.
    limited: BTreeMap<usize, String>,
    leased: BTreeMap<usize, u32>,
    offered: BTreeMap<usize, u32>,
    of_place: BTreeMap<Place, ClassSet>,
}

impl ClassCounts {
    pub(super) fn new(classes: &[Class]) -> Self {
        let limited = classes.iter().enumerate().filter(|(_, class)| class.max_leases.is_some());
        Self { limited: limited.map(|(at, class)| (at, class.name.clone())).collect(), ..Self::default() }
    }

    /// How many leases and offers there are of the class.
    pub(super) fn held(&self, class: usize) -> u32 {
        let of = |counts: &BTreeMap<usize, u32>| counts.get(&class).copied().unwrap_or(0);
        of(&self.leased).saturating_add(of(&self.offered))
    }

    /// The classes in whose count the lease of the address is.
    pub(super) fn of(&self, place: Place) -> ClassSet {
        self.of_place.get(&place).copied().unwrap_or_default()
    }

    /// The names of those of `set` that are counted.
    pub(super) fn names(&self, set: ClassSet) -> Vec<String> {
        let mut names: Vec<String> =
            set.last_first().filter_map(|class| self.limited.get(&class).cloned()).collect();
        names.reverse();
        names
    }

    /// The address is leased.
    pub(super) fn add(&mut self, all: &Addresses, place: Place) {
        let set = self.due(all, place);
        if !set.is_empty() {
            self.remove(place);
            count(&mut self.leased, set, u32::saturating_add);
            self.of_place.insert(place, set);
        }
    }

    /// It is leased no more.
    pub(super) fn remove(&mut self, place: Place) {
        if let Some(set) = self.of_place.remove(&place) {
            count(&mut self.leased, set, u32::saturating_sub);
        }
    }

    /// An address was offered to a client in these classes.
    pub(super) fn offer(&mut self, set: ClassSet) {
        count(&mut self.offered, set, u32::saturating_add);
    }

    /// The offer is no more.
    pub(super) fn withdraw(&mut self, set: ClassSet) {
        count(&mut self.offered, set, u32::saturating_sub);
    }

    /// Whether the address counts where its owner got it.
    pub(super) fn agrees(&self, all: &Addresses, place: Place) -> bool {
        let due = if all.state(place) == State::Leased { self.due(all, place) } else { ClassSet::default() };
        self.of(place) == due
    }

    /// The names of the classes whose counts are not what the addresses and `offers` say.
    pub(super) fn uneven(&self, offers: impl Iterator<Item = ClassSet>) -> Vec<&str> {
        let (mut leased, mut offered) = (BTreeMap::new(), BTreeMap::new());
        self.of_place.values().for_each(|set| count(&mut leased, *set, u32::saturating_add));
        offers.for_each(|set| count(&mut offered, set, u32::saturating_add));
        let of = |counts: &BTreeMap<usize, u32>, class: &usize| counts.get(class).copied().unwrap_or(0);
        let differs = |class: &usize| {
            of(&leased, class) != of(&self.leased, class) || of(&offered, class) != of(&self.offered, class)
        };
        self.limited.iter().filter(|(class, _)| differs(class)).map(|(_, name)| name.as_str()).collect()
    }

    /// Where the lease of the address is to count.
    fn due(&self, all: &Addresses, place: Place) -> ClassSet {
        let mut set = ClassSet::default();
        if self.limited.is_empty() {
            return set;
        }
        let owner = all.entry(place).binding.as_deref();
        let names = owner.map(|owner| owner.classes()).unwrap_or_default();
        let counted = self.limited.iter().filter(|(_, name)| names.contains(name));
        counted.for_each(|(class, _)| set.insert(*class));
        set
    }
}

fn count(counts: &mut BTreeMap<usize, u32>, set: ClassSet, step: impl Fn(u32, u32) -> u32) {
    for class in set.last_first() {
        let count = counts.entry(class).or_default();
        *count = step(*count, 1);
    }
}
