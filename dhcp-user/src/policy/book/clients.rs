//! The owner of an address: whether a request comes from the client that the address is bound or offered to.

use dhcp_ebpf::lease::{BootSecs, Word};

use super::Book;
use super::binding::Binding;
use super::client_origin::ClientOrigin;
use super::identity::Identity;
use super::offers::Offer;
use super::state::State;
use crate::message::Request;
use crate::policy::site::digest::digest;
use crate::policy::site::place::Place;
use crate::policy::site::subnet_id::SubnetId;
use crate::store::HwAddr;

impl Book {
    /// Whether the address at `place` is bound to the client that sent `request`.
    ///
    /// One that omits its client identifier, or has only now begun to send one, is known by its hardware address if
    /// that holds no other lease.
    pub(in crate::policy) fn recognises(&self, place: Place, request: &Request) -> bool {
        let Some(binding) = self.binding(place) else { return false };
        if wrong!(AnyoneRenews) || binding.identity() == Identity::of(request) {
            return true;
        }
        let one_is_silent = binding.client_id().is_some() != request.options.client_id.is_some();
        let alone = || {
            if binding.chaddr().octets().is_empty() {
                return false;
            }
            let leased = self.leased_to_device(self.subnet(place), binding.chaddr());
            // What another has got in its name elsewhere is none of its leases.
            leased.iter().all(|other| *other == place || self.origin(*other) != self.origin(place))
        };
        one_is_silent && binding.chaddr() == request.chaddr && alone()
    }

    /// Whether the address at `place` is bound to exactly the client that sent `request`: a message that ends a lease
    /// must fit.
    ///
    /// ConnMan leaves its client identifier out of such messages (RFC 2131 §4.4.6 asks for it). Then the address,
    /// which the message names, and the hardware address decide.
    pub(in crate::policy) fn owns(&self, place: Place, request: &Request) -> bool {
        self.binding(place).is_some_and(|binding| {
            binding.chaddr() == request.chaddr
                && (binding.adopted
                    || request.options.client_id.is_none()
                    || binding.identity() == Identity::of(request))
        })
    }

    /// Whether the address was taken from another client that may not know, and may use it still.
    pub(in crate::policy) fn promised_to_another(
        &self,
        place: Place,
        now: BootSecs,
        request: &Request,
    ) -> bool {
        let runs =
            self.binding(place).is_some_and(|binding| binding.expiry > now) && !wrong!(PromisedIgnored);
        self.state(place) == State::Grace && runs && !self.recognises(place, request)
    }

    /// Whether another device than the one that sent `request` has the lease of `place`.
    pub(in crate::policy) fn is_another_devices(&self, place: Place, request: &Request) -> bool {
        self.state(place) == State::Leased
            && self.binding(place).is_some_and(|owner| owner.chaddr() != request.chaddr)
            && !self.recognises(place, request)
    }

    /// Whether another device has the lease of `place`, or another line of the same one. A device is one client that comes
    /// by several identifiers one after the other (a boot loader's, a system's); but the lines of a remote access server are
    /// in use at once.
    pub(in crate::policy) fn is_anothers(&self, place: Place, request: &Request) -> bool {
        let of_line = || {
            Identity::of(request).is_ras()
                || self.binding(place).is_some_and(|owner| owner.identity().is_ras())
        };
        self.is_another_devices(place, request)
            || self.state(place) == State::Leased && !self.recognises(place, request) && of_line()
    }

    /// Whether the address is leased to the device that sent `request`, under any identity.
    pub(in crate::policy) fn is_leased_to_device(&self, place: Place, request: &Request) -> bool {
        self.state(place) == State::Leased
            && self.binding(place).is_some_and(|owner| owner.chaddr() == request.chaddr)
    }

    /// The address in `subnet` that the client which sent `request` has, or had last.
    pub(in crate::policy) fn owned_by(&self, subnet: SubnetId, request: &Request) -> Option<Place> {
        self.owned(subnet, Identity::of(request))
    }

    /// Whether the address is offered to another client than the one that sent `request`.
    pub(in crate::policy) fn is_offered_to_another(&self, place: Place, request: &Request) -> bool {
        self.offer_at(place).is_some_and(|offer| !is_made_to(offer, request))
    }

    /// Whether the address is offered to the device that sent `request`, and that is one client under whatever identifier.
    pub(in crate::policy) fn is_offered_to_device(&self, place: Place, request: &Request) -> bool {
        self.offer_at(place).is_some_and(|offer| {
            let of_line = offer.client.identity().is_ras() || Identity::of(request).is_ras();
            offer.chaddr == request.chaddr && !of_line
        })
    }

    /// Whether the address is offered to the client that it is bound to, and that client sent `request`, with the
    /// same identifier or not.
    pub(in crate::policy) fn is_offered_to_its_owner(&self, place: Place, request: &Request) -> bool {
        let offered = self.offer_at(place).zip(self.binding(place));
        offered.is_some_and(|(offer, owner)| offer.client == owner.identity())
            && self.recognises(place, request)
    }

    /// Whether the address is offered to exactly the client that sent `request`.
    pub(in crate::policy) fn is_offered_to(&self, place: Place, request: &Request) -> bool {
        self.offer_at(place).is_some_and(|offer| is_made_to(offer, request) && offer.chaddr == request.chaddr)
    }

    /// Whether the address is offered to the client that sent `request`, where that comes from.
    pub(in crate::policy) fn is_offered_here(&self, place: Place, request: &Request) -> bool {
        let here = self.offer_at(place).is_some_and(|offer| offer.origin == ClientOrigin::of(request));
        here && self.is_offered_to(place, request)
    }

    /// Whether its owner, or last owner, has it for good (BOOTP).
    pub(in crate::policy) fn is_for_good(&self, place: Place) -> bool {
        self.binding(place).is_some_and(Binding::is_for_good)
    }

    /// Whether the kernel has promised the leased address, whose word was `last`, after a message that came at `arrival`.
    pub(in crate::policy) fn is_promised_since(&self, place: Place, last: Word, arrival: BootSecs) -> bool {
        self.state(place) == State::Leased
            && self.binding(place).is_some_and(|binding| {
                last.expiry() > binding.granted_until && binding.promised_after(last, arrival)
            })
    }

    /// Whether the station is that of the address's owner, or last owner, or stood for it when it got the lease.
    pub(in crate::policy) fn is_of_holder(&self, place: Place, station: [u8; 6]) -> bool {
        self.binding(place).is_some_and(|owner| owner.chaddr() == HwAddr::ethernet(station))
            || self.station(place) == Some(station)
    }

    /// Where the owner of the lease of `place` got it; from the station that chaddr names, if it is not known.
    pub(in crate::policy) fn origin(&self, place: Place) -> Option<ClientOrigin> {
        let owner = self.binding(place)?;
        if !owner.giaddr.is_unspecified() {
            let agent = owner.agent();
            let circuit = agent.as_ref().and_then(|agent| agent.circuit_id.as_deref());
            return Some(ClientOrigin::Circuit(owner.giaddr, digest(&circuit)));
        }
        let own = || owner.chaddr().octets().try_into().unwrap_or_default();
        Some(ClientOrigin::Station(owner.link, self.station(place).unwrap_or_else(own)))
    }
}

/// Whether it was made to the client that sent `request`. Some name their identifier in one message of an exchange and not in
/// the other, against RFC 2131 §4.2: from where it was made, the hardware address tells.
fn is_made_to(offer: &Offer, request: &Request) -> bool {
    let one_is_silent =
        matches!(offer.client.identity(), Identity::ClientId(_)) != request.options.client_id.is_some();
    let same_device = || offer.chaddr == request.chaddr && offer.origin == ClientOrigin::of(request);
    offer.client == Identity::of(request) || one_is_silent && same_device()
}
