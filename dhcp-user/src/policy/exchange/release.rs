//! DHCPRELEASE (RFC 2131 §4.3.4): the owner releases its address.

use std::sync::Arc;

use dhcp_ebpf::lease::Word;

use super::Exchange;
use crate::message::Request;
use crate::policy::action::Silence;
use crate::policy::book::client_origin::ClientOrigin;
use crate::policy::book::state::State;
use crate::policy::event::Happened;
use crate::policy::site::place::Place;
use crate::policy::turn::Turn;

impl Exchange<'_> {
    pub(super) fn release(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>) {
        // systemd-networkd's names no server. Sent to us alone, by the client itself, it is meant for us.
        let sent_to = (request.unicast() && !request.relayed()).then_some(request.ip_dst);
        let Some(server) = request.options.server.or(sent_to) else {
            return turn.silence(request, Silence::NoServer);
        };
        if !self.site.is_us(request, server) {
            return turn.silence(request, Silence::OtherServer);
        }
        if request.ciaddr.is_unspecified() {
            return turn.silence(request, Silence::NoAddress);
        }
        let Some(place) = self.leased_to_sender(turn, request) else {
            return match self.promised_to_sender(turn, request) {
                Some(place) => self.release_promise(turn, request, place),
                None => self.release_offer(turn, request),
            };
        };
        if !self.origins().came_as_leased(place, request) {
            return turn.silence(request, Silence::ForeignOrigin);
        }
        let word = turn.words.load(request.ciaddr);
        // If the word is still the one that the RELEASE found, nothing was promised since.
        let overtaken = self.book.binding(place).is_some_and(|binding| {
            binding.is_for_good_since(request.arrival)
                || request.word != Some(word) && binding.promised_after(word, request.arrival)
        });
        if overtaken || turn.words.revoke(request.ciaddr, word).is_err() {
            return turn.silence(request, Silence::Overtaken);
        }
        // What it was offered beside it is given back with it.
        self.book.withdraw_offer(place);
        self.inquiry().end_released(turn, place, Happened::Released);
    }

    /// The client gives back what it was promised: the configuration or the operator has ended its lease before its time, and
    /// the address waits for that.
    fn release_promise(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>, place: Place) {
        if !self.origins().came_as_leased(place, request) {
            return turn.silence(request, Silence::ForeignOrigin);
        }
        // The kernel may have promised it anew, and the lease have been ended, while the RELEASE waited.
        let word = turn.words.load(request.ciaddr);
        let came_before = request.word.is_none_or(Word::alive);
        let promised_since =
            self.book.binding(place).is_some_and(|owner| owner.promised_after(word, request.arrival));
        if came_before && promised_since {
            return turn.silence(request, Silence::Overtaken);
        }
        self.book.withdraw_offer(place);
        self.evidence.probes.vacating.remove(place);
        self.inquiry().end_released(turn, place, Happened::Released);
    }

    /// The client gives back what it was only offered.
    fn release_offer(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>) {
        let place = self.book.find(request.ciaddr).filter(|place| self.book.is_offered_to(*place, request));
        let Some(place) = place else { return turn.silence(request, Silence::NotOwner) };
        if self.book.offer_at(place).is_some_and(|offer| offer.origin != ClientOrigin::of(request)) {
            return turn.silence(request, Silence::ForeignOrigin);
        }
        self.book.withdraw_offer(place);
        turn.watch_fullness(self.site, self.book, place);
        self.inquiry().rearm(place);
    }

    fn leased_to_sender(&mut self, turn: &mut Turn<'_>, request: &Request) -> Option<Place> {
        let place = self.book.find(request.ciaddr)?;
        self.tenure().settle(turn, place);
        (self.book.state(place) == State::Leased
            && (wrong!(ReleaseOfAnother) || self.book.owns(place, request)))
        .then_some(place)
    }

    /// The address of `ciaddr`, if the sender's lease of it has ended and its promise has not.
    fn promised_to_sender(&self, turn: &Turn<'_>, request: &Request) -> Option<Place> {
        let place = self.book.find(request.ciaddr)?;
        let owner = self.book.binding(place).filter(|owner| owner.expiry > turn.now)?;
        let is_found_here = self.book.owned(self.book.subnet(place), owner.identity()) == Some(place);
        let waits = self.book.state(place) == State::Grace && is_found_here;
        (waits && self.book.owns(place, request)).then_some(place)
    }
}
