//! `probe`: whether addresses are probed. The subnet's overrides the interface's, and that the server's.

use super::value::Value;

/// Conflict probing before an OFFER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// ARP on the link, ICMP echo through a relay.
    Auto,
    /// Never.
    Off,
}

impl Probe {
    pub(super) fn read(value: Value<'_>) -> Option<Self> {
        value.one_of([("auto", Self::Auto), ("off", Self::Off)])
    }
}
