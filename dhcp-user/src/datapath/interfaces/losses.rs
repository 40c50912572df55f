//! The kernel's counts of each interface for frames that our program did not see: frames lost before it, and errors.

use anyhow::Result;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage, Stats64};

use super::netlink;

/// The losses of an interface, by the kernel's names of its counters (`struct rtnl_link_stats64`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Losses {
    /// The interface.
    pub interface: String,
    /// Each counter.
    pub counters: [(&'static str, u64); 12],
}

/// The losses of all interfaces.
///
/// # Errors
/// When netlink fails.
pub fn losses() -> Result<Vec<Losses>> {
    let links = netlink::dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    Ok(links.iter().filter_map(of).collect())
}

fn of(message: &RouteNetlinkMessage) -> Option<Losses> {
    let RouteNetlinkMessage::NewLink(link) = message else { return None };
    let name = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    });
    let counted = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Stats64(counted) => Some(counters(counted)),
        _ => None,
    });
    Some(Losses { interface: name?, counters: counted? })
}

fn counters(counted: &Stats64) -> [(&'static str, u64); 12] {
    [
        ("rx-errors", counted.rx_errors),
        ("rx-dropped", counted.rx_dropped),
        ("rx-missed-errors", counted.rx_missed_errors),
        ("rx-fifo-errors", counted.rx_fifo_errors),
        ("rx-over-errors", counted.rx_over_errors),
        ("rx-length-errors", counted.rx_length_errors),
        ("rx-crc-errors", counted.rx_crc_errors),
        ("rx-frame-errors", counted.rx_frame_errors),
        ("rx-nohandler", counted.rx_nohandler),
        ("tx-errors", counted.tx_errors),
        ("tx-dropped", counted.tx_dropped),
        ("tx-fifo-errors", counted.tx_fifo_errors),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_there_with_all_counters() {
        let all = losses().expect("netlink");
        let loopback = all.iter().find(|losses| losses.interface == "lo").expect("a loopback");
        assert!(loopback.counters.iter().all(|(name, _)| name.starts_with("rx-") || name.starts_with("tx-")));
    }
}
