//! The server's equipment beside policy, made from a configuration: limits, probes, its addresses, the store.

pub(super) mod absent;
pub(super) mod capacity;
pub(super) mod room;

use std::collections::HashSet;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, bail};

use crate::clock::BootNanos;
use crate::config::{self, Config, Probe, StoreChoice};
use crate::limits::{Limits, Rates};
use crate::policy::Interface;
use crate::probe::Prober;
use crate::store::{self, BootId, Expected, Store};
use absent::is_there;

/// The prober, if the configuration wants probes.
pub(super) fn prober(config: &Config, facts: &[Interface]) -> Result<Option<Prober>> {
    let there = facts.iter().filter(|facts| is_there(facts));
    let interfaces = config.interfaces.iter().filter_map(|interface| interface.probe);
    let subnets = config.subnets.iter().filter_map(|subnet| subnet.probe);
    let mut wanted = std::iter::once(config.server.probe).chain(interfaces).chain(subnets);
    wanted.any(|probe| probe == Probe::Auto).then(|| Prober::open(there)).transpose()
}

/// The configured store, checked against `expected`.
///
/// # Errors
/// When it can't be opened.
pub(super) fn open_store(config: &Config, expected: Expected) -> Result<Box<dyn Store>> {
    let boot: BootId =
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id").context("reading the boot id")?.parse()?;
    match &config.server.store {
        StoreChoice::Embedded => {
            let now = BootNanos::now().floor();
            let store = store::Embedded::open_expecting(&config.server.state_dir, boot, now, expected)?;
            Ok(Box::new(store))
        }
        StoreChoice::Etcd(_) => bail!("this version has no etcd store: set `store = \"embedded\"`"),
    }
}

/// The limits that the configuration sets; their counts begin anew.
pub(super) fn limits(config: &Config, facts: &[Interface]) -> Limits {
    let rates = |interface: &config::Interface| Rates {
        link: interface.rate_limit,
        circuit: interface.circuit_rate_limit,
    };
    let of_each = facts.iter().zip(&config.interfaces).map(|(facts, of)| (facts.ifindex, rates(of)));
    Limits::new(of_each.collect(), config.server.leasequery_rate_limit)
}

/// Every address at which DHCP is for us: our own, the server identifiers, the subnets' broadcast addresses.
pub(super) fn ours(config: &Config, facts: &[Interface]) -> HashSet<Ipv4Addr> {
    let own = facts.iter().flat_map(|interface| interface.addresses.iter().copied());
    let named = config.subnets.iter().filter_map(|subnet| subnet.server_id);
    let broadcast = config.subnets.iter().map(|subnet| subnet.prefix.last());
    own.chain(named).chain(broadcast).collect()
}
