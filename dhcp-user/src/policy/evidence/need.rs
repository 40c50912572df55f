//! Addresses that are given up for a client in need, nothing else being left.

use super::Inquiry;
use super::probe::{Proof, Sign};
use crate::policy::action::Outcome;
use crate::policy::book::state::State;
use crate::policy::site::place::Place;

use crate::policy::turn::Turn;

impl Inquiry<'_> {
    /// Frees the address for a client in need.
    pub(in crate::policy) fn give_up_for(&mut self, turn: &mut Turn<'_>, place: Place) {
        match self.book.state(place) {
            State::Grace => self.end_grace(turn, place),
            State::Quarantined => self.end_quarantine(turn, place),
            State::Free | State::Offered | State::Leased | State::Reserved => {}
        }
        self.rearm(place);
    }

    /// A probe of an address that somebody is in need of, and that is not free, has come to its end.
    pub(in crate::policy) fn probed_in_need(
        &mut self,
        turn: &mut Turn<'_>,
        place: Place,
        outcome: Outcome,
        proof: Proof,
    ) {
        // Its last owner may have come back for it meanwhile.
        let state = self.book.state(place);
        if self.book.offer_at(place).is_some() || !matches!(state, State::Grace | State::Quarantined) {
            return;
        }
        match outcome {
            Outcome::Silent | Outcome::Unreachable => {
                self.give_up_for(turn, place);
                self.note_clean(turn, place);
            }
            // Whoever floods a link with lies shuts nobody out by that. If somebody does use the address, its next client
            // finds that out (RFC 2131 §4.4.1), and declines it.
            Outcome::Answered(_) if proof == Proof::Weak => {
                self.give_up_for(turn, place);
                self.note_clean(turn, place);
            }
            Outcome::Answered(by) if state == State::Quarantined => {
                self.quarantine_answered(turn, place, by, proof);
            }
            Outcome::Answered(by) => {
                if by.is_some_and(|station| !self.book.is_of_holder(place, station)) {
                    return self.quarantine_answered(turn, place, by, proof);
                }
                // Its owner sleeps, and uses it still: nobody else gets it before the grace is over.
                self.evidence.probes.note_alive(place, turn.now, Sign::Seen);
            }
            Outcome::Unknown => {}
        }
    }
}
