//! Whatever subnets and interfaces there are, the same comes out as by a look at each pair.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::config::Prefix;
use crate::policy::tests::subnet;

/// The subnet of this number is 10.number.0.0/24; the host there.
fn host(number: u8, last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, number, 0, last)
}

/// Subnets, and a few interfaces before and after a change.
type Site = (Vec<Subnet>, [Vec<Interface>; 2]);

fn site() -> impl Strategy<Value = Site> {
    let relay = (0_u8..8, 1_u8..4).prop_map(|(number, last)| host(number, last));
    let one = (
        prop::option::of(0_u8..3),
        0_u16..3,
        prop::option::of((0_u8..8, 1_u8..3)),
        prop::collection::btree_set(relay, 0..3),
    );
    let addresses_of = prop::collection::btree_set((0_u8..8, 1_u8..4), 0..4);
    let interfaces = || prop::collection::vec(addresses_of.clone(), 0..3);
    (prop::collection::vec(one, 1..8), interfaces(), interfaces()).prop_map(|(subnets, before, after)| {
        let subnets = (0..).zip(subnets).map(|(number, (network, outer, server, relays))| Subnet {
            prefix: Prefix { network: host(number, 0), len: 24 },
            shared_network: network.map(|name| name.to_string()),
            vlan: Vlan { outer, inner: 0 },
            server_id: server.map(|(number, last)| host(number, last)),
            relays: relays.into_iter().collect(),
            ..subnet(0, 0)
        });
        let interfaces = |all: Vec<BTreeSet<(u8, u8)>>| {
            let addresses =
                |all: BTreeSet<(u8, u8)>| all.into_iter().map(|(number, last)| host(number, last)).collect();
            (2..).zip(all).map(|(ifindex, all)| interface(ifindex, addresses(all))).collect()
        };
        (subnets.collect(), [interfaces(before), interfaces(after)])
    })
}

fn interface(ifindex: u32, addresses: Vec<Ipv4Addr>) -> Interface {
    Interface { name: format!("eth{ifindex}"), ifindex, mac: [2; 6], mtu: 1500, addresses }
}

fn containing(subnets: &[Subnet], address: Ipv4Addr) -> Option<SubnetId> {
    numbered(subnets).find(|(_, subnet)| subnet.prefix.contains(address)).map(|(id, _)| id)
}

/// The same, by a look at each pair.
struct Pairs<'a> {
    subnets: &'a [Subnet],
    interfaces: &'a [Interface],
}

impl Pairs<'_> {
    fn get(&self, id: SubnetId) -> &Subnet {
        &self.subnets[id.at()]
    }

    fn ids(&self) -> impl Iterator<Item = SubnetId> + use<> {
        (0..).map(SubnetId).take(self.subnets.len())
    }

    fn links(&self) -> impl Iterator<Item = Link> {
        let of = |ifindex| (0..3).map(move |outer| Link { ifindex, outer, inner: 0 });
        self.interfaces.iter().flat_map(move |interface| of(interface.ifindex))
    }

    fn on(&self, link: Link) -> Vec<SubnetId> {
        let interface = self.interfaces.iter().find(|interface| interface.ifindex == link.ifindex);
        let addresses = interface.map(|interface| interface.addresses.as_slice()).unwrap_or_default();
        let here = |id: &SubnetId| {
            let subnet = self.get(*id);
            let ours = addresses.iter().any(|address| subnet.prefix.contains(*address));
            let said = subnet.server_id.is_some_and(|server| subnet.prefix.contains(server));
            let tagged = link.outer != 0;
            subnet.vlan.outer == link.outer && (ours || said && (tagged || subnet.relays.is_empty()))
        };
        self.with_shared(self.ids().filter(here).collect())
    }

    fn behind(&self, relay: Ipv4Addr) -> Vec<SubnetId> {
        let lists = |id: &SubnetId| self.get(*id).relays.contains(&relay);
        let own = containing(self.subnets, relay);
        self.with_shared(own.into_iter().chain(self.ids().filter(lists)).collect())
    }

    fn beside(&self, id: SubnetId) -> Vec<SubnetId> {
        let here = self.links().map(|link| self.on(link)).filter(|all| all.contains(&id)).flatten();
        self.with_shared(std::iter::once(id).chain(here).collect())
    }

    fn with_shared(&self, mut all: Vec<SubnetId>) -> Vec<SubnetId> {
        let named = |id: SubnetId| self.get(id).shared_network.as_deref();
        let names: BTreeSet<&str> = all.iter().filter_map(|id| named(*id)).collect();
        all.extend(self.ids().filter(|id| named(*id).is_some_and(|name| names.contains(name))));
        let mut seen = BTreeSet::new();
        all.retain(|id| seen.insert(*id));
        all
    }

    fn relays(&self) -> BTreeSet<Ipv4Addr> {
        self.subnets.iter().flat_map(|subnet| subnet.relays.iter().copied()).collect()
    }

    fn is_ours(&self, address: Ipv4Addr) -> bool {
        self.subnets.iter().any(|subnet| subnet.server_id == Some(address))
            || self.interfaces.iter().any(|interface| interface.addresses.contains(&address))
    }

    /// From which subnets' addresses `id` is reached, and by which relays; `false` where one is not served, or not as its
    /// address alone would have it.
    fn ways(&self, id: SubnetId) -> (BTreeSet<SubnetId>, BTreeMap<Ipv4Addr, bool>) {
        let from = self.ids().filter(|by| self.beside(*by).contains(&id)).collect();
        let mut relays = BTreeMap::new();
        for relay in self.relays() {
            if containing(self.subnets, relay).is_some_and(|by| self.beside(by).contains(&id)) {
                relays.insert(relay, false);
            }
            if self.behind(relay).contains(&id) {
                relays.insert(relay, !self.is_ours(relay));
            }
        }
        (from, relays)
    }
}

proptest! {
    #[test]
    fn all_is_as_a_look_at_each_pair_says((subnets, interfaces) in site()) {
        let tags = |id: SubnetId| (id, subnets[id.at()].vlan);
        let mut neighbours = Neighbours::new(&subnets, |address| containing(&subnets, address));
        let mut seen: Vec<Vec<_>> = vec![Vec::new(); subnets.len()];
        for interfaces in &interfaces {
            neighbours.relink(interfaces, |address| containing(&subnets, address).map(tags));
            let pairs = Pairs { subnets: &subnets, interfaces };
            for link in pairs.links() {
                let on = pairs.on(link);
                prop_assert_eq!(neighbours.on_link(link).map(|all| all.to_vec()).unwrap_or_default(), on.clone());
                prop_assert!(pairs.ids().all(|id| neighbours.is_on(id, link) == on.contains(&id)));
            }
            for relay in pairs.relays() {
                let behind = pairs.behind(relay);
                prop_assert_eq!(neighbours.behind(relay).map(|all| all.to_vec()), Some(behind.clone()));
                prop_assert!(pairs.ids().all(|id| neighbours.is_behind(id, relay) == behind.contains(&id)));
            }
            let ways = neighbours.ways(|address| pairs.is_ours(address));
            for id in pairs.ids() {
                prop_assert_eq!(neighbours.segment(id).to_vec(), pairs.beside(id));
                seen[id.at()].push((ways[id.at()], pairs.ways(id)));
            }
        }
        // The number is another where the ways are, and the same where nothing is another.
        for of_one in seen {
            let [(number, ways), (other, changed)] = of_one.as_slice() else { unreachable!("before and after") };
            prop_assert!(number != other || ways == changed);
            prop_assert!(number == other || ways != changed);
        }
    }
}
