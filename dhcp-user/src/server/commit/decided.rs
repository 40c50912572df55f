//! Decided actions that wait for the disk, and the operators who wait for them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::not_committed::NotCommitted;
use super::uncommitted::{UncommittedChanges, Unpublished};
use crate::clock::BootNanos;
use crate::policy::{Action, Event};
use crate::server::Server;
use crate::store::Change;

/// How long an operator waits for the disk at most.
const PATIENCE: Duration = Duration::from_secs(5);

/// Something that is to be done when all that was decided before it is on disk.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are actions: to box each would cost an allocation")]
pub(in crate::server) enum Decided {
    /// An action that policy decided.
    Action(Action),
    /// Answers the operator who gave the order of this number that it is done.
    Order(u64),
    /// All that was decided before the configuration or the interfaces changed is done.
    Former,
}

impl Decided {
    /// The change to the store that it is.
    pub(in crate::server) const fn change(&self) -> Option<&Change> {
        match self {
            Self::Action(Action::Commit(change)) => Some(change),
            _ => None,
        }
    }

    /// The address of a lease that it changes, in the store or for the kernel.
    fn address(&self) -> Option<Ipv4Addr> {
        match self {
            Self::Action(Action::Commit(change)) => Some(change.address()),
            Self::Action(Action::Publish(lease)) => Some(lease.address),
            Self::Action(Action::Horizon { address, .. }) => Some(*address),
            _ => None,
        }
    }
}

/// The changes to commit, and the actions to carry out then.
pub(in crate::server) fn parted(decided: Vec<Decided>) -> (Vec<Change>, Vec<Decided>) {
    let mut changes = Vec::new();
    let mut rest = Vec::with_capacity(decided.len());
    for one in decided {
        match one {
            Decided::Action(Action::Commit(change)) => changes.push(change),
            other => rest.push(other),
        }
    }
    if wrong!(LastDropped) && changes.len() > 1 {
        changes.pop();
    }
    if wrong!(Reversed) {
        changes.reverse();
    }
    (changes, rest)
}

type Answer = Box<dyn FnOnce(Result<(), NotCommitted>)>;

/// Orders of operators that are carried out and not yet on disk.
#[derive(Default)]
pub(in crate::server) struct Orders {
    next: u64,
    waiting: BTreeMap<u64, (Instant, Answer)>,
}

impl fmt::Debug for Orders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Orders").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl Orders {
    fn add(&mut self, answer: Answer) -> u64 {
        self.next += 1;
        self.waiting.insert(self.next, (Instant::now(), answer));
        self.next
    }

    /// The changes of an order are on disk, or will not be for now. An operator who already got an answer gets no
    /// other.
    pub(in crate::server) fn ended(&mut self, number: u64, committed: &Result<(), NotCommitted>) {
        if let Some((_, answer)) = self.waiting.remove(&number) {
            answer(committed.clone());
        }
    }

    /// Tells those who have waited long enough.
    pub(in crate::server) fn give_up(&mut self) {
        while let Some(entry) = self.waiting.first_entry().filter(|first| first.get().0.elapsed() >= PATIENCE)
        {
            let (since, answer) = entry.remove();
            answer(Err(NotCommitted::late(since.elapsed())));
        }
    }
}

impl Server {
    /// Puts what was decided behind all that was decided before.
    pub(in crate::server) fn queue(&mut self, actions: impl IntoIterator<Item = Action>) {
        self.decided.extend(actions.into_iter().map(Decided::Action));
    }

    /// Decides by an operator's order, and answers when what that led to is on disk; or after a while that it is not.
    pub(in crate::server) fn order(
        &mut self,
        event: Event,
        answer: impl FnOnce(Result<(), NotCommitted>) + 'static,
    ) {
        let mut actions = Vec::new();
        self.policy.handle(BootNanos::now().floor(), &self.table, event, &mut actions);
        self.queue(actions);
        self.when_on_disk(answer);
    }

    /// Answers when all that is decided so far is on disk; or after a while that it is not.
    pub(in crate::server) fn when_on_disk(
        &mut self,
        answer: impl FnOnce(Result<(), NotCommitted>) + 'static,
    ) {
        let number = self.orders.add(Box::new(answer));
        self.decided.push(Decided::Order(number));
    }

    /// The decisions so far used a configuration that has just changed: their publications are checked once more.
    pub(in crate::server) fn mark_former(&mut self) {
        self.former += 1;
        self.decided.push(Decided::Former);
    }

    /// The decided changes that are not known to be on disk, or not published yet. It reads the commit under way and
    /// the actions that wait for it; uncommitted changes, which may be many more, are looked up by address.
    pub(in crate::server) fn undurable(&self) -> Undurable<'_> {
        let queued = self.decided.iter().filter_map(Decided::change);
        let recent = self.committing.changes().iter().chain(queued);
        let waiting = self.committing.then().iter().chain(&self.decided);
        Undurable {
            uncommitted: self.uncommitted.as_ref(),
            unpublished: &self.unpublished,
            recent: recent.map(|change| (change.address(), change)).collect(),
            waiting: waiting.filter_map(Decided::address).collect(),
        }
    }
}

/// Decided changes that are not yet carried out, by address.
pub(in crate::server) struct Undurable<'a> {
    uncommitted: Option<&'a UncommittedChanges>,
    unpublished: &'a Unpublished,
    /// The last change to each address.
    recent: HashMap<Ipv4Addr, &'a Change>,
    waiting: HashSet<Ipv4Addr>,
}

impl<'a> Undurable<'a> {
    /// The last change to the address that is not known to be on disk.
    pub(in crate::server) fn change(&self, address: Ipv4Addr) -> Option<&'a Change> {
        self.recent.get(&address).copied().or_else(|| self.uncommitted?.of(address))
    }

    /// Whether store and kernel have the address as policy has it.
    pub(in crate::server) fn is_settled(&self, address: Ipv4Addr) -> bool {
        self.change(address).is_none()
            && !self.waiting.contains(&address)
            && !self.unpublished.contains(address)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[test]
    fn an_order_is_answered_once() {
        let said = Rc::new(RefCell::new(Vec::new()));
        let mut orders = Orders::default();
        let add = |orders: &mut Orders| {
            let said = Rc::clone(&said);
            orders.add(Box::new(move |outcome| said.borrow_mut().push(outcome.is_ok())))
        };
        let (first, second) = (add(&mut orders), add(&mut orders));
        orders.ended(first, &Ok(()));
        orders.ended(first, &Ok(()));
        orders.give_up();
        assert_eq!(*said.borrow(), [true]);
        if let Some((since, _)) = orders.waiting.get_mut(&second) {
            *since -= PATIENCE;
        }
        orders.give_up();
        orders.ended(second, &Ok(()));
        assert_eq!(*said.borrow(), [true, false]);
    }
}
