//! Policy from the outside: events in, actions out, with words and a store that keep what they are told.

mod allocation;
mod answers;
mod basis;
mod bootp;
mod calendar;
mod circuit_cap;
mod class_cap;
mod classes;
mod conformance;
mod device_cap;
mod dropping;
mod entitlement;
mod evidence;
mod horizon;
mod host_addresses;
mod imports;
mod interfaces;
mod lease_times;
mod leasequery;
mod leaving;
mod links;
mod machine;
mod origins;
mod pages;
mod predictions;
mod probing;
mod reloads;
mod requests;
mod restarts;
mod scale;
mod shares;
mod standing;
mod subnets_without_pools;
pub(crate) mod wire;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use dhcp_ebpf::lease::{BootSecs, Word};

use super::*;
use crate::config::{
    Boot, Bootp, Class, ClassSet, Config, LeaseTimes, OptionSet, Overrides, Pool, Prefix, Reservation,
    ReservationKey, Server, Subnet, Vlan,
};
use crate::message::{Kind, Request};
use crate::store::{Change, HwAddr, QuarantineCause, Record, Standing};
use wire::{Draft, IFINDEX, SERVER};

pub(crate) const LEASE_TIME: u32 = 1000;
pub(crate) const GRACE: u32 = 100;
pub(crate) const RELAY: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
pub(crate) const START: u32 = 50_000;

pub(crate) fn host(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, last)
}

/// This address alone.
pub(crate) fn only(address: Ipv4Addr) -> Pool {
    Pool { first: address, last: address }
}

/// A /24 with a pool of its addresses from `first` to `last`.
pub(crate) fn subnet(first: u8, last: u8) -> Subnet {
    let mut options = OptionSet::default();
    options.0.insert(3, SERVER.octets().to_vec());
    options.0.insert(6, vec![192, 0, 2, 53]);
    options.0.insert(15, b"example.org".to_vec());
    Subnet {
        prefix: Prefix { network: host(0), len: 24 },
        vlan: Vlan::default(),
        shared_network: None,
        pools: vec![Pool { first: host(first), last: host(last) }.into()],
        times: LeaseTimes {
            lease: LEASE_TIME,
            renew: LEASE_TIME / 2,
            rebind: LEASE_TIME * 7 / 8,
            min: 60,
            max: 2 * LEASE_TIME,
            when_full: None,
        },
        grace: GRACE,
        authoritative: true,
        bootp: Bootp::Off,
        relays: Vec::new(),
        server_id: None,
        probe: None,
        max_leases_per_device: 4,
        max_leases_per_ras_device: 32,
        max_leases_per_device_in_use: 64,
        max_leases_per_circuit: None,
        trust_agent_information: None,
        options,
        boot: Boot::default(),
        reservations: Vec::new(),
    }
}

/// A subnet behind [`RELAY`].
pub(crate) fn relayed_subnet() -> Subnet {
    let last = |last| Ipv4Addr::new(10, 9, 0, last);
    Subnet {
        prefix: Prefix { network: last(0), len: 24 },
        pools: vec![Pool { first: last(10), last: last(19) }.into()],
        ..subnet(0, 0)
    }
}

pub(crate) fn reserved(mac: u8, address: Ipv4Addr) -> Reservation {
    Reservation {
        key: ReservationKey::HwAddress([2, 0, 0, 0, 1, mac]),
        address: Some(address),
        host_name: None,
        classes: ClassSet::default(),
        overrides: Overrides::default(),
    }
}

/// Lease words as in a map of the kernel's.
#[derive(Debug, Default)]
pub(crate) struct Memory(RefCell<BTreeMap<Ipv4Addr, Word>>);

impl Words for Memory {
    fn load(&self, address: Ipv4Addr) -> Word {
        self.0.borrow().get(&address).copied().unwrap_or_default()
    }

    fn revoke(&self, address: Ipv4Addr, judged: Word) -> Result<Word, Word> {
        let current = self.load(address);
        if current != judged {
            return Err(current);
        }
        self.0.borrow_mut().insert(address, judged.revoked());
        Ok(judged.revoked())
    }
}

impl Memory {
    pub(crate) fn set(&self, address: Ipv4Addr, word: Word) {
        self.0.borrow_mut().insert(address, word);
    }
}

/// A server around the policy: a clock, words, a store, and what was published.
pub(crate) struct Bench {
    pub(crate) config: Config,
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) policy: Policy,
    pub(crate) words: Memory,
    pub(crate) now: u32,
    pub(crate) store: BTreeMap<Ipv4Addr, Record>,
    pub(crate) horizons: BTreeMap<Ipv4Addr, BootSecs>,
    pub(crate) published: Vec<Publication>,
    pub(crate) events: Vec<LeaseEvent>,
    /// Probes asked for and not carried out yet.
    pub(crate) probes: Vec<(Ipv4Addr, Via)>,
    /// Whose answers to them don't count.
    pub(crate) except: BTreeMap<Ipv4Addr, Arc<[[u8; 6]]>>,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Response {
    Reply(Reply),
    Silence(Silence),
    Done,
}

impl Response {
    pub(crate) fn offered(&self) -> Option<Ipv4Addr> {
        if let Self::Reply(Reply::Offer { yiaddr, .. }) = self { Some(*yiaddr) } else { None }
    }

    pub(crate) fn acked(&self) -> Option<Ipv4Addr> {
        if let Self::Reply(Reply::Ack { yiaddr, .. }) = self { Some(*yiaddr) } else { None }
    }

    pub(crate) fn is_nak(&self) -> bool {
        matches!(self, Self::Reply(Reply::Nak { .. }))
    }

    pub(crate) fn answer(&self) -> &Answer {
        match self {
            Self::Reply(
                Reply::Offer { answer, .. }
                | Reply::Ack { answer, .. }
                | Reply::InformAck { answer, .. }
                | Reply::Nak { answer, .. }
                | Reply::Bootp { answer, .. }
                | Reply::Lease { answer, .. },
            ) => answer,
            other => panic!("no answer: {other:?}"),
        }
    }

    /// The value of option `code` in the answer's option area.
    pub(crate) fn option(&self, code: u8) -> Option<Vec<u8>> {
        options(&self.answer().options).into_iter().find(|(there, _)| *there == code).map(|(_, value)| value)
    }

    pub(crate) fn codes(&self) -> Vec<u8> {
        options(&self.answer().options).into_iter().map(|(code, _)| code).collect()
    }
}

/// The options of an area, as they stand there.
pub(crate) fn options(area: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut out = Vec::new();
    let mut rest = area;
    while let [code, length, tail @ ..] = rest {
        let (value, next) = tail.split_at(usize::from(*length));
        out.push((*code, value.to_vec()));
        rest = next;
    }
    assert_eq!(rest, [255], "END comes last");
    out
}

impl Bench {
    pub(crate) fn new(subnets: Vec<Subnet>) -> Self {
        Self::of(Vec::new(), subnets)
    }

    pub(crate) fn of(classes: Vec<Class>, subnets: Vec<Subnet>) -> Self {
        let config = Config::of(Server::default(), Vec::new(), classes, subnets);
        Self {
            policy: Policy::new(&config, interfaces(), 7),
            interfaces: interfaces(),
            config,
            words: Memory::default(),
            now: START,
            store: BTreeMap::new(),
            horizons: BTreeMap::new(),
            published: Vec::new(),
            events: Vec::new(),
            probes: Vec::new(),
            except: BTreeMap::new(),
        }
    }

    pub(crate) fn handle(&mut self, event: Event) -> Vec<Action> {
        let mut out = Vec::new();
        self.policy.handle(BootSecs(self.now), &self.words, event, &mut out);
        out
    }

    /// A message alone in its batch.
    pub(crate) fn send(&mut self, draft: &Draft) -> Response {
        let request = draft.request(self.now);
        // As the driver does.
        let word = (request.kind == Kind::Release).then(|| self.words.load(request.ciaddr));
        let request = Arc::new(Request { word, ..(*request).clone() });
        let actions = self.handle(Event::Message(request));
        self.carry_out(actions).pop().unwrap_or(Response::Done)
    }

    /// What the shell does with the actions of a batch. Every promise is checked to be committed first.
    pub(crate) fn carry_out(&mut self, actions: Vec<Action>) -> Vec<Response> {
        self.commit(&actions);
        let outcomes = self.act(actions);
        self.check();
        outcomes
    }

    pub(crate) fn commit(&mut self, actions: &[Action]) {
        for action in actions {
            let Action::Commit(change) = action else { continue };
            match change.clone() {
                Change::Put(record) => self.store.insert(record.address, record),
                Change::Delete(address) => self.store.remove(&address),
            };
        }
    }

    pub(crate) fn act(&mut self, actions: Vec<Action>) -> Vec<Response> {
        self.act_for(actions).into_iter().map(|(_, response)| response).collect()
    }

    /// What is told to whom.
    pub(crate) fn act_for(&mut self, actions: Vec<Action>) -> Vec<(Option<Arc<Request>>, Response)> {
        let mut outcomes = Vec::new();
        for action in actions {
            match action {
                Action::Commit(_) => {}
                Action::Publish(publication) => self.publish(publication),
                Action::Horizon { address, generation, until } => {
                    if self.words.load(address).generation() == generation {
                        self.move_horizon(address, until);
                    }
                }
                Action::Reply { granted: Some(granted), .. }
                    if self.words.load(granted.address).generation() != granted.generation => {}
                Action::Reply { request, reply, .. } => {
                    outcomes.push((Some(request), Response::Reply(reply)));
                }
                Action::Silence { request, why } => outcomes.push((Some(request), Response::Silence(why))),
                Action::Probe { address, via, except } => {
                    self.probes.push((address, via));
                    self.except.insert(address, except);
                }
                Action::Event(event) => self.events.push(event),
            }
        }
        outcomes
    }

    fn publish(&mut self, publication: Publication) {
        let word = self.words.load(publication.address);
        if word.generation() != publication.generation {
            return;
        }
        let after =
            if word.alive() { word.extended(publication.expiry) } else { word.granted(publication.expiry) };
        self.words.set(publication.address, after);
        self.move_horizon(publication.address, publication.horizon);
        self.published.push(publication);
    }

    fn move_horizon(&mut self, address: Ipv4Addr, until: BootSecs) {
        let committed = self.store.get(&address).map(|record| record.committed_until);
        assert!(committed >= Some(until), "{address}: horizon {until:?} beyond {committed:?}");
        self.horizons.insert(address, until);
    }

    /// What must hold after each batch.
    pub(crate) fn check(&self) {
        assert_eq!(self.policy.audit(&self.words), []);
        for address in self.policy.pools().flat_map(|pool| pool.pool.iter()) {
            assert_eq!(self.policy.audit_record(address, self.store.get(&address)), None, "{address}");
        }
        for (address, word) in self.words.0.borrow().iter().filter(|(_, word)| word.alive()) {
            assert!(word.expiry() <= self.horizons[address], "{address} is promised beyond its horizon");
        }
    }

    /// What the kernel does with a renewal at this second; false if it sends it up.
    pub(crate) fn kernel_renews(&mut self, address: Ipv4Addr) -> bool {
        self.kernel_renews_for(address, LEASE_TIME)
    }

    /// The same for a lease of another time.
    pub(crate) fn kernel_renews_for(&mut self, address: Ipv4Addr, lease_time: u32) -> bool {
        let word = self.words.load(address);
        let expiry = BootSecs(self.now + 1 + lease_time);
        if !word.holds(BootSecs(self.now))
            || self.horizons.get(&address).is_none_or(|horizon| expiry > *horizon)
        {
            return false;
        }
        self.words.set(address, word.granted(expiry));
        true
    }

    /// The daemon's beat sees the word of `address`.
    pub(crate) fn beat(&mut self, address: Ipv4Addr) {
        let word = self.words.load(address);
        let actions = self.handle(Event::Extended { address, word, renewals: 1, is_last_answer: true });
        self.carry_out(actions);
    }

    pub(crate) fn tick(&mut self) {
        let actions = self.handle(Event::Tick);
        self.carry_out(actions);
    }

    pub(crate) fn pass(&mut self, secs: u32) {
        self.now += secs;
        self.tick();
    }

    /// All probes asked for are carried out; those of `used` addresses are answered, by a station of that number.
    pub(crate) fn probe(&mut self, used: &[Ipv4Addr]) -> Vec<Response> {
        let mut responses = Vec::new();
        for (address, _) in std::mem::take(&mut self.probes) {
            let answered = action::Outcome::Answered(Some([2, 0, 0, 0, 9, 9]));
            let outcome = if used.contains(&address) { answered } else { action::Outcome::Silent };
            let actions = self.handle(Event::Probed { address, outcome });
            responses.extend(self.carry_out(actions));
        }
        responses
    }

    /// The whole exchange of a client that takes what it is offered.
    pub(crate) fn lease(&mut self, mac: u8) -> Ipv4Addr {
        let address = self.send(&Draft::discover(mac)).offered().expect("an offer");
        let outcome = self.send(&Draft::select(mac, SERVER, address));
        assert_eq!(outcome.acked(), Some(address));
        address
    }

    pub(crate) fn state(&self, address: Ipv4Addr) -> State {
        self.policy.state(address).expect("an address of ours")
    }

    pub(crate) fn happened(&self, address: Ipv4Addr) -> Vec<Happened> {
        let of = |event: &LeaseEvent| match event {
            LeaseEvent::Lease { address: there, what, .. } if *there == address => Some(*what),
            _ => None,
        };
        self.events.iter().filter_map(of).collect()
    }

    /// A changed configuration is applied.
    pub(crate) fn reload(&mut self, subnets: Vec<Subnet>) -> Reloaded {
        let mut going = self.begin_reload(subnets);
        while !self.bring_along(&mut going, 1) {}
        self.go_over(going);
        loop {
            if let Some(done) = self.settle_some(1) {
                return done;
            }
        }
    }

    /// Begins to go over to a changed configuration, which is not in force yet.
    pub(crate) fn begin_reload(&mut self, subnets: Vec<Subnet>) -> (Config, Changeover) {
        let mut config = self.config.clone();
        config.subnets = subnets;
        let next = self.policy.successor()(&config, self.interfaces.clone());
        (config, self.policy.begin_changeover(next))
    }

    /// A step of that; whether it was the last.
    pub(crate) fn bring_along(&mut self, (_, going): &mut (Config, Changeover), work: usize) -> bool {
        self.policy.bring_along(going, BootSecs(self.now), work)
    }

    /// It is in force from now on.
    pub(crate) fn go_over(&mut self, (config, going): (Config, Changeover)) {
        self.config = config;
        self.policy.change_over(going);
        self.check();
    }

    /// A step of what it ends; what it did in all, if that was the last.
    pub(crate) fn settle_some(&mut self, work: usize) -> Option<Reloaded> {
        let mut out = Vec::new();
        let settled = self.policy.settle_some(BootSecs(self.now), &self.words, work, &mut out);
        self.carry_out(out);
        match settled {
            ChangeoverProgress::Some => None,
            ChangeoverProgress::All(done, _) => Some(done),
        }
    }

    /// The daemon dies and comes back; `maps` says whether the kernel's maps are still there.
    pub(crate) fn restart(&mut self, maps: bool) {
        if !maps {
            self.words = Memory::default();
            self.horizons.clear();
        }
        self.policy = Policy::new(&self.config, self.interfaces.clone(), 8);
        let mut records: Vec<Record> = self.store.values().cloned().collect();
        records.sort_by_key(|record| record.expiry);
        let mut out = Vec::new();
        self.policy.restore(BootSecs(self.now), &self.words, records, &[], &mut out);
        // As the shell does with what is of no pool and no reservation any more.
        let alive: Vec<Ipv4Addr> = self.words.0.borrow().keys().copied().collect();
        for address in alive.into_iter().filter(|address| self.policy.state(*address).is_none()) {
            revoke_anyway(&self.words, address);
        }
        self.carry_out(out);
    }
}

fn interfaces() -> Vec<Interface> {
    vec![Interface {
        name: "eth0".to_owned(),
        ifindex: IFINDEX,
        mac: [2, 0, 0, 0, 0, 0xfe],
        mtu: 1500,
        addresses: vec![SERVER],
    }]
}
