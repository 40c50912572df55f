//! Machines, each with a kernel that answers renewals and, at times, a daemon; and clients.
#![allow(
    clippy::cast_possible_truncation,
    reason = "small numbers by chance, and a time of some thousand seconds"
)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use dhcp_ebpf::lease::BootSecs;

use super::Wrong;
use super::etcd::Etcd;
use crate::cluster::keys::Key;
use crate::cluster::node::Identity;
use crate::cluster::values::{self, Ending, Lease, Living};
use crate::cluster::{Block, Effect, Instance, Need, Node, Outcome, Pools, Transaction};
use crate::store::{BootId, Change, Clock, HwAddr, Record, Standing, StoreId};

const LEASE_TIME: u32 = 300;
const HORIZON: u32 = 600;
const MACHINES: usize = 3;
const CLIENTS: u8 = 6;

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) granted: u32,
    pub(super) renewed: u32,
    pub(super) renewed_without_daemon: u32,
    pub(super) taken_over: u32,
    pub(super) fenced: u32,
    pub(super) cleared: u32,
    pub(super) refused: u32,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Self) {
        self.granted += other.granted;
        self.renewed += other.renewed;
        self.renewed_without_daemon += other.renewed_without_daemon;
        self.taken_over += other.taken_over;
        self.fenced += other.fenced;
        self.cleared += other.cleared;
        self.refused += other.refused;
    }
}

pub(super) struct World {
    /// True seconds.
    time: f64,
    random: u64,
    etcd: Etcd,
    machines: Vec<Machine>,
    /// What each client was promised, by address: until when, in true seconds.
    promises: BTreeMap<Ipv4Addr, BTreeMap<u8, f64>>,
    wrong: Option<Wrong>,
    /// Much happens before a promise runs out.
    is_busy: bool,
    pub(super) tally: Tally,
    told: VecDeque<String>,
}

struct Machine {
    name: String,
    number: u128,
    /// How often it was started.
    boot: u128,
    /// Its clock shows this at the beginning, and runs so fast.
    offset: f64,
    rate: f64,
    words: BTreeMap<Ipv4Addr, Word>,
    daemon: Option<Daemon>,
    /// Transactions outlive the daemon that sent them, for a while.
    sent: Vec<Transaction>,
    paused: bool,
    /// The watch tells nothing, and transactions go on.
    is_deaf: bool,
}

/// A lease word of the kernel.
#[derive(Clone, Copy, Debug)]
struct Word {
    client: u8,
    alive: bool,
    expiry: u32,
    horizon: u32,
}

struct Daemon {
    node: Node,
    cursor: usize,
    answers: Vec<(u64, Outcome)>,
    begun: bool,
    owned: BTreeSet<Block>,
    withheld: BTreeSet<Ipv4Addr>,
    book: BTreeMap<Ipv4Addr, State>,
    decided: Vec<Decided>,
    committing: Vec<Decided>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Leased { client: u8, until: u32 },
    Ended { client: u8, until: u32 },
    Free,
}

/// A decision that waits for its commit.
#[derive(Clone, Debug)]
struct Decided {
    address: Ipv4Addr,
    record: Record,
    then: Then,
}

#[derive(Clone, Copy, Debug)]
enum Then {
    Acknowledge { client: u8, until: u32 },
    Publish { client: u8, expiry: u32, until: u32 },
    Horizon(u32),
    Nothing,
}

/// Two addresses in each of four blocks.
fn addresses() -> impl Iterator<Item = Ipv4Addr> + Clone {
    (0..4).flat_map(|block| (1..=2).map(move |last| Ipv4Addr::new(10, 0, block, last)))
}

fn pools() -> Pools {
    addresses().map(|address| (Block::of(address), Need { addresses: 2, reserved: false })).collect()
}

fn record(address: Ipv4Addr, standing: Standing, client: u8, expiry: u32, until: u32) -> Record {
    Record {
        standing,
        chaddr: HwAddr::ethernet([2, 0, 0, 0, 0, client]),
        expiry: BootSecs(expiry),
        committed_until: BootSecs(until),
        lease_time: LEASE_TIME,
        address,
        recurrences: 0,
        client_id: None,
        interface: "eth0".into(),
        vlan: (0, 0),
        giaddr: Ipv4Addr::UNSPECIFIED,
        server: Ipv4Addr::UNSPECIFIED,
        host_name: None,
        shortened: false,
        kernel_renewals: 0,
        last_heard: BootSecs(0),
        agent_info: None,
        adopted: false,
        classes: Vec::new(),
    }
}

impl Machine {
    fn clock(&self, time: f64) -> u32 {
        (self.offset + time * self.rate) as u32
    }
}

impl World {
    pub(super) fn new(seed: u64, wrong: Option<Wrong>) -> Self {
        let mut this = Self {
            time: 0.0,
            random: seed,
            etcd: Etcd::default(),
            machines: Vec::new(),
            promises: BTreeMap::new(),
            wrong,
            is_busy: seed % 2 == 1,
            tally: Tally::default(),
            told: VecDeque::new(),
        };
        for index in 0..MACHINES {
            let offset = f64::from(this.below(5_000) as u32 + 100);
            let rate = 1.0 + (this.below(200) as f64 - 100.0) / 100_000.0;
            let name = char::from(b'a' + index as u8).to_string();
            this.machines.push(Machine {
                name,
                number: index as u128 + 1,
                boot: 0,
                offset,
                rate,
                words: BTreeMap::new(),
                daemon: None,
                sent: Vec::new(),
                paused: false,
                is_deaf: false,
            });
        }
        this
    }

    pub(super) fn told(&self) -> String {
        self.told.iter().fold(String::new(), |mut all, line| {
            let _ = writeln!(all, "{line}");
            all
        })
    }

    fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.told.len() == 200 {
            self.told.pop_front();
        }
        self.told.push_back(format!("{:.1} {}", self.time, what()));
    }

    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn run(&mut self, steps: usize) -> Result<(), String> {
        for _ in 0..steps {
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), String> {
        self.time += match self.below(200) {
            0 if self.is_busy => 20.0,
            0 => 250.0,
            1..=20 if !self.is_busy => 5.0,
            _ => 0.3,
        };
        let at = self.below(MACHINES as u64) as usize;
        if self.machines[at].paused {
            // It is stopped, or cut off from everything but clients: its kernel answers.
            if self.below(60) == 0 {
                self.machines[at].paused = false;
                self.tell(|| format!("machine {at} goes on"));
            }
            self.run_out(at, 30);
            return self.renew(at);
        }
        if self.machines[at].daemon.is_none() {
            self.run_out(at, 15);
        }
        let is_deaf = self.machines[at].is_deaf;
        if self.below(if is_deaf { 40 } else { 200 }) == 0 {
            self.machines[at].is_deaf = !is_deaf;
            self.tell(|| format!("the watch of machine {at} stands still: {}", !is_deaf));
        }
        match self.below(100) {
            0 if self.below(3) == 0 => self.machines[at].paused = true,
            1 if self.below(3) == 0 => self.crash(at, false),
            2 if self.below(20) == 0 => self.crash(at, true),
            // Whatever etcd's leases do.
            3 => self.run_out(at, 3),
            4..=12 if self.below(6) == 0 => self.start(at),
            13..=40 => self.carry_out(at),
            41..=62 => self.deliver(at)?,
            63..=67 => self.tick(at)?,
            68..=77 => self.grant(at),
            78..=82 => self.extend(at),
            83 => self.end(at),
            84..=87 => self.release(at),
            _ => self.renew(at)?,
        }
        self.settle(at);
        self.commit(at)
    }

    /// Perhaps the etcd lease of the node runs out.
    fn run_out(&mut self, at: usize, one_in: u64) {
        let key = Key::Node(self.machines[at].name.clone()).name();
        if self.below(one_in) == 0 && self.etcd.get(&key).is_some() {
            self.etcd.delete(self.time, &key);
            self.tell(|| format!("the key of machine {at} goes"));
        }
    }

    /// A daemon dies; with the machine, its words are gone too.
    fn crash(&mut self, at: usize, with_machine: bool) {
        let machine = &mut self.machines[at];
        machine.daemon = None;
        if with_machine {
            machine.words.clear();
            machine.boot += 1;
        }
        self.tell(|| format!("daemon {at} dies, machine: {with_machine}"));
    }

    fn start(&mut self, at: usize) {
        if self.machines[at].daemon.is_some() {
            return;
        }
        let (time, wrong) = (self.time, self.wrong);
        let machine = &mut self.machines[at];
        let now = BootSecs(machine.clock(time));
        let key = Key::Node(machine.name.clone()).name();
        self.etcd.delete(time, &key);
        let epoch = self.etcd.put(time, &key, values::write(&Living { instance: Instance(machine.number) }));
        // Each has boots of its own.
        let boot = BootId(machine.boot << 8 | machine.number << 4);
        let instance = Instance(machine.number).in_boot(boot);
        let me = Identity { name: machine.name.clone(), instance, epoch };
        let clock = Clock::resume(None, boot, now);
        let mut node = Node::new(me, clock, StoreId(machine.number), vec![pools()]);
        node.wrong = wrong;
        node.watched(now, self.etcd.all());
        node.begin(now);
        machine.daemon = Some(Daemon {
            node,
            cursor: self.etcd.log.len(),
            answers: Vec::new(),
            begun: false,
            owned: BTreeSet::new(),
            withheld: BTreeSet::new(),
            book: BTreeMap::new(),
            decided: Vec::new(),
            committing: Vec::new(),
        });
        self.tell(|| format!("daemon {at} starts in epoch {epoch}"));
    }

    /// Etcd carries out a transaction of the machine, and the answer is under way, or lost.
    fn carry_out(&mut self, at: usize) {
        if self.machines[at].sent.is_empty() {
            return;
        }
        let which = self.below(self.machines[at].sent.len() as u64) as usize;
        let transaction = self.machines[at].sent.remove(which);
        let fate = self.below(12);
        let outcome = if fate == 0 { Outcome::Unknown } else { self.etcd.transact(self.time, &transaction) };
        let outcome = if fate == 1 { Outcome::Unknown } else { outcome };
        if let Some(daemon) = &mut self.machines[at].daemon {
            daemon.answers.push((transaction.number, outcome));
        }
    }

    /// The node sees something of what has happened, in the watch or by an answer.
    fn deliver(&mut self, at: usize) -> Result<(), String> {
        let (coin, some) = (self.below(2), self.below(6) as usize + 1);
        let is_deaf = self.machines[at].is_deaf;
        let now = BootSecs(self.machines[at].clock(self.time));
        let Some(daemon) = &mut self.machines[at].daemon else { return Ok(()) };
        if (coin == 0 || is_deaf) && !daemon.answers.is_empty() {
            let (number, outcome) = daemon.answers.remove(0);
            daemon.node.answered(now, number, outcome);
        } else if !is_deaf {
            let end = (daemon.cursor + some).min(self.etcd.log.len());
            let news = self.etcd.log[daemon.cursor..end].to_vec();
            daemon.cursor = end;
            daemon.node.watched(now, news);
        }
        self.effects(at)
    }

    fn tick(&mut self, at: usize) -> Result<(), String> {
        let now = BootSecs(self.machines[at].clock(self.time));
        let Some(daemon) = &mut self.machines[at].daemon else { return Ok(()) };
        daemon.node.tick(now);
        self.effects(at)
    }

    fn effects(&mut self, at: usize) -> Result<(), String> {
        while let Some(effect) =
            self.machines[at].daemon.as_mut().and_then(|daemon| daemon.node.next_effect())
        {
            match effect {
                Effect::Transact(transaction) => self.machines[at].sent.push(transaction),
                Effect::Committed => self.committed(at)?,
                Effect::Refused(why) => {
                    self.tally.refused += 1;
                    self.tell(|| format!("daemon {at}: {why}"));
                    return Err(format!("policy was let decide what can't be committed: {why}"));
                }
                Effect::Owned(block, withheld) => self.owned(at, block, withheld),
                Effect::Cleared(addresses) => {
                    self.tally.cleared += addresses.len() as u32;
                    self.tell(|| format!("daemon {at}: cleared {addresses:?}"));
                    let daemon = self.machines[at].daemon.as_mut().expect("it is there");
                    for address in addresses {
                        daemon.withheld.remove(&address);
                    }
                }
                Effect::Over(why) => {
                    self.tally.fenced += 1;
                    self.tell(|| format!("daemon {at} is over: {why}"));
                    self.machines[at].daemon = None;
                }
            }
        }
        let now = self.machines[at].clock(self.time);
        let machine = &mut self.machines[at];
        let Some(daemon) = &mut machine.daemon else { return Ok(()) };
        if !daemon.begun && daemon.node.has_begun() {
            daemon.begun = true;
            // Its kernel promises nothing more where it is not the owner.
            let mut until = 0;
            for (address, word) in &mut machine.words {
                if !daemon.owned.contains(&Block::of(*address)) {
                    word.alive = false;
                    // Also of one that was revoked before.
                    until = until.max(word.expiry);
                }
            }
            daemon.node.acknowledge(BootSecs(now), BootSecs(until));
            return self.effects(at);
        }
        Ok(())
    }

    /// The daemon takes over a block, or has it again.
    fn owned(&mut self, at: usize, block: Block, withheld: Vec<Ipv4Addr>) {
        let now = self.machines[at].clock(self.time);
        self.tally.taken_over += 1;
        self.tell(|| format!("daemon {at} owns {block}, withheld {withheld:?}"));
        let machine = &mut self.machines[at];
        let daemon = machine.daemon.as_mut().expect("it is there");
        daemon.owned.insert(block);
        daemon.withheld.extend(withheld);
        for known in daemon.node.records_of(block).expect("readable") {
            let client = known.chaddr.octets()[5];
            let word = machine.words.get(&known.address).copied().filter(|word| word.alive);
            let until = known.committed_until.0.max(word.map_or(0, |word| word.expiry.max(word.horizon)));
            let state = match known.standing {
                Standing::Leased if word.is_some_and(|word| word.client != client) => {
                    // What this kernel promised somebody else is over: its record is another's.
                    machine.words.get_mut(&known.address).expect("it is there").alive = false;
                    State::Leased { client, until: known.committed_until.0 }
                }
                Standing::Leased => State::Leased { client, until },
                Standing::Grace => State::Ended { client, until: known.expiry.0.max(until) },
                _ => State::Free,
            };
            let state = match (machine.words.get_mut(&known.address).filter(|word| word.alive), state) {
                (Some(word), state @ (State::Ended { .. } | State::Free)) => {
                    word.alive = false;
                    // What this kernel promised stands, whatever became of the lease at other nodes meanwhile.
                    let until = match state {
                        State::Ended { until, .. } => until.max(word.expiry),
                        _ => word.expiry,
                    };
                    let client = word.client;
                    let record = record(known.address, Standing::Grace, client, until, until);
                    daemon.decided.push(Decided { address: known.address, record, then: Then::Nothing });
                    State::Ended { client, until }
                }
                (_, state) => state,
            };
            if let State::Leased { client, until } = state
                && until > now
            {
                let record = record(known.address, Standing::Leased, client, until, until);
                let then = Then::Publish { client, expiry: until, until };
                daemon.decided.push(Decided { address: known.address, record, then });
            }
            daemon.book.insert(known.address, state);
        }
    }

    fn grant(&mut self, at: usize) {
        let client = self.below(CLIENTS.into()) as u8;
        let from = self.below(8) as usize;
        let now = self.machines[at].clock(self.time);
        let Some(daemon) = self.machines[at].daemon.as_mut().filter(|daemon| daemon.begun) else { return };
        let state = |address: &Ipv4Addr| daemon.book.get(address).cloned().unwrap_or(State::Free);
        let open = |address: &Ipv4Addr| {
            daemon.owned.contains(&Block::of(*address))
                && !daemon.withheld.contains(address)
                && state(address) == State::Free
        };
        let Some(address) = addresses().cycle().skip(from).take(8).find(open) else { return };
        let until = now + HORIZON;
        daemon.book.insert(address, State::Leased { client, until });
        let record = record(address, Standing::Leased, client, now + LEASE_TIME, until);
        daemon.decided.push(Decided { address, record, then: Then::Acknowledge { client, until } });
    }

    /// The daemon moves a horizon ahead.
    fn extend(&mut self, at: usize) {
        let now = self.machines[at].clock(self.time);
        let which = self.below(8) as usize;
        let machine = &mut self.machines[at];
        let Some(daemon) = &mut machine.daemon else { return };
        let Some(address) = addresses().nth(which) else { return };
        let Some(State::Leased { client, until }) = daemon.book.get_mut(&address) else { return };
        let Some(word) = machine
            .words
            .get(&address)
            .filter(|word| word.alive && word.expiry > now && word.client == *client)
        else {
            return;
        };
        *until = (*until).max(now + HORIZON);
        let record = record(address, Standing::Leased, *client, word.expiry, *until);
        daemon.decided.push(Decided { address, record, then: Then::Horizon(*until) });
    }

    /// The operator ends a lease: its client may go on with it for as long as it was promised.
    fn end(&mut self, at: usize) {
        let now = self.machines[at].clock(self.time);
        let which = self.below(8) as usize;
        let machine = &mut self.machines[at];
        let Some(daemon) = &mut machine.daemon else { return };
        let Some(address) = addresses().nth(which) else { return };
        let Some(State::Leased { client, until }) = daemon.book.get(&address).cloned() else { return };
        // One that is being committed goes first.
        if daemon.committing.iter().chain(&daemon.decided).any(|decided| decided.address == address) {
            return;
        }
        let promised = machine.words.get_mut(&address).filter(|word| word.alive).map_or(until, |word| {
            word.alive = false;
            word.expiry
        });
        daemon.book.insert(address, State::Ended { client, until: promised });
        let record = record(
            address,
            if promised > now { Standing::Grace } else { Standing::Free },
            client,
            promised,
            promised,
        );
        daemon.decided.push(Decided { address, record, then: Then::Nothing });
    }

    /// A client gives its address back.
    fn release(&mut self, at: usize) {
        let from = self.below(8) as usize;
        let machine = &mut self.machines[at];
        let Some(daemon) = &mut machine.daemon else { return };
        let client = |address| match daemon.book.get(&address)? {
            State::Leased { client, .. } => Some((address, *client)),
            _ => None,
        };
        let leased = addresses().cycle().skip(from).take(8).find_map(client);
        let Some((address, client)) = leased else { return };
        if daemon.committing.iter().chain(&daemon.decided).any(|decided| decided.address == address) {
            return;
        }
        if let Some(word) = machine.words.get_mut(&address).filter(|word| word.client == client) {
            word.alive = false;
        }
        daemon.book.insert(address, State::Free);
        let record = record(address, Standing::Free, client, 0, 0);
        daemon.decided.push(Decided { address, record, then: Then::Nothing });
        self.promises.entry(address).or_default().remove(&client);
        self.tell(|| format!("daemon {at}: {client} releases {address}"));
    }

    /// What time ends at the daemon.
    fn settle(&mut self, at: usize) {
        let now = self.machines[at].clock(self.time);
        let machine = &mut self.machines[at];
        let Some(daemon) = &mut machine.daemon else { return };
        for (address, state) in &mut daemon.book {
            if daemon.committing.iter().chain(&daemon.decided).any(|decided| decided.address == *address) {
                continue;
            }
            let word = machine.words.get_mut(address).filter(|word| word.alive);
            let is_over = match state {
                State::Leased { .. } => word.as_ref().is_none_or(|word| word.expiry <= now),
                State::Ended { until, .. } => *until <= now,
                State::Free => continue,
            };
            // Without a word, what is committed counts.
            let is_over =
                is_over && !matches!(state, State::Leased { until, .. } if word.is_none() && *until > now);
            let (State::Leased { client, .. } | State::Ended { client, .. }) = *state else { continue };
            if is_over {
                if let Some(word) = word {
                    word.alive = false;
                }
                *state = State::Free;
                let record = record(*address, Standing::Free, client, 0, 0);
                daemon.decided.push(Decided { address: *address, record, then: Then::Nothing });
            }
        }
    }

    fn commit(&mut self, at: usize) -> Result<(), String> {
        let now = self.machines[at].clock(self.time);
        let Some(daemon) = &mut self.machines[at].daemon else { return Ok(()) };
        if !daemon.begun || !daemon.committing.is_empty() || daemon.decided.is_empty() {
            return Ok(());
        }
        daemon.committing = std::mem::take(&mut daemon.decided);
        let changes: Vec<Change> =
            daemon.committing.iter().map(|decided| Change::Put(decided.record.clone())).collect();
        daemon.node.commit(BootSecs(now), changes);
        self.effects(at)
    }

    fn committed(&mut self, at: usize) -> Result<(), String> {
        let daemon = self.machines[at].daemon.as_mut().expect("it is there");
        for Decided { address, then, .. } in std::mem::take(&mut daemon.committing) {
            let now = self.machines[at].clock(self.time);
            match then {
                Then::Acknowledge { client, until } if now + LEASE_TIME <= until => {
                    let expiry = now + LEASE_TIME;
                    self.machines[at]
                        .words
                        .insert(address, Word { client, alive: true, expiry, horizon: until });
                    self.tally.granted += 1;
                    self.promise(at, address, client)?;
                }
                Then::Acknowledge { .. } | Then::Nothing => {}
                Then::Publish { client, expiry, until } => {
                    let word = self.machines[at].words.get(&address).copied().filter(|word| word.alive);
                    let expiry = word.map_or(expiry, |word| word.expiry);
                    self.machines[at]
                        .words
                        .insert(address, Word { client, alive: true, expiry, horizon: until });
                }
                Then::Horizon(until) => {
                    if let Some(word) = self.machines[at].words.get_mut(&address) {
                        word.horizon = until;
                    }
                }
            }
        }
        Ok(())
    }

    /// A client renews at this machine's kernel, or asks again for what it had: also one that has given it back.
    fn renew(&mut self, at: usize) -> Result<(), String> {
        let from = self.below(8) as usize;
        let now = self.machines[at].clock(self.time);
        let words = &mut self.machines[at].words;
        let may = |word: &Word| word.alive && word.expiry > now && now + LEASE_TIME <= word.horizon;
        let renewable =
            addresses().cycle().skip(from).take(8).find(|address| words.get(address).is_some_and(may));
        let Some(address) = renewable else { return Ok(()) };
        let Some(word) = words.get_mut(&address) else { return Ok(()) };
        let client = word.client;
        word.expiry = word.expiry.max(now + LEASE_TIME);
        self.tally.renewed += 1;
        self.tally.renewed_without_daemon += u32::from(self.machines[at].daemon.is_none());
        self.promise(at, address, client)
    }

    /// A client is promised an address from now on.
    fn promise(&mut self, at: usize, address: Ipv4Addr, client: u8) -> Result<(), String> {
        self.tell(|| format!("machine {at} promises {address} to {client}"));
        let (now, until) = (self.time, self.time + f64::from(LEASE_TIME));
        let of = self.promises.entry(address).or_default();
        if let Some((other, until)) = of.iter().find(|(other, until)| **other != client && **until > now) {
            return Err(format!("{address} is promised to {client} by {at}, and to {other} until {until}"));
        }
        of.insert(client, until);
        let device = [1, 2, 0, 0, 0, 0, client];
        let lease = self
            .etcd
            .get(&Key::Lease(address).name())
            .map(|kept| (kept.at, values::read::<Lease>(&kept.octets).expect("readable")));
        let ending = self
            .etcd
            .get(&Key::Ending(address).name())
            .map(|kept| (kept.at, values::read::<Ending>(&kept.octets).expect("readable")));
        let leased =
            lease.filter(|(_, lease)| lease.client.as_ref().is_some_and(|client| client.hardware == device));
        let leased = leased.map(|(at, lease)| at + f64::from(lease.lasts.max(lease.others_last)));
        let ended = ending
            .filter(|(_, ending)| ending.client.hardware == device)
            .map(|(at, ending)| at + f64::from(ending.others_last));
        // Clocks run by a thousandth too fast or too slow, and show whole seconds.
        let kept = leased.into_iter().chain(ended).fold(0.0, f64::max) + 2.0;
        if kept < until {
            return Err(format!(
                "{address} is promised to {client} by {at} until {until}, and etcd knows of {kept} only"
            ));
        }
        Ok(())
    }
}
