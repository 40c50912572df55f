//! The book: the state of every address, and whom it is promised to.
//!
//! It owns addresses, bindings, offers, quarantine, the calendar, and the indexes by which a client, a device or a circuit is
//! found. It uses the site for where an address is. Its invariant: every address is in exactly one state, and the counts
//! by state add up to the size of the pool at every instant.

pub(in crate::policy) mod addresses;
pub(in crate::policy) mod binding;
pub(in crate::policy) mod circuits;
pub(in crate::policy) mod deadlines;
pub(in crate::policy) mod identity;
pub(in crate::policy) mod index;
pub(in crate::policy) mod offers;
pub(in crate::policy) mod quarantine;
pub(in crate::policy) mod record;
pub(in crate::policy) mod vacating;
pub(in crate::policy) mod whence;
