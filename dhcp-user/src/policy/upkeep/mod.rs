//! Upkeep: changes of leases without a message (time, the kernel's extensions, a restart, a reload, an import, the
//! operator), and reports and audit.
//!
//! It owns the promises for addresses that are no longer ours. It imports from every other wing, and none imports
//! from it. Its invariant: a promise outlives the configuration, the interface and the process that made it.

pub(in crate::policy) mod audit;
pub(in crate::policy) mod extension;
pub(in crate::policy) mod going_over;
pub(in crate::policy) mod host_addresses;
pub(in crate::policy) mod import;
pub(in crate::policy) mod links;
pub(in crate::policy) mod operator;
pub(in crate::policy) mod reload;
pub(in crate::policy) mod restore;
pub(in crate::policy) mod views;
pub(in crate::policy) mod ways;
