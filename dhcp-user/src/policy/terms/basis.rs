//! The basis of a lease's answers: a digest of all that they depend on beside the client's requests. The kernel must
//! no longer give an answer with a basis other than the present one.
//!
//! Whether a request is answered by an ACK, and what that says, follows from the request and the state of the lease
//! (a change of which is published, or revokes the word), and from the parts of this digest: the classes, the subnet
//! and the ways to it, our address in it, the pool if it has terms of its own, the reservation, others that its owner
//! has, and whether the address is this host's own; and the version of the program, which composes answers in its
//! way. Changes of anything else keep every answer: subnets that are not on its link, other reservations, pools on
//! their subnet's terms, the beginning of leases and the time after their end, and refusals.

use dhcp_ebpf::abi::Link;

use super::membership::is_own;
use super::reserved::reserved_for_owner_elsewhere;
use crate::config::DynamicPool;
use crate::policy::book::Book;
use crate::policy::site::Site;
use crate::policy::site::digest::digest;
use crate::policy::site::place::Place;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A digest of all that a lease's answers depend on beside its client's requests: another number after a change (but
/// for one time in 2^32). Another program may have another number for the same, which costs no more than a needless
/// question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Basis(pub u32);

/// The basis of the present answers for a lease of `place` to a client on `link`.
pub(in crate::policy) fn basis_at(site: &Site, book: &Book, place: Place, link: Link) -> Basis {
    let subnet = book.subnet(place);
    let config = site.subnets.get(subnet);
    let pool = book.pool(place).and_then(|pool| config.pools.get(pool.number));
    let particular = |pool: &&DynamicPool| !pool.admits.is_open() || !pool.overrides.is_empty();
    let reserved = book.is_reserved(place);
    let reservation = reserved.then(|| site.subnets.reservation_at(subnet, place)).flatten();
    // Its owner is to be sent there.
    let elsewhere = reserved_for_owner_elsewhere(site, book, place).map(|reserved| book.address(reserved));
    // What is its owner's wherever its address is.
    let owner = book.binding(place);
    let hardware = owner.map(|owner| site.classes.of_hardware(owner.chaddr())).unwrap_or_default();
    let owner = owner.filter(|_| site.classes.by_known || site.subnets.has_standing(subnet));
    let standing =
        owner.map(|owner| site.subnets.standing_of_owner(subnet, owner.owner())).unwrap_or_default();
    digest(&(
        VERSION,
        elsewhere,
        standing,
        site.classes.digest(),
        hardware,
        site.subnets.basis(subnet, link),
        pool.filter(particular).map(|pool| (pool.admits, &pool.overrides)),
        reservation,
        is_own(site, book, place),
    ))
    .into()
}

impl From<u64> for Basis {
    #[expect(clippy::cast_possible_truncation, reason = "one half of a digest is a digest")]
    fn from(digest: u64) -> Self {
        Self(digest as u32)
    }
}
