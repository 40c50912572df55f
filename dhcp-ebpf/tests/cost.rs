//! What a renewal costs the packet logic, in instructions on the host, so that it does not grow unnoticed.
//!
//! Counted in optimised builds only: elsewhere the number says nothing.
#![cfg(not(debug_assertions))]

mod instructions;
mod twin;

use dhcp_ebpf::verdict::Verdict;
use instructions::{assert_cost, counted};
use twin::maps::{Room, Twin};
use twin::sent::{Sent, State, Way};
use twin::*;

#[test]
fn a_renewal_costs_no_more_than_it_did() {
    if counted().is_some() {
        return answer(State::Renewing, Way::Direct, 64);
    }
    assert_cost("a_renewal_costs_no_more_than_it_did", 3090);
}

#[test]
fn a_rebinding_through_a_relay_with_a_long_answer_costs_no_more_than_it_did() {
    if counted().is_some() {
        return answer(State::Rebinding, Way::Relay, 400);
    }
    assert_cost("a_rebinding_through_a_relay_with_a_long_answer_costs_no_more_than_it_did", 4610);
}

/// Answers the same request as often as is counted, each time at another second.
fn answer(state: State, way: Way, len: usize) {
    let sent = Sent::request(state, way);
    let twin = Twin::knowing(&sent, &Answer::of_len(len));
    let frame = sent.frame();
    for _ in 0..counted().unwrap_or_default() {
        let (verdict, reply) = twin.receive_in(&frame, Room { before: 0, behind: 1024 }, NOW);
        assert!(matches!(verdict, Verdict::Reply(_)), "{verdict:?}");
        std::hint::black_box(reply);
    }
}
