//! Frames with VLAN tags reach the server as they came: the card passes them on, though nobody else has asked it for their VLANs,
//! and takes no tag off.

use std::collections::BTreeMap;

use crate::datapath::interfaces::netlink::LinkState;
use crate::datapath::program::offload::{let_tagged_pass, takes_tags};

/// The names of offloads, by the index of the interface.
pub(super) type TagTakers = BTreeMap<u32, String>;

/// By what the drivers of interfaces with a program take tags off what that is to see, as far as they do.
pub(super) fn tag_takers(links: &[LinkState]) -> TagTakers {
    let under = links.iter().filter(|link| link.xdp.is_some()).map(|link| &link.facts);
    under.filter_map(|facts| Some((facts.ifindex, takes_tags(&facts.name).ok()??))).collect()
}

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
