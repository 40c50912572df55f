//! The change from one configuration to the next, in steps: the duration of a step does not grow with the number of
//! leases.
//!
//! ```text
//! successor      the next policy is made, wherever there is time for that
//! bring_along    all that is known of each address is copied into it: a walk over the book, and whatever is touched meanwhile
//!                once more
//! go_over_to     the one takes the place of the other
//! settle_some    what the next configuration ends is ended: words are revoked, and that is committed
//! ```
//!
//! Invariants meanwhile. Up to `go_over_to` the former configuration is in force: a copy changes nothing in words,
//! store or clients. From then on the next one is, for every decision, with every promise in its book; the counts add
//! up in both at each step. An address with work left is *in doubt*:
//!
//! - It is leased, and now reserved for another client; or two leases belong to one client, which has only one in a
//!   subnet from now on.
//! - It was promised by an earlier configuration, and is ours again.
//! - It is no longer in a pool or reservation. Nobody gets it, and a client that asks for it is refused.
//!
//! It stays promised to its owner, and the kernel goes on renewing it, until it is settled. That happens at once when
//! a client asks for it or the kernel reports on it ([`Policy::settle`], [`Policy::see_to`]), else in its turn.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::ops::Bound;

use dhcp_ebpf::lease::BootSecs;

use crate::config::Config;
use crate::policy::action::{Action, Event};
use crate::policy::book::binding::Binding;
use crate::policy::book::notes::Walked;
use crate::policy::book::quarantine::Probation;
use crate::policy::book::record::{nobody, owner};
use crate::policy::book::state::State;
use crate::policy::book::transitions::{Page, Restored};
use crate::policy::site::place::Place;
use crate::policy::site::subnet::Interface;
use crate::policy::words::Words;
use crate::policy::{Policy, Turn};
use crate::store::{Record, Standing};

/// How much a step does: it looks at so many addresses that nobody has or had.
pub const STEP: usize = 8 * 1024;
/// The work of an address with a state, in blank addresses.
const KNOWN_WORK: usize = 16;

/// The result of a reload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Leases that go on. The kernel must forget their published answers with another basis ([`Policy::basis`]).
    pub kept: u64,
    /// Leases whose address is not theirs any more.
    pub withdrawn: u64,
}

/// The policy that comes after another, on its way.
#[derive(Debug)]
pub struct GoingOver {
    next: Box<Policy>,
    /// How far what is stranded has been gone through; none at its end.
    stranded: Option<Bound<Ipv4Addr>>,
}

/// The addresses in doubt, after the next configuration is in force.
#[derive(Debug, Default)]
pub(in crate::policy) struct Doubts {
    places: BTreeMap<Place, Doubt>,
    /// The former policy, and its next place to be looked at.
    former: Option<(Box<Policy>, Place)>,
    done: Reloaded,
}

impl Doubts {
    pub(in crate::policy) fn note_withdrawn(&mut self) {
        self.done.withdrawn += 1;
    }
}

/// Why the lease of an address is in doubt.
#[derive(Debug)]
enum Doubt {
    /// The address is reserved for another, or its owner has another address in the subnet.
    Owner,
    /// It was promised so before, by a configuration that had it.
    Returned(Box<Record>),
}

/// How far [`Policy::settle_some`] is.
#[derive(Debug)]
pub enum Settled {
    /// There is more to do.
    Some,
    /// It is done. To free the former policy may take its time.
    All(Reloaded, Option<Box<Policy>>),
}

impl Policy {
    /// Makes the policy that is to come after this one ([`begin_going_over`](Self::begin_going_over)), wherever there is time
    /// for it.
    pub fn successor(&self) -> impl FnOnce(&Config, Vec<Interface>) -> Self + Send + use<> {
        let (key, probes) = (self.book.key(), self.evidence.probes.is_carried_out());
        move |config, interfaces| {
            let mut next = Self::keyed(config, interfaces, key);
            if probes {
                next.carry_out_probes();
            }
            next
        }
    }

    /// Begins to go over to `next`, which its [`successor`](Self::successor) made.
    pub fn begin_going_over(&mut self, next: Self) -> GoingOver {
        self.book.begin_walk();
        GoingOver { next: Box::new(next), stranded: Some(Bound::Unbounded) }
    }

    /// Goes on as before.
    pub fn stay(&mut self, going: GoingOver) -> Box<Self> {
        self.book.end_walk();
        going.next
    }

    /// A step of about `work` looks at addresses; true if the next policy knows all that is known here, until something else
    /// happens.
    pub fn bring_along(&mut self, going: &mut GoingOver, now: BootSecs, work: usize) -> bool {
        // What was touched since the last step cost more than to copy it does.
        let touched = self.book.take_touched(work);
        let is_settled = touched.len() < work;
        for place in touched {
            going.next.bring(now, self.book.page(place));
        }
        let mut left = work;
        while left > 0 {
            match self.book.walk_on() {
                Walked::At(place) => {
                    let known = self.book.page(place);
                    let is_blank = known.is_blank();
                    if !is_blank {
                        going.next.bring(now, known);
                    }
                    left = left.saturating_sub(if is_blank { 1 } else { KNOWN_WORK });
                }
                Walked::Past => left -= 1,
                Walked::Over => break,
            }
        }
        while left > 0 && going.stranded.is_some() {
            self.bring_stranded(going, now);
            left = left.saturating_sub(KNOWN_WORK);
        }
        left > 0 && is_settled
    }

    fn bring_stranded(&self, going: &mut GoingOver, now: BootSecs) {
        let record = going.stranded.and_then(|after| self.unconfigured.after(after));
        going.stranded = record.map(|record| Bound::Excluded(record.address));
        let Some(record) = record else { return };
        let next = &mut going.next;
        match next.book.find(record.address) {
            Some(place) => next.take_back(now, place, record),
            None => next.unconfigured.keep(record.clone()),
        }
    }

    /// Changes to the next policy, which must have the state of every address here
    /// ([`bring_along`](Self::bring_along)). Every address of it must already have a word, and those of the former
    /// one still. Offers lapse: their clients ask anew.
    ///
    /// The work on addresses is left to [`settle_some`](Self::settle_some).
    pub fn go_over_to(&mut self, going: GoingOver) {
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
        self.doubts.former = Some((former, Place::FIRST));
    }

    /// A step of about `work` addresses: it ends the leases that the present configuration ends, and takes back the
    /// addresses that it takes back.
    pub fn settle_some(
        &mut self,
        now: BootSecs,
        words: &dyn Words,
        work: usize,
        out: &mut Vec<Action>,
    ) -> Settled {
        let turn = &mut Turn { now, words, out };
        let mut left = work;
        while left > 0
            && let Some((place, doubt)) = self.doubts.places.pop_first()
        {
            self.resolve(turn, place, doubt);
            left = left.saturating_sub(KNOWN_WORK);
        }
        while left > 0
            && let Some((mut former, place)) = self.doubts.former.take()
        {
            if place.at() >= former.book.len() {
                return Settled::All(std::mem::take(&mut self.doubts.done), Some(former));
            }
            let known = self.book.find(former.book.address(place)).is_none();
            let known = known.then(|| former.book.tear_out(place)).filter(|known| !known.is_blank());
            left = left.saturating_sub(if known.is_some() { KNOWN_WORK } else { 1 });
            if let Some(known) = known {
                self.withdraw(turn, &former, known);
            }
            self.doubts.former = Some((former, Place(place.0 + 1)));
        }
        if self.doubts.former.is_none() && self.doubts.places.is_empty() {
            return Settled::All(std::mem::take(&mut self.doubts.done), None);
        }
        Settled::Some
    }

    /// Sees to the address that an event is about, if that is of no pool and no reservation any more.
    pub(in crate::policy) fn see_to(&mut self, turn: &mut Turn<'_>, event: &Event) {
        if self.doubts.former.is_none() {
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
            let Some((mut former, next)) = self.doubts.former.take() else { return };
            let known = former.book.find(address).map(|place| former.book.tear_out(place));
            if let Some(known) = known.filter(|known| !known.is_blank()) {
                self.withdraw(turn, &former, known);
            }
            self.doubts.former = Some((former, next));
        }
    }

    /// Whether something is still to be done about the address by the configuration that is in force.
    #[must_use]
    pub fn is_in_doubt(&self, address: Ipv4Addr) -> bool {
        match self.book.find(address) {
            Some(place) => self.is_place_in_doubt(place),
            None => self.doubts.former.as_ref().is_some_and(|(former, _)| {
                former.book.find(address).is_some_and(|place| former.book.binding(place).is_some())
            }),
        }
    }

    pub(in crate::policy) fn is_place_in_doubt(&self, place: Place) -> bool {
        self.doubts.places.contains_key(&place)
    }

    /// Removes what doubt there is of the address at `place`: it is about to be used.
    pub(in crate::policy) fn resolve_at(&mut self, turn: &mut Turn<'_>, place: Place) {
        if let Some(doubt) = self.doubts.places.remove(&place) {
            self.resolve(turn, place, doubt);
        }
    }

    fn resolve(&mut self, turn: &mut Turn<'_>, place: Place, doubt: Doubt) {
        match doubt {
            // Its owner has got another since, which is what it uses: what was promised here is kept in mind.
            Doubt::Returned(record) if self.is_as_returned(place, &record) && self.has_moved_on(place) => {
                if let Some(owner) = self.book.binding(place).cloned() {
                    self.doubts.note_withdrawn();
                    self.doubts.done.kept = self.doubts.done.kept.saturating_sub(1);
                    self.withdraw_from(turn, place, owner, self.book.station(place));
                    self.rearm(place);
                }
            }
            Doubt::Returned(record) if self.is_as_returned(place, &record) => {
                self.blank(place);
                self.restore_one(turn, place, &record);
            }
            Doubt::Owner | Doubt::Returned(_) => {
                let Some(owner) = self.book.binding(place).cloned() else { return };
                let (subnet, station) = (self.book.subnet(place), self.book.station(place));
                if self.book.state(place) != State::Leased {
                    return;
                }
                if self.is_reserved_for_another(place, &owner) {
                    self.doubts.note_withdrawn();
                    self.doubts.done.kept = self.doubts.done.kept.saturating_sub(1);
                    self.withdraw_from(turn, place, owner, station);
                } else if self.book.owned(subnet, owner.identity()) != Some(place) {
                    self.rebind(turn, place, owner, station, Restored::Leased);
                }
                self.rearm(place);
            }
        }
    }

    /// Whether nothing has happened to the address since it was taken back.
    fn is_as_returned(&self, place: Place, record: &Record) -> bool {
        let same =
            |owner: &Binding| (owner.last_heard, owner.granted_until) == (record.last_heard, record.expiry);
        let is_bound = || self.book.binding(place).is_some_and(same);
        match (&record.standing, self.book.state(place)) {
            (Standing::Quarantined { .. }, state) => state == State::Quarantined,
            // Its owner may have moved, or an offer of it been taken.
            (Standing::Leased, state) => state == State::Leased && is_bound(),
            (Standing::Grace | Standing::Ended, state) => state == State::Grace && is_bound(),
            (Standing::Free, State::Leased | State::Grace | State::Quarantined) => false,
            (Standing::Free, State::Free | State::Offered | State::Reserved) => is_bound(),
        }
    }

    /// Whether the address is leased, and its owner has a lease of another one of the subnet.
    fn has_moved_on(&self, place: Place) -> bool {
        let owner = self.book.binding(place).map(Binding::identity);
        let found = owner.and_then(|owner| self.book.owned(self.book.subnet(place), owner));
        let elsewhere = found.filter(|found| *found != place);
        self.book.state(place) == State::Leased
            && elsewhere.is_some_and(|found| self.book.state(found) == State::Leased)
    }

    /// Nothing is known of the address.
    fn blank(&mut self, place: Place) {
        self.book.blank(place);
        self.evidence.probes.vacating.remove(place);
        self.doubts.places.remove(&place);
    }

    /// Copies the former policy's state of an address, over the earlier copy.
    fn bring(&mut self, now: BootSecs, known: Page) {
        let Some(place) = self.book.find(known.address) else { return };
        self.blank(place);
        self.book.set_recurrences(place, known.recurrences);
        let restored = match known.state {
            State::Leased => Restored::Leased,
            State::Grace => Restored::Grace,
            State::Free | State::Offered | State::Quarantined | State::Reserved => Restored::Free,
        };
        match (known.binding, known.probation) {
            (_, Some(probation)) => self.book.quarantine(place, probation),
            (Some(owner), None) => {
                let is_anothers = restored == Restored::Leased && self.is_reserved_for_another(place, &owner);
                if self.book.take_down(place, owner, known.station, restored) || is_anothers {
                    self.doubts.places.insert(place, Doubt::Owner);
                }
            }
            (None, None) => {}
        }
        if restored == Restored::Grace {
            self.wait_for_vacancy(now, place);
        }
        self.rearm(place);
    }

    /// Takes down what an earlier configuration has promised.
    fn take_back(&mut self, now: BootSecs, place: Place, record: &Record) {
        let state = match record.standing {
            Standing::Leased => State::Leased,
            Standing::Quarantined { .. } => State::Quarantined,
            Standing::Grace | Standing::Ended => State::Grace,
            Standing::Free => State::Free,
        };
        let probation = match record.standing {
            Standing::Quarantined { since, until, why, .. } => {
                let by = (!nobody(record.chaddr)).then_some(record.chaddr);
                let probation = Probation::believed(since, until, why, by);
                Some(probation.restored(self.site.settings.quarantine))
            }
            Standing::Leased | Standing::Grace | Standing::Ended | Standing::Free => None,
        };
        let mut owner = owner(&self.site, record);
        if state == State::Leased {
            owner.expiry = owner.expiry.max(owner.committed_until);
            owner.committed_until = owner.expiry;
        }
        let binding = probation.is_none().then(|| Box::new(owner));
        let (address, recurrences) = (record.address, record.recurrences);
        self.bring(now, Page { address, state, binding, station: None, probation, recurrences });
        self.doubts.places.insert(place, Doubt::Returned(Box::new(record.clone())));
    }
}
