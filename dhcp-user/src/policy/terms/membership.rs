//! Admission to an address: the classes of a client there, by the relay information of the lease's beginning.

use crate::config::ClassSet;
use crate::message::{AgentInformation, Request};
use crate::policy::book::Book;
use crate::policy::site::Site;
use crate::policy::site::place::Place;

/// The relay information of a client that sends past its relay, if classes or reservations use it: that of the lease
/// of `place`, if the client owns that.
pub(in crate::policy) fn kept_agent(
    site: &Site,
    book: &Book,
    place: Place,
    request: &Request,
) -> Option<AgentInformation> {
    if !site.by_relay || request.options.agent.is_some() || !book.recognises(place, request) {
        return None;
    }
    believed_agent(site, book, place)
}

/// The believed relay information of the lease of `place`: a relay's, and a switch's for as long as the operator
/// trusts messages without a relay there.
pub(in crate::policy) fn believed_agent(site: &Site, book: &Book, place: Place) -> Option<AgentInformation> {
    let owner = book.binding(place)?;
    let trusts = || site.subnets.believes(book.subnet(place), owner.link);
    owner.agent().filter(|_| !owner.giaddr.is_unspecified() || trusts())
}

/// Whether `request` has other relay information than the lease of `place`, and classes or reservations use it.
pub(in crate::policy) fn has_other_agent_info(
    site: &Site,
    book: &Book,
    place: Place,
    request: &Request,
) -> bool {
    let before = book.binding(place).and_then(|binding| binding.agent_info());
    site.by_relay && request.believed_agent_info().is_some_and(|now| before != Some(now))
}

/// Whether the pool of `place` admits the client that sent `request`. An address in no pool is for the client of its
/// reservation.
pub(in crate::policy) fn is_admitted(site: &Site, book: &Book, place: Place, request: &Request) -> bool {
    let Some(pool) = book.pool(place) else { return true };
    let admits = pool.admits;
    admits.is_open() || admits.admits(classes_at(site, book, place, request))
}

/// Whether the client gets no answer about the address at `place`, by its classes.
pub(in crate::policy) fn is_dropped(site: &Site, book: &Book, place: Place, request: &Request) -> bool {
    site.classes.any_drops() && site.classes.drop(classes_at(site, book, place, request))
}

/// The classes that the client counts in at `place`.
pub(in crate::policy) fn classes_at(site: &Site, book: &Book, place: Place, request: &Request) -> ClassSet {
    site.classes_in(book.subnet(place), request, kept_agent(site, book, place, request).as_ref())
}

/// Whether the address at `place` is this host's own, which no client gets, whatever the configuration says.
pub(in crate::policy) fn is_own(site: &Site, book: &Book, place: Place) -> bool {
    book.is_of_host(place) && site.subnets.is_of_this_host(book.address(place))
}
