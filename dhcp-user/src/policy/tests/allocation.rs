//! Which address a client is offered, and that none is lost or doubled.

use super::wire::{Draft, SERVER};
use super::*;

/// RFC 2131 §4.3.1, SHOULD NOT (offer-kept): an address that is offered is not offered to another meanwhile.
#[test]
fn a_discover_is_answered_with_the_same_offer_each_time() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let first = bench.send(&Draft::discover(1));
    bench.now += 3;
    assert_eq!(bench.send(&Draft::discover(1)), first);
    assert_eq!(bench.send(&Draft::discover(2)).offered(), Some(host(11)));
}

/// RFC 2131 §3.1, SHOULD (offer-lapses): without a REQUEST the address is available again.
#[test]
fn an_offer_nobody_answers_lapses() {
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    bench.send(&Draft::discover(1));
    assert_eq!(bench.state(host(10)), State::Offered);
    assert_eq!(bench.send(&Draft::discover(2)), Response::Silence(Silence::Exhausted));
    bench.pass(11);
    assert_eq!(bench.state(host(10)), State::Free);
    assert_eq!(bench.send(&Draft::discover(2)).offered(), Some(host(10)));
}

/// RFC 2131 §4.3.1, SHOULD (first-choice): the client's current address.
#[test]
fn a_client_is_offered_the_address_it_has() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let word = bench.words.load(address);
    let asked = Draft::discover(1).address(50, host(15));
    assert_eq!(bench.send(&asked).offered(), Some(address));
    assert_eq!(bench.state(address), State::Leased, "noted beside its state");
    bench.pass(20);
    assert_eq!(
        (bench.state(address), bench.words.load(address)),
        (State::Leased, word),
        "losing it frees nothing"
    );
}

/// RFC 2131 §4.3.1, SHOULD (third-choice): the address asked for in option 50.
/// RFC 2131 §4.3.1, SHOULD (fourth-choice): any of the pool.
#[test]
fn a_client_is_offered_the_address_it_asks_for_if_it_is_free() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    assert_eq!(bench.send(&Draft::discover(1).address(50, host(15))).offered(), Some(host(15)));
    assert_eq!(bench.send(&Draft::discover(2).address(50, host(15))).offered(), Some(host(10)));
    assert_eq!(bench.send(&Draft::discover(3).address(50, host(200))).offered(), Some(host(11)));
}

#[test]
fn addresses_are_used_in_order_fresh_then_freed_then_expired() {
    let mut bench = Bench::new(vec![subnet(10, 13)]);
    let (one, two, three) = (bench.lease(1), bench.lease(2), bench.lease(3));
    bench.pass(10);
    bench.send(&Draft::release(2, two));
    bench.pass(10);
    bench.send(&Draft::release(3, three));
    bench.pass(LEASE_TIME + GRACE);
    assert_eq!(bench.state(one), State::Free);
    let next: Vec<_> = (11..=14).map(|mac| bench.lease(mac)).collect();
    assert_eq!(next, [host(13), two, three, one]);
}

#[test]
fn an_expired_address_waits_out_its_grace_for_its_last_owner() {
    let mut bench = Bench::new(vec![subnet(10, 11)]);
    let address = bench.lease(1);
    bench.pass(LEASE_TIME + 2);
    assert_eq!(bench.lease(2), host(11), "there is another");
    assert_eq!(bench.send(&Draft::discover(1)).offered(), Some(address));
    bench.pass(GRACE + 1);
    assert_eq!(bench.send(&Draft::discover(3)).offered(), Some(address));
}

/// RFC 2131 §4.3.1, SHOULD (second-choice): the client's previous address.
/// RFC 2131 §4.3.4, SHOULD (release-remembered): a record of it is kept.
#[test]
fn a_released_address_goes_back_to_its_last_owner_while_there_is_choice() {
    let mut bench = Bench::new(vec![subnet(10, 12)]);
    let address = bench.lease(1);
    bench.send(&Draft::release(1, address));
    assert_eq!(bench.state(address), State::Free);
    assert_eq!(bench.send(&Draft::discover(2)).offered(), Some(host(11)));
    assert_eq!(bench.send(&Draft::discover(1)).offered(), Some(address));
}

#[test]
fn overdue_addresses_are_found_when_all_seem_taken() {
    let mut bench = Bench::new(vec![subnet(10, 12)]);
    for mac in 1..=3 {
        bench.lease(mac);
    }
    bench.now += LEASE_TIME + GRACE + 2;
    assert!(bench.send(&Draft::discover(9)).offered().is_some());
}

#[test]
fn a_reserved_address_is_only_its_clients() {
    let reservations = vec![reserved(7, host(12)), reserved(8, host(5))];
    let mut bench = Bench::new(vec![Subnet { reservations, ..subnet(10, 13) }]);
    assert_eq!((bench.state(host(12)), bench.state(host(5))), (State::Reserved, State::Reserved));
    let others: Vec<_> = (1..=3).map(|mac| bench.lease(mac)).collect();
    assert_eq!(others, [host(10), host(11), host(13)]);
    assert_eq!(bench.send(&Draft::discover(4).address(50, host(5))), Response::Silence(Silence::Exhausted));
    assert_eq!((bench.lease(7), bench.lease(8)), (host(12), host(5)));
    assert_eq!(bench.state(host(5)), State::Leased);
    bench.send(&Draft::release(8, host(5)));
    assert_eq!(bench.state(host(5)), State::Reserved);
    bench.pass(LEASE_TIME + 2);
    assert_eq!(bench.state(host(12)), State::Reserved);
}

/// RFC 4361 §6.3, stated (administrators-chaddr): that address was the administrator's choice.
#[test]
fn a_reservation_by_hardware_address_holds_whatever_identifier_is_sent() {
    let mut bench = Bench::new(vec![Subnet { reservations: vec![reserved(7, host(5))], ..subnet(10, 13) }]);
    assert_eq!(bench.lease(7), host(5));
    let other = Draft::discover(7).id(b"\x00boot");
    assert_eq!(bench.send(&other).offered(), Some(host(5)));
    assert_eq!(bench.send(&Draft::select(7, SERVER, host(5)).id(b"\x00boot")).acked(), Some(host(5)));
    assert_eq!(bench.policy.leased(), 1);
}

#[test]
fn a_reservation_by_circuit_holds_when_the_client_renews_past_its_relay() {
    let circuit = Reservation {
        key: ReservationKey::Circuit { id: b"ab".to_vec(), remote_id: None },
        ..reserved(0, Ipv4Addr::new(10, 9, 0, 5))
    };
    let mut bench = Bench::new(vec![Subnet { reservations: vec![circuit], ..relayed_subnet() }]);
    let circuit = |draft: Draft| draft.via(RELAY).option(82, b"\x01\x02ab");
    let address = bench.send(&circuit(Draft::discover(1))).offered().expect("an offer");
    assert_eq!(address, Ipv4Addr::new(10, 9, 0, 5));
    assert_eq!(bench.send(&circuit(Draft::select(1, SERVER, address))).acked(), Some(address));
    assert_eq!(bench.send(&Draft::renew(1, address)).acked(), Some(address));
    // The line has a new box, and the old one was shut down: the address is the line's.
    bench.send(&Draft::release(1, address));
    bench.send(&circuit(Draft::discover(2)));
    assert_eq!(bench.send(&circuit(Draft::select(2, SERVER, address))).acked(), Some(address));
    assert!(bench.send(&Draft::renew(1, address)).is_nak());
}

#[test]
fn a_client_that_takes_its_reservation_leaves_its_old_address() {
    let mut bench = Bench::new(vec![subnet(10, 13)]);
    let old = bench.lease(7);
    bench.config.subnets[0].reservations = vec![reserved(7, host(5))];
    bench.restart(true);
    assert_eq!(bench.lease(7), host(5));
    assert!(!bench.words.load(old).alive());
    assert!(bench.happened(old).contains(&Happened::Moved));
    for maps in [true, false] {
        assert_eq!(bench.state(old), State::Grace, "it may have missed the ACK");
        assert_eq!(bench.send(&Draft::discover(7)).offered(), Some(host(5)));
        bench.restart(maps);
    }
    bench.pass(LEASE_TIME + GRACE + 2);
    assert_eq!(bench.state(old), State::Free);
}

#[test]
fn a_device_gets_no_more_leases_than_its_cap() {
    let mut bench = Bench::new(vec![subnet(10, 50)]);
    let take = |bench: &mut Bench, id: u8| {
        let address = bench.send(&Draft::discover(1).id(&[0, id])).offered()?;
        bench.send(&Draft::select(1, SERVER, address).id(&[0, id])).acked()
    };
    assert!((1..=4).all(|id| take(&mut bench, id).is_some()));
    assert_eq!(bench.send(&Draft::discover(1).id(&[0, 5])), Response::Silence(Silence::DeviceCap));
    let asked = Draft::select(1, SERVER, host(40)).id(&[0, 5]);
    assert_eq!(bench.send(&asked), Response::Silence(Silence::DeviceCap));
    assert!(take(&mut bench, 1).is_some(), "its own leases are still its own");
    assert!(bench.send(&Draft::discover(2)).offered().is_some(), "others are not concerned");
    assert!(bench.events.iter().any(|event| matches!(event, LeaseEvent::DeviceCap { cap: 4, .. })));
    let (orphans, _) = bench.policy.orphans_after(None, usize::MAX);
    assert_eq!((orphans.len(), orphans[0].cap, orphans[0].leases.len()), (1, 4, 4));
}

#[test]
fn offers_count_for_the_cap() {
    let mut bench = Bench::new(vec![subnet(10, 50)]);
    let offers = (1..=6).filter(|id| bench.send(&Draft::discover(1).id(&[0, *id])).offered().is_some());
    assert_eq!(offers.count(), 4);
}

/// A client without an identifier is its device; what it had is not what the device has.
#[test]
fn a_lease_without_an_identifier_counts_for_the_cap_until_it_ends() {
    let mut bench = Bench::new(vec![Subnet { max_leases_per_device: 1, ..subnet(10, 50) }]);
    let address = bench.lease(1);
    let another = Draft::discover(1).id(b"\0another");
    assert_eq!(bench.send(&another), Response::Silence(Silence::DeviceCap));
    bench.send(&Draft::release(1, address));
    let offered = bench.send(&another).offered().expect("an offer");
    bench.send(&Draft::select(1, SERVER, offered).id(b"\0another"));
    assert_eq!(bench.send(&Draft::discover(1).id(b"\0a third")), Response::Silence(Silence::DeviceCap));
}

#[test]
fn a_remote_access_server_has_a_cap_of_its_own() {
    let mut bench = Bench::new(vec![Subnet { max_leases_per_ras_device: 10, ..subnet(10, 50) }]);
    let offers = (1..=12).filter(|port| {
        let id = [b"\x01RAS ".as_slice(), &[*port, 0]].concat();
        bench.send(&Draft::discover(1).id(&id)).offered().is_some()
    });
    assert_eq!(offers.count(), 10);
}

#[test]
fn a_full_pool_is_told_of_once_at_each_mark() {
    let mut bench = Bench::new(vec![subnet(10, 29)]);
    for mac in 1..=20 {
        bench.lease(mac);
    }
    let alarms = |bench: &Bench| -> Vec<u8> {
        let percent = |event: &LeaseEvent| match event {
            LeaseEvent::PoolFull { percent, .. } => Some(*percent),
            _ => None,
        };
        bench.events.iter().filter_map(percent).collect()
    };
    assert_eq!(alarms(&bench), [80, 95, 100]);
    for mac in 21..=23 {
        assert_eq!(bench.send(&Draft::discover(mac)), Response::Silence(Silence::Exhausted));
    }
    let exhausted = bench.events.iter().filter(|event| matches!(event, LeaseEvent::Exhausted { .. }));
    assert_eq!(exhausted.count(), 1);
    bench.send(&Draft::release(1, host(10)));
    bench.send(&Draft::release(2, host(11)));
    bench.lease(30);
    assert_eq!(alarms(&bench), [80, 95, 100, 95], "only after it had fallen well below");
}

#[test]
fn the_counts_add_up() {
    let mut bench = Bench::new(vec![Subnet { reservations: vec![reserved(7, host(12))], ..subnet(10, 19) }]);
    bench.lease(1);
    bench.lease(2);
    bench.send(&Draft::discover(3));
    bench.send(&Draft::decline(2, host(11)));
    let pool = bench.policy.pools().next().expect("a pool");
    let counts = State::ALL.map(|state| pool.tally.of(state));
    assert_eq!(counts, [6, 1, 1, 0, 1, 1]);
    assert_eq!(pool.tally.size(), pool.pool.size());
}
