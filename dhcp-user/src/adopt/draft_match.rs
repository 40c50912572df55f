//! The condition of a class, in the form of our `match`.

use std::collections::BTreeMap;

use super::draft::list;

/// The condition by our keys: all must fit, each by one of its values.
pub(super) type Matches = BTreeMap<&'static str, Vec<Value>>;

/// The value of a `match`.
pub(super) fn written(matches: &Matches) -> String {
    let keys = matches.iter().map(|(key, values)| format!("{key} = {}", list_of(key, values)));
    format!("{{ {} }}", keys.collect::<Vec<_>>().join(", "))
}

fn list_of(key: &str, values: &[Value]) -> String {
    let numbers: Option<Vec<String>> = values.iter().map(Value::number).collect();
    match numbers {
        Some(numbers) if key == "architecture" => format!("[{}]", numbers.join(", ")),
        _ => {
            let texts: Vec<String> = values.iter().map(Value::pattern).collect();
            list(texts.iter().map(String::as_str))
        }
    }
}

/// Octets that a value must be, or begin with.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) octets: Vec<u8>,
    pub(super) is_beginning: bool,
}

impl Value {
    fn number(&self) -> Option<String> {
        match self.octets[..] {
            [high, low] if !self.is_beginning => Some(u16::from_be_bytes([high, low]).to_string()),
            _ => None,
        }
    }

    /// As our patterns are written: octets, or a text in single quotes where it is one.
    fn pattern(&self) -> String {
        if self.octets.is_empty() {
            return "*".to_owned();
        }
        let star = if self.is_beginning { "*" } else { "" };
        let is_plain =
            self.octets.iter().all(|o| o.is_ascii_graphic() && !b"'\"*\\".contains(o) || *o == b' ');
        match std::str::from_utf8(&self.octets) {
            Ok(text)
                if is_plain && text.contains(|c: char| c.is_ascii_alphabetic() && !c.is_ascii_hexdigit()) =>
            {
                format!("{text}{star}")
            }
            _ => {
                let pairs: Vec<String> = self.octets.iter().map(|octet| format!("{octet:02x}")).collect();
                let colon = if self.is_beginning { ":" } else { "" };
                format!("{}{colon}{star}", pairs.join(":"))
            }
        }
    }
}
