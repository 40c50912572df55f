//! A client's reserved address, while the client has a different one.

use super::membership::believed_agent;
use crate::config::{Reservation, ReservationKey};
use crate::message::Request;
use crate::policy::book::Book;
use crate::policy::book::binding::Binding;
use crate::policy::book::identity::Identity;
use crate::policy::site::Site;
use crate::policy::site::place::Place;
use crate::policy::site::reservations::is_for_another;
use crate::policy::site::subnet_id::SubnetId;

/// The address that is reserved for the client which sent `request` and holds another, at `place`, if there is one on
/// its link.
pub(in crate::policy) fn reserved_elsewhere(
    site: &Site,
    book: &Book,
    place: Place,
    request: &Request,
) -> Option<Place> {
    // A direct renewal has no relay information; that of the lease's beginning still holds.
    let kept_agent = request.options.agent.is_none() && book.recognises(place, request);
    let kept_agent = kept_agent.then(|| believed_agent(site, book, place)).flatten();
    let agent = request.options.agent.as_ref().or(kept_agent.as_ref());
    let who = Identity::of(request);
    elsewhere(site, book, place, who, |id| site.subnets.reservation_by(id, request, agent))
}

/// The same for the owner of the lease of `place`, as far as the lease shows.
pub(in crate::policy) fn reserved_for_owner_elsewhere(
    site: &Site,
    book: &Book,
    place: Place,
) -> Option<Place> {
    let owner = book.binding(place)?;
    let who = owner.identity();
    elsewhere(site, book, place, who, |id| site.subnets.reservation_of_owner(id, owner.owner()))
}

/// One line of a remote access server is not sent after an address that is reserved for the server, or its port: that is
/// for whichever line comes next.
fn elsewhere<'a>(
    site: &'a Site,
    book: &Book,
    place: Place,
    who: Identity<'_>,
    reservation: impl Fn(SubnetId) -> Option<&'a Reservation>,
) -> Option<Place> {
    if !site.subnets.reserves() {
        return None;
    }
    let segment = site.subnets.segment(book.subnet(place));
    let is_its_own = |key: &ReservationKey| !who.is_ras() || matches!(key, ReservationKey::ClientId(_));
    let reserved = segment.iter().filter_map(|id| reservation(*id)).filter(|found| is_its_own(&found.key));
    let mut places = reserved.filter_map(|reservation| book.find(reservation.address?)).peekable();
    let first = places.peek().copied();
    first.filter(|_| places.all(|reserved| reserved != place))
}

/// Whether the address at `place` is reserved for another than the owner in `binding`.
pub(in crate::policy) fn is_reserved_for_another(
    site: &Site,
    book: &Book,
    place: Place,
    binding: &Binding,
) -> bool {
    let reservation = site.subnets.reservation_at(book.subnet(place), place);
    reservation.is_some_and(|reservation| is_for_another(reservation, binding.owner()))
}
