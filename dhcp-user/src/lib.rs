//! The DHCPv4 daemon behind the XDP program.

pub mod config;
pub mod store;
