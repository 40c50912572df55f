//! The server around the policy core: it brings events, and carries out the core's decisions.
//!
//! The folders follow the life of a packet; the others stand around that. A folder imports only from earlier ones in
//! this list.
//!
//! ```text
//! process    the threads beside this one, its watchdog, the notifications to the service manager
//! nodes      the other nodes that share the address space: what etcd tells of blocks and addresses
//! equipment  what a configuration needs: limits, probes, the store, maps and memory
//! commit     actions that wait for the disk, the thread that has the store, a store that takes no commits
//! reports    counters, `explain`, captures, reports, trouble
//! intake     where frames come from
//! turn       one batch: read frames, decide ─► commit ─► publish ─► send
//! links      the life of interfaces, and whether answers leave by them
//! operator   the command line's orders: end leases, clear quarantines, leases from and to other servers, the audit
//! reload     a changed configuration, and the kernel's answers that it voids
//! start      opens store and kernel part, compares them, restores policy from both, attaches interfaces
//! ```
//!
//! This file waits for frames, queries, signals and the beat.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod commit;
mod equipment;
mod intake;
mod links;
mod nodes;
mod operator;
mod process;
mod reload;
mod reports;
#[cfg(feature = "simulation")]
pub mod simulated;
mod start;
mod turn;

use std::collections::{BTreeSet, HashSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::HashMap;
use anyhow::{Context as _, Result, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::clock::BootNanos;
use crate::config::Config;
use crate::control::{self, Connections, Startup, WallClock};
use crate::datapath::frames::outbox::Outbox;
use crate::datapath::frames::ring::Arrival;
use crate::datapath::interfaces::netlink::Namespace;
use crate::datapath::leases::table::Table;
use crate::datapath::program::attachment;
use crate::datapath::program::kernel::Kernel;
use crate::hooks::{Hooks, Runner};
use crate::journal::Journal;
use crate::limits::Limits;
use crate::metrics;
use crate::policy::{Event, Interface, Policy};
use crate::privileges;
use crate::probe::{self, Prober};
use crate::pulse::{Pulse, Stage};
use crate::store::Loss;
use crate::waiting::Waiting;
use commit::decided::{Decided, Orders};
use commit::thread::Committing;
use commit::uncommitted::{UncommittedChanges, Unpublished};
use intake::{BATCH, ready, ready_sockets};
use links::attaching::Attaching;
use links::{Drivers, ServedInterface};
use nodes::Nodes;
use operator::admission;
use operator::audit::Audits;
use operator::transfer::Exports;
use process::awake::Awake;
use process::beside::Beside;
use process::{service, watchdog};
use reload::Reloads;
use reload::configuring::Configuring;
use reload::stale::Forgetting;
use reports::busiest::Busy;
use reports::capture::Captures;
use reports::complaints::Complaints;
use reports::events::Events;
use reports::explain::PuntLog;
use reports::measuring::Measuring;
use reports::narration::Narration;
use reports::traffic::Traffic;

/// So many messages at hand are decided before what they need is committed, some 300 µs' work: two commits take as long.
const TOGETHER: usize = 64;
/// So many decided actions wait for a commit under way, and a batch more.
const DECIDED: usize = 16 * BATCH;
/// How often the beat comes: heartbeat, deadlines, a look at some of the lease words.
const BEAT: Duration = Duration::from_millis(250);
/// How long the disk has for the last commit, and to close the store.
const END: Duration = Duration::from_secs(20);
/// How many queries of operators may wait.
const QUERIES: usize = 64;
/// How many looks at the interfaces may wait.
const LOOKS: usize = 4;

/// The daemon.
pub struct Server {
    /// Where the configuration is read again from.
    file: PathBuf,
    config: Arc<Config>,
    policy: Policy,
    table: Table,
    committing: Committing,
    /// Decided actions that wait for the end of the commit under way, to be committed and carried out then.
    decided: Vec<Decided>,
    orders: Orders,
    audits: Audits,
    /// How many [`Decided::Former`] wait.
    former: usize,
    disk_is_late: bool,
    kernel: Option<Kernel>,
    outbox: Outbox,
    /// `None`: the configuration wants no probes.
    prober: Option<Prober>,
    /// By index; those that are not there by one that no interface has.
    interfaces: HashMap<u32, ServedInterface>,
    /// Interfaces that are configured no more, each by an index that none has: there may be leases of their clients.
    left: Vec<Interface>,
    /// How many indices that no interface has are in use.
    vacancies: usize,
    /// The interfaces and addresses of the machine, as they were found last.
    seen: Namespace,
    /// Those of its addresses that clients could be given, by the configuration, and that a warning was given of.
    warned_of: BTreeSet<Ipv4Addr>,
    /// The names of the interfaces' drivers.
    drivers: Drivers,
    attaching: Attaching,
    /// Where frames of packet sockets go.
    arrivals: mpsc::Sender<Arrival>,
    /// Every address that frames for us may be sent to.
    ours: HashSet<Ipv4Addr>,
    traffic: Traffic,
    measuring: Measuring,
    busy: Busy,
    limits: Limits,
    punts: PuntLog,
    complaints: Complaints,
    narration: Narration,
    exports: Exports,
    captures: Captures,
    awake: Awake,
    configuring: Configuring,
    reloads: Reloads,
    /// The walk by which the kernel forgets answers.
    forgetting: Option<Forgetting>,
    beside: Beside,
    pulse: Arc<Pulse>,
    /// Why interfaces can't be looked at.
    blind: Option<String>,
    /// Since when the thread that looks at interfaces waits for an answer.
    looking: Waiting,
    /// The clients of the control socket.
    connections: Arc<Connections>,
    /// The changes that the store has not taken, while it takes nothing.
    uncommitted: Option<UncommittedChanges>,
    /// The addresses to publish when the store has taken all changes.
    unpublished: Unpublished,
    /// `None`: the configuration wants none.
    journal: Option<Journal>,
    events: Events,
    /// `None`: the configuration has none.
    hooks: Option<Hooks>,
    nodes: Nodes,
    wall: WallClock,
    started: BootNanos,
    /// The slot that the next look at the words begins with.
    look_from: u32,
    /// How many slots are looked at in a beat.
    look_at: u32,
    #[cfg(feature = "simulation")]
    aside: simulated::Aside,
}

/// Whether program, maps and attachments stay at the end of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExit {
    /// They stay, and go on answering renewals up to the horizon.
    Stay,
    /// They are removed.
    Detach,
}

/// Serves the configuration in `file` until SIGTERM or SIGINT, and reads it again on SIGHUP.
///
/// # Errors
/// When the server can't start, or can't commit the last that the kernel has promised before it ends.
pub async fn run(config: Config, file: &Path, diagnosis: bool, on_exit: OnExit, loss: Loss) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let mut hangup = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
    service::starting();
    let socket = config.server.control_socket.clone();
    // While programs can be started.
    let runner = Runner::start(&config.hooks).context("starting the process that runs hooks")?;
    let (queries, mut asked) = mpsc::channel(QUERIES);
    let (by_http, by_kea_api) = (queries.clone(), queries.clone());
    let (admission, audience) = admission::of(&config.server)?;
    let startup = Arc::new(Startup::admitting(admission));
    let (beside, mut gone) = Beside::new();
    let (listener, told) = (control::bind_for(&socket, audience), Arc::clone(&startup));
    let bound = control::Bound::at(&socket, audience);
    let kept = Some(bound.clone());
    listener
        .map_err(Into::into)
        .and_then(|listener| {
            beside.runtime("control", move || control::serve_at(listener, kept, queries, told))
        })
        .with_context(|| format!("opening the control socket {}", socket.display()))?;
    // Before rights are given up: the port may be one that takes some.
    let listener = config.server.metrics_listen.map(|address| {
        metrics::bind(address).with_context(|| format!("listening on {address} (metrics-listen)"))
    });
    let listener = listener.transpose().inspect_err(|_| bound.remove())?;
    let kea_api = config.server.kea_api_listen.map(|address| {
        metrics::bind(address).with_context(|| format!("listening on {address} (kea-api-listen)"))
    });
    let kea_api = kea_api.transpose().inspect_err(|_| bound.remove())?;
    let (mut server, mut intake) = Server::start(config, file, diagnosis, loss, &startup, beside)
        .inspect_err(|_| {
            // Nobody answers there any more.
            bound.remove();
        })?;
    let (found, mut looks) = mpsc::channel(LOOKS);
    links::watch(&server.beside, found, server.looking.clone())?;
    if let Some(listener) = listener {
        let pulse = startup.pulse();
        pulse.time();
        server.beside.runtime("metrics", move || metrics::serve(listener, by_http, pulse))?;
    }
    if let Some(listener) = kea_api {
        let pulse = startup.pulse();
        server.beside.runtime("kea-api", move || metrics::serve_kea_api(listener, by_kea_api, pulse))?;
    }
    if let Err(error) = privileges::refuse() {
        tracing::warn!(error = format!("{error:#}"), "the kernel has no filter for system calls");
    }
    watchdog::watch(&server.beside, startup.pulse())?;
    tracing::info!(config = %file.display(), leases = server.policy.leased(), "serving");
    if let Some(runner) = runner {
        let events = server.events.listen().events;
        let beside = server.beside.clone();
        // Without the process they have nothing to do, and `status` says that it has ended.
        server.hooks = Some(runner.feed(events, |name, work| beside.passing_thread(name, work))?);
    }
    server.events.started();
    startup.serving();
    service::ready(&server);

    let mut beat = every(BEAT);
    let mut look = every(probe::LOOK);
    loop {
        let arrived = tokio::select! {
            biased;
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = beat.tick() => { server.at(Stage::Beat).beat(); Vec::new() }
            _ = look.tick(), if server.is_probing() => { server.at(Stage::Beat).look(); Vec::new() }
            _ = hangup.recv() => { server.at(Stage::Reloading).reload(None); Vec::new() }
            Some(look) = looks.recv() => { server.at(Stage::Following).looked(look); Vec::new() }
            Some(which) = gone.recv() => bail!("{which}: the daemon ends; the kernel answers renewals until another is started"),
            Some(query) = asked.recv() => { server.at(Stage::Answering).answer(query); Vec::new() }
            ended = server.committing.ended() => {
                server.at(Stage::Committing).ended(ended.context("the thread that commits has ended: please report the panic above")?);
                Vec::new()
            }
            news = server.nodes.news(), if !server.is_reloading() && server.may_take() => { server.at(Stage::Following).heard_of_nodes(news); Vec::new() }
            done = server.attaching.done() => { server.at(Stage::Following).attached(done); Vec::new() }
            done = server.configuring.done() => {
                server.at(Stage::Reloading).configured(done);
                Vec::new()
            }
            arrived = ready(&mut intake.begun), if server.may_take() => arrived,
            arrived = ready(&mut intake.fresh), if server.may_take() => arrived,
            arrived = ready_sockets(&mut intake.sockets), if server.may_take() => arrived,
            () = std::future::ready(()), if server.is_forgetting() || server.is_reloading() || server.has_to_tell() || server.has_to_ask() => Vec::new(),
        };
        server.pulse.at(Stage::Deciding);
        let mut came = arrived.len();
        server.take(arrived);
        // Whoever comes right behind has his lease by the same commit, instead of waiting for that one and then for another.
        while (1..TOGETHER).contains(&came) && server.committing.is_idle() {
            let more = intake.at_hand();
            if more.is_empty() {
                break;
            }
            came += more.len();
            server.take(more);
        }
        server.end_turn();
        server.pulse.at(Stage::Waiting);
        // While there is always a batch of new exchanges, nothing here waits, and without waiting the runtime does not
        // look whether the beat is due, or an exchange that was begun has gone on.
        tokio::task::yield_now().await;
    }
    bound.remove();
    let finished = server.finish(on_exit);
    service::farewell();
    finished
}

pub use equipment::capacity::{Capacity, TooMuch, memory_left};
pub use operator::transfer::export_stopped;
pub use reload::refusals;
pub use start::attach_only;

impl Server {
    /// Decides a batch of frames.
    fn take(&mut self, arrived: Vec<Arrival>) {
        self.awake.came(arrived.len());
        let mut events = Vec::with_capacity(arrived.len());
        for arrival in arrived {
            let at = arrival.at;
            if let Some(event) = self.admit(arrival) {
                self.measuring.admitted(at);
                events.push(event);
            }
        }
        self.decide(events);
        self.measuring.decided();
    }

    /// The last of each turn, whatever was dealt with in it.
    fn end_turn(&mut self) {
        self.reload_some();
        self.forget_some();
        self.tell_some();
        self.ask_some();
        self.at(Stage::Committing).commit_next();
    }

    /// Whether there is room for more decisions beside the commit under way. Otherwise what comes in waits in the rings.
    const fn may_take(&self) -> bool {
        self.decided.len() < DECIDED
    }

    /// Says what this thread is at from now on.
    fn at(&mut self, stage: Stage) -> &mut Self {
        self.pulse.at(stage);
        self
    }

    /// Gives a sign of life of this thread: in each beat, and after each step of long work.
    fn alive(&self) {
        self.pulse.beat();
        if let Some(kernel) = &self.kernel {
            kernel.beat(BootNanos::now().0);
        }
        service::alive();
    }

    /// The regular work, four times a second.
    fn beat(&mut self) {
        self.alive();
        self.count_unsent();
        self.awake.beat(self.config.server.keep_cpus_awake);
        self.complain_again();
        self.narrate_rest();
        self.orders.give_up();
        self.audits.give_up();
        self.captures.rest();
        self.busy.rest(Instant::now());
        self.watch_disk();
        let extended = self.table.extended(self.look_from, self.look_at);
        self.look_from += self.look_at;
        if self.look_from >= self.table.in_use() {
            self.look_from = 0;
        }
        let mut events: Vec<Event> = extended
            .into_iter()
            .map(|lease| Event::Extended {
                address: lease.address,
                word: lease.word,
                renewals: lease.unreported.renewals,
                is_last_answer: lease.unreported.is_last_answer,
            })
            .collect();
        if self.policy.next_deadline().is_some_and(|deadline| deadline <= BootNanos::now().floor()) {
            events.push(Event::Tick);
        }
        self.decide(events);
    }

    fn is_probing(&self) -> bool {
        self.prober.as_ref().is_some_and(|prober| !prober.is_idle())
    }

    /// Goes on with the probes that are under way, and decides by those that have come to an end.
    fn look(&mut self) {
        let found = self.prober.as_mut().map(|prober| prober.look(Instant::now())).unwrap_or_default();
        self.probed(found);
    }

    fn has_to_ask(&self) -> bool {
        self.prober.as_ref().is_some_and(Prober::is_behind)
    }

    /// Deals with a part of the probes that the last look found to wait for nothing more.
    fn ask_some(&mut self) {
        let behind = self.prober.as_mut().filter(|prober| prober.is_behind());
        let found = behind.map(|prober| prober.go_on(Instant::now())).unwrap_or_default();
        self.probed(found);
    }

    fn probed(&mut self, found: Vec<probe::Found>) {
        self.decide(found.into_iter().map(|(address, outcome)| Event::Probed { address, outcome }).collect());
    }

    /// The end: commits the kernel's extensions, and closes the store.
    fn finish(mut self, on_exit: OnExit) -> Result<()> {
        self.pulse.rest();
        service::stopping();
        self.captures.end();
        self.attaching.end();
        let all = self.table.extended(0, self.table.in_use());
        let events = all
            .into_iter()
            .map(|lease| Event::Extended {
                address: lease.address,
                word: lease.word,
                renewals: lease.unreported.renewals,
                is_last_answer: lease.unreported.is_last_answer,
            })
            .collect();
        self.decide(events);
        let until = Instant::now() + END;
        let settled = self.commit_all(Some(until));
        if let Some(journal) = self.journal.take() {
            journal.finish();
        }
        if let Some(hooks) = &self.hooks {
            hooks.about_to_finish();
        }
        self.events.finish();
        if let Some(hooks) = self.hooks.take() {
            hooks.finish();
        }
        let leases = self.policy.leased();
        let closed = self.committing.close(until);
        match on_exit {
            _ if self.kernel.is_none() => tracing::info!(leases, "stopped"),
            OnExit::Stay => {
                tracing::info!(leases, "stopped; the kernel goes on answering renewals up to the horizon");
            }
            OnExit::Detach => {
                let detached = attachment::detach(&self.config.server.pin_dir, None)?;
                tracing::info!(leases, from = ?detached, "stopped and detached; no renewal is answered");
            }
        }
        settled.context("what was decided last is not on disk; no client was promised it")?;
        closed.context("the store could not be closed in order; what was committed is on disk")
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
