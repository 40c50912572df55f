//! Events: what one is, and the log that keeps the last of them, numbered, in files that outlast the daemon, so that who
//! follows can go on where it was.
//!
//! ```text
//! record.rs  an event, as it is told and kept, and the list of all kinds
//! files.rs   the log's directory: files that are written, removed
//! page.rs    what comes after a number, read page by page
//! writer.rs  the thread that numbers and writes, and its queue
//! reader.rs  the thread that reads for who follows
//! ```
//!
//! A number is given to what is in a file, to nothing else, and never to two events. What could not be written is told to
//! who follows without a number, counted, and named by a line (`lost`) once there is one again.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "files are as others left them"
    )
)]

mod files;
mod page;
mod reader;
mod record;
#[cfg(test)]
mod tests;
mod writer;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// At most so many octets.
    pub size: u64,
    /// At most so long, in seconds.
    pub keep: u32,
}

pub use page::{Cursor, Page};
pub use reader::Reader;
pub use record::{ENDS, EVENT_KINDS, EventKind, EventRecord, with_events};
pub use writer::{EventLog, Use};
