//! The end of what is promised, on evidence that its client uses the address no more: the client says so, the operator
//! does, or nobody answers a probe.

use dhcp_ebpf::lease::Word;

use super::Inquiry;
use super::probe::{Purpose, Sign};
use crate::policy::action::{Action, Outcome};
use crate::policy::book::binding::{Binding, Party};
use crate::policy::book::state::State;
use crate::policy::event::{Client, Happened};
use crate::policy::site::place::Place;
use crate::store::Change;

use crate::policy::turn::Turn;

impl Inquiry<'_> {
    /// The word is revoked: the address is free at once, its last owner being preferred while there is choice.
    pub(in crate::policy) fn end_released(&mut self, turn: &mut Turn<'_>, place: Place, what: Happened) {
        let address = self.book.address(place);
        self.book.end(place, turn.now, (what == Happened::Released).then_some(Party::Owner));
        if !wrong!(ReleaseUnwritten) {
            turn.out.push(Action::Commit(Change::Put(self.book.record(self.site, place))));
        }
        turn.tell(address, what, Client::owner_of(self.book, place));
        turn.watch_fullness(self.site, self.book, place);
    }

    /// Nobody answered for the lease: it is over, unless it was extended meanwhile.
    pub(in crate::policy) fn end_orphan(&mut self, turn: &mut Turn<'_>, place: Place, judged: Word) {
        if turn.words.revoke(self.book.address(place), judged).is_err() {
            return self.evidence.probes.note_alive(place, turn.now, Sign::Seen);
        }
        self.end_released(turn, place, Happened::Reclaimed);
        self.note_clean(turn, place);
    }

    /// Kept for nobody in particular any more.
    pub(in crate::policy) fn end_grace(&mut self, turn: &mut Turn<'_>, place: Place) {
        self.book.end_grace(place);
        turn.watch_fullness(self.site, self.book, place);
    }

    /// Asks whether the client of a lease that the operator has ended uses its address still.
    pub(in crate::policy) fn probe_vacated(&mut self, turn: &mut Turn<'_>, place: Place) {
        let waits =
            self.book.state(place) == State::Grace && self.book.binding(place).is_some_and(is_vacated);
        if !waits || !self.evidence.probing(self.site, self.book.subnet(place)) {
            return self.evidence.probes.vacating.remove(place);
        }
        if !self.evidence.probes.is_running(place) {
            self.start_probe(turn, place, Purpose::Vacated, None);
        }
        self.evidence.probes.vacating.ask_again(place, turn.now);
        self.rearm(place);
    }

    /// The result of that probe.
    pub(in crate::policy) fn probed_vacated(&mut self, turn: &mut Turn<'_>, place: Place, outcome: Outcome) {
        // Where nobody can be asked, nothing tells that the client is gone.
        if self.book.state(place) == State::Grace
            && outcome == Outcome::Silent
            && self.book.offer_at(place).is_none()
        {
            self.free_vacated(turn, place);
            self.note_clean(turn, place);
            turn.watch_fullness(self.site, self.book, place);
        }
    }

    /// Its last owner has no promise any more, and is to learn of it.
    pub(in crate::policy) fn free_vacated(&mut self, turn: &mut Turn<'_>, place: Place) {
        self.evidence.probes.vacating.remove(place);
        self.book.end(place, turn.now, Some(Party::Operator));
        turn.out.push(Action::Commit(Change::Put(self.book.record(self.site, place))));
        self.rearm(place);
    }
}

/// Whether the operator has ended the lease. Its client may not know, and one that had it for good never will by itself.
pub(in crate::policy) fn is_vacated(owner: &Binding) -> bool {
    owner.ended_by == Some(Party::Operator)
}
