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
