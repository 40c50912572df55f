//! The subnets that a message was considered for, and the configured ways, to find out why it got no answer.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use dhcp_ebpf::abi::Link;

use crate::config::{Prefix, Vlan};
use crate::message::Request;
use crate::policy::Policy;
use crate::policy::site::subnet::SubnetId;

impl Policy {
    /// The subnets that the client of `request` may have an address of, those to be preferred first.
    #[must_use]
    pub fn considered(&self, request: &Request) -> Box<[Prefix]> {
        let segment = self.site.segment(request);
        if segment.is_empty() && !request.relayed() {
            return self.prefixes(&self.site.subnets.of_vlan(request.link).collect::<Vec<_>>());
        }
        self.prefixes(&segment)
    }

    /// The same of a message that can't be read, as far as is known where it came from.
    #[must_use]
    pub fn considered_at(&self, link: Link, giaddr: Ipv4Addr) -> Box<[Prefix]> {
        if giaddr.is_unspecified() {
            return self.site.subnets.on_link(link).map_or_else(Box::default, |here| self.prefixes(here));
        }
        self.site.subnets.behind(giaddr).map_or_else(Box::default, |behind| self.prefixes(&behind))
    }

    /// The relays that are listed, in order.
    #[must_use]
    pub fn relays(&self) -> Vec<Ipv4Addr> {
        let listed = self.site.subnets.ids().flat_map(|id| self.site.subnets.get(id).relays.clone());
        listed.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The tags of the links that are served, in order.
    #[must_use]
    pub fn vlans(&self) -> Vec<Vlan> {
        let tags = self.site.subnets.ids().map(|id| self.site.subnets.get(id).vlan);
        tags.collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn prefixes(&self, subnets: &[SubnetId]) -> Box<[Prefix]> {
        subnets.iter().map(|id| self.site.subnets.get(*id).prefix).collect()
    }
}
