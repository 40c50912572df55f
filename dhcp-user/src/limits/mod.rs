//! How many messages are looked at: of a client, of a link, of a relay's port, of a relay that asks about leases.
//!
//! Pure: time is passed in, and memory is bounded whatever comes. Exchanges that have begun are limited for each client
//! alone, so that work that was begun is finished.

mod bucket;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;

use ahash::RandomState;
use dhcp_ebpf::abi::Link;
use dhcp_ebpf::frame::HostFrame;
use dhcp_ebpf::request;
use dhcp_ebpf::verdict::Ring;

use crate::message::{Kind, Request};
use bucket::{Allowance, Buckets};

/// What a client may send in a row, and a second on end.
const CLIENT_BURST: u32 = 20;
const CLIENT_RATE: NonZeroU32 = NonZeroU32::new(5).expect("five");
/// Nothing is limited to less than this in a row: some clients that start at once are no flood.
const LEAST_BURST: u32 = 20;
/// How many buckets there are for clients, for ports, and for links and relays; each takes 16 octets.
const CLIENTS: usize = 1 << 16;
const CIRCUITS: usize = 1 << 14;
const FEW: usize = 1 << 10;

/// Which limit a message is beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The interface's `rate-limit`.
    Link,
    /// The interface's `circuit-rate-limit`.
    Circuit,
    /// What one client may send.
    Client,
    /// `leasequery-rate-limit`.
    Leasequery,
}

impl Limit {
    /// Its name as a counter.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Link => "rate-limited",
            Self::Circuit => "rate-limited-circuit",
            Self::Client => "rate-limited-client",
            Self::Leasequery => "rate-limited-leasequery",
        }
    }
}

/// The limits of an interface, in messages a second that begin something new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Of each of its links: untagged, or by VLAN ids.
    pub link: Option<NonZeroU32>,
    /// Of each port of a relay (giaddr and circuit id).
    pub circuit: Option<NonZeroU32>,
}

/// What was let through lately.
#[derive(Debug)]
pub struct Limits {
    rates: HashMap<u32, Rates>,
    leasequery: NonZeroU32,
    clients: Buckets,
    circuits: Buckets,
    links: Buckets,
    requesters: Buckets,
    hasher: RandomState,
}

impl Limits {
    /// With these rates of interfaces, by their indices, and as many LEASEQUERYs a second of each relay.
    #[must_use]
    pub fn new(rates: HashMap<u32, Rates>, leasequery: NonZeroU32) -> Self {
        Self {
            rates,
            leasequery,
            clients: Buckets::new(CLIENTS),
            circuits: Buckets::new(CIRCUITS),
            links: Buckets::new(FEW),
            requesters: Buckets::new(FEW),
            hasher: RandomState::new(),
        }
    }

    /// Whether a frame is to be read at all: it came in on interface `ifindex` at `now`, in nanoseconds. Where nothing
    /// is configured nothing is looked at.
    ///
    /// # Errors
    /// The limit it is beyond.
    pub fn check_frame(&mut self, frame: &[u8], ifindex: u32, now: u64) -> Result<(), Limit> {
        let Some(rate) = self.rates.get(&ifindex).and_then(|rates| rates.link) else { return Ok(()) };
        let Some(link) = begins_on(frame, ifindex) else { return Ok(()) };
        let allowance = Allowance::per_second(rate, LEAST_BURST);
        let owner = self.hash(&link);
        if self.links.take(owner, allowance, now) { Ok(()) } else { Err(Limit::Link) }
    }

    /// Whether a request that was read is to be decided, at `now` in nanoseconds.
    ///
    /// # Errors
    /// The limit it is beyond.
    pub fn check(&mut self, request: &Request, now: u64) -> Result<(), Limit> {
        if request.kind == Kind::LeaseQuery {
            return self.check_requester(request, now);
        }
        let client = Allowance::per_second(CLIENT_RATE, CLIENT_BURST);
        // Copies of one machine may share an identifier, and a RAS has many clients on one card.
        let owner = self.hash(&(request.link, request.chaddr, &request.options.client_id));
        if !self.clients.take(owner, client, now) {
            return Err(Limit::Client);
        }
        if is_new(request.kind) { self.check_circuit(request, now) } else { Ok(()) }
    }

    fn check_requester(&mut self, request: &Request, now: u64) -> Result<(), Limit> {
        let allowance = Allowance::per_second(self.leasequery, LEAST_BURST);
        let owner = self.hash(&(request.giaddr, request.ip_src));
        if self.requesters.take(owner, allowance, now) { Ok(()) } else { Err(Limit::Leasequery) }
    }

    fn check_circuit(&mut self, request: &Request, now: u64) -> Result<(), Limit> {
        let rate = self.rates.get(&request.link.ifindex).and_then(|rates| rates.circuit);
        let circuit = request.options.agent.as_ref().and_then(|agent| agent.circuit_id.as_ref());
        let (Some(rate), Some(circuit)) = (rate, circuit) else { return Ok(()) };
        let owner = self.hash(&(request.link, request.giaddr, circuit));
        let allowance = Allowance::per_second(rate, LEAST_BURST);
        if self.circuits.take(owner, allowance, now) { Ok(()) } else { Err(Limit::Circuit) }
    }

    fn hash(&self, owner: &impl Hash) -> u64 {
        self.hasher.hash_one(owner)
    }
}

/// The link that a frame came on, if it seems to begin something new. Only its first options are looked at.
fn begins_on(frame: &[u8], ifindex: u32) -> Option<Link> {
    let mut octets = frame.to_vec();
    let mut frame = HostFrame::new(&mut octets, frame.len());
    let located = request::locate(&mut frame, ifindex).ok()?;
    let ring = request::message(&mut frame, located.l3).ring();
    (ring == Ring::Fresh).then_some(located.link)
}

fn is_new(kind: Kind) -> bool {
    match kind {
        Kind::Discover | Kind::Inform | Kind::Bootp | Kind::LeaseQuery => true,
        Kind::Request | Kind::Decline | Kind::Release => false,
    }
}
