//! Goes on with the sound part of a damaged store, or of one that is older than promises made by it.
//!
//! The current entries of all sound commits are written anew, as one commit of one new segment of the same store. Its
//! number is above all earlier ones, so the store never looks like an older copy of itself. Until that commit is
//! durable the store is damaged as before; then the old segments are set aside, not removed.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use dhcp_ebpf::lease::BootSecs;

use super::clock::{BootId, Clock};
use super::disk::Disk;
use super::error::failed;
use super::log::State;
use super::marker::Reached;
use super::segment::{Draft, FRAMES, padded};
use super::survey::Survey;
use super::{Promised, StoreError, StoreId};

impl State {
    /// A log of all that is sound.
    ///
    /// # Errors
    /// When the disk can't be read or written, or a later version wrote any of it.
    pub(super) fn salvage<D: Disk>(
        disk: &mut D,
        fresh: StoreId,
        promised: Option<Promised>,
        boot: BootId,
        now: BootSecs,
    ) -> Result<Self, StoreError> {
        let mut kept: BTreeMap<Ipv4Addr, Vec<u8>> = BTreeMap::new();
        let survey = Survey::of(disk, &mut |_, frame| {
            for entry in frame.entries() {
                let entry = entry?;
                match entry.record() {
                    Some(_) => kept.insert(entry.address, entry.octets.to_vec()),
                    None => kept.remove(&entry.address),
                };
            }
            Ok(())
        })?;
        let reached = survey.marker.reached();
        let store = survey.store.unwrap_or(fresh);
        let newest = survey.listed.last().copied().max(reached.map(|reached| reached.segment)).unwrap_or(0);
        let number = survey.next.max(reached.map_or(0, |reached| reached.number).saturating_add(1));
        let number = match promised.filter(|promised| promised.store == store) {
            Some(promised) => number.max(promised.number.saturating_add(1)),
            None => number,
        };
        let clock = survey.clock.unwrap_or_else(|| Clock::resume(None, boot, now));
        let mut all = Draft::default();
        all.clear();
        kept.values().for_each(|entry| all.copy(entry));
        tracing::warn!(
            records = kept.len(),
            commit = number,
            "the lease store is made anew from what is sound of it; the damaged files stay beside it as *.damaged"
        );
        // Until the commit is durable, all there was is needed.
        let mut state = Self::empty(store, clock, survey.listed.first().copied().unwrap_or(1));
        state.number = number;
        if reached.is_none() {
            state.marker.make(disk, Reached { number: number.saturating_sub(1), segment: newest, store })?;
        }
        let next = newest.saturating_add(1);
        let size = u32::try_from(padded(FRAMES.saturating_add(all.len()))).unwrap_or(u32::MAX);
        state.add_segment(disk, next, size.max(disk.segment_size()))?;
        state.oldest = next;
        state.put_frame(disk, all)?;
        for sequence in survey.listed {
            disk.set_aside(sequence)
                .map_err(|error| failed(disk, "setting damaged segments aside", error))?;
        }
        Ok(state)
    }
}
