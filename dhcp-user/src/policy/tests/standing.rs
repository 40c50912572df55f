//! Reservations without an address: what a client is told, and which class it is in, wherever its address is.

use super::wire::{Draft, SERVER};
use super::*;
use crate::config::{Admission, DynamicPool, Match, Pattern};

const NAME: &[u8] = b"printer";

/// For the client of this number, without an address.
fn standing(mac: u8) -> Reservation {
    let mut options = OptionSet::default();
    options.0.insert(6, vec![192, 0, 2, 99]);
    Reservation {
        address: None,
        host_name: Some("printer".to_owned()),
        overrides: Overrides { options, ..Overrides::default() },
        ..reserved(mac, host(0))
    }
}

fn with(reservations: Vec<Reservation>) -> Vec<Subnet> {
    vec![Subnet { reservations, ..subnet(10, 20) }]
}

fn circuit(id: &[u8]) -> ReservationKey {
    ReservationKey::Circuit { id: id.to_vec(), remote_id: None }
}

fn first() -> ClassSet {
    let mut set = ClassSet::default();
    set.insert(0);
    set
}

fn asking(draft: Draft) -> Draft {
    draft.option(55, &[6, 12])
}

#[test]
fn its_client_gets_an_address_of_the_pools_and_is_told_what_is_its_own() {
    let mut bench = Bench::new(with(vec![standing(1)]));
    let offer = bench.send(&asking(Draft::discover(1)));
    let address = offer.offered().expect("an offer");
    assert_eq!((address, offer.option(12).as_deref()), (host(10), Some(NAME)));
    let ack = bench.send(&asking(Draft::select(1, SERVER, address)));
    assert_eq!(ack.option(12).as_deref(), Some(NAME));
    assert_eq!(ack.option(6), Some(vec![192, 0, 2, 99]));
    // The kernel says the same, by each form of its next question.
    let memos = bench.published.last().map(|published| published.memos.clone()).expect("it is published");
    assert!(memos.len() > 1, "{memos:?}");
    for memo in &memos {
        assert_eq!(bench.policy.answer_to(address, &memo.question).as_ref(), Some(&memo.answer));
        assert!(options(&memo.answer.options).contains(&(12, NAME.to_vec())));
    }
    assert_eq!(bench.send(&asking(Draft::inform(1, address))).option(12).as_deref(), Some(NAME));

    let other = bench.send(&asking(Draft::discover(2)));
    assert_eq!((other.offered(), other.option(12)), (Some(host(11)), None));
    assert_eq!(other.option(6), Some(vec![192, 0, 2, 53]));
    bench.check();
}

/// The name that a client goes by first: its identifier, its hardware address, its circuit.
#[test]
fn it_is_found_as_any_reservation_is() {
    let by = |key, name: &str| Reservation { key, host_name: Some(name.to_owned()), ..standing(0) };
    let reservations = vec![
        by(ReservationKey::ClientId(b"\0one".to_vec()), "by-id"),
        by(ReservationKey::HwAddress([2, 0, 0, 0, 1, 1]), "by-address"),
        by(circuit(b"p1"), "by-circuit"),
    ];
    let mut bench = Bench::new(vec![Subnet { reservations, ..relayed_subnet() }]);
    let relayed = |draft: Draft| asking(draft.via(RELAY).option(82, b"\x01\x02p1"));
    let host_name =
        |response: &Response| response.option(12).map(|name| String::from_utf8_lossy(&name).into_owned());
    let named = |bench: &mut Bench, draft: Draft| host_name(&bench.send(&relayed(draft)));
    assert_eq!(named(&mut bench, Draft::discover(1).id(b"\0one")).as_deref(), Some("by-id"));
    assert_eq!(named(&mut bench, Draft::discover(1)).as_deref(), Some("by-address"));
    assert_eq!(named(&mut bench, Draft::discover(2)).as_deref(), Some("by-circuit"));

    // A renewal passes the relay by: what that said when the lease began holds.
    let address = bench.send(&relayed(Draft::discover(3))).offered().expect("an offer");
    assert_eq!(bench.send(&relayed(Draft::select(3, SERVER, address))).acked(), Some(address));
    let renewed = bench.send(&asking(Draft::renew(3, address)));
    assert_eq!(host_name(&renewed).as_deref(), Some("by-circuit"));
    for memo in bench.published.iter().flat_map(|published| &published.memos) {
        assert!(options(&memo.answer.options).iter().any(|(code, _)| *code == 12), "{memo:?}");
    }
}

#[test]
fn one_may_put_its_client_into_a_class() {
    let matches = Match { vendor_class: vec![Pattern::Exactly(b"phone".to_vec())], ..Match::default() };
    let mut overrides = Overrides::default();
    overrides.options.0.insert(66, b"tftp".to_vec());
    let phones = Class { name: "phones".to_owned(), matches, overrides, drop: false, max_leases: None };
    let apart = DynamicPool {
        admits: Admission { allow: first(), ..Admission::default() },
        ..Pool { first: host(50), last: host(59) }.into()
    };
    let open = DynamicPool {
        admits: Admission { deny: first(), ..Admission::default() },
        ..Pool { first: host(10), last: host(19) }.into()
    };
    let in_class =
        Reservation { classes: first(), host_name: None, overrides: Overrides::default(), ..standing(1) };
    let site = |reservations| {
        vec![Subnet { pools: vec![open.clone(), apart.clone()], reservations, ..subnet(0, 0) }]
    };
    let mut bench = Bench::of(vec![phones], site(vec![in_class.clone()]));
    let asking = |draft: Draft| draft.option(55, &[66]);
    let offer = bench.send(&asking(Draft::discover(1)));
    assert_eq!((offer.offered(), offer.option(66).as_deref()), (Some(host(50)), Some(&b"tftp"[..])));
    assert_eq!(bench.send(&Draft::select(1, SERVER, host(50))).acked(), Some(host(50)));
    assert_eq!(bench.lease(2), host(10));

    // It is in the class no more: its pool is not for it, and it moves.
    let basis = |bench: &Bench, address| bench.policy.basis(address, Draft::discover(1).request(0).link);
    let before = [host(50), host(10)].map(|address| basis(&bench, address));
    bench.reload(site(Vec::new()));
    assert_ne!(basis(&bench, host(50)), before[0]);
    assert_eq!(basis(&bench, host(10)), before[1], "another's lease");
    assert!(bench.send(&Draft::renew(1, host(50))).is_nak());
    assert_eq!(bench.lease(1), host(11));
    bench.reload(site(vec![in_class]));
    assert!(bench.send(&Draft::renew(1, host(11))).is_nak());
    // An address that is the client's alone puts it into the class as well.
    let with_address = Reservation { classes: first(), ..reserved(2, host(30)) };
    bench.reload(site(vec![with_address]));
    assert_eq!(bench.send(&asking(Draft::discover(2))).option(66).as_deref(), Some(&b"tftp"[..]));
}

/// Whatever name the client may go by in its next question.
#[test]
fn what_the_kernel_knows_rests_on_all_that_may_be_its_clients() {
    let lease = |reservations| {
        let mut bench = Bench::new(vec![Subnet { reservations, ..relayed_subnet() }]);
        let relayed = |draft: Draft| draft.id(b"\0one").via(RELAY).option(82, b"\x01\x02p1");
        let address = bench.send(&relayed(Draft::discover(1))).offered().expect("an offer");
        assert_eq!(bench.send(&relayed(Draft::select(1, SERVER, address))).acked(), Some(address));
        (address, bench)
    };
    let keys = [
        (ReservationKey::ClientId(b"\0one".to_vec()), true),
        (ReservationKey::HwAddress([2, 0, 0, 0, 1, 1]), true),
        (circuit(b"p1"), true),
        (circuit(b"p2"), false),
        (ReservationKey::ClientId(b"\0two".to_vec()), false),
        (ReservationKey::HwAddress([2, 0, 0, 0, 1, 2]), false),
    ];
    let link = Draft::discover(1).request(0).link;
    for (key, concerns) in keys {
        let own = Reservation { key: key.clone(), ..standing(0) };
        let other = Reservation { key: ReservationKey::HwAddress([2, 0, 0, 0, 7, 7]), ..standing(0) };
        let (address, mut bench) = lease(vec![other.clone()]);
        let with = |own: Vec<Reservation>| vec![Subnet { reservations: own, ..relayed_subnet() }];
        let added = bench.policy.basis(address, link);
        bench.reload(with(vec![other.clone(), own.clone()]));
        let changed = bench.policy.basis(address, link);
        assert_eq!(added != changed, concerns, "{key} is added");
        bench.reload(with(vec![other.clone(), Reservation { host_name: Some("other".to_owned()), ..own }]));
        assert_eq!(bench.policy.basis(address, link) != changed, concerns, "{key} is changed");
        bench.reload(with(vec![other]));
        assert_eq!(bench.policy.basis(address, link), added, "{key} is removed");
    }
}

/// What is reserved without an address withholds none, and is nobody's who has one.
#[test]
fn it_takes_no_address_and_counts_none() {
    let mut bench = Bench::new(with(vec![standing(1), reserved(2, host(10))]));
    let pool = bench.policy.pools().next().expect("a pool");
    assert_eq!(pool.tally.of(State::Reserved), 1);
    assert_eq!(bench.lease(1), host(11));
    assert_eq!(bench.lease(2), host(10));
    bench.restart(true);
    assert_eq!(bench.send(&asking(Draft::renew(1, host(11)))).option(12).as_deref(), Some(NAME));
}
