//! How many leases a device gets: leases that answer their probes don't count, up to a hard cap.

use super::probing::{at_cap, at_cap_of, offered, stocked};
use super::wire::{Draft, SERVER};
use super::*;

/// Probes go on until nothing more is asked for; `used` addresses answer.
fn all_probes(bench: &mut Bench, used: &[Ipv4Addr]) -> Vec<Response> {
    let mut responses = Vec::new();
    while !bench.probes.is_empty() {
        responses.extend(bench.probe(used));
    }
    responses
}

#[test]
fn a_device_whose_leases_all_answer_gets_another_up_to_the_hard_cap() {
    let in_use = Subnet { max_leases_per_device: 2, max_leases_per_device_in_use: 8, ..subnet(10, 30) };
    let (mut bench, leases) = at_cap_of(in_use);
    let mut used = leases.to_vec();
    for id in 3..=8 {
        let client = |draft: Draft| draft.id(&[0, id]);
        let mut responses = vec![bench.send(&client(Draft::discover(1)))];
        responses.extend(all_probes(&mut bench, &used));
        assert_eq!(offered(&responses).len(), 1, "at once, however many had to be asked: {responses:?}");
        let address = offered(&responses)[0];
        assert_eq!(bench.send(&client(Draft::select(1, SERVER, address))).acked(), Some(address));
        used.push(address);
        bench.check();
    }
    let ninth = Draft::discover(1).id(&[0, 9]);
    bench.pass(120);
    assert_eq!(bench.send(&ninth), Response::Done);
    let mut responses = all_probes(&mut bench, &used);
    responses.retain(|response| *response != Response::Done);
    assert_eq!(responses, [Response::Silence(Silence::DeviceCap)]);
    assert!(bench.events.iter().any(|event| matches!(event, LeaseEvent::DeviceCap { cap: 8, .. })));
    assert!(used.iter().all(|address| bench.state(*address) == State::Leased));
    // One of them falls silent.
    bench.pass(120);
    assert_eq!(bench.send(&ninth), Response::Done);
    let silent = used.remove(5);
    assert_eq!(offered(&all_probes(&mut bench, &used)).len(), 1);
    assert_ne!(bench.state(silent), State::Leased);
}

#[test]
fn a_device_gets_no_more_while_one_of_its_leases_is_silent() {
    let (mut bench, [first, second]) = at_cap();
    bench.send(&Draft::discover(1).id(&[0, 3]));
    assert_eq!(offered(&all_probes(&mut bench, &[first])).len(), 1);
    assert_eq!(bench.state(first), State::Leased);
    assert_ne!(bench.state(second), State::Leased, "it was an orphan");
}

#[test]
fn answers_of_long_ago_prove_nothing() {
    let (mut bench, leases) = at_cap();
    bench.send(&Draft::discover(1).id(&[0, 3]));
    assert_eq!(offered(&all_probes(&mut bench, &leases)).len(), 1);
    bench.pass(200);
    bench.probe(&leases);
    assert_eq!(bench.send(&Draft::discover(1).id(&[0, 4])), Response::Done);
    assert!(bench.probes.iter().any(|(address, _)| leases.contains(address)), "they are asked anew");
}

/// What is offered is not in use: a device whose leases answer can't have any number of addresses kept.
#[test]
fn offers_to_a_device_whose_leases_answer_count_for_its_cap() {
    let (mut bench, leases) = at_cap();
    let mut responses = Vec::new();
    for id in 3..=8 {
        responses.push(bench.send(&Draft::discover(1).id(&[0, id])));
        responses.extend(all_probes(&mut bench, &leases));
    }
    let offers = offered(&responses);
    assert_eq!(offers.len(), 2);
    // Each is good for a lease, though the other's is new by then, and not known to be in use.
    for (id, address) in (3..).zip(offers) {
        let select = Draft::select(1, SERVER, address).id(&[0, id]);
        assert_eq!(bench.send(&select).acked(), Some(address));
    }
}

#[test]
fn a_ras_whose_leases_all_answer_gets_another_too() {
    let ras = |line: u8| [b"\x01RAS ".as_slice(), &[line]].concat();
    let terms = Subnet { max_leases_per_ras_device: 3, max_leases_per_device_in_use: 5, ..subnet(10, 30) };
    let mut bench = stocked(vec![terms]);
    let mut used = Vec::new();
    for line in 0..6 {
        let mut responses = vec![bench.send(&Draft::discover(1).id(&ras(line)))];
        responses.extend(all_probes(&mut bench, &used));
        let Some(address) = offered(&responses).first().copied() else { break };
        used.extend(bench.send(&Draft::select(1, SERVER, address).id(&ras(line))).acked());
    }
    assert_eq!(used.len(), 5);
}
