//! The terms: what a client is given at an address, from what the operator configured and what the book knows.
//!
//! It owns nothing: each is a function of the site and the book, and changes neither. Its invariant: the same request, site and
//! book give the same terms, so that what the kernel is told is what the daemon would say.

pub(in crate::policy) mod basis;
pub(in crate::policy) mod given;
pub(in crate::policy) mod membership;
pub(in crate::policy) mod reserved;
