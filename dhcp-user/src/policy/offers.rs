//! Offers outstanding: at most one per client and subnet, and at most one per address.

use std::collections::HashMap;

use dhcp_ebpf::lease::BootSecs;

use super::addresses::Place;
use super::identity::Identity;
use super::subnet::SubnetId;
use crate::store::HwAddr;

/// An address kept for a client that has not answered yet.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    pub(super) place: Place,
    pub(super) subnet: SubnetId,
    pub(super) client: Offered,
    pub(super) chaddr: HwAddr,
    pub(super) until: BootSecs,
    pub(super) lease_time: u32,
}

/// Whom an offer was made to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Offered {
    ClientId(Box<[u8]>),
    Hardware(HwAddr),
}

impl From<Identity<'_>> for Offered {
    fn from(who: Identity<'_>) -> Self {
        match who {
            Identity::ClientId(id) => Self::ClientId(id.into()),
            Identity::Hardware(chaddr) => Self::Hardware(chaddr),
        }
    }
}

/// All offers.
#[derive(Debug, Default)]
pub(super) struct Offers {
    by_place: HashMap<Place, Offer>,
    by_client: HashMap<(SubnetId, Offered), Place>,
    by_device: HashMap<(SubnetId, HwAddr), u32>,
}

impl Offers {
    pub(super) fn at(&self, place: Place) -> Option<&Offer> {
        self.by_place.get(&place)
    }

    /// The offer that the client `who` has in `subnet`.
    pub(super) fn of(&self, subnet: SubnetId, who: Identity<'_>) -> Option<&Offer> {
        self.by_client.get(&(subnet, who.into())).and_then(|place| self.by_place.get(place))
    }

    /// How many offers the device has in `subnet`.
    pub(super) fn of_device(&self, subnet: SubnetId, chaddr: HwAddr) -> u32 {
        self.by_device.get(&(subnet, chaddr)).copied().unwrap_or(0)
    }

    /// Notes an offer. The address and the client must have none.
    pub(super) fn add(&mut self, offer: Offer) {
        self.by_client.insert((offer.subnet, offer.client.clone()), offer.place);
        *self.by_device.entry((offer.subnet, offer.chaddr)).or_insert(0) += 1;
        self.by_place.insert(offer.place, offer);
    }

    pub(super) fn remove(&mut self, place: Place) -> Option<Offer> {
        let offer = self.by_place.remove(&place)?;
        self.by_client.remove(&(offer.subnet, offer.client.clone()));
        let device = (offer.subnet, offer.chaddr);
        if let Some(count) = self.by_device.get_mut(&device) {
            *count -= 1;
            if *count == 0 {
                self.by_device.remove(&device);
            }
        }
        Some(offer)
    }
}
