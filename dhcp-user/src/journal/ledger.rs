//! Turns a commit into lines, by the lines before: a lease granted, renewed, ended.

use std::net::Ipv4Addr;

use ahash::{HashMap, RandomState};
use jiff::{SignedDuration, Timestamp};

use super::entry::{By, Client, End, Entry, What};
use super::fingerprint::Fingerprint;
use super::reports::LeaseReports;
use crate::control::WallClock;
use crate::store::{Change, QuarantineCause, Record, Standing};

/// Two readings of one moment are no further apart.
const SAME: SignedDuration = SignedDuration::from_secs(2);

/// The leases that run, as the journal has them.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    held: HashMap<Ipv4Addr, Held>,
    hasher: RandomState,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    /// A number that stands for its client.
    holder: u64,
    expires: Timestamp,
    last_heard: Timestamp,
    kernel_renewals: u64,
}

/// When something was committed, and how a moment of the boot clock is called.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) time: Timestamp,
    pub(super) clock: WallClock,
}

impl Ledger {
    /// Takes the lease for known: the journal has it.
    pub(super) fn know(&mut self, record: &Record, clock: WallClock) {
        if record.standing == Standing::Leased {
            let client = Client::of(record, clock);
            self.hold(record.address, &client, record.kernel_renewals);
        }
    }

    /// Takes what the journal says for known.
    pub(super) fn know_client(&mut self, address: Ipv4Addr, client: &Client) {
        // How many renewals there were is not in a line; they are told anew from the store.
        self.hold(address, client, u64::MAX);
    }

    /// Whose leases run.
    pub(super) fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.held.keys().copied()
    }

    fn hold(&mut self, address: Ipv4Addr, client: &Client, kernel_renewals: u64) {
        let Client { last_heard, expires, .. } = *client;
        let holder = self.hasher.hash_one(client.identity());
        self.held.insert(address, Held { holder, expires, last_heard, kernel_renewals });
    }

    /// The lines that a change makes, in order. `reports` has policy's reports on its address.
    pub(super) fn enter(&mut self, change: &Change, reports: &mut LeaseReports, at: At) -> Vec<Entry> {
        match change {
            Change::Put(record) if record.standing == Standing::Leased => self.leased(record, reports, at),
            Change::Put(record) => {
                let why = reports.end(record.address).unwrap_or(End::of(&record.standing));
                let client = Some(Client::of(record, at.clock));
                self.end(record.address, client, why, at).into_iter().collect()
            }
            Change::Delete(address) => {
                let why = reports.end(*address).unwrap_or(End::Withdrawn);
                self.end(*address, None, why, at).into_iter().collect()
            }
        }
    }

    fn leased(&mut self, record: &Record, reports: &mut LeaseReports, at: At) -> Vec<Entry> {
        let address = record.address;
        let client = Client::of(record, at.clock);
        let mut entries = Vec::with_capacity(1);
        let holder = self.hasher.hash_one(client.identity());
        if self.held.get(&address).is_some_and(|held| held.holder != holder) {
            let why = reports.end(address).unwrap_or(End::Reassigned);
            entries.extend(self.end(address, None, why, at));
        }
        let by_daemon = reports.promised(address);
        let mut entry = Entry::of(address, What::Granted, at);
        if let Some(held) = self.held.get(&address) {
            let renewals = record.kernel_renewals.saturating_sub(held.kernel_renewals);
            let is_later = client.expires.duration_since(held.expires) > SAME;
            (entry.what, entry.by) = match (by_daemon, renewals) {
                (true, _) => (What::Renewed, Some(By::Daemon)),
                (false, 1..) => (What::Renewed, Some(By::Kernel)),
                (false, 0) if is_later => (What::Renewed, None),
                (false, 0) => (What::Updated, None),
            };
            if renewals > 0 {
                (entry.kernel_renewals, entry.since) = (Some(renewals), Some(held.last_heard));
            }
        }
        self.hold(address, &client, record.kernel_renewals);
        entry.client = Some(client);
        entry.fingerprint = reports.fingerprint(address).unwrap_or_default();
        entries.push(entry);
        entries
    }

    /// The line that a lease's end makes, if it ran.
    pub(super) fn end(
        &mut self,
        address: Ipv4Addr,
        client: Option<Client>,
        why: End,
        at: At,
    ) -> Option<Entry> {
        self.held.remove(&address)?;
        Some(Entry { why: Some(why), client, ..Entry::of(address, What::Ended, at) })
    }

    /// Whether the journal has this of the lease already.
    pub(super) fn has(&self, record: &Record, clock: WallClock) -> bool {
        let client = Client::of(record, clock);
        self.held.get(&record.address).is_some_and(|held| {
            held.holder == self.hasher.hash_one(client.identity())
                && client.expires.duration_since(held.expires).abs() <= SAME
        })
    }
}

impl Entry {
    fn of(address: Ipv4Addr, what: What, at: At) -> Self {
        Self {
            time: at.time,
            what,
            why: None,
            by: None,
            recovered: false,
            address,
            client: None,
            fingerprint: Fingerprint::default(),
            kernel_renewals: None,
            since: None,
            commit: None,
        }
    }
}

impl End {
    /// By what the address is to be treated as now.
    const fn of(standing: &Standing) -> Self {
        match standing {
            Standing::Grace | Standing::Leased => Self::Expired,
            Standing::Free => Self::Released,
            Standing::Ended => Self::Operator,
            Standing::Quarantined { why: QuarantineCause::Declined, .. } => Self::Declined,
            Standing::Quarantined { why: QuarantineCause::Probe, .. } => Self::InUse,
        }
    }
}
