//! What the answers for a lease rest on beside its client's requests, as a number: what the kernel was told on another
//! basis than the present one it must not say any more.
//!
//! Whether a request is answered by an ACK, and what that says, follows from the request and the state of the lease (the
//! kernel is told anew when that changes, or revoked), and from what is taken together here: the classes, the subnet and
//! the ways to it, our address in it, the pool if it has terms of its own, the reservation, and another that its owner
//! has; and the version of the program, which puts answers together in its way. What has no part in it may change under every answer: subnets that
//! are not on its link, other reservations, pools on their subnet's terms, how leases begin and what becomes of them after
//! their end, and what is refused.

use std::net::Ipv4Addr;

use dhcp_ebpf::abi::Link;

use crate::config::DynamicPool;
use crate::policy::Policy;
use crate::policy::site::digest::digest;
use crate::policy::site::place::Place;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the answers for a lease rest on beside its client's requests: where that has changed, another number (but for one
/// time in 2^32). Another program may have another number for the same, which costs no more than a needless question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Basis(pub u32);

impl Policy {
    /// What the present answers for a lease of `address` to a client on `link` rest on; `None` if no lease of it can be.
    #[must_use]
    pub fn basis(&self, address: Ipv4Addr, link: Link) -> Option<Basis> {
        self.book.find(address).map(|place| self.basis_at(place, link))
    }

    pub(in crate::policy) fn basis_at(&self, place: Place, link: Link) -> Basis {
        let subnet = self.book.subnet(place);
        let config = self.site.subnets.get(subnet);
        let pool = self.book.pool(place).and_then(|pool| config.pools.get(pool.number));
        let particular = |pool: &&DynamicPool| !pool.admits.is_open() || !pool.overrides.is_empty();
        let reserved = self.book.is_reserved(place);
        let reservation = reserved.then(|| self.site.subnets.reservation_at(subnet, place)).flatten();
        // Its owner is to be sent there.
        let elsewhere = self.reserved_for_owner_elsewhere(place).map(|reserved| self.book.address(reserved));
        digest(&(
            VERSION,
            elsewhere,
            self.site.classes.digest(),
            self.site.subnets.basis(subnet, link),
            pool.filter(particular).map(|pool| (pool.admits, &pool.overrides)),
            reservation,
        ))
        .into()
    }
}

impl From<u64> for Basis {
    #[expect(clippy::cast_possible_truncation, reason = "one half of a digest is a digest")]
    fn from(digest: u64) -> Self {
        Self(digest as u32)
    }
}
