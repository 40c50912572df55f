//! Commits, and the server's behaviour while the store takes none: its disk is full, say, or read-only.
//!
//! Then the server promises nothing, and all else goes on: the kernel answers renewals up to their horizons, and
//! offers, NAKs and answers to INFORM need no disk. Changes decided meanwhile are kept as uncommitted, and tried
//! again at growing intervals; clients that got no ACK repeat their REQUESTs. To end instead would not help: a new
//! daemon has the same disk, and cannot answer even the messages that need none.

pub(super) mod decided;
pub(super) mod journaling;
pub(super) mod not_committed;
pub(super) mod thread;
pub(super) mod uncommitted;

use std::time::{Duration, Instant};

use super::Server;
use super::process::service;
use crate::clock::BootNanos;
use crate::policy::{Action, Happened, LeaseEvent};
use crate::store::{Change, StoreError};
use decided::{Decided, parted};
use not_committed::NotCommitted;
use thread::Committed;
use uncommitted::UncommittedChanges;

/// A commit that takes longer is reported as trouble.
const LATE: Duration = Duration::from_secs(1);

impl Server {
    /// Begins to commit the decided changes, unless a commit is under way, and carries out actions that need no
    /// commit. While changes are uncommitted it tries a part of them when due, together with the changes decided
    /// since; nothing is promised before all of them are on disk.
    pub(super) fn commit_next(&mut self) {
        if !self.committing.is_idle() {
            return;
        }
        let due = self.uncommitted.as_ref().is_none_or(UncommittedChanges::is_due);
        if self.decided.is_empty() && (self.uncommitted.is_none() || !due) {
            return;
        }
        let (mut changes, then) = parted(std::mem::take(&mut self.decided));
        if let Some(uncommitted) = &mut self.uncommitted {
            uncommitted.add(std::mem::take(&mut changes));
            if !due {
                let why = uncommitted.why.clone();
                return self.give_up(then, &why);
            }
            changes = uncommitted.part();
        } else if changes.is_empty() {
            return self.carry_out(then, &Ok(()));
        }
        self.committing.begin(BootNanos::now().floor(), changes, then);
    }

    /// A commit has ended: the disk takes the next one, and this thread carries out the actions of the ended one.
    pub(super) fn committed(&mut self, commit: Committed) {
        let Committed { changes, outcome, then, took } = commit;
        if took >= LATE {
            tracing::warn!(
                seconds = took.as_secs(),
                changes = changes.len(),
                "a commit took long: look into {}",
                self.nodes.waits_for()
            );
        }
        // Before the maps promise what it is for.
        self.rest_on(self.committing.last());
        let is_on_disk = outcome.is_ok();
        self.measuring.committed(took, changes.len(), !is_on_disk);
        let committed = self.judge(&changes, outcome);
        if is_on_disk {
            self.write_down(&changes, &then);
        }
        match committed {
            Ok(()) => {
                // With what this one is for, the thread that decides is busy for a while; the disk need not wait for that.
                self.begin_next();
                self.carry_out(then, &Ok(()));
            }
            Err(why) => self.give_up(then, &why),
        }
        self.commit_next();
    }

    /// The store is not as it was written any more. The commit under way, if there is one, meets the same.
    pub(super) fn found_wrong(&mut self, error: StoreError) {
        if self.committing.is_idle() && self.uncommitted.is_none() {
            // The reason is kept as what is uncommitted.
            let _ = self.judge(&[], Err(error));
        }
    }

    /// Carries out the decided actions that need no commit. Publications are made up for later.
    fn give_up(&mut self, then: Vec<Decided>, why: &NotCommitted) {
        let unpublished = then.iter().filter_map(|decided| match decided {
            Decided::Action(Action::Publish(lease)) => Some(lease.address),
            _ => None,
        });
        if !wrong!(UncommittedUnpublished) {
            self.unpublished.extend(unpublished);
        }
        self.carry_out(then, &Err(why.clone()));
    }

    /// The maps rest upon this commit from now on.
    pub(super) fn rest_on(&mut self, number: u64) {
        if let Some(kernel) = &self.kernel {
            kernel.rest_on(number);
        }
        #[cfg(feature = "simulation")]
        self.aside.rest_on(number);
    }

    /// Begins to commit what was decided, if there is anything to commit and nothing in the way.
    fn begin_next(&mut self) {
        if self.decided.iter().any(|decided| decided.change().is_some()) {
            let (changes, then) = parted(std::mem::take(&mut self.decided));
            self.committing.begin(BootNanos::now().floor(), changes, then);
        }
    }

    /// Commits and carries out all decided actions before anything else happens. For a start and an end only:
    /// otherwise the deciding thread waits for no disk. An end waits `until` then at most.
    ///
    /// # Errors
    /// When the store takes no commits. No action that depends on them was carried out then.
    pub(super) fn commit_all(&mut self, until: Option<Instant>) -> Result<(), NotCommitted> {
        if let Some(uncommitted) = &mut self.uncommitted {
            uncommitted.try_at_once();
        }
        self.commit_next();
        while let Some(ended) = self.committing.wait(until)? {
            self.ended(ended);
        }
        self.uncommitted.as_ref().map_or(Ok(()), |uncommitted| Err(uncommitted.why.clone()))
    }

    /// Takes note of a commit that has come to its end.
    ///
    /// # Errors
    /// When it failed. Nothing that depends on the changes may be done then.
    fn judge(&mut self, changes: &[Change], outcome: Result<(), StoreError>) -> Result<(), NotCommitted> {
        let uncommitted = self.uncommitted.take();
        let Err(error) = outcome else {
            self.exports.note(changes);
            let Some(mut uncommitted) = uncommitted else { return Ok(()) };
            // The kernel was told of none of it.
            if !wrong!(UncommittedUnpublished) {
                self.unpublished.extend(changes.iter().map(Change::address));
            }
            if !uncommitted.are_taken(changes) {
                let why = uncommitted.why.clone();
                self.uncommitted = Some(uncommitted);
                return Err(why);
            }
            tracing::info!("leases are committed again, and all that was owed is");
            service::tell(self);
            return Ok(());
        };
        let why = NotCommitted::because(&error);
        if let Some(mut uncommitted) = uncommitted {
            tracing::warn!(%error, changes = uncommitted.len(), "leases still can't be committed");
            uncommitted.are_refused(why.clone());
            self.uncommitted = Some(uncommitted);
        } else {
            tracing::error!(%error, "leases can't be committed: until they can, none is granted or extended");
            self.uncommitted = Some(UncommittedChanges::begin(why.clone(), changes));
            service::tell(self);
        }
        Err(why)
    }

    /// Whether [`tell_some`](Self::tell_some) has work: the store has taken all changes again, and publications are
    /// due.
    pub(super) fn has_to_tell(&self) -> bool {
        self.uncommitted.is_none() && !self.unpublished.is_empty() && self.may_take()
    }

    /// Publishes some of the leases whose publication was put off, after all later decisions.
    pub(super) fn tell_some(&mut self) {
        if !self.has_to_tell() {
            return;
        }
        let Self { policy, table, decided, unpublished, .. } = self;
        let some = unpublished.take_some();
        let published = some.into_iter().filter_map(|address| policy.publication(table, address));
        decided.extend(published.map(|lease| Decided::Action(Action::Publish(lease))));
    }

    /// Why leases can't be granted, in words for the operator.
    pub(super) fn disk_trouble(&self) -> Option<String> {
        let late = self.committing.since().filter(|since| *since >= LATE).map(|since| {
            format!(
                "{} has not answered a commit for {} s: no lease is granted or extended until it does",
                self.nodes.waits_for(),
                since.as_secs()
            )
        });
        late.or_else(|| {
            self.uncommitted
                .as_ref()
                .map(|uncommitted| format!("no lease can be granted: {}", uncommitted.why.reason()))
        })
    }

    /// Tells the service manager when the disk begins to be late, and when it is no more.
    pub(super) fn watch_disk(&mut self) {
        let is_late = self.committing.since().is_some_and(|since| since >= LATE);
        if is_late != self.disk_is_late {
            self.disk_is_late = is_late;
            service::tell(self);
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
        wrong!(FailureDone) || !action.promises() && !tells
    }
}
