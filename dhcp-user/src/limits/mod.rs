//! Limits on messages: of a client, of a link, of a relay's port, of a relay that asks about leases.
//!
//! The code is pure: time is passed in, and memory is always bounded. A client is its claimed identity together with
//! its origin, so a client is not refused for messages that another sends in its name elsewhere. An exchange that has
//! begun is never refused, so that begun work is finished.
//!
//! A sender on the client's own link can copy it in everything, the Ethernet source included. Its DISCOVERs and the
//! client's then share a bucket. But a client that gets no answer repeats its DISCOVER with the same xid (RFC 2131
//! §4.1), and a repeated DISCOVER is let through.

// What is counted here anybody may have sent.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod bucket;
mod repeats;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::Hash;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;

use ahash::RandomState;
use bytes::Bytes;
use dhcp_ebpf::abi::Link;
use dhcp_ebpf::frame::HostFrame;
use dhcp_ebpf::request;
use dhcp_ebpf::verdict::Ring;

use crate::message::{Kind, Request};
use bucket::{Allowance, Buckets};
use repeats::Repeats;

/// How many messages a client may send in a row, and a second on end.
const CLIENT_BURST: u32 = 20;
const CLIENT_RATE: NonZeroU32 = NonZeroU32::new(5).expect("five");
/// How many buckets there are for clients, for ports, and for links and relays; each takes 16 octets.
const CLIENTS: usize = 1 << 16;
const CIRCUITS: usize = 1 << 14;
const FEW: usize = 1 << 10;
/// How many refused DISCOVERs are remembered: those of some seconds. Each takes 16 octets.
const REFUSED: usize = 1 << 14;

/// Which limit a message is beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The interface's `rate-limit`.
    Link,
    /// The interface's `circuit-rate-limit`.
    Circuit,
    /// The messages of one client.
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

/// The messages let through lately.
#[derive(Debug)]
pub struct Limits {
    rates: HashMap<u32, Rates>,
    leasequery: NonZeroU32,
    clients: Buckets,
    circuits: Buckets,
    links: Buckets,
    requesters: Buckets,
    refused: Repeats,
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
            refused: Repeats::new(REFUSED),
            #[cfg(not(feature = "simulation"))]
            hasher: RandomState::new(),
            // A seed of the simulation gives the same again.
            #[cfg(feature = "simulation")]
            hasher: RandomState::with_seeds(1, 2, 3, 4),
        }
    }

    /// Whether a frame is to be read at all: it came in on interface `ifindex` at `now`, in nanoseconds. Where nothing
    /// is configured nothing is looked at.
    ///
    /// # Errors
    /// The limit it is beyond.
    pub fn check_frame(&mut self, frame: &[u8], ifindex: u32, now: u64) -> Result<(), Limit> {
        let Some(rate) = self.rates.get(&ifindex).and_then(|rates| rates.link) else { return Ok(()) };
        let Some((link, path)) = begins_on(frame, ifindex) else { return Ok(()) };
        self.take_of_link(link, path, rate, now)
    }

    /// Whether a request that was read is to be decided, at `now` in nanoseconds. `begun` says whether it goes on with an
    /// exchange that began: it fits an offer or a lease of its client, and came the same way.
    ///
    /// # Errors
    /// The limit it is beyond.
    pub fn check(&mut self, request: &Request, now: u64, begun: impl Fn() -> bool) -> Result<(), Limit> {
        if request.kind == Kind::LeaseQuery {
            return self.check_requester(request, now);
        }
        if !self.is_in_turn(request, now) && !begun() {
            return Err(Limit::Client);
        }
        let rates = self.rates.get(&request.link.ifindex).copied().unwrap_or_default();
        if rates == Rates::default() {
            return Ok(());
        }
        // A REQUEST that fits nothing begins something, whatever it is called.
        let claims = !is_new(request.kind);
        if claims && begun() {
            return Ok(());
        }
        if let (true, Some(rate)) = (claims, rates.link) {
            self.take_of_link(request.link, Path::of(request), rate, now)?;
        }
        self.check_circuit(request, rates, now)
    }

    /// Whether it is the client's turn to be heard.
    fn is_in_turn(&mut self, request: &Request, now: u64) -> bool {
        let allowance = Allowance::new(CLIENT_RATE, CLIENT_BURST);
        let owner = self.client(request);
        let repeated = |this: &mut Self| {
            let message = this.hash(&(owner, request.xid));
            request.kind == Kind::Discover && this.refused.is_due(message, now)
        };
        self.clients.take(owner, allowance, now) || repeated(self)
    }

    /// The client as a number: its claimed identity, and its origin. One station may be a bridge for many clients,
    /// copies of one machine may share an identifier, and a RAS has many clients on one card.
    fn client(&self, request: &Request) -> u64 {
        let who = (request.chaddr, &request.options.client_id);
        if request.relayed() {
            self.hash(&(who, request.link, request.giaddr, circuit(request), request.ip_src))
        } else {
            self.hash(&(who, request.link, request.eth_src, Path::of(request)))
        }
    }

    /// Whoever is on a link, and whoever reaches it by relay or through routers, has a share of its own: from far nobody can use
    /// up what those on the link need.
    fn take_of_link(&mut self, link: Link, path: Path, rate: NonZeroU32, now: u64) -> Result<(), Limit> {
        let owner = self.hash(&(link, path));
        let passes = self.links.take(owner, Allowance::per_second(rate), now);
        if passes { Ok(()) } else { Err(Limit::Link) }
    }

    fn check_requester(&mut self, request: &Request, now: u64) -> Result<(), Limit> {
        let owner = self.hash(&(request.giaddr, request.ip_src));
        let passes = self.requesters.take(owner, Allowance::per_second(self.leasequery), now);
        if passes { Ok(()) } else { Err(Limit::Leasequery) }
    }

    fn check_circuit(&mut self, request: &Request, rates: Rates, now: u64) -> Result<(), Limit> {
        let (Some(rate), Some(circuit)) = (rates.circuit, circuit(request)) else { return Ok(()) };
        let owner = self.hash(&(request.link, request.giaddr, circuit, request.ip_src));
        let passes = self.circuits.take(owner, Allowance::per_second(rate), now);
        if passes { Ok(()) } else { Err(Limit::Circuit) }
    }

    fn hash(&self, owner: &impl Hash) -> u64 {
        self.hasher.hash_one(owner)
    }
}

/// How a message came to a link. Routers forward neither broadcasts nor what comes from 0.0.0.0 (RFC 1812 §5.3.5.1, §5.3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Path {
    OnLink,
    Relayed,
    /// From one host to another, perhaps through routers.
    Unicast,
}

impl Path {
    fn new(giaddr: Ipv4Addr, from: Ipv4Addr, to: Ipv4Addr) -> Self {
        match () {
            () if !giaddr.is_unspecified() => Self::Relayed,
            () if from.is_unspecified() || to.is_broadcast() => Self::OnLink,
            () => Self::Unicast,
        }
    }

    fn of(request: &Request) -> Self {
        Self::new(request.giaddr, request.ip_src, request.ip_dst)
    }
}

/// Where the addresses are, from the IP header on (RFC 791, RFC 2131 figure 1); it has no options.
const SOURCE: usize = 12;
const DESTINATION: usize = 16;
const GIADDR: usize = 20 + 8 + 24;

/// The link that a frame came on and how, if it seems to begin something new. Only its first options are looked at.
fn begins_on(frame: &[u8], ifindex: u32) -> Option<(Link, Path)> {
    let mut octets = frame.to_vec();
    let mut frame = HostFrame::new(&mut octets, frame.len());
    let located = request::locate(&mut frame, ifindex).ok()?;
    let ring = request::message(&mut frame, located.l3).ring();
    if ring != Ring::Fresh {
        return None;
    }
    let address = |at: usize| -> Option<Ipv4Addr> {
        let octets = octets.get(located.l3.checked_add(at)?..)?.first_chunk::<4>()?;
        Some(Ipv4Addr::from(*octets))
    };
    Some((located.link, Path::new(address(GIADDR)?, address(SOURCE)?, address(DESTINATION)?)))
}

/// The circuit that the relay names.
fn circuit(request: &Request) -> Option<&Bytes> {
    request.options.agent.as_ref()?.circuit_id.as_ref()
}

/// Whether a message begins something by its type alone.
fn is_new(kind: Kind) -> bool {
    match kind {
        Kind::Discover | Kind::Inform | Kind::Bootp | Kind::LeaseQuery => true,
        Kind::Request | Kind::Decline | Kind::Release => false,
    }
}
