//! What the outcome of a probe proves, and what follows from that.

use std::net::Ipv4Addr;

use dhcp_ebpf::abi::Link;

use super::Inquiry;
use super::probe::{ALIVE_FOR, PATIENCE, Proof, Purpose, Running, Sign, Waiter};
use super::witnesses::Credence;
use crate::policy::action::{Action, Outcome, Silence};
use crate::policy::book::binding::Party;
use crate::policy::book::quarantine::Probation;
use crate::policy::book::state::{State, Stock};
use crate::policy::event::LeaseEvent;
use crate::policy::site::place::Place;
use crate::store::{HwAddr, QuarantineCause};

use crate::policy::turn::Turn;

impl Inquiry<'_> {
    /// A probe of `address` has come to an end.
    pub(in crate::policy) fn probed(&mut self, turn: &mut Turn<'_>, address: Ipv4Addr, outcome: Outcome) {
        let Some(place) = self.book.find(address) else { return };
        let outcome = if wrong!(AnswerUnheard) { Outcome::Silent } else { outcome };
        let proof = match outcome {
            Outcome::Answered(Some(by)) if self.is_for_others(place, by) => self.believe(turn, place, by),
            _ => Some(Proof::Good),
        };
        let Some(proof) = proof else { return self.probe_again(turn, place) };
        let state = self.book.state(place);
        let running = self.evidence.probes.running.remove(&place);
        let Some(Running { purpose, waiter, .. }) = running else {
            // Given up, or its address was claimed and is free again; what was seen was seen.
            if let (State::Free, Outcome::Answered(by)) = (state, outcome) {
                self.seen_in_use(turn, place, by, proof);
            }
            return;
        };
        if outcome == Outcome::Unknown {
            self.learnt_nothing(turn, place, waiter);
        } else {
            self.stop_waiting(place, waiter);
        }
        match (purpose, state, outcome) {
            // Where nobody can be asked, clients are served all the same.
            (Purpose::Candidate(_) | Purpose::Need, State::Free, Outcome::Silent | Outcome::Unreachable) => {
                self.note_clean(turn, place);
            }
            // Neither clean nor in use: another time.
            (Purpose::Candidate(stock), State::Free, Outcome::Unknown) => self.book.restock(place, stock),
            // A lease that was to be reclaimed may have been given back meanwhile, and a grace have ended.
            (_, State::Free, Outcome::Answered(by)) => self.seen_in_use(turn, place, by, proof),
            (Purpose::Vacated, _, _) => self.probed_vacated(turn, place, outcome),
            (Purpose::Need, _, _) => self.probed_in_need(turn, place, outcome, proof),
            (Purpose::Parole, State::Quarantined, Outcome::Silent) => {
                self.end_quarantine(turn, place);
                self.note_clean(turn, place);
            }
            (Purpose::Parole, State::Quarantined, Outcome::Answered(by)) => {
                self.quarantine_answered(turn, place, by, proof);
            }
            (Purpose::Parole, State::Quarantined, Outcome::Unreachable | Outcome::Unknown) => {
                self.book.postpone(place, turn.after(PATIENCE));
            }
            (Purpose::Reclaim { judged }, State::Leased, Outcome::Silent) => {
                self.end_orphan(turn, place, judged);
            }
            (Purpose::Reclaim { .. }, State::Leased, Outcome::Answered(_)) => {
                self.evidence.probes.note_alive(place, turn.now, Sign::Seen);
            }
            (Purpose::Reclaim { .. }, State::Leased, Outcome::Unreachable) => {
                self.evidence.probes.note_alive(place, turn.now, Sign::Presumed);
            }
            _ => {}
        }
        self.rearm(place);
    }

    /// Whether the address is nobody's, and was not this station's last.
    fn is_for_others(&self, place: Place, station: [u8; 6]) -> bool {
        matches!(self.book.state(place), State::Free | State::Quarantined | State::Grace)
            && !self.book.is_of_holder(place, station)
    }

    /// How well what the station says of the address proves that it is in use, if it does.
    fn believe(&mut self, turn: &mut Turn<'_>, place: Place, station: [u8; 6]) -> Option<Proof> {
        let Some(link) = self.evidence.link(self.site, self.book.subnet(place)) else {
            return Some(Proof::Good);
        };
        match self.evidence.witnesses.heard(turn.now, link, station, self.book.address(place)) {
            Credence::Believed => Some(Proof::Good),
            Credence::Doubted { tell } => {
                let told = tell.then_some(LeaseEvent::ManyAnswers { link, station });
                turn.out.extend(told.map(Action::Event));
                Some(Proof::Weak)
            }
            Credence::Disbelieved => None,
            Credence::FoundOut(addresses) => {
                turn.out.push(Action::Event(LeaseEvent::ProbeLiar { link, station, addresses }));
                self.forget_testimony(turn, link, station);
                None
            }
        }
    }

    /// The answer to the probe of the address doesn't count: others are to be heard.
    fn probe_again(&mut self, turn: &mut Turn<'_>, place: Place) {
        let Some(running) = self.evidence.probes.running.get_mut(&place) else { return };
        running.until = turn.after(PATIENCE);
        let (purpose, via) = (running.purpose, running.via);
        self.ask(turn, place, purpose, via);
    }

    /// Ends the quarantines that rest on this station's answers alone.
    fn forget_testimony(&mut self, turn: &mut Turn<'_>, link: Link, station: [u8; 6]) {
        let by = Some(HwAddr::ethernet(station));
        let said = |probation: &Probation| probation.why == QuarantineCause::Probe && probation.by == by;
        let places: Vec<Place> = self
            .book
            .quarantined()
            .filter(|(_, probation)| said(probation))
            .map(|(place, _)| place)
            .collect();
        for place in places {
            if self.evidence.link(self.site, self.book.subnet(place)) != Some(link) {
                continue;
            }
            self.book.strike_recurrence(place);
            self.end_quarantine(turn, place);
            self.rearm(place);
        }
    }

    /// A host uses a free address. The client that has just released it may take a moment to stop; the use by any
    /// other is evidence.
    fn seen_in_use(&mut self, turn: &mut Turn<'_>, place: Place, by: Option<[u8; 6]>, proof: Proof) {
        let given_back = self.book.binding(place).is_some_and(|owner| owner.ended_by == Some(Party::Owner));
        if !given_back || !by.is_some_and(|station| self.book.is_of_holder(place, station)) {
            return self.quarantine_answered(turn, place, by, proof);
        }
        self.evidence.probes.clean.remove(&place);
        self.book.restock(place, Stock::Lingering);
        self.evidence.probes.lingering.insert(place, turn.after(ALIVE_FOR));
        self.rearm(place);
    }

    /// Answers may have been lost: the client isn't served by that, and asks again in a while (RFC 2131 §4.1).
    fn learnt_nothing(&mut self, turn: &mut Turn<'_>, place: Place, waiter: Option<Waiter>) {
        if let Some(Waiter { request, .. }) = waiter {
            self.no_longer_waits(place, &request);
            turn.silence(&request, Silence::ProbeUnknown);
        }
    }

    /// Nobody uses the address, if it is free.
    pub(in crate::policy) fn note_clean(&mut self, turn: &Turn<'_>, place: Place) {
        if self.book.state(place) == State::Free {
            self.evidence.probes.clean.insert(place, turn.now);
            self.book.restock(place, Stock::Probed);
        }
    }
}
