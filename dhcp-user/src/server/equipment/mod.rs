//! The server's equipment beside policy, made from a configuration: limits, probes, its addresses, the store.

pub(super) mod absent;
pub(super) mod capacity;
pub(super) mod room;

use std::collections::HashSet;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, bail};

#[cfg(feature = "etcd")]
use super::nodes;
use super::nodes::Nodes;
use super::process::beside::Beside;
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
    let boot = boot()?;
    match &config.server.store {
        StoreChoice::Embedded => {
            let now = BootNanos::now().floor();
            let store = store::Embedded::open_expecting(&config.server.state_dir, boot, now, expected)?;
            Ok(Box::new(store))
        }
        StoreChoice::Etcd(_) => bail!("the leases of several nodes are in etcd: ask a server that runs"),
    }
}

/// The same for a server, with its link to the other nodes if there are any.
pub(super) fn open_shared(
    config: &Config,
    expected: Expected,
    beside: &Beside,
) -> Result<(Box<dyn Store>, Nodes)> {
    match &config.server.store {
        StoreChoice::Embedded => Ok((open_store(config, expected)?, Nodes::default())),
        #[cfg(not(feature = "etcd"))]
        StoreChoice::Etcd(_) => {
            let _ = beside;
            bail!("this xdhcpd was built without etcd: take the package, or build with `--features etcd`")
        }
        #[cfg(feature = "etcd")]
        StoreChoice::Etcd(etcd) => {
            let node = match &etcd.node {
                Some(node) => node.clone(),
                None => std::fs::read_to_string("/proc/sys/kernel/hostname")
                    .context("reading the host's name")?
                    .trim()
                    .to_owned(),
            };
            let settings = crate::cluster::Settings {
                endpoints: etcd.endpoints.clone(),
                prefix: etcd.prefix.clone(),
                node,
                instance: crate::cluster::instance(&config.server.state_dir)?,
                boot: boot()?,
                pools: nodes::pools(config),
            };
            let (store, link) = crate::cluster::open(settings, |work| beside.runtime("etcd", || work.run()))?;
            let promised = expected.promised.filter(|promised| promised.store == store.id());
            if let Some(promised) = promised.filter(|promised| promised.number > store.last_commit()) {
                bail!(
                    "etcd knows of commit number {}, and the pinned maps hold promises of commit number {}: it was restored from \
                     an older backup. Put the newer one back in its place; or, when every lease has run out, \
                     `xdhcpd detach`, and start again",
                    store.last_commit(),
                    promised.number
                );
            }
            Ok((Box::new(store), Nodes::by(link)))
        }
    }
}

fn boot() -> Result<BootId> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id").context("reading the boot id")?.parse()?)
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
