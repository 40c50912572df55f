//! The change from one configuration to the next, in steps: the duration of a step does not grow with the number of
//! leases.
//!
//! ```text
//! successor      the next policy is made, wherever there is time for that
//! bring_along    all that is known of each address is copied into it: a walk over the book, and whatever is touched meanwhile
//!                once more
//! change_over     the one takes the place of the other
//! settle_some    what the next configuration ends is ended: words are revoked, and that is committed
//! ```
//!
//! Invariants meanwhile. Up to `change_over` the former configuration is in force: a copy changes nothing in words,
//! store or clients. From then on the next one is, for every decision, with every promise in its book; the counts add
//! up in both at each step. An address with work left is *in doubt*:
//!
//! - It is leased, and now reserved for another client; or two leases belong to one client, which has only one in a
//!   subnet from now on.
//! - It was promised by an earlier configuration, and is ours again.
//! - It is no longer in a pool or reservation. Nobody gets it, and a client that asks for it is refused.
//!
//! It stays promised to its owner, and the kernel goes on renewing it, until it is settled. That happens at once when
//! a client asks for it or the kernel reports on it (`Tenure::settle`, [`Policy::see_to`]), else in its turn.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::ops::Bound;

use dhcp_ebpf::lease::BootSecs;

use crate::config::Config;
use crate::policy::Policy;
use crate::policy::action::{Action, Event};
use crate::policy::book::notes::Walked;
use crate::policy::book::state::State;
use crate::policy::site::place::Place;
use crate::policy::site::subnet::Interface;
use crate::policy::tenure::doubts::Reloaded;
use crate::policy::turn::Turn;
use crate::policy::words::Words;

/// How much a step does: it looks at so many addresses that nobody has or had.
pub const STEP: usize = 8 * 1024;
/// The work of an address with a state, in blank addresses.
const KNOWN_WORK: usize = 16;

/// The policy that comes after another, on its way.
#[derive(Debug)]
pub struct Changeover {
    next: Box<Policy>,
    /// Up to which address the unconfigured promises have been copied; none at their end.
    unconfigured: Option<Bound<Ipv4Addr>>,
}

/// A policy that is no longer in force, and its next place to be looked at.
pub(in crate::policy) type Former = (Box<Policy>, Place);

/// How far [`Policy::settle_some`] is.
#[derive(Debug)]
pub enum ChangeoverProgress {
    /// There is more to do.
    Some,
    /// It is done. To free the former policy may take its time.
    All(Reloaded, Option<Box<Policy>>),
}

impl Policy {
    /// Makes the policy that is to come after this one ([`begin_changeover`](Self::begin_changeover)), wherever there is time
    /// for it.
    pub fn successor(&self) -> impl FnOnce(&Config, Vec<Interface>) -> Self + Send + use<> {
        let (key, probes) = (self.book.key(), self.evidence.probes.is_carried_out());
        let shares = self.shares.clone();
        move |config, interfaces| {
            let mut next = Self::keyed(config, interfaces, key);
            if probes {
                next.carry_out_probes();
            }
            if let Some(shares) = shares {
                next.share_as(shares);
            }
            next
        }
    }

    /// Begins to go over to `next`, which its [`successor`](Self::successor) made.
    pub fn begin_changeover(&mut self, next: Self) -> Changeover {
        self.book.begin_walk();
        Changeover { next: Box::new(next), unconfigured: Some(Bound::Unbounded) }
    }

    /// Goes on as before.
    pub fn stay(&mut self, going: Changeover) -> Box<Self> {
        self.book.end_walk();
        going.next
    }

    /// A step of about `work` looks at addresses; true if the next policy knows all that is known here, until something else
    /// happens.
    pub fn bring_along(&mut self, going: &mut Changeover, now: BootSecs, work: usize) -> bool {
        // What was touched since the last step cost more than to copy it does.
        let touched = self.book.take_touched(work);
        let is_settled = touched.len() < work;
        for place in touched {
            going.next.tenure().bring(now, self.book.page(place));
        }
        let mut left = work;
        while left > 0 {
            match self.book.walk_on() {
                Walked::At(place) => {
                    let known = self.book.page(place);
                    let is_blank = known.is_blank();
                    if !is_blank {
                        going.next.tenure().bring(now, known);
                    }
                    left = left.saturating_sub(if is_blank { 1 } else { KNOWN_WORK });
                }
                Walked::Past => left -= 1,
                Walked::Over => break,
            }
        }
        while left > 0 && going.unconfigured.is_some() {
            self.bring_unconfigured(going, now);
            left = left.saturating_sub(KNOWN_WORK);
        }
        left > 0 && is_settled
    }

    fn bring_unconfigured(&self, going: &mut Changeover, now: BootSecs) {
        let record = going.unconfigured.and_then(|after| self.unconfigured.after(after));
        going.unconfigured = record.map(|record| Bound::Excluded(record.address));
        let Some(record) = record else { return };
        let next = &mut going.next;
        match next.book.find(record.address) {
            Some(place) => next.tenure().take_back(now, place, record),
            None => next.unconfigured.keep(record.clone()),
        }
    }

    /// Changes to the next policy, which must have the state of every address here
    /// ([`bring_along`](Self::bring_along)). Every address of it must already have a word, and those of the former
    /// one still. Offers lapse: their clients ask anew.
    ///
    /// The work on addresses is left to [`settle_some`](Self::settle_some).
    pub fn change_over(&mut self, going: Changeover) {
        let mut former = going.next;
        std::mem::swap(self, &mut former);
        former.book.end_walk();
        self.set_host(former.site.subnets.set_host(BTreeSet::new()));
        self.evidence.witnesses = std::mem::take(&mut former.evidence.witnesses);
        self.evidence.declines = std::mem::take(&mut former.evidence.declines);
        self.evidence.probes.hear_those_of(&mut former.evidence.probes);
        std::mem::swap(&mut self.predictions, &mut former.predictions);
        let kept = u64::from(self.book.total().of(State::Leased));
        self.doubts.done = Reloaded { kept, withdrawn: 0 };
        self.former = Some((former, Place::FIRST));
    }

    /// A step of about `work` addresses: it ends the leases that the present configuration ends, and takes back the
    /// addresses that it takes back.
    pub fn settle_some(
        &mut self,
        now: BootSecs,
        words: &dyn Words,
        work: usize,
        out: &mut Vec<Action>,
    ) -> ChangeoverProgress {
        let turn = &mut Turn { now, words, out };
        let mut left = work;
        while left > 0 && self.tenure().resolve_next(turn) {
            left = left.saturating_sub(KNOWN_WORK);
        }
        while left > 0
            && let Some((mut former, place)) = self.former.take()
        {
            if place.at() >= former.book.len() {
                return ChangeoverProgress::All(std::mem::take(&mut self.doubts.done), Some(former));
            }
            let known = self.book.find(former.book.address(place)).is_none();
            let known = known.then(|| former.book.tear_out(place)).filter(|known| !known.is_blank());
            left = left.saturating_sub(if known.is_some() { KNOWN_WORK } else { 1 });
            if let Some(known) = known {
                self.withdraw(turn, &former, known);
            }
            self.former = Some((former, Place(place.0 + 1)));
        }
        if self.former.is_none() && self.doubts.is_empty() {
            return ChangeoverProgress::All(std::mem::take(&mut self.doubts.done), None);
        }
        ChangeoverProgress::Some
    }

    /// Sees to the address that an event is about, if that is of no pool and no reservation any more.
    pub(in crate::policy) fn see_to(&mut self, turn: &mut Turn<'_>, event: &Event) {
        if self.former.is_none() {
            return;
        }
        let addresses = match event {
            Event::Message(request) => [Some(request.ciaddr), request.options.requested],
            Event::Extended { address, .. } | Event::OperatorRelease { address, .. } => {
                [Some(*address), None]
            }
            Event::Tick | Event::Probed { .. } | Event::QuarantineClear { .. } => [None; 2],
        };
        for address in addresses.into_iter().flatten() {
            if self.book.find(address).is_some() {
                continue;
            }
            let Some((mut former, next)) = self.former.take() else { return };
            let known = former.book.find(address).map(|place| former.book.tear_out(place));
            if let Some(known) = known.filter(|known| !known.is_blank()) {
                self.withdraw(turn, &former, known);
            }
            self.former = Some((former, next));
        }
    }

    /// Whether something is still to be done about the address by the configuration that is in force.
    #[must_use]
    pub fn is_in_doubt(&self, address: Ipv4Addr) -> bool {
        match self.book.find(address) {
            Some(place) => self.doubts.is_in_doubt(place),
            None => self.former.as_ref().is_some_and(|(former, _)| {
                former.book.find(address).is_some_and(|place| former.book.binding(place).is_some())
            }),
        }
    }
}
