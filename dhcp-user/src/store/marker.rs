//! The marker: how far the log had come. It distinguishes a log that ends from one whose end is gone.
//!
//! A file beside the segments, written after each commit and each time a segment is begun, in two places by turns:
//!
//! ```text
//! place  magic 8 │ crc 4 │ segment 4 │ store 16 │ number 8
//! ```
//!
//! It is made durable only when a segment is begun and when the store is closed, so a commit costs no more for it
//! than a write to memory. After a loss of power it may show less than there is, never more. A killed process, or
//! damage to files while no daemon runs, leaves it exact.

use std::io;

use super::disk::Disk;
use super::error::failed;
use super::reader::Reader;
use super::{StoreError, StoreId};

/// The number that disks know the marker by: segments begin at 1.
pub(super) const MARKER: u32 = 0;

const MAGIC: [u8; 8] = *b"xdhcpd\n2";

/// The two places, in pages of their own: of one write that is cut short the other knows nothing.
const PLACES: [u32; 2] = [0, 4096];
pub(super) const SIZE: u32 = 8192;
/// Octets of a place.
const LEN: usize = 40;

/// How far the log had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reached {
    /// The last commit that was durable, 0 before the first.
    pub(super) number: u64,
    /// The newest segment that was begun, 0 before the first.
    pub(super) segment: u32,
    pub(super) store: StoreId,
}

/// The finding at the marker's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// No file.
    Absent,
    /// A file in which nothing was, or is, written.
    Blank,
    /// This.
    Reached(Reached),
}

impl Found {
    pub(super) const fn reached(self) -> Option<Reached> {
        match self {
            Self::Reached(reached) => Some(reached),
            Self::Absent | Self::Blank => None,
        }
    }
}

/// Writes the marker of one store.
#[derive(Debug, Default)]
pub(super) struct Marker {
    /// Whether the second place is next.
    second: bool,
}

impl Marker {
    /// Reads the marker.
    pub(super) fn read<D: Disk>(disk: &mut D) -> Result<Found, StoreError> {
        if !disk.has_marker().map_err(|error| failed(disk, "reading", error))? {
            return Ok(Found::Absent);
        }
        let found = PLACES.into_iter().filter_map(|place| read_place(disk, place).transpose());
        let found = found.collect::<Result<Vec<_>, _>>()?;
        let found = found.into_iter().max_by_key(|reached| (reached.number, reached.segment));
        Ok(found.map_or(Found::Blank, Found::Reached))
    }

    /// Makes the file, if there is none, and writes this, durably.
    pub(super) fn make<D: Disk>(&mut self, disk: &mut D, reached: Reached) -> Result<(), StoreError> {
        self.put_file(disk).map_err(|error| failed(disk, "making its marker", error))?;
        PLACES.iter().try_for_each(|_| self.note(disk, reached))?;
        self.sync(disk)
    }

    fn put_file<D: Disk>(&self, disk: &mut D) -> io::Result<()> {
        if disk.has_marker()? {
            if disk.size(MARKER)? == u64::from(SIZE) {
                return Ok(());
            }
            disk.remove(MARKER)?;
        }
        disk.create(MARKER, SIZE)
    }

    /// Writes how far the log has come; not durably.
    pub(super) fn note<D: Disk>(&mut self, disk: &mut D, reached: Reached) -> Result<(), StoreError> {
        let [first, second] = PLACES;
        let place = if self.second { second } else { first };
        self.second = !self.second;
        let written = disk.write(MARKER, place, &encode(reached));
        written.map_err(|error| failed(disk, "noting a commit", error))
    }

    /// Makes durable what was written.
    pub(super) fn sync<D: Disk>(&self, disk: &mut D) -> Result<(), StoreError> {
        disk.sync(MARKER).map_err(|error| failed(disk, "noting a commit", error))
    }
}

fn encode(reached: Reached) -> Vec<u8> {
    let mut summed = Vec::with_capacity(LEN);
    summed.extend(reached.segment.to_le_bytes());
    summed.extend(reached.store.0.to_le_bytes());
    summed.extend(reached.number.to_le_bytes());
    let mut octets = MAGIC.to_vec();
    octets.extend(crc32fast::hash(&summed).to_le_bytes());
    octets.extend(summed);
    octets
}

/// The contents of a place; `None` if they are not sound.
fn read_place<D: Disk>(disk: &mut D, place: u32) -> Result<Option<Reached>, StoreError> {
    let mut octets = [0; LEN];
    let size = disk.size(MARKER).map_err(|error| failed(disk, "reading", error))?;
    if size < u64::from(SIZE) {
        return Ok(None);
    }
    disk.read(MARKER, place, &mut octets).map_err(|error| failed(disk, "reading", error))?;
    Ok(decode(&octets))
}

fn decode(octets: &[u8]) -> Option<Reached> {
    let mut octets = Reader::new(octets);
    let (magic, crc) = (octets.array()?, octets.u32()?);
    if magic != MAGIC || crc != crc32fast::hash(octets.rest()) {
        return None;
    }
    let (segment, store) = (octets.u32()?, StoreId(octets.u128()?));
    Some(Reached { number: octets.u64()?, segment, store })
}
