//! What answers rest on: what changes it, for which leases, and what does not.

use dhcp_ebpf::abi::Link;

use super::wire::{IFINDEX, SERVER};
use super::*;
use crate::config::{Admission, ClassSet, DynamicPool, Match, Pattern};

/// Where the leases looked at are: on the link, in a pool with terms of its own there, and behind the relay.
const ON_LINK: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const APART: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 60);
const BEHIND: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 10);
const ALL: [Ipv4Addr; 3] = [ON_LINK, APART, BEHIND];
const NOBODY: [Ipv4Addr; 0] = [];

const UNTAGGED: Link = Link { ifindex: IFINDEX, outer: 0, inner: 0 };

/// What a policy is made of.
#[derive(Clone)]
struct Made {
    classes: Vec<Class>,
    /// The one on the link first.
    subnets: Vec<Subnet>,
    interfaces: Vec<Interface>,
}

impl Made {
    fn new() -> Self {
        let class = Class {
            name: "phones".to_owned(),
            matches: Match { vendor_class: vec![Pattern::Exactly(vec![1])], ..Match::default() },
            overrides: Overrides::default(),
            drop: false,
            max_leases: None,
        };
        let own_terms = Overrides { times: Some(times(500)), ..Overrides::default() };
        let apart = DynamicPool { overrides: own_terms, ..range(50, 70).into() };
        let mut on_link = subnet(10, 20);
        on_link.pools.push(apart);
        let relayed = Subnet { relays: vec![Ipv4Addr::new(10, 5, 0, 1)], ..relayed_subnet() };
        Self { classes: vec![class], subnets: vec![on_link, relayed], interfaces: interfaces() }
    }

    fn policy(self) -> Policy {
        let Self { classes, subnets, interfaces } = self;
        let config = Config::of(Server::default(), Vec::new(), classes, subnets);
        Policy::new(&config, interfaces, 7)
    }
}

fn times(lease: u32) -> LeaseTimes {
    LeaseTimes { lease, renew: lease / 2, rebind: lease / 4 * 3, min: 60, max: lease, when_full: None }
}

fn range(first: u8, last: u8) -> Pool {
    Pool { first: host(first), last: host(last) }
}

/// A subnet that has nothing to do with those there are.
fn elsewhere() -> Subnet {
    let last = |last| Ipv4Addr::new(10, 7, 0, last);
    Subnet {
        prefix: Prefix { network: last(0), len: 24 },
        pools: vec![Pool { first: last(10), last: last(19) }.into()],
        ..subnet(0, 0)
    }
}

/// The leases that rest on something else after `change`.
fn concerned(change: impl FnOnce(&mut Made)) -> Vec<Ipv4Addr> {
    concerned_among(Made::new(), change)
}

fn concerned_among(before: Made, change: impl FnOnce(&mut Made)) -> Vec<Ipv4Addr> {
    let mut after = before.clone();
    change(&mut after);
    let (before, after) = (before.policy(), after.policy());
    let basis = |policy: &Policy, address| policy.basis(address, UNTAGGED).expect("it can be leased");
    ALL.into_iter().filter(|address| basis(&before, *address) != basis(&after, *address)).collect()
}

#[test]
fn what_answers_do_not_say_changes_nothing() {
    assert_eq!(concerned(|_| {}), NOBODY);
    assert_eq!(concerned(|made| made.subnets.insert(0, elsewhere())), NOBODY, "another subnet");
    assert_eq!(concerned(|made| made.subnets.reverse()), NOBODY);
    assert_eq!(concerned(|made| made.subnets[0].pools[0].range = range(5, 40)), NOBODY, "a larger pool");
    assert_eq!(concerned(|made| made.subnets[0].pools.insert(1, range(22, 30).into())), NOBODY);
    assert_eq!(concerned(|made| made.subnets[0].pools[1].range = range(55, 90)), NOBODY);
    let reserve = |made: &mut Made| made.subnets[0].reservations.push(reserved(1, host(11)));
    assert_eq!(concerned(reserve), NOBODY, "another's reservation");
    let refuse = |made: &mut Made| {
        let subnet = &mut made.subnets[0];
        (subnet.authoritative, subnet.bootp, subnet.grace) = (false, Bootp::Dynamic, 7);
        (subnet.max_leases_per_device, subnet.max_leases_per_ras_device) = (1, 1);
    };
    assert_eq!(concerned(refuse), NOBODY);
    assert_eq!(concerned(|made| made.classes[0].name.push('!')), NOBODY);
    assert_eq!(concerned(|made| made.interfaces[0].mac = [9; 6]), NOBODY);
    assert_eq!(concerned(|made| made.interfaces[0].addresses.push(host(9))), NOBODY);
    let unserved = Ipv4Addr::new(10, 6, 0, 1);
    assert_eq!(concerned(|made| made.subnets.push(Subnet { relays: vec![unserved], ..elsewhere() })), NOBODY);
}

#[test]
fn what_a_subnet_says_is_its_own_leases_concern() {
    let own = [ON_LINK, APART];
    let set = |change: fn(&mut Subnet)| concerned(|made| change(&mut made.subnets[0]));
    assert_eq!(set(|subnet| drop(subnet.options.0.insert(3, vec![192, 0, 2, 254]))), own);
    assert_eq!(set(|subnet| drop(subnet.options.0.remove(&15))), own);
    assert_eq!(set(|subnet| subnet.times.max += 1), own);
    assert_eq!(set(|subnet| subnet.times.renew -= 1), own);
    assert_eq!(set(|subnet| subnet.boot.file = Some("pxelinux.0".to_owned())), own);
    assert_eq!(set(|subnet| subnet.server_id = Some(host(3))), own);
    assert_eq!(set(|subnet| subnet.prefix.len = 25), own, "the mask");
    assert_eq!(concerned(|made| made.subnets[1].options.0.clear()), [BEHIND]);
}

#[test]
fn the_terms_of_a_pool_and_of_a_reservation_are_the_concern_of_who_has_them() {
    assert_eq!(concerned(|made| made.subnets[0].pools[1].overrides.times = Some(times(600))), [APART]);
    assert_eq!(
        concerned(|made| drop(made.subnets[0].pools[1].overrides.options.0.insert(3, vec![7]))),
        [APART]
    );
    assert_eq!(concerned(|made| made.subnets[0].pools[1].overrides = Overrides::default()), [APART]);
    let mut phones = ClassSet::default();
    phones.insert(0);
    let shut = Admission { deny: phones, ..Admission::default() };
    assert_eq!(concerned(|made| made.subnets[0].pools[0].admits = shut), [ON_LINK]);

    assert_eq!(concerned(|made| made.subnets[0].reservations.push(reserved(1, ON_LINK))), [ON_LINK]);
    let mut with = Made::new();
    with.subnets[1].reservations = vec![reserved(1, BEHIND)];
    let set = |change: fn(&mut Reservation)| {
        concerned_among(with.clone(), |made| change(&mut made.subnets[1].reservations[0]))
    };
    assert_eq!(set(|own| own.host_name = Some("printer".to_owned())), [BEHIND]);
    assert_eq!(set(|own| own.key = ReservationKey::ClientId(vec![1])), [BEHIND], "it is another's now");
    assert_eq!(set(|own| own.overrides.boot.next_server = Some(SERVER)), [BEHIND]);
}

#[test]
fn whoever_may_be_in_a_class_is_concerned_by_it() {
    assert_eq!(concerned(|made| made.classes.clear()), ALL);
    assert_eq!(concerned(|made| made.classes[0].matches.architecture = vec![7]), ALL);
    assert_eq!(concerned(|made| drop(made.classes[0].overrides.options.0.insert(3, vec![7]))), ALL);
    let second = |made: &mut Made| {
        made.classes.push(Class { name: "others".to_owned(), ..made.classes[0].clone() });
        made.classes[1].matches.architecture = vec![7];
    };
    let mut two = Made::new();
    second(&mut two);
    assert_eq!(concerned_among(two, |made| made.classes.reverse()), ALL, "the last one overrides");
}

/// A lease's client is known to the kernel on an interface by its index, and talks to an address of ours there.
#[test]
fn the_interface_and_our_address_on_it_are_the_concern_of_who_is_reached_there() {
    assert_eq!(concerned(|made| made.interfaces[0].name = "eth9".to_owned()), ALL);
    assert_eq!(concerned(|made| made.interfaces[0].ifindex += 1), ALL, "its index is nobody's, or another's");
    assert_eq!(concerned(|made| made.interfaces[0].addresses = vec![host(7)]), ALL);
    let other = Interface {
        name: "eth7".to_owned(),
        ifindex: 77,
        mac: [7; 6],
        mtu: 1500,
        addresses: vec![host(200)],
    };
    assert_eq!(concerned(|made| made.interfaces.push(other)), NOBODY);
    let policy = Made::new().policy();
    let tagged = Link { outer: 5, ..UNTAGGED };
    assert_ne!(policy.basis(ON_LINK, UNTAGGED), policy.basis(ON_LINK, tagged), "it is not served there");
    assert_eq!(policy.basis(host(40), UNTAGGED), None, "it is in no pool");
}

/// Who comes by another way than before may get no answer.
#[test]
fn the_ways_to_a_subnet_are_its_own_leases_concern() {
    let of_link = [ON_LINK, APART];
    assert_eq!(concerned(|made| made.subnets[0].vlan.outer = 5), of_link);
    assert_eq!(concerned(|made| made.subnets[1].relays.clear()), [BEHIND]);
    let name = |made: &mut Made, at: usize| made.subnets[at].shared_network = Some("floor".to_owned());
    assert_eq!(concerned(|made| name(made, 0)), NOBODY, "it shares it with nobody");
    let mut shared = Made::new();
    (0..2).for_each(|at| name(&mut shared, at));
    assert_eq!(concerned_among(shared.clone(), |made| made.subnets[1].shared_network = None), ALL);
    // The relay is no way to the other subnet any more, by what a third one says.
    let third = Subnet { relays: vec![Ipv4Addr::new(10, 9, 0, 1)], ..elsewhere() };
    let mut beside = Made::new();
    beside.interfaces[0].addresses.push(Ipv4Addr::new(10, 9, 0, 200));
    let reached = |made: Made| {
        let policy = made.policy();
        let request = Draft::discover(1).via(RELAY).request(START);
        policy
            .site
            .segment(&request)
            .iter()
            .map(|id| policy.site.subnets.get(*id).prefix.network)
            .collect::<Vec<_>>()
    };
    assert!(reached(beside.clone()).contains(&host(0)));
    let mut listed = beside.clone();
    listed.subnets.push(third.clone());
    assert!(!reached(listed).contains(&host(0)), "lists go before addresses");
    assert!(concerned_among(beside, |made| made.subnets.push(third)).starts_with(&of_link));
}
