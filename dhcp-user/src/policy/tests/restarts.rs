//! The daemon dies and comes back: what was promised holds, whatever is left of the maps.

use dhcp_ebpf::abi::Link;

use super::wire::Draft;
use super::*;

#[test]
fn a_live_word_is_believed() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    bench.now += 900;
    assert!(bench.kernel_renews(address));
    let word = bench.words.load(address);
    bench.now += 500;
    bench.restart(true);
    assert_eq!((bench.state(address), bench.words.load(address)), (State::Leased, word));
    assert_eq!(bench.send(&Draft::renew(1, address)).acked(), Some(address));
}

#[test]
fn without_the_maps_all_that_may_have_been_promised_is_kept() {
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    let address = bench.lease(1);
    bench.now += 900;
    assert!(bench.kernel_renews(address));
    bench.restart(false);
    let word = bench.words.load(address);
    assert_eq!(word.expiry(), BootSecs(START + 1 + 2 * LEASE_TIME), "the horizon");
    bench.pass(1050);
    assert_eq!(bench.send(&Draft::discover(2)), Response::Silence(Silence::Exhausted));
    assert_eq!(bench.send(&Draft::renew(1, address)).acked(), Some(address));
}

#[test]
fn what_an_ended_word_says_is_committed_where_an_older_store_has_the_lease_running() {
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    let address = bench.lease(1);
    let (short, older) = (BootSecs(START + 60), bench.store[&address].clone());
    bench.send(&Draft::release(1, address));
    bench.store.insert(address, Record { expiry: short, committed_until: short, ..older });
    bench.restart(true);
    let word = bench.words.load(address);
    assert!(word.alive() && word.expiry() > short, "no word goes back");
    assert!(bench.store[&address].committed_until >= word.expiry(), "{:?}", bench.store[&address]);
}

#[test]
fn a_lease_whose_horizon_has_passed_is_over() {
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    let address = bench.lease(1);
    bench.now += 2 * LEASE_TIME + 2;
    bench.restart(false);
    assert_eq!(bench.state(address), State::Grace);
    assert!(!bench.words.load(address).alive());
}

#[test]
fn offers_are_forgotten_and_states_kept() {
    let mut bench = Bench::new(vec![Subnet { reservations: vec![reserved(9, host(14))], ..subnet(10, 15) }]);
    let (leased, released, expired, declined) =
        (bench.lease(1), bench.lease(2), bench.lease(3), bench.lease(4));
    bench.pass(600);
    bench.send(&Draft::release(2, released));
    bench.send(&Draft::decline(4, declined));
    bench.send(&Draft::renew(1, leased));
    bench.pass(450);
    bench.send(&Draft::discover(5).address(50, host(15)));
    for maps in [true, false] {
        bench.restart(maps);
        let states =
            [leased, released, expired, declined, host(14), host(15)].map(|address| bench.state(address));
        let expected =
            [State::Leased, State::Free, State::Grace, State::Quarantined, State::Reserved, State::Free];
        assert_eq!(states, expected, "maps {maps}");
    }
    assert_eq!(bench.send(&Draft::discover(2)).offered(), Some(released), "its last owner's");
}

#[test]
fn a_live_word_that_the_store_does_not_know_is_kept_and_committed() {
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    let address = bench.lease(1);
    bench.store.clear();
    bench.policy = Policy::new(&bench.config, interfaces(), 9);
    let adopted = Adopted {
        address,
        link: Link { ifindex: IFINDEX, outer: 0, inner: 0 },
        chaddr: [2, 0, 0, 0, 1, 1],
        server: wire::SERVER,
        horizon: bench.horizons[&address],
        lease_time: LEASE_TIME,
    };
    let mut out = Vec::new();
    bench.policy.restore(BootSecs(bench.now), &bench.words, Vec::new(), &[adopted], &mut out);
    bench.carry_out(out);
    assert_eq!(bench.state(address), State::Leased);
    let record = &bench.store[&address];
    assert_eq!((record.chaddr, record.committed_until), (HwAddr::ethernet(adopted.chaddr), adopted.horizon));
    assert!(bench.send(&Draft::renew(2, address)).is_nak());
    // Its client may have an identifier: no slot tells.
    assert_eq!(bench.send(&Draft::renew(1, address).id(b"\x00me")).acked(), Some(address));
}

#[test]
fn a_word_that_outlived_its_leases_end_is_revoked_and_its_promise_kept() {
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    let address = bench.lease(1);
    let mut record = bench.store[&address].clone();
    record.standing = crate::store::Standing::Free;
    bench.store.insert(address, record);
    bench.restart(true);
    assert!(!bench.words.load(address).alive());
    assert_eq!(bench.state(address), State::Grace);
    assert_eq!(bench.send(&Draft::discover(2)), Response::Silence(Silence::Exhausted));
}

#[test]
fn records_of_addresses_no_longer_ours_go_when_their_promise_has() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let (kept, dropped) = (bench.lease(1), bench.lease(2));
    bench.send(&Draft::release(2, dropped));
    bench.config.subnets = vec![subnet(50, 60)];
    bench.restart(true);
    assert!(bench.store.contains_key(&kept) && !bench.store.contains_key(&dropped));
    assert_eq!(bench.policy.state(kept), None);
}

#[test]
fn of_two_leases_of_one_client_it_has_the_later_and_the_other_is_kept_until_it_ends() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let old = bench.lease(1);
    bench.now += 10;
    let mut record = bench.store[&old].clone();
    record.address = host(11);
    record.expiry = record.expiry.plus(10);
    record.committed_until = record.committed_until.plus(10);
    bench.store.insert(host(11), record);
    bench.restart(false);
    assert_eq!((bench.state(old), bench.state(host(11))), (State::Grace, State::Leased));
    assert!(!bench.words.load(old).alive() && bench.words.load(host(11)).alive());
    assert_eq!(bench.send(&Draft::discover(1)).offered(), Some(host(11)));
    assert_ne!(bench.send(&Draft::discover(2).address(50, old)).offered(), Some(old));
}

/// How a changed configuration comes to be.
#[derive(Clone, Copy, Debug)]
enum Way {
    Reload,
    Restart,
    RestartWithoutMaps,
}

const WAYS: [Way; 3] = [Way::Reload, Way::Restart, Way::RestartWithoutMaps];

fn change(bench: &mut Bench, way: Way, subnets: Vec<Subnet>) {
    if matches!(way, Way::Reload) {
        bench.reload(subnets);
        return;
    }
    bench.config.subnets = subnets;
    bench.restart(matches!(way, Way::Restart));
}

/// The only address of the subnet, for the client 9.
fn reserved_for_another() -> Vec<Subnet> {
    vec![Subnet { reservations: vec![reserved(9, host(10))], ..subnet(10, 10) }]
}

#[test]
fn an_address_that_is_reserved_for_another_now_is_nobodys_before_the_promise_ends() {
    for way in WAYS {
        let mut bench = Bench::new(vec![subnet(10, 10)]);
        let address = bench.lease(1);
        change(&mut bench, way, reserved_for_another());
        assert_eq!(bench.state(address), State::Grace, "{way:?}");
        assert!(!bench.words.load(address).alive());
        for client in [9, 2] {
            assert_eq!(
                bench.send(&Draft::discover(client)).offered(),
                None,
                "{way:?}: {client} while it is promised"
            );
        }
        // What was decided is in the store: it holds after a restart that changes nothing, too.
        bench.restart(true);
        bench.pass(LEASE_TIME - 10);
        assert_eq!(bench.send(&Draft::discover(9)).offered(), None, "{way:?} and a restart");
        bench.pass(3 * LEASE_TIME + GRACE);
        assert_eq!(bench.send(&Draft::discover(9)).offered(), Some(address), "{way:?}: the promise is over");
    }
}

#[test]
fn an_address_whose_pool_or_subnet_is_gone_and_comes_back_is_still_its_owners() {
    let elsewhere =
        || vec![Subnet { prefix: Prefix { network: [10, 77, 0, 0].into(), len: 24 }, ..relayed_subnet() }];
    for way in WAYS {
        for without in [vec![subnet(20, 20)], elsewhere()] {
            let mut bench = Bench::new(vec![subnet(10, 10)]);
            let address = bench.lease(1);
            change(&mut bench, way, without.clone());
            bench.pass(60);
            change(&mut bench, way, without);
            change(&mut bench, way, vec![subnet(10, 10)]);
            assert_eq!(bench.send(&Draft::discover(2)).offered(), None, "{way:?}");
            assert_eq!(bench.send(&Draft::discover(1)).offered(), Some(address), "{way:?}");
        }
    }
}

#[test]
fn a_client_goes_on_with_the_address_that_it_got_while_its_former_one_was_gone() {
    for way in WAYS {
        let mut bench = Bench::new(vec![subnet(10, 10)]);
        let former = bench.lease(1);
        // By the store, more was promised of it than of what comes after it: it may be taken for the lease there is.
        bench.restart(false);
        bench.reload(vec![subnet(20, 20)]);
        let present = bench.lease(1);
        assert!(bench.store[&former].expiry > bench.store[&present].expiry);
        change(&mut bench, way, vec![subnet(10, 20)]);
        for address in [former, present] {
            assert_ne!(
                bench.send(&Draft::discover(2).address(50, address)).offered(),
                Some(address),
                "{way:?}"
            );
        }
        assert_eq!(bench.send(&Draft::renew(1, present)).acked(), Some(present), "{way:?}");
        assert_eq!((bench.state(former), bench.state(present)), (State::Grace, State::Leased), "{way:?}");
    }
}

#[test]
fn a_promise_that_was_withdrawn_is_kept_while_its_pool_is_gone() {
    for way in WAYS {
        let mut bench = Bench::new(vec![subnet(10, 10)]);
        let address = bench.lease(1);
        change(&mut bench, way, reserved_for_another());
        change(&mut bench, way, vec![subnet(20, 20)]);
        change(&mut bench, way, vec![subnet(10, 10)]);
        assert_eq!(bench.send(&Draft::discover(2)).offered(), None, "{way:?}");
        bench.pass(3 * LEASE_TIME + GRACE);
        assert_eq!(bench.send(&Draft::discover(2)).offered(), Some(address), "{way:?}");
    }
}

/// What a slot says of a lease of client 1 for as long as it holds.
fn in_a_slot(bench: &mut Bench, address: Ipv4Addr) -> Adopted {
    let until = BootSecs(bench.now + LEASE_TIME);
    bench.words.set(address, Word::default().granted(until));
    bench.horizons.insert(address, until);
    Adopted {
        address,
        link: Link { ifindex: IFINDEX, outer: 0, inner: 0 },
        chaddr: [2, 0, 0, 0, 1, 1],
        server: SERVER,
        horizon: until,
        lease_time: LEASE_TIME,
    }
}

#[test]
fn an_adopted_lease_is_withdrawn_for_no_reservation_that_it_tells_nothing_of() {
    let by_circuit = ReservationKey::Circuit { id: b"port".to_vec(), remote_id: None };
    let keys = [
        (ReservationKey::ClientId(b"\0me".to_vec()), State::Leased),
        (by_circuit, State::Leased),
        (ReservationKey::HwAddress([2, 0, 0, 0, 1, 1]), State::Leased),
        (ReservationKey::HwAddress([2, 0, 0, 0, 1, 2]), State::Grace),
    ];
    for (key, state) in keys {
        let reservations = vec![Reservation { key: key.clone(), ..reserved(1, host(10)) }];
        let pool = Subnet { reservations, ..subnet(10, 20) };
        let mut bench = Bench::new(vec![pool.clone()]);
        let adopted = in_a_slot(&mut bench, host(10));
        let mut out = Vec::new();
        bench.policy.restore(BootSecs(bench.now), &bench.words, Vec::new(), &[adopted], &mut out);
        bench.carry_out(out);
        assert_eq!(bench.state(host(10)), state, "{key:?}");
        bench.reload(vec![pool]);
        assert_eq!(bench.state(host(10)), state, "{key:?}, after a reload");
        for maps in [true, false] {
            bench.restart(maps);
            assert_eq!(bench.state(host(10)), state, "{key:?}, after a restart with maps: {maps}");
        }
    }
}

/// Once its client has been heard, it is known by what it says.
#[test]
fn an_adopted_lease_whose_client_was_heard_is_adopted_no_more() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let adopted = in_a_slot(&mut bench, host(10));
    let mut out = Vec::new();
    bench.policy.restore(BootSecs(bench.now), &bench.words, Vec::new(), &[adopted], &mut out);
    bench.carry_out(out);
    assert!(bench.store[&host(10)].adopted);
    assert_eq!(bench.send(&Draft::renew(1, host(10)).id(b"\0me")).acked(), Some(host(10)));
    assert!(!bench.store[&host(10)].adopted);
    let reservations =
        vec![Reservation { key: ReservationKey::ClientId(b"\0another".to_vec()), ..reserved(1, host(10)) }];
    bench.config.subnets = vec![Subnet { reservations, ..subnet(10, 20) }];
    bench.restart(true);
    assert_eq!(bench.state(host(10)), State::Grace, "it is another's by now");
}
