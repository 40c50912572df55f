//! Where a message came from: checked here, once, for every message type.
//!
//! The message shows the link of the frame and the station that sent it, the source of the datagram, and giaddr with
//! the relay information. Routers forward neither broadcasts nor datagrams from 0.0.0.0 (RFC 1812 §5.3.5.1, §5.3.7):
//! their sender is on the link. The sender of a unicast counts as being where its source address is. From there it
//! can only go on with a lease or end it, not begin one.
//!
//! ```text
//! giaddr set        by a relay:      giaddr is listed or in a subnet, and neither it nor the source is of a pool
//! broadcast, or
//! from 0.0.0.0      on the link:     all is possible
//! unicast from an address of the link, by the station that chaddr names
//!                   on the link:     ciaddr, where it is set, is the source
//! any other unicast through routers: ciaddr is the source; RENEWING, RELEASE, INFORM and no other message
//! ```

use std::net::Ipv4Addr;

use dhcp_ebpf::abi::Link;

use crate::message::{Kind, Request};
use crate::policy::action::Silence;
use crate::policy::book::Book;
use crate::policy::book::binding::{Binding, Station};
use crate::policy::book::client_origin::ClientOrigin;
use crate::policy::book::identity::Identity;
use crate::policy::book::offers::Offer;
use crate::policy::book::state::State;
use crate::policy::site::Site;
use crate::policy::site::arrival::{Way, goes_on};
use crate::policy::site::place::Place;

/// Compares where a message came from with where a client had its lease or offer.
#[derive(Clone, Copy, Debug)]
pub(in crate::policy) struct Origins<'a> {
    pub(in crate::policy) site: &'a Site,
    pub(in crate::policy) book: &'a Book,
}

impl Origins<'_> {
    /// Whether a message may have come from where it says it came from, and may be sent from there.
    ///
    /// # Errors
    /// Why it gets no answer.
    pub(in crate::policy) fn admit(&self, request: &Request) -> Result<(), Silence> {
        let way = self.site.way(request);
        if way == Way::Relay && self.site.subnets.is_ours(request.giaddr) {
            return Err(Silence::RelayIsUs);
        }
        if request.kind == Kind::LeaseQuery {
            // Who may ask about leases is listed by itself, and need serve no subnet (RFC 4388 §7).
            return Ok(());
        }
        if self.site.segment(request).is_empty() {
            let is_named = request.options.subnet.is_some() || request.options.agent.is_some();
            let lacks_server = way == Way::Link && !is_named && self.site.subnets.has_vlan_of(request.link);
            return Err(if lacks_server { Silence::NoServerId } else { Silence::NoSubnet });
        }
        match way {
            Way::Relay if !self.may_relay(request.ip_src) || !self.may_relay(request.giaddr) => {
                Err(Silence::RelaySource)
            }
            Way::Relay => Ok(()),
            Way::Router if !goes_on(request) => Err(Silence::NotOnLink),
            Way::Link | Way::Router => check_source(request, self.is_from_us(request)),
        }
    }

    /// Whether a relay may have this address. One of a pool is a client's, which can take an address and claim to be a
    /// relay; but it can't send from any other where its access network looks at sources (RFC 2827).
    fn may_relay(&self, address: Ipv4Addr) -> bool {
        let pooled = self
            .book
            .find(address)
            .is_some_and(|place| self.book.pool(place).is_some() && !self.book.is_withheld(place));
        !address.is_unspecified()
            && !address.is_broadcast()
            && !self.site.subnets.is_ours(address)
            && (!pooled || self.site.subnets.lists(address))
    }

    /// Whether it claims to come from ourselves. A client whose leased address has become ours sends from there, too,
    /// and must get its NAK.
    fn is_from_us(&self, request: &Request) -> bool {
        let leased = |place: &Place| self.book.state(*place) == State::Leased;
        let owner = || {
            let place = self.book.find(request.ip_src).filter(leased);
            place.is_some_and(|place| self.book.recognises(place, request))
        };
        let goes_on = request.kind == Kind::Request && request.ciaddr == request.ip_src;
        self.site.subnets.is_ours(request.ip_src) && !(goes_on && owner())
    }

    /// Whether the sender of `request`, which is to end the lease of `place`, is where the lease's owner is: at [its
    /// place](Self::is_at_its_place), with the same station there, and on the same circuit if both are known.
    pub(super) fn came_as_leased(&self, place: Place, request: &Request) -> bool {
        let Some(owner) = self.book.binding(place) else { return false };
        if wrong!(OriginUnchecked) {
            return true;
        }
        if !self.is_at_its_place(place, owner, request) {
            return false;
        }
        match self.site.way(request) {
            Way::Relay => circuits_agree(owner, request),
            // A client that is not on our link unicasts through its router; nothing but the source tells who it is.
            Way::Router => {
                request.ip_src == request.ciaddr
                    && (self.is_routed(place, owner)
                        || owner.station == Station::Unknown
                        || self.book.station(place) == Some(request.eth_src))
            }
            Way::Link if is_from_behind_relay(owner, request) => true,
            Way::Link => self.is_station_of(place, owner, request),
        }
    }

    /// Whether `request` came by the link that the lease of `place` was got on (or by another uplink) and, by relay, through
    /// the same one or another that is listed for the same subnets.
    fn is_at_its_place(&self, place: Place, owner: &Binding, request: &Request) -> bool {
        let subnet = self.book.subnet(place);
        let same_link = owner.link == request.link
            || self.is_by_other_uplink(owner, request)
            || self.has_left_its_link(place, owner);
        let behind = !owner.giaddr.is_unspecified();
        same_link
            && match self.site.way(request) {
                Way::Relay => {
                    owner.giaddr == request.giaddr
                        || (behind || owner.adopted)
                            && self.site.subnets.list_together(subnet, request.giaddr)
                }
                Way::Router => true,
                Way::Link => !behind || owner.adopted || is_from_behind_relay(owner, request),
            }
    }

    /// Whether nobody can be on the link any more that the lease of `place` was got on: an imported lease has none yet, and
    /// the operator may have taken an interface out, or its subnet to another.
    fn has_left_its_link(&self, place: Place, owner: &Binding) -> bool {
        self.site.subnets.interface(owner.link.ifindex).is_none()
            || self.is_reached_directly(place, owner)
                && !self.site.subnets.is_on(self.book.subnet(place), owner.link)
    }

    /// Whether a message goes on with an exchange that has begun where it comes from: it is about an offer or a lease of
    /// its client, or about the offer of ours that its client leaves for another server's.
    pub(in crate::policy) fn has_begun(&self, request: &Request) -> bool {
        if !matches!(request.kind, Kind::Request | Kind::Decline | Kind::Release) {
            return false;
        }
        let who = Identity::of(request);
        let origin = ClientOrigin::of(request);
        let leaves = request.options.server.is_some_and(|server| !self.site.is_us(request, server));
        let address = Some(request.ciaddr).filter(|ciaddr| !ciaddr.is_unspecified());
        let place = address.or(request.options.requested).and_then(|address| self.book.find(address));
        let fits = |offer: &Offer| offer.origin == origin && (leaves || Some(offer.place) == place);
        let offered =
            self.site.segment(request).iter().any(|id| self.book.offer_of(*id, who).is_some_and(fits));
        let leased = |place: Place| {
            self.book.state(place) == State::Leased
                && self.book.recognises(place, request)
                && self.came_as_leased(place, request)
        };
        offered || place.is_some_and(leased)
    }

    /// Whether relays and routers brought `request` by a link other than that of the lease, and neither has clients
    /// on it: relays and routers choose between such links.
    fn is_by_other_uplink(&self, owner: &Binding, request: &Request) -> bool {
        let is_uplink = |link| self.site.subnets.on_link(link).is_none_or(|here| here.is_empty());
        self.site.way(request) != Way::Link && is_uplink(owner.link) && is_uplink(request.link)
    }

    /// Whether the owner of the lease of `place` reaches us through routers.
    fn is_routed(&self, place: Place, owner: &Binding) -> bool {
        !self.site.subnets.get(self.book.subnet(place)).prefix.contains(owner.server)
    }

    fn is_reached_directly(&self, place: Place, owner: &Binding) -> bool {
        owner.giaddr.is_unspecified() && !self.is_routed(place, owner)
    }

    /// Whether the station that sent `request` is the one that got the lease of `place`, which `owner` has. After a restart
    /// any station may be: those behind a bridge could not give back what they have otherwise.
    fn is_station_of(&self, place: Place, owner: &Binding, request: &Request) -> bool {
        match (self.book.station(place), request.mac()) {
            _ if owner.station == Station::Unknown => true,
            (Some(station), _) => request.eth_src == station,
            (None, Some(mac)) => request.eth_src == mac,
            (None, None) => true,
        }
    }

    /// The origin to record for the lease of `place` that `request` gets or goes on with. A REQUEST in SELECTING or
    /// INIT-REBOOT shows where its client is now. One that goes on with a running lease does not: its sender need not
    /// hear an answer, so anybody can send it in the client's name, from elsewhere.
    pub(super) fn origin_for(&self, place: Place, request: &Request) -> Origin {
        let former = self.book.binding(place).filter(|_| self.book.recognises(place, request));
        let goes_on = !request.ciaddr.is_unspecified() && !self.book.is_offered_here(place, request);
        let elsewhere = former.filter(|owner| {
            // Of a lease that another server gave nobody knows where its client is, before that is heard.
            let is_known = owner.link.ifindex != 0;
            goes_on
                && is_known
                && self.book.state(place) == State::Leased
                && !self.is_at_its_place(place, owner, request)
        });
        if let Some(Binding { link, giaddr, station, .. }) = elsewhere {
            let other_station = self.book.station(place);
            return Origin { link: *link, giaddr: *giaddr, station: *station, other_station, is_kept: true };
        }
        // Who renews past its relay is still behind it.
        let giaddr = match former {
            Some(owner) if self.site.way(request) == Way::Router => owner.giaddr,
            _ => request.giaddr,
        };
        let (station, other_station) = self.station_for(place, request, former);
        Origin { link: request.link, giaddr, station, other_station, is_kept: false }
    }

    /// The station to record for a lease of `place` that `request` gets, and its address if chaddr names another. The
    /// station that chaddr names may take over a lease that another got in its name, by going on with it. Any other
    /// station has to take an offer for that: the device is behind a bridge now.
    fn station_for(
        &self,
        place: Place,
        request: &Request,
        former: Option<&Binding>,
    ) -> (Station, Option<[u8; 6]>) {
        let own = request.mac().is_some_and(|mac| mac == request.eth_src);
        let sender = (Station::Known, Some(request.eth_src));
        let unknown = former.is_some_and(|owner| owner.station == Station::Unknown);
        let kept = former.map_or((Station::Known, None), |owner| (owner.station, self.book.station(place)));
        let runs = former.is_some() && self.book.state(place) == State::Leased;
        match self.site.way(request) {
            Way::Relay => (Station::Known, None),
            Way::Link if own => (Station::Known, None),
            Way::Link if unknown || !runs || self.book.is_offered_here(place, request) => sender,
            // Who is on the link, and unicasts through a bridge.
            Way::Router if unknown && former.is_some_and(|owner| self.is_reached_directly(place, owner)) => {
                sender
            }
            Way::Link | Way::Router => kept,
        }
    }
}

/// Where a lease is got.
#[derive(Clone, Copy, Debug)]
pub(in crate::policy) struct Origin {
    pub(in crate::policy) link: Link,
    /// The relay that its client is behind, or 0.0.0.0.
    pub(in crate::policy) giaddr: Ipv4Addr,
    pub(in crate::policy) station: Station,
    /// The station, if it isn't the one that chaddr names.
    pub(in crate::policy) other_station: Option<[u8; 6]>,
    /// Whether `request` came from elsewhere, and this is where the lease was got before.
    pub(in crate::policy) is_kept: bool,
}

/// Whether it comes past the relay that the owner is behind, from the address that is leased.
fn is_from_behind_relay(owner: &Binding, request: &Request) -> bool {
    !owner.giaddr.is_unspecified() && request.unicast() && request.ip_src == request.ciaddr
}

/// The rules on the source of a message without a relay.
fn check_source(request: &Request, is_ours: bool) -> Result<(), Silence> {
    let differs = request.unicast() && !request.ciaddr.is_unspecified() && request.ip_src != request.ciaddr;
    // Whoever answers these sends more than it got, or ends what somebody has, by an address that the sender chose.
    let by_address = matches!(request.kind, Kind::Release | Kind::Inform) || request.kind == Kind::Bootp;
    // Some that have an address ask from none (RFC 2131 §4.4.3 does not say from which), which they only can on the link.
    let asks_all = request.kind == Kind::Inform && request.ip_src.is_unspecified() && !request.unicast();
    let named = !request.ciaddr.is_unspecified() && request.ip_src != request.ciaddr;
    let chosen = by_address && named && !asks_all;
    if is_ours || differs || chosen { Err(Silence::SourceMismatch) } else { Ok(()) }
}

/// Whether the relay says the same of the circuit now, as far as it says something.
fn circuits_agree(owner: &Binding, request: &Request) -> bool {
    let before = owner.agent();
    let before = before.as_ref().and_then(|agent| agent.circuit_id.as_ref());
    let now = request.options.agent.as_ref().and_then(|agent| agent.circuit_id.as_ref());
    before.zip(now).is_none_or(|(before, now)| before == now)
}
