//! A disk that keeps no more than it must: what was not made durable is lost, torn or reordered when the power goes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dhcp_user::store::Disk;
use fuzz::chance::Chance;

/// What a disk writes as one: of a larger write any part may be lost.
const SECTOR: usize = 512;
/// Small segments are gone through, and used again, soon.
const SEGMENT: u32 = 32 << 10;
/// The number of the marker.
const MARKER: u32 = 0;

/// The disk itself.
#[derive(Clone, Debug)]
pub struct Medium(Arc<Mutex<State>>);

/// What a daemon has of it. When the daemon is killed nothing more comes by it.
#[derive(Debug)]
pub struct Handle {
    medium: Medium,
    life: u64,
}

#[derive(Debug)]
struct State {
    segments: BTreeMap<u32, Segment>,
    chance: Chance<'static>,
    /// Which daemon has it: handles of others are dead.
    life: u64,
    is_full: bool,
    failing_syncs: u32,
    /// How many operations that change something there may still be before the power goes.
    power: Option<u32>,
    /// How many calls have made something durable.
    syncs: u64,
}

#[derive(Clone, Debug)]
struct Segment {
    /// What reads see.
    cached: Vec<u8>,
    /// What is left after a loss of power.
    durable: Vec<u8>,
    /// Sectors written and not made durable.
    dirty: BTreeSet<usize>,
    /// What was in a sector before it was made durable last, and by which call that was.
    former: BTreeMap<usize, (u64, Vec<u8>)>,
}

/// What becomes of octets at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A bit is another.
    Rot,
    /// A write went elsewhere: it is not where it belongs, and is where another belongs.
    Misdirected,
    /// A write never came: what was there before still is.
    Lost,
    /// A file ends early.
    Short,
}

impl Damage {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rot, Self::Misdirected, Self::Lost, Self::Short];
}

impl Medium {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            segments: BTreeMap::new(),
            chance: Chance::seeded(0),
            life: 0,
            is_full: false,
            failing_syncs: 0,
            power: None,
            syncs: 0,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens from here on is drawn from this.
    pub fn draw_from(&self, seed: u64) {
        self.state().chance = Chance::seeded(seed);
    }

    /// For a daemon that starts now. Who had it before has it no more.
    #[must_use]
    pub fn open(&self) -> Handle {
        let mut state = self.state();
        state.life += 1;
        Handle { medium: self.clone(), life: state.life }
    }

    /// Whoever has it has it no more: what was written stays.
    pub fn kill(&self) {
        self.state().life += 1;
    }

    /// The power goes after so many more operations that change something: none of them succeeds then.
    pub fn cut_power_after(&self, operations: u32) {
        self.state().power = Some(operations);
    }

    /// Whether the power has gone.
    #[must_use]
    pub fn is_dark(&self) -> bool {
        self.state().power == Some(0)
    }

    /// The power goes, and comes back: of what was not durable each sector is there or not.
    pub fn cut_power(&self) {
        let mut state = self.state();
        state.life += 1;
        state.power = None;
        let State { segments, chance, syncs, .. } = &mut *state;
        for segment in segments.values_mut() {
            for sector in std::mem::take(&mut segment.dirty) {
                if chance.one_in(2) {
                    segment.settle(sector, *syncs);
                }
            }
            segment.cached.clone_from(&segment.durable);
        }
    }

    /// Whether there is no room for more segments.
    pub fn set_full(&self, is_full: bool) {
        self.state().is_full = is_full;
    }

    /// So many calls that make something durable fail; what they were for is taken for durable all the same, as on Linux.
    pub fn fail_syncs(&self, count: u32) {
        self.state().failing_syncs = count;
    }

    /// Damages something that was durable before the last few commits. What was damaged, if there is anything.
    pub fn damage(&self, how: Damage, chance: &mut Chance<'_>) -> Option<String> {
        let mut state = self.state();
        let settled = state.syncs.saturating_sub(6);
        let known: Vec<(u32, usize)> = state
            .segments
            .iter()
            .filter(|(sequence, _)| **sequence != MARKER)
            .flat_map(|(sequence, segment)| {
                let old = segment.former.iter().filter(|(sector, (when, _))| {
                    *when < settled && (**sector + 1) * SECTOR <= segment.durable.len()
                });
                old.map(|(sector, _)| (*sequence, *sector))
            })
            .collect();
        let (sequence, sector) = *known.get(chance.below(known.len()))?;
        let (other, elsewhere) = *known.get(chance.below(known.len()))?;
        let strays = state.segments[&other].sector(elsewhere).to_vec();
        let segment = state.segments.get_mut(&sequence)?;
        let (_, before) = segment.former.get(&sector).cloned()?;
        let at = sector * SECTOR;
        match how {
            Damage::Rot => segment.durable[at + chance.below(SECTOR)] ^= 1 << chance.below(8),
            Damage::Lost => segment.durable[at..at + SECTOR].copy_from_slice(&before),
            Damage::Misdirected => {
                segment.durable[at..at + SECTOR].copy_from_slice(&strays);
                let origin = state.segments.get_mut(&other)?;
                let (_, before) = origin.former.get(&elsewhere).cloned()?;
                origin.durable[elsewhere * SECTOR..][..SECTOR].copy_from_slice(&before);
                origin.cached.clone_from(&origin.durable);
            }
            Damage::Short => segment.durable.truncate(at),
        }
        let segment = state.segments.get_mut(&sequence)?;
        segment.cached.clone_from(&segment.durable);
        segment.dirty.clear();
        Some(format!("{how:?} of segment {sequence}, sector {sector}"))
    }
}

impl Default for Medium {
    fn default() -> Self {
        Self::new()
    }
}

impl Segment {
    fn of(octets: Vec<u8>) -> Self {
        Self { cached: octets.clone(), durable: octets, dirty: BTreeSet::new(), former: BTreeMap::new() }
    }

    fn sector(&self, sector: usize) -> &[u8] {
        &self.durable[sector * SECTOR..(sector + 1) * SECTOR]
    }

    /// Makes a sector durable.
    fn settle(&mut self, sector: usize, sync: u64) {
        let range = sector * SECTOR..((sector + 1) * SECTOR).min(self.cached.len());
        if range.len() == SECTOR {
            self.former.insert(sector, (sync, self.durable[range.clone()].to_vec()));
        }
        self.durable[range.clone()].copy_from_slice(&self.cached[range]);
    }
}

impl State {
    /// Counts an operation that changes something. Whether it is cut short.
    fn spend(&mut self) -> io::Result<bool> {
        match &mut self.power {
            Some(0) => Err(no_power()),
            Some(left) => {
                *left -= 1;
                Ok(*left == 0)
            }
            None => Ok(false),
        }
    }

    fn segment(&mut self, sequence: u32) -> io::Result<&mut Segment> {
        self.segments.get_mut(&sequence).ok_or_else(|| ErrorKind::NotFound.into())
    }
}

fn no_power() -> io::Error {
    io::Error::other("there is no power")
}

impl Handle {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.medium.state();
        if state.life != self.life {
            return Err(io::Error::other("this daemon was killed"));
        }
        if state.power == Some(0) {
            return Err(no_power());
        }
        Ok(state)
    }

    fn change_directory(&self, change: impl FnOnce(&mut BTreeMap<u32, Segment>)) -> io::Result<()> {
        let mut state = self.state()?;
        let is_cut = state.spend()?;
        if !is_cut || state.chance.one_in(2) {
            change(&mut state.segments);
        }
        if is_cut { Err(no_power()) } else { Ok(()) }
    }
}

impl Disk for Handle {
    fn path(&self) -> &Path {
        Path::new("simulated")
    }

    fn segment_size(&self) -> u32 {
        SEGMENT
    }

    fn list(&mut self) -> io::Result<Vec<u32>> {
        Ok(self.state()?.segments.keys().copied().filter(|sequence| *sequence != MARKER).collect())
    }

    fn create(&mut self, sequence: u32, size: u32) -> io::Result<()> {
        if self.state()?.is_full {
            return Err(ErrorKind::StorageFull.into());
        }
        self.change_directory(|segments| {
            segments.insert(sequence, Segment::of(vec![0; size as usize]));
        })
    }

    fn rename(&mut self, from: u32, to: u32) -> io::Result<()> {
        self.state()?.segment(from)?;
        self.change_directory(|segments| {
            if let Some(segment) = segments.remove(&from) {
                segments.insert(to, segment);
            }
        })
    }

    fn remove(&mut self, sequence: u32) -> io::Result<()> {
        self.state()?.segment(sequence)?;
        self.change_directory(|segments| {
            segments.remove(&sequence);
        })
    }

    fn size(&mut self, sequence: u32) -> io::Result<u64> {
        Ok(self.state()?.segment(sequence)?.cached.len() as u64)
    }

    fn read(&mut self, sequence: u32, offset: u32, octets: &mut [u8]) -> io::Result<()> {
        let mut state = self.state()?;
        let cached = &state.segment(sequence)?.cached;
        let found = cached.get(offset as usize..).and_then(|rest| rest.get(..octets.len()));
        octets.copy_from_slice(found.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write(&mut self, sequence: u32, offset: u32, octets: &[u8]) -> io::Result<()> {
        let mut state = self.state()?;
        let is_cut = state.spend()?;
        let State { segments, chance, syncs, .. } = &mut *state;
        let segment = segments.get_mut(&sequence).ok_or(ErrorKind::NotFound)?;
        let offset = offset as usize;
        let end = offset + octets.len();
        if end > segment.cached.len() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        for sector in offset / SECTOR..end.div_ceil(SECTOR) {
            // The system writes when it likes: an earlier state may have got there.
            if !segment.dirty.insert(sector) && chance.one_in(2) {
                segment.settle(sector, *syncs);
            }
        }
        segment.cached[offset..end].copy_from_slice(octets);
        if is_cut { Err(no_power()) } else { Ok(()) }
    }

    fn file_name(&self, sequence: u32) -> String {
        format!("{sequence:08}.log")
    }

    fn has_marker(&mut self) -> io::Result<bool> {
        Ok(self.state()?.segments.contains_key(&MARKER))
    }

    fn set_aside(&mut self, sequence: u32) -> io::Result<()> {
        self.remove(sequence)
    }

    fn sync(&mut self, sequence: u32) -> io::Result<()> {
        let mut state = self.state()?;
        let is_cut = state.spend()?;
        let fails = state.failing_syncs > 0 || is_cut;
        state.failing_syncs = state.failing_syncs.saturating_sub(1);
        let State { segments, chance, syncs, .. } = &mut *state;
        *syncs += 1;
        let segment = segments.get_mut(&sequence).ok_or(ErrorKind::NotFound)?;
        for sector in std::mem::take(&mut segment.dirty) {
            if !fails || chance.one_in(2) {
                segment.settle(sector, *syncs);
            }
        }
        if fails { Err(io::Error::other("a simulated disk error")) } else { Ok(()) }
    }
}
