//! The exchange: a file for each message that a client sends, and what they share.
//!
//! It owns no lease: its decisions go into the book, and out as actions. It owns two limits: on the NAKs that went
//! out, and on the events about clients without an address. Its invariant: no promise leaves before the commit that
//! holds it.

pub(in crate::policy) mod bootp;
pub(in crate::policy) mod circuit_cap;
pub(in crate::policy) mod class_cap;
pub(in crate::policy) mod decline;
pub(in crate::policy) mod device_cap;
pub(in crate::policy) mod discover;
pub(in crate::policy) mod draw;
pub(in crate::policy) mod entitlement;
pub(in crate::policy) mod grant;
pub(in crate::policy) mod inform;
pub(in crate::policy) mod ipv6_only;
pub(in crate::policy) mod leasequery;
pub(in crate::policy) mod naks;
pub(in crate::policy) mod notices;
pub(in crate::policy) mod origin;
pub(in crate::policy) mod reclaim;
pub(in crate::policy) mod release;
pub(in crate::policy) mod request;

use crate::policy::book::circuits::Circuit;
use crate::policy::site::subnet_id::SubnetId;
use crate::store::HwAddr;
use naks::Naks;
use notices::Notices;

/// The limits on NAKs and on events.
#[derive(Debug, Default)]
pub(in crate::policy) struct Throttles {
    pub(in crate::policy) naks: Naks,
    /// The devices that hold as many leases as they may, or whose port's address another has.
    pub(in crate::policy) devices_at_cap: Notices<(SubnetId, HwAddr)>,
    /// The circuits that hold as many leases as they may.
    pub(in crate::policy) circuits_at_cap: Notices<(SubnetId, Circuit)>,
    /// The classes whose clients hold as many leases as they may.
    pub(in crate::policy) classes_at_cap: Notices<usize>,
}
