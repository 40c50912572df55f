//! The lease journal: who had which address from when to when, in files that outlast the leases.
//!
//! ```text
//! entry.rs        one line
//! fingerprint.rs  what a client says of its kind
//! files.rs        the directory: files that are written, compressed, removed, read
//! ledger.rs       turns a commit into lines: granted, renewed, ended
//! reports.rs      what goes with a commit: policy's reports, what clients said of their kind
//! catch_up.rs     adds what the journal lacks, at a start
//! writer.rs       the thread that writes, and its queue
//! question.rs     queries by address, device or circuit
//! texts.rs        octets of the wire as text
//! ```
//!
//! It adds nothing of its own: each line was committed to the store before, but for what a client said of its kind, which
//! the store doesn't keep. If it can't keep up, or its disk takes nothing, it records the gap, and DHCP goes on.

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

mod catch_up;
mod entry;
mod files;
mod fingerprint;
mod ledger;
mod question;
mod reports;
#[cfg(test)]
mod tests;
mod texts;
mod writer;

pub use entry::End;
pub use fingerprint::Fingerprint;
pub use question::{Answer, Holding, Question, Span, Whose};
pub use reports::{LeaseReport, LeaseReports};
pub use texts::{vendor_texts, wire_text};
pub use writer::{Counts, Journal};
