//! Opens the log after a restart, a crash or a failure: makes its findings durable, and removes unneeded segments.

use super::clock::Clock;
use super::disk::Disk;
use super::error::failed;
use super::header::Header;
use super::index::Index;
use super::log::State;
use super::marker::{Marker, Reached};
use super::segment::Extent;
use super::survey::{Segment, Survey};
use super::{Promised, StoreError};

impl State {
    /// The contents of the log; `None` if no commit ever returned. The last commit is durable when this returns.
    ///
    /// # Errors
    /// When it is damaged, or older than the commit `promised`.
    pub(super) fn replay<D: Disk>(
        disk: &mut D,
        promised: Option<Promised>,
    ) -> Result<Option<Self>, StoreError> {
        let mut index = Index::default();
        let survey = Survey::of(disk, &mut |sequence, frame| {
            frame.entries().try_for_each(|entry| entry.map(|entry| index.note(sequence, &entry)))
        })?;
        if !survey.damages.is_empty() && !wrong!(DamageServed) {
            return Err(StoreError::Damaged { dir: disk.path().to_owned(), damages: survey.damages });
        }
        if survey.is_new() {
            if let (Some(begun), Some(reached)) = (survey.begun, survey.marker.reached()) {
                // Nothing is missed that is removed now.
                Marker::default()
                    .make(disk, Reached { number: 0, segment: begun.saturating_sub(1), ..reached })?;
            }
            survey.begun.map_or(Ok(()), |begun| remove(disk, begun))?;
            return Ok(None);
        }
        let (Some(store), Some(newest)) = (survey.store, survey.segments.last()) else { return Ok(None) };
        let clock = survey.clock.unwrap_or(Clock::from_bytes([0; Clock::LEN]));
        let last = survey.next.saturating_sub(1);
        if let Some(promised) = promised.filter(|promised| promised.store == store && promised.number > last)
        {
            let dir = disk.path().to_owned();
            return Err(StoreError::Older { dir, last, promised: promised.number });
        }
        let oldest = survey.segments.first().map_or(newest.sequence, |oldest| oldest.sequence);
        let mut state = Self::empty(store, clock, oldest);
        state.number = survey.next;
        state.index = index;
        state.last_start = newest.last.and_then(|start| u32::try_from(start).ok());
        for segment in &survey.segments {
            let end = u32::try_from(segment.end).unwrap_or(u32::MAX).min(segment.size);
            state.segments.push_back(Extent { size: segment.size, end });
        }
        survey.begun.map_or(Ok(()), |begun| remove(disk, begun))?;
        let mut reached = Reached { number: last.saturating_sub(1), segment: newest.sequence, store };
        if survey.marker.reached().is_none() {
            // Before the header says that there is one.
            state.marker.make(disk, reached)?;
        }
        make_last_durable(disk, newest)?;
        // What was read of the marker may have been in memory alone, too.
        reached.number = last;
        state.marker.note(disk, reached)?;
        state.marker.sync(disk)?;
        // Only now: the commit that made them superfluous is durable since it was settled.
        survey.superfluous.iter().try_for_each(|sequence| remove(disk, *sequence))?;
        Ok(Some(state))
    }
}

/// Makes the last commit durable, and the header before it.
///
/// They were read, but perhaps out of memory: the daemon may have been killed before `fdatasync`, or that may have
/// failed, after which the system takes pages for written that are not. So they are written once more.
fn make_last_durable<D: Disk>(disk: &mut D, newest: &Segment) -> Result<(), StoreError> {
    let Segment { sequence, size, end, last, .. } = *newest;
    let start = last.unwrap_or(end);
    let mut octets = vec![0; end.min(size as usize).saturating_sub(start)];
    let offset = u32::try_from(start).unwrap_or(size);
    let written = newest.header.map(|header| Header { size: Some(size), ..header }.encode());
    disk.read(sequence, offset, &mut octets)
        .and_then(|()| disk.write(sequence, 0, &written.unwrap_or_default()))
        .and_then(|()| disk.write(sequence, offset, &octets))
        .and_then(|()| disk.sync(sequence))
        .map_err(|error| failed(disk, "making the last commit durable", error))
}

fn remove<D: Disk>(disk: &mut D, sequence: u32) -> Result<(), StoreError> {
    disk.remove(sequence).map_err(|error| failed(disk, "removing a segment", error))
}
