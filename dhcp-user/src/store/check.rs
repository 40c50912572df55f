//! Reads the contents and the faults of a store without a change, also beside a running daemon.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::clock::Clock;
use super::disk::Disk;
use super::embedded::{DIRECTORY, LOCK, SEGMENT_SIZE, file_name, list};
use super::error::Damage;
use super::survey::Survey;
use super::{StoreError, StoreId};
use crate::files;

/// How often a store that a daemon has open is looked at before what is wrong is believed: it changes meanwhile.
const LOOKS: usize = 5;

/// The findings on a store.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The directory that it is in.
    pub dir: PathBuf,
    /// The store's id, as far as anything shows it; `None` too if no store was begun.
    pub store: Option<StoreId>,
    /// The process that has it open.
    pub held_by: Option<u32>,
    /// The segments that are needed, the oldest first.
    pub segments: Vec<CheckedSegment>,
    /// How many addresses something is kept for, as far as it is sound.
    pub records: u64,
    /// The number of the last commit that is sound; 0 if there is none.
    pub last_commit: u64,
    /// The clock of that commit.
    pub clock: Option<Clock>,
    /// The damages. Without any the store is sound.
    pub damages: Vec<Damage>,
}

/// A segment that is needed.
#[derive(Clone, Debug)]
pub struct CheckedSegment {
    /// Its file.
    pub file: String,
    /// How many octets it has.
    pub size: u32,
    /// The first and the last commit in it that are sound.
    pub commits: Option<(u64, u64)>,
}

/// Looks at the store in `dir`, a state directory or the store's own.
///
/// # Errors
/// When there is none, it can't be read, or a later version wrote it.
pub fn check(dir: &Path) -> Result<Checked, StoreError> {
    let inner = dir.join(DIRECTORY);
    let dir = if inner.is_dir() { inner } else { dir.to_owned() };
    let mut looks = 1;
    loop {
        let held_by = holder(&dir);
        let found = look(&dir, held_by);
        let is_certain = matches!(&found, Ok(checked) if checked.damages.is_empty());
        if is_certain || held_by.is_none() || looks == LOOKS {
            return found;
        }
        looks = looks.saturating_add(1);
    }
}

fn look(dir: &Path, held_by: Option<u32>) -> Result<Checked, StoreError> {
    let mut files = Files { dir: dir.to_owned() };
    let mut addresses = BTreeSet::new();
    let survey = Survey::of(&mut files, &mut |_, frame| {
        for entry in frame.entries() {
            let entry = entry?;
            match entry.record() {
                Some(_) => addresses.insert(entry.address),
                None => addresses.remove(&entry.address),
            };
        }
        Ok(())
    })?;
    let segments = survey.segments.iter().map(|segment| CheckedSegment {
        file: file_name(segment.sequence),
        size: segment.size,
        commits: segment.commits,
    });
    Ok(Checked {
        dir: dir.to_owned(),
        store: survey.store,
        held_by,
        segments: segments.collect(),
        records: addresses.len() as u64,
        last_commit: survey.next.saturating_sub(1),
        clock: survey.clock,
        damages: survey.damages,
    })
}

/// The process that has a lock, of the directory or the file. To try it would keep a daemon away that starts at this moment.
fn holder(dir: &Path) -> Option<u32> {
    let inode = |path: &Path| fs::metadata(path).map(|there| there.ino().to_string()).ok();
    let inodes = [inode(&dir.join(LOCK)), inode(dir)];
    let locks = fs::read_to_string("/proc/locks").ok()?;
    // 1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let kind = words.next()?;
        let (pid, file) = (words.nth(2)?, words.next()?);
        let inode = file.rsplit(':').next();
        let held = kind == "FLOCK" && inode.is_some() && inodes.iter().any(|ours| ours.as_deref() == inode);
        // Of a process in another namespace the number is 0 or less.
        held.then(|| pid.parse().unwrap_or(0))
    })
}

/// The files of a directory, to be read.
struct Files {
    dir: PathBuf,
}

impl Files {
    fn open(&self, sequence: u32) -> io::Result<File> {
        files::open(&self.dir.join(file_name(sequence)))
    }
}

fn read_only() -> io::Error {
    ErrorKind::ReadOnlyFilesystem.into()
}

impl Disk for Files {
    fn path(&self) -> &Path {
        &self.dir
    }

    fn segment_size(&self) -> u32 {
        SEGMENT_SIZE
    }

    fn list(&mut self) -> io::Result<Vec<u32>> {
        list(&self.dir)
    }

    fn file_name(&self, sequence: u32) -> String {
        file_name(sequence)
    }

    fn has_marker(&mut self) -> io::Result<bool> {
        fs::exists(self.dir.join(file_name(super::marker::MARKER)))
    }

    fn was_used(&self) -> bool {
        fs::metadata(self.dir.join(LOCK)).is_ok_and(|lock| lock.len() > 0)
    }

    fn size(&mut self, sequence: u32) -> io::Result<u64> {
        Ok(self.open(sequence)?.metadata()?.len())
    }

    fn read(&mut self, sequence: u32, offset: u32, octets: &mut [u8]) -> io::Result<()> {
        self.open(sequence)?.read_exact_at(octets, offset.into())
    }

    fn create(&mut self, _: u32, _: u32) -> io::Result<()> {
        Err(read_only())
    }

    fn rename(&mut self, _: u32, _: u32) -> io::Result<()> {
        Err(read_only())
    }

    fn remove(&mut self, _: u32) -> io::Result<()> {
        Err(read_only())
    }

    fn set_aside(&mut self, _: u32) -> io::Result<()> {
        Err(read_only())
    }

    fn write(&mut self, _: u32, _: u32, _: &[u8]) -> io::Result<()> {
        Err(read_only())
    }

    fn sync(&mut self, _: u32) -> io::Result<()> {
        Err(read_only())
    }
}
