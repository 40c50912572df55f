//! How long leases last: new ones, prolonged ones, those of full pools.

use super::wire::{Draft, SERVER};
use super::*;

fn lasting(lease: u32, subnet: Subnet) -> Subnet {
    let times =
        LeaseTimes { lease, renew: lease / 2, rebind: lease * 7 / 8, min: 60, max: lease, when_full: None };
    Subnet { times, ..subnet }
}

fn seconds(response: &Response) -> u32 {
    u32::from_be_bytes(response.option(51).expect("a lease time").try_into().expect("four octets"))
}

#[test]
fn a_renewal_gets_the_time_that_is_configured_now() {
    for (before, after) in [(600, 3600), (3600, 600)] {
        for restart in [false, true] {
            let mut bench = Bench::new(vec![lasting(before, subnet(10, 20))]);
            let address = bench.lease(1);
            let (basis, link) = (bench.published[0].basis, bench.published[0].link);
            let next = vec![lasting(after, subnet(10, 20))];
            if restart {
                bench.config.subnets = next;
                bench.restart(true);
            } else {
                bench.reload(next);
            }
            assert_ne!(bench.policy.basis(address, link), Some(basis), "what the kernel knows is void");
            for draft in [Draft::renew(1, address), Draft::rebind(1, address), Draft::reboot(1, address)] {
                assert_eq!(seconds(&bench.send(&draft)), after, "{draft:?}");
            }
            let lease = bench.published.last().expect("published");
            assert!(!lease.memos.is_empty() && lease.memos.iter().all(|m| m.answer.lease_time == after));
        }
    }
}

/// RFC 2131 §4.3.1: the lease time that the client asks for, or another; also when it renews.
#[test]
fn a_wish_is_granted_in_a_renewal_too() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    for (wish, granted) in [(1, 60), (300, 300), (1500, 1500), (u32::MAX, 2 * LEASE_TIME)] {
        let renewed = bench.send(&Draft::renew(1, address).option(51, &wish.to_be_bytes()));
        assert_eq!(seconds(&renewed), granted);
    }
    assert_eq!(seconds(&bench.send(&Draft::renew(1, address))), LEASE_TIME, "nothing wished for");
}

/// From half full on, in a straight line: the address that is given counts.
#[test]
fn the_last_address_of_a_pool_is_given_for_the_time_of_a_full_one() {
    for (size, expected) in [(2, vec![2000, 1000]), (4, vec![2000, 2000, 1500, 1000])] {
        let mut small = lasting(2000, subnet(10, 9 + size));
        small.times.when_full = Some(1000);
        let mut bench = Bench::new(vec![small]);
        let mut times = Vec::new();
        for mac in 1..=size {
            let offer = bench.send(&Draft::discover(mac));
            let ack = bench.send(&Draft::select(mac, SERVER, offer.offered().expect("an offer")));
            assert_eq!(seconds(&offer), seconds(&ack));
            times.push(seconds(&ack));
        }
        assert_eq!(times, expected, "{size}");
    }
}

/// What fullness made shorter is so until there is room; who was not shortened is not for being renewed.
#[test]
fn a_shortened_lease_gets_longer_as_the_pool_has_room() {
    let mut small = lasting(2000, subnet(10, 13));
    small.times.when_full = Some(1000);
    let mut bench = Bench::new(vec![small]);
    let addresses: Vec<_> = (1..=4).map(|mac| bench.lease(mac)).collect();
    let memos = |bench: &Bench| bench.published.last().map_or(0, |lease| lease.memos.len());
    assert_eq!(memos(&bench), 0, "the kernel would say the short time for ever");
    assert_eq!(seconds(&bench.send(&Draft::renew(1, addresses[0]))), 2000);
    assert!(memos(&bench) > 0);
    assert_eq!(seconds(&bench.send(&Draft::renew(4, addresses[3]))), 1000);
    bench.send(&Draft::release(3, addresses[2]));
    assert_eq!(seconds(&bench.send(&Draft::renew(4, addresses[3]))), 1500);
    bench.send(&Draft::release(2, addresses[1]));
    assert_eq!(seconds(&bench.send(&Draft::renew(4, addresses[3]))), 2000);
    assert!(memos(&bench) > 0);
}

/// A lease may be short for other reasons than a full pool: it was configured so, or wished for.
#[test]
fn a_renewal_in_a_full_pool_gets_what_is_configured_if_the_pool_did_not_shorten_it() {
    let small = |lease| {
        let mut small = lasting(lease, subnet(10, 13));
        (small.times.min, small.times.when_full) = (60, Some(100));
        small
    };
    for restart in [false, true] {
        let mut bench = Bench::new(vec![small(600)]);
        let former = bench.lease(1);
        let wish = 300_u32.to_be_bytes();
        let offered = bench.send(&Draft::discover(2).option(51, &wish)).offered().expect("an offer");
        // Told with the offer, and not said again.
        let wished = bench.send(&Draft::select(2, SERVER, offered));
        assert_eq!(seconds(&wished), 300);
        let shortened: Vec<_> = (3..=4).map(|mac| bench.lease(mac)).collect();
        let next = vec![small(3600)];
        if restart {
            bench.config.subnets = next;
            bench.restart(true);
        } else {
            bench.reload(next);
        }
        assert_eq!(seconds(&bench.send(&Draft::renew(1, former))), 3600);
        assert_eq!(seconds(&bench.send(&Draft::renew(2, offered).option(51, &wish))), 300, "its wish");
        assert_eq!(seconds(&bench.send(&Draft::renew(2, offered))), 3600);
        for (mac, time) in [(3, 350), (4, 100)] {
            let address = shortened[mac - 3];
            let mac = u8::try_from(mac).expect("small");
            assert_eq!(seconds(&bench.send(&Draft::renew(mac, address))), time, "there is no room yet");
        }
        bench.send(&Draft::release(3, shortened[0]));
        bench.send(&Draft::release(2, offered));
        assert_eq!(seconds(&bench.send(&Draft::renew(4, shortened[1]))), 3600);
        bench.lease(5);
        bench.lease(6);
        assert_eq!(seconds(&bench.send(&Draft::renew(4, shortened[1]))), 3600, "as long as it got there");
    }
}

/// Who takes little out of a full pool does not have all of it the next time.
#[test]
fn a_short_wish_in_a_full_pool_is_no_way_to_a_long_lease() {
    let mut small = lasting(3600, subnet(10, 13));
    (small.times.min, small.times.when_full) = (60, Some(300));
    let mut bench = Bench::new(vec![small]);
    for mac in 1..=3 {
        bench.lease(mac);
    }
    let wish = 120_u32.to_be_bytes();
    let offered = bench.send(&Draft::discover(4).option(51, &wish)).offered().expect("an offer");
    assert_eq!(seconds(&bench.send(&Draft::select(4, SERVER, offered).option(51, &wish))), 120);
    assert_eq!(seconds(&bench.send(&Draft::renew(4, offered).option(51, &wish))), 120);
    assert_eq!(seconds(&bench.send(&Draft::renew(4, offered))), 300, "as a newcomer");
    for mac in 1..=3 {
        bench.send(&Draft::release(mac, host(9 + mac)));
    }
    assert_eq!(seconds(&bench.send(&Draft::renew(4, offered))), 3600);
}

/// What is reserved or a host's gets scarce for nobody: neither while nobody has it, nor when its client does.
#[test]
fn what_is_withheld_does_not_make_a_pool_full() {
    let reservations: Vec<_> = (10..=15).map(|last| reserved(last, host(last))).collect();
    let mut half = lasting(2000, Subnet { reservations, ..subnet(10, 20) });
    half.options.0.insert(42, host(20).octets().to_vec());
    half.times.when_full = Some(1000);
    let mut bench = Bench::new(vec![half]);
    // Four addresses are anybody's.
    let time = |bench: &mut Bench, mac| seconds(&bench.send(&Draft::discover(mac)));
    assert_eq!(time(&mut bench, 1), 2000);
    for mac in 10..=15 {
        assert_eq!(bench.lease(mac), host(mac));
        assert_eq!(seconds(&bench.send(&Draft::renew(mac, host(mac)))), 2000);
    }
    assert_eq!([2, 3, 4].map(|mac| time(&mut bench, mac)), [2000, 1500, 1000]);
    let percents = |event: &LeaseEvent| match event {
        LeaseEvent::PoolFull { percent, .. } => Some(*percent),
        _ => None,
    };
    assert_eq!(bench.events.iter().filter_map(percents).collect::<Vec<_>>(), [100]);
}

/// `min-lease-time` is for wishes; what the operator gives out of a full pool may be shorter.
#[test]
fn a_full_pool_gives_less_than_the_shortest_wish() {
    let mut small = lasting(2000, subnet(10, 10));
    (small.times.min, small.times.when_full) = (1000, Some(100));
    for wish in [None, Some(1u32), Some(5000)] {
        let mut bench = Bench::new(vec![small.clone()]);
        let draft = Draft::discover(1);
        let draft = wish.map_or(draft.clone(), |wish| draft.option(51, &wish.to_be_bytes()));
        assert_eq!(seconds(&bench.send(&draft)), 100, "{wish:?}");
    }
}
