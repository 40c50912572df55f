//! Offers outstanding: at most one per client and subnet, and at most one per address.

use std::collections::BTreeSet;

use ahash::RandomState;
use dhcp_ebpf::lease::BootSecs;
use hashbrown::{Equivalent, HashMap};

use super::binding::LeaseTime;
use super::circuits::Circuit;
use super::client_origin::ClientOrigin;
use super::identity::Identity;
use crate::config::ClassSet;
use crate::policy::site::place::Place;
use crate::policy::site::subnet::SubnetId;
use crate::store::HwAddr;

/// An address kept for a client that has not answered yet.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Offer {
    pub(in crate::policy) place: Place,
    pub(in crate::policy) subnet: SubnetId,
    pub(in crate::policy) client: OwnedIdentity,
    pub(in crate::policy) chaddr: HwAddr,
    /// Where it was asked for.
    pub(in crate::policy) origin: ClientOrigin,
    /// The circuit that it was asked for on, where that matters.
    pub(in crate::policy) circuit: Option<Circuit>,
    /// The classes with a limit in whose count it is.
    pub(in crate::policy) classes: ClassSet,
    pub(in crate::policy) until: BootSecs,
    pub(in crate::policy) lease_time: LeaseTime,
}

/// The identity of the client that an offer was made to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::policy) enum OwnedIdentity {
    ClientId(Box<[u8]>),
    Hardware(HwAddr),
}

impl From<Identity<'_>> for OwnedIdentity {
    fn from(who: Identity<'_>) -> Self {
        match who {
            Identity::ClientId(id) => Self::ClientId(id.into()),
            Identity::Hardware(chaddr) => Self::Hardware(chaddr),
        }
    }
}

impl OwnedIdentity {
    /// The same, borrowed.
    pub(super) fn identity(&self) -> Identity<'_> {
        match self {
            Self::ClientId(id) => Identity::ClientId(id),
            Self::Hardware(chaddr) => Identity::Hardware(*chaddr),
        }
    }
}

impl PartialEq<Identity<'_>> for OwnedIdentity {
    fn eq(&self, who: &Identity<'_>) -> bool {
        self.identity() == *who
    }
}

/// A client in a subnet, as it is looked for: it hashes as the owned key does.
#[derive(Hash)]
pub(in crate::policy) struct ClientKey<'a>(
    pub(in crate::policy) SubnetId,
    pub(in crate::policy) Identity<'a>,
);

impl Equivalent<(SubnetId, OwnedIdentity)> for ClientKey<'_> {
    fn equivalent(&self, (subnet, client): &(SubnetId, OwnedIdentity)) -> bool {
        self.0 == *subnet && *client == self.1
    }
}

/// All offers.
#[derive(Debug, Default)]
pub(super) struct Offers {
    by_place: HashMap<Place, Offer, RandomState>,
    by_client: HashMap<(SubnetId, OwnedIdentity), Place, RandomState>,
    by_device: HashMap<(SubnetId, HwAddr, ClientOrigin), u32, RandomState>,
    by_circuit: HashMap<(SubnetId, Circuit), BTreeSet<Place>, RandomState>,
}

impl Offers {
    pub(super) fn at(&self, place: Place) -> Option<&Offer> {
        self.by_place.get(&place)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Offer> {
        self.by_place.values()
    }

    /// The offer that the client `who` has in `subnet`.
    pub(super) fn of(&self, subnet: SubnetId, who: Identity<'_>) -> Option<&Offer> {
        self.by_client.get(&ClientKey(subnet, who)).and_then(|place| self.by_place.get(place))
    }

    /// How many offers of `subnet` were made to the device there.
    pub(super) fn of_device(&self, subnet: SubnetId, chaddr: HwAddr, origin: ClientOrigin) -> u32 {
        self.by_device.get(&(subnet, chaddr, origin)).copied().unwrap_or(0)
    }

    /// The addresses of `subnet` that are offered on `circuit`.
    pub(super) fn on_circuit(&self, subnet: SubnetId, circuit: &Circuit) -> impl Iterator<Item = Place> {
        self.by_circuit.get(&(subnet, circuit.clone())).into_iter().flatten().copied()
    }

    /// Notes an offer. The address and the client must have none.
    pub(super) fn add(&mut self, offer: Offer) {
        self.by_client.insert((offer.subnet, offer.client.clone()), offer.place);
        *self.by_device.entry((offer.subnet, offer.chaddr, offer.origin)).or_insert(0) += 1;
        if let Some(circuit) = &offer.circuit {
            self.by_circuit.entry((offer.subnet, circuit.clone())).or_default().insert(offer.place);
        }
        self.by_place.insert(offer.place, offer);
    }

    pub(super) fn remove(&mut self, place: Place) -> Option<Offer> {
        let offer = self.by_place.remove(&place)?;
        self.by_client.remove(&ClientKey(offer.subnet, offer.client.identity()));
        let device = (offer.subnet, offer.chaddr, offer.origin);
        if let Some(count) = self.by_device.get_mut(&device) {
            *count -= 1;
            if *count == 0 {
                self.by_device.remove(&device);
            }
        }
        if let Some(circuit) = &offer.circuit {
            let circuit = (offer.subnet, circuit.clone());
            if let Some(places) = self.by_circuit.get_mut(&circuit) {
                places.remove(&place);
                if places.is_empty() {
                    self.by_circuit.remove(&circuit);
                }
            }
        }
        Some(offer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::book::addresses::Addresses;
    use dhcp_ebpf::abi::Link;

    #[test]
    fn an_offer_is_found_by_whom_it_was_made_to() {
        let chaddr = HwAddr::ethernet([2, 0, 0, 0, 0, 1]);
        let (subnet, address) = (SubnetId(3), [192, 0, 2, 7].into());
        let place = Addresses::new(&[], &[(subnet, address)]).find(address).expect("it is reserved");
        for who in [Identity::ClientId(b"\x01abc"), Identity::Hardware(chaddr)] {
            let mut offers = Offers::default();
            offers.add(Offer {
                place,
                subnet,
                client: who.into(),
                chaddr,
                origin: ClientOrigin::Station(Link::default(), [2, 0, 0, 0, 0, 1]),
                circuit: None,
                classes: ClassSet::default(),
                until: BootSecs(9),
                lease_time: LeaseTime { secs: 60, shortened: false },
            });
            assert_eq!(offers.of(subnet, who).map(|offer| offer.place), Some(place));
            assert!(offers.of(SubnetId(4), who).is_none());
            assert!(offers.remove(place).is_some() && offers.of(subnet, who).is_none());
        }
    }
}
