//! Whom an address is for: the classes that a client counts in there, with what its relay said when the lease began.

use crate::config::ClassSet;
use crate::message::{AgentInformation, Request};
use crate::policy::book::Book;
use crate::policy::site::Site;
use crate::policy::site::place::Place;

/// What is known of the relay of a client that sends past it, if that matters: what it said of the owner of the
/// lease of `place`, if the client is that.
pub(in crate::policy) fn said(
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

/// What is believed of what was said of the circuit of the lease of `place`: a relay's word, and a switch's for as long as
/// the operator trusts what comes without a relay there.
pub(in crate::policy) fn believed_agent(site: &Site, book: &Book, place: Place) -> Option<AgentInformation> {
    let owner = book.binding(place)?;
    let trusts =
        || site.subnets.trusts(owner.link) || site.subnets.get(book.subnet(place)).trust_agent_information;
    owner.agent().filter(|_| !owner.giaddr.is_unspecified() || trusts())
}

/// Whether `request` comes with other information of its relay than the lease of `place` has, and that matters.
pub(in crate::policy) fn is_said_otherwise(
    site: &Site,
    book: &Book,
    place: Place,
    request: &Request,
) -> bool {
    let before = book.binding(place).and_then(|binding| binding.agent_info());
    site.by_relay && request.believed_agent_info().is_some_and(|now| before != Some(now))
}

/// Whether the pool of `place` is for the client that sent `request`. What is in no pool is for whom it is
/// reserved.
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
    site.classes_in(book.subnet(place), request, said(site, book, place, request).as_ref())
}

/// Whether the address at `place` is this host's own: no client's, whatever the configuration says.
pub(in crate::policy) fn is_own(site: &Site, book: &Book, place: Place) -> bool {
    book.is_of_host(place) && site.subnets.is_of_this_host(book.address(place))
}
