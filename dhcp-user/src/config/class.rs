//! A `[[class]]`: clients that have something in common, and their terms.
//!
//! ```toml
//! [[class]]
//! name           = "uefi"
//! match          = { vendor-class = "PXEClient*", architecture = [7, 9] }
//! boot-file-name = "grubx64.efi"
//! ```
//!
//! A client is in a class if all keys of `match` fit it; of a key's list, one value must. It may be in several.

use std::hash::Hash;
use std::path::PathBuf;

use super::class_names::ClassNames;
use super::errors::Errors;
use super::hosts::NamedHosts;
use super::overrides::Overrides;
use super::section::Section;
use super::stations;
use super::value::{self, Value};

/// Clients that have something in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Its name, which pools refer to.
    pub name: String,
    /// The condition for its members.
    pub matches: Match,
    /// The terms of its clients.
    pub overrides: Overrides,
    /// Whether its clients get no answer instead.
    pub drop: bool,
    /// How many leases its clients may hold together, if that is limited.
    pub max_leases: Option<u32>,
}

/// The condition of a class. Each list that isn't empty must have an element that fits; at least one is not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Match {
    /// Option 60.
    pub vendor_class: Vec<Pattern>,
    /// Option 77: one of its instances (RFC 3004), or the whole of it, which is what some clients mean.
    pub user_class: Vec<Pattern>,
    /// `chaddr`.
    pub hw_address: Vec<Pattern>,
    /// More of these: whole addresses from a file, in order, each once. With a file that has none nobody fits.
    pub hw_listed: Option<Vec<[u8; 6]>>,
    /// Option 61, type octet included.
    pub client_id: Vec<Pattern>,
    /// Sub-option 1 of option 82.
    pub circuit_id: Vec<Pattern>,
    /// Sub-option 2 of option 82.
    pub remote_id: Vec<Pattern>,
    /// Sub-option 6 of option 82.
    pub subscriber_id: Vec<Pattern>,
    /// Sub-option 9 of option 82: what is said under an enterprise's number.
    pub relay_vendor: Vec<(u32, Pattern)>,
    /// Option 93: one of its numbers (RFC 4578, section 2.1; IANA's "Processor Architecture Types").
    pub architecture: Vec<u16>,
    /// Whether the client has a reservation in the subnet, or has none.
    pub known: Option<bool>,
}

/// The value, or its beginning.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// These octets and no others.
    Exactly(Vec<u8>),
    /// These octets, and any more.
    Beginning(Vec<u8>),
}

impl Pattern {
    /// Whether `octets` are as they must be.
    #[must_use]
    pub fn fits(&self, octets: &[u8]) -> bool {
        match self {
            Self::Exactly(whole) => octets == whole,
            Self::Beginning(first) => octets.starts_with(first),
        }
    }
}

/// Reads all classes. Fills `names`, even with those of faulty classes, and `named_hosts`, with the hosts that their
/// options name.
pub(super) fn read(
    value: Value<'_>,
    names: &mut ClassNames,
    named_hosts: &mut NamedHosts,
    files: &mut Vec<PathBuf>,
) -> Option<Vec<Class>> {
    value.each_section("class", |mut section| {
        let name = section.required("name", "\"phones\"", |v| names.claim(v));
        let matches = section.required("match", "{ vendor-class = \"…*\" }", |v| Match::read(v, files));
        names.asks_known |= matches.as_ref().is_some_and(|matches| matches.known.is_some());
        let drop = section.or("drop", false, Value::boolean);
        let max_leases = section.optional("max-leases", lease_count);
        let given_at =
            section.place(&["options", "next-server", "boot-file-name", "lease-time", "max-leases"]);
        let overrides = Overrides::read(&mut section);
        if let Some(overrides) = &overrides {
            named_hosts.add_overrides(&section.place(&["options", "next-server"]), overrides);
        }
        let gives = overrides.as_ref().is_some_and(|overrides| !overrides.is_empty());
        if drop == Some(true) && (gives || matches!(max_leases, Some(Some(_)))) {
            section.refuse(
                &given_at,
                "the clients of a class with `drop` are given nothing: remove this, or `drop`",
            );
        }
        section.finish();
        Some(Class {
            name: name?,
            matches: matches?,
            overrides: overrides?,
            drop: drop?,
            max_leases: max_leases?,
        })
    })
}

impl Match {
    /// The part of the condition that a lease's basis holds: all but the hardware address.
    pub fn but_hardware(&self) -> impl Hash + '_ {
        let Self {
            vendor_class,
            user_class,
            hw_address: _,
            hw_listed: _,
            client_id,
            circuit_id,
            remote_id,
            subscriber_id,
            relay_vendor,
            architecture,
            known,
        } = self;
        let relayed = (circuit_id, remote_id, subscriber_id, relay_vendor);
        (vendor_class, user_class, self.asks_hardware(), client_id, relayed, architecture, known)
    }

    /// Whether it asks what the relay says.
    #[must_use]
    pub fn asks_relay(&self) -> bool {
        let patterns = [&self.circuit_id, &self.remote_id, &self.subscriber_id];
        patterns.iter().any(|asked| !asked.is_empty()) || !self.relay_vendor.is_empty()
    }

    /// Whether it asks for the hardware address.
    #[must_use]
    pub fn asks_hardware(&self) -> bool {
        !self.hw_address.is_empty() || self.hw_listed.is_some()
    }

    /// Whether the hardware address fits.
    #[must_use]
    pub fn fits_hardware(&self, octets: &[u8]) -> bool {
        let listed = |all: &Vec<[u8; 6]>| {
            <[u8; 6]>::try_from(octets).is_ok_and(|address| all.binary_search(&address).is_ok())
        };
        !self.asks_hardware()
            || self.hw_address.iter().any(|pattern| pattern.fits(octets))
            || self.hw_listed.as_ref().is_some_and(listed)
    }

    fn read(value: Value<'_>, files: &mut Vec<PathBuf>) -> Option<Self> {
        let mut section = value.section("match")?;
        let nothing_asked = section.entries().is_empty();
        let vendor_class = patterns(&mut section, "vendor-class", text);
        let user_class = patterns(&mut section, "user-class", text);
        let hw_address = patterns(&mut section, "hw-address", octets);
        let client_id = patterns(&mut section, "client-id", octets);
        let circuit_id = patterns(&mut section, "circuit-id", port_name);
        let remote_id = patterns(&mut section, "remote-id", port_name);
        let subscriber_id = patterns(&mut section, "subscriber-id", port_name);
        let relay_vendor =
            section.or("relay-vendor", Vec::new(), |v| one_or_more(v, "vendors", relay_vendor));
        let architecture =
            section.or("architecture", Vec::new(), |v| one_or_more(v, "numbers", architecture));
        let known = section.optional("known", Value::boolean);
        let listed = section.optional("hw-address-file", |v| stations::read(v, files));
        if let Some(hw_address) = &hw_address {
            check_hw_addresses(section.errors(), &section, hw_address);
        }
        section.finish();
        if nothing_asked {
            return value.refuse(
                "this fits every client: name what is to fit, such as vendor-class = \"PXEClient*\"",
            );
        }
        let (mut hw_address, listed) = (hw_address?, listed?);
        let hw_listed = listed.map(|listed| {
            hw_address.extend(listed.beginnings.into_iter().map(Pattern::Beginning));
            listed.whole
        });
        Some(Self {
            vendor_class: vendor_class?,
            user_class: user_class?,
            hw_address,
            hw_listed,
            client_id: client_id?,
            circuit_id: circuit_id?,
            remote_id: remote_id?,
            subscriber_id: subscriber_id?,
            relay_vendor: relay_vendor?,
            architecture: architecture?,
            known: known?,
        })
    }
}

/// Part of an address can only be meant as its beginning.
fn check_hw_addresses(errors: &Errors<'_>, section: &Section<'_>, patterns: &[Pattern]) {
    for pattern in patterns {
        if let Pattern::Exactly(octets) = pattern
            && octets.len() != 6
        {
            let octets: Vec<String> = octets.iter().map(|octet| format!("{octet:02x}")).collect();
            errors.refuse(
                &section.place(&["hw-address"]),
                format!(
                    "{} is not a whole Ethernet address: write \"{}:*\" for all that begin so",
                    octets.join(":"),
                    octets.join(":")
                ),
            );
        }
    }
}

fn patterns(
    section: &mut Section<'_>,
    key: &'static str,
    read: impl Fn(&str) -> Result<Vec<u8>, &'static str> + Copy,
) -> Option<Vec<Pattern>> {
    section.or(key, Vec::new(), |value| one_or_more(value, "values", |value| pattern(value, read)))
}

/// A single value, or each of a list that has some.
fn one_or_more<'t, T>(
    value: Value<'t>,
    of: &str,
    read: impl FnMut(Value<'t>) -> Option<T>,
) -> Option<Vec<T>> {
    let mut read = read;
    if !value.is_list() {
        return read(value).map(|one| vec![one]);
    }
    match value.each(of, read)? {
        none if none.is_empty() => value.refuse(format!("a list without {of} fits nobody: remove the key")),
        some => Some(some),
    }
}

/// A value, or with `*` at its end the beginning of one; `*` alone stands for any.
fn pattern(value: Value<'_>, read: impl Fn(&str) -> Result<Vec<u8>, &'static str>) -> Option<Pattern> {
    let written = value.text("a value")?;
    pattern_of(value, written, read)
}

/// An enterprise number (RFC 4243), alone or with what is said under it: `"3561"`, `"3561/hex:01*"`.
fn relay_vendor(value: Value<'_>) -> Option<(u32, Pattern)> {
    let written = value.text("an enterprise number")?;
    let (number, said) = written.split_once('/').unwrap_or((written, "*"));
    let Ok(number) = number.trim().parse() else {
        return value.refuse(format!(
            "\"{}\" is not an enterprise number, such as \"3561\" (or \"3561/VALUE\")",
            written.escape_default()
        ));
    };
    Some((number, pattern_of(value, said.trim(), port_name)?))
}

fn pattern_of(
    value: Value<'_>,
    written: &str,
    read: impl Fn(&str) -> Result<Vec<u8>, &'static str>,
) -> Option<Pattern> {
    let (part, pattern): (_, fn(Vec<u8>) -> Pattern) = match written.strip_suffix('*') {
        Some("") => return Some(Pattern::Beginning(Vec::new())),
        Some(part) => (part, Pattern::Beginning),
        None => (written, Pattern::Exactly),
    };
    match read(part) {
        Ok(octets) if (1..=255).contains(&octets.len()) => Some(pattern(octets)),
        Ok(octets) if octets.is_empty() => value.refuse("must not be empty: \"*\" fits any value"),
        Ok(octets) => value.refuse(format!("{} octets are more than the 255 that it can have", octets.len())),
        Err(form) => value.refuse(format!("\"{}\" is not {form}", written.escape_default())),
    }
}

/// The text's own octets, or those written after `hex:`.
fn text(part: &str) -> Result<Vec<u8>, &'static str> {
    match part.strip_prefix("hex:") {
        Some(digits) => value::from_hex(digits).ok_or("octets, such as \"hex:0a0b\""),
        None => Ok(part.as_bytes().to_vec()),
    }
}

/// Octets in hexadecimal, or a text's in single quotes.
fn octets(part: &str) -> Result<Vec<u8>, &'static str> {
    let quoted = value::quoted(part).map(|text| text.as_bytes().to_vec());
    quoted
        .or_else(|| value::from_hex(part))
        .ok_or("octets, such as \"01:02:0a\" (with \"*\" to begin with them)")
}

/// As [`octets`], or plain text where it can't be taken for them: relays name their ports in words.
fn port_name(part: &str) -> Result<Vec<u8>, &'static str> {
    value::octets_or_words(part).ok_or("octets, such as \"01:02:0a\" (or \"'text'\" for a text's own)")
}

fn lease_count(value: Value<'_>) -> Option<u32> {
    value.integer(1..=100_000_000).and_then(|count| u32::try_from(count).ok())
}

fn architecture(value: Value<'_>) -> Option<u16> {
    value.integer(0..=i64::from(u16::MAX)).and_then(|number| u16::try_from(number).ok())
}
