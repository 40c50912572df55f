//! The daemon's side of the slot protocol: granting, extending, revoking and publishing.
//!
//! Each function is one row of the table in [`slot`](crate::slot), in the order of writes that the table asks
//! for. There is one daemon, and in it one writer.

use crate::abi::NetAddr;
use crate::lease::{BootSecs, Word};
use crate::slot::{ANSWER_HEAD, AnswerHead, CHUNK_CELLS, CellsMut, Identity, MEMOS, Memo, Slot};

/// Revokes a lease: the kernel answers no more, whatever it was about to do.
///
/// A dead word is moved to the next generation too, so that a grant that was decided before comes to nothing.
///
/// # Errors
/// The word as it is, when it is not the one judged: the kernel extended the lease meanwhile.
pub fn revoke<C: CellsMut>(slot: &Slot<C>, judged: Word) -> Result<Word, Word> {
    slot.swap_word(judged, judged.revoked())
}

/// Takes a live lease out of the kernel's hands without ending it: the word dies within its generation, and may be
/// granted again for the same lease.
pub fn suspend<C: CellsMut>(slot: &Slot<C>) -> Word {
    change(slot, Word::suspended)
}

/// Brings a dead slot to life: horizon, identity and memos first, the word last.
///
/// The commit that `horizon` stands for is on disk, and the answers that the memos point at are written.
///
/// # Errors
/// The word as it is, when it is not `judged` or `judged` is alive. Nothing of a live slot is written then.
pub fn grant<C: CellsMut>(
    slot: &Slot<C>,
    judged: Word,
    identity: &Identity,
    horizon: BootSecs,
    memos: &[Memo],
    expiry: BootSecs,
) -> Result<Word, Word> {
    let found = slot.word();
    if found != judged || found.alive() {
        return Err(found);
    }
    slot.set_horizon(horizon);
    slot.set_identity(identity);
    for index in 0..MEMOS {
        match memos.get(index) {
            Some(&memo) => slot.set_memo(index, memo),
            None => slot.void_memo(index),
        }
    }
    slot.swap_word(judged, judged.granted(expiry))
}

/// Extends a live lease of `generation` to `expiry`, if that is later than what it has.
///
/// # Errors
/// The word as it is, when the lease was revoked meanwhile.
pub fn extend<C: CellsMut>(slot: &Slot<C>, generation: u16, expiry: BootSecs) -> Result<Word, Word> {
    let mut found = slot.word();
    while found.alive() && found.generation() == generation {
        match slot.swap_word(found, found.extended(expiry)) {
            Ok(word) => return Ok(word),
            Err(other) => found = other,
        }
    }
    Err(found)
}

/// Voids memos of a live lease, and moves the word so that nobody is left who has read them.
///
/// Their memory, and that of answers which no other memo points at, may be rewritten afterwards.
pub fn forget<C: CellsMut>(slot: &Slot<C>, memos: impl IntoIterator<Item = usize>) -> Word {
    for index in memos {
        slot.void_memo(index);
    }
    change(slot, Word::moved)
}

/// Changes the word whatever it is, until the change holds.
fn change<C: CellsMut>(slot: &Slot<C>, next: impl Fn(Word) -> Word) -> Word {
    let mut found = slot.word();
    loop {
        match slot.swap_word(found, next(found)) {
            Ok(word) => return word,
            Err(other) => found = other,
        }
    }
}

/// Writes an answer into chunks that no memo points at.
///
/// # Panics
/// When the body is longer than the chunks that `chunk` gives; the caller has counted them.
pub fn write_answer<C: CellsMut>(head: &AnswerHead, body: &[u8], chunk: impl Fn(usize) -> C) {
    let mut cells = chunk(0);
    for (index, value) in head.cells().into_iter().enumerate() {
        cells.store(index, value);
    }
    for (word, bytes) in body.chunks(8).enumerate() {
        let at = ANSWER_HEAD + word;
        if at.is_multiple_of(CHUNK_CELLS) {
            cells = chunk(at / CHUNK_CELLS);
        }
        let mut padded = [0; 8];
        padded[..bytes.len()].copy_from_slice(bytes);
        cells.store(at % CHUNK_CELLS, u64::from_ne_bytes(padded));
    }
}

/// Reads an answer back: its head and `head.len` bytes of body.
pub fn read_answer<C: CellsMut>(chunk: impl Fn(usize) -> C, body: &mut [u8]) -> AnswerHead {
    let mut cells = chunk(0);
    let head = crate::slot::answer_head(cells);
    let len = usize::from(head.len).min(body.len());
    for (word, bytes) in body[..len].chunks_mut(8).enumerate() {
        let at = ANSWER_HEAD + word;
        if at.is_multiple_of(CHUNK_CELLS) {
            cells = chunk(at / CHUNK_CELLS);
        }
        bytes.copy_from_slice(&cells.load(at % CHUNK_CELLS).to_ne_bytes()[..bytes.len()]);
    }
    head
}

/// How many chunks an answer with a body of `len` bytes takes.
#[must_use]
pub const fn chunks_for(len: usize) -> usize {
    (8 * ANSWER_HEAD + len).div_ceil(8 * CHUNK_CELLS)
}

/// The head of an answer that carries `body` at offset `at` of the BOOTP message, and no echoes: its sum and its lengths.
///
/// `None`: the body is too long, or its length is no multiple of four.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "both are bounded by the check")]
pub fn head_of(body: &[u8], at: usize, lease_time: u32, siaddr: NetAddr) -> Option<AnswerHead> {
    if body.len() > crate::slot::MAX_BODY || !body.len().is_multiple_of(4) || at > crate::wire::bootp::FIXED {
        return None;
    }
    let sum = body.chunks(4).fold(crate::checksum::Sum::default(), |sum, word| {
        sum.raw32(u32::from_ne_bytes([word[0], word[1], word[2], word[3]]))
    });
    let (sum, len, at) = (sum.folded(), body.len() as u16, at as u16);
    Some(AnswerHead { lease_time, siaddr, sum, len, at, ..AnswerHead::default() })
}
