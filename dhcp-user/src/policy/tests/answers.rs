//! What answers say: order, echoes, sizes.

use super::wire::{Draft, SERVER};
use super::*;

/// RFC 2131 §3.1, SHOULD NOT (ack-agrees): the ACK says nothing else than the OFFER did.
#[test]
fn an_offer_says_what_the_ack_will() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let wants = [55, 3, 6, 15, 51];
    let offer = bench.send(&Draft::discover(1).option(55, &wants));
    let ack = bench.send(&Draft::select(1, SERVER, host(10)).option(55, &wants));
    let (mut offered, acked) = (offer.answer().clone(), ack.answer());
    assert_eq!(offered.options[..3], [53, 1, 2]);
    offered.options[2] = 5;
    assert_eq!(offered, *acked);
}

/// RFC 2132 §9.8, MUST (order-asked): what the client asks for comes in its order, as far as possible.
/// RFC 2132 §3.3, MUST (mask-first): but the mask comes before the routers.
/// RFC 2131 §4.3.1, MUST (configured): all that is there comes.
#[test]
fn parameters_come_in_the_order_they_were_asked_for() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let offer = bench.send(&Draft::discover(1).option(55, &[15, 3, 77, 3, 6, 1]).id(b"\x00me"));
    assert_eq!(offer.codes(), [53, 54, 51, 58, 59, 15, 1, 3, 6, 61], "the mask just before the routers");
    let ordered = bench.send(&Draft::discover(1).option(55, &[15, 6, 1, 3]));
    assert_eq!(ordered.codes()[5..], [15, 6, 1, 3]);
    let last = bench.send(&Draft::discover(1).option(55, &[6, 15, 1]));
    assert_eq!(last.codes()[5..], [6, 15, 1], "no routers that it must precede");
    let unasked = bench.send(&Draft::discover(1).option(55, &[15, 3]));
    assert_eq!(unasked.codes()[5..], [1, 15, 3]);
    let all = bench.send(&Draft::discover(2));
    assert_eq!(all.codes(), [53, 54, 51, 58, 59, 1, 3, 6, 15], "who asks for nothing gets all");
}

/// RFC 2131 §4.4.5, MUST (times-in-order): T1, then T2, then the end.
/// RFC 2131 §4.4.5, SHOULD (times-told): in proportion to the time that is granted.
#[test]
fn times_are_told_in_proportion() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let offer = bench.send(&Draft::discover(1).option(51, &600u32.to_be_bytes()));
    let secs =
        |code| offer.option(code).map(|value| u32::from_be_bytes(value.try_into().expect("four octets")));
    assert_eq!((secs(51), secs(58), secs(59)), (Some(600), Some(300), Some(525)));
}

/// RFC 2131 §4.3.1, stated (time-asked): the lease time that the client asks for, or another.
#[test]
fn a_wish_for_a_lease_time_is_granted_within_bounds() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    for (wish, granted) in [(1, 60), (600, 600), (u32::MAX, 2 * LEASE_TIME)] {
        let offer = bench.send(&Draft::discover(1).option(51, &wish.to_be_bytes()));
        assert_eq!(offer.answer().lease_time, granted);
    }
}

/// RFC 2131 §4.3.1, MUST (client-own, subnet-own): what is set for the client, else for its subnet.
#[test]
fn a_reservations_options_override_its_subnets() {
    let mut own = reserved(1, host(5));
    own.overrides.options.0.insert(6, vec![9, 9, 9, 9]);
    own.host_name = Some("printer".to_owned());
    let mut bench = Bench::new(vec![Subnet { reservations: vec![own], ..subnet(10, 20) }]);
    let offer = bench.send(&Draft::discover(1).option(55, &[6, 12]));
    assert_eq!((offer.option(6), offer.option(12)), (Some(vec![9, 9, 9, 9]), Some(b"printer".to_vec())));
}

/// RFC 6842 §3, MUST (returned): the client identifier comes back in every answer.
/// RFC 3046 §2.2, SHALL (echo): so does option 82.
/// RFC 3046 §2.2, SHOULD (last): it is the last.
#[test]
fn the_client_identifier_and_the_relay_information_come_back_last() {
    let mut bench = Bench::new(vec![relayed_subnet()]);
    let draft = Draft::discover(1).id(b"\x00me").option(82, b"\x01\x02ab").option(60, b"x").via(RELAY);
    let offer = bench.send(&draft);
    assert!(offer.codes().ends_with(&[61, 82]));
    assert_eq!(offer.option(82), Some(b"\x01\x02ab".to_vec()));
    let nak = bench.send(
        &Draft { ciaddr: host(77), ..Draft::new(3, 1) }.option(82, b"\x01\x02ab").via(RELAY).id(b"\x00me"),
    );
    assert!(nak.is_nak());
    assert_eq!(nak.codes(), [53, 54, 56, 61, 82]);
}

/// RFC 2131 §4.3.5, MUST NOT (inform-no-time): the answer to INFORM has no lease time.
/// RFC 2131 §4.3.5, stated (inform-parameters): it has all else.
/// RFC 2131 §3.4, MUST NOT (inform-no-lookup): no lease is looked for.
/// RFC 2131 §3.4, SHOULD (inform-consistent): but the address is looked at.
#[test]
fn inform_is_answered_without_a_lease() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let ack = bench.send(&Draft::inform(1, host(99)));
    assert!(matches!(&ack, Response::Reply(Reply::InformAck { server, .. }) if *server == SERVER));
    assert_eq!(ack.codes(), [53, 54, 1, 3, 6, 15]);
    assert_eq!(ack.answer().lease_time, 0);
    assert!(bench.store.is_empty() && bench.published.is_empty());
    let forged = Draft { ip_src: host(98), ..Draft::inform(1, host(99)) };
    assert_eq!(bench.send(&forged), Response::Silence(Silence::SourceMismatch));
    assert_eq!(bench.send(&Draft::new(8, 1)), Response::Silence(Silence::NoAddress));
}

/// RFC 2131 §4.3.1, stated (t3-siaddr, t3-boot): next server, server name, boot file.
#[test]
fn header_fields_carry_the_boot_parameters() {
    let boot = Subnet {
        boot: Boot {
            next_server: Some(host(3)),
            server_name: Some("boot".to_owned()),
            file: Some("pxe.bin".to_owned()),
        },
        ..subnet(10, 20)
    };
    let mut bench = Bench::new(vec![boot]);
    let offer = bench.send(&Draft::discover(1));
    let answer = offer.answer();
    assert_eq!(answer.siaddr, host(3));
    assert!(answer.sname.as_ref().is_some_and(|sname| sname.starts_with(b"boot\0")));
    assert!(answer.file.as_ref().is_some_and(|file| file.starts_with(b"pxe.bin\0")));
}

/// RFC 2131 §4.1, MUST (overload-told, overload-end, overload-field, option-whole): option 52 tells of it, and area and
/// fields have whole options and an END of their own.
/// RFC 3396 §5, MUST NOT (within-field): none lies in two.
/// RFC 2132 §9.3, stated (overload): file first, then sname.
/// RFC 2132 §9.10, stated (max-size): no more than the client takes.
#[test]
fn what_does_not_fit_the_area_goes_into_file_and_sname() {
    let mut wordy = subnet(10, 20);
    wordy.options.0.insert(43, vec![1; 200]);
    wordy.options.0.insert(125, vec![2; 100]);
    wordy.options.0.insert(224, vec![3; 40]);
    let mut bench = Bench::new(vec![wordy]);
    let small = bench.send(&Draft::discover(1).option(55, &[43, 125, 224]));
    let answer = small.answer();
    assert!(answer.complete && answer.options.len() <= 576 - 28 - 240);
    assert_eq!(small.option(52), Some(vec![1]));
    assert_eq!(answer.file.as_ref().map(|file| (file[0], file[1], file[102])), Some((125, 100, 255)));
    let large =
        bench.send(&Draft::discover(1).option(55, &[43, 125, 224]).option(57, &1500u16.to_be_bytes()));
    assert_eq!(large.option(52), None);
    assert_eq!(large.codes(), [53, 54, 51, 58, 59, 1, 43, 125, 224]);
}

/// A subnet whose options 224 to 233 have 80 octets each.
fn wordy() -> Subnet {
    let mut wordy = subnet(10, 20);
    wordy.options.0.extend((224..234).map(|code| (code, vec![code; 80])));
    wordy
}

/// What asks for them last to first, and for mask, routers and a name server after them.
fn greedy(max_size: u16) -> Draft {
    let list: Vec<u8> = (224..234).rev().chain([6, 3]).collect();
    Draft::discover(1).option(55, &list).option(57, &max_size.to_be_bytes()).id(b"\x00me")
}

/// RFC 2132 §9.8 and §9.10: as much as there is room for, by what the client and the link take and a frame carries.
#[test]
fn an_answer_too_long_is_shortened_in_the_order_asked_for() {
    for (max_size, mtu, most, kept, in_file) in [
        // 53, 54, 51, 58, 59, 1, 3, 61, 52 and END take 52 octets of the area, each of the others 82.
        (576, 1500, 308, &[233, 232, 231, 6][..], &[230][..]),
        (576, 576, 308, &[233, 232, 231, 6], &[230]),
        (1400, 600, 332, &[233, 232, 231, 6], &[230]),
        // No more than a frame of ours carries, and then the fields gain nothing.
        (1400, 1500, 744, &[233, 232, 231, 230, 229, 228, 227, 226, 6], &[]),
        (65535, 1500, 744, &[233, 232, 231, 230, 229, 228, 227, 226, 6], &[]),
    ] {
        let mut bench = Bench::new(vec![wordy()]);
        bench.interfaces[0].mtu = mtu;
        bench.policy = Policy::new(&bench.config, bench.interfaces.clone(), 7);
        let draft = greedy(max_size);
        let offer = bench.send(&draft);
        let (answer, codes) = (offer.answer(), offer.codes());
        let left: Vec<u8> = codes.iter().copied().filter(|code| *code == 6 || *code >= 224).collect();
        assert_eq!((&codes[..3], left.as_slice()), (&[53, 54, 51][..], kept), "{max_size} {mtu}");
        assert_eq!(codes.last(), Some(&61), "what must come back");
        assert!([58, 59, 1, 3].iter().all(|code| codes.contains(code)), "{codes:?}");
        let file =
            answer.file.as_ref().map(|file| &file[..=file.iter().rposition(|o| *o == 255).unwrap_or(0)]);
        assert_eq!(
            file.map(options).unwrap_or_default().iter().map(|(code, _)| *code).collect::<Vec<_>>(),
            in_file
        );
        assert!(!answer.complete && answer.options.len() <= most, "{}", answer.options.len());
        let Response::Reply(reply) = &offer else { panic!("no reply") };
        assert!(crate::datapath::frames::frame::write(&draft.request(1), reply, [2; 6]).is_some());
    }
}

/// RFC 2132 §9.3 has option 52 for options that need the room. Writing the fields takes from what a frame carries, and no option is
/// cut in two for them: so they are used only where an option gets room that had none, or a more important one.
#[test]
fn fields_are_not_used_for_options_where_that_gains_nothing() {
    let eights = |count: u8, length: usize| {
        let mut wordy = subnet(10, 20);
        wordy.options.0.extend((224..224 + count).map(|code| (code, vec![code; length])));
        let list: Vec<u8> = (224..224 + count).collect();
        (Bench::new(vec![wordy]), Draft::discover(1).option(55, &list))
    };
    for (max_size, count, length, overload, kept) in [
        // All of it fits.
        (1000, 8, 80, None, 8),
        // The last does not, with or without; and written, the fields would cost one of the others.
        (1000, 9, 80, None, 8),
        (1000, 10, 80, None, 8),
        (1000, 3, 250, None, 2),
        // The area is small, and the fields are beside it.
        (576, 4, 80, Some(vec![1]), 4),
    ] {
        let (mut bench, draft) = eights(count, length);
        let offer = bench.send(&draft.option(57, &u16::to_be_bytes(max_size)));
        let file = offer.answer().file.as_ref();
        let file = file.map(|file| &file[..=file.iter().rposition(|octet| *octet == 255).unwrap_or(0)]);
        let in_file = file.map(options).unwrap_or_default().into_iter().map(|(code, _)| code);
        let there = offer.codes().into_iter().chain(in_file).filter(|code| *code >= 224).count();
        assert_eq!((offer.option(52), there), (overload, kept), "{max_size} {count} {length}");
    }
}

/// RFC 8357 §5: a relay that says by sub-option 19 that it does not send from port 67 is answered at the port it sent from, whatever
/// the answer is, and gets the sub-option back; any other at port 67 (RFC 2131 §4.1).
#[test]
fn a_relay_is_answered_where_it_sends_from_if_it_says_so() {
    let mut bench = Bench::new(vec![relayed_subnet()]);
    for (said, port) in [(&b"\x01\x02ab\x13\0"[..], [0, 68]), (b"\x01\x02ab", [0, 67])] {
        let by = |draft: Draft| draft.via(RELAY).option(82, said);
        for draft in [by(Draft::discover(1)), by(Draft::reboot(1, host(10)))] {
            let Response::Reply(reply) = bench.send(&draft) else { panic!("no reply to {draft:?}") };
            let frame = crate::datapath::frames::frame::write(&draft.request(1), &reply, [2; 6]);
            let frame = frame.expect("a frame");
            assert_eq!((frame[30..34].to_vec(), &frame[36..38]), (RELAY.octets().to_vec(), &port[..]));
        }
        assert_eq!(bench.send(&by(Draft::discover(1))).option(82), Some(said.to_vec()));
    }
}

/// The longest value that the configuration takes comes whole to who takes a datagram that long.
#[test]
fn the_longest_option_that_can_be_configured_can_be_told() {
    let mut long = subnet(10, 20);
    long.options.0.insert(224, vec![7; 640]);
    let mut bench = Bench::new(vec![long]);
    let draft = Draft::discover(1).option(55, &[1, 3, 224]).option(57, &1500u16.to_be_bytes()).id(&[7; 20]);
    let offer = bench.send(&draft);
    let parts = options(&offer.answer().options).into_iter().filter(|(code, _)| *code == 224);
    assert_eq!(parts.map(|(_, part)| part.len()).sum::<usize>(), 640);
}

/// What a client must have comes first, even where the operator's texts and the client's own fill the rest.
#[test]
fn there_is_an_answer_however_little_room_there_is() {
    let mut boots = wordy();
    boots.boot.file = Some("f".repeat(127));
    boots.boot.server_name = Some("s".repeat(63));
    boots.options.0.insert(3, [192, 0, 2, 1].repeat(30));
    let mut bench = Bench::new(vec![boots]);
    let draft = greedy(576).address(118, host(0)).option(60, b"PXEClient").option(97, &[0; 17]);
    let draft =
        Draft { options: draft.options.into_iter().filter(|(code, _)| *code != 61).collect(), ..draft };
    for draft in [draft.clone().id(&[7; 255]), draft.id(&[7; 200])] {
        let offer = bench.send(&draft);
        assert!(offer.offered().is_some());
        assert!(offer.codes().ends_with(&[118, 61]) && offer.answer().options.len() <= 308);
        assert!(offer.codes().contains(&1), "the mask");
        let Response::Reply(reply) = &offer else { panic!("no reply") };
        assert!(crate::datapath::frames::frame::write(&draft.request(1), reply, [2; 6]).is_some());
    }
}

/// RFC 3396 §4, MUST (split): an option of more than 255 octets is split.
/// RFC 3396 §6, MUST (lengths, in-order): all of it comes, from first to last.
#[test]
fn long_options_are_split() {
    let mut wordy = subnet(10, 20);
    wordy.options.0.insert(119, vec![7; 300]);
    let mut bench = Bench::new(vec![wordy]);
    let offer = bench.send(&Draft::discover(1).option(55, &[119]).option(57, &1500u16.to_be_bytes()));
    let lengths: Vec<_> = options(&offer.answer().options)
        .into_iter()
        .filter(|(code, _)| *code == 119)
        .map(|(_, v)| v.len())
        .collect();
    assert_eq!(lengths, [255, 45]);
}

/// RFC 5107 §4, MUST (override): the server identifier is what the relay says.
/// RFC 5107 §4, stated (accept): by it we are selected.
#[test]
fn the_relay_may_have_us_pose_as_itself() {
    let mut bench = Bench::new(vec![relayed_subnet()]);
    let overridden =
        |draft: Draft| draft.via(RELAY).option(82, &[&[11, 4], RELAY.octets().as_slice()].concat());
    let offer = bench.send(&overridden(Draft::discover(1)));
    assert_eq!(offer.option(54), Some(RELAY.octets().to_vec()));
    let address = offer.offered().expect("an offer");
    let ack = bench.send(&overridden(Draft::select(1, RELAY, address)));
    assert_eq!((ack.acked(), ack.option(54)), (Some(address), Some(RELAY.octets().to_vec())));
    assert_eq!(bench.published[0].server, SERVER);
}

/// RFC 3527 §3, MUST (on-link): link selection goes before giaddr.
/// RFC 3011 §2, MUST NOT (on-subnet): option 118 is honoured.
/// RFC 3011 §2, MUST (copy): it comes back.
#[test]
fn the_link_is_what_the_relay_selects() {
    let mut bench = Bench::new(vec![subnet(10, 20), relayed_subnet()]);
    let other = Draft::discover(1).via(RELAY).option(82, &[5, 4, 192, 0, 2, 0]);
    assert_eq!(bench.send(&other).offered(), Some(host(10)));
    let chosen = Draft::discover(2).address(118, host(0)).via(RELAY);
    let offer = bench.send(&chosen);
    assert_eq!((offer.offered(), offer.option(118)), (Some(host(11)), Some(host(0).octets().to_vec())));
    // Said twice, it counts once; what contradicts itself says nothing. All of it comes back.
    let twice = [5, 4, 192, 0, 2, 0, 5, 4, 192, 0, 2, 0];
    let contradiction = [5, 4, 192, 0, 2, 0, 5, 4, 10, 9, 0, 0, 5, 4, 192, 0, 2, 0];
    for (mac, said, net) in [(4, &twice[..], 192), (5, &contradiction[..], 10)] {
        let offer = bench.send(&Draft::discover(mac).via(RELAY).option(82, said));
        assert_eq!(offer.offered().map(|address| address.octets()[0]), Some(net));
        assert_eq!(offer.option(82), Some(said.to_vec()));
    }
    let stranger = Draft::discover(3).via(Ipv4Addr::new(172, 16, 0, 1)).option(82, &[5, 4, 192, 0, 2, 0]);
    assert_eq!(bench.send(&stranger), Response::Silence(Silence::NoSubnet), "a relay nobody vouches for");
}
