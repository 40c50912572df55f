//! At a start: compares the promises of the kernel's maps with the store's records, before policy takes over either.
//!
//! A live word stands for a promise to the client that its slot names. If the store has the lease of another client,
//! or none, one of the two is newer: the store, if maps and store belong to each other; the maps, if the store is an
//! older copy or has lost something. In each case nobody else gets the address before both promises have ended.
//! Promises that only the maps had are in the store before the daemon serves.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use dhcp_ebpf::lease::BootSecs;
use dhcp_ebpf::slot::Identity;

use crate::datapath::leases::table::Table;
use crate::policy::revoke_anyway;
use crate::store::{Change, HwAddr, Record, Standing};

/// The relation of the maps to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Maps {
    /// They rest upon it.
    Ours,
    /// They have promises that it has lost.
    Ahead,
    /// Another store promised what is in them.
    Foreign,
}

/// So many differences are logged one by one.
const TOLD: usize = 20;

/// Goes through what the maps promise. `records` come out as policy is to take them over; the changes are to be
/// committed first.
pub(in crate::server) fn reconcile(
    table: &mut Table,
    records: &mut Vec<Record>,
    maps: Maps,
    now: BootSecs,
) -> Vec<Change> {
    let mut known: HashMap<Ipv4Addr, usize> =
        records.iter().enumerate().map(|(at, record)| (record.address, at)).collect();
    let mut changes = Vec::new();
    let mut dropped = vec![false; records.len()];
    let (mut live, mut differing) = (0, 0);
    for address in table.addresses().collect::<Vec<_>>() {
        let Some((_, slot)) = table.slot(address) else { continue };
        let (word, identity) = (slot.word(), slot.identity());
        live += usize::from(word.alive());
        let at = known.get(&address).copied();
        let Some(at) = at else {
            // Those of another store's, and of a lost one's the ended ones that may not have run out: of live ones
            // policy takes over what it can.
            if maps == Maps::Foreign && word.alive()
                || maps != Maps::Ours && !word.alive() && word.expiry() > now
            {
                let expiry = revoke_anyway(table, address).expiry();
                let record = kept(address, &identity, expiry);
                known.insert(address, records.len());
                changes.push(Change::Put(record.clone()));
                records.push(record);
                dropped.push(false);
            }
            continue;
        };
        let Some(record) = records.get_mut(at).filter(|_| word.alive()) else { continue };
        let difference = difference(record, &identity);
        if maps == Maps::Ahead
            && (difference == Some(Difference::Client) || record.standing != Standing::Leased)
        {
            differing += 1;
            if differing <= TOLD {
                tracing::warn!(%address, store = %record.chaddr, maps = %chaddr(&identity), "goes by the maps: the store has lost this lease");
            }
            if let Some(dropped) = dropped.get_mut(at) {
                *dropped = true;
            }
            continue;
        }
        if maps == Maps::Ours && difference.is_none() && record.standing == Standing::Leased {
            // Never so where the maps rest upon the store. But a loss may have been accepted at a start that came no
            // further: nobody knows of it any more.
            let promised = slot.horizon().max(word.expiry());
            if promised > record.committed_until {
                record.committed_until = promised;
                changes.push(Change::Put(record.clone()));
            }
            continue;
        }
        let expiry = revoke_anyway(table, address).expiry();
        if difference.is_some() {
            differing += 1;
        }
        if differing <= TOLD && difference.is_some() {
            tracing::warn!(
                %address,
                store = %record.chaddr,
                maps = %chaddr(&identity),
                ?difference,
                "the maps tell of another holder than the store: what they promise is revoked, and the address given \
                 to nobody else before both promises have run out"
            );
        }
        merge(record, difference, &identity, expiry);
        changes.push(Change::Put(record.clone()));
    }
    let mut dropped = dropped.into_iter();
    records.retain(|_| !dropped.next().unwrap_or(false));
    if differing > TOLD {
        tracing::warn!(leases = differing, "maps and store tell of different holders");
    }
    match maps {
        Maps::Foreign => tracing::warn!(
            leases = live,
            "the pinned maps belong to another store: its leases were revoked, their promises are kept"
        ),
        Maps::Ours | Maps::Ahead if live > 0 => {
            tracing::info!(leases = live, "adopted the leases of the pinned maps");
        }
        Maps::Ours | Maps::Ahead => {}
    }
    table.tidy();
    changes
}

/// How a slot's holder differs from the store's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Difference {
    /// It is another client.
    Client,
    /// It is the same, which talks to another address of ours.
    Server,
}

/// The link is not compared: an interface may have another index now, and the slot is written anew for that.
fn difference(record: &Record, identity: &Identity) -> Option<Difference> {
    if record.chaddr.octets() != identity.chaddr.bytes() {
        return Some(Difference::Client);
    }
    (record.server != Ipv4Addr::from(identity.server)).then_some(Difference::Server)
}

/// The record of an address whose word, revoked now, promised it until `expiry`.
fn merge(record: &mut Record, difference: Option<Difference>, identity: &Identity, expiry: BootSecs) {
    let end = record.expiry.max(record.committed_until).max(expiry);
    match &mut record.standing {
        // The same client goes on, by a slot written anew.
        Standing::Leased if difference != Some(Difference::Client) => {
            (record.expiry, record.committed_until) = (end, end);
        }
        Standing::Leased => {
            record.standing = Standing::Grace;
            (record.expiry, record.committed_until) = (end, end);
        }
        Standing::Quarantined { until, .. } => *until = expiry.max(*until),
        // Its end was committed, and its word lives: whoever that promises it to has it until then.
        Standing::Free | Standing::Grace | Standing::Ended if difference == Some(Difference::Client) => {
            *record = Record {
                standing: Standing::Grace,
                recurrences: record.recurrences,
                ..kept(record.address, identity, expiry.max(record.expiry))
            };
        }
        Standing::Free | Standing::Grace => {
            record.standing = Standing::Grace;
            (record.expiry, record.committed_until) = (expiry, expiry);
        }
        Standing::Ended => (record.expiry, record.committed_until) = (expiry, expiry),
    }
}

fn chaddr(identity: &Identity) -> HwAddr {
    HwAddr::ethernet(identity.chaddr.bytes())
}

/// Revokes what the maps promise of an address. Gives what was promised.
pub(in crate::server) fn last_promise(table: &Table, address: Ipv4Addr) -> Option<Record> {
    let (_, slot) = table.slot(address)?;
    let identity = slot.identity();
    Some(kept(address, &identity, revoke_anyway(table, address).expiry()))
}

/// A promise that only the maps know of, as a record that keeps the address out of reuse until it has run out.
fn kept(address: Ipv4Addr, identity: &Identity, expiry: BootSecs) -> Record {
    Record {
        address,
        standing: Standing::Leased,
        client_id: None,
        chaddr: chaddr(identity),
        interface: String::new(),
        vlan: (0, 0),
        giaddr: Ipv4Addr::UNSPECIFIED,
        server: identity.server.into(),
        host_name: None,
        lease_time: 0,
        expiry,
        committed_until: expiry,
        kernel_renewals: 0,
        last_heard: BootSecs(0),
        agent_info: None,
        adopted: true,
        shortened: false,
        classes: Vec::new(),
        recurrences: 0,
    }
}

#[cfg(test)]
mod tests {
    use dhcp_ebpf::abi::Link;
    use dhcp_ebpf::question::Keys;
    use dhcp_ebpf::slot::{CHUNK_CELLS, SLOT_CELLS};

    use super::*;
    use crate::datapath::leases::hints::HeapHints;
    use crate::datapath::leases::memory::Region;
    use crate::policy::{Basis, Publication, Words as _};

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 10);
    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const CLIENT: [u8; 6] = [2, 0x43, 0, 0, 0, 1];
    const NOW: BootSecs = BootSecs(1000);
    const EXPIRY: BootSecs = BootSecs(2000);
    const HORIZON: BootSecs = BootSecs(4000);

    /// Maps that have a live lease.
    fn maps() -> Table {
        let (slots, answers) = (Region::heap(512 * SLOT_CELLS), Region::heap(512 * CHUNK_CELLS));
        let keys = Keys([[0; 4]; Keys::POSITIONS]);
        let mut table = Table::new(slots, answers, Box::new(keys), Box::new(HeapHints::default()));
        table.reserve(ADDRESS).expect("room");
        let lease = Publication {
            address: ADDRESS,
            link: Link { ifindex: 7, outer: 0, inner: 0 },
            chaddr: CLIENT,
            server: SERVER,
            generation: table.load(ADDRESS).generation(),
            expiry: EXPIRY,
            horizon: HORIZON,
            basis: Basis(1),
            memos: Vec::new(),
        };
        table.publish(&lease).expect("a lease");
        table
    }

    /// The store's record of it.
    fn record(table: &Table, committed_until: BootSecs) -> Record {
        let (_, slot) = table.slot(ADDRESS).expect("a slot");
        Record { committed_until, ..kept(ADDRESS, &slot.identity(), EXPIRY) }
    }

    #[test]
    fn no_live_word_keeps_a_horizon_that_the_store_does_not_know() {
        let mut table = maps();
        let mut records = vec![record(&table, EXPIRY)];
        let changes = reconcile(&mut table, &mut records, Maps::Ours, NOW);
        assert_eq!(records, [record(&table, HORIZON)]);
        assert_eq!(changes, [Change::Put(records[0].clone())]);
        assert!(table.load(ADDRESS).alive());
    }

    #[test]
    fn maps_that_rest_upon_the_store_have_nothing_committed() {
        let mut table = maps();
        for committed in [HORIZON, HORIZON.plus(1)] {
            let mut records = vec![record(&table, committed)];
            assert_eq!(reconcile(&mut table, &mut records, Maps::Ours, NOW), []);
            assert_eq!(records, [record(&table, committed)]);
        }
    }
}
