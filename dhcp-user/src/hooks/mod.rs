//! Hooks: programs that are run for events.
//!
//! ```text
//! call.rs     the messages between the two processes
//! feed.rs     the daemon's end: hands events over, counts the results
//! runner.rs   the process that runs the programs: queues, and how many at once
//! program.rs  one program, from its start to the end of all that it has started
//! ```
//!
//! A daemon that serves can start no program (`privileges.rs`). So another process does, the runner. The daemon
//! starts it before it gives up that right, and only if there is a hook. The runner has none of the daemon's
//! capabilities, and ends with the daemon.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod call;
mod feed;
mod program;
mod runner;

pub use feed::{HookCounts, Hooks, Runner};
pub use runner::run;
