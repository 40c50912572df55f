//! One TOML value, read as the type of its key.

use std::fmt::Display;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::errors::{Errors, Span};
use super::prefix::{Pool, Prefix, is_unicast};

/// The longest duration, in seconds: ten years, so that no horizon lies beyond the clock that promises are made in.
pub const LONGEST: u32 = 10 * 365 * 24 * 60 * 60;

/// A value and where it stands. Each reader reports what it refuses, and then has nothing to give.
#[derive(Clone, Copy)]
pub(super) struct Value<'t> {
    node: &'t Spanned<DeValue<'t>>,
    errors: &'t Errors<'t>,
}

impl<'t> Value<'t> {
    pub(super) fn new(node: &'t Spanned<DeValue<'t>>, errors: &'t Errors<'t>) -> Self {
        Self { node, errors }
    }

    pub(super) fn span(self) -> Span {
        self.node.span()
    }

    /// Refuses this value.
    pub(super) fn refuse<T>(self, message: impl Into<String>) -> Option<T> {
        self.errors.refuse(&self.span(), message);
        None
    }

    /// Where `earlier` is, for a message about this value.
    pub(super) fn where_is(self, earlier: &Span) -> String {
        self.errors.where_is(earlier, &self.span())
    }

    fn expected<T>(self, what: impl Display) -> Option<T> {
        let article = if self.node.get_ref().type_str().starts_with(['a', 'i']) { "an" } else { "a" };
        self.refuse(format!("expected {what}, found {article} {}", self.node.get_ref().type_str()))
    }

    pub(super) fn is_text(self) -> bool {
        self.node.get_ref().is_str()
    }

    pub(super) fn is_list(self) -> bool {
        self.node.get_ref().is_array()
    }

    pub(super) fn is_table(self) -> bool {
        self.node.get_ref().is_table()
    }

    /// A string; `what` says what it should have been.
    pub(super) fn text(self, what: &str) -> Option<&'t str> {
        match self.node.get_ref().as_str() {
            Some(text) => Some(text),
            None => self.expected(format_args!("{what} as a string")),
        }
    }

    pub(super) fn boolean(self) -> Option<bool> {
        match self.node.get_ref().as_bool() {
            Some(value) => Some(value),
            None => self.expected("true or false"),
        }
    }

    pub(super) fn integer(self, range: RangeInclusive<i64>) -> Option<i64> {
        let Some(written) = self.node.get_ref().as_integer() else {
            return self.expected(format_args!("a number from {} to {}", range.start(), range.end()));
        };
        match i64::from_str_radix(written.as_str(), written.radix()) {
            Ok(value) if range.contains(&value) => Some(value),
            _ => self.refuse(format!("{written} is out of range: {} to {}", range.start(), range.end())),
        }
    }

    /// Messages a second.
    pub(super) fn rate(self) -> Option<NonZeroU32> {
        self.integer(1..=10_000_000).and_then(|rate| u32::try_from(rate).ok()).and_then(NonZeroU32::new)
    }

    /// A number, with or without a fraction.
    pub(super) fn number(self, range: RangeInclusive<f64>) -> Option<f64> {
        let written = match self.node.get_ref() {
            DeValue::Float(float) => float.as_str().parse::<f64>().ok(),
            DeValue::Integer(integer) => {
                integer.as_str().parse::<f64>().ok().filter(|_| integer.radix() == 10)
            }
            _ => return self.expected(format_args!("a number from {} to {}", range.start(), range.end())),
        };
        match written {
            Some(value) if range.contains(&value) => Some(value),
            _ => self.refuse(format!("out of range: {} to {}", range.start(), range.end())),
        }
    }

    /// The elements of an array.
    pub(super) fn list(self, of: &str) -> Option<Vec<Self>> {
        match self.node.get_ref().as_array() {
            Some(array) => Some(array.iter().map(|node| Self::new(node, self.errors)).collect()),
            None => self.expected(format_args!("a list of {of}: [ … ]")),
        }
    }

    /// The elements of an array, each read; nothing if any was refused (all are looked at).
    pub(super) fn each<T>(self, of: &str, read: impl FnMut(Self) -> Option<T>) -> Option<Vec<T>> {
        let read: Vec<Option<T>> = self.list(of)?.into_iter().map(read).collect();
        read.into_iter().collect()
    }

    /// The entries of a table; `name` is how messages call it.
    pub(super) fn table(self, name: &str) -> Option<&'t DeTable<'t>> {
        match self.node.get_ref().as_table() {
            Some(table) => Some(table),
            None => self.expected(format_args!("a table for {name}")),
        }
    }

    /// Where errors of this text go.
    pub(super) fn errors(self) -> &'t Errors<'t> {
        self.errors
    }

    pub(super) fn one_of<T: Copy, const N: usize>(self, choices: [(&str, T); N]) -> Option<T> {
        let names = choices.map(|(name, _)| format!("\"{name}\"")).join(", ");
        let text = self.text(&format!("one of {names}"))?;
        match choices.into_iter().find(|(name, _)| *name == text) {
            Some((_, choice)) => Some(choice),
            None => self.refuse(format!("\"{text}\" is none of {names}")),
        }
    }

    /// A duration in whole seconds, zero included.
    pub(super) fn seconds(self) -> Option<u32> {
        let form = "a duration with its unit, such as \"90s\" or \"1h 30m\"";
        let text = self.text(form)?;
        let Ok(duration) = humantime::parse_duration(text) else {
            return self.refuse(format!("\"{text}\" is not a duration: write {form}"));
        };
        if duration.subsec_nanos() != 0 {
            return self.refuse(format!("\"{text}\" is not a whole number of seconds"));
        }
        match u32::try_from(duration.as_secs()) {
            Ok(seconds) if seconds <= LONGEST => Some(seconds),
            _ => self.refuse(format!(
                "\"{text}\" is too long: at most {}",
                humantime::format_duration(Duration::from_secs(LONGEST.into()))
            )),
        }
    }

    /// A duration of at least a second, in whole seconds.
    pub(super) fn some_seconds(self) -> Option<u32> {
        match self.seconds()? {
            0 => self.refuse("must be longer than zero"),
            seconds => Some(seconds),
        }
    }

    /// A number of octets that is worth a file.
    pub(super) fn size(self) -> Option<u64> {
        let form = "a size of at least 64 KiB, such as \"64 MiB\"";
        let text = self.text(form)?;
        let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
        let parsed = units.iter().find_map(|(unit, octets)| {
            text.trim_end().strip_suffix(unit)?.trim().parse::<u64>().ok()?.checked_mul(*octets)
        });
        match parsed {
            Some(octets) if octets >= 64 << 10 => Some(octets),
            _ => self.refuse(format!("\"{text}\" is not {form}")),
        }
    }

    pub(super) fn address(self) -> Option<Ipv4Addr> {
        let text = self.text("an IPv4 address")?;
        match text.trim().parse() {
            Ok(address) => Some(address),
            Err(_) => self.refuse(format!("\"{text}\" is not an IPv4 address, such as \"192.0.2.1\"")),
        }
    }

    /// An address that a host can have as its own.
    pub(super) fn host_address(self) -> Option<Ipv4Addr> {
        let address = self.address()?;
        if is_unicast(address) {
            Some(address)
        } else {
            self.refuse(format!("{address} is not an address that a host can have (1.0.0.0 to 223.255.255.255, without 127.0.0.0/8)"))
        }
    }

    pub(super) fn prefix(self) -> Option<Prefix> {
        let form = "a prefix, such as \"192.0.2.0/24\"";
        let text = self.text(form)?;
        let parsed = text.split_once('/').and_then(|(network, len)| {
            let len: u8 = len.trim().parse().ok().filter(|len| (1..=32).contains(len))?;
            Some((network.trim().parse::<Ipv4Addr>().ok()?, len))
        });
        let Some((address, len)) = parsed else {
            return self.refuse(format!("\"{text}\" is not {form} (length 1 to 32)"));
        };
        let prefix = Prefix::around(address, len);
        if prefix.network == address {
            Some(prefix)
        } else {
            self.refuse(format!("\"{text}\" has bits set beyond its length: write \"{prefix}\""))
        }
    }

    /// Addresses in a row: `"FIRST - LAST"`, or a prefix.
    pub(super) fn pool(self) -> Option<Pool> {
        let form = "a range of addresses, such as \"192.0.2.10 - 192.0.2.200\"";
        let text = self.text(form)?;
        if text.contains('/') {
            return self.prefix().map(Prefix::pool);
        }
        let ends = text
            .split_once('-')
            .and_then(|(first, last)| Some((first.trim().parse().ok()?, last.trim().parse().ok()?)));
        match ends {
            Some((first, last)) if first <= last => Some(Pool { first, last }),
            Some((first, last)) => {
                self.refuse(format!("this range runs backwards: write \"{last} - {first}\""))
            }
            None => self.refuse(format!("\"{text}\" is not {form}")),
        }
    }

    /// The value of a text, by `read`; `what` names the expected kind.
    pub(super) fn read<T>(self, what: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match read(self.text(what)?) {
            Ok(value) => Some(value),
            Err(message) => self.refuse(message),
        }
    }
}

/// Octets in hexadecimal, with or without colons, or `'text'` in single quotes for its own octets.
pub(super) fn octets_of(text: &str) -> Result<Vec<u8>, String> {
    match quoted(text).map(|quoted| quoted.as_bytes().to_vec()).or_else(|| from_hex(text)) {
        Some(octets) if !octets.is_empty() => Ok(octets),
        _ => Err(format!("\"{text}\" is not octets, such as \"01:02:0a\" (or \"'text'\" for a text's own)")),
    }
}

/// The text in single quotes, if that is all of `text`.
pub(super) fn quoted(text: &str) -> Option<&str> {
    text.strip_prefix('\'')?.strip_suffix('\'')
}

/// Octets written as two hexadecimal digits each, with an optional `hex:` before them, and colons, dashes or spaces between.
pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    text.strip_prefix("hex:")
        .unwrap_or(text)
        .split([':', '-', ' '])
        .map(|run| {
            let digits = run.as_bytes();
            let pairs = digits.chunks(2).map(|pair| match pair {
                [high, low] => Some((digit(*high)? << 4) | digit(*low)?),
                _ => None,
            });
            pairs.collect::<Option<Vec<u8>>>()
        })
        .collect::<Option<Vec<_>>>()
        .map(|runs| runs.concat())
}

/// Octets, or those of a text: in single quotes, or plain where it can't be taken for octets.
pub(super) fn octets_or_words(text: &str) -> Option<Vec<u8>> {
    let in_words = text.contains(|c: char| !c.is_ascii_hexdigit() && !":- '".contains(c));
    match quoted(text) {
        Some(quoted) => Some(quoted.as_bytes().to_vec()),
        None if in_words && !text.starts_with("hex:") => Some(text.as_bytes().to_vec()),
        None => from_hex(text),
    }
}

fn digit(character: u8) -> Option<u8> {
    char::from(character).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_come_with_and_without_separators() {
        for text in ["hex:0a0BfF", "0a:0b:ff", "0a0b:ff", "0A-0B-FF", "hex:0a 0b ff", " 0a0bff "] {
            assert_eq!(from_hex(text).as_deref(), Some(&[0x0a, 0x0b, 0xff][..]), "{text}");
        }
        for text in ["0", "0a:b", "0g", "a:0b", "0x0a", "é0"] {
            assert_eq!(from_hex(text), None, "{text}");
        }
    }
}
