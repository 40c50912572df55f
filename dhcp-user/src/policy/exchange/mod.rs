//! The exchange: a file for each message that a client sends, and what they share.
//!
//! It owns no lease: its decisions go into the book, and out as actions. It owns two limits: on the NAKs that went
//! out, and on the events about clients without an address. Its invariant: no promise leaves before the commit that
//! holds it.

mod bootp;
mod circuit_cap;
mod class_cap;
mod decline;
mod device_cap;
mod discover;
mod draw;
mod entitlement;
mod grant;
mod inform;
mod ipv6_only;
mod leasequery;
mod naks;
mod notices;
pub(in crate::policy) mod origin;
mod reclaim;
mod release;
mod request;

use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::message::{Kind, Request};
use crate::policy::action::Silence;
use crate::policy::book::Book;
use crate::policy::book::circuits::Circuit;
use crate::policy::book::state::Apart;
use crate::policy::evidence::{Evidence, Inquiry};
use crate::policy::predict::Predictions;
use crate::policy::site::Site;
use crate::policy::site::subnet_id::SubnetId;
use crate::policy::tenure::Tenure;
use crate::policy::tenure::doubts::Doubts;
use crate::policy::tenure::unconfigured::Unconfigured;
use crate::policy::terms::membership::kept_agent;
use crate::policy::turn::Turn;
use crate::store::HwAddr;
use naks::Naks;
use notices::Notices;
use origin::Origins;

/// The limits on NAKs and on events.
#[derive(Debug, Default)]
pub(in crate::policy) struct Throttles {
    pub(in crate::policy) naks: Naks,
    /// The devices that hold as many leases as they may, or whose port's address another has.
    pub(in crate::policy) devices_at_cap: Notices<(SubnetId, HwAddr)>,
    /// The circuits that hold as many leases as they may.
    pub(in crate::policy) circuits_at_cap: Notices<(SubnetId, Circuit)>,
    /// The classes whose clients hold as many leases as they may.
    pub(in crate::policy) classes_at_cap: Notices<usize>,
}

/// What a step of this wing has: what the wing owns, and the wings below it.
#[derive(Debug)]
pub(in crate::policy) struct Exchange<'a> {
    pub(in crate::policy) site: &'a Site,
    pub(in crate::policy) book: &'a mut Book,
    pub(in crate::policy) predictions: &'a mut Predictions,
    pub(in crate::policy) evidence: &'a mut Evidence,
    pub(in crate::policy) doubts: &'a mut Doubts,
    pub(in crate::policy) unconfigured: &'a Unconfigured,
    pub(in crate::policy) throttles: &'a mut Throttles,
}

impl Exchange<'_> {
    fn inquiry(&mut self) -> Inquiry<'_> {
        Inquiry { site: self.site, book: self.book, evidence: self.evidence }
    }

    fn tenure(&mut self) -> Tenure<'_> {
        Tenure { site: self.site, book: self.book, evidence: self.evidence, doubts: self.doubts }
    }

    fn origins(&self) -> Origins<'_> {
        Origins { site: self.site, book: self.book }
    }

    pub(in crate::policy) fn message(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>) {
        if self.site.is_doubtful(request) {
            let believed = Arc::new(self.site.judge_agent(Request::clone(request)));
            return self.decide(turn, &believed);
        }
        self.decide(turn, request);
    }

    fn decide(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>) {
        if let Err(why) = self.origins().admit(request) {
            return turn.silence(request, why);
        }
        if self.drops(request) {
            return turn.silence(request, Silence::ClassDrop);
        }
        if self.book.is_shared() && self.is_another_nodes(request) {
            return turn.silence(request, Silence::AnotherNode);
        }
        match request.kind {
            Kind::Discover => self.discover(turn, request),
            Kind::Request => self.request(turn, request),
            Kind::Decline => self.decline(turn, request),
            Kind::Release => self.release(turn, request),
            Kind::Inform => self.inform(turn, request),
            Kind::Bootp => self.bootp(turn, request),
            Kind::LeaseQuery => self.lease_query(turn, request),
        }
    }

    /// Whether the message is about an address of a block that another node owns, or its client has one reserved there.
    fn is_another_nodes(&self, request: &Request) -> bool {
        let is_elsewhere = |address: Ipv4Addr| {
            self.book.find(address).is_some_and(|place| self.book.apart(place) == Apart::Elsewhere)
        };
        match request.kind {
            // It takes that server's offer, and leaves ours.
            Kind::Request
                if request.options.server.is_some_and(|server| !self.site.is_us(request, server)) =>
            {
                false
            }
            Kind::Request | Kind::Decline | Kind::Release => {
                let named = Some(request.ciaddr).filter(|ciaddr| !ciaddr.is_unspecified());
                named.or(request.options.requested).is_some_and(is_elsewhere)
            }
            Kind::Discover | Kind::Bootp => self.site.segment(request).iter().any(|id| {
                let reservation = self.site.subnets.reservation_for(*id, request);
                reservation.and_then(|reservation| reservation.address).is_some_and(is_elsewhere)
            }),
            Kind::Inform | Kind::LeaseQuery => false,
        }
    }

    /// Whether a client is in classes that drop, in any subnet. Messages without an answer still count: its RELEASE
    /// ends its lease.
    fn drops(&self, request: &Request) -> bool {
        let asks = matches!(request.kind, Kind::Discover | Kind::Request | Kind::Inform | Kind::Bootp);
        if !asks || !self.site.classes.any_drops() {
            return false;
        }
        let named = Some(request.ciaddr).filter(|ciaddr| !ciaddr.is_unspecified());
        let place = named.or(request.options.requested).and_then(|address| self.book.find(address));
        let kept_agent = place.and_then(|place| kept_agent(self.site, self.book, place, request));
        self.site.segment(request).iter().all(|id| self.site.drops(*id, request, kept_agent.as_ref()))
    }

    /// Clients whose waiting is over ask anew.
    pub(in crate::policy) fn hear_again(&mut self, turn: &mut Turn<'_>) {
        while let Some(request) = self.evidence.probes.next_to_hear() {
            self.message(turn, &request);
        }
    }
}
