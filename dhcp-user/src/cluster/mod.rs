//! Several nodes that lease one address space, and agree by etcd.
//!
//! ```text
//! keys      where in etcd what stands
//! values    what stands there
//! terms     addresses and times: blocks, promises, durations
//! node      one node's share of the agreement: (state, what happened) → transactions, without any I/O
//! news      what the server hears of it
//! etcd      speaks to etcd, on a thread of its own
//! store     the store that the server commits to
//! ```
//!
//! Pools are cut into blocks of 256 addresses. A block has one owner, a node in one of its epochs, and only the owner
//! writes leases in it: each transaction compares both. An epoch is the create revision of the node's key, which lives by
//! an etcd lease. Nothing rests upon the timing of that: a node that was taken for dead, and wakes, fails in its next
//! transaction, and sends no ACK.
//!
//! **What another node may have promised is not given to somebody else before that has run out**, or before that node has
//! said that it can promise no more, and how long what it did promise lasts. That a node is dead, or silent, shortens
//! nothing: its kernel goes on answering renewals up to the horizons.
//!
//! Times are durations, from the moment of the transaction that says them. Whoever waits for the end of one counts from when
//! he saw it, which is later, and adds for clocks that run at different speeds.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::arithmetic_side_effects,
        reason = "what etcd says is not to be relied upon"
    )
)]

#[cfg(feature = "etcd")]
mod etcd;
mod keys;
#[cfg(all(test, feature = "etcd"))]
mod live;
mod news;
mod node;
#[cfg(feature = "etcd")]
mod store;
mod terms;
mod values;

#[cfg(test)]
mod tests;

#[cfg(feature = "etcd")]
pub use etcd::{Seen, Settings, Shown, in_words};
pub use news::News;
pub use node::{
    Condition, Effect, Identity, Need, Node, Outcome, Pools, Refusal, Transaction, Watched, Write,
};
#[cfg(feature = "etcd")]
pub use store::{Agreed, Link, Work, instance, open};
pub use terms::{Block, Instance};
pub use values::BadValue;
