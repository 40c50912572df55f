//! Good text, damaged as people and programs damage it: tokens lost, doubled, swapped for others; octets struck out.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// One damage, at a token.
#[derive(Clone, Debug)]
enum Damage {
    Delete,
    Double,
    /// Another token of the same text stands there.
    Swap(Index),
    /// Something foreign stands there.
    Replace(String),
    /// The text from here to another token stands there once more.
    Repeat(Index),
    /// The text ends here.
    Cut,
}

/// Foreign tokens, unexpected in any format.
const FOREIGN: [&str; 34] = [
    "",
    "0",
    "-1",
    "1",
    "33",
    "4294967295",
    "4294967296",
    "18446744073709551616",
    "1e400",
    "nan",
    "inf",
    "true",
    "null",
    "\"",
    "'",
    "\"\"\"",
    "[",
    "]",
    "{",
    "}",
    ",",
    "=",
    ".",
    ":",
    "\\",
    "\\ud800",
    "\n",
    "\r",
    "\0",
    "\u{feff}",
    "ß",
    "\u{1f980}",
    "255.255.255.255",
    "1979-05-27",
];

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        Just(Damage::Delete),
        Just(Damage::Double),
        any::<Index>().prop_map(Damage::Swap),
        select(&FOREIGN[..]).prop_map(|text| Damage::Replace(text.to_owned())),
        "\\PC{0,20}".prop_map(Damage::Replace),
        any::<Index>().prop_map(Damage::Repeat),
        Just(Damage::Cut),
    ]
}

/// Words and numbers, runs of blanks, and each other character by itself.
fn tokens(text: &str) -> Vec<String> {
    let kind = |c: char| (c.is_alphanumeric() || c == '-' || c == '_', c == ' ');
    let mut tokens: Vec<String> = Vec::new();
    let mut last = (false, false);
    for c in text.chars() {
        match tokens.last_mut().filter(|_| last != (false, false) && last == kind(c)) {
            Some(token) => token.push(c),
            None => tokens.push(c.to_string()),
        }
        last = kind(c);
    }
    tokens
}

fn apply(tokens: &mut Vec<String>, at: usize, damage: Damage) {
    match damage {
        Damage::Delete => drop(tokens.remove(at)),
        Damage::Double => {
            let token = tokens[at].clone();
            tokens.insert(at, token);
        }
        Damage::Swap(other) => {
            let other = other.index(tokens.len());
            tokens.swap(at, other);
        }
        Damage::Replace(text) => tokens[at] = text,
        Damage::Repeat(end) => {
            let end = at + end.index(tokens.len() - at);
            let again = tokens[at..end].to_vec();
            tokens.splice(at..at, again);
        }
        Damage::Cut => tokens.truncate(at),
    }
}

/// One of these texts with a few damages.
pub(crate) fn damaged(good: Vec<String>) -> impl Strategy<Value = String> {
    (select(good), vec((any::<Index>(), damage()), 0..5)).prop_map(|(text, damages)| {
        let mut tokens = tokens(&text);
        for (at, damage) in damages {
            if !tokens.is_empty() {
                let at = at.index(tokens.len());
                apply(&mut tokens, at, damage);
            }
        }
        tokens.concat()
    })
}

/// The same, with a few octets that are any.
pub(crate) fn damaged_octets(good: Vec<String>) -> impl Strategy<Value = Vec<u8>> {
    (damaged(good), vec((any::<Index>(), any::<u8>()), 0..3)).prop_map(|(text, octets)| {
        let mut damaged = text.into_bytes();
        for (at, octet) in octets {
            if !damaged.is_empty() {
                let at = at.index(damaged.len());
                damaged[at] = octet;
            }
        }
        damaged
    })
}
