//! Commits, and what to do while the store takes none: its disk is full, say, or read-only.
//!
//! Then nothing is promised, and all else goes on: the kernel answers renewals up to their horizons, and offers, NAKs
//! and answers to INFORM need no disk. What was decided meanwhile is owed to the store; it is brought to it again and
//! again, at growing intervals, and clients that got no ACK repeat their REQUESTs. To end instead would help nobody: a
//! daemon that starts anew has the same disk, and cannot answer even what needs none.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::{Server, service};
use crate::clock::BootNanos;
use crate::policy::{Action, Happened, LeaseEvent};
use crate::store::{Change, StoreError};

/// How long until the store is tried again, first and at most. After a failure it reads all it has, so not often.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(16);

/// What was decided is not on disk, and why: it is brought there as soon as the store takes commits again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not on disk yet, and no promise is made until it is: {0}")]
pub(super) struct NotCommitted(String);

/// What the store has not taken.
#[derive(Debug)]
pub(super) struct Owed {
    /// The last change to each address.
    changes: BTreeMap<Ipv4Addr, Change>,
    why: NotCommitted,
    wait: Duration,
    next: Instant,
}

impl Owed {
    /// Why commits fail, in words for the operator.
    pub(super) fn why(&self) -> &str {
        &self.why.0
    }
}

impl Server {
    /// Has the store take changes, all or none. No commit is under way.
    ///
    /// # Errors
    /// When it takes none by now. Nothing that depends on the changes may be done then.
    pub(super) fn commit(&mut self, changes: Vec<Change>) -> Result<(), NotCommitted> {
        if self.owed.is_some() {
            return self.commit_owed(&changes);
        }
        if changes.is_empty() {
            return Ok(());
        }
        let outcome = self.store_takes(&changes)?;
        self.judge(changes, outcome)
    }

    /// Takes note of a commit that has come to its end.
    ///
    /// # Errors
    /// When it failed. Nothing that depends on the changes may be done then.
    pub(super) fn judge(
        &mut self,
        changes: Vec<Change>,
        outcome: Result<(), StoreError>,
    ) -> Result<(), NotCommitted> {
        let Err(error) = outcome else {
            self.exports.note(&changes);
            return Ok(());
        };
        let why = NotCommitted(error.to_string());
        tracing::error!(%error, "leases can't be committed: until they can, none is granted or extended");
        let changes = changes.into_iter().map(|change| (change.address(), change)).collect();
        let next = Instant::now() + FIRST_WAIT;
        self.owed = Some(Owed { changes, why: why.clone(), wait: FIRST_WAIT, next });
        service::tell(self);
        Err(why)
    }

    fn store_takes(&mut self, changes: &[Change]) -> Result<Result<(), StoreError>, NotCommitted> {
        let store = self.committing.store();
        let store = store.ok_or_else(|| NotCommitted("the thread that commits has ended".to_owned()))?;
        Ok(store.commit(BootNanos::now().floor(), changes))
    }

    /// The same while some are owed: together with those, when it is time to try.
    fn commit_owed(&mut self, changes: &[Change]) -> Result<(), NotCommitted> {
        let Some(owed) = &mut self.owed else { return Ok(()) };
        owed.changes.extend(changes.iter().map(|change| (change.address(), change.clone())));
        if Instant::now() < owed.next {
            return Err(owed.why.clone());
        }
        let all: Vec<Change> = owed.changes.values().cloned().collect();
        let outcome = self.store_takes(&all)?;
        let Some(owed) = &mut self.owed else { return Ok(()) };
        if let Err(error) = outcome {
            owed.wait = (owed.wait * 2).min(LONGEST_WAIT);
            owed.next = Instant::now() + owed.wait;
            owed.why = NotCommitted(error.to_string());
            tracing::warn!(%error, changes = all.len(), "leases still can't be committed");
            return Err(owed.why.clone());
        }
        self.owed = None;
        self.exports.note(&all);
        // The kernel was told of none of it.
        for change in &all {
            if let Some(lease) = self.policy.publication(&self.table, change.address()) {
                // Revoked meanwhile it can't be: this is the only thread that does.
                let _ = self.table.publish(&lease);
            }
        }
        tracing::info!(changes = all.len(), "leases are committed again, and what was owed is");
        service::tell(self);
        Ok(())
    }

    /// Tries to bring what is owed to the store, if it is time to.
    pub(super) fn settle_debts(&mut self) {
        // If it fails it has been told of, and is tried again.
        if self.committing.is_idle() {
            let _ = self.commit(Vec::new());
        }
    }

    /// Whether what was decided may be done though the store has not taken what was decided with it.
    pub(super) fn needs_no_commit(&mut self, action: &Action) -> bool {
        let tells = matches!(
            action,
            Action::Event(LeaseEvent::Lease { what: Happened::Granted | Happened::Renewed, .. })
        );
        if matches!(action, Action::Reply { granted: Some(_), .. }) {
            self.traffic.dropped("not-committed");
        }
        !action.promises() && !tells
    }
}
