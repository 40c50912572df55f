//! A `[[subnet.reservation]]`: an address for one client with its terms, or terms alone.

use std::fmt;
use std::net::Ipv4Addr;

use super::class_names::{ClassNames, ClassSet};
use super::overrides::Overrides;
use super::prefix::is_unicast;
use super::section::Section;
use super::value::{self, Value};

/// A reservation for one client: an address, inside a pool or outside, and its terms; or terms alone, with an address
/// of the pools.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reservation {
    /// The client it is for.
    pub key: ReservationKey,
    /// The address that only this client gets, if there is one for it.
    pub address: Option<Ipv4Addr>,
    /// The host name given to the client.
    pub host_name: Option<String>,
    /// Classes that the client is in beside those that fit it.
    pub classes: ClassSet,
    /// The other terms of this client.
    pub overrides: Overrides,
}

/// The key that identifies a client with a reservation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReservationKey {
    /// Its hardware address (chaddr, Ethernet), with any client identifier.
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
    pub(super) fn read(mut section: Section<'_>, classes: &ClassNames) -> Option<Self> {
        let remote_id = section.optional("remote-id", |v| v.read("octets or text", circuit_of));
        let circuit = |id| Some(ReservationKey::Circuit { id, remote_id: remote_id.clone()? });
        let octets = "octets, such as \"01:02:0a\" (or \"'text'\" for a text's own)";
        let keys = [
            section
                .get("hw-address")
                .map(|v| v.read(HW_ADDRESS, hw_address_of).map(ReservationKey::HwAddress)),
            section.get("client-id").map(|v| v.read(octets, client_id_of).map(ReservationKey::ClientId)),
            section.get("circuit-id").map(|v| v.read("octets or text", circuit_of).and_then(circuit)),
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
        let address = section.optional("address", Value::host_address);
        let host_name = section.optional("host-name", |v| v.read("a host name", host_name_of));
        let own_classes = section.or("class", ClassSet::default(), |v| classes.set(v));
        let overrides = Overrides::read(&mut section);
        let place = section.place(&["hw-address", "client-id", "circuit-id"]);
        let errors = section.errors();
        section.finish();
        let (key, address, host_name) = (key??, address?, host_name?);
        let this = Self { key, address, host_name, classes: own_classes?, overrides: overrides? };
        if let Some(message) = this.gives_nothing(classes) {
            errors.refuse(&place, message);
        }
        Some(this)
    }

    /// Why it is no good, if it gives its client nothing.
    fn gives_nothing(&self, classes: &ClassNames) -> Option<&'static str> {
        let nothing = self.address.is_none()
            && self.host_name.is_none()
            && self.classes.is_empty()
            && self.overrides.is_empty()
            && !classes.asks_known;
        nothing.then_some(
            "this reservation gives its client nothing: add an address, a host-name, a class or options",
        )
    }
}

impl fmt::Display for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "the reservation of {address}"),
            None => write!(f, "the reservation for {}", self.key),
        }
    }
}

/// A reservation as text; fields that aren't set are `None`.
pub(super) struct Fields<'l> {
    pub(super) hw_address: Option<&'l str>,
    pub(super) client_id: Option<&'l str>,
    pub(super) circuit_id: Option<&'l str>,
    pub(super) remote_id: Option<&'l str>,
    pub(super) address: Option<&'l str>,
    pub(super) host_name: Option<&'l str>,
    /// The names of classes.
    pub(super) classes: Vec<&'l str>,
}

impl Fields<'_> {
    /// The client that they name.
    pub(super) fn key(&self) -> Result<ReservationKey, String> {
        match (self.hw_address, self.client_id, self.circuit_id, self.remote_id) {
            (Some(text), None, None, None) => Ok(ReservationKey::HwAddress(hw_address_of(text)?)),
            (None, Some(text), None, None) => Ok(ReservationKey::ClientId(client_id_of(text)?)),
            (None, None, Some(text), remote_id) => Ok(ReservationKey::Circuit {
                id: circuit_of(text)?,
                remote_id: remote_id.map(circuit_of).transpose()?,
            }),
            (None, None, None, None) => {
                Err("it lacks its client: set hw-address, client-id or circuit-id".to_owned())
            }
            _ => Err("a reservation is for one of hw-address, client-id and circuit-id (with remote-id)"
                .to_owned()),
        }
    }

    /// The reservation, or the faults of the fields.
    pub(super) fn reservation(
        &self,
        overrides: Overrides,
        classes: &ClassNames,
    ) -> Result<Reservation, String> {
        let key = self.key()?;
        let address = self.address.map(|address| {
            address.trim().parse().ok().filter(|address| is_unicast(*address)).ok_or_else(|| {
                format!("\"{}\" is not an address that a host can have", address.escape_default())
            })
        });
        let host_name = self.host_name.map(host_name_of).transpose()?;
        let mut own_classes = ClassSet::default();
        for name in &self.classes {
            own_classes.insert(classes.named(name)?);
        }
        let address = address.transpose()?;
        let this = Reservation { key, address, host_name, classes: own_classes, overrides };
        match this.gives_nothing(classes) {
            Some(message) => Err(message.to_owned()),
            None => Ok(this),
        }
    }
}

const HW_ADDRESS: &str = "an Ethernet address, such as \"02:00:00:00:00:01\"";

fn hw_address_of(text: &str) -> Result<[u8; 6], String> {
    match value::from_hex(text).and_then(|octets| <[u8; 6]>::try_from(octets).ok()) {
        Some(octets) if octets[0] & 1 == 0 && octets != [0; 6] => Ok(octets),
        Some(_) => Err(format!("\"{text}\" is a group or zero address: no client can have it")),
        None => Err(format!("\"{text}\" is not {HW_ADDRESS}")),
    }
}

fn client_id_of(text: &str) -> Result<Vec<u8>, String> {
    bounded(value::octets_of(text)?)
}

/// At most as many octets as an option has.
fn bounded(octets: Vec<u8>) -> Result<Vec<u8>, String> {
    match octets.len() {
        0..=255 => Ok(octets),
        len => Err(format!("{len} octets are more than the 255 that an identifier can have")),
    }
}

/// Octets, or plain text where it can't be taken for octets: relays name their ports in words.
fn circuit_of(text: &str) -> Result<Vec<u8>, String> {
    match value::octets_or_words(text) {
        Some(octets) if !octets.is_empty() => bounded(octets),
        _ => bounded(value::octets_of(text)?),
    }
}

/// A host name as RFC 1123 has it: labels of letters, digits and hyphens, with dots between.
fn host_name_of(text: &str) -> Result<String, String> {
    let label_fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.len() <= 253 && text.split('.').all(label_fits) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "\"{}\" is not a host name: use letters, digits and hyphens, at most 63 between dots",
            text.escape_default()
        ))
    }
}
