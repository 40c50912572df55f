//! The index that finds the addresses of a client, of a device, and of a circuit; and the counts of each class.

use hashbrown::HashTable;

use super::addresses::Addresses;
use super::binding::Binding;
use super::circuits::Circuits;
use super::class_counts::ClassCounts;
use super::identity::{Identity, Keyed};
use super::state::State;
use crate::policy::site::place::Place;
use crate::policy::site::subnet::SubnetId;
use crate::store::HwAddr;

/// Bindings by subnet and identity (at most one each), and by subnet and hardware address the leases of clients that are
/// known by something else.
#[derive(Debug)]
pub(super) struct Index {
    keyed: Keyed,
    owners: HashTable<Place>,
    devices: HashTable<Place>,
    circuits: Circuits,
    pub(super) classes: ClassCounts,
}

impl Index {
    pub(super) fn key(&self) -> Keyed {
        self.keyed.clone()
    }

    /// Makes room for every address to have an owner: to grow later would hold up a request by a rehash of every
    /// binding. The system gives memory as it is used, except for an octet for each address.
    pub(super) fn new(keyed: Keyed, all: &Addresses, circuits: Circuits, classes: ClassCounts) -> Self {
        let count = all.places().count();
        let (owners, devices) = (HashTable::with_capacity(count), HashTable::with_capacity(count));
        Self { keyed, owners, devices, circuits, classes }
    }

    /// The leases on each circuit.
    pub(super) fn circuits(&self) -> &Circuits {
        &self.circuits
    }

    /// The address bound to the client `who` in `subnet`: its own, or the last one it had.
    pub(super) fn owned(&self, all: &Addresses, subnet: SubnetId, who: Identity<'_>) -> Option<Place> {
        let hash = self.keyed.hash(&(subnet, who));
        let same = |place: &Place| {
            all.subnet(*place) == subnet
                && all.entry(*place).binding.as_ref().is_some_and(|binding| binding.identity() == who)
        };
        self.owners.find(hash, same).copied()
    }

    /// The addresses leased to the device `chaddr` in `subnet`, lowest first.
    pub(super) fn leased_to_device(&self, all: &Addresses, subnet: SubnetId, chaddr: HwAddr) -> Vec<Place> {
        if chaddr.octets().is_empty() {
            return Vec::new();
        }
        let same = |place: &&Place| {
            all.subnet(**place) == subnet
                && all.entry(**place).binding.as_ref().is_some_and(|binding| binding.chaddr() == chaddr)
        };
        let known_by_it = self.owned(all, subnet, Identity::Hardware(chaddr));
        let others = self.devices.iter_hash(self.keyed.hash(&(subnet, chaddr))).filter(same).copied();
        let mut found: Vec<Place> = known_by_it
            .filter(|place| all.state(*place) == State::Leased)
            .into_iter()
            .chain(others)
            .collect();
        found.sort_unstable();
        found
    }

    pub(super) fn add_owner(&mut self, all: &Addresses, place: Place) {
        let keyed = &self.keyed;
        self.owners
            .insert_unique(owner_hash(keyed, all, place), place, |place| owner_hash(keyed, all, *place));
    }

    /// To be called while the binding is still there.
    pub(super) fn remove_owner(&mut self, all: &Addresses, place: Place) {
        remove(&mut self.owners, owner_hash(&self.keyed, all, place), place);
    }

    /// The address is leased. Clients without a hardware address have no device in common, and those without an identifier
    /// are found as owners.
    pub(super) fn add_lease(&mut self, all: &Addresses, place: Place) {
        self.circuits.add(all, place);
        self.classes.add(all, place);
        if !has_device_beside(all, place) {
            return;
        }
        let keyed = &self.keyed;
        self.devices
            .insert_unique(device_hash(keyed, all, place), place, |place| device_hash(keyed, all, *place));
    }

    /// To be called while the binding is still there.
    pub(super) fn remove_lease(&mut self, all: &Addresses, place: Place) {
        self.circuits.remove(all, place);
        self.classes.remove(place);
        if has_device_beside(all, place) {
            remove(&mut self.devices, device_hash(&self.keyed, all, place), place);
        }
    }
}

/// Whether the owner has a device and is known by something else.
fn has_device_beside(all: &Addresses, place: Place) -> bool {
    let binding = all.entry(place).binding.as_ref();
    binding.is_some_and(|binding| binding.client_id().is_some() && !binding.chaddr().octets().is_empty())
}

fn owner_hash(keyed: &Keyed, all: &Addresses, place: Place) -> u64 {
    hash_of(all, place, |subnet, binding| keyed.hash(&(subnet, binding.identity())))
}

fn device_hash(keyed: &Keyed, all: &Addresses, place: Place) -> u64 {
    hash_of(all, place, |subnet, binding| keyed.hash(&(subnet, binding.chaddr())))
}

/// Zero for an address without a binding, which is in no table.
fn hash_of(all: &Addresses, place: Place, hash: impl Fn(SubnetId, &Binding) -> u64) -> u64 {
    all.entry(place).binding.as_ref().map_or(0, |binding| hash(all.subnet(place), binding))
}

fn remove(table: &mut HashTable<Place>, hash: u64, place: Place) {
    if let Ok(found) = table.find_entry(hash, |there| *there == place) {
        found.remove();
    }
}
