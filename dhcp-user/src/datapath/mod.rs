//! The daemon's side of the packet path: the kernel part, the memory shared with it, frames in and out.
//!
//! ```text
//! program/      the XDP program: loaded, pinned, adopted, attached       uses the three below
//! frames/       frames up from the program or a socket, frames out       uses leases/
//! leases/       the memory that the program answers from
//! interfaces/   data of interfaces from the kernel and drivers
//! ```
//!
//! This side decides only how frames travel: policy decides which lease is answered, and with what.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod frames;
pub mod interfaces;
pub mod leases;
pub mod program;
#[cfg(test)]
mod tests;
