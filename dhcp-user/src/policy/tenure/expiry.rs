//! The effects of time: offers lapse, leases expire, grace and probation end.

use super::Tenure;
use crate::policy::action::Action;
use crate::policy::book::state::State;
use crate::policy::event::{Client, Happened};
use crate::policy::evidence::deadline::ends;
use crate::policy::site::place::Place;
use crate::policy::turn::Turn;
use crate::policy::words::revoke_anyway;
use crate::store::Change;

/// How many deadlines are dealt with in one call, so that no message waits behind a million leases that end at once.
const DEADLINES_PER_CALL: usize = 256;

impl Tenure<'_> {
    pub(in crate::policy) fn meet_deadlines(&mut self, turn: &mut Turn<'_>) {
        for _ in 0..DEADLINES_PER_CALL {
            if !self.meet_deadline(turn) {
                return;
            }
        }
    }

    /// Deals with the earliest deadline; false if none has come.
    pub(in crate::policy) fn meet_deadline(&mut self, turn: &mut Turn<'_>) -> bool {
        let Some(due) = self.book.take_due(turn.now) else { return false };
        if let Some(place) = due {
            self.settle(turn, place);
            self.inquiry().rearm(place);
        }
        true
    }

    /// Brings the state of the address up to the present second.
    pub(in crate::policy) fn settle(&mut self, turn: &mut Turn<'_>, place: Place) {
        self.resolve_at(turn, place);
        if self.book.offer_at(place).is_some_and(|offer| offer.until <= turn.now) {
            self.book.withdraw_offer(place);
            turn.watch_fullness(self.site, self.book, place);
        }
        if self.evidence.probes.lingers_until(place).is_some_and(|until| until <= turn.now) {
            self.inquiry().end_lingering(place);
        }
        if self.evidence.probes.vacating.due(place).is_some_and(|due| due <= turn.now) {
            self.inquiry().probe_vacated(turn, place);
        }
        if self.evidence.probes.until(place).is_some_and(|until| until <= turn.now) {
            self.inquiry().give_up_probe(place);
        }
        while ends(self.site, self.book, place).is_some_and(|end| end <= turn.now) {
            match self.book.state(place) {
                State::Leased => self.expire(turn, place),
                State::Grace => self.inquiry().end_grace(turn, place),
                State::Quarantined if self.evidence.probing(self.site, self.book.subnet(place)) => {
                    return self.inquiry().parole(turn, place);
                }
                State::Quarantined => self.inquiry().end_quarantine(turn, place),
                State::Free | State::Offered | State::Reserved => return,
            }
        }
    }

    /// The lease has run out, unless the kernel has extended it.
    fn expire(&mut self, turn: &mut Turn<'_>, place: Place) {
        let address = self.book.address(place);
        let mut judged = turn.words.load(address);
        if wrong!(ExpiryUnasked) {
            revoke_anyway(turn.words, address);
            return self.enter_grace(turn, place);
        }
        // A word that is dead for the moment, its memos being rewritten, still says what was promised.
        while judged.expiry() <= turn.now {
            match turn.words.revoke(address, judged) {
                Ok(_) => return self.enter_grace(turn, place),
                Err(current) => judged = current,
            }
        }
        self.book.prolong(place, judged.expiry());
    }

    /// Kept for its last owner. A reserved address is nobody else's anyway.
    fn enter_grace(&mut self, turn: &mut Turn<'_>, place: Place) {
        self.book.expire(place);
        turn.out.push(Action::Commit(Change::Put(self.book.record(self.site, place))));
        turn.tell(self.book.address(place), Happened::Expired, Client::owner_of(self.book, place));
    }
}
