//! Why the store could not do what it was asked, and what the operator can do about it.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Why the store could not do what it was asked, and what the operator can do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the store open.
    #[error(
        "the lease store in {} is in use by another xdhcpd{}: stop it first, or give this one a `state-dir` of its own",
        dir.display(),
        pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    Locked {
        /// The store's directory.
        dir: PathBuf,
        /// The process that holds it, where it could be learnt.
        pid: Option<u32>,
    },
    /// No space, or no quota, left.
    #[error(
        "no space left for the lease store in {}: free some on that file system; until then no lease can be granted",
        dir.display()
    )]
    Full {
        /// The store's directory.
        dir: PathBuf,
    },
    /// The file system takes no writes, or not from this user.
    #[error(
        "the lease store in {} cannot be written ({what}): mount its file system read-write and let the user that \
         xdhcpd runs as own the directory",
        dir.display()
    )]
    ReadOnly {
        /// The store's directory.
        dir: PathBuf,
        /// What the system said.
        what: String,
    },
    /// What is stored is not what was once written.
    #[error(
        "the lease store in {} is damaged ({what}): put a backup in its place, or move the directory away to start \
         with an empty one (clients keep their leases only as far as pinned maps still know them)",
        dir.display()
    )]
    Damaged {
        /// The store's directory.
        dir: PathBuf,
        /// What was found.
        what: String,
    },
    /// A later version wrote the store.
    #[error(
        "the lease store in {} was written by a newer xdhcpd (format {found}; this one knows up to {known}): run that \
         version, or restore the backup made before the upgrade",
        dir.display()
    )]
    Newer {
        /// The store's directory.
        dir: PathBuf,
        /// The format found.
        found: u32,
        /// The newest format that this version knows.
        known: u32,
    },
    /// The disk or the system failed in another way.
    #[error("the lease store in {} failed while {doing}: {source}: look into the disk and the kernel's log", dir.display())]
    Io {
        /// The store's directory.
        dir: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl StoreError {
    /// What an error of the system means for the store in `dir`.
    pub(super) fn from_io(dir: &Path, doing: &'static str, source: io::Error) -> Self {
        let dir = dir.to_owned();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full { dir },
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
                Self::ReadOnly { dir, what: source.to_string() }
            }
            _ => Self::Io { dir, doing, source },
        }
    }
}
