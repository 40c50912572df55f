//! BOOTP: who is served, what a client is told, and that it has its address for good.

use super::wire::{Draft, SERVER};
use super::*;
use crate::message::Kind;

/// A subnet that serves BOOTP clients, with a reservation for client 7.
fn served(bootp: Bootp) -> Subnet {
    Subnet { bootp, reservations: vec![reserved(7, host(7))], ..subnet(10, 12) }
}

fn bench(bootp: Bootp) -> Bench {
    Bench::new(vec![served(bootp)])
}

fn given(outcome: &Response) -> Option<Ipv4Addr> {
    match outcome {
        Response::Reply(Reply::Bootp { yiaddr, .. }) => Some(*yiaddr),
        _ => None,
    }
}

/// RFC 1534 §2, stated (optional): a server that isn't configured for BOOTP discards it.
#[test]
fn bootp_is_not_served_unless_the_subnet_says_so() {
    let mut bench = bench(Bootp::Off);
    assert_eq!(bench.send(&Draft::bootrequest(7)), Response::Silence(Silence::Bootp));
    assert_eq!(bench.state(host(7)), State::Reserved);
}

/// RFC 1534 §2, stated (no-type): what has no message type is BOOTP's, options or not.
#[test]
fn a_message_without_a_type_is_bootp() {
    for draft in [Draft::bootrequest(7), Draft::bootrequest(7).option(12, b"me")] {
        assert_eq!(draft.request(START).kind, Kind::Bootp);
        assert_eq!(given(&bench(Bootp::Reserved).send(&draft)), Some(host(7)));
    }
}

/// RFC 1534 §2, MUST (bootreply): neither message type nor any other option of DHCP's own, and no more than 64 octets of
/// vendor area unless the client sent more.
#[test]
fn a_bootreply_is_one_that_a_bootp_client_understands() {
    let mut bench = bench(Bootp::Reserved);
    let answer = bench.send(&Draft::bootrequest(7));
    assert_eq!(answer.codes(), [1, 3, 6, 15]);
    assert!(answer.answer().options.len() <= 60);

    bench.config.subnets[0].options.0.insert(17, vec![b'x'; 100]);
    bench.reload(bench.config.subnets.clone());
    assert_eq!(bench.send(&Draft::bootrequest(7)).codes(), [1, 3, 6, 15], "what doesn't fit is left out");
    let roomy = Draft::bootrequest(7).option(43, &[0; 200]);
    let answer = bench.send(&roomy);
    assert_eq!((answer.codes(), answer.answer().sname.is_none()), (vec![1, 3, 6, 15, 17], true));
    let asking = Draft::bootrequest(7).option(55, &[15, 53, 51, 54]);
    assert_eq!(bench.send(&asking).codes(), [1, 15]);
}

/// RFC 951 §3, stated (boot-fields): siaddr, sname and file tell what to boot, and from where.
#[test]
fn a_client_is_told_what_to_boot() {
    let plain = served(Bootp::Reserved);
    let answer = Bench::new(vec![plain.clone()]).send(&Draft::bootrequest(7));
    assert_eq!((answer.answer().siaddr, &answer.answer().file), (SERVER, &None));
    let full = Subnet {
        boot: Boot {
            next_server: Some(host(9)),
            server_name: Some("boot".to_owned()),
            file: Some("/kernel".to_owned()),
        },
        ..plain
    };
    let answer = Bench::new(vec![full]).send(&Draft::bootrequest(7));
    assert_eq!(answer.answer().siaddr, host(9));
    assert!(answer.answer().sname.as_ref().is_some_and(|name| name.starts_with(b"boot\0")));
    assert!(answer.answer().file.as_ref().is_some_and(|name| name.starts_with(b"/kernel\0")));
}

/// Without `"dynamic"` only who has a reservation gets anything.
#[test]
fn a_client_without_a_reservation_gets_an_address_only_where_it_may() {
    assert_eq!(
        bench(Bootp::Reserved).send(&Draft::bootrequest(1)),
        Response::Silence(Silence::UnknownClient)
    );
    assert_eq!(given(&bench(Bootp::Dynamic).send(&Draft::bootrequest(1))), Some(host(10)));
}

/// RFC 1534 §2, MUST (for-good): an address from a pool is the client's without end, through restarts and reboots of
/// the server. RFC 1534 §2, stated (bound): it is bound when the reply is sent.
#[test]
fn what_a_bootp_client_gets_it_has_for_good() {
    let mut bench = bench(Bootp::Dynamic);
    let address = given(&bench.send(&Draft::bootrequest(1))).expect("an address");
    let is_for_good = |bench: &Bench| {
        assert_eq!(bench.state(address), State::Leased);
        assert_eq!(bench.policy.lease(address).expect("a lease").expires, BootSecs(u32::MAX));
        assert!(!bench.words.load(address).alive(), "the kernel knows nothing of it");
        assert_eq!(bench.policy.publication(&bench.words, address), None, "and is told nothing");
    };
    is_for_good(&bench);
    assert_eq!(bench.store[&address].committed_until, BootSecs(u32::MAX));
    bench.pass(3_000_000_000);
    is_for_good(&bench);
    for maps in [true, false] {
        bench.restart(maps);
        is_for_good(&bench);
    }
    assert_eq!(given(&bench.send(&Draft::bootrequest(1))), Some(address), "and again at its next boot");
    assert_eq!(bench.happened(address), [Happened::Granted, Happened::Renewed]);
    assert_ne!(given(&bench.send(&Draft::bootrequest(2))), Some(address));
    is_for_good(&bench);
}

/// The operator's word ends it, and the address can be used again; nobody waits for an end that never comes.
#[test]
fn the_operator_ends_what_has_no_end() {
    let mut bench = bench(Bootp::Dynamic);
    let address = given(&bench.send(&Draft::bootrequest(1))).expect("an address");
    let actions = bench.handle(Event::OperatorRelease { address, reuse: Reuse::WhenClean });
    bench.carry_out(actions);
    assert_eq!(
        (bench.state(address), bench.happened(address).pop()),
        (State::Grace, Some(Happened::ReleasedByOperator))
    );
    bench.pass(GRACE + 1);
    assert_eq!(bench.state(address), State::Free);
    for mac in 2..=4 {
        bench.lease(mac);
    }
    assert_eq!(bench.state(address), State::Leased, "all three are in use");
    bench.pass(LEASE_TIME + GRACE + 2);
    assert_eq!(bench.state(address), State::Free, "and this time it has an end");
}

/// A network boot speaks BOOTP first, the system that was booted DHCP: it gets the same address, and a lease that ends.
#[test]
fn a_bootp_client_that_goes_on_with_dhcp_has_an_ordinary_lease() {
    let mut bench = bench(Bootp::Dynamic);
    let address = given(&bench.send(&Draft::bootrequest(1))).expect("an address");
    for draft in [Draft::reboot(1, address), Draft::renew(1, address), Draft::select(1, SERVER, address)] {
        assert_eq!(given(&bench.send(&Draft::bootrequest(1))), Some(address));
        let ack = bench.send(&draft);
        assert_eq!((ack.acked(), ack.answer().lease_time), (Some(address), LEASE_TIME), "{draft:?}");
        assert!(bench.words.load(address).holds(BootSecs(bench.now)));
    }
    assert_eq!(bench.lease(1), address);
    bench.pass(LEASE_TIME + 1);
    assert_eq!(bench.state(address), State::Grace);

    let again = given(&bench.send(&Draft::bootrequest(1))).expect("an address");
    bench.pass(1);
    bench.send(&Draft::release(1, again));
    assert_eq!((again, bench.state(address)), (address, State::Free), "a RELEASE ends it, too");
}

/// Requests that begin something wait elsewhere than those that end something, and may be dealt with first.
#[test]
fn what_a_client_ended_before_it_got_the_address_for_good_is_not_ended_after() {
    for ending in [Draft::decline, Draft::release] {
        let mut bench = bench(Bootp::Dynamic);
        let address = bench.lease(1);
        let ended = ending(1, address).request(bench.now);
        assert_eq!(given(&bench.send(&Draft::bootrequest(1))), Some(address));
        let actions = bench.handle(Event::Message(ended));
        assert_eq!(bench.carry_out(actions), [Response::Silence(Silence::Overtaken)]);
        assert_eq!(bench.state(address), State::Leased);
    }
}

/// A subnet that goes takes what was for good with it.
#[test]
fn a_withdrawn_bootp_lease_is_not_kept_in_mind_for_ever() {
    let mut bench = bench(Bootp::Dynamic);
    let address = given(&bench.send(&Draft::bootrequest(1))).expect("an address");
    let elsewhere =
        Subnet { pools: vec![Pool { first: host(20), last: host(22) }.into()], ..served(Bootp::Dynamic) };
    assert_eq!(bench.reload(vec![elsewhere]).withdrawn, 1);
    bench.pass(1);
    assert_eq!(bench.store.get(&address), None);
    bench.reload(vec![Subnet { reservations: vec![reserved(2, address)], ..served(Bootp::Dynamic) }]);
    assert_eq!(bench.lease(2), address);
}

/// What is left of a lease that was withdrawn and comes back is an earlier promise of DHCP's: it has an end, and is no
/// lease time that anybody was told.
#[test]
fn a_withdrawn_bootp_lease_that_comes_back_has_an_end_or_is_given_anew() {
    let elsewhere =
        Subnet { pools: vec![Pool { first: host(20), last: host(22) }.into()], ..served(Bootp::Dynamic) };
    let back = || {
        let mut bench = bench(Bootp::Dynamic);
        let address = bench.lease(1);
        assert_eq!(given(&bench.send(&Draft::bootrequest(1))), Some(address));
        bench.reload(vec![elsewhere.clone()]);
        bench.reload(vec![served(Bootp::Dynamic)]);
        assert_eq!(bench.state(address), State::Leased);
        (bench, address)
    };
    let (mut bench, address) = back();
    assert_eq!(given(&bench.send(&Draft::bootrequest(1))), Some(address));
    assert!(!bench.words.load(address).alive(), "for good again, and none of the kernel's business");
    for draft in [|address| Draft::renew(1, address), |address| Draft::select(1, SERVER, address)] {
        let (mut bench, address) = back();
        assert_eq!(bench.send(&draft(address)).answer().lease_time, LEASE_TIME);
    }
}

/// RFC 951 §7.3, stated (sname): who wants another server by name hears nothing.
#[test]
fn a_client_that_names_another_server_gets_silence() {
    let named = |name: &[u8]| {
        let mut request = (*Draft::bootrequest(7).request(START)).clone();
        let mut sname = [0; 64];
        sname[..name.len()].copy_from_slice(name);
        request.sname = bytes::Bytes::copy_from_slice(&sname);
        Arc::new(request)
    };
    let mut bench = Bench::new(vec![Subnet {
        boot: Boot { server_name: Some("ours".to_owned()), ..Boot::default() },
        ..served(Bootp::Reserved)
    }]);
    for (name, heard) in [("ours", true), ("theirs", false), ("our", false), ("", true)] {
        let actions = bench.handle(Event::Message(named(name.as_bytes())));
        let outcome = bench.carry_out(actions).pop();
        assert_eq!(outcome != Some(Response::Silence(Silence::OtherServer)), heard, "{name}");
    }
}

/// RFC 951 §3, stated (yiaddr): a client that has an address is told no other, and nothing is noted.
#[test]
fn a_client_that_has_an_address_is_told_what_to_boot_only() {
    let mut bench = bench(Bootp::Dynamic);
    let draft = Draft { ciaddr: host(99), ip_src: host(99), ..Draft::bootrequest(1) };
    assert_eq!(given(&bench.send(&draft)), Some(Ipv4Addr::UNSPECIFIED));
    assert!(bench.store.is_empty());
    let forged = Draft { ip_src: host(98), ..draft };
    assert_eq!(bench.send(&forged), Response::Silence(Silence::SourceMismatch));
}

#[test]
fn a_bootp_client_waits_for_the_probe_of_its_address() {
    let mut bench = bench(Bootp::Dynamic);
    bench.policy.carry_out_probes();
    assert_eq!(bench.send(&Draft::bootrequest(1)), Response::Done);
    let responses = bench.probe(&[host(10)]);
    assert_eq!(responses.iter().filter_map(given).collect::<Vec<_>>(), [host(11)]);
    assert_eq!(bench.state(host(10)), State::Quarantined);
}

/// What was given for good is not taken from a device that is silent, and counts to what it may hold.
#[test]
fn a_silent_bootp_client_is_no_orphan() {
    let mut bench = Bench::new(vec![Subnet { max_leases_per_device: 1, ..served(Bootp::Dynamic) }]);
    bench.policy.carry_out_probes();
    bench.send(&Draft::bootrequest(1));
    let address = bench.probe(&[]).iter().find_map(given).expect("an address");
    bench.pass(100_000);
    bench.probes.clear();
    let another = bench.send(&Draft::discover(1).id(b"\0another"));
    assert_eq!((another, bench.probes.len()), (Response::Silence(Silence::DeviceCap), 0));
    assert_eq!(bench.state(address), State::Leased);
}

/// RFC 2131 §3.3: who asks for a lease without end by DHCP gets the longest that the subnet allows.
#[test]
fn an_endless_lease_asked_for_by_dhcp_has_an_end() {
    let mut bench = bench(Bootp::Off);
    let offer = bench.send(&Draft::discover(1).option(51, &[255; 4]));
    assert_eq!(offer.option(51), Some((2 * LEASE_TIME).to_be_bytes().to_vec()));
}

/// What was promised of it while it was in no pool had an end, which the kernel may know.
#[test]
fn an_address_whose_pool_went_and_came_back_is_had_for_good_anew() {
    let mut bench = bench(Bootp::Dynamic);
    let address = bench.lease(1);
    assert_eq!(given(&bench.send(&Draft::bootrequest(1))), Some(address));
    bench.reload(vec![Subnet {
        pools: vec![Pool { first: host(20), last: host(21) }.into()],
        ..served(Bootp::Dynamic)
    }]);
    bench.reload(vec![served(Bootp::Dynamic)]);
    assert_eq!(given(&bench.send(&Draft::bootrequest(1))), Some(address));
    assert_eq!(bench.policy.lease(address).expect("a lease").expires, BootSecs(u32::MAX));
    assert!(!bench.words.load(address).alive(), "the kernel knows nothing of it");
}

/// RFC 951 §3: a BOOTP client is its hardware address. What it has it has for good, so that one that begins to send an identifier
/// (option 61), or ceases to, must not use up a second address.
#[test]
fn a_bootp_client_has_one_address_with_an_identifier_or_without() {
    for first in [true, false] {
        let mut bench = bench(Bootp::Dynamic);
        let draft = |named: bool| {
            if named { Draft::bootrequest(1).id(b"\0boot") } else { Draft::bootrequest(1) }
        };
        let address = given(&bench.send(&draft(first))).expect("an address");
        for named in [!first, first, !first] {
            assert_eq!(given(&bench.send(&draft(named))), Some(address), "{named}");
        }
        assert_ne!(given(&bench.send(&Draft::bootrequest(2))), Some(address));
        assert_eq!(bench.store.len(), 2);
    }
}
