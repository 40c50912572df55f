//! The log's directory: a file is named by the number of its first line; the oldest goes when there is too much.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::Deserialize;

use super::Bounds;
use crate::files::{self, ShortLines, Within};

/// A whole is so many files at most.
const FILES: u64 = 8;
/// So many lines at most are not known to be on disk.
const UNSYNCED: u64 = 1 << 16;
/// More numbers than may be given before what they were given to is on disk: a machine that ends without warning takes
/// some of them along, and they are not given again.
const SKIPPED: u64 = 2 * UNSYNCED;
/// The file with the kernel's id of the boot under which the directory was written.
const BOOT: &str = "boot";
const LONGEST_BOOT: u64 = 4096;
/// No line that was written here is nearly as long.
const LONGEST_LINE: usize = 1 << 20;

/// The files that are written.
#[derive(Debug)]
pub(super) struct Files {
    directory: PathBuf,
    bounds: Bounds,
    boot: String,
    /// The number of the next line; none until the directory was seen.
    next: Option<u64>,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    file: File,
    path: PathBuf,
    begun: Timestamp,
    length: u64,
    unsynced: u64,
}

/// The fields of a line that are read.
#[derive(Debug, Deserialize)]
pub(super) struct Line<'l> {
    pub(super) number: u64,
    time: Timestamp,
    what: &'l str,
}

/// The end of a file.
#[derive(Debug, Default)]
struct End {
    length: u64,
    begun: Option<Timestamp>,
    last: Option<u64>,
    is_stop: bool,
}

impl Files {
    pub(super) fn of(directory: PathBuf, bounds: Bounds, boot: String) -> Self {
        Self { directory, bounds, boot, next: None, current: None }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The number that the next line has.
    pub(super) const fn next(&self) -> Option<u64> {
        self.next
    }

    /// Makes sure that lines can be written. Returns how many numbers were left out, since they may have been given
    /// to events that are not on disk; none if all given ones are.
    ///
    /// # Errors
    /// When they can't.
    pub(super) fn open(&mut self) -> io::Result<Option<u64>> {
        if let Some(current) = &self.current {
            let (held, named) = (current.file.metadata()?, fs::metadata(&current.path).ok());
            if named.is_some_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino())) {
                return Ok(None);
            }
            self.current = None;
        }
        if self.next.is_none() {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        }
        let Some((_, path)) = segments(&self.directory)?.pop() else {
            let next = self.next.unwrap_or(1);
            self.mark()?;
            self.next = Some(next);
            return Ok(None);
        };
        let mut file = files::open_as(&path, OpenOptions::new().read(true).append(true))?;
        let end = end_of(&mut file)?;
        file.set_len(end.length)?;
        let first = number_of(&path).unwrap_or(1);
        let after = end.last.map_or(first, |last| last.saturating_add(1));
        let others = files::text(&self.directory.join(BOOT), LONGEST_BOOT).ok();
        let is_sure = self.next.is_some() || end.is_stop || others.as_deref() == Some(self.boot.as_str());
        self.mark()?;
        let skipped = (!is_sure).then_some(SKIPPED);
        self.next = Some(self.next.unwrap_or(after).max(after).saturating_add(skipped.unwrap_or(0)));
        let begun = end.begun.unwrap_or_else(Timestamp::now);
        self.current = Some(Current { file, path, begun, length: end.length, unsynced: 0 });
        Ok(skipped)
    }

    /// Adds whole lines, the first with the number [`next`](Self::next): all or none.
    ///
    /// # Errors
    /// When they can't be written. Then none of them is there.
    pub(super) fn append(&mut self, octets: &[u8], lines: u64) -> io::Result<()> {
        let next = self.next.ok_or(io::ErrorKind::NotFound)?;
        if self.current.as_ref().is_none_or(|current| self.is_full(current, octets.len() as u64)) {
            self.begin(next, octets.len() as u64)?;
        }
        let Some(current) = &mut self.current else { return Err(io::ErrorKind::NotFound.into()) };
        if let Err(error) = current.file.write_all(octets) {
            let _ = current.file.set_len(current.length);
            self.current = None;
            return Err(error);
        }
        current.length = current.length.saturating_add(octets.len() as u64);
        current.unsynced = current.unsynced.saturating_add(lines);
        self.next = Some(next.saturating_add(lines));
        if current.unsynced >= UNSYNCED { self.sync() } else { Ok(()) }
    }

    /// Has all that was written on disk.
    ///
    /// # Errors
    /// When it may not be.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        match &mut self.current {
            Some(current) if current.unsynced > 0 => {
                current.file.sync_data()?;
                current.unsynced = 0;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Removes what is too old.
    ///
    /// # Errors
    /// When it can't be.
    pub(super) fn forget(&self) -> io::Result<()> {
        let mut all = segments(&self.directory)?;
        all.pop();
        let keep = Duration::from_secs(self.bounds.keep.into());
        for (_, path) in all {
            let written = fs::metadata(&path)?.modified()?;
            if SystemTime::now().duration_since(written).is_ok_and(|age| age > keep) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn part(&self) -> u64 {
        self.bounds.size / FILES
    }

    fn is_full(&self, current: &Current, more: u64) -> bool {
        let age = Timestamp::now().duration_since(current.begun).as_secs();
        let is_old = age >= i64::from(self.bounds.keep) / 8;
        current.length > 0 && (current.length.saturating_add(more) > self.part() || is_old)
    }

    /// Begins a file, and removes the oldest until there is room for it.
    fn begin(&mut self, first: u64, more: u64) -> io::Result<()> {
        self.sync()?;
        self.current = None;
        let mut all = segments(&self.directory)?.into_iter();
        let mut taken = 0_u64;
        for (_, path) in all.clone() {
            taken = taken.saturating_add(fs::metadata(path)?.len());
        }
        let room = self.bounds.size.saturating_sub(self.part().max(more));
        while taken > room
            && let Some((_, path)) = all.next()
        {
            taken = taken.saturating_sub(fs::metadata(&path)?.len());
            fs::remove_file(path)?;
        }
        let path = self.directory.join(format!("{first:020}.jsonl"));
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
        File::open(&self.directory)?.sync_all()?;
        self.current = Some(Current { file, path, begun: Timestamp::now(), length: 0, unsynced: 0 });
        Ok(())
    }

    /// Says that what is written from here on is written under this boot.
    fn mark(&self) -> io::Result<()> {
        let path = self.directory.join(BOOT);
        if files::text(&path, LONGEST_BOOT).is_ok_and(|boot| boot == self.boot) {
            return Ok(());
        }
        let mut file = files::create(&path)?;
        file.write_all(self.boot.as_bytes())?;
        file.sync_all()
    }
}

/// The files that are there, with the numbers of their first lines, in order.
///
/// # Errors
/// When the directory can't be read.
pub(super) fn segments(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        found.extend(number_of(&path).map(|first| (first, path)));
    }
    found.sort_unstable();
    Ok(found)
}

fn number_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_suffix(".jsonl")?.parse().ok()
}

/// Where the last whole line ends, and which it is.
fn end_of(file: &mut File) -> io::Result<End> {
    let mut lines = BufReader::new(ShortLines::of(Within::of(file, files::LIST), LONGEST_LINE));
    let (mut line, mut end) = (Vec::new(), End::default());
    loop {
        line.clear();
        lines.read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            return Ok(end);
        }
        end.length = end.length.saturating_add(line.len() as u64);
        if let Ok(line) = serde_json::from_slice::<Line<'_>>(&line) {
            end.begun = end.begun.or(Some(line.time));
            end.last = end.last.max(Some(line.number));
            end.is_stop = line.what == "stopped";
        }
    }
}
