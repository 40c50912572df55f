//! Looks whether what was written still reads back the same while the store is open: somebody may cut or overwrite a
//! file in its place, and nothing else would show that before the next start.
//!
//! The newest segment's length is looked at before each commit. From time to time the thread that commits looks at its
//! header and its last commit, and at some of all other commits, so that it gets round without ever being long about it.

use std::collections::VecDeque;

use super::disk::Disk;
use super::error::{Damage, failed, unsound};
use super::header::{HEADER_PAGE, Header};
use super::marker::{MARKER, SIZE};
use super::segment::{Extent, FRAME_HEAD, FRAMES, Frame, Seal, read_some};
use super::{StoreError, StoreId};

/// How much is read of older commits in one look, or one commit more.
const PIECE: usize = 256 << 10;

/// How far the looks have come: in this segment, up to there.
#[derive(Debug, Default)]
pub(super) struct Look {
    sequence: u32,
    offset: usize,
}

/// The log to be looked at, as it was written.
pub(super) struct Written<'s> {
    pub(super) store: StoreId,
    /// The sequence number of the first of `segments`.
    pub(super) oldest: u32,
    pub(super) segments: &'s VecDeque<Extent>,
    /// Where the last commit begins in the last segment, and its number; none if it begins in no known place.
    pub(super) last: Option<(u32, u64)>,
}

impl Look {
    /// Looks at the end, and goes on with the rest.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] with the file and the place where anything is not as it was written.
    pub(super) fn go_on<D: Disk>(&mut self, disk: &mut D, written: &Written<'_>) -> Result<(), StoreError> {
        let Some(newest) = written.segments.back() else { return Ok(()) };
        let others = u32::try_from(written.segments.len()).unwrap_or(u32::MAX).saturating_sub(1);
        let current = written.oldest.saturating_add(others);
        as_long(disk, current, newest.size)?;
        header(disk, written.store, current)?;
        if let Some((start, number)) = written.last {
            let frame = frame(disk, written.store, current, start as usize)?;
            if frame.number != number {
                return Err(unsound(disk, current, start as usize));
            }
        }
        let mut left = PIECE;
        // Each segment once at most, however small they are.
        for _ in 0..=others {
            let at = self.sequence.checked_sub(written.oldest).map_or(usize::MAX, |at| at as usize);
            let Some(segment) = written.segments.get(at).filter(|_| self.offset >= FRAMES) else {
                (self.sequence, self.offset) = (written.oldest, FRAMES);
                continue;
            };
            as_long(disk, self.sequence, segment.size)?;
            if self.offset == FRAMES {
                header(disk, written.store, self.sequence)?;
            }
            while self.offset < segment.end as usize {
                let end = frame(disk, written.store, self.sequence, self.offset)?.end;
                left = left.saturating_sub(end.saturating_sub(self.offset));
                self.offset = end;
                if left == 0 {
                    return Ok(());
                }
            }
            (self.sequence, self.offset) = (self.sequence.saturating_add(1), FRAMES);
        }
        Ok(())
    }
}

/// Whether a segment, and the marker, are as long as they were written.
pub(super) fn as_long<D: Disk>(disk: &mut D, sequence: u32, size: u32) -> Result<(), StoreError> {
    for (sequence, size) in [(sequence, size), (MARKER, SIZE)] {
        let there = disk.size(sequence).map_err(|error| failed(disk, "looking at its length", error))?;
        if there < u64::from(size) {
            let what = format!("it ends here, and was written with {size} octets");
            let damage = Damage { file: disk.file_name(sequence), offset: there, what };
            return Err(StoreError::Damaged { dir: disk.path().to_owned(), damages: vec![damage] });
        }
    }
    Ok(())
}

fn header<D: Disk>(disk: &mut D, store: StoreId, sequence: u32) -> Result<(), StoreError> {
    let mut octets = Vec::new();
    read_some(disk, sequence, 0, HEADER_PAGE as usize, &mut octets)?;
    match Header::decode(&octets) {
        Ok(header) if header.store == store && header.sequence == sequence => Ok(()),
        _ => Err(unsound(disk, sequence, 0)),
    }
}

/// The frame's number, and where it ends.
struct Read {
    number: u64,
    end: usize,
}

fn frame<D: Disk>(disk: &mut D, store: StoreId, sequence: u32, start: usize) -> Result<Read, StoreError> {
    let mut octets = Vec::new();
    read_some(disk, sequence, start, FRAME_HEAD, &mut octets)?;
    let there = disk.size(sequence).map_err(|error| failed(disk, "looking at its length", error))?;
    let length = Frame::length(&octets)
        .filter(|length| start.checked_add(*length).is_some_and(|end| end as u64 <= there))
        .ok_or_else(|| unsound(disk, sequence, start))?;
    read_some(disk, sequence, start, length, &mut octets)?;
    let frame = Frame::at(&octets, 0, &Seal::new(store, sequence));
    let frame = frame.ok_or_else(|| unsound(disk, sequence, start))?;
    Ok(Read { number: frame.number, end: start.saturating_add(frame.end) })
}
