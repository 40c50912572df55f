//! Hooks: programs that are run for events.
//!
//! ```text
//! call.rs     what goes between the two processes
//! feed.rs     the daemon's end: what is handed over, and what became of it
//! runner.rs   the process that runs the programs: queues, and how many at once
//! program.rs  one program, from its start to the end of all that it has started
//! ```
//!
//! A daemon that serves can start no program (`privileges.rs`). So another process does, the runner: it is started before
//! the daemon gives that up, if there is a hook at all, it has none of the daemon's capabilities, and it ends with it.

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
