//! The book: the state of every address, and the client that it is promised to.
//!
//! It owns addresses, bindings, offers, quarantine, the calendar, and the indexes of clients, devices and circuits.
//! It asks the site where an address belongs. Nothing outside changes a state: the [`transitions`] are the only
//! changes of an address, but for [`copying`], which brings a state into another book as it is; [`known`] and [`clients`] answer questions about one.
//!
//! Its invariant: every address is in exactly one state, and the counts by state add up to the size of the pool at every
//! instant.

mod addresses;
pub(in crate::policy) mod binding;
pub(in crate::policy) mod circuits;
mod class_counts;
pub(in crate::policy) mod client_origin;
mod clients;
mod copying;
mod deadlines;
pub(in crate::policy) mod identity;
mod index;
mod known;
pub(in crate::policy) mod notes;
pub(in crate::policy) mod offers;
pub(in crate::policy) mod pools;
pub(in crate::policy) mod quarantine;
pub(in crate::policy) mod record;
pub(in crate::policy) mod state;
mod stations;
pub(in crate::policy) mod transitions;

use crate::config::Config;
use crate::policy::site::subnet_id::SubnetId;
use addresses::Addresses;
use circuits::Circuits;
use class_counts::ClassCounts;
use deadlines::Deadlines;
use identity::Keyed;
use index::Index;
use offers::Offers;
use quarantine::Quarantine;
use stations::Stations;

/// All addresses, and all that is known of each.
#[derive(Debug)]
pub(in crate::policy) struct Book {
    all: Addresses,
    index: Index,
    offers: Offers,
    deadlines: Deadlines,
    quarantine: Quarantine,
    stations: Stations,
    /// Whether several nodes lease these addresses.
    shared: bool,
}

impl Book {
    /// The addresses of this configuration, each without an owner.
    pub(in crate::policy) fn new(config: &Config, keyed: Keyed) -> Self {
        let subnets = || (0..).map(SubnetId).zip(&config.subnets);
        let pools: Vec<_> =
            subnets().flat_map(|(id, s)| s.pools.iter().map(move |pool| (id, pool))).collect();
        let reserved =
            subnets().flat_map(|(id, s)| s.reservations.iter().filter_map(move |r| Some((id, r.address?))));
        let reserved: Vec<_> = reserved.collect();
        let limited = subnets().filter(|(_, s)| s.max_leases_per_circuit.is_some()).map(|(id, _)| id);
        let all = Addresses::new(&pools, &reserved);
        Self {
            index: Index::new(
                keyed,
                &all,
                Circuits::new(limited.collect()),
                ClassCounts::new(&config.classes),
            ),
            all,
            offers: Offers::default(),
            deadlines: Deadlines::default(),
            quarantine: Quarantine::default(),
            stations: Stations::default(),
            shared: false,
        }
    }
}
