//! Evidence: whether somebody uses an address that nobody was promised, or nobody one that somebody was.
//!
//! It owns the probes, and the judgement of those who answer them and of those who decline. It uses the site and the
//! book. Its invariant: a probe that was lost, and an answer from one who answers for many, prove nothing.

pub(in crate::policy) mod credit;
pub(in crate::policy) mod declines;
pub(in crate::policy) mod demand;
pub(in crate::policy) mod probe;
pub(in crate::policy) mod quarantining;
pub(in crate::policy) mod vacating;
pub(in crate::policy) mod witnesses;

use std::collections::BTreeMap;

use crate::policy::site::subnet_id::SubnetId;
use declines::Declines;
use demand::Demand;
use probe::Probes;
use witnesses::Witnesses;

/// What is known of who uses addresses.
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
