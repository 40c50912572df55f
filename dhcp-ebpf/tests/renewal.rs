//! The whole journey of requests that are answered in the kernel: every state of the client, every way, every link.
//!
//! An answer is compared whole with one written out by plain code, and its parts with what etherparse sees.

mod twin;

use dhcp_ebpf::lease::BootSecs;
use dhcp_ebpf::verdict::{Renewal, Verdict};
use std::net::Ipv4Addr;
use twin::expected::{self, Inspected};
use twin::maps::{Room, Twin};
use twin::sent::{STATES, Sent, State, TAGS, UdpSum, WAYS, Way, l3};
use twin::*;

/// Sends a request whose question is known, and looks at every byte of the answer.
fn answered(sent: &Sent, answer: &Answer) -> Inspected {
    let twin = Twin::knowing(sent, answer);
    let (lease, request, before) = (sent.lease(), sent.frame(), twin.lease_slot().word());
    let (verdict, frame) = twin.receive(&request);
    assert!(matches!(verdict, Verdict::Reply(_)), "{verdict:?} for {sent:?}");
    assert_eq!(frame, expected::reply(&request, &lease, answer), "for {sent:?}");
    let after = twin.lease_slot().word();
    // It was received twice, and each answer is a change.
    assert_eq!(after, before.granted(PROMISE).granted(PROMISE));
    assert!(after.expiry() <= lease.horizon);
    expected::inspect(&frame)
}

fn state_of(sent: &Sent, answer: &Answer) -> Renewal {
    match Twin::knowing(sent, answer).receive(&sent.frame()).0 {
        Verdict::Reply(state) => state,
        other => panic!("{other:?} for {sent:?}"),
    }
}

/// Of so many cases in a row an interpreter, which takes a thousand times as long, is given one.
const fn one_in(cases: usize) -> usize {
    if cfg!(miri) { cases } else { 1 }
}

/// One state and way, on every kind of link, with and without the broadcast flag, with answers of every kind.
fn on_every_link(state: State, way: Way, check: impl Fn(&Sent, &Inspected)) {
    let request = Sent::request(state, way);
    let answers = [60, 64, 104, 108, 232, 236, 400, 744].map(Answer::of_len);
    let named = [64, 300, 548].map(|len| Answer::of_len(len).with_names());
    for (tags, ids) in TAGS {
        for sent in [request.clone().tagged(tags), request.clone().broadcast_flag().tagged(tags)] {
            assert_eq!((sent.lease().link.outer, sent.lease().link.inner), ids);
            for answer in answers.iter().chain(&named).step_by(one_in(8)) {
                let reply = answered(&sent, answer);
                assert_eq!(reply.eth_src, OURS);
                assert_eq!(reply.ip_src, SERVER);
                assert_eq!(reply.vlans, tags.iter().map(|tag| tag.1 & 0xfff).collect::<Vec<_>>());
                assert_eq!(reply.bootp[..4], [2, 1, 6, 0], "op, htype, hlen, hops");
                assert_eq!(reply.bootp[4..8], sent.xid.to_be_bytes());
                assert_eq!(reply.bootp[8..10], [0, 0], "secs");
                assert_eq!(reply.bootp[10..12], sent.flags.to_be_bytes());
                assert_eq!(reply.address(12), sent.ciaddr);
                assert_eq!(reply.address(16), ADDRESS, "yiaddr");
                assert_eq!(reply.address(20), answer.siaddr);
                assert_eq!(reply.address(24), sent.giaddr);
                assert_eq!(reply.bootp[28..34], CLIENT);
                let options = reply.options();
                assert_eq!(options[0], (53, vec![5]), "DHCPACK");
                assert!(
                    options.contains(&(61, vec![1, 2, 0xc1, 0x1e, 0x27, 0xff, 0x80])),
                    "client identifier"
                );
                assert_eq!(options.last(), Some(&(82, b"\x01\x04eth9".to_vec())), "relay information last");
                check(&sent, &reply);
            }
        }
    }
}

/// The answer goes to the address that the client has, by the station that sent the request.
fn to_ciaddr(station: [u8; 6]) -> impl Fn(&Sent, &Inspected) {
    move |_, reply| {
        assert_eq!((reply.eth_dst, reply.ip_dst, reply.ports), (station, ADDRESS, (67, 68)));
    }
}

/// The answer goes to the relay, whatever the broadcast flag says.
fn to_relay(_: &Sent, reply: &Inspected) {
    assert_eq!((reply.eth_dst, reply.ip_dst, reply.ports), (ROUTER, GIADDR, (67, 67)));
}

/// The answer goes to the client's hardware address, or to everybody when it asked for that.
fn as_the_flag_says(sent: &Sent, reply: &Inspected) {
    let (station, address) =
        if sent.flags == 0 { (CLIENT, ADDRESS) } else { (BROADCAST, Ipv4Addr::BROADCAST) };
    assert_eq!((reply.eth_dst, reply.ip_dst, reply.ports), (station, address, (67, 68)));
}

#[test]
fn renewing_direct() {
    on_every_link(State::Renewing, Way::Direct, to_ciaddr(CLIENT));
}

#[test]
fn renewing_through_a_router() {
    on_every_link(State::Renewing, Way::Router, to_ciaddr(ROUTER));
}

#[test]
fn renewing_through_a_relay() {
    on_every_link(State::Renewing, Way::Relay, to_relay);
}

#[test]
fn rebinding_direct() {
    on_every_link(State::Rebinding, Way::Direct, to_ciaddr(CLIENT));
}

#[test]
fn rebinding_through_a_bridge_that_is_the_sender() {
    on_every_link(State::Rebinding, Way::Router, to_ciaddr(ROUTER));
}

#[test]
fn rebinding_through_a_relay() {
    on_every_link(State::Rebinding, Way::Relay, to_relay);
}

#[test]
fn init_reboot_direct() {
    on_every_link(State::InitReboot, Way::Direct, as_the_flag_says);
}

#[test]
fn init_reboot_through_a_bridge_that_is_the_sender() {
    on_every_link(State::InitReboot, Way::Router, as_the_flag_says);
}

#[test]
fn init_reboot_through_a_relay() {
    on_every_link(State::InitReboot, Way::Relay, to_relay);
}

#[test]
fn a_relay_may_broadcast_too() {
    for state in STATES {
        let mut sent = Sent::request(state, Way::Relay);
        (sent.eth_dst, sent.ip_dst) = (BROADCAST, Ipv4Addr::BROADCAST);
        to_relay(&sent, &answered(&sent, &Answer::of_len(60)));
    }
}

#[test]
fn a_unicast_address_in_a_broadcast_frame_is_for_us() {
    let sent = Sent { eth_dst: BROADCAST, ..Sent::request(State::Renewing, Way::Direct) };
    to_ciaddr(CLIENT)(&sent, &answered(&sent, &Answer::of_len(60)));
}

#[test]
fn states_are_told_apart() {
    let answer = Answer::of_len(60);
    for way in WAYS {
        assert_eq!(state_of(&Sent::request(State::InitReboot, way), &answer), Renewal::InitReboot);
        assert_eq!(state_of(&Sent::request(State::Rebinding, way), &answer), Renewal::Rebinding);
    }
    for way in [Way::Direct, Way::Router] {
        assert_eq!(state_of(&Sent::request(State::Renewing, way), &answer), Renewal::Renewing);
    }
}

#[test]
fn answers_of_every_length_fit_over_requests_of_every_length() {
    let short = Sent::request(State::Renewing, Way::Direct);
    let long = short.clone().lengthened(450);
    for sent in [short, long] {
        for len in (60..=744).step_by(4 * one_in(57)) {
            answered(&sent, &Answer::of_len(len));
        }
        for len in (60..=744 - 196).step_by(4 * one_in(61)) {
            answered(&sent, &Answer::of_len(len).with_names());
        }
    }
}

/// A client's and a relay's word of themselves come back from wherever they stand, whatever they are long (RFC 6842 §3,
/// RFC 3046 §2.2).
#[test]
fn what_comes_back_is_copied_from_wherever_it_stands() {
    let option = |code: u8, len: u8| {
        [&[code, len][..], &(0..len).map(|at| at.wrapping_mul(5).wrapping_add(len) | 1).collect::<Vec<_>>()]
            .concat()
    };
    for id in (2..=70_u8).step_by(one_in(34)) {
        for agent in [id, 6, 7, 20, 62, 63] {
            for (at, head) in [[53, 1, 5].as_slice(), &[53, 1, 5, 224, 1, 9]].iter().enumerate() {
                let (id, agent) = (option(61, id), option(82, agent));
                let relayed = Sent::request(State::Renewing, Way::Relay);
                let orders: [&[&[u8]]; 3] =
                    [&[&id, &agent], &[&agent, &[12, 1, 7], &id], &[&id, &[0], &agent]];
                let options = [&[&[53, 1, 3][..]], orders[(at + id.len()) % 3], &[&[255]]].concat().concat();
                let sent = Sent { options, ..relayed };
                let answer = Answer::echoing(head, &sent);
                answered(&sent, &answer);
                answered(&sent, &answer.with_names());
            }
        }
    }
}

#[test]
fn the_longest_question_is_recognised() {
    let sent = Sent::request(State::Renewing, Way::Direct).lengthened(512);
    assert_eq!(sent.options.len(), 512);
    answered(&sent, &Answer::of_len(60));
}

#[test]
fn padding_behind_the_end_is_no_part_of_the_question() {
    let sent = Sent::request(State::Renewing, Way::Direct);
    let answer = Answer::of_len(60);
    let twin = Twin::knowing(&sent, &answer);
    for zeros in (0..=(512 - sent.options.len())).step_by(one_in(60)) {
        let mut padded = sent.clone();
        padded.options.resize(sent.options.len() + zeros, 0);
        let (verdict, reply) = twin.receive(&padded.frame());
        assert_eq!(verdict, Verdict::Reply(Renewal::Renewing), "{zeros} bytes of padding");
        assert_eq!(reply, expected::reply(&padded.frame(), &sent.lease(), &answer));
    }
}

#[test]
fn bytes_behind_the_datagram_are_cut_off() {
    let sent = Sent::request(State::Renewing, Way::Direct);
    for answer in [60, 64, 400].map(Answer::of_len) {
        for trailer in [1, 4, 46, 600] {
            let twin = Twin::knowing(&sent, &answer);
            let mut request = sent.frame();
            request.resize(request.len() + trailer, 0xee);
            let (verdict, reply) = twin.receive(&request);
            assert_eq!(verdict, Verdict::Reply(Renewal::Renewing));
            assert_eq!(reply, expected::reply(&request, &sent.lease(), &answer));
        }
    }
}

#[test]
fn hops_secs_ports_and_checksums_of_the_request_change_nothing() {
    let answer = Answer::of_len(60);
    for way in WAYS {
        let plain = Sent::request(State::Rebinding, way);
        let twin = Twin::knowing(&plain, &answer);
        let right = expected::reply(&plain.frame(), &plain.lease(), &answer);
        for sent in [
            Sent { hops: 16, ..plain.clone() },
            Sent { secs: 0xffff, ..plain.clone() },
            Sent { ports: (1024, 67), ..plain.clone() },
            Sent { udp_sum: UdpSum::Absent, ..plain.clone() },
            Sent { udp_sum: UdpSum::Partial, ..plain.clone() },
        ] {
            let (verdict, reply) = twin.receive(&sent.frame());
            assert_eq!((verdict, reply), (Verdict::Reply(Renewal::Rebinding), right.clone()), "for {sent:?}");
        }
    }
}

#[test]
fn a_udp_sum_of_zero_is_sent_as_all_ones() {
    let answer = Answer::of_len(116);
    for state in STATES {
        let mut sent = Sent { xid: 0, ..Sent::request(state, Way::Direct) };
        // With the checksum itself among the words that are summed, the sum is all ones and its complement zero.
        let at = l3(0) + 20 + 6;
        let reply = expected::reply(&sent.frame(), &sent.lease(), &answer);
        sent.xid = u32::from(u16::from_be_bytes([reply[at], reply[at + 1]]));
        answered(&sent, &answer);
        let (_, reply) = Twin::knowing(&sent, &answer).receive(&sent.frame());
        assert_eq!(reply[at..at + 2], [0xff, 0xff]);
    }
}

#[test]
fn each_of_several_questions_gets_its_own_answer() {
    let mut other_options = Sent::request(State::Renewing, Way::Direct);
    other_options.options[14] = 99;
    let asked = [
        Sent::request(State::Renewing, Way::Direct),
        Sent::request(State::Rebinding, Way::Relay),
        Sent::request(State::InitReboot, Way::Direct),
        Sent::request(State::InitReboot, Way::Relay),
        other_options,
    ];
    let answers = [116, 400, 60, 240, 64].map(Answer::of_len);
    let known: Vec<_> = asked.iter().zip(&answers).collect();
    let mut twin = Twin::new();
    twin.grant(&Lease::new(), &known);
    for (sent, answer) in known {
        let (verdict, reply) = twin.receive(&sent.frame());
        assert!(matches!(verdict, Verdict::Reply(_)), "{verdict:?} for {sent:?}");
        assert_eq!(reply, expected::reply(&sent.frame(), &Lease::new(), answer));
    }
}

#[test]
fn renewing_and_rebinding_of_a_direct_client_are_one_question() {
    let answer = Answer::of_len(60);
    let renewing = Sent::request(State::Renewing, Way::Direct);
    let twin = Twin::knowing(&renewing, &answer);
    let rebinding = Sent::request(State::Rebinding, Way::Direct);
    let (verdict, reply) = twin.receive(&rebinding.frame());
    assert_eq!(verdict, Verdict::Reply(Renewal::Rebinding));
    assert_eq!(reply, expected::reply(&rebinding.frame(), &Lease::new(), &answer));
}

#[test]
fn a_second_renewal_in_the_same_second_is_answered_alike() {
    let sent = Sent::request(State::Renewing, Way::Direct);
    let twin = Twin::knowing(&sent, &Answer::of_len(60));
    let first = twin.receive(&sent.frame());
    let word = twin.lease_slot().word();
    assert_eq!(twin.receive(&sent.frame()), first);
    assert_eq!(twin.lease_slot().word().expiry(), word.expiry());
    assert_eq!(twin.receive_at(&sent.frame(), NOW + SECOND), first);
    assert_eq!(twin.lease_slot().word().expiry(), word.expiry().plus(1));
}

#[test]
fn a_promise_counts_from_the_end_of_the_next_second_and_may_reach_the_horizon() {
    let sent = Sent::request(State::Renewing, Way::Direct);
    let answer = Answer::of_len(60);
    for (now, promise) in [
        (5_000 * SECOND, 5_001 + LEASE_TIME),
        (5_000 * SECOND + 1, 5_002 + LEASE_TIME),
        (5_001 * SECOND - 1, 5_002 + LEASE_TIME),
        (5_001 * SECOND, 5_002 + LEASE_TIME),
    ] {
        let mut twin = Twin::new();
        twin.grant(&Lease { horizon: BootSecs(promise), ..Lease::new() }, &[(&sent, &answer)]);
        assert_eq!(twin.receive_at(&sent.frame(), now).0, Verdict::Reply(Renewal::Renewing));
        assert_eq!(twin.lease_slot().word().expiry(), BootSecs(promise));
    }
}

#[test]
fn an_endless_lease_stays_endless() {
    let sent = Sent::request(State::Renewing, Way::Direct);
    let answer = Answer { lease_time: u32::MAX, ..Answer::of_len(60) };
    let end = BootSecs(u32::MAX);
    let mut twin = Twin::new();
    twin.grant(&Lease { expiry: end, horizon: end, ..Lease::new() }, &[(&sent, &answer)]);
    for year in 0..100 {
        let now = NOW + year * 31_557_600 * SECOND;
        assert_eq!(twin.receive_at(&sent.frame(), now).0, Verdict::Reply(Renewal::Renewing));
        assert_eq!(twin.lease_slot().word().expiry(), end);
    }
}

/// A RELEASE is judged by the word it found: it must not take the lease from a client that was answered since.
#[test]
fn a_second_answer_within_the_second_changes_the_word_too() {
    let sent = Sent::request(State::InitReboot, Way::Direct);
    let twin = Twin::knowing(&sent, &Answer::of_len(64));
    let words = [(); 3].map(|()| {
        assert!(matches!(
            twin.receive_in(&sent.frame(), Room { before: 0, behind: 1024 }, NOW).0,
            Verdict::Reply(_)
        ));
        twin.lease_slot().word()
    });
    assert_eq!(words.map(|word| word.expiry()), [PROMISE; 3]);
    let changes = words.map(|word| word.changes());
    assert_eq!(changes, [changes[0], changes[0] + 1, changes[0] + 2]);
}
