//! Limits from the outside: requests in, refusals out.

use super::*;
use crate::policy::tests::RELAY;
use crate::policy::tests::wire::{Draft, IFINDEX, SERVER};

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1000 * SECOND;

fn rate(rate: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(rate)
}

fn limits(link: u32, circuit: u32) -> Limits {
    let rates = Rates { link: rate(link), circuit: rate(circuit) };
    Limits::new(HashMap::from([(IFINDEX, rates)]), NonZeroU32::new(100).unwrap())
}

/// How often each of `outcomes` came when these frames came at one moment.
fn sent(limits: &mut Limits, drafts: impl IntoIterator<Item = Draft>, now: u64) -> (usize, Vec<Limit>) {
    let mut passed = 0;
    let mut refused = Vec::new();
    for draft in drafts {
        let read = limits.check_frame(&draft.frame(), IFINDEX, now);
        match read.and_then(|()| limits.check(&draft.request(1), now)) {
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
        assert_eq!(sent(&mut limits, vec![draft; 100], NOW + SECOND).0, 5);
    }
    assert_eq!(sent(&mut limits, vec![Draft::discover(4)], NOW).0, 1, "and others are not concerned");
    assert_eq!(sent(&mut limits, vec![Draft::discover(1).tagged(&[5])], NOW).0, 1, "nor on another link");
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
    let fresh = [Draft::inform(201, SERVER), Draft::bootrequest(202), Draft::new(10, 203).via(RELAY)];
    assert_eq!(sent(&mut limits, fresh, NOW), (0, vec![Limit::Link; 3]));
    let begun = [
        Draft::select(1, SERVER, SERVER),
        Draft::renew(2, SERVER),
        Draft::release(3, SERVER),
        Draft::decline(4, SERVER),
    ];
    assert_eq!(sent(&mut limits, begun, NOW).0, 4, "what was begun is finished");
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
    assert_eq!(sent(&mut limits, [begun], NOW).0, 1, "what was begun is finished");
}

/// RFC 4388 §7: who asks without end is answered within limits, and asks no worse for what its clients do.
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
