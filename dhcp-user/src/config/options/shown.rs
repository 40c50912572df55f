//! Option values in the forms that people and other servers write them in.

use std::net::Ipv4Addr;

use super::registry::{Kind, REGISTRY};

/// The value of an option, by its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// Addresses.
    Addresses(Vec<Ipv4Addr>),
    /// Addresses in pairs: destinations and routers, or addresses and masks.
    Pairs(Vec<(Ipv4Addr, Ipv4Addr)>),
    /// Numbers of so many octets.
    Numbers(usize, Vec<i64>),
    /// True or false.
    Truth(bool),
    /// Text without control characters.
    Text(String),
    /// Anything else.
    Octets(Vec<u8>),
}

/// The form of a value of option `code`: octets, where it isn't as its kind is.
#[must_use]
pub fn form(code: u8, value: &[u8]) -> Form {
    let kind = REGISTRY.iter().find(|option| option.code == code).map(|option| option.kind);
    let octets = || Form::Octets(value.to_vec());
    match kind {
        Some(Kind::Address | Kind::Host | Kind::Hosts | Kind::Addresses | Kind::Mask) => {
            addresses(value).map_or_else(octets, Form::Addresses)
        }
        Some(Kind::Filters | Kind::ClassfulRoutes) => {
            let (pairs, rest) = value.as_chunks::<8>();
            let pair = |[a, b, c, d, e, f, g, h]: &[u8; 8]| {
                (Ipv4Addr::new(*a, *b, *c, *d), Ipv4Addr::new(*e, *f, *g, *h))
            };
            if rest.is_empty() { Form::Pairs(pairs.iter().map(pair).collect()) } else { octets() }
        }
        Some(Kind::Unsigned8 { .. } | Kind::OneOf(_)) => {
            Form::Numbers(1, value.iter().map(|octet| i64::from(*octet)).collect())
        }
        Some(Kind::Unsigned16 { .. } | Kind::Unsigned16s { .. }) => {
            let (numbers, rest) = value.as_chunks::<2>();
            let numbers = numbers.iter().map(|octets| u16::from_be_bytes(*octets).into()).collect();
            if rest.is_empty() { Form::Numbers(2, numbers) } else { octets() }
        }
        Some(kind @ (Kind::Unsigned32 | Kind::Signed32)) => match value.try_into() {
            Ok(four) if kind == Kind::Signed32 => Form::Numbers(4, vec![i32::from_be_bytes(four).into()]),
            Ok(four) => Form::Numbers(4, vec![u32::from_be_bytes(four).into()]),
            Err(_) => octets(),
        },
        Some(Kind::Boolean) => match value {
            [is_set @ (0 | 1)] => Form::Truth(*is_set == 1),
            _ => octets(),
        },
        Some(Kind::Text) => match std::str::from_utf8(value) {
            Ok(text) if !text.contains(char::is_control) => Form::Text(text.to_owned()),
            _ => octets(),
        },
        _ => octets(),
    }
}

fn addresses(value: &[u8]) -> Option<Vec<Ipv4Addr>> {
    let (fours, rest) = value.as_chunks::<4>();
    (rest.is_empty() && !fours.is_empty()).then(|| fours.iter().map(|four| Ipv4Addr::from(*four)).collect())
}

/// A value of option `code` for people.
#[must_use]
pub fn shown(code: u8, value: &[u8]) -> String {
    let list = |parts: Vec<String>| parts.join(", ");
    match form(code, value) {
        Form::Addresses(all) => list(all.iter().map(ToString::to_string).collect()),
        Form::Pairs(all) => list(all.iter().map(|(one, other)| format!("{one} - {other}")).collect()),
        Form::Numbers(_, all) => list(all.iter().map(ToString::to_string).collect()),
        Form::Truth(is_set) => is_set.to_string(),
        Form::Text(text) => text,
        Form::Octets(octets) => {
            octets.iter().fold("hex:".to_owned(), |text, octet| format!("{text}{octet:02x}"))
        }
    }
}
