//! Several subnets on one link, and reservations by circuit.

use super::wire::{Draft, SERVER};
use super::*;

fn address(net: u8, last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, net, 0, last)
}

/// 10.`net`.0.0/24 with a pool of two addresses.
fn small(net: u8) -> Subnet {
    Subnet {
        prefix: Prefix { network: address(net, 0), len: 24 },
        pools: vec![Pool { first: address(net, 10), last: address(net, 11) }.into()],
        ..subnet(0, 0)
    }
}

fn floor(subnet: Subnet) -> Subnet {
    Subnet { shared_network: Some("floor".to_owned()), ..subnet }
}

/// What must hold of a link however its subnets came together: one link, `first` and `second` and no other.
fn serve_as_one(mut bench: Bench, sent: impl Fn(Draft) -> Draft, first: Ipv4Addr, second: Ipv4Addr) {
    let net = |address: Ipv4Addr| address.octets()[1];
    let mut take = |mac: u8| {
        let address = bench.send(&sent(Draft::discover(mac))).offered()?;
        bench.send(&sent(Draft::select(mac, SERVER, address))).acked()
    };
    let given: Vec<_> = (1..=4).filter_map(&mut take).collect();
    let nets: Vec<u8> = given.iter().map(|address| net(*address)).collect();
    assert_eq!(nets, [net(first), net(first), net(second), net(second)], "one flows over into the other");
    assert_eq!(take(5), None);
    for (mac, address) in (1..).zip(&given) {
        let rebind = Draft { ciaddr: *address, ..Draft::new(3, mac) };
        assert_eq!(bench.send(&sent(rebind)).acked(), Some(*address));
        assert_eq!(bench.send(&sent(Draft::reboot(mac, *address))).acked(), Some(*address));
    }
    let elsewhere = Ipv4Addr::new(10, 99, 0, 1);
    assert!(bench.send(&sent(Draft::reboot(1, elsewhere))).is_nak(), "of another link");
    assert!(bench.send(&sent(Draft::reboot(6, given[3]))).is_nak(), "another's, in whichever subnet");
}

#[test]
fn subnets_of_a_shared_network_serve_as_one() {
    // Only the first has an address of ours.
    let first = Subnet { prefix: subnet(0, 0).prefix, ..subnet(10, 11) };
    let bench = Bench::new(vec![floor(first), floor(small(2)), small(3)]);
    serve_as_one(bench, |draft| draft, host(10), address(2, 10));
}

#[test]
fn subnets_that_our_addresses_are_in_serve_as_one() {
    let mut bench = Bench::new(vec![small(1), small(2), small(3)]);
    bench.interfaces[0].addresses = vec![address(1, 1), address(2, 1), SERVER];
    bench.restart(true);
    serve_as_one(bench, |draft| draft, address(1, 10), address(2, 10));
}

#[test]
fn subnets_that_are_said_to_be_on_the_link_serve_as_one() {
    let said = |net: u8| Subnet { server_id: Some(address(net, 1)), ..small(net) };
    let bench = Bench::new(vec![said(1), said(2), small(3)]);
    let sent = |draft: Draft| Draft {
        options: draft
            .options
            .into_iter()
            .map(|(code, value)| (code, if code == 54 { vec![10, 1, 0, 1] } else { value }))
            .collect(),
        ..draft
    };
    serve_as_one(bench, sent, address(1, 10), address(2, 10));
}

#[test]
fn subnets_behind_one_relay_serve_as_one() {
    let relay = address(1, 1);
    let bench = Bench::new(vec![Subnet { relays: vec![relay], ..small(2) }, small(1), small(3)]);
    serve_as_one(bench, |draft| draft.via(relay), address(1, 10), address(2, 10));
}

#[test]
fn a_relay_in_one_subnet_of_a_shared_network_leads_to_all() {
    let relay = address(1, 1);
    let bench = Bench::new(vec![floor(small(1)), floor(small(2)), small(3)]);
    serve_as_one(bench, |draft| draft.via(relay), address(1, 10), address(2, 10));
}

/// RFC 3527 §3, MUST (on-link): of the link that is named, any subnet will do, and of another none.
#[test]
fn a_link_that_is_named_by_one_of_its_subnets_is_meant_whole() {
    let relay = address(9, 1);
    let far = Subnet { relays: vec![relay], ..small(9) };
    let bench = Bench::new(vec![far, floor(small(1)), floor(small(2))]);
    serve_as_one(
        bench,
        |draft| draft.via(relay).option(82, &[5, 4, 10, 1, 0, 0]),
        address(1, 10),
        address(2, 10),
    );
}

/// It is on one link, so it needs one address there.
#[test]
fn a_client_that_gets_an_address_of_another_subnet_leaves_its_old_one() {
    let first = subnet(10, 11);
    let mut bench = Bench::new(vec![floor(first.clone()), floor(small(2))]);
    let old = bench.lease(1);
    assert_eq!(old, host(10));
    let second = Subnet { reservations: vec![reserved(1, address(2, 5))], ..small(2) };
    bench.reload(vec![floor(first), floor(second)]);
    assert_eq!(bench.lease(1), address(2, 5));
    assert_eq!((bench.state(old), bench.words.load(old).alive()), (State::Grace, false));
}

#[test]
fn a_reservation_by_circuit_may_be_of_one_relay() {
    let circuit = |id: &[u8], remote: Option<&[u8]>, last| Reservation {
        key: ReservationKey::Circuit { id: id.to_vec(), remote_id: remote.map(<[u8]>::to_vec) },
        ..reserved(0, Ipv4Addr::new(10, 9, 0, last))
    };
    let mut named = circuit(b"p1", Some(b"olt"), 5);
    named.host_name = Some("line-one".to_owned());
    named.overrides.options.0.insert(6, vec![9, 9, 9, 9]);
    named.overrides.boot.file = Some("cpe.cfg".to_owned());
    let site = Subnet { reservations: vec![circuit(b"p1", None, 6), named], ..relayed_subnet() };
    let mut bench = Bench::new(vec![site]);
    let line = |draft: Draft, remote: &[u8]| {
        let length = u8::try_from(remote.len()).expect("short");
        draft.via(RELAY).option(82, &[b"\x01\x02p1\x02".as_slice(), &[length], remote].concat())
    };
    let offer = bench.send(&line(Draft::discover(1).option(55, &[6, 12]), b"olt"));
    assert_eq!(offer.offered(), Some(Ipv4Addr::new(10, 9, 0, 5)));
    assert_eq!((offer.option(6), offer.option(12)), (Some(vec![9, 9, 9, 9]), Some(b"line-one".to_vec())));
    assert!(offer.answer().file.as_ref().is_some_and(|file| file.starts_with(b"cpe.cfg\0")));
    let other = bench.send(&line(Draft::discover(2), b"another"));
    assert_eq!(other.offered(), Some(Ipv4Addr::new(10, 9, 0, 6)), "the circuit of any relay");
    let none = Draft::discover(3).via(RELAY).option(82, b"\x01\x02p2\x02\x03olt");
    assert_eq!(bench.send(&none).offered(), Some(Ipv4Addr::new(10, 9, 0, 10)));
}

/// A subnet is there for these tags, and this server has no address to serve it from: that is what is to be mended.
#[test]
fn on_a_vlan_whose_subnet_has_no_address_of_ours_that_is_said() {
    let other = Prefix { network: Ipv4Addr::new(10, 5, 0, 0), len: 24 };
    let mut bench = Bench::new(vec![
        subnet(10, 20),
        Subnet { prefix: other, pools: Vec::new(), vlan: Vlan { outer: 77, inner: 0 }, ..subnet(0, 0) },
    ]);
    let discover = Draft::discover(1).tagged(&[77]);
    assert_eq!(bench.send(&discover), Response::Silence(Silence::NoServerId));
    assert_eq!(*bench.policy.considered(&discover.request(bench.now)), [other]);
    assert_eq!(bench.send(&Draft::discover(1).tagged(&[78])), Response::Silence(Silence::NoSubnet));
}

/// A lease of another link is gone on with on a VLAN that is served: no address of ours is missing there.
#[test]
fn on_a_vlan_that_is_served_no_address_is_missing_for_a_lease_of_another_link() {
    let vlan = Vlan { outer: 77, inner: 0 };
    let other = Subnet { vlan, server_id: Some(address(5, 1)), ..small(5) };
    let mut bench = Bench::new(vec![subnet(10, 20), other]);
    let leased = bench.lease(1);
    let renewal = Draft::renew(1, leased).tagged(&[77]);
    assert_eq!(bench.send(&renewal), Response::Silence(Silence::NoSubnet));
    assert!(bench.policy.considered(&renewal.request(bench.now)).is_empty());
}
