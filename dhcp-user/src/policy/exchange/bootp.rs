//! BOOTP (RFC 951, RFC 1534 §2): its clients know no leases, and keep an address without end.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::Exchange;
use super::draw::AddressChoice;
use crate::config::Bootp;
use crate::message::Request;
use crate::policy::action::{Action, Reply, Silence};
use crate::policy::answer;
use crate::policy::book::binding::LeaseTime;
use crate::policy::site::place::Place;
use crate::policy::site::subnet::{Segment, SubnetId};
use crate::policy::terms::given::terms_without_lease;
use crate::policy::terms::membership::{is_admitted, is_own};
use crate::policy::turn::Turn;

impl Exchange<'_> {
    pub(super) fn bootp(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>) {
        let segment = self.site.segment(request);
        if segment.is_empty() {
            return turn.silence(request, Silence::NoSubnet);
        }
        let served = self.serving(&segment, |bootp| bootp != Bootp::Off);
        if served.is_empty() {
            return turn.silence(request, Silence::Bootp);
        }
        if self.names_another(request, &served) {
            return turn.silence(request, Silence::OtherServer);
        }
        if !request.ciaddr.is_unspecified() {
            return self.tell_parameters(turn, request, &served);
        }
        self.inquiry().note_way(&served, request);
        match self.reserved(turn, request, &served) {
            Some(place) => self.grant(turn, request, place, LeaseTime::FOR_GOOD),
            None => self.bootp_from_pools(turn, request, &served),
        }
    }

    /// Those of `segment` whose terms for BOOTP are right.
    fn serving(&self, segment: &Segment, right: impl Fn(Bootp) -> bool) -> Segment {
        segment.iter().copied().filter(|id| right(self.site.subnets.get(*id).bootp)).collect()
    }

    /// Whether the client asks for a server of another name (`sname`, RFC 951 §7.3).
    fn names_another(&self, request: &Request, served: &Segment) -> bool {
        let goes_by = |id: &SubnetId, name: &[u8]| {
            let terms = terms_without_lease(self.site, self.book, *id, None, Ipv4Addr::UNSPECIFIED, request);
            terms.given.server_name().is_some_and(|ours| ours.as_bytes() == name)
        };
        request.server_name().is_some_and(|name| !served.iter().any(|id| goes_by(id, name)))
    }

    /// The address reserved for the client, if it can have it now.
    fn reserved(&mut self, turn: &mut Turn<'_>, request: &Request, served: &Segment) -> Option<Place> {
        let reserved = served.iter().filter_map(|id| self.site.subnets.reservation_for(*id, request));
        let places: Vec<Place> =
            reserved.filter_map(|reservation| self.book.find(reservation.address?)).collect();
        places.into_iter().find(|place| self.available(turn, *place, request))
    }

    /// The address that the client has, if it has begun to send an identifier, or has ceased to: BOOTP knows it by its
    /// hardware address (RFC 951 §3), and what it has it has for good.
    fn of_device(&mut self, turn: &mut Turn<'_>, request: &Request, dynamic: &Segment) -> Option<Place> {
        let all = dynamic.iter().flat_map(|id| self.book.leased_to_device(*id, request.chaddr));
        let own = all.collect::<Vec<_>>().into_iter().find(|place| self.book.recognises(*place, request))?;
        let is_its_own = self.book.is_for_good(own)
            && !self.is_kept_from(own, request)
            && !is_own(self.site, self.book, own)
            && is_admitted(self.site, self.book, own, request)
            && !self.belongs_elsewhere(turn, own, request);
        is_its_own.then_some(own)
    }

    fn bootp_from_pools(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>, served: &Segment) {
        let dynamic = self.serving(served, |bootp| bootp == Bootp::Dynamic);
        let Some(first) = dynamic.first() else {
            let held = self.is_reserved_one(request, served);
            return turn
                .silence(request, if held { Silence::ReservationHeld } else { Silence::UnknownClient });
        };
        let known = self.own(turn, request, &dynamic).or_else(|| self.of_device(turn, request, &dynamic));
        if let Some(place) = known {
            return self.grant(turn, request, place, LeaseTime::FOR_GOOD);
        }
        let open = self.below_cap(turn, &dynamic, request);
        if open.is_empty() {
            if let Some(class) = self.over_class_cap(*first, request, None) {
                return self.tell_class_cap(turn, request, class);
            }
            return self.at_cap(turn, request, *first);
        }
        match self.draw(turn, request, &open) {
            AddressChoice::Address(place) => self.grant(turn, request, place, LeaseTime::FOR_GOOD),
            AddressChoice::Wait => {}
            AddressChoice::Probing => turn.silence(request, Silence::Probing),
            AddressChoice::Exhausted => self.tell_exhausted(turn, request, &dynamic),
        }
    }

    /// The client has an address and wants to know what to boot (RFC 951 §3: `yiaddr` is for clients that do not know
    /// theirs). The book does not change.
    fn tell_parameters(&self, turn: &mut Turn<'_>, request: &Arc<Request>, served: &Segment) {
        if !self.site.subnets.can_be_a_clients(request.ciaddr) {
            return turn.silence(request, Silence::ImpossibleAddress);
        }
        let own = self.site.subnets.containing(request.ciaddr).filter(|subnet| served.contains(subnet));
        let reply = own.and_then(|subnet| {
            let server = self.site.subnets.server(subnet, request.link)?;
            let place = self.book.find(request.ciaddr);
            let terms = terms_without_lease(self.site, self.book, subnet, place, server, request);
            let answer = answer::bootp(&terms, request)?;
            Some(Reply::Bootp { yiaddr: Ipv4Addr::UNSPECIFIED, server, answer })
        });
        match reply {
            Some(reply) => {
                turn.out.push(Action::Reply { request: Arc::clone(request), reply, granted: None });
            }
            None => turn.silence(request, Silence::NoSubnet),
        }
    }
}
