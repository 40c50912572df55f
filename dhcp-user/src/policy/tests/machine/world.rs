//! A server and its clients. The world keeps its own account of what every client was promised, from the answers alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::super::*;
use super::clients::{self, ADDRESSES, Belief, FOREVER, address, configuration, draft, mac, request, sender};
use super::{Say, Step};
use crate::message::Kind;

/// A message that has waited for longer is not dealt with any more, as in the server.
const STALE: u32 = 5;

/// What an event led to, before it is committed and carried out.
struct Decided {
    client: Option<u8>,
    actions: Vec<Action>,
    /// An address that is known to be used by now, or to be unused.
    seen: Option<(Ipv4Addr, bool)>,
}

pub(super) struct World {
    bench: Bench,
    clients: BTreeMap<u8, Belief>,
    /// The two rings: exchanges already begun, and what is new. Each is in order.
    waiting: [VecDeque<(u8, Arc<Request>)>; 2],
    batch: Vec<Decided>,
    probing: bool,
    squatters: BTreeSet<Ipv4Addr>,
    /// Addresses that answered when they were nobody's, and of which nobody has said since that they are unused.
    seen_in_use: BTreeSet<Ipv4Addr>,
    reload: Reload,
    events: u64,
}

/// How far a reload is. Whatever happens may happen at any point of it.
enum Reload {
    Over,
    /// The former configuration is in force.
    Changeover(Box<(Config, Changeover)>),
    /// The next one is in force.
    Settling,
}

impl World {
    pub(super) fn new(probing: bool) -> Self {
        let mut bench = Bench::of(vec![clients::class()], configuration(false));
        bench.config.server.quarantine = 500;
        let mut world = Self {
            bench,
            clients: BTreeMap::new(),
            waiting: Default::default(),
            batch: Vec::new(),
            probing,
            squatters: BTreeSet::new(),
            seen_in_use: BTreeSet::new(),
            reload: Reload::Over,
            events: 0,
        };
        world.restart(true);
        world
    }

    /// The last batch ends; how many events there were.
    pub(super) fn end(mut self) -> u64 {
        while !matches!(self.reload, Reload::Over) {
            self.advance(1);
        }
        self.end_batch();
        self.events
    }

    fn restart(&mut self, maps: bool) {
        self.bench.restart(maps);
        self.bench.probes.clear();
        if self.probing {
            self.bench.policy.carry_out_probes();
        }
    }

    fn belief(&mut self, client: u8) -> &mut Belief {
        self.clients.entry(client).or_default()
    }

    pub(super) fn step(&mut self, step: Step) {
        match step {
            Step::Send(client, say) => {
                if let Some(ring) = self.queue(client, say) {
                    // What was begun goes first.
                    while self.arrive(0) || ring == 1 && self.arrive(1) {}
                }
            }
            Step::Queue(client, say) => drop(self.queue(client, say)),
            Step::Arrive => drop(self.arrive(0) || self.arrive(1)),
            Step::KernelRenews(client) => {
                let _ = clients::from(client).find(|client| self.kernel_renews(*client));
            }
            Step::Beat => self.beat(),
            Step::Pass(secs) => {
                self.end_batch();
                self.events += 1;
                self.bench.pass(secs);
                self.end_batch();
            }
            Step::EndBatch => self.end_batch(),
            Step::EndHalf => self.end_half(),
            Step::Forget(client) => self.belief(client).forget(),
            Step::Move(client) => self.belief(client).relayed ^= true,
            Step::Squat(number, true) => drop(self.squatters.insert(address(number))),
            Step::Squat(number, false) => drop(self.squatters.remove(&address(number))),
            Step::Probe => self.probe(),
            Step::OperatorRelease(number) => {
                self.let_offer_lapse(address(number));
                self.put(None, Event::OperatorRelease { address: address(number), reuse: Reuse::WhenClean });
                self.end_what_was_for_good();
            }
            Step::QuarantineClear(number) => self.quarantine_clear(address(number)),
            Step::Reload if matches!(self.reload, Reload::Over) => {
                let narrow = clients::is_narrow(&self.bench.config.subnets);
                let going = self.bench.begin_reload(configuration(!narrow));
                self.reload = Reload::Changeover(Box::new(going));
            }
            Step::Reload => {}
            Step::Advance(work) => self.advance(work.into()),
            Step::Crash { committed, maps } => self.crash(committed, maps),
        }
    }

    /// Goes on with a reload.
    fn advance(&mut self, work: usize) {
        self.events += 1;
        match std::mem::replace(&mut self.reload, Reload::Over) {
            Reload::Over => {}
            Reload::Changeover(mut going) => {
                self.reload = if self.bench.bring_along(&mut going, work) {
                    self.end_batch();
                    self.bench.go_over(*going);
                    self.let_offers_lapse();
                    self.rewrite_memos();
                    self.end_what_was_for_good();
                    Reload::Settling
                } else {
                    Reload::Changeover(going)
                };
            }
            Reload::Settling => {
                let doubted = self.doubted_for_good();
                let Bench { policy, words, now, .. } = &mut self.bench;
                let mut actions = Vec::new();
                let settled = policy.settle_some(BootSecs(*now), words, work, &mut actions);
                if let ChangeoverProgress::Some = settled {
                    self.reload = Reload::Settling;
                }
                self.end_what_was_doubted(&doubted);
                self.carry_on(Decided { client: None, actions, seen: None });
            }
        }
    }

    /// With a lease the operator ends what was offered of its address, too; clients don't know.
    fn let_offer_lapse(&mut self, ended: Ipv4Addr) {
        let now = self.bench.now;
        if self.bench.policy.state(ended) != Some(State::Leased) {
            return;
        }
        let offered = self.clients.values_mut().filter_map(|belief| belief.offered.as_mut());
        for (_, until) in offered.filter(|(address, _)| *address == ended) {
            *until = now;
        }
    }

    /// The server has forgotten what it offered; clients have not.
    fn let_offers_lapse(&mut self) {
        let now = self.bench.now;
        for (_, until) in self.clients.values_mut().filter_map(|belief| belief.offered.as_mut()) {
            *until = now;
        }
    }

    /// What the kernel knows is answered anew, as far as it is still answered. On the same basis it is answered alike.
    fn rewrite_memos(&mut self) {
        let Bench { policy, words, published, .. } = &mut self.bench;
        let mut known = BTreeSet::new();
        // What was published last is what the kernel knows.
        for Publication { address, link, basis, memos, .. } in published.iter_mut().rev() {
            let answered = |memo: &Memo| {
                let answer = policy.answer_to(*address, &memo.question)?;
                Some(Memo { answer, ..memo.clone() })
            };
            let anew: Vec<_> = memos.iter().filter_map(answered).collect();
            let present = policy.basis(*address, *link).unwrap_or_default();
            if known.insert(*address) && words.load(*address).alive() && present == *basis {
                assert_eq!(*memos, anew, "{address} rests on what it rested on");
            }
            (*basis, *memos) = (present, anew);
        }
    }

    /// The operator ends what has no end: that can't be waited for.
    fn end_what_was_for_good(&mut self) {
        let policy = &self.bench.policy;
        for belief in self.clients.values_mut() {
            let over = |address| policy.state(address) != Some(State::Leased) && !policy.is_in_doubt(address);
            if belief.has_for_good() && belief.lease.is_some_and(|(address, _)| over(address)) {
                belief.forget();
            }
        }
    }

    /// Who has for good what a reload may end, and has not come to.
    fn doubted_for_good(&self) -> Vec<(u8, Ipv4Addr)> {
        let had = self.clients.iter().filter(|(_, belief)| belief.has_for_good());
        let had = had.filter_map(|(client, belief)| Some((*client, belief.lease?.0)));
        had.filter(|(_, address)| self.bench.policy.is_in_doubt(*address)).collect()
    }

    /// What was so is ended by now, or stays its client's. Somebody else may have got it in the same moment: what has no end
    /// can't be waited for.
    fn end_what_was_doubted(&mut self, doubted: &[(u8, Ipv4Addr)]) {
        for (client, address) in doubted {
            let policy = &self.bench.policy;
            let stays = || policy.lease(*address).is_some_and(|lease| clients::is_had_by(*client, &lease));
            if !policy.is_in_doubt(*address) && !stays() {
                self.belief(*client).forget();
            }
        }
    }

    /// The operator says so of an address that nobody uses.
    fn quarantine_clear(&mut self, address: Ipv4Addr) {
        let now = self.bench.now;
        if self.clients.values().all(|belief| belief.holds(now) != Some(address)) {
            let decided = self.decide(None, Event::QuarantineClear { range: only(address), why: None });
            self.carry_on(Decided { seen: Some((address, false)), ..decided });
        }
    }

    fn put(&mut self, client: Option<u8>, event: Event) {
        let decided = self.decide(client, event);
        self.carry_on(decided);
    }

    fn decide(&mut self, client: Option<u8>, event: Event) -> Decided {
        self.events += 1;
        let doubted = self.doubted_for_good();
        let decided = Decided { client, actions: self.bench.handle(event), seen: None };
        self.end_what_was_doubted(&doubted);
        decided
    }

    /// What need not wait for what was decided before is done at once.
    fn carry_on(&mut self, mut decided: Decided) {
        if let Some((address, false)) = decided.seen {
            self.note(decided.seen);
            // What was decided before and waits for its commit is known better by now.
            for earlier in self.batch.iter_mut().filter(|earlier| earlier.seen == Some((address, true))) {
                earlier.seen = None;
            }
        }
        if !decided.actions.iter().any(Action::waits) {
            self.act(decided.client, std::mem::take(&mut decided.actions));
        }
        // That it is used is known for good with all that was decided before.
        self.batch.push(decided);
    }

    /// What the client sends, and does by sending it.
    fn said(&mut self, client: u8, say: Say) -> Option<Arc<Request>> {
        let now = self.bench.now;
        if matches!(say, Say::Bootp) {
            // It has just been switched on, and relies on nothing until it hears.
            self.belief(client).forget();
        }
        let belief = *self.belief(client);
        let draft = draft(client, &belief, say, now)?;
        let met = match say {
            Say::Release { met: true } => belief.holds(now).map(|address| self.bench.words.load(address)),
            _ => None,
        };
        if let (Say::Release { .. }, Some(address), true) = (say, belief.holds(now), now.is_multiple_of(3)) {
            // It says so, and stays where it is.
            self.squatters.insert(address);
        }
        match say {
            // It stops using the address before it sends.
            Say::Release { .. } | Say::Decline => self.belief(client).forget(),
            Say::Select { .. } => {
                let belief = self.belief(client);
                belief.last = belief.offered.take().map(|(address, _)| address);
            }
            Say::SelectElsewhere | Say::Forge(..) => {
                let belief = self.belief(client);
                (belief.offered, belief.xid) = (None, belief.xid + 1);
            }
            _ => {}
        }
        // Who begins to speak DHCP relies on nothing that it has for good, whether it hears of its lease or not.
        if !matches!(say, Say::Bootp | Say::Inform) && belief.has_for_good() {
            self.belief(client).lease = None;
        }
        Some(request(&draft, now, met))
    }

    /// Puts what the client sends into a ring; which one.
    fn queue(&mut self, client: u8, say: Say) -> Option<usize> {
        let (client, request) =
            clients::from(client).find_map(|client| Some((client, self.said(client, say)?)))?;
        let begun = matches!(request.kind, Kind::Request | Kind::Decline | Kind::Release);
        let ring = usize::from(!begun);
        self.waiting[ring].push_back((client, request));
        Some(ring)
    }

    /// Deals with the first message of a ring, if there is one.
    fn arrive(&mut self, ring: usize) -> bool {
        let Some((client, request)) = self.waiting[ring].pop_front() else { return false };
        if self.bench.now <= request.arrival.plus(STALE).0 {
            let declined = request.options.requested.filter(|_| request.kind == Kind::Decline);
            let mut decided = self.decide(Some(client), Event::Message(request));
            let heeded = !decided.actions.iter().any(|action| matches!(action, Action::Silence { .. }));
            decided.seen = declined.filter(|_| heeded && self.probing).map(|address| (address, true));
            self.carry_on(decided);
        }
        true
    }

    fn probe(&mut self) {
        for (address, _) in std::mem::take(&mut self.bench.probes) {
            let now = self.bench.now;
            let squatted = self.squatters.contains(&address);
            let used = squatted || self.clients.values().any(|belief| belief.holds(now) == Some(address));
            let last_owner = self.bench.policy.lease(address);
            let last_owner = last_owner.and_then(|lease| lease.chaddr.octets().try_into().ok());
            // Now and then nobody can be asked, or nobody is heard.
            let (unreachable, deaf) = (now.is_multiple_of(7), now.is_multiple_of(5));
            let outcome = match used {
                _ if unreachable => action::Outcome::Unreachable,
                _ if deaf => action::Outcome::Unknown,
                // A squatter may be the client that gave the address back and did not leave.
                true => action::Outcome::Answered(last_owner.filter(|_| squatted && now.is_multiple_of(2))),
                false => action::Outcome::Silent,
            };
            let before = self.bench.policy.state(address);
            let decided = self.decide(None, Event::Probed { address, outcome });
            let quarantined = self.bench.policy.state(address) == Some(State::Quarantined);
            let used = match (outcome, before) {
                // Where nobody can be asked, an address that is free by now is offered all the same.
                (action::Outcome::Silent, _) | (action::Outcome::Unreachable, Some(State::Free)) => {
                    Some(false)
                }
                (action::Outcome::Answered(None), Some(State::Free | State::Quarantined)) => Some(true),
                // One that is left alone is nobody's but its last owner's for a while.
                (action::Outcome::Answered(Some(_)), _) if quarantined => Some(true),
                _ => None,
            };
            self.carry_on(Decided { seen: used.map(|used| (address, used)), ..decided });
        }
    }

    /// The kernel goes by its memos: who has given its address back, and asks for it again, has it again.
    fn kernel_renews(&mut self, client: u8) -> bool {
        let now = self.bench.now;
        let belief = *self.belief(client);
        let Some(address) = belief.holds(now).or(belief.last) else { return false };
        // Who has just asked by BOOTP goes on with that.
        let mut waiting = self.waiting[1].iter();
        if waiting.any(|(other, request)| *other == client && request.kind == Kind::Bootp) {
            return false;
        }
        let mine = self.bench.published.iter().rev().find(|published| published.address == address);
        let memo = mine.and_then(|mine| mine.memos.first().map(|memo| (mine.chaddr, memo)));
        let Some((_, memo)) = memo.filter(|(chaddr, memo)| clients::is_known_by(client, *chaddr, memo))
        else {
            return false;
        };
        let lease_time = memo.answer.lease_time;
        if !self.bench.kernel_renews_for(address, lease_time) {
            return false;
        }
        self.events += 1;
        // What the configuration ends is renewed until it is seen to.
        if !self.bench.policy.is_in_doubt(address) {
            self.is_the_clients(client, address);
        }
        self.belief(client).obtain(address, now + lease_time);
        true
    }

    fn beat(&mut self) {
        for address in (0..ADDRESSES).map(address) {
            let word = self.bench.words.load(address);
            if word.alive() {
                self.put(None, Event::Extended { address, word, renewals: 1, is_last_answer: true });
            }
        }
    }

    fn end_batch(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        self.carry_out(batch);
        self.bench.check();
        // An address that the configuration left out for longer than its quarantine is a new one.
        let Bench { policy, store, .. } = &self.bench;
        self.seen_in_use.retain(|address| policy.state(*address).is_some() || store.contains_key(address));
    }

    fn end_half(&mut self) {
        let rest = self.batch.split_off(self.batch.len().div_ceil(2));
        let first = std::mem::replace(&mut self.batch, rest);
        self.carry_out(first);
    }

    fn carry_out(&mut self, batch: Vec<Decided>) {
        for decided in &batch {
            self.bench.commit(&decided.actions);
        }
        for Decided { client, actions, seen } in batch {
            self.note(seen);
            self.act(client, actions);
        }
    }

    fn act(&mut self, client: Option<u8>, actions: Vec<Action>) {
        for (to, outcome) in self.bench.act_for(actions) {
            let Some(client) = to.as_deref().map(sender).or(client) else { continue };
            if let (Some(request), Some(yiaddr)) = (&to, outcome.offered()) {
                assert_eq!(request.relayed(), clients::is_relayed(yiaddr), "{yiaddr} is of another link");
            }
            self.note_response(client, to.map(|request| request.xid), outcome);
        }
    }

    fn note(&mut self, seen: Option<(Ipv4Addr, bool)>) {
        match seen {
            Some((address, true)) => drop(self.seen_in_use.insert(address)),
            Some((address, false)) => drop(self.seen_in_use.remove(&address)),
            None => {}
        }
    }

    fn note_response(&mut self, client: u8, xid: Option<u32>, outcome: Response) {
        let now = self.bench.now;
        let heeded = xid == Some(self.belief(client).xid);
        match outcome {
            Response::Reply(Reply::Offer { yiaddr, .. }) => {
                self.is_the_clients(client, yiaddr);
                assert!(!self.seen_in_use.contains(&yiaddr), "{yiaddr} was seen in use");
                // One that has taken another server's offer meanwhile hears this one no more: it may be another's by now.
                if heeded {
                    for (other, belief) in self.clients.iter().filter(|(other, _)| **other != client) {
                        let awaited = belief.awaits(now);
                        assert_ne!(awaited, Some(yiaddr), "offered to {client}, and to {other} still");
                    }
                    self.belief(client).offered = Some((yiaddr, now + self.bench.config.server.offer_hold));
                }
            }
            Response::Reply(Reply::Ack { yiaddr, answer, .. }) => {
                self.is_the_clients(client, yiaddr);
                let until = now + answer.lease_time;
                let record = &self.bench.store[&yiaddr];
                assert_eq!(record.standing, Standing::Leased, "an ACK without a commit");
                assert_eq!(record.chaddr.octets(), mac(client));
                assert!(record.committed_until >= BootSecs(until), "an ACK beyond what is committed");
                if heeded {
                    self.belief(client).obtain(yiaddr, until);
                }
            }
            Response::Reply(Reply::Bootp { yiaddr, .. }) => {
                self.is_the_clients(client, yiaddr);
                let record = &self.bench.store[&yiaddr];
                assert_eq!(record.standing, Standing::Leased, "a BOOTREPLY without a commit");
                assert_eq!(record.committed_until, BootSecs(FOREVER));
                assert!(!self.bench.words.load(yiaddr).alive(), "the kernel has nothing to do with it");
                if heeded {
                    self.belief(client).obtain(yiaddr, FOREVER);
                }
            }
            Response::Reply(Reply::Nak { .. }) if heeded => self.belief(client).forget(),
            Response::Reply(_) | Response::Silence(_) | Response::Done => {}
        }
    }

    /// Nobody else has the address, and the configuration gives it to such clients.
    fn is_the_clients(&self, client: u8, address: Ipv4Addr) {
        assert!(
            clients::is_for(&self.bench.config.subnets, client, address),
            "{address} is not for {client}"
        );
        let now = self.bench.now;
        for (other, belief) in self.clients.iter().filter(|(other, _)| **other != client) {
            let breach = belief.holds(now) == Some(address);
            assert!(!breach, "{address} is {other}'s ({belief:?}), and {client} got it at {now}");
        }
    }

    fn crash(&mut self, committed: bool, maps: bool) {
        let batch = std::mem::take(&mut self.batch);
        if committed {
            for decided in batch {
                self.bench.commit(&decided.actions);
                self.note(decided.seen);
            }
        }
        self.waiting = Default::default();
        let former = std::mem::replace(&mut self.reload, Reload::Over);
        self.restart(maps);
        self.let_offers_lapse();
        if let Reload::Settling = former {
            // What the configuration ends, and had not come to, the restart does.
            self.end_what_was_for_good();
        }
    }
}
