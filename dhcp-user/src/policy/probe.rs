//! Probing: is somebody using an address that nobody was promised, or nobody using one that was?
//!
//! Candidates are probed ahead of demand, so that a DISCOVER finds one ready; where it doesn't, its client waits for
//! its own candidate and holds up nobody else. An address whose last owner asks for it again needs no probe.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;

use ahash::{HashMap, RandomState};
use dhcp_ebpf::abi::Link;
use dhcp_ebpf::lease::{BootSecs, Word};

use super::action::{Action, Outcome, Silence, Via};
use super::addresses::{Place, State, Stock};
use super::binding::{Binding, Party};
use super::event::Happened;
use super::identity::Identity;
use super::offers::{Offered, Sought};
use super::subnet::SubnetId;
use super::{Policy, Turn};
use crate::config::ClassSet;
use crate::message::Request;
use crate::store::{HwAddr, QuarantineCause};

/// A probe whose outcome was not told for this many seconds is given up.
pub const PATIENCE: u32 = 5;

/// How long a clean probe is good for, in seconds.
const CLEAN_FOR: u32 = 120;
/// How long an orphan that answered is left alone, or an address that its last owner still uses, in seconds.
const ALIVE_FOR: u32 = 60;
/// How many addresses of a subnet are kept probed: few, and more each time a client finds none.
const LEAST_STOCK: u32 = 4;
const MOST_STOCK: u32 = 1024;
/// Without a client that found none for so long, in seconds, the stock is halved.
const CALM: u32 = 60;
/// How many probes may be under way.
const MOST_PROBES: usize = 4096;

/// Probes under way, and what earlier ones said.
#[derive(Debug, Default)]
pub(super) struct Probes {
    /// Whether there is somebody who carries probes out.
    carried_out: bool,
    running: HashMap<Place, Running>,
    /// Which probe a client waits for.
    waiting: hashbrown::HashMap<(SubnetId, Offered), Place, RandomState>,
    /// When the addresses that are in stock were found unused.
    clean: HashMap<Place, BootSecs>,
    /// Until when an address is left alone whose last owner gave it back, and still answers for it.
    lingering: HashMap<Place, BootSecs>,
    /// When a lease that was suspected to be an orphan was found alive.
    alive: BTreeMap<Place, BootSecs>,
    demand: BTreeMap<SubnetId, Demand>,
    /// The link that clients of a subnet were heard on, where no address of ours tells.
    heard_on: BTreeMap<SubnetId, Link>,
    /// Clients whose waiting is over.
    again: VecDeque<Arc<Request>>,
}

#[derive(Debug)]
struct Running {
    purpose: Purpose,
    until: BootSecs,
    waiter: Option<Arc<Request>>,
}

/// What a probe decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Whether a free address may be offered. It came from this stock.
    Candidate(Stock),
    /// Whether an address may leave quarantine.
    Parole,
    /// Whether a lease is an orphan. If its word is another by then, it isn't.
    Reclaim { judged: Word },
}

/// How many probed addresses a subnet is to have, and when a client last found none.
#[derive(Clone, Copy, Debug)]
struct Demand {
    stock: u32,
    missed: BootSecs,
}

impl Demand {
    fn calmed(self, now: BootSecs) -> Self {
        Self { stock: (self.stock / 2).max(LEAST_STOCK), missed: now }
    }
}

/// What a client that has no address of its own gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drawn {
    Address(Place),
    /// It waits for a probe.
    Wait,
    /// All addresses are being probed for others.
    Probing,
    Exhausted,
}

impl Probes {
    pub(super) fn is_carried_out(&self) -> bool {
        self.carried_out
    }

    /// Interfaces have other indices.
    pub(super) fn relink(&mut self, now: impl Fn(u32) -> u32) {
        self.heard_on.values_mut().for_each(|link| link.ifindex = now(link.ifindex));
    }

    /// When the probe of this address is given up.
    pub(super) fn until(&self, place: Place) -> Option<BootSecs> {
        self.running.get(&place).map(|running| running.until)
    }

    /// The address is in use now, by its owner.
    pub(super) fn unclean(&mut self, place: Place) {
        self.clean.remove(&place);
    }

    /// Whether a free address in `stock` is probed as its stock says.
    pub(super) fn agree(&self, place: Place, stock: Stock) -> bool {
        let running = self.running.get(&place);
        let candidate = running.filter(|running| matches!(running.purpose, Purpose::Candidate(_)));
        match stock {
            Stock::Probing => candidate.is_some_and(|running| running.waiter.is_none()),
            Stock::Awaited => candidate.is_some_and(|running| running.waiter.is_some()),
            Stock::Probed => candidate.is_none() && self.clean.contains_key(&place),
            Stock::Lingering => candidate.is_none() && self.lingering.contains_key(&place),
            Stock::Fresh | Stock::Freed | Stock::Expired => candidate.is_none(),
        }
    }

    /// Until when the address is left alone.
    pub(super) fn lingers_until(&self, place: Place) -> Option<BootSecs> {
        self.lingering.get(&place).copied()
    }

    fn claimed(&self, place: Place) -> bool {
        self.running.get(&place).is_some_and(|running| running.waiter.is_some())
    }
}

impl Policy {
    /// From now on probes are carried out. They are asked for only if the configuration wants them.
    pub fn carry_out_probes(&mut self) {
        self.probes.carried_out = true;
    }

    pub(super) fn probing(&self) -> bool {
        self.settings.probe && self.probes.carried_out
    }

    /// Remembers where the clients of a subnet are.
    pub(super) fn note_way(&mut self, segment: &[SubnetId], request: &Request) {
        if self.probing() && !request.relayed() {
            for subnet in segment.iter().filter(|subnet| self.subnets.link(**subnet).is_none()) {
                self.probes.heard_on.insert(*subnet, request.link);
            }
        }
    }

    /// An address of `segment` for a client that has none of its own: the one it asks for, else any.
    pub(super) fn draw(
        &mut self,
        turn: &mut Turn<'_>,
        request: &Arc<Request>,
        segment: &[SubnetId],
    ) -> Drawn {
        let asked = self.asked(turn, request, segment);
        let classes = self.classes.of(request, None);
        if !self.probing() {
            let any = asked.or_else(|| segment.iter().find_map(|id| self.next_free(turn, *id, classes)));
            return any.map_or(Drawn::Exhausted, Drawn::Address);
        }
        if self.waits(request, segment) {
            return Drawn::Wait;
        }
        if let Some(drawn) = asked.and_then(|place| self.draw_asked(turn, request, place)) {
            return drawn;
        }
        if let Some(place) = segment.iter().find_map(|id| self.draw_probed(turn, *id, classes)) {
            return Drawn::Address(place);
        }
        if segment.iter().any(|id| self.wait_for_any(turn, request, *id, classes)) {
            return Drawn::Wait;
        }
        let busy = segment.iter().any(|id| self.all.stocked(*id, classes, Stock::Awaited) > 0);
        if busy { Drawn::Probing } else { Drawn::Exhausted }
    }

    /// Whether the client waits for a probe already; its repeated request takes the place of the earlier one.
    fn waits(&mut self, request: &Arc<Request>, segment: &[SubnetId]) -> bool {
        let who = Identity::of(request);
        segment.iter().any(|id| {
            let place = self.probes.waiting.get(&Sought(*id, who)).copied();
            let running = place.and_then(|place| self.probes.running.get_mut(&place));
            let own = |waiter: &Arc<Request>| who == Identity::of(waiter);
            match running {
                Some(Running { waiter: Some(waiter), .. }) if own(waiter) => {
                    *waiter = Arc::clone(request);
                    true
                }
                _ => false,
            }
        })
    }

    /// The free address that the client asked for: at once if it was found unused, else after a probe.
    fn draw_asked(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>, place: Place) -> Option<Drawn> {
        if self.is_clean(turn, place) {
            return Some(Drawn::Address(place));
        }
        if self.all.entry(place).stock() == Stock::Lingering {
            return None;
        }
        let waits = if self.probes.running.contains_key(&place) {
            !self.probes.claimed(place) && self.wait_for(request, place)
        } else {
            let stock = self.all.entry(place).stock();
            self.start_probe(turn, place, Purpose::Candidate(stock), Some(request))
        };
        waits.then_some(Drawn::Wait)
    }

    /// An address of `subnet` that was found unused lately. Its place in the stock is filled.
    fn draw_probed(&mut self, turn: &mut Turn<'_>, subnet: SubnetId, classes: ClassSet) -> Option<Place> {
        let found = loop {
            let place = self.all.first_of(subnet, classes, Stock::Probed)?;
            if self.is_clean(turn, place) {
                break place;
            }
            self.probes.clean.remove(&place);
            self.all.restock(place, Stock::Freed);
        };
        self.no_longer_exhausted(found);
        self.fill_stock(turn, subnet, classes);
        Some(found)
    }

    /// Whether the address can be taken to be used by nobody but the client: because it is its own, or was offered to
    /// it, or nobody answered a probe.
    pub(super) fn is_unused(&self, turn: &Turn<'_>, place: Place, request: &Request) -> bool {
        let nobodys = self.all.state(place) == State::Free && !self.recognises(place, request);
        !self.probing() || !nobodys || self.is_clean(turn, place)
    }

    fn is_clean(&self, turn: &Turn<'_>, place: Place) -> bool {
        self.all.entry(place).stock() == Stock::Probed
            && self.probes.clean.get(&place).is_some_and(|since| turn.now < since.plus(CLEAN_FOR))
    }

    /// Lets the client wait for a probe of `subnet` that is under way for nobody, or for one of its own.
    fn wait_for_any(
        &mut self,
        turn: &mut Turn<'_>,
        request: &Arc<Request>,
        subnet: SubnetId,
        classes: ClassSet,
    ) -> bool {
        self.note_miss(turn, subnet);
        let waits = if let Some(place) = self.all.first_of(subnet, classes, Stock::Probing) {
            self.wait_for(request, place)
        } else if let Some(place) = self.next_free(turn, subnet, classes) {
            let stock = self.all.entry(place).stock();
            self.start_probe(turn, place, Purpose::Candidate(stock), Some(request))
        } else {
            return false;
        };
        self.fill_stock(turn, subnet, classes);
        waits
    }

    fn wait_for(&mut self, request: &Arc<Request>, place: Place) -> bool {
        let Some(running) = self.probes.running.get_mut(&place) else { return false };
        running.waiter = Some(Arc::clone(request));
        if let Purpose::Candidate(_) = running.purpose {
            self.all.restock(place, Stock::Awaited);
        }
        let subnet = self.all.subnet(place);
        self.probes.waiting.insert((subnet, Identity::of(request).into()), place);
        true
    }

    /// Probes as many addresses of `subnet` as clients in `classes` are likely to want soon.
    fn fill_stock(&mut self, turn: &mut Turn<'_>, subnet: SubnetId, classes: ClassSet) {
        let demand = self.demand(turn, subnet);
        if demand.missed.plus(CALM) <= turn.now {
            *demand = demand.calmed(turn.now);
        }
        let wanted = demand.stock;
        let have = |all: &super::Addresses| {
            all.stocked(subnet, classes, Stock::Probed) + all.stocked(subnet, classes, Stock::Probing)
        };
        while have(&self.all) < wanted {
            let Some(place) = self.all.next_free(subnet, classes) else { return };
            let stock = self.all.entry(place).stock();
            if !self.start_probe(turn, place, Purpose::Candidate(stock), None) {
                return;
            }
        }
    }

    /// A client found no probed address: the stock is too small, unless it has just become too old.
    fn note_miss(&mut self, turn: &Turn<'_>, subnet: SubnetId) {
        let demand = self.demand(turn, subnet);
        if demand.missed.plus(CALM) <= turn.now {
            *demand = demand.calmed(turn.now);
        } else {
            *demand = Demand { stock: (demand.stock * 2).min(MOST_STOCK), missed: turn.now };
        }
    }

    fn demand(&mut self, turn: &Turn<'_>, subnet: SubnetId) -> &mut Demand {
        self.probes.demand.entry(subnet).or_insert(Demand { stock: LEAST_STOCK, missed: turn.now })
    }

    /// Has the address probed; false if too many are.
    fn start_probe(
        &mut self,
        turn: &mut Turn<'_>,
        place: Place,
        purpose: Purpose,
        waiter: Option<&Arc<Request>>,
    ) -> bool {
        if self.probes.running.len() >= MOST_PROBES {
            return false;
        }
        // One that was about something else, and lost its meaning.
        self.claim(place);
        if let Purpose::Candidate(_) = purpose {
            self.all.restock(place, Stock::Probing);
        }
        let until = turn.after(PATIENCE);
        self.probes.running.insert(place, Running { purpose, until, waiter: None });
        if let Some(request) = waiter {
            self.wait_for(request, place);
        }
        let address = self.all.address(place);
        let subnet = self.all.subnet(place);
        let link = self.subnets.link(subnet).or_else(|| self.probes.heard_on.get(&subnet).copied());
        turn.out.push(Action::Probe { address, via: link.map_or(Via::Icmp, Via::Arp) });
        self.rearm(place);
        true
    }

    /// A probe of `address` has come to an end.
    pub(super) fn probed(&mut self, turn: &mut Turn<'_>, address: Ipv4Addr, outcome: Outcome) {
        let Some(place) = self.all.find(address) else { return };
        let state = self.all.state(place);
        let Some(running) = self.probes.running.remove(&place) else {
            // Given up, or its address was claimed and is free again; what was seen was seen.
            if let (State::Free, Outcome::Answered(by)) = (state, outcome) {
                self.seen_in_use(turn, place, by);
            }
            return;
        };
        if outcome == Outcome::Unknown {
            self.learnt_nothing(turn, place, running.waiter);
        } else {
            self.stop_waiting(place, running.waiter);
        }
        match (running.purpose, state, outcome) {
            // Where nobody can be asked, clients are served all the same.
            (Purpose::Candidate(_), State::Free, Outcome::Silent | Outcome::Unreachable) => {
                self.probes.clean.insert(place, turn.now);
                self.all.restock(place, Stock::Probed);
            }
            // Neither clean nor in use: another time.
            (Purpose::Candidate(stock), State::Free, Outcome::Unknown) => self.all.restock(place, stock),
            // A lease that was to be reclaimed may have been given back meanwhile.
            (Purpose::Candidate(_) | Purpose::Reclaim { .. }, State::Free, Outcome::Answered(by)) => {
                self.seen_in_use(turn, place, by);
            }
            (Purpose::Parole, State::Quarantined, Outcome::Silent) => self.end_quarantine(turn, place),
            (Purpose::Parole, State::Quarantined, Outcome::Answered(by)) => {
                self.quarantine.remove(self.all.subnet(place), place);
                self.quarantine(turn, place, QuarantineCause::Probe, by.map(HwAddr::ethernet));
            }
            (Purpose::Parole, State::Quarantined, Outcome::Unreachable | Outcome::Unknown) => {
                self.quarantine.postpone(place, turn.after(PATIENCE));
            }
            (Purpose::Reclaim { judged }, State::Leased, Outcome::Silent) => {
                self.end_orphan(turn, place, judged);
            }
            (Purpose::Reclaim { .. }, State::Leased, Outcome::Answered(_) | Outcome::Unreachable) => {
                self.probes.alive.insert(place, turn.now);
            }
            _ => {}
        }
        self.rearm(place);
    }

    /// Somebody uses a free address. Who has only just given it back may take a moment to be gone; anybody else has no
    /// business there.
    fn seen_in_use(&mut self, turn: &mut Turn<'_>, place: Place, by: Option<[u8; 6]>) {
        let by = by.map(HwAddr::ethernet);
        let gave_back = |owner: &Binding| owner.ended_by == Some(Party::Owner) && by == Some(owner.chaddr());
        if !self.binding(place).is_some_and(gave_back) {
            return self.quarantine(turn, place, QuarantineCause::Probe, by);
        }
        self.probes.clean.remove(&place);
        self.all.restock(place, Stock::Lingering);
        self.probes.lingering.insert(place, turn.after(ALIVE_FOR));
        self.rearm(place);
    }

    /// The address may be asked for again.
    pub(super) fn end_lingering(&mut self, place: Place) {
        self.probes.lingering.remove(&place);
        if self.all.entry(place).stock() == Stock::Lingering {
            self.all.restock(place, Stock::Freed);
        }
    }

    /// Nobody answered for the lease: it is over, unless it was extended meanwhile.
    fn end_orphan(&mut self, turn: &mut Turn<'_>, place: Place, judged: Word) {
        if turn.words.revoke(self.all.address(place), judged).is_err() {
            self.probes.alive.insert(place, turn.now);
            return;
        }
        self.end_released(turn, place, Happened::Reclaimed);
        if self.all.state(place) == State::Free {
            self.probes.clean.insert(place, turn.now);
            self.all.restock(place, Stock::Probed);
        }
    }

    /// Whoever carries out probes has not told what came of one: nothing was learnt.
    pub(super) fn give_up_probe(&mut self, place: Place) {
        let Some(running) = self.probes.running.remove(&place) else { return };
        if let Purpose::Candidate(stock) = running.purpose {
            self.all.restock(place, stock);
        }
        if let Some(request) = running.waiter {
            self.no_longer_waits(place, &request);
        }
    }

    /// The address is somebody's before its probe has come to an end, or in spite of what an earlier one said.
    pub(super) fn claim(&mut self, place: Place) {
        let Some(running) = self.probes.running.remove(&place) else { return };
        if let Purpose::Candidate(stock) = running.purpose {
            self.all.restock(place, stock);
        }
        self.stop_waiting(place, running.waiter);
    }

    fn stop_waiting(&mut self, place: Place, waiter: Option<Arc<Request>>) {
        if let Some(request) = waiter {
            self.no_longer_waits(place, &request);
            self.probes.again.push_back(request);
        }
    }

    /// Answers may have been lost: the client isn't served by that, and asks again in a while (RFC 2131 §4.1).
    fn learnt_nothing(&mut self, turn: &mut Turn<'_>, place: Place, waiter: Option<Arc<Request>>) {
        if let Some(request) = waiter {
            self.no_longer_waits(place, &request);
            turn.silence(&request, Silence::ProbeUnknown);
        }
    }

    fn no_longer_waits(&mut self, place: Place, request: &Request) {
        self.probes.waiting.remove(&Sought(self.all.subnet(place), Identity::of(request)));
    }

    /// Clients whose waiting is over ask anew.
    pub(super) fn hear_again(&mut self, turn: &mut Turn<'_>) {
        while let Some(request) = self.probes.again.pop_front() {
            self.message(turn, &request);
        }
    }

    /// The address may leave quarantine if nobody answers for it.
    pub(super) fn parole(&mut self, turn: &mut Turn<'_>, place: Place) {
        let running = self.probes.running.contains_key(&place);
        if !running && !self.start_probe(turn, place, Purpose::Parole, None) {
            self.quarantine.postpone(place, turn.after(PATIENCE));
        }
    }

    /// Has the device's longest-silent lease in `subnet` probed: if nobody answers, the client can have it instead.
    /// Exhausted if each was found alive lately, or probing is off.
    pub(super) fn reclaim(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>, subnet: SubnetId) -> Drawn {
        if !self.probing() {
            return Drawn::Exhausted;
        }
        self.probes.alive.retain(|_, since| turn.now < since.plus(ALIVE_FOR));
        let mut leased = self.leased_from_here(subnet, request);
        // What was given for good is kept by those that are silent, too.
        leased.retain(|place| self.binding(*place).is_some_and(|owner| !owner.is_for_good()));
        let running = leased.iter().find(|place| self.probes.running.contains_key(*place)).copied();
        if let Some(place) = running {
            let waits = self.waits(request, &[subnet])
                || (!self.probes.claimed(place) && self.wait_for(request, place));
            return if waits { Drawn::Wait } else { Drawn::Probing };
        }
        let silent = leased.into_iter().filter(|place| !self.probes.alive.contains_key(place));
        let longest = silent.min_by_key(|place| self.heard(turn, *place));
        let Some(place) = longest else { return Drawn::Exhausted };
        let judged = turn.words.load(self.all.address(place));
        let started = self.start_probe(turn, place, Purpose::Reclaim { judged }, Some(request));
        if started { Drawn::Wait } else { Drawn::Probing }
    }

    /// When the owner of the address was last heard, by the daemon or by the kernel.
    fn heard(&self, turn: &Turn<'_>, place: Place) -> BootSecs {
        let word = turn.words.load(self.all.address(place));
        self.binding(place).map_or(BootSecs(0), |binding| binding.heard(word, turn.now))
    }
}
