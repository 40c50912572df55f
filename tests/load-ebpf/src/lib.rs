//! What the two halves of the load generator agree on: names, layouts, and how a client follows from its number.
//!
//! Values marked raw are bytes of the wire in memory order.
#![no_std]
#![allow(clippy::cast_possible_truncation, reason = "taken apart on purpose, or small by what they count")]

pub mod client;
pub mod counts;
pub mod lane;
pub mod latency;

/// Names of the maps; all are arrays, and all but [`OWNERS`](maps::OWNERS) are mapped by user space.
pub mod maps {
    /// One element per client: its [`Word`](crate::client::Word), and when it began to wait (ns, monotonic; 0: untimed).
    pub const CLIENTS: &str = "CLIENTS";
    /// One element per address of the pool: 1 + the number of the client that holds it, or 0.
    pub const OWNERS: &str = "OWNERS";
    /// One element per address of the pool, a cache line: a word that the floor changes with each answer.
    pub const FLOOR: &str = "FLOOR";
    /// Cells 0 to 7: the 60 octets of options that the floor answers with.
    pub const FLOOR_ANSWER: &str = "FLOOR_ANSWER";
    /// Cell 0: the first address of [`OWNERS`], as a number.
    pub const POOL: &str = "POOL";
    /// Cell 0: the index of the interface whose drops are counted where they are traced.
    pub const TRACED: &str = "TRACED";
    /// One element per lane: what is sent on it ([`lane`](crate::lane)).
    pub const LANES: &str = "LANES";
    /// One element per CPU and lane: whose turn it is.
    pub const TURNS: &str = "TURNS";
    /// One element per CPU: what was sent and what came back ([`counts`](crate::counts)).
    pub const COUNTS: &str = "COUNTS";
    /// One element per CPU, kind and bucket: how long answers took ([`latency`](crate::latency)).
    pub const LATENCIES: &str = "LATENCIES";
}

/// Names of the programs that are not a lane's.
pub mod programs {
    /// For the clients' end of the link: judges replies, goes on from OFFER to REQUEST.
    pub const RECEIVE: &str = "receive";
    /// For the server's end, in place of a server: sends every frame back as it is.
    pub const REFLECT: &str = "reflect";
    /// For the server's end, in place of a server: the least that an answer can cost that rests on a lease. It finds the
    /// lease by its place in an array, swaps one word of it, and writes an answer that all share.
    pub const FLOOR: &str = "floor";
    /// For the tracepoint `xdp:xdp_devmap_xmit`: counts what the driver did not take.
    pub const XMIT: &str = "xmit";
    /// For the tracepoint `xdp:xdp_redirect_err`: counts what did not even come to the driver.
    pub const REDIRECT_ERR: &str = "redirect_err";
}
