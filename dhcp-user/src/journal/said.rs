//! What policy told of leases in a commit: why one has ended, and whether the daemon promised, which a record doesn't say.

use std::net::Ipv4Addr;

use ahash::HashMap;

use super::entry::End;

/// Something that policy told of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// The daemon granted or extended it.
    Promised,
    /// It ended.
    Ended(End),
}

/// What policy told of the leases of a commit, in order.
#[derive(Clone, Debug, Default)]
pub struct Said(HashMap<Ipv4Addr, Vec<Known>>);

impl Said {
    /// The same for the lease of `address`.
    pub fn note(&mut self, address: Ipv4Addr, known: Known) {
        self.0.entry(address).or_default().push(known);
    }

    /// Why the lease of `address` has ended. Each is told once.
    pub(super) fn end(&mut self, address: Ipv4Addr) -> Option<End> {
        let told = self.0.get_mut(&address)?;
        let at = told.iter().position(|known| matches!(known, Known::Ended(_)))?;
        match told.remove(at) {
            Known::Ended(why) => Some(why),
            Known::Promised => None,
        }
    }

    /// Whether the daemon promised the lease of `address`.
    pub(super) fn promised(&mut self, address: Ipv4Addr) -> bool {
        let Some(told) = self.0.get_mut(&address) else { return false };
        let at = told.iter().position(|known| *known == Known::Promised);
        at.map(|at| told.remove(at)).is_some()
    }
}
