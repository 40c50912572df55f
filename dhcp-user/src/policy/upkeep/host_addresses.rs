//! Addresses in pools that no client gets: this host's own, and those of the routers and servers that the
//! configuration names to clients. They count as reserved. A client that was promised a router's or a server's
//! address keeps it for as long as it renews. A client that was promised an address which is now the host's own loses
//! it at its next contact.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::policy::Policy;
use crate::policy::book::state::State;
use crate::policy::site::place::Place;

/// The addresses concerned.
#[derive(Debug, Default)]
pub(in crate::policy) struct HostAddresses {
    /// Host addresses by the configuration, the server identifiers among them.
    by_configuration: BTreeSet<Place>,
    /// The addresses of our interfaces, and of all others of this host, beside those.
    by_interfaces: BTreeSet<Place>,
}

impl Policy {
    /// This host has these addresses from now on, on any interface. The caller goes on as after a
    /// [`relink`](Self::relink).
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

    /// Keeps back the present addresses of this host's interfaces, and gives back those that they no longer have.
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
            self.let_nobody_have(place);
        }
        self.book.keep_back(place);
    }

    /// The free address is about to be nobody's: what is known of whether it is in use is of no use.
    pub(in crate::policy) fn let_nobody_have(&mut self, place: Place) {
        self.inquiry().claim(place);
        self.evidence.probes.forget_clean(place);
        self.inquiry().end_lingering(place);
    }

    /// This host's own addresses that are in pools or reserved.
    pub fn own_in_pools(&self) -> impl Iterator<Item = Ipv4Addr> {
        let kept = self.host_addresses.by_configuration.union(&self.host_addresses.by_interfaces);
        let kept = kept.map(|place| self.book.address(*place));
        kept.filter(|address| self.site.subnets.is_of_this_host(*address))
    }
}
