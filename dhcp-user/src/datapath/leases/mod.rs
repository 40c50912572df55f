//! The memory that is shared with the program: the slots that it answers from, and the maps that lead to them.
//!
//! Owns every slot, memo, chunk and hint, as the daemon writes them. May use the packet logic's own functions that
//! change them (`dhcp_ebpf::publish`), and policy's types of publications. Invariant: a slot's memory is rewritten
//! only after a change of its word, so that an answer which the program is about to give from it fails its last swap.
//!
//! ```text
//! table.rs    the slots: grant, remember, forget, revoke
//! account.rs  the kernel's renewals that policy does not know yet
//! answers.rs  answers, each written once (chunks.rs: which pieces of memory are free; body.rs: an answer as bytes;
//!             echo.rs: its options that are copied from the question)
//! notes.rs    the daemon's own notes in a slot
//! hints.rs    the maps that lead to slots
//! memory.rs   map memory, the only file that touches it
//! ```

pub mod account;
pub mod answers;
pub mod body;
pub mod chunks;
pub mod echo;
pub mod hints;
pub mod memory;
pub mod notes;
pub mod table;
