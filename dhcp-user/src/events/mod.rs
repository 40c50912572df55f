//! Events, and the log of the last of them: numbered, in files that outlast the daemon, so that a follower can go on
//! where it stopped.
//!
//! ```text
//! record.rs  an event, as it is sent and kept, and the list of all kinds
//! files.rs   the log's directory: files that are written, removed
//! page.rs    the events after a number, page by page
//! writer.rs  the thread that numbers and writes, and its queue
//! reader.rs  the thread that reads for followers
//! ```
//!
//! Only an event in a file has a number, and no two have the same. An event that could not be written goes to
//! followers without a number, is counted, and a line (`lost`) reports it once lines can be written again.

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
