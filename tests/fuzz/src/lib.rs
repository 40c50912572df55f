//! What finds inputs that nobody thought of: targets for each parser, and the comparison of the loaded program, the host's
//! build of the packet logic, and the daemon's encoder.
#![allow(clippy::unwrap_used, reason = "a case that can't be set up has failed")]
#![allow(clippy::cast_possible_truncation, reason = "frames are short")]

pub mod chance;
pub mod corpus;
pub mod mutate;
pub mod parity;
pub mod swap;
pub mod target;
