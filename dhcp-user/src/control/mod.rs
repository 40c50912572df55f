//! The control socket: brings operators' commands to the daemon, and its answers back.
//!
//! The protocol is described in docs/control.md. A connection carries one request: a JSON object on a line of its
//! own, `{"verb":"lease-show","address":"192.0.2.10"}`. The answer is any number of lines `{"item":…}` and a last
//! line `{"end":…}` with the result; without that line the answer is not whole. While an answer takes its time, an
//! empty line each second is a sign of life.
//!
//! A client never holds up the daemon's decision loop: requests reach it as [`Query`] values over a channel, this
//! code asks for long lists page by page, and data that a slow client doesn't read wait here. Nor does the loop hold
//! up signs of life: a thread of its own serves the socket, from before the daemon serves anybody else. Until then
//! `status` says so, and its answer is no; all other requests wait.
//!
//! An import goes both ways: after its request the client sends leases, a line each, and an empty line after at most
//! 256 of them; the daemon answers each such part with one item when it is on disk. The client ends by closing its side.

// What comes over the socket is for whoever wrote it to get right, and never ends the daemon.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

mod answering;
mod capture;
mod client;
mod connections;
mod figures;
mod filter;
mod follow;
mod measured;
mod peer;
mod portable;
#[cfg(test)]
pub(crate) mod properties;
mod query;
mod report;
mod request;
mod server;
mod socket;
mod startup;
#[cfg(test)]
mod tests;
mod verbs;
mod wall;

pub use answering::LONGEST_LEASE;
pub use client::{ClientError, ask, import};
pub use connections::Connections;
pub use figures::{Busiest, BusyCircuit, BusyClient, Figures, RingFigures};
pub use filter::LeaseFilter;
pub use measured::{Histogram, MOST_POOLS, Measured, RingFill};
pub use peer::Admission;
pub use portable::{Cause as QuarantinedFor, Confined, Portable, Treated};
pub use query::{Export, Happening, No, Page, Query, Reply, ReservationEdit};
pub use report::{
    AnsweredBy, Audit, ClassFill, Cleared, Explanation, Finding, Free, Heard, Imported, InterfaceStatus,
    KernelStats, Lease, LeaseDetail, LinkStatus, Memo, Orphan, OrphanLease, PoolCounts, Quarantined,
    RefusedLease, Released, Reloaded, Stage, Stats, Status, TrafficStats, Word, Xdp, colon_hex,
    from_colon_hex,
};
pub use request::{Cause, Outcome, Request, Subject};
pub use server::{serve, serve_at};
pub use socket::{Audience, BindError, Bound, bind, bind_for};
pub use startup::Startup;
pub use verbs::{Hello, PROTOCOL, VerbDescription, with_verbs};
pub use wall::WallClock;
