//! The figures for `top`: those that change, and the busiest clients.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::report::{PoolCounts, Stats, Status, Word};

/// The figures of one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Figures {
    /// The daemon itself.
    pub status: Status,
    /// The counters of kernel and daemon.
    pub stats: Stats,
    /// How full the rings between kernel and daemon are.
    pub rings: Vec<RingFigures>,
    /// The first pools, in the order of the configuration.
    pub pools: Vec<PoolCounts>,
    /// Renewals that the kernel has not answered.
    pub renewals_received: u64,
    /// The busiest clients, since somebody watches.
    pub busiest: Busiest,
}

/// A ring between kernel and daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RingFigures {
    /// Its name.
    pub ring: Word,
    /// How many octets it holds at most.
    pub size: u64,
    /// How many of them wait to be read.
    pub waiting: u64,
}

/// Whose messages came to the daemon most in the last moments.
///
/// Who has sent more than one in some hundreds of all is among them for sure, and its count is at most that much too small.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Busiest {
    /// How long these moments were, in milliseconds.
    pub milliseconds: u64,
    /// How many messages there were of all.
    pub messages: u64,
    /// Clients, the busiest first.
    pub clients: Vec<BusyClient>,
    /// Circuits of relays, the busiest first.
    pub circuits: Vec<BusyCircuit>,
}

/// A client that sends much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BusyClient {
    /// Its hardware address.
    pub hw_address: String,
    /// How many messages it sent.
    pub messages: u64,
}

/// A circuit from which much comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BusyCircuit {
    /// The relay that names it.
    pub relay: Ipv4Addr,
    /// The relay's name for it, octets in hexadecimal with colons.
    pub circuit: String,
    /// How many messages came from it.
    pub messages: u64,
}
