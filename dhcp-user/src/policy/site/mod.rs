//! The site: what the operator configured, compiled for looking up.
//!
//! It owns the subnets and the ways to them, the reservations, the classes and the terms that follow from all these.
//! It uses the configuration and a message, and knows nothing of leases. Nothing in it changes between two reloads but the
//! interfaces, which come and go.

pub(in crate::policy) mod classes;
pub(in crate::policy) mod digest;
pub(in crate::policy) mod place;
pub(in crate::policy) mod reservations;
pub(in crate::policy) mod subnet;
pub(in crate::policy) mod subnet_id;
pub(in crate::policy) mod terms;
