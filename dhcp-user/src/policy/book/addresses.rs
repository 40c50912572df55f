//! The state of every address (exactly one each), the counts by state, and the lists of free addresses.
//!
//! A state changes in one place ([`Addresses::leave`]), which counts it out of the old state and into the new one.

use std::net::Ipv4Addr;
use std::ops::Range;

use super::binding::Binding;
use super::deadlines::Moments;
use super::notes::{Notes, Walked};
use super::pools::{List, PoolState, UNPROBED};
use super::state::{Apart, State, Stock, Tally};
use crate::config::{ClassSet, DynamicPool, Pool};
use crate::policy::site::place::Place;
use crate::policy::site::subnet_id::SubnetId;

/// One address: its state, owner, offer and probation.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) binding: Option<Box<Binding>>,
    pub(super) moments: Moments,
    run: u32,
    previous: Place,
    next: Place,
    state: State,
    stock: Stock,
    reserved: bool,
    /// Whether it is a server's or a router's, and no client's.
    kept: bool,
    /// Whether other nodes have a say in it.
    apart: Apart,
}

impl Entry {
    pub(super) fn stock(&self) -> Stock {
        self.stock
    }

    pub(super) fn reserved(&self) -> bool {
        self.reserved
    }

    /// Whether it is a host's.
    pub(super) fn kept(&self) -> bool {
        self.kept
    }

    pub(super) fn apart(&self) -> Apart {
        self.apart
    }

    /// Whether it is never given to just any client: reserved for one, a host's, or one that other nodes have a say in.
    pub(super) fn withheld(&self) -> bool {
        self.reserved || self.kept || self.apart != Apart::No
    }
}

/// Consecutive addresses of one pool, or of none (reservations outside pools).
#[derive(Debug)]
struct Run {
    first: u32,
    last: u32,
    base: u32,
    subnet: SubnetId,
    pool: Option<u32>,
}

/// All addresses.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// By first address.
    runs: Vec<Run>,
    entries: Vec<Entry>,
    pools: Vec<PoolState>,
    /// By the number of the subnet, as far as there are any.
    pools_of: Vec<Range<usize>>,
    /// Of all pools, and of the reservations outside them.
    total: Tally,
    /// While somebody goes through all of them.
    notes: Option<Box<Notes>>,
}

impl Addresses {
    /// The addresses of these pools (those of a subnet together, none overlapping) and these reservations.
    pub(super) fn new(pools: &[(SubnetId, &DynamicPool)], reservations: &[(SubnetId, Ipv4Addr)]) -> Self {
        let mut this = Self::default();
        let mut runs: Vec<(u32, u32, SubnetId, Option<u32>)> = Vec::new();
        for (number, (subnet, pool)) in (0u32..).zip(pools) {
            let Pool { first, last } = pool.range;
            runs.push((first.to_bits(), last.to_bits(), *subnet, Some(number)));
            let at = this.pools.len();
            if this.pools_of.len() <= subnet.at() {
                this.pools_of.resize(subnet.at() + 1, at..at);
            }
            if let Some(of_subnet) = this.pools_of.get_mut(subnet.at()) {
                of_subnet.end = at + 1;
                this.pools.push(PoolState::new(*subnet, at - of_subnet.start, pool));
            }
        }
        for (subnet, address) in reservations {
            if !pools.iter().any(|(_, pool)| pool.range.contains(*address)) {
                runs.push((address.to_bits(), address.to_bits(), *subnet, None));
            }
        }
        runs.sort_unstable_by_key(|run| run.0);
        runs.dedup_by_key(|run| run.0);
        for (first, last, subnet, pool) in runs {
            this.add_run(first, last, subnet, pool);
        }
        for (_, address) in reservations {
            if let Some(place) = this.find(*address) {
                this.withhold(place, |entry| entry.reserved = true);
                this.set(place, State::Reserved);
            }
        }
        this
    }

    fn add_run(&mut self, first: u32, last: u32, subnet: SubnetId, pool: Option<u32>) {
        let base = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let number = u32::try_from(self.runs.len()).unwrap_or(u32::MAX);
        self.runs.push(Run { first, last, base, subnet, pool });
        for offset in 0..=last - first {
            let place = Place(base + offset);
            self.entries.push(Entry {
                binding: None,
                moments: Moments::default(),
                run: number,
                previous: Place::NONE,
                next: Place::NONE,
                state: State::Free,
                stock: Stock::Fresh,
                reserved: false,
                kept: false,
                apart: Apart::No,
            });
            self.count(place, State::Free, 1);
            self.append(place);
        }
    }

    /// The place of `address`, if it is of a pool or a reservation.
    pub(super) fn find(&self, address: Ipv4Addr) -> Option<Place> {
        let bits = address.to_bits();
        let after = self.runs.partition_point(|run| run.first <= bits);
        let run = self.runs.get(after.checked_sub(1)?)?;
        (bits <= run.last).then(|| Place(run.base + (bits - run.first)))
    }

    /// The address at `place`.
    pub(super) fn address(&self, place: Place) -> Ipv4Addr {
        let run = self.run(place);
        Ipv4Addr::from_bits(run.first + (place.0 - run.base))
    }

    /// The subnet that the address at `place` is served in.
    pub(super) fn subnet(&self, place: Place) -> SubnetId {
        self.run(place).subnet
    }

    /// The number of the pool it is in, if it is in one.
    pub(super) fn pool(&self, place: Place) -> Option<usize> {
        self.run(place).pool.map(|pool| pool as usize)
    }

    #[cfg_attr(
        not(test),
        expect(
            clippy::indexing_slicing,
            reason = "a place is the number of an entry: only `add_run` makes both"
        )
    )]
    pub(super) fn entry(&self, place: Place) -> &Entry {
        &self.entries[place.at()]
    }

    pub(super) fn entry_mut(&mut self, place: Place) -> &mut Entry {
        if let Some(notes) = &mut self.notes {
            notes.touch(place);
        }
        self.linked_mut(place)
    }

    /// The same for its place in a list, which is no news of it.
    #[cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "as in `entry`"))]
    fn linked_mut(&mut self, place: Place) -> &mut Entry {
        &mut self.entries[place.at()]
    }

    pub(super) fn state(&self, place: Place) -> State {
        self.entry(place).state
    }

    /// How many addresses there are in which state, those outside pools included.
    pub(super) fn total(&self) -> Tally {
        self.total
    }

    pub(super) fn pools(&self) -> &[PoolState] {
        &self.pools
    }

    /// All places, lowest address first.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> + use<> {
        (0..u32::try_from(self.entries.len()).unwrap_or(u32::MAX)).map(Place)
    }

    /// The places of addresses above `address`, lowest first; all if there is none.
    pub(super) fn places_after(&self, address: Option<Ipv4Addr>) -> impl Iterator<Item = Place> + use<> {
        let first = address.map_or(0, |address| {
            let bits = address.to_bits();
            let after = self.runs.partition_point(|run| run.first <= bits);
            let before = after.checked_sub(1).and_then(|at| self.runs.get(at));
            before.map_or(0, |run| run.base + (bits - run.first).min(run.last - run.first) + 1)
        });
        (first..u32::try_from(self.entries.len()).unwrap_or(u32::MAX)).map(Place)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Begins a walk over all places, and notes of those that are touched from now on.
    pub(super) fn begin_walk(&mut self) {
        self.notes = Some(Box::new(Notes::new()));
    }

    /// Ends it.
    pub(super) fn end_walk(&mut self) {
        self.notes = None;
    }

    /// Whether there is one under way.
    pub(super) fn is_walked(&self) -> bool {
        self.notes.is_some()
    }

    /// Up to `most` of the places that were touched since the walk began, and are not taken yet.
    pub(super) fn take_touched(&mut self, most: usize) -> Vec<Place> {
        self.notes.as_mut().map(|notes| notes.take_touched(most)).unwrap_or_default()
    }

    /// Goes on with the walk: those in grace and the free ones that had an owner come last, each stock in the order it is
    /// used in.
    pub(super) fn walk_on(&mut self) -> Walked {
        let Some(notes) = &mut self.notes else { return Walked::Over };
        if let Some(entry) = self.entries.get(notes.number as usize) {
            let place = Place(notes.number);
            notes.number += 1;
            let pooled = self.runs.get(entry.run as usize).is_some_and(|run| run.pool.is_some());
            let is_listed = match entry.state {
                State::Grace => pooled,
                // The order of those that never had an owner is that of their addresses.
                State::Free => pooled && entry.stock != Stock::Fresh,
                State::Offered | State::Leased | State::Quarantined | State::Reserved => false,
            };
            return if is_listed { Walked::Past } else { Walked::At(place) };
        }
        if notes.next != Place::NONE {
            let place = notes.next;
            notes.next = self.entries.get(place.at()).map_or(Place::NONE, |entry| entry.next);
            return Walked::At(place);
        }
        let Some(pool) = self.pools.get(notes.pool) else { return Walked::Over };
        notes.next = match notes.list {
            0 => pool.grace.head,
            list if list == 1 + Stock::Fresh as usize => Place::NONE,
            list => pool.lists.get(list - 1).map_or(Place::NONE, |list| list.head),
        };
        let is_last = notes.list == pool.lists.len();
        (notes.pool, notes.list) = if is_last { (notes.pool + 1, 0) } else { (notes.pool, notes.list + 1) };
        Walked::Past
    }

    /// The places of a list, in order.
    fn walk(&self, list: &List) -> impl Iterator<Item = Place> {
        let first = Some(list.head).filter(|head| *head != Place::NONE);
        let step = |place: &Place| Some(self.entry(*place).next).filter(|next| *next != Place::NONE);
        std::iter::successors(first, step).take(self.entries.len() + 1)
    }

    /// The free address of `subnet` that a client in `classes` is to have next: never used, else freed longest ago,
    /// else expired longest ago.
    pub(super) fn next_free(&self, subnet: SubnetId, classes: ClassSet) -> Option<Place> {
        UNPROBED.into_iter().find_map(|stock| self.first_of(subnet, classes, stock))
    }

    /// The free address of `subnet` for a client in `classes` that has been in `stock` longest.
    pub(super) fn first_of(&self, subnet: SubnetId, classes: ClassSet, stock: Stock) -> Option<Place> {
        self.lists_of(subnet, classes, stock).map(|list| list.head).find(|head| *head != Place::NONE)
    }

    /// How many free addresses of `subnet` for clients in `classes` are in `stock`.
    pub(super) fn stocked(&self, subnet: SubnetId, classes: ClassSet, stock: Stock) -> u32 {
        self.lists_of(subnet, classes, stock).map(|list| list.length).sum()
    }

    /// The address of `subnet` for a client in `classes` that has been in grace longest.
    pub(super) fn first_in_grace(&self, subnet: SubnetId, classes: ClassSet) -> Option<Place> {
        let heads = self.pools_for(subnet, classes).map(|pool| pool.grace.head);
        heads.into_iter().find(|head| *head != Place::NONE)
    }

    /// The address in grace is looked at again after all others of its pool.
    pub(super) fn put_off(&mut self, place: Place) {
        if self.state(place) == State::Grace {
            self.unlink(place, State::Grace);
            self.append(place);
        }
    }

    /// Whether the address is in a pool for clients in `classes`.
    pub(super) fn is_open_to(&self, place: Place, classes: ClassSet) -> bool {
        self.pool(place).and_then(|pool| self.pools.get(pool)).is_some_and(|pool| pool.admits.admits(classes))
    }

    fn lists_of(&self, subnet: SubnetId, classes: ClassSet, stock: Stock) -> impl Iterator<Item = &List> {
        self.pools_for(subnet, classes).filter_map(move |pool| pool.lists.get(stock as usize))
    }

    fn pools_for(&self, subnet: SubnetId, classes: ClassSet) -> impl Iterator<Item = &PoolState> {
        let pools = self.pools_of.get(subnet.at()).and_then(|range| self.pools.get(range.clone()));
        pools.unwrap_or_default().iter().filter(move |pool| pool.admits.admits(classes))
    }

    /// The pools of `subnet` for clients in `classes`, to note which alarms were sent.
    pub(super) fn pools_for_mut(
        &mut self,
        subnet: SubnetId,
        classes: ClassSet,
    ) -> impl Iterator<Item = &mut PoolState> {
        let range = self.pools_of.get(subnet.at()).cloned().unwrap_or_default();
        let pools = self.pools.get_mut(range).unwrap_or_default();
        pools.iter_mut().filter(move |pool| pool.admits.admits(classes))
    }

    /// The pool of the address, if it is in one.
    pub(super) fn pool_mut(&mut self, place: Place) -> Option<&mut PoolState> {
        let pool = self.pool(place)?;
        self.pools.get_mut(pool)
    }

    /// Whether the address is a host's, from now on.
    pub(super) fn keep(&mut self, place: Place, kept: bool) {
        self.withhold(place, |entry| entry.kept = kept);
    }

    /// Whether other nodes have a say in the address, from now on.
    pub(super) fn set_apart(&mut self, place: Place, apart: Apart) {
        self.withhold(place, |entry| entry.apart = apart);
    }

    /// Changes whether the address is withheld from just any client, and counts it.
    fn withhold(&mut self, place: Place, change: impl FnOnce(&mut Entry)) {
        let entry = self.entry_mut(place);
        let before = i32::from(entry.withheld());
        change(entry);
        let by = i32::from(entry.withheld()) - before;
        if let Some(pool) = self.pool_mut(place) {
            pool.withheld = pool.withheld.saturating_add_signed(by);
        }
    }

    /// Makes the address free, in `stock`, behind those that have been there longer.
    pub(super) fn free(&mut self, place: Place, stock: Stock) {
        self.leave(place, State::Free);
        self.entry_mut(place).stock = stock;
        self.append(place);
    }

    /// Moves the address to `stock`, where it is to be found while it is free.
    pub(super) fn restock(&mut self, place: Place, stock: Stock) {
        if self.state(place) == State::Free {
            self.free(place, stock);
        } else {
            self.entry_mut(place).stock = stock;
        }
    }

    /// Moves the address to `state`; back to free means to the front of the stock it was in.
    pub(super) fn set(&mut self, place: Place, state: State) {
        if self.state(place) != state {
            self.leave(place, state);
            match state {
                State::Free => self.prepend(place),
                State::Grace => self.append(place),
                State::Offered | State::Leased | State::Quarantined | State::Reserved => {}
            }
        }
    }

    /// Counts the address in its new state, and takes it off its list. The only place where a state changes.
    fn leave(&mut self, place: Place, state: State) {
        let old = std::mem::replace(&mut self.entry_mut(place).state, state);
        self.count(place, old, -1);
        self.count(place, state, 1);
        self.unlink(place, old);
    }

    /// The counts, taken anew from the states: those of each pool, and the total.
    pub(super) fn recount(&self) -> (Vec<Tally>, Tally) {
        let mut tallies = vec![Tally::default(); self.pools.len()];
        let mut total = Tally::default();
        for place in self.places() {
            total.count(self.state(place), 1);
            if let Some(tally) = self.pool(place).and_then(|pool| tallies.get_mut(pool)) {
                tally.count(self.state(place), 1);
            }
        }
        (tallies, total)
    }

    /// How many addresses each pool has in its lists of free ones, and in that of those in grace, walked.
    pub(super) fn listed(&self) -> Vec<(u32, u32)> {
        let length = |list: &List| u32::try_from(self.walk(list).count()).unwrap_or(u32::MAX);
        let pools = self.pools.iter();
        pools.map(|pool| (pool.lists.iter().map(length).sum(), length(&pool.grace))).collect()
    }

    #[cfg_attr(
        not(test),
        expect(
            clippy::indexing_slicing,
            reason = "an entry has the number of its run: `add_run` makes both"
        )
    )]
    fn run(&self, place: Place) -> &Run {
        &self.runs[self.entry(place).run as usize]
    }

    fn count(&mut self, place: Place, state: State, by: i32) {
        self.total.count(state, by);
        if let Some(pool) = self.pool_mut(place) {
            pool.tally.count(state, by);
        }
    }

    /// The list that an address in this state is in.
    fn list(&mut self, place: Place, state: State) -> Option<&mut List> {
        let stock = self.entry(place).stock;
        let pool = self.pool_mut(place)?;
        match state {
            State::Free => pool.lists.get_mut(stock as usize),
            State::Grace => Some(&mut pool.grace),
            State::Offered | State::Leased | State::Quarantined | State::Reserved => None,
        }
    }

    fn append(&mut self, place: Place) {
        let Some(list) = self.list(place, self.state(place)) else { return };
        list.length += 1;
        let before = std::mem::replace(&mut list.tail, place);
        if before == Place::NONE {
            list.head = place;
        } else {
            self.linked_mut(before).next = place;
        }
        let entry = self.linked_mut(place);
        (entry.previous, entry.next) = (before, Place::NONE);
    }

    fn prepend(&mut self, place: Place) {
        let Some(list) = self.list(place, self.state(place)) else { return };
        list.length += 1;
        let after = std::mem::replace(&mut list.head, place);
        if after == Place::NONE {
            list.tail = place;
        } else {
            self.linked_mut(after).previous = place;
        }
        let entry = self.linked_mut(place);
        (entry.previous, entry.next) = (Place::NONE, after);
    }

    /// Takes the address off the list that it was in, being in `state`.
    fn unlink(&mut self, place: Place, state: State) {
        let (previous, next) = (self.entry(place).previous, self.entry(place).next);
        if let Some(notes) = &mut self.notes {
            notes.leaves(place, next);
        }
        let Some(list) = self.list(place, state) else { return };
        list.length -= 1;
        if list.head == place {
            list.head = next;
        }
        if list.tail == place {
            list.tail = previous;
        }
        if previous != Place::NONE {
            self.linked_mut(previous).next = next;
        }
        if next != Place::NONE {
            self.linked_mut(next).previous = previous;
        }
        let entry = self.linked_mut(place);
        (entry.previous, entry.next) = (Place::NONE, Place::NONE);
    }
}
