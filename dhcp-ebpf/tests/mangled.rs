//! Requests cut, flipped and garbled in every way: none is answered but those that ask a known question, and none
//! that is not answered is changed.

mod twin;

use dhcp_ebpf::verdict::{Renewal, Verdict, Why};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use std::cell::Cell;
use std::ops::Range;
use twin::maps::{Room, Twin};
use twin::sent::{STATES, Sent, State, TAGS, WAYS, Way, l3, mend_ip_sum, mend_udp_sum};
use twin::{Answer, Lease, NOW, OURS, expected};

const AMPLE: Room = Room { before: 1024, behind: 0 };

/// A request whose question is known.
struct World {
    sent: Sent,
    lease: Lease,
    answer: Answer,
    twin: Twin,
}

impl World {
    fn new(sent: Sent, answer: Answer) -> Self {
        Self { lease: sent.lease(), twin: Twin::knowing(&sent, &answer), answer, sent }
    }

    /// Every state, way and kind of tags, with answers shorter and longer than the request.
    fn all() -> Vec<Self> {
        let requests = STATES.iter().flat_map(|state| WAYS.map(|way| Sent::request(*state, way)));
        let tagged = requests.flat_map(|sent| TAGS.map(|(tags, _)| sent.clone().tagged(tags)));
        let lens = [60, 400, 64, 116].into_iter().cycle();
        tagged.zip(lens).map(|(sent, len)| Self::new(sent, Answer::of_len(len))).collect()
    }

    /// Sends a frame and checks all that must be true of any frame.
    fn receive(&self, frame: &[u8], room: Room) -> Verdict {
        let word = self.twin.lease_slot().word();
        let (verdict, after) = self.twin.receive_in(frame, room, NOW);
        let known = expected::is_known(frame, &self.sent);
        match verdict {
            Verdict::Reply(_) => {
                assert!(known, "an unknown question was answered: {frame:02x?}");
                assert_eq!(after, expected::reply(frame, &self.lease, &self.answer));
                return verdict;
            }
            Verdict::Up(Why::NoRoom) => {
                let reply = expected::reply(frame, &self.lease, &self.answer);
                assert!(known && reply.len() > frame.len() + room.before.max(room.behind), "there was room");
            }
            Verdict::Up(_) | Verdict::Pass(_) => {
                assert!(!known, "{verdict:?} for a known question: {frame:02x?}");
            }
            Verdict::Drop(_) => panic!("{verdict:?}, and nobody interfered"),
        }
        assert_eq!(after, frame, "a frame that goes on was changed");
        assert_eq!(self.twin.lease_slot().word(), word, "a promise without an answer");
        verdict
    }
}

#[test]
fn a_request_cut_anywhere_is_not_answered() {
    for world in World::all() {
        let frame = world.sent.frame();
        for len in 0..frame.len() {
            let verdict = world.receive(&frame[..len], AMPLE);
            assert!(!matches!(verdict, Verdict::Reply(_)), "cut to {len} bytes");
        }
        assert!(matches!(world.receive(&frame, AMPLE), Verdict::Reply(_)));
    }
}

/// The bytes of an untagged request in which a flipped bit does not make another question: what is echoed, and what
/// nobody looks at.
fn indifferent(sent: &Sent) -> Vec<Range<usize>> {
    let (ip, udp, bootp) = (l3(0), l3(0) + 20, l3(0) + 28);
    // Station; UDP source port and checksum; hops, xid, secs, flags; yiaddr and siaddr. The IP header has a sum.
    let all = vec![6..12, udp..udp + 2, udp + 6..udp + 8, bootp + 3..bootp + 12, bootp + 16..bootp + 24];
    let tags = 4 * sent.tags.len();
    all.into_iter()
        .map(|range| if range.start < ip { range } else { range.start + tags..range.end + tags })
        .collect()
}

#[test]
fn a_bit_flipped_changes_the_question_or_is_echoed_or_means_nothing() {
    for world in World::all() {
        let frame = world.sent.frame();
        let mut indifferent: Vec<usize> =
            indifferent(&world.sent).into_iter().flatten().map(|at| at * 8).collect();
        indifferent = indifferent.into_iter().flat_map(|bit| bit..bit + 8).collect();
        // The priority in a tag, its upper four bits, is echoed.
        indifferent.extend(
            (0..world.sent.tags.len()).flat_map(|tag| 8 * (14 + 4 * tag) + 4..8 * (14 + 4 * tag) + 8),
        );
        for bit in 0..8 * frame.len() {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let l3 = l3(world.sent.tags.len());
            if (l3 + 20..frame.len()).contains(&(bit / 8)) {
                let garbled = world.receive(&flipped, AMPLE);
                assert!(
                    !matches!(garbled, Verdict::Reply(_)),
                    "bit {} of byte {} on its way",
                    bit % 8,
                    bit / 8
                );
                mend_udp_sum(&mut flipped, l3);
            }
            let answered = matches!(world.receive(&flipped, AMPLE), Verdict::Reply(_));
            assert_eq!(answered, indifferent.contains(&bit), "bit {} of byte {}", bit % 8, bit / 8);
        }
    }
}

/// One thing done to a frame.
#[derive(Clone, Debug)]
enum Mangling {
    Flip(Index, u8),
    Set(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
    Append(Vec<u8>),
    /// Part of the frame copied over another part.
    Copy(Index, Index, u8),
    /// One byte within the fields that are echoed or ignored.
    Echoed(Index, u8),
    /// Lengths made to agree with the frame's.
    MendLengths,
    MendIpSum,
    MendUdpSum,
    /// As IPv4 allows.
    LeaveOutUdpSum,
}

fn mangling() -> impl Strategy<Value = Mangling> {
    use Mangling::*;
    prop_oneof![
        2 => (any::<Index>(), 0..8u8).prop_map(|(at, bit)| Flip(at, bit)),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Set(at, byte)),
        1 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Insert(at, byte)),
        1 => any::<Index>().prop_map(Remove),
        1 => any::<Index>().prop_map(Cut),
        1 => prop::collection::vec(prop_oneof![Just(0), any::<u8>()], 1..40).prop_map(Append),
        1 => (any::<Index>(), any::<Index>(), 1..16u8).prop_map(|(from, to, len)| Copy(from, to, len)),
        6 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Echoed(at, byte)),
        3 => Just(MendLengths),
        3 => Just(MendIpSum),
        5 => Just(MendUdpSum),
        2 => Just(LeaveOutUdpSum),
    ]
}

impl Mangling {
    fn apply(&self, frame: &mut Vec<u8>, sent: &Sent) {
        let l3 = l3(sent.tags.len());
        if frame.len() < l3 + 28 + 24 {
            return;
        }
        let (len, range) = (frame.len(), |at: &Index, len: usize| at.index(len));
        match self {
            Self::Flip(at, bit) => frame[range(at, len)] ^= 1 << bit,
            Self::Set(at, byte) => frame[range(at, len)] = *byte,
            Self::Insert(at, byte) => frame.insert(range(at, len), *byte),
            Self::Remove(at) => drop(frame.remove(range(at, len))),
            Self::Cut(at) => frame.truncate(range(at, len)),
            Self::Append(bytes) => frame.extend(bytes),
            Self::Copy(from, to, count) => {
                let count = usize::from(*count);
                let from = range(from, len - count);
                frame.copy_within(from..from + count, range(to, len - count));
            }
            Self::Echoed(at, byte) => {
                let places: Vec<usize> = indifferent(sent).into_iter().flatten().collect();
                frame[places[range(at, places.len())]] = *byte;
            }
            Self::MendLengths => {
                let total = u16::try_from(len - l3).unwrap_or(u16::MAX);
                frame[l3 + 2..l3 + 4].copy_from_slice(&total.to_be_bytes());
                frame[l3 + 24..l3 + 26].copy_from_slice(&total.saturating_sub(20).to_be_bytes());
                mend_ip_sum(frame, l3);
            }
            Self::MendIpSum => mend_ip_sum(frame, l3),
            Self::MendUdpSum => mend_udp_sum(frame, l3),
            Self::LeaveOutUdpSum => frame[l3 + 26..l3 + 28].fill(0),
        }
    }
}

fn room() -> impl Strategy<Value = Room> {
    let some = || prop::sample::select(vec![0, 1, 4, 7, 60, 200]);
    (some(), some()).prop_map(|(before, behind)| Room { before, behind })
}

/// How often each kind of verdict was seen.
#[derive(Default)]
struct Tally {
    replies: Cell<u32>,
    ups: Cell<u32>,
    passes: Cell<u32>,
}

impl Tally {
    fn count(&self, verdict: Verdict) {
        let counter = match verdict {
            Verdict::Reply(_) => &self.replies,
            Verdict::Up(_) => &self.ups,
            Verdict::Pass(_) => &self.passes,
            Verdict::Drop(_) => unreachable!("refused where it is received"),
        };
        counter.set(counter.get() + 1);
    }
}

/// As many cases as `PROPTEST_CASES` says, or this many.
fn runner(cases: u32) -> TestRunner {
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { Config::default().cases } else { cases };
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

#[test]
fn a_request_garbled_is_answered_right_or_left_alone() {
    let worlds = World::all();
    let tally = Tally::default();
    let garbled = (any::<Index>(), prop::collection::vec(mangling(), 0..6), room());
    runner(100_000)
        .run(&garbled, |(world, manglings, room)| {
            let world = &worlds[world.index(worlds.len())];
            let mut frame = world.sent.frame();
            for mangling in &manglings {
                mangling.apply(&mut frame, &world.sent);
            }
            tally.count(world.receive(&frame, room));
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    let (replies, ups, passes) = (tally.replies.get(), tally.ups.get(), tally.passes.get());
    let all = replies + ups + passes;
    println!("{replies} answered, {ups} up, {passes} passed");
    assert!(replies > all / 10 && ups > all / 10 && passes > all / 100, "{replies} / {ups} / {passes}");
}

#[test]
fn arbitrary_bytes_are_left_alone() {
    let world = World::new(Sent::request(State::Renewing, Way::Direct), Answer::of_len(60));
    runner(5_000)
        .run(&prop::collection::vec(any::<u8>(), 0..700), |frame| {
            assert!(matches!(world.receive(&frame, AMPLE), Verdict::Pass(_)));
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn arbitrary_messages_behind_good_headers_go_up() {
    let world = World::new(Sent::request(State::Renewing, Way::Direct), Answer::of_len(60));
    let headers = world.sent.frame()[..l3(0) + 28].to_vec();
    runner(5_000)
        .run(&prop::collection::vec(any::<u8>(), 0..700), |message| {
            let mut frame = [&headers[..], &message].concat();
            Mangling::MendLengths.apply(&mut frame, &world.sent);
            assert!(matches!(world.receive(&frame, AMPLE), Verdict::Up(_)));
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn arbitrary_options_are_another_question() {
    let world = World::new(Sent::request(State::Renewing, Way::Direct), Answer::of_len(60));
    runner(5_000)
        .run(&prop::collection::vec(any::<u8>(), 0..400), |options| {
            let sent = Sent { options, ..world.sent.clone() };
            assert_eq!(world.receive(&sent.frame(), AMPLE), Verdict::Up(Why::UnknownQuestion));
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

/// Never past the horizon, never an expired or dead lease, whatever the times are.
#[test]
fn a_promise_is_made_exactly_when_it_may_be() {
    use dhcp_ebpf::lease::BootSecs;
    let sent = Sent::request(State::Renewing, Way::Direct);
    let near = |around: u32| prop_oneof![3 => (around - 3)..=(around + 3), 1 => any::<u32>()];
    let times = (
        near(5_000),
        near(5_000 + 3_600),
        0..1_000_000_000_u64,
        prop_oneof![Just(3_600), any::<u32>()],
        any::<bool>(),
    );
    let seen = Tally::default();
    runner(5_000)
        .run(&times, |(expiry, horizon, nanos, lease_time, alive)| {
            let mut twin = Twin::new();
            let lease = Lease { expiry: BootSecs(expiry), horizon: BootSecs(horizon), ..Lease::new() };
            let answer = Answer { lease_time, ..Answer::of_len(60) };
            let granted = twin.grant(&lease, &[(&sent, &answer)]);
            if !alive {
                dhcp_ebpf::publish::revoke(&twin.lease_slot(), granted).expect("nobody interferes");
            }
            let (now, word) = (5_000 * 1_000_000_000 + nanos, twin.lease_slot().word());
            // Rounded up, and a second more, by which the program's clock may be behind.
            let from = if nanos == 0 { 5_001 } else { 5_002 };
            let promise = (u64::from(lease_time) + from).min(u64::from(u32::MAX));
            let (verdict, _) = twin.receive_at(&sent.frame(), now);
            let right = if !alive {
                Verdict::Up(Why::NotAlive)
            } else if u64::from(expiry) * 1_000_000_000 <= now {
                Verdict::Up(Why::Expired)
            } else if promise > u64::from(horizon) {
                Verdict::Up(Why::Horizon)
            } else {
                Verdict::Reply(Renewal::Renewing)
            };
            prop_assert_eq!(verdict, right);
            let after = twin.lease_slot().word();
            if matches!(right, Verdict::Reply(_)) {
                prop_assert_eq!(u64::from(after.expiry().0), promise.max(u64::from(expiry)));
                prop_assert!(after.alive() && after.generation() == word.generation());
            } else {
                prop_assert_eq!(after, word);
            }
            seen.count(verdict);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    assert!(seen.replies.get() > 100 && seen.ups.get() > 100);
}

#[test]
fn the_oracle_knows_what_it_is_asked() {
    let world = World::new(Sent::request(State::Renewing, Way::Direct), Answer::of_len(60));
    assert!(expected::is_known(&world.sent.frame(), &world.sent));
    let other = Sent { eth_dst: [0; 6], ..world.sent.clone() };
    assert!(!expected::is_known(&other.frame(), &world.sent));
    assert!(!expected::is_known(&OURS, &world.sent));
}
