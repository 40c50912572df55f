//! Promises and quarantines of addresses that are no longer in a pool or reservation: kept until they end, in case
//! the address becomes ours to give again.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::Bound;

use dhcp_ebpf::lease::BootSecs;

use crate::message::Request;
use crate::policy::action::Action;
use crate::policy::turn::Turn;
use crate::store::{Change, Record, Standing};

/// By address.
#[derive(Debug, Default)]
pub(in crate::policy) struct Unconfigured {
    records: BTreeMap<Ipv4Addr, Record>,
    /// No promise runs out earlier.
    next: Option<BootSecs>,
}

impl Unconfigured {
    /// Keeps `record`, which is in the store, if it matters for some time.
    pub(in crate::policy) fn add(&mut self, turn: &mut Turn<'_>, record: Record) {
        if end(&record) > turn.now && !wrong!(UnconfiguredForgotten) {
            self.keep(record);
        } else {
            turn.out.push(Action::Commit(Change::Delete(record.address)));
        }
    }

    /// Keeps `record` until it is found to matter no longer.
    pub(in crate::policy) fn keep(&mut self, record: Record) {
        self.next = self.next.into_iter().chain([end(&record)]).min();
        self.records.insert(record.address, record);
    }

    /// Whether a promise for this address is kept in mind.
    pub(in crate::policy) fn holds(&self, address: Ipv4Addr) -> bool {
        self.records.contains_key(&address)
    }

    /// Whether a lease of this address was promised to the client that sent `request`.
    pub(in crate::policy) fn is_promised_to(&self, address: Ipv4Addr, request: &Request) -> bool {
        self.records.get(&address).is_some_and(|record| {
            let is_leased = !matches!(record.standing, Standing::Quarantined { .. });
            let named = request.options.client_id.as_deref();
            let is_named = named.is_some() && record.client_id.as_deref() == named;
            is_leased && (is_named || record.chaddr == request.chaddr)
        })
    }

    /// When something is to be forgotten.
    pub(in crate::policy) fn next(&self) -> Option<BootSecs> {
        self.next
    }

    /// Forgets what has run out.
    pub(in crate::policy) fn forget(&mut self, turn: &mut Turn<'_>) {
        if self.next.is_none_or(|next| next > turn.now) {
            return;
        }
        self.records.retain(|address, record| {
            let holds = end(record) > turn.now;
            if !holds {
                turn.out.push(Action::Commit(Change::Delete(*address)));
            }
            holds
        });
        self.next = self.records.values().map(end).min();
    }

    /// The first record at `from` or after it, in order of address.
    pub(in crate::policy) fn after(&self, from: Bound<Ipv4Addr>) -> Option<&Record> {
        self.records.range((from, Bound::Unbounded)).next().map(|(_, record)| record)
    }
}

/// From when on the record does not matter.
fn end(record: &Record) -> BootSecs {
    match record.standing {
        Standing::Leased => record.committed_until,
        Standing::Quarantined { until, .. } => until,
        // It was ended before the promise: by the operator, a move, or for another's reservation.
        Standing::Grace | Standing::Ended => record.expiry,
        Standing::Free => BootSecs(0),
    }
}
