//! Interfaces that come, go and change while the server runs: leases go along.

use std::net::Ipv4Addr;

use crate::policy::Policy;
use crate::policy::action::Publication;
use crate::policy::book::binding::Binding;
use crate::policy::book::state::State;
use crate::policy::site::subnet::Interface;
use crate::policy::terms::basis::basis_at;
use crate::policy::words::Words;

/// An interface has another index from now on: the former, and the new one.
pub type Renumbered = (u32, u32);

impl Policy {
    /// Goes on with `interfaces`. Leases on an interface that was `renumbered` go to its new index, one renumbering
    /// after the other. Returns the leases whose link has another index: the caller publishes them anew
    /// ([`Policy::publication`]).
    pub fn relink(&mut self, interfaces: Vec<Interface>, renumbered: &[Renumbered]) -> Vec<Ipv4Addr> {
        let now =
            |index: u32| renumbered.iter().fold(index, |at, (from, to)| if at == *from { *to } else { at });
        self.site.subnets.relink(interfaces);
        self.keep_back();
        self.evidence.probes.relink(now);
        self.evidence.witnesses.relink(now);
        self.evidence.declines.relink(now);
        if renumbered.is_empty() { Vec::new() } else { self.book.relink(now) }
    }

    /// The publication of the lease of `address`, without any answer: the daemon answers its next renewal.
    #[must_use]
    pub fn publication(&self, words: &dyn Words, address: Ipv4Addr) -> Option<Publication> {
        let place = self.book.find(address)?;
        let shared = |owner: &&Binding| self.book.state(place) == State::Leased && !owner.is_for_good();
        let binding = self.book.binding(place).filter(shared)?;
        let word = words.load(address);
        Some(Publication {
            address,
            link: binding.link,
            chaddr: binding.chaddr().mac().unwrap_or_default(),
            server: binding.server,
            generation: word.generation(),
            // The kernel may have promised more by itself.
            expiry: binding.expiry.max(word.expiry()),
            horizon: binding.committed_until,
            basis: basis_at(&self.site, &self.book, place, binding.link),
            memos: Vec::new(),
        })
    }
}
