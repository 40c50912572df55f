//! The store that the server commits to: a handle of the thread that speaks to etcd.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};

use anyhow::{Context as _, Result};
use dhcp_ebpf::lease::BootSecs;
use tokio::sync::mpsc;

use super::etcd::{Ask, Begun, Settings, Shown, random, serve};
use super::news::News;
use super::node::Pools;
use super::terms::{Block, Instance};
use crate::store::{Change, Record, Size, Store, StoreError, StoreId};

/// How many news may wait for the deciding thread; further ones wait at the thread that speaks to etcd.
const NEWS: usize = 64;

/// The agreed store, of one node.
pub struct Agreed {
    asks: mpsc::UnboundedSender<Ask>,
    store: StoreId,
    commits: u64,
    shown: Shown,
}

/// The node, as the server sees it.
#[derive(Debug)]
pub struct Link {
    asks: Asks,
    /// What the server has to hear of.
    pub news: mpsc::Receiver<News>,
    /// The blocks that it owns at the start.
    pub owned: BTreeSet<Block>,
    /// Those addresses in them that others may have promised.
    pub withheld: BTreeSet<Ipv4Addr>,
    /// What the operator is told.
    pub shown: Shown,
}

/// Where the server asks.
struct Asks(mpsc::UnboundedSender<Ask>);

impl std::fmt::Debug for Asks {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("Asks")
    }
}

/// Whose maps are served from here: a number in the state directory, made at the first start.
///
/// # Errors
/// When it can be neither read nor written.
pub fn instance(state_dir: &Path) -> Result<Instance> {
    let file = state_dir.join("node-instance");
    let made = || -> Result<Instance> {
        let instance = Instance(random()?);
        fs::create_dir_all(state_dir)?;
        let part = state_dir.join("node-instance.new");
        fs::write(&part, format!("{instance}\n"))?;
        fs::File::open(&part)?.sync_all()?;
        fs::rename(&part, &file)?;
        Ok(instance)
    };
    match fs::read_to_string(&file) {
        Ok(text) => {
            let number = u128::from_str_radix(text.trim(), 16);
            number
                .map(Instance)
                .with_context(|| format!("{} is damaged: remove it, and start again", file.display()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            made().with_context(|| format!("writing {}", file.display()))
        }
        Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
    }
}

/// Begins to speak to etcd, on what `start` starts, and waits until the node has what it needs to begin.
///
/// # Errors
/// When etcd does not answer, or the node may not begin; the message says what to do.
pub fn open<F>(settings: Settings, start: impl FnOnce(Work) -> Result<F>) -> Result<(Agreed, Link)> {
    let endpoints = settings.endpoints.join(", ");
    let (asks, asked) = mpsc::unbounded_channel();
    let (told, news) = mpsc::channel(NEWS);
    let (begun, has_begun) = sync_channel(1);
    let shown = Shown::default();
    start(Work { settings, asked, told, begun, shown: shown.clone() })?;
    let begun = has_begun.recv().context("the thread that speaks to etcd has ended")?;
    let Begun { store, commits, size, owned, withheld } =
        begun.with_context(|| format!("beginning as a node on etcd at {endpoints}"))?;
    shown.lock().unwrap_or_else(PoisonError::into_inner).size = size;
    let agreed = Agreed { asks: asks.clone(), store, commits, shown: shown.clone() };
    Ok((agreed, Link { asks: Asks(asks), news, owned, withheld, shown }))
}

/// What the thread does.
pub struct Work {
    settings: Settings,
    asked: mpsc::UnboundedReceiver<Ask>,
    told: mpsc::Sender<News>,
    begun: std::sync::mpsc::SyncSender<Result<Begun>>,
    shown: Shown,
}

impl Work {
    /// Does it, until the store is closed.
    ///
    /// # Errors
    /// When the node can do nothing more in this epoch.
    pub async fn run(self) -> io::Result<()> {
        serve(self.settings, self.asked, self.told, self.begun, self.shown).await
    }
}

impl Link {
    /// In blocks that are not its own the node's maps promise nothing any more, and what they promised ends then.
    pub fn acknowledge(&self, until: BootSecs) {
        let _ = self.asks.0.send(Ask::Acknowledge(until));
    }

    /// The configuration has other pools now.
    pub fn configure(&self, pools: Vec<Pools>) {
        let _ = self.asks.0.send(Ask::Configure(pools));
    }
}

impl Agreed {
    fn ask<T>(&self, ask: impl FnOnce(Sender<T>) -> Ask) -> Result<T, StoreError> {
        let (done, answer): (_, Receiver<T>) = channel();
        let gone = || StoreError::Agreed("the thread that speaks to etcd has ended".into());
        self.asks.send(ask(done)).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())
    }
}

impl Store for Agreed {
    fn id(&self) -> StoreId {
        self.store
    }

    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        let mut records = self.ask(Ask::Load)?.map_err(StoreError::Agreed)?;
        records.sort_by_key(|record| record.expiry);
        Ok(records)
    }

    fn record(&mut self, address: Ipv4Addr) -> Result<Option<Record>, StoreError> {
        self.ask(|done| Ask::Record(address, done))?.map_err(StoreError::Agreed)
    }

    fn commit(&mut self, now: BootSecs, changes: &[Change]) -> Result<(), StoreError> {
        let changes = changes.to_vec();
        self.commits = self.ask(|done| Ask::Commit { now, changes, done })?.map_err(StoreError::Agreed)?;
        Ok(())
    }

    fn last_commit(&self) -> u64 {
        self.commits
    }

    fn size(&self) -> Size {
        let (records, octets) = self.shown.lock().unwrap_or_else(PoisonError::into_inner).size;
        Size { octets: octets as u64, records: records as u64 }
    }

    fn close(&mut self) -> Result<(), StoreError> {
        self.ask(Ask::Close)
    }
}
