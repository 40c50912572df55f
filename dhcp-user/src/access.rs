//! Checks whether the daemon can still open its files and directories after it has given up rights.
//!
//! Root can open anything, until the daemon keeps only the rights that serving takes (`privileges.rs`). The check
//! finds at the start what would fail hours later, when a segment is full or a configuration is read again.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, Uid, faccessat};

use crate::config::Config;
use crate::privileges;
use crate::store::Embedded;

/// A place that the daemon could not use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {} can't be {need} with the rights that are kept (user {}, without CAP_DAC_OVERRIDE): {}: {advice}",
    path.display(), Uid::effective(), errno.desc())]
pub struct Closed {
    /// Its purpose: a key of the configuration, say.
    what: &'static str,
    path: PathBuf,
    /// The needed access.
    need: &'static str,
    errno: Errno,
    advice: &'static str,
}

impl Closed {
    /// Whether this holds for any user that may serve, not for this one alone: another one may own the place, and
    /// have access.
    #[must_use]
    pub fn is_for_all(&self) -> bool {
        let owner = fs::metadata(&self.path).map(|there| there.uid());
        self.errno != Errno::EACCES || owner.is_ok_and(|owner| owner == Uid::effective().as_raw())
    }
}

/// The places of this configuration, read from `file`, that the daemon could not use once it has given up rights; those that
/// are not there yet are made with the rights of the start.
///
/// Nothing is given up here but by a thread that ends. If there can be none, nothing is known.
#[must_use]
pub fn closed(config: &Config, file: &Path) -> Vec<Closed> {
    thread::scope(|scope| {
        let look = || {
            privileges::give_up().ok()?;
            Some(look_around(config, file))
        };
        let looking = thread::Builder::new().name("places".to_owned()).spawn_scoped(scope, look);
        looking.ok().and_then(|looking| looking.join().ok().flatten()).unwrap_or_default()
    })
}

/// The same with the rights that this thread has.
fn look_around(config: &Config, file: &Path) -> Vec<Closed> {
    let reading = AccessFlags::R_OK;
    let writing = AccessFlags::R_OK | AccessFlags::W_OK;
    let changing = AccessFlags::W_OK | AccessFlags::X_OK;
    let own = "give it to the user that serves";
    let state = &config.server.state_dir;
    let store = Embedded::directory(state);
    let mut all = vec![
        look("state-dir", state, "entered", AccessFlags::X_OK, own)
            .or_else(|| look("the store", &store, "entered and written", writing | AccessFlags::X_OK, own)),
        look("the configuration", file, "read again", reading, "let the user that serves read it"),
    ];
    let included = config.files.iter();
    all.extend(included.map(|file| {
        look("the configuration's", file, "read again", reading, "let the user that serves read it")
    }));
    // Where the directory is closed nothing is listed.
    let files = fs::read_dir(&store).into_iter().flatten().flatten();
    let files = files.map(|file| file.path()).filter(|path| path.is_file() && !is_aside(path));
    all.extend(files.map(|path| look("the store's file", &path, "written", writing, own)));
    if let Some(directory) = config.server.control_socket.parent() {
        all.push(look("control-socket's directory", directory, "entered and written", changing, own));
    }
    all.into_iter().flatten().collect()
}

/// Damaged files are kept for the operator, and not written to.
fn is_aside(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "damaged")
}

fn look(
    what: &'static str,
    path: &Path,
    need: &'static str,
    how: AccessFlags,
    advice: &'static str,
) -> Option<Closed> {
    match faccessat(AT_FDCWD, path, how, AtFlags::AT_EACCESS) {
        Ok(()) | Err(Errno::ENOENT) => None,
        // Without the call in this kernel, or under a filter, nothing is known.
        Err(Errno::ENOSYS | Errno::EINVAL) => None,
        Err(errno) => Some(Closed { what, path: path.to_owned(), need, errno, advice }),
    }
}
