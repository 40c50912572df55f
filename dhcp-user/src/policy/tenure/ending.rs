//! Ends leases whose promise goes on: nobody else gets the address before that has run out.

use std::net::Ipv4Addr;

use dhcp_ebpf::lease::BootSecs;

use super::Tenure;
use crate::policy::action::Action;
use crate::policy::book::binding::{Binding, Party};
use crate::policy::book::state::State;
use crate::policy::book::transitions::Restored;
use crate::policy::event::{Client, Happened};
use crate::policy::site::place::Place;
use crate::policy::words::revoke_anyway;
use crate::store::Change;

use crate::policy::turn::Turn;

impl Tenure<'_> {
    /// The lease is over, and its word revoked; but nobody else gets the address before what the word `promised` has run
    /// out, since its client may count on it.
    pub(in crate::policy) fn end_in_grace(
        &mut self,
        turn: &mut Turn<'_>,
        place: Place,
        promised: BootSecs,
        by: Option<Party>,
    ) {
        self.book.end_in_grace(place, turn.now, promised, by);
        turn.out.push(Action::Commit(Change::Put(self.book.record(self.site, place))));
        self.inquiry().rearm(place);
    }

    /// The client has moved to another address, and the index leads there from now on. Its promise here is kept until
    /// it expires: the client may not learn of its new address, or another sender may have posed as it.
    pub(in crate::policy) fn vacate(&mut self, turn: &mut Turn<'_>, place: Place) {
        let address = self.book.address(place);
        match self.book.state(place) {
            State::Leased => {
                let promised = revoke_anyway(turn.words, address).expiry();
                self.book.move_away(place);
                let promised = if wrong!(MoveFrees) { turn.now } else { promised };
                self.end_in_grace(turn, place, promised, None);
                turn.tell(address, Happened::Moved, Client::owner_of(self.book, place));
            }
            State::Grace => self.book.move_away(place),
            State::Free | State::Offered | State::Quarantined | State::Reserved => {
                self.book.forget(place);
                turn.out.push(Action::Commit(Change::Delete(address)));
            }
        }
    }

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
        turn.out.push(Action::Commit(Change::Put(self.book.record(self.site, place))));
        turn.tell(address, Happened::Withdrawn, Some(client));
    }
}

/// The lease is over for the kernel; its promise remains.
pub(in crate::policy) fn ended(turn: &Turn<'_>, address: Ipv4Addr, mut binding: Binding) -> Binding {
    if wrong!(WithdrawnLive) {
        return binding;
    }
    let promised = revoke_anyway(turn.words, address).expiry();
    binding.end(turn.now, promised);
    binding
}
