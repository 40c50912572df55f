//! A lease's slot: the memory of one lease that kernel and daemon share, and who may write it when.
//!
//! ```text
//! cell  0      the lease word                                                ┐
//!       1      horizon (boot seconds) │ basis of the answers, the daemon's   │
//!       2      address │ server address                                      │
//!       3      link                                                          │ line 0
//!       4      chaddr                                                        │
//!       5      notes of the daemon's; the kernel doesn't read them           │
//!       6,7    memo 0: question hash; where its answer lies │ its echoes     ┘
//!       8..15  memos 1 to 4                                                    line 1
//! ```
//!
//! A renewal of a lease touches the first of its slot's two lines, most often that alone. The lines beside it are second
//! lines, so that a processor that fetches a line's neighbour ahead takes no other lease's from another processor.
//!
//! An answer lies in chunks of its own map, and leases that are answered alike share it:
//!
//! ```text
//! cell  0      lease time │ siaddr
//!       1      partial checksum │ length │ where it begins │ where echoes go in it
//!       2      giaddr │ 1 if it is for unicast questions alone
//!       3..15  its first 104 bytes; those that follow fill the chunks that follow
//! ```
//!
//! What a client or its relay said of itself and gets back is no part of the answer, where there are zeros instead: the
//! memo tells where it stands in the question, as [`Echo`], and it is copied from there. So leases are answered alike
//! whatever their clients say, and of a lease that is one of many, most renewals touch one line that no other lease's
//! touch.
//!
//! # Protocol
//!
//! The daemon has one writer. The kernel changes the word and nothing else.
//!
//! | who | may write | when |
//! | --- | --- | --- |
//! | kernel | word | by compare-and-swap from the word it judged, as the last step before the ACK, to one of no earlier expiry that counts a change more |
//! | kernel | zero over the two octets beside chaddr, which are zero | any time: it changes nothing, but asks for the line |
//! | daemon | word | by compare-and-swap from the word it judged |
//! | daemon | horizon, forward | any time, after the commit that it stands for |
//! | daemon | basis | while all memos are void, or the word is dead |
//! | daemon | horizon, identity, memos, answers | while the word is dead |
//! | daemon | an answer no memo points at; then the memo | any time: the memo's hash is written last |
//! | daemon | a memo | once its hash is zero *and* the word has been changed since |
//! | daemon | an answer | once this holds of every memo that pointed at it |
//!
//! Why every interleaving is safe. The kernel reads the word first and swaps from that very value last. All it
//! read between was written before its swap, so there are two cases. Either the memory it read was not rewritten
//! between: then its answer is the one published. Or it was: each row above that rewrites memory the kernel may
//! be reading does so after a change to the word, and that change came after the kernel's read of the word (else
//! the kernel would have seen a dead word, or a memo whose hash is zero, and sent the request up). The word can't
//! be back at the value read: within one generation its expiry only rises or its count of changes moves on, and
//! 2^16 changes or 2^15 generations don't pass while one frame is answered, all within one second.
//! So the kernel's swap fails, and the frame it wrote is never sent. The daemon's swap fails in the same way
//! when the kernel extended in between, and the daemon judges again: no promise is unknown to the one who revokes.
//!
//! Order of memory. Reads of the word and of a memo's hash acquire, swaps are full barriers, and the daemon's other
//! stores release; the kernel's other loads may come in any order. On x86-64 all but the swaps are plain moves.
//! Elsewhere the kernel acquires by a fetching atomic, for want of anything weaker before Linux 6.15.

use crate::abi::{Link, Mac, NetAddr};
use crate::lease::{BootSecs, Word};

/// Cells of a slot.
pub const SLOT_CELLS: usize = 16;
/// Bytes of a chunk: a piece of an answer.
pub const CHUNK_SIZE: usize = 8 * CHUNK_CELLS;
/// Cells of a chunk.
pub const CHUNK_CELLS: usize = 16;
/// Questions that a slot remembers.
pub const MEMOS: usize = 5;
/// Cells of an answer before its body.
pub const ANSWER_HEAD: usize = 3;
/// Chunks that one answer may take.
pub const MAX_CHUNKS: usize = 6;
/// The longest body of an answer, in bytes.
pub const MAX_BODY: usize = 8 * (MAX_CHUNKS * CHUNK_CELLS - ANSWER_HEAD);

const WORD: usize = 0;
const HORIZON: usize = 1;
const BASIS_SHIFT: u32 = 32;
const ADDRESSES: usize = 2;
const LINK: usize = 3;
const CHADDR: usize = 4;
const NOTES: usize = 5;
const FIRST_MEMO: usize = 6;

const _: () = assert!(NOTES < FIRST_MEMO && FIRST_MEMO + 2 * MEMOS == SLOT_CELLS);

/// Shared memory in 64-bit cells.
pub trait Cells: Copy {
    /// Reads a cell, in any order with the reads around it.
    fn load(&self, cell: usize) -> u64;

    /// Reads a cell; what is read afterwards is no older. By itself an ordinary read: right where [`load`](Self::load)
    /// keeps its order anyway, as on x86-64.
    fn load_acquire(&self, cell: usize) -> u64 {
        self.load(cell)
    }

    /// Has the line of a cell whose upper 16 bits are zero, and stay so, brought into the cache for writing. By itself it
    /// does nothing.
    fn fetch_ahead(&self, _cell: usize) {}

    /// Replaces `from` by `to`, as a full barrier.
    ///
    /// # Errors
    /// The cell's value, when it is not `from`.
    fn swap(&self, cell: usize, from: u64, to: u64) -> Result<(), u64>;
}

/// Shared memory that the daemon may write.
pub trait CellsMut: Cells {
    /// Writes a cell; what was written before is seen no later.
    fn store(&self, cell: usize, value: u64);
}

/// Where an answer lies: its first chunk, which the others follow.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub u32);

/// A question already answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memo {
    /// The question's hash; zero in a memo that is void.
    pub hash: u64,
    /// Where the answer lies.
    pub place: Place,
    /// What of the question comes back.
    pub echo: Echo,
}

/// What of a question's options comes back in its answer: up to two runs of octets, the second right behind the first.
///
/// ```text
///  31 ─── 25 24 ──── 16 15 ──── 9 8 ───── 0
/// ┌─────────┬──────────┬─────────┬─────────┐
/// │ length  │ offset   │ length  │ offset  │
/// └─────────┴──────────┴─────────┴─────────┘
/// ```
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Echo(u32);

/// Octets of a question's options that come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Where they begin in the option area.
    pub at: usize,
    /// How many they are; zero for none.
    pub len: usize,
}

impl Run {
    /// The shortest run but none: it is copied in words of eight octets.
    pub const SHORTEST: usize = 8;
    /// The longest run.
    pub const LONGEST: usize = 64;
}

impl Echo {
    /// Nothing comes back.
    pub const NONE: Self = Self(0);
    const AT: u32 = 0x1ff;
    const LEN_SHIFT: u32 = 9;
    const LEN: u32 = 0x7f;
    const SECOND_SHIFT: u32 = 16;

    /// The echo of these runs. `None`: one of them is shorter or longer than runs can be, or too far in the options.
    #[must_use]
    pub fn of(runs: [Run; 2]) -> Option<Self> {
        let [first, second] = runs.map(|Run { at, len }| {
            let fits = len == 0 || (Run::SHORTEST..=Run::LONGEST).contains(&len);
            let at = u32::try_from(at).ok().filter(|at| fits && *at <= Self::AT)?;
            Some(at | u32::try_from(len).ok()? << Self::LEN_SHIFT)
        });
        Some(Self(first? | second? << Self::SECOND_SHIFT))
    }

    /// The runs, in the order in which they come back.
    #[must_use]
    #[inline(always)]
    pub const fn runs(self) -> [Run; 2] {
        let Self(cell) = self;
        [Self::run(cell & 0xffff), Self::run(cell >> Self::SECOND_SHIFT)]
    }

    #[inline(always)]
    const fn run(part: u32) -> Run {
        Run { at: (part & Self::AT) as usize, len: ((part >> Self::LEN_SHIFT) & Self::LEN) as usize }
    }

    /// How many octets come back.
    #[must_use]
    pub const fn len(self) -> usize {
        let [first, second] = self.runs();
        first.len + second.len
    }

    /// Whether nothing comes back.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What identifies the lease in a slot: constant while the lease lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Where the client is.
    pub link: Link,
    /// Its hardware address.
    pub chaddr: Mac,
    /// The leased address.
    pub address: NetAddr,
    /// The server identifier it knows us by.
    pub server: NetAddr,
}

/// An answer's first cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnswerHead {
    /// The lease time granted, in seconds.
    pub lease_time: u32,
    /// Next server in bootstrap.
    pub siaddr: NetAddr,
    /// One's complement sum of the body, folded, raw.
    pub sum: u16,
    /// Bytes of the body: a multiple of 4.
    pub len: u16,
    /// Where in the BOOTP message the body goes: at the options, or at sname when it has sname and file too.
    pub at: u16,
    /// Where in the body echoes go: there are zeros for them.
    pub echo_at: u16,
    /// The giaddr of the questions that it answers, compared exactly.
    pub giaddr: NetAddr,
    /// Which questions it answers.
    pub to: Destination,
}

/// Where a question must be sent to be answered so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Destination {
    /// To the server, or broadcast.
    #[default]
    Any,
    /// To the server alone: the client's subnet isn't on the link that the question comes from, so what it broadcasts
    /// there gets another answer.
    Unicast,
}

impl AnswerHead {
    /// The head as cells.
    #[must_use]
    pub const fn cells(self) -> [u64; ANSWER_HEAD] {
        [
            self.lease_time as u64 | (self.siaddr.0 as u64) << 32,
            self.sum as u64 | (self.len as u64) << 16 | (self.at as u64) << 32 | (self.echo_at as u64) << 48,
            self.giaddr.0 as u64 | (matches!(self.to, Destination::Unicast) as u64) << 32,
        ]
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "unpacks the parts")]
    const fn from_cells([first, second, third]: [u64; ANSWER_HEAD]) -> Self {
        Self {
            lease_time: first as u32,
            siaddr: NetAddr((first >> 32) as u32),
            sum: second as u16,
            len: (second >> 16) as u16,
            at: (second >> 32) as u16,
            echo_at: (second >> 48) as u16,
            giaddr: NetAddr(third as u32),
            to: if third >> 32 == 0 { Destination::Any } else { Destination::Unicast },
        }
    }
}

/// A slot, as a view of its cells.
#[derive(Clone, Copy, Debug)]
pub struct Slot<C>(pub C);

impl<C: Cells> Slot<C> {
    /// Has the slot brought into the cache, for writing, while something else is done.
    ///
    /// Among many leases a slot is never there.
    #[inline(always)]
    pub fn fetch_ahead(&self) {
        self.0.fetch_ahead(CHADDR);
    }

    /// The lease word.
    #[inline(always)]
    pub fn word(&self) -> Word {
        Word(self.0.load_acquire(WORD))
    }

    /// The last step before an ACK leaves, and the first of a revocation: swaps the word that was judged.
    ///
    /// # Errors
    /// The word as it is, when it is not the one judged.
    #[inline(always)]
    pub fn swap_word(&self, judged: Word, next: Word) -> Result<Word, Word> {
        self.0.swap(WORD, judged.0, next.0).map(|()| next).map_err(Word)
    }

    /// The time that no promise may pass before the store has been told.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the low half is the horizon")]
    pub fn horizon(&self) -> BootSecs {
        BootSecs(self.0.load(HORIZON) as u32)
    }

    /// What the answers rest on that the memos give, as the daemon puts it. The kernel doesn't ask.
    pub fn basis(&self) -> u32 {
        (self.0.load(HORIZON) >> BASIS_SHIFT) as u32
    }

    /// Where the client is.
    #[inline(always)]
    pub fn link_cell(&self) -> u64 {
        self.0.load(LINK)
    }

    /// The client's hardware address as a cell.
    #[inline(always)]
    pub fn chaddr_cell(&self) -> u64 {
        self.0.load(CHADDR)
    }

    /// The leased address and the server's.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "unpacks the halves")]
    pub fn addresses(&self) -> (NetAddr, NetAddr) {
        let cell = self.0.load(ADDRESSES);
        (NetAddr(cell as u32), NetAddr((cell >> 32) as u32))
    }

    /// All that identifies the lease.
    pub fn identity(&self) -> Identity {
        let (address, server) = self.addresses();
        let (link, chaddr) = (Link::from_cell(self.link_cell()), Mac::from_cell(self.chaddr_cell()));
        Identity { link, chaddr, address, server }
    }

    /// The hash of memo `index`; the rest of the memo and its answer, read afterwards, are no older.
    #[inline(always)]
    pub fn memo_hash(&self, index: usize) -> u64 {
        self.0.load_acquire(FIRST_MEMO + 2 * index)
    }

    /// The rest of memo `index`: the place of its answer, and its echoes.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "unpacks the halves")]
    pub fn memo_rest(&self, index: usize) -> (Place, Echo) {
        let cell = self.0.load(FIRST_MEMO + 2 * index + 1);
        (Place(cell as u32), Echo((cell >> 32) as u32))
    }

    /// Memo `index`, void or not.
    pub fn memo(&self, index: usize) -> Memo {
        let hash = self.memo_hash(index);
        let (place, echo) = self.memo_rest(index);
        Memo { hash, place, echo }
    }

    /// What the daemon noted for itself.
    pub fn notes(&self) -> u64 {
        self.0.load(NOTES)
    }
}

impl<C: CellsMut> Slot<C> {
    /// Gives a dead slot its address, when its run is made. It keeps it for as long as the maps live.
    pub fn assign(&self, address: NetAddr) {
        self.0.store(ADDRESSES, u64::from(address.0));
    }

    /// Moves the horizon. Forward at any time, after its commit; anywhere while the word is dead.
    pub fn set_horizon(&self, horizon: BootSecs) {
        self.0.store(HORIZON, u64::from(horizon.0) | u64::from(self.basis()) << BASIS_SHIFT);
    }

    /// Writes what answers rest on. Only while all memos are void, or the word is dead.
    pub fn set_basis(&self, basis: u32) {
        self.0.store(HORIZON, u64::from(self.horizon().0) | u64::from(basis) << BASIS_SHIFT);
    }

    /// Writes the identity. Only while the word is dead.
    pub fn set_identity(&self, identity: &Identity) {
        self.0.store(ADDRESSES, u64::from(identity.address.0) | u64::from(identity.server.0) << 32);
        self.0.store(LINK, identity.link.cell());
        self.0.store(CHADDR, identity.chaddr.cell());
    }

    /// Writes the daemon's notes, at any time.
    pub fn set_notes(&self, notes: u64) {
        self.0.store(NOTES, notes);
    }

    /// Marks memo `index` void. Its memory may be rewritten once the word has been changed after this.
    pub fn void_memo(&self, index: usize) {
        self.0.store(FIRST_MEMO + 2 * index, 0);
    }

    /// Writes a memo over one that is void. Its answer must be written already.
    pub fn set_memo(&self, index: usize, memo: Memo) {
        let rest = u64::from(memo.place.0) | u64::from(memo.echo.0) << 32;
        self.0.store(FIRST_MEMO + 2 * index + 1, rest);
        self.0.store(FIRST_MEMO + 2 * index, memo.hash);
    }
}

/// The head of the answer whose first chunk this is.
#[inline(always)]
pub fn answer_head(chunk: impl Cells) -> AnswerHead {
    AnswerHead::from_cells([chunk.load(0), chunk.load(1), chunk.load(2)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_the_one_the_version_stands_for() {
        assert_eq!((8 * SLOT_CELLS, CHUNK_SIZE, MAX_BODY), (128, 128, 744));
        assert_eq!((WORD, HORIZON, ADDRESSES, LINK, CHADDR, NOTES, FIRST_MEMO), (0, 1, 2, 3, 4, 5, 6));
        assert_eq!(BASIS_SHIFT, 32);
    }

    #[test]
    fn heads_survive_packing() {
        for to in [Destination::Any, Destination::Unicast] {
            let (siaddr, giaddr) = (NetAddr(7), NetAddr(u32::MAX));
            let (len, at, echo_at) = (744, 240, 700);
            let head = AnswerHead { lease_time: 86400, siaddr, sum: 0xfedc, len, at, echo_at, giaddr, to };
            assert_eq!(AnswerHead::from_cells(head.cells()), head);
        }
    }

    #[test]
    fn echoes_survive_packing_and_others_are_none() {
        let run = |at, len| Run { at, len };
        for runs in [[run(511, 64), run(3, 8)], [run(0, 8), run(511, 64)], [run(9, 9), Run::default()]] {
            let echo = Echo::of(runs).unwrap();
            assert_eq!((echo.runs(), echo.len(), echo.is_empty()), (runs, runs[0].len + runs[1].len, false));
        }
        assert_eq!(Echo::of([Run::default(); 2]), Some(Echo::NONE));
        for wrong in [run(512, 8), run(0, 7), run(0, 65), run(usize::MAX, 8)] {
            assert_eq!((Echo::of([wrong, Run::default()]), Echo::of([Run::default(), wrong])), (None, None));
        }
    }
}
