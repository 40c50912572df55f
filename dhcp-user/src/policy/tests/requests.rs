//! DHCPREQUEST: RFC 2131 §4.3.2, state by state, and what is answered by silence.

use std::net::Ipv4Addr;

use super::wire::{Draft, SERVER};
use super::*;

/// RFC 2131 §3.1, stated (commit-first): the selected server commits the binding before it answers with an ACK.
#[test]
fn a_client_gets_what_it_was_offered() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    assert_eq!(address, host(10));
    assert_eq!(bench.state(address), State::Leased);
    assert!(bench.words.load(address).holds(BootSecs(bench.now)));
    assert_eq!(bench.happened(address), [Happened::Granted]);
}

/// RFC 2131 §3.1, SHOULD (cannot-satisfy): a selected server that can't satisfy the REQUEST answers with a NAK.
/// RFC 2131 §3.5, SHOULD (invalid-address): also to a REQUEST for what nobody could have.
#[test]
fn selecting_an_address_that_another_has_gets_a_nak() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    assert!(bench.send(&Draft::select(2, SERVER, address)).is_nak());
    assert!(bench.send(&Draft::select(2, SERVER, Ipv4Addr::new(10, 0, 0, 1))).is_nak());
}

#[test]
fn selecting_without_a_remembered_offer_is_granted_while_the_address_is_free() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let offered = bench.send(&Draft::discover(1)).offered().expect("an offer");
    bench.restart(true);
    assert_eq!(bench.send(&Draft::select(1, SERVER, offered)).acked(), Some(offered));
}

/// RFC 2131 §4.3.2, table 4: option 54 is there in SELECTING alone. `ciaddr` is to be zero then; some fill it in.
#[test]
fn a_selecting_client_may_fill_in_ciaddr() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    for (mac, unicast, both) in [(1, false, true), (2, false, false), (3, true, true), (4, true, false)] {
        let address = bench.send(&Draft::discover(mac)).offered().expect("an offer");
        let select = Draft { ciaddr: address, ..Draft::new(3, mac).address(54, SERVER) };
        let select = if both { select.address(50, address) } else { select };
        let select = if unicast { select.unicast(address) } else { select };
        assert_eq!(bench.send(&select).acked(), Some(address), "{select:?}");
        assert_eq!(bench.send(&select).acked(), Some(address), "repeated: {select:?}");
        assert_eq!(bench.happened(address)[0], Happened::Granted);
    }
    let offered = bench.send(&Draft::discover(9)).offered().expect("an offer");
    let taken = Draft { ciaddr: host(10), ..Draft::new(3, 9).address(54, SERVER) };
    assert!(bench.send(&taken).is_nak(), "another's");
    let elsewhere = Draft { ciaddr: offered, ..Draft::new(3, 9).address(54, host(2)) };
    assert_eq!(bench.send(&elsewhere), Response::Silence(Silence::OtherServer));
    let forged = Draft { ip_src: host(99), ..Draft::new(3, 9).address(54, SERVER) };
    let forged = Draft { ciaddr: host(15), ..forged };
    assert_eq!(bench.send(&forged), Response::Silence(Silence::SourceMismatch));
}

/// RFC 2131 §4.3.2: a RENEWING client names no server. Small stacks go on naming the one they have chosen.
#[test]
fn a_client_that_goes_on_naming_us_renews_its_lease() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    for draft in [Draft::renew(1, address), Draft::rebind(1, address)] {
        for draft in [draft.clone().address(54, SERVER), draft.address(50, address).address(54, SERVER)] {
            let before = bench.words.load(address).expiry();
            bench.now += 100;
            assert_eq!(bench.send(&draft).acked(), Some(address), "{draft:?}");
            assert_eq!(bench.words.load(address).expiry(), before.plus(100));
            assert_eq!(bench.words.load(address).generation(), 0, "the same lease goes on");
        }
    }
    let forged = Draft { ip_src: host(99), ..Draft::renew(1, address) }.address(54, SERVER);
    assert_eq!(bench.send(&forged), Response::Silence(Silence::SourceMismatch));
    // One that has `address`, and takes the offer of another.
    let other = Draft::new(3, 1).address(54, SERVER).address(50, host(15));
    let other = Draft { ciaddr: address, ..other };
    assert_eq!(bench.send(&other).acked(), Some(host(15)));
}

/// One half of a client's software names its identifier, the other doesn't: a boot loader's, and the system's.
#[test]
fn a_client_that_looks_for_servers_may_renew_meanwhile_without_its_identifier() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let offered = bench.send(&Draft::discover(1).id(b"\x01abc")).offered().expect("an offer");
    assert_eq!(bench.send(&Draft::select(1, SERVER, offered).id(b"\x01abc")).acked(), Some(offered));
    assert_eq!(bench.send(&Draft::discover(1).id(b"\x01abc")).offered(), Some(offered));
    for draft in [Draft::renew(1, offered), Draft::rebind(1, offered), Draft::reboot(1, offered)] {
        assert_eq!(bench.send(&draft).acked(), Some(offered), "{draft:?}");
    }
    let offered = bench.send(&Draft::discover(2)).offered().expect("an offer");
    assert!(bench.send(&Draft::renew(3, offered)).is_nak(), "offered to another");
}

/// RFC 2131 §4.1: a client that hears nothing repeats itself; it is told the same.
#[test]
fn a_retransmitted_request_is_answered_identically() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let wish = 300u32.to_be_bytes();
    let offered = bench.send(&Draft::discover(1).option(51, &wish)).offered().expect("an offer");
    let select = Draft::select(1, SERVER, offered);
    let first = bench.send(&select);
    assert_eq!(first.option(51), Some(wish.to_vec()));
    assert_eq!(bench.send(&select), first);
}

/// RFC 2131 §3.1, stated (not-selected): servers not selected by the REQUEST take it for the client's refusal of their offer.
#[test]
fn another_servers_client_frees_our_offer_in_the_same_step() {
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    assert_eq!(bench.send(&Draft::discover(1)).offered(), Some(host(10)));
    let elsewhere = Draft::select(1, host(2), host(77));
    assert_eq!(bench.send(&elsewhere), Response::Silence(Silence::OtherServer));
    assert_eq!(bench.state(host(10)), State::Free);
    assert_eq!(bench.send(&Draft::discover(2)).offered(), Some(host(10)));
}

#[test]
fn another_servers_client_keeps_the_lease_it_has_here() {
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    let address = bench.lease(1);
    bench.send(&Draft::discover(1));
    bench.send(&Draft::select(1, host(2), host(77)));
    assert_eq!(bench.state(address), State::Leased);
}

/// RFC 2131 §3.2, stated (reboot-ack): a client whose notion of its address is right gets an ACK.
#[test]
fn init_reboot_with_the_right_address_is_acked() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    bench.now += 10;
    assert_eq!(bench.send(&Draft::reboot(1, address)).acked(), Some(address));
    assert_eq!(bench.happened(address), [Happened::Granted, Happened::Renewed]);
}

/// RFC 2131 §4.3.2, SHOULD (reboot-wrong-net): a client in INIT-REBOOT that is on the wrong net gets a NAK.
/// RFC 2131 §3.2, SHOULD (invalid-nak): it has moved.
#[test]
fn init_reboot_of_another_network_gets_a_nak() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    assert!(bench.send(&Draft::reboot(1, Ipv4Addr::new(10, 1, 1, 1))).is_nak());
}

/// RFC 2131 §4.3.2, MUST (reboot-unknown): of a client in INIT-REBOOT that the server has no record of, it says nothing.
#[test]
fn init_reboot_of_an_unknown_client_gets_silence() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let offered = bench.send(&Draft::discover(1)).offered().expect("an offer");
    for address in [host(15), host(200), offered] {
        let outcome = bench.send(&Draft::reboot(2, address));
        assert_eq!(outcome, Response::Silence(Silence::UnknownClient), "{address}");
    }
}

/// RFC 2131 §4.3.2 has silence in INIT-REBOOT for a server without a record. Where our record has the address as another
/// client's by now, or a host's, nobody can have given it to this one: it learns so, as it does in RENEWING and REBINDING.
#[test]
fn init_reboot_for_an_address_that_is_anothers_by_now_gets_a_nak() {
    for authoritative in [true, false] {
        let with = |reservation| Subnet { authoritative, reservations: vec![reservation], ..subnet(10, 10) };
        let mut bench = Bench::new(vec![with(reserved(9, host(70)))]);
        let told = |response: Response| match authoritative {
            true => response.is_nak(),
            false => response == Response::Silence(Silence::NotAuthoritative),
        };
        let address = bench.lease(1);
        assert_eq!(bench.send(&Draft::release(1, address)), Response::Done);
        assert_eq!(bench.send(&Draft::reboot(1, address)).acked(), Some(address), "nobody has it since");
        assert_eq!(bench.send(&Draft::release(1, address)), Response::Done);
        assert_eq!(bench.lease(2), address);
        assert!(told(bench.send(&Draft::reboot(1, address))));
        assert!(told(bench.send(&Draft::reboot(3, address))), "whoever it is");
        assert!(told(bench.send(&Draft::reboot(1, host(70)))), "reserved for another");
        assert_eq!(bench.send(&Draft::reboot(9, host(70))).acked(), Some(host(70)));
        assert_eq!(bench.send(&Draft::reboot(2, address)).acked(), Some(address), "it has that");
        // Its promise goes on, though the lease has ended.
        bench.reload(vec![with(reserved(8, address))]);
        assert!(told(bench.send(&Draft::reboot(1, address))));
        assert!(told(bench.send(&Draft::reboot(2, address))));
    }
}

/// A NAK is a broadcast, and anybody can cause one in anybody's name: those to strangers are limited, whatever they ask.
#[test]
fn naks_to_strangers_are_limited_in_init_reboot_too() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let count = |bench: &mut Bench| {
        let naks = (0..150).filter(|_| bench.send(&Draft::reboot(2, address)).is_nak());
        naks.count()
    };
    assert_eq!(count(&mut bench), 100);
    assert_eq!(bench.send(&Draft::reboot(2, address)), Response::Silence(Silence::NakLimited));
    bench.now += 1;
    assert_eq!(count(&mut bench), 100);
}

/// RFC 2131 §4.3.2, SHOULD (reboot-wrong-address): a client in INIT-REBOOT whose notion of its address is wrong gets a NAK.
#[test]
fn init_reboot_with_a_wrong_address_of_a_known_client_gets_a_nak() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    bench.lease(1);
    assert!(bench.send(&Draft::reboot(1, host(15))).is_nak());
}

/// RFC 2131 §4.3.2: option 50 is there in INIT-REBOOT.
#[test]
fn init_reboot_without_an_address_gets_silence() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    assert_eq!(bench.send(&Draft::new(3, 1)), Response::Silence(Silence::NoAddress));
}

/// RFC 2131 §4.3.2, stated (renewing-ciaddr, renewing-ack): the server trusts ciaddr, and extends the lease.
#[test]
fn renewing_extends_the_lease() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let before = bench.words.load(address).expiry();
    bench.now += LEASE_TIME / 2;
    assert_eq!(bench.send(&Draft::renew(1, address)).acked(), Some(address));
    assert_eq!(bench.words.load(address).expiry(), before.plus(LEASE_TIME / 2));
    assert_eq!(bench.words.load(address).generation(), 0, "the kernel's memos stay");
}

#[test]
fn renewing_without_a_binding_gets_a_nak() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    for address in [host(15), host(200)] {
        assert!(bench.send(&Draft::renew(1, address)).is_nak(), "{address}");
    }
}

#[test]
fn renewing_another_clients_lease_gets_a_nak() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let word = bench.words.load(address);
    assert!(bench.send(&Draft::renew(2, address)).is_nak());
    assert_eq!(bench.words.load(address), word);
}

#[test]
fn renewing_from_another_source_than_ciaddr_gets_silence() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let forged = Draft { ip_src: host(99), ..Draft::renew(1, address) };
    assert_eq!(bench.send(&forged), Response::Silence(Silence::SourceMismatch));
}

/// RFC 2131 §4.3.2, REBINDING: any server that knows the lease extends it.
#[test]
fn rebinding_extends_the_lease() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    bench.now += LEASE_TIME * 7 / 8;
    assert_eq!(bench.send(&Draft::rebind(1, address)).acked(), Some(address));
}

/// RFC 2131 §4.3.2, SHOULD (rebinding-check): ciaddr is checked.
#[test]
fn rebinding_without_a_binding_gets_a_nak_only_where_we_would_know() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    assert!(bench.send(&Draft::rebind(1, host(15))).is_nak(), "our own pool");
    assert!(bench.send(&Draft::rebind(1, Ipv4Addr::new(10, 1, 1, 1))).is_nak(), "another network");
    let others = bench.send(&Draft::rebind(1, host(200)));
    assert_eq!(others, Response::Silence(Silence::UnknownClient), "perhaps another server's");
}

#[test]
fn a_subnet_that_is_not_authoritative_gives_no_naks_but_to_its_own() {
    let quiet = Subnet { authoritative: false, ..subnet(10, 20) };
    let mut bench = Bench::new(vec![quiet]);
    let far = Ipv4Addr::new(10, 1, 1, 1);
    for draft in
        [Draft::reboot(1, far), Draft::renew(1, host(15)), Draft::rebind(1, far), Draft::rebind(1, host(15))]
    {
        assert_eq!(bench.send(&draft), Response::Silence(Silence::NotAuthoritative), "{draft:?}");
    }
    assert!(bench.send(&Draft::select(1, SERVER, far)).is_nak(), "it has chosen us");
}

#[test]
fn an_expired_lease_comes_back_to_its_owner_as_a_new_grant() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    bench.pass(LEASE_TIME + 2);
    assert_eq!(bench.state(address), State::Grace);
    let generation = bench.words.load(address).generation();
    assert_eq!(bench.send(&Draft::renew(1, address)).acked(), Some(address));
    assert_eq!(bench.words.load(address).generation(), generation);
    assert_eq!(bench.happened(address), [Happened::Granted, Happened::Expired, Happened::Granted]);
}

#[test]
fn a_client_that_omits_its_identifier_on_renewal_is_recognised() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let id = b"\x00me";
    let address = bench.send(&Draft::discover(1).id(id)).offered().expect("an offer");
    bench.send(&Draft::select(1, SERVER, address).id(id));
    assert_eq!(bench.send(&Draft::renew(1, address)).acked(), Some(address));
    let lease = bench.policy.lease(address).expect("a lease");
    assert_eq!(lease.client_id.as_deref(), Some(id.as_slice()), "and keeps it");
    assert_eq!(bench.send(&Draft::renew(1, address).id(id)).acked(), Some(address));
}

#[test]
fn a_client_that_omits_its_identifier_is_not_guessed_at_where_its_device_has_several_leases() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let mut addresses = Vec::new();
    for id in [b"\x00me", b"\x00it"] {
        let address = bench.send(&Draft::discover(1).id(id)).offered().expect("an offer");
        bench.send(&Draft::select(1, SERVER, address).id(id));
        addresses.push(address);
    }
    assert_ne!(addresses[0], addresses[1]);
    assert!(bench.send(&Draft::renew(1, addresses[0])).is_nak());
}

#[test]
fn a_lease_of_another_time_is_published_anew() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let (short, long) = (300u32.to_be_bytes(), 700u32.to_be_bytes());
    let address = bench.send(&Draft::discover(1).option(51, &short)).offered().expect("an offer");
    bench.send(&Draft::select(1, SERVER, address).option(51, &short));
    let renewed = bench.send(&Draft::renew(1, address).option(51, &long));
    assert_eq!(renewed.option(51), Some(long.to_vec()));
    assert_eq!(bench.words.load(address).generation(), 1, "the memos of the old time are void");
    bench.send(&Draft::discover(1).option(51, &long));
    let anew = bench.send(&Draft::select(1, SERVER, address).option(51, &long));
    assert_eq!(anew.option(51), Some(long.to_vec()));
    assert_eq!(bench.words.load(address).generation(), 1, "the memos of the old time are void");
}

/// RFC 2131 §4.3.1, SHOULD (fourth-choice): giaddr tells the subnet.
/// RFC 3046 §2.2, MUST NOT (not-expected): a direct renewal has no option 82.
#[test]
fn requests_through_a_relay_are_served_from_its_subnet() {
    let mut bench = Bench::new(vec![subnet(10, 20), relayed_subnet()]);
    let address = bench.send(&Draft::discover(1).via(RELAY)).offered().expect("an offer");
    assert_eq!(address, Ipv4Addr::new(10, 9, 0, 10));
    let ack = bench.send(&Draft::select(1, SERVER, address).via(RELAY).option(82, b"\x01\x02ab"));
    assert_eq!(ack.acked(), Some(address));
    assert_eq!(ack.codes().last(), Some(&82), "echoed last");
    // Renewing goes past the relay, through a router.
    assert_eq!(bench.send(&Draft::renew(1, address)).acked(), Some(address));
    let rebinding = Draft { ciaddr: address, ..Draft::new(3, 1) }.via(RELAY);
    assert_eq!(bench.send(&rebinding).acked(), Some(address));
}

/// RFC 3046 §2.2, SHOULD (unicast): option 82 is believed from relays only.
#[test]
fn who_is_served_nowhere_gets_silence() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let stranger = Draft::discover(1).via(Ipv4Addr::new(172, 16, 0, 1));
    assert_eq!(bench.send(&stranger), Response::Silence(Silence::NoSubnet));
    assert_eq!(bench.send(&Draft::discover(1).tagged(&[7])), Response::Silence(Silence::NoSubnet));
    assert_eq!(bench.send(&Draft::discover(1).via(SERVER)), Response::Silence(Silence::RelayIsUs));
}

#[test]
fn a_tagged_subnet_is_served_on_its_tags() {
    let tagged = Subnet {
        vlan: Vlan { outer: 200, inner: 100 },
        prefix: Prefix { network: Ipv4Addr::new(10, 2, 0, 0), len: 24 },
        pools: vec![Pool { first: Ipv4Addr::new(10, 2, 0, 10), last: Ipv4Addr::new(10, 2, 0, 20) }.into()],
        server_id: Some(Ipv4Addr::new(10, 2, 0, 1)),
        ..subnet(0, 0)
    };
    let mut bench = Bench::new(vec![subnet(10, 20), tagged]);
    let offer = bench.send(&Draft::discover(1).tagged(&[200, 100]));
    assert_eq!(offer.offered(), Some(Ipv4Addr::new(10, 2, 0, 10)));
    assert_eq!(offer.option(54), Some(vec![10, 2, 0, 1]));
    assert_eq!(bench.send(&Draft::discover(2)).offered(), Some(host(10)));
}

/// RFC 3011 §2 has the address of the subnet that option 118 names: who asks for another than that of its lease does not go on with
/// the lease, in any state. What its relay selects goes before (RFC 3527 §3).
#[test]
fn a_client_that_selects_another_subnet_does_not_go_on_with_its_lease() {
    let mut bench = Bench::new(vec![subnet(10, 20), relayed_subnet()]);
    let address = bench.lease(1);
    for draft in [Draft::renew(1, address), Draft::rebind(1, address), Draft::reboot(1, address)] {
        assert_eq!(bench.send(&draft.clone().address(118, host(0))).acked(), Some(address));
        assert!(bench.send(&draft.clone().address(118, RELAY)).is_nak(), "{draft:?}");
        let nowhere = draft.address(118, Ipv4Addr::new(10, 77, 0, 0));
        assert_eq!(bench.send(&nowhere), Response::Silence(Silence::NoSubnet), "not one of ours");
    }
    let by_relay = |draft: Draft| {
        let said = [&[5, 4][..], &host(0).octets()].concat();
        draft.address(118, RELAY).via(RELAY).option(82, &said)
    };
    let other = bench.send(&by_relay(Draft::discover(2))).offered().expect("an offer");
    assert_eq!(bench.send(&by_relay(Draft::select(2, SERVER, other))).acked(), Some(other));
    assert_eq!(other.octets()[..3], host(0).octets()[..3]);
    assert_eq!(bench.send(&Draft::renew(2, other).address(118, RELAY)).acked(), Some(other));
}

/// RFC 2131 §4.4.1, table 5, has `ciaddr` zero in DISCOVER. One that is filled in names no lease and no place to answer at: the OFFER
/// says zero (table 3), and goes where any OFFER goes.
#[test]
fn ciaddr_in_a_discover_says_nothing() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let taken = bench.lease(1);
    for ciaddr in [taken, host(15), Ipv4Addr::new(10, 77, 0, 9)] {
        let draft = Draft { ciaddr, ..Draft::discover(2) };
        let response = bench.send(&draft);
        assert_eq!(response.offered(), Some(host(11)), "{ciaddr}");
        let Response::Reply(reply) = response else { panic!("no reply") };
        let frame = crate::datapath::frames::frame::write(&draft.request(1), &reply, [2; 6]);
        let frame = frame.expect("a frame");
        assert_eq!((&frame[30..34], &frame[54..58]), (&host(11).octets()[..], &[0; 4][..]));
        assert_eq!(frame[..6], draft.mac, "its own station");
    }
}

/// Some stacks fill in zeros where they have nothing to say.
#[test]
fn an_address_of_zeros_names_none() {
    const NONE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
    let mut bench = Bench::new(vec![subnet(10, 12)]);
    let response = bench.send(&Draft::discover(1).address(50, NONE).address(54, NONE).address(118, NONE));
    let address = response.offered().expect("an offer");
    let filled = Draft { ciaddr: address, ..Draft::new(3, 1).address(54, SERVER).address(50, NONE) };
    assert_eq!(bench.send(&filled).acked(), Some(address));
    for draft in [Draft::renew(1, address), Draft::rebind(1, address), Draft::reboot(1, address)] {
        let zeros = draft.address(54, NONE).address(118, NONE);
        assert_eq!(bench.send(&zeros).acked(), Some(address), "{zeros:?}");
    }
    for draft in [Draft::renew(1, address), Draft::rebind(1, address)] {
        let zeros = draft.address(50, NONE);
        assert_eq!(bench.send(&zeros).acked(), Some(address), "{zeros:?}");
    }
    let nowhere = Draft::reboot(1, NONE);
    assert_eq!(bench.send(&nowhere), Response::Silence(Silence::NoAddress));
    let release = Draft::new(7, 1).unicast(address).address(54, NONE);
    assert_eq!((bench.send(&release), bench.state(address)), (Response::Done, State::Free));
}

/// Some stacks name their identifier in DISCOVER only, or in REQUEST only, against RFC 2131 §4.2. From where the offer was made,
/// the hardware address tells.
#[test]
fn an_identifier_in_one_message_of_an_exchange_only_does_no_harm() {
    for (first, second) in [(true, false), (false, true)] {
        let named = |draft: Draft, is_named: bool| if is_named { draft.id(b"\x00me") } else { draft };
        let mut bench = Bench::new(vec![subnet(10, 12)]);
        let address = bench.send(&named(Draft::discover(1), first)).offered().expect("an offer");
        let select = || named(Draft::select(1, SERVER, address), second);
        assert!(bench.send(&select().by(9)).is_nak(), "somebody else, in its name");
        assert_eq!(bench.send(&select()).acked(), Some(address), "{first}");
        assert_eq!(bench.send(&Draft::renew(1, address)).acked(), Some(address));
        assert_eq!(bench.send(&named(Draft::renew(1, address), true)).acked(), Some(address));
    }
}
