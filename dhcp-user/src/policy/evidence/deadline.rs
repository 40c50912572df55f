//! The next moment that matters for an address: its state ends by itself, or evidence on it is due.

use dhcp_ebpf::lease::BootSecs;

use crate::policy::book::state::State;
use crate::policy::site::place::Place;

use crate::policy::Policy;

impl Policy {
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

    /// When the state of the address ends by itself.
    pub(in crate::policy) fn ends(&self, place: Place) -> Option<BootSecs> {
        let grace = self.site.subnets.get(self.book.subnet(place)).grace;
        match self.book.state(place) {
            State::Leased => self.book.binding(place).map(|binding| binding.expiry),
            State::Grace => self.book.binding(place).map(|binding| binding.expiry.plus(grace)),
            State::Quarantined => self.book.probation(place).map(|probation| probation.until),
            State::Free | State::Offered | State::Reserved => None,
        }
    }
}
