//! The daemon's side of the slot protocol alone: what it refuses, and what a word becomes.

mod twin;

use dhcp_ebpf::abi::NetAddr;
use dhcp_ebpf::lease::{BootSecs, Word};
use dhcp_ebpf::publish;
use dhcp_ebpf::slot::{Echo, MAX_BODY, MEMOS, Memo, Place, Run};
use proptest::prelude::*;
use twin::maps::{Twin, identity};
use twin::sent::{Sent, State, Way};
use twin::{Answer, Lease, PROMISE};

fn granted() -> Twin {
    Twin::knowing(&Sent::request(State::Renewing, Way::Direct), &Answer::of_len(60))
}

/// A grant to somebody else, decided on `judged`.
fn grant(twin: &Twin, judged: Word) -> Result<Word, Word> {
    let stranger = Lease { chaddr: [2, 0, 0, 0, 0, 9], ..Lease::new() };
    let memo = Memo { hash: 1, place: Place(0), echo: Echo::NONE };
    publish::grant(
        &twin.lease_slot(),
        judged,
        &identity(&stranger),
        stranger.horizon,
        &[memo],
        stranger.expiry,
    )
}

#[test]
fn a_live_lease_is_not_granted_again() {
    let twin = granted();
    let (word, before) = (twin.lease_slot().word(), twin.contents());
    assert_eq!(grant(&twin, word), Err(word));
    assert_eq!(twin.contents(), before);
}

#[test]
fn a_grant_decided_before_a_revocation_comes_to_nothing() {
    let twin = Twin::new();
    let judged = twin.lease_slot().word();
    let revoked = publish::revoke(&twin.lease_slot(), judged).expect("nobody else is there");
    assert!(!revoked.alive() && revoked != judged, "a dead word is revoked too");
    let before = twin.contents();
    assert_eq!(grant(&twin, judged), Err(revoked));
    assert_eq!(twin.contents(), before);
    assert!(grant(&twin, revoked).is_ok());
}

#[test]
fn a_grant_leaves_none_of_the_memos_there_were() {
    let twin = granted();
    let slot = twin.lease_slot();
    for index in 0..MEMOS {
        slot.set_memo(index, Memo { hash: 7 + index as u64, place: Place(0), echo: Echo::NONE });
    }
    let revoked = publish::revoke(&slot, slot.word()).expect("nobody else is there");
    grant(&twin, revoked).expect("nobody else is there");
    let hashes: Vec<u64> = (0..MEMOS).map(|index| slot.memo_hash(index)).collect();
    assert_eq!(hashes, [1, 0, 0, 0, 0]);
}

#[test]
fn a_revocation_of_a_word_that_was_changed_gives_the_word_as_it_is() {
    let twin = granted();
    let slot = twin.lease_slot();
    let judged = slot.word();
    let extended = publish::extend(&slot, judged.generation(), PROMISE).expect("it is alive");
    assert_eq!(publish::revoke(&slot, judged), Err(extended));
    assert_eq!(slot.word(), extended);
    assert_eq!(publish::revoke(&slot, extended).map(Word::expiry), Ok(PROMISE));
}

#[test]
fn only_a_live_lease_of_the_generation_meant_is_extended() {
    let twin = granted();
    let slot = twin.lease_slot();
    let word = slot.word();
    assert_eq!(publish::extend(&slot, word.generation() + 1, PROMISE), Err(word));
    assert_eq!(publish::extend(&slot, word.generation(), BootSecs(word.expiry().0 - 1)), Ok(word));
    assert_eq!(publish::extend(&slot, word.generation(), word.expiry()), Ok(word));
    let extended = publish::extend(&slot, word.generation(), PROMISE).expect("it is alive");
    assert_eq!((extended.expiry(), extended.changes()), (PROMISE, word.changes() + 1));
    let suspended = publish::suspend(&slot);
    assert_eq!(publish::extend(&slot, word.generation(), BootSecs(PROMISE.0 + 1)), Err(suspended));
    let revoked = publish::revoke(&slot, suspended).expect("nobody else is there");
    assert_eq!(publish::extend(&slot, revoked.generation(), BootSecs(PROMISE.0 + 1)), Err(revoked));
}

#[test]
fn a_lease_suspended_goes_on_in_its_generation() {
    let twin = granted();
    let word = twin.lease_slot().word();
    let suspended = publish::suspend(&twin.lease_slot());
    assert!(!suspended.alive());
    let again = grant(&twin, suspended).expect("nobody else is there");
    assert_eq!((again.generation(), again.expiry()), (word.generation(), word.expiry()));
    assert!(again.alive() && again != word);
}

#[test]
fn what_the_daemon_notes_and_publishes_it_reads_back() {
    let twin = granted();
    let slot = twin.lease_slot();
    slot.set_notes(0xfeed_0000_0000_beef);
    assert_eq!(slot.notes(), 0xfeed_0000_0000_beef);
    assert_eq!((slot.identity(), slot.horizon()), (identity(&Lease::new()), Lease::new().horizon));
    let echo = Echo::of([Run { at: 511, len: 64 }, Run { at: 1, len: 8 }]).unwrap();
    let memo = Memo { hash: u64::MAX, place: Place(77), echo };
    slot.set_memo(MEMOS - 1, memo);
    assert_eq!(slot.memo(MEMOS - 1), memo);
    assert_eq!(slot.notes(), 0xfeed_0000_0000_beef, "memos and notes lie apart");
}

#[test]
fn a_body_is_of_whole_words_and_no_longer_than_its_chunks() {
    let of = |len: usize, at: usize| publish::head_of(&vec![1; len], at, 60, NetAddr::UNSPECIFIED);
    assert!(of(MAX_BODY, 240).is_some() && of(60, 44).is_some());
    for (len, at) in [(MAX_BODY + 4, 240), (61, 240), (62, 240), (63, 240), (60, 241)] {
        assert_eq!(of(len, at), None, "{len} bytes at {at}");
    }
    assert_eq!([0, 1, 104, 105, 232, 233, MAX_BODY].map(publish::chunks_for), [1, 1, 1, 2, 2, 3, 6]);
}

proptest! {
    /// Whatever is done to a word, it is another word, and no promise in it is taken back.
    #[test]
    fn every_change_of_a_word_shows_and_keeps_the_promise(raw: u64, expiry: u32) {
        let (word, expiry) = (Word(raw), BootSecs(expiry));
        for next in [word.moved(), word.suspended(), word.revoked(), word.granted(expiry)] {
            prop_assert_ne!(next, word);
            prop_assert!(next.expiry() >= word.expiry());
        }
        prop_assert!(word.granted(expiry).alive() && word.granted(expiry).expiry() >= expiry);
        prop_assert_eq!(word.granted(expiry).generation(), word.generation());
        prop_assert!(!word.suspended().alive() && word.suspended().generation() == word.generation());
        prop_assert!(!word.revoked().alive());
        prop_assert_eq!(word.revoked().generation(), (word.generation() + 1) & 0x7fff);
        prop_assert_eq!(word.moved().alive(), word.alive());
        prop_assert_eq!(word.moved().changes(), word.changes().wrapping_add(1));
        prop_assert_eq!(word.moved().moved().generation(), word.generation());
        let extended = Word(raw | 1 << 63).extended(expiry);
        prop_assert_eq!(extended == Word(raw | 1 << 63), expiry <= word.expiry());
        prop_assert_eq!(extended.expiry(), word.expiry().max(expiry));
        prop_assert_eq!(word.holds(expiry), word.alive() && expiry < word.expiry());
    }
}
