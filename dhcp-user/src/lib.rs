//! The DHCPv4 daemon behind the XDP program.

#[macro_use]
pub mod mutation;

pub mod access;
pub mod again;
pub mod capture;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod control;
#[cfg(all(test, not(debug_assertions)))]
mod cost;
#[cfg(test)]
mod damaged;
pub mod datapath;
pub mod events;
pub mod export;
pub mod files;
pub mod hooks;
pub mod import;
pub mod journal;
pub mod limits;
pub mod logging;
pub mod message;
pub mod metrics;
pub mod policy;
pub mod privileges;
pub mod probe;
pub mod process_limits;
pub mod pulse;
pub mod reason;
pub mod rehearsal;
pub mod server;
pub mod store;
pub mod waiting;
