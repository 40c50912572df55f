//! The audit: what policy decided, what the store holds and what the kernel may promise, address by address.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use dhcp_ebpf::abi::Mac;
use dhcp_ebpf::lease::BootSecs;

use super::Server;
use crate::control::{Finding, Page};
use crate::policy::State;

impl Server {
    /// What differs about up to `most` addresses above `after`; with the first of them, the counts too.
    ///
    /// An address is judged at one moment, between two batches, when all that was decided of it has been done.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(super) fn audit(&mut self, after: Option<Ipv4Addr>, most: usize) -> Result<Page<Finding>> {
        let mut addresses = self.table.addresses_after(after);
        let looked_at: Vec<Ipv4Addr> = addresses.by_ref().take(most).collect();
        let next = addresses.next().and(looked_at.last().copied());
        drop(addresses);

        let counts = if after.is_none() { self.policy.audit_counts() } else { Vec::new() };
        let mut items: Vec<Finding> =
            counts.into_iter().map(|found| Finding { address: found.address, what: found.what }).collect();
        for address in looked_at {
            let found = self.policy.audit_address(&self.table, address);
            let store = self.committing.store().context("no commit comes to its end any more")?;
            let stored = store.record(address)?;
            let differs = [self.kernel_differs(address), self.policy.audit_record(address, stored.as_ref())];
            let all = found.into_iter().map(|found| found.what);
            let all = all.chain(differs.into_iter().flatten().map(str::to_owned));
            items.extend(all.map(|what| Finding { address, what }));
        }
        Ok(Page { items, next })
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
        let client = Mac::from(lease.chaddr.octets().try_into().unwrap_or([0; 6]));
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
