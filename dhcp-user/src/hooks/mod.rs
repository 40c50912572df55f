//! Hooks: programs that are run for events.
//!
//! ```text
//! call.rs     the messages between the two processes
//! feed.rs     the daemon's end: hands events over, counts the results
//! keeper.rs   the process that starts the next one whenever it ends
//! runner.rs   the process that runs the programs: queues, and how many at once
//! program.rs  one program, from its start to the end of all that it has started
//! ```
//!
//! A daemon that serves can start no program (`privileges.rs`). So another process does, the runner. The daemon
//! starts it before it gives up that right, and only if there is a hook. With it comes a keeper, which starts it again
//! if it ends. Neither has any of the daemon's capabilities, and both end with the daemon.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod call;
mod feed;
mod keeper;
mod program;
mod runner;

pub use feed::{HookCounts, Hooks, Runner};
pub use keeper::run;
