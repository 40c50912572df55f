//! What the kernel and its drivers say of interfaces: read, and told of changes.
//!
//! Owns no state but its sockets, and uses nothing of the packet path. Invariant: what is read here is what the kernel said
//! last, never what the configuration wishes.

pub mod ethtool;
pub mod losses;
pub mod netlink;
