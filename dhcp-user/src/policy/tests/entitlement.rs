//! Reservations that come to hold while somebody has a lease, and ports that change hands.

use super::wire::{Draft, SERVER};
use super::*;

fn with_reservation(mac: u8, last: u8) -> Vec<Subnet> {
    vec![Subnet { reservations: vec![reserved(mac, host(last))], ..subnet(10, 20) }]
}

/// The operator adds a reservation of another address: it holds from the client's next contact.
fn reserve_elsewhere(restart: bool) {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let basis = bench.published[0].basis;
    if restart {
        bench.config.subnets = with_reservation(1, 70);
        bench.restart(true);
    } else {
        bench.reload(with_reservation(1, 70));
    }
    let link = bench.published[0].link;
    assert_ne!(bench.policy.basis(address, link), Some(basis), "what the kernel knows is void");
    for draft in [Draft::renew(1, address), Draft::rebind(1, address), Draft::reboot(1, address)] {
        assert!(bench.send(&draft).is_nak(), "{draft:?}");
    }
    assert_eq!(bench.lease(1), host(70));
    assert_ne!(bench.lease(2), address, "what was promised is kept until it ends");
    assert_eq!(bench.send(&Draft::renew(1, host(70))).acked(), Some(host(70)));
}

#[test]
fn a_reservation_of_another_address_holds_from_the_next_contact_after_a_reload() {
    reserve_elsewhere(false);
}

#[test]
fn a_reservation_of_another_address_holds_from_the_next_contact_after_a_restart() {
    reserve_elsewhere(true);
}

/// Where a NAK may not be given, the client is not answered, and looks for an address when its lease has run out.
#[test]
fn a_reservation_elsewhere_is_met_by_silence_where_the_subnet_is_not_authoritative() {
    let quiet = |subnet| Subnet { authoritative: false, ..subnet };
    let mut bench = Bench::new(vec![quiet(subnet(10, 20))]);
    let address = bench.lease(1);
    bench.reload(with_reservation(1, 70).into_iter().map(quiet).collect());
    assert_eq!(bench.send(&Draft::renew(1, address)), Response::Silence(Silence::NotAuthoritative));
    assert_eq!(bench.send(&Draft::discover(1)).offered(), Some(host(70)));
}

/// An address that somebody was promised is not given to whom it is reserved for now: until then both keep what they have,
/// and the kernel is told nothing that would have to be taken back.
#[test]
fn a_reserved_address_is_waited_for_as_long_as_it_is_promised() {
    for restart in [false, true] {
        let mut bench = Bench::new(vec![subnet(10, 20)]);
        let (first, second) = (bench.lease(1), bench.lease(2));
        bench.config.subnets = vec![Subnet { reservations: vec![reserved(2, first)], ..subnet(10, 20) }];
        if restart {
            bench.restart(true);
        } else {
            bench.reload(bench.config.subnets.clone());
        }
        assert!(!bench.words.load(first).alive(), "it is not renewed any more");
        assert!(bench.send(&Draft::renew(1, first)).is_nak(), "and its owner learns of it");
        bench.published.clear();
        bench.now += 10;
        assert_eq!(bench.send(&Draft::renew(2, second)).acked(), Some(second));
        assert_eq!(bench.published.iter().map(|lease| lease.memos.len()).collect::<Vec<_>>(), [0]);
        assert_eq!(bench.send(&Draft::discover(2)).offered(), Some(second), "the other is promised still");
        bench.pass(LEASE_TIME - 5);
        assert!(bench.send(&Draft::renew(2, second)).is_nak());
        assert_eq!(bench.lease(2), first);
    }
}

/// Two clients whose reservations change places wait for each other's promise. That, not a small pool, is what to be told.
#[test]
fn a_client_whose_reserved_address_is_promised_to_another_is_not_sent_for_a_larger_pool() {
    let mut bench = Bench::new(vec![subnet(10, 11)]);
    let (first, second) = (bench.lease(1), bench.lease(2));
    let swapped = vec![reserved(1, second), reserved(2, first)];
    bench.reload(vec![Subnet { reservations: swapped, ..subnet(10, 11) }]);
    for mac in [1, 2] {
        assert_eq!(bench.send(&Draft::discover(mac)), Response::Silence(Silence::ReservationHeld));
    }
    assert_eq!(bench.send(&Draft::discover(3)), Response::Silence(Silence::Exhausted), "it has none");
    // Who gives its own back, or lets it run out, frees the other's way.
    bench.now += 1;
    assert_eq!(bench.send(&Draft::release(1, first)), Response::Done);
    assert_eq!(bench.lease(2), first);
    assert_eq!(bench.send(&Draft::discover(1)), Response::Silence(Silence::ReservationHeld));
    bench.pass(LEASE_TIME + 2);
    assert_eq!(bench.lease(1), second);
}

/// The former owner of an address that is reserved for another now learns of it whatever it asks, and may give the rest of its
/// promise back: then nobody waits for that.
#[test]
fn the_former_owner_of_a_reserved_address_is_told_and_can_give_it_back() {
    for restart in [false, true] {
        let mut bench = Bench::new(vec![subnet(10, 20)]);
        let first = bench.lease(1);
        bench.config.subnets = vec![Subnet { reservations: vec![reserved(2, first)], ..subnet(10, 20) }];
        if restart {
            bench.restart(true);
        } else {
            bench.reload(bench.config.subnets.clone());
        }
        for draft in [Draft::renew(1, first), Draft::rebind(1, first), Draft::reboot(1, first)] {
            assert!(bench.send(&draft).is_nak(), "{draft:?}");
        }
        bench.now += 2;
        let foreign = Draft::release(1, first).via(Ipv4Addr::new(192, 0, 2, 7));
        assert_eq!(bench.send(&foreign), Response::Silence(Silence::ForeignOrigin));
        assert_eq!(bench.send(&Draft::release(3, first)), Response::Silence(Silence::NotOwner));
        assert_ne!(bench.send(&Draft::discover(2)).offered(), Some(first), "it is promised still");
        assert_eq!(bench.send(&Draft::release(1, first)), Response::Done);
        assert_eq!(bench.state(first), State::Reserved);
        assert_eq!(bench.send(&Draft::release(1, first)), Response::Silence(Silence::NotOwner));
        assert_eq!(bench.lease(2), first);
    }
}

/// A device that holds several leases by several identifiers is not sent after its reservation with all of them.
#[test]
fn a_device_keeps_its_other_leases_while_it_has_its_reserved_address() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let lease = |bench: &mut Bench, id: &[u8]| {
        let address = bench.send(&Draft::discover(1).id(id)).offered().expect("an offer");
        assert_eq!(bench.send(&Draft::select(1, SERVER, address).id(id)).acked(), Some(address));
        address
    };
    let other = lease(&mut bench, b"\0other");
    bench.reload(with_reservation(1, 70));
    assert_eq!(lease(&mut bench, b"\0first"), host(70));
    assert_eq!(bench.send(&Draft::renew(1, other).id(b"\0other")).acked(), Some(other));
}

fn take(bench: &mut Bench, id: &[u8]) -> Ipv4Addr {
    let address = bench.send(&Draft::discover(1).id(id)).offered().expect("an offer");
    assert_eq!(bench.send(&Draft::select(1, SERVER, address).id(id)).acked(), Some(address));
    address
}

/// A boot loader and a system, or two systems, have an identifier each. The reservation by hardware address is for the device,
/// which has it at once by any; and no address has two owners: the one that lost it learns so when it renews.
#[test]
fn a_reserved_address_goes_to_the_identifier_that_its_device_comes_with() {
    const LOADER: &[u8] = b"\0loader";
    const SYSTEM: &[u8] = b"\0system";
    let mut bench = Bench::new(with_reservation(1, 70));
    assert_eq!(take(&mut bench, LOADER), host(70));
    let before = bench.words.load(host(70)).generation();
    assert_eq!(take(&mut bench, SYSTEM), host(70));
    assert_eq!(bench.words.load(host(70)).generation(), before + 1, "the kernel has nothing of the other's");
    let lease = bench.policy.lease(host(70)).expect("a lease");
    assert_eq!(lease.client_id.as_deref(), Some(SYSTEM));
    for draft in [Draft::renew(1, host(70)), Draft::rebind(1, host(70))] {
        assert!(bench.send(&draft.clone().id(LOADER)).is_nak(), "{draft:?}");
        assert_eq!(bench.send(&draft.id(SYSTEM)).acked(), Some(host(70)));
    }
    assert_eq!(bench.send(&Draft::release(1, host(70)).id(LOADER)), Response::Silence(Silence::NotOwner));
    // It starts again with the other.
    assert_eq!(bench.send(&Draft::reboot(1, host(70)).id(LOADER)).acked(), Some(host(70)));
    assert!(bench.send(&Draft::renew(1, host(70)).id(SYSTEM)).is_nak());
    assert_eq!(bench.send(&Draft::renew(1, host(70)).id(LOADER)).acked(), Some(host(70)));
}

/// The same while the other identifier has only been offered the address: a boot loader that goes on by itself leaves its offer.
#[test]
fn a_reserved_address_is_offered_to_the_identifier_that_its_device_comes_with() {
    let mut bench = Bench::new(with_reservation(1, 70));
    for id in [b"\0loader", b"\0system"] {
        assert_eq!(bench.send(&Draft::discover(1).id(id)).offered(), Some(host(70)));
    }
    assert_ne!(bench.send(&Draft::discover(2)).offered(), Some(host(70)), "another device");
    let select = Draft::select(1, SERVER, host(70));
    assert_eq!(bench.send(&select.clone().id(b"\0system")).acked(), Some(host(70)));
    assert_eq!(bench.state(host(70)), State::Leased);
    let line = |n: u8| [b"\x01RAS ".as_slice(), &[n]].concat();
    let mut bench = Bench::new(with_reservation(1, 70));
    assert_eq!(bench.send(&Draft::discover(1).id(&line(1))).offered(), Some(host(70)));
    assert_ne!(bench.send(&Draft::discover(1).id(&line(2))).offered(), Some(host(70)));
}

/// The lines of a remote access server are in use at once: each has an address of its own, and one of them the server's.
#[test]
fn the_lines_of_a_remote_access_server_do_not_share_its_reserved_address() {
    let line = |n: u8| [b"\x01RAS ".as_slice(), &[n]].concat();
    let mut bench = Bench::new(with_reservation(1, 70));
    assert_eq!(take(&mut bench, &line(1)), host(70));
    let second = take(&mut bench, &line(2));
    assert_ne!(second, host(70));
    assert!(bench.send(&Draft::select(1, SERVER, host(70)).id(&line(2))).is_nak());
    assert_ne!(take(&mut bench, &line(3)), host(70));
    assert_ne!(take(&mut bench, b"\0itself"), host(70), "the server's own identifier is no line's");
    let renewed = bench.send(&Draft::renew(1, host(70)).id(&line(1)));
    assert_eq!(renewed.acked(), Some(host(70)));
    assert!(!bench.published.last().expect("published").memos.is_empty());
    // A line that hangs up leaves the others where they are, and the next call has its address.
    assert_eq!(bench.send(&Draft::release(1, host(70)).id(&line(1))), Response::Done);
    assert_eq!(bench.send(&Draft::renew(1, second).id(&line(2))).acked(), Some(second));
    assert!(!bench.published.last().expect("published").memos.is_empty(), "and the kernel renews them");
    assert_eq!(take(&mut bench, &line(4)), host(70));
}

/// A circuit's reservation is found for who renews past its relay, too.
#[test]
fn a_reservation_by_circuit_elsewhere_holds_for_direct_renewals() {
    let mut bench = Bench::new(vec![relayed_subnet()]);
    let address = on_port(&mut bench, 1).expect("an address");
    assert_eq!(bench.send(&Draft::renew(1, address)).acked(), Some(address));
    bench.reload(port());
    assert!(bench.send(&Draft::renew(1, address)).is_nak());
    assert_eq!(on_port(&mut bench, 1), Some(PORT));
    assert_eq!(bench.send(&Draft::renew(1, PORT)).acked(), Some(PORT));
}

const PORT: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 99);

/// A subnet whose circuit `ab` has [`PORT`].
fn port() -> Vec<Subnet> {
    let circuit = Reservation {
        key: ReservationKey::Circuit { id: b"ab".to_vec(), remote_id: None },
        address: Some(PORT),
        host_name: None,
        classes: ClassSet::default(),
        overrides: Overrides::default(),
    };
    vec![Subnet { reservations: vec![circuit], ..relayed_subnet() }]
}

fn relayed(draft: Draft) -> Draft {
    draft.via(RELAY).option(82, b"\x01\x02ab")
}

/// The exchange of a device on the port.
fn on_port(bench: &mut Bench, mac: u8) -> Option<Ipv4Addr> {
    let offered = bench.send(&relayed(Draft::discover(mac))).offered()?;
    bench.send(&relayed(Draft::select(mac, SERVER, offered))).acked()
}

fn ports() -> Bench {
    let mut bench = Bench::new(port());
    bench.policy.carry_out_probes();
    bench
}

#[test]
fn a_ports_new_device_gets_the_address_when_the_old_one_is_silent() {
    let mut bench = ports();
    assert_eq!(on_port(&mut bench, 1), Some(PORT));
    let word = bench.words.load(PORT);
    assert_eq!(bench.send(&relayed(Draft::discover(2))), Response::Done, "it waits");
    assert_eq!(bench.words.load(PORT), word, "and the other keeps its lease meanwhile");
    let offers: Vec<_> = bench.probe(&[]).iter().map(Response::offered).collect();
    assert_eq!(offers, [Some(PORT)]);
    assert!(!bench.words.load(PORT).alive(), "the kernel renews it no more");
    assert_eq!(bench.send(&relayed(Draft::select(2, SERVER, PORT))).acked(), Some(PORT));
    // The old one learns of it, however it asks.
    assert!(bench.send(&Draft::renew(1, PORT)).is_nak());
    let rebinding = Draft { ciaddr: PORT, ..Draft::new(3, 1) };
    assert!(bench.send(&relayed(rebinding)).is_nak());
    assert!(bench.send(&relayed(Draft::select(1, SERVER, PORT))).is_nak());
    assert_eq!(bench.send(&Draft::renew(2, PORT)).acked(), Some(PORT));
}

#[test]
fn of_two_devices_on_a_port_that_answer_the_second_gets_nothing() {
    let mut bench = ports();
    assert_eq!(on_port(&mut bench, 1), Some(PORT));
    bench.send(&relayed(Draft::discover(2)));
    assert_eq!(bench.probe(&[PORT]), [Response::Silence(Silence::PortInUse)]);
    assert_eq!(
        bench.send(&relayed(Draft::discover(2))),
        Response::Silence(Silence::PortInUse),
        "nor a probe each time"
    );
    assert!(bench.probes.is_empty());
    let is_report = |event: &&LeaseEvent| matches!(event, LeaseEvent::PortInUse { address: PORT, .. });
    assert_eq!(bench.events.iter().filter(is_report).count(), 1, "the operator is told once in a while");
    assert!(bench.send(&relayed(Draft::select(2, SERVER, PORT))).is_nak());
    assert!(bench.send(&relayed(Draft::reboot(2, PORT))).is_nak());
    assert_eq!(bench.send(&Draft::renew(1, PORT)).acked(), Some(PORT), "the first goes on");
    bench.send(&Draft::release(1, PORT));
    assert_eq!(on_port(&mut bench, 2), Some(PORT), "until it gives the address back");
}

/// Who has only been offered the address has it until it takes it, or not.
#[test]
fn of_two_devices_that_come_to_a_port_at_once_one_gets_the_address() {
    let mut bench = ports();
    assert_eq!(bench.send(&relayed(Draft::discover(1))).offered(), Some(PORT));
    assert_eq!(bench.send(&relayed(Draft::discover(2))), Response::Silence(Silence::PortInUse));
    assert_eq!(on_port(&mut bench, 1), Some(PORT));
}

/// A device that starts by the network has another identifier then, and is the same.
#[test]
fn one_device_on_a_port_may_change_its_identifier() {
    let mut bench = ports();
    assert_eq!(on_port(&mut bench, 1), Some(PORT));
    let id = b"\0system";
    assert_eq!(bench.send(&relayed(Draft::discover(1).id(id))).offered(), Some(PORT));
    assert_eq!(bench.send(&relayed(Draft::select(1, SERVER, PORT).id(id))).acked(), Some(PORT));
}

#[test]
fn without_probes_a_port_is_its_first_devices_until_the_lease_ends() {
    let mut bench = Bench::new(port());
    assert_eq!(on_port(&mut bench, 1), Some(PORT));
    assert_eq!(bench.send(&relayed(Draft::discover(2))), Response::Silence(Silence::PortInUse));
    bench.pass(LEASE_TIME + 2);
    assert_eq!(on_port(&mut bench, 2), Some(PORT));
}

/// A client that has its reserved address from another server, which kept no record of that, goes on with it here.
#[test]
fn a_client_goes_on_with_what_is_reserved_for_it_though_no_lease_of_it_is_known() {
    let asks: [fn(u8, Ipv4Addr) -> Draft; 3] = [Draft::renew, Draft::rebind, Draft::reboot];
    for ask in asks {
        let mut bench = Bench::new(with_reservation(1, 20));
        assert_eq!(bench.send(&ask(2, host(20))).acked(), None, "a stranger");
        assert_eq!(bench.send(&ask(1, host(20))).acked(), Some(host(20)));
        assert_eq!(bench.state(host(20)), State::Leased);
    }
}
