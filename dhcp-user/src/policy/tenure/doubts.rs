//! Addresses in doubt after a reload: what the configuration in force has still to do about them.
//!
//! What there is to do is done when somebody asks for the address or the kernel reports on it ([`Tenure::settle`]), else
//! in its turn.

use std::collections::BTreeMap;

use dhcp_ebpf::lease::BootSecs;

use super::Tenure;
use crate::policy::book::binding::Binding;
use crate::policy::book::quarantine::Probation;
use crate::policy::book::record::{nobody, owner};
use crate::policy::book::state::State;
use crate::policy::book::transitions::{Page, Restored};
use crate::policy::site::place::Place;
use crate::policy::terms::reserved::is_reserved_for_another;
use crate::policy::turn::Turn;
use crate::store::{Record, Standing};

/// The result of a reload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Leases that go on. The kernel must forget their published answers with another basis (`Policy::basis`).
    pub kept: u64,
    /// Leases whose address is not theirs any more.
    pub withdrawn: u64,
}

/// The addresses in doubt, after the next configuration is in force.
#[derive(Debug, Default)]
pub(in crate::policy) struct Doubts {
    places: BTreeMap<Place, Doubt>,
    pub(in crate::policy) done: Reloaded,
}

impl Doubts {
    /// Whether something is still to be done about the address at `place`.
    pub(in crate::policy) fn is_in_doubt(&self, place: Place) -> bool {
        self.places.contains_key(&place)
    }

    pub(in crate::policy) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(in crate::policy) fn note_withdrawn(&mut self) {
        self.done.withdrawn += 1;
    }
}

/// Why the lease of an address is in doubt.
#[derive(Debug)]
enum Doubt {
    /// The address is reserved for another, or its owner has another address in the subnet.
    Owner,
    /// It was promised so before, by a configuration that had it.
    Returned(Box<Record>),
}

impl Tenure<'_> {
    /// Removes what doubt there is of the address at `place`: it is about to be used.
    pub(in crate::policy) fn resolve_at(&mut self, turn: &mut Turn<'_>, place: Place) {
        if let Some(doubt) = self.doubts.places.remove(&place) {
            self.resolve(turn, place, doubt);
        }
    }

    /// Removes the first doubt; false if there is none.
    pub(in crate::policy) fn resolve_next(&mut self, turn: &mut Turn<'_>) -> bool {
        let Some((place, doubt)) = self.doubts.places.pop_first() else { return false };
        self.resolve(turn, place, doubt);
        true
    }

    fn resolve(&mut self, turn: &mut Turn<'_>, place: Place, doubt: Doubt) {
        match doubt {
            // Its owner has got another since, which is what it uses: what was promised here is kept in mind.
            Doubt::Returned(record) if self.is_as_returned(place, &record) && self.has_moved_on(place) => {
                if let Some(owner) = self.book.binding(place).cloned() {
                    self.doubts.note_withdrawn();
                    self.doubts.done.kept = self.doubts.done.kept.saturating_sub(1);
                    self.withdraw_from(turn, place, owner, self.book.station(place));
                    self.inquiry().rearm(place);
                }
            }
            Doubt::Returned(record) if self.is_as_returned(place, &record) => {
                self.blank(place);
                self.restore_one(turn, place, &record);
            }
            Doubt::Owner | Doubt::Returned(_) => {
                let Some(owner) = self.book.binding(place).cloned() else { return };
                let (subnet, station) = (self.book.subnet(place), self.book.station(place));
                if self.book.state(place) != State::Leased {
                    return;
                }
                if is_reserved_for_another(self.site, self.book, place, &owner) {
                    self.doubts.note_withdrawn();
                    self.doubts.done.kept = self.doubts.done.kept.saturating_sub(1);
                    self.withdraw_from(turn, place, owner, station);
                } else if self.book.owned(subnet, owner.identity()) != Some(place) {
                    self.rebind(turn, place, owner, station, Restored::Leased);
                }
                self.inquiry().rearm(place);
            }
        }
    }

    /// Whether nothing has happened to the address since it was taken back.
    fn is_as_returned(&self, place: Place, record: &Record) -> bool {
        let same =
            |owner: &Binding| (owner.last_heard, owner.granted_until) == (record.last_heard, record.expiry);
        let is_bound = || self.book.binding(place).is_some_and(same);
        match (&record.standing, self.book.state(place)) {
            (Standing::Quarantined { .. }, state) => state == State::Quarantined,
            // Its owner may have moved, or an offer of it been taken.
            (Standing::Leased, state) => state == State::Leased && is_bound(),
            (Standing::Grace | Standing::Ended, state) => state == State::Grace && is_bound(),
            (Standing::Free, State::Leased | State::Grace | State::Quarantined) => false,
            (Standing::Free, State::Free | State::Offered | State::Reserved) => is_bound(),
        }
    }

    /// Whether the address is leased, and its owner has a lease of another one of the subnet.
    fn has_moved_on(&self, place: Place) -> bool {
        let owner = self.book.binding(place).map(Binding::identity);
        let found = owner.and_then(|owner| self.book.owned(self.book.subnet(place), owner));
        let elsewhere = found.filter(|found| *found != place);
        self.book.state(place) == State::Leased
            && elsewhere.is_some_and(|found| self.book.state(found) == State::Leased)
    }

    /// Nothing is known of the address.
    fn blank(&mut self, place: Place) {
        self.book.blank(place);
        self.evidence.probes.vacating.remove(place);
        self.doubts.places.remove(&place);
    }

    /// Copies the former policy's state of an address, over the earlier copy.
    pub(in crate::policy) fn bring(&mut self, now: BootSecs, known: Page) {
        let Some(place) = self.book.find(known.address) else { return };
        self.blank(place);
        self.book.set_recurrences(place, known.recurrences);
        let restored = match known.state {
            State::Leased => Restored::Leased,
            State::Grace => Restored::Grace,
            State::Free | State::Offered | State::Quarantined | State::Reserved => Restored::Free,
        };
        match (known.binding, known.probation) {
            (_, Some(probation)) => self.book.quarantine(place, probation),
            (Some(owner), None) => {
                let is_anothers = restored == Restored::Leased
                    && is_reserved_for_another(self.site, self.book, place, &owner);
                if self.book.take_over(place, owner, known.station, restored) || is_anothers {
                    self.doubts.places.insert(place, Doubt::Owner);
                }
            }
            (None, None) => {}
        }
        if restored == Restored::Grace {
            self.wait_for_vacancy(now, place);
        }
        self.inquiry().rearm(place);
    }

    /// Takes over what an earlier configuration has promised.
    pub(in crate::policy) fn take_back(&mut self, now: BootSecs, place: Place, record: &Record) {
        let state = match record.standing {
            Standing::Leased => State::Leased,
            Standing::Quarantined { .. } => State::Quarantined,
            Standing::Grace | Standing::Ended => State::Grace,
            Standing::Free => State::Free,
        };
        let probation = match record.standing {
            Standing::Quarantined { since, until, why, .. } => {
                let by = (!nobody(record.chaddr)).then_some(record.chaddr);
                let probation = Probation::believed(since, until, why, by);
                Some(probation.restored(self.site.settings.quarantine))
            }
            Standing::Leased | Standing::Grace | Standing::Ended | Standing::Free => None,
        };
        let mut owner = owner(self.site, record);
        if state == State::Leased {
            owner.expiry = owner.expiry.max(owner.committed_until);
            owner.committed_until = owner.expiry;
        }
        let binding = probation.is_none().then(|| Box::new(owner));
        let (address, recurrences) = (record.address, record.recurrences);
        self.bring(now, Page { address, state, binding, station: None, probation, recurrences });
        self.doubts.places.insert(place, Doubt::Returned(Box::new(record.clone())));
    }
}
