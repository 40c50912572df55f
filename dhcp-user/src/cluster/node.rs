//! One node's share of the agreement, without any I/O: what happens goes in, transactions come out.
//!
//! What is known of etcd's state comes by the watch, in the order of revisions, and by answers to the node's own
//! transactions. A block is the node's own from when the watch shows it so: then all that the former owner wrote has been
//! seen, and it writes no more, since its transactions compare the block's revision.

mod committing;
mod transactions;
mod watching;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;

use dhcp_ebpf::lease::BootSecs;

use super::terms::{Block, Instance, over};
use super::values::{Acknowledged, BadValue, Clocked, Ending, Holder, Lease, Owner};
use crate::store::{Change, Clock, Record, Standing, StoreId};

/// So many addresses are changed by one transaction: with each may go an ending, and etcd takes 128 operations.
const TOGETHER: usize = 48;
/// A node that has fewer free addresses of a subnet than this claims another block: nobody waits for a claim.
const SPARE: u32 = 64;

/// A transaction: all conditions hold, and all is written, or nothing is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// By which its answer is told.
    pub number: u64,
    /// What it compares.
    pub when: Vec<Condition>,
    /// What it writes.
    pub then: Vec<Write>,
}

/// A comparison of a revision, which is 0 where there is no such key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The key was created at this revision.
    Created(String, i64),
    /// The key was changed last at this revision.
    Modified(String, i64),
}

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// It is to have this value.
    Put(String, Vec<u8>),
    /// It is to be no more.
    Delete(String),
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was carried out at this revision.
    Done(i64),
    /// A condition did not hold.
    Refused,
    /// Nobody knows whether it was carried out.
    Unknown,
}

/// A key as it was seen in etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Its name, without the prefix.
    pub key: String,
    /// Its value; none if it is no more.
    pub value: Option<Vec<u8>>,
    /// When it was created.
    pub created: i64,
    /// When it was changed last.
    pub revision: i64,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Has this carried out.
    Transact(Transaction),
    /// The commit is agreed upon.
    Committed,
    /// The commit can't be made. It may be tried again.
    Refused(Refusal),
    /// The block is this node's own from now on. Others may have promised these addresses of it.
    Owned(Block, Vec<Ipv4Addr>),
    /// No other node can have promised these addresses any more.
    Cleared(Vec<Ipv4Addr>),
    /// The node can do nothing more in this epoch.
    Over(String),
}

/// Why a commit can't be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// What policy should have known.
    #[error("{address} may be promised to another client by another node, for {seconds} s at most")]
    Promised {
        /// The address.
        address: Ipv4Addr,
        /// How long that is.
        seconds: u32,
    },
    /// Another node owns it.
    #[error("{address} is in a block of node {owner}")]
    NotOurs {
        /// The address.
        address: Ipv4Addr,
        /// The owner of its block.
        owner: String,
    },
}

/// Who a node is, and where it is at.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The node's name.
    pub name: String,
    /// Whose maps it serves from.
    pub instance: Instance,
    /// The create revision of its key.
    pub epoch: i64,
}

/// What a subnet has in a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// How many addresses of its pools.
    pub addresses: u32,
    /// Whether an address there is reserved: some node is to serve its client, however many other addresses there are.
    pub reserved: bool,
}

/// The blocks of one subnet.
pub type Pools = BTreeMap<Block, Need>;

/// One node.
#[derive(Debug)]
pub struct Node {
    me: Identity,
    clock: Clock,
    store: StoreId,
    commits: u64,
    /// By subnet.
    pools: Vec<Pools>,
    /// The nodes that live, as far as their keys tell.
    living: BTreeSet<String>,
    blocks: BTreeMap<Block, Owned>,
    leases: BTreeMap<Ipv4Addr, Kept<Lease>>,
    /// How many addresses of each block are promised.
    promised: BTreeMap<Block, u32>,
    endings: BTreeMap<Ipv4Addr, Kept<Ending>>,
    acknowledged: BTreeMap<Instance, Seen<Acknowledged>>,
    /// Addresses of own blocks that others may have promised.
    withheld: BTreeSet<Ipv4Addr>,
    /// Endings that are over, and still in etcd.
    closed: BTreeSet<Ipv4Addr>,
    /// The clocks of nodes at their last commits.
    clocks: BTreeMap<String, Clocked>,
    commit: Option<Commit>,
    under_way: BTreeMap<u64, UnderWay>,
    number: u64,
    is_over: bool,
    /// Up to which revision the watch has told, and the last at which a claim was carried out.
    told: i64,
    claimed: i64,
    out: VecDeque<Effect>,
    #[cfg(test)]
    pub(super) wrong: Option<crate::cluster::tests::Wrong>,
}

/// A block's owner, and since which revision it is.
#[derive(Clone, Debug)]
struct Owned {
    owner: Owner,
    since: i64,
}

/// A value, and when it was seen first: it is not older.
#[derive(Clone, Debug)]
struct Seen<T> {
    value: T,
    revision: i64,
    at: BootSecs,
}

/// What is known of an address, or its ending, with the end of what others may have promised.
#[derive(Clone, Debug)]
struct Kept<T> {
    seen: Seen<T>,
    others_until: BootSecs,
}

/// What is to stand in etcd of an address, and the end of what others may have promised.
#[derive(Clone, Debug)]
struct Next {
    address: Ipv4Addr,
    lease: Option<Lease>,
    ending: Option<Ending>,
    others_until: BootSecs,
}

/// A commit that is being made.
#[derive(Debug)]
struct Commit {
    now: BootSecs,
    changes: BTreeMap<Ipv4Addr, Change>,
    /// How many transactions have no answer yet; none before they are made.
    left: Option<usize>,
}

/// A transaction under way.
#[derive(Debug)]
struct UnderWay {
    transaction: Transaction,
    purpose: Purpose,
}

#[derive(Debug)]
enum Purpose {
    Commit(Vec<Next>),
    Claim(Block),
    Tidy(Vec<Ipv4Addr>),
    Acknowledge,
}

/// Others that may have promised an address.
struct Held {
    client: Holder,
    others: Vec<Instance>,
    until: BootSecs,
}

impl Node {
    /// The node in a new epoch, before it knows anything. Its store's clock goes on by what it finds
    /// ([`begin`](Self::begin)).
    #[must_use]
    pub fn new(me: Identity, clock: Clock, store: StoreId, pools: Vec<Pools>) -> Self {
        Self {
            me,
            clock,
            store,
            commits: 0,
            pools,
            living: BTreeSet::new(),
            blocks: BTreeMap::new(),
            leases: BTreeMap::new(),
            promised: BTreeMap::new(),
            endings: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            withheld: BTreeSet::new(),
            closed: BTreeSet::new(),
            clocks: BTreeMap::new(),
            commit: None,
            under_way: BTreeMap::new(),
            number: 0,
            is_over: false,
            told: 0,
            claimed: 0,
            out: VecDeque::new(),
            #[cfg(test)]
            wrong: None,
        }
    }

    /// What is to be done next.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.out.pop_front()
    }

    /// Goes on where the node was, knowing all that was in etcd at one revision: claims what was its own in its last epoch, and
    /// what it needs.
    pub fn begin(&mut self, now: BootSecs) {
        self.tick(now);
    }

    /// What is to be committed before the node's maps promise by it: what another node wrote of addresses that this one owns
    /// now, and what it wrote itself before its machine was started.
    ///
    /// # Errors
    /// When a record can't be read.
    pub fn outdated(&self) -> Result<Vec<Change>, BadValue> {
        let is_outdated = |seen: &Seen<Lease>| {
            let clock = seen.value.clock.as_slice().try_into().map(Clock::from_bytes);
            seen.value.instance != self.me.instance
                || clock.is_ok_and(|clock| clock.boot() != self.clock.boot())
        };
        let mine = self.leases.iter().filter(|(address, _)| self.owns(Block::of(**address)));
        let outdated = mine.filter(|(_, kept)| kept.seen.value.client.is_some() && is_outdated(&kept.seen));
        outdated
            .filter_map(|(address, _)| self.record(*address).transpose())
            .map(|record| record.map(Change::Put))
            .collect()
    }

    /// What others may have promised in its blocks.
    #[must_use]
    pub fn withheld(&self) -> &BTreeSet<Ipv4Addr> {
        &self.withheld
    }

    /// The blocks that it owns.
    #[must_use]
    pub fn owned(&self) -> BTreeSet<Block> {
        self.blocks.iter().filter(|(_, owned)| self.is_mine(owned)).map(|(block, _)| *block).collect()
    }

    /// The store that the node's maps rest upon, its clock and the number of its last commit, if it was there before.
    #[must_use]
    pub fn resumed(&self) -> Option<(StoreId, Clock, u64)> {
        let clocked = self.clocks.get(&self.me.name)?;
        let clock = Clock::from_bytes(clocked.clock.as_slice().try_into().ok()?);
        Some((StoreId(clocked.store), clock, clocked.commits))
    }

    /// Goes on by this clock, and counts on.
    pub fn resume(&mut self, store: StoreId, clock: Clock, commits: u64) {
        (self.store, self.clock, self.commits) = (store, clock, commits);
    }

    /// Whether every block that was its own in an earlier epoch is so again, or another's.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        let claims = self.under_way.values().any(|under_way| matches!(under_way.purpose, Purpose::Claim(_)));
        !claims
            && self.told >= self.claimed
            && self.blocks.values().all(|block| block.owner.node != self.me.name || self.is_mine(block))
    }

    /// The number of the last commit.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.commits
    }

    /// The store that the node's maps rest upon.
    #[must_use]
    pub fn store(&self) -> StoreId {
        self.store
    }

    /// Whether the node grants addresses there.
    #[must_use]
    pub fn owns(&self, block: Block) -> bool {
        self.blocks.get(&block).is_some_and(|owned| self.is_mine(owned))
    }

    /// The records of the addresses that it owns, in its own times.
    ///
    /// # Errors
    /// When one can't be read.
    pub fn records(&self) -> Result<Vec<Record>, BadValue> {
        let mine = self.leases.keys().filter(|address| self.owns(Block::of(**address)));
        mine.filter_map(|address| self.record(*address).transpose()).collect()
    }

    /// Those of one block.
    ///
    /// # Errors
    /// When one can't be read.
    pub fn records_of(&self, block: Block) -> Result<Vec<Record>, BadValue> {
        let first = block.first();
        let last = Ipv4Addr::from_bits(first.to_bits() | 0xff);
        self.leases.range(first..=last).filter_map(|(address, _)| self.record(*address).transpose()).collect()
    }

    /// The record of an address, in its own times. What another node wrote ends no earlier than that node's.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn record(&self, address: Ipv4Addr) -> Result<Option<Record>, BadValue> {
        let Some(Kept { seen, .. }) = self.leases.get(&address) else { return Ok(None) };
        let written: [u8; Clock::LEN] =
            seen.value.clock.as_slice().try_into().map_err(|_| BadValue::Malformed)?;
        let written = Clock::from_bytes(written);
        let own = seen.value.instance == self.me.instance;
        // Of this node's former boots each commit tells the time, in which the later records are right for the earlier ones.
        let clock = match () {
            () if own => self.clock,
            () if written.boot() == self.clock.boot() => written,
            () => Clock::resume(Some(written), self.clock.boot(), seen.at),
        };
        let mut record =
            crate::store::decode(address, &seen.value.record, &clock).map_err(|_| BadValue::Malformed)?.1;
        if !own && seen.value.client.is_some() {
            let end = over(seen.at, seen.value.lasts);
            record.committed_until = record.committed_until.max(end);
            if record.standing != Standing::Leased {
                record.expiry = record.expiry.max(end);
            }
        }
        Ok(Some(record))
    }

    /// How many records there are, and how many octets they have.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let mine = self.leases.iter().filter(|(address, _)| self.owns(Block::of(**address)));
        mine.fold((0, 0), |(count, octets), (_, seen)| {
            (count.saturating_add(1), octets.saturating_add(seen.seen.value.record.len()))
        })
    }

    /// The other nodes that live, and how many blocks each has; this one has the first.
    #[must_use]
    pub fn nodes(&self) -> Vec<(String, bool, usize)> {
        let mut nodes: BTreeMap<&str, usize> = self.living.iter().map(|name| (name.as_str(), 0)).collect();
        for owned in self.blocks.values() {
            let count = nodes.entry(&owned.owner.node).or_default();
            *count = count.saturating_add(1);
        }
        nodes
            .into_iter()
            .map(|(name, blocks)| (name.to_owned(), self.living.contains(name), blocks))
            .collect()
    }
}
