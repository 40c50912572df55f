//! Input of the lease journal: each commit after it has succeeded, with policy's reports on its leases and what
//! their clients said of their kind.

use std::sync::Arc;

use anyhow::Result;

use super::decided::Decided;
use crate::clock::BootNanos;
use crate::config::Config;
use crate::journal::{End, Fingerprint, Journal, LeaseReport, LeaseReports};
use crate::policy::{Action, Happened, LeaseEvent};
use crate::server::Server;
use crate::server::process::beside::Beside;
use crate::store::{Change, QuarantineCause, Record, Store};

/// Starts the configured journal, if any, from the store's records.
///
/// # Errors
/// When the process may have no more threads.
pub(in crate::server) fn begin(
    config: &Config,
    store: &dyn Store,
    records: &[Record],
    beside: &Beside,
) -> Result<Option<Journal>> {
    let begun = config.journal.clone().map(|settings| {
        Journal::begin(settings, store.id(), store.last_commit(), records, |name, work| {
            beside.thread(name, work)
        })
    });
    begun.transpose()
}

impl Server {
    /// Hands over the changes of the last commit, which was made together with the actions `then`.
    pub(in crate::server) fn write_down(&mut self, changes: &Arc<Vec<Change>>, then: &[Decided]) {
        let Some(journal) = &mut self.journal else { return };
        let mut reports = LeaseReports::default();
        for decided in then {
            match decided {
                Decided::Action(Action::Event(LeaseEvent::Lease { address, what, .. })) => {
                    report(*what).into_iter().for_each(|report| reports.note(*address, report));
                }
                Decided::Action(Action::Reply { request, granted: Some(granted), .. }) => {
                    reports.heard(granted.address, Fingerprint::of(&request.options));
                }
                _ => {}
            }
        }
        journal.committed(BootNanos::now().floor(), self.committing.last(), changes, reports);
    }

    /// Why the journal can't be written, in words for the operator.
    pub(in crate::server) fn journal_trouble(&self) -> Option<String> {
        self.journal.as_ref().and_then(Journal::trouble)
    }
}

const fn report(what: Happened) -> Option<LeaseReport> {
    Some(match what {
        Happened::Granted | Happened::Renewed => LeaseReport::Promised,
        Happened::Released => LeaseReport::Ended(End::Released),
        Happened::ReleasedByOperator => LeaseReport::Ended(End::Operator),
        Happened::Expired => LeaseReport::Ended(End::Expired),
        Happened::Moved => LeaseReport::Ended(End::Moved),
        Happened::Declined => LeaseReport::Ended(End::Declined),
        Happened::Quarantined(QuarantineCause::Probe) => LeaseReport::Ended(End::InUse),
        Happened::Reclaimed => LeaseReport::Ended(End::Reclaimed),
        Happened::Withdrawn => LeaseReport::Ended(End::Withdrawn),
        Happened::Quarantined(QuarantineCause::Declined) | Happened::QuarantineOver => return None,
    })
}
