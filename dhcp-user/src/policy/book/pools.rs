//! A pool: its range, the classes it admits, its counts, and the order in which its free addresses are used.

use super::state::{State, Stock, Tally};
use crate::config::{Admission, DynamicPool, Pool};
use crate::policy::site::place::Place;
use crate::policy::site::subnet_id::SubnetId;

/// Where the next address to be used is looked for.
pub(super) const UNPROBED: [Stock; 3] = [Stock::Fresh, Stock::Freed, Stock::Expired];
const STOCKS: usize = UNPROBED.len() + 4;
/// Shares of a pool in use that raise an alarm, in percent, and how far the share must fall before the next alarm.
const ALARMS: [u8; 3] = [80, 95, 100];
const RELIEF: u8 = 5;

/// One pool.
#[derive(Debug)]
pub(in crate::policy) struct PoolState {
    pub(in crate::policy) subnet: SubnetId,
    /// Its place among the pools of the subnet.
    pub(in crate::policy) number: usize,
    pub(in crate::policy) range: Pool,
    /// Whose it is.
    pub(in crate::policy) admits: Admission,
    pub(in crate::policy) tally: Tally,
    /// How many addresses are never given to just any client.
    pub(super) withheld: u32,
    /// The share of the pool in use at the last alarm, in percent: 0, 80, 95 or 100.
    alarm: u8,
    /// Whether an event reported a client without an address here, and no client has got one since.
    pub(super) exhausted: bool,
    pub(super) lists: [List; STOCKS],
    /// Addresses in grace, those first that came into it first.
    pub(super) grace: List,
}

impl PoolState {
    /// A pool of `subnet`, its `number`th, without addresses yet.
    pub(super) fn new(subnet: SubnetId, number: usize, pool: &DynamicPool) -> Self {
        Self {
            subnet,
            number,
            range: pool.range,
            admits: pool.admits,
            tally: Tally::default(),
            withheld: 0,
            alarm: 0,
            exhausted: false,
            lists: [List::EMPTY; STOCKS],
            grace: List::EMPTY,
        }
    }

    /// How many of the addresses that any client may have are not free, and how many of those there are. Reserved and
    /// host addresses count in neither.
    pub(in crate::policy) fn fullness(&self) -> (u32, u32) {
        let size = self.tally.size().saturating_sub(self.withheld);
        (size.saturating_sub(self.tally.of(State::Free)), size)
    }

    /// The share in use that raises an alarm, in percent, if the pool has become fuller than at the last alarm.
    pub(super) fn alarm(&mut self) -> Option<u8> {
        let (used, size) = self.fullness();
        let used = u8::try_from(u64::from(used) * 100 / u64::from(size.max(1))).unwrap_or(100);
        let reached = ALARMS.into_iter().rev().find(|alarm| used >= *alarm).unwrap_or(0);
        let rises = reached > self.alarm;
        if rises || used.saturating_add(RELIEF) <= self.alarm {
            self.alarm = reached;
        }
        rises.then_some(reached)
    }
}

/// Addresses of one pool in an order; each knows the one before it and the one behind it.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub(super) head: Place,
    pub(super) tail: Place,
    pub(super) length: u32,
}

impl List {
    const EMPTY: Self = Self { head: Place::NONE, tail: Place::NONE, length: 0 };
}
