//! The transitions: what may happen to an address in the book.
//!
//! ```text
//!            offer                grant                  end_in_grace, expire          end_grace
//!   free ───────────► offered ───────────► leased ──────────────────────────► grace ────────────► free
//!     ▲   withdraw_offer │                   │  ▲                                │
//!     └──────────────────┘                   │  └────────────── grant ───────────┘
//!     ▲                   end                │
//!     └──────────────────────────────────────┘           any ── quarantine ──► quarantined ── end_quarantine ──► free
//! ```
//!
//! An address that the configuration withholds, for a client or a host, is reserved where this says free.

use std::net::Ipv4Addr;

use dhcp_ebpf::lease::BootSecs;

use super::Book;
use super::binding::{AnsweredBy, Binding, Party};
use super::offers::Offer;
use super::quarantine::Probation;
use super::state::{Apart, State, Stock};
use crate::config::{ClassSet, Pool};
use crate::policy::site::place::Place;
use crate::policy::site::subnet_id::SubnetId;

/// A lease that the kernel was seen to have extended.
#[derive(Clone, Copy, Debug)]
pub(in crate::policy) struct Extension {
    /// When its promise ends now.
    pub(in crate::policy) until: BootSecs,
    /// When its client was heard.
    pub(in crate::policy) heard: BootSecs,
    /// How many renewals were answered since the last report.
    pub(in crate::policy) renewals: u32,
    /// Whether the kernel's answer is the last that the client got.
    pub(in crate::policy) is_last_answer: bool,
}

/// How an address comes back from a store, another server or a former configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Restored {
    /// Leased to its owner.
    Leased,
    /// Kept for its last owner.
    Grace,
    /// Free, its last owner being known.
    Free,
}

/// The state of one address, for a copy into another book.
#[derive(Debug)]
pub(in crate::policy) struct Page {
    pub(in crate::policy) address: Ipv4Addr,
    pub(in crate::policy) state: State,
    pub(in crate::policy) binding: Option<Box<Binding>>,
    pub(in crate::policy) station: Option<[u8; 6]>,
    pub(in crate::policy) probation: Option<Probation>,
    pub(in crate::policy) recurrences: u32,
}

impl Page {
    /// Whether the address has no state worth keeping.
    pub(in crate::policy) fn is_blank(&self) -> bool {
        self.binding.is_none() && self.probation.is_none() && self.station.is_none() && self.recurrences == 0
    }
}

/// Offers.
impl Book {
    /// Keeps an address for a client until it answers. An earlier offer to it in the subnet is withdrawn.
    pub(in crate::policy) fn offer(&mut self, offer: Offer) {
        let former = self.offers.of(offer.subnet, offer.client.identity()).map(|former| former.place);
        match former {
            Some(former) if former == offer.place => drop(self.remove_offer(former)),
            Some(former) => drop(self.withdraw_offer(former)),
            None => {}
        }
        if self.state(offer.place) == State::Free {
            self.all.set(offer.place, State::Offered);
        }
        self.index.classes.offer(offer.classes);
        self.offers.add(offer);
    }

    /// Forgets the offer at `place`, and gives it back; an address that was kept for nothing else is free again.
    pub(in crate::policy) fn withdraw_offer(&mut self, place: Place) -> Option<Offer> {
        let offer = self.remove_offer(place)?;
        if self.state(place) == State::Offered {
            self.all.set(place, State::Free);
        }
        Some(offer)
    }

    fn remove_offer(&mut self, place: Place) -> Option<Offer> {
        let offer = self.offers.remove(place)?;
        self.index.classes.withdraw(offer.classes);
        Some(offer)
    }

    /// The offer of the address is taken: its lapse is not waited for. The address is to be armed anew.
    pub(in crate::policy) fn take_offer(&mut self, place: Place) {
        if let Some(offer) = self.withdraw_offer(place) {
            self.all.entry_mut(place).moments.disarm(offer.until);
        }
    }
}

/// Leases.
impl Book {
    /// Leases the address to `owner`, which has no other address in the subnet. `station` is the station that got the
    /// lease, if chaddr names another.
    pub(in crate::policy) fn grant(&mut self, place: Place, owner: Box<Binding>, station: Option<[u8; 6]>) {
        self.forget(place);
        self.all.set(place, State::Leased);
        self.all.entry_mut(place).binding = Some(owner);
        self.stations.set(place, station);
        self.index.add_owner(&self.all, place);
        self.index.add_lease(&self.all, place);
    }

    /// The kernel has extended the lease.
    pub(in crate::policy) fn extend(&mut self, place: Place, extension: Extension) {
        let Some(binding) = self.binding_mut(place) else { return };
        binding.expiry = binding.expiry.max(extension.until);
        binding.last_heard = binding.last_heard.max(extension.heard);
        binding.kernel_renewals = binding.kernel_renewals.saturating_add(extension.renewals);
        if extension.is_last_answer {
            binding.answered_by = AnsweredBy::Kernel;
        }
    }

    /// The promise lasts at least until then.
    pub(in crate::policy) fn prolong(&mut self, place: Place, until: BootSecs) {
        if let Some(binding) = self.binding_mut(place) {
            binding.expiry = binding.expiry.max(until);
        }
    }

    /// Promises may be made until then, as what is to be committed says.
    pub(in crate::policy) fn foresee(&mut self, place: Place, until: BootSecs) {
        if let Some(binding) = self.binding_mut(place) {
            binding.committed_until = binding.committed_until.max(until);
        }
    }

    /// An ACK of the daemon's promises until then, which is in the word.
    pub(in crate::policy) fn note_promise(&mut self, place: Place, until: BootSecs) {
        if let Some(binding) = self.binding_mut(place) {
            binding.expiry = binding.expiry.max(until);
            binding.granted_until = binding.granted_until.max(until);
        }
    }

    /// The daemon's answer to the client of this lease leaves.
    pub(in crate::policy) fn note_answer(&mut self, place: Place) {
        if let Some(binding) = self.binding_mut(place) {
            binding.answered_by = AnsweredBy::Daemon;
        }
    }

    /// The lease has expired: the address is kept for its last owner. A withheld address needs no grace.
    pub(in crate::policy) fn expire(&mut self, place: Place) {
        if let Some(binding) = self.binding_mut(place) {
            binding.committed_until = binding.expiry;
        }
        self.index.remove_lease(&self.all, place);
        let next = if self.is_withheld(place) { State::Reserved } else { State::Grace };
        self.all.set(place, next);
    }

    /// The lease is over before its time, and nobody else gets the address before what was `promised` has run out.
    pub(in crate::policy) fn end_in_grace(
        &mut self,
        place: Place,
        now: BootSecs,
        promised: BootSecs,
        by: Option<Party>,
    ) {
        if let Some(binding) = self.binding_mut(place) {
            binding.end(now, if wrong!(GraceForgotten) { now } else { promised });
            binding.ended_by = by;
        }
        self.index.remove_lease(&self.all, place);
        self.all.set(place, State::Grace);
    }

    /// The lease, or its grace, is over, and the address free at once. Its last owner is remembered.
    pub(in crate::policy) fn end(&mut self, place: Place, now: BootSecs, by: Option<Party>) {
        if let Some(binding) = self.binding_mut(place) {
            (binding.expiry, binding.committed_until) = (now, now);
            binding.ended_by = by;
        }
        self.index.remove_lease(&self.all, place);
        self.free(place, Stock::Freed);
    }

    /// The grace is over: kept for nobody in particular any more.
    pub(in crate::policy) fn end_grace(&mut self, place: Place) {
        // Nobody's last address any more, if its owner has moved.
        let owner = self.binding(place).map(Binding::identity);
        if owner.and_then(|owner| self.owned(self.subnet(place), owner)) != Some(place) {
            self.forget(place);
        }
        self.free(place, Stock::Expired);
    }

    /// The owner has moved, and is found there from now on.
    pub(in crate::policy) fn move_away(&mut self, place: Place) {
        self.index.remove_owner(&self.all, place);
    }

    /// The interfaces have other indices. Gives the leases whose link has another one.
    pub(in crate::policy) fn relink(&mut self, now: impl Fn(u32) -> u32) -> Vec<Ipv4Addr> {
        let mut moved = Vec::new();
        for place in self.all.places() {
            let Some(binding) = self.binding_mut(place) else { continue };
            let before = binding.link.ifindex;
            binding.link.ifindex = now(before);
            if binding.link.ifindex != before && self.state(place) == State::Leased {
                moved.push(self.address(place));
            }
        }
        moved
    }

    fn binding_mut(&mut self, place: Place) -> Option<&mut Binding> {
        self.all.entry_mut(place).binding.as_deref_mut()
    }
}

/// Quarantine.
impl Book {
    /// Takes the address out of use, even if a client has it or was offered it.
    pub(in crate::policy) fn quarantine(&mut self, place: Place, probation: Probation) {
        let subnet = self.subnet(place);
        self.withdraw_offer(place);
        self.quarantine.remove(subnet, place);
        self.all.set(place, State::Quarantined);
        self.quarantine.add(subnet, place, probation);
        self.forget(place);
    }

    /// The probation lasts at least until then.
    pub(in crate::policy) fn postpone(&mut self, place: Place, until: BootSecs) {
        self.quarantine.postpone(place, until);
    }

    /// How often the address was in quarantine.
    pub(in crate::policy) fn set_recurrences(&mut self, place: Place, count: u32) {
        self.quarantine.set_recurrences(place, count);
    }

    /// The present time was no time: there was no evidence.
    pub(in crate::policy) fn strike_recurrence(&mut self, place: Place) {
        self.quarantine.strike(place);
    }

    /// The address may be used again.
    pub(in crate::policy) fn end_quarantine(&mut self, place: Place) {
        self.quarantine.remove(self.subnet(place), place);
        self.free(place, Stock::Freed);
    }
}

/// Free and withheld addresses.
impl Book {
    /// The address is nobody's any more: reserved if the configuration says so, else free.
    pub(in crate::policy) fn free(&mut self, place: Place, stock: Stock) {
        if self.is_withheld(place) {
            self.all.set(place, State::Reserved);
        } else {
            self.all.free(place, stock);
        }
        // It may have been offered to its last owner meanwhile.
        if self.offer_at(place).is_some() && self.state(place) == State::Free {
            self.all.set(place, State::Offered);
        }
    }

    /// Forgets the owner, or last owner, of the address.
    pub(in crate::policy) fn forget(&mut self, place: Place) {
        if self.binding(place).is_some() {
            self.index.remove_owner(&self.all, place);
            self.index.remove_lease(&self.all, place);
        }
        self.stations.set(place, None);
        self.all.entry_mut(place).binding = None;
    }

    /// Moves the address to `stock`, where it is to be found while it is free.
    pub(in crate::policy) fn restock(&mut self, place: Place, stock: Stock) {
        self.all.restock(place, stock);
    }

    /// The address in grace is looked at again after all others of its pool.
    pub(in crate::policy) fn put_off(&mut self, place: Place) {
        self.all.put_off(place);
    }

    /// Several nodes lease these addresses.
    pub(in crate::policy) fn share(&mut self) {
        self.shared = true;
    }

    /// Whether other nodes have a say in the address, from now on. A client that was promised it keeps it.
    pub(in crate::policy) fn set_apart(&mut self, place: Place, apart: Apart) {
        self.all.set_apart(place, apart);
        if apart != Apart::No {
            self.withdraw_offer(place);
        }
        match self.state(place) {
            State::Free if apart != Apart::No => self.all.set(place, State::Reserved),
            State::Reserved if apart == Apart::No => self.free(place, Stock::Freed),
            _ => {}
        }
    }

    /// The address is a host's from now on. A client that was promised it keeps it.
    pub(in crate::policy) fn keep_back(&mut self, place: Place) {
        self.all.keep(place, true);
        self.withdraw_offer(place);
        if self.state(place) == State::Free {
            self.all.set(place, State::Reserved);
        }
    }

    /// The address is no host's any more.
    pub(in crate::policy) fn give_back(&mut self, place: Place) {
        self.all.keep(place, false);
        if self.state(place) == State::Reserved {
            self.free(place, Stock::Freed);
        }
    }
}

/// From one book to another.
impl Book {
    /// All that is known of the address; the owner is given away.
    pub(in crate::policy) fn tear_out(&mut self, place: Place) -> Page {
        Page {
            address: self.address(place),
            state: self.state(place),
            probation: self.probation(place).cloned(),
            recurrences: self.recurrences(place),
            station: self.station(place),
            binding: self.all.entry_mut(place).binding.take(),
        }
    }

    /// Gives an address without an owner one. The index leads to this address unless it leads to another one of that
    /// owner in the subnet.
    pub(in crate::policy) fn restore(
        &mut self,
        place: Place,
        owner: Box<Binding>,
        station: Option<[u8; 6]>,
        restored: Restored,
    ) {
        let is_found = self.owned(self.subnet(place), owner.identity()).is_some();
        self.all.set(
            place,
            match restored {
                Restored::Leased => State::Leased,
                Restored::Grace => State::Grace,
                Restored::Free => State::Reserved,
            },
        );
        self.all.entry_mut(place).binding = Some(owner);
        self.stations.set(place, station);
        if !is_found {
            self.index.add_owner(&self.all, place);
        }
        match restored {
            Restored::Leased => self.index.add_lease(&self.all, place),
            Restored::Grace => {}
            Restored::Free => self.free(place, Stock::Freed),
        }
    }
}

/// The calendar.
impl Book {
    /// Has the address looked at no later than `due`.
    pub(in crate::policy) fn arm(&mut self, place: Place, due: BootSecs) {
        if self.all.entry_mut(place).moments.arm(due) {
            self.deadlines.add(due, place);
        }
    }

    /// Takes out the earliest moment if it has come: the address that it is for, if it waits for no earlier one.
    pub(in crate::policy) fn take_due(&mut self, now: BootSecs) -> Option<Option<Place>> {
        let (at, place) = self.deadlines.take_due(now)?;
        Some(self.all.entry_mut(place).moments.disarm(at).then_some(place))
    }
}

/// Alarms of pools.
impl Book {
    /// There was an address in the pool of `place` for somebody.
    pub(in crate::policy) fn no_longer_exhausted(&mut self, place: Place) {
        if let Some(pool) = self.all.pool_mut(place) {
            pool.exhausted = false;
        }
    }

    /// There is none in `subnet` for a client in `classes`. Gives how many pools are for it, and whether that is news of any.
    pub(in crate::policy) fn note_exhausted(&mut self, subnet: SubnetId, classes: ClassSet) -> (usize, bool) {
        let (mut pools, mut news) = (0, false);
        for pool in self.all.pools_for_mut(subnet, classes) {
            pools += 1;
            news |= !std::mem::replace(&mut pool.exhausted, true);
        }
        (pools, news)
    }

    /// The share of the pool of `place` that is in use, in percent, if it raises an alarm.
    pub(in crate::policy) fn alarm(&mut self, place: Place) -> Option<(SubnetId, Pool, u8)> {
        let pool = self.all.pool_mut(place)?;
        let percent = pool.alarm()?;
        Some((pool.subnet, pool.range, percent))
    }
}
