//! The reason why a decided change is not on disk.

use std::fmt::Display;
use std::time::Duration;

/// A decided change is not on disk, and why: it is committed as soon as the store takes commits again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not on disk yet, and no promise is made until it is: {0}")]
pub(in crate::server) struct NotCommitted(String);

impl NotCommitted {
    /// The store refuses it, for this reason.
    pub(in crate::server) fn because(reason: impl Display) -> Self {
        Self(reason.to_string())
    }

    /// Why, in words for the operator.
    pub(in crate::server) fn reason(&self) -> &str {
        &self.0
    }

    /// The disk has not answered for so long.
    pub(in crate::server) fn late(since: Duration) -> Self {
        Self(format!("the disk has not answered for {} s; it is done as soon as it does", since.as_secs()))
    }
}
