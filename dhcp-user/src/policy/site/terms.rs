//! The terms of a client: all that the configuration has for it, the more specific scope first, and the server
//! address.

use std::net::Ipv4Addr;

use super::classes::Classes;
use crate::config::{ClassSet, DynamicPool, LeaseTimes, Overrides, Reservation, Subnet};
use crate::message::Request;
use crate::message::options::code;

/// The terms that an answer grants, and the server address.
#[derive(Clone, Copy, Debug)]
pub(in crate::policy) struct Terms<'a> {
    pub(in crate::policy) given: Given<'a>,
    /// The server identifier.
    pub(in crate::policy) server: Ipv4Addr,
    /// In seconds; `None` for INFORM.
    pub(in crate::policy) lease_time: Option<u32>,
    /// Octets of the longest datagram that the link takes.
    pub(in crate::policy) longest: usize,
}

/// The configured terms of a client: a function of its request and its address, not of any clock.
#[derive(Clone, Copy, Debug)]
pub(in crate::policy) struct Given<'a> {
    pub(in crate::policy) subnet: &'a Subnet,
    /// The pool, if it overrides anything.
    pub(in crate::policy) pool: Option<&'a DynamicPool>,
    pub(in crate::policy) classes: &'a Classes,
    /// The classes that the client is in.
    pub(in crate::policy) member_of: ClassSet,
    pub(in crate::policy) reservation: Option<&'a Reservation>,
}

impl<'a> Given<'a> {
    /// The scopes that override the subnet's own, the most specific first.
    fn overrides(&self) -> impl Iterator<Item = &'a Overrides> {
        let reservation = self.reservation.map(|reservation| &reservation.overrides);
        let classes = self.classes.overriding(self.member_of).map(|class| &class.overrides);
        let pool = self.pool.map(|pool| &pool.overrides);
        reservation.into_iter().chain(classes).chain(pool)
    }

    /// The value from the most specific scope that has it, if that is not the subnet. Most clients have no terms of
    /// their own.
    fn particular<T>(&self, pick: impl Fn(&'a Overrides) -> Option<T>) -> Option<T> {
        let is_general = self.reservation.is_none() && self.member_of.is_empty() && self.pool.is_none();
        if is_general { None } else { self.overrides().find_map(pick) }
    }

    /// The operator's value of an option.
    pub(in crate::policy) fn configured(&self, code: u8) -> Option<&'a [u8]> {
        let reserved = self.reservation.filter(|_| code == code::HOST_NAME);
        if let Some(name) = reserved.and_then(|reservation| reservation.host_name.as_deref()) {
            return Some(name.as_bytes());
        }
        self.particular(|overrides| overrides.options.get(code)).or_else(|| self.subnet.options.get(code))
    }

    /// The codes of the options that the operator has set, in order.
    pub(in crate::policy) fn configured_codes(&self) -> impl Iterator<Item = u8> {
        let sets = self.overrides().map(|overrides| &overrides.options).chain([&self.subnet.options]);
        let mut all: Vec<u8> = sets.flat_map(|set| set.0.keys().copied()).collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter()
    }

    pub(in crate::policy) fn netmask(&self) -> Ipv4Addr {
        self.subnet.prefix.netmask()
    }

    pub(in crate::policy) fn next_server(&self) -> Option<Ipv4Addr> {
        self.particular(|overrides| overrides.boot.next_server).or(self.subnet.boot.next_server)
    }

    pub(in crate::policy) fn server_name(&self) -> Option<&'a str> {
        let particular = self.particular(|overrides| overrides.boot.server_name.as_deref());
        particular.or(self.subnet.boot.server_name.as_deref())
    }

    pub(in crate::policy) fn boot_file(&self) -> Option<&'a str> {
        let particular = self.particular(|overrides| overrides.boot.file.as_deref());
        particular.or(self.subnet.boot.file.as_deref())
    }

    pub(in crate::policy) fn times(&self) -> &'a LeaseTimes {
        self.particular(|overrides| overrides.times.as_ref()).unwrap_or(&self.subnet.times)
    }
}

/// RFC 5107 §4: the relay has clients talk to itself.
pub(in crate::policy) fn server_override(request: &Request) -> Option<Ipv4Addr> {
    request.options.agent.as_ref().and_then(|agent| agent.server_override)
}
