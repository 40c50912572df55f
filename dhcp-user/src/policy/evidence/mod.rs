//! Evidence: whether somebody uses an address that nobody was promised, or nobody one that somebody was.
//!
//! It owns the probes, and the judgement of those who answer them and of those who decline. It uses the site and the
//! book. Its invariant: a probe that was lost, and an answer from one who answers for many, prove nothing.

pub(in crate::policy) mod declines;
pub(in crate::policy) mod probe;
pub(in crate::policy) mod quarantining;
pub(in crate::policy) mod witnesses;
