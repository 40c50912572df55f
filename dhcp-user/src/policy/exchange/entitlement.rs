//! Reservations against present leases: the client of a reservation has another address, or another client still has
//! the reserved one.

use std::sync::Arc;

use super::Exchange;
use super::draw::AddressChoice;
use crate::config::ReservationKey;
use crate::message::Request;
use crate::policy::action::{Action, Silence};
use crate::policy::book::binding::Binding;
use crate::policy::book::state::State;
use crate::policy::event::LeaseEvent;
use crate::policy::evidence::probe::Purpose;
use crate::policy::site::place::Place;
use crate::policy::site::subnet_id::SubnetId;
use crate::policy::terms::membership::is_own;
use crate::policy::terms::reserved::reserved_elsewhere;
use crate::policy::turn::Turn;

impl Exchange<'_> {
    /// Whether the client is to leave the address at `place` for one that is reserved for it and that it can have now. As
    /// long as that one is promised to somebody else, or its own device has it by another name, it keeps what it has.
    pub(super) fn belongs_elsewhere(&mut self, turn: &mut Turn<'_>, place: Place, request: &Request) -> bool {
        let Some(reserved) = reserved_elsewhere(self.site, self.book, place, request) else { return false };
        self.tenure().settle(turn, reserved);
        let offered = self.is_kept_from(reserved, request);
        let taken = match self.book.state(reserved) {
            State::Quarantined => true,
            State::Leased => !self.book.recognises(reserved, request),
            State::Free | State::Offered | State::Grace | State::Reserved => false,
        };
        // Our own address is no client's, whatever the configuration says.
        !offered
            && !taken
            && !is_own(self.site, self.book, reserved)
            && !self.book.promised_to_another(reserved, turn.now, request)
    }

    /// The address that is reserved for the port that the client is on, if another device has it, or was offered it.
    pub(super) fn contested(
        &mut self,
        turn: &mut Turn<'_>,
        segment: &[SubnetId],
        request: &Request,
    ) -> Option<Place> {
        for id in segment {
            let reservation = self.site.subnets.reservation_for(*id, request);
            let port = reservation.filter(|r| matches!(r.key, ReservationKey::Circuit { .. }));
            let Some(place) = port.and_then(|reservation| self.book.find(reservation.address?)) else {
                continue;
            };
            self.tenure().settle(turn, place);
            let offered = self.is_kept_from(place, request);
            if offered || self.book.is_another_devices(place, request) {
                return Some(place);
            }
        }
        None
    }

    /// Another device is on the port than the one that has its address. It gets the address if the other does not answer
    /// for it, and nothing as long as it does.
    pub(super) fn contest(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>, place: Place) {
        let leased = self.book.state(place) == State::Leased;
        let outcome = if leased { self.ask_owner(turn, request, place) } else { AddressChoice::Exhausted };
        match outcome {
            AddressChoice::Wait | AddressChoice::Address(_) => {}
            AddressChoice::Probing => turn.silence(request, Silence::Probing),
            AddressChoice::Exhausted => {
                let subnet = self.book.subnet(place);
                if leased && self.is_to_be_told(turn, subnet, request) {
                    let (address, client) = (self.book.address(place), request.as_ref().into());
                    turn.out.push(Action::Event(LeaseEvent::PortInUse { address, client }));
                }
                turn.silence(request, Silence::PortInUse);
            }
        }
    }

    /// Has the owner of the lease of `place` probed: if nobody answers, the client can have the address instead.
    /// Exhausted if it was found alive lately, has it for good, or probing is off.
    fn ask_owner(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>, place: Place) -> AddressChoice {
        let subnet = self.book.subnet(place);
        let for_good = self.book.binding(place).is_some_and(Binding::is_for_good);
        if !self.evidence.probing(self.site, subnet) || for_good {
            return AddressChoice::Exhausted;
        }
        self.evidence.probes.forget_alive(turn.now);
        let waits = if self.evidence.probes.is_running(place) {
            if let Some(waiting) = self.inquiry().waits(request, &[subnet]) {
                return waiting.into();
            }
            !self.evidence.probes.claimed(place) && self.inquiry().wait_for(request, place)
        } else if self.evidence.probes.is_alive(place) {
            return AddressChoice::Exhausted;
        } else {
            let judged = turn.words.load(self.book.address(place));
            self.inquiry().start_probe(turn, place, Purpose::Reclaim { judged }, Some(request))
        };
        if waits { AddressChoice::Wait } else { AddressChoice::Probing }
    }
}
