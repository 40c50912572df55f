//! The store on a simulated disk, for tests and simulation: the same log, on a disk that keeps no more than it must.
#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "no octet here comes from a real disk; a panic is what a test wants"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dhcp_ebpf::lease::BootSecs;

use super::clock::BootId;
use super::disk::Disk;
use super::embedded::file_name;
use super::log::Log;
use super::marker::MARKER;
use super::{Expected, StoreError, StoreId};

/// The unit of a disk's writes: of a larger write any part may be lost.
const SECTOR: usize = 512;

/// A store on a [`MemoryDisk`].
pub type Memory = Log<MemoryDisk>;

impl Memory {
    /// Opens the store on `disk`, or makes one with the id that the disk was given.
    ///
    /// # Errors
    /// As [`StoreError`] says; a disk that was not told to fail gives none.
    pub fn open(disk: &MemoryDisk, boot: BootId, now: BootSecs) -> Result<Self, StoreError> {
        Self::open_expecting(disk, boot, now, Expected::default())
    }

    /// The same, where something is known of the store already.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_expecting(
        disk: &MemoryDisk,
        boot: BootId,
        now: BootSecs,
        expected: Expected,
    ) -> Result<Self, StoreError> {
        let fresh = StoreId(u128::from(disk.state().random.next()));
        Log::start(disk.clone(), fresh, boot, now, expected)
    }
}

/// A simulated disk. Clones are handles to the same one: one is the store's, one is for those that make it fail.
///
/// What was written and not yet made durable survives a loss of power sector by sector as chance has it, chance being
/// the disk's seed: the same calls give the same losses.
#[derive(Clone, Debug)]
pub struct MemoryDisk {
    segment_size: u32,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    segments: BTreeMap<u32, Segment>,
    random: Random,
    /// In which operation from now the power goes, counting those that change something; `None`: in none.
    power_left: Option<u32>,
    is_full: bool,
    failing_syncs: u32,
}

#[derive(Clone, Debug)]
struct Segment {
    /// The octets that reads see.
    cached: Vec<u8>,
    /// The octets after a loss of power.
    durable: Vec<u8>,
    /// Sectors written and not yet made durable.
    dirty: BTreeSet<usize>,
}

impl MemoryDisk {
    /// An empty disk; `seed` decides every accident on it.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_segment_size(seed, 4 << 20)
    }

    /// An empty disk with segments of `segment_size` octets: small ones are gone through, and reused, sooner.
    #[must_use]
    pub fn with_segment_size(seed: u64, segment_size: u32) -> Self {
        let state = State {
            segments: BTreeMap::new(),
            random: Random(seed),
            power_left: None,
            is_full: false,
            failing_syncs: 0,
        };
        Self { segment_size, state: Arc::new(Mutex::new(state)) }
    }

    /// The power goes in the course of the `operations`th operation from now that changes something; 0 is at once.
    ///
    /// That one happens or not, or in part; it and all after it fail.
    pub fn cut_power_after(&self, operations: u32) {
        self.state().power_left = Some(operations);
    }

    /// The power goes now, if it has not, and comes back: octets that were not durable are lost at random.
    pub fn restore_power(&self) {
        let mut state = self.state();
        let State { segments, random, power_left, .. } = &mut *state;
        *power_left = None;
        for segment in segments.values_mut() {
            for sector in std::mem::take(&mut segment.dirty) {
                if random.coin() {
                    segment.make_durable(sector);
                }
            }
            segment.cached.clone_from(&segment.durable);
        }
    }

    /// Whether there is no space for another segment.
    pub fn set_full(&self, is_full: bool) {
        self.state().is_full = is_full;
    }

    /// Makes the next `count` calls to make something durable fail.
    ///
    /// As on Linux, their octets stay readable and count as written, without being durable.
    pub fn fail_syncs(&self, count: u32) {
        self.state().failing_syncs = count;
    }

    /// Turns one durable bit over, `at` octets into the octets of all segments one after another.
    pub fn damage(&self, at: usize) {
        let mut at = at;
        for segment in self.state().segments.values_mut() {
            if let (Some(cached), Some(durable)) = (segment.cached.get_mut(at), segment.durable.get_mut(at)) {
                *cached ^= 1;
                *durable ^= 1;
                return;
            }
            at -= segment.durable.len();
        }
    }

    /// Changes what is on the disk as `change` likes: the durable octets of each segment, and with the number 0 of the
    /// marker.
    pub fn meddle(&self, change: impl FnOnce(&mut BTreeMap<u32, Vec<u8>>)) {
        let mut state = self.state();
        let all = std::mem::take(&mut state.segments).into_iter();
        let mut octets = all.map(|(sequence, segment)| (sequence, segment.durable)).collect();
        change(&mut octets);
        state.segments =
            octets.into_iter().map(|(sequence, octets)| (sequence, Segment::of(octets))).collect();
    }

    /// How many octets all segments have.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state().segments.values().map(|segment| segment.durable.len()).sum()
    }

    /// Whether there are no segments.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What a test that panicked left behind is as good as what a crash leaves behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for MemoryDisk {
    fn path(&self) -> &Path {
        Path::new("memory")
    }

    fn segment_size(&self) -> u32 {
        self.segment_size
    }

    fn list(&mut self) -> io::Result<Vec<u32>> {
        let state = self.state();
        state.powered()?;
        Ok(state.segments.keys().copied().filter(|sequence| *sequence != MARKER).collect())
    }

    fn file_name(&self, sequence: u32) -> String {
        file_name(sequence)
    }

    fn has_marker(&mut self) -> io::Result<bool> {
        let state = self.state();
        state.powered()?;
        Ok(state.segments.contains_key(&MARKER))
    }

    fn set_aside(&mut self, sequence: u32) -> io::Result<()> {
        self.remove(sequence)
    }

    fn create(&mut self, sequence: u32, size: u32) -> io::Result<()> {
        let mut state = self.state();
        if state.is_full {
            return Err(ErrorKind::StorageFull.into());
        }
        let segment = Segment::of(vec![0; size as usize]);
        state.change_directory(|segments| {
            segments.insert(sequence, segment);
        })
    }

    fn rename(&mut self, from: u32, to: u32) -> io::Result<()> {
        let mut state = self.state();
        state.segment(from)?;
        state.change_directory(|segments| {
            if let Some(segment) = segments.remove(&from) {
                segments.insert(to, segment);
            }
        })
    }

    fn remove(&mut self, sequence: u32) -> io::Result<()> {
        let mut state = self.state();
        state.segment(sequence)?;
        state.change_directory(|segments| {
            segments.remove(&sequence);
        })
    }

    fn size(&mut self, sequence: u32) -> io::Result<u64> {
        Ok(self.state().segment(sequence)?.cached.len() as u64)
    }

    fn read(&mut self, sequence: u32, offset: u32, octets: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        let cached = &state.segment(sequence)?.cached;
        let found = cached.get(offset as usize..).and_then(|rest| rest.get(..octets.len()));
        octets.copy_from_slice(found.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write(&mut self, sequence: u32, offset: u32, octets: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.powered()?;
        let is_cut = state.spend_power().is_err();
        let State { segments, random, .. } = &mut *state;
        let segment = segments.get_mut(&sequence).ok_or(ErrorKind::NotFound)?;
        let offset = offset as usize;
        let end = offset + octets.len();
        for sector in offset / SECTOR..end.div_ceil(SECTOR) {
            // The system writes when it likes: an earlier state may have got there.
            if !segment.dirty.insert(sector) && random.coin() {
                segment.make_durable(sector);
            }
        }
        segment.cached.get_mut(offset..end).ok_or(ErrorKind::UnexpectedEof)?.copy_from_slice(octets);
        if is_cut { Err(no_power()) } else { Ok(()) }
    }

    fn sync(&mut self, sequence: u32) -> io::Result<()> {
        let mut state = self.state();
        state.spend_power()?;
        let fails = state.failing_syncs > 0;
        state.failing_syncs = state.failing_syncs.saturating_sub(1);
        let State { segments, random, .. } = &mut *state;
        let segment = segments.get_mut(&sequence).ok_or(ErrorKind::NotFound)?;
        for sector in std::mem::take(&mut segment.dirty) {
            if !fails || random.coin() {
                segment.make_durable(sector);
            }
        }
        if fails { Err(io::Error::other("a simulated disk error")) } else { Ok(()) }
    }
}

impl State {
    fn powered(&self) -> io::Result<()> {
        if self.power_left == Some(0) { Err(no_power()) } else { Ok(()) }
    }

    /// Counts an operation that changes something; an error if the power fails in it.
    fn spend_power(&mut self) -> io::Result<()> {
        self.powered()?;
        self.power_left = self.power_left.map(|left| left - 1);
        self.powered()
    }

    fn segment(&mut self, sequence: u32) -> io::Result<&mut Segment> {
        self.powered()?;
        self.segments.get_mut(&sequence).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn change_directory(&mut self, change: impl FnOnce(&mut BTreeMap<u32, Segment>)) -> io::Result<()> {
        self.powered()?;
        let outcome = self.spend_power();
        if outcome.is_ok() || self.random.coin() {
            change(&mut self.segments);
        }
        outcome
    }
}

impl Segment {
    /// All of it durable.
    fn of(octets: Vec<u8>) -> Self {
        Self { cached: octets.clone(), durable: octets, dirty: BTreeSet::new() }
    }

    fn make_durable(&mut self, sector: usize) {
        let end = ((sector + 1) * SECTOR).min(self.cached.len());
        self.durable[sector * SECTOR..end].copy_from_slice(&self.cached[sector * SECTOR..end]);
    }
}

fn no_power() -> io::Error {
    io::Error::other("the simulated disk has no power")
}

/// Reproducible chance (splitmix64).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 0
    }
}
