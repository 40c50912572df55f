//! A `[[subnet.reservation]]`: an address that belongs to one client.

use std::fmt;
use std::net::Ipv4Addr;

use super::overrides::Overrides;
use super::section::Section;
use super::value::{self, Value};

/// An address that belongs to one client, inside a pool or outside.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reservation {
    /// The client it is for.
    pub key: ReservationKey,
    /// The address that only this client gets.
    pub address: Ipv4Addr,
    /// The host name given to the client.
    pub host_name: Option<String>,
    /// What else is this client's own.
    pub overrides: Overrides,
}

/// What a client with a reservation is recognised by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReservationKey {
    /// Its hardware address (chaddr, Ethernet), whatever client identifier it sends.
    HwAddress([u8; 6]),
    /// Its client identifier (option 61), type octet included.
    ClientId(Vec<u8>),
    /// The circuit that its relay says it is on (option 82).
    Circuit {
        /// Sub-option 1.
        id: Vec<u8>,
        /// Sub-option 2, where circuits of several relays have the same id.
        remote_id: Option<Vec<u8>>,
    },
}

impl fmt::Display for ReservationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HwAddress(octets) => write!(f, "hw-address {}", Colons(octets)),
            Self::ClientId(octets) => write!(f, "client-id {}", Colons(octets)),
            Self::Circuit { id, remote_id: None } => write!(f, "circuit-id {}", Colons(id)),
            Self::Circuit { id, remote_id: Some(remote_id) } => {
                write!(f, "circuit-id {} with remote-id {}", Colons(id), Colons(remote_id))
            }
        }
    }
}

/// Octets in hexadecimal, colons between.
struct Colons<'a>(&'a [u8]);

impl fmt::Display for Colons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut octets = self.0.iter().enumerate();
        octets.try_for_each(|(i, octet)| write!(f, "{}{octet:02x}", if i == 0 { "" } else { ":" }))
    }
}

impl Reservation {
    pub(super) fn read(mut section: Section<'_>) -> Option<Self> {
        let remote_id = section.optional("remote-id", |v| identifier(v, circuit_id));
        let circuit = |id| Some(ReservationKey::Circuit { id, remote_id: remote_id.clone()? });
        let keys = [
            section.get("hw-address").map(|v| hw_address(v).map(ReservationKey::HwAddress)),
            section.get("client-id").map(|v| identifier(v, Value::octets).map(ReservationKey::ClientId)),
            section.get("circuit-id").map(|v| identifier(v, circuit_id).and_then(circuit)),
        ];
        let by_circuit = keys[2].is_some();
        let mut keys = keys.into_iter().flatten();
        let (key, another) = (keys.next(), keys.next());
        if key.is_none() {
            section
                .missing("[[subnet.reservation]] lacks its client: add hw-address, client-id or circuit-id");
        }
        if another.is_some() {
            section.refuse(
                &section.place(&["client-id", "circuit-id"]),
                "a reservation is for one of hw-address, client-id and circuit-id: make one reservation of each",
            );
        }
        if !by_circuit && !matches!(remote_id, Some(None)) {
            section.refuse(
                &section.place(&["remote-id"]),
                "remote-id tells the circuits of several relays apart: add the circuit-id",
            );
        }
        let address = section.required("address", "\"192.0.2.5\"", Value::host_address);
        let host_name = section.optional("host-name", host_name);
        let overrides = Overrides::read(&mut section);
        section.finish();
        Some(Self { key: key??, address: address?, host_name: host_name?, overrides: overrides? })
    }
}

fn hw_address(value: Value<'_>) -> Option<[u8; 6]> {
    let form = "an Ethernet address, such as \"02:00:00:00:00:01\"";
    let text = value.text(form)?;
    match value::from_hex(text).and_then(|octets| <[u8; 6]>::try_from(octets).ok()) {
        Some(octets) if octets[0] & 1 == 0 && octets != [0; 6] => Some(octets),
        Some(_) => value.refuse(format!("\"{text}\" is a group or zero address: no client can have it")),
        None => value.refuse(format!("\"{text}\" is not {form}")),
    }
}

/// Octets as `read` understands them, at most as many as an option has.
fn identifier<'t>(value: Value<'t>, read: impl FnOnce(Value<'t>) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let octets = read(value)?;
    match octets.len() {
        0..=255 => Some(octets),
        len => value.refuse(format!("{len} octets are more than the 255 that an identifier can have")),
    }
}

/// Octets, or plain text where it can't be taken for octets: relays name their ports in words.
fn circuit_id(value: Value<'_>) -> Option<Vec<u8>> {
    let text = value.text("octets or text")?;
    match value::octets_or_words(text) {
        Some(octets) if !octets.is_empty() => Some(octets),
        _ => value.octets(),
    }
}

/// A host name as RFC 1123 has it: labels of letters, digits and hyphens, with dots between.
fn host_name(value: Value<'_>) -> Option<String> {
    let text = value.text("a host name")?;
    let label_fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.len() <= 253 && text.split('.').all(label_fits) {
        Some(text.to_owned())
    } else {
        value.refuse(format!(
            "\"{}\" is not a host name: use letters, digits and hyphens, at most 63 between dots",
            text.escape_default()
        ))
    }
}
