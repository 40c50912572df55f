//! What the RFCs ask of a server and no other test here shows.
//!
//! Above each test of a requirement, here and elsewhere, stands which one it is: RFC, section, strength.

use super::wire::{Draft, IFINDEX, SERVER};
use super::*;

/// RFC 2131 §4.2, MUST (client-id): the client identifier is the key, whatever the hardware address.
/// RFC 4361 §6.3, MUST (client-id): the same.
#[test]
fn who_a_client_is_its_identifier_tells() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let lease = |bench: &mut Bench, mac: u8, id: &[u8]| {
        let address = bench.send(&Draft::discover(mac).id(id)).offered().expect("an offer");
        bench.send(&Draft::select(mac, SERVER, address).id(id)).acked().expect("a lease")
    };
    let one = lease(&mut bench, 1, b"\x00one");
    assert_eq!(lease(&mut bench, 2, b"\x00one"), one, "another card, the same client");
    assert_ne!(lease(&mut bench, 1, b"\x00two"), one, "the same card, another client");
    assert!(
        !bench.words.load(one).alive() || bench.words.load(one).generation() > 0,
        "memos of the old card are void"
    );
}

/// RFC 2132 §9.14, SHOULD (opaque-id): identifiers are compared whole, those of type 255 (RFC 4361 §6.1) like any other.
#[test]
fn an_identifier_of_iaid_and_duid_is_one() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let id = |iaid: u8| [&[255, 0, 0, 0, iaid], b"\x00\x01duid".as_slice()].concat();
    let first = bench.send(&Draft::discover(1).id(&id(1))).offered();
    assert_ne!(bench.send(&Draft::discover(1).id(&id(2))).offered(), first);
}

/// RFC 2131 §4.2, MUST (chaddr): without an identifier, hardware type and address are the key.
#[test]
fn a_client_without_an_identifier_is_not_one_whose_identifier_spells_its_address() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let plain = bench.send(&Draft::discover(1)).offered();
    let spelt = bench.send(&Draft::discover(1).id(b"\x01\x02\x00\x00\x00\x01\x01")).offered();
    assert_ne!(plain, spelt);
}

/// RFC 2131 §4.1, MUST (any-address): any of the server's addresses is accepted as identifying it.
#[test]
fn any_address_of_ours_identifies_us() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let interface = Interface { addresses: vec![SERVER, host(2)], ..interfaces().remove(0) };
    bench.policy = Policy::new(&bench.config, vec![interface], 1);
    let offered = bench.send(&Draft::discover(1)).offered().expect("an offer");
    assert_eq!(bench.send(&Draft::select(1, host(2), offered)).acked(), Some(offered));
    let release = Draft::new(7, 1).unicast(offered).address(54, host(2));
    assert_eq!(bench.send(&release), Response::Done);
}

/// RFC 2131 §4.3.1, MUST NOT (t3-no-requested, t3-no-list, t3-no-max-size): of what the client says, OFFER and ACK carry
/// nothing but the identifier.
/// RFC 2131 §4.3.1, MUST NOT (not-configured): what is not configured is left out.
/// RFC 2131 §4.3.1, MUST (only-once): nothing comes twice.
#[test]
fn answers_do_not_repeat_the_question() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let asks = |draft: Draft| {
        draft
            .option(55, &[50, 55, 57, 61, 82, 53, 1, 3, 0, 255, 12, 60])
            .option(57, &[4, 0])
            .option(12, b"me")
            .option(60, b"x")
    };
    let offer = bench.send(&asks(Draft::discover(1)));
    assert_eq!(offer.codes(), [53, 54, 51, 58, 59, 1, 3]);
    let ack = bench.send(&asks(Draft::select(1, SERVER, host(10))));
    assert_eq!(ack.codes(), offer.codes());
}

/// RFC 6842 §3, MUST NOT (not-invented): an identifier that did not come is not invented.
#[test]
fn an_identifier_that_did_not_come_does_not_come_back() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let id = b"\x00me";
    let address = bench.send(&Draft::discover(1).id(id)).offered().expect("an offer");
    bench.send(&Draft::select(1, SERVER, address).id(id));
    let renewed = bench.send(&Draft::renew(1, address));
    assert_eq!((renewed.acked(), renewed.option(61)), (Some(address), None));
}

/// RFC 2131 §4.3.1, MUST (as-many): what there is no room for is left out, and nothing else.
#[test]
fn what_has_no_room_does_not_keep_the_rest_out() {
    let mut wordy = subnet(10, 20);
    wordy.options.0.insert(43, vec![1; 255]);
    wordy.options.0.insert(125, vec![2; 255]);
    wordy.options.0.insert(224, vec![3; 40]);
    wordy.boot.file = Some("pxe.bin".to_owned());
    wordy.boot.server_name = Some("boot".to_owned());
    let mut bench = Bench::new(vec![wordy]);
    let offer = bench.send(&Draft::discover(1).option(55, &[43, 125, 224, 3]));
    assert!(!offer.answer().complete);
    assert_eq!(offer.codes(), [53, 54, 51, 58, 59, 1, 43, 3]);
}

/// RFC 2132 §8.4, MUST (vendor-information): what only its vendor understands changes nothing.
/// RFC 2132 §9.13, MUST (vendor-class): nor does a class that the configuration does not know.
#[test]
fn what_is_not_understood_is_ignored() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let plain = bench.send(&Draft::discover(1));
    let vendors = Draft::discover(1).option(43, &[1, 99, 0, 255]).option(60, b"\xff\0%n");
    assert_eq!(bench.send(&vendors), plain);
}

/// RFC 3046 §3.1, SHOULD (circuit-opaque): a circuit is another if any octet is, or if there are more.
#[test]
fn circuits_are_compared_whole() {
    let address = Ipv4Addr::new(10, 9, 0, 5);
    let circuit = Reservation {
        key: ReservationKey::Circuit { id: b"ab".to_vec(), remote_id: None },
        ..reserved(0, address)
    };
    let mut bench = Bench::new(vec![Subnet { reservations: vec![circuit], ..relayed_subnet() }]);
    for (mac, id) in (1..).zip([b"aB".as_slice(), b"a", b"ab\0", b"abc"]) {
        let length = u8::try_from(id.len()).expect("short");
        let draft = Draft::discover(mac).via(RELAY).option(82, &[&[1, length], id].concat());
        assert_ne!(bench.send(&draft).offered(), Some(address), "{id:?}");
    }
    let draft = Draft::discover(9).via(RELAY).option(82, b"\x01\x02ab");
    assert_eq!(bench.send(&draft).offered(), Some(address));
}

/// RFC 2131 §4.3.1, SHOULD (t3-message): a NAK says why.
/// RFC 2131 §4.3.1, MUST NOT (t3-nak-no-more, t3-no-lease-time): it says no more.
#[test]
fn a_nak_has_no_parameters() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let nak = bench.send(&Draft::renew(1, host(15)).option(55, &[1, 3, 6]).address(118, host(0)));
    assert!(nak.is_nak());
    assert_eq!((nak.codes(), nak.answer().lease_time), (vec![53, 54, 56], 0));
}

/// RFC 2131 §4.3.2, stated (reboot-net-of-relay): behind a relay, the relay's network is what INIT-REBOOT is judged by.
#[test]
fn init_reboot_behind_a_relay_is_judged_by_its_network() {
    let mut bench = Bench::new(vec![subnet(10, 20), relayed_subnet()]);
    assert!(bench.send(&Draft::reboot(1, host(10)).via(RELAY)).is_nak());
    let unknown = bench.send(&Draft::reboot(1, Ipv4Addr::new(10, 9, 0, 10)).via(RELAY));
    assert_eq!(unknown, Response::Silence(Silence::UnknownClient));
    assert!(bench.send(&Draft::reboot(1, Ipv4Addr::new(10, 9, 0, 10))).is_nak(), "and a direct one by ours");
}

/// RFC 2131 §3.2, SHOULD NOT (uncertain-silence): servers that know nothing of each other do not disturb each other's
/// clients.
#[test]
fn a_client_that_went_over_to_another_server_is_left_alone() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let ours = bench.lease(1);
    let theirs = host(200);
    assert_eq!(bench.send(&Draft::reboot(1, theirs)), Response::Silence(Silence::UnknownClient));
    assert_eq!(bench.send(&Draft::rebind(1, theirs)), Response::Silence(Silence::UnknownClient));
    assert_eq!(bench.state(ours), State::Leased);
}

/// RFC 3046 §2.2, SHALL (no-room): if option 82 does not fit, the answer goes out without it, and nothing of it elsewhere.
#[test]
fn relay_information_that_does_not_fit_is_left_out() {
    let mut bench = Bench::new(vec![relayed_subnet()]);
    let long = [&[2, 240], [7; 240].as_slice()].concat();
    let draft = Draft::discover(1).id(&[9; 60]).via(RELAY);
    let with = bench.send(&draft.clone().option(82, &long[..]));
    assert_eq!((with.offered().is_some(), with.option(82)), (true, None));
    assert!(!with.answer().complete);
    let larger = bench.send(&draft.option(82, &long[..]).option(57, &1000u16.to_be_bytes()));
    assert_eq!(larger.option(82), Some(long));
}

/// RFC 3046 §2.2, SHALL NOT (not-overloaded): option 82 is never put into an overloaded field.
#[test]
fn relay_information_stays_in_the_option_area() {
    let mut wordy = relayed_subnet();
    wordy.options.0.insert(43, vec![1; 120]);
    wordy.options.0.insert(125, vec![2; 120]);
    let mut bench = Bench::new(vec![wordy]);
    let offer = bench.send(
        &Draft::discover(1)
            .option(55, &[43, 125])
            .option(82, &[[2, 60].as_slice(), &[7; 60]].concat())
            .via(RELAY),
    );
    assert_eq!((offer.option(52), offer.codes().last()), (Some(vec![1]), Some(&82)));
}

/// RFC 5010 §5, stated (unicast-bit): what the relay says of the client's packet tells RENEWING from REBINDING.
#[test]
fn the_relay_tells_renewing_from_rebinding() {
    let mut bench = Bench::new(vec![relayed_subnet()]);
    let stranger = Ipv4Addr::new(10, 9, 0, 200);
    let through = |flags: u8| {
        let draft = Draft { ciaddr: stranger, ..Draft::new(3, 1) };
        draft.option(82, &[10, 1, flags]).via(RELAY)
    };
    assert!(bench.send(&through(0x80)).is_nak(), "it was sent to us alone");
    assert_eq!(bench.send(&through(0)), Response::Silence(Silence::UnknownClient));
}

/// RFC 8925 §3.3, MUST NOT (only-if-asked): option 108 is for who asks for it.
/// RFC 8925 §3.3, stated (if-asked): who does, gets it.
/// RFC 8925 §3.3, SHOULD (no-address): and is offered 0.0.0.0.
/// RFC 8925 §3.3, SHOULD NOT (not-reserved): nothing is kept for it.
#[test]
fn ipv6_only_is_preferred_by_who_asks_for_it() {
    let mut six = subnet(10, 20);
    six.options.0.insert(108, vec![0, 0, 7, 8]);
    let mut bench = Bench::new(vec![six]);
    assert_eq!(bench.send(&Draft::discover(1)).option(108), None);
    assert_eq!(bench.send(&Draft::discover(2).option(55, &[1, 3])).option(108), None);
    let six = bench.send(&Draft::discover(3).option(55, &[108, 1, 3]));
    assert_eq!((six.option(108), six.offered()), (Some(vec![0, 0, 7, 8]), Some(Ipv4Addr::UNSPECIFIED)));
    assert_eq!(
        bench.send(&Draft::discover(4)).offered(),
        Some(host(12)),
        "two were offered an address before"
    );
    // Who asks for an address all the same, or has one, is served as ever.
    let address = bench.lease(3);
    let renewed = bench.send(&Draft::renew(3, address).option(55, &[108]));
    assert_eq!((renewed.acked(), renewed.option(108)), (Some(address), Some(vec![0, 0, 7, 8])));
    assert_eq!(bench.send(&Draft::discover(3).option(55, &[108])).offered(), Some(Ipv4Addr::UNSPECIFIED));
    assert_eq!(bench.state(address), State::Leased);
}

/// RFC 2131 §4.3.1: several subnets on one link (a shared network) serve as one.
#[test]
fn subnets_that_share_a_relay_serve_as_one() {
    let second = Subnet {
        prefix: Prefix { network: Ipv4Addr::new(10, 7, 0, 0), len: 24 },
        pools: vec![Pool { first: Ipv4Addr::new(10, 7, 0, 10), last: Ipv4Addr::new(10, 7, 0, 19) }.into()],
        relays: vec![RELAY],
        ..relayed_subnet()
    };
    let mut bench = Bench::new(vec![relayed_subnet(), second]);
    let addresses: Vec<_> = (1..=12)
        .map(|mac| {
            let address = bench.send(&Draft::discover(mac).via(RELAY)).offered().expect("an offer");
            bench.send(&Draft::select(mac, SERVER, address).via(RELAY)).acked().expect("a lease")
        })
        .collect();
    assert_eq!(addresses[9..11], [Ipv4Addr::new(10, 9, 0, 19), Ipv4Addr::new(10, 7, 0, 10)]);
    let rebind = Draft { ciaddr: addresses[11], ..Draft::new(3, 12) }.via(RELAY);
    let ack = bench.send(&rebind);
    assert_eq!((ack.acked(), ack.option(1)), (Some(addresses[11]), Some(vec![255, 255, 255, 0])));
}

/// RFC 2131 §4.3.2, stated (answers-offer): who selects names us and an address; one that names us and its own address renews.
#[test]
fn a_renewal_that_names_its_server_is_a_renewal() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let draft = Draft::renew(1, address).address(54, SERVER);
    assert_eq!(bench.send(&draft).acked(), Some(address));
    let memos = bench.published.pop().expect("published").memos;
    assert!(memos.iter().any(|memo| memo.question.options == draft.area()), "small stacks do so for ever");
    let elsewhere = Draft::renew(1, address).address(54, host(2));
    assert_eq!(bench.send(&elsewhere), Response::Silence(Silence::OtherServer));
}

/// A subnet is served where its interface is, and nowhere else.
#[test]
fn what_is_not_served_gets_silence() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let unknown = Draft { tags: vec![], ..Draft::discover(1) }.request(1);
    let elsewhere = Request {
        link: dhcp_ebpf::abi::Link { ifindex: IFINDEX + 1, outer: 0, inner: 0 },
        ..(*unknown).clone()
    };
    let actions = bench.handle(Event::Message(Arc::new(elsewhere)));
    assert_eq!(
        bench.carry_out(actions),
        [Response::Silence(Silence::NoSubnet)],
        "an interface we know nothing of"
    );
}
