//! A server, its machine, its network and its clients, and each step that can be taken there.

mod daemon;
mod ends;
mod invariants;
mod network;
mod operator;
mod people;

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;

use dhcp_ebpf::lease::BootSecs;
use dhcp_user::clock::{BootNanos, simulated as clocks};
use dhcp_user::datapath::frames::ring::Arrival;
use dhcp_user::server::simulated::Simulated;
use dhcp_user::store::Loss;
use fuzz::chance::Chance;

use crate::client::{Client, Manner, SECOND};
use crate::disk::Medium;
use crate::ledger::{Broken, OnDisk};
use crate::maps::{Judged, Maps};
use crate::shape::shapes;
use crate::site::{Location, Version};
use crate::stranger::Strangers;

/// Boot time at power on.
const BOOT: u64 = 15 * SECOND;
/// No frame is on its way for longer.
const TRANSIT: u64 = 10 * SECOND;
/// For so long a client may be without a lease, though all is well: it begins anew, and addresses are probed.
const PATIENCE: u64 = 15 * 60 * SECOND;
/// A well-behaved client has its lease after so long with a kind network: the longest lease, its grace, and a retry.
const BOUND: u64 = 3 * 3600 * SECOND;

/// Something that happens. What is by chance about it follows from the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Milliseconds go by.
    Pass(u32),
    /// A client does what is due.
    Client(u8),
    /// A client is switched off, or gives its lease back.
    Whim(u8, u64),
    /// One that keeps to nothing sends something.
    Stranger(u64),
    /// A frame arrives, at the driver or at a client; a rough network may lose, repeat or spoil it.
    Deliver(u64),
    /// The program ends with a frame that it has judged: it makes the promise, or finds the word changed.
    Promise,
    /// The deciding thread takes what is in the rings.
    Take,
    /// The thread that commits commits.
    Disk(u64),
    /// The deciding thread hears of it.
    Hear,
    /// The beat.
    Beat,
    /// A probe comes to an end.
    Probe(u64),
    /// All that is under way is done, step by step, in this order or that.
    Settle(u64),
    /// The daemon dies.
    Kill(u64),
    /// The machine loses power, perhaps in the middle of a commit.
    PowerCut(u64),
    /// The daemon starts: as it was, or another version; with the maps there are, or without.
    Start(u64),
    /// The configuration is another.
    Reload(u64),
    /// The operator ends a lease.
    Release(u64),
    /// The operator ends all quarantines.
    Clear,
    /// A lease of another server is taken over.
    Import(u64),
    /// Somebody uses an address without asking, or stops.
    Squat(u64),
    /// The network is rough from now on, or kind.
    Network(bool),
    /// The disk is full from now on, or not.
    Full(bool),
    /// So many times it can't make durable what was written.
    FailSyncs(u8),
    /// Octets on the disk change while the daemon is away.
    Damage(u64),
    /// Wall time is set, by so many minutes.
    SetWall(i16),
    /// All is well for three hours: then everybody well-behaved has a lease, and the audit finds nothing.
    Calm,
}

/// What has happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Steps.
    pub steps: u64,
    /// Nanoseconds.
    pub time: u64,
    /// ACKs by the kernel.
    pub by_kernel: u64,
    /// ACKs by the daemon.
    pub by_daemon: u64,
    /// NAKs.
    pub naks: u64,
    /// Commits.
    pub commits: u64,
    /// Promises that found the word changed.
    pub raced: u64,
    /// Daemons that were killed, or started and did not come up.
    pub kills: u64,
    /// Losses of power.
    pub power_cuts: u64,
    /// Reloads.
    pub reloads: u64,
    /// Damage that was told of at a start.
    pub damages: u64,
    /// Leases taken over from elsewhere.
    pub imports: u64,
    /// Probes that were answered by somebody.
    pub answered: u64,
}

/// All of it.
pub struct World {
    /// What it is made from.
    pub(crate) seed: u64,
    /// Time as nobody there knows it.
    pub(crate) now: u64,
    booted: u64,
    boot: u128,
    wall: i64,
    medium: Medium,
    on_disk: OnDisk,
    same_boot: bool,
    accept: Loss,
    is_damaged: bool,
    /// What was lost is not made up for yet: only the maps know what they knew.
    is_recovering: bool,
    /// The store was opened in vain since then: it may have noted that time went by.
    opened_in_vain: Option<u64>,
    maps: Option<Maps>,
    pub(crate) server: Option<Simulated>,
    version: Version,
    /// The version that a reload which has begun brings.
    coming: Option<Version>,
    pub(crate) clients: Vec<Client>,
    pub(crate) strangers: Strangers,
    squatters: BTreeMap<Ipv4Addr, u64>,
    /// To whom an address was offered last, and when.
    offered: BTreeMap<Ipv4Addr, ([u8; 6], u64)>,
    /// Frames on their way, and since when.
    pub(crate) to_server: Vec<(u64, Vec<u8>)>,
    pub(crate) to_clients: Vec<(u64, Vec<u8>)>,
    pub(crate) at_driver: VecDeque<Judged>,
    pub(crate) rings: [VecDeque<Arrival>; 2],
    /// Addresses that are probed, and who answered when that began.
    pub(crate) probes: Vec<(Ipv4Addr, Option<[u8; 6]>)>,
    is_rough: bool,
    pub(crate) tally: Tally,
    /// What happened, for whoever reads it.
    pub(crate) trace: Option<Vec<String>>,
}

impl World {
    /// A world that follows from its seed. The daemon has not started.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut chance = Chance::seeded(seed);
        let shapes = shapes();
        let mut clients = Vec::new();
        let mut kind = chance.below(shapes.len());
        for place in Location::ALL {
            let steady = 3 + chance.below(4);
            let mut add = |manner, shape: usize, chance: &mut Chance<'_>| {
                let number = clients.len() as u8 + 1;
                let mut client =
                    Client::new(number, manner, place, shapes[shape].clone(), chance.below(6) as u64);
                client.due = (chance.below(600) as u64) * SECOND;
                clients.push(client);
            };
            for _ in 0..steady {
                // Each of another kind: some say the same identifier wherever they are, and are one client to a server.
                kind = (kind + 1 + chance.below(3)) % shapes.len();
                add(Manner::Steady, kind, &mut chance);
            }
            add(Manner::Forgetful, 0, &mut chance);
            if place == Location::Link {
                (0..3).for_each(|_| add(Manner::Line, 0, &mut chance));
            }
        }
        Self {
            seed,
            now: BOOT,
            booted: 0,
            boot: 1,
            wall: 1_700_000_000,
            medium: Medium::new(),
            on_disk: OnDisk::default(),
            same_boot: true,
            accept: Loss::Refused,
            is_damaged: false,
            is_recovering: false,
            opened_in_vain: None,
            maps: None,
            server: None,
            version: Version::Wide,
            coming: None,
            clients,
            strangers: Strangers::default(),
            squatters: BTreeMap::new(),
            offered: BTreeMap::new(),
            to_server: Vec::new(),
            to_clients: Vec::new(),
            at_driver: VecDeque::new(),
            rings: Default::default(),
            probes: Vec::new(),
            is_rough: false,
            tally: Tally::default(),
            trace: None,
        }
    }

    fn boot_time(&self) -> u64 {
        self.now - self.booted + BOOT
    }

    fn boot_secs(&self) -> BootSecs {
        BootSecs::floor(self.boot_time())
    }

    fn set_clocks(&self) {
        clocks::set(BootNanos(self.boot_time()), self.wall + (self.now / SECOND) as i64);
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>9}.{:03}  {}", now / SECOND, now / 1_000_000 % 1000, what()));
        }
    }

    /// When a client does something next, and which.
    pub(crate) fn next_due(&self) -> Option<(u64, u8)> {
        self.clients.iter().map(|client| (client.due, client.number)).min()
    }

    /// Whether anything is under way.
    pub(crate) fn is_busy(&self) -> bool {
        let on_the_way =
            !self.to_server.is_empty() || !self.to_clients.is_empty() || !self.at_driver.is_empty();
        let in_server = self.server.as_ref().is_some_and(|server| !server.is_idle());
        let in_rings = self.server.is_some() && self.rings.iter().any(|ring| !ring.is_empty());
        on_the_way || in_rings || in_server || !self.probes.is_empty()
    }

    /// Takes a step.
    ///
    /// # Errors
    /// With the invariant that does not hold any more.
    pub fn step(&mut self, step: Step) -> Result<(), Broken> {
        self.tally.steps += 1;
        self.set_clocks();
        if self.trace.is_some() && !matches!(step, Step::Settle(_) | Step::Beat) {
            self.note(|| format!("{step:?}"));
        }
        match step {
            Step::Pass(millis) => {
                // The program takes no time.
                while !self.at_driver.is_empty() {
                    self.promise()?;
                }
                self.now += u64::from(millis) * 1_000_000;
                self.set_clocks();
                return Ok(());
            }
            Step::Client(number) => self.client(number),
            Step::Whim(number, chance) => self.whim(number, &mut Chance::seeded(chance)),
            Step::Stranger(chance) => {
                let frames = self.strangers.draw(&mut Chance::seeded(chance), &self.clients, self.now);
                self.to_server.extend(frames.into_iter().map(|frame| (self.now, frame)));
            }
            Step::Deliver(chance) => self.deliver(&mut Chance::seeded(chance))?,
            Step::Promise => self.promise()?,
            Step::Take => self.take()?,
            Step::Disk(chance) => self.disk(chance)?,
            Step::Hear => {
                if let Some(server) = &mut self.server {
                    server.hear();
                    self.went_on()?;
                }
            }
            Step::Beat => self.beat()?,
            Step::Probe(chance) => self.probe(&mut Chance::seeded(chance))?,
            Step::Settle(chance) => self.settle(chance)?,
            Step::Kill(chance) => self.kill(&mut Chance::seeded(chance)),
            Step::PowerCut(chance) => self.cut_power(chance)?,
            Step::Start(chance) => self.start(chance)?,
            Step::Reload(chance) => self.reload(&mut Chance::seeded(chance))?,
            Step::Release(chance) => self.operator_release(&mut Chance::seeded(chance))?,
            Step::Clear => self.clear()?,
            Step::Import(chance) => self.import(&mut Chance::seeded(chance))?,
            Step::Squat(chance) => self.squat(&mut Chance::seeded(chance)),
            Step::Network(is_rough) => self.is_rough = is_rough,
            Step::Full(is_full) => self.medium.set_full(is_full),
            Step::FailSyncs(count) => self.medium.fail_syncs(count.into()),
            Step::Damage(chance) => self.damage(&mut Chance::seeded(chance)),
            Step::SetWall(minutes) => self.wall += i64::from(minutes) * 60,
            Step::Calm => return self.calm(),
        }
        // Neither those who send nor the network change what the server knows.
        match step {
            Step::Client(_) | Step::Whim(..) | Step::Stranger(_) | Step::Squat(_) | Step::Disk(_) => Ok(()),
            _ => self.check(),
        }
    }
}

/// Who has something: a hardware address, and which of its clients.
pub(crate) const fn owner(mac: [u8; 6], number: u8) -> [u8; 7] {
    let [a, b, c, d, e, f] = mac;
    [a, b, c, d, e, f, number]
}
