//! Interfaces come, go and change; leases go along.

use dhcp_ebpf::abi::Link;

use super::wire::{Draft, IFINDEX, SERVER};
use super::*;

const VACANT: u32 = u32::MAX;
const NONE: [Ipv4Addr; 0] = [];
const LINK: Link = Link { ifindex: IFINDEX, outer: 0, inner: 0 };

fn on(ifindex: u32, addresses: &[Ipv4Addr]) -> Vec<Interface> {
    vec![Interface { ifindex, addresses: addresses.to_vec(), ..interfaces().remove(0) }]
}

#[test]
fn a_lease_goes_along_when_its_interface_comes_back_as_another() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let gone = bench.policy.relink(on(VACANT, &[]), &[(IFINDEX, VACANT)]);
    assert_eq!(gone, [address]);
    assert_eq!(bench.policy.record(address).expect("kept").interface, "eth0");
    assert_eq!(bench.policy.relink(on(77, &[SERVER]), &[(VACANT, 77)]), gone);
    let published = bench.policy.publication(&bench.words, address).expect("a lease");
    assert_eq!((published.link.ifindex, published.expiry), (77, bench.words.load(address).expiry()));
    let lease = bench.policy.lease(address).expect("a lease");
    assert_eq!((lease.link.ifindex, lease.interface.as_str(), lease.state), (77, "eth0", State::Leased));
    bench.check();
}

#[test]
fn an_interface_may_be_gone_and_back_before_anybody_looks() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let both = [(IFINDEX, VACANT), (VACANT, 77)];
    assert_eq!(bench.policy.relink(on(77, &[SERVER]), &both), [address]);
    assert_eq!(bench.policy.lease(address).expect("a lease").link.ifindex, 77);
}

#[test]
fn what_is_told_of_another_server_address_is_to_be_forgotten() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let basis = bench.published[0].basis;
    assert_eq!(bench.policy.relink(on(IFINDEX, &[host(7), host(8)]), &[]), NONE);
    assert_ne!(bench.policy.basis(address, LINK), Some(basis));
    let renewed = bench.send(&Draft::rebind(1, address));
    assert_eq!((renewed.acked(), renewed.option(54)), (Some(address), Some(host(7).octets().to_vec())));
    bench.policy.relink(on(IFINDEX, &[host(7)]), &[]);
    assert_eq!(bench.policy.basis(address, LINK), Some(bench.published[1].basis), "it has been told by now");
}

#[test]
fn an_address_more_changes_nothing_for_clients() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    assert_eq!(bench.policy.relink(on(IFINDEX, &[SERVER, host(9)]), &[]), NONE);
    assert_eq!(bench.policy.basis(address, LINK), Some(bench.published[0].basis));
}

#[test]
fn without_an_address_there_is_nothing_to_serve_from() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    bench.policy.relink(on(IFINDEX, &[]), &[]);
    assert_eq!(bench.send(&Draft::discover(2)), Response::Silence(Silence::NoSubnet));
    bench.policy.relink(on(IFINDEX, &[SERVER]), &[]);
    assert_eq!(bench.send(&Draft::renew(1, address)).acked(), Some(address));
}
