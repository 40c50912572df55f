//! How many leases the clients of a class may hold together, where it limits that (`max-leases`).

use std::sync::Arc;

use super::Exchange;
use crate::config::ClassSet;
use crate::message::Request;
use crate::policy::action::{Action, Silence};
use crate::policy::book::identity::Identity;
use crate::policy::book::state::State;
use crate::policy::event::LeaseEvent;
use crate::policy::site::place::Place;
use crate::policy::site::subnet_id::SubnetId;
use crate::policy::terms::membership::classes_at;
use crate::policy::turn::Turn;

impl Exchange<'_> {
    /// The class of the client, if any, of which a lease of `place`, or of any address of `subnet`, would be one more than
    /// there may be.
    ///
    /// A lease that the client has goes on, whatever class it has come into. What it would leave doesn't count, and what
    /// was offered does.
    pub(super) fn over_class_cap(
        &self,
        subnet: SubnetId,
        request: &Request,
        place: Option<Place>,
    ) -> Option<usize> {
        if !self.site.classes.any_limits() {
            return None;
        }
        if place.is_some_and(|place| {
            self.book.state(place) == State::Leased && self.book.recognises(place, request)
        }) {
            return None;
        }
        let classes = match place {
            Some(place) => classes_at(self.site, self.book, place, request),
            None => self.site.classes_in(subnet, request, None),
        };
        let limiting = self.site.classes.limiting(classes);
        if limiting.is_empty() {
            return None;
        }
        let own = self.counted_as_own(request);
        let held = |class: usize| {
            let own = own.iter().filter(|set| set.last_first().any(|there| there == class)).count();
            self.book.held_of_class(class).saturating_sub(u32::try_from(own).unwrap_or(u32::MAX))
        };
        let is_full =
            |class: &usize| self.site.classes.limit(*class).is_some_and(|(_, cap)| held(*class) >= cap);
        limiting.last_first().find(is_full)
    }

    /// In which counts the leases and offers are that the client would leave for another.
    fn counted_as_own(&self, request: &Request) -> Vec<ClassSet> {
        let who = Identity::of(request);
        let of = |id: &SubnetId| {
            let leased = self.book.owned_by(*id, request).map(|place| self.book.counted_in(place));
            let offered = self.book.offer_of(*id, who).map(|offer| offer.classes);
            leased.into_iter().chain(offered)
        };
        self.site.segment(request).iter().flat_map(of).collect()
    }

    /// The classes in whose count an offer of `place` is to be: it is no lease more, where the client has that already.
    pub(super) fn counts_of_offer(&self, place: Place, request: &Request) -> ClassSet {
        if !self.site.classes.any_limits() || self.book.state(place) == State::Leased {
            return ClassSet::default();
        }
        self.site.classes.limiting(classes_at(self.site, self.book, place, request))
    }

    /// The names of the classes in whose count a lease of `place` is to be.
    pub(super) fn counts_of_lease(&self, place: Place, request: &Request) -> Box<[String]> {
        if !self.site.classes.any_limits() {
            return Box::default();
        }
        self.book.counted_classes(classes_at(self.site, self.book, place, request)).into_boxed_slice()
    }

    /// Each refusal is counted, and told of now and then.
    pub(super) fn tell_class_cap(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>, class: usize) {
        if let Some((name, cap)) = self.site.classes.limit(class)
            && self.throttles.classes_at_cap.is_to_be_told(turn.now, class)
        {
            let (class, client) = (name.to_owned(), request.as_ref().into());
            turn.out.push(Action::Event(LeaseEvent::ClassCap { class, client, cap }));
        }
        turn.silence(request, Silence::ClassCap);
    }
}
