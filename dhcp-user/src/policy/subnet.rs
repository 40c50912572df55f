//! Which subnets a request is served from, and by which address of ours.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

use bytes::Bytes;
use dhcp_ebpf::abi::Link;

use super::addresses::Place;
use super::binding::Binding;
use crate::config::{Reservation, ReservationKey, Subnet, Vlan};
use crate::message::{AgentInformation, Request};
use crate::store::HwAddr;

/// A subnet of the configuration, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubnetId(pub u32);

impl SubnetId {
    fn at(self) -> usize {
        self.0 as usize
    }
}

/// What policy must know of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's name of it.
    pub name: String,
    /// Its index while this kernel runs.
    pub ifindex: u32,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Its addresses, the first one first.
    pub addresses: Vec<Ipv4Addr>,
}

/// A subnet and what is looked up in it.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) config: Subnet,
    by_key: HashMap<ReservationKey, usize>,
    by_place: BTreeMap<Place, usize>,
}

/// All subnets, and the interfaces that lead to them.
#[derive(Debug)]
pub(super) struct Subnets {
    served: Vec<Served>,
    /// First and last address of each subnet, lowest first; they don't overlap.
    by_address: Vec<(Ipv4Addr, Ipv4Addr, SubnetId)>,
    by_relay: HashMap<Ipv4Addr, Vec<SubnetId>>,
    interfaces: Vec<Interface>,
}

impl Subnets {
    pub(super) fn new(subnets: &[Subnet], interfaces: Vec<Interface>) -> Self {
        let mut by_address = Vec::new();
        let mut by_relay: HashMap<Ipv4Addr, Vec<SubnetId>> = HashMap::new();
        for (id, subnet) in (0..).map(SubnetId).zip(subnets) {
            by_address.push((subnet.prefix.network, subnet.prefix.last(), id));
            for relay in &subnet.relays {
                by_relay.entry(*relay).or_default().push(id);
            }
        }
        by_address.sort_unstable();
        let served = subnets.iter().map(|config| Served {
            config: config.clone(),
            by_key: (0..).zip(&config.reservations).map(|(at, r)| (r.key.clone(), at)).collect(),
            by_place: BTreeMap::new(),
        });
        Self { served: served.collect(), by_address, by_relay, interfaces }
    }

    /// Notes where the reservations of all subnets are.
    pub(super) fn place_reservations(&mut self, find: impl Fn(Ipv4Addr) -> Option<Place>) {
        for served in &mut self.served {
            let reservations = served.config.reservations.iter().enumerate();
            served.by_place = reservations.filter_map(|(at, r)| Some((find(r.address)?, at))).collect();
        }
    }

    pub(super) fn get(&self, id: SubnetId) -> &Subnet {
        &self.served[id.at()].config
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = SubnetId> + use<> {
        (0..u32::try_from(self.served.len()).unwrap_or(u32::MAX)).map(SubnetId)
    }

    /// The subnet that `address` lies in.
    pub(super) fn containing(&self, address: Ipv4Addr) -> Option<SubnetId> {
        let after = self.by_address.partition_point(|(first, ..)| *first <= address);
        let (_, last, id) = self.by_address.get(after.checked_sub(1)?)?;
        (address <= *last).then_some(*id)
    }

    /// The subnets of the network segment that the client is on, those to be preferred first (RFC 2131 §4.3.1).
    pub(super) fn of(&self, request: &Request) -> Vec<SubnetId> {
        let segment = if request.relayed() { self.behind(request.giaddr) } else { self.on(request.link) };
        if segment.is_empty() && request.relayed() {
            return segment;
        }
        // RFC 3527 §3: the link selection sub-option goes before giaddr and before the subnet selection option.
        let link_selection = request.options.agent.as_ref().and_then(|agent| agent.link_selection);
        match link_selection.or(request.options.subnet) {
            Some(address) => self.containing(address).into_iter().collect(),
            None => segment,
        }
    }

    /// The subnets served through this relay.
    fn behind(&self, giaddr: Ipv4Addr) -> Vec<SubnetId> {
        let mut ids: Vec<SubnetId> = self.containing(giaddr).into_iter().collect();
        let listed = self.by_relay.get(&giaddr).into_iter().flatten();
        ids.extend(listed.filter(|id| !ids.contains(id)).copied().collect::<Vec<_>>());
        ids
    }

    /// The subnets served on this link: those that our addresses there are in, else those said to be there.
    fn on(&self, link: Link) -> Vec<SubnetId> {
        let vlan = Vlan { outer: link.outer, inner: link.inner };
        let Some(interface) = self.interface(link.ifindex) else { return Vec::new() };
        let here = |id: &SubnetId| {
            let subnet = self.get(*id);
            let ours = || interface.addresses.iter().any(|address| subnet.prefix.contains(*address));
            let said = || subnet.server_id.is_some_and(|server| subnet.prefix.contains(server));
            subnet.vlan == vlan
                && (ours() || (said() && (vlan != Vlan::default() || subnet.relays.is_empty())))
        };
        self.ids().filter(here).collect()
    }

    pub(super) fn interface(&self, ifindex: u32) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.ifindex == ifindex)
    }

    /// The link on which the hosts of `subnet` are, if we have an address there.
    pub(super) fn link(&self, subnet: SubnetId) -> Option<Link> {
        let subnet = self.get(subnet);
        let inside = |interface: &&Interface| interface.addresses.iter().any(|a| subnet.prefix.contains(*a));
        let interface = self.interfaces.iter().find(inside)?;
        Some(Link { ifindex: interface.ifindex, outer: subnet.vlan.outer, inner: subnet.vlan.inner })
    }

    pub(super) fn interface_named(&self, name: &str) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.name == name)
    }

    /// The address of ours that clients of `subnet` on `link` talk to.
    pub(super) fn server(&self, subnet: SubnetId, link: Link) -> Option<Ipv4Addr> {
        let subnet = self.get(subnet);
        subnet.server_id.or_else(|| {
            let addresses = &self.interface(link.ifindex)?.addresses;
            let inside = addresses.iter().find(|address| subnet.prefix.contains(**address));
            inside.or_else(|| addresses.first()).copied()
        })
    }

    /// Whether `server` is one of our own addresses.
    pub(super) fn is_ours(&self, server: Ipv4Addr) -> bool {
        self.interfaces.iter().any(|interface| interface.addresses.contains(&server))
            || self.served.iter().any(|served| served.config.server_id == Some(server))
    }

    /// The reservation at `place` in `subnet`.
    pub(super) fn reservation_at(&self, subnet: SubnetId, place: Place) -> Option<&Reservation> {
        let served = &self.served[subnet.at()];
        served.by_place.get(&place).and_then(|at| served.config.reservations.get(*at))
    }

    /// The reservation that the client which sent `request` has in `subnet`.
    pub(super) fn reservation_for(&self, subnet: SubnetId, request: &Request) -> Option<&Reservation> {
        let served = &self.served[subnet.at()];
        let found = keys(request).find_map(|key| served.by_key.get(&key));
        found.and_then(|at| served.config.reservations.get(*at))
    }
}

/// Whether `reservation` is for the client which sent `request`.
pub(super) fn is_for(reservation: &Reservation, request: &Request) -> bool {
    keys(request).any(|key| key == reservation.key)
}

/// Whether `reservation` is for the owner of a lease, as far as the lease tells.
pub(super) fn is_for_owner(reservation: &Reservation, owner: &Binding) -> bool {
    match &reservation.key {
        ReservationKey::ClientId(id) => owner.client_id() == Some(id),
        ReservationKey::HwAddress(mac) => owner.chaddr() == HwAddr::ethernet(*mac),
        ReservationKey::CircuitId(circuit) => {
            let agent = owner.agent_info().map(Bytes::copy_from_slice).map(AgentInformation::read);
            agent.and_then(Result::ok).and_then(|agent| agent.circuit_id).is_some_and(|id| id == circuit)
        }
    }
}

fn keys(request: &Request) -> impl Iterator<Item = ReservationKey> {
    let client_id = request.options.client_id.as_ref().map(|id| ReservationKey::ClientId(id.to_vec()));
    let hardware = request.mac().map(ReservationKey::HwAddress);
    let circuit = request.options.agent.as_ref().and_then(|agent| agent.circuit_id.as_ref());
    let circuit = circuit.map(|id| ReservationKey::CircuitId(id.to_vec()));
    [client_id, hardware, circuit].into_iter().flatten()
}
