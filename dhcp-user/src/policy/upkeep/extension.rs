//! Following the kernel: what it has promised by itself, and how far ahead it may go on.

use std::net::Ipv4Addr;

use dhcp_ebpf::lease::{BootSecs, Word};

use crate::policy::action::Action;
use crate::policy::book::addresses::State;
use crate::policy::book::binding::AnsweredBy;
use crate::policy::{Policy, Turn};
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
        let Some(place) = self.book.all.find(address) else { return };
        let word = turn.words.load(address);
        if self.book.all.state(place) != State::Leased || word.generation() != seen.generation() {
            return;
        }
        let horizon = self.site.settings;
        let Some(binding) = self.binding_mut(place) else { return };
        let extended_at = BootSecs(word.expiry().0.saturating_sub(binding.lease_time));
        binding.expiry = binding.expiry.max(word.expiry());
        binding.last_heard = binding.last_heard.max(extended_at.min(turn.now));
        binding.kernel_renewals = binding.kernel_renewals.saturating_add(renewals);
        if is_last_answer {
            binding.answered_by = AnsweredBy::Kernel;
        }
        let until = extended_at.plus(horizon.horizon(binding.lease_time));
        let step = (binding.lease_time / STEPS_PER_LEASE_TIME).max(1);
        if until >= binding.committed_until.plus(step) {
            binding.committed_until = until;
            turn.out.push(Action::Commit(Change::Put(self.record(place))));
            turn.out.push(Action::Horizon { address, generation: word.generation(), until });
        }
        self.rearm(place);
    }

    /// The daemon's answer to the client of this lease leaves.
    pub fn answered(&mut self, address: Ipv4Addr) {
        let place = self.book.all.find(address);
        if let Some(binding) = place.and_then(|place| self.binding_mut(place)) {
            binding.answered_by = AnsweredBy::Daemon;
        }
    }
}
