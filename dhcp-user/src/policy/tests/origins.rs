//! Where messages come from: what may be begun and ended from where.

use super::wire::{Draft, SERVER};
use super::*;

/// A station that is nobody's chaddr: a router, or somebody who poses as others.
const OTHER: u8 = 99;
const OTHER_RELAY: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const LISTED: Ipv4Addr = Ipv4Addr::new(172, 16, 0, 1);
const UNKNOWN_RELAY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

fn behind(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 9, 0, last)
}

fn bench() -> Bench {
    Bench::new(vec![subnet(10, 20), Subnet { relays: vec![LISTED], ..relayed_subnet() }])
}

/// A lease got through `relay`.
fn relayed_lease(bench: &mut Bench, mac: u8, relay: Ipv4Addr) -> Ipv4Addr {
    let address = bench.send(&Draft::discover(mac).via(relay)).offered().expect("an offer");
    let response = bench.send(&Draft::select(mac, SERVER, address).via(relay));
    assert_eq!(response.acked(), Some(address));
    address
}

fn refused(bench: &mut Bench, draft: &Draft, why: Silence) {
    assert_eq!(bench.send(draft), Response::Silence(why), "{draft:?}");
}

#[test]
fn nobody_ends_a_lease_from_elsewhere() {
    let mut bench = bench();
    let address = bench.lease(1);
    for relay in [UNKNOWN_RELAY, RELAY, LISTED, host(7)] {
        let why = if relay == UNKNOWN_RELAY { Silence::NoSubnet } else { Silence::ForeignOrigin };
        refused(&mut bench, &Draft::release(1, address).via(relay), why);
        refused(&mut bench, &Draft::decline(1, address).via(relay), why);
    }
    refused(&mut bench, &Draft::release(1, address).by(OTHER), Silence::ForeignOrigin);
    refused(&mut bench, &Draft::decline(1, address).by(OTHER), Silence::ForeignOrigin);
    assert_eq!(bench.state(address), State::Leased);
    assert_eq!(bench.send(&Draft::release(1, address)), Response::Done);
    assert_eq!(bench.state(address), State::Free);
}

/// A client behind a relay unicasts its RELEASE past it, and broadcasts its DECLINE, which the relay brings.
#[test]
fn a_relayed_lease_is_ended_from_behind_its_relay() {
    let mut bench = bench();
    for (got, by, ends) in
        [(RELAY, RELAY, true), (RELAY, LISTED, true), (LISTED, RELAY, false), (RELAY, OTHER_RELAY, false)]
    {
        let address = relayed_lease(&mut bench, 1, got);
        let response = bench.send(&Draft::decline(1, address).via(by));
        let expected = if ends { Response::Done } else { Response::Silence(Silence::ForeignOrigin) };
        assert_eq!(response, expected, "got through {got}, declined through {by}");
    }
    let address = relayed_lease(&mut bench, 2, RELAY);
    refused(&mut bench, &Draft::decline(2, address), Silence::ForeignOrigin);
    refused(&mut bench, &Draft { ip_src: host(7), ..Draft::release(2, address) }, Silence::SourceMismatch);
    assert_eq!(bench.send(&Draft::renew(2, address).by(OTHER)).acked(), Some(address), "past its relay");
    refused(&mut bench, &Draft::decline(2, address), Silence::ForeignOrigin);
    assert_eq!(bench.send(&Draft::release(2, address).by(OTHER)), Response::Done);
}

#[test]
fn what_a_relay_says_of_the_circuit_must_not_differ() {
    let mut bench = bench();
    let on = |draft: Draft, port: u8| draft.via(RELAY).option(82, &[1, 1, port]);
    let address = bench.send(&on(Draft::discover(1), 1)).offered().expect("an offer");
    refused(&mut bench, &on(Draft::decline(1, address), 2), Silence::ForeignOrigin);
    assert_eq!(bench.send(&on(Draft::select(1, SERVER, address), 1)).acked(), Some(address));
    refused(&mut bench, &on(Draft::decline(1, address), 2), Silence::ForeignOrigin);
    assert_eq!(bench.send(&on(Draft::decline(1, address), 1)), Response::Done);
}

/// Where a lease is known to be changes by a message that goes on with it or takes an offer, not by a DISCOVER: who asks for an
/// address in a client's name, on another port, can't end what that has.
#[test]
fn a_discover_on_another_circuit_does_not_move_the_lease() {
    let mut bench = bench();
    let on = |draft: Draft, port: u8| draft.via(RELAY).option(82, &[1, 1, port]);
    let address = bench.send(&on(Draft::discover(1), 1)).offered().expect("an offer");
    assert_eq!(bench.send(&on(Draft::select(1, SERVER, address), 1)).acked(), Some(address));
    bench.now += 5;
    assert_eq!(bench.send(&on(Draft::discover(1), 2)).offered(), Some(address));
    for ends in
        [Draft::decline(1, address), Draft { ciaddr: address, ..Draft::new(7, 1).address(54, SERVER) }]
    {
        refused(&mut bench, &on(ends.clone(), 2), Silence::ForeignOrigin);
        assert_eq!(bench.state(address), State::Leased, "{ends:?}");
    }
    assert_eq!(bench.policy.lease(address).expect("a lease").agent_info.as_deref(), Some(&[1, 1, 1][..]));
    assert_eq!(bench.send(&on(Draft::decline(1, address), 1)), Response::Done);
}

#[test]
fn an_offer_is_given_up_only_from_where_it_was_asked_for() {
    let mut bench = bench();
    let address = bench.send(&Draft::discover(1)).offered().expect("an offer");
    refused(&mut bench, &Draft::decline(1, address).by(OTHER), Silence::ForeignOrigin);
    let elsewhere = Draft::select(1, host(2), host(7));
    refused(&mut bench, &elsewhere.clone().by(OTHER), Silence::OtherServer);
    assert_eq!(bench.state(address), State::Offered);
    refused(&mut bench, &elsewhere, Silence::OtherServer);
    assert_eq!(bench.state(address), State::Free);
}

/// A bridge that puts its own hardware address into frames stands for its hosts.
#[test]
fn a_lease_is_ended_by_the_station_that_got_it() {
    let mut bench = bench();
    let address = bench.send(&Draft::discover(1).by(OTHER)).offered().expect("an offer");
    assert_eq!(bench.send(&Draft::select(1, SERVER, address).by(OTHER)).acked(), Some(address));
    refused(&mut bench, &Draft::release(1, address).by(98), Silence::ForeignOrigin);
    assert_eq!(bench.send(&Draft::release(1, address).by(OTHER)), Response::Done);
    let address = bench.send(&Draft::discover(1).by(OTHER)).offered().expect("an offer");
    assert_eq!(bench.send(&Draft::select(1, SERVER, address).by(OTHER)).acked(), Some(address));
    assert_eq!(bench.send(&Draft::rebind(1, address)).acked(), Some(address), "the device itself takes over");
    refused(&mut bench, &Draft::decline(1, address).by(OTHER), Silence::ForeignOrigin);
    assert_eq!(bench.send(&Draft::rebind(1, address).by(OTHER)).acked(), Some(address));
    refused(&mut bench, &Draft::decline(1, address).by(OTHER), Silence::ForeignOrigin);
    let subnets = bench.config.subnets.clone();
    bench.reload(subnets);
    assert_eq!(bench.send(&Draft::decline(1, address)), Response::Done);
}

/// Four leases, or four offers, in a device's name, by somebody on another port of the switch.
#[test]
fn what_another_got_in_a_devices_name_does_not_count_against_it() {
    let mut bench = bench();
    let id = |draft: Draft, n: u8| draft.id(&[0, n]);
    for n in 1..=8 {
        let response = bench.send(&id(Draft::discover(1), n).by(OTHER));
        assert_eq!(response.offered().is_some(), n <= 4, "{n}");
        if let Some(address) = response.offered().filter(|_| n <= 2) {
            let response = bench.send(&id(Draft::select(1, SERVER, address), n).by(OTHER));
            assert_eq!(response.acked(), Some(address));
        }
    }
    let own = bench.lease(1);
    // What omits its identifier is known by its hardware address still.
    let named = bench.send(&id(Draft::discover(1), 77)).offered().expect("an offer");
    assert_eq!(bench.send(&id(Draft::select(1, SERVER, named), 77)).acked(), Some(named));
    assert_eq!(bench.send(&Draft::release(1, own)), Response::Done);
    assert_eq!(bench.send(&Draft::renew(1, named)).acked(), Some(named));
}

/// RFC 2131 §4.3.2, RFC 1812 §5.3.7: what a router forwards has an address, and goes on with a lease of it or with none.
#[test]
fn nothing_is_begun_by_routed_unicast() {
    let mut bench = bench();
    let far = behind(50);
    let routed = |draft: Draft, source: Ipv4Addr| {
        let ciaddr = draft.ciaddr;
        Draft { ciaddr, ..draft.unicast(source) }.by(OTHER)
    };
    for source in [far, host(50), Ipv4Addr::new(203, 0, 113, 9)] {
        for draft in [
            Draft::discover(1),
            Draft::select(1, SERVER, host(12)),
            Draft::reboot(1, host(12)),
            Draft::decline(1, host(12)),
        ] {
            refused(&mut bench, &routed(draft, source), Silence::NotOnLink);
        }
    }
    let posing = Draft::discover(1).unicast(far).by(OTHER);
    refused(&mut bench, &posing, Silence::NotOnLink);
    // With its address in it a REQUEST that names us may be a small client's renewal; it begins no lease.
    let renewing = Draft::renew(1, behind(12)).address(54, SERVER).address(50, behind(12)).by(OTHER);
    assert!(bench.send(&renewing).is_nak());
    assert_eq!(bench.state(behind(12)), State::Free);
}

/// A NAK is broadcast, and whoever sends RENEWINGs from far would have us broadcast as many as it likes.
#[test]
fn so_many_naks_a_second_are_drawn_by_unicast_from_far_and_no_more() {
    let mut bench = bench();
    for _ in 0..2 {
        let mut naks = 0;
        for n in 0..50 {
            let renew = Draft { xid: n, ..Draft::renew(1, behind(12)) }.by(OTHER);
            match bench.send(&renew) {
                response if response.is_nak() => naks += 1,
                response => assert_eq!(response, Response::Silence(Silence::NakLimited)),
            }
        }
        assert_eq!(naks, 10);
        assert!(
            bench.send(&Draft::renew(2, host(12))).is_nak(),
            "those on the link have a share of their own"
        );
        bench.now += 1;
    }
}

/// RFC 2131 §4.4.4: a client that knows its server may unicast to it.
#[test]
fn a_client_on_the_link_may_unicast() {
    let mut bench = bench();
    let to_us = |draft: Draft| Draft { ip_dst: SERVER, eth_dst: [2, 0, 0, 0, 0, 0xfe], ..draft };
    let address = bench.send(&to_us(Draft::discover(1))).offered().expect("an offer");
    assert_eq!(bench.send(&to_us(Draft::select(1, SERVER, address))).acked(), Some(address));
    let from = |draft: Draft| Draft { ip_src: address, ..to_us(draft) };
    assert_eq!(bench.send(&from(Draft::discover(1))).offered(), Some(address));
    assert_eq!(bench.send(&from(Draft::reboot(1, address))).acked(), Some(address));
}

#[test]
fn a_client_is_no_relay() {
    let mut bench = bench();
    let leased = bench.lease(1);
    for (giaddr, source) in [(RELAY, leased), (leased, leased), (leased, RELAY), (RELAY, host(15))] {
        let draft = Draft { ip_src: source, ..Draft::discover(2).via(giaddr) };
        refused(&mut bench, &draft, Silence::RelaySource);
    }
    for source in [Ipv4Addr::UNSPECIFIED, SERVER] {
        let draft = Draft { ip_src: source, ..Draft::discover(2).via(RELAY) };
        refused(&mut bench, &draft, Silence::RelaySource);
    }
    // A relay may send from another address of its own than giaddr.
    let draft = Draft { ip_src: Ipv4Addr::new(203, 0, 113, 9), ..Draft::discover(2).via(RELAY) };
    assert!(bench.send(&draft).offered().is_some());
}

#[test]
fn who_has_our_address_is_not_heard() {
    let mut bench = bench();
    refused(&mut bench, &Draft { ip_src: SERVER, ..Draft::discover(1) }, Silence::SourceMismatch);
}

/// Classes and reservations by circuit, and option 82 of a switch that is no relay.
fn by_circuit(trust: bool) -> Bench {
    let port = |port: u8| vec![b'p', port];
    let reserved = Reservation {
        key: ReservationKey::Circuit { id: port(7), remote_id: None },
        address: Some(host(7)),
        host_name: None,
        classes: ClassSet::default(),
        overrides: Overrides::default(),
    };
    let mut config = subnet(10, 20);
    config.trust_agent_information = Some(trust);
    config.reservations = vec![reserved];
    Bench::new(vec![config])
}

/// RFC 3046 §2.2: option 82 comes back as it was.
#[test]
fn what_no_relay_says_is_echoed_and_believed_of_trusted_links_only() {
    let said = b"\x01\x02p\x07\x05\x04\x0a\x09\x00\x00\x0b\x04\x0a\x09\x00\x01".as_slice();
    for (trust, address) in [(false, host(10)), (true, host(7))] {
        let mut bench = by_circuit(trust);
        let by_switch = |draft: Draft| draft.option(82, said);
        let offer = bench.send(&by_switch(Draft::discover(1)));
        assert_eq!((offer.offered(), offer.option(82)), (Some(address), Some(said.to_vec())));
        assert_eq!(offer.option(54), Some(SERVER.octets().to_vec()), "no switch has us pose as it");
        let ack = bench.send(&by_switch(Draft::select(1, SERVER, address)));
        assert_eq!((ack.acked(), ack.option(82)), (Some(address), Some(said.to_vec())));
        let memos = bench.published.last().expect("published").memos.clone();
        for draft in [Draft::renew(1, address), by_switch(Draft::renew(1, address))] {
            let foreseen = memos.iter().find(|memo| memo.question.options == draft.area());
            let response = bench.send(&draft);
            assert_eq!(response.acked(), Some(address), "{draft:?}");
            assert_eq!(foreseen.map(|memo| &memo.answer), Some(response.answer()), "{draft:?}");
        }
        let noted = bench.store[&address].agent_info.is_some();
        assert_eq!(noted, trust, "what is not believed is not kept");
        // What the kernel was told holds after a reload, too.
        let question = memos.iter().find(|memo| memo.question.options.contains(&82)).expect("with 82");
        let now = bench.policy.answer_to(address, &question.question).expect("known still");
        assert_eq!(now, question.answer);
    }
}

/// What is said of a subnet goes before what is said of the interface, in both directions; on a link with several subnets the
/// option is believed of none unless of all that say something.
#[test]
fn a_subnet_goes_before_its_interface_in_whom_it_believes() {
    let said = b"\x01\x02p\x07".as_slice();
    let (yes, no) = (Some(true), Some(false));
    for (interface, subnet, beside, believed) in [
        (true, None, None, true),
        (true, no, None, false),
        (true, no, yes, false),
        (true, yes, no, false),
        (true, None, no, false),
        (false, yes, None, true),
        (false, yes, no, false),
        (false, None, yes, true),
        (false, None, None, false),
    ] {
        let mut bench = by_circuit(false);
        bench.config.subnets[0].trust_agent_information = subnet;
        bench.config.subnets[0].shared_network = Some("floor".to_owned());
        bench.config.subnets.push(Subnet {
            trust_agent_information: beside,
            shared_network: Some("floor".to_owned()),
            ..relayed_subnet()
        });
        bench.config.interfaces = vec![crate::config::Interface {
            name: bench.interfaces[0].name.clone(),
            xdp: crate::config::XdpMode::Off,
            probe: None,
            rate_limit: None,
            circuit_rate_limit: None,
            trust_agent_information: interface,
        }];
        bench.restart(true);
        let offer = bench.send(&Draft::discover(1).option(82, said));
        assert_eq!(offer.offered() == Some(host(7)), believed, "{interface} {subnet:?} {beside:?}");
        assert_eq!(offer.option(82), Some(said.to_vec()), "echoed all the same");
    }
}

/// A renewal that passes its relay by, and carries option 82 of a switch on its way.
#[test]
fn what_a_switch_adds_to_a_renewal_past_the_relay_is_echoed() {
    let mut bench = bench();
    let on = |draft: Draft| draft.via(RELAY).option(82, b"\x01\x02p\x07");
    let address = bench.send(&on(Draft::discover(1))).offered().expect("an offer");
    assert_eq!(bench.send(&on(Draft::select(1, SERVER, address))).acked(), Some(address));
    let renewed = bench.send(&Draft::renew(1, address).by(OTHER).option(82, b"\x01\x02q\x08"));
    assert_eq!((renewed.acked(), renewed.option(82)), (Some(address), Some(b"\x01\x02q\x08".to_vec())));
    assert_eq!(bench.store[&address].agent_info.as_deref(), Some(b"\x01\x02p\x07".as_slice()));
}

/// Cloned machines with one identifier: what one of them was offered of another's lease is all that it can decline.
#[test]
fn who_was_offered_anothers_lease_declines_no_more_than_the_offer() {
    let id = |draft: Draft| draft.id(&[255, 7]);
    for (mac, station) in [(2, 2), (1, OTHER)] {
        for running in [true, false] {
            let mut bench = bench();
            let address = bench.send(&id(Draft::discover(1))).offered().expect("an offer");
            assert_eq!(bench.send(&id(Draft::select(1, SERVER, address))).acked(), Some(address));
            if !running {
                let actions = bench.handle(Event::OperatorRelease { address, reuse: Reuse::WhenClean });
                bench.carry_out(actions);
            }
            let before = (bench.state(address), bench.words.load(address));
            assert_eq!(before.0, if running { State::Leased } else { State::Grace });
            // The last of them by a device that is believed no more.
            for _ in 0..6 {
                assert_eq!(bench.send(&id(Draft::discover(mac)).by(station)).offered(), Some(address));
                refused(&mut bench, &id(Draft::decline(mac, address)).by(station), Silence::ForeignOrigin);
                assert_eq!((bench.state(address), bench.words.load(address)), before);
            }
            if running {
                assert_eq!(bench.send(&id(Draft::renew(1, address))).acked(), Some(address));
                assert_eq!(bench.send(&id(Draft::decline(1, address))), Response::Done);
            }
        }
    }
}

/// A lease of a device behind a bridge, or of the device itself.
fn leased_by(bench: &mut Bench, station: u8) -> Ipv4Addr {
    let address = bench.send(&Draft::discover(1).by(station)).offered().expect("an offer");
    assert_eq!(bench.send(&Draft::select(1, SERVER, address).by(station)).acked(), Some(address));
    address
}

/// No record says which station got a lease.
#[test]
fn who_is_behind_a_bridge_ends_its_lease_after_a_restart_too() {
    for maps in [true, false] {
        for end in [Draft::release, Draft::decline] {
            let mut bench = bench();
            let address = leased_by(&mut bench, OTHER);
            bench.restart(maps);
            assert_eq!(bench.send(&end(1, address).by(OTHER)), Response::Done, "maps {maps}");
            assert_ne!(bench.state(address), State::Leased);
        }
    }
}

#[test]
fn the_first_renewal_after_a_restart_tells_the_station() {
    for renew in [Draft::rebind, Draft::renew] {
        for station in [OTHER, 1] {
            let mut bench = bench();
            let address = leased_by(&mut bench, station);
            bench.restart(true);
            assert_eq!(bench.send(&renew(1, address).by(station)).acked(), Some(address));
            let subnets = bench.config.subnets.clone();
            bench.reload(subnets);
            refused(&mut bench, &Draft::release(1, address).by(98), Silence::ForeignOrigin);
            refused(&mut bench, &Draft::decline(1, address).by(98), Silence::ForeignOrigin);
            assert_eq!(bench.send(&Draft::decline(1, address).by(station)), Response::Done);
        }
    }
}

/// A reload is no restart: what is not known yet stays so.
#[test]
fn a_reload_does_not_make_an_unknown_station_known() {
    let mut bench = bench();
    let address = leased_by(&mut bench, OTHER);
    bench.restart(true);
    let subnets = bench.config.subnets.clone();
    bench.reload(subnets);
    assert_eq!(bench.send(&Draft::release(1, address).by(OTHER)), Response::Done);
}

/// A portable device goes from its socket to behind a repeater.
#[test]
fn a_device_that_takes_an_offer_behind_a_bridge_ends_its_lease_from_there() {
    for end in [Draft::release, Draft::decline] {
        let mut bench = bench();
        let address = leased_by(&mut bench, 1);
        assert_eq!(leased_by(&mut bench, OTHER), address);
        refused(&mut bench, &end(1, address).by(98), Silence::ForeignOrigin);
        assert_eq!(bench.send(&end(1, address).by(OTHER)), Response::Done);
    }
    let mut bench = bench();
    let address = leased_by(&mut bench, 1);
    bench.pass(LEASE_TIME + 2);
    assert_eq!(bench.state(address), State::Grace);
    assert_eq!(bench.send(&Draft::reboot(1, address).by(OTHER)).acked(), Some(address), "a new lease");
    assert_eq!(bench.send(&Draft::decline(1, address).by(OTHER)), Response::Done);
}

/// Two relays, each by a link of its own, where no clients are: by which of them a message comes is nothing of the client's.
#[test]
fn a_lease_is_ended_by_whichever_uplink_its_relays_use() {
    let relays = vec![LISTED, OTHER_RELAY];
    let behind = |subnets: Vec<Subnet>| {
        let mut bench = Bench::new(subnets);
        let address = relayed_lease(&mut bench, 1, LISTED);
        (bench, address)
    };
    let served = Subnet { relays, ..relayed_subnet() };
    let decline = |address| Draft::decline(1, address).tagged(&[5]).via(OTHER_RELAY);
    let release = |address| Draft::release(1, address).tagged(&[5]).by(OTHER);
    for ends in [decline, release] {
        let (mut bench, address) = behind(vec![served.clone()]);
        assert_eq!(bench.send(&ends(address)), Response::Done);
        assert_ne!(bench.state(address), State::Leased);
    }
    // Where there are clients anybody may send what a relay would.
    for vlan in [0, 5] {
        let here = Subnet { vlan: Vlan { outer: vlan, inner: 0 }, ..subnet(10, 20) };
        let (mut bench, address) = behind(vec![here, served.clone()]);
        refused(&mut bench, &decline(address), Silence::ForeignOrigin);
        refused(&mut bench, &release(address), Silence::ForeignOrigin);
    }
}

const UPLINK: u32 = 77;

/// With a second interface, where nobody is but routers.
fn with_uplink(subnets: Vec<Subnet>) -> Bench {
    let mut bench = Bench::new(subnets);
    let uplink = Interface {
        name: "eth7".to_owned(),
        ifindex: UPLINK,
        mac: [7; 6],
        mtu: 1500,
        addresses: vec![Ipv4Addr::new(198, 51, 100, 7)],
    };
    bench.interfaces.push(uplink);
    bench.policy.relink(bench.interfaces.clone(), &[]);
    bench
}

/// A renewal needs no answer to have been heard: by one from elsewhere somebody could make himself the one to end the lease.
#[test]
fn what_goes_on_with_a_lease_elsewhere_is_answered_and_moves_nothing() {
    let mut bench = with_uplink(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let before = bench.published.last().expect("published").clone();
    for forged in [Draft::renew(1, address).by(OTHER), Draft::renew(1, address)] {
        let response = bench.send(&forged.on(UPLINK));
        assert_eq!((response.acked(), response.option(54)), (Some(address), Some(SERVER.octets().to_vec())));
        let now = bench.published.last().expect("published");
        assert_eq!((now.link, now.generation, now.memos.len()), (before.link, before.generation, 0));
        refused(&mut bench, &Draft::release(1, address).on(UPLINK), Silence::ForeignOrigin);
        refused(&mut bench, &Draft::release(1, address).by(OTHER).on(UPLINK), Silence::ForeignOrigin);
    }
    assert_eq!(bench.send(&Draft::release(1, address)), Response::Done);
}

#[test]
fn what_goes_on_with_a_relayed_lease_elsewhere_moves_nothing() {
    let mut bench = with_uplink(vec![subnet(10, 20), Subnet { relays: vec![LISTED], ..relayed_subnet() }]);
    let address = bench.send(&Draft::discover(1).via(LISTED).on(UPLINK)).offered().expect("an offer");
    let response = bench.send(&Draft::select(1, SERVER, address).via(LISTED).on(UPLINK));
    assert_eq!(response.acked(), Some(address));
    let renewal = Draft::renew(1, address).by(OTHER);
    let rebinding = Draft { ciaddr: address, ..Draft::new(3, 1) }.via(LISTED);
    let ends = [Draft::release(1, address).by(OTHER), Draft::decline(1, address).via(LISTED)];
    // Where clients are, one of them sends what a router or a relay would.
    for forged in [renewal, rebinding] {
        assert_eq!(bench.send(&forged).acked(), Some(address));
        for end in &ends {
            refused(&mut bench, end, Silence::ForeignOrigin);
        }
    }
    assert_eq!(bench.send(&ends[0].clone().on(UPLINK)), Response::Done);
}

/// A device that comes back on another link begins anew there, and ends its lease from there.
#[test]
fn what_begins_or_comes_back_elsewhere_is_there() {
    let mut bench = with_uplink(vec![subnet(10, 20)]);
    bench.interfaces[1].addresses.push(host(2));
    bench.policy.relink(bench.interfaces.clone(), &[]);
    let address = bench.lease(1);
    assert_eq!(bench.send(&Draft::reboot(1, address).on(UPLINK)).acked(), Some(address));
    refused(&mut bench, &Draft::release(1, address), Silence::ForeignOrigin);
    assert_eq!(bench.send(&Draft::discover(1)).offered(), Some(address));
    assert_eq!(bench.send(&Draft::select(1, SERVER, address)).acked(), Some(address));
    refused(&mut bench, &Draft::release(1, address).on(UPLINK), Silence::ForeignOrigin);
    assert_eq!(bench.send(&Draft::release(1, address)), Response::Done);
}

/// The operator takes a subnet to another interface, or an interface out: leases go along with the next renewal.
#[test]
fn a_lease_goes_along_when_its_subnet_does() {
    for is_taken_out in [false, true] {
        let mut bench = with_uplink(vec![subnet(10, 20)]);
        let address = bench.lease(1);
        bench.interfaces[0].addresses.clear();
        bench.interfaces[1].addresses = vec![SERVER];
        if is_taken_out {
            bench.interfaces.remove(0);
        }
        bench.policy.relink(bench.interfaces.clone(), &[]);
        assert_eq!(bench.send(&Draft::renew(1, address).on(UPLINK)).acked(), Some(address));
        assert_eq!(bench.policy.lease(address).expect("a lease").link.ifindex, UPLINK);
        assert_eq!(bench.send(&Draft::release(1, address).on(UPLINK)), Response::Done);
    }
}

/// Nobody on a link of ours talks to us by other tags than its subnet has.
#[test]
fn a_lease_of_a_link_is_not_renewed_by_other_tags() {
    let tagged = Subnet { vlan: Vlan { outer: 100, inner: 0 }, server_id: Some(SERVER), ..subnet(10, 20) };
    for (served, own, others) in
        [(subnet(10, 20), &[][..], [&[5][..], &[100, 5]]), (tagged.clone(), &[100], [&[], &[5]])]
    {
        let mut bench = with_uplink(vec![served]);
        let offered = bench.send(&Draft::discover(1).tagged(own)).offered().expect("an offer");
        let response = bench.send(&Draft::select(1, SERVER, offered).tagged(own));
        let address = response.acked().expect("a lease");
        for tags in others {
            for draft in [Draft::renew(1, address), Draft::release(1, address), Draft::inform(1, address)] {
                refused(&mut bench, &draft.tagged(tags), Silence::NoSubnet);
            }
        }
        assert_eq!(bench.send(&Draft::renew(1, address).tagged(own)).acked(), Some(address));
    }
    // By an address outside its subnet a client reaches us through a router, and that by its own link.
    let far = Ipv4Addr::new(198, 51, 100, 7);
    let named = Subnet { relays: vec![LISTED], server_id: Some(far), ..tagged };
    let mut bench = with_uplink(vec![named]);
    let offered = bench.send(&Draft::discover(1).via(LISTED)).offered().expect("an offer");
    assert_eq!(bench.send(&Draft::select(1, far, offered).via(LISTED)).acked(), Some(offered));
    assert_eq!(bench.send(&Draft::renew(1, offered).by(OTHER)).acked(), Some(offered));
}
