//! The write-ahead horizon: how far the kernel may promise, and that it is always committed first.

use super::*;

#[test]
fn a_grant_commits_ahead_of_its_promise() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let promised = bench.words.load(address).expiry();
    assert_eq!(promised, BootSecs(START + 1 + LEASE_TIME));
    assert_eq!(bench.store[&address].committed_until, BootSecs(START + 1 + 2 * LEASE_TIME));
    assert_eq!(bench.horizons[&address], bench.store[&address].committed_until);
}

#[test]
fn the_horizon_follows_the_kernels_renewals() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    for round in 1..=10 {
        bench.now += LEASE_TIME / 2;
        assert!(bench.kernel_renews(address), "round {round}");
        bench.beat(address);
        let promised = bench.words.load(address).expiry();
        assert_eq!(bench.horizons[&address], promised.plus(LEASE_TIME));
        assert_eq!(bench.store[&address].expiry, promised);
    }
    let lease = bench.policy.lease(address).expect("a lease");
    assert_eq!((lease.kernel_renewals, lease.answered_by), (10, AnsweredBy::Kernel));
}

#[test]
fn without_the_daemon_the_kernel_stops_at_the_horizon() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let renewals = (0..20).take_while(|_| {
        bench.now += 100;
        bench.kernel_renews(address)
    });
    assert_eq!(renewals.count(), 10);
}

#[test]
fn a_small_step_is_not_worth_a_commit() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let committed = bench.store[&address].committed_until;
    bench.now += 10;
    assert!(bench.kernel_renews(address));
    bench.beat(address);
    assert_eq!(bench.store[&address].committed_until, committed);
    assert_eq!(bench.policy.lease(address).expect("a lease").kernel_renewals, 1);
}

#[test]
fn what_the_beat_saw_of_a_lease_that_ended_since_is_ignored() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    bench.now += 500;
    assert!(bench.kernel_renews(address));
    let seen = bench.words.load(address);
    bench.now += 1;
    bench.send(&wire::Draft::release(1, address));
    let actions = bench.handle(Event::Extended { address, word: seen, renewals: 1, is_last_answer: true });
    assert!(actions.is_empty());
    assert_eq!(bench.lease(1), address);
    let actions = bench.handle(Event::Extended { address, word: seen, renewals: 1, is_last_answer: true });
    assert!(actions.is_empty());
}

#[test]
fn a_shorter_lease_after_a_longer_one_keeps_the_words_promise() {
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    let address = bench.lease(1);
    let promised = bench.words.load(address).expiry();
    bench.send(&wire::Draft::release(1, address));
    let short = 60u32.to_be_bytes();
    bench.send(&wire::Draft::discover(2).option(51, &short));
    bench.send(&wire::Draft::select(2, wire::SERVER, address).option(51, &short));
    assert_eq!(bench.words.load(address).expiry(), promised, "a word's expiry never goes back");
    assert_eq!(bench.policy.lease(address).expect("a lease").expires, promised);
}
