//! The daemon's side of the packet path: the kernel part, the memory shared with it, frames in and out.
//!
//! ```text
//! program/      the XDP program: loaded, pinned, adopted, attached       uses the three below
//! frames/       frames up from the program or a socket, frames out       uses leases/
//! leases/       the memory that the program answers from
//! interfaces/   what the kernel and drivers say of interfaces
//! ```
//!
//! What is decided here is how, never what: which lease is answered and how is policy's.

pub mod frames;
pub mod interfaces;
pub mod leases;
pub mod program;
#[cfg(test)]
mod tests;
