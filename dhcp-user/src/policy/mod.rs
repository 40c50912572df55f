//! The policy core: every decision of the server, without clock, socket, disk or thread.
//!
//! `(state, now, event) -> actions`. The lease words are passed in like the time. Revoking one is the only effect
//! before the call returns: the code that revokes must know every promise that the kernel has made.
//!
//! ```text
//!   upkeep ─► exchange ─► tenure ─► evidence ─► predict ─► answer ─► terms ─► book ─► site
//! ```
//!
//! Each is a wing: a folder whose `mod.rs` has its purpose and its invariant. An arrow means: may use. A wing uses only
//! those to its right:
//!
//! - `site`: what the operator configured, compiled; knows nothing of leases.
//! - `book`: the state of every address and the client that it is promised to.
//! - `terms`: lease times, options and admission of a client at an address: functions of the site and the book.
//! - `answer`: from terms to octets.
//! - `predict`: the questions that clients will ask next, for the kernel to answer.
//! - `evidence`: probes, and what their answers and DECLINEs prove.
//! - `tenure`: until when an address is a client's, by time and by the configuration.
//! - `exchange`: a file for each message.
//! - `upkeep`: restart, reload, import, the operator, reports, the audit.
//!
//! [`Policy`] owns the state of all wings. A step of a wing is a method of a struct that borrows no more than this wing
//! and those to its right own ([`Inquiry`], [`Tenure`], [`Exchange`]), and the site to read only. For a step of a wing to
//! its left the state is missing. Only `upkeep` has the whole policy.
//!
//! `turn` is the context of a decision, `action` and `event` are inputs and outputs, `words` is the memory shared with the
//! kernel.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod action;
mod answer;
mod book;
mod event;
mod evidence;
mod exchange;
mod predict;
mod site;
mod tenure;
mod terms;
#[cfg(test)]
pub(crate) mod tests;
mod turn;
mod upkeep;
mod words;

use std::net::Ipv4Addr;

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
pub use tenure::doubts::Reloaded;
pub use terms::basis::Basis;
pub use upkeep::audit::Finding;
pub use upkeep::changeover::{Changeover, ChangeoverProgress, STEP};
pub use upkeep::class_views::ClassView;
pub use upkeep::import::ImportError;
pub use upkeep::links::Renumbered;
pub use upkeep::restore::Adopted;
pub use upkeep::views::{DeviceView, LeaseView, PoolView, QuarantineView};
pub use words::{Words, revoke_anyway};

use crate::config::Config;
use crate::message::Request;
use book::Book;
use book::identity::Keyed;
use evidence::{Evidence, Inquiry};
use exchange::origin::Origins;
use exchange::{Exchange, Throttles};
use predict::{Forecast, Predictions};
use site::Site;
use tenure::Tenure;
use tenure::doubts::Doubts;
use tenure::unconfigured::Unconfigured;
use terms::basis::basis_at;
use turn::Turn;
use upkeep::changeover::Former;
use upkeep::host_addresses::HostAddresses;
use upkeep::shares::Shares;

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
    /// The policy before the last reload, until all of its promises are taken over.
    former: Option<Former>,
    /// Where several nodes lease one address space: what is this one's to give.
    shares: Option<Shares>,
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
            former: None,
            shares: None,
        };
        this.keep_back_of_hosts(config.hosts().into_iter());
        this
    }

    /// Decides what `event` leads to at `now` (rounded down), and appends it to `out`.
    pub fn handle(&mut self, now: BootSecs, words: &dyn Words, event: Event, out: &mut Vec<Action>) {
        let turn = &mut Turn { now, words, out };
        self.tenure().meet_deadlines(turn);
        // What the next policy was told of stays until that is in force.
        if !self.book.is_walked() {
            self.unconfigured.forget(turn);
        }
        self.see_to(turn, &event);
        match event {
            Event::Message(request) => self.exchange().message(turn, &request),
            Event::Extended { address, word, renewals, is_last_answer } => {
                self.extended(turn, address, word, renewals, is_last_answer);
            }
            Event::Tick => {}
            Event::Probed { address, outcome } => self.inquiry().probed(turn, address, outcome),
            Event::OperatorRelease { address, reuse } => self.operator_release(turn, address, reuse),
            Event::QuarantineClear { range, why } => self.operator_clear(turn, range, why),
        }
        self.exchange().hear_again(turn);
    }

    /// When [`Event::Tick`] is due next; if that is past, at once.
    #[must_use]
    pub fn next_deadline(&self) -> Option<BootSecs> {
        let at_once = self.evidence.probes.has_to_hear_again().then_some(BootSecs(0));
        self.book.next_deadline().into_iter().chain(self.unconfigured.next()).chain(at_once).min()
    }

    /// The answer that the owner of `address` would get to `question` now; none if the kernel is to know none.
    ///
    /// What was published on the present [basis](Policy::basis) is this.
    #[must_use]
    pub fn answer_to(&self, address: Ipv4Addr, question: &Question) -> Option<Answer> {
        Forecast { site: &self.site, book: &self.book }.answer_to(address, question)
    }

    /// Whether a message goes on with an exchange that has begun where it comes from: it is about an offer or a lease of
    /// its client, or about the offer of ours that its client leaves for another server's.
    #[must_use]
    pub fn has_begun(&self, request: &Request) -> bool {
        Origins { site: &self.site, book: &self.book }.has_begun(request)
    }

    /// Whether a message may have come from where it says it came from, and may be sent from there. What may not gets no answer,
    /// and is nothing that its client has sent.
    #[must_use]
    pub fn admits(&self, request: &Request) -> bool {
        Origins { site: &self.site, book: &self.book }.admit(request).is_ok()
    }

    /// From now on probes are carried out. They are asked for only if the configuration wants them.
    pub fn carry_out_probes(&mut self) {
        self.evidence.probes.carry_out();
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

    /// What the steps of `evidence` may use.
    fn inquiry(&mut self) -> Inquiry<'_> {
        Inquiry { site: &self.site, book: &mut self.book, evidence: &mut self.evidence }
    }

    /// What the steps of `tenure` may use.
    fn tenure(&mut self) -> Tenure<'_> {
        Tenure {
            site: &self.site,
            book: &mut self.book,
            evidence: &mut self.evidence,
            doubts: &mut self.doubts,
        }
    }

    /// What the steps of `exchange` may use.
    fn exchange(&mut self) -> Exchange<'_> {
        Exchange {
            site: &self.site,
            book: &mut self.book,
            predictions: &mut self.predictions,
            evidence: &mut self.evidence,
            doubts: &mut self.doubts,
            unconfigured: &self.unconfigured,
            throttles: &mut self.throttles,
        }
    }
}
