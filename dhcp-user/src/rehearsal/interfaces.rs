//! The interfaces on which a reload is rehearsed: those of this machine, and in the place of those that it lacks some that have
//! an address in each subnet.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::config::{Config, Subnet};
use crate::control::Portable;
use crate::policy::Interface;

/// Indexes that no kernel gives.
const FIRST: u32 = 1 << 30;
/// The longest datagram of Ethernet.
const MTU: u32 = 1500;
/// How many addresses are looked at for one that is nobody's.
const TRIES: usize = 4096;

/// The interfaces before and after.
pub(super) fn interfaces(
    old: &Config,
    new: &Config,
    leases: &[Portable],
    here: &[Interface],
) -> (Vec<Interface>, Vec<Interface>) {
    let configured = old.interfaces.iter().chain(&new.interfaces).map(|interface| interface.name.as_str());
    let names: BTreeSet<&str> = configured.clone().collect();
    // In the order of the file: the first that is missing stands for what no lease tells.
    let mut all: Vec<Interface> = Vec::new();
    let mut missing: Vec<usize> = Vec::new();
    for (name, index) in configured.zip(FIRST..) {
        if all.iter().any(|known| known.name == name) || !names.contains(name) {
            continue;
        }
        match here.iter().find(|there| there.name == name && !there.addresses.is_empty()) {
            Some(there) => all.push(there.clone()),
            None => {
                missing.push(all.len());
                all.push(Interface {
                    name: name.to_owned(),
                    ifindex: index,
                    mac: [0x02, 0, 0, 0, 0, 1],
                    mtu: MTU,
                    addresses: Vec::new(),
                });
            }
        }
    }
    let subnets: Vec<&Subnet> = old.subnets.iter().chain(&new.subnets).collect();
    for subnet in &subnets {
        let is_there = all.iter().any(|there| there.addresses.iter().any(|own| subnet.prefix.contains(*own)));
        if is_there || subnet.server_id.is_some() && !subnet.relays.is_empty() {
            continue;
        }
        let told = leases.iter().find(|lease| subnet.prefix.contains(lease.address));
        let named = told.and_then(|lease| lease.interface.as_deref());
        let home = missing
            .iter()
            .copied()
            .find(|at| all.get(*at).is_some_and(|there| Some(there.name.as_str()) == named))
            .or(missing.first().copied());
        if let Some(there) = home.and_then(|at| all.get_mut(at)) {
            there.addresses.push(unused(subnet, &subnets));
        }
    }
    let is_in = |config: &Config, name: &str| config.interfaces.iter().any(|there| there.name == name);
    // An interface that is served no more has no addresses for policy.
    let of = |config: &Config| -> Vec<Interface> {
        let one = |there: &Interface| {
            if is_in(config, &there.name) {
                there.clone()
            } else {
                Interface { addresses: Vec::new(), ..there.clone() }
            }
        };
        all.iter().map(one).collect()
    };
    (of(old), of(new))
}

/// An address of the subnet that is in no pool and no reservation, if there is one.
fn unused(subnet: &Subnet, all: &[&Subnet]) -> Ipv4Addr {
    let hosts = subnet.prefix.hosts();
    let is_given = |address: &Ipv4Addr| {
        all.iter().any(|other| {
            other.pools.iter().any(|pool| pool.range.contains(*address))
                || other.reservations.iter().any(|own| own.address == Some(*address))
        })
    };
    let tried = hosts.iter().take(TRIES).chain(hosts.iter().rev().take(TRIES));
    tried.into_iter().find(|address| !is_given(address)).unwrap_or(hosts.first)
}
