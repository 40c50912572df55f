//! The reasons why an operation of the store failed, and what the operator can do.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::disk::Disk;

/// The reasons why an operation of the store failed, and what the operator can do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// What several nodes agree upon can't be read or written.
    #[error("{0}")]
    Agreed(String),
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
        /// The system's error.
        what: String,
    },
    /// The stored octets are not those that were written.
    #[error(
        "the lease store in {} is damaged ({}): put a backup in its place, or start with `xdhcpd run --accept-loss`, \
         which goes on with what is sound and with what pinned maps still know (`xdhcpd store check {}` lists all \
         that is wrong)",
        dir.display(),
        told(damages),
        dir.display()
    )]
    Damaged {
        /// The store's directory.
        dir: PathBuf,
        /// The damages, with their places.
        damages: Vec<Damage>,
    },
    /// The store lacks commits that pinned maps rest upon: it is an older copy of itself.
    #[error(
        "the lease store in {} is older than the maps that are pinned: its last commit is number {last}, and the maps \
         hold promises of commit number {promised}: put the newer store back in its place, or start with `xdhcpd run \
         --accept-loss`, which goes by the maps where they differ",
        dir.display()
    )]
    Older {
        /// The store's directory.
        dir: PathBuf,
        /// The number of the last commit in it.
        last: u64,
        /// The number of the last commit that the maps know of.
        promised: u64,
    },
    /// Written octets would go where nobody finds them.
    #[error(
        "the lease store in {} is not where it was opened any more ({what}): put it back as it was, or restart xdhcpd, \
         which makes a new one and keeps what pinned maps know; until then no lease can be granted",
        dir.display()
    )]
    Gone {
        /// The store's directory.
        dir: PathBuf,
        /// The missing part.
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
        /// The operation.
        doing: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

/// The first of them, and how many there are.
fn told(damages: &[Damage]) -> String {
    match damages {
        [] => "nothing can be read of it".to_owned(),
        [only] => only.to_string(),
        [first, others @ ..] => format!("{first}; and {} more", others.len()),
    }
}

impl StoreError {
    /// Whether a start that accepts a loss goes on in spite of this.
    pub const fn is_loss(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Older { .. })
    }

    /// The store's error for an error of the system, in `dir`.
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

/// One thing that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file, by its name in the store's directory; empty for the directory itself.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// The finding there.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.file.is_empty() {
            return f.write_str(&self.what);
        }
        write!(f, "{} at octet {}: {}", self.file, self.offset, self.what)
    }
}

/// The operator's message for an error of the system.
pub(super) fn failed<D: Disk>(disk: &D, doing: &'static str, error: io::Error) -> StoreError {
    StoreError::from_io(disk.path(), doing, error)
}

/// A frame that was durable does not check.
pub(super) fn unsound<D: Disk>(disk: &D, sequence: u32, at: usize) -> StoreError {
    let damage = Damage {
        file: disk.file_name(sequence),
        offset: at as u64,
        what: "this does not check any more".to_owned(),
    };
    StoreError::Damaged { dir: disk.path().to_owned(), damages: vec![damage] }
}
