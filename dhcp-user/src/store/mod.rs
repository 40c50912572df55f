//! The store: data that must outlive the daemon, and the promise that a commit is on disk when it returns.
//!
//! The store is the write-ahead side of every lease. A record holds at each instant a `committed_until` that is no
//! earlier than any expiry ever promised for its address; the daemon moves it ahead in group commits, and only then
//! lets the kernel promise up to it. An ACK leaves after the commit that holds its record.
//!
//! There is one implementation, [`Log`], on two disks: [`Embedded`] in a directory, and [`Memory`] on a simulated
//! disk that loses power, fills up and fails on demand.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::arithmetic_side_effects,
        reason = "what a disk says is not to be relied upon"
    )
)]

mod blank;
mod check;
mod clock;
mod disk;
mod embedded;
mod encoding;
mod error;
mod header;
mod index;
mod log;
mod look;
mod marker;
mod memory;
mod reader;
mod reclaim;
mod record;
mod replay;
mod salvage;
mod segment;
mod survey;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::Ipv4Addr;

use dhcp_ebpf::lease::BootSecs;

pub use check::{Checked, CheckedSegment, check};
pub use clock::{BootId, Clock, NotABootId, StoreSecs};
pub use disk::Disk;
pub use embedded::{Directory, Embedded};
pub(crate) use encoding::{decode, encode};
pub use error::{Damage, StoreError};
pub use log::Log;
pub use memory::{Memory, MemoryDisk};
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
    /// Times are of this boot; earlier times are [`BootSecs`] 0, and only the order distinguishes such records.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read, or holds what this version cannot understand.
    fn load(&mut self) -> Result<Vec<Record>, StoreError>;

    /// The record of one address, if there is one, in times of this boot.
    ///
    /// # Errors
    /// As [`load`](Store::load).
    fn record(&mut self, address: Ipv4Addr) -> Result<Option<Record>, StoreError>;

    /// Makes `changes` durable as one, together with the time `now`; later changes to one address win over earlier.
    ///
    /// Without changes it still records the time: after a reboot leases have left what they had at the last commit.
    ///
    /// # Errors
    /// [`StoreError`] when it is not certain that the changes are on disk. They may or may not be: until the same
    /// changes, or later ones to the same addresses, have been committed, nothing may be built on either.
    /// Repeating the commit is always right, and goes on where the obstacle (a full disk) has been removed.
    fn commit(&mut self, now: BootSecs, changes: &[Change]) -> Result<(), StoreError>;

    /// Looks whether some of what was committed still reads back the same; in the course of several looks, all of it.
    ///
    /// # Errors
    /// [`StoreError`] when it does not. The next commit then reads all there is, and fails if that is not whole.
    fn look(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// The number of the last commit that returned. They are numbered without a gap.
    fn last_commit(&self) -> u64;

    /// How large it is.
    fn size(&self) -> Size {
        Size::default()
    }

    /// Closes the store so that a loss of power hides no commit. Nothing is committed afterwards.
    ///
    /// # Errors
    /// [`StoreError`] when that is not certain. All commits are on disk all the same.
    fn close(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Whether a loss was found and accepted when it was opened: promises in maps may be newer.
    fn has_lost(&self) -> bool {
        false
    }
}

/// How large a store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Its size on disk.
    pub octets: u64,
    /// How many records are in it.
    pub records: u64,
}

/// The expectations of a store before it is opened, and what to do if it has less.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected {
    /// The commit that pinned maps depend on.
    pub promised: Option<Promised>,
    /// What to do if it is damaged, or older.
    pub loss: Loss,
}

/// A commit that others rest upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promised {
    /// The store that made it.
    pub store: StoreId,
    /// Its number.
    pub number: u64,
}

/// What to do with a store that has lost something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loss {
    /// It is not opened.
    #[default]
    Refused,
    /// The operator goes on with the sound part.
    Accepted,
}

/// One change to the store, by address.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all are records: to box each would cost an allocation")]
pub enum Change {
    /// Keep this record, in place of the former one of its address.
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

/// A random number that identifies a store, made once with it.
///
/// Pinned maps carry it, so that a daemon does not adopt the leases of another store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoreId(pub u128);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
