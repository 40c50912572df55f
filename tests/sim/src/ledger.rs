//! What is on disk as far as the store has said, what was promised, and what must always be so.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dhcp_ebpf::lease::BootSecs;
use dhcp_user::store::{Change, Record, Size, Standing, Store, StoreError, StoreId};

/// The invariants, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// No address is acknowledged to one client while another relies on it.
    OneOwner,
    /// No ACK leaves, and no word or horizon of the kernel's goes, beyond what is committed for that client.
    Covered,
    /// What was acknowledged stands until its time is up, through all crashes.
    AckSurvives,
    /// A client that has its lease is not refused it.
    Refused,
    /// What was committed is there after a recovery, and nothing that was not.
    CommitSurvives,
    /// Damage is told of, and never served from; where there is none, nothing is refused.
    Damage,
    /// The states of addresses add up, and policy, store and maps agree.
    Audit,
    /// A well-behaved client gets a lease within its bound once the network is kind.
    Starved,
    /// Nobody is given an address that somebody was heard to use.
    InUse,
    /// Nothing panics.
    Panic,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneOwner => "one-owner",
            Self::Covered => "covered",
            Self::AckSurvives => "ack-survives",
            Self::Refused => "not-refused",
            Self::CommitSurvives => "commit-survives",
            Self::Damage => "damage-told",
            Self::Audit => "audit-clean",
            Self::Starved => "not-starved",
            Self::InUse => "not-in-use",
            Self::Panic => "no-panic",
        })
    }
}

/// An invariant that does not hold.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Which.
    pub invariant: Invariant,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

impl Broken {
    /// This one.
    pub fn because<T>(invariant: Invariant, what: impl Into<String>) -> Result<T, Self> {
        Err(Self { invariant, what: what.into() })
    }
}

/// What the store has said is on disk.
#[derive(Clone, Debug, Default)]
pub struct OnDisk(Arc<Mutex<DiskContents>>);

/// The records, in times of the present boot.
#[derive(Debug, Default)]
pub struct DiskContents {
    /// What is there for certain.
    pub records: BTreeMap<Ipv4Addr, Record>,
    /// What may be there instead: commits that did not succeed since the last one that did.
    pub doubtful: Vec<Change>,
    /// The time that was committed last, or may have been.
    pub at: BootSecs,
    /// How many commits succeeded.
    pub commits: u64,
}

impl OnDisk {
    /// What was said.
    pub fn contents(&self) -> MutexGuard<'_, DiskContents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A store that is listened to.
pub struct Noted<S> {
    store: S,
    on_disk: OnDisk,
}

impl<S: Store> Noted<S> {
    /// This one.
    pub const fn new(store: S, on_disk: OnDisk) -> Self {
        Self { store, on_disk }
    }
}

impl<S: Store> Store for Noted<S> {
    fn id(&self) -> StoreId {
        self.store.id()
    }

    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        self.store.load()
    }

    fn record(&mut self, address: Ipv4Addr) -> Result<Option<Record>, StoreError> {
        self.store.record(address)
    }

    fn commit(&mut self, now: BootSecs, changes: &[Change]) -> Result<(), StoreError> {
        self.on_disk.contents().at = now;
        let outcome = self.store.commit(now, changes);
        let mut contents = self.on_disk.contents();
        if outcome.is_ok() {
            contents.commits += 1;
            for change in changes {
                match change {
                    Change::Put(record) => drop(contents.records.insert(record.address, record.clone())),
                    Change::Delete(address) => drop(contents.records.remove(address)),
                }
            }
            contents
                .doubtful
                .retain(|doubtful| changes.iter().all(|change| change.address() != doubtful.address()));
        } else {
            contents.doubtful.extend_from_slice(changes);
        }
        outcome
    }

    fn last_commit(&self) -> u64 {
        self.store.last_commit()
    }

    fn size(&self) -> Size {
        self.store.size()
    }

    fn close(&mut self) -> Result<(), StoreError> {
        self.store.close()
    }

    fn has_lost(&self) -> bool {
        self.store.has_lost()
    }
}

impl DiskContents {
    /// Holds what a store was found to have against what it said it had, and goes on with that. `is_same_boot`: times are those of
    /// the boot that it was said in; of others `vain` seconds may have gone by unheard.
    ///
    /// # Errors
    /// When it is not the same.
    pub fn compare(
        &mut self,
        found: &[Record],
        now: BootSecs,
        is_same_boot: bool,
        vain: u32,
    ) -> Result<(), Broken> {
        let found: BTreeMap<Ipv4Addr, &Record> =
            found.iter().map(|record| (record.address, record)).collect();
        for address in self.records.keys().chain(found.keys().copied().collect::<Vec<_>>().iter()) {
            let known = self.records.get(address);
            let there = found.get(address).copied();
            let mut may_be = self.doubtful.iter().filter(|change| change.address() == *address).map(
                |change| match change {
                    Change::Put(record) => Some(record),
                    Change::Delete(_) => None,
                },
            );
            let alike = |contents: Option<&Record>| match (contents, there) {
                (None, None) => true,
                (Some(contents), Some(there)) => {
                    let left = contents.committed_until.0.saturating_sub(self.at.0).saturating_sub(vain);
                    let until = if is_same_boot {
                        contents.committed_until.0
                    } else if left == 0 {
                        0
                    } else {
                        now.0.saturating_add(left)
                    };
                    let lasts = contents.standing != Standing::Leased
                        || there.committed_until.0.saturating_add(1) >= until;
                    std::mem::discriminant(&contents.standing) == std::mem::discriminant(&there.standing)
                        && (contents.chaddr, &contents.client_id) == (there.chaddr, &there.client_id)
                        && lasts
                }
                _ => false,
            };
            if !alike(known) && !may_be.any(alike) {
                return Broken::because(
                    Invariant::CommitSurvives,
                    format!(
                        "{address}: committed was {known:?} at {:?}, found is {there:?} at {now:?}, {vain} s in vain, the same boot: {is_same_boot}",
                        self.at
                    ),
                );
            }
        }
        self.records = found.into_values().map(|record| (record.address, record.clone())).collect();
        self.doubtful.clear();
        Ok(())
    }
}
