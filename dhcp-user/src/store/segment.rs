//! The octets of a segment: a header, then one frame per commit.
//!
//! ```text
//! header  magic 8 │ format 4 │ crc 4 │ store 16 │ sequence 4 │ oldest 4 │ first 8
//! frame   crc 4 │ length 4 │ number 8 │ oldest 4 │ clock 32 │ entries …
//! entry   address 4 │ length 4 │ record …       (length 0: nothing is kept for the address any more)
//! ```
//!
//! All numbers are little-endian. A frame begins at a multiple of 64 octets. Its checksum starts from the store's id and the segment's sequence number,
//! so that what an earlier use left in a recycled file is never taken for a frame, and nobody who can put octets
//! into a record (a client) can make one.

use std::net::Ipv4Addr;

use super::StoreId;
use super::clock::Clock;

/// The header has the first page for itself.
pub(super) const HEADER_PAGE: u32 = 4096;

/// Where frames begin.
pub(super) const FRAMES: usize = HEADER_PAGE as usize;

/// The newest format of segments that this version reads, and the one it writes.
pub(super) const FORMAT: u32 = 1;

const MAGIC: [u8; 8] = *b"xdhcpd\r\n";
const ENTRY_HEAD: usize = 8;

/// Octets of a header.
pub(super) const HEADER: usize = 48;

/// Octets of a frame before its entries.
pub(super) const FRAME_HEAD: usize = 52;

/// Frames begin at multiples of this, so that a search for one is short.
const ALIGNMENT: usize = 64;

/// The room that `octets` take in a segment.
pub(super) fn padded(octets: usize) -> usize {
    octets.next_multiple_of(ALIGNMENT)
}

/// What a segment says about itself. It is on disk before the first frame is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) store: StoreId,
    pub(super) sequence: u32,
    /// The oldest segment that was needed when this one was begun.
    pub(super) oldest: u32,
    /// The number of its first commit.
    pub(super) first: u64,
}

/// Why octets are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoHeader {
    /// There is none, or not a whole one.
    Blank,
    /// A later version wrote it.
    Newer(u32),
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER] {
        let mut octets = [0; HEADER];
        octets[..8].copy_from_slice(&MAGIC);
        octets[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        octets[16..32].copy_from_slice(&self.store.0.to_le_bytes());
        octets[32..36].copy_from_slice(&self.sequence.to_le_bytes());
        octets[36..40].copy_from_slice(&self.oldest.to_le_bytes());
        octets[40..48].copy_from_slice(&self.first.to_le_bytes());
        let crc = crc32fast::hash(&octets[16..]);
        octets[12..16].copy_from_slice(&crc.to_le_bytes());
        octets
    }

    /// The header at the beginning of `octets`.
    pub(super) fn decode(octets: &[u8]) -> Result<Self, NoHeader> {
        let octets: &[u8; HEADER] = octets.first_chunk().ok_or(NoHeader::Blank)?;
        if octets[..8] != MAGIC {
            return Err(NoHeader::Blank);
        }
        match u32_at(octets, 8) {
            FORMAT => {}
            0 => return Err(NoHeader::Blank),
            newer => return Err(NoHeader::Newer(newer)),
        }
        if u32_at(octets, 12) != crc32fast::hash(&octets[16..]) {
            return Err(NoHeader::Blank);
        }
        Ok(Self {
            store: StoreId(u128::from(u64_at(octets, 24)) << 64 | u128::from(u64_at(octets, 16))),
            sequence: u32_at(octets, 32),
            oldest: u32_at(octets, 36),
            first: u64_at(octets, 40),
        })
    }
}

/// The beginning of the checksum of every frame in one segment of one store.
#[derive(Clone, Debug)]
pub(super) struct Seal(crc32fast::Hasher);

impl Seal {
    pub(super) fn new(store: StoreId, sequence: u32) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&store.0.to_le_bytes());
        hasher.update(&sequence.to_le_bytes());
        Self(hasher)
    }

    fn over(&self, sealed: &[u8]) -> u32 {
        let mut hasher = self.0.clone();
        hasher.update(sealed);
        hasher.finalize()
    }
}

/// One commit, as it is found in a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    /// Commits are numbered without a gap, through all segments.
    pub(super) number: u64,
    /// The oldest segment that is needed once this frame is on disk.
    pub(super) oldest: u32,
    pub(super) clock: Clock,
    /// Where it begins in its segment.
    pub(super) start: usize,
    /// Where the next one begins in its segment.
    pub(super) end: usize,
    octets: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame that begins at `start` in `segment`, if a whole one does.
    pub(super) fn at(segment: &'a [u8], start: usize, seal: &Seal) -> Option<Self> {
        let octets = segment.get(start..)?;
        let octets = octets.get(..Self::length(octets)?)?;
        let frame = Self::unchecked(octets, start)?;
        (u32_at(octets, 0) == seal.over(&octets[4..])).then_some(frame)
    }

    /// The number of octets of the frame that `octets` begins with, itself unchecked.
    pub(super) fn length(octets: &[u8]) -> Option<usize> {
        let length = octets.get(4..8)?;
        FRAME_HEAD.checked_add(usize::try_from(u32_at(length, 0)).ok()?)
    }

    /// Whether a whole frame of a later commit than `number` begins anywhere in `segment` from the frame at `start` on.
    ///
    /// A commit is written only after the one before it is on disk: if that one does not check, but a later one does,
    /// it was damaged, not cut short.
    pub(super) fn any_later(segment: &'a [u8], start: usize, number: u64, seal: &Seal) -> bool {
        (start..segment.len().saturating_sub(FRAME_HEAD)).step_by(ALIGNMENT).any(|start| {
            let found = u64_at(segment, start + 8);
            let plausible = found > number && found - number <= segment.len() as u64;
            plausible && Self::at(segment, start, seal).is_some()
        })
    }

    /// The frame that `octets` are, beginning at `start` in its segment; its checksum is not looked at.
    pub(super) fn unchecked(octets: &'a [u8], start: usize) -> Option<Self> {
        let clock = octets.get(20..FRAME_HEAD)?.first_chunk()?;
        Some(Self {
            number: u64_at(octets, 8),
            oldest: u32_at(octets, 16),
            clock: Clock::from_bytes(*clock),
            start,
            end: start + padded(octets.len()),
            octets,
        })
    }

    /// Its entries in the order they were written in; an error where it is well sealed, but not well-formed.
    pub(super) fn entries(&self) -> impl Iterator<Item = Result<Entry<'a>, Malformed>> + use<'a> {
        let Self { octets, start, .. } = *self;
        let mut at = FRAME_HEAD;
        std::iter::from_fn(move || {
            if at == octets.len() {
                return None;
            }
            let entry = Entry::at(octets, at, start);
            at = entry.map_or(octets.len(), |entry| at + entry.octets.len());
            Some(entry.ok_or(Malformed))
        })
    }
}

/// A frame has a good checksum, but its entries do not fill it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// One change, as it is found in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) address: Ipv4Addr,
    /// Where it begins in its segment.
    pub(super) offset: usize,
    /// The whole entry, as it was written.
    pub(super) octets: &'a [u8],
}

impl<'a> Entry<'a> {
    /// The entry that begins at `at` in `frame`, which itself begins at `start` in its segment.
    pub(super) fn at(frame: &'a [u8], at: usize, start: usize) -> Option<Self> {
        let octets = frame.get(at..)?;
        let head = octets.get(..ENTRY_HEAD)?;
        let length = ENTRY_HEAD.checked_add(usize::try_from(u32_at(head, 4)).ok()?)?;
        Some(Self {
            address: Ipv4Addr::from_bits(u32_at(head, 0)),
            offset: start + at,
            octets: octets.get(..length)?,
        })
    }

    /// The stored record; `None` if nothing is kept for the address any more.
    pub(super) fn record(&self) -> Option<&'a [u8]> {
        self.octets.get(ENTRY_HEAD..).filter(|record| !record.is_empty())
    }
}

/// A frame in the making.
#[derive(Debug, Default)]
pub(super) struct Draft {
    octets: Vec<u8>,
}

impl Draft {
    /// Begins anew, keeping the memory.
    pub(super) fn clear(&mut self) {
        self.octets.clear();
        self.octets.resize(FRAME_HEAD, 0);
    }

    /// Adds a record that `write` appends, or without one says that nothing is kept.
    pub(super) fn push(&mut self, address: Ipv4Addr, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.octets.len();
        self.octets.extend(address.to_bits().to_le_bytes());
        self.octets.extend([0; 4]);
        write(&mut self.octets);
        let length = u32::try_from(self.octets.len() - start - ENTRY_HEAD).unwrap_or(u32::MAX);
        self.octets[start + 4..start + ENTRY_HEAD].copy_from_slice(&length.to_le_bytes());
    }

    /// Adds an entry as it was once written.
    pub(super) fn copy(&mut self, entry: &Entry) {
        self.octets.extend(entry.octets);
    }

    /// Adds the entries of another draft.
    pub(super) fn join(&mut self, other: &Self) {
        self.octets.extend(&other.octets[FRAME_HEAD..]);
    }

    /// How many octets the frame has.
    pub(super) fn len(&self) -> usize {
        self.octets.len()
    }

    /// The finished frame, for the segment of `seal`; `None` if it is larger than a frame can be (4 GiB).
    pub(super) fn seal(&mut self, seal: &Seal, number: u64, oldest: u32, clock: &Clock) -> Option<&[u8]> {
        let length = u32::try_from(self.octets.len() - FRAME_HEAD).ok()?;
        self.octets[4..8].copy_from_slice(&length.to_le_bytes());
        self.octets[8..16].copy_from_slice(&number.to_le_bytes());
        self.octets[16..20].copy_from_slice(&oldest.to_le_bytes());
        self.octets[20..FRAME_HEAD].copy_from_slice(&clock.to_bytes());
        let crc = seal.over(&self.octets[4..]);
        self.octets[..4].copy_from_slice(&crc.to_le_bytes());
        Some(&self.octets)
    }
}

fn u32_at(octets: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| octets[at + i]))
}

fn u64_at(octets: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| octets[at + i]))
}
