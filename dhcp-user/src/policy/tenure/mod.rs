//! Tenure: until when an address is a client's, by time and by the configuration, without a message of the client.
//!
//! It owns the doubts that a reload leaves about addresses, and the promises for addresses that are no longer ours to
//! give. Every wing that looks at an address has it settled here first. Its invariant: a promise outlives the
//! configuration, the interface and the process that made it.

pub(in crate::policy) mod doubts;
pub(in crate::policy) mod ending;
pub(in crate::policy) mod expiry;
pub(in crate::policy) mod restoring;
pub(in crate::policy) mod unconfigured;

use crate::policy::book::Book;
use crate::policy::evidence::{Evidence, Inquiry};
use crate::policy::site::Site;
use doubts::Doubts;

/// What a step of this wing has: what the wing owns, and the wings below it.
#[derive(Debug)]
pub(in crate::policy) struct Tenure<'a> {
    pub(in crate::policy) site: &'a Site,
    pub(in crate::policy) book: &'a mut Book,
    pub(in crate::policy) evidence: &'a mut Evidence,
    pub(in crate::policy) doubts: &'a mut Doubts,
}

impl Tenure<'_> {
    fn inquiry(&mut self) -> Inquiry<'_> {
        Inquiry { site: self.site, book: self.book, evidence: self.evidence }
    }
}
