//! Where questions without ciaddr lead: a table of slots by the questions' hashes, in lines of eight.
//!
//! A question may stand in either of two lines. An entry is the lower half of its hash and, in its own lower half, the slot
//! plus one; zero where there is none. It is a hint and nothing more, written and taken out by single stores while the
//! kernel reads: all that counts is checked in the slot.

use crate::frame::opaque;
use crate::question::Hash;
use crate::slot::{Cells, CellsMut};

/// Entries of a line.
pub const LINE: usize = 8;

/// How many lines lead so many questions: one for five of them, since those that may stand in two lines, and go to the
/// emptier one, are spread well, but not evenly.
#[must_use]
pub const fn lines_for(questions: u32) -> u32 {
    questions / 5 + 1
}

/// The two lines, of `count`, that a question may stand in.
#[must_use]
#[inline(always)]
pub const fn lines(hash: Hash, count: u32) -> [u32; 2] {
    // Neither begins with the bits that tell the entries of a line apart.
    let first = (hash.0 >> 32) as u32;
    let second = first.wrapping_mul(0x9e37_79b1).rotate_left(16);
    [scaled(first, count), scaled(second, count)]
}

#[inline(always)]
const fn scaled(part: u32, count: u32) -> u32 {
    ((part as u64 * count as u64) >> 32) as u32
}

const fn entry(hash: Hash, slot: u32) -> u64 {
    hash.0 << 32 | (slot as u64 + 1)
}

/// The slot that a question leads to by one of its lines, if by any.
///
/// Without a branch for each entry, which would be a way for the verifier to follow to the program's end. Of two entries
/// with the same half of a hash a slot comes that is neither's: a hint that leads astray.
#[must_use]
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "unpacks the halves")]
pub fn find(lines: &[impl Cells; 2], hash: Hash) -> Option<u32> {
    let mut found = 0;
    let mut index = 0;
    while index < LINE {
        found |= matching(lines[0].load(index), hash) | matching(lines[1].load(index), hash);
        index += 1;
    }
    (found as u32).checked_sub(1)
}

/// The entry if it is this hash's, else zero.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "64 bits wherever it matters")]
fn matching(entry: u64, hash: Hash) -> u64 {
    let differs = (entry >> 32) ^ (hash.0 & 0xffff_ffff);
    // Opaque, lest the compiler see that it is a comparison and make a branch of it.
    let differs = opaque(differs as usize) as u64;
    // Of 32 bits: one less is negative only when there is no difference.
    entry & ((differs.wrapping_sub(1) >> 63).wrapping_neg())
}

/// Leads a question to a slot by the emptier of its lines. `false`: both are full.
pub fn lead<C: CellsMut>(lines: &[C; 2], hash: Hash, slot: u32) -> bool {
    drop(lines, hash, slot);
    let room = |line: &C| (0..LINE).filter(|index| line.load(*index) == 0).count();
    let emptier = if room(&lines[1]) > room(&lines[0]) { &lines[1] } else { &lines[0] };
    let free = (0..LINE).find(|index| emptier.load(*index) == 0);
    free.inspect(|index| emptier.store(*index, entry(hash, slot))).is_some()
}

/// Takes a question out that led to `slot`; whether it was there does not matter.
pub fn drop<C: CellsMut>(lines: &[C; 2], hash: Hash, slot: u32) {
    for line in lines {
        for index in (0..LINE).filter(|index| line.load(*index) == entry(hash, slot)) {
            line.store(index, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::cell::Cell;
    use std::vec::Vec;

    #[derive(Clone, Copy)]
    struct Line<'a>(&'a [Cell<u64>]);

    impl Cells for Line<'_> {
        fn load(&self, cell: usize) -> u64 {
            self.0[cell].get()
        }

        fn swap(&self, _: usize, _: u64, _: u64) -> Result<(), u64> {
            unreachable!("hints are written by stores")
        }
    }

    impl CellsMut for Line<'_> {
        fn store(&self, cell: usize, value: u64) {
            self.0[cell].set(value);
        }
    }

    fn hashes(count: u32) -> impl Iterator<Item = (Hash, u32)> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        (0..count).map(move |slot| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (Hash(state), slot)
        })
    }

    #[test]
    fn as_many_questions_as_there_is_to_be_room_for_are_led_and_found() {
        const QUESTIONS: u32 = 100_000;
        let count = lines_for(QUESTIONS);
        let cells: Vec<Cell<u64>> = (0..count as usize * LINE).map(|_| Cell::new(0)).collect();
        let both = |hash| lines(hash, count).map(|line| Line(&cells[line as usize * LINE..][..LINE]));
        let found = |hash| find(&both(hash), hash);
        for (hash, slot) in hashes(QUESTIONS) {
            assert_eq!(found(hash), None);
            assert!(lead(&both(hash), hash, slot), "no room for question {slot}");
        }
        for (hash, slot) in hashes(QUESTIONS) {
            assert_eq!(found(hash), Some(slot));
            drop(&both(hash), hash, slot + 1);
            assert_eq!(found(hash), Some(slot), "it leads elsewhere");
            drop(&both(hash), hash, slot);
            assert_eq!(found(hash), None);
        }
        assert!(cells.iter().all(|cell| cell.get() == 0), "an entry was left behind");
    }

    #[test]
    fn a_question_led_twice_stands_once_and_full_lines_take_no_more() {
        let cells: Vec<Cell<u64>> = (0..2 * LINE).map(|_| Cell::new(0)).collect();
        let both = [Line(&cells[..LINE]), Line(&cells[LINE..])];
        for slot in 0..16 {
            assert!(lead(&both, Hash(7 + u64::from(slot)), slot));
            assert!(lead(&both, Hash(7 + u64::from(slot)), slot));
        }
        assert!(!lead(&both, Hash(1), 1));
    }
}
