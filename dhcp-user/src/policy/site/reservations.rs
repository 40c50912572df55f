//! The reservations of one subnet, found by their address or by their client.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash, RandomState};

use bytes::Bytes;
use hashbrown::HashTable;

use super::place::Place;
use crate::config::{Reservation, ReservationKey};
use crate::message::{AgentInformation, Request};
use crate::store::HwAddr;

#[derive(Debug)]
pub(in crate::policy) struct Reservations {
    all: Vec<Reservation>,
    by_client: HashTable<usize>,
    by_place: BTreeMap<Place, usize>,
    hasher: RandomState,
}

/// The owner of a lease, by the keys of its reservation.
#[derive(Clone, Copy, Debug)]
pub(in crate::policy) struct Owner<'a> {
    pub(in crate::policy) client_id: Option<&'a [u8]>,
    pub(in crate::policy) chaddr: HwAddr,
    /// Its relay's information: the value of option 82.
    pub(in crate::policy) agent_info: Option<&'a [u8]>,
    /// Whether the lease was found in the kernel, and no more than the hardware address is known.
    pub(in crate::policy) adopted: bool,
}

impl Owner<'_> {
    fn agent(&self) -> Option<AgentInformation> {
        Some(AgentInformation::read(Bytes::copy_from_slice(self.agent_info?)))
    }
}

/// A key that identifies a client, borrowed from its message or lease.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key<'a> {
    ClientId(&'a [u8]),
    HwAddress([u8; 6]),
    Circuit(&'a [u8], Option<&'a [u8]>),
}

impl<'a> From<&'a ReservationKey> for Key<'a> {
    fn from(key: &'a ReservationKey) -> Self {
        match key {
            ReservationKey::ClientId(id) => Self::ClientId(id),
            ReservationKey::HwAddress(mac) => Self::HwAddress(*mac),
            ReservationKey::Circuit { id, remote_id } => Self::Circuit(id, remote_id.as_deref()),
        }
    }
}

impl Reservations {
    pub(in crate::policy) fn new(reservations: &[Reservation]) -> Self {
        let mut this = Self {
            all: reservations.to_vec(),
            by_client: HashTable::with_capacity(reservations.len()),
            by_place: BTreeMap::new(),
            hasher: RandomState::new(),
        };
        for (at, reservation) in reservations.iter().enumerate() {
            let hash = |reservation: &Reservation| this.hasher.hash_one(Key::from(&reservation.key));
            let hash_at = |at: &usize| reservations.get(*at).map_or(0, hash);
            this.by_client.insert_unique(hash(reservation), at, hash_at);
        }
        this
    }

    /// Notes where their addresses are.
    pub(in crate::policy) fn place(&mut self, find: impl Fn(&Reservation) -> Option<Place>) {
        let all = self.all.iter().enumerate();
        self.by_place = all.filter_map(|(at, reservation)| Some((find(reservation)?, at))).collect();
    }

    /// The reservation of the address at `place`.
    pub(in crate::policy) fn at(&self, place: Place) -> Option<&Reservation> {
        self.by_place.get(&place).and_then(|at| self.all.get(*at))
    }

    /// The reservation of the client that sent `request`, with this relay information.
    pub(in crate::policy) fn by(
        &self,
        request: &Request,
        agent: Option<&AgentInformation>,
    ) -> Option<&Reservation> {
        if self.all.is_empty() {
            return None;
        }
        self.first(keys_with(request, agent))
    }

    /// The reservation of the owner of a lease, as far as the lease shows.
    pub(in crate::policy) fn of_owner(&self, owner: Owner<'_>) -> Option<&Reservation> {
        if self.all.is_empty() {
            return None;
        }
        let agent = owner.agent();
        let own = owner.client_id.map(Key::ClientId).into_iter().chain(ethernet(owner).map(Key::HwAddress));
        self.first(own.chain(circuits(agent.as_ref())))
    }

    /// All reservations that the owner of a lease may have, as far as the lease shows, by any key that its requests
    /// may carry.
    pub(in crate::policy) fn all_of_owner<'s>(
        &'s self,
        owner: Owner<'_>,
    ) -> impl Iterator<Item = &'s Reservation> + use<'s> {
        let agent = owner.agent();
        let own = owner.client_id.map(Key::ClientId).into_iter().chain(ethernet(owner).map(Key::HwAddress));
        let found: Vec<usize> =
            own.chain(circuits(agent.as_ref())).filter_map(|key| self.find(key)).collect();
        found.into_iter().filter_map(|at| self.all.get(at))
    }

    fn find(&self, key: Key<'_>) -> Option<usize> {
        let same = |at: &usize| self.all.get(*at).is_some_and(|there| Key::from(&there.key) == key);
        self.by_client.find(self.hasher.hash_one(key), same).copied()
    }

    fn first<'a>(&self, mut keys: impl Iterator<Item = Key<'a>>) -> Option<&Reservation> {
        if self.all.is_empty() {
            return None;
        }
        keys.find_map(|key| self.find(key).and_then(|at| self.all.get(at)))
    }
}

fn ethernet(owner: Owner<'_>) -> Option<[u8; 6]> {
    let chaddr = owner.chaddr;
    chaddr.octets().try_into().ok().filter(|mac| HwAddr::ethernet(*mac) == chaddr)
}

/// Whether `reservation` is for the client which sent `request`.
pub(in crate::policy) fn is_for(reservation: &Reservation, request: &Request) -> bool {
    keys(request).any(|key| key == Key::from(&reservation.key))
}

/// Whether `reservation` is for the owner of a lease, as far as the lease shows.
pub(in crate::policy) fn is_for_owner(reservation: &Reservation, owner: Owner<'_>) -> bool {
    match &reservation.key {
        ReservationKey::ClientId(id) => owner.client_id == Some(id.as_slice()),
        ReservationKey::HwAddress(mac) => owner.chaddr == HwAddr::ethernet(*mac),
        ReservationKey::Circuit { .. } => {
            let agent = owner.agent();
            circuits(agent.as_ref()).any(|key| key == Key::from(&reservation.key))
        }
    }
}

/// Whether `reservation` is for a client other than the owner of a lease. A key that the lease doesn't have makes no
/// difference: an adopted lease has the hardware address alone, and a lease without a relay has no circuit.
pub(in crate::policy) fn is_for_another(reservation: &Reservation, owner: Owner<'_>) -> bool {
    let is_told = match &reservation.key {
        ReservationKey::ClientId(_) => !owner.adopted,
        ReservationKey::HwAddress(_) => true,
        ReservationKey::Circuit { .. } => owner.agent_info.is_some(),
    };
    is_told && !is_for_owner(reservation, owner)
}

/// The keys by which the client may have a reservation, in their order of precedence.
fn keys(request: &Request) -> impl Iterator<Item = Key<'_>> {
    keys_with(request, request.options.agent.as_ref())
}

fn keys_with<'a>(request: &'a Request, agent: Option<&'a AgentInformation>) -> impl Iterator<Item = Key<'a>> {
    let client_id = request.options.client_id.as_deref().map(Key::ClientId);
    let hardware = request.mac().map(Key::HwAddress);
    client_id.into_iter().chain(hardware).chain(circuits(agent))
}

/// The circuit of one relay goes before the circuits of that id of all.
fn circuits(agent: Option<&AgentInformation>) -> impl Iterator<Item = Key<'_>> {
    let id = agent.and_then(|agent| agent.circuit_id.as_deref());
    let remote = agent.and_then(|agent| agent.remote_id.as_deref());
    let both = id.zip(remote).map(|(id, remote)| Key::Circuit(id, Some(remote)));
    both.into_iter().chain(id.map(|id| Key::Circuit(id, None)))
}
