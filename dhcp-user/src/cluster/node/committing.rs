//! What the server asks for: commits, and who else may have promised what one is about.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use dhcp_ebpf::lease::BootSecs;

use super::{Commit, Effect, Held, Kept, Next, Node, Pools, Purpose, Refusal, Seen, TOGETHER, Write};
use crate::cluster::keys::Key;
use crate::cluster::terms::{Block, Instance, duration, over};
use crate::cluster::values::{self, Acknowledged, Clocked, Ending, Holder, Lease};
use crate::store::{Change, Record, Standing};

/// What the server asks for.
impl Node {
    /// Commits `changes`. One commit is made at a time.
    pub fn commit(&mut self, now: BootSecs, changes: impl IntoIterator<Item = Change>) {
        let changes = changes.into_iter().map(|change| (change.address(), change)).collect();
        self.clock = self.clock.at(now);
        self.commit = Some(Commit { now, changes, left: None });
        self.go_on(now);
    }

    /// The configuration has other pools now.
    pub fn configure(&mut self, pools: Vec<Pools>) {
        self.pools = pools;
    }

    /// In blocks that it doesn't own the node's maps promise nothing any more, and what they promised ends then.
    pub fn acknowledge(&mut self, now: BootSecs, until: BootSecs) {
        let seen = self.blocks.values().map(|owned| owned.since).max().unwrap_or(0);
        let value = values::write(&Acknowledged { revision: seen, lasts: duration(now, until) });
        let put = Write::Put(Key::Acknowledged(self.me.instance).name(), value);
        self.make(self.conditions(std::iter::empty()), vec![put], Purpose::Acknowledge);
    }

    /// Goes on with the commit that is being made.
    pub(super) fn go_on(&mut self, now: BootSecs) {
        if self.is_over {
            return;
        }
        let Some(commit) = self.commit.take() else { return };
        match commit.left {
            Some(0) => {
                self.commits = self.commits.saturating_add(1);
                self.out.push_back(Effect::Committed);
            }
            Some(_) => self.commit = Some(commit),
            None => self.transact(now, commit),
        }
    }

    /// Makes the transactions of a commit, as soon as all blocks of its addresses are the node's own.
    pub(super) fn transact(&mut self, now: BootSecs, mut commit: Commit) {
        let mut has_to_wait = false;
        for block in commit.changes.keys().map(|address| Block::of(*address)).collect::<BTreeSet<_>>() {
            if self.owns(block) {
                continue;
            }
            let owner = self.blocks.get(&block).map(|owned| owned.owner.node.clone());
            match owner.filter(|owner| *owner != self.me.name && self.living.contains(owner)) {
                Some(owner) => {
                    let theirs = |address: &Ipv4Addr| Block::of(*address) == block;
                    // It keeps nothing of it anyway.
                    commit
                        .changes
                        .retain(|address, change| !theirs(address) || matches!(change, Change::Put(_)));
                    if let Some(address) = commit.changes.keys().copied().find(theirs) {
                        return self.out.push_back(Effect::Refused(Refusal::NotOurs { address, owner }));
                    }
                }
                None => {
                    has_to_wait = true;
                    self.claim(block);
                }
            }
        }
        if has_to_wait {
            self.commit = Some(commit);
            return;
        }
        let mut values = Vec::with_capacity(commit.changes.len());
        for change in commit.changes.values() {
            match self.changed(now, commit.now, change) {
                Ok(value) => values.push(value),
                Err(refusal) => return self.out.push_back(Effect::Refused(refusal)),
            }
        }
        let clocked = Clocked {
            clock: self.clock.to_bytes().to_vec(),
            commits: self.commits.saturating_add(1),
            store: self.store.0,
        };
        let clocked = Write::Put(Key::Clock(self.me.name.clone()).name(), values::write(&clocked));
        let parts: Vec<Vec<_>> = if values.is_empty() {
            vec![Vec::new()]
        } else {
            values.chunks(TOGETHER).map(<[_]>::to_vec).collect()
        };
        commit.left = Some(parts.len());
        self.commit = Some(commit);
        for part in parts {
            let mut then = vec![clocked.clone()];
            for Next { address, lease, ending, .. } in &part {
                let key = Key::Lease(*address).name();
                then.push(lease.as_ref().map_or_else(
                    || Write::Delete(key.clone()),
                    |lease| Write::Put(key.clone(), values::write(lease)),
                ));
                let key = Key::Ending(*address).name();
                match ending {
                    Some(ending) => then.push(Write::Put(key, values::write(ending))),
                    None if self.endings.contains_key(address) => then.push(Write::Delete(key)),
                    None => {}
                }
            }
            let when = self.conditions(part.iter().map(|next| next.address));
            self.make(when, then, Purpose::Commit(part));
        }
    }

    /// What is to stand in etcd of the address after this change.
    pub(super) fn changed(&self, now: BootSecs, decided: BootSecs, change: &Change) -> Result<Next, Refusal> {
        let address = change.address();
        let held = self.held(now, address);
        let others_until = held.as_ref().map_or(BootSecs(0), |held| held.until);
        let ended = |held: &Held| Ending {
            client: held.client.clone(),
            others: held.others.clone(),
            others_last: duration(now, held.until),
        };
        let Change::Put(record) = change else {
            return Ok(Next { address, lease: None, ending: held.as_ref().map(ended), others_until });
        };
        let mut octets = Vec::new();
        crate::store::encode(record, &self.clock, &mut octets);
        let mut lease = Lease {
            instance: self.me.instance,
            client: None,
            lasts: 0,
            others: Vec::new(),
            others_last: 0,
            clock: self.clock.to_bytes().to_vec(),
            record: octets,
        };
        let Some(until) = promise(record).filter(|until| *until > decided) else {
            return Ok(Next { address, lease: Some(lease), ending: held.as_ref().map(ended), others_until });
        };
        let client = client(record);
        if let Some(held) = held {
            if !held.client.is(&client) {
                return Err(Refusal::Promised { address, seconds: duration(now, held.until) });
            }
            (lease.others, lease.others_last) = (held.others, duration(now, held.until));
        }
        (lease.client, lease.lasts) = (Some(client), duration(decided, until));
        Ok(Next { address, lease: Some(lease), ending: None, others_until })
    }

    /// The other instances that may have promised the address, if there are any: to one client.
    pub(super) fn held(&self, now: BootSecs, address: Ipv4Addr) -> Option<Held> {
        let since = self.blocks.get(&Block::of(address)).map_or(i64::MAX, |owned| owned.since);
        let ending = self
            .endings
            .get(&address)
            .map(|kept| (&kept.seen.value.client, kept.seen.value.others.clone(), kept.others_until));
        let leased = || {
            let Kept { seen: Seen { value, .. }, others_until } = self.leases.get(&address)?;
            let others: Vec<_> =
                value.others.iter().copied().chain(std::iter::once(value.instance)).collect();
            Some((value.client.as_ref()?, others, *others_until))
        };
        let (client, others, until) = match leased() {
            // What this node's own kernel promises of it the node knows.
            Some((client, mut others, until)) => {
                others.retain(|other| *other != self.me.instance);
                (client, others, until)
            }
            // Another owner ended it, and nobody has told this node's kernel: what that may have promised is in its maps, and in
            // etcd only here.
            None => ending?,
        };
        self.holding(now, since, others, until, client)
    }

    /// Those of `others` whose promises have not run out. One that has said since the block is this node's that it can promise
    /// no more holds it for as long as it said.
    pub(super) fn holding(
        &self,
        now: BootSecs,
        since: i64,
        others: Vec<Instance>,
        until: BootSecs,
        client: &Holder,
    ) -> Option<Held> {
        #[cfg(test)]
        if self.wrong == Some(crate::cluster::tests::Wrong::DeadPromiseNothing) {
            return None;
        }
        let ends = others.into_iter().map(|other| {
            let said = self
                .acknowledged
                .get(&other)
                .filter(|said| said.value.revision >= since || self.takes_any_acknowledgement())
                // What this one says is of others' blocks.
                .filter(|_| other != self.me.instance);
            (other, said.map_or(until, |said| over(said.at, said.value.lasts).min(until)))
        });
        let holding: Vec<(Instance, BootSecs)> = ends.filter(|(_, end)| *end > now).collect();
        let until = holding.iter().map(|(_, end)| *end).max()?;
        Some(Held {
            client: client.clone(),
            others: holding.into_iter().map(|(other, _)| other).collect(),
            until,
        })
    }
}

/// Until when the address is promised to the record's client.
fn promise(record: &Record) -> Option<BootSecs> {
    match record.standing {
        Standing::Leased => Some(record.committed_until),
        Standing::Grace | Standing::Ended => Some(record.expiry),
        Standing::Free | Standing::Quarantined { .. } => None,
    }
}

/// Whom a record's address is promised to.
fn client(record: &Record) -> Holder {
    let mut hardware = vec![record.chaddr.htype()];
    hardware.extend_from_slice(record.chaddr.octets());
    Holder { hardware, client_id: record.client_id.clone() }
}
