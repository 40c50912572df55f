//! Requests as they reach the decision loop, each with the place for its answer.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};
use tokio::sync::{broadcast, oneshot};

use super::figures::Figures;
use super::filter::LeaseFilter;
use super::measured::Measured;
use super::portable::Portable;
use super::report::{
    Cleared, Explanation, Finding, Imported, Lease, LeaseDetail, Orphan, PoolCounts, Quarantined, Released,
    Reloaded, Stats, Status,
};
use super::request::Subject;
use crate::capture::CaptureEvent;
use crate::config::Prefix;
use crate::events::EventRecord;
use crate::events::Reader;
use crate::store::QuarantineCause;

/// A question to the decision loop.
///
/// To drop the reply unused says that this daemon doesn't answer the question, or no longer does.
#[derive(Debug)]
pub enum Query {
    /// The daemon itself.
    Status(Reply<Status>),
    /// The counters of kernel and daemon.
    Stats(Reply<Stats>),
    /// The figures for `top`.
    Figures(Reply<Box<Figures>>),
    /// All that is counted and measured.
    Measured(Reply<Measured>),
    /// Every pool, subnet by subnet.
    Pools(Reply<Vec<PoolCounts>>),
    /// Leases in the order of their addresses, a page of them.
    Leases {
        /// Only addresses above this one; all if there is none.
        after: Option<Ipv4Addr>,
        /// At most so many are looked at.
        most: usize,
        /// Only those that are like this.
        filter: Arc<LeaseFilter>,
        /// Where the page goes.
        reply: Reply<Page<Lease>>,
    },
    /// The lease of an address; no if there is none.
    LeaseShow(Ipv4Addr, Reply<LeaseDetail>),
    /// End the lease of an address; no if there is none.
    LeaseRelease {
        /// The address.
        address: Ipv4Addr,
        /// Whether it is free at once.
        now: bool,
        /// Where goes what was done.
        reply: Reply<Released>,
    },
    /// Compare policy, store and kernel: the differences of a page of addresses.
    Audit {
        /// Only addresses above this one; all, and the counts, if there is none.
        after: Option<Ipv4Addr>,
        /// At most so many addresses are looked at.
        most: usize,
        /// Where the page goes.
        reply: Reply<Page<Finding>>,
    },
    /// Devices that hold more than one lease, each with the first of its addresses, a page of them.
    Orphans {
        /// Only first addresses above this one; all if there is none.
        after: Option<Ipv4Addr>,
        /// At most so many addresses are looked at.
        most: usize,
        /// Where the page goes.
        reply: Reply<Page<Orphan>>,
    },
    /// Addresses in quarantine.
    Quarantine(Reply<Vec<Quarantined>>),
    /// Take addresses out of quarantine; no if none is in one.
    QuarantineClear {
        /// All of them that are in there.
        prefix: Prefix,
        /// Only for this reason, if one is given.
        why: Option<QuarantineCause>,
        /// Where goes what was done.
        reply: Reply<Cleared>,
    },
    /// Why a client's last request went up; no if it isn't known.
    Explain(Subject, Reply<Explanation>),
    /// The events from now on, and those before.
    Events(Reply<Happening>),
    /// The frames in and out from now on.
    Capture(Reply<broadcast::Receiver<CaptureEvent>>),
    /// A page of the leases for another server.
    Export {
        /// How far this export has come, and where the page goes on.
        export: Arc<Export>,
        /// At most so many addresses are looked at.
        most: usize,
        /// Where the page goes, and whether more is to come.
        reply: Reply<(Vec<Portable>, bool)>,
    },
    /// Leases of another server, to be honoured here. The answer has each refused one with its reason.
    Import(Vec<Portable>, Reply<Imported>),
    /// The reservations that the daemon keeps.
    ReservationList(Reply<Vec<Map<String, Value>>>),
    /// Keep a reservation, or keep one no more; no if that can't be.
    ReservationEdit(ReservationEdit, Reply<Reloaded>),
    /// Apply the changed configuration; no if it is wrong.
    Reload(Reply<Reloaded>),
}

/// What becomes of a reservation that the daemon keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReservationEdit {
    /// It is kept from now on.
    Add(Map<String, Value>),
    /// It is kept no more.
    Remove {
        /// Whom it is for.
        client: Map<String, Value>,
        /// Its subnet, if that is said.
        subnet: Option<String>,
    },
}

/// The events from some moment on.
#[derive(Debug)]
pub struct Happening {
    /// The events to come.
    pub events: broadcast::Receiver<EventRecord>,
    /// The earlier events, and the last number given before that moment; none if nothing is kept.
    pub log: Option<(Reader, u64)>,
}

/// The place for an answer. The code that answers need not care whether somebody still waits.
#[derive(Debug)]
pub struct Reply<T>(oneshot::Sender<Result<T, No>>, &'static str);

/// The answer is no, and this is why, in words for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct No(pub String);

impl<T> Reply<T> {
    /// A place for an answer, and where it comes out.
    #[must_use]
    pub fn channel() -> (Self, oneshot::Receiver<Result<T, No>>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender, ""), receiver)
    }

    /// Answers.
    pub fn give(self, answer: T) {
        drop(self.0.send(Ok(answer)));
    }

    /// Answers with the result, or no with the reason.
    pub fn done(self, outcome: Result<T, impl std::fmt::Display>) {
        match outcome {
            Ok(answer) => self.give(answer),
            Err(error) => self.no(error.to_string()),
        }
    }

    /// Answers no, and says why.
    pub fn no(self, why: impl Into<String>) {
        drop(self.0.send(Err(No(format!("{}{}", self.1, why.into())))));
    }

    /// If the answer is no from now on, it says this first.
    #[must_use]
    pub fn but(self, first: &'static str) -> Self {
        Self(self.0, first)
    }
}

/// How far an export has come.
///
/// Its pages are made one at a time while leases go on changing. Still the whole holds for one moment, that of the
/// last page: every address whose record is committed anew after its line goes out again, and the last line of an
/// address counts. So no promise made up to that moment goes beyond the export.
#[derive(Debug, Default)]
pub struct Export(Mutex<Progress>);

#[derive(Debug, Default)]
struct Progress {
    /// The address that was looked at last.
    reached: Option<Ipv4Addr>,
    /// Whether that was the last of all.
    has_seen_all: bool,
    /// The addresses that changed after their line went out.
    again: BTreeSet<Ipv4Addr>,
}

impl Export {
    /// Where the next page begins; none once all addresses were looked at.
    #[must_use]
    pub fn after(&self) -> Option<Option<Ipv4Addr>> {
        self.with(|progress| (!progress.has_seen_all).then_some(progress.reached))
    }

    /// All addresses up to `reached` have gone out; all there are, if there is none.
    pub fn went_on(&self, reached: Option<Ipv4Addr>) {
        self.with(|progress| {
            progress.has_seen_all = reached.is_none();
            progress.reached = reached;
        });
    }

    /// The state of an address has changed.
    pub fn changed(&self, address: Ipv4Addr) {
        self.with(|progress| {
            if progress.has_seen_all || progress.reached >= Some(address) {
                progress.again.insert(address);
            }
        });
    }

    /// Up to `most` of the addresses that are to go out again, and whether that is all.
    #[must_use]
    pub fn again(&self, most: usize) -> (Vec<Ipv4Addr>, bool) {
        self.with(|progress| {
            let due: Vec<Ipv4Addr> = progress.again.iter().take(most).copied().collect();
            progress.again.retain(|address| due.last() < Some(address));
            (due, progress.again.is_empty())
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Progress) -> T) -> T {
        // Nothing panics while it is held.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A part of a long list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// Its items, in the order of their addresses. They may be few, or none, without being the last.
    pub items: Vec<T>,
    /// The address after which the next page begins; none if this is the last.
    pub next: Option<Ipv4Addr>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_after_it_went_out_goes_out_again() {
        let [low, middle, high] = [1, 2, 3].map(|last| Ipv4Addr::new(192, 0, 2, last));
        let export = Export::default();
        export.changed(low);
        assert_eq!(export.after(), Some(None));
        export.went_on(Some(middle));
        for address in [middle, high, low, middle] {
            export.changed(address);
        }
        assert_eq!(export.after(), Some(Some(middle)));
        export.went_on(None);
        assert_eq!(export.after(), None);
        assert_eq!(export.again(1), (vec![low], false));
        export.changed(high);
        assert_eq!(export.again(9), (vec![middle, high], true));
        assert_eq!(export.again(9), (vec![], true));
    }
}
