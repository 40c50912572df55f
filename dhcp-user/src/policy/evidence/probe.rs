//! Probing: is a host using an unpromised address, or nobody using a promised one?
//!
//! draw.rs and reclaim.rs decide which address is probed, and for which client; witnesses.rs decides which stations'
//! answers prove nothing. A client that waits for a probe holds up nobody else. An address whose last owner asks for
//! it again needs no probe.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;

use ahash::{HashMap, RandomState};
use dhcp_ebpf::abi::Link;
use dhcp_ebpf::lease::{BootSecs, Word};

use super::witnesses::Credence;
use crate::config::Probe;
use crate::message::Request;
use crate::policy::action::{Action, Outcome, Silence, Via};
use crate::policy::book::binding::Party;
use crate::policy::book::client_origin::ClientOrigin;
use crate::policy::book::identity::Identity;
use crate::policy::book::offers::{ClientKey, OwnedIdentity};
use crate::policy::book::quarantine::Probation;
use crate::policy::book::state::{State, Stock};
use crate::policy::event::LeaseEvent;
use crate::policy::evidence::vacating::Vacating;
use crate::policy::site::place::Place;
use crate::policy::site::subnet_id::SubnetId;
use crate::policy::{Policy, Turn};
use crate::store::{HwAddr, QuarantineCause};

/// A probe without a reported outcome is given up after so many seconds.
pub const PATIENCE: u32 = 5;

/// How long a clean probe is good for, in seconds.
const CLEAN_FOR: u32 = 120;
/// How long an orphan that answered is left alone, or an address that its last owner still uses, in seconds.
const ALIVE_FOR: u32 = 60;
/// How many probes may be under way.
const MOST_PROBES: usize = 4096;
/// How many addresses are probed, one after the other, for one message of a client.
const MOST_TRIES: u8 = 4;

/// Probes under way, and the results of earlier ones.
#[derive(Debug, Default)]
pub(in crate::policy) struct Probes {
    /// Whether there is somebody who carries probes out.
    carried_out: bool,
    running: HashMap<Place, Running>,
    /// Which probe a client waits for.
    waiting: hashbrown::HashMap<(SubnetId, OwnedIdentity), Place, RandomState>,
    /// When the addresses that are in stock were found unused.
    clean: HashMap<Place, BootSecs>,
    /// Until when an address is left alone whose last owner gave it back, and still answers for it.
    lingering: HashMap<Place, BootSecs>,
    /// When a host was found to use an address that has an owner: a lease that may be an orphan, or one in grace.
    alive: BTreeMap<Place, Alive>,
    /// The link that clients of a subnet were heard on, where no address of ours shows it.
    heard_on: BTreeMap<SubnetId, Link>,
    /// Whose clients are asked again whether they are gone.
    pub(in crate::policy) vacating: Vacating,
    /// Clients whose waiting is over.
    again: VecDeque<Waiter>,
    /// For how many probes the client has waited whose message is dealt with.
    tries: u8,
}

impl Probes {
    /// Clients that wait for probes of a former configuration ask anew, by the present one, with the next event.
    pub(in crate::policy) fn hear_those_of(&mut self, former: &mut Self) {
        former.waiting.clear();
        self.again.append(&mut former.again);
        self.again.extend(former.running.drain().filter_map(|(_, running)| running.waiter));
    }

    /// Whether there is somebody whose waiting is over and who was not heard yet.
    pub(in crate::policy) fn has_to_hear_again(&self) -> bool {
        !self.again.is_empty()
    }
}

#[derive(Debug)]
struct Alive {
    since: BootSecs,
    sign: Sign,
}

/// The evidence by which an address counts as in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Sign {
    /// It answered, or was extended.
    Seen,
    /// Nobody could be asked.
    Presumed,
}

#[derive(Debug)]
struct Running {
    purpose: Purpose,
    via: Via,
    until: BootSecs,
    waiter: Option<Waiter>,
}

/// A client that waits for a probe.
#[derive(Debug)]
struct Waiter {
    request: Arc<Request>,
    /// It is the so-many-th of this message.
    tries: u8,
}

/// How good the evidence is that an address is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Proof {
    /// It is believed.
    Good,
    /// The link has more answers than its credit: they may be false.
    Weak,
}

/// The question that a probe decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Purpose {
    /// Whether a free address may be offered. It came from this stock.
    Candidate(Stock),
    /// Whether an address may be offered that is kept for nobody in particular any more, nothing else being left.
    Need,
    /// Whether the client of a lease that the operator has ended is gone.
    Vacated,
    /// Whether an address may leave quarantine.
    Parole,
    /// Whether a lease is an orphan. If its word has changed meanwhile, it isn't.
    Reclaim { judged: Word },
}

impl Purpose {
    /// Whether it is asked if the owner, or last owner, uses its address still.
    fn asks_holder(self) -> bool {
        match self {
            Self::Need | Self::Vacated | Self::Reclaim { .. } => true,
            Self::Candidate(_) | Self::Parole => false,
        }
    }
}

impl Probes {
    pub(in crate::policy) fn is_carried_out(&self) -> bool {
        self.carried_out
    }

    /// Whether a probe of the address is under way.
    pub(in crate::policy) fn is_running(&self, place: Place) -> bool {
        self.running.contains_key(&place)
    }

    /// Whether no more is probed for the message that is dealt with.
    pub(in crate::policy) fn has_tried_enough(&self) -> bool {
        self.tries >= MOST_TRIES
    }

    /// Whether it is dealt with for the first time.
    pub(in crate::policy) fn is_first_try(&self) -> bool {
        self.tries == 0
    }

    /// Whether somebody was found to use the address lately.
    pub(in crate::policy) fn is_alive(&self, place: Place) -> bool {
        self.alive.contains_key(&place)
    }

    /// Forgets who was found alive too long ago.
    pub(in crate::policy) fn forget_alive(&mut self, now: BootSecs) {
        self.alive.retain(|_, alive| now < alive.since.plus(ALIVE_FOR));
    }

    /// Whether somebody was seen to use the address lately.
    pub(in crate::policy) fn is_in_use(&self, place: Place, now: BootSecs) -> bool {
        let lately = |alive: &Alive| alive.sign == Sign::Seen && now < alive.since.plus(ALIVE_FOR);
        self.alive.get(&place).is_some_and(lately)
    }

    /// Somebody uses the address, or is taken to.
    pub(in crate::policy) fn note_alive(&mut self, place: Place, now: BootSecs, sign: Sign) {
        self.alive.insert(place, Alive { since: now, sign });
    }

    /// Interfaces have other indices.
    pub(in crate::policy) fn relink(&mut self, now: impl Fn(u32) -> u32) {
        self.heard_on.values_mut().for_each(|link| link.ifindex = now(link.ifindex));
    }

    /// When the probe of this address is given up.
    pub(in crate::policy) fn until(&self, place: Place) -> Option<BootSecs> {
        self.running.get(&place).map(|running| running.until)
    }

    /// The address is in use now, by its owner.
    pub(in crate::policy) fn unclean(&mut self, place: Place) {
        self.clean.remove(&place);
    }

    /// The address has another owner: of this one nothing is known yet.
    pub(in crate::policy) fn changes_hands(&mut self, place: Place) {
        self.alive.remove(&place);
    }

    /// Whether a free address in `stock` is probed as its stock says.
    pub(in crate::policy) fn agree(&self, place: Place, stock: Stock) -> bool {
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
    pub(in crate::policy) fn lingers_until(&self, place: Place) -> Option<BootSecs> {
        self.lingering.get(&place).copied()
    }

    pub(in crate::policy) fn claimed(&self, place: Place) -> bool {
        self.running.get(&place).is_some_and(|running| running.waiter.is_some())
    }
}

/// Where a client that sends a request waits for a probe already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Waiting {
    /// Where the request comes from.
    Here,
    /// Somewhere else, or another waits by its name.
    Elsewhere,
}

impl Policy {
    /// From now on probes are carried out. They are asked for only if the configuration wants them.
    pub fn carry_out_probes(&mut self) {
        self.evidence.probes.carried_out = true;
    }

    /// Whether addresses of `subnet` are probed: as the subnet says, else its interface, else the server.
    pub(in crate::policy) fn probing(&self, subnet: SubnetId) -> bool {
        if wrong!(Unprobed) {
            return false;
        }
        let interface = || {
            let name = &self.site.subnets.interface(self.link(subnet)?.ifindex)?.name;
            self.site.probe_on.get(name).copied()
        };
        let wanted =
            self.site.subnets.get(subnet).probe.or_else(interface).unwrap_or(self.site.settings.probe);
        wanted == Probe::Auto && self.evidence.probes.carried_out
    }

    /// The link that clients of `subnet` are on, if they are on one of ours.
    fn link(&self, subnet: SubnetId) -> Option<Link> {
        self.site.subnets.link(subnet).or_else(|| self.evidence.probes.heard_on.get(&subnet).copied())
    }

    /// Remembers where the clients of a subnet are.
    pub(in crate::policy) fn note_way(&mut self, segment: &[SubnetId], request: &Request) {
        if self.evidence.probes.carried_out && !request.relayed() {
            for subnet in segment.iter().filter(|subnet| self.site.subnets.link(**subnet).is_none()) {
                self.evidence.probes.heard_on.insert(*subnet, request.link);
            }
        }
    }

    /// The probe that the client already waits for, if any. A request repeated from the same origin replaces the
    /// earlier one; a sender that uses the client's name elsewhere does not get its answer.
    pub(in crate::policy) fn waits(
        &mut self,
        request: &Arc<Request>,
        segment: &[SubnetId],
    ) -> Option<Waiting> {
        let who = Identity::of(request);
        segment.iter().find_map(|id| {
            let place = self.evidence.probes.waiting.get(&ClientKey(*id, who))?;
            let waiter = self.evidence.probes.running.get_mut(place)?.waiter.as_mut()?;
            if who != Identity::of(&waiter.request) {
                return None;
            }
            if ClientOrigin::of(request) != ClientOrigin::of(&waiter.request) {
                return Some(Waiting::Elsewhere);
            }
            waiter.request = Arc::clone(request);
            Some(Waiting::Here)
        })
    }

    /// Whether the address can be taken to be used by nobody but the client: because it is its own, or was offered to
    /// it, or nobody answered a probe.
    pub(in crate::policy) fn is_unused(&self, turn: &Turn<'_>, place: Place, request: &Request) -> bool {
        let nobodys = self.book.state(place) == State::Free && !self.book.recognises(place, request);
        !nobodys || !self.probing(self.book.subnet(place)) || self.is_clean(turn, place)
    }

    pub(in crate::policy) fn is_clean(&self, turn: &Turn<'_>, place: Place) -> bool {
        self.book.stock(place) == Stock::Probed
            && self.evidence.probes.clean.get(&place).is_some_and(|since| turn.now < since.plus(CLEAN_FOR))
    }

    pub(in crate::policy) fn wait_for(&mut self, request: &Arc<Request>, place: Place) -> bool {
        let Some(running) = self.evidence.probes.running.get_mut(&place) else { return false };
        // Leases that are asked after are no candidates that failed: each is asked after once.
        let counts = !matches!(running.purpose, Purpose::Reclaim { .. });
        let tries = self.evidence.probes.tries.saturating_add(u8::from(counts));
        running.waiter = Some(Waiter { request: Arc::clone(request), tries });
        if let Purpose::Candidate(_) = running.purpose {
            self.book.restock(place, Stock::Awaited);
        }
        let subnet = self.book.subnet(place);
        self.evidence.probes.waiting.insert((subnet, Identity::of(request).into()), place);
        true
    }

    /// Has the address probed; false if too many are, or enough for this client.
    pub(in crate::policy) fn start_probe(
        &mut self,
        turn: &mut Turn<'_>,
        place: Place,
        purpose: Purpose,
        waiter: Option<&Arc<Request>>,
    ) -> bool {
        let for_any = matches!(purpose, Purpose::Candidate(_) | Purpose::Need);
        let enough = for_any && waiter.is_some() && self.evidence.probes.has_tried_enough();
        if enough || self.evidence.probes.running.len() >= MOST_PROBES {
            return false;
        }
        // One that was about something else, and lost its meaning.
        self.claim(place);
        if let Purpose::Candidate(_) = purpose {
            self.book.restock(place, Stock::Probing);
        }
        let until = turn.after(PATIENCE);
        let via = self.link(self.book.subnet(place)).map_or(Via::Icmp, Via::Arp);
        self.evidence.probes.running.insert(place, Running { purpose, via, until, waiter: None });
        if let Some(request) = waiter {
            self.wait_for(request, place);
        }
        self.ask(turn, place, purpose, via);
        true
    }

    /// A probe of `address` has come to an end.
    pub(in crate::policy) fn probed(&mut self, turn: &mut Turn<'_>, address: Ipv4Addr, outcome: Outcome) {
        let Some(place) = self.book.find(address) else { return };
        let outcome = if wrong!(AnswerUnheard) { Outcome::Silent } else { outcome };
        let proof = match outcome {
            Outcome::Answered(Some(by)) if self.is_for_others(place, by) => self.believe(turn, place, by),
            _ => Some(Proof::Good),
        };
        let Some(proof) = proof else { return self.probe_again(turn, place) };
        let state = self.book.state(place);
        let running = self.evidence.probes.running.remove(&place);
        let Some(Running { purpose, waiter, .. }) = running else {
            // Given up, or its address was claimed and is free again; what was seen was seen.
            if let (State::Free, Outcome::Answered(by)) = (state, outcome) {
                self.seen_in_use(turn, place, by, proof);
            }
            return;
        };
        if outcome == Outcome::Unknown {
            self.learnt_nothing(turn, place, waiter);
        } else {
            self.stop_waiting(place, waiter);
        }
        match (purpose, state, outcome) {
            // Where nobody can be asked, clients are served all the same.
            (Purpose::Candidate(_) | Purpose::Need, State::Free, Outcome::Silent | Outcome::Unreachable) => {
                self.note_clean(turn, place);
            }
            // Neither clean nor in use: another time.
            (Purpose::Candidate(stock), State::Free, Outcome::Unknown) => self.book.restock(place, stock),
            // A lease that was to be reclaimed may have been given back meanwhile, and a grace have ended.
            (_, State::Free, Outcome::Answered(by)) => self.seen_in_use(turn, place, by, proof),
            (Purpose::Vacated, _, _) => self.probed_vacated(turn, place, outcome),
            (Purpose::Need, _, _) => self.probed_in_need(turn, place, outcome, proof),
            (Purpose::Parole, State::Quarantined, Outcome::Silent) => {
                self.end_quarantine(turn, place);
                self.note_clean(turn, place);
            }
            (Purpose::Parole, State::Quarantined, Outcome::Answered(by)) => {
                self.quarantine_answered(turn, place, by, proof);
            }
            (Purpose::Parole, State::Quarantined, Outcome::Unreachable | Outcome::Unknown) => {
                self.book.postpone(place, turn.after(PATIENCE));
            }
            (Purpose::Reclaim { judged }, State::Leased, Outcome::Silent) => {
                self.end_orphan(turn, place, judged);
            }
            (Purpose::Reclaim { .. }, State::Leased, Outcome::Answered(_)) => {
                self.evidence.probes.note_alive(place, turn.now, Sign::Seen);
            }
            (Purpose::Reclaim { .. }, State::Leased, Outcome::Unreachable) => {
                self.evidence.probes.note_alive(place, turn.now, Sign::Presumed);
            }
            _ => {}
        }
        self.rearm(place);
    }

    /// Nobody uses the address, if it is free.
    pub(in crate::policy) fn note_clean(&mut self, turn: &Turn<'_>, place: Place) {
        if self.book.state(place) == State::Free {
            self.evidence.probes.clean.insert(place, turn.now);
            self.book.restock(place, Stock::Probed);
        }
    }

    /// Whether the address is nobody's, and was not this station's last.
    fn is_for_others(&self, place: Place, station: [u8; 6]) -> bool {
        matches!(self.book.state(place), State::Free | State::Quarantined | State::Grace)
            && !self.book.is_of_holder(place, station)
    }

    /// How well what the station says of the address proves that it is in use, if it does.
    fn believe(&mut self, turn: &mut Turn<'_>, place: Place, station: [u8; 6]) -> Option<Proof> {
        let Some(link) = self.link(self.book.subnet(place)) else { return Some(Proof::Good) };
        match self.evidence.witnesses.heard(turn.now, link, station, self.book.address(place)) {
            Credence::Believed => Some(Proof::Good),
            Credence::Doubted { tell } => {
                let told = tell.then_some(LeaseEvent::ManyAnswers { link, station });
                turn.out.extend(told.map(Action::Event));
                Some(Proof::Weak)
            }
            Credence::Disbelieved => None,
            Credence::FoundOut(addresses) => {
                turn.out.push(Action::Event(LeaseEvent::ProbeLiar { link, station, addresses }));
                self.forget_testimony(turn, link, station);
                None
            }
        }
    }

    /// The answer to the probe of the address doesn't count: others are to be heard.
    fn probe_again(&mut self, turn: &mut Turn<'_>, place: Place) {
        let Some(running) = self.evidence.probes.running.get_mut(&place) else { return };
        running.until = turn.after(PATIENCE);
        let (purpose, via) = (running.purpose, running.via);
        self.ask(turn, place, purpose, via);
    }

    /// Probes the address. Stations whose answers prove nothing are ignored. A probe for the address's holder still
    /// hears that holder, whatever other addresses it answers for.
    fn ask(&mut self, turn: &mut Turn<'_>, place: Place, purpose: Purpose, via: Via) {
        let mut except = self.evidence.witnesses.disbelieved_on(turn.now, via);
        let is_heard = |station: &[u8; 6]| purpose.asks_holder() && self.book.is_of_holder(place, *station);
        if except.iter().any(is_heard) {
            except = except.iter().copied().filter(|station| !is_heard(station)).collect();
        }
        turn.out.push(Action::Probe { address: self.book.address(place), via, except });
        self.rearm(place);
    }

    /// Ends the quarantines that rest on this station's answers alone.
    fn forget_testimony(&mut self, turn: &mut Turn<'_>, link: Link, station: [u8; 6]) {
        let by = Some(HwAddr::ethernet(station));
        let said = |probation: &Probation| probation.why == QuarantineCause::Probe && probation.by == by;
        let places: Vec<Place> = self
            .book
            .quarantined()
            .filter(|(_, probation)| said(probation))
            .map(|(place, _)| place)
            .collect();
        for place in places {
            if self.link(self.book.subnet(place)) != Some(link) {
                continue;
            }
            self.book.strike_recurrence(place);
            self.end_quarantine(turn, place);
            self.rearm(place);
        }
    }

    /// A host uses a free address. The client that has just released it may take a moment to stop; the use by any
    /// other is evidence.
    fn seen_in_use(&mut self, turn: &mut Turn<'_>, place: Place, by: Option<[u8; 6]>, proof: Proof) {
        let given_back = self.book.binding(place).is_some_and(|owner| owner.ended_by == Some(Party::Owner));
        if !given_back || !by.is_some_and(|station| self.book.is_of_holder(place, station)) {
            return self.quarantine_answered(turn, place, by, proof);
        }
        self.evidence.probes.clean.remove(&place);
        self.book.restock(place, Stock::Lingering);
        self.evidence.probes.lingering.insert(place, turn.after(ALIVE_FOR));
        self.rearm(place);
    }

    /// The address may be asked for again.
    pub(in crate::policy) fn end_lingering(&mut self, place: Place) {
        self.evidence.probes.lingering.remove(&place);
        if self.book.stock(place) == Stock::Lingering {
            self.book.restock(place, Stock::Freed);
        }
    }

    /// No outcome of a probe was reported: it proves nothing.
    pub(in crate::policy) fn give_up_probe(&mut self, place: Place) {
        let Some(running) = self.evidence.probes.running.remove(&place) else { return };
        if let Purpose::Candidate(stock) = running.purpose {
            self.book.restock(place, stock);
        }
        if let Some(waiter) = running.waiter {
            self.no_longer_waits(place, &waiter.request);
        }
    }

    /// The address gets an owner before its probe ends, or in spite of an earlier result.
    pub(in crate::policy) fn claim(&mut self, place: Place) {
        let Some(running) = self.evidence.probes.running.remove(&place) else { return };
        if let Purpose::Candidate(stock) = running.purpose {
            self.book.restock(place, stock);
        }
        self.stop_waiting(place, running.waiter);
    }

    fn stop_waiting(&mut self, place: Place, waiter: Option<Waiter>) {
        if let Some(waiter) = waiter {
            self.no_longer_waits(place, &waiter.request);
            self.evidence.probes.again.push_back(waiter);
        }
    }

    /// Answers may have been lost: the client isn't served by that, and asks again in a while (RFC 2131 §4.1).
    fn learnt_nothing(&mut self, turn: &mut Turn<'_>, place: Place, waiter: Option<Waiter>) {
        if let Some(Waiter { request, .. }) = waiter {
            self.no_longer_waits(place, &request);
            turn.silence(&request, Silence::ProbeUnknown);
        }
    }

    fn no_longer_waits(&mut self, place: Place, request: &Request) {
        self.evidence.probes.waiting.remove(&ClientKey(self.book.subnet(place), Identity::of(request)));
    }

    /// Clients whose waiting is over ask anew.
    pub(in crate::policy) fn hear_again(&mut self, turn: &mut Turn<'_>) {
        while let Some(Waiter { request, tries }) = self.evidence.probes.again.pop_front() {
            self.evidence.probes.tries = tries;
            self.message(turn, &request);
        }
        self.evidence.probes.tries = 0;
    }

    /// The address may leave quarantine if nobody answers for it.
    pub(in crate::policy) fn parole(&mut self, turn: &mut Turn<'_>, place: Place) {
        let running = self.evidence.probes.running.contains_key(&place);
        if !running && !self.start_probe(turn, place, Purpose::Parole, None) {
            self.book.postpone(place, turn.after(PATIENCE));
        }
    }
}
