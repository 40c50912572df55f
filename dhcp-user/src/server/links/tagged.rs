//! Frames with VLAN tags reach the server, though nobody else has asked the card for their VLANs.

use crate::datapath::program::offload::let_tagged_pass;
use crate::server::Server;
use crate::server::equipment::absent::is_there;

impl Server {
    /// Has the card of an interface pass on what is tagged, if a subnet is on a VLAN.
    pub(in crate::server) fn let_tagged_pass(&self, interface: &str) {
        if !self.config.subnets.iter().any(|subnet| subnet.vlan.outer != 0) {
            return;
        }
        match let_tagged_pass(interface) {
            Ok(filters) => {
                if !filters.turned_off.is_empty() {
                    let filters = filters.turned_off;
                    tracing::info!(
                        interface,
                        ?filters,
                        "turned off: subnets are on VLANs that the card would drop"
                    );
                }
                if !filters.stayed.is_empty() {
                    let filters = filters.stayed;
                    tracing::warn!(
                        interface,
                        ?filters,
                        "the card may drop what is tagged, and can't be told not to: add a VLAN interface for each VLAN"
                    );
                }
            }
            Err(error) => tracing::debug!(interface, %error, "the driver's VLAN filters can't be looked at"),
        }
    }

    /// The same of all interfaces, for another configuration.
    pub(in crate::server) fn let_tagged_pass_everywhere(&self) {
        let there = self.interfaces.values().filter(|served| is_there(&served.facts));
        there.for_each(|served| self.let_tagged_pass(&served.facts.name));
    }
}
