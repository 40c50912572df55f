//! The site: what the operator configured, compiled for looking up.
//!
//! It owns the subnets and the ways to them, the reservations, the classes and the terms that follow from all these.
//! It uses the configuration and a message, and knows nothing of leases. Between two reloads only its interfaces
//! and the host's own addresses change, which come and go.

pub(in crate::policy) mod arrival;
pub(in crate::policy) mod classes;
pub(in crate::policy) mod digest;
pub(in crate::policy) mod interface;
pub(in crate::policy) mod neighbours;
pub(in crate::policy) mod place;
pub(in crate::policy) mod reservations;
pub(in crate::policy) mod settings;
pub(in crate::policy) mod subnet;
pub(in crate::policy) mod subnet_id;
pub(in crate::policy) mod terms;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use crate::config::{self, ClassSet, Config, Probe, Reservation, ReservationKey};
use crate::message::{AgentInformation, Request};
use classes::Classes;
use settings::Settings;
use subnet::{Interface, Subnets};
use subnet_id::SubnetId;
use terms::server_override;

/// The configuration as it is looked things up in.
#[derive(Debug)]
pub(in crate::policy) struct Site {
    pub(in crate::policy) settings: Settings,
    /// The relays that may send LEASEQUERY.
    pub(in crate::policy) requesters: BTreeSet<Ipv4Addr>,
    pub(in crate::policy) subnets: Subnets,
    pub(in crate::policy) classes: Classes,
    /// Whether it matters to some client what its relay says of it.
    pub(in crate::policy) by_relay: bool,
    /// Whether some class follows from a reservation.
    classes_by_reservation: bool,
    /// Whether addresses are probed, by the names of interfaces that say otherwise than the server.
    pub(in crate::policy) probe_on: BTreeMap<String, Probe>,
}

impl Site {
    pub(in crate::policy) fn new(config: &Config, interfaces: Vec<Interface>) -> Self {
        let trusting = config.interfaces.iter().filter(|interface| interface.trust_agent_information);
        let trusting = trusting.map(|interface| interface.name.clone()).collect();
        let classes = Classes::new(&config.classes);
        let reservations = || config.subnets.iter().flat_map(|subnet| &subnet.reservations);
        let by_circuit = |own: &Reservation| {
            let follows = own.address.is_none() || !own.classes.is_empty();
            matches!(own.key, ReservationKey::Circuit { .. }) && (follows || classes.by_known)
        };
        Self {
            by_relay: classes.by_relay || reservations().any(by_circuit),
            classes_by_reservation: classes.by_known || reservations().any(|own| !own.classes.is_empty()),
            settings: Settings::new(&config.server),
            requesters: config.server.leasequery_from.iter().copied().collect(),
            subnets: Subnets::new(&config.subnets, trusting, interfaces),
            classes,
            probe_on: config.interfaces.iter().filter_map(probe_setting).collect(),
        }
    }

    /// Whether `server` (option 54) is us, or what the relay of `request` has us pose as (RFC 5107).
    pub(in crate::policy) fn is_us(&self, request: &Request, server: Ipv4Addr) -> bool {
        server_override(request) == Some(server) || self.subnets.is_ours(server)
    }

    /// The classes in `subnet` of the client that sent `request`. `kept_agent` stands in for missing relay information.
    pub(in crate::policy) fn classes_in(
        &self,
        subnet: SubnetId,
        request: &Request,
        kept_agent: Option<&AgentInformation>,
    ) -> ClassSet {
        let agent = request.options.agent.as_ref().or(kept_agent);
        let own = self.classes_by_reservation.then(|| self.subnets.reservation_by(subnet, request, agent));
        let own = own.flatten();
        let fitting = self.classes.of(request, agent, own.is_some());
        fitting.and(own.map(|own| own.classes).unwrap_or_default())
    }

    /// Whether the client gets no answer in `subnet`, by its classes.
    pub(in crate::policy) fn drops(
        &self,
        subnet: SubnetId,
        request: &Request,
        kept_agent: Option<&AgentInformation>,
    ) -> bool {
        self.classes.any_drops() && self.classes.drop(self.classes_in(subnet, request, kept_agent))
    }

    /// The reservation of the client in `subnet` that holds at any address.
    pub(in crate::policy) fn standing_reservation(
        &self,
        subnet: SubnetId,
        request: &Request,
        kept_agent: Option<&AgentInformation>,
    ) -> Option<&Reservation> {
        if !self.subnets.has_standing(subnet) {
            return None;
        }
        let agent = request.options.agent.as_ref().or(kept_agent);
        self.subnets.reservation_by(subnet, request, agent).filter(|own| own.address.is_none())
    }
}

fn probe_setting(interface: &config::Interface) -> Option<(String, Probe)> {
    interface.probe.map(|probe| (interface.name.clone(), probe))
}
