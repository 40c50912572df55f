//! Moves current entries out of the oldest segments, a few with each commit.

use std::collections::VecDeque;

use super::disk::Disk;
use super::error::{failed, unsound};
use super::index::Index;
use super::segment::Extent;
use super::segment::{Draft, Entry, FRAME_HEAD, FRAMES, Frame, Seal, padded};
use super::{StoreError, StoreId};

/// How far the oldest segment has been gone through.
#[derive(Debug)]
pub(super) struct Reclaim {
    /// Where in the segment the frame begins that is being gone through.
    start: usize,
    /// That frame, checked as a whole when it was read; empty before the first.
    frame: Vec<u8>,
    /// Where in the frame to go on.
    at: usize,
}

impl Default for Reclaim {
    fn default() -> Self {
        Self { start: FRAMES, frame: Vec::new(), at: 0 }
    }
}

impl Reclaim {
    /// Goes through `allowance` octets of the oldest of `segments`, which has the sequence number `oldest`, and adds
    /// what is current in them to `draft`. Returns the oldest segment that is needed once the draft is durable.
    ///
    /// To go through three octets for each new one keeps the log bounded even if all of them are current.
    pub(super) fn take_along<D: Disk>(
        &mut self,
        disk: &mut D,
        store: StoreId,
        (mut oldest, segments): (u32, &VecDeque<Extent>),
        index: &Index,
        mut allowance: usize,
        draft: &mut Draft,
    ) -> Result<u32, StoreError> {
        let mut older = segments.iter().rev().skip(1).rev();
        let Some(mut segment) = older.next() else { return Ok(oldest) };
        while allowance > 0 {
            if self.at < self.frame.len() {
                let entry = Entry::at(&self.frame, self.at, self.start)
                    .ok_or_else(|| unsound(disk, oldest, self.start))?;
                if index.is_current(oldest, &entry) && !wrong!(CurrentDropped) {
                    draft.copy(entry.octets);
                }
                self.at = self.at.saturating_add(entry.octets.len());
                allowance = allowance.saturating_sub(entry.octets.len());
                continue;
            }
            self.start = self.start.saturating_add(padded(self.frame.len()));
            self.frame.clear();
            self.at = FRAME_HEAD;
            if self.start < segment.end as usize {
                self.read_frame(disk, store, oldest, segment)?;
                allowance = allowance.saturating_sub(FRAME_HEAD);
            } else {
                *self = Self::default();
                oldest = oldest.saturating_add(1);
                let Some(next) = older.next() else { break };
                segment = next;
            }
        }
        Ok(oldest)
    }

    fn read_frame<D: Disk>(
        &mut self,
        disk: &mut D,
        store: StoreId,
        sequence: u32,
        segment: &Extent,
    ) -> Result<(), StoreError> {
        let mut octets = vec![0; FRAME_HEAD];
        let offset = u32::try_from(self.start).map_err(|_| unsound(disk, sequence, self.start))?;
        disk.read(sequence, offset, &mut octets).map_err(|error| failed(disk, "reading", error))?;
        let room = (segment.end as usize).saturating_sub(self.start);
        let length = Frame::length(&octets).filter(|length| *length <= room);
        octets.resize(length.ok_or_else(|| unsound(disk, sequence, self.start))?, 0);
        disk.read(sequence, offset, &mut octets).map_err(|error| failed(disk, "reading", error))?;
        let seal = Seal::new(store, sequence);
        Frame::at(&octets, 0, &seal).ok_or_else(|| unsound(disk, sequence, self.start))?;
        self.frame = octets;
        Ok(())
    }
}
