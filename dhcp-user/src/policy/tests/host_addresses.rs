//! The server's own address, a router's, a name server's, inside a pool: nobody is given them.

use super::wire::{Draft, SERVER};
use super::*;

/// A pool from `first` on that holds the server, which is the router as well, and at 53 the name server.
fn bench(first: u8, last: u8) -> Bench {
    Bench::new(vec![subnet(first, last)])
}

fn have(bench: &mut Bench, addresses: &[Ipv4Addr]) {
    bench.interfaces[0].addresses = addresses.to_vec();
    bench.policy.relink(bench.interfaces.clone(), &[]);
    bench.check();
}

#[test]
fn what_hosts_have_is_offered_to_nobody() {
    let mut bench = bench(52, 54);
    assert_eq!(bench.state(host(53)), State::Reserved);
    assert_eq!([bench.lease(1), bench.lease(2)], [host(52), host(54)]);
    assert_eq!(bench.send(&Draft::discover(3)), Response::Silence(Silence::Exhausted));
    let asked = Draft::discover(4).address(50, host(53));
    assert_eq!(bench.send(&asked), Response::Silence(Silence::Exhausted));
    assert!(bench.send(&Draft::select(4, SERVER, host(53))).is_nak());
    bench.check();
}

#[test]
fn a_reservation_gives_a_server_its_address_and_nobody_ours() {
    let reservations = vec![reserved(1, host(53)), reserved(2, SERVER)];
    let mut bench = Bench::new(vec![Subnet { reservations, ..subnet(1, 60) }]);
    assert_eq!(bench.lease(1), host(53));
    assert_ne!(bench.lease(2), SERVER);
}

#[test]
fn an_address_that_becomes_ours_is_kept_back_and_one_that_was_is_free() {
    let mut bench = bench(10, 11);
    assert_eq!(bench.send(&Draft::discover(1)).offered(), Some(host(10)));
    have(&mut bench, &[SERVER, host(10)]);
    assert_eq!(bench.state(host(10)), State::Reserved);
    assert_eq!(bench.lease(2), host(11));
    assert_eq!(bench.send(&Draft::discover(3)), Response::Silence(Silence::Exhausted));
    have(&mut bench, &[SERVER]);
    assert_eq!(bench.lease(3), host(10));
}

/// Who was promised a server's address may go on; when it is over, nobody gets it.
#[test]
fn a_promise_is_kept_before_the_address_is_kept_back() {
    for reload in [false, true] {
        let mut bench = bench(10, 11);
        let address = bench.lease(1);
        if reload {
            let mut options = subnet(10, 11).options;
            options.0.insert(42, address.octets().to_vec());
            bench.reload(vec![Subnet { options, ..subnet(10, 11) }]);
        } else {
            have(&mut bench, &[SERVER, address]);
        }
        assert_eq!(bench.state(address), State::Leased);
        if reload {
            assert_eq!(bench.send(&Draft::renew(1, address)).acked(), Some(address));
        }
        bench.pass(LEASE_TIME + GRACE + 3);
        assert_eq!(bench.state(address), State::Reserved);
        assert_eq!(bench.lease(2), host(11));
        assert_eq!(bench.send(&Draft::discover(3)), Response::Silence(Silence::Exhausted));
    }
}

#[test]
fn a_probe_under_way_does_not_give_it_away() {
    let mut bench = bench(10, 10);
    bench.policy.carry_out_probes();
    bench.send(&Draft::discover(1));
    have(&mut bench, &[SERVER, host(10)]);
    bench.probe(&[]);
    assert_eq!(bench.state(host(10)), State::Reserved);
}

/// What an interface has that is not served is the host's own as well.
#[test]
fn an_address_of_the_host_on_any_interface_is_offered_to_nobody() {
    let mut bench = bench(10, 11);
    assert_eq!(bench.send(&Draft::discover(1)).offered(), Some(host(10)));
    let everywhere = |bench: &mut Bench, addresses: &[Ipv4Addr]| {
        bench.policy.set_host(addresses.iter().copied().collect());
        bench.check();
    };
    everywhere(&mut bench, &[Ipv4Addr::LOCALHOST, host(10)]);
    assert_eq!(bench.state(host(10)), State::Reserved);
    assert_eq!(bench.policy.own_in_pools().collect::<Vec<_>>(), [host(10)]);
    assert!(bench.send(&Draft::select(1, SERVER, host(10))).is_nak());
    bench.reload(bench.config.subnets.clone());
    assert_eq!(bench.lease(2), host(11));
    assert_eq!(bench.send(&Draft::discover(3)), Response::Silence(Silence::Exhausted));
    everywhere(&mut bench, &[Ipv4Addr::LOCALHOST]);
    assert_eq!(bench.lease(3), host(10));
}

/// Two can't have it, and the host is not to be asked: who was promised it learns of that at its next contact.
#[test]
fn whose_address_has_become_our_own_is_sent_away() {
    type Ask = fn(Ipv4Addr) -> Draft;
    let ways: [Ask; 6] = [
        |address| Draft::renew(1, address),
        |address| Draft::rebind(1, address),
        |address| Draft::reboot(1, address),
        |address| Draft::select(1, SERVER, address),
        |_| Draft::discover(1),
        |address| Draft::discover(1).address(50, address),
    ];
    for (way, ask) in ways.into_iter().enumerate() {
        for served in [false, true] {
            let mut bench = bench(10, 11);
            let address = bench.lease(1);
            let lease = bench.published.last().cloned().expect("published");
            if served {
                have(&mut bench, &[SERVER, address]);
            } else {
                bench.policy.set_host([address].into());
            }
            assert_ne!(
                bench.policy.basis(address, lease.link),
                Some(lease.basis),
                "the kernel is to forget it"
            );
            let response = bench.send(&ask(address));
            match way {
                0..4 => assert!(response.is_nak(), "{way}: {response:?}"),
                _ => assert_eq!(response.offered(), Some(host(11)), "{way}"),
            }
            assert_eq!(bench.lease(1), host(11));
            bench.pass(LEASE_TIME + GRACE + 3);
            assert_eq!(bench.state(address), State::Reserved);
        }
    }
}

/// A reservation of what is our own sends nobody away from what it has.
#[test]
fn nobody_is_sent_to_an_address_that_is_our_own() {
    let mut bench = bench(10, 12);
    assert_eq!(bench.lease(1), host(10));
    bench.policy.set_host([host(12)].into());
    bench.reload(vec![Subnet { reservations: vec![reserved(1, host(12))], ..subnet(10, 12) }]);
    assert_eq!(bench.send(&Draft::renew(1, host(10))).acked(), Some(host(10)));
    assert_eq!(bench.lease(1), host(10));
}

/// BOOTP has no NAK, and no end: who has for good what is our own now is given another address.
#[test]
fn who_speaks_bootp_is_not_given_what_is_our_own() {
    let subnets = vec![Subnet { bootp: Bootp::Dynamic, ..subnet(10, 11) }];
    let mut bench = Bench::new(subnets);
    let given = |bench: &mut Bench, mac| match bench.send(&Draft::bootrequest(mac)) {
        Response::Reply(Reply::Bootp { yiaddr, .. }) => Some(yiaddr),
        _ => None,
    };
    assert_eq!(given(&mut bench, 1), Some(host(10)));
    bench.policy.set_host([host(10)].into());
    assert_eq!(given(&mut bench, 1), Some(host(11)));
    assert_eq!(given(&mut bench, 2), None);
    bench.check();
}
