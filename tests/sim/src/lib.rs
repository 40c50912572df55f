//! The whole server in one thread and in no time: what the daemon is made of, and all that may happen to it.
//!
//! ```text
//! disk       a disk that loses, tears and reorders what was not made durable, and fails or lies on demand
//! maps       the memory that kernel and daemon share, and the packet logic over it, in two steps
//! reply      what is read of an answer
//! client     devices: what each knows, and what it sends next
//! site       configurations, and where devices are
//! stranger   who keeps to nothing, and clients of other servers
//! ledger     what was promised to whom: the invariants about promises
//! world      all of it, and each step that can be taken there
//! life       steps drawn from a seed; a failure is shrunk to a few
//! ```
//!
//! Between them is the daemon's own code, from a frame's arrival to the reply (`dhcp_user::server::simulated`).
#![cfg(feature = "simulation")]
#![allow(clippy::unwrap_used, reason = "a simulation that can't be set up has failed")]
#![allow(clippy::cast_possible_truncation, reason = "all there is is small")]

pub mod client;
pub mod disk;
pub mod ledger;
pub mod life;
pub mod maps;
pub mod reply;
#[path = "../../devices/mod.rs"]
#[allow(clippy::expect_used, reason = "shared with the daemon's own tests")]
pub(crate) mod shape;
pub mod site;
pub mod stranger;
pub mod world;

/// The daemon's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
