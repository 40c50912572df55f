//! How many leases the clients of a class may hold: what counts, until when, and what does not.

use super::wire::{Draft, SERVER};
use super::*;
use crate::config::{Match, Pattern};

const PHONE: &[u8] = b"phone";

fn limited(name: &str, vendor: &[u8], most: Option<u32>) -> Class {
    let matches = Match { vendor_class: vec![Pattern::Exactly(vendor.to_vec())], ..Match::default() };
    Class { name: name.to_owned(), matches, overrides: Overrides::default(), drop: false, max_leases: most }
}

fn phones(most: Option<u32>) -> Class {
    limited("phones", PHONE, most)
}

fn phone(draft: Draft) -> Draft {
    draft.option(60, PHONE)
}

fn refused(response: &Response) -> bool {
    *response == Response::Silence(Silence::ClassCap)
}

/// How many leases and offers count in the only class.
fn held(bench: &Bench) -> u32 {
    bench.policy.book.held_of_class(0)
}

fn lease(bench: &mut Bench, mac: u8) -> Ipv4Addr {
    let address = bench.send(&phone(Draft::discover(mac))).offered().expect("an offer");
    assert_eq!(bench.send(&phone(Draft::select(mac, SERVER, address))).acked(), Some(address));
    address
}

fn reclassify(bench: &mut Bench, classes: Vec<Class>) {
    bench.config.classes = classes;
    let subnets = bench.config.subnets.clone();
    bench.reload(subnets);
}

fn bench(most: u32) -> Bench {
    Bench::of(vec![phones(Some(most))], vec![subnet(10, 20)])
}

#[test]
fn beyond_the_limit_a_client_of_the_class_gets_nothing_and_the_operator_is_told() {
    let mut bench = bench(2);
    let first = lease(&mut bench, 1);
    lease(&mut bench, 2);
    assert!(refused(&bench.send(&phone(Draft::discover(3)))));
    assert!(refused(&bench.send(&phone(Draft::discover(4)))));
    let is_report = |event: &&LeaseEvent| matches!(event, LeaseEvent::ClassCap { class, cap: 2, .. } if class == "phones");
    assert_eq!(bench.events.iter().filter(is_report).count(), 1, "of one class now and then");
    // Without a word of the class, and with a lease of it, all goes on.
    bench.lease(3);
    assert_eq!(bench.send(&phone(Draft::renew(1, first))).acked(), Some(first));
    assert_eq!(held(&bench), 2);
    bench.send(&Draft::release(1, first));
    assert_eq!(held(&bench), 1);
    assert!(bench.send(&phone(Draft::discover(4))).offered().is_some());
}

#[test]
fn offers_count_until_they_lapse_or_are_left() {
    let mut bench = bench(2);
    let address = bench.send(&phone(Draft::discover(1))).offered().expect("an offer");
    bench.send(&phone(Draft::discover(2))).offered().expect("an offer");
    assert!(refused(&bench.send(&phone(Draft::discover(3)))));
    // Its own offer is none of others': it is made again, and taken.
    assert_eq!(bench.send(&phone(Draft::discover(1))).offered(), Some(address));
    assert_eq!(bench.send(&phone(Draft::select(1, SERVER, address))).acked(), Some(address));
    assert_eq!(held(&bench), 2);
    bench.send(&phone(Draft::select(2, host(2), host(77))));
    assert_eq!(held(&bench), 1, "it takes another server's");
    bench.send(&phone(Draft::discover(3))).offered().expect("an offer");
    bench.pass(bench.config.server.offer_hold + 2);
    assert_eq!(held(&bench), 1);
    // An offer of what its client has is no lease more.
    assert_eq!(bench.send(&phone(Draft::discover(1))).offered(), Some(address));
    assert_eq!(held(&bench), 1);
    // Whoever selects what it was not offered is counted as well.
    lease(&mut bench, 2);
    assert!(refused(&bench.send(&phone(Draft::select(3, SERVER, host(15))))));
    assert!(bench.send(&Draft::select(3, SERVER, host(15))).acked().is_some());
}

#[test]
fn a_lease_that_ends_counts_no_more() {
    let mut bench = bench(1);
    let address = lease(&mut bench, 1);
    bench.pass(LEASE_TIME + 2);
    assert_eq!((bench.state(address), held(&bench)), (State::Grace, 0));
    let other = lease(&mut bench, 2);
    assert!(refused(&bench.send(&phone(Draft::discover(1)))), "what it had last is no lease");
    bench.send(&Draft::decline(2, other));
    assert_eq!((bench.state(other), held(&bench)), (State::Quarantined, 0));
    let third = lease(&mut bench, 3);
    // The client moves to what is reserved for it from now on: that is one lease, before and after.
    let reservations = vec![reserved(3, host(40))];
    bench.reload(vec![Subnet { reservations, ..subnet(10, 20) }]);
    assert!(bench.send(&phone(Draft::renew(3, third))).is_nak());
    assert_eq!(lease(&mut bench, 3), host(40));
    assert_eq!(held(&bench), 1);
}

#[test]
fn the_count_comes_along_over_restarts_and_reloads() {
    let mut bench = bench(2);
    let (first, second) = (lease(&mut bench, 1), lease(&mut bench, 2));
    for maps in [true, false] {
        bench.restart(maps);
        assert_eq!(held(&bench), 2);
        assert!(refused(&bench.send(&phone(Draft::discover(3)))));
    }
    assert_eq!(bench.store[&first].classes, ["phones"]);

    // By its name, wherever the class stands now; and with another limit.
    reclassify(&mut bench, vec![limited("others", b"x", None), phones(Some(3))]);
    assert_eq!(bench.policy.book.held_of_class(1), 2);
    lease(&mut bench, 3);
    assert!(refused(&bench.send(&phone(Draft::discover(4)))));
    // A lower limit ends no lease.
    reclassify(&mut bench, vec![phones(Some(1))]);
    assert_eq!(bench.send(&phone(Draft::renew(1, first))).acked(), Some(first));
    assert!(refused(&bench.send(&phone(Draft::discover(4)))));

    // Without a limit nothing is counted, and what was got meanwhile counts from its next renewal on.
    reclassify(&mut bench, vec![phones(None)]);
    let fourth = lease(&mut bench, 4);
    assert_eq!(bench.send(&phone(Draft::renew(2, second))).acked(), Some(second));
    assert!(bench.store[&second].classes.is_empty());
    let published = bench.published.iter().rfind(|published| published.address == fourth).cloned();
    let published = published.expect("it is published");
    reclassify(&mut bench, vec![phones(Some(9))]);
    assert_ne!(
        bench.policy.basis(fourth, published.link),
        Some(published.basis),
        "the kernel would not count"
    );
    assert_eq!(held(&bench), 2, "those of the first and of the third");
    assert_eq!(bench.send(&phone(Draft::renew(4, fourth))).acked(), Some(fourth));
    assert_eq!(held(&bench), 3);
    // It is in the class no more.
    assert_eq!(bench.send(&Draft::renew(4, fourth)).acked(), Some(fourth));
    assert_eq!(held(&bench), 2);
}

/// All subnets together; and a client may be in several classes, each of which has to have room.
#[test]
fn a_class_is_counted_as_a_whole() {
    let all = Class {
        matches: Match { hw_address: vec![Pattern::Beginning(vec![2])], ..Match::default() },
        ..limited("all", b"", Some(3))
    };
    let mut bench = Bench::of(vec![phones(Some(1)), all], vec![subnet(10, 20), relayed_subnet()]);
    let relayed = |draft: Draft| draft.via(RELAY).option(82, b"\x01\x02p1");
    lease(&mut bench, 1);
    assert!(refused(&bench.send(&relayed(phone(Draft::discover(2))))), "one phone is leased on the link");
    let address = bench.send(&relayed(Draft::discover(2))).offered().expect("an offer");
    assert_eq!(bench.send(&relayed(Draft::select(2, SERVER, address))).acked(), Some(address));
    bench.lease(3);
    assert!(refused(&bench.send(&Draft::discover(4))));
    assert_eq!([0, 1].map(|class| bench.policy.book.held_of_class(class)), [1, 3]);
}
