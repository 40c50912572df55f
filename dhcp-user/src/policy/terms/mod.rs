//! The terms of a client at an address, from the operator's configuration and the book.
//!
//! It owns nothing: each is a function of the site and the book, and changes neither. Its invariant: the same
//! request, site and book give the same terms, so a published answer is the one that the daemon would give.

pub(in crate::policy) mod basis;
pub(in crate::policy) mod given;
pub(in crate::policy) mod membership;
pub(in crate::policy) mod reserved;
