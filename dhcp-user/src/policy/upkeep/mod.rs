//! Upkeep: what happens to leases without a message: time, the kernel's extensions, a restart, a reload, an import, the
//! operator; and what is shown and audited.
//!
//! It owns the promises for addresses that are ours no more. It imports from every other wing, and none imports from it. Its invariant:
//! a promise outlives what made it, be that a configuration, an interface or a process.

pub(in crate::policy) mod audit;
pub(in crate::policy) mod expiry;
pub(in crate::policy) mod extension;
pub(in crate::policy) mod going_over;
pub(in crate::policy) mod host_addresses;
pub(in crate::policy) mod import;
pub(in crate::policy) mod links;
pub(in crate::policy) mod operator;
pub(in crate::policy) mod reload;
pub(in crate::policy) mod restore;
pub(in crate::policy) mod unconfigured;
pub(in crate::policy) mod views;
pub(in crate::policy) mod ways;
