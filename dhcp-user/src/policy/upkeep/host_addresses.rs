//! Addresses in pools that no client is given: this host's own, and those of the routers and servers that clients are told
//! of. They count as reserved. Who was promised a router's or a server's keeps it for as long as it goes on with it; who was
//! promised what is the host's own now is sent away at the next contact.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::policy::Policy;
use crate::policy::book::state::State;
use crate::policy::site::place::Place;
use crate::policy::terms::membership::is_own;

/// The addresses concerned.
#[derive(Debug, Default)]
pub(in crate::policy) struct HostAddresses {
    /// What hosts have by the configuration.
    hosts: BTreeSet<Ipv4Addr>,
    places: BTreeSet<Place>,
}

impl HostAddresses {
    /// What hosts have by the configuration is to be kept back.
    pub(in crate::policy) fn of(hosts: BTreeSet<Ipv4Addr>) -> Self {
        Self { hosts, places: BTreeSet::new() }
    }
}

impl Policy {
    /// This host has these addresses from now on, on whatever interface. To be followed by what a [`relink`](Self::relink)
    /// is followed by.
    pub fn set_host(&mut self, addresses: BTreeSet<Ipv4Addr>) {
        self.site.subnets.set_host(addresses);
        self.keep_back();
    }

    /// Keeps back what hosts have by now, and gives back what they have no longer.
    pub(in crate::policy) fn keep_back(&mut self) {
        let hosts = self.host_addresses.hosts.iter().copied().chain(self.site.subnets.own());
        let places: BTreeSet<Place> = hosts.filter_map(|host| self.book.find(host)).collect();
        let former = std::mem::replace(&mut self.host_addresses.places, places.clone());
        for place in former.difference(&places) {
            self.book.give_back(*place);
        }
        for place in places.difference(&former) {
            self.book.withdraw_offer(*place);
            if self.book.state(*place) == State::Free {
                self.claim(*place);
                self.evidence.probes.unclean(*place);
                self.end_lingering(*place);
            }
            self.book.keep_back(*place);
        }
    }

    /// Whether the address is this host's own.
    pub(in crate::policy) fn is_own(&self, place: Place) -> bool {
        is_own(&self.site, &self.book, place)
    }

    /// This host's own addresses that are in pools or reserved.
    pub fn own_in_pools(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.site.subnets.own().filter(|own| self.book.find(*own).is_some())
    }
}
