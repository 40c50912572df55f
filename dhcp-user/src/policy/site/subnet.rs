//! Which subnets a request is served from, and by which address of ours.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ahash::HashMap;
use dhcp_ebpf::abi::Link;
use dhcp_ebpf::slot::MAX_BODY;

use super::place::Place;
use super::reservations::{Owner, Reservations};
pub(in crate::policy) use super::subnet_id::SubnetId;
use crate::config::{Reservation, Subnet, Vlan};
use crate::message::{AgentInformation, Request};
use crate::policy::site::digest::digest;

/// Octets of an IPv4 header, a UDP header, the BOOTP fields and the cookie.
pub(in crate::policy) const BEFORE_OPTIONS: usize = 20 + 8 + 236 + 4;
/// No answer is longer than this, whatever the client could take: it is what a frame of ours carries.
pub(in crate::policy) const LONGEST_DATAGRAM: usize = BEFORE_OPTIONS + MAX_BODY;

/// Subnets that are on one link, those to be preferred first (RFC 2131 §4.3.1). To be had without an allocation.
pub(in crate::policy) type Segment = Arc<[SubnetId]>;

/// What policy must know of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's name of it.
    pub name: String,
    /// Its index while this kernel runs.
    pub ifindex: u32,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// The longest IP datagram that it takes; 0 while it isn't there.
    pub mtu: u32,
    /// Its addresses, the first one first.
    pub addresses: Vec<Ipv4Addr>,
}

/// A subnet and what is looked up in it.
#[derive(Debug)]
struct ServedSubnet {
    config: Subnet,
    reservations: Reservations,
    /// The subnet, and those that are on its link beside it.
    segment: Segment,
    /// A number that stands for what its clients are told, and the ways to it.
    digest: u64,
}

/// From where a subnet is reached, its links left out.
#[derive(Clone, Debug, Default, Hash)]
struct Ways {
    /// By a giaddr, or what a request selects (RFC 3527, RFC 3011), from one of these addresses to the other.
    from: Vec<(Ipv4Addr, Ipv4Addr)>,
    /// By a relay that some subnet lists; `false` where it is not served, or not as its address alone would have it.
    relays: BTreeMap<Ipv4Addr, bool>,
}

/// All subnets, and the interfaces that lead to them.
#[derive(Debug)]
pub(in crate::policy) struct Subnets {
    served: Vec<ServedSubnet>,
    /// First and last address of each subnet, lowest first; they don't overlap.
    by_address: Vec<(Ipv4Addr, Ipv4Addr, SubnetId)>,
    by_relay: HashMap<Ipv4Addr, Segment>,
    /// In order: found by bisection, which takes less than a hash.
    by_link: Vec<(Link, Segment)>,
    interfaces: Vec<Interface>,
    /// All addresses of this host, those of interfaces that are not served included.
    host: BTreeSet<Ipv4Addr>,
    /// Whether any of them has a reservation.
    reserves: bool,
    /// The names of those on whose links option 82 is believed without a relay.
    trusting: BTreeSet<String>,
}

impl Subnets {
    pub(in crate::policy) fn new(
        subnets: &[Subnet],
        trusting: BTreeSet<String>,
        interfaces: Vec<Interface>,
    ) -> Self {
        let mut by_address = Vec::new();
        for (id, subnet) in (0..).map(SubnetId).zip(subnets) {
            by_address.push((subnet.prefix.network, subnet.prefix.last(), id));
        }
        by_address.sort_unstable();
        let reserves = subnets.iter().any(|subnet| !subnet.reservations.is_empty());
        let served = subnets.iter().map(|config| ServedSubnet {
            config: config.clone(),
            reservations: Reservations::new(&config.reservations),
            segment: Segment::default(),
            digest: 0,
        });
        let (by_relay, by_link) = (HashMap::default(), Vec::new());
        let mut this = Self {
            served: served.collect(),
            by_address,
            by_relay,
            by_link,
            interfaces: Vec::new(),
            host: BTreeSet::new(),
            reserves,
            trusting,
        };
        this.relink(interfaces);
        this
    }

    /// The interfaces are these from now on.
    pub(in crate::policy) fn relink(&mut self, interfaces: Vec<Interface>) {
        self.interfaces = interfaces;
        self.by_link = self.links().map(|link| (link, self.with_shared(self.on(link)))).collect();
        self.by_link.sort_unstable_by_key(|(link, _)| *link);
        let segments: Vec<Segment> = self.ids().map(|id| self.beside(id)).collect();
        self.served.iter_mut().zip(segments).for_each(|(served, segment)| served.segment = segment);
        let relays = self.served.iter().flat_map(|served| &served.config.relays);
        self.by_relay = relays.map(|relay| (*relay, self.with_shared(self.behind(*relay)))).collect();
        let ways = self.ways();
        for (served, ways) in self.served.iter_mut().zip(ways) {
            served.digest = digest(&(served.config.told(), ways));
        }
    }

    /// The ways to each subnet.
    fn ways(&self) -> Vec<Ways> {
        let mut ways = vec![Ways::default(); self.served.len()];
        for (first, last, by) in &self.by_address {
            self.segment(*by).iter().for_each(|id| ways[id.at()].from.push((*first, *last)));
        }
        for (relay, listed) in &self.by_relay {
            let ours = self.is_ours(*relay);
            let own = self.containing(*relay).map(|by| self.segment(by)).unwrap_or_default();
            // Where a thousand subnets share a network, to look through a list for each of them would take too long.
            own.iter().for_each(|id| _ = ways[id.at()].relays.insert(*relay, false));
            listed.iter().for_each(|id| _ = ways[id.at()].relays.insert(*relay, !ours));
        }
        ways
    }

    /// All that the answers to clients of `id` on `link` rest on, beside their classes, pools and reservations.
    pub(in crate::policy) fn basis(&self, id: SubnetId, link: Link) -> impl Hash + '_ {
        let interface = self.interface(link.ifindex).map(|interface| (interface.ifindex, &interface.name));
        let is_there = self.on_link(link).is_some_and(|segment| segment.contains(&id));
        let trusts = self.get(id).trust_agent_information || self.trusts(link);
        let server = self.server(id, link);
        (self.served[id.at()].digest, interface, is_there, server, self.longest_datagram(link), trusts)
    }

    /// Notes where the reservations of all subnets are.
    pub(in crate::policy) fn place_reservations(&mut self, find: impl Fn(Ipv4Addr) -> Option<Place>) {
        for served in &mut self.served {
            served.reservations.place(|reservation| find(reservation.address));
        }
    }

    pub(in crate::policy) fn get(&self, id: SubnetId) -> &Subnet {
        &self.served[id.at()].config
    }

    pub(in crate::policy) fn ids(&self) -> impl Iterator<Item = SubnetId> + use<> {
        (0..u32::try_from(self.served.len()).unwrap_or(u32::MAX)).map(SubnetId)
    }

    /// The subnet that `address` lies in.
    pub(in crate::policy) fn containing(&self, address: Ipv4Addr) -> Option<SubnetId> {
        let after = self.by_address.partition_point(|(first, ..)| *first <= address);
        let (_, last, id) = self.by_address.get(after.checked_sub(1)?)?;
        (address <= *last).then_some(*id)
    }

    /// The subnets that an address of `id`'s link may be of, `id` first.
    pub(in crate::policy) fn segment(&self, id: SubnetId) -> Segment {
        Arc::clone(&self.served[id.at()].segment)
    }

    /// The subnets of the network segment that the client is on.
    pub(in crate::policy) fn of(&self, request: &Request) -> Segment {
        let segment = if request.relayed() {
            let own = || self.containing(request.giaddr).map(|id| self.segment(id));
            self.by_relay.get(&request.giaddr).cloned().or_else(own)
        } else {
            self.on_link(request.link).cloned()
        };
        let Some(segment) = segment else { return Segment::default() };
        // RFC 3527 §3: the link selection sub-option goes before giaddr and before the subnet selection option. Either
        // may be served from any subnet of the link it names (RFC 3011 §2).
        let link_selection = request.options.agent.as_ref().and_then(|agent| agent.link_selection);
        match link_selection.or(request.options.subnet) {
            Some(address) => self.containing(address).map(|id| self.segment(id)).unwrap_or_default(),
            None => segment,
        }
    }

    /// The subnets of a direct client on `link`.
    pub(in crate::policy) fn on_link(&self, link: Link) -> Option<&Segment> {
        let found = self.by_link.binary_search_by_key(&link, |(link, _)| *link);
        found.ok().map(|at| &self.by_link[at].1)
    }

    /// The links that the interfaces have by the tags of the subnets.
    fn links(&self) -> impl Iterator<Item = Link> {
        let vlans: BTreeSet<Vlan> = self.served.iter().map(|served| served.config.vlan).collect();
        let links = |ifindex| {
            let link = move |Vlan { outer, inner }| Link { ifindex, outer, inner };
            vlans.iter().copied().map(link).collect::<Vec<_>>()
        };
        self.interfaces.iter().flat_map(|interface| links(interface.ifindex)).collect::<Vec<_>>().into_iter()
    }

    /// The subnets on this link: those that our addresses there are in, else those said to be there.
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

    /// The subnets served through this relay: the one it has its address in, and those that list it.
    pub(in crate::policy) fn behind(&self, giaddr: Ipv4Addr) -> Vec<SubnetId> {
        let lists = |id: &SubnetId| self.get(*id).relays.contains(&giaddr);
        self.containing(giaddr).into_iter().chain(self.ids().filter(lists)).collect()
    }

    /// Whether option 82 is believed on this link without a relay.
    pub(in crate::policy) fn trusts(&self, link: Link) -> bool {
        let named =
            || self.interface(link.ifindex).is_some_and(|interface| self.trusting.contains(&interface.name));
        let said = |here: &Segment| here.iter().any(|id| self.get(*id).trust_agent_information);
        named() || self.on_link(link).is_some_and(said)
    }

    /// Whether some subnet lists this relay.
    pub(in crate::policy) fn lists(&self, relay: Ipv4Addr) -> bool {
        self.by_relay.contains_key(&relay)
    }

    /// Whether this relay is listed for `subnet` or for one beside it.
    pub(in crate::policy) fn list_together(&self, subnet: SubnetId, relay: Ipv4Addr) -> bool {
        self.by_relay.get(&relay).is_some_and(|segment| segment.contains(&subnet))
    }

    /// The subnet, and those beside it: on a link of ours, or of its shared network.
    fn beside(&self, id: SubnetId) -> Segment {
        let here = self.by_link.iter().filter(|(_, segment)| segment.contains(&id));
        let here = here.flat_map(|(_, segment)| segment.iter().copied());
        self.with_shared(std::iter::once(id).chain(here).collect())
    }

    /// `segment` and the rest of the shared networks that its subnets are of, each once.
    fn with_shared(&self, mut segment: Vec<SubnetId>) -> Segment {
        let named = |id: SubnetId| self.get(id).shared_network.as_deref();
        let of_it: BTreeSet<&str> = segment.iter().filter_map(|id| named(*id)).collect();
        if !of_it.is_empty() {
            segment.extend(self.ids().filter(|id| named(*id).is_some_and(|name| of_it.contains(name))));
        }
        let mut seen = BTreeSet::new();
        segment.retain(|id| seen.insert(*id));
        segment.into()
    }

    /// The longest datagram by which a client on `link` may be answered.
    pub(in crate::policy) fn longest_datagram(&self, link: Link) -> usize {
        let mtu = self.interface(link.ifindex).map(|interface| interface.mtu).filter(|mtu| *mtu != 0);
        mtu.and_then(|mtu| usize::try_from(mtu).ok()).unwrap_or(LONGEST_DATAGRAM).min(LONGEST_DATAGRAM)
    }

    pub(in crate::policy) fn interface(&self, ifindex: u32) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.ifindex == ifindex)
    }

    /// The link on which the hosts of `subnet` are, if we have an address there.
    pub(in crate::policy) fn link(&self, subnet: SubnetId) -> Option<Link> {
        let subnet = self.get(subnet);
        let inside = |interface: &&Interface| interface.addresses.iter().any(|a| subnet.prefix.contains(*a));
        let interface = self.interfaces.iter().find(inside)?;
        Some(Link { ifindex: interface.ifindex, outer: subnet.vlan.outer, inner: subnet.vlan.inner })
    }

    pub(in crate::policy) fn interface_named(&self, name: &str) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.name == name)
    }

    /// The address of ours that clients of `subnet` on `link` talk to.
    pub(in crate::policy) fn server(&self, subnet: SubnetId, link: Link) -> Option<Ipv4Addr> {
        let subnet = self.get(subnet);
        subnet.server_id.or_else(|| {
            let addresses = &self.interface(link.ifindex)?.addresses;
            let inside = addresses.iter().find(|address| subnet.prefix.contains(**address));
            inside.or_else(|| addresses.first()).copied()
        })
    }

    /// The host has these addresses from now on, those of interfaces that are not served included. Gives those that it had.
    pub(in crate::policy) fn set_host(&mut self, addresses: BTreeSet<Ipv4Addr>) -> BTreeSet<Ipv4Addr> {
        std::mem::replace(&mut self.host, addresses)
    }

    /// Our own addresses, and the host's.
    pub(in crate::policy) fn own(&self) -> impl Iterator<Item = Ipv4Addr> {
        let interfaces = self.interfaces.iter().flat_map(|interface| interface.addresses.iter().copied());
        let said = self.served.iter().filter_map(|served| served.config.server_id);
        interfaces.chain(said).chain(self.host.iter().copied())
    }

    /// Whether it is an address of ours, or of this host on an interface that is not served.
    pub(in crate::policy) fn is_of_this_host(&self, address: Ipv4Addr) -> bool {
        self.host.contains(&address) || self.is_ours(address)
    }

    /// Whether `server` is one of our own addresses.
    pub(in crate::policy) fn is_ours(&self, server: Ipv4Addr) -> bool {
        self.interfaces.iter().any(|interface| interface.addresses.contains(&server))
            || self.served.iter().any(|served| served.config.server_id == Some(server))
    }

    /// The reservation at `place` in `subnet`.
    pub(in crate::policy) fn reservation_at(&self, subnet: SubnetId, place: Place) -> Option<&Reservation> {
        self.served[subnet.at()].reservations.at(place)
    }

    /// The reservation that the client which sent `request` has in `subnet`.
    pub(in crate::policy) fn reservation_for(
        &self,
        subnet: SubnetId,
        request: &Request,
    ) -> Option<&Reservation> {
        self.reservation_by(subnet, request, request.options.agent.as_ref())
    }

    /// The same for a client of which its relay says this.
    pub(in crate::policy) fn reservation_by(
        &self,
        subnet: SubnetId,
        request: &Request,
        agent: Option<&AgentInformation>,
    ) -> Option<&Reservation> {
        self.served[subnet.at()].reservations.by(request, agent)
    }

    /// The reservation that the owner of a lease has in `subnet`, as far as the lease tells.
    pub(in crate::policy) fn reservation_of_owner(
        &self,
        subnet: SubnetId,
        owner: Owner<'_>,
    ) -> Option<&Reservation> {
        self.served[subnet.at()].reservations.of_owner(owner)
    }

    /// Whether there is any reservation.
    pub(in crate::policy) fn reserves(&self) -> bool {
        self.reserves
    }
}
