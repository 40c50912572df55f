//! DHCP options as the operator names them, and as they go on the wire.

use std::collections::BTreeMap;

/// Options by code, each value in wire form without code and length.
///
/// A value may be longer than 255 octets: it is split (RFC 3396) when an answer is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OptionSet(pub BTreeMap<u8, Vec<u8>>);

impl OptionSet {
    /// The value of option `code`.
    #[must_use]
    pub fn get(&self, code: u8) -> Option<&[u8]> {
        self.0.get(&code).map(Vec::as_slice)
    }

    /// These options with those of `over` in place of the same codes.
    #[must_use]
    pub fn overridden_by(&self, over: &Self) -> Self {
        let mut merged = self.clone();
        merged.0.extend(over.0.iter().map(|(code, value)| (*code, value.clone())));
        merged
    }
}
