//! Probing: no address that somebody uses is offered, and nobody waits for another's probe.

use super::wire::{Draft, SERVER};
use super::*;

fn bench(subnets: Vec<Subnet>) -> Bench {
    let mut bench = Bench::new(subnets);
    bench.policy.carry_out_probes();
    bench
}

/// A bench whose stock of probed addresses has been filled by a first client.
pub(super) fn stocked(subnets: Vec<Subnet>) -> Bench {
    let mut bench = bench(subnets);
    bench.send(&Draft::discover(200));
    bench.probe(&[]);
    bench.probe(&[]);
    bench
}

pub(super) fn offered(responses: &[Response]) -> Vec<Ipv4Addr> {
    responses.iter().filter_map(Response::offered).collect()
}

/// RFC 2131 §3.1, SHOULD (probe): the server probes an address before it allocates it.
#[test]
fn a_discover_waits_for_the_probe_of_its_own_candidate() {
    let mut bench = bench(vec![subnet(10, 30)]);
    assert_eq!(bench.send(&Draft::discover(1)), Response::Done);
    let link = dhcp_ebpf::abi::Link { ifindex: IFINDEX, outer: 0, inner: 0 };
    assert_eq!(bench.probes[0], (host(10), Via::Arp(link)));
    assert_eq!(bench.state(host(10)), State::Free);
    assert_eq!(offered(&bench.probe(&[])), [host(10)]);
    assert_eq!(bench.state(host(10)), State::Offered);
}

/// RFC 2131 §3.1, SHOULD NOT (no-probe-at-request): what was offered is not probed again.
/// RFC 2131 §3.2, SHOULD NOT (reboot-no-probe): a client that reboots may answer itself.
#[test]
fn a_request_for_what_is_the_clients_is_answered_without_a_probe() {
    let mut bench = bench(vec![subnet(10, 30)]);
    bench.send(&Draft::discover(1));
    assert_eq!(offered(&bench.probe(&[])), [host(10)]);
    bench.probes.clear();
    assert_eq!(bench.send(&Draft::select(1, SERVER, host(10))).acked(), Some(host(10)));
    assert_eq!(bench.send(&Draft::reboot(1, host(10))).acked(), Some(host(10)));
    bench.pass(LEASE_TIME + 2);
    assert_eq!(bench.state(host(10)), State::Grace);
    assert_eq!(
        bench.send(&Draft::reboot(1, host(10))).acked(),
        Some(host(10)),
        "nor if it was away for long"
    );
    assert!(!bench.probes.iter().any(|(address, _)| *address == host(10)));
}

#[test]
fn the_next_client_finds_a_probed_address_at_once() {
    let mut bench = stocked(vec![subnet(10, 30)]);
    let next = bench.send(&Draft::discover(1)).offered().expect("an offer");
    assert_ne!(next, host(10));
    assert_eq!(bench.send(&Draft::select(1, SERVER, next)).acked(), Some(next));
}

#[test]
fn the_stock_grows_with_demand_and_shrinks_without() {
    let mut bench = stocked(vec![subnet(10, 250)]);
    for mac in 1..=40 {
        bench.send(&Draft::discover(mac));
    }
    assert_eq!(offered(&bench.probe(&[])).len() + 8, 40, "eight were ready");
    for mac in 41..=80 {
        assert!(bench.send(&Draft::discover(mac)).offered().is_some(), "{mac}");
    }
    bench.probe(&[]);
    for round in 0..12 {
        bench.pass(61);
        bench.send(&Draft::discover(100 + round));
        bench.probe(&[]);
    }
    bench.pass(121);
    bench.send(&Draft::discover(150));
    assert_eq!(bench.probes.len(), 5, "one for the client, four for the next ones");
}

#[test]
fn a_repeated_discover_starts_no_other_probe() {
    let mut bench = bench(vec![subnet(10, 250)]);
    bench.send(&Draft::discover(1));
    let asked_for = bench.probes.len();
    let again = Draft { xid: 77, ..Draft::discover(1) };
    assert_eq!(bench.send(&again), Response::Done);
    assert_eq!(bench.probes.len(), asked_for);
    assert_eq!(offered(&bench.probe(&[])).len(), 1, "one offer, to the later one");
}

#[test]
fn an_address_that_answers_is_never_offered() {
    let mut bench = bench(vec![subnet(10, 13)]);
    bench.send(&Draft::discover(1));
    let used = [host(10), host(11)];
    let mut responses = bench.probe(&used);
    responses.extend(bench.probe(&used));
    assert_eq!(offered(&responses), [host(12)]);
    assert_eq!((bench.state(host(10)), bench.state(host(11))), (State::Quarantined, State::Quarantined));
    let view = bench.policy.quarantined().next().expect("in quarantine");
    assert_eq!((view.why, view.by), (QuarantineCause::Probe, Some(HwAddr::ethernet([2, 0, 0, 0, 9, 9]))));
    let asked = Draft::discover(2).address(50, host(10));
    bench.send(&asked);
    assert_eq!(bench.state(host(10)), State::Quarantined);
}

#[test]
fn an_address_asked_for_is_probed_unless_it_was() {
    let mut bench = stocked(vec![subnet(10, 100)]);
    assert_eq!(bench.send(&Draft::discover(1).address(50, host(77))), Response::Done);
    assert_eq!(offered(&bench.probe(&[])), [host(77)]);
    bench.send(&Draft::discover(2).address(50, host(78)));
    bench.send(&Draft::discover(3).address(50, host(78)));
    assert_eq!(offered(&bench.probe(&[host(78)])).len(), 1, "the second was not made to wait for it");
}

#[test]
fn an_address_is_not_had_without_a_probe_by_selecting_it_unoffered() {
    let mut bench = stocked(vec![subnet(10, 100)]);
    assert!(bench.send(&Draft::select(1, SERVER, host(77))).is_nak());
    let probed = bench.send(&Draft::discover(2)).offered().expect("an offer");
    bench.send(&Draft::select(2, host(2), host(99)));
    assert_eq!(bench.send(&Draft::select(3, SERVER, probed)).acked(), Some(probed), "found unused lately");
}

#[test]
fn the_last_owner_needs_no_probe() {
    let mut bench = stocked(vec![subnet(10, 30)]);
    let address = bench.lease(1);
    bench.send(&Draft::release(1, address));
    bench.probes.clear();
    assert_eq!(bench.send(&Draft::discover(1)).offered(), Some(address));
    assert_eq!(bench.probes, []);
}

#[test]
fn who_comes_back_to_its_address_while_it_is_probed_for_another_gets_it_and_so_does_the_other_another() {
    let mut bench = bench(vec![subnet(10, 11)]);
    bench.send(&Draft::discover(1));
    bench.probe(&[]);
    bench.send(&Draft::select(1, SERVER, host(10)));
    bench.send(&Draft::release(1, host(10)));
    bench.pass(200);
    let wants = Draft::discover(2).address(50, host(10));
    assert_eq!(bench.send(&wants), Response::Done);
    let actions = bench.handle(Event::Message(Draft::discover(1).request(bench.now)));
    assert_eq!(offered(&bench.carry_out(actions)), [host(10)]);
    assert_eq!(offered(&bench.probe(&[])), [host(11)]);
}

#[test]
fn a_clean_probe_is_good_for_a_while_only() {
    let mut bench = stocked(vec![subnet(10, 30)]);
    bench.pass(130);
    assert_eq!(bench.send(&Draft::discover(1)), Response::Done);
    assert_eq!(offered(&bench.probe(&[])).len(), 1);
}

#[test]
fn a_probe_whose_outcome_is_never_told_is_given_up() {
    let mut bench = bench(vec![subnet(10, 10)]);
    assert_eq!(bench.send(&Draft::discover(1)), Response::Done);
    assert_eq!(bench.send(&Draft::discover(2)), Response::Silence(Silence::Probing));
    bench.pass(PATIENCE + 2);
    bench.probes.clear();
    assert_eq!(bench.send(&Draft::discover(2)), Response::Done);
    assert_eq!(offered(&bench.probe(&[])), [host(10)]);
}

#[test]
fn behind_a_relay_candidates_are_pinged() {
    let mut bench = bench(vec![relayed_subnet()]);
    bench.send(&Draft::discover(1).via(RELAY));
    assert!(bench.probes.iter().all(|(_, via)| *via == Via::Icmp));
    assert_eq!(offered(&bench.probe(&[])), [Ipv4Addr::new(10, 9, 0, 10)]);
}

#[test]
fn quarantine_ends_with_a_clean_probe() {
    let mut bench = stocked(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    bench.send(&Draft::decline(1, address));
    let day = 24 * 3600;
    bench.pass(day + 2);
    assert_eq!(bench.state(address), State::Quarantined, "until it is known to be unused");
    bench.probe(&[address]);
    let view = bench.policy.quarantined().next().expect("in quarantine");
    assert_eq!((view.recurrences, view.why), (2, QuarantineCause::Probe));
    bench.pass(2 * day + 2);
    bench.probe(&[]);
    assert_eq!(bench.state(address), State::Free);
}

#[test]
fn a_quarantine_that_ran_out_while_the_daemon_was_away_ends_with_a_clean_probe_too() {
    let mut bench = stocked(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    bench.send(&Draft::decline(1, address));
    bench.now += 24 * 3600 + 2;
    bench.restart(true);
    bench.probes.clear();
    bench.policy.carry_out_probes();
    bench.tick();
    assert_eq!((bench.state(address), bench.probes.len()), (State::Quarantined, 1));
    bench.probe(&[]);
    assert_eq!(bench.state(address), State::Free);
}

#[test]
fn a_quarantine_that_was_over_before_the_machine_rebooted_ends_with_a_clean_probe_too() {
    let mut bench = stocked(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    bench.send(&Draft::decline(1, address));
    let record = bench.store.get_mut(&address).expect("it is committed");
    if let Standing::Quarantined { since, until, .. } = &mut record.standing {
        // What lies before this boot is its moment 0.
        (*since, *until) = (BootSecs(0), BootSecs(0));
    }
    bench.now = 20;
    bench.restart(false);
    bench.probes.clear();
    bench.policy.carry_out_probes();
    bench.tick();
    assert_eq!((bench.state(address), bench.probes.len()), (State::Quarantined, 1));
    bench.probe(&[]);
    assert_eq!(bench.state(address), State::Free);
}

#[test]
fn without_an_outcome_quarantine_goes_on_and_is_probed_again() {
    let mut bench = stocked(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    bench.send(&Draft::decline(1, address));
    bench.pass(24 * 3600 + 2);
    for _ in 0..3 {
        bench.probes.clear();
        bench.pass(PATIENCE + 2);
        assert_eq!(bench.state(address), State::Quarantined);
        assert_eq!(bench.probes.len(), 1);
    }
}

/// A device at its cap of two, whose leases are one minute apart.
pub(super) fn at_cap() -> (Bench, [Ipv4Addr; 2]) {
    at_cap_of(Subnet { max_leases_per_device: 2, ..subnet(10, 30) })
}

/// The same of `subnet`.
pub(super) fn at_cap_of(subnet: Subnet) -> (Bench, [Ipv4Addr; 2]) {
    let mut bench = stocked(vec![subnet]);
    let leases = [1, 2].map(|id| {
        bench.pass(60);
        let mut responses = vec![bench.send(&Draft::discover(1).id(&[0, id]))];
        responses.extend(bench.probe(&[]));
        let address = offered(&responses)[0];
        bench.send(&Draft::select(1, SERVER, address).id(&[0, id])).acked().expect("a lease")
    });
    bench.pass(60);
    bench.probe(&[]);
    (bench, leases)
}

#[test]
fn an_orphan_is_reclaimed_for_its_own_device() {
    let (mut bench, [orphan, other]) = at_cap();
    let discover = Draft::discover(1).id(&[0, 3]);
    assert_eq!(bench.send(&discover), Response::Done);
    assert_eq!(bench.probes.iter().map(|(address, _)| *address).collect::<Vec<_>>(), [orphan]);
    assert_eq!(offered(&bench.probe(&[])).len(), 1);
    assert_ne!(bench.state(orphan), State::Leased);
    assert!(!bench.words.load(orphan).alive());
    assert_eq!(bench.state(other), State::Leased);
    assert!(bench.happened(orphan).contains(&Happened::Reclaimed));
}

#[test]
fn a_lease_that_answers_is_no_orphan() {
    let (mut bench, leases) =
        at_cap_of(Subnet { max_leases_per_device: 2, max_leases_per_device_in_use: 2, ..subnet(10, 30) });
    let discover = Draft::discover(1).id(&[0, 3]);
    bench.send(&discover);
    assert_eq!(bench.probe(&leases), [], "the first answers, and the other is probed");
    assert_eq!(bench.probe(&leases), [Response::Silence(Silence::DeviceCap)]);
    assert_eq!(
        bench.send(&discover),
        Response::Silence(Silence::DeviceCap),
        "nor are they probed all the time"
    );
    assert!(leases.iter().all(|address| bench.state(*address) == State::Leased));
}

#[test]
fn a_lease_that_is_given_back_while_somebody_else_answers_for_it_is_quarantined() {
    let (mut bench, [first, _]) = at_cap();
    bench.send(&Draft::discover(1).id(&[0, 3]));
    assert_eq!(bench.send(&Draft::release(1, first).id(&[0, 1])), Response::Done);
    assert_eq!(bench.state(first), State::Free);
    bench.probe(&[first]);
    assert_eq!(bench.state(first), State::Quarantined);
}

#[test]
fn a_lease_that_the_kernel_extends_meanwhile_is_no_orphan() {
    let (mut bench, [first, second]) = at_cap();
    bench.send(&Draft::discover(1).id(&[0, 3]));
    assert!(bench.kernel_renews(first));
    bench.probe(&[]);
    assert_eq!(bench.state(first), State::Leased);
    bench.probe(&[]);
    assert_ne!(bench.state(second), State::Leased, "the next one is");
}

#[test]
fn a_lease_that_the_daemon_extends_meanwhile_is_no_orphan() {
    let (mut bench, [first, _]) = at_cap();
    bench.send(&Draft::discover(1).id(&[0, 3]));
    let mut batch = bench.handle(Event::Message(Draft::renew(1, first).id(&[0, 1]).request(bench.now)));
    batch.extend(bench.handle(Event::Probed { address: first, outcome: action::Outcome::Silent }));
    let responses = bench.carry_out(batch);
    assert_eq!(responses.iter().filter_map(Response::acked).collect::<Vec<_>>(), [first]);
    assert_eq!(bench.state(first), State::Leased);
}

#[test]
fn where_nobody_can_be_asked_clients_are_served_and_nothing_is_concluded() {
    let unknown = |bench: &mut Bench| {
        let mut responses = Vec::new();
        for (address, _) in std::mem::take(&mut bench.probes) {
            let actions = bench.handle(Event::Probed { address, outcome: action::Outcome::Unreachable });
            responses.extend(bench.carry_out(actions));
        }
        responses
    };
    let mut fresh = bench(vec![subnet(10, 30)]);
    fresh.send(&Draft::discover(1));
    assert_eq!(offered(&unknown(&mut fresh)), [host(10)]);
    let (mut capped, leases) = at_cap();
    capped.send(&Draft::discover(1).id(&[0, 3]));
    unknown(&mut capped);
    assert_eq!(unknown(&mut capped), [Response::Silence(Silence::DeviceCap)]);
    assert!(
        leases.iter().all(|address| capped.state(*address) == State::Leased),
        "no lease is an orphan for that"
    );
    let mut declined = stocked(vec![subnet(10, 30)]);
    let address = declined.lease(1);
    declined.send(&Draft::decline(1, address));
    declined.pass(24 * 3600 + 2);
    unknown(&mut declined);
    assert_eq!(declined.state(address), State::Quarantined);
    declined.pass(PATIENCE + 2);
    assert_eq!(declined.probes.len(), 1, "it is asked for again");
}

#[test]
fn without_probing_nothing_is_probed() {
    let mut bench = bench(vec![subnet(10, 30)]);
    bench.config.server.probe = crate::config::Probe::Off;
    bench.restart(true);
    bench.policy.carry_out_probes();
    bench.lease(1);
    assert_eq!(bench.probes, []);
}

/// All probes asked for are answered by the client of this number.
fn answered_by(bench: &mut Bench, mac: u8) -> Vec<Response> {
    let mut responses = Vec::new();
    for (address, _) in std::mem::take(&mut bench.probes) {
        let outcome = action::Outcome::Answered(Some([2, 0, 0, 0, 1, mac]));
        let actions = bench.handle(Event::Probed { address, outcome });
        responses.extend(bench.carry_out(actions));
    }
    responses
}

/// A pool of one address, which client 1 has.
fn taken() -> Bench {
    let mut bench = bench(vec![subnet(10, 10)]);
    bench.send(&Draft::discover(1));
    bench.probe(&[]);
    bench.send(&Draft::select(1, SERVER, host(10))).acked().expect("a lease");
    bench
}

/// The same, given back.
fn given_back() -> Bench {
    let mut bench = taken();
    bench.send(&Draft::release(1, host(10)));
    bench
}

/// Who gives its address back may answer for it a moment longer: that is no reason to lose the address for a day.
#[test]
fn an_address_given_back_that_its_last_owner_still_answers_for_is_not_yet_anybody_elses() {
    let mut bench = given_back();
    assert_eq!(bench.send(&Draft::discover(2)), Response::Done, "it waits for the probe");
    assert_eq!(answered_by(&mut bench, 1), [Response::Silence(Silence::Exhausted)]);
    assert_eq!(bench.state(host(10)), State::Free);
    assert_eq!(bench.happened(host(10)), [Happened::Granted, Happened::Released]);
    for again in [Draft::discover(2), Draft::discover(3).address(50, host(10))] {
        assert_eq!(bench.send(&again), Response::Silence(Silence::Exhausted));
        assert!(bench.probes.is_empty(), "it is left alone");
    }
    assert!(bench.send(&Draft::select(4, SERVER, host(10))).is_nak());

    bench.pass(61);
    assert_eq!(bench.send(&Draft::discover(2)), Response::Done);
    assert_eq!(offered(&bench.probe(&[])), [host(10)]);
}

#[test]
fn who_gave_an_address_back_and_still_uses_it_can_have_it_again() {
    let mut bench = given_back();
    bench.send(&Draft::discover(2));
    answered_by(&mut bench, 1);
    assert_eq!(bench.lease(1), host(10));
    bench.pass(61);
    assert_eq!(bench.state(host(10)), State::Leased);
    bench.send(&Draft::release(1, host(10)));
    bench.pass(200);
    bench.send(&Draft::discover(2));
    assert_eq!(offered(&bench.probe(&[])), [host(10)]);
}

/// An address that ran out was its owner's to leave long ago, and a stranger was never given it.
#[test]
fn an_expired_address_that_answers_is_quarantined_whoever_answers() {
    let mut bench = taken();
    bench.pass(LEASE_TIME + GRACE + 2);
    bench.send(&Draft::discover(2));
    answered_by(&mut bench, 1);
    assert_eq!(bench.state(host(10)), State::Quarantined);

    let mut bench = given_back();
    bench.send(&Draft::discover(2));
    answered_by(&mut bench, 7);
    assert_eq!(bench.state(host(10)), State::Quarantined, "another than who gave it back");
}

/// What was lost is no silence: neither is the address offered, nor is it out of use.
#[test]
fn answers_that_may_have_been_lost_make_no_address_clean_and_none_used() {
    let mut bench = bench(vec![subnet(10, 10)]);
    let lost = |bench: &mut Bench| {
        let (address, _) = bench.probes.pop().expect("a probe");
        let actions = bench.handle(Event::Probed { address, outcome: action::Outcome::Unknown });
        bench.carry_out(actions)
    };
    for _ in 0..3 {
        assert_eq!(bench.send(&Draft::discover(1)), Response::Done);
        assert_eq!(lost(&mut bench), [Response::Silence(Silence::ProbeUnknown)]);
        assert_eq!(bench.state(host(10)), State::Free);
    }
    bench.send(&Draft::discover(1));
    assert_eq!(offered(&bench.probe(&[])), [host(10)], "when one is heard through, it is offered");
}

#[test]
fn no_lease_is_an_orphan_by_a_probe_whose_answers_may_have_been_lost() {
    let (mut capped, [first, second]) = at_cap();
    capped.send(&Draft::discover(1).id(&[0, 3]));
    let address = capped.probes.pop().expect("a probe").0;
    let actions = capped.handle(Event::Probed { address, outcome: action::Outcome::Unknown });
    assert_eq!(capped.carry_out(actions), [Response::Silence(Silence::ProbeUnknown)]);
    assert_eq!([capped.state(first), capped.state(second)], [State::Leased; 2]);
}

/// Cloned machines have one identifier, and whoever hears a DISCOVER knows it.
#[test]
fn who_waits_for_a_probe_is_not_supplanted_by_its_name() {
    let mut bench = bench(vec![subnet(10, 30)]);
    let id = |draft: Draft| draft.id(&[255, 7]);
    assert_eq!(bench.send(&id(Draft::discover(1))), Response::Done);
    for other in [Draft::discover(2), Draft::discover(1).by(99)] {
        assert_eq!(bench.send(&id(other)), Response::Silence(Silence::Probing));
    }
    let repeated = Draft { xid: 77, ..id(Draft::discover(1)) };
    assert_eq!(bench.send(&repeated), Response::Done);
    let mut waiting = Vec::new();
    for (address, _) in std::mem::take(&mut bench.probes) {
        let actions = bench.handle(Event::Probed { address, outcome: action::Outcome::Silent });
        bench.commit(&actions);
        waiting.extend(bench.act_for(actions));
    }
    let offered: Vec<_> = waiting
        .iter()
        .filter(|(_, response)| response.offered().is_some())
        .filter_map(|(request, _)| request.as_ref().map(|request| (request.eth_src[5], request.xid)))
        .collect();
    assert_eq!(offered, [(1, 77)]);
}

/// A probe belongs to the configuration that it was begun by; who waits for it is not forgotten with it.
#[test]
fn who_waits_for_a_probe_is_answered_after_a_reload() {
    for reloads in 1..=3 {
        let mut bench = bench(vec![subnet(10, 30)]);
        assert_eq!(bench.send(&Draft::discover(1)), Response::Done);
        for _ in 0..reloads {
            bench.probes.clear();
            bench.reload(vec![subnet(10, 30)]);
            bench.pass(0);
        }
        assert!(!bench.probes.is_empty(), "it is asked anew");
        assert_eq!(offered(&bench.probe(&[])), [host(10)], "{reloads} reloads");
    }
}
