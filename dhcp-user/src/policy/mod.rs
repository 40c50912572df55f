//! The policy core: every decision of the server, without clock, socket, disk or thread.
//!
//! `(state, now, event) -> actions`. The lease words are passed in like the time. Revoking one is the only effect
//! before the call returns: the code that revokes must know every promise that the kernel has made.
//!
//! ```text
//!              message, probe, order, tick
//!                          │
//!                          ▼
//!   upkeep ─► exchange ─► evidence ─► predict ─► answer ─► terms ─► book ─► site
//! ```
//!
//! Each is a wing: a folder whose `mod.rs` has its purpose and its invariant. A wing imports only from those to its
//! right:
//!
//! - `site`: what the operator configured, compiled; knows nothing of leases.
//! - `book`: the state of every address and the client that it is promised to.
//! - `terms`: lease times, options and admission of a client at an address: functions of the site and the book.
//! - `answer`: from terms to octets.
//! - `predict`: the questions that clients will ask next, for the kernel to answer.
//! - `evidence`: probes, and what their answers and DECLINEs prove.
//! - `exchange`: a file for each message.
//! - `upkeep`: time, restart, reload, import, the operator, the audit.
//!
//! `action` and `event` are the inputs and outputs, `words` the memory shared with the kernel.

mod action;
mod answer;
mod book;
mod event;
mod evidence;
mod exchange;
mod predict;
mod site;
mod terms;
#[cfg(test)]
pub(crate) mod tests;
mod upkeep;
mod words;

use std::net::Ipv4Addr;
use std::sync::Arc;

use dhcp_ebpf::abi::Link;
use dhcp_ebpf::lease::BootSecs;

pub use action::{
    Action, Event, Granted, Ground, LeaseStatus, Memo, Outcome, Publication, Question, Reply, Reuse, Silence,
    Via,
};
pub use answer::Answer;
pub use book::binding::{AnsweredBy, Binding};
pub use book::identity::Identity;
pub use book::state::{State, Tally};
pub use event::{Client, Happened, LeaseEvent, Weight};
pub use evidence::declines::Source;
pub use evidence::probe::PATIENCE;
pub use site::subnet::Interface;
pub use site::subnet_id::SubnetId;
pub use terms::basis::Basis;
pub use upkeep::audit::Finding;
pub use upkeep::going_over::{GoingOver, Reloaded, STEP, Settled};
pub use upkeep::import::ImportError;
pub use upkeep::links::Renumbered;
pub use upkeep::restore::Adopted;
pub use upkeep::views::{DeviceView, LeaseView, PoolView, QuarantineView};
pub use words::{Words, revoke_anyway};

use crate::config::Config;
use crate::message::{Kind, Request};
use book::Book;
use book::identity::Keyed;
use evidence::Evidence;
use exchange::Throttles;
use predict::Predictions;
use site::Site;
use site::place::Place;
use terms::basis::basis_at;
use terms::membership::kept_agent;
use upkeep::going_over::Doubts;
use upkeep::host_addresses::HostAddresses;
use upkeep::unconfigured::Unconfigured;

/// How many deadlines are dealt with in one call, so that no message waits behind a million leases that end at once.
const DEADLINES_PER_CALL: usize = 256;

/// All that the server knows and decides by.
#[derive(Debug)]
pub struct Policy {
    site: Site,
    book: Book,
    predictions: Predictions,
    evidence: Evidence,
    throttles: Throttles,
    /// Addresses of pools that no client gets.
    host_addresses: HostAddresses,
    /// Promises for addresses that are no longer ours to give.
    unconfigured: Unconfigured,
    /// Work that a new configuration leaves for addresses.
    doubts: Doubts,
}

/// The context of a decision, beside the state.
struct Turn<'a> {
    /// The present second, rounded down.
    now: BootSecs,
    words: &'a dyn Words,
    out: &'a mut Vec<Action>,
}

impl Turn<'_> {
    /// The moment `secs` from now, from which rounding never takes away.
    fn after(&self, secs: u32) -> BootSecs {
        self.now.plus(u32::from(!wrong!(AfterRoundsDown))).plus(secs)
    }

    fn silence(&mut self, request: &Arc<Request>, why: Silence) {
        self.out.push(Action::Silence { request: Arc::clone(request), why });
    }

    fn tell(&mut self, address: Ipv4Addr, what: Happened, client: Option<Client>) {
        self.out.push(Action::Event(LeaseEvent::Lease { address, what, client }));
    }
}

impl Policy {
    /// The policy of `config` with no lease yet. `seed` is to be random: it keeps clients from choosing identities
    /// whose hashes collide.
    #[must_use]
    pub fn new(config: &Config, interfaces: Vec<Interface>, seed: u64) -> Self {
        Self::keyed(config, interfaces, Keyed::new(seed))
    }

    fn keyed(config: &Config, interfaces: Vec<Interface>, keyed: Keyed) -> Self {
        let mut site = Site::new(config, interfaces);
        let book = Book::new(config, keyed.clone());
        site.subnets.place_reservations(|address| book.find(address));
        let mut this = Self {
            site,
            book,
            predictions: Predictions::new(keyed),
            evidence: Evidence::default(),
            throttles: Throttles::default(),
            host_addresses: HostAddresses::default(),
            unconfigured: Unconfigured::default(),
            doubts: Doubts::default(),
        };
        this.keep_back_of_hosts(config.hosts().into_iter());
        this
    }

    /// Decides what `event` leads to at `now` (rounded down), and appends it to `out`.
    pub fn handle(&mut self, now: BootSecs, words: &dyn Words, event: Event, out: &mut Vec<Action>) {
        let turn = &mut Turn { now, words, out };
        self.meet_deadlines(turn);
        // What the next policy was told of stays until that is in force.
        if !self.book.is_walked() {
            self.unconfigured.forget(turn);
        }
        self.see_to(turn, &event);
        match event {
            Event::Message(request) => self.message(turn, &request),
            Event::Extended { address, word, renewals, is_last_answer } => {
                self.extended(turn, address, word, renewals, is_last_answer);
            }
            Event::Tick => {}
            Event::Probed { address, outcome } => self.probed(turn, address, outcome),
            Event::OperatorRelease { address, reuse } => self.operator_release(turn, address, reuse),
            Event::QuarantineClear { range, why } => self.operator_clear(turn, range, why),
        }
        self.hear_again(turn);
    }

    /// When [`Event::Tick`] is due next; if that is past, at once.
    #[must_use]
    pub fn next_deadline(&self) -> Option<BootSecs> {
        let at_once = self.evidence.probes.has_to_hear_again().then_some(BootSecs(0));
        self.book.next_deadline().into_iter().chain(self.unconfigured.next()).chain(at_once).min()
    }

    fn message(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>) {
        if self.site.is_doubtful(request) {
            let believed = Arc::new(self.site.judge_agent(Request::clone(request)));
            return self.decide(turn, &believed);
        }
        self.decide(turn, request);
    }

    fn decide(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>) {
        if let Err(why) = self.admit(request) {
            return turn.silence(request, why);
        }
        if self.drops(request) {
            return turn.silence(request, Silence::ClassDrop);
        }
        match request.kind {
            Kind::Discover => self.discover(turn, request),
            Kind::Request => self.request(turn, request),
            Kind::Decline => self.decline(turn, request),
            Kind::Release => self.release(turn, request),
            Kind::Inform => self.inform(turn, request),
            Kind::Bootp => self.bootp(turn, request),
            Kind::LeaseQuery => self.lease_query(turn, request),
        }
    }

    /// Whether a client is in classes that drop, in any subnet. Messages without an answer still count: its RELEASE
    /// ends its lease.
    fn drops(&self, request: &Request) -> bool {
        let asks = matches!(request.kind, Kind::Discover | Kind::Request | Kind::Inform | Kind::Bootp);
        if !asks || !self.site.classes.any_drops() {
            return false;
        }
        let named = Some(request.ciaddr).filter(|ciaddr| !ciaddr.is_unspecified());
        let place = named.or(request.options.requested).and_then(|address| self.book.find(address));
        let kept_agent = place.and_then(|place| kept_agent(&self.site, &self.book, place, request));
        self.site.segment(request).iter().all(|id| self.site.drops(*id, request, kept_agent.as_ref()))
    }

    /// Whether `server` (option 54) is us, or what the relay of `request` has us pose as (RFC 5107).
    fn is_us(&self, request: &Request, server: Ipv4Addr) -> bool {
        site::terms::server_override(request) == Some(server) || self.site.subnets.is_ours(server)
    }

    /// The basis of the present answers for a lease of `address` to a client on `link`; `None` if there can be no
    /// such lease.
    #[must_use]
    pub fn basis(&self, address: Ipv4Addr, link: Link) -> Option<Basis> {
        self.book.find(address).map(|place| basis_at(&self.site, &self.book, place, link))
    }

    /// The request, with option 82 judged if it came without a relay.
    #[must_use]
    pub fn judge_agent(&self, request: Request) -> Request {
        self.site.judge_agent(request)
    }

    fn client(&self, place: Place) -> Option<Client> {
        self.book.binding(place).map(Client::from)
    }
}
