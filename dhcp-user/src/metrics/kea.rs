//! Our figures under the names that Stork's exporter gives to Kea's statistics, as far as there is an equivalent: a
//! dashboard for Kea then shows this server.
//!
//! All are gauges, in spite of some names, as there. Their labels are those of Stork's exporter as well; a subnet has
//! no number here but its place in the configuration.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::snapshot::Snapshot;
use crate::control::{PoolCounts, Word};

/// Names of counters of the daemon, and Kea's for the same.
const RECEIVED: [(&str, &str); 5] = [
    ("discover", "discover"),
    ("request", "request"),
    ("decline", "decline"),
    ("release", "release"),
    ("inform", "inform"),
];
const SENT: [(&str, &str); 3] = [("offer", "offer"), ("ack", "ack"), ("nak", "nak")];

/// The figure of a subnet.
type OfSubnet = fn(&PoolCounts) -> u32;

const SUBNETS: [(&str, &str, OfSubnet); 3] = [
    ("kea_dhcp4_addresses_total", "Size of subnet address pool", |pools| pools.size),
    ("kea_dhcp4_addresses_assigned_total", "Assigned addresses", |pools| pools.leased),
    ("kea_dhcp4_addresses_declined_total", "Declined counts", |pools| pools.quarantined),
];

/// The answer to a scrape, in Prometheus' text format.
pub(super) fn encoded(snapshot: &Snapshot) -> Result<String, fmt::Error> {
    let mut page = String::new();
    let stats = &snapshot.measured.stats;
    let in_kernel: u64 = stats.kernel.acked.values().sum();
    let count = |counters: &BTreeMap<Word, u64>, name| counters.get(name).copied().unwrap_or(0);

    head(&mut page, "kea_dhcp4_packets_received_total", "Packets received")?;
    for (ours, theirs) in RECEIVED {
        // Those that the kernel answers come to this server, too.
        let kernel = if ours == "request" { in_kernel } else { 0 };
        let value = count(&stats.daemon.received, ours).saturating_add(kernel);
        writeln!(page, "kea_dhcp4_packets_received_total{{operation=\"{theirs}\"}} {value}")?;
    }
    let lost = stats.daemon.dropped.values().chain(stats.kernel.dropped.values()).sum::<u64>();
    writeln!(page, "kea_dhcp4_packets_received_total{{operation=\"drop\"}} {lost}")?;
    head(&mut page, "kea_dhcp4_packets_sent_total", "Packets sent")?;
    for (ours, theirs) in SENT {
        let kernel = if ours == "ack" { in_kernel } else { 0 };
        let value = count(&stats.daemon.sent, ours).saturating_add(kernel);
        writeln!(page, "kea_dhcp4_packets_sent_total{{operation=\"{theirs}\"}} {value}")?;
    }
    let subnets = subnets(snapshot);
    for (name, help, of) in SUBNETS {
        head(&mut page, name, help)?;
        for (number, pools) in subnets.iter().enumerate() {
            let (prefix, number) = (&pools.subnet, number + 1);
            let value = of(pools);
            writeln!(
                page,
                "{name}{{subnet=\"{prefix}\",subnet_id=\"{number}\",prefix=\"{prefix}\"}} {value}"
            )?;
        }
    }
    head(&mut page, "kea_dhcp4_global4_addresses_declined_total", "Declined counts from all subnets")?;
    writeln!(page, "kea_dhcp4_global4_addresses_declined_total {}", snapshot.measured.quarantined)?;
    Ok(page)
}

fn head(page: &mut String, name: &str, help: &str) -> fmt::Result {
    writeln!(page, "# HELP {name} {help}\n# TYPE {name} gauge")
}

/// The pools of each subnet together, in the order of the configuration.
fn subnets(snapshot: &Snapshot) -> Vec<PoolCounts> {
    let mut subnets: Vec<PoolCounts> = Vec::new();
    for pool in snapshot.measured.pools.iter().chain(&snapshot.measured.other_pools) {
        match subnets.last_mut().filter(|last| last.subnet == pool.subnet) {
            Some(last) => {
                last.size = last.size.saturating_add(pool.size);
                last.leased = last.leased.saturating_add(pool.leased);
                last.quarantined = last.quarantined.saturating_add(pool.quarantined);
            }
            None => subnets.push(pool.clone()),
        }
    }
    subnets
}
