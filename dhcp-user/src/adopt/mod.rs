//! What other DHCP servers have on disk, read for this one: their configurations and their leases.

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

mod dnsmasq_leases;
mod draft;
mod draft_options;
mod isc_leases;
mod json;
mod kea_classes;
mod kea_config;
mod kea_leases;
mod kea_scopes;
mod kea_subnets;
mod leases;
mod origin;
#[cfg(test)]
mod properties;

pub use dnsmasq_leases::dnsmasq_leases;
pub use draft::{Draft, Settled};
pub use isc_leases::isc_leases;
pub use kea_config::kea_config;
pub use kea_leases::{kea_files, kea_leases};
pub use leases::{Found, NotTaken, Why};
pub use origin::{At, Unreadable};
