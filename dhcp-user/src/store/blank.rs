//! New segments: their space is allocated and written, so that a commit changes only its contents.
//!
//! A file whose blocks were only allocated is slower to write: with each commit the file system has to note, in a
//! journal of its own, which of them were written. To write zeros takes milliseconds, so the next segment is made
//! while commits go on.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use nix::fcntl::posix_fallocate;

/// Where the next segment is made. It is no segment before it is given its number.
const NEXT: &str = "next";

/// So many zeros are written at a time, and brought to the disk: a commit meanwhile does not wait for all of them.
const PIECE: usize = 256 << 10;

/// The next segment of a directory.
#[derive(Debug)]
pub(super) struct Next {
    path: PathBuf,
    /// The thread that makes it, or has made it.
    maker: Option<JoinHandle<io::Result<()>>>,
}

impl Next {
    /// For the segments in `directory`, which no other process uses. Removes an unfinished one of another process.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn beginning(directory: &Path) -> io::Result<Self> {
        let path = directory.join(NEXT);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(Self { path, maker: None }),
        }
    }

    /// Has it made, if that is not done or under way.
    pub(super) fn prepare(&mut self, size: u32) {
        if self.maker.is_none() {
            let path = self.path.clone();
            // Without a thread it is made when it is needed.
            self.maker = thread::Builder::new().name("segment".into()).spawn(move || make(&path, size)).ok();
        }
    }

    /// Puts it at `path`, where it was prepared and that has come to a good end; says whether it did.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn put(&mut self, path: &Path) -> io::Result<bool> {
        let made = self.maker.take().is_some_and(|maker| matches!(maker.join(), Ok(Ok(()))));
        if made {
            fs::rename(&self.path, path)?;
        }
        Ok(made)
    }
}

/// Nobody writes to the directory when this process uses it no more.
impl Drop for Next {
    fn drop(&mut self) {
        if let Some(maker) = self.maker.take() {
            // What it could not make is not needed now.
            let _ = maker.join();
        }
    }
}

/// Makes a file of `size` zero octets, durable but for its name. A full disk is met here and not in the middle of a commit.
///
/// # Errors
/// As the system says; nothing of it is left then.
pub(super) fn make(path: &Path, size: u32) -> io::Result<()> {
    let file = OpenOptions::new().create_new(true).read(true).write(true).mode(0o600).open(path)?;
    let made = allocate(&file, size).and_then(|()| write_zeros(&file, size)).and_then(|()| file.sync_all());
    if made.is_err() {
        // What is left over would be found and removed at the next start.
        let _ = fs::remove_file(path);
    }
    made
}

fn allocate(file: &File, size: u32) -> io::Result<()> {
    match posix_fallocate(file, 0, size.into()) {
        Ok(()) => Ok(()),
        // Some file systems have no way to; where they keep what is written apart, a commit meets the full disk itself.
        Err(Errno::EOPNOTSUPP | Errno::EINVAL) => file.set_len(size.into()),
        Err(errno) => Err(errno.into()),
    }
}

fn write_zeros(file: &File, size: u32) -> io::Result<()> {
    let zeros = vec![0; PIECE];
    for from in (0..size).step_by(PIECE) {
        let piece = zeros.get(..size.saturating_sub(from) as usize).unwrap_or(&zeros);
        file.write_all_at(piece, from.into())?;
        file.sync_data()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than two pieces, and not a whole number of them.
    const SIZE: u32 = 600_000;

    #[test]
    fn what_was_prepared_is_put_in_its_place_once() {
        let directory = tempfile::tempdir().unwrap();
        let mut next = Next::beginning(directory.path()).unwrap();
        let [first, second] = ["first", "second"].map(|name| directory.path().join(name));
        assert!(!next.put(&first).unwrap() && !first.exists());
        next.prepare(SIZE);
        next.prepare(SIZE);
        assert!(next.put(&first).unwrap());
        assert!(fs::read(&first).unwrap() == vec![0; SIZE as usize]);
        assert!(!next.put(&second).unwrap() && !second.exists());
        next.prepare(SIZE);
        assert!(next.put(&second).unwrap() && second.exists());
    }

    #[test]
    fn what_could_not_be_made_is_not_put() {
        let directory = tempfile::tempdir().unwrap();
        let mut next = Next::beginning(directory.path()).unwrap();
        fs::create_dir(directory.path().join(NEXT)).unwrap();
        next.prepare(SIZE);
        let path = directory.path().join("first");
        assert!(!next.put(&path).unwrap() && !path.exists());
    }

    #[test]
    fn what_another_process_left_half_made_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(NEXT), [0; 100]).unwrap();
        let mut next = Next::beginning(directory.path()).unwrap();
        assert!(!directory.path().join(NEXT).exists());
        next.prepare(SIZE);
        let path = directory.path().join("first");
        assert!(next.put(&path).unwrap() && fs::metadata(&path).unwrap().len() == u64::from(SIZE));
    }

    #[test]
    fn a_file_that_is_there_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("first");
        fs::write(&path, "mine").unwrap();
        assert_eq!(make(&path, SIZE).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }
}
