//! The kernel's renewals: how many policy does not know yet, and whether kernel or daemon answered a client last.

use std::collections::BTreeMap;

use dhcp_ebpf::lease::Word;
use dhcp_ebpf::slot::Slot;

use super::memory::SharedCells;
use super::notes::Notes;

/// Renewals found when the daemon changed a word, by slot. Later ones stand in the word itself.
///
/// The slot's notes say whether kernel or daemon answered last: that outlives the daemon.
#[derive(Debug, Default)]
pub struct Account(BTreeMap<u32, u32>);

/// The report on a lease for policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreported {
    /// How often the kernel renewed it since the last report to policy.
    pub renewals: u32,
    /// Whether the daemon has not answered the client since.
    pub is_last_answer: bool,
}

impl Account {
    /// Changes a word, and accounts for the kernel's changes before.
    pub(super) fn change(
        &mut self,
        index: u32,
        slot: &Slot<SharedCells<'_>>,
        change: impl FnOnce(&Slot<SharedCells<'_>>) -> Option<Word>,
    ) -> Option<Word> {
        let before = slot.word();
        let renewals = Notes::of(slot).renewals(before);
        let word = change(slot)?;
        Notes::of(slot).settled(before).accounted(word).save(slot);
        if renewals > 0 {
            *self.0.entry(index).or_default() += renewals;
        }
        Some(word)
    }

    /// The daemon's answer leaves: the kernel's answers came before.
    pub(super) fn answered(&mut self, index: u32, slot: &Slot<SharedCells<'_>>) {
        let (word, notes) = (slot.word(), Notes::of(slot));
        let renewals = notes.renewals(word);
        notes.answered(word).save(slot);
        if renewals > 0 {
            *self.0.entry(index).or_default() += renewals;
        }
    }

    /// How many renewals were not reported to policy.
    pub(super) fn renewals(&self, index: u32, slot: &Slot<SharedCells<'_>>) -> u32 {
        Notes::of(slot).renewals(slot.word()) + self.0.get(&index).copied().unwrap_or_default()
    }

    /// The report for policy on the slot, whose word is `word`; none if nothing happened.
    pub(super) fn take_unreported(
        &mut self,
        index: u32,
        slot: &Slot<SharedCells<'_>>,
        word: Word,
    ) -> Option<Unreported> {
        let notes = Notes::of(slot);
        if notes.account_for(word) && !self.0.contains_key(&index) {
            return None;
        }
        notes.settled(word).save(slot);
        let renewals = notes.renewals(word) + self.0.remove(&index).unwrap_or_default();
        (word.alive() && renewals > 0)
            .then_some(Unreported { renewals, is_last_answer: notes.kernel_answered_last(word) })
    }
}
