//! The server in a simulation (`tests/sim`): no thread, no socket, no clock of its own. Whoever simulates has it take each step.
//!
//! Everything between is the daemon's own code: start, turns, commits that overlap, publication, reload, audit. What is
//! replaced stands here: the thread that commits, the sockets, and the maps, which are ordinary memory.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow};

use super::Server;
use super::commit::decided::Decided;
use super::commit::thread::Committing;
use super::equipment::capacity::{leasable, sizes};
use super::process::beside::Beside;
use super::reload::configuring::{Configuring, Made, Next};
use super::start::Equipped;
use crate::clock::BootNanos;
use crate::config::Config;
use crate::control::{Portable, Startup};
use crate::datapath::frames::departure::Outgoing;
use crate::datapath::frames::outbox::Outbox;
use crate::datapath::frames::ring::Arrival;
use crate::datapath::interfaces::netlink::Namespace;
use crate::datapath::leases::table::Table;
use crate::datapath::program::object::Sizes;
use crate::policy::{Action, Event, Interface, Outcome, Policy, Via};
use crate::store::{Change, Record, Store};

/// What the machine would do for the server.
#[derive(Debug, Default)]
pub(super) struct Aside {
    /// Addresses that are to be probed.
    pub(super) asked: Vec<(Ipv4Addr, Via)>,
    /// The commit that the maps rest upon.
    rests_on: u64,
}

impl Aside {
    pub(super) fn rest_on(&mut self, number: u64) {
        self.rests_on = number;
    }
}

/// What a simulated server is started with.
pub struct Machine {
    /// Keys policy's hashes.
    pub seed: u64,
    /// The configuration.
    pub config: Config,
    /// Its interfaces, all there.
    pub interfaces: Vec<Interface>,
    /// The store, open.
    pub store: Box<dyn Store>,
    /// The maps.
    pub table: Table,
    /// The store that promised what is in them, if anything is.
    pub adopted_from: Option<u128>,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine").field("seed", &self.seed).finish_non_exhaustive()
    }
}

/// A server that serves.
pub struct Simulated {
    server: Server,
    sent: Arc<Mutex<Vec<Outgoing>>>,
    /// The configuration, as far as whoever simulates has heard.
    in_force: Arc<Config>,
}

impl std::fmt::Debug for Simulated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulated").finish_non_exhaustive()
    }
}

/// How large the maps are to be for this configuration.
#[must_use]
pub fn sizes_for(config: &Config) -> Sizes {
    sizes(config)
}

impl Simulated {
    /// Starts it as the daemon starts. Whatever ends a start ends this, and leaves disk and maps as they are then.
    ///
    /// # Errors
    /// As the daemon's start.
    pub fn start(machine: Machine) -> Result<Self> {
        let Machine { seed, config, interfaces, mut store, mut table, adopted_from } = machine;
        for address in leasable(&config) {
            table.reserve(address)?;
        }
        let records = store.load()?;
        let sent: Arc<Mutex<Vec<Outgoing>>> = Arc::default();
        let outgoing = Arc::clone(&sent);
        let outbox = Outbox::to(move |frames| {
            outgoing.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(frames);
        })?;
        let equipped = Equipped {
            seed,
            prober: None,
            configuring: Configuring::by_hand(),
            committing: Committing::by_hand,
            file: PathBuf::new(),
            seen: Namespace::default(),
            config: Arc::new(config),
            facts: interfaces.clone(),
            drivers: Default::default(),
            store,
            nodes: Default::default(),
            records,
            table,
            kernel: None,
            adopted_from,
            outbox,
            beside: Beside::new().0,
        };
        let (mut server, _) = Server::made_of(equipped, &Startup::default())?;
        for interface in interfaces {
            // As one without a driver: frames come from the simulated program.
            server.miss(interface);
        }
        let in_force = Arc::clone(&server.config);
        Ok(Self { server, sent, in_force })
    }

    /// Deals with frames that the program sent up.
    pub fn take(&mut self, arrived: Vec<Arrival>) {
        if self.server.may_take() {
            self.server.take(arrived);
        }
        self.server.end_turn();
    }

    /// The beat, which comes four times a second.
    pub fn beat(&mut self) {
        self.server.beat();
        self.server.end_turn();
    }

    /// The thread that commits does one thing that waits for it, if anything does: what it was to commit, and whether it is
    /// on disk as far as that thread knows.
    pub fn disk(&mut self) -> Option<(Arc<Vec<Change>>, bool)> {
        self.server.committing.work_by_hand()
    }

    /// The deciding thread hears of what that thread has done; whether there was anything.
    pub fn hear(&mut self) -> bool {
        let ended = self.server.committing.done_by_hand();
        let is_any = ended.is_some();
        if let Some(ended) = ended {
            self.server.ended(ended);
        }
        self.server.end_turn();
        is_any
    }

    /// A probe has come to an end.
    pub fn probed(&mut self, address: Ipv4Addr, outcome: Outcome) {
        self.server.decide(vec![Event::Probed { address, outcome }]);
        self.server.end_turn();
    }

    /// An operator orders something.
    pub fn order(&mut self, event: Event) {
        self.server.order(event, |_| {});
        self.server.end_turn();
    }

    /// Begins to go over to another configuration, as far as a running server can: turns do the rest. Whether it has begun.
    pub fn reload(&mut self, config: Config) -> bool {
        let server = &mut self.server;
        let facts = server.facts();
        let policy = Box::new(server.policy.successor()(&config, facts.clone()));
        let has_begun = server.reload_by_hand(Made { next: Box::new(Next::of(config, facts, None)), policy });
        server.end_turn();
        has_begun
    }

    /// Whether another configuration has come into force since this was last asked.
    pub fn has_reloaded(&mut self) -> bool {
        let present = Arc::clone(&self.server.config);
        !Arc::ptr_eq(&std::mem::replace(&mut self.in_force, Arc::clone(&present)), &present)
    }

    /// A turn in which nothing has come in.
    pub fn turn(&mut self) {
        self.server.end_turn();
    }

    /// Takes over a lease of another server.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn import(&mut self, lease: &Portable) -> Result<()> {
        let now = BootNanos::now().floor();
        let mut actions = Vec::new();
        let record = lease.record(now).map_err(|error| anyhow!(error))?;
        let server = &mut self.server;
        let done = server.policy.import(now, &server.table, &record, &mut actions);
        server.queue(actions);
        server.end_turn();
        Ok(done?)
    }

    /// Has the last committed and the store closed, as a daemon that is told to end.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(mut self) -> Result<()> {
        self.server.beat();
        self.server.commit_all(None)?;
        Ok(self.server.committing.close_by_hand()?)
    }

    /// Frames that have left since this was last asked.
    #[must_use]
    pub fn sent(&mut self) -> Vec<Outgoing> {
        std::mem::take(&mut *self.sent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Addresses to be probed since this was last asked.
    #[must_use]
    pub fn asked(&mut self) -> Vec<(Ipv4Addr, Via)> {
        std::mem::take(&mut self.server.aside.asked)
    }

    /// Store and commit that the maps rest upon.
    #[must_use]
    pub fn rests_on(&self) -> (u128, u64) {
        (self.server.committing.id().0, self.server.aside.rests_on)
    }

    /// Whether anything waits for the disk, or for who decides.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.server.committing.is_idle()
            && self.server.decided.is_empty()
            && self.server.uncommitted.is_none()
            && !self.server.has_to_tell()
            && !self.server.is_reloading()
            && !self.server.is_forgetting()
    }

    /// Policy.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.server.policy
    }

    /// The lease table.
    #[must_use]
    pub const fn table(&self) -> &Table {
        &self.server.table
    }

    /// What `audit` finds, the store having these records.
    #[must_use]
    pub fn audit(&self, stored: impl Fn(Ipv4Addr) -> Option<Record>) -> Vec<String> {
        let server = &self.server;
        let counts = server.policy.audit_counts().into_iter().map(|found| found.what);
        let records = server.table.addresses().map(|address| (address, stored(address))).collect::<Vec<_>>();
        let each = server.judge_records(&records);
        counts.chain(each.into_iter().map(|found| format!("{}: {}", found.address, found.what))).collect()
    }
}

impl Server {
    /// Mutations of what follows a decision: each lets something go by the commit that it is to wait for.
    pub(super) fn decide_wrongly(&mut self, actions: &mut Vec<Action>, at_once: &mut Vec<Decided>) {
        if wrong!(AtOnce) {
            let (commits, rest): (Vec<_>, Vec<_>) =
                actions.drain(..).partition(|action| matches!(action, Action::Commit(_)));
            self.queue(commits);
            at_once.extend(rest.into_iter().map(Decided::Action));
        }
        if wrong!(AckFirst) {
            let acks = actions.extract_if(.., |action| matches!(action, Action::Reply { .. }));
            at_once.extend(acks.map(Decided::Action));
        }
        for action in actions.iter() {
            match action {
                Action::Publish(lease) if wrong!(PublishFirst) => self.publish(lease.clone()),
                Action::Horizon { address, generation, until } if wrong!(HorizonFirst) => {
                    self.table.move_horizon(*address, *generation, *until);
                }
                _ => {}
            }
        }
    }
}
