//! Reads the contents of a log, and checks that it is whole: after a restart, a crash or a failure, and for `store
//! check`.
//!
//! Commits are numbered without a gap and written one at a time, each only after the one before is durable. So only
//! the last commit can be incomplete, and it had not returned: it is left out. Segments were written to their whole
//! length before their first frame, and the marker shows how far the log had come. Any other missing or wrong octet
//! is damage, and is reported with its file and place.

use std::collections::BTreeMap;

use super::clock::Clock;
use super::disk::Disk;
use super::error::{Damage, failed};
use super::header::{FORMAT, HEADER_PAGE, Header, NoHeader};
use super::marker::{self, MARKER, Marker, Reached};
use super::segment::{FRAMES, Frame, Malformed, Seal};
use super::{StoreError, StoreId};

/// A segment that is needed, as it was found.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) sequence: u32,
    /// How many octets it has that count.
    pub(super) size: u32,
    pub(super) header: Option<Header>,
    /// Where its frames begin to end: after the last that is sound.
    pub(super) end: usize,
    /// Where the last sound frame begins, if there is one.
    pub(super) last: Option<usize>,
    /// The numbers of the first and the last sound commit in it.
    pub(super) commits: Option<(u64, u64)>,
}

/// The contents of a log.
#[derive(Debug)]
pub(super) struct Survey {
    /// The store's id, as far as anything shows it.
    pub(super) store: Option<StoreId>,
    pub(super) marker: marker::Found,
    /// Every segment there is, in ascending order.
    pub(super) listed: Vec<u32>,
    /// Those that are needed.
    pub(super) segments: Vec<Segment>,
    /// The segment that was being begun, without a frame: it is not needed.
    pub(super) begun: Option<u32>,
    /// Segments that are not needed any more.
    pub(super) superfluous: Vec<u32>,
    /// The number of the next commit.
    pub(super) next: u64,
    /// The clock of the last sound commit.
    pub(super) clock: Option<Clock>,
    pub(super) damages: Vec<Damage>,
}

/// The finding on a segment's header.
#[derive(Clone, Copy, Debug)]
enum Head {
    Sound(Header),
    Foreign(StoreId),
    Lost,
}

/// The visitor of each sound frame, in the order of commits.
pub(super) type Visit<'a> = &'a mut dyn FnMut(u32, &Frame<'_>) -> Result<(), Malformed>;

impl Survey {
    /// Reads all that is needed. Nothing is changed.
    ///
    /// # Errors
    /// When the disk can't be read, or a later version wrote any of it. Damage is no error here.
    pub(super) fn of<D: Disk>(disk: &mut D, visit: Visit<'_>) -> Result<Self, StoreError> {
        let listed = disk.list().map_err(|error| failed(disk, "listing segments", error))?;
        let marker = Marker::read(disk)?;
        let mut survey = Self {
            store: marker.reached().map(|reached| reached.store),
            marker,
            listed,
            segments: Vec::new(),
            begun: None,
            superfluous: Vec::new(),
            next: 1,
            clock: None,
            damages: Vec::new(),
        };
        let heads = survey.heads(disk)?;
        let Some(newest) = survey.newest(disk, &heads)? else {
            survey.without_segments(disk)?;
            return Ok(survey);
        };
        let oldest = survey.oldest(disk, &heads, newest)?;
        survey.walk_all(disk, &heads, oldest..=newest, visit)?;
        if survey.is_unused() {
            survey.segments.clear();
            survey.begun = Some(newest);
        } else {
            survey.compare_with_marker(disk, newest);
        }
        Ok(survey)
    }

    /// Whether no commit ever returned: there is nothing that could have been lost.
    pub(super) fn is_new(&self) -> bool {
        self.segments.is_empty() && self.damages.is_empty()
    }

    fn reached(&self) -> Option<Reached> {
        self.marker.reached()
    }

    fn damaged<D: Disk>(&mut self, disk: &D, sequence: u32, offset: usize, what: String) {
        self.damages.push(Damage { file: disk.file_name(sequence), offset: offset as u64, what });
    }

    /// The headers of all segments; the newest header has the store's id, if the marker hasn't.
    fn heads<D: Disk>(&mut self, disk: &mut D) -> Result<BTreeMap<u32, Head>, StoreError> {
        let mut heads = BTreeMap::new();
        for &sequence in self.listed.iter().rev() {
            let head = match header(disk, sequence)? {
                Some(header) if header.sequence != sequence => Head::Lost,
                Some(header) if *self.store.get_or_insert(header.store) != header.store => {
                    Head::Foreign(header.store)
                }
                Some(header) => Head::Sound(header),
                None => Head::Lost,
            };
            heads.insert(sequence, head);
        }
        Ok(heads)
    }

    /// The newest segment that may have frames. One without a header may follow it: the one that was being begun.
    fn newest<D: Disk>(
        &mut self,
        disk: &mut D,
        heads: &BTreeMap<u32, Head>,
    ) -> Result<Option<u32>, StoreError> {
        for (&sequence, head) in heads.iter().rev() {
            match head {
                Head::Sound(_) => return Ok(Some(sequence)),
                Head::Foreign(store) => self.damaged(disk, sequence, 0, foreign(*store)),
                Head::Lost if self.begun.is_none() && self.is_being_begun(disk, sequence)? => {
                    self.begun = Some(sequence);
                }
                Head::Lost => return Ok(Some(sequence)),
            }
        }
        Ok(None)
    }

    /// Whether a segment without a header is the one that was being begun: then it has no frame either.
    fn is_being_begun<D: Disk>(&self, disk: &mut D, sequence: u32) -> Result<bool, StoreError> {
        match self.reached() {
            Some(reached) if Some(sequence) != reached.segment.checked_add(1) => return Ok(false),
            Some(_) => {}
            // A log of format 1, whose newest segment has a header; or no log yet.
            None if self.store.is_none() && self.listed != [1] => return Ok(false),
            None => {}
        }
        let octets = read_all(disk, sequence, u32::MAX)?;
        Ok(match self.store {
            Some(store) => Frame::first_later(&octets, FRAMES, None, &Seal::new(store, sequence)).is_none(),
            None => octets.iter().skip(FRAMES).all(|octet| *octet == 0),
        })
    }

    /// There is no segment with a commit: has there ever been one?
    fn without_segments<D: Disk>(&mut self, disk: &mut D) -> Result<(), StoreError> {
        if let Some(reached) = self.reached().filter(|reached| reached.segment > 0) {
            let what = format!(
                "segments up to {} were begun, and commits up to {} made: none is there any more",
                reached.segment, reached.number
            );
            self.damaged(disk, MARKER, 0, what);
        } else if self.listed.is_empty() && self.marker == marker::Found::Absent && disk.was_used() {
            let what = "there is the lock of a store, and nothing else of it".to_owned();
            self.damages.push(Damage { file: String::new(), offset: 0, what });
        }
        Ok(())
    }

    /// The oldest segment that is needed, by the last commit.
    fn oldest<D: Disk>(
        &self,
        disk: &mut D,
        heads: &BTreeMap<u32, Head>,
        newest: u32,
    ) -> Result<u32, StoreError> {
        for (&sequence, head) in heads.range(..=newest).rev() {
            let (size, oldest) = match head {
                Head::Foreign(_) => continue,
                Head::Sound(header) => (header.size, Some(header.oldest)),
                Head::Lost => (None, None),
            };
            let Some(store) = self.store else { break };
            let octets = read_all(disk, sequence, size.unwrap_or(u32::MAX))?;
            let first = if let Head::Sound(header) = head { Some(header.first) } else { None };
            let walked = walk(&octets, store, sequence, first, &mut |_, _| Ok(()));
            if let Some(oldest) = walked.oldest.or(oldest) {
                return Ok(oldest);
            }
        }
        Ok(newest)
    }

    fn walk_all<D: Disk>(
        &mut self,
        disk: &mut D,
        heads: &BTreeMap<u32, Head>,
        needed: std::ops::RangeInclusive<u32>,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        let (oldest, newest) = (*needed.start(), *needed.end());
        let older = heads.range(..oldest).filter(|(_, head)| !matches!(head, Head::Foreign(_)));
        self.superfluous = older.map(|(sequence, _)| *sequence).collect();
        let mut expected = None;
        let mut due = oldest;
        for (&sequence, head) in heads.range(needed) {
            if sequence > due {
                self.damaged(disk, due, 0, missing(due, sequence));
                expected = None;
            }
            due = sequence.saturating_add(1);
            self.walk_one(disk, sequence, *head, &mut expected, visit)?;
        }
        self.next = expected.unwrap_or(1);
        let reached = self.reached().map_or(0, |reached| reached.segment);
        if reached > newest && self.listed.iter().all(|listed| *listed <= newest) {
            self.damaged(disk, due, 0, missing(due, reached.saturating_add(1)));
        }
        Ok(())
    }

    /// Goes through the frames of one segment; the next commit is to have the number `expected`.
    fn walk_one<D: Disk>(
        &mut self,
        disk: &mut D,
        sequence: u32,
        head: Head,
        expected: &mut Option<u64>,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        let header = match head {
            Head::Sound(header) => Some(header),
            Head::Lost => {
                self.damaged(disk, sequence, 0, "it has lost its header".to_owned());
                None
            }
            Head::Foreign(store) => {
                self.damaged(disk, sequence, 0, foreign(store));
                return Ok(());
            }
        };
        let there = size(disk, sequence)?;
        let written = match header.and_then(|header| header.size) {
            Some(written) => u64::from(written),
            // Every segment was at least that long.
            None => there.max(disk.segment_size().into()),
        };
        let Ok(size) = u32::try_from(written.min(there)) else {
            self.damaged(disk, sequence, 0, "it is larger than any segment was made".to_owned());
            return Ok(());
        };
        if there < written {
            let what = format!("it ends here, and was written with {written} octets");
            self.damaged(disk, sequence, size as usize, what);
        }
        match (header.map(|header| header.first), *expected) {
            (Some(first), Some(due)) if first != due => {
                let before = self.segments.last();
                let (at, before) = before.map_or((0, sequence), |before| (before.end, before.sequence));
                self.damaged(disk, before, at, commits_missing(due, first));
                *expected = Some(first);
            }
            (Some(first), _) => *expected = Some(first),
            (None, _) => {}
        }
        let Some(store) = self.store else { return Ok(()) };
        let octets = read_all(disk, sequence, size)?;
        let walked = walk(&octets, store, sequence, *expected, visit);
        for (at, what) in walked.unsound {
            self.damaged(disk, sequence, at, what);
        }
        self.clock = walked.clock.or(self.clock);
        *expected = walked.next;
        let (end, last, commits) = (walked.end, walked.last, walked.commits);
        self.segments.push(Segment { sequence, size, header, end, last, commits });
        Ok(())
    }

    /// Whether the first segment of a store was begun, and then nothing happened.
    fn is_unused(&self) -> bool {
        let [only] = &self.segments[..] else { return false };
        only.sequence == 1
            && only.commits.is_none()
            && self.damages.is_empty()
            && self.reached().is_none_or(|reached| reached.number == 0)
    }

    /// Whether the log goes as far as the marker says.
    fn compare_with_marker<D: Disk>(&mut self, disk: &D, newest: u32) {
        let header = self.segments.last().and_then(|last| last.header);
        // Format 1 had none.
        let is_to_be = header.is_none_or(|header| header.size.is_some());
        match self.reached() {
            Some(reached) if reached.number >= self.next => {
                let end = self.segments.last().map_or(0, |last| last.end);
                self.damaged(disk, newest, end, commits_missing(self.next, reached.number.saturating_add(1)));
            }
            None if is_to_be => {
                let what = "what told how far the store had come is not there, or blank: the newest of it may be missing";
                self.damaged(disk, MARKER, 0, what.to_owned());
            }
            _ => {}
        }
    }
}

/// The findings on the frames of a segment.
struct Walked {
    /// The number of the commit that would be next.
    next: Option<u64>,
    end: usize,
    last: Option<usize>,
    commits: Option<(u64, u64)>,
    oldest: Option<u32>,
    clock: Option<Clock>,
    /// The places of octets that were once durable and are wrong, with the fault.
    unsound: Vec<(usize, String)>,
}

/// Goes through the frames of a segment, past what does not check if a later commit does.
fn walk(octets: &[u8], store: StoreId, sequence: u32, first: Option<u64>, visit: Visit<'_>) -> Walked {
    let seal = Seal::new(store, sequence);
    let mut walked = Walked {
        next: first,
        end: FRAMES,
        last: None,
        commits: None,
        oldest: None,
        clock: None,
        unsound: Vec::new(),
    };
    loop {
        let at = walked.end;
        let here = Frame::at(octets, at, &seal).filter(|frame| frame.oldest <= sequence);
        let sound = here.filter(|frame| walked.next.is_none_or(|next| next == frame.number));
        let frame = match sound {
            Some(frame) => frame,
            None => {
                let before = walked.next.map(|next| next.saturating_sub(1));
                let later = Frame::first_later(octets, at, before, &seal);
                let Some(later) = later.filter(|later| later.oldest <= sequence) else {
                    if claims_more(octets, at, walked.next) {
                        let what = "the commit that begins here goes on beyond the end".to_owned();
                        walked.unsound.push((at, what));
                    }
                    return walked;
                };
                let what = match walked.next {
                    Some(next) if next < later.number => commits_missing(next, later.number),
                    _ => format!("this does not check, and commit {} follows it", later.number),
                };
                // Without a header nothing tells where the first is to begin.
                if walked.next.is_some() || at != FRAMES || later.start != FRAMES {
                    walked.unsound.push((at, what));
                }
                later
            }
        };
        if visit(sequence, &frame).is_err() {
            walked.unsound.push((at, format!("the entries of commit {} do not fill it", frame.number)));
        }
        walked.next = frame.number.checked_add(1);
        walked.end = frame.end;
        walked.last = Some(frame.start);
        walked.commits = Some((walked.commits.map_or(frame.number, |(first, _)| first), frame.number));
        walked.oldest = Some(frame.oldest);
        walked.clock = Some(frame.clock);
    }
}

/// Whether the next commit begins here and is longer than the rest of the segment, which had room for it.
fn claims_more(octets: &[u8], at: usize, next: Option<u64>) -> bool {
    let Some(rest) = octets.get(at..) else { return false };
    let number = Frame::unchecked(rest, at).map(|frame| frame.number);
    number.is_some() && number == next && Frame::length(rest).is_none_or(|length| length > rest.len())
}

fn missing(first: u32, end: u32) -> String {
    match end.saturating_sub(1) {
        last if last <= first => "it is missing".to_owned(),
        last => format!("it is missing, and all up to segment {last}"),
    }
}

fn commits_missing(first: u64, end: u64) -> String {
    match end.saturating_sub(1) {
        last if last <= first => format!("commit {first} was made, and is not there, or does not check"),
        last => format!("commits {first} to {last} were made, and are not there, or do not check"),
    }
}

fn foreign(store: StoreId) -> String {
    format!("it belongs to another store ({store})")
}

fn header<D: Disk>(disk: &mut D, sequence: u32) -> Result<Option<Header>, StoreError> {
    let octets = read_all(disk, sequence, HEADER_PAGE)?;
    match Header::decode(&octets) {
        Ok(header) => Ok(Some(header)),
        Err(NoHeader::Blank) => Ok(None),
        Err(NoHeader::Newer(found)) => {
            Err(StoreError::Newer { dir: disk.path().to_owned(), found, known: FORMAT })
        }
    }
}

fn size<D: Disk>(disk: &mut D, sequence: u32) -> Result<u64, StoreError> {
    disk.size(sequence).map_err(|error| failed(disk, "reading", error))
}

/// Reads a segment, or its first `most` octets.
fn read_all<D: Disk>(disk: &mut D, sequence: u32, most: u32) -> Result<Vec<u8>, StoreError> {
    let there = u32::try_from(size(disk, sequence)?).unwrap_or(u32::MAX);
    let mut octets = vec![0; there.min(most) as usize];
    disk.read(sequence, 0, &mut octets).map_err(|error| failed(disk, "reading", error))?;
    Ok(octets)
}
