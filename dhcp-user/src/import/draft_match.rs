//! The condition of a class, in the form of our `match`.

use std::collections::BTreeMap;

use super::draft::{Block, list, quoted};
use super::origin::At;

/// The condition by our keys: all must fit, each by one of its values.
pub(super) type Matches = BTreeMap<&'static str, Vec<Value>>;

/// The value of a `match`.
pub(super) fn written(matches: &Matches) -> String {
    let keys = matches.iter().map(|(key, values)| format!("{key} = {}", list_of(key, values)));
    format!("{{ {} }}", keys.collect::<Vec<_>>().join(", "))
}

/// The condition of clients with a reservation in their subnet, or without one.
pub(super) fn known(is_known: bool) -> Matches {
    Matches::from([("known", vec![Value::truth(is_known)])])
}

/// A condition that no client fits: this is the address of all on a link, and of none. Reservations put clients into the
/// class.
pub(super) fn nobody() -> Matches {
    Matches::from([("hw-address", vec![Value { octets: vec![0xff; 6], is_beginning: false }])])
}

/// The condition of those who fit both; none if there is no such `match`.
pub(super) fn both(mut one: Matches, other: Matches) -> Option<Matches> {
    // Who has a certain value has one.
    let says_nothing = |values: &[Value]| values.iter().any(|value| value.octets.is_empty());
    for (key, values) in other {
        match one.get(key) {
            Some(had) if says_nothing(&values) || *had == values => {}
            Some(had) if !says_nothing(had) => return None,
            _ => drop(one.insert(key, values)),
        }
    }
    Some(one)
}

/// The table of a class with this condition.
pub(super) fn class(at: &At, name: &str, matches: &Matches) -> Block {
    let mut block = Block::new("[[class]]", at);
    block.needed(at, "name", quoted(name));
    block.needed(at, "match", written(matches));
    block
}

fn list_of(key: &str, values: &[Value]) -> String {
    if let ("known", [value]) = (key, values) {
        return (value.octets == [1]).to_string();
    }
    let numbers: Option<Vec<String>> = values.iter().map(Value::number).collect();
    match numbers {
        Some(numbers) if key == "architecture" => format!("[{}]", numbers.join(", ")),
        _ => {
            let texts: Vec<String> = values.iter().map(|value| value.pattern(key)).collect();
            list(texts.iter().map(String::as_str))
        }
    }
}

/// Octets that a value must be, or begin with.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Value {
    pub(super) octets: Vec<u8>,
    pub(super) is_beginning: bool,
}

impl Value {
    /// The value of a key that is `true` or `false`.
    pub(super) fn truth(is_so: bool) -> Self {
        Self { octets: vec![u8::from(is_so)], is_beginning: false }
    }

    /// An enterprise number in four octets, and what is said under it.
    fn vendor(&self) -> String {
        let (number, said) = self.octets.split_at_checked(4).unwrap_or_default();
        let number = number.try_into().map(u32::from_be_bytes).unwrap_or_default();
        if said.is_empty() {
            return number.to_string();
        }
        let said = Self { octets: said.to_vec(), is_beginning: self.is_beginning };
        format!("{number}/{}", said.pattern("circuit-id"))
    }

    fn number(&self) -> Option<String> {
        match self.octets[..] {
            [high, low] if !self.is_beginning => Some(u16::from_be_bytes([high, low]).to_string()),
            _ => None,
        }
    }

    /// As the patterns of this key are written: a text where it is one and can be taken for nothing else, else octets.
    fn pattern(&self, key: &str) -> String {
        if key == "relay-vendor" {
            return self.vendor();
        }
        if self.octets.is_empty() {
            return "*".to_owned();
        }
        let star = if self.is_beginning { "*" } else { "" };
        let is_plain =
            self.octets.iter().all(|o| o.is_ascii_graphic() && !b"'\"*\\".contains(o) || *o == b' ');
        let text = std::str::from_utf8(&self.octets).ok().filter(|_| is_plain);
        let is_word =
            |text: &&str| text.contains(|c: char| c.is_ascii_alphabetic() && !c.is_ascii_hexdigit());
        let digits = |between: &str| {
            let pairs: Vec<String> = self.octets.iter().map(|octet| format!("{octet:02x}")).collect();
            pairs.join(between)
        };
        match (key, text) {
            ("vendor-class" | "user-class", Some(text)) if !text.starts_with("hex:") => {
                format!("{text}{star}")
            }
            ("vendor-class" | "user-class", _) => format!("hex:{}{star}", digits("")),
            ("circuit-id" | "remote-id" | "subscriber-id", Some(text)) if is_word(&text) => {
                format!("{text}{star}")
            }
            _ => format!("{}{}{star}", digits(":"), if self.is_beginning { ":" } else { "" }),
        }
    }
}
