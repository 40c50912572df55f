//! The site: what the operator configured, compiled for looking up.
//!
//! It owns the subnets and the ways to them, the reservations, the classes and the terms that follow from all these.
//! It uses the configuration and a message, and knows nothing of leases. Nothing in it changes between two reloads but the
//! interfaces, which come and go.

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

use crate::config::{self, Config, Probe};
use classes::Classes;
use settings::Settings;
use subnet::{Interface, Subnets};

/// The configuration as it is looked things up in.
#[derive(Debug)]
pub(in crate::policy) struct Site {
    pub(in crate::policy) settings: Settings,
    /// Who may ask about leases.
    pub(in crate::policy) requesters: BTreeSet<Ipv4Addr>,
    pub(in crate::policy) subnets: Subnets,
    pub(in crate::policy) classes: Classes,
    /// Whether addresses are probed, by the names of interfaces that say otherwise than the server.
    pub(in crate::policy) probe_on: BTreeMap<String, Probe>,
}

impl Site {
    pub(in crate::policy) fn new(config: &Config, interfaces: Vec<Interface>) -> Self {
        let trusting = config.interfaces.iter().filter(|interface| interface.trust_agent_information);
        let trusting = trusting.map(|interface| interface.name.clone()).collect();
        Self {
            settings: Settings::new(&config.server),
            requesters: config.server.leasequery_from.iter().copied().collect(),
            subnets: Subnets::new(&config.subnets, trusting, interfaces),
            classes: Classes::new(&config.classes),
            probe_on: config.interfaces.iter().filter_map(said_of_probing).collect(),
        }
    }
}

fn said_of_probing(interface: &config::Interface) -> Option<(String, Probe)> {
    interface.probe.map(|probe| (interface.name.clone(), probe))
}
