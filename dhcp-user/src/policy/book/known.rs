//! Read access to the book: each address's state, owner, offer and probation, and the addresses of each client.

use std::net::Ipv4Addr;

use dhcp_ebpf::lease::BootSecs;

use super::Book;
use super::binding::Binding;
use super::circuits::Circuit;
use super::client_origin::ClientOrigin;
use super::identity::{Identity, Keyed};
use super::offers::Offer;
use super::pools::PoolState;
use super::quarantine::Probation;
use super::state::{Apart, State, Stock, Tally};
use crate::config::ClassSet;
use crate::policy::site::place::Place;
use crate::policy::site::subnet_id::SubnetId;
use crate::store::HwAddr;

/// Addresses, and where they are.
impl Book {
    /// The place of `address`, if it is of a pool or a reservation.
    pub(in crate::policy) fn find(&self, address: Ipv4Addr) -> Option<Place> {
        self.all.find(address)
    }

    /// The address at `place`.
    pub(in crate::policy) fn address(&self, place: Place) -> Ipv4Addr {
        self.all.address(place)
    }

    /// The subnet that the address at `place` is served in.
    pub(in crate::policy) fn subnet(&self, place: Place) -> SubnetId {
        self.all.subnet(place)
    }

    /// The pool that it is in, if it is in one.
    pub(in crate::policy) fn pool(&self, place: Place) -> Option<&PoolState> {
        self.all.pool(place).and_then(|pool| self.all.pools().get(pool))
    }

    /// All pools, in the order of the configuration.
    pub(in crate::policy) fn pools(&self) -> &[PoolState] {
        self.all.pools()
    }

    /// All places, lowest address first.
    pub(in crate::policy) fn places(&self) -> impl Iterator<Item = Place> + use<> {
        self.all.places()
    }

    /// The places of addresses above `address`, lowest first; all if there is none.
    pub(in crate::policy) fn places_after(
        &self,
        address: Option<Ipv4Addr>,
    ) -> impl Iterator<Item = Place> + use<> {
        self.all.places_after(address)
    }

    /// The state of the address.
    pub(in crate::policy) fn state(&self, place: Place) -> State {
        self.all.state(place)
    }

    /// Where it is looked for while it is free.
    pub(in crate::policy) fn stock(&self, place: Place) -> Stock {
        self.all.entry(place).stock()
    }

    /// Whether the configuration reserves it for a client.
    pub(in crate::policy) fn is_reserved(&self, place: Place) -> bool {
        self.all.entry(place).reserved()
    }

    /// Whether it is a server's or a router's.
    pub(in crate::policy) fn is_of_host(&self, place: Place) -> bool {
        self.all.entry(place).kept()
    }

    /// Whether other nodes have a say in it.
    pub(in crate::policy) fn apart(&self, place: Place) -> Apart {
        self.all.entry(place).apart()
    }

    /// Whether several nodes lease these addresses.
    pub(in crate::policy) fn is_shared(&self) -> bool {
        self.shared
    }

    /// Whether it is never given to just any client: reserved for one, or a host's.
    pub(in crate::policy) fn is_withheld(&self, place: Place) -> bool {
        self.all.entry(place).withheld()
    }

    /// How many addresses there are in which state, those outside pools included.
    pub(in crate::policy) fn total(&self) -> Tally {
        self.all.total()
    }

    /// The counts, taken anew from the states: those of each pool, and the total.
    pub(in crate::policy) fn recount(&self) -> (Vec<Tally>, Tally) {
        self.all.recount()
    }

    /// How many addresses each pool has in its lists of free ones, and in that of those in grace, walked.
    pub(in crate::policy) fn listed(&self) -> Vec<(u32, u32)> {
        self.all.listed()
    }
}

/// Which address is used next.
impl Book {
    /// The free address of `subnet` that a client in `classes` is to have next: never used, else freed longest ago,
    /// else expired longest ago.
    pub(in crate::policy) fn next_free(&self, subnet: SubnetId, classes: ClassSet) -> Option<Place> {
        self.all.next_free(subnet, classes)
    }

    /// The free address of `subnet` for a client in `classes` that has been in `stock` longest.
    pub(in crate::policy) fn first_of(
        &self,
        subnet: SubnetId,
        classes: ClassSet,
        stock: Stock,
    ) -> Option<Place> {
        self.all.first_of(subnet, classes, stock)
    }

    /// How many free addresses of `subnet` for clients in `classes` are in `stock`.
    pub(in crate::policy) fn stocked(&self, subnet: SubnetId, classes: ClassSet, stock: Stock) -> u32 {
        self.all.stocked(subnet, classes, stock)
    }

    /// The address of `subnet` for a client in `classes` that has been in grace longest.
    pub(in crate::policy) fn first_in_grace(&self, subnet: SubnetId, classes: ClassSet) -> Option<Place> {
        self.all.first_in_grace(subnet, classes)
    }

    /// Whether the address is in a pool for clients in `classes`.
    pub(in crate::policy) fn is_open_to(&self, place: Place, classes: ClassSet) -> bool {
        self.all.is_open_to(place, classes)
    }
}

/// Owners.
impl Book {
    /// The owner of the address, or its last owner.
    pub(in crate::policy) fn binding(&self, place: Place) -> Option<&Binding> {
        self.all.entry(place).binding.as_deref()
    }

    /// The address bound to the client `who` in `subnet`: its own, or the last one it had.
    pub(in crate::policy) fn owned(&self, subnet: SubnetId, who: Identity<'_>) -> Option<Place> {
        self.index.owned(&self.all, subnet, who)
    }

    /// The addresses leased to the device `chaddr` in `subnet`, lowest first.
    pub(in crate::policy) fn leased_to_device(&self, subnet: SubnetId, chaddr: HwAddr) -> Vec<Place> {
        self.index.leased_to_device(&self.all, subnet, chaddr)
    }

    /// The leases of `subnet` on `circuit`, where a limit is configured.
    pub(in crate::policy) fn leased_on(
        &self,
        subnet: SubnetId,
        circuit: &Circuit,
    ) -> impl Iterator<Item = Place> {
        self.index.circuits().leased(subnet, circuit)
    }

    /// Whether the address counts on `circuit`.
    pub(in crate::policy) fn is_on(&self, place: Place, circuit: &Circuit) -> bool {
        self.index.circuits().is_on(place, circuit)
    }

    /// Whether the address counts on the circuit that its owner is on, as far as that matters.
    pub(in crate::policy) fn circuit_agrees(&self, place: Place) -> bool {
        self.index.circuits().agrees(&self.all, place)
    }

    /// How many leases and offers there are of a class that limits them.
    pub(in crate::policy) fn held_of_class(&self, class: usize) -> u32 {
        self.index.classes.held(class)
    }

    /// The classes in whose count the lease of the address is.
    pub(in crate::policy) fn counted_in(&self, place: Place) -> ClassSet {
        self.index.classes.of(place)
    }

    /// The names of those of `set` that limit leases.
    pub(in crate::policy) fn counted_classes(&self, set: ClassSet) -> Vec<String> {
        self.index.classes.names(set)
    }

    /// Whether the address counts in the classes that its owner got it in, as far as that matters.
    pub(in crate::policy) fn classes_agree(&self, place: Place) -> bool {
        self.index.classes.agrees(&self.all, place)
    }

    /// The names of classes whose counts are not what addresses and offers say.
    pub(in crate::policy) fn classes_that_do_not_add_up(&self) -> impl Iterator<Item = &str> {
        self.index.classes.uneven(self.offers.all().map(|offer| offer.classes)).into_iter()
    }

    /// The offer of the address.
    pub(in crate::policy) fn offer_at(&self, place: Place) -> Option<&Offer> {
        self.offers.at(place)
    }

    /// The offer that the client `who` has in `subnet`.
    pub(in crate::policy) fn offer_of(&self, subnet: SubnetId, who: Identity<'_>) -> Option<&Offer> {
        self.offers.of(subnet, who)
    }

    /// How many offers of `subnet` were made to the device there.
    pub(in crate::policy) fn offers_of_device(
        &self,
        subnet: SubnetId,
        chaddr: HwAddr,
        origin: ClientOrigin,
    ) -> u32 {
        self.offers.of_device(subnet, chaddr, origin)
    }

    /// The addresses of `subnet` that are offered on `circuit`.
    pub(in crate::policy) fn offered_on(
        &self,
        subnet: SubnetId,
        circuit: &Circuit,
    ) -> impl Iterator<Item = Place> {
        self.offers.on_circuit(subnet, circuit)
    }

    /// The station that got the lease of `place`, if it isn't the one that its chaddr names.
    pub(in crate::policy) fn station(&self, place: Place) -> Option<[u8; 6]> {
        self.stations.at(place)
    }

    /// The key that identities are hashed with.
    pub(in crate::policy) fn key(&self) -> Keyed {
        self.index.key()
    }
}

/// Addresses out of use.
impl Book {
    /// The address's time in quarantine, if it is in it.
    pub(in crate::policy) fn probation(&self, place: Place) -> Option<&Probation> {
        self.quarantine.at(place)
    }

    /// All addresses in quarantine, in order.
    pub(in crate::policy) fn quarantined(&self) -> impl Iterator<Item = (Place, &Probation)> {
        self.quarantine.iter()
    }

    /// The addresses of `subnet` that are in on weak evidence, longest ago first.
    pub(in crate::policy) fn in_doubt(&self, subnet: SubnetId) -> impl Iterator<Item = Place> {
        self.quarantine.doubtful(subnet)
    }

    /// How often the address was quarantined, the present time included.
    pub(in crate::policy) fn recurrences(&self, place: Place) -> u32 {
        self.quarantine.recurrences(place)
    }

    /// How many addresses of `subnet` are in quarantine because this device declined them.
    pub(in crate::policy) fn declined_by(&self, subnet: SubnetId, chaddr: HwAddr) -> u32 {
        self.quarantine.declined_by(subnet, chaddr)
    }
}

/// The calendar.
impl Book {
    /// The moment that the address is looked at next.
    pub(in crate::policy) fn armed(&self, place: Place) -> Option<BootSecs> {
        self.all.entry(place).moments.armed()
    }

    /// The moment that any address is looked at next.
    pub(in crate::policy) fn next_deadline(&self) -> Option<BootSecs> {
        self.deadlines.next()
    }

    /// How many moments are in the calendar.
    #[cfg(test)]
    pub(in crate::policy) fn deadlines(&self) -> usize {
        self.deadlines.len()
    }
}
