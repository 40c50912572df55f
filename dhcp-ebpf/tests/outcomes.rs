//! Each outcome there is, reached by a test with a name, and a list that leaves none out.

mod twin;

use dhcp_ebpf::abi::{HEARTBEAT_PATIENCE, Mac, NetAddr, RunKey};
use dhcp_ebpf::frame::{Frame, HostFrame, Window};
use dhcp_ebpf::lease::{BootSecs, Now};
use dhcp_ebpf::publish;
use dhcp_ebpf::renewal;
use dhcp_ebpf::slot::{Destination, Memo, Place};
use dhcp_ebpf::verdict::{Dropped, Message, Passed, Renewal, Ring, Verdict, Why};
use std::net::Ipv4Addr;
use twin::maps::{Twin, identity};
use twin::sent::{DOT1AD, DOT1Q, STATES, Sent, State, UdpSum, WAYS, Way, l3, mend_ip_sum};
use twin::*;

/// Declares tests of one outcome each: a test for each case, and the list of all cases.
macro_rules! outcomes {
    ($($name:ident => $outcome:expr, $case:expr;)+) => {
        $(#[test]
        fn $name() {
            let case: Case = $case;
            assert_eq!(case.outcome(), $outcome);
        })+

        /// All cases, by name.
        const CASES: &[(&str, fn() -> Verdict)] = &[$((stringify!($name), || { let case: Case = $case; case.outcome() }),)+];
    };
}

/// A frame, the maps it finds and what is special about the driver.
struct Case {
    twin: Twin,
    frame: Vec<u8>,
    now: u64,
    driver: Driver,
}

/// What a driver's frames can do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Driver {
    Usual,
    /// Frames can't be made longer.
    NoGrowing,
    /// Frames can't be made shorter.
    NoTrimming,
    /// The daemon revokes the lease when the frame is made longer.
    Overtaken,
}

impl Case {
    fn new(sent: &Sent) -> Self {
        Self {
            twin: Twin::knowing(&Sent::request(State::Renewing, Way::Direct), &Answer::of_len(116)),
            frame: sent.frame(),
            now: NOW,
            driver: Driver::Usual,
        }
    }

    /// The client's renewal, which is answered if nothing else is said.
    fn renewal() -> Self {
        Self::new(&Sent::request(State::Renewing, Way::Direct))
    }

    /// The client's renewal with one thing about it changed.
    fn but(change: impl FnOnce(&mut Sent)) -> Self {
        let mut sent = Sent::request(State::Renewing, Way::Direct);
        change(&mut sent);
        Self::new(&sent)
    }

    /// A question that is known.
    fn known(sent: &Sent) -> Self {
        let twin = Twin::knowing(sent, &Answer::of_len(116));
        Self { twin, ..Self::new(sent) }
    }

    /// With the frame's bytes changed.
    fn bytes(mut self, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        change(&mut self.frame);
        self
    }

    /// With the IP header changed and its checksum good.
    fn ip(self, at: usize, bytes: &[u8]) -> Self {
        self.bytes(|frame| {
            frame[l3(0) + at..l3(0) + at + bytes.len()].copy_from_slice(bytes);
            mend_ip_sum(frame, l3(0));
        })
    }

    /// With the BOOTP message changed.
    fn bootp(self, at: usize, byte: u8) -> Self {
        self.bytes(|frame| frame[l3(0) + 28 + at] = byte)
    }

    fn at(self, now: u64) -> Self {
        Self { now, ..self }
    }

    fn on(self, driver: Driver) -> Self {
        Self { driver, ..self }
    }

    /// With the maps changed.
    fn with(mut self, change: impl FnOnce(&mut Twin)) -> Self {
        change(&mut self.twin);
        self
    }

    /// With a lease unlike the client's in its slot, the question known all the same.
    fn granted(lease: &Lease) -> Self {
        let mut twin = Twin::new();
        twin.grant(lease, &[(&Sent::request(State::Renewing, Way::Direct), &Answer::of_len(116))]);
        Self { twin, ..Self::renewal() }
    }

    /// What becomes of the frame, looked at as the program does: what is to go up is triaged first. Fails if a frame
    /// that goes on is not what it was, or if anything was written for it.
    fn outcome(self) -> Verdict {
        let Self { twin, frame: sent, now, driver } = self;
        let mut buffer = sent.clone();
        buffer.resize(sent.len() + 1024, 0xa5);
        let mut frame = Driven { frame: HostFrame::new(&mut buffer, sent.len()), driver, twin: &twin };
        let before = twin.contents();
        let verdict = match renewal::handle(&mut frame, &&twin, IFINDEX, Now::at(now)) {
            Verdict::Up(why) => match renewal::triage(&mut frame, &&twin, IFINDEX, now) {
                Ok(triaged) => Verdict::Up(Why::ALL[triaged.message.reason(why as usize)]),
                Err(passed) => Verdict::Pass(passed),
            },
            verdict => verdict,
        };
        if matches!(verdict, Verdict::Up(_) | Verdict::Pass(_)) {
            assert_eq!(frame.frame.bytes(), sent, "a frame that goes on was changed");
            assert_eq!(twin.contents(), before, "something was written for a frame that goes on");
        }
        verdict
    }
}

struct Driven<'a> {
    frame: HostFrame<'a>,
    driver: Driver,
    twin: &'a Twin,
}

impl Frame for Driven<'_> {
    fn len(&self) -> usize {
        self.frame.len()
    }

    fn window<const N: usize>(&mut self, at: usize) -> Option<&mut Window<N>> {
        self.frame.window(at)
    }

    fn grow(&mut self, by: usize) -> bool {
        if self.driver == Driver::Overtaken {
            let slot = self.twin.lease_slot();
            publish::revoke(&slot, slot.word()).expect("nobody else is there");
        }
        self.driver != Driver::NoGrowing && self.frame.grow(by)
    }

    fn grow_front(&mut self, by: usize) -> bool {
        self.driver != Driver::NoGrowing && self.frame.grow_front(by)
    }

    fn trim(&mut self, len: usize) -> bool {
        self.driver != Driver::NoTrimming && self.frame.trim(len)
    }
}

use Verdict::{Drop, Pass, Reply, Up};

outcomes! {
    // Answered.
    a_known_renewal => Reply(Renewal::Renewing), Case::renewal();
    a_known_rebinding => Reply(Renewal::Rebinding), Case::known(&Sent::request(State::Rebinding, Way::Relay));
    a_known_init_reboot => Reply(Renewal::InitReboot), Case::known(&Sent::request(State::InitReboot, Way::Direct));
    a_renewal_in_the_lease_s_last_nanosecond => Reply(Renewal::Renewing), Case::renewal().at(6_800 * SECOND - 1);

    // Told by their message type.
    a_discover => Up(Why::Discover), Case::new(&Sent::request(State::InitReboot, Way::Direct).message_type(1));
    a_decline => Up(Why::Decline), Case::new(&Sent::request(State::InitReboot, Way::Direct).message_type(4));
    a_release => Up(Why::Release), Case::new(&Sent::request(State::Renewing, Way::Direct).message_type(7));
    an_inform => Up(Why::Inform), Case::new(&Sent::request(State::Renewing, Way::Direct).message_type(8));
    a_leasequery => Up(Why::OtherMessage), Case::new(&Sent::request(State::Renewing, Way::Direct).message_type(10));
    a_bootp_request => Up(Why::OtherMessage), Case::but(|sent| sent.options = vec![1, 0, 255]);
    a_message_type_that_comes_late => Up(Why::OtherMessage),
        Case::but(|sent| { let mut late = vec![0; 16]; late.append(&mut sent.options); sent.options = late; });
    a_message_without_end => Up(Why::OtherMessage), Case::but(|sent| sent.options = vec![61; 300]);

    // REQUESTs that the kernel has no answer to.
    a_selecting_request => Up(Why::Request), Case::but(|sent| {
        *sent = Sent::request(State::InitReboot, Way::Direct);
        sent.options.splice(12..12, [54, 4, 192, 0, 2, 1]);
    });
    an_init_reboot_never_answered_before => Up(Why::Request), Case::new(&Sent::request(State::InitReboot, Way::Direct));
    an_address_in_no_run => Up(Why::NoSlot), Case::but(|sent| {
        (sent.ciaddr, sent.ip_src) = (Ipv4Addr::new(10, 0, 0, 77), Ipv4Addr::new(10, 0, 0, 77));
    });
    a_lease_on_another_vlan => Up(Why::NoSlot), Case::but(|sent| sent.tags = vec![(DOT1Q, 100)]);
    maps_without_keys => Up(Why::NoSlot), Case::renewal().with(|twin| twin.keys = None);
    a_run_beyond_the_slots => Up(Why::NoSlot), Case::renewal().with(|twin| {
        for run in twin.runs.values_mut() { *run = 1 << 20; }
    });
    a_lease_never_granted => Up(Why::NotAlive), Case::but(|sent| {
        (sent.ciaddr, sent.ip_src) = (Ipv4Addr::new(192, 0, 2, 78), Ipv4Addr::new(192, 0, 2, 78));
    });
    a_lease_revoked => Up(Why::NotAlive), Case::renewal().with(|twin| {
        let slot = twin.lease_slot();
        publish::revoke(&slot, slot.word()).expect("nobody else is there");
    });
    a_lease_suspended => Up(Why::NotAlive), Case::renewal().with(|twin| { publish::suspend(&twin.lease_slot()); });
    a_lease_that_ran_out_now => Up(Why::Expired), Case::renewal().at(6_800 * SECOND)
        .with(|twin| twin.heartbeat = 6_800 * SECOND);
    a_lease_that_ran_out_long_ago => Up(Why::Expired), Case::renewal().at(100_000 * SECOND)
        .with(|twin| twin.heartbeat = 100_000 * SECOND);
    a_promise_one_second_past_the_horizon => Up(Why::Horizon),
        Case::granted(&Lease { horizon: BootSecs(PROMISE.0 - 1), ..Lease::new() });
    a_promise_a_nanosecond_past_the_horizon => Up(Why::Horizon),
        Case::granted(&Lease { horizon: BootSecs(PROMISE.0 - 1), ..Lease::new() }).at(5_000 * SECOND + 1);
    a_question_with_other_options => Up(Why::UnknownQuestion), Case::but(|sent| sent.options[14] ^= 1);
    a_question_with_fewer_options => Up(Why::UnknownQuestion), Case::but(|sent| {
        sent.options.truncate(12);
        sent.options.push(255);
    });
    a_question_forgotten => Up(Why::UnknownQuestion),
        Case::renewal().with(|twin| { publish::forget(&twin.lease_slot(), [0]); });
    a_relayed_question_from_another_source => Up(Why::UnknownQuestion), {
        let case = Case::known(&Sent::request(State::Rebinding, Way::Relay));
        case.ip(12, &[203, 0, 113, 10])
    };
    a_question_whose_chunk_is_not_there => Up(Why::UnknownQuestion), Case::renewal().with(|twin| {
        let slot = twin.lease_slot();
        slot.set_memo(0, Memo { place: Place(1 << 20), ..slot.memo(0) });
    });
    another_client_s_address => Up(Why::OtherIdentity), Case::but(|sent| sent.chaddr[5] ^= 1);
    a_slot_of_another_link => Up(Why::OtherIdentity), Case::renewal().with(|twin| {
        let lease = Lease::new();
        let mut elsewhere = identity(&lease);
        elsewhere.link.ifindex += 1;
        twin.lease_slot().set_identity(&elsewhere);
    });
    a_run_of_another_net => Up(Why::OtherIdentity), Case::but(|sent| {
        (sent.ciaddr, sent.ip_src) = (Ipv4Addr::new(10, 0, 0, 77), Ipv4Addr::new(10, 0, 0, 77));
    }).with(|twin| {
        let (_, first) = twin.runs.iter().next().expect("there is a run");
        twin.runs = [(RunKey::new(Lease::new().link, Ipv4Addr::new(10, 0, 0, 77).into()), *first)].into();
    });
    a_memo_of_another_relay => Up(Why::OtherIdentity), Case::renewal()
        .with(|twin| twin.rewrite_head(|head| head.giaddr = NetAddr::from(GIADDR)));
    a_renewal_of_a_client_behind_a_router => Reply(Renewal::Renewing), Case::renewal()
        .with(|twin| twin.rewrite_head(|head| head.to = Destination::Unicast));
    a_broadcast_of_a_client_that_is_behind_a_router => Up(Why::UnknownQuestion),
        Case::known(&Sent::request(State::Rebinding, Way::Direct))
            .with(|twin| twin.rewrite_head(|head| head.to = Destination::Unicast));
    another_address_of_ours => Up(Why::OtherServer), Case::but(|sent| sent.ip_dst = Ipv4Addr::new(192, 0, 2, 2))
        .with(|twin| { twin.addresses.insert(Ipv4Addr::new(192, 0, 2, 2).into()); });
    a_renewal_from_another_address => Up(Why::ForeignSource),
        Case::but(|sent| sent.ip_src = Ipv4Addr::new(192, 0, 2, 78));
    a_unicast_init_reboot_from_an_address => Up(Why::ForeignSource), Case::but(|sent| {
        *sent = Sent { eth_dst: OURS, ip_dst: SERVER, ip_src: ADDRESS, ..Sent::request(State::InitReboot, Way::Direct) };
    });
    a_rebinding_from_another_address => Up(Why::ForeignSource),
        Case::known(&Sent { ip_src: Ipv4Addr::LOCALHOST, ..Sent::request(State::Rebinding, Way::Direct) });
    a_broadcast_init_reboot_from_an_address_of_ours => Up(Why::ForeignSource),
        Case::known(&Sent { ip_src: SERVER, ..Sent::request(State::InitReboot, Way::Direct) });
    a_rebinding_from_no_address => Reply(Renewal::Rebinding),
        Case::known(&Sent { ip_src: Ipv4Addr::UNSPECIFIED, ..Sent::request(State::Rebinding, Way::Direct) });
    a_broadcast_init_reboot_from_the_leased_address => Reply(Renewal::InitReboot),
        Case::known(&Sent { ip_src: ADDRESS, ..Sent::request(State::InitReboot, Way::Direct) });
    a_driver_that_can_t_grow_frames => Up(Why::NoRoom), Case::renewal().on(Driver::NoGrowing);

    // Not plain.
    a_reply => Up(Why::UnusualHeader), Case::renewal().bootp(0, 2);
    a_reply_without_a_message_type => Up(Why::UnusualHeader),
        Case::but(|sent| sent.options = vec![1, 0, 255]).bootp(0, 2);
    another_hardware_type => Up(Why::UnusualHeader), Case::renewal().bootp(1, 6);
    no_hardware_address => Up(Why::UnusualHeader), Case::renewal().bootp(2, 0);
    a_long_hardware_address => Up(Why::UnusualHeader), Case::renewal().bootp(2, 16);
    a_hardware_address_of_255 => Up(Why::UnusualHeader), Case::renewal().bootp(2, 255);
    something_behind_the_hardware_address => Up(Why::UnusualHeader), Case::renewal().bootp(34, 1);
    something_at_the_end_of_chaddr => Up(Why::UnusualHeader), Case::renewal().bootp(43, 1);
    a_server_name => Up(Why::UnusualHeader), Case::renewal().bootp(44, b'a');
    the_last_byte_of_a_server_name => Up(Why::UnusualHeader), Case::renewal().bootp(107, 1);
    a_boot_file => Up(Why::UnusualHeader), Case::renewal().bootp(108, b'a');
    the_last_byte_of_a_boot_file => Up(Why::UnusualHeader), Case::renewal().bootp(235, 1);
    another_cookie => Up(Why::UnusualHeader), Case::renewal().bootp(239, 98);
    a_udp_length_too_short => Up(Why::BadLength), Case::renewal().ip(24, &[1, 51]);
    a_udp_length_too_long => Up(Why::BadLength), Case::renewal().ip(24, &[1, 53]);
    an_ip_length_beyond_the_frame => Up(Why::BadLength), Case::renewal().ip(2, &[1, 73]).ip(24, &[1, 53]);
    an_ip_length_of_nothing => Up(Why::BadLength), Case::renewal().ip(2, &[0, 0]);
    a_message_without_options => Up(Why::BadLength), Case::renewal().ip(2, &[1, 12]).ip(24, &[0, 248]);
    a_frame_cut_within_the_options => Up(Why::BadLength), Case::renewal().bytes(|frame| frame.truncate(300));
    a_frame_cut_before_the_options => Up(Why::BadLength), Case::renewal().bytes(|frame| frame.truncate(281));
    a_frame_of_headers_only => Up(Why::BadLength), Case::renewal().bytes(|frame| frame.truncate(42));
    a_wrong_ip_checksum => Up(Why::BadChecksum), Case::renewal().bytes(|frame| frame[l3(0) + 10] ^= 1);
    a_wrong_udp_checksum => Up(Why::BadChecksum), Case::but(|sent| sent.udp_sum = UdpSum::Wrong);
    an_xid_garbled_on_the_way => Up(Why::BadChecksum), Case::renewal().bootp(5, 0x66);
    secs_garbled_on_the_way => Up(Why::BadChecksum), Case::renewal().bootp(9, 0x66);
    flags_garbled_on_the_way => Up(Why::BadChecksum), Case::renewal().bootp(10, 0x80);
    a_next_server_garbled_on_the_way => Up(Why::BadChecksum), Case::renewal().bootp(20, 1);
    a_time_to_live_changed_on_the_way => Up(Why::BadChecksum), Case::renewal().bytes(|frame| frame[l3(0) + 8] -= 1);
    options_of_less_than_a_word => Up(Why::OptionsSize), Case::renewal()
        .bytes(|frame| frame.truncate(l3(0) + 28 + 240 + 7)).ip(2, &[1, 19]).ip(24, &[0, 255]);
    options_longer_than_a_question => Up(Why::OptionsSize), Case::but(|sent| sent.options.resize(513, 0));

    // None of ours.
    an_empty_frame => Pass(Passed::NotIpv4), Case::renewal().bytes(Vec::clear);
    half_an_ethernet_header => Pass(Passed::NotIpv4), Case::renewal().bytes(|frame| frame.truncate(13));
    an_arp_request => Pass(Passed::NotIpv4), Case::renewal().bytes(|frame| frame[12..14].copy_from_slice(&[8, 6]));
    ipv6 => Pass(Passed::NotIpv4), Case::renewal().bytes(|frame| frame[12..14].copy_from_slice(&[0x86, 0xdd]));
    a_frame_that_ends_in_its_tag => Pass(Passed::NotIpv4),
        Case::but(|sent| sent.tags = vec![(DOT1Q, 100)]).bytes(|frame| frame.truncate(17));
    three_tags => Pass(Passed::NotIpv4), Case::but(|sent| sent.tags = vec![(DOT1AD, 1), (DOT1Q, 2), (DOT1Q, 3)]);
    tcp => Pass(Passed::NotUdp), Case::renewal().ip(9, &[6]);
    half_an_ip_header => Pass(Passed::NotUdp), Case::renewal().bytes(|frame| frame.truncate(30));
    half_a_udp_header => Pass(Passed::NotUdp), Case::renewal().bytes(|frame| frame.truncate(41));
    ip_options => Pass(Passed::IpOptions), Case::renewal().ip(0, &[0x46]);
    ip_version_6_by_its_header => Pass(Passed::IpOptions), Case::renewal().ip(0, &[0x65]);
    the_first_fragment => Pass(Passed::Fragment), Case::renewal().ip(6, &[0x20, 0]);
    a_later_fragment => Pass(Passed::Fragment), Case::renewal().ip(6, &[0, 1]);
    dns => Pass(Passed::NotDhcp), Case::but(|sent| sent.ports.1 = 53);
    a_server_s_answer_to_a_client => Pass(Passed::NotDhcp), Case::but(|sent| sent.ports = (67, 68));
    another_station => Pass(Passed::NotForUs), Case::but(|sent| sent.eth_dst = ROUTER);
    a_multicast_station => Pass(Passed::NotForUs), Case::but(|sent| sent.eth_dst = [1, 0, 0x5e, 0, 0, 1]);
    another_host_behind_us => Pass(Passed::NotForUs), Case::but(|sent| sent.ip_dst = Ipv4Addr::new(192, 0, 2, 2));
    an_interface_we_do_not_serve => Pass(Passed::NotForUs), Case::renewal().with(|twin| twin.interfaces.clear());
    a_daemon_away => Pass(Passed::DaemonAway),
        Case::but(|sent| sent.chaddr[5] ^= 1).with(|twin| twin.heartbeat = NOW - HEARTBEAT_PATIENCE - 1);

    // Spent.
    a_lease_revoked_while_the_answer_is_written => Drop(Dropped::Raced), Case::renewal().on(Driver::Overtaken);
    an_answer_whose_second_chunk_is_not_there => Drop(Dropped::Raced), {
        let sent = Sent::request(State::Renewing, Way::Direct);
        let twin = Twin::knowing(&sent, &Answer::of_len(400));
        let slot = twin.lease_slot();
        slot.set_memo(0, Memo { place: twin.last_chunk_for(slot.memo(0).place), ..slot.memo(0) });
        Case { twin, ..Case::renewal() }
    };
    a_discover_for_a_full_ring => Drop(Dropped::FreshFull),
        Case::new(&Sent::request(State::InitReboot, Way::Direct).message_type(1)).with(|twin| twin.sheds = true);
    a_discover_for_another_host_and_a_full_ring => Pass(Passed::NotForUs), Case::but(|sent| {
        *sent = Sent { ip_dst: Ipv4Addr::new(192, 0, 2, 2), ..Sent::request(State::InitReboot, Way::Relay).message_type(1) };
    }).with(|twin| twin.sheds = true);
    a_relayed_discover_for_a_full_ring => Drop(Dropped::FreshFull),
        Case::new(&Sent::request(State::InitReboot, Way::Relay).message_type(1)).with(|twin| twin.sheds = true);
    a_request_whatever_the_ring_of_what_is_new_holds => Up(Why::Request),
        Case::new(&Sent::request(State::InitReboot, Way::Direct)).with(|twin| twin.sheds = true);
    a_driver_that_can_t_trim_frames => Drop(Dropped::NotTrimmed),
        Case::but(|sent| sent.options.resize(400, 0)).on(Driver::NoTrimming);
}

#[test]
fn every_outcome_there_is_has_been_reached() {
    let reached: Vec<Verdict> = CASES.iter().map(|(_, outcome)| outcome()).collect();
    let all = Renewal::ALL.iter().map(|state| Reply(*state));
    let all = all.chain(Why::ALL.iter().map(|why| Up(*why)));
    let all = all.chain(Passed::ALL.iter().map(|why| Pass(*why)));
    let all = all.chain(Dropped::ALL.iter().map(|why| Drop(*why)));
    let never: Vec<Verdict> = all.filter(|outcome| !reached.contains(outcome)).collect();
    // Whether there is room in the rings shows at the kernel's edge, not in the library.
    assert_eq!(never, [Dropped::BegunFull, Dropped::TooLong].map(Drop));
}

#[test]
fn every_outcome_has_a_counter_and_a_name_of_its_own() {
    let all: Vec<(Verdict, &str)> = Renewal::ALL
        .iter()
        .map(|state| (Reply(*state), state.name()))
        .chain(Why::ALL.iter().map(|why| (Up(*why), why.name())))
        .chain(Passed::ALL.iter().map(|why| (Pass(*why), why.name())))
        .chain(Dropped::ALL.iter().map(|why| (Drop(*why), why.name())))
        .collect();
    assert_eq!(all.len(), Verdict::COUNTERS);
    for (number, (outcome, _)) in all.iter().enumerate() {
        assert_eq!(outcome.counter() as usize, number);
    }
    let mut names: Vec<_> = all.iter().map(|(_, name)| name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all.len());
    for (number, why) in (0..).zip(Why::ALL) {
        assert_eq!(Why::from_number(number), Some(*why));
        assert_eq!(Verdict::up_counter(usize::from(number)), Up(*why).counter());
    }
}

#[test]
fn a_daemon_at_work_gets_what_it_is_asked() {
    let unknown =
        Case::but(|sent| sent.chaddr[5] ^= 1).with(|twin| twin.heartbeat = NOW - HEARTBEAT_PATIENCE);
    assert_eq!(unknown.outcome(), Up(Why::OtherIdentity));
    let ahead = Case::but(|sent| sent.chaddr[5] ^= 1).with(|twin| twin.heartbeat = NOW + SECOND);
    assert_eq!(ahead.outcome(), Up(Why::OtherIdentity), "a heartbeat later than the frame");
}

#[test]
fn renewals_go_on_while_the_daemon_is_away() {
    for (state, way) in STATES.into_iter().flat_map(|state| WAYS.map(|way| (state, way))) {
        let case = Case::known(&Sent::request(state, way)).with(|twin| twin.heartbeat = 0);
        assert!(matches!(case.outcome(), Reply(_)), "{state:?} {way:?}");
    }
}

#[test]
fn exchanges_begun_go_by_a_ring_of_their_own() {
    for (number, ring) in (0..=255).map(|number| (number, Message::from_type(number).ring())) {
        assert_eq!(ring == Ring::Begun, [3, 4, 7].contains(&number), "message type {number}");
    }
}

#[test]
fn the_interface_s_own_address_is_what_is_compared() {
    let case = Case::renewal().with(|twin| {
        twin.interfaces.insert(IFINDEX, Mac::from(ROUTER));
    });
    assert_eq!(case.outcome(), Pass(Passed::NotForUs));
}

#[test]
fn a_release_carries_the_word_that_it_found_and_nothing_else_does() {
    let triaged = |sent: &Sent| {
        let Case { twin, frame: mut sent, now, .. } = Case::known(sent);
        let len = sent.len();
        let triaged = renewal::triage(&mut HostFrame::new(&mut sent, len), &&twin, IFINDEX, now);
        (triaged.expect("it goes up").word, twin.lease_slot().word())
    };
    let renewal = Sent::request(State::Renewing, Way::Direct);
    let (carried, word) = triaged(&renewal.clone().message_type(7));
    assert!(word.alive());
    assert_eq!(carried, word);
    assert_eq!(triaged(&renewal).0.0, 0);
}
