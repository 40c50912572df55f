//! One line of the journal.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprint;
use super::texts::wire_text;
use crate::control::{WallClock, colon_hex};
use crate::message::AgentInformation;
use crate::store::Record;

/// Something that was committed about the lease of an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Entry {
    /// When it was committed.
    pub(super) time: Timestamp,
    pub(super) what: What,
    /// Why a lease has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<End>,
    /// Kernel or daemon, if it was renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) by: Option<By>,
    /// It was learnt from the store at a start: when it happened isn't known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) recovered: bool,
    pub(super) address: Ipv4Addr,
    /// Its client; none if nothing is kept of the former owner.
    #[serde(flatten)]
    pub(super) client: Option<Client>,
    /// What the client said of its kind, in the message that the daemon acknowledged.
    #[serde(flatten)]
    pub(super) fingerprint: Fingerprint,
    /// How many times the kernel has renewed it between `since` and `last-heard`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kernel_renewals: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Timestamp>,
    /// The last commit that this line, and those before it, cover wholly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) commit: Option<Mark>,
}

/// The kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum What {
    Granted,
    Renewed,
    /// Neither: the client's data, say, or the kernel's horizon.
    Updated,
    Ended,
}

/// Kernel or daemon, which renewed a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum By {
    Kernel,
    Daemon,
}

/// Why a lease has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Its client gave it back.
    Released,
    /// It ran out.
    Expired,
    /// The operator ended it.
    Operator,
    /// Its client took another address.
    Moved,
    /// Its client found somebody else using the address.
    Declined,
    /// Somebody else was seen to use the address.
    InUse,
    /// It was taken from a device that held too many and was silent.
    Reclaimed,
    /// Its subnet, pool or reservation is gone.
    Withdrawn,
    /// Another client has got it, and no end was reported.
    Reassigned,
    /// No end was reported: it was over when its last promise had expired.
    NotTold,
}

impl End {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Expired => "expired",
            Self::Operator => "operator",
            Self::Moved => "moved",
            Self::Declined => "declined",
            Self::InUse => "in-use",
            Self::Reclaimed => "reclaimed",
            Self::Withdrawn => "withdrawn",
            Self::Reassigned => "reassigned",
            Self::NotTold => "not-told",
        }
    }
}

/// The present or former client of a lease, its place, and its times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Client {
    pub(super) hw_address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) client_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) host_name: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) interface: String,
    /// The ids of its tags, the outer first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) vlan: Vec<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) relay: Option<Ipv4Addr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) circuit_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) remote_id: Option<String>,
    pub(super) server: Ipv4Addr,
    /// In seconds.
    pub(super) lease_time: u32,
    pub(super) last_heard: Timestamp,
    /// The last expiry that the daemon knew of.
    pub(super) expires: Timestamp,
    /// No promise for the address goes beyond this.
    pub(super) promised_until: Timestamp,
}

/// A commit of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Mark {
    pub(super) store: String,
    pub(super) number: u64,
}

/// A gap in the journal. Its `what` is `lost`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Lost {
    pub(super) time: Timestamp,
    pub(super) what: String,
    pub(super) entries: u64,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

/// By this a line is known to be one of [`Lost`]; in a text of a client's, quotes have a backslash before them.
pub(super) const LOST: &str = r#""what":"lost""#;
/// By this a line is known to have a [`Mark`].
pub(super) const MARKED: &str = r#""commit":{"#;

impl Client {
    pub(super) fn of(record: &Record, clock: WallClock) -> Self {
        let agent = record.agent_info.clone().map(|raw| AgentInformation::read(raw.into()));
        let (circuit, remote) = agent.map_or((None, None), |agent| (agent.circuit_id, agent.remote_id));
        let (outer, inner) = record.vlan;
        Self {
            hw_address: record.chaddr.to_string(),
            client_id: record.client_id.as_deref().map(colon_hex),
            host_name: record.host_name.clone(),
            interface: record.interface.clone(),
            vlan: [outer, inner].into_iter().filter(|id| *id != 0).collect(),
            relay: Some(record.giaddr).filter(|relay| !relay.is_unspecified()),
            circuit_id: circuit.map(|id| wire_text(&id)),
            remote_id: remote.map(|id| wire_text(&id)),
            server: record.server,
            lease_time: record.lease_time,
            last_heard: clock.at(record.last_heard),
            expires: clock.at(record.expiry),
            promised_until: clock.at(record.committed_until),
        }
    }

    /// Its identity alone.
    pub(super) fn identity(&self) -> (&str, Option<&str>) {
        (&self.hw_address, self.client_id.as_deref())
    }
}
