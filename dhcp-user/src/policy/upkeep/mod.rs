//! Upkeep: changes of leases without a message (the kernel's extensions, a restart, a reload, an import, the operator),
//! reports, and the audit.
//!
//! It owns the former policy of a reload, which addresses are hosts', and which are other nodes'. It uses every other wing, and none uses it:
//! its steps are methods of the whole policy. Its invariant: it makes no promise that somebody has not made before.

pub(in crate::policy) mod audit;
pub(in crate::policy) mod changeover;
pub(in crate::policy) mod class_views;
pub(in crate::policy) mod extension;
pub(in crate::policy) mod host_addresses;
pub(in crate::policy) mod import;
pub(in crate::policy) mod links;
pub(in crate::policy) mod operator;
pub(in crate::policy) mod reload;
pub(in crate::policy) mod restore;
pub(in crate::policy) mod shares;
pub(in crate::policy) mod views;
pub(in crate::policy) mod ways;
