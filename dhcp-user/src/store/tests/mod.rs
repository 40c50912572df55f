//! The duties of every store, shown on both disks, and the particulars of each.

mod accidents;
mod damage;
mod directory;
mod kill;

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use dhcp_ebpf::lease::BootSecs;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const A: BootId = BootId(0xa);
const B: BootId = BootId(0xb);

/// A place where a store can be opened again and again.
trait Medium {
    fn open(&self, boot: BootId, now: BootSecs) -> Box<dyn Store>;

    /// How many segments of the usual size it takes.
    fn segments(&self) -> usize;
}

impl Medium for TempDir {
    /// Other tests start processes at the same time, which have this one's files, locks included, from their beginning until they
    /// become another program: until then the store is taken for open.
    fn open(&self, boot: BootId, now: BootSecs) -> Box<dyn Store> {
        let patience = Instant::now() + Duration::from_secs(10);
        loop {
            match Embedded::open(self.path(), boot, now) {
                Err(StoreError::Locked { .. }) if Instant::now() < patience => thread::yield_now(),
                opened => return Box::new(opened.unwrap()),
            }
        }
    }

    fn segments(&self) -> usize {
        directory::segments(self).len()
    }
}

impl Medium for MemoryDisk {
    fn open(&self, boot: BootId, now: BootSecs) -> Box<dyn Store> {
        Box::new(Memory::open(self, boot, now).unwrap())
    }

    fn segments(&self) -> usize {
        self.len() / self.segment_size() as usize
    }
}

macro_rules! on_both_disks {
    ($($test:ident),+ $(,)?) => {
        mod embedded {
            $(#[test] fn $test() { super::$test(&tempfile::tempdir().unwrap()); })+
        }
        mod memory {
            $(#[test] fn $test() { super::$test(&super::MemoryDisk::with_segment_size(1, 1 << 18)); })+
        }
    };
}

on_both_disks! {
    a_new_store_is_empty,
    what_was_committed_is_loaded,
    what_was_committed_survives_a_restart,
    what_was_deleted_stays_deleted,
    each_record_is_found_by_its_address,
    the_last_change_to_an_address_wins,
    records_come_in_the_order_they_expire_in,
    a_store_keeps_its_id,
    a_reboot_leaves_leases_what_they_had_at_the_last_commit,
    a_commit_without_changes_records_the_time,
    promises_of_earlier_boots_are_over_together,
    a_commit_larger_than_a_segment_is_one,
    a_store_that_is_written_over_and_over_stays_small_and_right,
}

fn a_new_store_is_empty(place: &dyn Medium) {
    assert_eq!(place.open(A, BootSecs(1)).load().unwrap(), []);
    assert_eq!(place.open(A, BootSecs(2)).load().unwrap(), []);
}

fn what_was_committed_is_loaded(place: &dyn Medium) {
    let mut store = place.open(A, BootSecs(100));
    store.commit(BootSecs(101), &puts([1, 2])).unwrap();
    store.commit(BootSecs(102), &puts([3])).unwrap();
    assert_eq!(store.load().unwrap(), [leased(1), leased(2), leased(3)]);
}

fn what_was_committed_survives_a_restart(place: &dyn Medium) {
    for i in 0..20 {
        let mut store = place.open(A, BootSecs(100 + i));
        store.commit(BootSecs(100 + i), &puts([i])).unwrap();
    }
    let records: Vec<_> = (0..20).map(leased).collect();
    assert_eq!(place.open(A, BootSecs(200)).load().unwrap(), records);
}

fn each_record_is_found_by_its_address(place: &dyn Medium) {
    let mut store = place.open(A, BootSecs(100));
    assert_eq!(store.record(address(1)).unwrap(), None);
    store.commit(BootSecs(100), &puts(0..300)).unwrap();
    let again = Record { kernel_renewals: 9, ..leased(7) };
    store.commit(BootSecs(101), &[Change::Put(again.clone()), Change::Delete(address(8))]).unwrap();
    for open_anew in [false, true] {
        if open_anew {
            drop(store);
            store = place.open(A, BootSecs(102));
        }
        assert_eq!(store.record(address(7)).unwrap(), Some(again.clone()));
        assert_eq!(store.record(address(8)).unwrap(), None);
        assert_eq!(store.record(address(299)).unwrap(), Some(leased(299)));
        assert_eq!(store.record(address(300)).unwrap(), None);
    }
}

fn what_was_deleted_stays_deleted(place: &dyn Medium) {
    let mut store = place.open(A, BootSecs(100));
    store.commit(BootSecs(100), &puts(0..10)).unwrap();
    store.commit(BootSecs(100), &[Change::Delete(address(3)), Change::Delete(address(99))]).unwrap();
    let left: Vec<_> = (0..10).filter(|i| *i != 3).map(leased).collect();
    assert_eq!(store.load().unwrap(), left);
    drop(store);
    assert_eq!(place.open(A, BootSecs(100)).load().unwrap(), left);
}

fn the_last_change_to_an_address_wins(place: &dyn Medium) {
    let again = Record { kernel_renewals: 9, ..leased(1) };
    let mut store = place.open(A, BootSecs(100));
    let changes = [
        Change::Put(leased(1)),
        Change::Put(leased(2)),
        Change::Delete(address(1)),
        Change::Put(again.clone()),
        Change::Delete(address(2)),
    ];
    store.commit(BootSecs(100), &changes).unwrap();
    assert_eq!(store.load().unwrap(), std::slice::from_ref(&again));
    drop(store);
    assert_eq!(place.open(A, BootSecs(100)).load().unwrap(), [again]);
}

fn records_come_in_the_order_they_expire_in(place: &dyn Medium) {
    let expiring = |i, expiry| Record { expiry: BootSecs(expiry), ..leased(i) };
    let records = [expiring(1, 900), expiring(2, 300), expiring(3, 600), expiring(4, 300)];
    let mut store = place.open(A, BootSecs(100));
    store.commit(BootSecs(100), &records.clone().map(Change::Put)).unwrap();
    let [first, second, third, fourth] = records;
    assert_eq!(store.load().unwrap(), [second, fourth, third, first]);
}

fn a_store_keeps_its_id(place: &dyn Medium) {
    let id = place.open(A, BootSecs(1)).id();
    assert_eq!(place.open(B, BootSecs(1)).id(), id);
}

fn a_reboot_leaves_leases_what_they_had_at_the_last_commit(place: &dyn Medium) {
    let mut store = place.open(A, BootSecs(5_000));
    store.commit(BootSecs(6_000), &[Change::Put(lasting(1, 9_600))]).unwrap();
    drop(store);
    assert_eq!(place.open(B, BootSecs(30)).load().unwrap(), [lasting(1, 3_630)]);
    // A crash and a restart in the same boot: time passes as it does for the clients.
    let mut store = place.open(B, BootSecs(130));
    assert_eq!(store.load().unwrap(), [lasting(1, 3_630)]);
    store.commit(BootSecs(430), &[Change::Put(lasting(2, 4_030))]).unwrap();
    drop(store);
    let third = BootId(0xc);
    assert_eq!(place.open(third, BootSecs(8)).load().unwrap(), [lasting(1, 3_208), lasting(2, 3_608)]);
}

fn a_commit_without_changes_records_the_time(place: &dyn Medium) {
    let mut store = place.open(A, BootSecs(100));
    store.commit(BootSecs(100), &[Change::Put(lasting(1, 1_100))]).unwrap();
    store.commit(BootSecs(500), &[]).unwrap();
    drop(store);
    assert_eq!(place.open(B, BootSecs(10)).load().unwrap(), [lasting(1, 610)]);
}

fn promises_of_earlier_boots_are_over_together(place: &dyn Medium) {
    let mut store = place.open(A, BootSecs(100));
    let changes = [lasting(1, 900), lasting(2, 500), lasting(3, 2_500)].map(Change::Put);
    store.commit(BootSecs(2_000), &changes).unwrap();
    drop(store);
    let over = |i| Record { expiry: BootSecs(0), ..lasting(i, 0) };
    assert_eq!(place.open(B, BootSecs(7)).load().unwrap(), [over(2), over(1), lasting(3, 507)]);
}

fn a_commit_larger_than_a_segment_is_one(place: &dyn Medium) {
    let mut store = place.open(A, BootSecs(100));
    let records: Vec<_> = (0..50_000).map(leased).collect();
    store.commit(BootSecs(100), &puts(0..50_000)).unwrap();
    store.commit(BootSecs(100), &puts([7])).unwrap();
    assert!(store.load().unwrap() == records);
    drop(store);
    assert!(place.open(A, BootSecs(100)).load().unwrap() == records);
}

fn a_store_that_is_written_over_and_over_stays_small_and_right(place: &dyn Medium) {
    let mut store = place.open(A, BootSecs(100));
    store.commit(BootSecs(100), &puts(0..300)).unwrap();
    let mut expected: Vec<_> = (0..300).map(leased).collect();
    for round in 0..400u32 {
        // A third is written over and over, a third now and then, and a third never.
        let changes: Vec<_> = (0..600)
            .map(|i| if round % 50 == 0 { 100 + i % 100 } else { (round * 600 + i) % 100 })
            .map(|i| {
                let record = Record { kernel_renewals: round.into(), ..leased(i) };
                expected[i as usize].clone_from(&record);
                Change::Put(record)
            })
            .collect();
        store.commit(BootSecs(100), &changes).unwrap();
    }
    assert!(store.load().unwrap() == expected);
    drop(store);
    // What went through it fills more than 7 segments in the directory, and more than 100 in memory.
    assert!(place.segments() <= 6, "{} segments", place.segments());
    assert!(place.open(A, BootSecs(100)).load().unwrap() == expected);
}

#[test]
fn a_segment_that_was_made_for_a_large_commit_is_given_back() {
    let disk = MemoryDisk::with_segment_size(1, 8192);
    let mut store = Memory::open(&disk, A, BootSecs(100)).unwrap();
    store.commit(BootSecs(100), &puts(0..2_000)).unwrap();
    let large = disk.len();
    assert!(large > 100_000, "{large} octets");
    let deletions: Vec<_> = (10..2_000).map(|i| Change::Delete(address(i))).collect();
    store.commit(BootSecs(100), &deletions).unwrap();
    for i in 0..1_000 {
        store.commit(BootSecs(100), &puts([i % 10])).unwrap();
    }
    assert!(disk.len() < 50_000, "{} octets", disk.len());
    assert_eq!(store.load().unwrap(), (0..10).map(leased).collect::<Vec<_>>());
}

fn puts(records: impl IntoIterator<Item = u32>) -> Vec<Change> {
    records.into_iter().map(leased).map(Change::Put).collect()
}

fn address(i: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + i)
}

/// A lease whose times are `moment`.
fn lasting(i: u32, moment: u32) -> Record {
    let moment = BootSecs(moment);
    Record { expiry: moment, committed_until: moment, last_heard: BootSecs(0), ..leased(i) }
}

/// The lease of an ordinary client, another for each `i`.
pub(super) fn leased(i: u32) -> Record {
    let [_, b, c, d] = address(i).octets();
    Record {
        address: address(i),
        standing: Standing::Leased,
        recurrences: 0,
        client_id: Some(vec![1, 2, 0, 0, b, c, d]),
        chaddr: HwAddr::ethernet([2, 0, 0, b, c, d]),
        interface: "eth0".to_owned(),
        vlan: (0, 0),
        giaddr: Ipv4Addr::UNSPECIFIED,
        server: Ipv4Addr::new(10, 255, 255, 254),
        host_name: Some(format!("host-{i}")),
        lease_time: 3_600,
        expiry: BootSecs(3_700),
        committed_until: BootSecs(7_300),
        kernel_renewals: 0,
        last_heard: BootSecs(100),
        agent_info: None,
        adopted: false,
        shortened: false,
        classes: Vec::new(),
    }
}

/// Any record there can be.
pub(super) fn any_record() -> impl Strategy<Value = Record> {
    let moment = || any::<u32>().prop_map(BootSecs);
    let address = || any::<u32>().prop_map(Ipv4Addr::from_bits);
    let standing = prop_oneof![
        Just(Standing::Leased),
        Just(Standing::Free),
        Just(Standing::Grace),
        Just(Standing::Ended),
        (moment(), moment(), any::<bool>(), any::<String>()).prop_map(|(since, until, declined, by)| {
            let why = if declined { QuarantineCause::Declined } else { QuarantineCause::Probe };
            Standing::Quarantined { since, until, why, by }
        }),
    ];
    let chaddr = (any::<u8>(), vec(any::<u8>(), 0..=HwAddr::MAX))
        .prop_map(|(htype, octets)| HwAddr::new(htype, &octets).unwrap());
    let client = (option::of(vec(any::<u8>(), 0..300)), chaddr, option::of(any::<String>()));
    let path =
        ("[a-z]{1,15}", any::<(u16, u16)>(), address(), address(), option::of(vec(any::<u8>(), 0..300)));
    let times = (any::<u32>(), moment(), moment(), moment());
    let kept = (any::<(u32, u64, bool, bool)>(), vec(any::<String>(), 0..3));
    (address(), standing, kept, client, path, times).prop_map(
        |(address, standing, (kept, classes), client, path, times)| {
            let (recurrences, kernel_renewals, adopted, shortened) = kept;
            let (client_id, chaddr, host_name) = client;
            let (interface, vlan, giaddr, server, agent_info) = path;
            let (lease_time, expiry, committed_until, last_heard) = times;
            Record {
                address,
                standing,
                recurrences,
                client_id,
                chaddr,
                interface,
                vlan,
                giaddr,
                server,
                host_name,
                lease_time,
                expiry,
                committed_until,
                kernel_renewals,
                last_heard,
                agent_info,
                adopted,
                shortened,
                classes,
            }
        },
    )
}
