//! Long lists, page by page: each takes little work, and where there is little to be found there are few.

use super::wire::{Draft, SERVER};
use super::*;

/// A pool of so many addresses, all free.
fn wide(addresses: u32) -> Bench {
    let first = Ipv4Addr::new(10, 0, 0, 0);
    let pool = Pool { first, last: Ipv4Addr::from_bits(first.to_bits() + addresses - 1) };
    Bench::new(vec![Subnet {
        prefix: Prefix { network: first, len: 8 },
        pools: vec![pool.into()],
        server_id: Some(SERVER),
        relays: vec![RELAY],
        ..subnet(0, 0)
    }])
}

/// All items, and how many pages they came on.
fn gathered<T>(page: impl Fn(Option<Ipv4Addr>) -> (Vec<T>, Option<Ipv4Addr>)) -> (Vec<T>, usize) {
    let (mut all, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let (items, next) = page(after);
        pages += 1;
        all.extend(items);
        assert!(next.is_none() || next > after, "no page ends before it begins");
        after = next;
        if after.is_none() {
            return (all, pages);
        }
    }
}

#[test]
fn a_wide_pool_with_one_lease_takes_few_pages() {
    let mut bench = wide(1 << 18);
    let address = Ipv4Addr::new(10, 3, 200, 7);
    let draft = Draft::select(1, SERVER, address).via(RELAY);
    assert_eq!(bench.send(&draft).acked(), Some(address));
    let (leases, pages) = gathered(|after| bench.policy.leases_after(after, 256));
    assert_eq!(leases.iter().map(|lease| lease.address).collect::<Vec<_>>(), [address]);
    assert!(pages <= 17, "{pages} pages");
    let (records, pages) = gathered(|after| bench.policy.records_after(after, 256));
    assert_eq!((records.len(), records[0].address), (1, address));
    assert!(pages <= 17, "{pages} pages");
    let (devices, pages) = gathered(|after| bench.policy.orphans_after(after, 256));
    assert!(devices.is_empty() && pages <= 17, "{pages} pages");
}

#[test]
fn a_page_has_no_more_than_it_may() {
    let mut bench = Bench::new(vec![subnet(10, 60)]);
    let leased: Vec<Ipv4Addr> = (1..=40).map(|mac| bench.lease(mac)).collect();
    let (first, next) = bench.policy.leases_after(None, 16);
    assert_eq!((first.len(), next), (16, Some(leased[15])));
    let (all, pages) = gathered(|after| bench.policy.leases_after(after, 16));
    assert_eq!((all.len(), pages), (40, 3));
}
