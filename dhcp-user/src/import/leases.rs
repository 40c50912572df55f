//! Leases of other servers, on their way into our portable form.

use std::collections::HashMap;
use std::fmt;
use std::net::Ipv4Addr;

use super::origin::At;
use crate::control::{Confined, Portable, QuarantinedFor, Treated};

/// The leases in another server's files; the last entry of an address counts.
#[derive(Debug, Default)]
pub struct Found {
    entries: HashMap<Ipv4Addr, Entry>,
    not_taken: Vec<NotTaken>,
    superseded: usize,
}

/// Something in a lease file that isn't brought along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotTaken {
    /// Where it stands.
    pub at: At,
    /// The address it is about, if it is about one.
    pub address: Option<Ipv4Addr>,
    /// Why.
    pub why: Why,
}

/// Why an entry isn't brought along.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Why {
    /// It has run out.
    Expired,
    /// The address was given back, deleted, or never in use.
    NotInUse,
    /// It isn't about a lease of an IPv4 address.
    OtherKind,
    /// It can't be read.
    Unreadable(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("expired"),
            Self::NotInUse => f.write_str("not in use"),
            Self::OtherKind => f.write_str("no IPv4 lease"),
            Self::Unreadable(what) => write!(f, "can't be read: {what}"),
        }
    }
}

/// An entry as it stands in a file, in seconds of the Unix epoch.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) at: At,
    pub(super) address: Ipv4Addr,
    pub(super) use_of_it: Use,
    pub(super) hw_address: Option<String>,
    pub(super) client_id: Option<Vec<u8>>,
    pub(super) host_name: Option<String>,
    /// Without an end if there is none.
    pub(super) expires: Option<i64>,
    pub(super) lease_time: Option<u32>,
}

/// The use of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Leased,
    Declined,
    None,
}

impl Found {
    pub(super) fn add(&mut self, entry: Entry) {
        if self.entries.insert(entry.address, entry).is_some() {
            self.superseded = self.superseded.saturating_add(1);
        }
    }

    pub(super) fn skip(&mut self, at: &At, address: Option<Ipv4Addr>, why: Why) {
        self.not_taken.push(NotTaken { at: at.clone(), address, why });
    }

    /// How many entries a later one of the same address takes the place of.
    #[must_use]
    pub fn superseded(&self) -> usize {
        self.superseded
    }

    /// The leases that hold at `now`, in seconds of the Unix epoch, by address; and the entries left out.
    #[must_use]
    pub fn at(self, now: i64) -> (Vec<(At, Portable)>, Vec<NotTaken>) {
        let (mut leases, mut not_taken) = (Vec::new(), self.not_taken);
        for entry in self.entries.into_values() {
            match entry.portable(now) {
                Ok(lease) => leases.push((entry.at, lease)),
                Err(why) => not_taken.push(NotTaken { at: entry.at, address: Some(entry.address), why }),
            }
        }
        leases.sort_by_key(|(_, lease)| lease.address);
        not_taken.sort_by(|a, b| (&a.at.file, a.at.line).cmp(&(&b.at.file, b.at.line)));
        (leases, not_taken)
    }
}

impl Entry {
    fn portable(&self, now: i64) -> Result<Portable, Why> {
        let left = match self.expires {
            Some(end) => end.saturating_sub(now),
            None => i64::from(u32::MAX),
        };
        if self.use_of_it == Use::None {
            return Err(Why::NotInUse);
        }
        if left <= 0 {
            return Err(Why::Expired);
        }
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        let is_leased = self.use_of_it == Use::Leased;
        let known = self.lease_time.filter(|time| *time != u32::MAX);
        let quarantine = Confined {
            since_ago: known.map_or(0, |time| time.saturating_sub(left)),
            ends_in: left,
            why: QuarantinedFor::Declined,
            by: self.hw_address.clone().unwrap_or_default(),
        };
        if is_leased && self.hw_address.is_none() && self.client_id.is_none() {
            return Err(Why::Unreadable(
                "it has neither a hardware address nor a client identifier".to_owned(),
            ));
        }
        Ok(Portable {
            address: self.address,
            state: if is_leased { Treated::Leased } else { Treated::Quarantined },
            hw_address: self.hw_address.clone(),
            client_id: self.client_id.as_deref().map(colons),
            host_name: self.host_name.clone(),
            interface: None,
            vlan: Vec::new(),
            relay: None,
            relay_information: None,
            server: None,
            lease_time: self.lease_time.unwrap_or(left),
            expires_in: left,
            committed_for: left,
            last_heard_ago: known.map_or(0, |time| time.saturating_sub(left)),
            kernel_renewals: 0,
            quarantines: 0,
            quarantine: (!is_leased).then_some(quarantine),
            expires: None,
            committed_until: None,
            last_heard: None,
        })
    }
}

/// Octets in hexadecimal, colons between.
pub(crate) fn colons(octets: &[u8]) -> String {
    let pairs: Vec<String> = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    pairs.join(":")
}

/// A hardware address as ours are written, from octets with one or two digits each and colons between.
pub(super) fn hw_address(text: &str) -> Option<String> {
    octets(text).filter(|octets| octets.len() <= 16).map(|octets| colons(&octets))
}

/// Octets of one or two digits each, colons between.
pub(crate) fn octets(text: &str) -> Option<Vec<u8>> {
    let octet = |part: &str| {
        let is_octet = (1..=2).contains(&part.len()) && part.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_octet.then(|| u8::from_str_radix(part, 16).ok()).flatten()
    };
    text.split(':').map(octet).collect()
}
