//! Reading the log after a restart, a crash or a failure: what is in it, and whether all of it is.
//!
//! Commits are numbered without a gap and written one at a time, each only after the one before is durable. So only
//! the last commit can be there in part, and it had not returned: it is left out. Anything else that is missing or
//! does not check is damage, and is said to be.

use super::clock::Clock;
use super::disk::Disk;
use super::log::{Extent, State, damaged, failed, read, unsound};
use super::segment::{self, FRAMES, Frame, HEADER, Header, NoHeader, Seal};
use super::{StoreError, StoreId};

/// How far the frames of a segment go.
struct Walked {
    /// The number of the next commit.
    number: u64,
    /// Where the frames end.
    end: usize,
    /// What the last frame says of the oldest segment and the time, and where it begins; `None` without frames.
    last: Option<(u32, Clock, usize)>,
}

impl State {
    /// What is in the log; `None` if no commit ever returned. The last commit is durable when this returns.
    pub(super) fn replay<D: Disk>(disk: &mut D) -> Result<Option<Self>, StoreError> {
        let listed = disk.list().map_err(|error| failed(disk, "listing segments", error))?;
        let Some(newest) = newest(disk, &listed)? else { return Ok(None) };
        let Some((oldest, mut clock)) = promised(disk, &newest)? else {
            remove(disk, newest.sequence)?;
            return Ok(None);
        };

        let mut state = Self::empty(newest.store, clock, oldest);
        let mut octets = Vec::new();
        let mut tail = FRAMES;
        for sequence in oldest..=newest.sequence {
            if !listed.contains(&sequence) {
                return Err(damaged(disk, format!("segment {sequence} is missing")));
            }
            let size = size(disk, sequence)?;
            read(disk, sequence, size, &mut octets)?;
            let header = Header::decode(&octets)
                .ok()
                .filter(|header| header.store == newest.store && header.sequence == sequence)
                .ok_or_else(|| damaged(disk, format!("segment {sequence} has lost its header")))?;
            if sequence == oldest {
                state.number = header.first;
            } else if state.number != header.first {
                return Err(unsound(disk, sequence - 1, tail));
            }
            let walked = walk(disk, &octets, &header, |frame| {
                frame.entries().try_for_each(|entry| entry.map(|entry| state.index.note(sequence, &entry)))
            })?;
            state.number = walked.number;
            tail = walked.end;
            let end = u32::try_from(walked.end).map_err(|_| unsound(disk, sequence, tail))?;
            state.segments.push_back(Extent { size, end });
            clock = walked.last.map_or(clock, |(_, clock, _)| clock);
            if sequence == newest.sequence {
                settle(disk, &octets, &header, &walked)?;
            }
        }
        state.clock = clock;
        // Only now: the commit that made them superfluous is durable since it was settled.
        for &sequence in listed.iter().filter(|sequence| **sequence < oldest) {
            remove(disk, sequence)?;
        }
        Ok(Some(state))
    }
}

/// The newest segment with a header. One without may follow it: the one that was being begun.
fn newest<D: Disk>(disk: &mut D, listed: &[u32]) -> Result<Option<Header>, StoreError> {
    let mut begun = None;
    for &sequence in listed.iter().rev() {
        let header = header(disk, sequence)?.filter(|header| header.sequence == sequence);
        match (header, begun) {
            (Some(header), None) => return Ok(Some(header)),
            (Some(header), Some(begun)) => {
                drop_begun(disk, begun, header.store)?;
                return Ok(Some(header));
            }
            (None, None) => begun = Some(sequence),
            (None, Some(_)) => break,
        }
    }
    match (begun, listed) {
        (None, _) => Ok(None),
        (Some(1), [1]) => drop_first(disk).map(|()| None),
        _ => Err(damaged(disk, "the newest segments have lost their headers".into())),
    }
}

/// Removes a segment that was being begun. Its header had not been durable, so it can have no frame.
fn drop_begun<D: Disk>(disk: &mut D, sequence: u32, store: StoreId) -> Result<(), StoreError> {
    let mut octets = Vec::new();
    let size = size(disk, sequence)?;
    read(disk, sequence, size, &mut octets)?;
    if Frame::any_later(&octets, FRAMES, 0, &Seal::new(store, sequence)) {
        return Err(damaged(disk, format!("segment {sequence} has lost its header")));
    }
    remove(disk, sequence)
}

/// Removes the first segment of a store that was being made. Nothing can have been written behind its header.
fn drop_first<D: Disk>(disk: &mut D) -> Result<(), StoreError> {
    let mut octets = Vec::new();
    let size = size(disk, 1)?;
    read(disk, 1, size, &mut octets)?;
    if octets.iter().skip(FRAMES).any(|octet| *octet != 0) {
        return Err(damaged(disk, "segment 1 has lost its header".into()));
    }
    remove(disk, 1)
}

/// What the last commit says of the oldest segment and the time; `None` if there was none.
fn promised<D: Disk>(disk: &mut D, newest: &Header) -> Result<Option<(u32, Clock)>, StoreError> {
    let mut octets = Vec::new();
    let size = size(disk, newest.sequence)?;
    read(disk, newest.sequence, size, &mut octets)?;
    let walked = walk(disk, &octets, newest, |_| Ok(()))?;
    if Frame::any_later(&octets, walked.end, walked.number, &Seal::new(newest.store, newest.sequence)) {
        return Err(unsound(disk, newest.sequence, walked.end));
    }
    Ok(match walked.last {
        Some((oldest, clock, _)) => Some((oldest, clock)),
        None if newest.oldest == newest.sequence => None,
        None => Some((newest.oldest, Clock::from_bytes([0; Clock::LEN]))),
    })
}

/// Goes through the frames of a segment, as far as they check.
fn walk<D: Disk>(
    disk: &D,
    octets: &[u8],
    header: &Header,
    mut visit: impl FnMut(&Frame) -> Result<(), segment::Malformed>,
) -> Result<Walked, StoreError> {
    let seal = Seal::new(header.store, header.sequence);
    let mut walked = Walked { number: header.first, end: FRAMES, last: None };
    while let Some(frame) = Frame::at(octets, walked.end, &seal) {
        if frame.number != walked.number || frame.oldest > header.sequence || visit(&frame).is_err() {
            return Err(unsound(disk, header.sequence, walked.end));
        }
        let last = Some((frame.oldest, frame.clock, frame.start));
        walked = Walked { number: frame.number + 1, end: frame.end, last };
    }
    Ok(walked)
}

/// Makes the last commit durable, and the header before it.
///
/// They were read, but perhaps out of memory: the daemon may have been killed before `fdatasync`, or that may have
/// failed, after which the system takes pages for written that are not. So they are written once more.
fn settle<D: Disk>(disk: &mut D, octets: &[u8], header: &Header, walked: &Walked) -> Result<(), StoreError> {
    let sequence = header.sequence;
    let start = walked.last.map_or(walked.end, |(_, _, start)| start);
    let offset = u32::try_from(start).map_err(|_| unsound(disk, sequence, start))?;
    disk.write(sequence, 0, &octets[..HEADER])
        .and_then(|()| disk.write(sequence, offset, &octets[start..walked.end]))
        .and_then(|()| disk.sync(sequence))
        .map_err(|error| failed(disk, "making the last commit durable", error))
}

fn header<D: Disk>(disk: &mut D, sequence: u32) -> Result<Option<Header>, StoreError> {
    if (size(disk, sequence)? as usize) < FRAMES {
        return Ok(None);
    }
    let mut octets = [0; HEADER];
    disk.read(sequence, 0, &mut octets).map_err(|error| failed(disk, "reading", error))?;
    match Header::decode(&octets) {
        Ok(header) => Ok(Some(header)),
        Err(NoHeader::Blank) => Ok(None),
        Err(NoHeader::Newer(found)) => {
            let dir = disk.path().to_owned();
            Err(StoreError::Newer { dir, found, known: segment::FORMAT })
        }
    }
}

fn size<D: Disk>(disk: &mut D, sequence: u32) -> Result<u32, StoreError> {
    let size = disk.size(sequence).map_err(|error| failed(disk, "reading", error))?;
    u32::try_from(size).map_err(|_| damaged(disk, format!("segment {sequence} is larger than any was made")))
}

fn remove<D: Disk>(disk: &mut D, sequence: u32) -> Result<(), StoreError> {
    disk.remove(sequence).map_err(|error| failed(disk, "removing a segment", error))
}
