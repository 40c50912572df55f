//! Where in the log the current entry of each address is.

use std::collections::HashMap;

use super::segment::Entry;

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    segment: u32,
    offset: u32,
    length: u32,
}

/// The current entries, and how many octets they have in all.
#[derive(Debug, Default)]
pub(super) struct Index {
    places: HashMap<u32, Place>,
    live: u64,
}

impl Index {
    /// Notes an entry later than all before.
    pub(super) fn note(&mut self, segment: u32, entry: &Entry) {
        let address = entry.address.to_bits();
        let length = narrow(entry.octets.len());
        let before = if entry.record().is_some() {
            self.live += u64::from(length);
            self.places.insert(address, Place { segment, offset: narrow(entry.offset), length })
        } else {
            self.places.remove(&address)
        };
        self.live -= before.map_or(0, |before| u64::from(before.length));
    }

    /// Whether this is the current entry of its address.
    pub(super) fn is_current(&self, segment: u32, entry: &Entry) -> bool {
        self.places
            .get(&entry.address.to_bits())
            .is_some_and(|place| place.segment == segment && place.offset == narrow(entry.offset))
    }

    /// How many addresses something is kept for.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// How many octets the current entries have.
    pub(super) fn live(&self) -> u64 {
        self.live
    }
}

/// Offsets and lengths within a segment, whose size is a u32.
fn narrow(within_segment: usize) -> u32 {
    u32::try_from(within_segment).unwrap_or(u32::MAX)
}
