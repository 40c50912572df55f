//! Makes the kernel forget answers whose basis no longer holds.

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
    /// Makes the kernel forget the answers with a [`Basis`](crate::policy::Basis) other than the present one: the
    /// daemon answers the next renewal of each such lease. A reload that has ended so many leases is done then.
    ///
    /// [`forget_some`](Self::forget_some) does it in steps. Earlier decisions that are not carried out yet are
    /// checked when they are published: see [`mark_former`](Self::mark_former).
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

    /// A step of the walk that [`forget_stale`](Self::forget_stale) has begun.
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
