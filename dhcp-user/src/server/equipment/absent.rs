//! Stand-ins for interfaces of the configuration that are not there.

use crate::policy::Interface;

/// The kernel gives no interface so large an index.
const VACANT: u32 = u32::MAX / 2 + 1;

/// The index that stands for the `number`th interface of the configuration while there is no such.
pub(in crate::server) fn vacant(number: usize) -> u32 {
    VACANT.saturating_add(u32::try_from(number).unwrap_or(u32::MAX))
}

/// The description of an interface that isn't there.
pub(in crate::server) fn missing(name: &str, ifindex: u32) -> Interface {
    Interface { name: name.to_owned(), ifindex, mac: [0; 6], mtu: 0, addresses: Vec::new() }
}

/// Whether an interface is there.
pub(in crate::server) fn is_there(facts: &Interface) -> bool {
    facts.ifindex < VACANT
}
