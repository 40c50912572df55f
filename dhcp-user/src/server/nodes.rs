//! The other nodes of the site, where several share one address space: what etcd tells of blocks and addresses goes to policy.

use std::net::Ipv4Addr;

use dhcp_ebpf::lease::BootSecs;

use super::Server;
use crate::clock::BootNanos;
use crate::cluster::News;
#[cfg(feature = "etcd")]
use crate::cluster::{Block, Pools};
#[cfg(feature = "etcd")]
use crate::config::Config;
use crate::policy::{Words as _, revoke_anyway};

/// This node's link to them; where there are none, nothing ever comes by it.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    #[cfg(feature = "etcd")]
    link: Option<crate::cluster::Link>,
}

impl Nodes {
    /// The next that etcd tells.
    pub(super) async fn news(&mut self) -> News {
        #[cfg(feature = "etcd")]
        if let Some(link) = &mut self.link
            && let Some(news) = link.news.recv().await
        {
            return news;
        }
        // If the thread that speaks to etcd has ended, the daemon is told of that.
        std::future::pending().await
    }

    /// Whether there are others.
    pub(super) const fn are_there(&self) -> bool {
        #[cfg(feature = "etcd")]
        return self.link.is_some();
        #[cfg(not(feature = "etcd"))]
        false
    }

    /// In blocks of others the maps promise nothing any more, and what they promised ends then.
    fn acknowledge(&self, until: BootSecs) {
        #[cfg(feature = "etcd")]
        if let Some(link) = &self.link {
            link.acknowledge(until);
        }
        #[cfg(not(feature = "etcd"))]
        let _ = until;
    }

    /// Why the nodes can't agree, in words for the operator.
    pub(super) fn trouble(&self) -> Option<String> {
        #[cfg(feature = "etcd")]
        if let Some(link) = &self.link {
            let shown = link.shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            return shown.trouble.clone();
        }
        None
    }

    /// What commits wait for, in words for the operator.
    pub(super) const fn waits_for(&self) -> &'static str {
        if self.are_there() { "etcd" } else { "the disk" }
    }

    /// Where leases are committed, in words for the operator.
    pub(super) fn store(&self) -> String {
        #[cfg(feature = "etcd")]
        if let Some(link) = &self.link {
            let shown = link.shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            return format!("etcd ({})", crate::cluster::in_words(&shown.nodes));
        }
        "embedded".into()
    }
}

#[cfg(feature = "etcd")]
impl Nodes {
    pub(super) const fn by(link: crate::cluster::Link) -> Self {
        Self { link: Some(link) }
    }
}

/// The blocks of each subnet.
#[cfg(feature = "etcd")]
pub(super) fn pools(config: &Config) -> Vec<Pools> {
    let subnets = config.subnets.iter().map(|subnet| {
        let mut blocks = Pools::new();
        for pool in &subnet.pools {
            for (block, addresses) in Block::between(pool.range.first, pool.range.last) {
                blocks.entry(block).or_default().addresses += addresses;
            }
        }
        for address in subnet.reservations.iter().filter_map(|reservation| reservation.address) {
            blocks.entry(Block::of(address)).or_default().reserved = true;
        }
        blocks
    });
    subnets.collect()
}

impl Server {
    /// Takes over a block, or what others can't have promised any more.
    pub(super) fn heard_of_nodes(&mut self, news: News) {
        let now = BootNanos::now().floor();
        match news {
            News::Owned(block, records, promised) => {
                self.policy.take_over(block, &promised);
                let mut actions = Vec::new();
                let mut refused = 0;
                for record in &records {
                    if let Err(error) = self.policy.import(now, &self.table, record, &mut actions) {
                        refused += 1;
                        tracing::warn!(address = %record.address, %error, "of another node's block");
                    }
                }
                tracing::info!(%block, records = records.len(), refused, promised = promised.len(), "took over a block");
                self.queue(actions);
            }
            News::Cleared(addresses) => self.policy.cleared(&addresses),
        }
    }

    /// What this node owns of the address space, before policy takes over the leases in it.
    pub(super) fn share(&mut self) {
        #[cfg(feature = "etcd")]
        if let Some(link) = &mut self.nodes.link {
            self.policy.share(std::mem::take(&mut link.owned), std::mem::take(&mut link.withheld));
        }
    }

    /// What the maps promise in blocks that this node lost ends here: that node is told that it can promise no more, and how
    /// long what it promised lasts.
    pub(super) fn leave_to_others(&mut self) {
        if !self.nodes.are_there() {
            return;
        }
        let (mut until, mut left) = (BootSecs(0), 0);
        let theirs: Vec<Ipv4Addr> =
            self.table.addresses().filter(|address| self.policy.is_elsewhere(*address)).collect();
        for address in theirs {
            let alive = self.table.load(address).alive();
            let word = if alive { revoke_anyway(&self.table, address) } else { self.table.load(address) };
            left += u32::from(alive);
            until = until.max(word.expiry());
        }
        self.table.tidy();
        if left > 0 {
            tracing::info!(leases = left, "left leases to the nodes that have taken over their blocks");
        }
        self.nodes.acknowledge(until);
    }

    /// The configuration has other pools now.
    pub(super) fn shares_have_changed(&self) {
        #[cfg(feature = "etcd")]
        if let Some(link) = &self.nodes.link {
            link.configure(pools(&self.config));
        }
    }
}
