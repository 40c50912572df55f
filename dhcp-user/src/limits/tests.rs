//! Limits from the outside: requests in, refusals out.

use super::*;
use crate::policy::tests::RELAY;
use crate::policy::tests::wire::{Draft, IFINDEX, SERVER};

/// A host that is far away.
const OTHER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1000 * SECOND;

fn rate(rate: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(rate)
}

fn limits(link: u32, circuit: u32) -> Limits {
    let rates = Rates { link: rate(link), circuit: rate(circuit) };
    Limits::new(HashMap::from([(IFINDEX, rates)]), NonZeroU32::new(100).unwrap())
}

/// How many of these frames, which came at one moment, passed, and which limit the others exceeded. All begin an
/// exchange.
fn sent(limits: &mut Limits, drafts: impl IntoIterator<Item = Draft>, now: u64) -> (usize, Vec<Limit>) {
    sent_of(limits, drafts, now, false)
}

/// The same for frames that go on with an exchange, or begin one.
fn sent_of(
    limits: &mut Limits,
    drafts: impl IntoIterator<Item = Draft>,
    now: u64,
    begun: bool,
) -> (usize, Vec<Limit>) {
    let mut passed = 0;
    let mut refused = Vec::new();
    for draft in drafts {
        let read = limits.check_frame(&draft.frame(), IFINDEX, now);
        match read.and_then(|()| limits.check(&draft.request(1), now, || begun)) {
            Ok(()) => passed += 1,
            Err(limit) => refused.push(limit),
        }
    }
    (passed, refused)
}

/// A message each of many clients.
fn crowd(count: u8, draft: impl Fn(u8) -> Draft) -> impl Iterator<Item = Draft> {
    (0..count).map(draft)
}

#[test]
fn a_client_is_heard_twenty_times_in_a_row_and_five_times_a_second() {
    let mut limits = limits(0, 0);
    for draft in [Draft::discover(1), Draft::renew(2, SERVER), Draft::release(3, SERVER)] {
        let (passed, refused) = sent(&mut limits, vec![draft.clone(); 100], NOW);
        assert_eq!((passed, refused), (20, vec![Limit::Client; 80]), "{draft:?}");
        let others = vec![Draft { xid: 0xfeed, ..draft }; 100];
        assert_eq!(sent(&mut limits, others, NOW + SECOND).0, 5);
    }
    assert_eq!(sent(&mut limits, vec![Draft::discover(4)], NOW).0, 1, "and others are not concerned");
    assert_eq!(sent(&mut limits, vec![Draft::discover(1).tagged(&[5])], NOW).0, 1, "nor on another link");
}

/// A sender that uses a client's name elsewhere uses up its own share.
#[test]
fn who_poses_as_a_client_elsewhere_takes_nothing_from_it() {
    let mut limits = limits(0, 0);
    let of = |draft: Draft| Draft { xid: 77, ..draft.id(b"\0me") };
    let circuit = |port: u8| of(Draft::discover(1)).via(RELAY).option(82, &[1, 1, port]);
    let elsewhere = Draft { giaddr: SERVER, ..circuit(1) };
    let places = [of(Draft::discover(1)).by(9), of(Draft::discover(1)), circuit(1), circuit(2), elsewhere];
    for draft in places {
        assert_eq!(sent(&mut limits, vec![draft.clone(); 100], NOW).0, 20, "{draft:?}");
    }
}

/// Nor does one that sends from far what says it is from the client's relay, or its link.
#[test]
fn who_poses_as_a_client_or_fills_a_link_from_far_takes_nothing_from_those_who_are_there() {
    let mut limits = limits(0, 5);
    let relayed = || Draft::discover(1).via(RELAY).option(82, &[1, 1, 7]);
    let foreign = || Draft { ip_src: OTHER, ..relayed() };
    assert_eq!(sent(&mut limits, vec![foreign(); 100], NOW).0, 5);
    assert_eq!(sent(&mut limits, [relayed()], NOW).0, 1);
    let mut limits = self::limits(50, 0);
    let routed = |mac| Draft { ip_src: OTHER, ip_dst: SERVER, ..Draft::discover(mac) };
    assert_eq!(sent(&mut limits, crowd(200, routed), NOW).0, 50);
    assert_eq!(sent(&mut limits, crowd(200, Draft::discover), NOW).0, 50);
}

/// Nor does a sender that copies it in everything: an exchange that the client has begun is finished, and a DISCOVER
/// that is repeated with its xid is heard.
#[test]
fn who_poses_as_a_client_on_its_own_link_does_not_lock_it_out() {
    let mut limits = limits(0, 0);
    let posing = |n: u64| Draft { xid: 0x0bad_0000 + u32::try_from(n).unwrap(), ..Draft::discover(1) };
    let step = SECOND / 1000;
    let mut answered = 0;
    for n in 0..60_000 {
        let now = NOW + n * step;
        sent(&mut limits, [posing(n)], now);
        // Four tries, with a second, two and four between them, of an exchange every fifteen seconds.
        if [500, 1500, 3500, 7500].contains(&(n % 15_000)) {
            let xid = 1 + u32::try_from(n / 15_000).unwrap();
            answered += sent(&mut limits, [Draft { xid, ..Draft::discover(1) }], now).0;
        }
        if n % 15_000 == 8_000 {
            assert_eq!(sent_of(&mut limits, [Draft::select(1, SERVER, SERVER)], now, true).0, 1);
        }
    }
    // All but the first of each four, now and then less one or two whose places others took meanwhile.
    assert!(answered >= 2 * 4, "{answered}");
}

/// A limit allows a second's worth in a row.
#[test]
fn a_small_limit_is_not_made_larger() {
    let from = |mac| Draft::discover(mac).via(RELAY).option(82, &[1, 1, 7]);
    assert_eq!(sent(&mut limits(0, 5), crowd(20, from), NOW), (5, vec![Limit::Circuit; 15]));
    assert_eq!(sent(&mut limits(5, 0), crowd(20, from), NOW), (5, vec![Limit::Link; 15]));
}

/// A RAS takes addresses for several clients at once, each of which is one.
#[test]
fn clients_of_one_device_are_several() {
    let mut limits = limits(0, 0);
    let many = crowd(100, |id| Draft::discover(1).id(&[0, id]));
    assert_eq!(sent(&mut limits, many, NOW).0, 100);
    let copies = crowd(100, |mac| Draft::discover(mac).id(b"\0the image's"));
    assert_eq!(sent(&mut limits, copies, NOW).0, 100, "copies of a machine are several, too");
}

#[test]
fn a_link_is_limited_in_what_is_new_and_in_nothing_else() {
    let mut limits = limits(50, 0);
    let (passed, refused) = sent(&mut limits, crowd(200, Draft::discover), NOW);
    assert_eq!((passed, refused), (50, vec![Limit::Link; 150]));
    let unicast = crowd(200, |mac| Draft::inform(mac, SERVER));
    assert_eq!(sent(&mut limits, unicast, NOW), (50, vec![Limit::Link; 150]));
    let relayed = crowd(200, |mac| Draft::discover(mac).via(RELAY));
    assert_eq!(sent(&mut limits, relayed, NOW), (50, vec![Limit::Link; 150]));
    let fresh = [Draft::inform(201, SERVER), Draft::bootrequest(202), Draft::new(10, 203).via(RELAY)];
    assert_eq!(sent(&mut limits, fresh, NOW), (0, vec![Limit::Link; 3]));
    let begun = [
        Draft::select(1, SERVER, SERVER),
        Draft::renew(2, SERVER),
        Draft::release(3, SERVER),
        Draft::decline(4, SERVER),
    ];
    assert_eq!(sent(&mut limits, begun.clone(), NOW), (0, vec![Limit::Link; 4]), "they fit nothing");
    assert_eq!(sent_of(&mut limits, begun, NOW, true).0, 4, "what was begun is finished");
    assert_eq!(
        sent(&mut limits, crowd(10, |mac| Draft::discover(mac).tagged(&[5])), NOW).0,
        10,
        "another link"
    );
    assert_eq!(sent(&mut limits, crowd(200, Draft::discover), NOW + SECOND / 2).0, 25);
}

#[test]
fn a_port_of_a_relay_is_limited_by_itself() {
    let mut limits = limits(0, 30);
    let from = |port: u8| move |mac| Draft::discover(mac).via(RELAY).option(82, &[1, 2, 0, port]);
    let (passed, refused) = sent(&mut limits, crowd(100, from(1)), NOW);
    assert_eq!((passed, refused), (30, vec![Limit::Circuit; 70]));
    assert_eq!(sent(&mut limits, crowd(10, from(2)), NOW).0, 10, "another port");
    let elsewhere = |mac| Draft { giaddr: SERVER, ..from(1)(mac) };
    assert_eq!(sent(&mut limits, crowd(10, elsewhere), NOW).0, 10, "another relay");
    assert_eq!(sent(&mut limits, crowd(10, Draft::discover), NOW).0, 10, "no relay");
    let begun = Draft::select(150, SERVER, SERVER).via(RELAY).option(82, &[1, 2, 0, 1]);
    assert_eq!(sent(&mut limits, [begun.clone()], NOW), (0, vec![Limit::Circuit]), "it fits nothing");
    assert_eq!(sent_of(&mut limits, [begun], NOW, true).0, 1, "what was begun is finished");
}

/// RFC 4388 §7: a relay that asks without end is answered within its limit, and its clients' messages don't count
/// against that.
#[test]
fn a_relay_that_asks_is_limited_by_itself() {
    let mut limits = limits(0, 0);
    let query = |relay| move |_| Draft { ciaddr: SERVER, ..Draft::new(10, 0) }.via(relay);
    let (passed, refused) = sent(&mut limits, crowd(200, query(RELAY)), NOW);
    assert_eq!((passed, refused), (100, vec![Limit::Leasequery; 100]));
    assert_eq!(sent(&mut limits, crowd(200, query(SERVER)), NOW).0, 100);
}

/// By default nothing but a client's own bucket limits it: a crowd that starts at once is served.
#[test]
fn nothing_else_is_limited_by_default() {
    let mut limits = Limits::new(HashMap::new(), NonZeroU32::new(100).unwrap());
    assert_eq!(sent(&mut limits, crowd(255, Draft::discover), NOW), (255, vec![]));
}
