//! The store as a log: a commit is one frame appended to the newest segment, and one `fdatasync`.
//!
//! Which entries are current is held in memory, by address. The log is kept at about twice their size: when it is
//! larger, each commit takes along some of the current entries of the oldest segment, in its own frame, and when all
//! have been taken along, that segment is reused for new frames. So the work of keeping it small is spread evenly
//! over the commits, and needs neither a thread nor a pause. Since segments go strictly oldest first, a deletion
//! outlives the entry that it deletes.
//!
//! After a failure no state in memory is trusted: the next commit first reads the log anew.

use std::collections::VecDeque;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use dhcp_ebpf::lease::BootSecs;

use super::clock::{BootId, Clock};
use super::disk::Disk;
use super::encoding::{self, DecodeError};
use super::error::{Damage, failed, unsound};
use super::header::{HEADER_PAGE, Header};
use super::index::Index;
use super::look::{Look, Written, as_long};
use super::marker::{Marker, Reached};
use super::reclaim::Reclaim;
use super::record::Record;
use super::segment::{Draft, Entry, Extent, FRAMES, Frame, Seal, padded, read_some};
use super::{Change, Expected, Loss, Size, Store, StoreError, StoreId};

/// A [`Store`] in segments on a disk.
pub struct Log<D: Disk> {
    disk: D,
    id: StoreId,
    boot: BootId,
    /// The number of the last commit that returned.
    last: u64,
    size: Size,
    has_lost: bool,
    /// `None` after a failure, until the log has been read anew.
    state: Option<State>,
}

/// The state of the segments.
pub(super) struct State {
    pub(super) id: StoreId,
    pub(super) clock: Clock,
    /// The number of the next commit.
    pub(super) number: u64,
    /// The sequence number of the first of `segments`.
    pub(super) oldest: u32,
    /// The segments that are needed, the oldest first. There is always one, and the last is appended to.
    pub(super) segments: VecDeque<Extent>,
    /// A segment that is no longer needed, to be used again.
    spare: Option<u32>,
    pub(super) index: Index,
    pub(super) marker: Marker,
    reclaim: Reclaim,
    look: Look,
    /// Where the last commit begins in the newest segment, if it is known.
    pub(super) last_start: Option<u32>,
    frame: Draft,
    changes: Draft,
}

impl<D: Disk> Log<D> {
    /// The same for a disk from elsewhere: see [`start`](Self::start).
    ///
    /// # Errors
    /// As that says.
    #[cfg(feature = "simulation")]
    pub fn open_on(
        disk: D,
        fresh: StoreId,
        boot: BootId,
        now: BootSecs,
        expected: Expected,
    ) -> Result<Self, StoreError> {
        Self::start(disk, fresh, boot, now, expected)
    }

    /// Opens the log on `disk`, or begins one, with the id `fresh`, where there is nothing.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be read or written, or is damaged or older than `expected`, and that is not
    /// accepted.
    pub(super) fn start(
        mut disk: D,
        fresh: StoreId,
        boot: BootId,
        now: BootSecs,
        expected: Expected,
    ) -> Result<Self, StoreError> {
        let mut has_lost = false;
        let mut state = match State::replay(&mut disk, expected.promised) {
            Err(error) if error.is_loss() && expected.loss == Loss::Accepted => {
                tracing::warn!(%error, "the loss is accepted");
                has_lost = true;
                State::salvage(&mut disk, fresh, expected.promised, boot, now)?
            }
            replayed => match replayed? {
                Some(state) => state,
                None => State::begin(&mut disk, fresh, boot, now)?,
            },
        };
        state.clock = Clock::resume(Some(state.clock), boot, now);
        // Fixes this boot's offset before anything is converted with it, and shows that the disk takes commits.
        state.append(&mut disk, now, &[])?;
        disk.opened().map_err(|error| failed(&disk, "locking it", error))?;
        tracing::info!(
            store = %state.id,
            records = state.index.len(),
            segments = state.segments.len(),
            "lease store open in {}",
            disk.path().display()
        );
        let (id, last, size) = (state.id, state.last(), state.size());
        Ok(Self { disk, id, boot, last, size, has_lost, state: Some(state) })
    }

    /// The state, read anew if an earlier failure has made it uncertain. The caller puts it back on success.
    fn take(&mut self, now: BootSecs) -> Result<State, StoreError> {
        if let Some(state) = self.state.take() {
            return Ok(state);
        }
        in_place(&mut self.disk, None)?;
        let replayed = State::replay(&mut self.disk, None)?;
        let mut state = replayed
            .filter(|state| state.id == self.id)
            .ok_or_else(|| gone(&self.disk, "another store has taken its place".into()))?;
        if state.last() < self.last {
            let dir = self.disk.path().to_owned();
            return Err(StoreError::Older { dir, last: state.last(), promised: self.last });
        }
        state.clock = Clock::resume(Some(state.clock), self.boot, now);
        Ok(state)
    }
}

impl<D: Disk> Store for Log<D> {
    fn id(&self) -> StoreId {
        self.id
    }

    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        let state = self.take(BootSecs(0))?;
        let records = state.records(&mut self.disk)?;
        self.state = Some(state);
        Ok(records)
    }

    fn record(&mut self, address: Ipv4Addr) -> Result<Option<Record>, StoreError> {
        let state = self.take(BootSecs(0))?;
        let record = state.record(&mut self.disk, address)?;
        self.state = Some(state);
        Ok(record)
    }

    fn commit(&mut self, now: BootSecs, changes: &[Change]) -> Result<(), StoreError> {
        let mut state = self.take(now)?;
        let appended = state.append(&mut self.disk, now, changes);
        if wrong!(FailureTrusted) && appended.is_err() {
            self.state = Some(state);
            return appended;
        }
        appended?;
        self.last = state.last();
        self.size = state.size();
        self.state = Some(state);
        Ok(())
    }

    fn look(&mut self) -> Result<(), StoreError> {
        let Some(mut state) = self.state.take() else { return Ok(()) };
        state.look(&mut self.disk)?;
        self.state = Some(state);
        Ok(())
    }

    fn last_commit(&self) -> u64 {
        self.last
    }

    fn size(&self) -> Size {
        self.size
    }

    /// Makes the marker exact and durable.
    fn close(&mut self) -> Result<(), StoreError> {
        self.state.take().map_or(Ok(()), |state| state.marker.sync(&mut self.disk))
    }

    fn has_lost(&self) -> bool {
        self.has_lost
    }
}

impl<D: Disk> Drop for Log<D> {
    fn drop(&mut self) {
        // Without it a loss of power may hide that the last commits are missing, as it may while the store is open.
        let _ = self.close();
    }
}

impl State {
    /// A new store: its first segment, without a frame.
    fn begin<D: Disk>(disk: &mut D, id: StoreId, boot: BootId, now: BootSecs) -> Result<Self, StoreError> {
        let mut state = Self::empty(id, Clock::resume(None, boot, now), 1);
        state.marker.make(disk, Reached { number: 0, segment: 0, store: id })?;
        let size = disk.segment_size();
        state.add_segment(disk, 1, size)?;
        Ok(state)
    }

    /// No segments, and nothing in them.
    pub(super) fn empty(id: StoreId, clock: Clock, oldest: u32) -> Self {
        Self {
            id,
            clock,
            number: 1,
            oldest,
            segments: VecDeque::new(),
            spare: None,
            index: Index::default(),
            marker: Marker::default(),
            reclaim: Reclaim::default(),
            look: Look::default(),
            last_start: None,
            frame: Draft::default(),
            changes: Draft::default(),
        }
    }

    /// The sequence number of the segment that is appended to.
    fn current(&self) -> u32 {
        let others = u32::try_from(self.segments.len()).unwrap_or(u32::MAX).saturating_sub(1);
        self.oldest.saturating_add(others)
    }

    /// The number of the last commit.
    fn last(&self) -> u64 {
        self.number.saturating_sub(1)
    }

    /// The octets of the segments, without those to be used again, and the number of current records.
    fn size(&self) -> Size {
        let octets = self.segments.iter().map(|segment| u64::from(segment.size)).sum();
        Size { octets, records: self.index.len() as u64 }
    }

    /// Makes `changes` durable in one frame. After an error the state is not to be used any more.
    fn append<D: Disk>(&mut self, disk: &mut D, now: BootSecs, changes: &[Change]) -> Result<(), StoreError> {
        self.clock = self.clock.at(now);
        self.changes.clear();
        for change in changes {
            let record = |octets: &mut Vec<u8>| match change {
                Change::Put(record) => encoding::encode(record, &self.clock, octets),
                Change::Delete(_) => {}
            };
            self.changes.push(change.address(), record);
        }

        self.frame.clear();
        let mut oldest = self.oldest;
        if self.is_crowded(disk) {
            let allowance = self.changes.len().saturating_mul(3);
            let segments = (oldest, &self.segments);
            oldest =
                self.reclaim.take_along(disk, self.id, segments, &self.index, allowance, &mut self.frame)?;
        }
        // The changes come last, so that they win over what was taken along.
        self.frame.join(&self.changes);

        if self.frame.len() > self.room() as usize {
            self.roll(disk)?;
        }
        self.write(disk, oldest)?;
        self.free_before(disk, oldest)?;
        if self.spare.is_none() && self.room() < disk.segment_size() / 2 {
            disk.prepare();
        }
        Ok(())
    }

    /// How much there is room for in the newest segment.
    fn room(&self) -> u32 {
        self.segments.back().map_or(0, |last| last.size.saturating_sub(last.end))
    }

    /// Whether the log is larger than its current entries justify.
    fn is_crowded<D: Disk>(&self, disk: &D) -> bool {
        let size: u64 = self.segments.iter().map(|segment| u64::from(segment.size)).sum();
        size / 2 > self.index.live().saturating_add(disk.segment_size().into())
    }

    /// Goes on to a new segment that has room for the frame.
    fn roll<D: Disk>(&mut self, disk: &mut D) -> Result<(), StoreError> {
        self.all_in_place(disk)?;
        let usual = disk.segment_size();
        let needed =
            u32::try_from(padded(FRAMES.saturating_add(self.frame.len()))).map_err(|_| too_large(disk))?;
        let next = self.current().checked_add(1).ok_or_else(|| too_large(disk))?;
        match self.spare.take() {
            Some(spare) if needed <= usual => {
                disk.rename(spare, next).map_err(|error| failed(disk, "reusing a segment", error))?;
                self.begin_segment(disk, next, usual)
            }
            spare => {
                self.spare = spare;
                self.add_segment(disk, next, needed.max(usual))
            }
        }
    }

    /// Whether every segment that is needed is still there: none is looked at for long.
    fn all_in_place<D: Disk>(&self, disk: &mut D) -> Result<(), StoreError> {
        let listed = disk.list().map_err(|error| failed(disk, "listing segments", error))?;
        match (self.oldest..=self.current()).find(|needed| listed.binary_search(needed).is_err()) {
            Some(missing) => Err(gone(disk, format!("{} is missing", disk.file_name(missing)))),
            None => Ok(()),
        }
    }

    /// Makes a segment and begins it.
    pub(super) fn add_segment<D: Disk>(
        &mut self,
        disk: &mut D,
        sequence: u32,
        size: u32,
    ) -> Result<(), StoreError> {
        disk.create(sequence, size).map_err(|error| failed(disk, "making room for commits", error))?;
        self.begin_segment(disk, sequence, size)
    }

    /// Gives a segment its header. It is durable, and the marker knows of the segment, before the first frame is
    /// written: so a segment with frames can lose its header or be lost, and that is known.
    fn begin_segment<D: Disk>(&mut self, disk: &mut D, sequence: u32, size: u32) -> Result<(), StoreError> {
        let Self { id: store, oldest, number: first, .. } = *self;
        self.last_start = None;
        let header = Header { store, sequence, oldest, first, size: Some(size) };
        disk.write(sequence, 0, &header.encode())
            .and_then(|()| disk.sync(sequence))
            .map_err(|error| failed(disk, "beginning a segment", error))?;
        self.marker.note(disk, Reached { number: self.last(), segment: sequence, store })?;
        self.marker.sync(disk)?;
        self.segments.push_back(Extent { size, end: HEADER_PAGE });
        Ok(())
    }

    /// Makes a frame of these entries durable, in the newest segment, which has room for it.
    pub(super) fn put_frame<D: Disk>(&mut self, disk: &mut D, entries: Draft) -> Result<(), StoreError> {
        self.frame = entries;
        self.write(disk, self.oldest)
    }

    /// Writes the frame to the newest segment, where it fits, and makes it durable.
    fn write<D: Disk>(&mut self, disk: &mut D, oldest: u32) -> Result<(), StoreError> {
        let current = self.current();
        let seal = Seal::new(self.id, current);
        let octets =
            self.frame.seal(&seal, self.number, oldest, &self.clock).ok_or_else(|| too_large(disk))?;
        let Some(last) = self.segments.back_mut() else { return Err(too_large(disk)) };
        // Behind an end that is not ours any more the file would grow again, with a hole in it; and where another process has
        // the store by now, its commits would be overwritten.
        as_long(disk, current, last.size)?;
        in_place(disk, Some(current))?;
        disk.write(current, last.end, octets)
            .and_then(|()| if wrong!(SkipSync) { Ok(()) } else { disk.sync(current) })
            .or_else(|error| if wrong!(FailureIgnored) { Ok(()) } else { Err(error) })
            .map_err(|error| failed(disk, "committing", error))?;
        let frame = Frame::unchecked(octets, last.end as usize);
        for entry in frame.iter().flat_map(Frame::entries).flatten() {
            self.index.note(current, &entry);
        }
        self.last_start = Some(last.end);
        last.end = last.end.saturating_add(u32::try_from(padded(octets.len())).unwrap_or(u32::MAX));
        let number = self.number;
        self.number = number.saturating_add(1);
        self.marker.note(disk, Reached { number, segment: current, store: self.id })?;
        in_place(disk, Some(current))
    }

    /// Looks whether what was written reads back the same.
    fn look<D: Disk>(&mut self, disk: &mut D) -> Result<(), StoreError> {
        in_place(disk, Some(self.current()))?;
        let last = self.last_start.map(|start| (start, self.last()));
        let written = Written { store: self.id, oldest: self.oldest, segments: &self.segments, last };
        self.look.go_on(disk, &written)
    }

    /// Gives back the segments that the last commit made superfluous.
    fn free_before<D: Disk>(&mut self, disk: &mut D, oldest: u32) -> Result<(), StoreError> {
        while self.oldest < oldest {
            let size = self.segments.pop_front().map(|segment| segment.size);
            if self.spare.is_none() && size == Some(disk.segment_size()) {
                self.spare = Some(self.oldest);
            } else {
                disk.remove(self.oldest).map_err(|error| failed(disk, "removing a segment", error))?;
            }
            self.oldest = self.oldest.saturating_add(1);
        }
        Ok(())
    }

    /// The current record of an address.
    fn record<D: Disk>(&self, disk: &mut D, address: Ipv4Addr) -> Result<Option<Record>, StoreError> {
        let Some(place) = self.index.place(address) else { return Ok(None) };
        let start = place.offset as usize;
        let mut octets = vec![0; place.length as usize];
        disk.read(place.segment, place.offset, &mut octets)
            .map_err(|error| failed(disk, "reading", error))?;
        let entry = Entry::at(&octets, 0, start).filter(|entry| entry.address == address);
        let stored = entry.as_ref().and_then(Entry::record);
        let stored = stored.ok_or_else(|| unsound(disk, place.segment, start))?;
        match encoding::decode(address, stored, &self.clock) {
            Ok((_, record)) => Ok(Some(record)),
            Err(error) => Err(undecoded(disk, address, error)),
        }
    }

    /// Every current record, those that expire first coming first.
    fn records<D: Disk>(&self, disk: &mut D) -> Result<Vec<Record>, StoreError> {
        let mut records = Vec::with_capacity(self.index.len());
        let mut octets = Vec::new();
        for (sequence, segment) in (self.oldest..).zip(&self.segments) {
            read(disk, sequence, segment.end, &mut octets)?;
            let seal = Seal::new(self.id, sequence);
            let mut at = FRAMES;
            while at < octets.len() {
                let frame = Frame::at(&octets, at, &seal).ok_or_else(|| unsound(disk, sequence, at))?;
                for entry in frame.entries() {
                    let entry = entry.map_err(|_| unsound(disk, sequence, at))?;
                    let Some(stored) = entry.record() else { continue };
                    if self.index.is_current(sequence, &entry) {
                        let record = encoding::decode(entry.address, stored, &self.clock);
                        records.push(record.map_err(|error| undecoded(disk, entry.address, error))?);
                    }
                }
                at = frame.end;
            }
        }
        records.sort_by_cached_key(|(expiry, record)| (*expiry, record.address));
        Ok(records.into_iter().map(|(_, record)| record).collect())
    }
}

/// Reads the first `end` octets of a segment.
pub(super) fn read<D: Disk>(
    disk: &mut D,
    sequence: u32,
    end: u32,
    octets: &mut Vec<u8>,
) -> Result<(), StoreError> {
    read_some(disk, sequence, 0, end as usize, octets)
}

/// Whether what is written can be found again.
fn in_place<D: Disk>(disk: &mut D, sequence: Option<u32>) -> Result<(), StoreError> {
    match disk.misplaced(sequence) {
        Ok(None) => Ok(()),
        Ok(Some(what)) => Err(gone(disk, what)),
        Err(error) => Err(failed(disk, "looking whether it is where it was", error)),
    }
}

fn gone<D: Disk>(disk: &D, what: String) -> StoreError {
    StoreError::Gone { dir: disk.path().to_owned(), what }
}

fn undecoded<D: Disk>(disk: &D, address: Ipv4Addr, error: DecodeError) -> StoreError {
    let dir: PathBuf = disk.path().to_owned();
    match error {
        DecodeError::Newer(found) => {
            StoreError::Newer { dir, found: found.into(), known: encoding::FORMAT.into() }
        }
        DecodeError::Malformed(_) => {
            let what = format!("{address}: {error}");
            StoreError::Damaged { dir, damages: vec![Damage { file: String::new(), offset: 0, what }] }
        }
    }
}

fn too_large<D: Disk>(disk: &D) -> StoreError {
    let error = io::Error::new(io::ErrorKind::FileTooLarge, "a commit of more than 4 GiB");
    failed(disk, "committing", error)
}
