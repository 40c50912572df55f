//! LEASEQUERY: what a relay is told of leases, and who is told nothing.

use super::wire::{Draft, SERVER};
use super::*;

/// The loopback address by which the relay asks; it sends from [`RELAY`].
const REQUESTER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const ALL: [u8; 9] = [51, 58, 59, 61, 82, 91, 92, 1, 3];

fn bench(subnets: Vec<Subnet>) -> Bench {
    let mut bench = Bench::new(subnets);
    bench.config.server.leasequery_from = vec![RELAY, REQUESTER];
    bench.policy = Policy::new(&bench.config, interfaces(), 7);
    bench
}

/// A question about nothing yet, from a relay that may ask.
fn query() -> Draft {
    Draft { mac: [0; 6], ..Draft::new(10, 0) }.via(RELAY)
}

fn about(address: Ipv4Addr) -> Draft {
    Draft { ciaddr: address, ..query() }
}

fn about_device(mac: u8) -> Draft {
    Draft { mac: [2, 0, 0, 0, 1, mac], ..query() }
}

/// Status, ciaddr and chaddr of an answer.
fn status_in(outcome: &Response) -> (LeaseStatus, Ipv4Addr, Vec<u8>) {
    match outcome {
        Response::Reply(Reply::Lease { status, ciaddr, chaddr, .. }) => {
            (*status, *ciaddr, chaddr.octets().to_vec())
        }
        other => panic!("no answer to a LEASEQUERY: {other:?}"),
    }
}

fn seconds(outcome: &Response, code: u8) -> Option<u32> {
    outcome.option(code).map(|value| u32::from_be_bytes(value.try_into().expect("four octets")))
}

/// RFC 4388 §6.4.2, MUST (who): DHCPLEASEACTIVE has the address in ciaddr, its client in htype, hlen and chaddr.
#[test]
fn a_relay_learns_who_has_an_address() {
    let mut bench = bench(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let answer = bench.send(&about(address).option(55, &ALL));
    assert_eq!(status_in(&answer), (LeaseStatus::Active, address, vec![2, 0, 0, 0, 1, 1]));
    assert_eq!(answer.option(53), Some(vec![13]));
    assert_eq!(answer.option(54), Some(SERVER.octets().to_vec()));
}

/// RFC 4388 §6.4.2, MUST (times): lease time, T1 and T2 are what is left of them; T1 and T2 that are past are not told.
#[test]
fn times_are_what_is_left_of_them() {
    let mut bench = bench(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let at = |bench: &mut Bench| {
        let answer = bench.send(&about(address).option(55, &ALL));
        [51, 58, 59, 91].map(|code| seconds(&answer, code))
    };
    assert_eq!(at(&mut bench), [Some(1000), Some(500), Some(875), Some(0)]);
    bench.pass(101);
    assert_eq!(at(&mut bench), [Some(900), Some(400), Some(775), Some(101)], "rounded up");
    bench.pass(500);
    assert_eq!(at(&mut bench), [Some(400), None, Some(275), Some(601)]);
    bench.pass(399);
    assert_eq!(at(&mut bench), [Some(1), None, None, Some(1000)]);
}

/// RFC 4388 §6.4.2, MUST (times): the time left is right, though the daemon has not looked at what the kernel promised since.
#[test]
fn a_lease_that_the_kernel_extended_is_told_as_it_is_now() {
    let mut bench = bench(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    bench.pass(600);
    assert!(bench.kernel_renews(address));
    bench.pass(10);
    let answer = bench.send(&about(address).option(55, &ALL));
    assert_eq!([51, 58, 91].map(|code| seconds(&answer, code)), [Some(991), Some(491), Some(9)]);
    // Past the end that the daemon knows of, the word still holds.
    bench.pass(900);
    assert_eq!(status_in(&bench.send(&about(address))).0, LeaseStatus::Active);
}

/// RFC 4388 §6.4.1, MUST (unassigned): an address of ours that nobody has is unassigned, one that isn't ours is unknown.
#[test]
fn an_address_without_a_lease_is_unassigned_or_unknown() {
    let mut bench = bench(vec![subnet(10, 20)]);
    let ours = bench.send(&about(host(15)));
    assert_eq!(status_in(&ours), (LeaseStatus::Unassigned, host(15), vec![0; 6]));
    assert_eq!((ours.codes(), ours.option(53)), (vec![53, 54], Some(vec![11])));
    let theirs = bench.send(&about(host(200)));
    assert_eq!(status_in(&theirs), (LeaseStatus::Unknown, host(200), vec![0; 6]));
    assert_eq!((theirs.codes(), theirs.option(53)), (vec![53, 54], Some(vec![12])));

    let address = bench.lease(1);
    bench.pass(LEASE_TIME + 1);
    assert_eq!(bench.state(address), State::Grace);
    assert_eq!(status_in(&bench.send(&about(address))).0, LeaseStatus::Unassigned, "expired");
}

/// RFC 4388 §6.4.1, MUST (unknown-client): a client without a lease is unknown, by whatever it is asked for.
#[test]
fn a_client_without_a_lease_is_unknown() {
    let mut bench = bench(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    bench.send(&Draft::release(1, address));
    assert_eq!(
        status_in(&bench.send(&about_device(1))),
        (LeaseStatus::Unknown, Ipv4Addr::UNSPECIFIED, vec![2, 0, 0, 0, 1, 1])
    );
    let by_id = bench.send(&query().id(b"\0me"));
    assert_eq!(status_in(&by_id).0, LeaseStatus::Unknown);
    assert_eq!(by_id.option(61), Some(b"\0me".to_vec()), "RFC 6842 §3");
}

/// RFC 4388 §6.4.1, MUST (associated): of several leases of a client the one last used is told of, and all of them in option 92.
#[test]
fn of_several_leases_of_a_device_the_last_used_is_told_first() {
    let mut bench = bench(vec![subnet(10, 20), relayed_subnet()]);
    let first = bench.lease(1);
    bench.pass(10);
    let id = b"\0two";
    let second = bench.send(&Draft::discover(1).id(id).via(RELAY)).offered().expect("an offer");
    bench.send(&Draft::select(1, SERVER, second).id(id).via(RELAY)).acked().expect("a lease");
    let all = |list: &[Ipv4Addr]| Some(list.iter().flat_map(Ipv4Addr::octets).collect::<Vec<u8>>());

    let answer = bench.send(&about_device(1).option(55, &ALL));
    assert_eq!(status_in(&answer).1, second);
    assert_eq!(answer.option(92), all(&[second, first]));
    assert_eq!(answer.option(61), Some(id.to_vec()));

    bench.pass(500);
    assert!(bench.kernel_renews(first), "the kernel heard the other one since");
    bench.pass(1);
    let answer = bench.send(&about_device(1).option(55, &[51]));
    assert_eq!((status_in(&answer).1, answer.option(92)), (first, all(&[first, second])), "asked for or not");
    assert_eq!(answer.option(61), None, "this lease was got without an identifier");

    let by_id = bench.send(&query().id(id).option(55, &[51, 92]));
    assert_eq!((status_in(&by_id).1, by_id.option(92)), (second, None), "one lease is no list");
    assert_eq!(by_id.option(61), Some(id.to_vec()), "RFC 6842 §3");
    let by_address = bench.send(&about(first).option(55, &ALL));
    assert_eq!(by_address.option(92), None);
}

/// RFC 4388 §6.4.2, MUST (agent): the relay agent information is that which the client last came with, and it comes last.
#[test]
fn the_relay_information_of_the_lease_is_told_when_asked_for() {
    let mut bench = bench(vec![relayed_subnet()]);
    let info: &[u8] = &[1, 4, b'p', b'o', b'r', b't'];
    let address = bench.send(&Draft::discover(1).via(RELAY).option(82, info)).offered().expect("an offer");
    bench.send(&Draft::select(1, SERVER, address).via(RELAY).option(82, info)).acked().expect("a lease");
    let asked = bench.send(&about(address).option(55, &[82, 51]));
    assert_eq!((asked.option(82), asked.codes()), (Some(info.to_vec()), vec![53, 54, 51, 82]));
    assert_eq!(bench.send(&about(address).option(55, &[51])).codes(), [53, 54, 51]);
}

/// RFC 4388 §6.4.2, SHOULD (unasked): without a parameter request list all is told that the client would be told.
#[test]
fn without_a_parameter_list_all_is_told() {
    let mut bench = bench(vec![subnet(10, 20)]);
    bench.lease(1);
    let mut codes = bench.send(&about_device(1)).codes();
    codes.sort_unstable();
    assert_eq!(codes, [1, 3, 6, 15, 51, 53, 54, 58, 59, 91]);
}

/// RFC 4388 §6.2, MUST (one-subject): a question is about an address, a hardware address or an identifier: one of them.
#[test]
fn a_question_about_nothing_or_two_things_gets_silence() {
    let mut bench = bench(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let unclear = [
        query(),
        Draft { ciaddr: address, ..about_device(1) },
        about(address).id(b"\0me"),
        about_device(1).id(b"\0me"),
    ];
    for draft in unclear {
        assert_eq!(bench.send(&draft), Response::Silence(Silence::UnclearQuery), "{draft:?}");
    }
}

/// RFC 4388 §6.3, MUST (giaddr): without giaddr there is no answer. RFC 4388 §7, SHOULD (trusted): only those that are trusted get one.
#[test]
fn a_stranger_is_told_nothing() {
    let mut bench = bench(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let stranger = Ipv4Addr::new(10, 9, 0, 77);
    let refused = [
        Draft { giaddr: Ipv4Addr::UNSPECIFIED, ..about(address) },
        Draft { giaddr: stranger, ..about(address) },
        Draft { ip_src: stranger, ..about(address) },
    ];
    for draft in refused {
        assert_eq!(bench.send(&draft), Response::Silence(Silence::QueryNotAllowed), "{draft:?}");
    }
    assert_eq!(status_in(&bench.send(&Draft { giaddr: REQUESTER, ..about(address) })).0, LeaseStatus::Active);
    let elsewhere = about(address).address(54, host(2));
    assert_eq!(bench.send(&elsewhere), Response::Silence(Silence::OtherServer));

    let mut closed = Bench::new(vec![subnet(10, 20)]);
    assert_eq!(
        closed.send(&about(host(10))),
        Response::Silence(Silence::QueryNotAllowed),
        "nobody by default"
    );
}

/// Neither word nor store, nor any promise, is touched by a question.
#[test]
fn a_question_changes_nothing() {
    let mut bench = bench(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let (word, store) = (bench.words.load(address), bench.store.clone());
    for draft in [about(address), about_device(1), about(host(15)), query().id(b"\0me")] {
        let actions = bench.handle(Event::Message(draft.request(bench.now)));
        assert!(matches!(actions[..], [Action::Reply { granted: None, .. }]), "{actions:?}");
    }
    assert_eq!((bench.words.load(address), &bench.store), (word, &store));
}
