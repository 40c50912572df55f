//! The effects of time: offers lapse, leases expire, grace and probation end.

use dhcp_ebpf::lease::BootSecs;

use crate::policy::action::Action;
use crate::policy::book::binding::Party;
use crate::policy::book::state::State;
use crate::policy::event::{Happened, LeaseEvent};
use crate::policy::site::place::Place;
use crate::policy::words::revoke_anyway;
use crate::policy::{DEADLINES_PER_CALL, Policy, Turn};
use crate::store::Change;

impl Policy {
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
            self.rearm(place);
        }
        true
    }

    /// Brings the state of the address up to the present second.
    pub(in crate::policy) fn settle(&mut self, turn: &mut Turn<'_>, place: Place) {
        self.resolve_at(turn, place);
        if self.book.offer_at(place).is_some_and(|offer| offer.until <= turn.now) {
            self.book.withdraw_offer(place);
            self.watch_fullness(turn, place);
        }
        if self.evidence.probes.lingers_until(place).is_some_and(|until| until <= turn.now) {
            self.end_lingering(place);
        }
        if self.evidence.probes.vacating.due(place).is_some_and(|due| due <= turn.now) {
            self.probe_vacated(turn, place);
        }
        if self.evidence.probes.until(place).is_some_and(|until| until <= turn.now) {
            self.give_up_probe(place);
        }
        while self.ends(place).is_some_and(|end| end <= turn.now) {
            match self.book.state(place) {
                State::Leased => self.expire(turn, place),
                State::Grace => self.end_grace(turn, place),
                State::Quarantined if self.probing(self.book.subnet(place)) => {
                    return self.parole(turn, place);
                }
                State::Quarantined => self.end_quarantine(turn, place),
                State::Free | State::Offered | State::Reserved => return,
            }
        }
    }

    /// When the state of the address ends by itself.
    fn ends(&self, place: Place) -> Option<BootSecs> {
        let grace = self.site.subnets.get(self.book.subnet(place)).grace;
        match self.book.state(place) {
            State::Leased => self.book.binding(place).map(|binding| binding.expiry),
            State::Grace => self.book.binding(place).map(|binding| binding.expiry.plus(grace)),
            State::Quarantined => self.book.probation(place).map(|probation| probation.until),
            State::Free | State::Offered | State::Reserved => None,
        }
    }

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
        turn.out.push(Action::Commit(Change::Put(self.book.record(&self.site, place))));
        self.rearm(place);
    }

    /// Sees to it that the calendar has an entry no later than the next moment that matters for the address.
    pub(in crate::policy) fn rearm(&mut self, place: Place) {
        if let Some(due) = self.due(place).filter(|_| !wrong!(Unarmed)) {
            self.book.arm(place, due);
        }
    }

    /// The next moment that matters for the address.
    pub(in crate::policy) fn due(&self, place: Place) -> Option<BootSecs> {
        let lapse = self.book.offer_at(place).map(|offer| offer.until);
        let probed = self.evidence.probes.until(place);
        // While a probe decides on the end of a quarantine, its own end is what to wait for.
        let ends =
            self.ends(place).filter(|_| probed.is_none() || self.book.state(place) != State::Quarantined);
        let lingers = self.evidence.probes.lingers_until(place);
        let vacating = self.evidence.probes.vacating.due(place);
        let due = ends.into_iter().chain(lapse).chain(probed).chain(lingers).chain(vacating).min();
        // What was over before this boot is looked at in its first second: moment 0 is none in the calendar.
        due.map(|due| due.max(BootSecs(1)))
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
        turn.out.push(Action::Commit(Change::Put(self.book.record(&self.site, place))));
        turn.tell(self.book.address(place), Happened::Expired, self.client(place));
    }

    /// Kept for nobody in particular any more.
    pub(in crate::policy) fn end_grace(&mut self, turn: &mut Turn<'_>, place: Place) {
        self.book.end_grace(place);
        self.watch_fullness(turn, place);
    }

    /// Tells when the pool of the address has become fuller than an alarm allows.
    pub(in crate::policy) fn watch_fullness(&mut self, turn: &mut Turn<'_>, place: Place) {
        let Some((subnet, pool, percent)) = self.book.alarm(place) else { return };
        let subnet = self.site.subnets.get(subnet).prefix;
        turn.out.push(Action::Event(LeaseEvent::PoolFull { subnet, pool, percent }));
    }
}
