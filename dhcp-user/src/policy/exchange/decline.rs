//! DHCPDECLINE (RFC 2131 §4.3.3): the owner found somebody else using the address.

use std::sync::Arc;

use dhcp_ebpf::lease::BootSecs;

use super::Exchange;
use crate::message::Request;
use crate::policy::action::{Action, Silence};
use crate::policy::book::state::{State, Stock};
use crate::policy::event::{Client, Happened, LeaseEvent};
use crate::policy::evidence::credit::Credit;
use crate::policy::site::place::Place;
use crate::policy::turn::Turn;
use crate::policy::words::revoke_anyway;
use crate::store::{Change, QuarantineCause};

/// How many addresses of a subnet one device can keep out of use at a time by declining them.
const MAX_DECLINED_BY_DEVICE: u32 = 4;

impl Exchange<'_> {
    pub(super) fn decline(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>) {
        let Some(server) = request.options.server else { return turn.silence(request, Silence::NoServer) };
        if !self.site.is_us(request, server) {
            return turn.silence(request, Silence::OtherServer);
        }
        let Some(address) = request.options.requested else {
            return turn.silence(request, Silence::NoAddress);
        };
        let owned = self.book.find(address).filter(|place| self.has_or_is_offered(turn, *place, request));
        let Some(place) = owned else { return turn.silence(request, Silence::NotOwner) };
        if !self.may_decline(turn, place, request) {
            if self.book.is_offered_here(place, request) {
                self.book.withdraw_offer(place);
                self.inquiry().rearm(place);
                turn.watch_fullness(self.site, self.book, place);
            }
            return turn.silence(request, Silence::ForeignOrigin);
        }
        if self.book.binding(place).is_some_and(|binding| binding.is_for_good_since(request.arrival)) {
            return turn.silence(request, Silence::Overtaken);
        }
        turn.tell(address, Happened::Declined, Some(request.as_ref().into()));
        let subnet = self.book.subnet(place);
        if self.book.declined_by(subnet, request.chaddr) < MAX_DECLINED_BY_DEVICE {
            match self.evidence.declines.judge(turn.now, request) {
                Credit::Good => {
                    self.inquiry().quarantine(turn, place, QuarantineCause::Declined, Some(request.chaddr));
                }
                Credit::Spent { tell } => {
                    let said = (QuarantineCause::Declined, Some(request.chaddr));
                    self.inquiry().quarantine_in_doubt(turn, place, said, request.arrival);
                    let (subnet, client) =
                        (self.site.subnets.get(subnet).prefix, Client::from(request.as_ref()));
                    let told = tell.then_some(LeaseEvent::ManyDeclines { subnet, client });
                    turn.out.extend(told.map(Action::Event));
                }
            }
        } else {
            self.give_up(turn, place, request.arrival);
            turn.silence(request, Silence::DeclinedTooOften);
        }
    }

    /// Whether the address is leased or offered to exactly the client that sent `request`.
    fn has_or_is_offered(&mut self, turn: &mut Turn<'_>, place: Place, request: &Request) -> bool {
        self.tenure().settle(turn, place);
        let leased = self.book.state(place) == State::Leased && self.book.owns(place, request);
        leased || self.book.is_offered_to(place, request)
    }

    /// Whether `request` may end the address's lease or running promise: only from where the owner got it. A second
    /// client with the same identifier, which was offered the address, may give up only that offer: cloned machines
    /// have one client identifier.
    fn may_decline(&self, turn: &Turn<'_>, place: Place, request: &Request) -> bool {
        let promised = match self.book.state(place) {
            State::Leased => true,
            State::Grace => self.book.binding(place).is_some_and(|owner| owner.expiry > turn.now),
            State::Free | State::Offered | State::Quarantined | State::Reserved => false,
        };
        if promised {
            self.book.owns(place, request) && self.origins().came_as_leased(place, request)
        } else {
            self.book.is_offered_here(place, request)
        }
    }

    /// The device has declined too much to be believed: it loses the address, which stays in use, but for others first.
    /// If the kernel may have promised it anew since the device declined at `arrival`, that is kept in mind; but not in
    /// the second of the grant, or it could drain the pool by declining at once.
    fn give_up(&mut self, turn: &mut Turn<'_>, place: Place, arrival: BootSecs) {
        let address = self.book.address(place);
        let last = revoke_anyway(turn.words, address);
        self.book.withdraw_offer(place);
        if self.book.is_promised_since(place, last, arrival) {
            return self.tenure().end_in_grace(turn, place, last.expiry(), None);
        }
        self.book.forget(place);
        self.book.free(place, Stock::Freed);
        turn.out.push(Action::Commit(Change::Delete(address)));
        turn.watch_fullness(self.site, self.book, place);
    }
}
