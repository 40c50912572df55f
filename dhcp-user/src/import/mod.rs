//! Reads the configurations and the leases of other DHCP servers.

// What another server's files say is read or refused in words, whatever it is.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

mod dnsmasq_config;
mod dnsmasq_hosts;
mod dnsmasq_leases;
mod dnsmasq_options;
mod dnsmasq_ranges;
mod dnsmasq_syntax;
mod dnsmasq_tags;
mod draft;
mod draft_match;
mod draft_options;
mod draft_subnets;
mod isc_classes;
mod isc_config;
mod isc_leases;
mod isc_meaning;
mod isc_placing;
mod isc_scopes;
mod isc_syntax;
mod json;
mod kea_classes;
mod kea_config;
mod kea_ids;
mod kea_leases;
mod kea_reservations;
mod kea_scopes;
mod kea_subnets;
mod leases;
mod origin;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod served;

pub use dnsmasq_config::dnsmasq_config;
pub use dnsmasq_leases::dnsmasq_leases;
pub use dnsmasq_syntax::Files;
pub use draft::{Draft, FinishedDraft};
pub use isc_config::isc_config;
pub use isc_leases::isc_leases;
pub use kea_config::kea_config;
pub use kea_ids::SubnetIds;
pub use kea_leases::{kea_files, kea_leases};
pub use leases::{Found, NotTaken, Why};
pub(crate) use leases::{colons, octets};
pub use origin::{At, Unreadable};
