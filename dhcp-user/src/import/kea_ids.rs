//! The numbers that a configuration of Kea gives its subnets.

use std::net::Ipv4Addr;

use super::draft_subnets::prefix_of;
use super::json;
use super::origin::Unreadable;

/// Which number the subnet of an address has.
#[derive(Debug)]
pub struct SubnetIds(Vec<((u32, u32), u32)>);

impl SubnetIds {
    /// Reads them out of `file`.
    ///
    /// # Errors
    /// [`Unreadable`] if it isn't built as Kea's configurations are, or a subnet has no number.
    pub fn read(file: &str, read: &dyn Fn(&str) -> Result<Vec<u8>, String>) -> Result<Self, Unreadable> {
        let whole = json::parse(file, read)?;
        let dhcp4 =
            whole.get("Dhcp4").ok_or_else(|| Unreadable::new(&whole.at, "there is no \"Dhcp4\" in it"))?;
        let networks = dhcp4.get("shared-networks").map(json::Node::list).unwrap_or_default();
        let places = std::iter::once(dhcp4).chain(networks);
        let nodes = places.flat_map(|place| place.get("subnet4").map(json::Node::list).unwrap_or_default());
        let ids = nodes.map(|node| {
            let prefix = node.get("subnet").and_then(json::Node::text).and_then(prefix_of);
            let id = node.get("id").and_then(json::Node::number).and_then(|id| u32::try_from(id).ok());
            prefix.zip(id).ok_or_else(|| {
                Unreadable::new(&node.at, "this subnet lacks its prefix or its \"id\": add it")
            })
        });
        ids.collect::<Result<_, _>>().map(Self)
    }

    /// That of the subnet that this address is in.
    #[must_use]
    pub fn of(&self, address: Ipv4Addr) -> Option<u32> {
        let holds = |(first, last): (u32, u32)| (first..=last).contains(&address.to_bits());
        self.0.iter().find(|(range, _)| holds(*range)).map(|(_, id)| *id)
    }
}
