//! RELEASE, DECLINE, expiry and the operator: how leases end, and that nothing promised is forgotten.

use super::wire::{Draft, SERVER};
use super::*;

/// RFC 2131 §4.3.4, stated (released): a released address is not allocated any more.
#[test]
fn a_release_frees_the_address_at_once() {
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    let address = bench.lease(1);
    assert_eq!(bench.send(&Draft::release(1, address)), Response::Done);
    assert!(!bench.words.load(address).alive());
    assert_eq!(bench.lease(2), address);
}

/// RFC 2131 §3.1, stated (lease-key): who the client is and which address it has tell the lease.
#[test]
fn a_release_must_fit_in_everything() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let good = Draft::release(1, address);
    let to_all = Draft { ciaddr: address, ip_src: address, ..Draft::new(7, 1) };
    let forged = [
        (Draft { ip_src: host(99), ..good.clone() }, Silence::SourceMismatch),
        (Draft::release(2, address), Silence::NotOwner),
        (good.clone().id(b"\x00me"), Silence::NotOwner),
        (Draft::release(1, host(11)), Silence::NotOwner),
        (to_all, Silence::NoServer),
        (Draft::new(7, 2).unicast(address), Silence::NotOwner),
        (Draft::new(7, 1).unicast(address).address(54, host(2)), Silence::OtherServer),
        (Draft::new(7, 1).address(54, SERVER), Silence::NoAddress),
    ];
    for (draft, why) in forged {
        assert_eq!(bench.send(&draft), Response::Silence(why), "{draft:?}");
        assert_eq!(bench.state(address), State::Leased);
    }
    assert_eq!(bench.send(&good), Response::Done);
}

#[test]
fn a_release_that_a_renewal_overtook_is_void() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    bench.now += 100;
    let release = Draft::release(1, address).request(bench.now);
    bench.now += 1;
    assert!(bench.kernel_renews(address));
    let actions = bench.handle(Event::Message(release));
    assert_eq!(bench.carry_out(actions), [Response::Silence(Silence::Overtaken)]);
    assert_eq!(bench.state(address), State::Leased);
}

#[test]
fn a_release_whose_word_is_still_the_one_it_met_was_not_overtaken() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    bench.now += 100;
    assert!(bench.kernel_renews(address));
    let met = Some(bench.words.load(address));
    let release =
        |bench: &Bench| Request { word: met, ..(*Draft::release(1, address).request(bench.now)).clone() };
    // In the same second, which the promise's own rounding leaves in doubt.
    let first = release(&bench);
    bench.now += 1;
    assert!(bench.kernel_renews(address));
    let actions = bench.handle(Event::Message(Arc::new(first)));
    assert_eq!(bench.carry_out(actions), [Response::Silence(Silence::Overtaken)]);
    let met = Some(bench.words.load(address));
    let second = Request { word: met, ..release(&bench) };
    let actions = bench.handle(Event::Message(Arc::new(second)));
    assert_eq!(bench.carry_out(actions), []);
    assert_eq!(bench.state(address), State::Free);
}

/// The client comes back at once, and its RELEASE is still waiting: the kernel has promised anew what it gave back.
#[test]
fn a_release_overtaken_in_the_second_of_the_lease_is_void() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let release = Draft::release(1, address).request(bench.now);
    for word in [Some(bench.words.load(address)), None] {
        assert!(bench.kernel_renews(address));
        // What the daemon answers in that second, too, does not make it the daemon's promise alone.
        assert!(matches!(bench.send(&Draft::renew(1, address)), Response::Reply(Reply::Ack { .. })));
        let actions = bench.handle(Event::Message(Arc::new(Request { word, ..(*release).clone() })));
        assert_eq!(bench.carry_out(actions), [Response::Silence(Silence::Overtaken)]);
        assert_eq!(bench.state(address), State::Leased);
    }
}

/// The same where the daemon's answer is for another time than the kernel's was: that tells when the kernel gave it.
#[test]
fn a_release_overtaken_by_a_renewal_for_another_time_is_void() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let wish = Draft::discover(1).option(51, &999_u32.to_be_bytes());
    let offered = bench.send(&wish).offered().expect("an offer");
    let address = bench.send(&Draft::select(1, SERVER, offered)).acked().expect("a lease");
    let release = Draft::release(1, address).request(bench.now);
    assert!(bench.kernel_renews(address));
    // Not carried out yet, so that the word is still the one that was revoked for it.
    let renewed = bench.handle(Event::Message(Draft::renew(1, address).request(bench.now)));
    let released = bench.handle(Event::Message(release));
    assert!(matches!(bench.carry_out(renewed)[..], [Response::Reply(Reply::Ack { .. })]));
    assert_eq!(bench.carry_out(released), [Response::Silence(Silence::Overtaken)]);
    assert_eq!(bench.state(address), State::Leased);
}

#[test]
fn a_release_after_the_kernels_renewal_holds() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    bench.now += 100;
    assert!(bench.kernel_renews(address));
    bench.now += 1;
    assert_eq!(bench.send(&Draft::release(1, address)), Response::Done);
    assert_eq!(bench.state(address), State::Free);
}

#[test]
fn a_grant_and_its_release_in_one_batch_leave_nothing_alive() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.send(&Draft::discover(1)).offered().expect("an offer");
    let mut batch = bench.handle(Event::Message(Draft::select(1, SERVER, address).request(bench.now)));
    batch.extend(bench.handle(Event::Message(Draft::release(1, address).request(bench.now))));
    assert_eq!(bench.carry_out(batch), [], "the ACK was overtaken");
    assert!(!bench.words.load(address).alive());
    assert_eq!(bench.state(address), State::Free);
}

#[test]
fn a_lease_that_the_kernel_extended_does_not_expire() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    bench.now += 600;
    assert!(bench.kernel_renews(address));
    bench.pass(500);
    assert_eq!(bench.state(address), State::Leased);
    bench.pass(600);
    assert_eq!(bench.state(address), State::Grace);
    assert_eq!(bench.happened(address), [Happened::Granted, Happened::Expired]);
}

#[test]
fn a_lease_whose_memos_are_being_rewritten_does_not_expire() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    bench.now += 600;
    assert!(bench.kernel_renews(address));
    bench.words.set(address, bench.words.load(address).suspended());
    bench.pass(500);
    assert_eq!(bench.state(address), State::Leased);
}

#[test]
fn a_short_lease_of_an_address_with_an_old_long_promise_can_be_released() {
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    let address = bench.lease(1);
    bench.send(&Draft::release(1, address));
    let short = 60u32.to_be_bytes();
    bench.send(&Draft::discover(2).option(51, &short));
    bench.send(&Draft::select(2, SERVER, address).option(51, &short));
    assert_eq!(bench.send(&Draft::release(2, address)), Response::Done);
}

/// RFC 2131 §4.3.3, MUST (declined): a declined address is not available.
/// RFC 2131 §4.3.3, SHOULD (decline-told): the administrator is told.
#[test]
fn a_declined_address_is_out_of_use_at_once() {
    let mut bench = Bench::new(vec![subnet(10, 11)]);
    let address = bench.lease(1);
    assert_eq!(bench.send(&Draft::decline(1, address)), Response::Done);
    assert_eq!(bench.state(address), State::Quarantined);
    assert!(!bench.words.load(address).alive());
    let kept = &bench.store[&address];
    assert!(matches!(kept.standing, Standing::Quarantined { why: QuarantineCause::Declined, .. }));
    assert_eq!(bench.lease(1), host(11), "the client gets another");
    assert_eq!(bench.send(&Draft::discover(2)), Response::Silence(Silence::Exhausted));
    let view = bench.policy.quarantined().next().expect("one in quarantine");
    assert_eq!((view.address, view.why), (address, QuarantineCause::Declined));
    bench.pass(24 * 3600 + 2);
    assert_eq!(bench.state(address), State::Free);
}

#[test]
fn an_offered_address_can_be_declined_by_whom_it_was_offered_to() {
    let mut bench = Bench::new(vec![subnet(10, 11)]);
    let address = bench.send(&Draft::discover(1)).offered().expect("an offer");
    assert_eq!(bench.send(&Draft::decline(2, address)), Response::Silence(Silence::NotOwner));
    assert_eq!(bench.send(&Draft::decline(1, address)), Response::Done);
    assert_eq!(bench.state(address), State::Quarantined);
}

#[test]
fn a_decline_from_anybody_else_is_ignored() {
    let mut bench = Bench::new(vec![subnet(10, 11)]);
    let address = bench.lease(1);
    let foreign = Draft::new(4, 1).address(54, host(2)).address(50, address);
    for (draft, why) in [
        (Draft::decline(2, address), Silence::NotOwner),
        (Draft::decline(1, address).id(b"\x00me"), Silence::NotOwner),
        (Draft::decline(1, host(11)), Silence::NotOwner),
        (foreign, Silence::OtherServer),
        (Draft::new(4, 1).address(50, address), Silence::NoServer),
        (Draft::new(4, 1).address(54, SERVER), Silence::NoAddress),
    ] {
        assert_eq!(bench.send(&draft), Response::Silence(why), "{draft:?}");
        assert_eq!(bench.state(address), State::Leased);
    }
}

#[test]
fn one_device_cannot_drain_the_pool_by_declining() {
    let mut bench = Bench::new(vec![subnet(10, 30)]);
    for times in 1..=15 {
        let address = bench.lease(1);
        let response = bench.send(&Draft::decline(1, address));
        let believed = if times <= 4 { Response::Done } else { Response::Silence(Silence::DeclinedTooOften) };
        assert_eq!(response, believed, "the {times}th time");
        assert!(!bench.words.load(address).alive(), "the {times}th time");
    }
    let pool = bench.policy.pools().next().expect("a pool");
    assert_eq!((pool.tally.of(State::Quarantined), pool.tally.of(State::Free)), (4, 17));
}

/// The device asks for its address again at once, and the kernel answers while the DECLINE waits.
#[test]
fn what_is_promised_beside_a_decline_not_believed_is_kept_in_mind() {
    let mut bench = Bench::new(vec![subnet(10, 14)]);
    for _ in 0..4 {
        let address = bench.lease(1);
        assert_eq!(bench.send(&Draft::decline(1, address)), Response::Done);
    }
    let address = bench.lease(1);
    bench.now += 1;
    let declined = Draft::decline(1, address).request(bench.now);
    assert!(bench.kernel_renews(address));
    let actions = bench.handle(Event::Message(declined));
    assert_eq!(bench.carry_out(actions), [Response::Silence(Silence::DeclinedTooOften)]);
    assert_eq!(bench.state(address), State::Grace);
    assert_eq!(bench.send(&Draft::discover(2)), Response::Silence(Silence::Exhausted));
    bench.pass(LEASE_TIME + GRACE + 2);
    assert_eq!(bench.lease(2), address);
}

#[test]
fn quarantine_grows_with_each_recurrence() {
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    let day = 24 * 3600;
    for length in [day, 2 * day, 4 * day] {
        let address = bench.lease(1);
        bench.send(&Draft::decline(1, address));
        bench.pass(length - 10);
        assert_eq!(bench.state(address), State::Quarantined, "{length}");
        bench.pass(12);
        assert_eq!(bench.state(address), State::Free, "{length}");
        bench.restart(true);
    }
}

#[test]
fn quarantine_never_ends_before_the_last_promise() {
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    bench.config.server.quarantine = 10;
    bench.restart(true);
    let address = bench.lease(1);
    bench.send(&Draft::decline(1, address));
    bench.pass(LEASE_TIME - 10);
    assert_eq!(bench.state(address), State::Quarantined);
    bench.pass(20);
    assert_eq!(bench.state(address), State::Free);
}

#[test]
fn the_operators_release_keeps_the_last_promise_in_mind() {
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    let address = bench.lease(1);
    bench.now += 10;
    assert!(bench.kernel_renews(address));
    let actions = bench.handle(Event::OperatorRelease { address, reuse: Reuse::WhenClean });
    bench.carry_out(actions);
    assert!(!bench.words.load(address).alive());
    assert_eq!(bench.state(address), State::Grace);
    bench.pass(LEASE_TIME);
    assert_eq!(bench.send(&Draft::discover(2)), Response::Silence(Silence::Exhausted));
    assert_eq!(bench.happened(address), [Happened::Granted, Happened::ReleasedByOperator]);
    bench.pass(GRACE + 2);
    assert_eq!(bench.lease(2), address);
}

/// The operator's word is final: a client that would go on is told to begin anew, after a restart as before.
#[test]
fn a_client_whose_lease_the_operator_ended_gets_a_nak_and_may_ask_anew() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    for restart in [None, Some(true), Some(false)] {
        let actions = bench.handle(Event::OperatorRelease { address, reuse: Reuse::WhenClean });
        bench.carry_out(actions);
        restart.into_iter().for_each(|maps| bench.restart(maps));
        let ours = |draft: Draft| draft.address(54, SERVER);
        let (renew, rebind) = (Draft::renew(1, address), Draft::rebind(1, address));
        let named = [ours(renew.clone()), ours(rebind.clone()), ours(renew.clone()).address(50, address)];
        for draft in [renew, rebind, Draft::reboot(1, address)].into_iter().chain(named) {
            assert!(bench.send(&draft).is_nak(), "{draft:?}");
        }
        assert_eq!(bench.state(address), State::Grace);
        assert_eq!(bench.lease(1), address, "it is nobody else's yet");
        assert_eq!(bench.send(&Draft::renew(1, address)).acked(), Some(address), "a new lease is a lease");
    }
    bench.pass(LEASE_TIME + 1);
    assert_eq!(bench.state(address), State::Grace);
    assert_eq!(bench.send(&Draft::renew(1, address)).acked(), Some(address), "one that ran out is in grace");
}

/// Once the address is free, too; but an offer that the client takes is a beginning, however it fills in `ciaddr`.
#[test]
fn an_ended_lease_is_not_gone_on_with_by_naming_the_server() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let actions = bench.handle(Event::OperatorRelease { address, reuse: Reuse::WhenClean });
    bench.carry_out(actions);
    bench.pass(LEASE_TIME + GRACE + 2);
    assert_eq!(bench.state(address), State::Free);
    let renew = Draft::renew(1, address).address(54, SERVER);
    assert!(bench.send(&renew).is_nak());
    assert_eq!(bench.send(&Draft::discover(1)).offered(), Some(address));
    assert_eq!(bench.send(&renew).acked(), Some(address));
}

/// Where others may know better no NAK is sent, whatever the operator did.
#[test]
fn without_authority_the_operators_release_is_no_nak() {
    let mut bench = Bench::new(vec![Subnet { authoritative: false, ..subnet(10, 20) }]);
    let address = bench.lease(1);
    let actions = bench.handle(Event::OperatorRelease { address, reuse: Reuse::WhenClean });
    bench.carry_out(actions);
    assert_eq!(bench.send(&Draft::renew(1, address)), Response::Silence(Silence::NotAuthoritative));
}

#[test]
fn the_operator_ends_a_quarantine() {
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    let address = bench.lease(1);
    bench.send(&Draft::decline(1, address));
    let actions = bench.handle(Event::QuarantineClear { range: only(address), why: None });
    bench.carry_out(actions);
    assert_eq!(bench.state(address), State::Free);
    assert_eq!(bench.store[&address].standing, Standing::Free);
    assert_eq!(bench.lease(2), address);
}

/// RFC 2131 §4.2: who has an identifier is one client, whichever card it speaks by, and so has one lease of a subnet.
#[test]
fn a_client_that_moved_and_asks_for_what_it_had_without_its_identifier_has_one_lease() {
    let pool = subnet(10, 20);
    let mut bench = Bench::new(vec![Subnet { reservations: vec![reserved(2, host(5))], ..pool }]);
    let own = |draft: Draft| draft.id(b"\0me");
    let first = bench.send(&own(Draft::discover(1))).offered().expect("an offer");
    assert_eq!(bench.send(&own(Draft::select(1, SERVER, first))).acked(), Some(first));
    assert_eq!(bench.send(&own(Draft::discover(2))).offered(), Some(host(5)));
    assert_eq!(bench.send(&own(Draft::select(2, SERVER, host(5)))).acked(), Some(host(5)));
    assert_eq!(bench.state(first), State::Grace, "it may be used for as long as was promised");

    assert_eq!(bench.send(&Draft::reboot(1, first)).acked(), Some(first));
    assert_eq!(bench.state(host(5)), State::Grace);
    assert_eq!(bench.happened(host(5)), [Happened::Granted, Happened::Moved]);
}

fn release(bench: &mut Bench, address: Ipv4Addr, reuse: Reuse) {
    let actions = bench.handle(Event::OperatorRelease { address, reuse });
    bench.carry_out(actions);
}

fn answered_by_a_nak(bench: &mut Bench, address: Ipv4Addr) -> bool {
    [Draft::renew(1, address), Draft::rebind(1, address), Draft::reboot(1, address)]
        .iter()
        .all(|draft| bench.send(draft).is_nak())
}

#[test]
fn at_the_operators_word_the_address_is_free_at_once() {
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    let address = bench.lease(1);
    for restart in [None, Some(true), Some(false)] {
        release(&mut bench, address, Reuse::AtOnce);
        restart.into_iter().for_each(|maps| bench.restart(maps));
        assert_eq!(bench.state(address), State::Free, "{restart:?}");
        assert!(answered_by_a_nak(&mut bench, address), "{restart:?}");
        assert_eq!(bench.lease(1), address, "it may ask anew");
    }
    release(&mut bench, address, Reuse::AtOnce);
    assert_eq!(bench.lease(2), address);
    assert!(bench.send(&Draft::renew(1, address)).is_nak());
}

#[test]
fn what_the_operator_ended_is_free_when_a_probe_finds_nobody() {
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    let address = bench.lease(1);
    bench.policy.carry_out_probes();
    release(&mut bench, address, Reuse::WhenClean);
    assert_eq!(bench.state(address), State::Grace);
    assert!(bench.send(&Draft::discover(2)).offered().is_none(), "it may be used");
    bench.probe(&[address]);
    assert_eq!(bench.state(address), State::Grace, "and is");
    bench.pass(62);
    assert_eq!(bench.probes.len(), 1, "it is asked again");
    bench.probe(&[]);
    assert_eq!(bench.state(address), State::Free);
    assert!(answered_by_a_nak(&mut bench, address));
    assert_eq!(bench.lease(2), address);
}

/// Whoever dies before it is found out asks again.
#[test]
fn what_the_operator_ended_is_probed_after_a_restart_and_a_reload() {
    for reload in [false, true] {
        let mut bench = Bench::new(vec![subnet(10, 10)]);
        let address = bench.lease(1);
        bench.policy.carry_out_probes();
        release(&mut bench, address, Reuse::WhenClean);
        bench.probes.clear();
        if reload {
            bench.reload(vec![subnet(10, 11)]);
        } else {
            bench.restart(true);
        }
        bench.policy.carry_out_probes();
        bench.pass(62);
        bench.probe(&[]);
        assert_eq!(bench.state(address), State::Free, "{reload}");
    }
}

#[test]
fn the_operators_release_takes_back_what_was_offered_of_it() {
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    let address = bench.lease(1);
    bench.send(&Draft::discover(1));
    release(&mut bench, address, Reuse::AtOnce);
    assert_eq!(bench.state(address), State::Free);
    assert_eq!(bench.lease(2), address);
}

#[test]
fn quarantines_of_a_prefix_end_by_their_reason() {
    let mut bench = Bench::new(vec![subnet(10, 30)]);
    let declined = bench.lease(1);
    bench.send(&Draft::decline(1, declined));
    bench.policy.carry_out_probes();
    bench.send(&Draft::discover(2));
    let used = bench.probes.first().expect("a probe").0;
    bench.probe(&[used]);
    let all = Prefix { network: host(0), len: 24 }.pool();
    let count = |bench: &Bench, why| bench.policy.count_quarantined(all, why);
    assert_eq!(count(&bench, None), 2);
    assert_eq!(count(&bench, Some(QuarantineCause::Declined)), 1);
    let order = Event::QuarantineClear { range: all, why: Some(QuarantineCause::Declined) };
    let actions = bench.handle(order);
    bench.carry_out(actions);
    assert_eq!((bench.state(declined), bench.state(used)), (State::Free, State::Quarantined));
    let actions = bench.handle(Event::QuarantineClear { range: all, why: None });
    bench.carry_out(actions);
    assert_eq!(count(&bench, None), 0);
}

fn operator_release(bench: &mut Bench, address: Ipv4Addr, reuse: Reuse) {
    let actions = bench.handle(Event::OperatorRelease { address, reuse });
    bench.carry_out(actions);
}

/// What waits for its client's promise to end is free as soon as the operator says that nobody counts on it.
#[test]
fn an_address_that_waits_is_free_when_the_operator_says_at_once() {
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    let address = bench.lease(1);
    operator_release(&mut bench, address, Reuse::WhenClean);
    assert_eq!(bench.state(address), State::Grace);
    operator_release(&mut bench, address, Reuse::AtOnce);
    assert_eq!(bench.state(address), State::Free);

    let address = bench.lease(2);
    bench.pass(LEASE_TIME + 2);
    assert_eq!(bench.state(address), State::Grace, "it has run out");
    operator_release(&mut bench, address, Reuse::AtOnce);
    assert_eq!(bench.state(address), State::Free);
}

#[test]
fn an_address_reserved_for_a_new_card_is_handed_over_when_the_operator_says_at_once() {
    let with = |mac| vec![Subnet { reservations: vec![reserved(mac, host(5))], ..subnet(10, 12) }];
    let mut bench = Bench::new(with(1));
    assert_eq!(bench.lease(1), host(5));
    bench.reload(with(2));
    operator_release(&mut bench, host(5), Reuse::AtOnce);
    assert_eq!(bench.send(&Draft::discover(2)).offered(), Some(host(5)));
}

/// A lease by BOOTP has no end that could be waited for: its client is asked after, and has as long as others.
#[test]
fn a_lease_by_bootp_that_the_operator_ends_is_asked_after() {
    let mut bench = Bench::new(vec![Subnet { bootp: crate::config::Bootp::Dynamic, ..subnet(10, 10) }]);
    bench.send(&Draft::bootrequest(1));
    bench.policy.carry_out_probes();
    operator_release(&mut bench, host(10), Reuse::WhenClean);
    assert_eq!(bench.state(host(10)), State::Grace);
    bench.probe(&[]);
    assert_eq!(bench.state(host(10)), State::Free);
}

/// No client gets an address that the server has itself, by whatever message it asks.
#[test]
fn the_servers_own_address_is_given_to_nobody() {
    let own = vec![Subnet { reservations: vec![reserved(1, SERVER)], ..subnet(10, 20) }];
    let mut bench = Bench::new(own);
    assert!(bench.send(&Draft::reboot(1, SERVER)).is_nak());
    for draft in [Draft::reboot(1, host(10)), Draft::discover(1)] {
        let mut bench = Bench::new(vec![subnet(10, 12)]);
        assert_eq!(bench.lease(1), host(10));
        bench.pass(LEASE_TIME + 2);
        bench.interfaces[0].addresses.push(host(10));
        bench.reload(bench.config.subnets.clone());
        let response = bench.send(&draft);
        assert!(
            response.acked().is_none() && response.offered() != Some(host(10)),
            "{draft:?}: {response:?}"
        );
    }
}

/// A relay of one subnet may have its address in another's pool: no client gets it.
#[test]
fn the_address_of_a_relay_is_given_to_nobody() {
    let relay = host(10);
    let behind = Subnet { relays: vec![relay], ..relayed_subnet() };
    let mut bench = Bench::new(vec![subnet(10, 11), behind]);
    assert_eq!(bench.lease(1), host(11));
    assert_eq!(bench.send(&Draft::discover(2).address(50, relay)).offered(), None);
}

/// RFC 8925 §3.3, SHOULD NOT (not-reserved): who asks again, and now for option 108, has nothing kept any more. Who poses as it
/// elsewhere takes nothing from it.
#[test]
fn an_offer_is_dropped_when_its_client_can_do_without() {
    let mut six = subnet(10, 10);
    six.options.0.insert(108, vec![0, 0, 7, 8]);
    let mut bench = Bench::new(vec![six]);
    let without = || Draft::discover(1).option(55, &[1, 108]);
    assert_eq!(bench.send(&Draft::discover(1)).offered(), Some(host(10)));
    assert_eq!(bench.send(&without().by(99)).offered(), Some(Ipv4Addr::UNSPECIFIED));
    assert_eq!(bench.state(host(10)), State::Offered);
    assert_eq!(bench.send(&without()).offered(), Some(Ipv4Addr::UNSPECIFIED));
    assert_eq!(bench.state(host(10)), State::Free);
    assert_eq!(bench.lease(2), host(10));
}

/// The operator has ended the lease, and its client gives it back before it learns of that.
#[test]
fn what_the_operator_has_ended_can_be_given_back() {
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    let address = bench.lease(1);
    bench.now += 10;
    let early = Draft::release(1, address).request(bench.now);
    assert!(bench.kernel_renews(address));
    let ended = bench.handle(Event::OperatorRelease { address, reuse: Reuse::WhenClean });
    bench.carry_out(ended);
    assert_eq!(bench.state(address), State::Grace);
    let actions = bench.handle(Event::Message(early));
    assert_eq!(bench.carry_out(actions), [Response::Silence(Silence::Overtaken)], "it renewed since");
    bench.now += 2;
    assert_eq!(bench.send(&Draft::release(1, address)), Response::Done);
    assert_eq!(bench.state(address), State::Free);
    assert_eq!(bench.lease(2), address);
}
