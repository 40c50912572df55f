//! A target for each parser: what it makes of octets that anybody may have sent or written. Whatever these are, it neither
//! panics nor goes on for ever; what it takes holds together.
//!
//! ```text
//! packets     what comes by a network
//! operators   what an operator or another program writes: configuration, control socket, leases to be imported
//! disk        what was written by this server once, and may be damaged since
//! ```

mod disk;
mod operators;
mod packets;

/// A parser to be tried.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What it is called.
    pub name: &'static str,
    /// Tries it on these octets. It panics if something is wrong.
    pub run: fn(&[u8]),
    /// How many inputs are tried in a test. What takes longer is tried on less.
    pub inputs: u32,
}

const fn target(name: &'static str, run: fn(&[u8]), inputs: u32) -> Target {
    Target { name, run, inputs }
}

/// All there are.
pub const ALL: &[Target] = &[
    target("frame", packets::frame, 20_000),
    target("message", packets::message, 20_000),
    target("options", packets::options, 20_000),
    target("arp", packets::arp, 20_000),
    target("parity", packets::parity, 40),
    target("store", disk::store, 2_000),
    target("journal", disk::journal, 5_000),
    target("control", operators::control, 20_000),
    target("config", operators::config, 20_000),
    target("lease", operators::lease, 20_000),
    target("kea-config", operators::kea_config, 5_000),
    target("isc-config", operators::isc_config, 5_000),
    target("dnsmasq-config", operators::dnsmasq_config, 5_000),
    target("kea-leases", operators::kea_leases, 20_000),
    target("isc-leases", operators::isc_leases, 20_000),
    target("dnsmasq-leases", operators::dnsmasq_leases, 20_000),
];

/// The target of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Target> {
    ALL.iter().find(|target| target.name == name)
}
