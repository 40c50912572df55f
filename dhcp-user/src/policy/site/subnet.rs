//! The subnets that serve a request, and the server address in each.

use std::collections::BTreeSet;
use std::hash::Hash;
use std::net::Ipv4Addr;

use ahash::HashSet;
use dhcp_ebpf::abi::Link;
use dhcp_ebpf::slot::MAX_BODY;

pub use super::interface::Interface;
use super::neighbours::Neighbours;
pub(in crate::policy) use super::neighbours::Segment;
use super::place::Place;
use super::reservations::{Owner, Reservations};
pub(in crate::policy) use super::subnet_id::SubnetId;
use crate::config::{Reservation, Subnet, Vlan};
use crate::message::{AgentInformation, Request};
use crate::policy::site::digest::digest;

/// Octets of an IPv4 header, a UDP header, the BOOTP fields and the cookie.
pub(in crate::policy) const BEFORE_OPTIONS: usize = 20 + 8 + 236 + 4;
/// No answer is longer than this, whatever size the client accepts: it is the size of our longest frame.
pub(in crate::policy) const LONGEST_DATAGRAM: usize = BEFORE_OPTIONS + MAX_BODY;

/// A subnet and its lookup tables.
#[derive(Debug)]
struct ServedSubnet {
    config: Subnet,
    reservations: Reservations,
    /// Whether any of them says something of its client wherever the address of that is.
    standing: bool,
    /// A digest of the terms of its clients.
    told: u64,
    /// A digest of the terms of its clients and the ways to it.
    digest: u64,
}

/// All subnets, and the interfaces that lead to them.
#[derive(Debug)]
pub(in crate::policy) struct Subnets {
    served: Vec<ServedSubnet>,
    /// First and last address of each subnet, lowest first; they don't overlap.
    by_address: Vec<(Ipv4Addr, Ipv4Addr, SubnetId)>,
    neighbours: Neighbours,
    interfaces: Vec<Interface>,
    /// All addresses of this host, those of interfaces that are not served included.
    host: BTreeSet<Ipv4Addr>,
    /// The server identifiers of all subnets.
    server_ids: HashSet<Ipv4Addr>,
    /// Those, and the addresses of the interfaces.
    own: HashSet<Ipv4Addr>,
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
            standing: config.reservations.iter().any(|own| own.address.is_none() || !own.classes.is_empty()),
            told: digest(&config.told()),
            digest: 0,
        });
        let server_ids: HashSet<Ipv4Addr> = subnets.iter().filter_map(|subnet| subnet.server_id).collect();
        let mut this = Self {
            served: served.collect(),
            neighbours: Neighbours::new(subnets, |address| containing(&by_address, address)),
            by_address,
            interfaces: Vec::new(),
            host: BTreeSet::new(),
            own: server_ids.clone(),
            server_ids,
            reserves,
            trusting,
        };
        this.relink(interfaces);
        this
    }

    /// The interfaces are these from now on.
    pub(in crate::policy) fn relink(&mut self, interfaces: Vec<Interface>) {
        self.interfaces = interfaces;
        let addresses = self.interfaces.iter().flat_map(|interface| interface.addresses.iter().copied());
        self.own = addresses.chain(self.server_ids.iter().copied()).collect();
        let Self { served, by_address, neighbours, interfaces, own, .. } = self;
        let tags = |id: SubnetId| served.get(id.at()).map(|served| (id, served.config.vlan));
        neighbours.relink(interfaces, |address| containing(by_address, address).and_then(tags));
        let ways = neighbours.ways(|address| own.contains(&address));
        for (served, ways) in served.iter_mut().zip(ways) {
            served.digest = digest(&(served.told, ways));
        }
    }

    /// All that the answers to clients of `id` on `link` rest on, beside their classes, pools and reservations.
    pub(in crate::policy) fn basis(&self, id: SubnetId, link: Link) -> impl Hash + '_ {
        let interface = self.interface(link.ifindex).map(|interface| (interface.ifindex, &interface.name));
        let is_there = self.is_on(id, link);
        let trusts = self.believes(id, link);
        let server = self.server(id, link);
        (self.served(id).digest, interface, is_there, server, self.longest_datagram(link), trusts)
    }

    /// Notes where the reservations of all subnets are.
    pub(in crate::policy) fn place_reservations(&mut self, find: impl Fn(Ipv4Addr) -> Option<Place>) {
        for served in &mut self.served {
            served.reservations.place(|reservation| find(reservation.address?));
        }
    }

    #[cfg_attr(
        not(test),
        expect(
            clippy::indexing_slicing,
            reason = "the number of a subnet is its place in the configuration, which `served` is made of"
        )
    )]
    fn served(&self, id: SubnetId) -> &ServedSubnet {
        &self.served[id.at()]
    }

    pub(in crate::policy) fn get(&self, id: SubnetId) -> &Subnet {
        &self.served(id).config
    }

    pub(in crate::policy) fn ids(&self) -> impl Iterator<Item = SubnetId> + use<> {
        (0..u32::try_from(self.served.len()).unwrap_or(u32::MAX)).map(SubnetId)
    }

    /// The subnet that `address` lies in.
    pub(in crate::policy) fn containing(&self, address: Ipv4Addr) -> Option<SubnetId> {
        containing(&self.by_address, address)
    }

    /// The subnets that an address of `id`'s link may be of, `id` first.
    pub(in crate::policy) fn segment(&self, id: SubnetId) -> Segment {
        self.neighbours.segment(id)
    }

    /// The subnets of the network segment that the client is on.
    pub(in crate::policy) fn of(&self, request: &Request) -> Segment {
        let segment =
            if request.relayed() { self.behind(request.giaddr) } else { self.on_link(request.link).cloned() };
        let Some(segment) = segment else { return Segment::default() };
        // RFC 3527 §3: the link selection sub-option goes before giaddr and before the subnet selection option. Either
        // may be served from any subnet of the link it names (RFC 3011 §2).
        let link_selection = request.options.agent.as_ref().and_then(|agent| agent.link_selection);
        match link_selection.or(request.options.subnet) {
            Some(address) => self.containing(address).map(|id| self.segment(id)).unwrap_or_default(),
            None => segment,
        }
    }

    /// The subnets that a request by this relay may be served from: as listed, else by its address.
    pub(in crate::policy) fn behind(&self, giaddr: Ipv4Addr) -> Option<Segment> {
        let own = || self.containing(giaddr).map(|id| self.segment(id));
        self.neighbours.behind(giaddr).cloned().or_else(own)
    }

    /// The subnets of a direct client on `link`.
    pub(in crate::policy) fn on_link(&self, link: Link) -> Option<&Segment> {
        self.neighbours.on_link(link)
    }

    /// Whether `id` is among the subnets of a direct client on `link`.
    pub(in crate::policy) fn is_on(&self, id: SubnetId, link: Link) -> bool {
        self.neighbours.is_on(id, link)
    }

    /// Whether a client's unicast to us can come by `link`. A client on a link of ours sends to our address there,
    /// with the link's tags; routers forward the messages of all others, with any tags.
    pub(in crate::policy) fn may_be_reached_by(&self, id: SubnetId, link: Link) -> bool {
        let Subnet { vlan, server_id, prefix, .. } = self.get(id);
        let is_routed = server_id.is_some_and(|server| !prefix.contains(server));
        let same_tags = *vlan == Vlan { outer: link.outer, inner: link.inner };
        same_tags || is_routed || self.is_on(id, link) || !self.neighbours.is_on_a_link(id)
    }

    /// Whether option 82 is believed on this link without a relay: as its subnets say, else as the interface does. The
    /// client's subnet is not known yet, so where one of them doesn't believe it, none does.
    pub(in crate::policy) fn trusts(&self, link: Link) -> bool {
        let named =
            || self.interface(link.ifindex).is_some_and(|interface| self.trusting.contains(&interface.name));
        let here = self.on_link(link).into_iter().flat_map(|here| here.iter());
        let said = here.filter_map(|id| self.get(*id).trust_agent_information);
        said.reduce(|all, one| all && one).unwrap_or_else(named)
    }

    /// Whether it is believed of a client that is known to be of `id`, and sends on `link`.
    pub(in crate::policy) fn believes(&self, id: SubnetId, link: Link) -> bool {
        self.get(id).trust_agent_information.unwrap_or_else(|| self.trusts(link))
    }

    /// Whether some subnet lists this relay.
    pub(in crate::policy) fn lists(&self, relay: Ipv4Addr) -> bool {
        self.neighbours.lists(relay)
    }

    /// Whether this relay is listed for `subnet` or for one beside it.
    pub(in crate::policy) fn list_together(&self, subnet: SubnetId, relay: Ipv4Addr) -> bool {
        self.neighbours.is_behind(subnet, relay)
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

    /// The subnets that are configured for the tags of `link`, if it has any, and none of them can be served there.
    pub(in crate::policy) fn of_vlan(&self, link: Link) -> impl Iterator<Item = SubnetId> {
        let tags = Vlan { outer: link.outer, inner: link.inner };
        let is_served = self.on_link(link).is_some_and(|served| !served.is_empty());
        self.ids().filter(move |id| link.outer != 0 && !is_served && self.get(*id).vlan == tags)
    }

    /// Whether there is one.
    pub(in crate::policy) fn has_vlan_of(&self, link: Link) -> bool {
        self.of_vlan(link).next().is_some()
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

    /// Our own addresses as far as interfaces have them, and the host's: those come and go.
    pub(in crate::policy) fn own_here(&self) -> impl Iterator<Item = Ipv4Addr> {
        let interfaces = self.interfaces.iter().flat_map(|interface| interface.addresses.iter().copied());
        interfaces.chain(self.host.iter().copied())
    }

    /// Whether it is an address of ours, or of this host on an interface that is not served.
    pub(in crate::policy) fn is_of_this_host(&self, address: Ipv4Addr) -> bool {
        self.host.contains(&address) || self.is_ours(address)
    }

    /// Whether a client can have this address: it is not ours, and neither the network's nor the broadcast address of its
    /// subnet (RFC 1122 §3.2.1.3).
    pub(in crate::policy) fn can_be_a_clients(&self, address: Ipv4Addr) -> bool {
        let is_a_hosts = |subnet| self.get(subnet).prefix.hosts().contains(address);
        !self.is_ours(address) && self.containing(address).is_none_or(is_a_hosts)
    }

    /// The server identifiers of all subnets.
    pub(in crate::policy) fn server_ids(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.server_ids.iter().copied()
    }

    /// Whether `server` is one of our own addresses.
    pub(in crate::policy) fn is_ours(&self, server: Ipv4Addr) -> bool {
        self.own.contains(&server)
    }

    /// The reservation at `place` in `subnet`.
    pub(in crate::policy) fn reservation_at(&self, subnet: SubnetId, place: Place) -> Option<&Reservation> {
        self.served(subnet).reservations.at(place)
    }

    /// The reservation that the client which sent `request` has in `subnet`.
    pub(in crate::policy) fn reservation_for(
        &self,
        subnet: SubnetId,
        request: &Request,
    ) -> Option<&Reservation> {
        self.reservation_by(subnet, request, request.options.agent.as_ref())
    }

    /// The same for a client with this relay information.
    pub(in crate::policy) fn reservation_by(
        &self,
        subnet: SubnetId,
        request: &Request,
        agent: Option<&AgentInformation>,
    ) -> Option<&Reservation> {
        self.served(subnet).reservations.by(request, agent)
    }

    /// The reservation that the owner of a lease has in `subnet`, as far as the lease shows.
    pub(in crate::policy) fn reservation_of_owner(
        &self,
        subnet: SubnetId,
        owner: Owner<'_>,
    ) -> Option<&Reservation> {
        self.served(subnet).reservations.of_owner(owner)
    }

    /// The terms that the owner of a lease may have in `subnet` by reservations that hold at any address.
    pub(in crate::policy) fn standing_of_owner(&self, subnet: SubnetId, owner: Owner<'_>) -> Vec<u64> {
        let reservations = &self.served(subnet).reservations;
        let own = reservations.all_of_owner(owner);
        own.map(|own| digest(&(own.address.is_none().then_some(own), own.classes, &own.key))).collect()
    }

    /// Whether any reservation says something of its client wherever its address is.
    pub(in crate::policy) fn has_standing(&self, subnet: SubnetId) -> bool {
        self.served(subnet).standing
    }

    /// Whether there is any reservation.
    pub(in crate::policy) fn reserves(&self) -> bool {
        self.reserves
    }
}

/// The subnet that `address` lies in, of those that `by_address` has.
fn containing(by_address: &[(Ipv4Addr, Ipv4Addr, SubnetId)], address: Ipv4Addr) -> Option<SubnetId> {
    let after = by_address.partition_point(|(first, ..)| *first <= address);
    let (_, last, id) = by_address.get(after.checked_sub(1)?)?;
    (address <= *last).then_some(*id)
}
