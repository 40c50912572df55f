//! A changed configuration, applied to a running server.

use super::wire::{Draft, SERVER};
use super::*;

#[test]
fn leases_of_addresses_that_remain_go_on() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let word = bench.words.load(address);
    let mut changed = subnet(10, 40);
    changed.options.0.insert(6, vec![9, 9, 9, 9]);
    assert_eq!(bench.reload(vec![changed]), Reloaded { kept: 1, withdrawn: 0 });
    assert_eq!(bench.words.load(address), word);
    let renewed = bench.send(&Draft::renew(1, address).option(55, &[6]));
    assert_eq!((renewed.acked(), renewed.option(6)), (Some(address), Some(vec![9, 9, 9, 9])));
}

#[test]
fn what_was_published_is_answered_anew() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let published = bench.published.pop().expect("published").memos;
    let same: Vec<_> = published.iter().map(|memo| bench.policy.answer_to(address, &memo.question)).collect();
    assert_eq!(same, published.iter().map(|memo| Some(memo.answer.clone())).collect::<Vec<_>>());
    let mut changed = subnet(10, 20);
    changed.options.0.insert(6, vec![9, 9, 9, 9]);
    bench.reload(vec![changed]);
    let question = &published[0].question;
    let anew = bench.policy.answer_to(address, question).expect("an answer");
    assert_ne!(anew, published[0].answer);
    assert_eq!(*bench.send(&Draft::renew(1, address)).answer(), anew);
    bench.send(&Draft::release(1, address));
    assert_eq!(bench.policy.answer_to(address, question), None);
}

#[test]
fn a_lease_outside_the_new_pool_is_revoked_and_its_promise_kept() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    bench.now += 10;
    assert!(bench.kernel_renews(address));
    let promised = bench.words.load(address).expiry();
    assert_eq!(bench.reload(vec![subnet(15, 20)]), Reloaded { kept: 0, withdrawn: 1 });
    assert!(!bench.words.load(address).alive());
    assert_eq!(bench.store[&address].committed_until, promised);
    assert!(bench.happened(address).contains(&Happened::Withdrawn));
    assert!(bench.send(&Draft::renew(1, address)).is_nak(), "its client learns of it");
    bench.pass(LEASE_TIME + 1);
    assert!(!bench.store.contains_key(&address), "and it is forgotten when it has run out");
}

#[test]
fn a_withdrawn_address_that_comes_back_is_still_its_clients() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    bench.reload(vec![subnet(11, 20)]);
    bench.reload(vec![subnet(10, 20)]);
    assert_eq!(bench.send(&Draft::discover(2).address(50, address)).offered(), Some(host(11)));
    assert_eq!(bench.send(&Draft::renew(1, address)).acked(), Some(address));
}

#[test]
fn a_subnet_that_is_renumbered_revokes_its_leases() {
    let mut bench = Bench::new(vec![subnet(10, 20), relayed_subnet()]);
    let kept = bench.lease(1);
    bench.send(&Draft::discover(2).via(RELAY));
    let old = Ipv4Addr::new(10, 9, 0, 10);
    bench.send(&Draft::select(2, SERVER, old).via(RELAY));
    let renumbered = Subnet {
        prefix: Prefix { network: Ipv4Addr::new(10, 8, 0, 0), len: 24 },
        pools: vec![Pool { first: Ipv4Addr::new(10, 8, 0, 10), last: Ipv4Addr::new(10, 8, 0, 20) }.into()],
        relays: vec![RELAY],
        ..relayed_subnet()
    };
    assert_eq!(bench.reload(vec![renumbered, subnet(10, 20)]), Reloaded { kept: 1, withdrawn: 1 });
    assert_eq!(bench.state(kept), State::Leased);
    let rebinding = Draft { ciaddr: old, ..Draft::new(3, 2) }.via(RELAY);
    assert!(bench.send(&rebinding).is_nak());
    assert_eq!(bench.send(&Draft::discover(2).via(RELAY)).offered(), Some(Ipv4Addr::new(10, 8, 0, 10)));
}

#[test]
fn an_address_reserved_for_another_is_taken_from_its_client_but_not_given_before_its_time() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let reservations = vec![reserved(7, address)];
    let done = bench.reload(vec![Subnet { reservations, ..subnet(10, 20) }]);
    assert_eq!(done, Reloaded { kept: 0, withdrawn: 1 });
    assert_eq!(bench.state(address), State::Grace);
    assert_eq!(bench.send(&Draft::discover(7)).offered(), Some(host(11)), "the old client may use it still");
    assert!(bench.send(&Draft::renew(1, address)).is_nak());
    bench.pass(LEASE_TIME + GRACE + 2);
    assert_eq!(bench.state(address), State::Reserved);
    assert_eq!(bench.lease(7), address);
}

#[test]
fn a_lease_that_is_reserved_for_its_own_client_goes_on() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(7);
    let reservations = vec![reserved(7, address)];
    bench.reload(vec![Subnet { reservations, ..subnet(10, 20) }]);
    assert_eq!(bench.send(&Draft::renew(7, address)).acked(), Some(address));
    bench.send(&Draft::release(7, address));
    assert_eq!(bench.state(address), State::Reserved);
    bench.reload(vec![subnet(10, 20)]);
    assert_eq!(bench.state(address), State::Free);
}

#[test]
fn quarantine_grace_and_the_order_of_use_survive() {
    let mut bench = Bench::new(vec![subnet(10, 14)]);
    let (one, two, three, four) = (bench.lease(1), bench.lease(2), bench.lease(3), bench.lease(4));
    bench.send(&Draft::release(2, two));
    bench.send(&Draft::release(1, one));
    bench.send(&Draft::decline(3, three));
    bench.pass(LEASE_TIME + 2);
    bench.reload(vec![subnet(10, 14)]);
    let states = [one, two, three, four, host(14)].map(|address| bench.state(address));
    assert_eq!(states, [State::Free, State::Free, State::Quarantined, State::Grace, State::Free]);
    let next: Vec<_> = (11..=13).map(|mac| bench.lease(mac)).collect();
    assert_eq!(next, [host(14), two, one]);
}

#[test]
fn a_quarantine_outlasts_its_pool() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    bench.send(&Draft::decline(1, address));
    bench.reload(vec![subnet(15, 20)]);
    bench.pass(3600);
    bench.reload(vec![subnet(10, 20)]);
    assert_eq!(bench.state(address), State::Quarantined);
    bench.reload(vec![subnet(15, 20)]);
    bench.pass(24 * 3600);
    assert!(!bench.store.contains_key(&address), "and not longer than itself");
}

#[test]
fn offers_lapse() {
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    bench.send(&Draft::discover(1));
    bench.reload(vec![subnet(10, 10)]);
    assert_eq!(bench.send(&Draft::discover(2)).offered(), Some(host(10)));
}

#[test]
fn what_the_operator_ended_stays_ended_when_its_pool_goes_and_comes_back() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let actions = bench.handle(Event::OperatorRelease { address, reuse: Reuse::WhenClean });
    bench.carry_out(actions);
    for pool in [subnet(11, 20), subnet(10, 20)] {
        bench.reload(vec![pool]);
        assert_eq!(bench.store[&address].standing, Standing::Ended);
    }
    assert_eq!(bench.state(address), State::Grace);
    assert!(bench.send(&Draft::renew(1, address)).is_nak(), "its client is to learn of it");
}
