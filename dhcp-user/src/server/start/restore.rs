//! At a start: policy takes over the leases of the store and of the kernel's maps, and publishes them.

use std::net::Ipv4Addr;

use anyhow::Result;
use dhcp_ebpf::abi::Mac;
use dhcp_ebpf::slot::MEMOS;

use super::reconcile::last_promise;
use crate::clock::BootNanos;
use crate::control::Startup;
use crate::datapath::leases::table::Table;
use crate::policy::{Action, Adopted, State, Words as _, revoke_anyway};
use crate::server::Server;
use crate::store::{Change, Record};

/// How many records of the store are taken over at a time.
const PART: usize = 4096;

impl Server {
    /// Has policy take over the leases of store and maps, a part at a time: the decisions of one part are carried
    /// out, and free their memory, before the next.
    pub(in crate::server) fn restore(&mut self, records: Vec<Record>, startup: &Startup) -> Result<()> {
        let mut records = records.into_iter();
        while records.len() > 0 {
            let part = records.by_ref().take(PART).collect();
            self.restore_part(part, &[])?;
            startup.restored(self.policy.leased());
        }
        self.leave_to_others();
        let (unknown, strangers) = self.unknown();
        self.restore_part(Vec::new(), &unknown)?;
        self.revoke(&strangers)?;
        self.correct_identities();
        Ok(())
    }

    /// Corrects client and link in the slots: an interface may have another index now, or may no longer be
    /// configured.
    fn correct_identities(&mut self) {
        let Self { policy, table, .. } = self;
        let live = table.addresses().filter_map(|address| Some((address, table.slot(address)?.1)));
        let live = live.filter(|(_, slot)| slot.word().alive());
        let stale = live.filter_map(|(address, slot)| {
            let lease = policy.publication(table, address)?;
            let said = (slot.link_cell(), slot.chaddr_cell());
            (said != (lease.link.cell(), Mac::from(lease.chaddr).cell())).then_some(lease)
        });
        for lease in stale.collect::<Vec<_>>() {
            // Revoked meanwhile it can't be: this is the only thread that does.
            let _ = table.publish(&lease);
        }
    }

    fn restore_part(&mut self, records: Vec<Record>, adopted: &[Adopted]) -> Result<()> {
        let mut actions = Vec::new();
        self.policy.restore(BootNanos::now().floor(), &self.table, records, adopted, &mut actions);
        self.queue(actions);
        Ok(self.commit_all(None)?)
    }

    /// Leases that the maps have alive and the store doesn't know, and addresses of such that are in no pool and no
    /// reservation any more.
    fn unknown(&self) -> (Vec<Adopted>, Vec<Ipv4Addr>) {
        let (mut unknown, mut strangers) = (Vec::new(), Vec::new());
        for address in self.table.addresses().filter(|address| self.table.load(*address).alive()) {
            match self.policy.state(address) {
                Some(State::Leased) => {}
                Some(_) if wrong!(LiveUnknown) => {}
                Some(_) => unknown.extend(live(&self.table, address)),
                None => strangers.push(address),
            }
        }
        (unknown, strangers)
    }

    /// Revokes what the maps promise for addresses that are not ours to lease any more. The promises are kept: the addresses
    /// may be ours again before these have run out.
    fn revoke(&mut self, strangers: &[Ipv4Addr]) -> Result<()> {
        if strangers.is_empty() || wrong!(StrangersLive) {
            return Ok(());
        }
        let (known, unknown): (Vec<Ipv4Addr>, Vec<_>) =
            strangers.iter().partition(|address| self.policy.is_unconfigured(**address));
        for address in known {
            revoke_anyway(&self.table, address);
        }
        let promised: Vec<Record> =
            unknown.into_iter().filter_map(|address| last_promise(&self.table, address)).collect();
        tracing::warn!(leases = strangers.len(), "revoked leases of addresses that are in no pool any more");
        self.table.tidy();
        let commits = promised.iter().cloned().map(|record| Action::Commit(Change::Put(record)));
        self.queue(commits.collect::<Vec<_>>());
        self.restore_part(promised, &[])
    }
}

/// A lease that is alive in the maps, with their data.
fn live(table: &Table, address: Ipv4Addr) -> Option<Adopted> {
    let (_, slot) = table.slot(address)?;
    let identity = slot.identity();
    let place = (0..MEMOS).map(|index| slot.memo(index)).find(|memo| memo.hash != 0).map(|memo| memo.place);
    Some(Adopted {
        address,
        link: identity.link,
        chaddr: identity.chaddr.bytes(),
        server: identity.server.into(),
        horizon: slot.horizon(),
        lease_time: place.map_or(0, |place| table.answer(place).0.lease_time),
    })
}
