//! What proves that an address is in use, and what is done when nothing else is left.

use super::wire::{Draft, SERVER};
use super::*;

const LIAR: [u8; 6] = [2, 0, 0, 0, 9, 9];
const HOST: [u8; 6] = [2, 0, 0, 0, 9, 1];

fn bench(subnets: Vec<Subnet>) -> Bench {
    let mut bench = Bench::new(subnets);
    bench.policy.carry_out_probes();
    bench
}

/// What comes of all probes, until there are none, where these hosts have these addresses and the liar answers for every
/// address unless its answers don't count.
fn probe_beside_a_liar(bench: &mut Bench, hosts: &[Ipv4Addr]) -> Vec<Response> {
    probe_beside(bench, LIAR, hosts)
}

/// The same, the liar being this station.
fn probe_beside(bench: &mut Bench, liar: [u8; 6], hosts: &[Ipv4Addr]) -> Vec<Response> {
    let mut responses = Vec::new();
    while !bench.probes.is_empty() {
        for (address, _) in std::mem::take(&mut bench.probes) {
            let outcome = if hosts.contains(&address) {
                action::Outcome::Answered(Some(HOST))
            } else if bench.except.get(&address).is_some_and(|except| except.contains(&liar)) {
                action::Outcome::Silent
            } else {
                action::Outcome::Answered(Some(liar))
            };
            let actions = bench.handle(Event::Probed { address, outcome });
            responses.extend(bench.carry_out(actions));
        }
    }
    responses
}

fn offered(responses: &[Response]) -> Vec<Ipv4Addr> {
    responses.iter().filter_map(Response::offered).collect()
}

fn quarantined(bench: &Bench) -> usize {
    bench.policy.quarantined().count()
}

#[test]
fn who_answers_for_every_address_keeps_no_newcomer_from_a_lease() {
    let mut bench = bench(vec![subnet(10, 30)]);
    assert_eq!(bench.send(&Draft::discover(1)), Response::Done);
    let responses = probe_beside_a_liar(&mut bench, &[]);
    assert_eq!(offered(&responses).len(), 1, "{responses:?}");
    assert_eq!(quarantined(&bench), 0, "what it said proves nothing");
    let told_of = bench.events.iter().filter(|event| matches!(event, LeaseEvent::ProbeLiar { .. }));
    assert_eq!(told_of.count(), 1);
    let disbelieved: Vec<_> = bench.policy.disbelieved(BootSecs(bench.now)).map(|(_, mac, _)| mac).collect();
    assert_eq!(disbelieved, [LIAR]);
    for mac in 2..=9 {
        if bench.send(&Draft::discover(mac)).offered().is_none() {
            assert_eq!(offered(&probe_beside_a_liar(&mut bench, &[])).len(), 1);
        }
    }
}

/// Somebody who answers each time by another hardware address: what it says costs minutes, and shuts nobody out.
#[test]
fn a_flood_of_stations_that_answer_probes_costs_minutes_and_shuts_nobody_out() {
    let mut bench = bench(vec![subnet(10, 200)]);
    let mut station = 0_u16;
    let mut flooded = |bench: &mut Bench| {
        let mut responses = Vec::new();
        while !bench.probes.is_empty() {
            for (address, _) in std::mem::take(&mut bench.probes) {
                station += 1;
                let [high, low] = station.to_be_bytes();
                let outcome = action::Outcome::Answered(Some([2, 9, 9, 9, high, low]));
                let actions = bench.handle(Event::Probed { address, outcome });
                responses.extend(bench.carry_out(actions));
            }
        }
        offered(&responses).len()
    };
    let mut served = 0;
    for mac in 1..=100 {
        served += usize::from(bench.send(&Draft::discover(mac)).offered().is_some()) + flooded(&mut bench);
    }
    assert!(served > 0, "nobody gets an address while it floods");
    assert!(quarantined(&bench) > 64);
    let told_of = bench.events.iter().filter(|event| matches!(event, LeaseEvent::ManyAnswers { .. }));
    assert_eq!(told_of.count(), 1);
    assert_eq!(bench.policy.doubted_links(BootSecs(bench.now)).count(), 1);
    // The flood is over.
    bench.pass(302);
    bench.probe(&[]);
    assert!(quarantined(&bench) <= 64, "{} are out of use still", quarantined(&bench));
    assert!(bench.send(&Draft::discover(101)).offered().is_some() || !offered(&bench.probe(&[])).is_empty());
}

#[test]
fn what_a_host_really_uses_is_not_offered_beside_a_liar() {
    let mut bench = bench(vec![subnet(10, 14)]);
    let hosts = [host(11), host(13)];
    for mac in 1..=3 {
        let mut all = vec![bench.send(&Draft::discover(mac))];
        all.extend(probe_beside_a_liar(&mut bench, &hosts));
        assert!(offered(&all).iter().all(|address| !hosts.contains(address)), "{all:?}");
    }
    assert_eq!(quarantined(&bench), 2);
}

/// Not even before it is found out, and not where each answer comes from another station.
#[test]
fn one_discover_puts_few_addresses_out_of_use() {
    let mut bench = bench(vec![subnet(10, 250)]);
    bench.send(&Draft::discover(1));
    let (mut number, mut responses) = (0u8, Vec::new());
    while let Some((address, _)) = bench.probes.pop() {
        number += 1;
        let outcome = action::Outcome::Answered(Some([2, 0, 0, 0, 8, number]));
        let actions = bench.handle(Event::Probed { address, outcome });
        responses.extend(bench.carry_out(actions));
    }
    assert_eq!(responses, [Response::Silence(Silence::Probing)]);
    assert_eq!((number, quarantined(&bench)), (12, 12), "four for the client, eight in stock");
}

#[test]
fn who_was_found_out_is_believed_again_after_a_while() {
    let mut bench = bench(vec![subnet(10, 30)]);
    bench.send(&Draft::discover(1));
    probe_beside_a_liar(&mut bench, &[]);
    bench.pass(3600 + 130);
    assert_eq!(bench.policy.disbelieved(BootSecs(bench.now)).count(), 0);
}

/// The liars that hold leases themselves: a client, and a bridge that got one for a client.
const HOLDERS: [(u8, Option<u8>); 2] = [(1, None), (60, Some(60))];

fn station(number: u8) -> [u8; 6] {
    [2, 0, 0, 0, 1, number]
}

fn through(draft: Draft, bridge: Option<u8>) -> Draft {
    bridge.into_iter().fold(draft, Draft::by)
}

/// A bench where this station is not believed any more, and this client gets the lease of each of `addresses` by it, each
/// under another identifier.
fn beside_a_holder(subnet: Subnet, (liar, bridge): (u8, Option<u8>), addresses: &[Ipv4Addr]) -> Bench {
    let mut bench = bench(vec![subnet]);
    bench.send(&Draft::discover(200));
    probe_beside(&mut bench, station(liar), &[]);
    assert_eq!(bench.policy.disbelieved(BootSecs(bench.now)).count(), 1);
    // Its offer lapses.
    bench.pass(130);
    for address in addresses {
        let own = |draft: Draft| through(draft.id(&[0, address.octets()[3]]), bridge);
        bench.send(&own(Draft::discover(1).address(50, *address)));
        probe_beside(&mut bench, station(liar), &[]);
        assert_eq!(bench.send(&own(Draft::select(1, SERVER, *address))).acked(), Some(*address));
        bench.now += 1;
    }
    probe_beside(&mut bench, station(liar), &[]);
    bench
}

#[test]
fn a_lease_whose_holder_answers_is_no_orphan_whatever_else_it_says() {
    for holder in HOLDERS {
        let leases = [host(20), host(21)];
        let pool = Subnet { max_leases_per_device: 2, max_leases_per_device_in_use: 2, ..subnet(10, 30) };
        let mut bench = beside_a_holder(pool, holder, &leases);
        bench.send(&through(Draft::discover(1).id(&[0, 99]), holder.1));
        assert_eq!(bench.probes.len(), 1);
        let responses = probe_beside(&mut bench, station(holder.0), &[]);
        assert_eq!(responses, [Response::Silence(Silence::DeviceCap)], "{holder:?}");
        assert_eq!(leases.map(|address| bench.state(address)), [State::Leased; 2], "{holder:?}");
    }
}

#[test]
fn what_the_operator_ended_is_not_free_while_its_holder_answers_whatever_else_it_says() {
    for holder in HOLDERS {
        let address = host(20);
        let mut bench = beside_a_holder(subnet(10, 30), holder, &[address]);
        let actions = bench.handle(Event::OperatorRelease { address, reuse: Reuse::WhenClean });
        bench.carry_out(actions);
        assert_eq!(bench.probes.len(), 1);
        probe_beside(&mut bench, station(holder.0), &[]);
        assert_eq!(bench.state(address), State::Grace, "{holder:?}");
    }
}

#[test]
fn what_a_holder_that_sleeps_answers_for_is_not_given_in_need_whatever_else_it_says() {
    for holder in HOLDERS {
        let leases = [host(10), host(11), host(12)];
        let mut bench = beside_a_holder(subnet(10, 12), holder, &leases);
        bench.pass(LEASE_TIME + 2);
        assert_eq!(leases.map(|address| bench.state(address)), [State::Grace; 3]);
        bench.send(&Draft::discover(7));
        assert!(!bench.probes.is_empty());
        assert!(offered(&probe_beside(&mut bench, station(holder.0), &[])).is_empty(), "{holder:?}");
        assert_eq!(leases.map(|address| bench.state(address)), [State::Grace; 3], "{holder:?}");
    }
}

/// An access point answers for its clients' addresses for a while after they are over.
#[test]
fn a_bridge_that_answers_for_what_its_clients_had_is_no_liar() {
    for released in [true, false] {
        let mut bench = Bench::new(vec![subnet(10, 13)]);
        let leases = [1, 2, 3, 4].map(|mac| {
            let address = bench.send(&Draft::discover(mac).by(60)).offered().expect("an offer");
            assert_eq!(bench.send(&Draft::select(mac, SERVER, address).by(60)).acked(), Some(address));
            if released {
                assert_eq!(bench.send(&Draft::release(mac, address).by(60)), Response::Done);
            }
            address
        });
        bench.pass(if released { 1 } else { LEASE_TIME + GRACE + 2 });
        bench.policy.carry_out_probes();
        bench.send(&Draft::discover(9));
        probe_beside(&mut bench, station(60), &[]);
        assert_eq!(bench.policy.disbelieved(BootSecs(bench.now)).count(), 0, "{released}");
        assert!(leases.iter().all(|address| bench.state(*address) != State::Leased));
        assert_eq!(quarantined(&bench) == 0, released, "who gave it back may linger: {released}");
    }
}

/// DISCOVER, REQUEST, DECLINE, from a device that nobody has heard of.
fn decline(bench: &mut Bench, mac: u8) -> Response {
    let address = match bench.send(&Draft::discover(mac)) {
        Response::Done => *offered(&bench.probe(&[])).first().expect("an offer"),
        response => response.offered().expect("an offer"),
    };
    bench.send(&Draft::select(mac, SERVER, address));
    bench.send(&Draft::decline(mac, address))
}

#[test]
fn a_flood_of_declines_costs_minutes() {
    let mut bench = Bench::new(vec![subnet(10, 200)]);
    for mac in 1..=100 {
        decline(&mut bench, mac);
    }
    assert_eq!(quarantined(&bench), 100);
    let told_of = bench.events.iter().filter(|event| matches!(event, LeaseEvent::ManyDeclines { .. }));
    assert_eq!(told_of.count(), 1);
    assert_eq!(bench.policy.spent_declines(BootSecs(bench.now)).count(), 1);
    bench.pass(302);
    assert_eq!(quarantined(&bench), 8, "some are believed");
    bench.pass(700);
    assert_eq!(bench.policy.spent_declines(BootSecs(bench.now)).count(), 0);
    bench.pass(3 * 3600);
    decline(&mut bench, 101);
    decline(&mut bench, 102);
    bench.pass(302);
    assert_eq!(quarantined(&bench), 9, "one more after three hours");
}

#[test]
fn declines_behind_one_port_of_a_relay_say_nothing_of_another() {
    let circuit = |draft: Draft, port: u8| draft.via(RELAY).option(82, &[1, 1, port]);
    let mut bench = Bench::new(vec![Subnet {
        pools: vec![Pool { first: Ipv4Addr::new(10, 9, 0, 10), last: Ipv4Addr::new(10, 9, 0, 90) }.into()],
        ..relayed_subnet()
    }]);
    for (mac, port) in (1..=20).map(|mac| (mac, 1)).chain([(30, 2)]) {
        let address = bench.send(&circuit(Draft::discover(mac), port)).offered().expect("an offer");
        bench.send(&circuit(Draft::select(mac, SERVER, address), port));
        bench.send(&circuit(Draft::decline(mac, address), port));
    }
    bench.pass(302);
    assert_eq!(quarantined(&bench), 8 + 1);
}

#[test]
fn what_was_declined_too_often_is_probed_and_given_when_nothing_else_is_left() {
    let mut bench = bench(vec![subnet(10, 29)]);
    for mac in 1..=20 {
        decline(&mut bench, mac);
        bench.probe(&[]);
    }
    assert_eq!(quarantined(&bench), 20);
    assert_eq!(bench.send(&Draft::discover(50)), Response::Done);
    let longest = bench.probes.first().expect("a probe").0;
    assert!(offered(&bench.probe(&[longest])).is_empty());
    assert_eq!(bench.state(longest), State::Quarantined, "it is in use indeed");
    assert_eq!(offered(&bench.probe(&[])).len(), 1);
    let mut unprobed = Bench::new(vec![subnet(10, 29)]);
    (1..=20).for_each(|mac| drop(decline(&mut unprobed, mac)));
    assert!(unprobed.send(&Draft::discover(50)).offered().is_some());
}

/// What was believed is not given to anybody, whatever the need.
#[test]
fn what_was_declined_on_good_evidence_is_not_given_in_need() {
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    decline(&mut bench, 1);
    assert_eq!(bench.send(&Draft::discover(2)), Response::Silence(Silence::Exhausted));
}

/// A client that declines too often loses what it declines, but not if the kernel has promised it since.
#[test]
fn what_the_kernel_promised_after_the_decline_was_sent_is_kept() {
    let mut bench = Bench::new(vec![subnet(10, 40)]);
    for mac in 1..=9 {
        decline(&mut bench, mac);
    }
    let address = bench.lease(20);
    let late = Draft::decline(20, address).request(bench.now);
    bench.now += 400;
    assert!(bench.kernel_renews(address));
    let actions = bench.handle(Event::Message(late));
    bench.carry_out(actions);
    bench.pass(LEASE_TIME - 10);
    assert_eq!(bench.state(address), State::Quarantined);
    bench.pass(20);
    assert_eq!(bench.state(address), State::Free);
}

#[test]
fn a_short_quarantine_is_one_after_a_restart_too() {
    let mut bench = Bench::new(vec![subnet(10, 19)]);
    for mac in 1..=10 {
        decline(&mut bench, mac);
    }
    bench.restart(true);
    assert!(bench.send(&Draft::discover(50)).offered().is_some());
    assert!(bench.send(&Draft::discover(51)).offered().is_some());
    assert_eq!(bench.send(&Draft::discover(52)), Response::Silence(Silence::Exhausted));
}

/// A pool of three whose leases have just expired, a second apart, the last address first.
fn all_in_grace(bench: &mut Bench) {
    for mac in [1, 2, 3] {
        let asked = Draft::discover(mac).address(50, host(13 - mac));
        if bench.send(&asked).offered().is_none() {
            assert_eq!(offered(&bench.probe(&[])), [host(13 - mac)]);
        }
        assert_eq!(bench.send(&Draft::select(mac, SERVER, host(13 - mac))).acked(), Some(host(13 - mac)));
        bench.now += 1;
    }
    bench.pass(LEASE_TIME + 2);
    assert!((10..=12).all(|last| bench.state(host(last)) == State::Grace));
}

/// RFC 2131 §4.3.1: an expired address may be given to another client.
#[test]
fn grace_gives_way_to_need_oldest_first() {
    let mut bench = bench(vec![subnet(10, 12)]);
    all_in_grace(&mut bench);
    assert_eq!(bench.send(&Draft::discover(7)), Response::Done);
    assert_eq!(bench.probes.first().map(|(address, _)| *address), Some(host(12)));
    assert_eq!(offered(&bench.probe(&[])), [host(12)]);
    assert_eq!(bench.send(&Draft::select(7, SERVER, host(12))).acked(), Some(host(12)));
    assert_eq!(bench.send(&Draft::reboot(2, host(11))).acked(), Some(host(11)), "the others are kept");
}

#[test]
fn without_probes_it_is_given_at_once() {
    let mut bench = Bench::new(vec![subnet(10, 12)]);
    all_in_grace(&mut bench);
    let offers: Vec<_> = (7..=10).map(|mac| bench.send(&Draft::discover(mac)).offered()).collect();
    assert_eq!(offers, [Some(host(12)), Some(host(11)), Some(host(10)), None]);
}

#[test]
fn an_owner_that_sleeps_keeps_its_grace() {
    let mut bench = bench(vec![subnet(10, 12)]);
    all_in_grace(&mut bench);
    bench.send(&Draft::discover(7));
    let answer = |bench: &mut Bench, mac| {
        let (address, _) = bench.probes.pop().expect("a probe");
        let outcome = action::Outcome::Answered(Some([2, 0, 0, 0, 1, mac]));
        let actions = bench.handle(Event::Probed { address, outcome });
        bench.carry_out(actions)
    };
    assert_eq!(answer(&mut bench, 1), []);
    assert_eq!(bench.state(host(12)), State::Grace);
    assert_eq!(answer(&mut bench, 99), [], "somebody else has no business there");
    assert_eq!(bench.state(host(11)), State::Quarantined);
    assert_eq!(offered(&bench.probe(&[])), [host(10)]);
}

#[test]
fn an_owner_that_comes_back_while_its_address_is_probed_for_another_has_it() {
    let mut bench = bench(vec![subnet(10, 12)]);
    all_in_grace(&mut bench);
    bench.send(&Draft::discover(7));
    assert_eq!(bench.send(&Draft::discover(1)).offered(), Some(host(12)));
    assert!(offered(&bench.probe(&[])).is_empty());
    assert_eq!(offered(&bench.probe(&[])), [host(11)], "the newcomer gets the next one");
    assert_eq!(bench.send(&Draft::select(1, SERVER, host(12))).acked(), Some(host(12)));
}

/// Only what has expired: what somebody else may still count on is given to nobody.
#[test]
fn what_is_still_promised_is_not_given_in_need() {
    let mut bench = Bench::new(vec![subnet(10, 11)]);
    bench.lease(1);
    let asked = Draft::discover(1).address(50, host(11));
    bench.send(&asked);
    bench.send(&Draft::select(1, SERVER, host(11)));
    assert_eq!(bench.state(host(10)), State::Grace, "it has moved, and may not know");
    assert_eq!(bench.send(&Draft::discover(2)), Response::Silence(Silence::Exhausted));
    bench.pass(LEASE_TIME + 2);
    assert!(bench.send(&Draft::discover(2)).offered().is_some());
}

/// RFC 2131 §4.3.4: what is released is available again, an offer of it included.
#[test]
fn a_release_gives_back_what_was_offered_of_the_lease() {
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    let address = bench.lease(1);
    assert_eq!(bench.send(&Draft::discover(1)).offered(), Some(address));
    bench.send(&Draft::release(1, address));
    assert_eq!(bench.state(address), State::Free);
    assert_eq!(bench.lease(2), address);
}

#[test]
fn a_release_of_what_was_only_offered_frees_it() {
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    assert_eq!(bench.send(&Draft::discover(1)).offered(), Some(host(10)));
    assert_eq!(bench.send(&Draft::release(2, host(10))), Response::Silence(Silence::NotOwner));
    assert_eq!(bench.send(&Draft::release(1, host(10))), Response::Done);
    assert_eq!(bench.lease(2), host(10));
}

#[test]
fn probing_is_as_the_subnet_says_else_the_interface_else_the_server() {
    let probes = |server, interface: Option<crate::config::Probe>, of_subnet| {
        let mut bench = Bench::new(vec![Subnet { probe: of_subnet, ..subnet(10, 30) }]);
        bench.config.server.probe = server;
        let name = "eth0".to_owned();
        let xdp = crate::config::XdpMode::Off;
        let (rate_limit, circuit_rate_limit) = (None, None);
        let trust_agent_information = false;
        let eth0 = crate::config::Interface {
            name,
            xdp,
            probe: interface,
            rate_limit,
            circuit_rate_limit,
            trust_agent_information,
        };
        bench.config.interfaces = vec![eth0];
        bench.restart(true);
        bench.policy.carry_out_probes();
        bench.send(&Draft::discover(1)).offered().is_none()
    };
    use crate::config::Probe::{Auto, Off};
    assert!(probes(Auto, None, None) && !probes(Off, None, None));
    assert!(probes(Off, Some(Auto), None) && !probes(Auto, Some(Off), None));
    assert!(probes(Off, Some(Off), Some(Auto)) && !probes(Auto, Some(Auto), Some(Off)));
}

/// A promise that ends with the short time is one still: nobody is given its address in need.
#[test]
fn a_promise_as_long_as_a_short_quarantine_is_not_doubtful_after_a_restart() {
    let short = |lease| LeaseTimes { lease, renew: lease / 2, rebind: lease * 7 / 8, ..subnet(0, 0).times };
    for lease in [250, 300] {
        let mut bench = Bench::new(vec![Subnet { times: short(lease), ..subnet(10, 18) }]);
        for mac in 1..=8 {
            decline(&mut bench, mac);
        }
        let address = bench.lease(20);
        let late = Draft::decline(20, address).request(bench.now);
        bench.now += 100;
        assert!(bench.kernel_renews_for(address, lease));
        let actions = bench.handle(Event::Message(late));
        bench.carry_out(actions);
        assert_eq!(bench.state(address), State::Quarantined);
        for _ in 0..2 {
            assert_eq!(bench.send(&Draft::discover(50)), Response::Silence(Silence::Exhausted), "{lease}");
            bench.restart(true);
        }
    }
}
