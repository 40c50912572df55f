//! How many leases a device may hold.
//!
//! A device that forgets its leases leaves orphans behind; a device that stands for many clients uses each of its
//! leases. So leases that answer their probes don't count, up to a hard cap. Where nothing is probed all count.

use std::sync::Arc;

use super::Exchange;
use super::draw::AddressChoice;
use crate::message::Request;
use crate::policy::action::{Action, Silence};
use crate::policy::book::client_origin::ClientOrigin;
use crate::policy::book::identity::Identity;
use crate::policy::event::LeaseEvent;
use crate::policy::site::place::Place;
use crate::policy::site::subnet::{Segment, SubnetId};
use crate::policy::turn::Turn;

/// The leases and offers of a device in a subnet, got at one origin.
struct Held {
    leased: Vec<Place>,
    /// That one of `leased` that is of the client itself.
    own_lease: Option<Place>,
    /// The address offered to the client itself.
    own_offer: Option<Place>,
    /// How many addresses were offered to others of the device.
    offered: u32,
}

impl Held {
    /// The leases of other clients of the device.
    fn others(&self) -> impl Iterator<Item = Place> {
        self.leased.iter().copied().filter(|place| self.own_lease != Some(*place))
    }

    /// How many others of the device hold.
    fn count(&self) -> u32 {
        counted(self.others().count()).saturating_add(self.offered)
    }
}

fn counted(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl Exchange<'_> {
    /// The subnets of `segment` in which the client's device, and its circuit, may hold one more lease.
    pub(super) fn below_cap(&self, turn: &Turn<'_>, segment: &Segment, request: &Request) -> Segment {
        let is_over = |id: &SubnetId| {
            self.over_cap(turn, *id, request, None)
                || self.over_circuit_cap(*id, request, None)
                || self.over_class_cap(*id, request, None).is_some()
        };
        if segment.iter().any(is_over) {
            segment.iter().copied().filter(|id| !is_over(id)).collect()
        } else {
            Segment::clone(segment)
        }
    }

    /// Whether a lease of `place`, or of any address of `subnet`, would be one more than the client's device may hold.
    ///
    /// What the client itself has now it would leave. Leases in use, as probes have shown, count for the hard cap only: no
    /// device is at its cap of the others while it has so few that none is left to probe.
    pub(super) fn over_cap(
        &self,
        turn: &Turn<'_>,
        subnet: SubnetId,
        request: &Request,
        place: Option<Place>,
    ) -> bool {
        if request.chaddr.octets().is_empty() {
            return false;
        }
        let leased = self.leased_from_here(subnet, request);
        if place.is_some_and(|place| leased.contains(&place) || self.book.is_leased_to_device(place, request))
        {
            return false;
        }
        let held = self.held_with(leased, subnet, request);
        let cap = self.cap(subnet, request);
        if held.count() < cap {
            return false;
        }
        if !self.evidence.probing(self.site, subnet) || held.count() >= self.hard_cap(subnet, request) {
            return true;
        }
        // What was offered is kept.
        if place.is_some_and(|place| held.own_offer == Some(place)) {
            return false;
        }
        let silent = || held.others().filter(|place| !self.evidence.probes.is_in_use(*place, turn.now));
        let kept = silent().filter(|place| self.book.is_for_good(*place)).count();
        silent().count() > kept || counted(kept).saturating_add(held.offered) >= cap
    }

    /// The leases and offers of the client's device in `subnet`.
    fn held_with(&self, leased: Vec<Place>, subnet: SubnetId, request: &Request) -> Held {
        let origin = ClientOrigin::of(request);
        let own_lease = if leased.is_empty() { None } else { self.book.owned_by(subnet, request) };
        let own_lease = own_lease.filter(|own| leased.contains(own));
        let own_offer = self.book.offer_of(subnet, Identity::of(request));
        let own_offer = own_offer
            .filter(|offer| offer.chaddr == request.chaddr && offer.origin == origin)
            .map(|offer| offer.place);
        let offered = self.book.offers_of_device(subnet, request.chaddr, origin);
        let offered = offered.saturating_sub(u32::from(own_offer.is_some()));
        Held { leased, own_lease, own_offer, offered }
    }

    /// The leases that the client's device has in `subnet` and got at its present origin: a lease that another sender
    /// got in its name elsewhere doesn't count against it.
    pub(super) fn leased_from_here(&self, subnet: SubnetId, request: &Request) -> Vec<Place> {
        let mut leased = self.book.leased_to_device(subnet, request.chaddr);
        leased.retain(|place| self.book.origin(*place) == Some(ClientOrigin::of(request)));
        leased
    }

    /// How many leases that are not known to be in use the client's device may hold in `subnet`.
    fn cap(&self, subnet: SubnetId, request: &Request) -> u32 {
        let config = self.site.subnets.get(subnet);
        let ras = Identity::of(request).is_ras();
        if ras { config.max_leases_per_ras_device } else { config.max_leases_per_device }
    }

    /// How many leases the device may hold where each answers its probes.
    fn hard_cap(&self, subnet: SubnetId, request: &Request) -> u32 {
        self.site.subnets.get(subnet).max_leases_per_device_in_use.max(self.cap(subnet, request))
    }

    /// The device holds as many leases as it may: one of them may turn out to be an orphan.
    pub(super) fn at_cap(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>, subnet: SubnetId) {
        let leased = self.leased_from_here(subnet, request);
        match self.reclaim(turn, request, subnet, leased) {
            AddressChoice::Wait | AddressChoice::Address(_) => {}
            AddressChoice::Probing => turn.silence(request, Silence::Probing),
            AddressChoice::Exhausted => self.tell_cap(turn, request, subnet),
        }
    }

    /// A device that keeps asking is counted each time; an event reports it now and then.
    pub(super) fn tell_cap(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>, subnet: SubnetId) {
        if self.is_to_be_told(turn, subnet, request) {
            let (prefix, hard) = (self.site.subnets.get(subnet).prefix, self.hard_cap(subnet, request));
            let held = self.held_with(self.leased_from_here(subnet, request), subnet, request);
            let at_hard_cap = self.evidence.probing(self.site, subnet) && held.count() >= hard;
            let cap = if at_hard_cap { hard } else { self.cap(subnet, request) };
            let event = LeaseEvent::DeviceCap { subnet: prefix, client: request.as_ref().into(), cap };
            turn.out.push(Action::Event(event));
        }
        turn.silence(request, Silence::DeviceCap);
    }

    /// Whether an event reports now that the device gets nothing: now and then, and for a bounded number of devices.
    pub(super) fn is_to_be_told(&mut self, turn: &Turn<'_>, subnet: SubnetId, request: &Request) -> bool {
        self.throttles.devices_at_cap.is_to_be_told(turn.now, (subnet, request.chaddr))
    }
}
