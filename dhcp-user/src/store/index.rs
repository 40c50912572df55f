//! The place in the log of each address's current entry.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use super::segment::Entry;

/// Addresses that share their upper three octets are kept together: leases come in subnets.
const RUN: usize = 256;

/// Where an entry is. Entries are never empty: where the length is 0, there is none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EntryPosition {
    pub(super) segment: u32,
    pub(super) offset: u32,
    pub(super) length: u32,
}

/// The current entries, and how many octets they have in all.
#[derive(Debug, Default)]
pub(super) struct Index {
    runs: HashMap<u32, Box<[EntryPosition; RUN]>>,
    records: usize,
    live: u64,
}

impl Index {
    /// Notes an entry later than all before.
    pub(super) fn note(&mut self, segment: u32, entry: &Entry) {
        let (run, at) = run_and_place(entry.address);
        let run = self.runs.entry(run).or_insert_with(|| Box::new([EntryPosition::default(); RUN]));
        let after = if entry.record().is_some() {
            EntryPosition { segment, offset: narrow(entry.offset), length: narrow(entry.octets.len()) }
        } else {
            EntryPosition::default()
        };
        let Some(place) = run.get_mut(at) else { return };
        if wrong!(DeletionForgotten) && after.length == 0 {
            return;
        }
        let before = std::mem::replace(place, after);
        let (more, less) = (usize::from(after.length > 0), usize::from(before.length > 0));
        self.records = self.records.saturating_add(more).saturating_sub(less);
        self.live = self.live.saturating_add(after.length.into()).saturating_sub(before.length.into());
    }

    /// Whether this is the current entry of its address.
    pub(super) fn is_current(&self, segment: u32, entry: &Entry) -> bool {
        let place = self.place(entry.address);
        place.is_some_and(|place| place.segment == segment && place.offset == narrow(entry.offset))
    }

    /// Where the current entry of an address is; `None` if nothing is kept for it.
    pub(super) fn place(&self, address: Ipv4Addr) -> Option<EntryPosition> {
        let (run, at) = run_and_place(address);
        self.runs.get(&run).and_then(|run| run.get(at)).copied().filter(|place| place.length > 0)
    }

    /// How many addresses something is kept for.
    pub(super) fn len(&self) -> usize {
        self.records
    }

    /// How many octets the current entries have.
    pub(super) fn live(&self) -> u64 {
        self.live
    }
}

fn run_and_place(address: Ipv4Addr) -> (u32, usize) {
    let [a, b, c, d] = address.octets();
    (u32::from_be_bytes([0, a, b, c]), usize::from(d))
}

/// Offsets and lengths within a segment, whose size is a u32.
fn narrow(within_segment: usize) -> u32 {
    u32::try_from(within_segment).unwrap_or(u32::MAX)
}
