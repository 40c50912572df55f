//! How many leases the clients of one circuit may hold together, where a subnet limits it (`max-leases-per-circuit`).
//!
//! It is for ports open to any device: a client that invents identities gets no more than its port's share. Orphans
//! don't fill the port for long: at the limit its longest-silent lease is probed, and ended if nobody answers.

use std::sync::Arc;

use super::Exchange;
use super::draw::AddressChoice;
use crate::message::Request;
use crate::policy::action::{Action, Silence};
use crate::policy::book::circuits::Circuit;
use crate::policy::book::identity::Identity;
use crate::policy::book::state::State;
use crate::policy::event::LeaseEvent;
use crate::policy::site::place::Place;
use crate::policy::site::subnet::SubnetId;
use crate::policy::turn::Turn;

impl Exchange<'_> {
    /// Whether a lease of `place`, or of any address of `subnet`, would be one more than the client's circuit may have.
    ///
    /// A lease that the client has goes on, wherever the client has moved to. The lease that it would leave doesn't
    /// count; offers on the circuit do.
    pub(super) fn over_circuit_cap(&self, subnet: SubnetId, request: &Request, place: Option<Place>) -> bool {
        let Some(cap) = self.site.subnets.get(subnet).max_leases_per_circuit else { return false };
        let Some(circuit) = Circuit::of(request) else { return false };
        if place.is_some_and(|place| {
            self.book.state(place) == State::Leased && self.book.recognises(place, request)
        }) {
            return false;
        }
        let own = self.book.owned_by(subnet, request);
        let own_offer = self.book.offer_of(subnet, Identity::of(request)).map(|offer| offer.place);
        let others = |place: &Place| own != Some(*place) && own_offer != Some(*place);
        let leased = self.book.leased_on(subnet, &circuit).filter(others).count();
        // An offer of an address that is leased to its client is no lease more.
        let offered = self.book.offered_on(subnet, &circuit).filter(others);
        let offered = offered.filter(|place| !self.book.is_on(*place, &circuit)).count();
        u32::try_from(leased + offered).is_ok_and(|held| held >= cap)
    }

    /// The circuit has as many leases as it may: one of them may turn out to be an orphan.
    pub(super) fn at_circuit_cap(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>, subnet: SubnetId) {
        let Some(circuit) = Circuit::of(request) else { return };
        let leased = self.book.leased_on(subnet, &circuit).collect();
        match self.reclaim(turn, request, subnet, leased) {
            AddressChoice::Wait | AddressChoice::Address(_) => {}
            AddressChoice::Probing => turn.silence(request, Silence::Probing),
            AddressChoice::Exhausted => self.tell_circuit_cap(turn, request, subnet),
        }
    }

    /// Each refusal is counted; an event reports it now and then.
    pub(super) fn tell_circuit_cap(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>, subnet: SubnetId) {
        let config = self.site.subnets.get(subnet);
        let (prefix, cap) = (config.prefix, config.max_leases_per_circuit.unwrap_or_default());
        if let Some(circuit) = Circuit::of(request)
            && self.throttles.circuits_at_cap.is_to_be_told(turn.now, (subnet, circuit))
        {
            let event = LeaseEvent::CircuitCap { subnet: prefix, client: request.as_ref().into(), cap };
            turn.out.push(Action::Event(event));
        }
        turn.silence(request, Silence::CircuitCap);
    }
}
