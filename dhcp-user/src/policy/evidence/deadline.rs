//! The next moment that matters for an address: its state ends by itself, or evidence on it is due.

use dhcp_ebpf::lease::BootSecs;

use super::{Evidence, Inquiry};
use crate::policy::book::Book;
use crate::policy::book::state::State;
use crate::policy::site::Site;
use crate::policy::site::place::Place;

impl Inquiry<'_> {
    /// Sees to it that the calendar has an entry no later than the next moment that matters for the address.
    pub(in crate::policy) fn rearm(&mut self, place: Place) {
        if let Some(due) = due(self.site, self.book, self.evidence, place).filter(|_| !wrong!(Unarmed)) {
            self.book.arm(place, due);
        }
    }
}

/// The next moment that matters for the address.
pub(in crate::policy) fn due(
    site: &Site,
    book: &Book,
    evidence: &Evidence,
    place: Place,
) -> Option<BootSecs> {
    let lapse = book.offer_at(place).map(|offer| offer.until);
    let probed = evidence.probes.until(place);
    // While a probe decides on the end of a quarantine, its own end is what to wait for.
    let ends =
        ends(site, book, place).filter(|_| probed.is_none() || book.state(place) != State::Quarantined);
    let lingers = evidence.probes.lingers_until(place);
    let vacating = evidence.probes.vacating.due(place);
    let due = ends.into_iter().chain(lapse).chain(probed).chain(lingers).chain(vacating).min();
    // What was over before this boot is looked at in its first second: moment 0 is none in the calendar.
    due.map(|due| due.max(BootSecs(1)))
}

/// When the state of the address ends by itself.
pub(in crate::policy) fn ends(site: &Site, book: &Book, place: Place) -> Option<BootSecs> {
    let grace = site.subnets.get(book.subnet(place)).grace;
    match book.state(place) {
        State::Leased => book.binding(place).map(|binding| binding.expiry),
        State::Grace => book.binding(place).map(|binding| binding.expiry.plus(grace)),
        State::Quarantined => book.probation(place).map(|probation| probation.until),
        State::Free | State::Offered | State::Reserved => None,
    }
}
