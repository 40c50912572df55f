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
    /// What hosts have by the configuration, the server identifiers among them.
    by_configuration: BTreeSet<Place>,
    /// What our interfaces, and all others of this host, have beside that.
    by_interfaces: BTreeSet<Place>,
}

impl Policy {
    /// This host has these addresses from now on, on whatever interface. To be followed by what a [`relink`](Self::relink)
    /// is followed by.
    pub fn set_host(&mut self, addresses: BTreeSet<Ipv4Addr>) {
        self.site.subnets.set_host(addresses);
        self.keep_back();
    }

    /// Keeps back what `hosts` have by the configuration, for as long as that is in force.
    pub(in crate::policy) fn keep_back_of_hosts(&mut self, hosts: impl Iterator<Item = Ipv4Addr>) {
        let hosts = hosts.chain(self.site.subnets.server_ids());
        let places: BTreeSet<Place> = hosts.filter_map(|host| self.book.find(host)).collect();
        places.iter().for_each(|place| self.keep_one_back(*place));
        self.host_addresses.by_configuration = places;
        self.keep_back();
    }

    /// Keeps back what this host's interfaces have by now, and gives back what they have no longer.
    pub(in crate::policy) fn keep_back(&mut self) {
        let own = self.site.subnets.own_here().filter_map(|own| self.book.find(own));
        let places: BTreeSet<Place> =
            own.filter(|place| !self.host_addresses.by_configuration.contains(place)).collect();
        let former = std::mem::replace(&mut self.host_addresses.by_interfaces, places.clone());
        for place in former.difference(&places) {
            self.book.give_back(*place);
        }
        for place in places.difference(&former) {
            self.keep_one_back(*place);
        }
    }

    fn keep_one_back(&mut self, place: Place) {
        self.book.withdraw_offer(place);
        if self.book.state(place) == State::Free {
            self.claim(place);
            self.evidence.probes.unclean(place);
            self.end_lingering(place);
        }
        self.book.keep_back(place);
    }

    /// Whether the address is this host's own.
    pub(in crate::policy) fn is_own(&self, place: Place) -> bool {
        is_own(&self.site, &self.book, place)
    }

    /// This host's own addresses that are in pools or reserved.
    pub fn own_in_pools(&self) -> impl Iterator<Item = Ipv4Addr> {
        let kept = self.host_addresses.by_configuration.union(&self.host_addresses.by_interfaces);
        let kept = kept.map(|place| self.book.address(*place));
        kept.filter(|address| self.site.subnets.is_of_this_host(*address))
    }
}
