//! Opens regular files that somebody names: nothing else is waited for, and no file is read without a bound.
//!
//! To open a FIFO waits for the other end, to open a device does what its driver likes, and a device or a file that grows
//! has no end. Whoever is given `/dev/stdin`, or another descriptor that this process was started with, reads what is
//! there.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Component, Path};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::sys::statfs::{DEBUGFS_MAGIC, FsType, PROC_SUPER_MAGIC, fstatfs};

/// File systems without files, as linux/magic.h numbers them.
const MADE_UP: [(FsType, &str); 5] = [
    (PROC_SUPER_MAGIC, "procfs"),
    (FsType(0x6265_6572), "sysfs"),
    (FsType(0x7472_6163), "tracefs"),
    (DEBUGFS_MAGIC, "debugfs"),
    (FsType(0x7363_6673), "securityfs"),
];

/// No list of leases or reservations is longer.
pub const LIST: u64 = 1 << 30;

/// Opens a regular file to read it.
///
/// What only poses as one, and has nothing to read now, is an error when it is read, and not waited for.
///
/// # Errors
/// As the system says, and when it is anything else.
pub fn open(path: &Path) -> io::Result<File> {
    opened(path, OpenOptions::new().read(true))
}

/// The same as `how` says.
///
/// # Errors
/// As there.
pub fn open_as(path: &Path, how: &mut OpenOptions) -> io::Result<File> {
    let file = opened(path, how)?;
    if !is_inherited(path) {
        // Not to wait was for the opening alone.
        let flags = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL)?);
        fcntl(&file, FcntlArg::F_SETFL(flags.difference(OFlag::O_NONBLOCK)))?;
    }
    Ok(file)
}

fn opened(path: &Path, how: &mut OpenOptions) -> io::Result<File> {
    if is_inherited(path) {
        return how.open(path);
    }
    match std::fs::metadata(path) {
        Ok(there) => regular(&there)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // Something else may have taken its place meanwhile.
    let file = how.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    regular(&file.metadata()?)?;
    of_a_file_system(&file)?;
    Ok(file)
}

/// Makes a regular file of this process's user alone, or empties the one that is there.
///
/// # Errors
/// As the system says, and when something else is there.
pub fn create(path: &Path) -> io::Result<File> {
    open_as(path, OpenOptions::new().write(true).create(true).truncate(true).mode(0o600))
}

/// Opens a regular file of `most` octets at most. To read beyond is an error, whatever the file was when it was opened.
///
/// # Errors
/// As [`open`], and when it is longer.
pub fn open_within(path: &Path, most: u64) -> io::Result<Within<File>> {
    let file = open(path)?;
    if file.metadata()?.len() > most {
        return Err(too_long(most));
    }
    Ok(Within::of(file, most))
}

/// The octets of a regular file of `most` octets at most.
///
/// # Errors
/// As [`open_within`].
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    open_within(path, most)?.read_to_end(&mut octets)?;
    Ok(octets)
}

/// The text of a regular file of `most` octets at most.
///
/// # Errors
/// As [`open_within`], and when it is no UTF-8.
pub fn text(path: &Path, most: u64) -> io::Result<String> {
    let mut text = String::new();
    open_within(path, most)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Reads so much at most: more is an error, not an end.
#[derive(Debug)]
pub struct Within<R> {
    from: R,
    most: u64,
    left: u64,
}

impl<R: Read> Within<R> {
    /// Of `from`, so many octets at most.
    pub const fn of(from: R, most: u64) -> Self {
        Self { from, most, left: most }
    }
}

impl<R: Read> Read for Within<R> {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(octets).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => io::Error::new(
                ErrorKind::InvalidInput,
                "it has nothing to read now, so it is no file on a disk: copy what is meant into one",
            ),
            _ => error,
        })?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| too_long(self.most))?;
        Ok(read)
    }
}

/// Reads lines that are so long at most: the octets of a longer one are an error, before there are many.
#[derive(Debug)]
pub struct ShortLines<R> {
    from: R,
    most: usize,
    line: usize,
}

impl<R: Read> ShortLines<R> {
    /// Of `from`, with lines of so many octets at most.
    pub const fn of(from: R, most: usize) -> Self {
        Self { from, most, line: 0 }
    }
}

impl<R: Read> Read for ShortLines<R> {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(octets)?;
        let octets = octets.get(..read).unwrap_or_default();
        for part in octets.split_inclusive(|octet| *octet == b'\n') {
            self.line = self.line.saturating_add(part.len());
            if self.line > self.most {
                let why = format!("a line is longer than {} octets", self.most);
                return Err(io::Error::new(ErrorKind::FileTooLarge, why));
            }
            if part.ends_with(b"\n") {
                self.line = 0;
            }
        }
        Ok(read)
    }
}

fn too_long(most: u64) -> io::Error {
    let most = if most < 1 << 20 { format!("{most} octets") } else { format!("{} MiB", most >> 20) };
    io::Error::new(ErrorKind::FileTooLarge, format!("it is longer than {most}"))
}

fn regular(there: &Metadata) -> io::Result<()> {
    if there.is_file() {
        return Ok(());
    }
    Err(io::Error::new(
        ErrorKind::InvalidInput,
        format!("it is {}, and must be a regular file", kind(there.file_type())),
    ))
}

/// Refuses what the kernel makes up when it is read: it counts as a regular file, and may wait for ever (`trace_pipe`), or
/// be gone for others once it was read (`kmsg`).
fn of_a_file_system(file: &File) -> io::Result<()> {
    let of = fstatfs(file)?.filesystem_type();
    match MADE_UP.iter().find(|(magic, _)| *magic == of) {
        None => Ok(()),
        Some((_, name)) => Err(io::Error::new(
            ErrorKind::InvalidInput,
            format!("it is in {name}, where the kernel makes up what is read, and must be a file on a disk"),
        )),
    }
}

fn kind(file: FileType) -> &'static str {
    match file {
        _ if file.is_dir() => "a directory",
        _ if file.is_fifo() => "a FIFO",
        _ if file.is_socket() => "a socket",
        _ if file.is_char_device() || file.is_block_device() => "a device",
        _ => "no file",
    }
}

/// Whether it is a descriptor of this process, which who started it has opened.
fn is_inherited(path: &Path) -> bool {
    let is_plain = |path: &Path| path.components().all(|part| part != Component::ParentDir);
    path == Path::new("/dev/stdin")
        || ((path.starts_with("/dev/fd") || path.starts_with("/proc/self/fd")) && is_plain(path))
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn what_is_no_regular_file_is_named_and_not_waited_for() {
        let directory = tempfile::tempdir().expect("a directory");
        let fifo = directory.path().join("fifo");
        mkfifo(&fifo, Mode::S_IRWXU).expect("a FIFO");
        let socket = directory.path().join("socket");
        let _listening = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
        let cases = [
            (fifo.as_path(), "a FIFO"),
            (directory.path(), "a directory"),
            (&socket, "a socket"),
            (Path::new("/dev/zero"), "a device"),
        ];
        for (path, what) in cases {
            let expected = format!("it is {what}, and must be a regular file");
            let said = |error: io::Error| error.to_string();
            assert_eq!(open(path).map_err(said).expect_err("refused"), expected);
            assert_eq!(read(path, 9).map_err(said).expect_err("refused"), expected);
            assert_eq!(create(path).map_err(said).expect_err("refused"), expected);
        }
    }

    #[test]
    fn what_the_kernel_makes_up_is_no_file() {
        for (path, of) in
            [("/proc/kmsg", "procfs"), ("/proc/uptime", "procfs"), ("/sys/kernel/uevent_seqnum", "sysfs")]
        {
            let error = text(Path::new(path), 9).expect_err("refused").to_string();
            let expected = format!(
                "it is in {of}, where the kernel makes up what is read, and must be a file on a disk"
            );
            // `kmsg` is root's.
            assert!(error == expected || error.contains("ermi"), "{path}: {error}");
        }
        let error = open(Path::new("/dev/fd/../../uptime")).map(drop).expect_err("no descriptor of ours");
        assert!(error.to_string().contains("it is in procfs"), "{error}");
    }

    #[test]
    fn what_has_nothing_now_is_not_waited_for() {
        let (from, _to) = nix::unistd::pipe2(OFlag::O_NONBLOCK).expect("a pipe");
        let error = Within::of(File::from(from), 9).read(&mut [0]).expect_err("nothing is there");
        assert!(error.to_string().contains("it has nothing to read now"), "{error}");
    }

    #[test]
    fn what_is_too_long_is_an_error_and_not_an_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("file");
        std::fs::write(&file, "0123456789").expect("a file");
        assert_eq!(text(&file, 10).expect("it is short enough"), "0123456789");
        assert_eq!(read(&file, 9).expect_err("it is longer").to_string(), "it is longer than 9 octets");
        let mut endless = Within::of(io::repeat(0), 3 << 20);
        let error = io::copy(&mut endless, &mut io::sink()).expect_err("it has no end");
        assert_eq!(error.to_string(), "it is longer than 3 MiB");
        let mut lines = ShortLines::of("short\nlonger\n".as_bytes(), 6);
        let error = io::read_to_string(&mut lines).expect_err("the second is too long");
        assert_eq!(error.to_string(), "a line is longer than 6 octets");
        assert!(io::read_to_string(ShortLines::of("short\nlonger\n".as_bytes(), 7)).is_ok());
        create(&file).expect("it is emptied");
        assert_eq!(text(&file, 10).expect("it is there"), "");
    }
}
