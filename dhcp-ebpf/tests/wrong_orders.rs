//! Protocols that are nearly right, each with one order or one check wrong, and each found out: the tests of
//! `interleavings` can fail.

mod interleaved;
mod twin;

use dhcp_ebpf::lease::{BootSecs, Word};
use dhcp_ebpf::publish;
use dhcp_ebpf::slot::{ANSWER_HEAD, AnswerHead, Cells, CellsMut, Slot};
use interleaved::{
    Disk, FIRST, Kernel, Party, SECOND, Shared, View, explore, journey, outcome, receive,
    receive_after_commit, revoke_anyway,
};
use loom::thread::{self, JoinHandle};
use std::sync::Arc;
use twin::{LEASE_TIME, PROMISE};

/// The daemon does its part wrong beside a kernel that does everything right.
fn daemon_does(wrong: impl Fn(&Shared, &Party) + Send + Sync + 'static) {
    let client = Party::client();
    let anew = client.answered_anew();
    let published = client.granted();
    explore(move || {
        let shared = Shared::with(&published);
        let kernel = receive(&shared, &client);
        wrong(&shared, &anew);
        outcome(kernel, &[&client, &anew])
    });
}

#[test]
#[should_panic(expected = "an answer left that was never published")]
fn a_memo_voided_without_a_change_of_the_word() {
    daemon_does(|shared, anew| {
        let slot = &shared.daemon();
        slot.void_memo(0);
        anew.write_answer(shared.daemon_chunk(FIRST));
        slot.set_memo(0, anew.memo(FIRST));
    });
}

#[test]
#[should_panic(expected = "an answer left that was never published")]
fn a_change_of_the_word_without_a_memo_voided() {
    daemon_does(|shared, anew| {
        let slot = &shared.daemon();
        publish::forget(slot, []);
        anew.write_answer(shared.daemon_chunk(FIRST));
    });
}

#[test]
#[should_panic(expected = "an answer left that was never published")]
fn a_memo_voided_after_the_change_of_the_word() {
    daemon_does(|shared, anew| {
        let slot = &shared.daemon();
        publish::forget(slot, []);
        slot.void_memo(0);
        anew.write_answer(shared.daemon_chunk(FIRST));
        slot.set_memo(0, anew.memo(FIRST));
    });
}

#[test]
#[should_panic(expected = "an answer left that was never published")]
fn a_memo_written_before_its_answer() {
    daemon_does(|shared, anew| {
        let slot = &shared.daemon();
        publish::forget(slot, [0]);
        slot.set_memo(0, anew.memo(FIRST));
        anew.write_answer(shared.daemon_chunk(FIRST));
    });
}

#[test]
#[should_panic(expected = "an answer left that was never published")]
fn a_slot_rewritten_before_its_word_is_revoked() {
    daemon_does(|shared, anew| {
        let slot = &shared.daemon();
        anew.write_answer(shared.daemon_chunk(FIRST));
        revoke_anyway(slot);
        anew.grant(shared);
    });
}

/// A word that comes back to the value it had lets the kernel's swap succeed over a slot rewritten meanwhile.
#[test]
#[should_panic(expected = "an answer left that was never published")]
fn a_word_that_comes_back() {
    daemon_does(|shared, anew| {
        let slot = &shared.daemon();
        let before = slot.word();
        let dead = Word(before.0 & !(1 << 63));
        if slot.swap_word(before, dead).is_ok() {
            anew.write_answer(shared.daemon_chunk(FIRST));
            slot.swap_word(dead, before).expect("the kernel does not swap a dead word");
        }
    });
}

/// A memo added the wrong way round: its hash is there before the rest of it.
#[test]
#[should_panic(expected = "an answer left that was never published")]
fn a_memo_added_before_its_answer() {
    let client = Party::client();
    let more = client.asking_more();
    let published = client.granted();
    explore(move || {
        let shared = Shared::with(&published);
        let kernel = receive(&shared, &more);
        shared.daemon().set_memo(1, more.memo(SECOND));
        more.write_answer(shared.daemon_chunk(SECOND));
        outcome(kernel, &[&more])
    });
}

/// A kernel that reads a memo's hash by an ordinary load, on a machine that reorders loads.
#[test]
#[should_panic(expected = "an answer left that was never published")]
fn a_memo_read_without_acquiring() {
    let client = Party::client();
    let more = client.asking_more();
    let published = client.granted();
    explore(move || {
        let shared = Shared::with(&published);
        let kernel = {
            let (shared, request) = (Arc::clone(&shared), more.request.clone());
            thread::spawn(move || journey(&View::<false>(&shared), &request))
        };
        more.write_answer(shared.daemon_chunk(SECOND));
        shared.daemon().set_memo(1, more.memo(SECOND));
        outcome(kernel, &[&more])
    });
}

#[test]
#[should_panic(expected = "a promise is unknown to the one who revoked")]
fn a_revocation_by_an_ordinary_store() {
    let client = Party::client();
    let published = client.granted();
    explore(move || {
        let shared = Shared::with(&published);
        let kernel = receive(&shared, &client);
        let Slot(cells) = shared.daemon();
        let revoked = shared.daemon().word();
        cells.store(0, revoked.revoked().0);
        let sent = outcome(kernel, &[&client]) == interleaved::Outcome::Sent(0);
        assert!(!sent || revoked.expiry() == PROMISE, "a promise is unknown to the one who revoked");
    });
}

#[test]
#[should_panic(expected = "a promise was taken back")]
fn an_extension_by_an_ordinary_store() {
    let client = Party::client();
    let published = client.granted();
    explore(move || {
        let shared = Shared::with(&published);
        let kernel = receive(&shared, &client);
        let Slot(cells) = shared.daemon();
        cells.store(0, shared.daemon().word().extended(BootSecs(PROMISE.0 - 60)).0);
        let sent = outcome(kernel, &[&client]) == interleaved::Outcome::Sent(0);
        assert!(!sent || shared.daemon().word().expiry() >= PROMISE, "a promise was taken back");
    });
}

#[test]
#[should_panic(expected = "promised before the commit")]
fn a_horizon_moved_before_its_commit() {
    let client = Party::client().allowed(BootSecs(PROMISE.0 - 1));
    let published = client.granted();
    explore(move || {
        let shared = Shared::with(&published);
        let disk = Disk::new();
        let kernel = receive_after_commit(&shared, &client, &disk);
        shared.daemon().set_horizon(PROMISE);
        disk.commit();
        outcome(kernel, &[&client])
    });
}

/// What a kernel reads of an answer that it means to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Read {
    head: AnswerHead,
    body: [u64; 2],
}

fn read(shared: &Shared) -> Read {
    let chunk = shared.kernel_chunk(FIRST);
    Read {
        head: dhcp_ebpf::slot::answer_head(chunk),
        body: [ANSWER_HEAD, ANSWER_HEAD + 1].map(|cell| chunk.load(cell)),
    }
}

/// A kernel does its part wrong, in short, beside a daemon that takes the address from the client for somebody else.
fn kernel_does(wrong: impl Fn(&Shared) -> Option<Read> + Clone + Send + Sync + 'static) {
    let (client, stranger) = (Party::client(), Party::stranger());
    let published = client.granted();
    explore(move || {
        let shared = Shared::with(&published);
        // Who asks it does not look at: whole is whole.
        let whole = [&client, &stranger].map(|party| Read { head: party.head, body: party.body_cells() });
        let kernel: JoinHandle<Option<Read>> = {
            let (shared, wrong) = (Arc::clone(&shared), wrong.clone());
            thread::spawn(move || wrong(&shared))
        };
        revoke_anyway(&shared.daemon());
        stranger.grant(&shared);
        let sent = kernel.join().expect("the kernel does not panic");
        assert!(sent.is_none_or(|sent| whole.contains(&sent)), "an answer left that was never published");
    });
}

fn promise(slot: &Slot<Kernel<'_>>, judged: Word) -> bool {
    let promise = BootSecs(PROMISE.0 + LEASE_TIME);
    judged.alive() && slot.swap_word(judged, judged.extended(promise)).is_ok()
}

/// The same kernel in short with nothing wrong: what the tests below find is not found here.
#[test]
fn the_word_first_and_its_swap_last() {
    kernel_does(|shared| {
        let slot = &shared.kernel();
        let judged = slot.word();
        let read = read(shared);
        promise(slot, judged).then_some(read)
    });
}

#[test]
#[should_panic(expected = "an answer left that was never published")]
fn the_swap_before_the_answer_is_read() {
    kernel_does(|shared| {
        let slot = &shared.kernel();
        let judged = slot.word();
        promise(slot, judged).then(|| read(shared))
    });
}

#[test]
#[should_panic(expected = "an answer left that was never published")]
fn the_word_read_after_the_answer() {
    kernel_does(|shared| {
        let slot = &shared.kernel();
        let read = read(shared);
        let judged = slot.word();
        promise(slot, judged).then_some(read)
    });
}

#[test]
#[should_panic(expected = "an answer left that was never published")]
fn the_swap_from_the_word_as_it_is_by_then() {
    kernel_does(|shared| {
        let slot = &shared.kernel();
        let _judged = slot.word();
        let read = read(shared);
        let found = slot.word();
        promise(slot, found).then_some(read)
    });
}

#[test]
#[should_panic(expected = "an answer left that was never published")]
fn no_swap_at_all() {
    kernel_does(|shared| shared.kernel().word().alive().then(|| read(shared)));
}
