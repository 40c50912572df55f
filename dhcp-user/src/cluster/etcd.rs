//! Speaks to etcd, on a thread of its own: carries out what the node decides, and tells it what happens.
//!
//! The store asks, and waits for answers; the deciding thread hears of blocks and addresses, and waits for nothing. What it has
//! no room for stays here until it has.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::io;
use std::net::Ipv4Addr;
use std::sync::mpsc::{Sender, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use dhcp_ebpf::lease::BootSecs;
use etcd_client::{
    Client, Compare, CompareOp, ConnectOptions, EventType, GetOptions, KvClient, PutOptions, Txn, TxnOp,
    WatchOptions, WatchStream,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::keys::{self, Key};
use super::news::News;
use super::node::{Condition, Effect, Identity, Node, Outcome, Pools, Transaction, Watched, Write};
use super::terms::{Block, Instance};
use super::values::{self, Living};
use crate::clock::BootNanos;
use crate::store::{BootId, Change, Clock, Record, StoreId};

/// For how long a node's key outlives its last sign of life, in seconds.
const TIME_TO_LIVE: i64 = 5;
/// How often it is told so: four times in that.
const SIGN_OF_LIFE: Duration = Duration::from_millis(1250);
/// How often the node looks what time has brought.
const TICK: Duration = Duration::from_millis(250);
/// How long an answer is waited for, before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long until a lost transaction is sent again.
const AGAIN: Duration = Duration::from_millis(250);
/// How many keys are read at a time.
const PAGE: i64 = 1_000;
/// How many transactions are under way at once.
const AT_ONCE: usize = 8;
/// How large a message of etcd may be.
const LARGEST: usize = 256 << 20;
/// How long the first words with etcd may take.
const START: Duration = Duration::from_secs(20);

/// Where etcd is, and who this node is in it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The members' URLs.
    pub endpoints: Vec<String>,
    /// What all keys of this site begin with, without a slash at the end.
    pub prefix: String,
    /// The node's name.
    pub node: String,
    /// Whose maps it serves from.
    pub instance: Instance,
    /// The present boot.
    pub boot: BootId,
    /// The pools' blocks, by subnet.
    pub pools: Vec<Pools>,
}

/// What the store and the server ask for.
pub(super) enum Ask {
    Commit { now: BootSecs, changes: Vec<Change>, done: Sender<Result<u64, String>> },
    Load(Sender<Result<Vec<Record>, String>>),
    Record(Ipv4Addr, Sender<Result<Option<Record>, String>>),
    Acknowledge(BootSecs),
    Configure(Vec<Pools>),
    Close(Sender<()>),
}

/// What is known when the node may begin.
pub(super) struct Begun {
    pub(super) store: StoreId,
    pub(super) commits: u64,
    pub(super) size: (usize, usize),
    pub(super) owned: BTreeSet<Block>,
    pub(super) withheld: BTreeSet<Ipv4Addr>,
}

/// What the operator is told.
#[derive(Debug, Default)]
pub struct Seen {
    /// The nodes, whether each lives, and how many blocks it has.
    pub nodes: Vec<(String, bool, usize)>,
    /// Why etcd does not do what it is asked for.
    pub trouble: Option<String>,
    /// How many records the node has, and their octets.
    pub size: (usize, usize),
}

/// What [`Seen`] is shared by.
pub type Shown = Arc<Mutex<Seen>>;

fn now() -> BootSecs {
    BootNanos::now().floor()
}

/// Serves until nobody asks any more.
///
/// # Errors
/// When the node can do nothing more in this epoch. The daemon is to end, and to be started anew.
pub(super) async fn serve(
    settings: Settings,
    mut asks: mpsc::UnboundedReceiver<Ask>,
    news: mpsc::Sender<News>,
    begun: SyncSender<Result<Begun>>,
    shown: Shown,
) -> io::Result<()> {
    let speaker = match timeout(START, Speaker::begin(settings, shown)).await {
        Ok(speaker) => speaker,
        Err(_) => Err(anyhow!("etcd gave no answer for {} s", START.as_secs())),
    };
    let mut speaker = match speaker {
        Ok(speaker) => speaker,
        Err(error) => {
            let _ = begun.send(Err(error));
            // Whoever started this ends with that as the reason.
            return std::future::pending().await;
        }
    };
    match speaker.serve(&mut asks, &news, begun).await {
        Ok(()) => Ok(()),
        Err(error) => Err(io::Error::other(format!("{error:#}"))),
    }
}

struct Speaker {
    node: Node,
    client: Client,
    prefix: String,
    watch: WatchStream,
    /// The last revision that the watch has told of.
    seen: i64,
    answers: JoinSet<(u64, Outcome, Option<String>)>,
    waiting: VecDeque<Transaction>,
    commit: Option<Sender<Result<u64, String>>>,
    untold: VecDeque<News>,
    /// Its etcd lease is kept alive until this is dropped.
    alive: JoinSet<String>,
    lease: i64,
    shown: Shown,
}

impl Speaker {
    async fn begin(settings: Settings, shown: Shown) -> Result<Self> {
        let Settings { endpoints, prefix, node: name, instance, boot, pools } = settings;
        let options = ConnectOptions::new()
            .with_connect_timeout(PATIENCE)
            .with_keep_alive(Duration::from_secs(2), PATIENCE)
            .with_keep_alive_while_idle(true);
        let mut client = Client::connect(&endpoints, Some(options)).await.context("connecting to etcd")?;
        check_format(&mut client, &prefix).await?;
        let (epoch, lease) = register(&mut client, &prefix, &name, instance).await?;
        let (all, seen) = read_all(&mut client, &prefix).await?;
        let watch = watch_from(&mut client, &prefix, seen.saturating_add(1)).await?;
        let fresh = StoreId(random()?);
        let clock = Clock::resume(None, boot, now());
        let me = Identity { name, instance: instance.in_boot(boot), epoch };
        let mut node = Node::new(me, clock, fresh, pools);
        node.watched(now(), all);
        if let Some((store, clock, commits)) = node.resumed() {
            node.resume(store, Clock::resume(Some(clock), boot, now()), commits);
        }
        node.begin(now());
        let mut alive = JoinSet::new();
        alive.spawn(keep_alive(client.clone(), lease));
        let (answers, waiting, untold) = (JoinSet::new(), VecDeque::new(), VecDeque::new());
        Ok(Self {
            node,
            client,
            prefix,
            watch,
            seen,
            answers,
            waiting,
            commit: None,
            untold,
            alive,
            lease,
            shown,
        })
    }

    async fn serve(
        &mut self,
        asks: &mut mpsc::UnboundedReceiver<Ask>,
        news: &mpsc::Sender<News>,
        begun: SyncSender<Result<Begun>>,
    ) -> Result<()> {
        let mut begun = Some(begun);
        let mut updated = false;
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.carry_out()?;
            if begun.is_some() && self.node.has_begun() && self.commit.is_none() {
                let outdated = self.node.outdated()?;
                if outdated.is_empty() || updated {
                    // What it owns so far is loaded with the rest.
                    self.untold.clear();
                    if let Some(begun) = begun.take() {
                        let _ = begun.send(Ok(self.begun()));
                    }
                } else {
                    updated = true;
                    let (done, _) = std::sync::mpsc::channel();
                    self.commit = Some(done);
                    self.node.commit(now(), outdated);
                }
                continue;
            }
            while let Some(told) = self.untold.pop_front().filter(|_| begun.is_none()) {
                if let Err(mpsc::error::TrySendError::Full(told)) = news.try_send(told) {
                    self.untold.push_front(told);
                    break;
                }
            }
            tokio::select! {
                ask = asks.recv(), if begun.is_none() && self.commit.is_none() => match ask {
                    Some(ask) => if self.asked(ask).await { return Ok(()) },
                    None => return Ok(()),
                },
                Some(answer) = self.answers.join_next() => {
                    let (number, outcome, error) = answer.context("a transaction with etcd")?;
                    self.shown().trouble = error;
                    self.node.answered(now(), number, outcome);
                }
                told = self.watch.message() => self.watched(told).await?,
                _ = tick.tick() => {
                    self.node.tick(now());
                    let (nodes, size) = (self.node.nodes(), self.node.size());
                    let mut shown = self.shown();
                    (shown.nodes, shown.size) = (nodes, size);
                }
                Some(ended) = self.alive.join_next() => bail!(ended.unwrap_or_else(|error| error.to_string())),
            }
        }
    }

    fn shown(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begun(&self) -> Begun {
        Begun {
            store: self.node.store(),
            commits: self.node.commits(),
            size: self.node.size(),
            owned: self.node.owned(),
            withheld: self.node.withheld().clone(),
        }
    }

    /// Does what was asked for; true if nothing more will be.
    async fn asked(&mut self, ask: Ask) -> bool {
        match ask {
            Ask::Commit { now, changes, done } => {
                self.commit = Some(done);
                self.node.commit(now, changes);
            }
            Ask::Load(done) => drop(done.send(self.node.records().map_err(|error| error.to_string()))),
            Ask::Record(address, done) => {
                let own = Some(address).filter(|address| self.node.owns(Block::of(*address)));
                let record = own.map_or(Ok(None), |address| self.node.record(address));
                drop(done.send(record.map_err(|error| error.to_string())));
            }
            Ask::Acknowledge(until) => self.node.acknowledge(now(), until),
            Ask::Configure(pools) => self.node.configure(pools),
            Ask::Close(done) => {
                // The key stays until its time is over: a daemon that is started anew takes it over at once.
                let _ = done.send(());
                return true;
            }
        }
        false
    }

    /// Carries out what the node has decided.
    fn carry_out(&mut self) -> Result<()> {
        while let Some(effect) = self.node.next_effect() {
            match effect {
                Effect::Transact(transaction) => self.waiting.push_back(transaction),
                Effect::Committed => {
                    if let Some(done) = self.commit.take() {
                        let _ = done.send(Ok(self.node.commits()));
                    }
                }
                Effect::Refused(why) => {
                    if let Some(done) = self.commit.take() {
                        let _ = done.send(Err(why.to_string()));
                    }
                }
                Effect::Owned(block, withheld) => {
                    tracing::info!(%block, withheld = withheld.len(), "this node owns the block");
                    let records = self.node.records_of(block)?;
                    self.untold.push_back(News::Owned(block, records, withheld));
                }
                Effect::Cleared(addresses) => self.untold.push_back(News::Cleared(addresses)),
                Effect::Over(why) => bail!(
                    "{why}: it can grant nothing more in this epoch, and begins a new one when it is started anew"
                ),
            }
        }
        while self.answers.len() < AT_ONCE
            && let Some(transaction) = self.waiting.pop_front()
        {
            let kv = self.client.kv_client();
            let carried_out = transact(kv, self.prefix.clone(), transaction);
            self.answers.spawn(carried_out);
        }
        Ok(())
    }

    async fn watched(
        &mut self,
        told: Result<Option<etcd_client::WatchResponse>, etcd_client::Error>,
    ) -> Result<()> {
        let told = match told {
            Ok(Some(told)) => told,
            // The connection is lost. It is made anew, and goes on behind the last that was told.
            Ok(None) | Err(_) => {
                sleep(AGAIN).await;
                if let Ok(Ok(watch)) =
                    timeout(PATIENCE, watch_from(&mut self.client, &self.prefix, self.seen.saturating_add(1)))
                        .await
                {
                    self.watch = watch;
                }
                return Ok(());
            }
        };
        if told.canceled() {
            bail!(
                "etcd does not tell what has changed since revision {} (compacted up to {}): the node reads all anew when it is started",
                self.seen,
                told.compact_revision()
            );
        }
        let mut changes = Vec::with_capacity(told.events().len());
        for event in told.events() {
            let Some(kv) = event.kv() else { continue };
            let Some(key) = below(&self.prefix, kv.key()) else { continue };
            let value = (event.event_type() == EventType::Put).then(|| kv.value().to_vec());
            changes.push(Watched { key, value, created: kv.create_revision(), revision: kv.mod_revision() });
            self.seen = self.seen.max(kv.mod_revision());
        }
        self.node.watched(now(), changes);
        Ok(())
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        tracing::debug!(lease = self.lease, "the node's key stays until its time is over");
    }
}

/// The name of a key without the prefix.
fn below(prefix: &str, key: &[u8]) -> Option<String> {
    let key = std::str::from_utf8(key).ok()?;
    key.strip_prefix(prefix)?.strip_prefix('/').map(str::to_owned)
}

fn full(prefix: &str, key: &str) -> String {
    format!("{prefix}/{key}")
}

async fn transact(
    mut kv: KvClient,
    prefix: String,
    transaction: Transaction,
) -> (u64, Outcome, Option<String>) {
    let when: Vec<Compare> = transaction
        .when
        .iter()
        .map(|condition| match condition {
            Condition::Created(key, revision) => {
                Compare::create_revision(full(&prefix, key), CompareOp::Equal, *revision)
            }
            Condition::Modified(key, revision) => {
                Compare::mod_revision(full(&prefix, key), CompareOp::Equal, *revision)
            }
        })
        .collect();
    let then: Vec<TxnOp> = transaction
        .then
        .iter()
        .map(|write| match write {
            Write::Put(key, value) => TxnOp::put(full(&prefix, key), value.clone(), None),
            Write::Delete(key) => TxnOp::delete(full(&prefix, key), None),
        })
        .collect();
    let lost = |why: String| (transaction.number, Outcome::Unknown, Some(why));
    let since = Instant::now();
    match timeout(PATIENCE, kv.txn(Txn::new().when(when).and_then(then))).await {
        Ok(Ok(response)) => {
            let revision = response.header().map_or(0, etcd_client::ResponseHeader::revision);
            let outcome = if response.succeeded() { Outcome::Done(revision) } else { Outcome::Refused };
            (transaction.number, outcome, None)
        }
        Ok(Err(error)) => {
            sleep(AGAIN).await;
            lost(format!("etcd: {error}"))
        }
        Err(_) => lost(format!("etcd gave no answer for {} s", since.elapsed().as_secs())),
    }
}

/// Nothing of a later format stands below the prefix.
async fn check_format(client: &mut Client, prefix: &str) -> Result<()> {
    let key = full(prefix, keys::FORMAT);
    let written = values::FORMAT.to_string();
    let absent = vec![Compare::create_revision(key.clone(), CompareOp::Equal, 0)];
    client
        .txn(Txn::new().when(absent).and_then(vec![TxnOp::put(key.clone(), written.clone(), None)]))
        .await?;
    let found = client.get(key.clone(), None).await?;
    let found =
        found.kvs().first().map(|kv| String::from_utf8_lossy(kv.value()).into_owned()).unwrap_or_default();
    if found != written {
        bail!(
            "`{key}` in etcd says format \"{found}\", and this xdhcpd writes {written}: run the version that made it, or give this site a `prefix` of its own"
        );
    }
    Ok(())
}

/// Enters the node's key, and gives the epoch, and the etcd lease that it lives by.
async fn register(client: &mut Client, prefix: &str, name: &str, instance: Instance) -> Result<(i64, i64)> {
    let key = full(prefix, &Key::Node(name.to_owned()).name());
    let lease = client.lease_grant(TIME_TO_LIVE, None).await.context("asking etcd for a lease")?.id();
    let value = values::write(&Living { instance });
    let patience = Instant::now();
    loop {
        let absent = vec![Compare::create_revision(key.clone(), CompareOp::Equal, 0)];
        let put = TxnOp::put(key.clone(), value.clone(), Some(PutOptions::new().with_lease(lease)));
        let answer = client.txn(Txn::new().when(absent).and_then(vec![put])).await?;
        if answer.succeeded() {
            let epoch = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
            return Ok((epoch, lease));
        }
        let found = client.get(key.clone(), None).await?;
        let Some(found) = found.kvs().first() else { continue };
        if values::read::<Living>(found.value())?.instance == instance {
            // This node's last daemon has not been gone for long.
            let same = vec![Compare::mod_revision(key.clone(), CompareOp::Equal, found.mod_revision())];
            client.txn(Txn::new().when(same).and_then(vec![TxnOp::delete(key.clone(), None)])).await?;
        } else if patience.elapsed() > Duration::from_secs(TIME_TO_LIVE.unsigned_abs().saturating_add(2)) {
            bail!(
                "another xdhcpd serves as node \"{name}\": give this one another `node` in `store`, or stop that one"
            );
        } else {
            sleep(AGAIN).await;
            client.lease_keep_alive(lease).await?.0.keep_alive().await?;
        }
    }
}

/// Keeps the etcd lease alive. Gives why it could not.
async fn keep_alive(mut client: Client, lease: i64) -> String {
    loop {
        let kept = async {
            let (mut keeper, mut answers) = client.lease_keep_alive(lease).await?;
            loop {
                keeper.keep_alive().await?;
                match timeout(PATIENCE, answers.message()).await {
                    Ok(Ok(Some(answer))) if answer.ttl() == 0 => return Ok(()),
                    Ok(Ok(Some(_))) => sleep(SIGN_OF_LIFE).await,
                    Ok(Ok(None)) | Err(_) => {
                        return Err(etcd_client::Error::LeaseKeepAliveError("no answer".into()));
                    }
                    Ok(Err(error)) => return Err(error),
                }
            }
        };
        match kept.await {
            Ok(()) => return "etcd has taken the node for dead".into(),
            Err(error) => {
                tracing::debug!(%error, "keeping the node's key alive");
                sleep(AGAIN).await;
            }
        }
    }
}

/// All below the prefix at one revision, and that.
async fn read_all(client: &mut Client, prefix: &str) -> Result<(Vec<Watched>, i64)> {
    let mut kv = client.kv_client().max_decoding_message_size(LARGEST);
    let end = format!("{prefix}0");
    let (mut from, mut at, mut all) = (format!("{prefix}/"), 0, Vec::new());
    loop {
        let options = GetOptions::new().with_range(end.clone()).with_limit(PAGE).with_revision(at);
        let mut page = kv.get(from.clone(), Some(options)).await.context("reading what etcd holds")?;
        if at == 0 {
            at = page.header().map_or(0, etcd_client::ResponseHeader::revision);
        }
        let more = page.more();
        for found in page.take_kvs() {
            if let Some(key) = below(prefix, found.key()) {
                all.push(Watched {
                    key,
                    value: Some(found.value().to_vec()),
                    created: found.create_revision(),
                    revision: found.mod_revision(),
                });
            }
            from = String::from_utf8_lossy(found.key()).into_owned();
            from.push('\0');
        }
        if !more {
            return Ok((all, at));
        }
    }
}

async fn watch_from(client: &mut Client, prefix: &str, revision: i64) -> Result<WatchStream> {
    let options = WatchOptions::new().with_range(format!("{prefix}0")).with_start_revision(revision);
    let mut watch = client.watch_client().max_decoding_message_size(LARGEST);
    watch.watch(format!("{prefix}/"), Some(options)).await.context("watching what etcd holds")
}

/// A number by chance.
pub(super) fn random() -> Result<u128> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/uuid")
        .context("asking the kernel for a number by chance")?;
    Ok(text.parse::<BootId>().map(|id| id.0)?)
}

/// How a list of nodes reads.
#[must_use]
pub fn in_words(nodes: &[(String, bool, usize)]) -> String {
    nodes.iter().fold(String::new(), |mut all, (name, lives, blocks)| {
        let comma = if all.is_empty() { "" } else { ", " };
        let dead = if *lives { "" } else { " (not there)" };
        let _ = write!(all, "{comma}{name}{dead}: {blocks} blocks");
        all
    })
}
