//! A changed configuration, applied to a running server.

use super::wire::{Draft, SERVER};
use super::*;

#[test]
fn leases_of_addresses_that_remain_go_on() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let word = bench.words.load(address);
    let mut changed = subnet(10, 40);
    changed.options.0.insert(6, vec![9, 9, 9, 9]);
    assert_eq!(bench.reload(vec![changed]), Reloaded { kept: 1, withdrawn: 0 });
    assert_eq!(bench.words.load(address), word);
    let renewed = bench.send(&Draft::renew(1, address).option(55, &[6]));
    assert_eq!((renewed.acked(), renewed.option(6)), (Some(address), Some(vec![9, 9, 9, 9])));
}

#[test]
fn what_was_published_is_answered_anew() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let published = bench.published.pop().expect("published").memos;
    let same: Vec<_> = published.iter().map(|memo| bench.policy.answer_to(address, &memo.question)).collect();
    assert_eq!(same, published.iter().map(|memo| Some(memo.answer.clone())).collect::<Vec<_>>());
    let mut changed = subnet(10, 20);
    changed.options.0.insert(6, vec![9, 9, 9, 9]);
    bench.reload(vec![changed]);
    let question = &published[0].question;
    let anew = bench.policy.answer_to(address, question).expect("an answer");
    assert_ne!(anew, published[0].answer);
    assert_eq!(*bench.send(&Draft::renew(1, address)).answer(), anew);
    bench.send(&Draft::release(1, address));
    assert_eq!(bench.policy.answer_to(address, question), None);
}

#[test]
fn a_lease_outside_the_new_pool_is_revoked_and_its_promise_kept() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    bench.now += 10;
    assert!(bench.kernel_renews(address));
    let promised = bench.words.load(address).expiry();
    assert_eq!(bench.reload(vec![subnet(15, 20)]), Reloaded { kept: 0, withdrawn: 1 });
    assert!(!bench.words.load(address).alive());
    assert_eq!(bench.store[&address].committed_until, promised);
    assert!(bench.happened(address).contains(&Happened::Withdrawn));
    assert!(bench.send(&Draft::renew(1, address)).is_nak(), "its client learns of it");
    bench.pass(LEASE_TIME + 1);
    assert!(!bench.store.contains_key(&address), "and it is forgotten when it has run out");
}

#[test]
fn a_withdrawn_address_that_comes_back_is_still_its_clients() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    bench.reload(vec![subnet(11, 20)]);
    bench.reload(vec![subnet(10, 20)]);
    assert_eq!(bench.send(&Draft::discover(2).address(50, address)).offered(), Some(host(11)));
    assert_eq!(bench.send(&Draft::renew(1, address)).acked(), Some(address));
}

#[test]
fn a_subnet_that_is_renumbered_revokes_its_leases() {
    let mut bench = Bench::new(vec![subnet(10, 20), relayed_subnet()]);
    let kept = bench.lease(1);
    bench.send(&Draft::discover(2).via(RELAY));
    let old = Ipv4Addr::new(10, 9, 0, 10);
    bench.send(&Draft::select(2, SERVER, old).via(RELAY));
    let renumbered = Subnet {
        prefix: Prefix { network: Ipv4Addr::new(10, 8, 0, 0), len: 24 },
        pools: vec![Pool { first: Ipv4Addr::new(10, 8, 0, 10), last: Ipv4Addr::new(10, 8, 0, 20) }.into()],
        relays: vec![RELAY],
        ..relayed_subnet()
    };
    assert_eq!(bench.reload(vec![renumbered, subnet(10, 20)]), Reloaded { kept: 1, withdrawn: 1 });
    assert_eq!(bench.state(kept), State::Leased);
    let rebinding = Draft { ciaddr: old, ..Draft::new(3, 2) }.via(RELAY);
    assert!(bench.send(&rebinding).is_nak());
    assert_eq!(bench.send(&Draft::discover(2).via(RELAY)).offered(), Some(Ipv4Addr::new(10, 8, 0, 10)));
}

#[test]
fn an_address_reserved_for_another_is_taken_from_its_client_but_not_given_before_its_time() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let reservations = vec![reserved(7, address)];
    let done = bench.reload(vec![Subnet { reservations, ..subnet(10, 20) }]);
    assert_eq!(done, Reloaded { kept: 0, withdrawn: 1 });
    assert_eq!(bench.state(address), State::Grace);
    assert_eq!(bench.send(&Draft::discover(7)).offered(), Some(host(11)), "the old client may use it still");
    assert!(bench.send(&Draft::renew(1, address)).is_nak());
    bench.pass(LEASE_TIME + GRACE + 2);
    assert_eq!(bench.state(address), State::Reserved);
    assert_eq!(bench.lease(7), address);
}

#[test]
fn a_lease_that_is_reserved_for_its_own_client_goes_on() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(7);
    let reservations = vec![reserved(7, address)];
    bench.reload(vec![Subnet { reservations, ..subnet(10, 20) }]);
    assert_eq!(bench.send(&Draft::renew(7, address)).acked(), Some(address));
    bench.send(&Draft::release(7, address));
    assert_eq!(bench.state(address), State::Reserved);
    bench.reload(vec![subnet(10, 20)]);
    assert_eq!(bench.state(address), State::Free);
}

#[test]
fn quarantine_grace_and_the_order_of_use_survive() {
    let mut bench = Bench::new(vec![subnet(10, 14)]);
    let (one, two, three, four) = (bench.lease(1), bench.lease(2), bench.lease(3), bench.lease(4));
    bench.send(&Draft::release(2, two));
    bench.send(&Draft::release(1, one));
    bench.send(&Draft::decline(3, three));
    bench.pass(LEASE_TIME + 2);
    bench.reload(vec![subnet(10, 14)]);
    let states = [one, two, three, four, host(14)].map(|address| bench.state(address));
    assert_eq!(states, [State::Free, State::Free, State::Quarantined, State::Grace, State::Free]);
    let next: Vec<_> = (11..=13).map(|mac| bench.lease(mac)).collect();
    assert_eq!(next, [host(14), two, one]);
}

#[test]
fn a_quarantine_outlasts_its_pool() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    bench.send(&Draft::decline(1, address));
    bench.reload(vec![subnet(15, 20)]);
    bench.pass(3600);
    bench.reload(vec![subnet(10, 20)]);
    assert_eq!(bench.state(address), State::Quarantined);
    bench.reload(vec![subnet(15, 20)]);
    bench.pass(24 * 3600);
    assert!(!bench.store.contains_key(&address), "and not longer than itself");
}

#[test]
fn offers_lapse() {
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    bench.send(&Draft::discover(1));
    bench.reload(vec![subnet(10, 10)]);
    assert_eq!(bench.send(&Draft::discover(2)).offered(), Some(host(10)));
}

#[test]
fn what_the_operator_ended_stays_ended_when_its_pool_goes_and_comes_back() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let actions = bench.handle(Event::OperatorRelease { address, reuse: Reuse::WhenClean });
    bench.carry_out(actions);
    for pool in [subnet(11, 20), subnet(10, 20)] {
        bench.reload(vec![pool]);
        assert_eq!(bench.store[&address].standing, Standing::Ended);
    }
    assert_eq!(bench.state(address), State::Grace);
    assert!(bench.send(&Draft::renew(1, address)).is_nak(), "its client is to learn of it");
}

/// What both configurations say of an address is so at each step; which one decides changes at one moment.
#[test]
fn until_the_next_configuration_knows_all_the_former_one_decides() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let (kept, gone) = (bench.lease(1), host(18));
    bench.send(&Draft::discover(2).address(50, gone));
    bench.send(&Draft::select(2, SERVER, gone));
    let mut going = bench.begin_reload(vec![subnet(10, 15)]);
    let mut mac = 20;
    while !bench.bring_along(&mut going, 1) {
        // Each of these is an address that the walk has come past, or has not come to.
        if mac < 25 {
            let address = bench.lease(mac);
            bench.send(&Draft::release(mac, address));
            assert_eq!(bench.send(&Draft::renew(2, gone)).acked(), Some(gone));
            assert_eq!(bench.send(&Draft::renew(1, kept)).acked(), Some(kept));
            (bench.now, mac) = (bench.now + 1, mac + 1);
        }
    }
    assert_eq!(mac, 25, "it takes more steps than that");
    let known: Vec<_> = bench.policy.leases().filter(|lease| lease.address <= host(15)).collect();
    bench.go_over(going);
    assert_eq!(bench.policy.leases().collect::<Vec<_>>(), known, "what is known of an address comes along");
    assert!(bench.words.load(gone).alive(), "nobody has seen to it");
    assert!(bench.policy.is_in_doubt(gone) && bench.kernel_renews(gone));
    let promised = bench.words.load(gone).expiry();
    assert!(bench.send(&Draft::renew(2, gone)).is_nak(), "it is judged by what is configured now");
    assert!(!bench.words.load(gone).alive() && !bench.policy.is_in_doubt(gone), "and at once");
    assert_eq!(bench.store[&gone].committed_until, promised);
    let done = loop {
        if let Some(done) = bench.settle_some(1) {
            break done;
        }
    };
    assert_eq!(done.withdrawn, 1);
}

#[test]
fn a_reload_that_is_given_up_has_changed_nothing() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let mut going = bench.begin_reload(vec![subnet(15, 20)]);
    while !bench.bring_along(&mut going, 1) {}
    drop(bench.policy.stay(going.1));
    assert_eq!(bench.send(&Draft::renew(1, address)).acked(), Some(address));
    assert_eq!(bench.reload(vec![subnet(10, 20)]), Reloaded { kept: 1, withdrawn: 0 });
}

#[test]
fn a_lease_that_is_reserved_for_another_is_withdrawn_before_it_is_used() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let other = Subnet { reservations: vec![reserved(7, address)], ..subnet(10, 20) };
    for mac in [1, 7] {
        let mut going = bench.begin_reload(vec![other.clone()]);
        while !bench.bring_along(&mut going, 1) {}
        bench.go_over(going);
        assert_eq!((bench.state(address), bench.words.load(address).alive()), (State::Leased, true));
        // Its owner and the one that it is reserved for.
        match mac {
            1 => assert!(bench.send(&Draft::renew(1, address)).is_nak()),
            _ => assert_eq!(bench.send(&Draft::discover(7)).offered(), Some(host(11))),
        }
        assert_eq!((bench.state(address), bench.words.load(address).alive()), (State::Grace, false));
        while bench.settle_some(1).is_none() {}
        bench.reload(vec![subnet(10, 20)]);
        bench.pass(LEASE_TIME + GRACE + 2);
        assert_eq!(bench.send(&Draft::discover(1).address(50, address)).offered(), Some(address));
        assert_eq!(bench.send(&Draft::select(1, SERVER, address)).acked(), Some(address));
    }
}

#[test]
fn a_client_that_moves_before_its_returned_lease_is_seen_to_has_the_new_one() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let (returned, other) = (bench.lease(1), host(13));
    bench.reload(vec![subnet(11, 20)]);
    let mut going = bench.begin_reload(vec![subnet(10, 20)]);
    while !bench.bring_along(&mut going, 1) {}
    bench.go_over(going);
    assert!(bench.policy.is_in_doubt(returned));
    assert_eq!(bench.send(&Draft::select(1, SERVER, other)).acked(), Some(other));
    while bench.settle_some(1).is_none() {}
    assert_eq!((bench.state(returned), bench.state(other)), (State::Grace, State::Leased));
    assert_eq!(bench.store[&returned].standing, Standing::Grace);
    bench.check();
}

/// What a client has got for good is not ended for an older lease of its own that a reload brings back.
#[test]
fn a_lease_by_bootp_outlives_the_return_of_an_older_one() {
    let with = |first| vec![Subnet { bootp: crate::config::Bootp::Dynamic, ..subnet(first, 20) }];
    let mut bench = Bench::new(with(10));
    let older = bench.lease(1);
    bench.reload(with(11));
    bench.send(&Draft::bootrequest(1));
    let for_good = bench.policy.leases().find(|lease| lease.state == State::Leased).expect("a lease").address;
    assert_ne!(for_good, older);
    bench.reload(with(10));
    assert_eq!((bench.state(older), bench.state(for_good)), (State::Grace, State::Leased));
    assert_eq!(bench.store[&older].standing, Standing::Grace);
    bench.check();
}

#[test]
fn two_subnets_that_become_one_leave_each_client_one_lease() {
    let half = |network: u8, first: u8| Subnet {
        prefix: Prefix { network: host(network), len: 25 },
        pools: vec![Pool { first: host(first), last: host(first + 5) }.into()],
        relays: vec![Ipv4Addr::new(10, 5, 0, network + 1)],
        server_id: Some(SERVER),
        ..subnet(0, 0)
    };
    let mut bench = Bench::new(vec![half(0, 10), half(128, 140)]);
    let mut got = Vec::new();
    for network in [0, 128] {
        let relay = Ipv4Addr::new(10, 5, 0, network + 1);
        let address = bench.send(&Draft::discover(1).via(relay)).offered().expect("an offer");
        assert_eq!(bench.send(&Draft::select(1, SERVER, address).via(relay)).acked(), Some(address));
        got.push(address);
        bench.now += 5;
    }
    let whole = Subnet {
        pools: vec![Pool { first: host(10), last: host(200) }.into()],
        relays: vec![Ipv4Addr::new(10, 5, 0, 1), Ipv4Addr::new(10, 5, 0, 129)],
        ..subnet(0, 0)
    };
    bench.reload(vec![whole]);
    let states: Vec<State> = got.iter().map(|address| bench.state(*address)).collect();
    assert_eq!(states.iter().filter(|state| **state == State::Leased).count(), 1, "{states:?}");
    assert!(states.contains(&State::Grace), "what was promised of the other is kept in mind");
}
