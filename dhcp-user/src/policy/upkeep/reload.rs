//! Leases that a changed configuration ends: a lease is revoked before another client gets its address, and its
//! promise is kept until it expires.

use std::net::Ipv4Addr;

use crate::policy::action::Action;
use crate::policy::book::binding::Binding;
use crate::policy::book::record::{by_operator, record_of};
use crate::policy::book::state::State;
use crate::policy::book::transitions::{Page, Restored};
use crate::policy::event::{Client, Happened};
use crate::policy::site::place::Place;
use crate::policy::site::reservations::is_for_another;
use crate::policy::words::revoke_anyway;
use crate::policy::{Policy, Turn};
use crate::store::{Change, Standing};

impl Policy {
    /// The address is its owner's no more, being reserved for another; nobody gets it before the promise ends.
    pub(in crate::policy) fn withdraw_from(
        &mut self,
        turn: &mut Turn<'_>,
        place: Place,
        owner: Binding,
        station: Option<[u8; 6]>,
    ) {
        let (address, client) = (self.book.address(place), Client::from(&owner));
        self.rebind(turn, place, ended(turn, address, owner), station, Restored::Grace);
        turn.out.push(Action::Commit(Change::Put(self.book.record(&self.site, place))));
        turn.tell(address, Happened::Withdrawn, Some(client));
    }

    /// The address is no longer ours to give. `former` has the interfaces' names of when it was.
    pub(in crate::policy) fn withdraw(&mut self, turn: &mut Turn<'_>, former: &Self, known: Page) {
        let (standing, owner) = match (known.state, known.binding, known.probation) {
            (State::Leased, Some(binding), _) => {
                self.doubts.note_withdrawn();
                turn.tell(known.address, Happened::Withdrawn, Some(Client::from(binding.as_ref())));
                (Standing::Leased, Some(ended(turn, known.address, *binding)))
            }
            // The operator, or a move, may have ended it before its promise.
            (State::Grace, Some(binding), _) if by_operator(&binding) => (Standing::Ended, Some(*binding)),
            (State::Grace, Some(binding), _) => (Standing::Grace, Some(*binding)),
            (State::Quarantined, _, Some(probation)) => (probation.standing(), None),
            (_, Some(binding), _) => (Standing::Free, Some(*binding)),
            (_, None, _) => return,
        };
        let record = record_of(&former.site, known.address, standing, known.recurrences, owner.as_ref());
        turn.out.push(Action::Commit(Change::Put(record.clone())));
        self.unconfigured.add(turn, record);
    }

    pub(in crate::policy) fn is_reserved_for_another(&self, place: Place, binding: &Binding) -> bool {
        let reservation = self.site.subnets.reservation_at(self.book.subnet(place), place);
        reservation.is_some_and(|reservation| is_for_another(reservation, binding.owner()))
    }
}

/// The lease is over for the kernel; its promise remains.
fn ended(turn: &Turn<'_>, address: Ipv4Addr, mut binding: Binding) -> Binding {
    if wrong!(WithdrawnLive) {
        return binding;
    }
    let promised = revoke_anyway(turn.words, address).expiry();
    binding.end(turn.now, promised);
    binding
}
