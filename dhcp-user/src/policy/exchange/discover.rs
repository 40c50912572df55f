//! DHCPDISCOVER (RFC 2131 §4.3.1): the choice of the address to offer.

use std::sync::Arc;

use super::Exchange;
use super::draw::AddressChoice;
use crate::config::ClassSet;
use crate::message::Request;
use crate::policy::action::{Action, Reply, Silence};
use crate::policy::answer::{self, Type};
use crate::policy::book::binding::LeaseTime;
use crate::policy::book::circuits::Circuit;
use crate::policy::book::client_origin::ClientOrigin;
use crate::policy::book::identity::Identity;
use crate::policy::book::offers::Offer;
use crate::policy::book::state::{Apart, State};
use crate::policy::event::LeaseEvent;
use crate::policy::site::place::Place;
use crate::policy::site::reservations::is_for;
use crate::policy::site::subnet::SubnetId;
use crate::policy::terms::given::{lease_time, terms};
use crate::policy::terms::membership::is_own;
use crate::policy::terms::membership::{is_admitted, is_dropped, kept_agent};
use crate::policy::turn::Turn;

impl Exchange<'_> {
    pub(super) fn discover(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>) {
        let segment = self.site.segment(request);
        let Some(first) = segment.first() else { return turn.silence(request, Silence::NoSubnet) };
        self.inquiry().note_way(&segment, request);
        if self.offer_ipv6_only(turn, request, &segment) {
            return;
        }
        if let Some(place) = self.contested(turn, &segment, request) {
            return self.contest(turn, request, place);
        }
        let place = match self.own(turn, request, &segment) {
            Some(place) if self.over_cap(turn, self.book.subnet(place), request, Some(place)) => {
                return self.at_cap(turn, request, self.book.subnet(place));
            }
            Some(place) if self.over_circuit_cap(self.book.subnet(place), request, Some(place)) => {
                return self.at_circuit_cap(turn, request, self.book.subnet(place));
            }
            Some(place) => match self.over_class_cap(self.book.subnet(place), request, Some(place)) {
                Some(class) => return self.tell_class_cap(turn, request, class),
                None => place,
            },
            None => {
                let open = self.below_cap(turn, &segment, request);
                if open.is_empty() {
                    if self.over_cap(turn, *first, request, None) {
                        return self.at_cap(turn, request, *first);
                    }
                    if let Some(class) = self.over_class_cap(*first, request, None) {
                        return self.tell_class_cap(turn, request, class);
                    }
                    return self.at_circuit_cap(turn, request, *first);
                }
                match self.draw(turn, request, &open) {
                    AddressChoice::Address(place) => place,
                    AddressChoice::Wait => return,
                    AddressChoice::Probing => return turn.silence(request, Silence::Probing),
                    AddressChoice::Exhausted => return self.tell_exhausted(turn, request, &segment),
                }
            }
        };
        self.offer(turn, request, place);
    }

    fn offer(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>, place: Place) {
        let subnet = self.book.subnet(place);
        let lease_time = lease_time(self.site, self.book, place, request);
        let Some(server) = self.site.subnets.server(subnet, request.link) else {
            return turn.silence(request, Silence::NoServerId);
        };
        let kept_agent = kept_agent(self.site, self.book, place, request);
        let terms = terms(self.site, self.book, place, server, lease_time.secs, request, kept_agent.as_ref());
        let Some(answer) = answer::answer(Type::Offer, &terms, request) else {
            return turn.silence(request, Silence::Unanswerable);
        };
        let yiaddr = self.book.address(place);
        self.note_offer(turn, request, place, lease_time);
        self.predictions.note_discover(request);
        let reply = Reply::Offer { yiaddr, server, answer };
        turn.out.push(Action::Reply { request: Arc::clone(request), reply, granted: None });
    }

    /// The address that is the client's before it is anybody else's (RFC 2131 §4.3.1): reserved for it, offered to it,
    /// leased to it, or the last one it had.
    pub(super) fn own(
        &mut self,
        turn: &mut Turn<'_>,
        request: &Request,
        segment: &[SubnetId],
    ) -> Option<Place> {
        for claim in [Self::reserved_in, Self::offered_in, Self::owned_in] {
            for id in segment {
                if let Some(place) = claim(self, *id, request)
                    && self.available(turn, place, request)
                {
                    return Some(place);
                }
            }
        }
        None
    }

    fn reserved_in(&self, subnet: SubnetId, request: &Request) -> Option<Place> {
        self.book.find(self.site.subnets.reservation_for(subnet, request)?.address?)
    }

    fn owned_in(&self, subnet: SubnetId, request: &Request) -> Option<Place> {
        self.book.owned_by(subnet, request)
    }

    fn offered_in(&self, subnet: SubnetId, request: &Request) -> Option<Place> {
        self.book.offer_of(subnet, Identity::of(request)).map(|offer| offer.place)
    }

    /// The address that the client asks for (option 50), if anybody could have it.
    pub(super) fn asked(
        &mut self,
        turn: &mut Turn<'_>,
        request: &Request,
        segment: &[SubnetId],
    ) -> Option<Place> {
        let place = self.book.find(request.options.requested?)?;
        let here = segment.contains(&self.book.subnet(place)) && self.available(turn, place, request);
        (here && self.book.state(place) == State::Free).then_some(place)
    }

    /// Whether the client may have the address at `place`, now.
    pub(super) fn available(&mut self, turn: &mut Turn<'_>, place: Place, request: &Request) -> bool {
        self.tenure().settle(turn, place);
        match self.book.apart(place) {
            Apart::No => {}
            Apart::Elsewhere => return false,
            Apart::Promised if self.book.state(place) == State::Reserved => return false,
            Apart::Promised => {}
        }
        if self.is_kept_from(place, request) {
            return false;
        }
        if self.book.promised_to_another(place, turn.now, request) {
            return false;
        }
        if is_dropped(self.site, self.book, place, request) {
            return false;
        }
        let reservation = self.site.subnets.reservation_at(self.book.subnet(place), place);
        let entitled = reservation.map(|reservation| is_for(reservation, request));
        match (self.book.state(place), entitled) {
            (State::Quarantined, _) | (_, Some(false)) => false,
            // Our own address is no client's, whatever the configuration says, or said when it was promised.
            _ if is_own(self.site, self.book, place) => false,
            // A reservation holds whatever the pool around it says; but that of a port is for one device at a time.
            (_, Some(true)) => !self.book.is_anothers(place, request),
            (State::Free | State::Offered, None) => {
                is_admitted(self.site, self.book, place, request)
                    && !self.belongs_elsewhere(turn, place, request)
            }
            (State::Leased | State::Grace, None) => {
                self.book.binding(place).is_some_and(|binding| binding.identity() == Identity::of(request))
                    && is_admitted(self.site, self.book, place, request)
                    && !self.belongs_elsewhere(turn, place, request)
            }
            // Its reservation is gone from the configuration.
            (State::Reserved, None) => false,
        }
    }

    /// Whether the address is offered to another. One that is reserved for the device goes to the identifier that it comes
    /// with now, as its lease does.
    pub(super) fn is_kept_from(&self, place: Place, request: &Request) -> bool {
        let reservation = self.site.subnets.reservation_at(self.book.subnet(place), place);
        let is_its_own = || reservation.is_some_and(|reservation| is_for(reservation, request));
        self.book.is_offered_to_another(place, request)
            && !(self.book.is_offered_to_device(place, request) && is_its_own())
    }

    /// A free address of `subnet` for a client in `classes`, looking for overdue ones if there seems to be none.
    pub(super) fn next_free(
        &mut self,
        turn: &mut Turn<'_>,
        subnet: SubnetId,
        classes: ClassSet,
    ) -> Option<Place> {
        loop {
            if let Some(place) = self.book.next_free(subnet, classes) {
                self.book.no_longer_exhausted(place);
                return Some(place);
            }
            if !self.tenure().meet_deadline(turn) {
                return None;
            }
        }
    }

    /// Keeps the address for the client while it thinks.
    fn note_offer(&mut self, turn: &mut Turn<'_>, request: &Request, place: Place, lease_time: LeaseTime) {
        let subnet = self.book.subnet(place);
        let who = Identity::of(request);
        if self.book.is_offered_to_another(place, request) {
            self.book.take_offer(place);
        }
        if self.book.state(place) == State::Free {
            self.inquiry().claim(place);
        }
        let until = turn.after(self.site.settings.offer_hold);
        let client = who.into();
        let origin = ClientOrigin::of(request);
        let limited = self.site.subnets.get(subnet).max_leases_per_circuit.is_some();
        let circuit = Circuit::of(request).filter(|_| limited);
        let chaddr = request.chaddr;
        let classes = self.counts_of_offer(place, request);
        self.book.offer(Offer { place, subnet, client, chaddr, origin, circuit, classes, until, lease_time });
        self.inquiry().rearm(place);
        turn.watch_fullness(self.site, self.book, place);
    }

    /// There is no address for the client on its link: each pool that admits it is full. An event reports that once.
    pub(super) fn tell_exhausted(
        &mut self,
        turn: &mut Turn<'_>,
        request: &Arc<Request>,
        segment: &[SubnetId],
    ) {
        let (mut pools, mut untold) = (0, None);
        for id in segment {
            let classes = self.site.classes_in(*id, request, None);
            if self.site.classes.drop(classes) {
                continue;
            }
            let (count, news) = self.book.note_exhausted(*id, classes);
            pools += count;
            untold = untold.or(news.then_some(*id));
        }
        if let Some(subnet) = untold {
            let subnet = self.site.subnets.get(subnet).prefix;
            let event = LeaseEvent::Exhausted { subnet, client: request.as_ref().into() };
            turn.out.push(Action::Event(event));
        }
        let why = if self.is_reserved_one(request, segment) {
            Silence::ReservationHeld
        } else if pools == 0 {
            Silence::NoPool
        } else {
            Silence::Exhausted
        };
        turn.silence(request, why);
    }

    /// Whether some address of `segment` is reserved for the client.
    pub(super) fn is_reserved_one(&self, request: &Request, segment: &[SubnetId]) -> bool {
        segment.iter().any(|id| self.reserved_in(*id, request).is_some())
    }
}
