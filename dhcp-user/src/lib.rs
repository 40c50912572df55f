//! The DHCPv4 daemon behind the XDP program.

pub mod cli;
pub mod config;
pub mod control;
pub mod message;
pub mod policy;
pub mod store;
