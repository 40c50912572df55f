//! Evidence: whether a host uses an unpromised address, or nobody uses a promised one.
//!
//! It owns the probes, and the judgement of stations that answer them and of clients that decline. It uses the site
//! and the book ([`Inquiry`]). Its invariant: a lost probe proves nothing, nor does the answer of a station that answers for many
//! addresses.

pub(in crate::policy) mod asking;
pub(in crate::policy) mod credit;
pub(in crate::policy) mod deadline;
pub(in crate::policy) mod declines;
pub(in crate::policy) mod demand;
pub(in crate::policy) mod ending;
pub(in crate::policy) mod need;
pub(in crate::policy) mod outcome;
pub(in crate::policy) mod probe;
pub(in crate::policy) mod quarantining;
pub(in crate::policy) mod vacating;
pub(in crate::policy) mod witnesses;

use std::collections::BTreeMap;

use crate::policy::book::Book;
use crate::policy::site::Site;
use crate::policy::site::subnet_id::SubnetId;
use declines::Declines;
use demand::Demand;
use probe::Probes;
use witnesses::Witnesses;

/// The evidence on the use of addresses.
#[derive(Debug, Default)]
pub(in crate::policy) struct Evidence {
    pub(in crate::policy) probes: Probes,
    /// How many probed addresses each subnet is to have.
    pub(in crate::policy) demand: BTreeMap<SubnetId, Demand>,
    /// Whose answers to probes prove nothing.
    pub(in crate::policy) witnesses: Witnesses,
    /// How many DECLINEs are believed.
    pub(in crate::policy) declines: Declines,
}

/// What a step of this wing has: what the wing owns, and the book and site below it.
#[derive(Debug)]
pub(in crate::policy) struct Inquiry<'a> {
    pub(in crate::policy) site: &'a Site,
    pub(in crate::policy) book: &'a mut Book,
    pub(in crate::policy) evidence: &'a mut Evidence,
}
