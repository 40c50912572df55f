//! Requests as they reach the decision loop, each with the place for its answer.

use std::net::Ipv4Addr;

use tokio::sync::{broadcast, oneshot};

use super::report::{
    Audit, Event, Explanation, Lease, LeaseDetail, Orphan, PoolCounts, Quarantined, Reloaded, Stats, Status,
};
use super::request::Subject;

/// A question to the decision loop.
///
/// To drop the reply unused says that this daemon doesn't answer the question, or no longer does.
#[derive(Debug)]
pub enum Query {
    /// The daemon itself.
    Status(Reply<Status>),
    /// The counters of kernel and daemon.
    Stats(Reply<Stats>),
    /// Every pool, subnet by subnet.
    Pools(Reply<Vec<PoolCounts>>),
    /// Leases in the order of their addresses, a page of them.
    Leases {
        /// Only addresses above this one; all if there is none.
        after: Option<Ipv4Addr>,
        /// At most so many.
        most: usize,
        /// Where the page goes.
        reply: Reply<Page<Lease>>,
    },
    /// The lease of an address; no if there is none.
    LeaseShow(Ipv4Addr, Reply<LeaseDetail>),
    /// End the lease of an address; no if there is none.
    LeaseRelease(Ipv4Addr, Reply<()>),
    /// Compare policy, store and kernel.
    Audit(Reply<Audit>),
    /// Devices that hold more than one lease.
    Orphans(Reply<Vec<Orphan>>),
    /// Addresses in quarantine.
    Quarantine(Reply<Vec<Quarantined>>),
    /// Take an address out of quarantine; no if it isn't in one.
    QuarantineClear(Ipv4Addr, Reply<()>),
    /// Why a client's last request went up; no if it isn't known.
    Explain(Subject, Reply<Explanation>),
    /// What happens from now on.
    Events(Reply<broadcast::Receiver<Event>>),
    /// Apply the changed configuration; no if it is wrong.
    Reload(Reply<Reloaded>),
}

/// The place for an answer. Whether somebody still waits for it doesn't matter to whoever gives it.
#[derive(Debug)]
pub struct Reply<T>(oneshot::Sender<Result<T, No>>);

/// The answer is no, and this is why, in words for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct No(pub String);

impl<T> Reply<T> {
    /// A place for an answer, and where it comes out.
    #[must_use]
    pub fn channel() -> (Self, oneshot::Receiver<Result<T, No>>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    /// Answers.
    pub fn give(self, answer: T) {
        drop(self.0.send(Ok(answer)));
    }

    /// Answers no, and says why.
    pub fn no(self, why: impl Into<String>) {
        drop(self.0.send(Err(No(why.into()))));
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
