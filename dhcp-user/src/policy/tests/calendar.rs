//! The calendar: a few entries for an address, whatever its client does all day.

use super::wire::{Draft, SERVER};
use super::*;

/// How often a client is heard in its lease time.
const OFTEN: u32 = 60;

/// A pool of one address, a client, and what it does again and again; how many entries there are after three lease times.
fn entries_after(day: impl Fn(&mut Bench, Ipv4Addr)) -> usize {
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    let address = bench.lease(1);
    for _ in 0..3 * OFTEN {
        bench.now += LEASE_TIME / OFTEN;
        day(&mut bench, address);
        assert_eq!(bench.policy.audit(&bench.words), []);
    }
    bench.policy.book.deadlines()
}

fn ask(bench: &mut Bench, address: Ipv4Addr) {
    assert_eq!(bench.send(&Draft::discover(1)).offered(), Some(address));
}

fn take(bench: &mut Bench, address: Ipv4Addr) {
    ask(bench, address);
    assert_eq!(bench.send(&Draft::select(1, SERVER, address)).acked(), Some(address));
}

#[test]
fn a_client_that_comes_back_and_back_fills_no_calendar() {
    let entries = [
        entries_after(ask),
        entries_after(take),
        entries_after(|bench, address| {
            take(bench, address);
            bench.send(&Draft::release(1, address));
        }),
        entries_after(|bench, address| {
            assert_eq!(bench.send(&Draft::renew(1, address)).acked(), Some(address));
        }),
    ];
    assert!(entries.iter().all(|entries| (1..=3).contains(entries)), "{entries:?}");
}
