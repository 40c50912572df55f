//! What goes with a commit beside its records: policy's reports on a lease (why it has ended, whether the daemon
//! promised), and what its client said of its kind. A record has none of these.

use std::net::Ipv4Addr;

use ahash::HashMap;

use super::entry::End;
use super::fingerprint::Fingerprint;

/// A report of policy on a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseReport {
    /// The daemon granted or extended it.
    Promised,
    /// It ended.
    Ended(End),
}

/// What goes with a commit, by the address of a lease.
#[derive(Clone, Debug, Default)]
pub struct LeaseReports {
    /// In order.
    reports: HashMap<Ipv4Addr, Vec<LeaseReport>>,
    fingerprints: HashMap<Ipv4Addr, Fingerprint>,
}

impl LeaseReports {
    /// Adds a report on the lease of `address`.
    pub fn note(&mut self, address: Ipv4Addr, report: LeaseReport) {
        self.reports.entry(address).or_default().push(report);
    }

    /// Adds what the client of `address` said.
    pub fn heard(&mut self, address: Ipv4Addr, fingerprint: Fingerprint) {
        self.fingerprints.insert(address, fingerprint);
    }

    /// What the client of `address` said. It is taken once.
    pub(super) fn fingerprint(&mut self, address: Ipv4Addr) -> Option<Fingerprint> {
        self.fingerprints.remove(&address)
    }

    /// Why the lease of `address` has ended. Each report is taken once.
    pub(super) fn end(&mut self, address: Ipv4Addr) -> Option<End> {
        let reports = self.reports.get_mut(&address)?;
        let at = reports.iter().position(|report| matches!(report, LeaseReport::Ended(_)))?;
        match reports.remove(at) {
            LeaseReport::Ended(why) => Some(why),
            LeaseReport::Promised => None,
        }
    }

    /// Whether the daemon promised the lease of `address`.
    pub(super) fn promised(&mut self, address: Ipv4Addr) -> bool {
        let Some(reports) = self.reports.get_mut(&address) else { return false };
        let at = reports.iter().position(|report| *report == LeaseReport::Promised);
        at.map(|at| reports.remove(at)).is_some()
    }
}
