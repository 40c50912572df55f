//! What the operator orders.

use std::net::Ipv4Addr;

use super::addresses::State;
use super::binding::Party;
use super::event::Happened;
use super::words::revoke_anyway;
use super::{Policy, Turn};

impl Policy {
    /// Ends the lease of `address`, if there is one. Its client may not know: the address is not reused before the
    /// last promise made to it has run out, and a client that asks to go on with it gets a NAK. It may ask anew.
    pub(super) fn operator_release(&mut self, turn: &mut Turn<'_>, address: Ipv4Addr) {
        let Some(place) = self.all.find(address) else { return };
        self.settle(turn, place);
        if self.all.state(place) != State::Leased {
            return;
        }
        let promised = revoke_anyway(turn.words, address).expiry();
        self.end_in_grace(turn, place, promised, Some(Party::Operator));
        turn.tell(address, Happened::ReleasedByOperator, self.client(place));
    }

    /// Ends the quarantine of `address`, if it is in one.
    pub(super) fn operator_clear(&mut self, turn: &mut Turn<'_>, address: Ipv4Addr) {
        let Some(place) = self.all.find(address) else { return };
        self.settle(turn, place);
        if self.all.state(place) == State::Quarantined {
            self.end_quarantine(turn, place);
        }
    }
}
