//! The store in a directory of this machine: no server to install.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dhcp_ebpf::lease::BootSecs;

use super::blank::{self, Next};
use super::clock::BootId;
use super::disk::Disk;
use super::log::Log;
use super::marker::MARKER;
use super::{Expected, StoreError, StoreId};
use crate::files;

/// The directory below the state directory, and the lock file in it.
pub(super) const DIRECTORY: &str = "store";
pub(super) const LOCK: &str = "lock";

/// Large enough that going on to the next one costs little, small enough for a small site's disk.
pub(super) const SEGMENT_SIZE: u32 = 4 << 20;

/// The store of a daemon: segments in the directory `store` of its state directory.
pub type Embedded = Log<Directory>;

impl Embedded {
    /// Where the store in `state_dir` is.
    #[must_use]
    pub fn directory(state_dir: &Path) -> PathBuf {
        state_dir.join(DIRECTORY)
    }

    /// Opens the store in `state_dir`, or makes one; `boot` is the kernel's boot id, `now` the time since boot.
    ///
    /// It is this process's alone until it is dropped.
    ///
    /// # Errors
    /// [`StoreError::Locked`] while another process has it; else as [`StoreError`] says.
    pub fn open(state_dir: &Path, boot: BootId, now: BootSecs) -> Result<Self, StoreError> {
        Self::open_expecting(state_dir, boot, now, Expected::default())
    }

    /// The same, where something is known of the store already.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_expecting(
        state_dir: &Path,
        boot: BootId,
        now: BootSecs,
        expected: Expected,
    ) -> Result<Self, StoreError> {
        let path = Self::directory(state_dir);
        let directory = Directory::lock(&path)?;
        let fresh = random_id().map_err(|error| StoreError::from_io(&path, "drawing its id", error))?;
        Log::start(directory, fresh, boot, now, expected)
    }
}

/// A directory of segments that this process has locked.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// The directory itself, whose changes must be made durable too. Its lock holds also when the lock file is removed, where
    /// directories can be locked.
    directory: File,
    next: Next,
    /// Has the process's number in it, and keeps daemons away that lock this file alone. The system lifts locks when the
    /// process ends, however it ends.
    lock: File,
    /// Whether a store was opened here before: only then is there anything in the lock file.
    was_used: bool,
    /// The files that were used last, open: the segment appended to, the one that entries are taken along from, the one
    /// that is looked at, and the marker.
    open: Vec<(u32, File)>,
}

/// How many files are kept open.
const OPEN: usize = 4;

impl Directory {
    fn lock(path: &Path) -> Result<Self, StoreError> {
        let opening = |error| StoreError::from_io(path, "opening it", error);
        make_private(path).map_err(opening)?;
        let directory = File::open(path).map_err(opening)?;
        // NFS locks what is open for writing only, and so no directory: there the file's lock is the only one.
        if matches!(directory.try_lock(), Err(TryLockError::WouldBlock)) {
            return Err(locked(path));
        }
        let lock = lock_file(path).map_err(opening)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(locked(path)),
            Err(TryLockError::Error(error)) => return Err(opening(error)),
        }
        let was_used = lock.metadata().map_err(opening)?.len() > 0;
        let next = Next::beginning(path).map_err(opening)?;
        let mut held = Self { path: path.to_owned(), directory, next, lock, was_used, open: Vec::new() };
        if was_used {
            held.opened().map_err(|error| StoreError::from_io(path, "locking it", error))?;
        }
        Ok(held)
    }

    /// Whether this is still the file or directory at `path`.
    fn leads_to(path: &Path, open: &File) -> io::Result<bool> {
        let there = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            there => there?,
        };
        let ours = open.metadata()?;
        Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino()))
    }

    /// Makes the lock file again where it was removed, or takes the one in its place.
    ///
    /// Says what is wrong if another process has locked that.
    fn lock_again(&mut self) -> io::Result<Option<String>> {
        let anew = lock_file(&self.path)?;
        match anew.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Ok(Some(format!("its {LOCK} has been removed, and another xdhcpd has made one")));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        self.lock = anew;
        self.opened()?;
        tracing::warn!("{} was removed, and is made again", self.path.join(LOCK).display());
        Ok(None)
    }

    fn segment(&self, sequence: u32) -> PathBuf {
        self.path.join(file_name(sequence))
    }

    fn file(&mut self, sequence: u32) -> io::Result<&File> {
        let at = match self.open.iter().position(|(open, _)| *open == sequence) {
            Some(at) => at,
            None => {
                let path = self.segment(sequence);
                let file = files::open_as(&path, OpenOptions::new().read(true).write(true))?;
                self.open.insert(0, (sequence, file));
                self.open.truncate(OPEN);
                0
            }
        };
        self.open.get(at).map(|(_, file)| file).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn close(&mut self, sequence: u32) {
        self.open.retain(|(open, _)| *open != sequence);
    }
}

impl Disk for Directory {
    fn path(&self) -> &Path {
        &self.path
    }

    fn segment_size(&self) -> u32 {
        SEGMENT_SIZE
    }

    fn list(&mut self) -> io::Result<Vec<u32>> {
        list(&self.path)
    }

    fn file_name(&self, sequence: u32) -> String {
        file_name(sequence)
    }

    fn has_marker(&mut self) -> io::Result<bool> {
        fs::exists(self.segment(MARKER))
    }

    fn was_used(&self) -> bool {
        self.was_used
    }

    fn opened(&mut self) -> io::Result<()> {
        self.lock.set_len(0)?;
        self.lock.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0)
    }

    fn misplaced(&mut self, sequence: Option<u32>) -> io::Result<Option<String>> {
        if !Self::leads_to(&self.path, &self.directory)? {
            return Ok(Some("the directory has been removed, or another has taken its place".to_owned()));
        }
        if !Self::leads_to(&self.path.join(LOCK), &self.lock)?
            && let Some(what) = self.lock_again()?
        {
            return Ok(Some(what));
        }
        for sequence in sequence.into_iter().chain(sequence.map(|_| MARKER)) {
            let path = self.segment(sequence);
            let is_there = match self.file(sequence) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                open => Self::leads_to(&path, open?)?,
            };
            if !is_there {
                // Whatever is put in its place is read anew, and taken if it is the same.
                self.close(sequence);
                return Ok(Some(format!("its {} has been removed", file_name(sequence))));
            }
        }
        Ok(None)
    }

    fn set_aside(&mut self, sequence: u32) -> io::Result<()> {
        self.close(sequence);
        let path = self.segment(sequence);
        fs::rename(&path, path.with_extension("damaged"))?;
        self.directory.sync_all()
    }

    fn create(&mut self, sequence: u32, size: u32) -> io::Result<()> {
        let path = self.segment(sequence);
        if size != SEGMENT_SIZE || !self.next.put(&path)? {
            blank::make(&path, size)?;
        }
        self.directory.sync_all()
    }

    fn prepare(&mut self) {
        self.next.prepare(SEGMENT_SIZE);
    }

    fn rename(&mut self, from: u32, to: u32) -> io::Result<()> {
        self.close(from);
        fs::rename(self.segment(from), self.segment(to))?;
        self.directory.sync_all()
    }

    fn remove(&mut self, sequence: u32) -> io::Result<()> {
        self.close(sequence);
        fs::remove_file(self.segment(sequence))?;
        self.directory.sync_all()
    }

    fn size(&mut self, sequence: u32) -> io::Result<u64> {
        Ok(self.file(sequence)?.metadata()?.len())
    }

    fn read(&mut self, sequence: u32, offset: u32, octets: &mut [u8]) -> io::Result<()> {
        self.file(sequence)?.read_exact_at(octets, offset.into())
    }

    fn write(&mut self, sequence: u32, offset: u32, octets: &[u8]) -> io::Result<()> {
        self.file(sequence)?.write_all_at(octets, offset.into())
    }

    fn sync(&mut self, sequence: u32) -> io::Result<()> {
        self.file(sequence)?.sync_data()
    }
}

/// The lock file, made if it is not there.
fn lock_file(directory: &Path) -> io::Result<File> {
    let mut how = OpenOptions::new();
    how.create(true).truncate(false).read(true).write(true).mode(0o600);
    files::open_as(&directory.join(LOCK), &mut how)
}

/// The error where another process has the store.
fn locked(dir: &Path) -> StoreError {
    // Without the number the message is a little less helpful, that is all.
    let pid = files::text(&dir.join(LOCK), 64).ok().and_then(|pid| pid.trim().parse().ok());
    StoreError::Locked { dir: dir.to_owned(), pid }
}

/// Makes the directory, or takes away what others may do in it: a lease says who was where and when.
fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// The segments in a directory, in ascending order.
pub(super) fn list(directory: &Path) -> io::Result<Vec<u32>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let sequence: Option<u32> = name.to_str().and_then(|name| name.strip_suffix(".log")?.parse().ok());
        // What is not named as we name segments is none.
        segments.extend(sequence.filter(|sequence| *sequence > 0 && *name == *file_name(*sequence)));
    }
    segments.sort_unstable();
    Ok(segments)
}

/// The name of a segment, or of the marker.
pub(super) fn file_name(sequence: u32) -> String {
    if sequence == MARKER { "reached".to_owned() } else { format!("{sequence:010}.log") }
}

fn random_id() -> io::Result<StoreId> {
    let mut octets = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut octets)?;
    Ok(StoreId(u128::from_le_bytes(octets)))
}
