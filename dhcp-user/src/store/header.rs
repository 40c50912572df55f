//! The header of a segment: its store, its place in the log, and its length.
//!
//! ```text
//! format 2  magic 8 │ format 4 │ crc 4 │ store 16 │ sequence 4 │ oldest 4 │ first 8 │ size 4 │ zero 4
//! format 1  magic 8 │ format 4 │ crc 4 │ store 16 │ sequence 4 │ oldest 4 │ first 8
//! ```
//!
//! All numbers are little-endian. The checksum is over what follows it. In every later format it is at the same place, and
//! over the format and the 40 octets that follow it: so a format that was damaged is no later one.

use super::StoreId;
use super::reader::Reader;

/// The header has the first page for itself.
pub(super) const HEADER_PAGE: u32 = 4096;

/// The newest format of segments that this version reads, and the one it writes.
pub(super) const FORMAT: u32 = 2;

const MAGIC: [u8; 8] = *b"xdhcpd\r\n";

/// Octets of a header, and how many of them are behind its checksum; format 1 had fewer.
pub(super) const HEADER: usize = 56;
const SUMMED: usize = 40;
const SUMMED_1: usize = 32;

/// A segment's description of itself. It is on disk before the first frame is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) store: StoreId,
    pub(super) sequence: u32,
    /// The oldest segment that was needed when this one was begun.
    pub(super) oldest: u32,
    /// The number of its first commit.
    pub(super) first: u64,
    /// The octets of the segment, all written before its first frame. Format 1 does not have this.
    pub(super) size: Option<u32>,
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
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut summed = Vec::with_capacity(HEADER);
        summed.extend(self.store.0.to_le_bytes());
        summed.extend(self.sequence.to_le_bytes());
        summed.extend(self.oldest.to_le_bytes());
        summed.extend(self.first.to_le_bytes());
        summed.extend(self.size.unwrap_or_default().to_le_bytes());
        summed.extend([0; 4]);
        let mut octets = MAGIC.to_vec();
        octets.extend(FORMAT.to_le_bytes());
        octets.extend(crc32fast::hash(&summed).to_le_bytes());
        octets.extend(summed);
        octets
    }

    /// The header at the beginning of `octets`.
    pub(super) fn decode(octets: &[u8]) -> Result<Self, NoHeader> {
        Self::read(Reader::new(octets)).unwrap_or(Err(NoHeader::Blank))
    }

    /// `None`: there is less than a whole one.
    fn read(mut octets: Reader<'_>) -> Option<Result<Self, NoHeader>> {
        if octets.array()? != MAGIC {
            return None;
        }
        let format = octets.u32()?;
        let crc = octets.u32()?;
        let summed = match format {
            0 => return None,
            1 => octets.take(SUMMED_1)?,
            FORMAT => octets.take(SUMMED)?,
            newer => {
                let is_sound = crc == sum_of_newer(newer, octets.take(SUMMED)?);
                return is_sound.then_some(Err(NoHeader::Newer(newer)));
            }
        };
        if crc != crc32fast::hash(summed) {
            return None;
        }
        let mut fields = Reader::new(summed);
        Some(Ok(Self {
            store: StoreId(fields.u128()?),
            sequence: fields.u32()?,
            oldest: fields.u32()?,
            first: fields.u64()?,
            size: fields.u32(),
        }))
    }
}

/// The checksum of a header of a later format.
pub(super) fn sum_of_newer(format: u32, summed: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&format.to_le_bytes());
    sum.update(summed);
    sum.finalize()
}
