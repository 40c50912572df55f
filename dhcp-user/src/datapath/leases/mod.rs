//! The memory that is shared with the program: the slots it answers from, and what leads to them.
//!
//! Owns every slot, memo, chunk and hint, as the daemon writes them. May use the packet logic's own functions that change
//! them (`dhcp_ebpf::publish`), and policy's words for what is published. Invariant: a slot's memory is rewritten only
//! after its word has been changed, so that an answer that the program is about to give out of it fails its last swap.
//!
//! ```text
//! table.rs    the slots: grant, remember, forget, revoke
//! account.rs  renewals by the kernel that policy is not told of yet
//! answers.rs  answers, each written once (chunks.rs: which pieces of memory are free; body.rs: an answer as bytes;
//!             echo.rs: what of a question comes back in it)
//! notes.rs    what the daemon notes in a slot for itself
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
