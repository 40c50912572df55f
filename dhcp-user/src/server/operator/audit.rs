//! The audit: compares policy's state, the store's records and the kernel's promises, address by address.
//!
//! The thread that has the store reads it. Then an address is judged at one moment. A decided change that is not yet
//! on disk, or not yet published, counts as stored; the kernel's part of that address is left to another audit.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use dhcp_ebpf::abi::Mac;
use dhcp_ebpf::lease::BootSecs;

use crate::control::{Finding, Page, Reply};
use crate::policy::State;
use crate::server::Server;
use crate::server::commit::thread::Read;
use crate::store::{Change, Record};

/// How long a page waits for the disk at most.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pages for which the store is read.
#[derive(Debug, Default)]
pub(in crate::server) struct Audits {
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
}

/// A page for which the store is read.
#[derive(Debug)]
struct Waiting {
    since: Instant,
    /// The findings so far.
    items: Vec<Finding>,
    next: Option<Ipv4Addr>,
    reply: Reply<Page<Finding>>,
}

impl Audits {
    /// Tells those who have waited long enough.
    pub(in crate::server) fn give_up(&mut self) {
        while let Some(first) =
            self.waiting.first_entry().filter(|first| first.get().since.elapsed() >= PATIENCE)
        {
            let Waiting { since, reply, .. } = first.remove();
            let seconds = since.elapsed().as_secs();
            reply.no(format!("the store can't be read: the disk has not answered for {seconds} s"));
        }
    }
}

impl Server {
    /// Begins to compare up to `most` addresses above `after`; with the first of them, the counts too.
    pub(in crate::server) fn audit(
        &mut self,
        after: Option<Ipv4Addr>,
        most: usize,
        reply: Reply<Page<Finding>>,
    ) {
        let mut addresses = self.table.addresses_after(after);
        let looked_at: Vec<Ipv4Addr> = addresses.by_ref().take(most).collect();
        let next = addresses.next().and(looked_at.last().copied());
        drop(addresses);

        let counts = if after.is_none() { self.policy.audit_counts() } else { Vec::new() };
        let items =
            counts.into_iter().map(|found| Finding { address: found.address, what: found.what }).collect();
        self.audits.next += 1;
        let number = self.audits.next;
        if !self.committing.read(number, looked_at) {
            return reply.no("the store can't be read: too many audits wait for the disk");
        }
        self.audits.waiting.insert(number, Waiting { since: Instant::now(), items, next, reply });
    }

    /// Judges the addresses of a page, now that the store has been read.
    pub(in crate::server) fn audited(&mut self, read: Read) {
        // Whoever has waited too long was told.
        let Some(waiting) = self.audits.waiting.remove(&read.number) else { return };
        let Waiting { mut items, next, reply, .. } = waiting;
        let records = match read.records {
            Ok(records) => records,
            Err(error) => return reply.no(format!("the store can't be read: {error}")),
        };
        items.extend(self.judge_records(&records));
        reply.give(Page { items, next });
    }

    /// What differs about addresses of which the store has these records.
    pub(in crate::server) fn judge_records(&self, records: &[(Ipv4Addr, Option<Record>)]) -> Vec<Finding> {
        let mut items = Vec::new();
        let undurable = self.undurable();
        for (address, stored) in records {
            let address = *address;
            let stored = match undurable.change(address) {
                Some(Change::Put(record)) => Some(record),
                Some(Change::Delete(_)) => None,
                None => stored.as_ref(),
            };
            let stored = self.policy.audit_record(address, stored).map(str::to_owned);
            let mut found: Vec<String> = stored.into_iter().collect();
            if undurable.is_settled(address) && !self.policy.is_in_doubt(address) {
                let inside = self.policy.audit_address(&self.table, address);
                found.splice(..0, inside.into_iter().map(|found| found.what));
                found.extend(self.kernel_differs(address).map(str::to_owned));
            }
            items.extend(found.into_iter().map(|what| Finding { address, what }));
        }
        items
    }

    /// In what the kernel's slot of an address differs from the lease there is.
    fn kernel_differs(&self, address: Ipv4Addr) -> Option<&'static str> {
        let (_, slot) = self.table.slot(address)?;
        let state = self.policy.state(address);
        if slot.word().alive() && state.is_none() {
            return Some("the kernel has it leased, and no pool has it");
        }
        let lease = self.policy.lease(address).filter(|lease| lease.state == State::Leased)?;
        if !slot.word().alive() {
            // Of what is for good the kernel knows nothing.
            return (lease.expires != BootSecs::NEVER).then_some("leased, but its word is dead");
        }
        let found = slot.identity();
        // Nobody, where the client is not on Ethernet.
        let client = Mac::from(lease.chaddr.mac().unwrap_or_default());
        if found.address != address.into() {
            Some("the kernel has another address in its slot")
        } else if found.chaddr != client || found.link != lease.link {
            Some("the kernel has it for another client")
        } else if slot.horizon() > lease.committed_until {
            Some("the kernel may promise beyond what is committed")
        } else {
            None
        }
    }
}
