//! The terms of a client at an address, from all that the configuration has for either.

use std::net::Ipv4Addr;

use super::membership::kept_agent;
use crate::config::{ClassSet, LeaseTimes, Reservation};
use crate::message::{AgentInformation, Request};
use crate::policy::book::Book;
use crate::policy::book::binding::{Binding, LeaseTime};
use crate::policy::book::pools::PoolState;
use crate::policy::book::state::State;
use crate::policy::site::Site;
use crate::policy::site::place::Place;
use crate::policy::site::subnet_id::SubnetId;
use crate::policy::site::terms::{Given, Terms, server_override};

/// The terms of the client with the address at `place`. `kept_agent` stands in for its relay information ([`kept_agent`]).
pub(in crate::policy) fn terms<'a>(
    site: &'a Site,
    book: &Book,
    place: Place,
    server: Ipv4Addr,
    lease_time: u32,
    request: &Request,
    kept_agent: Option<&AgentInformation>,
) -> Terms<'a> {
    let given = given_to(site, book, (book.subnet(place), Some(place)), request, kept_agent);
    let (server, longest) =
        (server_override(request).unwrap_or(server), site.subnets.longest_datagram(request.link));
    Terms { given, server, lease_time: Some(lease_time), longest }
}

/// The terms of a client in `subnet` without a lease, at `place` if its address is one of ours.
pub(in crate::policy) fn terms_without_lease<'a>(
    site: &'a Site,
    book: &Book,
    subnet: SubnetId,
    place: Option<Place>,
    server: Ipv4Addr,
    request: &Request,
) -> Terms<'a> {
    let given = given_to(site, book, (subnet, place), request, None);
    let (server, longest) =
        (server_override(request).unwrap_or(server), site.subnets.longest_datagram(request.link));
    Terms { given, server, lease_time: None, longest }
}

/// The terms of the owner of the lease of `place`, as far as known without a request.
pub(in crate::policy) fn terms_of_lease<'a>(
    site: &'a Site,
    book: &Book,
    place: Place,
    owner: &Binding,
    server: Ipv4Addr,
) -> Terms<'a> {
    let subnet = book.subnet(place);
    let reservation = site.subnets.reservation_of_owner(subnet, owner.owner());
    let own = reservation.filter(|own| own.address.is_none());
    let given = given(site, book, (subnet, Some(place)), ClassSet::default(), own);
    let longest = site.subnets.longest_datagram(owner.link);
    Terms { given, server, lease_time: Some(owner.lease_time), longest }
}

/// The configured terms of the client in a subnet, at a place of it or without one.
fn given_to<'a>(
    site: &'a Site,
    book: &Book,
    (subnet, place): (SubnetId, Option<Place>),
    request: &Request,
    kept_agent: Option<&AgentInformation>,
) -> Given<'a> {
    let own = site.standing_reservation(subnet, request, kept_agent);
    given(site, book, (subnet, place), site.classes_in(subnet, request, kept_agent), own)
}

/// `own` is what is reserved for the client wherever its address is.
fn given<'a>(
    site: &'a Site,
    book: &Book,
    (subnet, place): (SubnetId, Option<Place>),
    member_of: ClassSet,
    own: Option<&'a Reservation>,
) -> Given<'a> {
    let reserved = place.filter(|place| book.is_reserved(*place));
    let pool = place.and_then(|place| book.pool(place)).map(|pool| pool.number);
    let config = site.subnets.get(subnet);
    Given {
        subnet: config,
        pool: pool.and_then(|number| config.pools.get(number)).filter(|pool| !pool.overrides.is_empty()),
        classes: &site.classes,
        member_of,
        reservation: reserved.and_then(|place| site.subnets.reservation_at(subnet, place)).or(own),
    }
}

/// The lease time of a new lease of the address at `place`: the client's wish (option 51), as far as its terms and
/// the fullness of the pool allow, this address included. Fullness does not count for a reserved address.
pub(in crate::policy) fn lease_time(site: &Site, book: &Book, place: Place, request: &Request) -> LeaseTime {
    let scarce = book.pool(place).filter(|_| !book.is_withheld(place));
    let (used, size) = scarce.map(PoolState::fullness).unwrap_or_default();
    let given = scarce.is_some() && book.state(place) == State::Free;
    let times = times(site, book, place, request);
    let used = used + u32::from(given);
    // Whatever it wishes: who takes little out of a full pool is not to have all the next time.
    let shortened = times.for_new_lease(None, used, size) < times.for_new_lease(None, 0, 1);
    LeaseTime { secs: times.for_new_lease(request.options.lease_time, used, size), shortened }
}

/// The lease time of a lease that `request` prolongs, and that was for `told` before: the present configuration,
/// shorter or longer, and the client's wish (option 51) as far as that allows. The fullness of the pool counts for
/// new leases only; but a lease that it shortened grows only as there is room again.
pub(in crate::policy) fn prolonged(
    site: &Site,
    book: &Book,
    place: Place,
    told: LeaseTime,
    request: &Request,
) -> LeaseTime {
    let full = unshortened(site, book, place, request);
    if !told.shortened {
        return LeaseTime { secs: full, shortened: false };
    }
    let new = lease_time(site, book, place, request);
    LeaseTime { secs: told.secs.clamp(new.secs.min(full), full), ..new }
}

/// Whether a lease of `lease_time` seconds is what `request` gets each time, however full the pool is.
pub(in crate::policy) fn is_lasting(
    site: &Site,
    book: &Book,
    place: Place,
    lease_time: u32,
    request: &Request,
) -> bool {
    lease_time == unshortened(site, book, place, request)
}

fn unshortened(site: &Site, book: &Book, place: Place, request: &Request) -> u32 {
    times(site, book, place, request).for_new_lease(request.options.lease_time, 0, 1)
}

/// The lease times that the client has at `place`.
pub(in crate::policy) fn times(site: &Site, book: &Book, place: Place, request: &Request) -> LeaseTimes {
    let kept_agent = kept_agent(site, book, place, request);
    *given_to(site, book, (book.subnet(place), Some(place)), request, kept_agent.as_ref()).times()
}
