//! Interfaces that come, go and change while the server runs: leases go along.

use std::net::Ipv4Addr;

use super::Policy;
use super::addresses::State;
use super::subnet::Interface;

/// An interface has another index from now on: the former, and the new one.
pub type Renumbered = (u32, u32);

impl Policy {
    /// Goes on with `interfaces`. What is reached on an interface that was `renumbered` is reached on its new index,
    /// one renumbering after the other.
    ///
    /// Gives the leased addresses whose clients would now be told another server address, or get no answer at all:
    /// what was published of them is to be forgotten.
    pub fn relink(&mut self, interfaces: Vec<Interface>, renumbered: &[Renumbered]) -> Vec<Ipv4Addr> {
        let now =
            |index: u32| renumbered.iter().fold(index, |at, (from, to)| if at == *from { *to } else { at });
        self.subnets.relink(interfaces);
        self.probes.relink(now);
        let mut stale = Vec::new();
        for place in self.all.places() {
            let Some(binding) = self.all.entry_mut(place).binding.as_deref_mut() else { continue };
            binding.link.ifindex = now(binding.link.ifindex);
            let (link, server) = (binding.link, binding.server);
            let told = self.subnets.server(self.all.subnet(place), link);
            if self.all.state(place) == State::Leased && told != Some(server) {
                stale.push(self.all.address(place));
            }
        }
        stale
    }
}
