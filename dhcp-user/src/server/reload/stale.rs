//! What the kernel would say of leases, forgotten where it rests on what does not hold any more.

use std::net::Ipv4Addr;

use crate::server::Server;

/// How many addresses are looked at between two turns: a fraction of a millisecond's work.
const SLICE: usize = 2048;

/// A walk over all leases that the kernel has.
#[derive(Debug, Default)]
pub(in crate::server) struct Forgetting {
    /// The last address that was looked at.
    after: Option<Ipv4Addr>,
    forgotten: u64,
    /// How many leases a reload has ended that waits for this.
    reload: Option<u64>,
}

impl Server {
    /// Has the kernel forget the answers that rest on another [`Basis`](crate::policy::Basis) than the present one: the
    /// next renewal of each such lease is answered by the daemon. A reload that has ended so many leases is done then.
    ///
    /// It is done bit by bit, by [`forget_some`](Self::forget_some). What was decided before and is not done yet is looked at
    /// when it is published: see [`mark_former`](Self::mark_former).
    pub(in crate::server) fn forget_stale(&mut self, reload: Option<u64>) {
        // One under way begins anew, and still has what it has found.
        let before = self.forgetting.take().unwrap_or_default();
        self.forgetting =
            Some(Forgetting { after: None, forgotten: before.forgotten, reload: reload.or(before.reload) });
    }

    /// Whether [`forget_some`](Self::forget_some) has more to do.
    pub(in crate::server) const fn is_forgetting(&self) -> bool {
        self.forgetting.is_some()
    }

    /// A bit of what [`forget_stale`](Self::forget_stale) has begun.
    pub(in crate::server) fn forget_some(&mut self) {
        let Some(mut walk) = self.forgetting.take() else { return };
        let Self { policy, table, .. } = self;
        let looked_at: Vec<Ipv4Addr> = table.addresses_after(walk.after).take(SLICE).collect();
        let stale: Vec<_> = looked_at
            .iter()
            .filter_map(|address| {
                let (link, basis) = table.live(*address)?;
                let present = policy.basis(*address, link).filter(|present| *present != basis);
                present.map(|present| (*address, present))
            })
            .collect();
        for (address, present) in &stale {
            table.rest_on(*address, *present);
        }
        walk.forgotten += stale.len() as u64;
        walk.after = looked_at.last().copied();
        if looked_at.len() == SLICE {
            self.forgetting = Some(walk);
            return;
        }
        if walk.forgotten > 0 {
            tracing::info!(
                leases = walk.forgotten,
                "leases whose answers may have changed are answered anew"
            );
        }
        match walk.reload {
            Some(revoked) => self.forgotten(walk.forgotten, revoked),
            // The walk of a reload that has more to do than this.
            None => self.note_forgotten(walk.forgotten),
        }
    }
}
