//! Octets as text where they are text: identifiers, and options by their names.

use std::net::Ipv4Addr;

use crate::config::option_name;
use crate::control::{colon_hex, from_colon_hex};
use crate::journal::wire_text;

/// The octets before the options if an answer has sname and file: these, and the cookie.
const BOOT: usize = 64 + 128;
const COOKIE: [u8; 4] = [99, 130, 83, 99];

/// A client identifier. Its first octet is a type (RFC 2132 §9.14): text, or anything, follows a 0.
pub(super) fn client_id(hex: &str) -> String {
    let octets = from_colon_hex(hex).unwrap_or_default();
    match octets.split_first() {
        Some((0, text)) if !wire_text(text).starts_with("hex:") => wire_text(text),
        _ => hex.to_owned(),
    }
}

/// The options of an answer, by name.
pub(super) fn options(hex: &str) -> Vec<(String, String)> {
    let body = from_colon_hex(hex).unwrap_or_default();
    let boot = body.get(BOOT..BOOT + 4).is_some_and(|cookie| cookie == COOKIE);
    let mut named = Vec::new();
    let mut rest = if boot { body.get(BOOT + 4..).unwrap_or_default() } else { &body[..] };
    if boot {
        let text = |field: Option<&[u8]>| {
            let field = field.unwrap_or_default();
            let end = field.iter().position(|octet| *octet == 0).unwrap_or(field.len());
            field.get(..end).filter(|text| !text.is_empty()).map(wire_text)
        };
        named.extend(text(body.get(..64)).map(|name| ("sname".to_owned(), name)));
        named.extend(text(body.get(64..BOOT)).map(|name| ("file".to_owned(), name)));
    }
    loop {
        match rest {
            [0, after @ ..] => rest = after,
            [code, length, after @ ..] if *code != 255 => {
                let value = after.get(..usize::from(*length)).unwrap_or(after);
                named.push((option_name(*code), self::value(*code, value)));
                rest = after.get(value.len()..).unwrap_or_default();
            }
            _ => return named,
        }
    }
}

/// The value of an option, by its contents.
fn value(code: u8, value: &[u8]) -> String {
    let addresses = || {
        let all: Vec<String> =
            value.as_chunks::<4>().0.iter().map(|octets| Ipv4Addr::from(*octets).to_string()).collect();
        all.join(", ")
    };
    match (code, value) {
        (53, [kind]) => match kind {
            2 => "offer".to_owned(),
            5 => "ack".to_owned(),
            6 => "nak".to_owned(),
            other => other.to_string(),
        },
        (51 | 58 | 59 | 38 | 35 | 24 | 108, [a, b, c, d]) => u32::from_be_bytes([*a, *b, *c, *d]).to_string(),
        (26 | 57 | 13 | 22, [a, b]) => u16::from_be_bytes([*a, *b]).to_string(),
        (12 | 14 | 15 | 17 | 18 | 40 | 47 | 60 | 64 | 66 | 67 | 100 | 101 | 114 | 252, text) => {
            wire_text(text)
        }
        (61, id) => client_id(&colon_hex(id)),
        (1 | 3..=11 | 16 | 28 | 32 | 41 | 42 | 44 | 45 | 48 | 49 | 50 | 54 | 65 | 68..=76 | 150, octets)
            if octets.len() % 4 == 0 && !octets.is_empty() =>
        {
            addresses()
        }
        (_, octets) => wire_text(octets),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(octets: &[u8]) -> String {
        colon_hex(octets)
    }

    #[test]
    fn options_are_told_by_name_with_or_without_boot_fields() {
        let list =
            [53, 1, 5, 3, 4, 192, 0, 2, 1, 51, 4, 0, 0, 14, 16, 15, 3, b'a', b'.', b'b', 224, 2, 1, 2, 255];
        let due = [
            ("dhcp-message-type", "ack"),
            ("routers", "192.0.2.1"),
            ("dhcp-lease-time", "3600"),
            ("domain-name", "a.b"),
            ("code-224", "hex:01:02"),
        ];
        let due: Vec<(String, String)> = due.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(options(&hex(&list)), due);
        let mut body = vec![0; BOOT];
        body[64..70].copy_from_slice(b"pxe.64");
        body.extend(COOKIE);
        body.extend(list);
        let shown = options(&hex(&body));
        assert_eq!((&shown[0], &shown[1..]), (&("file".to_owned(), "pxe.64".to_owned()), &due[..]));
    }

    #[test]
    fn nothing_that_a_terminal_would_obey_is_shown() {
        assert_eq!(client_id(&hex(b"\0printer")), "printer");
        assert_eq!(client_id(&hex(b"\x01\x02\0\0\0\0\x01")), "01:02:00:00:00:00:01");
        assert_eq!(client_id(&hex(b"\0\x1b[2J")), "00:1b:5b:32:4a");
        for cut in 0..8 {
            options(&hex(&[12, 6, 27, b'[', b'2', b'J', 255][..cut.min(7)])).iter().for_each(|(_, value)| {
                assert!(!value.contains('\u{1b}'), "{value:?}");
            });
        }
    }
}
