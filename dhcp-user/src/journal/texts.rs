//! Octets of the wire as text.

use crate::control::colon_hex;
use crate::message::vendors;

/// What vendors' relays say (option 82, sub-option 9), each by its enterprise number: `3561/TEXT`, or `3561/hex:01:02`.
#[must_use]
pub fn vendor_texts(value: Option<&[u8]>) -> Vec<String> {
    let words = |(number, said)| format!("{number}/{}", wire_text(said));
    value.into_iter().flat_map(vendors).map(words).collect()
}

/// Octets as the text that they are, or as `hex:` and their digits where they are none.
#[must_use]
pub fn wire_text(octets: &[u8]) -> String {
    let text = std::str::from_utf8(octets).ok();
    let text = text.filter(|text| !text.is_empty() && !text.starts_with("hex:"));
    match text.filter(|text| text.bytes().all(|octet| octet == b' ' || octet.is_ascii_graphic())) {
        Some(text) => text.to_owned(),
        None => format!("hex:{}", colon_hex(octets)),
    }
}
