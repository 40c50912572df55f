//! The last messages of each client with their outcomes, for the clients heard last.

use std::hash::Hash;
use std::net::Ipv4Addr;

use ahash::HashMap;
use dhcp_ebpf::abi::Link;
use dhcp_ebpf::lease::{BootSecs, Word};

use super::glimpse::Glimpse;
use super::reasons::{Lost, Unanswered};
use crate::config::Prefix;
use crate::message::{Kind, Request};

/// How many clients are remembered at least; at most twice as many are.
pub(super) const CLIENTS: usize = 4096;
/// So many messages of each.
const MESSAGES: usize = 4;

/// The outcome of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing yet: it is being decided, or its answer is being committed.
    Waiting,
    /// It was answered by this kind of message.
    Answered(&'static str),
    /// It was not answered.
    Unanswered(Unanswered),
}

/// One message that the daemon got.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) at: BootSecs,
    /// Nothing if it could not be read.
    pub(super) kind: Option<Kind>,
    xid: u32,
    pub(super) link: Link,
    pub(super) relay: Ipv4Addr,
    /// The address that it is about, if it names one.
    pub(super) about: Ipv4Addr,
    /// The circuit that it came by, if a relay named one.
    pub(super) circuit: Option<Box<[u8]>>,
    /// What else the relay says of its client: sub-options 6 and 9 of option 82.
    pub(super) subscriber: Option<Box<[u8]>>,
    pub(super) relay_vendor: Option<Box<[u8]>>,
    pub(super) became: Outcome,
    /// The subnets that its client might have had an address of, if it got no answer.
    pub(super) considered: Box<[Prefix]>,
    pub(super) seen: Seen,
}

/// The word of an address as it was when a message came, or as the daemon has written it since.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) address: Ipv4Addr,
    pub(super) word: Word,
}

impl Message {
    pub(super) fn of(request: &Request, became: Outcome, seen: Seen) -> Self {
        let agent = request.options.agent.as_ref();
        Self {
            at: request.arrival,
            kind: Some(request.kind),
            xid: request.xid,
            link: request.link,
            relay: request.giaddr,
            about: about(request),
            circuit: circuit(request).map(Into::into),
            subscriber: agent.and_then(|agent| agent.subscriber_id.as_deref()).map(Into::into),
            relay_vendor: agent.and_then(|agent| agent.vendor_information.as_deref()).map(Into::into),
            became,
            considered: Box::default(),
            seen,
        }
    }

    /// One that could not be read, or was not.
    pub(super) fn unread(at: BootSecs, glimpse: Glimpse, why: Unanswered, seen: Seen) -> Self {
        let Glimpse { link, relay, about, circuit, client: _ } = glimpse;
        Self {
            at,
            kind: None,
            xid: 0,
            link,
            relay,
            about,
            circuit,
            subscriber: None,
            relay_vendor: None,
            became: Outcome::Unanswered(why),
            considered: Box::default(),
            seen,
        }
    }

    pub(super) fn considered_for(self, considered: Box<[Prefix]>) -> Self {
        Self { considered, ..self }
    }
}

/// The address that a request is about.
pub(super) fn about(request: &Request) -> Ipv4Addr {
    if request.ciaddr.is_unspecified() {
        request.options.requested.unwrap_or(Ipv4Addr::UNSPECIFIED)
    } else {
        request.ciaddr
    }
}

/// The sender that a request counts for: its client's hardware address if that has six octets, else the station that
/// sent it.
pub(in crate::server) fn sender(request: &Request) -> [u8; 6] {
    request.chaddr.octets().try_into().unwrap_or(request.eth_src)
}

/// The circuit that the relay of a request names.
pub(in crate::server) fn circuit(request: &Request) -> Option<&[u8]> {
    request.options.agent.as_ref()?.circuit_id.as_deref()
}

/// The last messages of the clients that were heard last.
#[derive(Debug, Default)]
pub(super) struct History(Recent<[u8; 6], Vec<Message>>);

impl History {
    pub(super) fn add(&mut self, client: [u8; 6], message: Message) {
        let mut messages = self.0.take(&client).unwrap_or_else(|| Vec::with_capacity(MESSAGES));
        if messages.len() == MESSAGES {
            messages.remove(0);
        }
        messages.push(message);
        self.0.insert(client, messages);
    }

    /// Records the outcome of a request that was added. A request that is not remembered stays so.
    pub(super) fn became(
        &mut self,
        request: &Request,
        became: Outcome,
        considered: impl FnOnce() -> Box<[Prefix]>,
    ) {
        let Some(messages) = self.0.get_mut(&sender(request)) else { return };
        let it = |message: &&mut Message| {
            (message.xid, message.kind, message.at) == (request.xid, Some(request.kind), request.arrival)
                && message.became == Outcome::Waiting
        };
        if let Some(message) = messages.iter_mut().find(it) {
            message.became = became;
            message.considered = considered();
        }
    }

    /// The last answer to a client in this exchange could not be sent.
    pub(super) fn unsent(
        &mut self,
        client: &[u8; 6],
        xid: u32,
        considered: impl FnOnce(Link, Ipv4Addr) -> Box<[Prefix]>,
    ) {
        let mut messages = self.0.get_mut(client).into_iter().flatten().rev();
        let answered =
            |message: &&mut Message| message.xid == xid && matches!(message.became, Outcome::Answered(_));
        if let Some(message) = messages.find(answered) {
            message.became = Outcome::Unanswered(Unanswered::Lost(Lost::NotSent));
            message.considered = considered(message.link, message.relay);
        }
    }

    /// The daemon has written the word of an address of this client.
    pub(super) fn written(&mut self, client: &[u8; 6], address: Ipv4Addr, word: Word) {
        let messages = self.0.get_mut(client).into_iter().flatten();
        messages
            .filter(|message| message.seen.address == address)
            .for_each(|message| message.seen.word = word);
    }

    pub(super) fn forget(&mut self, client: &[u8; 6]) {
        self.0.forget(client);
    }

    /// The messages of a client, the latest last.
    pub(super) fn of(&self, client: &[u8; 6]) -> &[Message] {
        self.0.get(client).map_or(&[], Vec::as_slice)
    }

    /// The client that was the last to be heard by this circuit; first of all one that got no answer.
    pub(super) fn who_is_on(&self, is_meant: impl Fn(&[u8]) -> bool) -> Option<[u8; 6]> {
        let came = |messages: &Vec<Message>| {
            let last = messages.last().filter(|last| last.circuit.as_deref().is_some_and(&is_meant))?;
            Some((matches!(last.became, Outcome::Unanswered(_)), last.at))
        };
        let all = self.0.iter().filter_map(|(client, messages)| Some((came(messages)?, *client)));
        all.max().map(|(_, client)| client)
    }

    /// The client that was the last to name this address.
    pub(super) fn who_named(&self, address: Ipv4Addr) -> Option<[u8; 6]> {
        let named = |messages: &Vec<Message>| {
            messages.iter().rev().find(|message| message.about == address).map(|message| message.at)
        };
        let all = self.0.iter().filter_map(|(client, messages)| Some((named(messages)?, *client)));
        all.max().map(|(_, client)| client)
    }
}

/// The entries that were inserted last: at least [`CLIENTS`] of them, and at most twice as many.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self { young: HashMap::default(), old: HashMap::default() }
    }
}

impl<K: Eq + Hash, V> Recent<K, V> {
    pub(super) fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= CLIENTS && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    fn take(&mut self, key: &K) -> Option<V> {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }

    pub(super) fn forget(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.young.get_mut(key).or_else(|| self.old.get_mut(key))
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let replaced = |key: &K| self.young.contains_key(key);
        self.young.iter().chain(self.old.iter().filter(move |(key, _)| !replaced(key)))
    }
}
