//! Policy's reports on the leases of a commit: why one has ended, and whether the daemon promised. A record has neither.

use std::net::Ipv4Addr;

use ahash::HashMap;

use super::entry::End;

/// A report of policy on a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseReport {
    /// The daemon granted or extended it.
    Promised,
    /// It ended.
    Ended(End),
}

/// Policy's reports on the leases of a commit, in order.
#[derive(Clone, Debug, Default)]
pub struct LeaseReports(HashMap<Ipv4Addr, Vec<LeaseReport>>);

impl LeaseReports {
    /// Adds a report on the lease of `address`.
    pub fn note(&mut self, address: Ipv4Addr, report: LeaseReport) {
        self.0.entry(address).or_default().push(report);
    }

    /// Why the lease of `address` has ended. Each report is taken once.
    pub(super) fn end(&mut self, address: Ipv4Addr) -> Option<End> {
        let reports = self.0.get_mut(&address)?;
        let at = reports.iter().position(|report| matches!(report, LeaseReport::Ended(_)))?;
        match reports.remove(at) {
            LeaseReport::Ended(why) => Some(why),
            LeaseReport::Promised => None,
        }
    }

    /// Whether the daemon promised the lease of `address`.
    pub(super) fn promised(&mut self, address: Ipv4Addr) -> bool {
        let Some(reports) = self.0.get_mut(&address) else { return false };
        let at = reports.iter().position(|report| *report == LeaseReport::Promised);
        at.map(|at| reports.remove(at)).is_some()
    }
}
