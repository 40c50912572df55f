//! The lease table: the slots that the kernel answers from, as the daemon writes them.

mod memos;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ahash::HashSet;
use anyhow::{Context as _, Result, bail};
use dhcp_ebpf::abi::{Link, RUN, RunKey};
use dhcp_ebpf::lease::{BootSecs, Word};
use dhcp_ebpf::publish;
use dhcp_ebpf::question::Keys;
use dhcp_ebpf::slot::{AnswerHead, Identity, MEMOS, Place, SLOT_CELLS, Slot};
use thiserror::Error;

use super::account::{Account, Unreported};
use super::answers::Answers;
use super::hints::Hints;
use super::memory::{Region, SharedCells};
use super::notes::Notes;
use crate::policy::{Basis, Publication, Words};

/// Slots of all addresses that may be leased, their answers, and the hints that lead to them.
pub struct Table {
    slots: Region,
    answers: Answers,
    keys: Box<Keys>,
    hints: Box<dyn Hints + Send>,
    /// First slot of each run, by the upper 24 bits of its addresses.
    runs: BTreeMap<u32, u32>,
    /// Runs that requests from some link are led to already.
    led: HashSet<RunKey>,
    /// Slots revoked since the last [`tidy`](Self::tidy).
    revoked: RefCell<Vec<Ipv4Addr>>,
    /// The kernel's renewals that policy does not know yet.
    account: Account,
}

/// A lease that the kernel extended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extended {
    /// Its address.
    pub address: Ipv4Addr,
    /// Its word.
    pub word: Word,
    /// The report on it for policy.
    pub unreported: Unreported,
}

/// A publication came too late: the lease was revoked after it was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the lease was revoked meanwhile")]
pub struct Overtaken;

/// The result of a publication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Questions that could not be remembered for want of room in the maps; the daemon answers those.
    pub without_room: usize,
}

impl Table {
    /// A table over the memory of the maps. Slots that have an address already (of an earlier daemon) keep it.
    #[must_use]
    pub fn new(slots: Region, answers: Region, keys: Box<Keys>, hints: Box<dyn Hints + Send>) -> Self {
        let all = |from: u32| (from..).map_while(|index| slots.cells().slot(index));
        let addresses = all(0).step_by(RUN as usize).map(|slot| slot.addresses().0);
        let runs: BTreeMap<u32, u32> = (0..)
            .step_by(RUN as usize)
            .zip(addresses)
            .filter(|(_, address)| !address.is_unspecified())
            .map(|(first, address)| (u32::from_be(address.0) >> 8, first))
            .collect();
        // Of a slot that is dead too: its memos are cleared, and what they point at given back, before it lives again.
        let answers = Answers::adopt(
            answers,
            runs.values().flat_map(|first| all(*first).take(RUN as usize).flat_map(|slot| places(&slot))),
        );
        Self {
            slots,
            answers,
            keys,
            hints,
            runs,
            led: HashSet::default(),
            revoked: RefCell::default(),
            account: Account::default(),
        }
    }

    /// How many slots there are.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        as_u32(self.slots.cells().len() / SLOT_CELLS)
    }

    /// Whether there is room for these addresses, each with its neighbours, besides those that have theirs.
    ///
    /// # Errors
    /// When all slots would belong to other runs.
    pub fn check_room(&self, addresses: impl Iterator<Item = Ipv4Addr>) -> Result<()> {
        let new: HashSet<u32> = addresses
            .map(|address| u32::from(address) >> 8)
            .filter(|net| !self.runs.contains_key(net))
            .collect();
        let room = (self.capacity() / RUN) as usize;
        if self.runs.len() + new.len() > room {
            bail!(
                "the lease table has no room for {} more blocks of {RUN} addresses: it holds {room}; restart the daemon, which \
                 makes a larger one",
                new.len()
            );
        }
        Ok(())
    }

    /// Makes room for `address` and its 255 neighbours. It stays for as long as the maps live.
    ///
    /// # Errors
    /// When all slots belong to other runs.
    pub fn reserve(&mut self, address: Ipv4Addr) -> Result<()> {
        let net = u32::from(address) >> 8;
        if self.runs.contains_key(&net) {
            return Ok(());
        }
        let first = as_u32(self.runs.len()) * RUN;
        if first + RUN > self.capacity() {
            bail!(
                "the lease table has no room for {address}: it holds {} addresses in blocks of {RUN}; restart the daemon, which makes a larger one",
                self.capacity()
            );
        }
        for index in 0..RUN {
            let slot = self.slot_at(first + index).context("a slot within the capacity")?;
            slot.assign(Ipv4Addr::from(net << 8 | index).into());
        }
        self.runs.insert(net, first);
        Ok(())
    }

    /// The slot of an address, and its index; `None` when nothing was [`reserve`](Self::reserve)d for it.
    #[must_use]
    pub fn slot(&self, address: Ipv4Addr) -> Option<(u32, Slot<SharedCells<'_>>)> {
        slot_of(&self.slots, &self.runs, address)
    }

    fn slot_at(&self, index: u32) -> Option<Slot<SharedCells<'_>>> {
        self.slots.cells().slot(index)
    }

    /// Every address with a slot, in order of addresses.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        self.addresses_after(None)
    }

    /// Those above `after`.
    pub fn addresses_after(&self, after: Option<Ipv4Addr>) -> impl Iterator<Item = Ipv4Addr> + '_ {
        let from = after.map_or(0, |after| u32::from(after) >> 8);
        let runs = self.runs.range(from..).map(|(net, _)| *net);
        let all = runs.flat_map(|net| (0..RUN).map(move |index| Ipv4Addr::from(net << 8 | index)));
        all.skip_while(move |address| after.is_some_and(|after| *address <= after))
    }

    /// Shares a lease with the kernel, or moves ahead what is shared. The commit it stands for is on disk.
    ///
    /// # Errors
    /// When the lease was revoked after this was decided; nothing is shared then.
    pub fn publish(&mut self, lease: &Publication) -> Result<Published, Overtaken> {
        let (_, slot) = self.slot(lease.address).ok_or(Overtaken)?;
        let word = slot.word();
        if word.generation() != lease.generation && !wrong!(OldGeneration) {
            return Err(Overtaken);
        }
        let identity = Identity {
            link: lease.link,
            chaddr: lease.chaddr.into(),
            address: lease.address.into(),
            server: lease.server.into(),
        };
        if word.alive() && slot.identity() == identity {
            let ahead = if wrong!(HorizonIsExpiry) { 7200 } else { 0 };
            slot.set_horizon(slot.horizon().max(lease.horizon.plus(ahead)));
            self.change(lease.address, |slot| publish::extend(slot, lease.generation, lease.expiry).ok())
                .ok_or(Overtaken)?;
            self.rest_on(lease.address, lease.basis);
            return Ok(self.remember(lease));
        }
        if word.alive() {
            // The client moved to another link or card: its slot is written anew, for the same lease.
            self.change(lease.address, |slot| Some(publish::suspend(slot)));
            let kept = self.slot(lease.address).map(|(_, slot)| Notes::of(&slot).emptied());
            return self.grant(lease, &identity, kept.unwrap_or_default());
        }
        self.grant(lease, &identity, Notes::default())
    }

    /// Changes a word, and accounts for the kernel's changes before.
    fn change(
        &mut self,
        address: Ipv4Addr,
        change: impl FnOnce(&Slot<SharedCells<'_>>) -> Option<Word>,
    ) -> Option<Word> {
        let (index, slot) = slot_of(&self.slots, &self.runs, address)?;
        self.account.change(index, &slot, change)
    }

    /// Promises the lease until then, if that is later and its horizon reaches so far. Whether it is promised.
    pub fn prolong(&mut self, address: Ipv4Addr, generation: u16, until: BootSecs) -> bool {
        if self.slot(address).is_none_or(|(_, slot)| slot.horizon() < until) {
            return false;
        }
        self.change(address, |slot| publish::extend(slot, generation, until).ok()).is_some()
    }

    /// The daemon's answer to the client of this lease leaves: the kernel's answers came before.
    pub fn answered(&mut self, address: Ipv4Addr) {
        if let Some((index, slot)) = slot_of(&self.slots, &self.runs, address) {
            self.account.answered(index, &slot);
        }
    }

    /// Whether the kernel answered the client of this lease after the daemon did; of one that ended, as far as it is known
    /// since the maps were made.
    #[must_use]
    pub fn kernel_answered_last(&self, address: Ipv4Addr) -> bool {
        self.slot(address).is_some_and(|(_, slot)| Notes::of(&slot).kernel_answered_last(slot.word()))
    }

    /// Leases among `count` slots from `from` on that the kernel extended since they were looked at last.
    pub fn extended(&mut self, from: u32, count: u32) -> Vec<Extended> {
        let mut found = Vec::new();
        for index in from..from.saturating_add(count).min(as_u32(self.runs.len()) * RUN) {
            let Some(slot) = self.slots.cells().slot(index) else { break };
            let word = slot.word();
            if let Some(unreported) = self.account.take_unreported(index, &slot, word) {
                let address = slot.addresses().0.into();
                found.push(Extended { address, word, unreported });
            }
        }
        found
    }

    /// How many of the kernel's renewals are not reported yet.
    #[must_use]
    pub fn unreported(&self, address: Ipv4Addr) -> u32 {
        self.slot(address).map_or(0, |(index, slot)| self.account.renewals(index, &slot))
    }

    /// How many slots belong to addresses.
    #[must_use]
    pub fn in_use(&self) -> u32 {
        as_u32(self.runs.len()) * RUN
    }

    /// The link of a live lease's client, and the basis of its answers.
    #[must_use]
    pub fn live(&self, address: Ipv4Addr) -> Option<(Link, Basis)> {
        let (_, slot) = self.slot(address).filter(|(_, slot)| slot.word().alive())?;
        Some((Link::from_cell(slot.link_cell()), Basis(slot.basis())))
    }

    /// Sets the basis of the kernel's answers for this lease: answers with another one are void.
    pub fn rest_on(&mut self, address: Ipv4Addr, basis: Basis) {
        if self.slot(address).is_none_or(|(_, slot)| slot.basis() == basis.0) {
            return;
        }
        self.forget_answers(address);
        if let Some((_, slot)) = self.slot(address) {
            slot.set_basis(basis.0);
        }
    }

    /// Voids everything that the kernel would say for this lease: it asks again. The lease goes on.
    pub fn forget_answers(&mut self, address: Ipv4Addr) {
        for memo in 0..MEMOS {
            if self.slot(address).is_some_and(|(_, slot)| slot.memo_hash(memo) != 0) {
                self.forget(address, memo);
            }
        }
    }

    /// Clears what was revoked since the last call.
    pub fn tidy(&mut self) {
        for address in self.revoked.take() {
            self.clear(address);
        }
    }

    /// Moves the horizon of a live lease of this generation ahead. Its commit is on disk.
    pub fn move_horizon(&self, address: Ipv4Addr, generation: u16, until: BootSecs) {
        if let Some((_, slot)) = self.slot(address)
            && slot.word().generation() == generation
        {
            slot.set_horizon(slot.horizon().max(until));
        }
    }

    /// Slots and chunks as the packet logic sees them: for running it on the host.
    #[must_use]
    pub fn memory(&self) -> (SharedCells<'_>, SharedCells<'_>) {
        (self.slots.cells(), self.answers.memory())
    }

    /// An answer's head and body as it was published; for showing what the kernel would say.
    #[must_use]
    pub fn answer(&self, place: Place) -> (AnswerHead, Vec<u8>) {
        self.answers.answer(place).unwrap_or_default()
    }
}

impl Words for Table {
    fn load(&self, address: Ipv4Addr) -> Word {
        self.slot(address).map_or(Word::default(), |(_, slot)| slot.word())
    }

    fn revoke(&self, address: Ipv4Addr, judged: Word) -> Result<Word, Word> {
        let Some((_, slot)) = self.slot(address) else { return Ok(judged.revoked()) };
        if wrong!(FreeBeforeRevoke) {
            return Ok(judged.revoked());
        }
        let revoked = publish::revoke(&slot, judged)?;
        Notes::of(&slot).settled(judged).save(&slot);
        self.revoked.borrow_mut().push(address);
        Ok(revoked)
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("capacity", &self.capacity())
            .field("runs", &self.runs.len())
            .finish_non_exhaustive()
    }
}

fn slot_of<'a>(
    slots: &'a Region,
    runs: &BTreeMap<u32, u32>,
    address: Ipv4Addr,
) -> Option<(u32, Slot<SharedCells<'a>>)> {
    let index = runs.get(&(u32::from(address) >> 8))? + u32::from(address) % RUN;
    slots.cells().slot(index).map(|slot| (index, slot))
}

/// The places of the answers that a slot's memos give, void memos left out.
fn places<'a>(slot: &Slot<SharedCells<'a>>) -> impl Iterator<Item = Place> + use<'a> {
    let slot = *slot;
    (0..MEMOS).map(move |index| slot.memo(index)).filter(|memo| memo.hash != 0).map(|memo| memo.place)
}

/// Maps have at most 2^32 entries.
fn as_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
