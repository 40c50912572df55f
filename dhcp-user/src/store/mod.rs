//! The store: what must outlive the daemon, and the promise that a commit is on disk when it returns.
//!
//! The store is the write-ahead side of every lease. A record holds at each instant a `committed_until` that is no
//! earlier than any expiry ever promised for its address; the daemon moves it ahead in group commits, and only then
//! lets the kernel promise up to it. An ACK leaves after the commit that holds its record.

mod clock;
mod record;

use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use dhcp_ebpf::lease::BootSecs;

pub use clock::{BootId, Clock, NotABootId, StoreSecs};
pub use record::{HwAddr, QuarantineCause, Record, Standing};

/// Where leases survive the daemon, the machine's reboot and its loss of power.
///
/// A commit is all or nothing: after a crash at any instant the store holds every commit that returned, and the one
/// under way wholly or not at all.
pub trait Store: Send {
    /// The number this store was given when it was made; another store has another.
    fn id(&self) -> StoreId;

    /// Every record, those that expire first coming first.
    ///
    /// Times are of this boot; what lies before it is [`BootSecs`] 0, and only the order tells such records apart.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read, or holds what this version cannot understand.
    fn load(&mut self) -> Result<Vec<Record>, StoreError>;

    /// Makes `changes` durable as one, together with the time `now`; later changes to one address win over earlier.
    ///
    /// Without changes it still records the time: after a reboot leases have left what they had at the last commit.
    ///
    /// # Errors
    /// [`StoreError`] when it is not certain that the changes are on disk. They may or may not be: until the same
    /// changes, or later ones to the same addresses, have been committed, nothing may be built on either.
    /// Repeating the commit is always right, and goes on where the obstacle (a full disk) has been removed.
    fn commit(&mut self, now: BootSecs, changes: &[Change]) -> Result<(), StoreError>;
}

/// One change to the store, by address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Keep this record, in place of what was kept for its address.
    Put(Record),
    /// Keep nothing for this address.
    Delete(Ipv4Addr),
}

impl Change {
    /// The address that this change is about.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        match self {
            Self::Put(record) => record.address,
            Self::Delete(address) => *address,
        }
    }
}

/// A random number that tells one store from another, made once with the store.
///
/// Pinned maps carry it, so that a daemon does not adopt the leases of another store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoreId(pub u128);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

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
        source: std::io::Error,
    },
}
