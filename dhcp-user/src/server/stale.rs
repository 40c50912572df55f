//! What the kernel would say of leases, forgotten where it rests on what does not hold any more.

use super::Server;

impl Server {
    /// Has the kernel forget the answers that rest on another [`Basis`](crate::policy::Basis) than the present one: the
    /// next renewal of each such lease is answered by the daemon. Gives how many leases that are.
    ///
    /// What was decided before and is not done yet is looked at when it is published: see
    /// [`mark_former`](Self::mark_former).
    pub(super) fn forget_stale(&mut self) -> u64 {
        let Self { policy, table, .. } = self;
        let present = table.live().filter_map(|(address, link, basis)| {
            policy.basis(address, link).filter(|present| *present != basis).map(|present| (address, present))
        });
        let stale: Vec<_> = present.collect();
        for (address, present) in &stale {
            table.rest_on(*address, *present);
        }
        if !stale.is_empty() {
            tracing::info!(leases = stale.len(), "leases whose answers may have changed are answered anew");
        }
        stale.len() as u64
    }
}
