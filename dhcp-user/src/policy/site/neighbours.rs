//! Which subnets are on one network, and from where each is reached.
//!
//! If a thousand subnets share a network there are a million pairs of them. So nothing here is kept or computed for
//! each pair. The cost of a change of interfaces grows with the number of subnets, links and relays; the neighbours
//! of a subnet are listed at the first question for them.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use ahash::{HashMap, HashMapExt as _};
use dhcp_ebpf::abi::Link;

use super::digest::digest;
use super::interface::Interface;
use super::subnet_id::SubnetId;
use crate::config::{Subnet, Vlan};

/// Subnets that are on one link, the preferred first (RFC 2131 §4.3.1). To clone it takes no allocation.
pub(in crate::policy) type Segment = Arc<[SubnetId]>;

/// The number of a shared network, or of a gathering.
type Number = usize;

/// The shared networks of the subnets.
#[derive(Debug)]
struct Networks {
    of: Vec<Option<Number>>,
    /// In order of their ids.
    members: Vec<Vec<SubnetId>>,
}

impl Networks {
    fn new(subnets: &[Subnet]) -> Self {
        let mut numbers: HashMap<&str, Number> = HashMap::new();
        let (mut of, mut members) = (Vec::with_capacity(subnets.len()), Vec::new());
        for (id, subnet) in numbered(subnets) {
            let number = subnet.shared_network.as_deref().map(|name| {
                *numbers.entry(name).or_insert_with(|| {
                    members.push(Vec::new());
                    members.len() - 1
                })
            });
            of.push(number);
            number.and_then(|number| members.get_mut(number)).into_iter().for_each(|ids| ids.push(id));
        }
        Self { of, members }
    }

    fn of(&self, id: SubnetId) -> Option<Number> {
        self.of.get(id.at()).copied().flatten()
    }

    fn members(&self, number: Number) -> &[SubnetId] {
        self.members.get(number).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Subnets that go together by themselves; the rest of the shared networks that they are of go with them.
#[derive(Debug, Default)]
struct Gathering {
    direct: Vec<SubnetId>,
    /// Those of `direct` that are of no shared network, in order of their ids.
    alone: Vec<SubnetId>,
    /// The shared networks of the others, in order.
    networks: Vec<Number>,
    whole: OnceCell<Segment>,
}

impl Gathering {
    fn new(direct: Vec<SubnetId>, networks: &Networks) -> Self {
        let of = |id: &SubnetId| networks.of(*id);
        let mut alone: Vec<SubnetId> = direct.iter().copied().filter(|id| of(id).is_none()).collect();
        alone.sort_unstable();
        let shared: BTreeSet<Number> = direct.iter().filter_map(of).collect();
        Self { direct, alone, networks: shared.into_iter().collect(), whole: OnceCell::new() }
    }

    fn holds(&self, id: SubnetId, networks: &Networks) -> bool {
        match networks.of(id) {
            Some(network) => self.networks.binary_search(&network).is_ok(),
            None => self.alone.binary_search(&id).is_ok(),
        }
    }

    /// All of them, each once: the direct ones first, then the others in order of their ids.
    fn whole(&self, networks: &Networks) -> &Segment {
        self.whole.get_or_init(|| {
            let mut others: Vec<SubnetId> =
                self.networks.iter().flat_map(|network| networks.members(*network)).copied().collect();
            others.sort_unstable();
            each_once(self.direct.iter().copied().chain(others))
        })
    }
}

/// The neighbours of each subnet.
#[derive(Debug)]
pub(super) struct Neighbours {
    networks: Networks,
    /// The subnets configured to be on every link of these tags, in order of their ids.
    said: BTreeMap<Vlan, Vec<SubnetId>>,
    by_relay: HashMap<Ipv4Addr, Gathering>,
    /// A number for each subnet that stands for its addresses and the relays that are listed among them.
    ways_by: Vec<u64>,
    gatherings: Vec<Gathering>,
    /// The number of its gathering, in order: found by bisection, which takes less than a hash.
    by_link: Vec<(Link, Number)>,
    /// The gatherings on links that a subnet is in which is of no shared network, in the order of those links.
    of_subnet: Vec<Vec<Number>>,
    /// The same for whole shared networks.
    of_network: Vec<Vec<Number>>,
    segments: Vec<OnceCell<Segment>>,
}

impl Neighbours {
    /// Without any interface. `containing` returns the subnet of an address.
    pub(super) fn new(subnets: &[Subnet], containing: impl Fn(Ipv4Addr) -> Option<SubnetId>) -> Self {
        let networks = Networks::new(subnets);
        let mut said: BTreeMap<Vlan, Vec<SubnetId>> = BTreeMap::new();
        let mut listing: BTreeMap<Ipv4Addr, Vec<SubnetId>> = BTreeMap::new();
        for (id, subnet) in numbered(subnets) {
            let named = subnet.server_id.is_some_and(|server| subnet.prefix.contains(server));
            if named && (subnet.vlan != Vlan::default() || subnet.relays.is_empty()) {
                said.entry(subnet.vlan).or_default().push(id);
            }
            for relay in &subnet.relays {
                listing.entry(*relay).or_default().push(id);
            }
        }
        let mut relays_in = vec![0_u64; subnets.len()];
        let mut by_relay = HashMap::with_capacity(listing.len());
        for (relay, listing) in listing {
            // The one it has its address in, and those that list it.
            let own = containing(relay);
            if let Some(relays) = own.and_then(|own| relays_in.get_mut(own.at())) {
                *relays = relays.wrapping_add(digest(&relay));
            }
            let direct = own.into_iter().chain(listing).collect();
            by_relay.insert(relay, Gathering::new(direct, &networks));
        }
        let ways_by = subnets.iter().zip(relays_in);
        let ways_by = ways_by.map(|(subnet, relays)| digest(&(subnet.prefix, relays))).collect();
        let segments = subnets.iter().map(|_| OnceCell::new()).collect();
        let (gatherings, by_link, of_subnet, of_network) = Default::default();
        Self { networks, said, by_relay, ways_by, gatherings, by_link, of_subnet, of_network, segments }
    }

    /// The interfaces are these from now on.
    pub(super) fn relink(
        &mut self,
        interfaces: &[Interface],
        containing: impl Fn(Ipv4Addr) -> Option<(SubnetId, Vlan)>,
    ) {
        self.by_link.clear();
        self.gatherings.clear();
        let mut as_said: BTreeMap<Vlan, Number> = BTreeMap::new();
        let mut in_order: Vec<&Interface> = interfaces.iter().collect();
        in_order.sort_unstable_by_key(|interface| interface.ifindex);
        for interface in in_order {
            // On a link are the subnets that our addresses there are in, beside those said to be there.
            let mut ours: BTreeMap<Vlan, BTreeSet<SubnetId>> = BTreeMap::new();
            for (id, vlan) in interface.addresses.iter().filter_map(|address| containing(*address)) {
                ours.entry(vlan).or_default().insert(id);
            }
            let vlans: BTreeSet<Vlan> = ours.keys().chain(self.said.keys()).copied().collect();
            for vlan in vlans {
                let said = self.said.get(&vlan).map(Vec::as_slice).unwrap_or_default();
                let more = ours.remove(&vlan).unwrap_or_default();
                let is_as_said = more.iter().all(|id| said.binary_search(id).is_ok());
                let known = as_said.get(&vlan).copied().filter(|_| is_as_said);
                let number = known.unwrap_or(self.gatherings.len());
                if known.is_none() {
                    let direct: BTreeSet<SubnetId> = said.iter().copied().chain(more).collect();
                    self.gatherings.push(Gathering::new(direct.into_iter().collect(), &self.networks));
                }
                if is_as_said {
                    as_said.insert(vlan, number);
                }
                let Vlan { outer, inner } = vlan;
                self.by_link.push((Link { ifindex: interface.ifindex, outer, inner }, number));
            }
        }
        self.by_link.sort_by_key(|(link, _)| *link);
        self.of_subnet = vec![Vec::new(); self.segments.len()];
        self.of_network = vec![Vec::new(); self.networks.members.len()];
        for (number, gathering) in self.gatherings.iter().enumerate() {
            for id in &gathering.alone {
                self.of_subnet.get_mut(id.at()).into_iter().for_each(|numbers| numbers.push(number));
            }
            for network in &gathering.networks {
                self.of_network.get_mut(*network).into_iter().for_each(|numbers| numbers.push(number));
            }
        }
        self.segments.iter_mut().for_each(|segment| drop(segment.take()));
    }

    /// The subnet, and those beside it, itself first: on a link of ours, or of its shared network.
    pub(super) fn segment(&self, id: SubnetId) -> Segment {
        let list = || {
            let here = self.on_links(id).iter().filter_map(|number| self.gatherings.get(*number));
            let here = here.flat_map(|gathering| gathering.whole(&self.networks).iter().copied());
            let shared = self.networks.of(id).map(|network| self.networks.members(network));
            each_once(std::iter::once(id).chain(here).chain(shared.unwrap_or_default().iter().copied()))
        };
        self.segments.get(id.at()).map_or_else(list, |segment| Arc::clone(segment.get_or_init(list)))
    }

    /// The subnets of a direct client on `link`.
    pub(super) fn on_link(&self, link: Link) -> Option<&Segment> {
        self.gathered_on(link).map(|gathering| gathering.whole(&self.networks))
    }

    /// Whether `id` is among those.
    pub(super) fn is_on(&self, id: SubnetId, link: Link) -> bool {
        self.gathered_on(link).is_some_and(|gathering| gathering.holds(id, &self.networks))
    }

    fn gathered_on(&self, link: Link) -> Option<&Gathering> {
        let found = self.by_link.binary_search_by_key(&link, |(link, _)| *link).ok()?;
        self.gatherings.get(self.by_link.get(found)?.1)
    }

    /// The subnets served through this relay, if some subnet lists it.
    pub(super) fn behind(&self, relay: Ipv4Addr) -> Option<&Segment> {
        self.by_relay.get(&relay).map(|gathering| gathering.whole(&self.networks))
    }

    /// Whether some subnet lists this relay.
    pub(super) fn lists(&self, relay: Ipv4Addr) -> bool {
        self.by_relay.contains_key(&relay)
    }

    /// Whether it is listed for `id`, or for one beside it.
    pub(super) fn is_behind(&self, id: SubnetId, relay: Ipv4Addr) -> bool {
        self.by_relay.get(&relay).is_some_and(|gathering| gathering.holds(id, &self.networks))
    }

    /// Whether some link of ours leads to it without a router.
    pub(super) fn is_on_a_link(&self, id: SubnetId) -> bool {
        !self.on_links(id).is_empty()
    }

    fn on_links(&self, id: SubnetId) -> &[Number] {
        let numbers = match self.networks.of(id) {
            Some(network) => self.of_network.get(network),
            None => self.of_subnet.get(id.at()),
        };
        numbers.map(Vec::as_slice).unwrap_or_default()
    }

    /// A digest, for each subnet, of the ways to it, without its links: the addresses that lead to it as a giaddr or
    /// a selection (RFC 3527, RFC 3011), and its relays. Digests are sums, so that a part that many subnets share is
    /// added up once.
    pub(super) fn ways(&self, is_ours: impl Fn(Ipv4Addr) -> bool) -> Vec<u64> {
        let by = |id: SubnetId| self.ways_by.get(id.at()).copied().unwrap_or_default();
        let sum = |numbers: &mut dyn Iterator<Item = u64>| numbers.fold(0, u64::wrapping_add);
        let of_network: Vec<u64> = (self.networks.members.iter())
            .map(|members| sum(&mut members.iter().map(|id| by(*id))))
            .collect();
        // A relay of our own address is none.
        let (mut listed, mut listed_for) = (vec![0_u64; self.segments.len()], vec![0_u64; of_network.len()]);
        for (relay, gathering) in &self.by_relay {
            let relay = digest(&(relay, is_ours(*relay)));
            for id in &gathering.alone {
                listed.get_mut(id.at()).into_iter().for_each(|sum| *sum = sum.wrapping_add(relay));
            }
            for network in &gathering.networks {
                listed_for.get_mut(*network).into_iter().for_each(|sum| *sum = sum.wrapping_add(relay));
            }
        }
        let mut together: HashMap<&[Number], u64> = HashMap::new();
        let beside = |numbers: &[Number]| {
            let gathered = || numbers.iter().filter_map(|number| self.gatherings.get(*number));
            let alone: BTreeSet<SubnetId> = gathered().flat_map(|all| all.alone.iter().copied()).collect();
            let shared: BTreeSet<Number> = gathered().flat_map(|all| all.networks.iter().copied()).collect();
            let shared = shared.into_iter().filter_map(|network| of_network.get(network).copied());
            sum(&mut alone.into_iter().map(by).chain(shared))
        };
        let ids = (0..).map(SubnetId).take(self.segments.len());
        ids.map(|id| {
            let numbers = self.on_links(id);
            let network = self.networks.of(id);
            let from = match (numbers, network) {
                ([], Some(network)) => of_network.get(network).copied().unwrap_or_default(),
                ([], None) => by(id),
                (numbers, _) => *together.entry(numbers).or_insert_with(|| beside(numbers)),
            };
            let relays = match network {
                Some(network) => listed_for.get(network),
                None => listed.get(id.at()),
            };
            digest(&(from, relays))
        })
        .collect()
    }
}

fn numbered(subnets: &[Subnet]) -> impl Iterator<Item = (SubnetId, &Subnet)> {
    (0..).map(SubnetId).zip(subnets)
}

fn each_once(ids: impl Iterator<Item = SubnetId>) -> Segment {
    let mut seen = ahash::HashSet::default();
    ids.filter(|id| seen.insert(*id)).collect()
}

#[cfg(test)]
mod tests;
