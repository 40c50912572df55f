//! Kernel and daemon at the same slot at the same time, in every interleaving and every order of memory that loom
//! knows of: the kernel's whole journey of a frame against the daemon's own functions.
//!
//! Each test also says which outcomes there were, so that none passes for want of a race. `--nocapture` shows in how
//! many executions.

mod interleaved;
mod twin;

use dhcp_ebpf::lease::BootSecs;
use dhcp_ebpf::publish;
use dhcp_ebpf::verdict::Why;
use interleaved::Outcome::{Raced, Sent, Up};
use interleaved::{
    Disk, FIRST, Party, SECOND, Shared, explore, outcome, receive, receive_after_commit, revoke_anyway,
};
use std::collections::BTreeSet;
use twin::PROMISE;

/// The promise of an ACK is known to whoever revokes: there is none after the revocation, and those before it are in
/// the word that was revoked.
#[test]
fn an_extension_or_a_revocation_wins_and_the_other_knows() {
    let client = Party::client();
    let published = client.granted();
    let seen = explore(move || {
        let shared = Shared::with(&published);
        let kernel = receive(&shared, &client);
        let revoked = revoke_anyway(&shared.daemon());
        let outcome = outcome(kernel, &[&client]);
        let promised = if outcome == Sent(0) { PROMISE } else { client.lease.expiry };
        assert_eq!(revoked.expiry(), promised, "a promise is unknown to the one who revoked");
        assert_eq!(shared.daemon().word(), revoked.revoked());
        outcome
    });
    assert_eq!(seen, BTreeSet::from([Sent(0), Raced, Up(Why::NotAlive)]));
}

/// A slot given to somebody else never yields an ACK to the one who had it.
#[test]
fn a_regranted_address_is_promised_no_more_to_its_old_owner() {
    let (client, stranger) = (Party::client(), Party::stranger());
    let published = client.granted();
    let seen = explore(move || {
        let shared = Shared::with(&published);
        let kernel = receive(&shared, &client);
        let revoked = revoke_anyway(&shared.daemon());
        let granted = stranger.grant(&shared);
        let outcome = outcome(kernel, &[&client]);
        let promised = if outcome == Sent(0) { PROMISE } else { client.lease.expiry };
        assert_eq!(revoked.expiry(), promised, "a promise is unknown to the one who revoked");
        assert_eq!(shared.daemon().word(), granted, "the new owner's word was changed");
        outcome
    });
    let known = [Sent(0), Raced, Up(Why::NotAlive), Up(Why::OtherIdentity), Up(Why::UnknownQuestion)];
    assert_eq!(seen, BTreeSet::from(known));
}

/// A slot given to somebody else answers them with what was published for them.
#[test]
fn a_regranted_address_is_promised_to_its_new_owner() {
    let (client, stranger) = (Party::client(), Party::stranger());
    let published = client.granted();
    let seen = explore(move || {
        let shared = Shared::with(&published);
        let kernel = receive(&shared, &stranger);
        revoke_anyway(&shared.daemon());
        let granted = stranger.grant(&shared);
        let outcome = outcome(kernel, &[&stranger]);
        let word = if outcome == Sent(0) { granted.extended(PROMISE) } else { granted };
        assert_eq!(shared.daemon().word(), word);
        outcome
    });
    let known = [Sent(0), Raced, Up(Why::NotAlive), Up(Why::OtherIdentity), Up(Why::UnknownQuestion)];
    assert_eq!(seen, BTreeSet::from(known));
}

/// Revoked, given away, taken back and given to the first client again: all is as it was, and still no promise is
/// lost between.
#[test]
fn an_address_that_comes_back_to_its_client_is_another_lease() {
    let (client, anew) = (Party::client(), Party::client().booting_elsewhere());
    let published = client.granted();
    let seen = explore(move || {
        let shared = Shared::with(&published);
        let kernel = receive(&shared, &client);
        let slot = shared.daemon();
        let first = revoke_anyway(&slot);
        anew.grant(&shared);
        let second = revoke_anyway(&slot);
        client.grant(&shared);
        let outcome = outcome(kernel, &[&client, &anew]);
        match outcome {
            Sent(1) => assert_eq!(second.expiry(), PROMISE, "a promise is unknown to the one who revoked"),
            Sent(_) => assert_eq!(slot.word().expiry(), PROMISE),
            _ => {
                assert_eq!(
                    (first.expiry(), slot.word().expiry()),
                    (client.lease.expiry, client.lease.expiry)
                );
            }
        }
        outcome
    });
    let known = [Sent(0), Sent(1), Raced, Up(Why::NotAlive)];
    assert_eq!(seen, BTreeSet::from(known));
}

/// A client that moves to another link keeps its lease, and its old link gets no more answers.
#[test]
fn a_lease_moved_to_another_link_is_answered_on_one_of_them() {
    let client = Party::client();
    let moved = client.moved();
    let published = client.granted();
    let seen = explore(move || {
        let shared = Shared::with(&published);
        let kernel = receive(&shared, &client);
        let suspended = publish::suspend(&shared.daemon());
        moved.grant(&shared);
        let outcome = outcome(kernel, &[&client]);
        let promised = if outcome == Sent(0) { PROMISE } else { client.lease.expiry };
        assert_eq!(suspended.expiry(), promised, "a promise is unknown to the one who suspended");
        let word = shared.daemon().word();
        assert_eq!((word.expiry(), word.generation()), (promised, suspended.generation()));
        outcome
    });
    let known = [Sent(0), Raced, Up(Why::NotAlive), Up(Why::OtherIdentity), Up(Why::UnknownQuestion)];
    assert_eq!(seen, BTreeSet::from(known));
}

/// A memo and its answer rewritten in a live slot: the old answer or the new one, never some of each.
#[test]
fn a_memo_rewritten_is_never_torn() {
    let client = Party::client();
    let anew = client.answered_anew();
    let published = client.granted();
    let seen = explore(move || {
        let shared = Shared::with(&published);
        let kernel = receive(&shared, &client);
        let slot = shared.daemon();
        publish::forget(&slot, [0]);
        anew.write_answer(shared.daemon_chunk(FIRST));
        slot.set_memo(0, anew.memo(FIRST));
        outcome(kernel, &[&client, &anew])
    });
    assert_eq!(seen, BTreeSet::from([Sent(0), Sent(1), Raced, Up(Why::UnknownQuestion)]));
}

/// The memory of an answer forgotten goes to another question of the same client, and its memo to a third place.
#[test]
fn the_memory_of_an_answer_forgotten_answers_no_old_question() {
    let client = Party::client();
    let more = client.asking_more();
    let published = client.granted();
    let seen = explore(move || {
        let shared = Shared::with(&published);
        let kernel = receive(&shared, &client);
        let slot = shared.daemon();
        publish::forget(&slot, [0]);
        more.write_answer(shared.daemon_chunk(FIRST));
        slot.set_memo(1, more.memo(FIRST));
        outcome(kernel, &[&client])
    });
    assert_eq!(seen, BTreeSet::from([Sent(0), Raced, Up(Why::UnknownQuestion)]));
}

/// A memo that comes to a live slot is seen whole or not at all.
#[test]
fn a_memo_added_is_seen_whole() {
    let client = Party::client();
    let more = client.asking_more();
    let published = client.granted();
    let seen = explore(move || {
        let shared = Shared::with(&published);
        let kernel = receive(&shared, &more);
        more.write_answer(shared.daemon_chunk(SECOND));
        shared.daemon().set_memo(1, more.memo(SECOND));
        outcome(kernel, &[&more])
    });
    assert_eq!(seen, BTreeSet::from([Sent(0), Up(Why::UnknownQuestion)]));
}

/// Nothing is promised that the store has not been told of.
#[test]
fn a_horizon_is_passed_only_once_it_is_committed() {
    let client = Party::client().allowed(BootSecs(PROMISE.0 - 1));
    let published = client.granted();
    let seen = explore(move || {
        let shared = Shared::with(&published);
        let disk = Disk::new();
        let kernel = receive_after_commit(&shared, &client, &disk);
        disk.commit();
        shared.daemon().set_horizon(PROMISE);
        outcome(kernel, &[&client])
    });
    assert_eq!(seen, BTreeSet::from([Sent(0), Up(Why::Horizon)]));
}

/// A lease granted anew with a nearer horizon is not promised up to the old one.
#[test]
fn a_horizon_taken_back_is_not_passed() {
    let client = Party::client();
    let nearer = client.allowed(BootSecs(PROMISE.0 - 1));
    let published = client.granted();
    let seen = explore(move || {
        let shared = Shared::with(&published);
        let kernel = receive(&shared, &client);
        let revoked = revoke_anyway(&shared.daemon());
        let granted = nearer.grant(&shared);
        let outcome = outcome(kernel, &[&client]);
        assert_eq!(outcome == Sent(0), revoked.expiry() == PROMISE, "promised past the horizon");
        assert_eq!(shared.daemon().word(), granted, "promised past the horizon");
        outcome
    });
    assert_eq!(seen, BTreeSet::from([Sent(0), Raced, Up(Why::NotAlive), Up(Why::Horizon)]));
}

/// Kernel and daemon both extend: the later promise stands.
#[test]
fn extensions_from_both_sides_only_go_forward() {
    for theirs in [PROMISE.0 - 60, PROMISE.0, PROMISE.0 + 60].map(BootSecs) {
        let client = Party::client();
        let published = client.granted();
        let seen = explore(move || {
            let shared = Shared::with(&published);
            let kernel = receive(&shared, &client);
            let generation = shared.daemon().word().generation();
            let extended = publish::extend(&shared.daemon(), generation, theirs).expect("nobody revokes");
            assert!(extended.expiry() >= theirs);
            let outcome = outcome(kernel, &[&client]);
            let latest = if outcome == Sent(0) { theirs.max(PROMISE) } else { theirs };
            assert_eq!(shared.daemon().word().expiry(), latest, "a promise was taken back");
            outcome
        });
        assert_eq!(seen, BTreeSet::from([Sent(0), Raced]));
    }
}

/// A client that repeats itself, its frames on two processors: one of them is answered at least.
#[test]
fn of_two_requests_at_once_one_is_answered() {
    let client = Party::client();
    let published = client.granted();
    let seen = explore(move || {
        let shared = Shared::with(&published);
        let kernels = [receive(&shared, &client), receive(&shared, &client)];
        let outcomes = kernels.map(|kernel| outcome(kernel, &[&client]));
        assert_eq!(shared.daemon().word().expiry(), PROMISE);
        outcomes
    });
    assert_eq!(seen, BTreeSet::from([[Sent(0), Sent(0)], [Sent(0), Raced], [Raced, Sent(0)]]));
}

/// Two processors and the daemon: what was promised on either is known to the one who revokes.
#[test]
fn two_requests_and_a_revocation_agree_on_what_was_promised() {
    let client = Party::client();
    let published = client.granted();
    let seen = explore(move || {
        let shared = Shared::with(&published);
        let kernels = [receive(&shared, &client), receive(&shared, &client)];
        let revoked = revoke_anyway(&shared.daemon());
        let outcomes = kernels.map(|kernel| outcome(kernel, &[&client]));
        assert_eq!(outcomes.contains(&Sent(0)), revoked.expiry() == PROMISE);
        assert_eq!(shared.daemon().word(), revoked.revoked());
        outcomes
    });
    let known = [Sent(0), Raced, Up(Why::NotAlive)];
    assert_eq!(seen, known.iter().flat_map(|one| known.map(|other| [*one, other])).collect());
}
