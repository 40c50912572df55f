//! The filter by which an operator selects leases.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::report::Lease;
use crate::config::Prefix;

/// The conditions on a lease; absent ones don't count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LeaseFilter {
    /// Its address is in this prefix, such as `192.0.2.0/24`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,
    /// Its state: `leased` or `grace`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Its owner's hardware address begins so, octets in hexadecimal with colons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Its owner's host name has this in it, in small letters or large.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The circuit that its owner is on: the id as text, or `hex:` and its octets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit: Option<String>,
    /// The VLAN ids that its owner is reached with, outer first; 0 alone if it is reached with none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Vec<u16>>,
    /// So many seconds ago, at least, its owner was last heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older_than: Option<u32>,
    /// Of those that fit only so many, the lowest addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

impl LeaseFilter {
    /// Whether it lets all leases through.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it says which leases are meant, not only how many.
    #[must_use]
    pub fn selects(&self) -> bool {
        !Self { limit: None, ..self.clone() }.is_empty()
    }

    /// Whether a lease is meant, at `now`.
    #[must_use]
    pub fn fits(&self, lease: &Lease, now: Timestamp) -> bool {
        let is_in = |subnet: &String| prefix(subnet).is_some_and(|prefix| prefix.contains(lease.address));
        let has_name = |name: &String| {
            let host = lease.host_name.as_deref().unwrap_or_default().to_ascii_lowercase();
            host.contains(&name.to_ascii_lowercase())
        };
        let is_on = |vlan: &Vec<u16>| lease.vlan == *vlan || lease.vlan.is_empty() && *vlan == [0];
        let is_old =
            |seconds: u32| now.duration_since(lease.last_heard) >= SignedDuration::from_secs(seconds.into());
        self.subnet.as_ref().is_none_or(is_in)
            && self.state.as_ref().is_none_or(|state| lease.state == *state)
            && self.mac.as_ref().is_none_or(|mac| lease.hw_address.starts_with(&mac.to_ascii_lowercase()))
            && self.host.as_ref().is_none_or(has_name)
            && self.circuit.as_ref().is_none_or(|circuit| lease.circuit_id.as_ref() == Some(circuit))
            && self.vlan.as_ref().is_none_or(is_on)
            && self.older_than.is_none_or(is_old)
    }
}

fn prefix(text: &str) -> Option<Prefix> {
    let (address, len) = text.split_once('/').unwrap_or((text, "32"));
    Prefix::of(address.parse().ok()?, len.parse().ok()?)
}
