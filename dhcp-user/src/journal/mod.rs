//! The lease journal: who had which address from when to when, in files that outlast the leases.
//!
//! ```text
//! entry.rs   one line
//! files.rs   the directory: files that are written, compressed, removed, read
//! ledger.rs  what a commit means for the lines that are there: granted, renewed, ended
//! said.rs    what policy told of a lease in the same commit
//! catch_up.rs what the store has and the journal has not, at a start
//! writer.rs  the thread that writes, and its queue
//! question.rs what the lines say of an address, a device or a circuit
//! ```
//!
//! It says nothing of its own: whatever is in it was committed to the store before. Where it can't keep up, or its disk
//! takes nothing, it says what it has not, and DHCP goes on.

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
mod ledger;
mod question;
mod said;
#[cfg(test)]
mod tests;
mod writer;

pub use entry::{End, vendor_texts, wire_text};
pub use question::{Answer, Holding, Question, Span, Whose};
pub use said::{Known, Said};
pub use writer::{Counts, Journal};
