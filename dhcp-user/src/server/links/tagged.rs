//! Frames with VLAN tags reach the server, though nobody else has asked the card for their VLANs.

use crate::datapath::program::offload::let_tagged_pass;

/// Has the card of an interface pass on what is tagged. It may take its time over that.
pub(super) fn let_pass(interface: &str) {
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
