//! Finding the addresses of a client, and those of a device.

use std::collections::HashMap;

use super::addresses::{Addresses, Place};
use super::binding::Binding;
use super::identity::{Identity, Keyed};
use super::subnet::SubnetId;
use crate::store::HwAddr;

/// Bindings by subnet and identity (at most one each), and leases by subnet and hardware address.
#[derive(Debug)]
pub(super) struct Index {
    keyed: Keyed,
    owners: Table,
    devices: Table,
}

/// Places by a hash of something that they have.
#[derive(Debug, Default)]
struct Table(HashMap<u64, Vec<Place>>);

impl Table {
    fn get(&self, hash: u64) -> &[Place] {
        self.0.get(&hash).map_or(&[], Vec::as_slice)
    }

    fn insert(&mut self, hash: u64, place: Place) {
        self.0.entry(hash).or_default().push(place);
    }

    fn remove(&mut self, hash: u64, place: Place) {
        if let Some(places) = self.0.get_mut(&hash) {
            places.retain(|there| *there != place);
            if places.is_empty() {
                self.0.remove(&hash);
            }
        }
    }
}

impl Index {
    pub(super) fn new(keyed: Keyed) -> Self {
        Self { keyed, owners: Table::default(), devices: Table::default() }
    }

    /// The address bound to the client `who` in `subnet`: its own, or the last one it had.
    pub(super) fn owned(&self, all: &Addresses, subnet: SubnetId, who: Identity<'_>) -> Option<Place> {
        let hash = self.keyed.hash(&(subnet, who));
        let same = |place: &Place| {
            all.subnet(*place) == subnet
                && all.entry(*place).binding.as_ref().is_some_and(|binding| binding.identity() == who)
        };
        self.owners.get(hash).iter().find(|place| same(place)).copied()
    }

    /// The addresses leased to the device `chaddr` in `subnet`, lowest first.
    pub(super) fn leased_to_device(&self, all: &Addresses, subnet: SubnetId, chaddr: HwAddr) -> Vec<Place> {
        let same = |place: &&Place| {
            all.subnet(**place) == subnet
                && all.entry(**place).binding.as_ref().is_some_and(|binding| binding.chaddr == chaddr)
        };
        let mut found: Vec<Place> =
            self.devices.get(self.keyed.hash(&(subnet, chaddr))).iter().filter(same).copied().collect();
        found.sort_unstable();
        found
    }

    pub(super) fn add_owner(&mut self, all: &Addresses, place: Place) {
        self.owners.insert(owner_hash(self.keyed, all, place), place);
    }

    /// To be called while the binding is still there.
    pub(super) fn remove_owner(&mut self, all: &Addresses, place: Place) {
        self.owners.remove(owner_hash(self.keyed, all, place), place);
    }

    /// Clients without a hardware address have no device in common.
    pub(super) fn add_device(&mut self, all: &Addresses, place: Place) {
        if all.entry(place).binding.as_ref().is_none_or(|binding| binding.chaddr.octets().is_empty()) {
            return;
        }
        self.devices.insert(device_hash(self.keyed, all, place), place);
    }

    /// To be called while the binding is still there.
    pub(super) fn remove_device(&mut self, all: &Addresses, place: Place) {
        self.devices.remove(device_hash(self.keyed, all, place), place);
    }
}

fn owner_hash(keyed: Keyed, all: &Addresses, place: Place) -> u64 {
    hash_of(all, place, |subnet, binding| keyed.hash(&(subnet, binding.identity())))
}

fn device_hash(keyed: Keyed, all: &Addresses, place: Place) -> u64 {
    hash_of(all, place, |subnet, binding| keyed.hash(&(subnet, binding.chaddr)))
}

/// Zero for an address without a binding, which is in no table.
fn hash_of(all: &Addresses, place: Place, hash: impl Fn(SubnetId, &Binding) -> u64) -> u64 {
    all.entry(place).binding.as_ref().map_or(0, |binding| hash(all.subnet(place), binding))
}
