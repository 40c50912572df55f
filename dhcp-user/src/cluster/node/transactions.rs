//! Transactions: what each compares, and those by which a block becomes the node's own.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::{Condition, Effect, Node, Owned, Purpose, Transaction, UnderWay, Write};
use crate::cluster::keys::Key;
use crate::cluster::terms::Block;
use crate::cluster::values::{self, Owner};

/// Transactions.
impl Node {
    #[cfg(test)]
    pub(super) fn takes_any_acknowledgement(&self) -> bool {
        self.wrong == Some(crate::cluster::tests::Wrong::OldAcknowledgement)
    }

    #[cfg(not(test))]
    pub(super) const fn takes_any_acknowledgement(&self) -> bool {
        false
    }

    /// Makes a block the node's own, unless somebody else is faster: one that nobody has, its own of an earlier epoch, or one
    /// of a node that lives no more.
    pub(super) fn claim(&mut self, block: Block) {
        let is_claimed = self
            .under_way
            .values()
            .any(|under_way| matches!(under_way.purpose, Purpose::Claim(claimed) if claimed == block));
        if is_claimed || self.is_over {
            return;
        }
        let mut when = self.conditions(std::iter::empty());
        let former = self.blocks.get(&block);
        when.push(Condition::Modified(Key::Block(block).name(), former.map_or(0, |former| former.since)));
        if let Some(former) = former.filter(|former| former.owner.node != self.me.name) {
            when.push(Condition::Created(Key::Node(former.owner.node.clone()).name(), 0));
        }
        let owner = Owner { node: self.me.name.clone(), epoch: self.me.epoch };
        let put = Write::Put(Key::Block(block).name(), values::write(&owner));
        self.make(when, vec![put], Purpose::Claim(block));
    }

    /// That this epoch is the node's, and that the blocks of these addresses are its own.
    pub(super) fn conditions(&self, addresses: impl Iterator<Item = Ipv4Addr>) -> Vec<Condition> {
        #[cfg(test)]
        if self.wrong == Some(crate::cluster::tests::Wrong::Unfenced) {
            return Vec::new();
        }
        let blocks: BTreeSet<Block> = addresses.map(Block::of).collect();
        let epoch = Condition::Created(Key::Node(self.me.name.clone()).name(), self.me.epoch);
        let owned = blocks.into_iter().map(|block| {
            let since = self.blocks.get(&block).map_or(0, |owned| owned.since);
            Condition::Modified(Key::Block(block).name(), since)
        });
        std::iter::once(epoch).chain(owned).collect()
    }

    pub(super) fn make(&mut self, when: Vec<Condition>, then: Vec<Write>, purpose: Purpose) {
        self.number = self.number.saturating_add(1);
        self.send(Transaction { number: self.number, when, then }, purpose);
    }

    pub(super) fn send(&mut self, transaction: Transaction, purpose: Purpose) {
        self.out.push_back(Effect::Transact(transaction.clone()));
        self.under_way.insert(transaction.number, UnderWay { transaction, purpose });
    }

    pub(super) fn is_mine(&self, owned: &Owned) -> bool {
        owned.owner.node == self.me.name && owned.owner.epoch == self.me.epoch
    }

    pub(super) fn end(&mut self, why: String) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.out.push_back(Effect::Over(why));
        }
    }
}
