//! Classes that drop, and classes of known and unknown clients: who gets nothing, and what becomes of what he has.

use super::wire::{Draft, SERVER};
use super::*;
use crate::config::{Admission, DynamicPool, Match, Pattern};

fn class(matches: Match, drop: bool) -> Class {
    Class { name: "some".to_owned(), matches, overrides: Overrides::default(), drop, max_leases: None }
}

fn known(known: bool) -> Match {
    Match { known: Some(known), ..Match::default() }
}

fn listed(macs: &[u8]) -> Match {
    let whole = macs.iter().map(|mac| [2, 0, 0, 0, 1, *mac]).collect();
    Match { hw_listed: Some(whole), ..Match::default() }
}

fn dropped(response: &Response) -> bool {
    *response == Response::Silence(Silence::ClassDrop)
}

/// A policy of other classes goes on with what this one knows.
fn reclassify(bench: &mut Bench, classes: Vec<Class>) {
    bench.config.classes = classes;
    let subnets = bench.config.subnets.clone();
    bench.reload(subnets);
}

/// What the kernel knows of the lease of `address` that it may still say.
fn says(bench: &Bench, address: Ipv4Addr) -> bool {
    let published = bench.published.iter().rev().find(|published| published.address == address);
    published.is_some_and(|published| bench.policy.basis(address, published.link) == Some(published.basis))
}

#[test]
fn whoever_is_dropped_gets_no_answer_and_may_give_back_what_it_has() {
    let mut bench = Bench::of(vec![class(listed(&[3]), true)], vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let other = bench.lease(2);
    reclassify(&mut bench, vec![class(listed(&[1]), true)]);
    assert!(!says(&bench, address) && says(&bench, other), "another's answers are as they were");
    for draft in [
        Draft::discover(1),
        Draft::renew(1, address),
        Draft::rebind(1, address),
        Draft::reboot(1, address),
        Draft::select(1, SERVER, address),
        Draft::inform(1, address),
        Draft::bootrequest(1),
    ] {
        assert!(dropped(&bench.send(&draft)), "{draft:?}");
    }
    assert_eq!(bench.send(&Draft::renew(2, other)).acked(), Some(other));
    assert_eq!(bench.state(address), State::Leased);
    bench.send(&Draft::release(1, address));
    assert_eq!(bench.state(address), State::Free);
    reclassify(&mut bench, vec![class(listed(&[3]), true)]);
    assert_eq!(bench.lease(1), address);
}

/// The kernel may have promised until the horizon; and what was promised is nobody else's before it ends.
#[test]
fn a_lease_whose_client_is_dropped_ends_with_its_promise() {
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    let address = bench.lease(1);
    bench.pass(LEASE_TIME / 2);
    assert!(bench.kernel_renews(address));
    bench.beat(address);
    let expiry = bench.words.load(address).expiry();
    reclassify(&mut bench, vec![class(listed(&[1]), true)]);
    assert!(!says(&bench, address));
    bench.restart(true);
    assert!(dropped(&bench.send(&Draft::renew(1, address))));
    bench.pass(expiry.0 - bench.now - 1);
    assert_eq!(bench.state(address), State::Leased);
    assert_eq!(bench.send(&Draft::discover(2)), Response::Silence(Silence::Exhausted));
    bench.pass(2);
    assert_eq!(bench.state(address), State::Grace);
    bench.pass(GRACE);
    assert_eq!(bench.lease(2), address);
}

#[test]
fn a_reservation_makes_a_client_known_in_its_subnet() {
    let own = |mac| Reservation { address: None, host_name: Some("x".to_owned()), ..reserved(mac, host(0)) };
    let site = |reservations: Vec<Reservation>| vec![Subnet { reservations, ..subnet(10, 20) }];
    let mut bench = Bench::of(vec![class(known(false), true)], site(vec![own(1), reserved(2, host(30))]));
    assert_eq!((bench.lease(1), bench.lease(2)), (host(10), host(30)));
    assert!(dropped(&bench.send(&Draft::discover(3))));

    // Who becomes unknown is dropped; the other's lease is not concerned.
    bench.reload(site(vec![reserved(2, host(30))]));
    assert!(!says(&bench, host(10)) && says(&bench, host(30)));
    assert!(dropped(&bench.send(&Draft::renew(1, host(10)))));
    bench.reload(site(vec![own(1), reserved(2, host(30))]));
    assert_eq!(bench.send(&Draft::renew(1, host(10))).acked(), Some(host(10)));
}

/// A client is unknown in one subnet of its link, and known in another: it is served from there.
#[test]
fn of_the_subnets_of_a_link_those_serve_that_do_not_drop() {
    let second = Subnet {
        prefix: Prefix { network: Ipv4Addr::new(198, 51, 100, 0), len: 24 },
        pools: vec![
            Pool { first: Ipv4Addr::new(198, 51, 100, 10), last: Ipv4Addr::new(198, 51, 100, 19) }.into(),
        ],
        reservations: vec![Reservation {
            address: None,
            host_name: Some("x".to_owned()),
            ..reserved(1, host(0))
        }],
        shared_network: Some("both".to_owned()),
        ..subnet(0, 0)
    };
    let first = Subnet { shared_network: Some("both".to_owned()), ..subnet(10, 20) };
    let mut bench = Bench::of(vec![class(known(false), true)], vec![first, second]);
    let address = bench.lease(1);
    assert_eq!(address.octets()[0], 198);
    assert_eq!(bench.send(&Draft::renew(1, address)).acked(), Some(address));
    assert!(bench.send(&Draft::reboot(1, host(10))).acked().is_none());
    assert!(dropped(&bench.send(&Draft::discover(2))));
}

#[test]
fn a_pool_may_be_for_known_clients() {
    let mut first = ClassSet::default();
    first.insert(0);
    let apart = |admits, range: (u8, u8)| DynamicPool {
        admits,
        ..Pool { first: host(range.0), last: host(range.1) }.into()
    };
    let pools = vec![
        apart(Admission { allow: first, ..Admission::default() }, (10, 19)),
        apart(Admission { deny: first, ..Admission::default() }, (50, 59)),
    ];
    let site =
        |reservations: Vec<Reservation>| vec![Subnet { reservations, pools: pools.clone(), ..subnet(0, 0) }];
    let own = Reservation { address: None, host_name: Some("x".to_owned()), ..reserved(1, host(0)) };
    let mut bench = Bench::of(vec![class(known(true), false)], site(vec![own.clone()]));
    assert_eq!((bench.lease(1), bench.lease(2)), (host(10), host(50)));
    bench.reload(site(Vec::new()));
    assert!(bench.send(&Draft::renew(1, host(10))).is_nak());
    assert_eq!(bench.lease(1), host(51));
    bench.reload(site(vec![own]));
    assert!(!says(&bench, host(51)));
    assert!(bench.send(&Draft::renew(1, host(51))).is_nak());
}

/// By its relay's word a client is dropped when it renews past the relay as well.
#[test]
fn a_port_may_be_dropped() {
    let port = Match { circuit_id: vec![Pattern::Exactly(b"p1".to_vec())], ..Match::default() };
    let mut bench = Bench::new(vec![relayed_subnet()]);
    let relayed = |draft: Draft| draft.via(RELAY).option(82, b"\x01\x02p1");
    let address = bench.send(&relayed(Draft::discover(1))).offered().expect("an offer");
    assert_eq!(bench.send(&relayed(Draft::select(1, SERVER, address))).acked(), Some(address));
    reclassify(&mut bench, vec![class(port, true)]);
    assert!(!says(&bench, address));
    assert!(dropped(&bench.send(&relayed(Draft::discover(1)))));
    assert!(dropped(&bench.send(&Draft::renew(1, address))), "the relay is not heard now");
    assert!(bench.send(&Draft::discover(2).via(RELAY).option(82, b"\x01\x02p2")).offered().is_some());
}

/// Of a form that the client has not used yet, the kernel is told no answer that it would not get here.
#[test]
fn what_would_be_dropped_is_not_foretold() {
    let banned = Match { vendor_class: vec![Pattern::Exactly(b"banned".to_vec())], ..Match::default() };
    let mut bench = Bench::of(vec![class(banned, true)], vec![subnet(10, 20)]);
    // What is learnt of its kind: a REQUEST of RENEWING that says more than the one of SELECTING.
    for mac in 1..5 {
        let address = bench.lease(mac);
        assert!(dropped(&bench.send(&Draft::renew(mac, address).option(60, b"banned"))));
        bench.send(&Draft::renew(mac, address));
    }
    for memo in bench.published.iter().flat_map(|published| &published.memos) {
        assert!(options(&memo.question.options).iter().all(|(code, _)| *code != 60), "{memo:?}");
    }
}

/// A list of a hundred thousand is looked up, not gone through.
#[test]
fn whom_a_list_concerns() {
    let bench = |classes| {
        let mut bench = Bench::of(classes, vec![subnet(10, 20)]);
        assert_eq!([1, 2, 3].map(|mac| bench.lease(mac)), [10, 11, 12].map(host));
        bench
    };
    let concerned = |before: Vec<Class>, after: Vec<Class>| {
        let mut bench = bench(before);
        reclassify(&mut bench, after);
        (1..4).filter(|mac| !says(&bench, host(9 + mac))).collect::<Vec<u8>>()
    };
    let list = |macs: &[u8]| vec![class(listed(macs), false)];
    assert!(concerned(list(&[7]), list(&[7, 8])).is_empty());
    assert_eq!(concerned(list(&[2, 7]), list(&[7])), [2]);
    assert_eq!(concerned(list(&[]), list(&[1, 3])), [1, 3]);
    let beginning = |octets: &[u8]| {
        let hw_address = vec![Pattern::Beginning(octets.to_vec())];
        vec![class(Match { hw_address, ..Match::default() }, false)]
    };
    assert_eq!(concerned(list(&[1, 2]), beginning(&[2, 0, 0, 0, 1])), [3]);
    assert_eq!(concerned(Vec::new(), list(&[])), [1, 2, 3], "there is a class");
}
