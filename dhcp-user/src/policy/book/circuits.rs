//! Circuits: the ports of relays and switches that clients are behind, as option 82 names them (RFC 3046 §3.1), and
//! the leases on each. Kept for subnets that limit these.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;

use dhcp_ebpf::abi::Link;

use super::addresses::Addresses;
use super::binding::Binding;
use super::state::State;
use crate::message::{AgentInformation, Request};
use crate::policy::site::place::Place;
use crate::policy::site::subnet_id::SubnetId;

/// A port, by its name. The name is whole: two ports are never taken for one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::policy) struct Circuit {
    named_by: Namer,
    id: Box<[u8]>,
}

/// The relay or link that gave the name: two relays may give the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Namer {
    Relay(Ipv4Addr),
    /// A switch of the link that is no relay.
    Switch(Link),
}

impl Circuit {
    /// The circuit that `request` came from, if it says so and is believed.
    pub(in crate::policy) fn of(request: &Request) -> Option<Self> {
        Self::new(request.giaddr, request.link, request.options.agent.as_ref()?)
    }

    /// The circuit on which the lease was got.
    pub(in crate::policy) fn of_owner(owner: &Binding) -> Option<Self> {
        Self::new(owner.giaddr, owner.link, &owner.agent()?)
    }

    fn new(giaddr: Ipv4Addr, link: Link, agent: &AgentInformation) -> Option<Self> {
        let id = agent.circuit_id.as_deref()?.into();
        let named_by = if giaddr.is_unspecified() { Namer::Switch(link) } else { Namer::Relay(giaddr) };
        Some(Self { named_by, id })
    }
}

/// The leases on each circuit, in subnets that limit them.
#[derive(Debug, Default)]
pub(super) struct Circuits {
    limited: BTreeSet<SubnetId>,
    leased: HashMap<(SubnetId, Circuit), BTreeSet<Place>>,
    /// The circuit on which an address counts: later messages of its owner don't move it before it is granted anew.
    of_place: BTreeMap<Place, Circuit>,
}

impl Circuits {
    /// For these subnets.
    pub(super) fn new(limited: BTreeSet<SubnetId>) -> Self {
        Self { limited, ..Self::default() }
    }

    /// The leases of `subnet` on `circuit`.
    pub(super) fn leased(&self, subnet: SubnetId, circuit: &Circuit) -> impl Iterator<Item = Place> {
        self.leased.get(&(subnet, circuit.clone())).into_iter().flatten().copied()
    }

    /// Whether the address at `place` counts on `circuit`.
    pub(super) fn is_on(&self, place: Place, circuit: &Circuit) -> bool {
        self.of_place.get(&place) == Some(circuit)
    }

    /// Whether the address counts where its owner is, as far as that matters.
    pub(super) fn agrees(&self, all: &Addresses, place: Place) -> bool {
        let owner = || all.entry(place).binding.as_deref().and_then(Circuit::of_owner);
        match self.limited.contains(&all.subnet(place)) && all.state(place) == State::Leased {
            true => self.of_place.get(&place) == owner().as_ref(),
            false => !self.of_place.contains_key(&place),
        }
    }

    /// The address is leased.
    pub(super) fn add(&mut self, all: &Addresses, place: Place) {
        let subnet = all.subnet(place);
        if !self.limited.contains(&subnet) {
            return;
        }
        self.remove(all, place);
        let Some(circuit) = all.entry(place).binding.as_deref().and_then(Circuit::of_owner) else { return };
        self.leased.entry((subnet, circuit.clone())).or_default().insert(place);
        self.of_place.insert(place, circuit);
    }

    /// It is leased no more.
    pub(super) fn remove(&mut self, all: &Addresses, place: Place) {
        let Some(circuit) = self.of_place.remove(&place) else { return };
        let key = (all.subnet(place), circuit);
        if let Some(places) = self.leased.get_mut(&key) {
            places.remove(&place);
            if places.is_empty() {
                self.leased.remove(&key);
            }
        }
    }
}
