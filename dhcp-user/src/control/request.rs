//! The messages on the control socket: a request, and the lines of its answer.

use std::net::Ipv4Addr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::filter::LeaseFilter;
use super::verbs::{PROTOCOL, VERBS};
use crate::capture::Filter;
use crate::store::QuarantineCause;

/// The key by which a request says its version of the protocol.
const VERSION: &str = "protocol";

/// An operator's request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// The protocol: its version and verbs.
    Hello,
    /// The daemon itself.
    Status,
    /// The counters of kernel and daemon.
    Stats,
    /// The figures for `top`: those that change, and the busiest clients.
    Figures,
    /// How many addresses of each pool are in which state.
    Pools,
    /// All leases, or those that are like this.
    Leases {
        /// The filter of the leases.
        #[serde(default, skip_serializing_if = "LeaseFilter::is_empty")]
        filter: LeaseFilter,
    },
    /// One lease, and the questions that the kernel can answer for it.
    LeaseShow {
        /// The leased address.
        address: Ipv4Addr,
    },
    /// End a lease.
    LeaseRelease {
        /// The leased address.
        address: Ipv4Addr,
        /// Whether it is free at once.
        #[serde(default)]
        now: bool,
    },
    /// Compare policy, store and kernel.
    Audit,
    /// Devices that hold more than one lease.
    Orphans,
    /// Addresses in quarantine.
    Quarantine,
    /// Take addresses out of quarantine.
    QuarantineClear {
        /// The first, or the only one.
        address: Ipv4Addr,
        /// How many bits of it all of them have in common; all 32 if it is the only one.
        #[serde(default = "one_address")]
        len: u8,
        /// Only those that are in there for this reason.
        #[serde(default)]
        why: Option<Cause>,
    },
    /// Why a client's last request went up instead of being answered in the kernel.
    Explain {
        /// The client.
        client: Subject,
    },
    /// The events from now on.
    Events {
        /// First what happened after the event of this number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<u64>,
        /// Whether to go on with events as they happen.
        #[serde(default = "yes", skip_serializing_if = "is_so")]
        follow: bool,
    },
    /// Frames that come and leave from now on.
    Capture {
        /// Which of them.
        #[serde(default)]
        filter: Filter,
    },
    /// All that another server needs to honour the leases.
    Export,
    /// Honour the leases that follow, one in a line.
    Import,
    /// The reservations that the daemon keeps.
    ReservationList,
    /// Keep a reservation: it is in force at once.
    ReservationAdd {
        /// As a line of a `reservations-file`, and its `subnet`.
        #[serde(deserialize_with = "of_a_client")]
        reservation: Map<String, Value>,
    },
    /// Keep a reservation no more.
    ReservationRemove {
        /// Whom it is for: `hw-address`, `client-id`, or `circuit-id` with or without `remote-id`.
        #[serde(deserialize_with = "of_a_client")]
        client: Map<String, Value>,
        /// Its subnet; may be left out if the client has one in one subnet only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subnet: Option<String>,
    },
    /// Apply the changed configuration.
    Reload,
}

/// Why an address is in quarantine, as an operator says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A client declined it
    Declined,
    /// Somebody answered a probe
    Probe,
}

impl From<Cause> for QuarantineCause {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Declined => Self::Declined,
            Cause::Probe => Self::Probe,
        }
    }
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_so(what: &bool) -> bool {
    *what
}

/// An object that says whom it is for.
fn of_a_client<'de, D: Deserializer<'de>>(from: D) -> Result<Map<String, Value>, D::Error> {
    let object: Map<String, Value> = Map::deserialize(from)?;
    let says_so = ["hw-address", "client-id", "circuit-id"].iter().any(|key| object.contains_key(*key));
    says_so
        .then_some(object)
        .ok_or_else(|| D::Error::custom("it lacks its client: set hw-address, client-id or circuit-id"))
}

const fn one_address() -> u8 {
    32
}

/// A client, as an operator names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// By the address it has leased.
    Address(Ipv4Addr),
    /// By its hardware address (Ethernet).
    HwAddress([u8; 6]),
    /// By the circuit that its relay names: the id as text, or `hex:` and its octets.
    Circuit(String),
}

impl Request {
    /// The request that a line says.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn read(line: &[u8]) -> Result<Self, String> {
        let unknown = |error: serde_json::Error| format!("this daemon doesn't know the request: {error}");
        let mut request: Map<String, Value> = serde_json::from_slice(line).map_err(unknown)?;
        match request.remove(VERSION) {
            Some(version) if version != PROTOCOL => Err(format!(
                "the request is in version {version} of the protocol, and this daemon (xdhcpd {}) speaks version {PROTOCOL}: use \
                 a program of the same version",
                env!("CARGO_PKG_VERSION")
            )),
            _ => {
                refuse_others(&request)?;
                serde_json::from_value(Value::Object(request)).map_err(unknown)
            }
        }
    }

    /// The line that says it.
    ///
    /// # Errors
    /// Never, for any request.
    pub(super) fn line(&self) -> serde_json::Result<Vec<u8>> {
        let mut request = serde_json::to_value(self)?;
        if let Some(request) = request.as_object_mut() {
            request.insert(VERSION.to_owned(), PROTOCOL.into());
        }
        let mut line = serde_json::to_vec(&request)?;
        line.push(b'\n');
        Ok(line)
    }

    /// Whether it is for those only who may change what there is.
    #[must_use]
    pub fn takes_change(&self) -> bool {
        self.changes() || matches!(self, Self::Capture { .. })
    }

    /// Whether it changes anything.
    #[must_use]
    pub fn changes(&self) -> bool {
        matches!(
            self,
            Self::LeaseRelease { .. }
                | Self::QuarantineClear { .. }
                | Self::Import
                | Self::ReservationAdd { .. }
                | Self::ReservationRemove { .. }
                | Self::Reload
        )
    }
}

/// Refuses arguments that the verb doesn't have, for those verbs, too, that have none.
fn refuse_others(request: &Map<String, Value>) -> Result<(), String> {
    let Some(verb) = VERBS.iter().find(|verb| request.get("verb").is_some_and(|name| name == verb.name))
    else {
        return Ok(());
    };
    let is_known =
        |key: &str| key == "verb" || verb.arguments.iter().any(|name| name.trim_end_matches('?') == key);
    match request.keys().find(|key| !is_known(key)) {
        Some(other) => {
            Err(format!("this daemon doesn't know the request: unknown field `{other}` of {}", verb.name))
        }
        None => Ok(()),
    }
}

/// A line of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Line<T> {
    /// A part of the answer.
    Item(T),
    /// Nothing more comes.
    End(Outcome),
}

/// How a request went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// As asked.
    Done,
    /// The answer is no, and why.
    No(String),
    /// The daemon doesn't take this request, and why.
    Refused(String),
    /// The daemon stands still, and at what.
    Stuck(String),
}
