//! The daemon's own notes in a slot: the kernel doesn't read them, and they outlive a restart.

use dhcp_ebpf::lease::Word;
use dhcp_ebpf::slot::{MEMOS, Slot};

use super::memory::SharedCells;

/// The notes: which memos the question map leads to; which are of questions that nobody asked yet; which was written
/// last; how many of the kernel's changes of the word were reported to policy; and whether the kernel answered the
/// client last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notes(u64);

const LED: u64 = 0xff;
const LAST_SHIFT: u32 = 8;
const LAST: u64 = 0xff << LAST_SHIFT;
const EXPECTED_SHIFT: usize = 16;
const EXPECTED: u64 = 0xff << EXPECTED_SHIFT;
const KERNEL_LAST: u64 = 1 << 24;
/// The upper half of a lease word: alive, generation, changes.
const ACCOUNTED: u64 = 0xffff_ffff_0000_0000;

impl Notes {
    /// The notes in this slot.
    #[must_use]
    pub fn of(slot: &Slot<SharedCells<'_>>) -> Self {
        Self(slot.notes())
    }

    /// Writes them back.
    pub fn save(self, slot: &Slot<SharedCells<'_>>) {
        slot.set_notes(self.0);
    }

    /// Whether the question map leads to this memo.
    #[must_use]
    pub const fn is_led(self, memo: usize) -> bool {
        self.0 & (1 << memo) & LED != 0
    }

    /// With this memo led to.
    #[must_use]
    pub const fn led(self, memo: usize) -> Self {
        Self(self.0 | (1 << memo))
    }

    /// With this memo not led to.
    #[must_use]
    pub const fn not_led(self, memo: usize) -> Self {
        Self(self.0 & !(1 << memo))
    }

    /// With this memo one of a question that is only expected.
    #[must_use]
    pub const fn expected(self, memo: usize) -> Self {
        Self(self.0 | (1 << (memo + EXPECTED_SHIFT)))
    }

    /// With this memo one of a question that was asked.
    #[must_use]
    pub const fn asked(self, memo: usize) -> Self {
        Self(self.0 & !(1 << (memo + EXPECTED_SHIFT)))
    }

    /// The memo to be forgotten for another: of those that are only expected the one that was the least likely, else the
    /// one written longest ago.
    #[must_use]
    pub const fn least_wanted(self) -> usize {
        match (self.0 & EXPECTED) >> EXPECTED_SHIFT {
            0 => self.oldest(),
            expected => expected.ilog2() as usize,
        }
    }

    /// With this memo written last.
    #[must_use]
    pub const fn written(self, memo: usize) -> Self {
        Self(self.0 & !LAST | (memo as u64) << LAST_SHIFT)
    }

    /// The memo written longest ago, when they are written in turn.
    #[must_use]
    const fn oldest(self) -> usize {
        (((self.0 & LAST) >> LAST_SHIFT) as usize + 1) % MEMOS
    }

    /// With all changes up to this word reported.
    #[must_use]
    pub const fn accounted(self, word: Word) -> Self {
        Self(self.0 & !ACCOUNTED | word.0 & ACCOUNTED)
    }

    /// With all changes up to this word reported, and a note whether one of them was an answer of the kernel.
    #[must_use]
    pub fn settled(self, word: Word) -> Self {
        let last = if self.renewals(word) > 0 { KERNEL_LAST } else { 0 };
        Self(self.0 | last).accounted(word)
    }

    /// With all changes up to this word reported, and an answer of the daemon since.
    #[must_use]
    pub const fn answered(self, word: Word) -> Self {
        Self(self.0 & !KERNEL_LAST).accounted(word)
    }

    /// The notes of an emptied slot: they keep only who answered last, until the slot has an owner again.
    #[must_use]
    pub const fn emptied(self) -> Self {
        Self(self.0 & KERNEL_LAST)
    }

    /// Whether the kernel answered the client after the daemon did, up to this word.
    #[must_use]
    pub fn kernel_answered_last(self, word: Word) -> bool {
        self.0 & KERNEL_LAST != 0 || self.renewals(word) > 0
    }

    /// Whether nothing happened to the word since.
    #[must_use]
    pub const fn account_for(self, word: Word) -> bool {
        self.0 & ACCOUNTED == word.0 & ACCOUNTED
    }

    /// How often the kernel changed the word since.
    #[must_use]
    pub fn renewals(self, word: Word) -> u32 {
        let told = Word(self.0 & ACCOUNTED);
        if word.alive() && told.alive() && told.generation() == word.generation() {
            u32::from(word.changes().wrapping_sub(told.changes()))
        } else {
            0
        }
    }
}
