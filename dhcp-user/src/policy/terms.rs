//! What a client is given, and by whom: all that the configuration says of it, the particular before the general.

use std::net::Ipv4Addr;

use super::Policy;
use super::addresses::{Place, State};
use super::binding::Binding;
use super::classes::Classes;
use super::subnet::SubnetId;
use crate::config::{ClassSet, DynamicPool, LeaseTimes, Overrides, Reservation, Subnet};
use crate::message::options::code;
use crate::message::{AgentInformation, Request};

/// What is granted, and by whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms<'a> {
    pub(super) given: Given<'a>,
    /// The server identifier.
    pub(super) server: Ipv4Addr,
    /// In seconds; `None` for INFORM.
    pub(super) lease_time: Option<u32>,
    /// Octets of the longest datagram that the link takes.
    pub(super) longest: usize,
}

/// What the configuration gives a client: a function of its request and its address, not of any clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given<'a> {
    subnet: &'a Subnet,
    /// The pool, if it overrides anything.
    pool: Option<&'a DynamicPool>,
    classes: &'a Classes,
    /// The classes that the client is in.
    member_of: ClassSet,
    reservation: Option<&'a Reservation>,
}

impl<'a> Given<'a> {
    /// What overrides the subnet's own, the most particular first.
    fn overrides(&self) -> impl Iterator<Item = &'a Overrides> {
        let reservation = self.reservation.map(|reservation| &reservation.overrides);
        let classes = self.classes.overriding(self.member_of).map(|class| &class.overrides);
        let pool = self.pool.map(|pool| &pool.overrides);
        reservation.into_iter().chain(classes).chain(pool)
    }

    /// What the most particular that has it says, if it is not the subnet. Most clients have nothing of their own.
    fn particular<T>(&self, pick: impl Fn(&'a Overrides) -> Option<T>) -> Option<T> {
        let is_general = self.reservation.is_none() && self.member_of.is_empty() && self.pool.is_none();
        if is_general { None } else { self.overrides().find_map(pick) }
    }

    /// The operator's value of an option.
    pub(super) fn configured(&self, code: u8) -> Option<&'a [u8]> {
        let reserved = self.reservation.filter(|_| code == code::HOST_NAME);
        if let Some(name) = reserved.and_then(|reservation| reservation.host_name.as_deref()) {
            return Some(name.as_bytes());
        }
        self.particular(|overrides| overrides.options.get(code)).or_else(|| self.subnet.options.get(code))
    }

    /// The codes of the options that the operator has set, in order.
    pub(super) fn configured_codes(&self) -> impl Iterator<Item = u8> {
        let sets = self.overrides().map(|overrides| &overrides.options).chain([&self.subnet.options]);
        let mut all: Vec<u8> = sets.flat_map(|set| set.0.keys().copied()).collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter()
    }

    pub(super) fn netmask(&self) -> Ipv4Addr {
        self.subnet.prefix.netmask()
    }

    pub(super) fn next_server(&self) -> Option<Ipv4Addr> {
        self.particular(|overrides| overrides.boot.next_server).or(self.subnet.boot.next_server)
    }

    pub(super) fn server_name(&self) -> Option<&'a str> {
        let particular = self.particular(|overrides| overrides.boot.server_name.as_deref());
        particular.or(self.subnet.boot.server_name.as_deref())
    }

    pub(super) fn boot_file(&self) -> Option<&'a str> {
        let particular = self.particular(|overrides| overrides.boot.file.as_deref());
        particular.or(self.subnet.boot.file.as_deref())
    }

    pub(super) fn times(&self) -> &'a LeaseTimes {
        self.particular(|overrides| overrides.times.as_ref()).unwrap_or(&self.subnet.times)
    }
}

impl Policy {
    /// What the client is told with the address at `place`. `said` stands in for its relay ([`Policy::said`]).
    pub(super) fn terms<'a>(
        &'a self,
        place: Place,
        server: Ipv4Addr,
        lease_time: u32,
        request: &Request,
        said: Option<&AgentInformation>,
    ) -> Terms<'a> {
        let given = self.given(self.all.subnet(place), Some(place), self.classes.of(request, said));
        let (server, longest) =
            (posed(request).unwrap_or(server), self.subnets.longest_datagram(request.link));
        Terms { given, server, lease_time: Some(lease_time), longest }
    }

    /// What a client in `subnet` is told without a lease, at `place` if its address is one of ours.
    pub(super) fn terms_without_lease<'a>(
        &'a self,
        subnet: SubnetId,
        place: Option<Place>,
        server: Ipv4Addr,
        request: &Request,
    ) -> Terms<'a> {
        let given = self.given(subnet, place, self.classes.of(request, None));
        let (server, longest) =
            (posed(request).unwrap_or(server), self.subnets.longest_datagram(request.link));
        Terms { given, server, lease_time: None, longest }
    }

    /// What the owner of the lease of `place` is told whatever it says: as far as is known without it.
    pub(super) fn terms_of_lease(&self, place: Place, owner: &Binding, server: Ipv4Addr) -> Terms<'_> {
        let given = self.given(self.all.subnet(place), Some(place), ClassSet::default());
        let longest = self.subnets.longest_datagram(owner.link);
        Terms { given, server, lease_time: Some(owner.lease_time), longest }
    }

    fn given(&self, subnet: SubnetId, place: Option<Place>, member_of: ClassSet) -> Given<'_> {
        let reserved = place.filter(|place| self.all.entry(*place).reserved());
        let pool = place.and_then(|place| self.all.pool(place)).map(|pool| self.all.pools()[pool].number);
        let config = self.subnets.get(subnet);
        Given {
            subnet: config,
            pool: pool.and_then(|number| config.pools.get(number)).filter(|pool| !pool.overrides.is_empty()),
            classes: &self.classes,
            member_of,
            reservation: reserved.and_then(|place| self.subnets.reservation_at(subnet, place)),
        }
    }

    /// What a new lease of the address at `place` lasts, in seconds: what the client wishes (option 51), as far as its
    /// terms and the fullness of the pool allow, this address included. What is reserved never gets scarce.
    pub(super) fn lease_time(&self, place: Place, request: &Request) -> u32 {
        let scarce = self.all.pool(place).filter(|_| !self.all.entry(place).reserved());
        let tally = scarce.map(|pool| self.all.pools()[pool].tally).unwrap_or_default();
        let given = scarce.is_some() && self.all.state(place) == State::Free;
        let used = tally.size() - tally.of(State::Free) + u32::from(given);
        self.times(place, request).for_new_lease(request.options.lease_time, used, tally.size())
    }

    /// What a lease lasts that `request` prolongs, and that was for `told` seconds: what is configured now, shorter or
    /// longer, and what the client wishes (option 51) as far as that allows. What the fullness of its pool made shorter
    /// gets longer as there is room again.
    pub(super) fn prolonged(&self, place: Place, told: u32, request: &Request) -> u32 {
        let full = self.unshortened(place, request);
        told.clamp(self.lease_time(place, request).min(full), full)
    }

    /// Whether a lease of `lease_time` seconds is what `request` gets each time, however full the pool is.
    pub(super) fn is_lasting(&self, place: Place, lease_time: u32, request: &Request) -> bool {
        lease_time == self.unshortened(place, request)
    }

    fn unshortened(&self, place: Place, request: &Request) -> u32 {
        self.times(place, request).for_new_lease(request.options.lease_time, 0, 1)
    }

    /// The lease times that the client has at `place`.
    pub(super) fn times(&self, place: Place, request: &Request) -> LeaseTimes {
        let said = self.said(place, request);
        let classes = self.classes.of(request, said.as_ref());
        *self.given(self.all.subnet(place), Some(place), classes).times()
    }
}

/// RFC 5107 §4: the relay has clients talk to itself.
pub(super) fn posed(request: &Request) -> Option<Ipv4Addr> {
    request.options.agent.as_ref().and_then(|agent| agent.server_override)
}
