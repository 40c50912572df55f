//! The socket's place in the file system, and its users.

use std::fs::{DirBuilder, Permissions, set_permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind as bind_socket, connect as connect_socket,
    listen, socket,
};
use nix::sys::stat::{Mode, fchmod};

/// Owner and group may connect.
const MODE: u32 = 0o660;
/// Everybody may connect: each request is judged by itself.
const MODE_FOR_ALL: u32 = 0o666;
/// Owner and group may reach a socket in a directory that is made for it.
const DIRECTORY_MODE: u32 = 0o750;
const DIRECTORY_MODE_FOR_ALL: u32 = 0o755;

/// The users that the file system lets connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Owner and group.
    Group,
    /// Anybody.
    All,
}

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody answers there.
    #[error("another xdhcpd answers on {}: stop it, or give this one a control-socket of its own", .0.display())]
    InUse(PathBuf),
    /// The file there is no socket.
    #[error("{} is there already and is no socket: remove it, or set control-socket to another path", .0.display())]
    NotASocket(PathBuf),
    /// The system refuses.
    #[error("can't make the control socket {}: {source}", path.display())]
    System {
        /// The socket.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// Makes the control socket at `path`, in place of one that a daemon left behind; its directory too, if need be.
///
/// Accepting there never waits.
///
/// # Errors
/// If the place is taken or can't be used.
pub fn bind(path: &Path) -> Result<UnixListener, BindError> {
    bind_for(path, Audience::Group)
}

/// The same, for this audience.
///
/// # Errors
/// As [`bind`].
pub fn bind_for(path: &Path, audience: Audience) -> Result<UnixListener, BindError> {
    let (mode, directory_mode) = match audience {
        Audience::Group => (MODE, DIRECTORY_MODE),
        Audience::All => (MODE_FOR_ALL, DIRECTORY_MODE_FOR_ALL),
    };
    let system = |source| BindError::System { path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(BindError::NotASocket(path.to_owned())),
        Ok(_) => match connect(path, Duration::ZERO) {
            Ok(_) => return Err(BindError::InUse(path.to_owned())),
            // Somebody listens, and does not come to those who wait.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(BindError::InUse(path.to_owned()));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(system)?;
            }
            Err(error) => return Err(system(error)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(directory) = path.parent() {
                DirBuilder::new().recursive(true).mode(directory_mode).create(directory).map_err(system)?;
            }
        }
        Err(error) => return Err(system(error)),
    }
    bind_free(path, mode).map_err(system)
}

/// Connects to the control socket at `path`, within `patience`: where as many wait already as may, the system would wait for
/// ever.
///
/// # Errors
/// `WouldBlock` if nobody was let in for so long; else as the system says.
pub(super) fn connect(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    const AGAIN: Duration = Duration::from_millis(20);
    let deadline = Instant::now().checked_add(patience);
    let address = UnixAddr::new(path)?;
    loop {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let stream = UnixStream::from(socket(AddressFamily::Unix, SockType::Stream, flags, None)?);
        match connect_socket(stream.as_raw_fd(), &address).map_err(io::Error::from) {
            Ok(()) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if deadline.is_none_or(|deadline| Instant::now() >= deadline) {
                    return Err(error);
                }
                thread::sleep(AGAIN);
            }
            Err(error) => return Err(error),
        }
    }
}

/// A control socket that was made here: who removes it must not remove another's in its place. Clones are the same.
#[derive(Clone, Debug)]
pub struct Bound {
    path: PathBuf,
    audience: Audience,
    now: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// The socket's file; none if there was none.
    file: Option<(u64, u64)>,
    /// Why there is none any more.
    told: Option<String>,
    is_over: bool,
}

impl Bound {
    /// The socket that is at `path` now, for this audience.
    #[must_use]
    pub fn at(path: &Path, audience: Audience) -> Self {
        let now = State { file: Self::file(path), told: None, is_over: false };
        Self { path: path.to_owned(), audience, now: Arc::new(Mutex::new(now)) }
    }

    /// Removes it, if it is still there. From then on it is not made anew.
    pub fn remove(&self) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.is_over = true;
        if now.file.is_some() && Self::file(&self.path) == now.file {
            // It may be gone at the same moment.
            let _ = std::fs::remove_file(&self.path);
        }
    }

    /// The socket made anew, where somebody has removed it and nothing else is in its place.
    pub(super) fn anew(&self) -> Option<UnixListener> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let there = std::fs::symlink_metadata(&self.path);
        let (bound, why) = match there {
            _ if now.is_over => return None,
            Ok(found) if Some((found.dev(), found.ino())) == now.file => {
                now.told = None;
                return None;
            }
            Ok(_) => (None, "something else is in its place: remove that".to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match bind_for(&self.path, self.audience) {
                    Ok(anew) => (Some(anew), "somebody has removed it".to_owned()),
                    Err(error) => (None, error.to_string()),
                }
            }
            // It may be there or not.
            Err(error) => {
                tracing::debug!(%error, "the control socket can't be looked at");
                return None;
            }
        };
        let at = self.path.display();
        if bound.is_some() {
            tracing::warn!("the control socket {at} is made anew: {why}");
            (now.file, now.told) = (Self::file(&self.path), None);
        } else if now.told.as_ref() != Some(&why) {
            tracing::error!(
                "no command reaches the daemon any more, for the control socket {at} is gone: {why}"
            );
            now.told = Some(why);
        }
        bound
    }

    fn file(path: &Path) -> Option<(u64, u64)> {
        std::fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
    }
}

fn bind_free(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    // Linux makes the file with the mode that the socket has by then, less the umask: it is never wider than meant.
    fchmod(&socket, Mode::from_bits_truncate(mode))?;
    bind_socket(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    set_permissions(path, Permissions::from_mode(mode))?;
    listen(&socket, Backlog::new(64)?)?;
    Ok(UnixListener::from(socket))
}
