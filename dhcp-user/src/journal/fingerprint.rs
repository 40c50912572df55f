//! What a client says of its kind. The store keeps none of it.

use serde::{Deserialize, Serialize};

use super::texts::wire_text;
use crate::message::Options;
use crate::message::options::code;

/// By what the kind of a device is known: what a client says in the message that the daemon acknowledges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fingerprint {
    /// The codes that it asks for, in its order (option 55, RFC 2132 §9.8).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameter_list: Vec<u8>,
    /// Its vendor class (option 60, RFC 2132 §9.13).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor_class: Option<String>,
    /// Where its maker describes it (option 161, RFC 8520 §10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mud_url: Option<String>,
}

impl Fingerprint {
    /// What these options say.
    #[must_use]
    pub fn of(options: &Options) -> Self {
        let text = |code| options.get(code).map(|value| wire_text(value));
        Self {
            parameter_list: options.parameters.as_deref().unwrap_or_default().to_vec(),
            vendor_class: text(code::VENDOR_CLASS),
            mud_url: text(code::MUD_URL),
        }
    }

    /// Whether nothing was said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
