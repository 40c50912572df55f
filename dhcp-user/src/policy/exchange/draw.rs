//! The choice of an address for a client that has none: one that was found unused, else one that it waits for during
//! a probe, else, in need, one in grace or in weakly founded quarantine.
//!
//! Candidates are probed ahead of demand, so that a DISCOVER finds one ready.

use std::sync::Arc;

use super::Exchange;
use crate::config::ClassSet;
use crate::message::Request;
use crate::policy::book::state::{State, Stock};
use crate::policy::evidence::demand::Demand;
use crate::policy::evidence::probe::{Purpose, Waiting};
use crate::policy::site::place::Place;
use crate::policy::site::subnet_id::SubnetId;
use crate::policy::turn::Turn;

/// How many addresses of a subnet are probed anew for one message.
const MOST_AT_ONCE: usize = 16;
/// How many addresses in grace are looked at to find one whose promise is over.
const MOST_LOOKED_AT: usize = 16;

/// The result for a client that has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum AddressChoice {
    Address(Place),
    /// It waits for a probe.
    Wait,
    /// All addresses are being probed for others.
    Probing,
    Exhausted,
}

impl From<Waiting> for AddressChoice {
    fn from(waiting: Waiting) -> Self {
        match waiting {
            Waiting::Here => Self::Wait,
            Waiting::Elsewhere => Self::Probing,
        }
    }
}

impl Exchange<'_> {
    /// An address of `segment` for a client that has none of its own: the one it asks for, else any.
    pub(super) fn draw(
        &mut self,
        turn: &mut Turn<'_>,
        request: &Arc<Request>,
        segment: &[SubnetId],
    ) -> AddressChoice {
        let asked = self.asked(turn, request, segment);
        let here: Vec<(SubnetId, ClassSet)> = segment
            .iter()
            .map(|id| (*id, self.site.classes_in(*id, request, None)))
            .filter(|(_, classes)| !self.site.classes.drop(*classes))
            .collect();
        if let Some(waiting) = self.inquiry().waits(request, segment) {
            return waiting.into();
        }
        if let Some(drawn) = asked.and_then(|place| self.draw_asked(turn, request, place)) {
            return drawn;
        }
        if let Some(place) = here.iter().find_map(|(id, classes)| self.draw_ready(turn, *id, *classes)) {
            return AddressChoice::Address(place);
        }
        if here.iter().any(|(id, classes)| self.wait_for_any(turn, request, *id, *classes)) {
            return AddressChoice::Wait;
        }
        let in_need = here.iter().find_map(|(id, classes)| self.draw_in_need(turn, request, *id, *classes));
        if let Some(drawn) = in_need {
            return drawn;
        }
        let busy = here.iter().any(|(id, classes)| self.book.stocked(*id, *classes, Stock::Awaited) > 0);
        if busy || self.evidence.probes.has_tried_enough() {
            AddressChoice::Probing
        } else {
            AddressChoice::Exhausted
        }
    }

    /// The free address that the client asked for: at once if it was found unused, else after a probe.
    fn draw_asked(
        &mut self,
        turn: &mut Turn<'_>,
        request: &Arc<Request>,
        place: Place,
    ) -> Option<AddressChoice> {
        if !self.evidence.probing(self.site, self.book.subnet(place)) || self.inquiry().is_clean(turn, place)
        {
            return Some(AddressChoice::Address(place));
        }
        if self.book.stock(place) == Stock::Lingering {
            return None;
        }
        let waits = if self.evidence.probes.is_running(place) {
            !self.evidence.probes.claimed(place) && self.inquiry().wait_for(request, place)
        } else {
            let stock = self.book.stock(place);
            self.inquiry().start_probe(turn, place, Purpose::Candidate(stock), Some(request))
        };
        waits.then_some(AddressChoice::Wait)
    }

    /// An address of `subnet` that may be offered at once: any free one, or one that was found unused lately where
    /// addresses are probed. Its place in the stock is filled.
    fn draw_ready(&mut self, turn: &mut Turn<'_>, subnet: SubnetId, classes: ClassSet) -> Option<Place> {
        if !self.evidence.probing(self.site, subnet) {
            return self.next_free(turn, subnet, classes);
        }
        let found = loop {
            let place = self.book.first_of(subnet, classes, Stock::Probed)?;
            if self.inquiry().is_clean(turn, place) {
                break place;
            }
            self.evidence.probes.forget_clean(place);
            self.book.restock(place, Stock::Freed);
        };
        self.book.no_longer_exhausted(found);
        self.fill_stock(turn, subnet, classes);
        Some(found)
    }

    /// Lets the client wait for a probe of `subnet` that is under way for nobody, or for one of its own.
    fn wait_for_any(
        &mut self,
        turn: &mut Turn<'_>,
        request: &Arc<Request>,
        subnet: SubnetId,
        classes: ClassSet,
    ) -> bool {
        if !self.evidence.probing(self.site, subnet) || self.evidence.probes.has_tried_enough() {
            return false;
        }
        self.note_miss(turn, subnet);
        let waits = if let Some(place) = self.book.first_of(subnet, classes, Stock::Probing) {
            self.inquiry().wait_for(request, place)
        } else if let Some(place) = self.next_free(turn, subnet, classes) {
            let stock = self.book.stock(place);
            self.inquiry().start_probe(turn, place, Purpose::Candidate(stock), Some(request))
        } else {
            return false;
        };
        self.fill_stock(turn, subnet, classes);
        waits
    }

    /// Probes as many addresses of `subnet` as clients in `classes` are likely to want soon. A client whose candidates
    /// turn out to be in use has no more of them probed than its own.
    fn fill_stock(&mut self, turn: &mut Turn<'_>, subnet: SubnetId, classes: ClassSet) {
        if !self.evidence.probes.is_first_try() {
            return;
        }
        let wanted = self.demand(turn, subnet).wanted(turn.now);
        for _ in 0..MOST_AT_ONCE {
            let have = self.book.stocked(subnet, classes, Stock::Probed)
                + self.book.stocked(subnet, classes, Stock::Probing);
            let next = self.book.next_free(subnet, classes).filter(|_| have < wanted);
            let Some(place) = next else { return };
            let stock = self.book.stock(place);
            if !self.inquiry().start_probe(turn, place, Purpose::Candidate(stock), None) {
                return;
            }
        }
    }

    /// A client found no probed address: the stock is too small, unless it has just become too old.
    fn note_miss(&mut self, turn: &Turn<'_>, subnet: SubnetId) {
        if !self.evidence.probes.is_first_try() {
            return;
        }
        self.demand(turn, subnet).note_miss(turn.now);
    }

    fn demand(&mut self, turn: &Turn<'_>, subnet: SubnetId) -> &mut Demand {
        self.evidence.demand.entry(subnet).or_insert_with(|| Demand::new(turn.now))
    }

    /// Nothing else is left in `subnet`: first addresses in quarantine on weak evidence, longest ago first, then
    /// those in grace, expired longest ago first (RFC 2131 §4.3.1 lets an expired address be given to another). After
    /// a probe where addresses are probed.
    fn draw_in_need(
        &mut self,
        turn: &mut Turn<'_>,
        request: &Arc<Request>,
        subnet: SubnetId,
        classes: ClassSet,
    ) -> Option<AddressChoice> {
        self.evidence.probes.forget_alive(turn.now);
        let place = self.in_need(turn, subnet, classes)?;
        if self.evidence.probing(self.site, subnet) {
            return self
                .inquiry()
                .start_probe(turn, place, Purpose::Need, Some(request))
                .then_some(AddressChoice::Wait);
        }
        self.inquiry().give_up_for(turn, place);
        (self.book.state(place) == State::Free).then_some(AddressChoice::Address(place))
    }

    fn in_need(&mut self, turn: &Turn<'_>, subnet: SubnetId, classes: ClassSet) -> Option<Place> {
        let is_at_hand = |this: &Self, place: Place| {
            !this.book.is_withheld(place)
                && !this.evidence.probes.is_running(place)
                && !this.evidence.probes.is_alive(place)
                && this.book.offer_at(place).is_none()
        };
        let open = |this: &Self, place: Place| this.book.is_open_to(place, classes);
        let in_doubt =
            self.book.in_doubt(subnet).find(|place| is_at_hand(self, *place) && open(self, *place));
        if in_doubt.is_some() {
            return in_doubt;
        }
        let is_over = |this: &Self, place: Place| {
            this.book.binding(place).is_none_or(|owner| owner.expiry <= turn.now) && is_at_hand(this, place)
        };
        // What can't be had goes behind the others, so that those are looked at, too.
        for _ in 0..MOST_LOOKED_AT {
            let place = self.book.first_in_grace(subnet, classes)?;
            if is_over(self, place) {
                return Some(place);
            }
            self.book.put_off(place);
        }
        None
    }
}
