//! How many leases the clients of one circuit get: silent ones are probed and given up, and what is in use fills the port.

use super::probing::{offered, stocked};
use super::wire::{Draft, SERVER};
use super::*;

fn limited(cap: u32) -> Subnet {
    Subnet { max_leases_per_circuit: Some(cap), ..relayed_subnet() }
}

fn unprobed(subnet: Subnet) -> Subnet {
    Subnet { probe: Some(crate::config::Probe::Off), ..subnet }
}

/// Behind this port of the relay.
fn on(port: u8, draft: Draft) -> Draft {
    draft.via(RELAY).option(82, &[1, 2, 0, port])
}

/// The whole exchange of a client on a port.
fn lease(bench: &mut Bench, port: u8, mac: u8) -> Ipv4Addr {
    let mut responses = vec![bench.send(&on(port, Draft::discover(mac)))];
    responses.extend(bench.probe(&[]));
    let address = offered(&responses)[0];
    bench.send(&on(port, Draft::select(mac, SERVER, address))).acked().expect("a lease")
}

#[test]
fn a_port_gets_no_more_than_its_share() {
    let mut bench = Bench::new(vec![unprobed(limited(2))]);
    for mac in [1, 2] {
        lease(&mut bench, 1, mac);
    }
    assert_eq!(bench.send(&on(1, Draft::discover(3))), Response::Silence(Silence::CircuitCap));
    assert_eq!(bench.send(&on(1, Draft::discover(4))), Response::Silence(Silence::CircuitCap));
    let reports = bench.events.iter().filter(|event| matches!(event, LeaseEvent::CircuitCap { cap: 2, .. }));
    assert_eq!(reports.count(), 1, "once, not for each message");
    assert!(
        bench.send(&on(2, Draft::discover(3))).offered().is_some(),
        "another port has a share of its own"
    );
}

#[test]
fn offers_count_and_a_choice_that_nobody_offered_is_none() {
    let mut bench = Bench::new(vec![unprobed(limited(2))]);
    lease(&mut bench, 1, 1);
    let open = bench.send(&on(1, Draft::discover(2))).offered().expect("the second of two");
    assert_eq!(bench.send(&on(1, Draft::discover(3))), Response::Silence(Silence::CircuitCap));
    let free = Ipv4Addr::new(10, 9, 0, 19);
    let forged = on(1, Draft::select(3, SERVER, free));
    assert_eq!(bench.send(&forged), Response::Silence(Silence::CircuitCap));
    assert_eq!(bench.send(&on(1, Draft::select(2, SERVER, open))).acked(), Some(open));
}

/// The server forgets its offers by a reload; the client takes what it was offered all the same.
#[test]
fn an_offer_that_was_forgotten_is_one_more_as_any_other() {
    let mut bench = Bench::new(vec![unprobed(limited(2))]);
    lease(&mut bench, 1, 1);
    let forgotten = bench.send(&on(1, Draft::discover(2))).offered().expect("the second of two");
    bench.reload(vec![unprobed(limited(2))]);
    let another = Ipv4Addr::new(10, 9, 0, 19);
    let third = on(1, Draft::discover(3).address(50, another));
    assert_eq!(bench.send(&third).offered(), Some(another));
    assert_eq!(bench.send(&on(1, Draft::select(3, SERVER, another))).acked(), Some(another));
    let late = on(1, Draft::select(2, SERVER, forgotten));
    assert_eq!(bench.send(&late), Response::Silence(Silence::CircuitCap));
}

#[test]
fn what_a_client_would_leave_does_not_count() {
    let mut bench = Bench::new(vec![unprobed(limited(1))]);
    let address = lease(&mut bench, 1, 1);
    assert_eq!(bench.send(&on(1, Draft::discover(1))).offered(), Some(address));
    assert_eq!(bench.send(&on(1, Draft::select(1, SERVER, address))).acked(), Some(address));
    assert_eq!(bench.send(&on(1, Draft::rebind(1, address))).acked(), Some(address));
}

#[test]
fn a_lease_goes_on_where_its_client_has_moved_to() {
    let mut bench = Bench::new(vec![unprobed(limited(1))]);
    lease(&mut bench, 1, 1);
    let moving = lease(&mut bench, 2, 2);
    assert_eq!(bench.send(&on(1, Draft::rebind(2, moving))).acked(), Some(moving));
    assert!(bench.send(&on(2, Draft::discover(3))).offered().is_some(), "it has left the other port");
}

#[test]
fn a_silent_lease_of_the_port_is_given_up_for_a_newcomer() {
    let mut bench = stocked(vec![limited(2)]);
    let first = lease(&mut bench, 1, 1);
    bench.pass(60);
    let second = lease(&mut bench, 1, 2);
    bench.pass(60);
    bench.probe(&[]);
    bench.send(&on(1, Draft::discover(3)));
    let mut responses = Vec::new();
    while !bench.probes.is_empty() {
        responses.extend(bench.probe(&[second]));
    }
    assert_eq!(offered(&responses).len(), 1, "{responses:?}");
    assert_ne!(bench.state(first), State::Leased, "the one that was silent for longest");
    assert_eq!(bench.state(second), State::Leased);
}

#[test]
fn a_port_whose_leases_all_answer_is_full() {
    let mut bench = stocked(vec![limited(2)]);
    let used = [lease(&mut bench, 1, 1), lease(&mut bench, 1, 2)];
    bench.pass(60);
    bench.probe(&[]);
    let mut responses = vec![bench.send(&on(1, Draft::discover(3)))];
    while !bench.probes.is_empty() {
        responses.extend(bench.probe(&used));
    }
    assert!(responses.contains(&Response::Silence(Silence::CircuitCap)), "{responses:?}");
    assert!(used.iter().all(|address| bench.state(*address) == State::Leased));
}

#[test]
fn a_restart_counts_what_there_was() {
    let mut bench = Bench::new(vec![unprobed(limited(1))]);
    lease(&mut bench, 1, 1);
    bench.restart(false);
    assert_eq!(bench.send(&on(1, Draft::discover(2))), Response::Silence(Silence::CircuitCap));
}
