//! How a message came here, whether its option 82 is believed, and which subnets serve it.

use super::Site;
use super::subnet::Segment;
use crate::message::{Kind, Request};

/// How a message came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Way {
    /// Over the link that the client is on.
    Link,
    /// Through routers, or not distinguishable from that.
    Router,
    /// By a relay agent.
    Relay,
}

impl Site {
    /// The request, with option 82 judged. A switch or an access node that is no relay may add the option to passing
    /// messages (DHCP snooping). So may any client, unless the operator says that the switch stops that.
    pub(in crate::policy) fn judge_agent(&self, mut request: Request) -> Request {
        if self.is_doubtful(&request) {
            if self.trusts(&request) { request.believe_switch() } else { request.disbelieve_agent() }
        }
        request
    }

    /// Whether option 82 came without a relay, and is to be looked at.
    pub(in crate::policy) fn is_doubtful(&self, request: &Request) -> bool {
        !request.relayed() && request.options.agent.is_some()
    }

    fn trusts(&self, request: &Request) -> bool {
        let own = self.subnets.containing(request.ciaddr).filter(|_| request.unicast() && goes_on(request));
        own.map_or_else(
            || self.subnets.trusts(request.link),
            |subnet| self.subnets.believes(subnet, request.link),
        )
    }

    /// How a message came here.
    pub(in crate::policy) fn way(&self, request: &Request) -> Way {
        if request.relayed() {
            return Way::Relay;
        }
        // A broadcast of a subnet may have been forwarded (RFC 2644), one to all hosts never is.
        if request.ip_dst.is_broadcast() || request.ip_src.is_unspecified() {
            return Way::Link;
        }
        // The source of a datagram that a router brought can be an address of this link, too, unless somebody on its way
        // looked at that; but the router's own hardware address stands in its frame.
        let is_own = request.mac().is_none_or(|mac| mac == request.eth_src);
        let of_link = |here: &Segment| {
            self.subnets.containing(request.ip_src).is_some_and(|subnet| here.contains(&subnet))
        };
        if is_own && self.subnets.on_link(request.link).is_some_and(of_link) {
            Way::Link
        } else {
            Way::Router
        }
    }

    /// The subnets that the client may have an address of; for one that goes on with an address, those on the link of
    /// that (RFC 2131 §4.3.2: `ciaddr` of a unicast message is to be trusted).
    pub(in crate::policy) fn segment(&self, request: &Request) -> Segment {
        if !request.relayed() && request.unicast() && goes_on(request) {
            let own = self.subnets.containing(request.ciaddr).filter(|_| !request.ciaddr.is_unspecified());
            if let Some(subnet) = own {
                let reached = self.subnets.may_be_reached_by(subnet, request.link);
                return if reached { self.subnets.segment(subnet) } else { Segment::default() };
            }
        }
        self.subnets.of(request)
    }
}

/// Whether the message goes on with an address that its client has, by the kind of it.
pub(in crate::policy) fn goes_on(request: &Request) -> bool {
    match request.kind {
        Kind::Request | Kind::Release | Kind::Inform | Kind::Bootp => !request.ciaddr.is_unspecified(),
        Kind::Discover | Kind::Decline => false,
        Kind::LeaseQuery => true,
    }
}
