//! Queries on the journal, by address, device or circuit: who had which address from when to when.

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use ahash::HashMap;
use jiff::Timestamp;
use serde::Serialize;

use super::entry::{By, Client, End, Entry, LOST, Lost, What};
use super::files::parts;
use super::fingerprint::Fingerprint;

/// A query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The client or address; all given conditions must fit.
    pub whose: Vec<Whose>,
    /// When.
    pub span: Span,
}

/// The client or address of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The holders of this address.
    Address(Ipv4Addr),
    /// The addresses of this hardware address, as the journal writes it.
    HwAddress(String),
    /// The addresses on this circuit, as the journal writes it.
    Circuit(String),
}

/// The time that a question is about, its ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Holdings that ended before are left out.
    pub from: Timestamp,
    /// Holdings that began after are left out.
    pub to: Timestamp,
}

/// The journal's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The holdings, in order of time.
    pub holdings: Vec<Holding>,
    /// How many changes were lost, and between when and when, as far as the question is about that time.
    pub lost: Vec<(u64, Timestamp, Timestamp)>,
    /// Files that can't be read to their end, and why.
    pub unreadable: Vec<String>,
}

/// An address that a client had for some time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Holding {
    /// The address.
    pub address: Ipv4Addr,
    /// The holder's hardware address.
    pub hw_address: String,
    /// Its client identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Its host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_name: Option<String>,
    /// The interface it was reached on.
    pub interface: String,
    /// The ids of its tags, the outer first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vlan: Vec<u16>,
    /// The relay it was reached through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay: Option<Ipv4Addr>,
    /// Its circuit, as the relay called it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit_id: Option<String>,
    /// Its end of the circuit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_id: Option<String>,
    /// What it said of its kind, when the daemon heard it last.
    #[serde(flatten)]
    pub fingerprint: Fingerprint,
    /// Since when.
    pub from: Timestamp,
    /// Until when; `None`: it has it still, as far as the journal goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// Why it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<End>,
    /// When it was to run out, as far as the daemon knew last.
    pub expires: Timestamp,
    /// Its client was promised no more than this.
    pub promised_until: Timestamp,
    /// How many times it was renewed by the daemon.
    pub daemon_renewals: u64,
    /// How many times the kernel did so by itself.
    pub kernel_renewals: u64,
    /// It was learnt from the store at a start: it may have begun earlier.
    pub recovered: bool,
}

impl Question {
    /// Answers from the files in `directory`, as they are now.
    ///
    /// # Errors
    /// When the directory can't be read.
    pub fn answer(&self, directory: &Path) -> io::Result<Answer> {
        let mut found = Found::default();
        let mut answer = Answer::default();
        for part in parts(directory)? {
            let read = part.lines(|line| {
                if line.contains(LOST) {
                    let lost = serde_json::from_str::<Lost>(line).ok();
                    let lost = lost.filter(|lost| lost.from <= self.span.to && lost.to >= self.span.from);
                    answer.lost.extend(lost.map(|lost| (lost.entries, lost.from, lost.to)));
                } else if self.may_concern(line)
                    && let Ok(entry) = serde_json::from_str::<Entry>(line)
                {
                    found.take(entry);
                }
            });
            if let Err(error) = read {
                answer.unreadable.push(format!("{}: {error}", part.path.display()));
            }
        }
        let now = Timestamp::now();
        let all =
            found.over.into_iter().chain(found.running.into_values().map(|holding| holding.seen_at(now)));
        answer.holdings = all.filter(|holding| self.concerns(holding)).collect();
        answer.holdings.sort_by_key(|holding| (holding.from, holding.address));
        Ok(answer)
    }

    /// Whether a line is worth reading: an end may name the address alone.
    fn may_concern(&self, line: &str) -> bool {
        self.whose.iter().all(|whose| match whose {
            Whose::Address(address) => line.contains(&format!(r#""address":"{address}""#)),
            Whose::HwAddress(hw) => {
                line.contains(&format!(r#""hw-address":"{hw}""#)) || !line.contains(r#""hw-address":"#)
            }
            Whose::Circuit(_) => true,
        })
    }

    fn concerns(&self, holding: &Holding) -> bool {
        let begins_in_time = holding.from <= self.span.to;
        let ends_in_time = holding.to.is_none_or(|to| to > self.span.from);
        begins_in_time
            && ends_in_time
            && self.whose.iter().all(|whose| match whose {
                Whose::Address(address) => holding.address == *address,
                Whose::HwAddress(hw) => holding.hw_address == *hw,
                Whose::Circuit(circuit) => holding.circuit_id.as_ref() == Some(circuit),
            })
    }
}

/// The holdings read so far.
#[derive(Default)]
struct Found {
    running: HashMap<Ipv4Addr, Holding>,
    over: Vec<Holding>,
}

impl Found {
    fn take(&mut self, entry: Entry) {
        let Entry { time, what, why, by, recovered, address, client, fingerprint, kernel_renewals, .. } =
            entry;
        let Some(client) = client.filter(|_| what != What::Ended) else {
            if what == What::Ended
                && let Some(holding) = self.running.remove(&address)
            {
                self.over.push(holding.ended(time, why.unwrap_or(End::NotTold)));
            }
            return;
        };
        let goes_on =
            what != What::Granted && self.running.get(&address).is_some_and(|holding| holding.is_of(&client));
        if !goes_on && let Some(former) = self.running.remove(&address) {
            self.over.push(former.ended(time, End::NotTold));
        }
        // Who is first heard of in the middle had it when it was heard.
        let from = if what == What::Granted && !recovered { time } else { client.last_heard.min(time) };
        let holding = self.running.entry(address).or_insert_with(|| Holding::begun(address, &client, from));
        holding.recovered |= recovered && !goes_on;
        holding.expires = client.expires.max(holding.expires);
        holding.promised_until = client.promised_until;
        holding.daemon_renewals += u64::from(by == Some(By::Daemon));
        holding.kernel_renewals = holding.kernel_renewals.saturating_add(kernel_renewals.unwrap_or(0));
        holding.now_at(client);
        if !fingerprint.is_empty() {
            holding.fingerprint = fingerprint;
        }
    }
}

impl Holding {
    fn begun(address: Ipv4Addr, client: &Client, from: Timestamp) -> Self {
        Self {
            address,
            hw_address: client.hw_address.clone(),
            client_id: client.client_id.clone(),
            host_name: None,
            interface: String::new(),
            vlan: Vec::new(),
            relay: None,
            circuit_id: None,
            remote_id: None,
            fingerprint: Fingerprint::default(),
            from,
            to: None,
            why: None,
            expires: client.expires,
            promised_until: client.promised_until,
            daemon_renewals: 0,
            kernel_renewals: 0,
            recovered: false,
        }
    }

    /// The client's place may change while it has the address: the last one is reported.
    fn now_at(&mut self, client: Client) {
        let Client { host_name, interface, vlan, relay, circuit_id, remote_id, .. } = client;
        (self.host_name, self.interface, self.vlan) = (host_name, interface, vlan);
        (self.relay, self.circuit_id, self.remote_id) = (relay, circuit_id, remote_id);
    }

    fn is_of(&self, client: &Client) -> bool {
        (self.hw_address.as_str(), self.client_id.as_deref()) == client.identity()
    }

    /// Ends it, no later than its promise.
    fn ended(mut self, time: Timestamp, why: End) -> Self {
        let to = time.min(self.promised_until).max(self.from);
        (self.to, self.why) = (Some(to), Some(why));
        self
    }

    /// Over, if what was promised has run out without a word.
    fn seen_at(self, now: Timestamp) -> Self {
        let until = self.promised_until;
        if until < now { self.ended(until, End::NotTold) } else { self }
    }
}
