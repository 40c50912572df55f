//! What comes from etcd, and what time brings: keys that have changed, answers to transactions, promises that have run out.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use dhcp_ebpf::lease::BootSecs;

use super::{
    Effect, Kept, Next, Node, Outcome, Owned, Pools, Purpose, SPARE, Seen, TOGETHER, UnderWay, Watched, Write,
};
use crate::cluster::keys::Key;
use crate::cluster::terms::{Block, over};
use crate::cluster::values::{self, BadValue, Ending, Lease, Living, Owner};

/// What comes from etcd.
impl Node {
    /// Takes changes that the watch tells, in their order.
    pub fn watched(&mut self, now: BootSecs, changes: Vec<Watched>) {
        for change in changes {
            self.told = self.told.max(change.revision);
            if let Err(error) = self.see(now, &change) {
                self.end(format!("what etcd holds at `{}` can't be used: {error}", change.key));
            }
        }
        self.go_on(now);
    }

    pub(super) fn see(&mut self, now: BootSecs, change: &Watched) -> Result<(), BadValue> {
        let Some(key) = Key::read(&change.key) else { return Ok(()) };
        let value = change.value.as_deref();
        // In its own blocks the node alone writes, and knows by the answers.
        let own = |address: Ipv4Addr| self.owns(Block::of(address));
        if matches!(key, Key::Lease(address) | Key::Ending(address) if own(address)) {
            return Ok(());
        }
        match key {
            Key::Node(name) => {
                if name == self.me.name
                    && (value.is_none() || change.created != self.me.epoch)
                    && change.revision > self.me.epoch
                {
                    self.end("the node was taken for dead".into());
                }
                if let Some(value) = value {
                    values::read::<Living>(value)?;
                    self.living.insert(name);
                } else {
                    self.living.remove(&name);
                }
            }
            Key::Block(block) => {
                self.see_block(now, block, value.map(values::read).transpose()?, change.revision);
            }
            Key::Lease(address) => {
                if self.leases.get(&address).is_none_or(|known| known.seen.revision < change.revision) {
                    let value: Option<Lease> = value.map(values::read).transpose()?;
                    let lasts = value.as_ref().map_or(0, |lease| {
                        if lease.instance == self.me.instance {
                            lease.others_last
                        } else {
                            lease.lasts.max(lease.others_last)
                        }
                    });
                    self.set_lease(now, address, value, change.revision, over(now, lasts));
                }
            }
            Key::Ending(address) => {
                if self.endings.get(&address).is_none_or(|known| known.seen.revision < change.revision) {
                    let value: Option<Ending> = value.map(values::read).transpose()?;
                    let lasts = value.as_ref().map_or(0, |ending| ending.others_last);
                    self.set_ending(now, address, value, change.revision, over(now, lasts));
                }
            }
            Key::Acknowledged(instance) => {
                if let Some(value) = value.map(values::read).transpose()? {
                    self.acknowledged.insert(instance, Seen { value, revision: change.revision, at: now });
                }
            }
            Key::Clock(name) => {
                if let Some(value) = value.map(values::read).transpose()? {
                    self.clocks.insert(name, value);
                }
            }
        }
        Ok(())
    }

    pub(super) fn see_block(&mut self, now: BootSecs, block: Block, owner: Option<Owner>, since: i64) {
        let was_mine = self.owns(block);
        match owner {
            Some(owner) => drop(self.blocks.insert(block, Owned { owner, since })),
            None => drop(self.blocks.remove(&block)),
        }
        match (was_mine, self.owns(block)) {
            (true, false) => self.end(format!("{block} was taken over by another node")),
            (false, true) => {
                let first = block.first();
                let last = Ipv4Addr::from_bits(first.to_bits() | 0xff);
                let known: BTreeSet<Ipv4Addr> = self
                    .leases
                    .range(first..=last)
                    .map(|(address, _)| *address)
                    .chain(self.endings.range(first..=last).map(|(address, _)| *address))
                    .collect();
                let held: Vec<Ipv4Addr> =
                    known.into_iter().filter(|address| self.held(now, *address).is_some()).collect();
                self.withheld.extend(&held);
                let over = self
                    .endings
                    .range(first..=last)
                    .map(|(address, _)| *address)
                    .filter(|address| !held.contains(address));
                self.closed.extend(over.collect::<Vec<_>>());
                self.out.push_back(Effect::Owned(block, held));
            }
            _ => {}
        }
    }

    pub(super) fn set_lease(
        &mut self,
        at: BootSecs,
        address: Ipv4Addr,
        value: Option<Lease>,
        revision: i64,
        others_until: BootSecs,
    ) {
        let is_promised = |kept: &Kept<Lease>| kept.seen.value.client.is_some();
        let former = match value {
            Some(value) => {
                self.leases.insert(address, Kept { seen: Seen { value, revision, at }, others_until })
            }
            None => self.leases.remove(&address),
        };
        let was = former.is_some_and(|former| is_promised(&former));
        let is = self.leases.get(&address).is_some_and(is_promised);
        let count = self.promised.entry(Block::of(address)).or_default();
        *count = count.saturating_sub(u32::from(was)).saturating_add(u32::from(is));
    }

    pub(super) fn set_ending(
        &mut self,
        at: BootSecs,
        address: Ipv4Addr,
        value: Option<Ending>,
        revision: i64,
        others_until: BootSecs,
    ) {
        match value {
            Some(value) => {
                drop(self.endings.insert(address, Kept { seen: Seen { value, revision, at }, others_until }));
            }
            None => drop(self.endings.remove(&address)),
        }
    }

    /// How a transaction ended.
    pub fn answered(&mut self, now: BootSecs, number: u64, outcome: Outcome) {
        let Some(UnderWay { transaction, purpose }) = self.under_way.remove(&number) else { return };
        match (purpose, outcome) {
            // A claim shows in the watch. What did not come there is claimed again when it is looked at next.
            (Purpose::Claim(_), Outcome::Done(revision)) => self.claimed = self.claimed.max(revision),
            (Purpose::Claim(_), Outcome::Refused | Outcome::Unknown)
            | (Purpose::Acknowledge, Outcome::Done(_)) => {}
            (Purpose::Tidy(over), Outcome::Done(revision)) => {
                for address in over {
                    self.set_ending(now, address, None, revision, BootSecs(0));
                }
            }
            (Purpose::Commit(changes), Outcome::Done(revision)) => {
                for Next { address, lease, ending, others_until } in changes {
                    // They may have run out since.
                    let others_until =
                        if self.withheld.contains(&address) { others_until } else { BootSecs(0) };
                    self.set_lease(now, address, lease, revision, others_until);
                    self.set_ending(now, address, ending, revision, others_until);
                }
                if let Some(commit) = &mut self.commit {
                    commit.left = commit.left.map(|left| left.saturating_sub(1));
                }
            }
            // It writes the same if it is carried out twice.
            (purpose, Outcome::Unknown) => self.send(transaction, purpose),
            (_, Outcome::Refused) => {
                self.end("another node has taken over, or the node was taken for dead".into());
            }
        }
        self.go_on(now);
    }

    /// Looks at what time has brought: promises that have run out, nodes that live no more, blocks that are needed.
    pub fn tick(&mut self, now: BootSecs) {
        if self.is_over {
            return;
        }
        let is_left = |owned: &Owned| {
            !self.living.contains(&owned.owner.node)
                || owned.owner.node == self.me.name && !self.is_mine(owned)
        };
        let orphaned = self.blocks.iter().filter(|(_, owned)| is_left(owned));
        let orphaned: Vec<Block> = orphaned.map(|(block, _)| *block).collect();
        for block in orphaned {
            self.claim(block);
        }
        let wanted: Vec<Block> = self.pools.iter().filter_map(|pools| self.wanted(pools)).collect();
        for block in wanted {
            self.claim(block);
        }
        let cleared: Vec<Ipv4Addr> =
            self.withheld.iter().filter(|address| self.held(now, **address).is_none()).copied().collect();
        for address in &cleared {
            self.withheld.remove(address);
            // It stays so, whatever those who may have promised it say of other addresses.
            if let Some(kept) = self.leases.get_mut(address) {
                kept.others_until = BootSecs(0);
            }
            if let Some(kept) = self.endings.get_mut(address) {
                kept.others_until = BootSecs(0);
            }
            if self.endings.contains_key(address) {
                self.closed.insert(*address);
            }
        }
        if !cleared.is_empty() {
            self.out.push_back(Effect::Cleared(cleared));
        }
        self.tidy();
        self.go_on(now);
    }

    /// A block of these pools that nobody has: if there are too few free addresses in those that the node has, or with a
    /// reservation.
    pub(super) fn wanted(&self, pools: &Pools) -> Option<Block> {
        let own = pools.iter().filter(|(block, _)| self.owns(**block));
        let free = own.map(|(block, need)| {
            need.addresses.saturating_sub(self.promised.get(block).copied().unwrap_or(0))
        });
        let is_claiming = |block: &Block| {
            self.under_way
                .values()
                .any(|under_way| matches!(under_way.purpose, Purpose::Claim(claimed) if claimed == *block))
        };
        if pools.keys().any(is_claiming) {
            return None;
        }
        let has_enough = free.sum::<u32>() >= SPARE;
        let mut without_owner = pools.iter().filter(|(block, _)| !self.blocks.contains_key(block));
        without_owner.find(|(_, need)| need.reserved || !has_enough).map(|(block, _)| *block)
    }

    /// Removes endings that are over.
    pub(super) fn tidy(&mut self) {
        if self.under_way.values().any(|under_way| matches!(under_way.purpose, Purpose::Tidy(_)))
            || self.commit.is_some()
        {
            return;
        }
        let some: Vec<Ipv4Addr> = std::mem::take(&mut self.closed)
            .into_iter()
            .filter(|address| self.endings.contains_key(address))
            .collect();
        for part in some.chunks(TOGETHER) {
            let when = self.conditions(part.iter().copied());
            let then = part.iter().map(|address| Write::Delete(Key::Ending(*address).name())).collect();
            self.make(when, then, Purpose::Tidy(part.to_vec()));
        }
    }
}
