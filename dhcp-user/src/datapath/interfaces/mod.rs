//! Data of interfaces from the kernel and its drivers: reads them, and follows changes.
//!
//! Owns no state but its sockets, and uses nothing of the packet path. Invariant: all data here are the kernel's
//! latest, never the configuration's wishes.

pub mod ethtool;
pub mod losses;
pub mod netlink;
