//! Places in another server's files, and the faults there.

use std::fmt;
use std::sync::Arc;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct At {
    /// The file, as messages call it.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
}

impl At {
    /// The beginning of a file.
    #[must_use]
    pub fn start_of(file: &str) -> Self {
        Self { file: file.into(), line: 1 }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A file that isn't built as files of its kind are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {what}")]
pub struct Unreadable {
    /// Where.
    pub at: At,
    /// The fault.
    pub what: String,
}

impl Unreadable {
    pub(super) fn new(at: &At, what: impl Into<String>) -> Self {
        Self { at: at.clone(), what: what.into() }
    }
}
