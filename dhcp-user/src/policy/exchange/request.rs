//! DHCPREQUEST (RFC 2131 §4.3.2): selecting, confirming after a reboot, renewing, rebinding.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::Exchange;
use crate::config::{Reservation, ReservationKey};
use crate::message::Request;
use crate::policy::action::{Action, Reply, Silence};
use crate::policy::answer;
use crate::policy::book::binding::{Binding, LeaseTime, Party};
use crate::policy::book::client_origin::ClientOrigin;
use crate::policy::book::identity::Identity;
use crate::policy::book::state::State;
use crate::policy::site::arrival::Way;
use crate::policy::site::place::Place;
use crate::policy::site::reservations::{is_for, is_for_owner};
use crate::policy::site::subnet::SubnetId;
use crate::policy::site::terms::server_override;
use crate::policy::terms::given::{lease_time, prolonged};
use crate::policy::terms::membership::{believed_agent, is_admitted, is_dropped, is_own};
use crate::policy::turn::Turn;

impl Exchange<'_> {
    pub(super) fn request(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>) {
        match request.options.server {
            // From there a client can go on with a lease, and begin none.
            None if self.site.way(request) == Way::Router => self.renewing(turn, request),
            Some(server) if self.site.is_us(request, server) && self.site.way(request) == Way::Router => {
                self.renewing(turn, request);
            }
            Some(server) if !self.site.is_us(request, server) => self.other_server(turn, request),
            Some(_) if !self.is_of_own_lease(turn, request) => self.selecting(turn, request),
            None if request.ciaddr.is_unspecified() => self.init_reboot(turn, request),
            _ if !request.unicast() => self.rebinding(turn, request),
            _ => self.renewing(turn, request),
        }
    }

    /// Whether `ciaddr` is the address that the client leases from us, and it asks for no other.
    ///
    /// Option 54 makes a REQUEST one of SELECTING (RFC 2131 §4.3.2), and `ciaddr` is to be zero there. But small
    /// stacks never drop option 54, and others fill in `ciaddr` too early: the client's present lease shows which
    /// case it is.
    fn is_of_own_lease(&mut self, turn: &mut Turn<'_>, request: &Request) -> bool {
        let asks_for_it = request.options.requested.is_none_or(|requested| requested == request.ciaddr);
        !request.ciaddr.is_unspecified() && asks_for_it && self.bound(turn, request).is_some()
    }

    /// The client has taken another server's offer: ours is free at once.
    fn other_server(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>) {
        let segment = self.site.segment(request);
        self.leave_offers(turn, request, &segment);
        turn.silence(request, Silence::OtherServer);
    }

    /// The client will not take what it was offered where it speaks from. (Anybody may claim to be it, elsewhere.)
    pub(super) fn leave_offers(&mut self, turn: &mut Turn<'_>, request: &Request, segment: &[SubnetId]) {
        let who = Identity::of(request);
        for subnet in segment {
            let own =
                self.book.offer_of(*subnet, who).filter(|offer| offer.origin == ClientOrigin::of(request));
            if let Some(place) = own.map(|offer| offer.place) {
                self.book.withdraw_offer(place);
                turn.watch_fullness(self.site, self.book, place);
            }
        }
    }

    /// Option 54 names us, option 50 the address we offered; some clients put it into `ciaddr`, or into both.
    fn selecting(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>) {
        let filled = Some(request.ciaddr).filter(|ciaddr| !ciaddr.is_unspecified());
        let Some(address) = request.options.requested.or(filled) else {
            return turn.silence(request, Silence::NoAddress);
        };
        // The ACK goes to `ciaddr` (RFC 2131 §4.1).
        let own = [Ipv4Addr::UNSPECIFIED, request.ciaddr].contains(&request.ip_src);
        if filled.is_some() && !request.relayed() && !own {
            return turn.silence(request, Silence::SourceMismatch);
        }
        // What it was leased may be ours by now: then it is to be told.
        let was_leased =
            |ciaddr| self.book.find(ciaddr).is_some_and(|own| self.book.recognises(own, request));
        if filled.is_some_and(|ciaddr| !self.site.subnets.can_be_a_clients(ciaddr) && !was_leased(ciaddr)) {
            return turn.silence(request, Silence::ImpossibleAddress);
        }
        let segment = self.site.segment(request);
        let Some(first) = segment.first() else { return turn.silence(request, Silence::NoSubnet) };
        let place = self.book.find(address).filter(|place| segment.contains(&self.book.subnet(*place)));
        // It goes on with what it had, and fills in option 54 as well: nobody has offered it that again.
        let goes_on = place.filter(|place| filled.is_some() && !self.book.is_offered_to(*place, request));
        if goes_on.is_some_and(|place| self.has_ended(place, request)) {
            return self.nak(turn, request, *first, "the lease was ended by the operator");
        }
        // The offer may be forgotten by now; if the address is still to be had, the client's choice stands.
        let place = place.filter(|place| {
            self.available(turn, *place, request) && self.inquiry().is_unused(turn, *place, request)
        });
        let Some(place) = place else {
            return self.nak(turn, request, *first, "the address is not available");
        };
        let wished = lease_time(self.site, self.book, place, request);
        let lease_time = match request.options.lease_time {
            Some(_) => wished,
            None => self.told(place).unwrap_or(wished),
        };
        self.grant(turn, request, place, lease_time);
    }

    /// The lease time that the client last got with the address at `place`: in an offer, else with its lease.
    fn told(&self, place: Place) -> Option<LeaseTime> {
        let offered = self.book.offer_at(place).map(|offer| offer.lease_time);
        let running = self.book.binding(place).filter(|_| self.book.state(place) == State::Leased);
        offered.or_else(|| running?.told())
    }

    /// Option 50 names the address the client had before it was switched off.
    fn init_reboot(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>) {
        let Some(address) = request.options.requested else {
            return turn.silence(request, Silence::NoAddress);
        };
        let segment = self.site.segment(request);
        let Some(first) = segment.first() else { return turn.silence(request, Silence::NoSubnet) };
        let Some(subnet) = self.site.subnets.containing(address).filter(|subnet| segment.contains(subnet))
        else {
            return self.nak_if_authoritative(turn, request, *first, "the address is of another network");
        };
        if let Some(place) = self.held(turn, address, request) {
            return self.prolong(turn, request, place);
        }
        if self.book.find(address).is_some_and(|place| self.has_ended(place, request)) {
            self.nak_if_authoritative(turn, request, subnet, "the lease was ended by the operator");
        } else if self.book.find(address).is_some_and(|place| is_own(self.site, self.book, place)) {
            self.nak_if_authoritative(turn, request, subnet, "the address is the server's own");
        } else if self.is_taken_back(address, request) {
            self.nak_if_authoritative(turn, request, subnet, "the address is reserved for another client");
        } else if self.is_shut_out(address, request) {
            self.nak_if_authoritative(turn, request, subnet, "the address is not for clients of this class");
        } else if self.unconfigured.is_promised_to(address, request) {
            self.nak_if_authoritative(turn, request, subnet, "the address is not leased here any more");
        } else if self.has_other(turn, address, &segment, request) {
            self.nak_if_authoritative(turn, request, subnet, "the client has another address here");
        } else if self.is_anothers_by_now(turn, address, request) {
            self.nak_stranger(turn, request, subnet, "the address is another's");
        } else {
            turn.silence(request, Silence::UnknownClient);
        }
    }

    /// Unicast to us: the client had its lease from us. One that wants an address of another network (RFC 3011 §2: option
    /// 118 tells the subnet) does not go on with this one, as in the other states.
    fn renewing(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>) {
        let segment = self.site.segment(request);
        let Some(subnet) = segment.first().copied() else {
            return turn.silence(request, Silence::NoSubnet);
        };
        match self.selected(request) {
            Some(None) => return turn.silence(request, Silence::NoSubnet),
            Some(Some(wanted)) if !segment.contains(&wanted) => {
                return self.nak_stranger(turn, request, subnet, "the address is of another network");
            }
            _ => {}
        }
        if let Some(place) = self.bound(turn, request) {
            return self.prolong(turn, request, place);
        }
        self.nak_stranger(turn, request, subnet, "no such lease");
    }

    /// The subnet that the client selects by option 118, which may be none of ours; unless its relay has selected the link
    /// (RFC 3527 §3: that goes before it), now or when it got its lease.
    fn selected(&self, request: &Request) -> Option<Option<SubnetId>> {
        let wanted = request.options.subnet?;
        let of_lease = self.book.find(request.ciaddr);
        let of_lease = of_lease.and_then(|place| believed_agent(self.site, self.book, place));
        let agent = request.options.agent.as_ref().or(of_lease.as_ref());
        let by_relay = agent.is_some_and(|agent| agent.link_selection.is_some());
        (!by_relay).then(|| self.site.subnets.containing(wanted))
    }

    /// Broadcast, or through a relay: any server that knows the lease may extend it.
    fn rebinding(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>) {
        let segment = self.site.segment(request);
        let Some(first) = segment.first() else { return turn.silence(request, Silence::NoSubnet) };
        let Some(subnet) =
            self.site.subnets.containing(request.ciaddr).filter(|subnet| segment.contains(subnet))
        else {
            return self.nak_if_authoritative(turn, request, *first, "the address is of another network");
        };
        if let Some(place) = self.bound(turn, request) {
            self.prolong(turn, request, place);
        } else if self.book.find(request.ciaddr).is_some()
            || self.unconfigured.is_promised_to(request.ciaddr, request)
        {
            self.nak_if_authoritative(turn, request, subnet, "no such lease");
        } else {
            turn.silence(request, Silence::UnknownClient);
        }
    }

    /// The place of `ciaddr` if the client's lease of it runs, or ran out and is in grace. One that was released or
    /// is past its grace is no binding that a client could go on with (RFC 2131 §4.3.2); unless the address is reserved for
    /// it: another server that it has it from may keep no record of such a lease (ISC dhcpd keeps none).
    fn bound(&mut self, turn: &mut Turn<'_>, request: &Request) -> Option<Place> {
        let place = self.held(turn, request.ciaddr, request)?;
        let bound = matches!(self.book.state(place), State::Leased | State::Grace);
        // Another identifier of the device may have come for its reservation: then this one has no lease any more.
        let bound = bound && self.book.recognises(place, request);
        (bound || self.book.state(place) == State::Reserved).then_some(place)
    }

    /// The place of `address` if the client holds it, or held it last and nobody has it now; unless its pool is not for
    /// the client's classes (any more).
    fn held(&mut self, turn: &mut Turn<'_>, address: Ipv4Addr, request: &Request) -> Option<Place> {
        let place = self.book.find(address)?;
        self.tenure().settle(turn, place);
        // What has become our own address meanwhile is nobody's.
        if self.has_ended(place, request) || is_own(self.site, self.book, place) {
            return None;
        }
        if is_dropped(self.site, self.book, place, request) {
            return None;
        }
        let offered_to_another =
            self.is_kept_from(place, request) && !self.book.is_offered_to_its_owner(place, request);
        if offered_to_another || self.book.promised_to_another(place, turn.now, request) {
            return None;
        }
        let reservation = self.site.subnets.reservation_at(self.book.subnet(place), place);
        let held = match (reservation, self.book.state(place)) {
            (_, State::Quarantined) => false,
            (Some(reservation), _) => {
                let by_lease = self.reserved_by_lease(place, reservation, request);
                by_lease || is_for(reservation, request) && !self.book.is_anothers(place, request)
            }
            (None, State::Reserved) => false,
            (None, State::Free | State::Offered | State::Leased | State::Grace) => {
                self.book.recognises(place, request)
                    && is_admitted(self.site, self.book, place, request)
                    && !self.belongs_elsewhere(turn, place, request)
            }
        };
        held.then_some(place)
    }

    /// Whether the operator has ended the client's lease of the address at `place`.
    fn has_ended(&self, place: Place, request: &Request) -> bool {
        matches!(self.book.state(place), State::Grace | State::Free | State::Offered | State::Reserved)
            && self.book.binding(place).is_some_and(|owner| owner.ended_by == Some(Party::Operator))
            && self.book.recognises(place, request)
    }

    /// Whether the client has the address, or had it last, and it is reserved for another now.
    fn is_taken_back(&self, address: Ipv4Addr, request: &Request) -> bool {
        let place = self.book.find(address).filter(|place| self.book.recognises(*place, request));
        let reservation =
            place.and_then(|place| self.site.subnets.reservation_at(self.book.subnet(place), place));
        reservation.is_some_and(|reservation| !is_for(reservation, request))
    }

    /// Whether `address` is leased or promised to another client, or withheld for one or for a host: by our own record
    /// it is not the client's, and no other server can have given it to it since. So this is not the case that RFC 2131
    /// §4.3.2 has silence for, that of a server without a record.
    fn is_anothers_by_now(&self, turn: &Turn<'_>, address: Ipv4Addr, request: &Request) -> bool {
        let Some(place) = self.book.find(address) else { return false };
        let reservation = self.site.subnets.reservation_at(self.book.subnet(place), place);
        let withheld = self.book.is_withheld(place);
        withheld && !reservation.is_some_and(|reservation| is_for(reservation, request))
            || self.book.state(place) == State::Leased && !self.book.recognises(place, request)
            || self.book.promised_to_another(place, turn.now, request)
    }

    /// Whether the client has the address, or had it last, and its pool is not for it any more.
    fn is_shut_out(&self, address: Ipv4Addr, request: &Request) -> bool {
        let place = self.book.find(address).filter(|place| self.book.recognises(*place, request));
        place.is_some_and(|place| {
            !self.book.is_reserved(place) && !is_admitted(self.site, self.book, place, request)
        })
    }

    /// Whether a reservation by circuit-id is this client's: when it renews directly no relay says where it is.
    fn reserved_by_lease(&self, place: Place, reservation: &Reservation, request: &Request) -> bool {
        self.book.state(place) == State::Leased
            && request.options.agent.is_none()
            && self.book.recognises(place, request)
            && (!matches!(reservation.key, ReservationKey::Circuit { .. })
                || believed_agent(self.site, self.book, place).is_some())
            && self.book.binding(place).is_some_and(|owner| is_for_owner(reservation, owner.owner()))
    }

    /// Whether the client holds, or has reserved for it, another address of `segment`, and `address` is ours to give:
    /// otherwise another server may have given it that one since.
    fn has_other(
        &mut self,
        turn: &mut Turn<'_>,
        address: Ipv4Addr,
        segment: &[SubnetId],
        request: &Request,
    ) -> bool {
        self.book.find(address).is_some()
            && segment.iter().any(|subnet| {
                let reserved = self.site.subnets.reservation_for(*subnet, request);
                let reserved = reserved.and_then(|reservation| reservation.address);
                let reserved_elsewhere = reserved.is_some_and(|reserved| reserved != address);
                let owned = self.book.owned(*subnet, Identity::of(request));
                reserved_elsewhere
                    || owned.is_some_and(|place| {
                        self.tenure().settle(turn, place);
                        self.book.state(place) == State::Leased && self.book.address(place) != address
                    })
            })
    }

    /// A running lease is prolonged by the present configuration. An expired lease is granted anew, and so is one
    /// that was got by BOOTP: its owner speaks DHCP now, and no longer has it without end.
    fn prolong(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>, place: Place) {
        let running = self.book.binding(place).filter(|_| self.book.state(place) == State::Leased);
        let lease_time = match running.and_then(Binding::told) {
            Some(told) => prolonged(self.site, self.book, place, told, request),
            None => lease_time(self.site, self.book, place, request),
        };
        self.grant(turn, request, place, lease_time);
    }

    /// The NAK for a client that has no lease here. Anybody can cause one, and it is a broadcast: so there is a limit.
    fn nak_stranger(
        &mut self,
        turn: &mut Turn<'_>,
        request: &Arc<Request>,
        subnet: SubnetId,
        message: &'static str,
    ) {
        let way = self.site.way(request);
        if self.site.subnets.get(subnet).authoritative
            && !self.throttles.naks.take(turn.now, request.link, way)
        {
            return turn.silence(request, Silence::NakLimited);
        }
        self.nak_if_authoritative(turn, request, subnet, message);
    }

    fn nak_if_authoritative(
        &mut self,
        turn: &mut Turn<'_>,
        request: &Arc<Request>,
        subnet: SubnetId,
        message: &'static str,
    ) {
        if self.site.subnets.get(subnet).authoritative {
            self.nak(turn, request, subnet, message);
        } else {
            turn.silence(request, Silence::NotAuthoritative);
        }
    }

    fn nak(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>, subnet: SubnetId, message: &'static str) {
        let Some(server) = self.site.subnets.server(subnet, request.link) else {
            return turn.silence(request, Silence::NoServerId);
        };
        let longest = self.site.subnets.longest_datagram(request.link);
        let Some(answer) = answer::nak(server_override(request).unwrap_or(server), message, request, longest)
        else {
            return turn.silence(request, Silence::Unanswerable);
        };
        let reply = Reply::Nak { server, answer };
        turn.out.push(Action::Reply { request: Arc::clone(request), reply, granted: None });
    }
}
