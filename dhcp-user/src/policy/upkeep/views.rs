//! Views of policy for the command line, read only.

use std::net::Ipv4Addr;

use dhcp_ebpf::abi::Link;
use dhcp_ebpf::lease::BootSecs;

use crate::config::{Pool, Prefix};
use crate::policy::Policy;
use crate::policy::book::binding::{AnsweredBy, Binding};
use crate::policy::book::identity::Identity;
use crate::policy::book::state::{State, Tally};
use crate::policy::evidence::declines::Source;
use crate::policy::site::place::Place;
use crate::policy::site::subnet::SubnetId;
use crate::store::{HwAddr, QuarantineCause, Record};

/// How much work a page may take: so many addresses that nobody has or had, some 100 µs.
const PAGE_WORK: usize = 16 * 1024;
/// The work of an address with an owner, in addresses without.
const BOUND_WORK: usize = 16;

/// A lease, or what is left of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseView {
    /// Its address.
    pub address: Ipv4Addr,
    /// The owner's hardware address.
    pub chaddr: HwAddr,
    /// The owner's client identifier.
    pub client_id: Option<Vec<u8>>,
    /// The owner's host name.
    pub host_name: Option<String>,
    /// The state of the address.
    pub state: State,
    /// The subnet it is of.
    pub subnet: Prefix,
    /// The link the owner is reached on.
    pub link: Link,
    /// The name of that link's interface; empty if there is none such now.
    pub interface: String,
    /// The relay the owner is reached through, or 0.0.0.0.
    pub giaddr: Ipv4Addr,
    /// The relay information of the owner: the value of option 82.
    pub agent_info: Option<Vec<u8>>,
    /// When the promise ends, or ended; as far as the words know, if they were looked at.
    pub expires: BootSecs,
    /// No promise goes beyond this.
    pub committed_until: BootSecs,
    /// The lease time of its last answer.
    pub lease_time: u32,
    /// The sender of the last answer.
    pub answered_by: AnsweredBy,
    /// How many renewals the kernel answered, as far as reported.
    pub kernel_renewals: u64,
    /// When the client was last heard, as far as reported.
    pub last_heard: BootSecs,
}

/// A pool and its counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolView {
    /// The subnet it is of.
    pub subnet: Prefix,
    /// Its addresses.
    pub pool: Pool,
    /// How many of them are in which state.
    pub tally: Tally,
}

/// An address in quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineView {
    /// The address.
    pub address: Ipv4Addr,
    /// When it was found in use.
    pub since: BootSecs,
    /// When its probation ends.
    pub until: BootSecs,
    /// How it was found.
    pub why: QuarantineCause,
    /// The client that declined or the station that answered, if known.
    pub by: Option<HwAddr>,
    /// How often it was in quarantine, this time included.
    pub recurrences: u32,
}

/// A device with more than one lease in a subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceView {
    /// The device.
    pub chaddr: HwAddr,
    /// The subnet.
    pub subnet: Prefix,
    /// How many it may have.
    pub cap: u32,
    /// Its leases, the one that was silent longest first.
    pub leases: Vec<LeaseView>,
}

impl Policy {
    /// Stations whose answers to probes prove nothing at `now`: the link, the hardware address, and the addresses
    /// that they answered for.
    pub fn disbelieved(&self, now: BootSecs) -> impl Iterator<Item = (Link, [u8; 6], &[Ipv4Addr])> {
        self.evidence.witnesses.disbelieved(now)
    }

    /// The links on which so many stations answered probes lately that they may be lies.
    pub fn doubted_links(&self, now: BootSecs) -> impl Iterator<Item = Link> {
        self.evidence.witnesses.doubted(now)
    }

    /// From where so many DECLINEs came lately that they keep addresses out of use for minutes only.
    pub fn spent_declines(&self, now: BootSecs) -> impl Iterator<Item = &Source> {
        self.evidence.declines.spent(now)
    }

    /// The leases there are, in order of address: all that are leased, in grace, or free and remembered.
    pub fn leases(&self) -> impl Iterator<Item = LeaseView> + '_ {
        self.book.places().filter_map(|place| self.view(place))
    }

    /// Some of the leases above `after`, in order of address, and the address to go on after; none at the end.
    #[must_use]
    pub fn leases_after(&self, after: Option<Ipv4Addr>, most: usize) -> (Vec<LeaseView>, Option<Ipv4Addr>) {
        self.page(after, most, |place| self.view(place))
    }

    /// The records of some of the addresses above `after`, and the address to go on after; none at the end.
    #[must_use]
    pub fn records_after(&self, after: Option<Ipv4Addr>, most: usize) -> (Vec<Record>, Option<Ipv4Addr>) {
        self.page(after, most, |place| self.is_remembered(place).then(|| self.book.record(&self.site, place)))
    }

    /// Up to `most` of what `each` makes of the addresses above `after`, and the address to go on after; none at the end.
    ///
    /// A page takes so much work at most: where there is little to be found it is short, or empty.
    fn page<T>(
        &self,
        after: Option<Ipv4Addr>,
        most: usize,
        each: impl Fn(Place) -> Option<T>,
    ) -> (Vec<T>, Option<Ipv4Addr>) {
        let (mut items, mut last, mut work) = (Vec::new(), None, 0);
        let mut places = self.book.places_after(after);
        while items.len() < most
            && work < PAGE_WORK
            && let Some(place) = places.next()
        {
            work += if self.book.binding(place).is_some() { BOUND_WORK } else { 1 };
            last = Some(place);
            items.extend(each(place));
        }
        let next = places.next().and(last).map(|last| self.book.address(last));
        (items, next)
    }

    /// The record of `address`, if it is of a pool or a reservation.
    #[must_use]
    pub fn record(&self, address: Ipv4Addr) -> Option<Record> {
        self.book.find(address).map(|place| self.book.record(&self.site, place))
    }

    fn is_remembered(&self, place: Place) -> bool {
        self.book.binding(place).is_some()
            || self.book.state(place) == State::Quarantined
            || self.book.recurrences(place) > 0
    }

    /// The lease of `address`.
    #[must_use]
    pub fn lease(&self, address: Ipv4Addr) -> Option<LeaseView> {
        self.view(self.book.find(address)?)
    }

    /// How many addresses are leased.
    #[must_use]
    pub fn leased(&self) -> usize {
        self.book.total().of(State::Leased) as usize
    }

    /// The state of `address`, if it is of a pool or a reservation.
    #[must_use]
    pub fn state(&self, address: Ipv4Addr) -> Option<State> {
        self.book.find(address).map(|place| self.book.state(place))
    }

    /// The pools, in the order of the configuration.
    pub fn pools(&self) -> impl Iterator<Item = PoolView> + '_ {
        self.book.pools().iter().map(|pool| PoolView {
            subnet: self.prefix(pool.subnet),
            pool: pool.range,
            tally: pool.tally,
        })
    }

    /// The addresses in quarantine, in order.
    pub fn quarantined(&self) -> impl Iterator<Item = QuarantineView> + '_ {
        self.book.quarantined().map(|(place, probation)| QuarantineView {
            address: self.book.address(place),
            since: probation.since,
            until: probation.until,
            why: probation.why,
            by: probation.by,
            recurrences: self.book.recurrences(place),
        })
    }

    /// The devices that hold more than one lease in a subnet and the lowest of them among some of the addresses above
    /// `after`, and the address to go on after; none at the end.
    #[must_use]
    pub fn orphans_after(&self, after: Option<Ipv4Addr>, most: usize) -> (Vec<DeviceView>, Option<Ipv4Addr>) {
        let device = |place: Place| {
            let leased = self.book.binding(place).filter(|_| self.book.state(place) == State::Leased)?;
            let (subnet, chaddr) = (self.book.subnet(place), leased.chaddr());
            let all = self.book.leased_to_device(subnet, chaddr);
            (all.len() > 1 && all.first() == Some(&place)).then(|| self.device(subnet, chaddr, &all))
        };
        self.page(after, most, device)
    }

    fn view(&self, place: Place) -> Option<LeaseView> {
        let binding: &Binding = self.book.binding(place)?;
        let interface = self.site.subnets.interface(binding.link.ifindex);
        Some(LeaseView {
            address: self.book.address(place),
            chaddr: binding.chaddr(),
            client_id: binding.client_id().map(<[u8]>::to_vec),
            host_name: binding.host_name().map(str::to_owned),
            state: self.book.state(place),
            subnet: self.prefix(self.book.subnet(place)),
            link: binding.link,
            interface: interface.map(|interface| interface.name.clone()).unwrap_or_default(),
            giaddr: binding.giaddr,
            agent_info: binding.agent_info().map(<[u8]>::to_vec),
            expires: binding.expiry,
            committed_until: binding.committed_until,
            lease_time: binding.lease_time,
            answered_by: binding.answered_by,
            kernel_renewals: u64::from(binding.kernel_renewals),
            last_heard: binding.last_heard,
        })
    }

    fn device(&self, subnet: SubnetId, chaddr: HwAddr, places: &[Place]) -> DeviceView {
        let config = self.site.subnets.get(subnet);
        let ras = |place: &Place| {
            let id = self.book.binding(*place).map(Binding::identity);
            id.as_ref().is_some_and(Identity::is_ras)
        };
        let cap = if places.iter().any(ras) {
            config.max_leases_per_ras_device
        } else {
            config.max_leases_per_device
        };
        let mut leases: Vec<LeaseView> = places.iter().filter_map(|place| self.view(*place)).collect();
        leases.sort_by_key(|lease| (lease.last_heard, lease.address));
        DeviceView { chaddr, subnet: config.prefix, cap, leases }
    }

    fn prefix(&self, subnet: SubnetId) -> Prefix {
        self.site.subnets.get(subnet).prefix
    }
}
