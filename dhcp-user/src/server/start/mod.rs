//! Start: opens the store, adopts or makes the maps, restores policy from both, attaches interfaces.

mod reconcile;
mod restore;

use std::collections::{BTreeSet, HashMap};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use anyhow::{Context as _, Result, bail};
use aya::maps::{MapData, RingBuf};
use dhcp_ebpf::question::Keys;
use dhcp_ebpf::slot::{CHUNK_CELLS, SLOT_CELLS};
use tokio::sync::mpsc;

use super::Server;
use super::commit::decided::Orders;
use super::commit::journaling;
use super::commit::thread::Committing;
use super::commit::uncommitted::Unpublished;
use super::equipment::absent::{is_there, missing, vacant};
use super::equipment::capacity::{leasable, sizes};
use super::equipment::room;
use super::equipment::{limits, open_shared, ours, prober};
use super::intake::{Intake, diagnose};
use super::links::attaching::Attaching;
use super::links::{Drivers, host};
use super::nodes::Nodes;
use super::operator::audit::Audits;
use super::operator::transfer::Exports;
use super::process::awake::Awake;
use super::process::beside::Beside;
use super::reload::Reloads;
use super::reload::configuring::Configuring;
use super::reports::busiest::Busy;
use super::reports::capture::Captures;
use super::reports::complaints::Complaints;
use super::reports::events::Events;
use super::reports::explain::PuntLog;
use super::reports::measuring::Measuring;
use super::reports::narration::Narration;
use super::reports::traffic::Traffic;
use crate::access;
use crate::clock::BootNanos;
use crate::config::{Config, XdpMode};
use crate::control::{Startup, WallClock};
use crate::datapath::frames::outbox::Outbox;
use crate::datapath::frames::ring::Arrival;
use crate::datapath::frames::watch::watched;
use crate::datapath::interfaces::netlink::{self, LinkState, Namespace};
use crate::datapath::leases::hints::HeapHints;
use crate::datapath::leases::memory::Region;
use crate::datapath::leases::table::Table;
use crate::datapath::program::adoption;
use crate::datapath::program::attachment::{self, Attacher, Attachment};
use crate::datapath::program::kernel::{Kernel, Shared};
use crate::datapath::program::live_frames::LiveFrames;
use crate::datapath::program::object::Sizes;
use crate::datapath::program::{occupant, transmission};
use crate::policy::{Interface, Policy};
use crate::privileges;
use crate::probe::Prober;
use crate::store::{Expected, Loss, Promised, Record, Store, StoreId};
use reconcile::{Maps, reconcile};

/// How many frames of packet sockets may wait.
const WAITING: usize = 4096;
/// The level that the program logs each of its decisions at (`debug`), and none.
const DIAGNOSIS: u8 = 4;

impl Server {
    /// Brings everything up, the interfaces last.
    ///
    /// # Errors
    /// When any part can't be opened or made; the message says which and what to do.
    pub(super) fn start(
        config: Config,
        file: &Path,
        diagnosis: bool,
        loss: Loss,
        startup: &Startup,
        beside: Beside,
    ) -> Result<(Self, Intake)> {
        let config = Arc::new(config);
        let here = netlink::namespace()?;
        let found = found(&config, &here)?;
        let facts = facts(&config, &found);
        let promised = adoption::rest_on(&config.server.pin_dir);
        let promised = promised.map(|(store, number)| Promised { store: StoreId(store), number });
        let (mut store, nodes) = open_shared(&config, Expected { promised, loss }, &beside)?;
        let closed = access::closed(&config, file);
        if !closed.is_empty() {
            let all: Vec<String> = closed.iter().map(ToString::to_string).collect();
            bail!("{}", all.join("; "));
        }
        let id = store.id();
        let (datapath, records) = thread::scope(|scope| {
            // The kernel takes its time over the program, and the disk over the leases.
            let records = scope.spawn(|| store.load());
            (Datapath::open(&config, diagnosis), records.join())
        });
        occupant::look_around();
        // Threads that are started from here on have no more rights either.
        privileges::give_up().context("giving up rights that are not needed")?;
        let Datapath { kernel, attacher, table, rings, live, adopted_from } = datapath?;
        let records = records.unwrap_or_else(|panic| resume_unwind(panic));
        let records = records.context("loading the leases")?;
        let outbox =
            Outbox::open(live.map(|live| Box::new(live) as _), |name, work| beside.thread(name, work))?;
        let seed = std::hash::RandomState::new();
        let (mut server, sockets) = Self::made_of(
            Equipped {
                seed: std::hash::BuildHasher::hash_one(&seed, id),
                prober: prober(&config, &facts)?,
                configuring: Configuring::begin(&beside)?,
                committing: Committing::over,
                file: file.to_owned(),
                seen: here,
                config,
                facts: facts.clone(),
                drivers: drivers(&found),
                store,
                nodes,
                records,
                table,
                kernel,
                adopted_from,
                outbox,
                beside,
            },
            startup,
        )?;
        let known = usize::try_from(server.committing.size().records).unwrap_or(usize::MAX);
        room::make((server.table.in_use() as usize).saturating_sub(known));
        if let Some(kernel) = &server.kernel {
            kernel.belongs_to(server.committing.id().0);
        }
        server.attach(&facts, &found, attacher, diagnosis)?;
        server.warn_of_configuration();
        server.warn_of_own();
        let (begun, fresh) = rings.unzip();
        let begun = begun.map(watched).transpose().context("watching the ring of exchanges begun")?;
        let fresh = fresh.map(watched).transpose().context("watching the ring of new exchanges")?;
        Ok((server, Intake { begun, fresh, sockets }))
    }

    /// The server that this makes: maps and store held against each other, what only one of them knew committed, policy
    /// restored, and answers that rest on another configuration void. Gives also where frames of packet sockets come out.
    ///
    /// # Errors
    /// When the store takes no commits, or the process may have no more threads.
    pub(super) fn made_of(equipped: Equipped, startup: &Startup) -> Result<(Self, mpsc::Receiver<Arrival>)> {
        let Equipped {
            seed,
            prober,
            configuring,
            committing,
            file,
            seen,
            config,
            facts,
            drivers,
            mut store,
            nodes,
            mut records,
            mut table,
            kernel,
            adopted_from,
            outbox,
            beside,
        } = equipped;
        let maps = match adopted_from {
            Some(adopted) if adopted != store.id().0 => Maps::Foreign,
            _ if store.has_lost() => Maps::Ahead,
            _ => Maps::Ours,
        };
        let now = BootNanos::now().floor();
        let changes = reconcile(&mut table, &mut records, maps, now);
        if !changes.is_empty() {
            store.commit(now, &changes).context("committing what only the pinned maps knew")?;
        }
        let mut policy = Policy::new(&config, facts.clone(), seed);
        policy.carry_out_probes();
        policy.set_host(host(&seen));

        let journal = journaling::begin(&config, &*store, &records, &beside)?;

        let events = Events::begin(&config, &beside)?;
        let ours = ours(&config, &facts);
        let (arrivals, sockets) = mpsc::channel(WAITING);
        let mut server = Self {
            file,
            policy,
            table,
            committing: committing(store)?,
            decided: Vec::new(),
            orders: Orders::default(),
            audits: Audits::default(),
            former: 0,
            disk_is_late: false,
            kernel,
            outbox,
            prober,
            limits: limits(&config, &facts),
            interfaces: HashMap::default(),
            left: Vec::new(),
            vacancies: facts.len(),
            seen,
            warned_of: BTreeSet::new(),
            drivers,
            attaching: Attaching::default(),
            arrivals,
            ours,
            traffic: Traffic::new(),
            busy: Busy::default(),
            measuring: Measuring::new(config.server.metrics_listen.is_some()),
            punts: PuntLog::default(),
            complaints: Complaints::default(),
            narration: Narration::default(),
            exports: Exports::default(),
            captures: Captures::default(),
            awake: Awake::new(),
            configuring,
            reloads: Reloads::default(),
            forgetting: None,
            beside,
            pulse: startup.pulse(),
            blind: None,
            looking: crate::waiting::Waiting::default(),
            connections: startup.connections(),
            uncommitted: None,
            unpublished: Unpublished::default(),
            journal,
            events,
            hooks: None,
            nodes,
            wall: WallClock::read().context("reading the clocks")?,
            started: BootNanos::now(),
            look_from: 0,
            look_at: 0,
            #[cfg(feature = "simulation")]
            aside: Default::default(),
            config,
        };
        server.share();
        server.restore(records, startup)?;
        server.forget_stale(None);
        while server.is_forgetting() {
            server.forget_some();
        }
        server.look_at = server.slots_per_beat();
        server.rest_on(server.committing.last());
        Ok((server, sockets))
    }

    /// Attaches the program to every interface that is there, or listens there without it. Nobody is served yet: it is waited
    /// for here.
    fn attach(
        &mut self,
        facts: &[Interface],
        found: &[Option<LinkState>],
        attacher: Option<Attacher>,
        diagnosis: bool,
    ) -> Result<()> {
        self.know(facts);
        let config = Arc::clone(&self.config);
        let mut attacher = attacher;
        match (&self.kernel, &attacher) {
            (Some(kernel), Some(attacher)) => {
                kernel.beat(BootNanos::now().0);
                keep_configured_attachments(&config, attacher)?;
            }
            _ => {
                let names = config.interfaces.iter().map(|interface| interface.name.as_str());
                attachment::leave(&config.server.pin_dir, &names.collect::<Vec<_>>())?;
            }
        }
        for ((configured, facts), state) in config.interfaces.iter().zip(facts).zip(found) {
            let Some(state) = state else {
                self.miss(facts.clone());
                continue;
            };
            let attachment = match &mut attacher {
                Some(attacher) if configured.xdp != XdpMode::Off => {
                    attacher.attach(&facts.name, facts.ifindex, configured.xdp)?
                }
                _ => Attachment::default(),
            };
            self.welcome(state, attachment);
            if let Some(why) = self.link_trouble() {
                bail!("{why}");
            }
        }
        if let Some(attacher) = attacher.as_mut().filter(|_| diagnosis) {
            self.beside.task("diagnose", diagnose(attacher.log()?));
        }
        self.attaching = Attaching::begin(&self.beside, attacher)?;
        self.let_tagged_pass_everywhere();
        Ok(())
    }

    /// How many slots are looked at in a beat, so that each is seen several times within its lease's T1.
    pub(super) fn slots_per_beat(&self) -> u32 {
        let shortest = self.config.lease_times().map(|(_, times)| times.shortest()).min().unwrap_or(60);
        let beats = (f64::from(shortest) / 16.0).clamp(0.25, 5.0) / super::BEAT.as_secs_f64();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 20")]
        let beats = beats.floor().max(1.0) as u32;
        self.table.in_use().div_ceil(beats)
    }
}

/// All that a server needs of the machine.
pub(super) struct Equipped {
    /// What policy's hashes are keyed by.
    pub(super) seed: u64,
    pub(super) prober: Option<Prober>,
    pub(super) configuring: Configuring,
    /// Hands the store to who commits.
    pub(super) committing: fn(Box<dyn Store>) -> Result<Committing>,
    pub(super) file: PathBuf,
    /// The interfaces of the machine, and its addresses.
    pub(super) seen: Namespace,
    pub(super) config: Arc<Config>,
    /// Those of the configuration.
    pub(super) facts: Vec<Interface>,
    /// What drives them.
    pub(super) drivers: Drivers,
    pub(super) store: Box<dyn Store>,
    pub(super) nodes: Nodes,
    /// What is in it.
    pub(super) records: Vec<Record>,
    pub(super) table: Table,
    pub(super) kernel: Option<Kernel>,
    /// The store that the words in the table were promised by.
    pub(super) adopted_from: Option<u128>,
    pub(super) outbox: Outbox,
    pub(super) beside: Beside,
}

/// The program that answers renewals, and the memory that it shares with us.
struct Datapath {
    /// `None`: no interface wants the program.
    kernel: Option<Kernel>,
    attacher: Option<Attacher>,
    table: Table,
    rings: Option<(RingBuf<MapData>, RingBuf<MapData>)>,
    live: Option<LiveFrames>,
    /// The store that the maps' words were promised by.
    adopted_from: Option<u128>,
}

impl Datapath {
    fn open(config: &Config, diagnosis: bool) -> Result<Self> {
        let needed = sizes(config);
        let mut datapath = if !attachable(config).is_empty() {
            let level = if diagnosis { DIAGNOSIS } else { 0 };
            let next = config.server.next_program.as_deref();
            let (kernel, shared) = Kernel::open(&config.server.pin_dir, needed, next, level)?;
            let Shared { slots, answers, keys, hints, begun, fresh, live, adopted_from, attacher } = shared;
            let table = Table::new(slots, answers, keys, Box::new(hints));
            let rings = Some((begun, fresh));
            Self { kernel: Some(kernel), attacher: Some(attacher), table, rings, live, adopted_from }
        } else {
            let table = heap_table(needed);
            Self { kernel: None, attacher: None, table, rings: None, live: None, adopted_from: None }
        };
        for address in leasable(config) {
            datapath.table.reserve(address)?;
        }
        Ok(datapath)
    }
}

/// Loads, attaches and pins the program for every interface, and leaves it to answer and to wait for a daemon.
///
/// # Errors
/// When the kernel refuses anything.
pub fn attach_only(config: &Config) -> Result<()> {
    let found = found(config, &netlink::namespace()?)?;
    let facts = facts(config, &found);
    let next = config.server.next_program.as_deref();
    let (mut kernel, Shared { mut attacher, .. }) =
        Kernel::open(&config.server.pin_dir, sizes(config), next, 0)?;
    kernel.know_addresses(&ours(config, &facts))?;
    keep_configured_attachments(config, &attacher)?;
    for (configured, facts) in config.interfaces.iter().zip(&facts).filter(|(_, facts)| is_there(facts)) {
        if configured.xdp == XdpMode::Off {
            tracing::info!(interface = facts.name, "not attached: its `xdp` is off");
            continue;
        }
        kernel.know_interface(facts.ifindex, facts.mac)?;
        let Attachment { reached, why, .. } = attacher.attach(&facts.name, facts.ifindex, configured.xdp)?;
        if let Some(reached) = reached {
            tracing::info!(interface = facts.name, xdp = reached.name(), why, "attached");
        }
    }
    kernel.made();
    Ok(())
}

/// The kernel's data of the configured interfaces, in the order of the configuration; none for those that are not
/// there.
///
/// One that is missing, or has no address yet, is served when it comes or gets one. If none can be served, the
/// configuration is not for this machine, or it is too early: the service manager may try again.
fn found(config: &Config, here: &Namespace) -> Result<Vec<Option<LinkState>>> {
    let known = &here.links;
    let named = |name: &str| known.iter().find(|state| state.facts.name == name).cloned();
    let found: Vec<Option<LinkState>> =
        config.interfaces.iter().map(|configured| named(&configured.name)).collect();
    let missing = config.interfaces.iter().zip(&found).filter(|(_, state)| state.is_none());
    let missing: Vec<&str> = missing.map(|(configured, _)| configured.name.as_str()).collect();
    if missing.len() == found.len() {
        let names: Vec<_> = known.iter().map(|state| state.facts.name.as_str()).collect();
        bail!("no Ethernet interface {}; there are: {}", missing.join(", "), names.join(", "));
    }
    for interface in missing {
        tracing::warn!(interface, "there is no such interface yet; it is served when it comes");
    }
    if config.subnets.iter().all(|subnet| subnet.server_id.is_none()) {
        let there = || found.iter().flatten();
        let without: Vec<&str> =
            there().filter(|s| s.facts.addresses.is_empty()).map(|s| s.facts.name.as_str()).collect();
        if without.len() == there().count() {
            bail!(
                "{} has no IPv4 address to serve from: give it one, or set `server-id`",
                without.join(", ")
            );
        }
        for interface in without {
            tracing::warn!(interface, "it has no IPv4 address to serve from yet");
        }
    }
    Ok(found)
}

/// Takes the program from where it is not to be any more.
fn keep_configured_attachments(config: &Config, attacher: &Attacher) -> Result<()> {
    attacher.stay_on(&attachable(config))?;
    let is_called = config.interfaces.iter().any(|interface| interface.xdp == XdpMode::External);
    if is_called { Ok(()) } else { attacher.refuse_calls() }
}

/// The interfaces that are to have the program.
fn attachable(config: &Config) -> Vec<&str> {
    let wanted = config.interfaces.iter().filter(|interface| interface.xdp != XdpMode::Off);
    wanted.map(|interface| interface.name.as_str()).collect()
}

/// Policy's descriptions of the configured interfaces, in the order of the configuration.
fn facts(config: &Config, found: &[Option<LinkState>]) -> Vec<Interface> {
    let all = config.interfaces.iter().zip(found).enumerate();
    all.map(|(number, (configured, state))| match state {
        Some(state) => state.facts.clone(),
        None => missing(&configured.name, vacant(number)),
    })
    .collect()
}

/// The driver names of those that are there.
fn drivers(found: &[Option<LinkState>]) -> Drivers {
    let there = found.iter().flatten().map(|state| &state.facts);
    there.filter_map(|facts| Some((facts.ifindex, transmission::driver(&facts.name).ok()?))).collect()
}

/// A table without a kernel: all is answered by the daemon.
fn heap_table(needed: Sizes) -> Table {
    let keys = Keys([[0; 4]; Keys::POSITIONS]);
    let slots = Region::heap(needed.slots as usize * SLOT_CELLS);
    let answers = Region::heap(needed.chunks as usize * CHUNK_CELLS);
    Table::new(slots, answers, Box::new(keys), Box::new(HeapHints::default()))
}
