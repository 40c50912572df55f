//! What time does: offers lapse, leases run out, grace and probation end.

use dhcp_ebpf::lease::BootSecs;

use crate::policy::action::Action;
use crate::policy::book::addresses::{Place, State, Stock};
use crate::policy::book::binding::Party;
use crate::policy::event::{Happened, LeaseEvent};
use crate::policy::{DEADLINES_PER_CALL, Policy, Turn};
use crate::store::Change;

/// Shares of a pool in use that the operator is told of, in percent, and how far it must fall to be told again.
const ALARMS: [u8; 3] = [80, 95, 100];
const RELIEF: u8 = 5;

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
        let Some((at, place)) = self.book.deadlines.take_due(turn.now) else { return false };
        if self.book.all.entry_mut(place).disarm(at) {
            self.settle(turn, place);
            self.rearm(place);
        }
        true
    }

    /// Brings the state of the address up to the present second.
    pub(in crate::policy) fn settle(&mut self, turn: &mut Turn<'_>, place: Place) {
        if self.book.offers.at(place).is_some_and(|offer| offer.until <= turn.now) {
            self.lose_offer(place);
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
            match self.book.all.state(place) {
                State::Leased => self.expire(turn, place),
                State::Grace => self.end_grace(turn, place),
                State::Quarantined if self.probing(self.book.all.subnet(place)) => {
                    return self.parole(turn, place);
                }
                State::Quarantined => self.end_quarantine(turn, place),
                State::Free | State::Offered | State::Reserved => return,
            }
        }
    }

    /// When the state of the address ends by itself.
    fn ends(&self, place: Place) -> Option<BootSecs> {
        let grace = self.site.subnets.get(self.book.all.subnet(place)).grace;
        match self.book.all.state(place) {
            State::Leased => self.binding(place).map(|binding| binding.expiry),
            State::Grace => self.binding(place).map(|binding| binding.expiry.plus(grace)),
            State::Quarantined => self.book.quarantine.at(place).map(|probation| probation.until),
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
        if let Some(binding) = self.binding_mut(place) {
            binding.end(turn.now, promised);
            binding.ended_by = by;
        }
        self.book.index.remove_lease(&self.book.all, place);
        self.book.all.set(place, State::Grace);
        turn.out.push(Action::Commit(Change::Put(self.record(place))));
        self.rearm(place);
    }

    /// Sees to it that the calendar has an entry no later than the next moment that matters for the address.
    pub(in crate::policy) fn rearm(&mut self, place: Place) {
        if let Some(due) = self.due(place)
            && self.book.all.entry_mut(place).arm(due)
        {
            self.book.deadlines.add(due, place);
        }
    }

    /// The next moment that matters for the address.
    pub(in crate::policy) fn due(&self, place: Place) -> Option<BootSecs> {
        let lapse = self.book.offers.at(place).map(|offer| offer.until);
        let probed = self.evidence.probes.until(place);
        // While a probe decides on the end of a quarantine, its own end is what to wait for.
        let ends =
            self.ends(place).filter(|_| probed.is_none() || self.book.all.state(place) != State::Quarantined);
        let lingers = self.evidence.probes.lingers_until(place);
        let vacating = self.evidence.probes.vacating.due(place);
        ends.into_iter().chain(lapse).chain(probed).chain(lingers).chain(vacating).min()
    }

    /// The offer of the address was taken: its lapse is not waited for. The address is to be armed anew.
    pub(in crate::policy) fn take_offer(&mut self, place: Place) {
        if let Some(offer) = self.lose_offer(place) {
            self.book.all.entry_mut(place).disarm(offer.until);
        }
    }

    /// The lease has run out, unless the kernel has extended it.
    fn expire(&mut self, turn: &mut Turn<'_>, place: Place) {
        let address = self.book.all.address(place);
        let mut judged = turn.words.load(address);
        // A word that is dead for the moment, its memos being rewritten, still says what was promised.
        while judged.expiry() <= turn.now {
            match turn.words.revoke(address, judged) {
                Ok(_) => return self.enter_grace(turn, place),
                Err(current) => judged = current,
            }
        }
        if let Some(binding) = self.binding_mut(place) {
            binding.expiry = judged.expiry();
        }
    }

    /// Kept for its last owner. A reserved address is nobody else's anyway.
    fn enter_grace(&mut self, turn: &mut Turn<'_>, place: Place) {
        if let Some(binding) = self.binding_mut(place) {
            binding.committed_until = binding.expiry;
        }
        self.book.index.remove_lease(&self.book.all, place);
        if self.book.all.entry(place).withheld() {
            self.book.all.set(place, State::Reserved);
        } else {
            self.book.all.set(place, State::Grace);
        }
        turn.out.push(Action::Commit(Change::Put(self.record(place))));
        turn.tell(self.book.all.address(place), Happened::Expired, self.client(place));
    }

    /// Kept for nobody in particular any more.
    pub(in crate::policy) fn end_grace(&mut self, turn: &mut Turn<'_>, place: Place) {
        // Nobody's last address any more, if its owner has moved.
        let owner = self.binding(place).map(|binding| binding.identity());
        let found =
            owner.and_then(|owner| self.book.index.owned(&self.book.all, self.book.all.subnet(place), owner));
        if found != Some(place) {
            self.unbind(place);
        }
        self.put_back(place, Stock::Expired);
        self.watch_fullness(turn, place);
    }

    /// Tells when the pool of the address has become fuller than an alarm allows.
    pub(in crate::policy) fn watch_fullness(&mut self, turn: &mut Turn<'_>, place: Place) {
        let Some(pool) = self.book.all.pool_mut(place) else { return };
        let (size, free) = (u64::from(pool.tally.size()), u64::from(pool.tally.of(State::Free)));
        let used = u8::try_from((size - free) * 100 / size.max(1)).unwrap_or(100);
        let reached = ALARMS.into_iter().rev().find(|alarm| used >= *alarm).unwrap_or(0);
        if reached > pool.alarm {
            pool.alarm = reached;
            let (subnet, pool) = (pool.subnet, pool.range);
            let subnet = self.site.subnets.get(subnet).prefix;
            turn.out.push(Action::Event(LeaseEvent::PoolFull { subnet, pool, percent: reached }));
        } else if used.saturating_add(RELIEF) <= pool.alarm {
            pool.alarm = reached;
        }
    }
}
