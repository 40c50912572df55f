//! Any sequence of events: whatever clients, kernel, operator, clock and crashes do, no promise is broken.
//!
//! The world keeps its own account of what every client was promised, from the answers alone, and compares. Every
//! third client is in a class that part of the addresses are for, or not for.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::wire::{Draft, SERVER};
use super::*;
use crate::config::{Admission, ClassSet, DynamicPool, Match, Pattern};

const CLIENTS: u8 = 12;
/// Clients from this one on are of one device, each with an identifier of its own.
const DEVICE: u8 = 8;
/// Until when a BOOTP client has what it has.
const FOREVER: u32 = u32::MAX;
const FIRST: u8 = 10;
const LAST: u8 = 17;
/// Addresses from this one on are for the class, or for all others.
const APART: u8 = 14;
const IN_CLASS: &[u8] = b"particular";

/// One thing that happens, with all its chances drawn beforehand.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A client sends this message.
    Send(u8, Say),
    /// The kernel renews what the client has, if it can.
    KernelRenews(u8),
    /// The daemon's beat goes over all words.
    Beat,
    Pass(u32),
    /// What was decided since the last one is committed and carried out.
    EndBatch,
    /// A client loses its memory: its lease is an orphan.
    Forget(u8),
    /// A station that never asked takes this address, or leaves it.
    Squat(u8, bool),
    /// All probes asked for come to their end.
    Probe,
    OperatorRelease(u8),
    QuarantineClear(u8),
    /// The other configuration is applied.
    Reload,
    /// The daemon dies: with what was decided committed or not, with the maps lost or not.
    Crash {
        committed: bool,
        maps: bool,
    },
}

#[derive(Clone, Copy, Debug)]
enum Say {
    Discover {
        asking: Option<u8>,
    },
    /// Takes the last offer.
    Select,
    SelectElsewhere,
    Renew,
    Rebind,
    Reboot,
    Release,
    Decline,
    Inform,
    Bootp,
    /// For an address that is not its own.
    Forge(u8, u8),
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    let address = FIRST..=LAST;
    let say = prop_oneof![
        4 => prop::option::weighted(0.2, address.clone()).prop_map(|asking| Say::Discover { asking }),
        6 => Just(Say::Select),
        1 => Just(Say::SelectElsewhere),
        2 => Just(Say::Renew),
        1 => Just(Say::Rebind),
        1 => Just(Say::Reboot),
        1 => Just(Say::Release),
        1 => Just(Say::Decline),
        1 => Just(Say::Inform),
        1 => Just(Say::Bootp),
        1 => (0..6u8, address.clone()).prop_map(|(kind, address)| Say::Forge(kind, address)),
    ];
    prop_oneof![
        30 => (client.clone(), say).prop_map(|(client, say)| Step::Send(client, say)),
        6 => client.clone().prop_map(Step::KernelRenews),
        4 => Just(Step::Beat),
        6 => prop_oneof![1..20u32, 1..700u32, 1..3000u32].prop_map(Step::Pass),
        12 => Just(Step::EndBatch),
        1 => client.clone().prop_map(Step::Forget),
        1 => (address.clone(), any::<bool>()).prop_map(|(address, there)| Step::Squat(address, there)),
        6 => Just(Step::Probe),
        1 => address.clone().prop_map(Step::OperatorRelease),
        1 => address.prop_map(Step::QuarantineClear),
        1 => Just(Step::Reload),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(committed, maps)| Step::Crash { committed, maps }),
    ]
}

/// What a client believes.
#[derive(Clone, Debug, Default)]
struct Belief {
    offered: Option<Ipv4Addr>,
    /// Its address, and until when.
    lease: Option<(Ipv4Addr, u32)>,
}

struct World {
    bench: Bench,
    clients: BTreeMap<u8, Belief>,
    batch: Vec<(Option<u8>, Vec<Action>)>,
    probing: bool,
    squatters: BTreeSet<Ipv4Addr>,
    /// Addresses that answered when they were nobody's, and of which nobody has said since that they are unused.
    seen_in_use: BTreeSet<Ipv4Addr>,
}

impl World {
    fn new(probing: bool) -> Self {
        let matches = Match { vendor_class: vec![Pattern::Exactly(IN_CLASS.to_vec())], ..Match::default() };
        let class = Class { name: "particular".to_owned(), matches, overrides: Overrides::default() };
        let mut bench = Bench::of(vec![class], vec![configuration(false)]);
        bench.config.server.quarantine = 500;
        let mut world = Self {
            bench,
            clients: BTreeMap::new(),
            batch: Vec::new(),
            probing,
            squatters: BTreeSet::new(),
            seen_in_use: BTreeSet::new(),
        };
        world.restart(true);
        world
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

    /// The address that the client may rightly use now.
    fn lease(&mut self, client: u8) -> Option<Ipv4Addr> {
        let now = self.bench.now;
        self.belief(client).lease.filter(|(_, until)| now < *until).map(|(address, _)| address)
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send(client, say) => self.send(client, say),
            Step::KernelRenews(client) => self.kernel_renews(client),
            Step::Beat => self.beat(),
            Step::Pass(secs) => {
                self.end_batch();
                self.bench.pass(secs);
            }
            Step::EndBatch => self.end_batch(),
            Step::Forget(client) => *self.belief(client) = Belief::default(),
            Step::Squat(last, true) => drop(self.squatters.insert(host(last))),
            Step::Squat(last, false) => drop(self.squatters.remove(&host(last))),
            Step::Probe => self.probe(),
            Step::OperatorRelease(last) => {
                self.put(None, Event::OperatorRelease(host(last)));
                self.end_what_was_for_good();
            }
            Step::QuarantineClear(last) => {
                self.seen_in_use.remove(&host(last));
                self.put(None, Event::QuarantineClear(host(last)));
            }
            Step::Reload => {
                self.end_batch();
                let narrow = self.bench.config.subnets[0].pools[0].range.first == host(FIRST);
                self.bench.reload(vec![configuration(narrow)]);
                self.end_what_was_for_good();
            }
            Step::Crash { committed, maps } => self.crash(committed, maps),
        }
    }

    /// The operator ends what has no end: that can't be waited for.
    fn end_what_was_for_good(&mut self) {
        let policy = &self.bench.policy;
        for belief in self.clients.values_mut() {
            let over = |address| policy.state(address) != Some(State::Leased);
            if belief.lease.is_some_and(|(address, until)| until == FOREVER && over(address)) {
                *belief = Belief::default();
            }
        }
    }

    fn put(&mut self, client: Option<u8>, event: Event) {
        let actions = self.bench.handle(event);
        self.batch.push((client, actions));
    }

    fn send(&mut self, client: u8, say: Say) {
        let Belief { offered, .. } = *self.belief(client);
        let lease = self.lease(client);
        let last = self.belief(client).lease.map(|(address, _)| address);
        let draft = match say {
            Say::Discover { asking: None } => Some(Draft::discover(client)),
            Say::Discover { asking: Some(last) } => Some(Draft::discover(client).address(50, host(last))),
            Say::Select => offered.map(|address| Draft::select(client, SERVER, address)),
            Say::SelectElsewhere => Some(Draft::select(client, host(2), host(77))),
            Say::Renew => last.map(|address| Draft::renew(client, address)),
            Say::Rebind => last.map(|address| Draft::rebind(client, address)),
            Say::Reboot => last.map(|address| Draft::reboot(client, address)),
            Say::Release => lease.map(|address| Draft::release(client, address)),
            Say::Decline => lease.or(offered).map(|address| Draft::decline(client, address)),
            Say::Inform => Some(Draft::inform(client, host(99))),
            Say::Bootp => Some(Draft::bootrequest(client)),
            Say::Forge(kind, last) => {
                Some(forged(client, kind, host(last))).filter(|_| lease != Some(host(last)))
            }
        };
        let Some(draft) = draft else { return };
        if let (Say::Release, Some(address), true) = (say, lease, self.bench.now.is_multiple_of(3)) {
            // It says so, and stays where it is.
            self.squatters.insert(address);
        }
        match say {
            // It stops using the address before it sends.
            Say::Release | Say::Decline => *self.belief(client) = Belief::default(),
            Say::Select | Say::SelectElsewhere => self.belief(client).offered = None,
            _ => {}
        }
        // Who begins to speak DHCP relies on nothing that it has for good, whether it hears of its lease or not.
        if !matches!(say, Say::Bootp | Say::Inform) {
            self.belief(client).lease.take_if(|(_, until)| *until == FOREVER);
        }
        self.put(Some(client), Event::Message(sent_by(client, draft).request(self.bench.now)));
    }

    fn probe(&mut self) {
        for (address, _) in std::mem::take(&mut self.bench.probes) {
            let now = self.bench.now;
            let has = |belief: &Belief| {
                belief.lease.is_some_and(|(theirs, until)| theirs == address && now < until)
            };
            let squatted = self.squatters.contains(&address);
            let used = squatted || self.clients.values().any(has);
            let last_owner = self.bench.policy.lease(address);
            let last_owner = last_owner.and_then(|lease| lease.chaddr.octets().try_into().ok());
            // Now and then nobody can be asked.
            let deaf = now.is_multiple_of(7);
            let outcome = match used {
                _ if deaf => action::Outcome::Unknown,
                // A squatter may be the client that gave the address back and did not leave.
                true => action::Outcome::Answered(last_owner.filter(|_| squatted && now.is_multiple_of(2))),
                false => action::Outcome::Silent,
            };
            // Where nobody can be asked, an address that is free by now is offered all the same.
            let free = self.bench.policy.state(address) == Some(State::Free);
            if outcome == action::Outcome::Silent || outcome == action::Outcome::Unknown && free {
                self.seen_in_use.remove(&address);
            }
            self.put(None, Event::Probed { address, outcome });
            // One that is left alone is nobody's but its last owner's for a while.
            let quarantined = self.bench.policy.state(address) == Some(State::Quarantined);
            if matches!(outcome, action::Outcome::Answered(_)) && quarantined {
                self.seen_in_use.insert(address);
            }
        }
    }

    fn kernel_renews(&mut self, client: u8) {
        let Some(address) = self.lease(client) else { return };
        let mine = self.bench.published.iter().rev().find(|published| published.address == address);
        let identity = mac(client);
        if mine.is_some_and(|published| published.chaddr == identity) && self.bench.kernel_renews(address) {
            let until = self.bench.now + LEASE_TIME;
            self.belief(client).lease = Some((address, until));
        }
    }

    fn beat(&mut self) {
        for last in FIRST..=LAST {
            let word = self.bench.words.load(host(last));
            if word.alive() {
                self.put(None, Event::Extended { address: host(last), word, renewals: 1 });
            }
        }
    }

    fn end_batch(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        for (_, actions) in &batch {
            self.bench.commit(actions);
        }
        for (client, actions) in batch {
            for (to, outcome) in self.bench.act_for(actions) {
                if let Some(client) = to.map(|request| sender(&request)).or(client) {
                    self.told(client, outcome);
                }
            }
        }
        self.bench.check();
    }

    fn told(&mut self, client: u8, outcome: Told) {
        let now = self.bench.now;
        match outcome {
            Told::Reply(Reply::Offer { yiaddr, .. }) => {
                self.nobody_else_has(client, yiaddr);
                self.may_have(client, yiaddr);
                assert!(!self.seen_in_use.contains(&yiaddr), "{yiaddr} was seen in use");
                self.belief(client).offered = Some(yiaddr);
            }
            Told::Reply(Reply::Ack { yiaddr, answer, .. }) => {
                self.nobody_else_has(client, yiaddr);
                self.may_have(client, yiaddr);
                let until = now + answer.lease_time;
                let record = &self.bench.store[&yiaddr];
                assert_eq!(record.standing, Standing::Leased, "an ACK without a commit");
                assert_eq!(record.chaddr.octets(), mac(client));
                assert!(record.committed_until >= BootSecs(until));
                *self.belief(client) = Belief { offered: None, lease: Some((yiaddr, until)) };
            }
            Told::Reply(Reply::Bootp { yiaddr, .. }) => {
                self.may_have(client, yiaddr);
                self.nobody_else_has(client, yiaddr);
                let record = &self.bench.store[&yiaddr];
                assert_eq!(record.standing, Standing::Leased, "a BOOTREPLY without a commit");
                assert_eq!(record.committed_until, BootSecs(FOREVER));
                assert!(!self.bench.words.load(yiaddr).alive(), "the kernel has nothing to do with it");
                *self.belief(client) = Belief { offered: None, lease: Some((yiaddr, FOREVER)) };
            }
            Told::Reply(Reply::Nak { .. }) => *self.belief(client) = Belief::default(),
            Told::Reply(Reply::InformAck { .. } | Reply::Lease { .. }) | Told::Silence(_) | Told::Done => {}
        }
    }

    fn nobody_else_has(&self, client: u8, address: Ipv4Addr) {
        let now = self.bench.now;
        for (other, belief) in &self.clients {
            if let Some((theirs, until)) = belief.lease {
                let breach = *other != client && theirs == address && now < until;
                assert!(!breach, "{address} is {other}'s until {until}, and {client} got it at {now}");
            }
        }
    }

    /// Its pool is for the client, or it is reserved for it.
    fn may_have(&self, client: u8, address: Ipv4Addr) {
        let subnet = &self.bench.config.subnets[0];
        let of = |reservation: &&Reservation| reservation.address == address;
        if let Some(reservation) = subnet.reservations.iter().find(of) {
            return assert_eq!(reservation.key, ReservationKey::HwAddress(mac(client)));
        }
        let pool = subnet.pools.iter().find(|pool| pool.range.contains(address)).expect("a pool");
        let mut classes = ClassSet::default();
        if in_class(client) {
            classes.insert(0);
        }
        assert!(pool.admits.admits(classes), "{address} is not for {client}");
    }

    fn crash(&mut self, committed: bool, maps: bool) {
        let batch = std::mem::take(&mut self.batch);
        if committed {
            batch.iter().for_each(|(_, actions)| self.bench.commit(actions));
        }
        self.restart(maps);
        if !committed {
            // What was seen last was forgotten before it was written down.
            let policy = &self.bench.policy;
            self.seen_in_use.retain(|address| policy.state(*address) == Some(State::Quarantined));
        }
    }
}

/// Two pools, one of them for a class, and two reservations; or a smaller one, one for all others, and one of the
/// reservations elsewhere.
fn configuration(narrow: bool) -> Subnet {
    let (first, second) = if narrow { (FIRST + 2, 13) } else { (FIRST, 5) };
    let reservations = vec![reserved(0, host(APART)), reserved(1, host(second))];
    let mut class = ClassSet::default();
    class.insert(0);
    let (allow, deny) = if narrow { (ClassSet::default(), class) } else { (class, ClassSet::default()) };
    let apart = Pool { first: host(APART), last: host(LAST) };
    let apart = DynamicPool { admits: Admission { allow, deny }, ..apart.into() };
    let open = Pool { first: host(first), last: host(APART - 1) };
    Subnet {
        pools: vec![open.into(), apart],
        reservations,
        max_leases_per_device: 2,
        bootp: Bootp::Dynamic,
        ..subnet(FIRST, LAST)
    }
}

fn in_class(client: u8) -> bool {
    client.is_multiple_of(3)
}

fn mac(client: u8) -> [u8; 6] {
    [2, 0, 0, 0, 1, client.min(DEVICE)]
}

fn sent_by(client: u8, draft: Draft) -> Draft {
    let draft = Draft { mac: mac(client), ..draft };
    let draft = if in_class(client) { draft.option(60, IN_CLASS) } else { draft };
    if client >= DEVICE { draft.id(&[0, client]) } else { draft }
}

fn sender(request: &Request) -> u8 {
    request.options.client_id.as_ref().map_or(request.chaddr.octets()[5], |id| id[1])
}

fn forged(client: u8, kind: u8, address: Ipv4Addr) -> Draft {
    match kind {
        0 => Draft::renew(client, address),
        1 => Draft::rebind(client, address),
        2 => Draft::reboot(client, address),
        3 => Draft::release(client, address),
        4 => Draft::decline(client, address),
        _ => Draft::select(client, SERVER, address),
    }
}

fn run(probing: bool, steps: Vec<Step>) {
    let mut world = World::new(probing);
    for step in steps {
        world.step(step);
    }
    world.end_batch();
}

proptest! {
    #[test]
    fn no_sequence_of_events_breaks_a_promise(
        probing in any::<bool>(),
        steps in prop::collection::vec(step(), 1..200),
    ) {
        run(probing, steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100_000, ..ProptestConfig::default() })]

    #[test]
    #[ignore = "takes minutes: run with --release"]
    fn ten_million_events_break_no_promise(
        probing in any::<bool>(),
        steps in prop::collection::vec(step(), 1..200),
    ) {
        run(probing, steps);
    }
}
