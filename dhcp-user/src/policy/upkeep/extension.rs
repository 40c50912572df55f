//! Follows the kernel: reads its promises, and moves its horizons ahead.

use std::net::Ipv4Addr;

use dhcp_ebpf::lease::{BootSecs, Word};

use crate::policy::Policy;
use crate::policy::action::Action;
use crate::policy::book::state::State;
use crate::policy::book::transitions::Extension;
use crate::policy::turn::Turn;
use crate::store::Change;

/// A horizon is moved by at least this part of the lease time, or not at all: a client that renews all the time
/// must not make a commit of each renewal.
const STEPS_PER_LEASE_TIME: u32 = 8;

impl Policy {
    /// The kernel was seen to have extended the lease of `address`, `renewals` times.
    pub(in crate::policy) fn extended(
        &mut self,
        turn: &mut Turn<'_>,
        address: Ipv4Addr,
        seen: Word,
        renewals: u32,
        is_last_answer: bool,
    ) {
        let Some(place) = self.book.find(address) else { return };
        let word = turn.words.load(address);
        if self.book.state(place) != State::Leased || word.generation() != seen.generation() {
            return;
        }
        let Some(binding) = self.book.binding(place) else { return };
        let extended_at = binding.promise_of(word);
        let until = extended_at.plus(self.site.settings.horizon(binding.lease_time));
        let step = (binding.lease_time / STEPS_PER_LEASE_TIME).max(1);
        let moves = until >= binding.committed_until.plus(step);
        let heard = extended_at.min(turn.now);
        self.book.extend(place, Extension { until: word.expiry(), heard, renewals, is_last_answer });
        if moves {
            self.book.foresee(place, until);
            if !wrong!(ForeseenAlone) {
                turn.out.push(Action::Commit(Change::Put(self.book.record(&self.site, place))));
            }
            turn.out.push(Action::Horizon { address, generation: word.generation(), until });
        }
        self.inquiry().rearm(place);
    }

    /// The daemon's answer to the client of this lease leaves some time after it was decided, and promises until then.
    pub fn answered_late(&mut self, address: Ipv4Addr, until: BootSecs) {
        if let Some(place) = self.book.find(address) {
            self.book.note_promise(place, until);
        }
    }

    /// The daemon's answer to the client of this lease leaves.
    pub fn answered(&mut self, address: Ipv4Addr) {
        if let Some(place) = self.book.find(address) {
            self.book.note_answer(place);
        }
    }
}
