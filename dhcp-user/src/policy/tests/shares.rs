//! Several nodes lease one address space: what another node owns, or may have promised, is given to nobody here.

use std::collections::BTreeSet;

use super::wire::Draft;
use super::*;
use crate::cluster::Block;

fn block() -> Block {
    Block::of(host(0))
}

#[test]
fn what_another_node_owns_is_offered_to_nobody_and_its_clients_are_left_to_it() {
    let mut bench = Bench::new(vec![subnet(10, 12)]);
    bench.policy.share(BTreeSet::new(), BTreeSet::new());
    bench.check();
    assert_eq!(bench.state(host(10)), State::Reserved);
    assert_eq!(bench.send(&Draft::discover(1)), Response::Silence(Silence::Exhausted));
    for draft in [Draft::renew(1, host(10)), Draft::release(1, host(10))] {
        assert_eq!(bench.send(&draft), Response::Silence(Silence::AnotherNode));
    }
    bench.policy.take_over(block(), &[host(10)]);
    bench.check();
    assert_eq!([bench.lease(1), bench.lease(2)], [host(11), host(12)]);
    assert_eq!(bench.send(&Draft::discover(3)), Response::Silence(Silence::Exhausted));
    bench.policy.cleared(&[host(10)]);
    assert_eq!(bench.lease(3), host(10));
    bench.check();
}

#[test]
fn a_client_keeps_what_another_node_may_have_promised_it_and_nobody_else_gets_it() {
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    let address = bench.lease(1);
    bench.policy.share([block()].into(), [address].into());
    bench.check();
    assert_eq!(bench.send(&Draft::renew(1, address)).acked(), Some(address));
    bench.send(&Draft::release(1, address));
    assert_eq!(bench.state(address), State::Reserved);
    for client in [1, 2] {
        assert_eq!(bench.send(&Draft::discover(client)), Response::Silence(Silence::Exhausted));
    }
    bench.check();
    bench.reload(vec![subnet(10, 11)]);
    assert_eq!(bench.lease(2), host(11));
    assert_eq!(bench.state(address), State::Reserved, "the next configuration knows of it, too");
    bench.policy.cleared(&[address]);
    assert_eq!(bench.lease(3), address);
    bench.check();
}

#[test]
fn the_client_of_a_reservation_is_left_to_the_node_that_owns_it() {
    let mut bench = Bench::new(vec![Subnet { reservations: vec![reserved(9, host(14))], ..subnet(10, 15) }]);
    bench.policy.share(BTreeSet::new(), BTreeSet::new());
    assert_eq!(bench.send(&Draft::discover(9)), Response::Silence(Silence::AnotherNode));
    bench.policy.take_over(block(), &[]);
    assert_eq!(bench.lease(9), host(14));
    bench.check();
}
