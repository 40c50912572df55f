//! The journal's directory: one file is written, the others are compressed, and those that are too old removed.
//!
//! A file's name has its number, by which files are in order, and when it was begun. Opening the directory repairs
//! what a crash has left: it removes a line that was cut short, and compresses a file that was not.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use jiff::{SignedDuration, Timestamp};

use crate::config;
use crate::files;

/// A line is shorter.
const TAIL: u64 = 64 << 10;

/// The files that are written.
#[derive(Debug)]
pub(super) struct Files {
    settings: config::Journal,
    /// Whether the directory was there once: if it goes away nothing else is written in its place.
    opened: bool,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    file: File,
    path: PathBuf,
    begun: Timestamp,
    length: u64,
}

/// A file that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) path: PathBuf,
    pub(super) begun: Timestamp,
    number: u64,
    compressed: bool,
}

impl Files {
    pub(super) fn of(settings: config::Journal) -> Self {
        Self { settings, opened: false, current: None }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.settings.directory
    }

    /// Sees to it that there is a file to write to, the same as before if it is still there.
    ///
    /// # Errors
    /// When there is none, and none can be made.
    pub(super) fn open(&mut self, now: Timestamp) -> io::Result<()> {
        if let Some(current) = &self.current {
            let (held, named) = (current.file.metadata()?, fs::metadata(&current.path).ok());
            if named.is_some_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino())) {
                return Ok(());
            }
            self.current = None;
        }
        if !self.opened {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.settings.directory)?;
        }
        let parts = parts(&self.settings.directory)?;
        self.current = Some(match parts.last() {
            Some(part) if !part.compressed => Current::resume(part)?,
            last => Current::create(
                &self.settings.directory,
                last.map_or(1, |last| last.number.saturating_add(1)),
                now,
            )?,
        });
        self.opened = true;
        self.compress_and_remove(now)
    }

    /// Adds whole lines, all or none.
    ///
    /// # Errors
    /// When they can't be written. They are not there then.
    pub(super) fn append(&mut self, now: Timestamp, lines: &[u8]) -> io::Result<()> {
        self.open(now)?;
        if self.current.as_ref().is_some_and(|current| self.is_full(current, now)) {
            self.begin_next(now)?;
        }
        let Some(current) = &mut self.current else { return Err(io::ErrorKind::NotFound.into()) };
        if let Err(error) = current.file.write_all(lines) {
            let _ = current.file.set_len(current.length);
            self.current = None;
            return Err(error);
        }
        current.length = current.length.saturating_add(lines.len() as u64);
        Ok(())
    }

    /// Begins another file when it is time to, and removes what is too old.
    ///
    /// # Errors
    /// When the directory can't be written to.
    pub(super) fn look(&mut self, now: Timestamp) -> io::Result<()> {
        self.open(now)?;
        let due = |current: &Current| current.length > 0 && self.is_full(current, now);
        if self.current.as_ref().is_some_and(due) { self.begin_next(now) } else { Ok(()) }
    }

    fn is_full(&self, current: &Current, now: Timestamp) -> bool {
        let age = now.duration_since(current.begun).as_secs();
        current.length >= self.settings.max_file_size || age >= i64::from(self.settings.rotate)
    }

    fn begin_next(&mut self, now: Timestamp) -> io::Result<()> {
        if let Some(current) = self.current.take() {
            current.file.sync_all()?;
        }
        let last = parts(&self.settings.directory)?.last().map_or(0, |last| last.number);
        self.current = Some(Current::create(&self.settings.directory, last.saturating_add(1), now)?);
        self.compress_and_remove(now)
    }

    /// Compresses what is written no more, and removes what is too old: whose next was begun before what is to be kept.
    fn compress_and_remove(&self, now: Timestamp) -> io::Result<()> {
        let mut parts = parts(&self.settings.directory)?;
        parts.pop();
        for part in parts.iter().filter(|part| !part.compressed) {
            compress(&part.path)?;
        }
        let keep = SignedDuration::from_secs(self.settings.keep.into());
        let kept_from = now.checked_sub(keep).unwrap_or(Timestamp::MIN);
        for (part, next) in parts.iter().zip(parts.iter().skip(1)) {
            if next.begun < kept_from {
                fs::remove_file(part.compressed_path())?;
            }
        }
        Ok(())
    }
}

impl Current {
    fn create(directory: &Path, number: u64, now: Timestamp) -> io::Result<Self> {
        let path = directory.join(format!("{number:08}-{}.jsonl", now.strftime("%Y%m%dT%H%M%SZ")));
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
        File::open(directory)?.sync_all()?;
        Ok(Self { file, path, begun: now, length: 0 })
    }

    /// Goes on with a file that is there, behind its last whole line.
    fn resume(part: &Part) -> io::Result<Self> {
        let mut file = files::open_as(&part.path, OpenOptions::new().read(true).append(true))?;
        let size = file.metadata()?.len();
        let from = size.saturating_sub(TAIL);
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        file.read_to_end(&mut tail)?;
        let whole = tail.iter().rposition(|octet| *octet == b'\n').map_or(0, |at| at.saturating_add(1));
        let length = from.saturating_add(whole as u64);
        file.set_len(length)?;
        Ok(Self { file, path: part.path.clone(), begun: part.begun, length })
    }
}

impl Part {
    fn compressed_path(&self) -> PathBuf {
        if self.compressed { self.path.clone() } else { compressed(&self.path) }
    }

    fn of(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let (stem, compressed) = match name.strip_suffix(".gz") {
            Some(stem) => (stem, true),
            None => (name, false),
        };
        let (number, begun) = stem.strip_suffix(".jsonl")?.split_once('-')?;
        let (day, time) = begun.strip_suffix('Z')?.split_once('T')?;
        let civil = |text: &str, sign: &str, year: usize| {
            let (head, rest) = text.split_at_checked(year)?;
            let (middle, tail) = rest.split_at_checked(2)?;
            Some(format!("{head}{sign}{middle}{sign}{tail}"))
        };
        let begun = format!("{}T{}Z", civil(day, "-", 4)?, civil(time, ":", 2)?).parse().ok()?;
        let number = number.parse().ok()?;
        Some(Self { path, begun, number, compressed })
    }

    /// Has each line read. A line that is cut short, or no text, is none.
    ///
    /// # Errors
    /// When it can't be read. Of a compressed file that is damaged what comes before is read.
    pub(super) fn lines(&self, mut each: impl FnMut(&str)) -> io::Result<()> {
        let opened = files::open(&self.path);
        // The one that was written may have been compressed meanwhile.
        let (file, compressed) = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.compressed => {
                (files::open(&self.compressed_path())?, true)
            }
            opened => (opened?, self.compressed),
        };
        let plain: Box<dyn Read> =
            if compressed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        let mut lines = BufReader::with_capacity(1 << 16, plain);
        let mut line = Vec::new();
        loop {
            line.clear();
            // What is longer is no line of a journal: it is read in pieces, none of which is one.
            if lines.by_ref().take(TAIL).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            if let Some(text) = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok()) {
                each(text);
            }
        }
    }
}

/// The files in `directory`, in order.
///
/// # Errors
/// When it can't be read.
pub(super) fn parts(directory: &Path) -> io::Result<Vec<Part>> {
    let mut parts = Vec::new();
    for found in fs::read_dir(directory)? {
        parts.extend(Part::of(found?.path()));
    }
    // The compressed one is whole if it has its name; the other is then to be removed.
    parts.sort_by_key(|part| (part.number, !part.compressed));
    parts.dedup_by_key(|part| part.number);
    Ok(parts)
}

fn compressed(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".gz");
    name.into()
}

fn compress(path: &Path) -> io::Result<()> {
    let mut being_made = compressed(path).into_os_string();
    being_made.push(".new");
    let out = files::create(Path::new(&being_made))?;
    let mut encoder = GzEncoder::new(out, Compression::fast());
    io::copy(&mut files::open(path)?, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    fs::rename(&being_made, compressed(path))?;
    fs::remove_file(path)
}
