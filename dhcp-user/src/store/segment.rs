//! The octets of a segment: a header, then one frame per commit.
//!
//! ```text
//! frame   crc 4 │ length 4 │ number 8 │ oldest 4 │ clock 32 │ entries …
//! entry   address 4 │ length 4 │ record …       (length 0: nothing is kept for the address any more)
//! ```
//!
//! All numbers are little-endian. A frame begins at a multiple of 64 octets. Its checksum starts from the store's id
//! and the segment's sequence number. So leftovers in a recycled file never count as a frame, and a client, which can
//! put octets into a record, cannot forge one.

use std::io;
use std::net::Ipv4Addr;

use super::clock::Clock;
use super::disk::Disk;
use super::error::{failed, unsound};
use super::header::HEADER_PAGE;
use super::reader::Reader;
use super::{StoreError, StoreId};

/// The size of a segment, and how far frames fill it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) size: u32,
    pub(super) end: u32,
}

/// Where frames begin.
pub(super) const FRAMES: usize = HEADER_PAGE as usize;

/// Octets of a frame before its entries.
pub(super) const FRAME_HEAD: usize = 52;

/// Frames begin at multiples of this, so that a search for one is short.
const ALIGNMENT: usize = 64;

/// The room that `octets` take in a segment.
pub(super) fn padded(octets: usize) -> usize {
    octets.checked_next_multiple_of(ALIGNMENT).unwrap_or(usize::MAX)
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
        let mut sealed = Reader::new(octets);
        let crc = sealed.u32()?;
        let frame = Self::unchecked(octets, start)?;
        (wrong!(TornFrame) || crc == seal.over(sealed.rest())).then_some(frame)
    }

    /// The number of octets of the frame that `octets` begins with, itself unchecked.
    pub(super) fn length(octets: &[u8]) -> Option<usize> {
        let mut head = Reader::new(octets);
        head.u32()?;
        head.length()?.checked_add(FRAME_HEAD)
    }

    /// The first whole frame that begins in `segment` at `start` or after it, of a later commit than `number`.
    ///
    /// A commit is written only after the one before it is on disk: if that one does not check, but a later one does,
    /// it was damaged, not cut short.
    pub(super) fn first_later(
        segment: &'a [u8],
        start: usize,
        number: Option<u64>,
        seal: &Seal,
    ) -> Option<Self> {
        // Each commit takes room.
        let most = segment.len() as u64;
        let plausible =
            |found: u64| number.is_none_or(|number| found > number && found.saturating_sub(number) <= most);
        (start..segment.len()).step_by(ALIGNMENT).find_map(|start| {
            let mut head = Reader::new(segment.get(start..)?);
            head.u64()?;
            let found = head.u64()?;
            if plausible(found) { Self::at(segment, start, seal) } else { None }
        })
    }

    /// The frame that `octets` are, beginning at `start` in its segment; its checksum is not looked at.
    pub(super) fn unchecked(octets: &'a [u8], start: usize) -> Option<Self> {
        let mut head = Reader::new(octets);
        head.u64()?;
        Some(Self {
            number: head.u64()?,
            oldest: head.u32()?,
            clock: Clock::from_bytes(head.array()?),
            start,
            end: padded(octets.len()).checked_add(start)?,
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
            at = entry.map_or(octets.len(), |entry| at.saturating_add(entry.octets.len()));
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
    record: &'a [u8],
}

impl<'a> Entry<'a> {
    /// The entry that begins at `at` in `frame`, which itself begins at `start` in its segment.
    pub(super) fn at(frame: &'a [u8], at: usize, start: usize) -> Option<Self> {
        let from = frame.get(at..)?;
        let mut fields = Reader::new(from);
        let address = Ipv4Addr::from_bits(fields.u32()?);
        let length = fields.length()?;
        let record = fields.take(length)?;
        let octets = from.get(..from.len().checked_sub(fields.rest().len())?)?;
        Some(Self { address, offset: start.checked_add(at)?, octets, record })
    }

    /// The stored record; `None` if nothing is kept for the address any more.
    pub(super) fn record(&self) -> Option<&'a [u8]> {
        Some(self.record).filter(|record| !record.is_empty())
    }
}

/// A frame in the making: its entries.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// Room for the head, then the entries.
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
        self.octets.extend(address.to_bits().to_le_bytes());
        let length_at = self.octets.len();
        self.octets.extend([0; 4]);
        let start = self.octets.len();
        write(&mut self.octets);
        let length = self.octets.len().saturating_sub(start);
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        put(&mut self.octets, length_at, length.to_le_bytes());
    }

    /// Adds an entry as it was once written.
    pub(super) fn copy(&mut self, entry: &[u8]) {
        self.octets.extend(entry);
    }

    /// Adds the entries of another draft.
    pub(super) fn join(&mut self, other: &Self) {
        self.octets.extend(other.octets.get(FRAME_HEAD..).unwrap_or_default());
    }

    /// How many octets the frame has.
    pub(super) fn len(&self) -> usize {
        self.octets.len()
    }

    /// The finished frame, for the segment of `seal`; `None` if it is larger than a frame can be (4 GiB).
    pub(super) fn seal(&mut self, seal: &Seal, number: u64, oldest: u32, clock: &Clock) -> Option<&[u8]> {
        let length = u32::try_from(self.octets.len().checked_sub(FRAME_HEAD)?).ok()?;
        put(&mut self.octets, 4, length.to_le_bytes());
        put(&mut self.octets, 8, number.to_le_bytes());
        put(&mut self.octets, 16, oldest.to_le_bytes());
        put(&mut self.octets, 20, clock.to_bytes());
        let crc = seal.over(self.octets.get(4..)?);
        put(&mut self.octets, 0, crc.to_le_bytes());
        Some(&self.octets)
    }
}

/// Reads `length` octets of a segment from `offset` on.
pub(super) fn read_some<D: Disk>(
    disk: &mut D,
    sequence: u32,
    offset: usize,
    length: usize,
    octets: &mut Vec<u8>,
) -> Result<(), StoreError> {
    octets.clear();
    octets.resize(length, 0);
    let offset = u32::try_from(offset).unwrap_or(u32::MAX);
    disk.read(sequence, offset, octets).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => unsound(disk, sequence, offset as usize),
        _ => failed(disk, "reading", error),
    })
}

/// Writes a field of known place.
fn put<const N: usize>(octets: &mut [u8], at: usize, field: [u8; N]) {
    if let Some(place) = octets.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *place = field;
    }
}
