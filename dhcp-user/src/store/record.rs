//! The record of an address.

use std::fmt;
use std::net::Ipv4Addr;

use dhcp_ebpf::lease::BootSecs;
use serde::{Deserialize, Serialize};

/// Everything that is kept about one address, in times of this boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The address, and the record's key.
    pub address: Ipv4Addr,
    /// How to treat the address.
    pub standing: Standing,
    /// How often the address had to be quarantined; it outlasts each quarantine, so that the next can be longer.
    pub recurrences: u32,
    /// The client identifier (option 61) of its owner, or last owner.
    pub client_id: Option<Vec<u8>>,
    /// The hardware address of its owner, or last owner.
    pub chaddr: HwAddr,
    /// The interface that the client is reached on; by name, since an index does not survive a reboot.
    pub interface: String,
    /// The VLAN ids it is reached with, outer and inner; 0 for none.
    pub vlan: (u16, u16),
    /// The relay it is reached through (giaddr), or 0.0.0.0.
    pub giaddr: Ipv4Addr,
    /// The server identifier of its last answer.
    pub server: Ipv4Addr,
    /// The host name it gave, or was given.
    pub host_name: Option<String>,
    /// The lease time of its last answer, in seconds.
    pub lease_time: u32,
    /// Whether that would have been longer, had there been more room in the pool.
    pub shortened: bool,
    /// The last expiry that the daemon knew of. The kernel may have promised more, up to `committed_until`.
    pub expiry: BootSecs,
    /// No promise for this address goes beyond this moment.
    pub committed_until: BootSecs,
    /// How many renewals the kernel had answered when this was recorded.
    pub kernel_renewals: u64,
    /// When the client was last heard, as far as the daemon knew.
    pub last_heard: BootSecs,
    /// The relay agent information (option 82) it last came with, in wire form without code and length.
    pub agent_info: Option<Vec<u8>>,
    /// Whether only the owner's hardware address is known: the lease was found only in the kernel's maps.
    pub adopted: bool,
    /// The classes with a limit in whose count the lease is, by their names.
    pub classes: Vec<String>,
}

/// How to treat an address after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Promised to its owner until `expiry`, and perhaps until `committed_until`.
    Leased,
    /// Released, or expired long ago: kept because its last owner is preferred.
    Free,
    /// Expired, and not yet to be reused.
    Grace,
    /// Ended by the operator, and not yet to be reused: its owner may not know, and is to learn of it.
    Ended,
    /// Seen in use by somebody that it was not promised to.
    Quarantined {
        /// When that was found.
        since: BootSecs,
        /// When its probation ends.
        until: BootSecs,
        /// How it was found.
        why: QuarantineCause,
        /// The station that used it, or the client that declined it, in words for the operator.
        by: String,
    },
}

/// How it was found that an address is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum QuarantineCause {
    /// Its owner declined it (DHCPDECLINE).
    Declined,
    /// Somebody answered a probe.
    Probe,
}

/// A client's hardware address as in the BOOTP header: htype, hlen and the octets of chaddr that count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HwAddr {
    htype: u8,
    len: u8,
    octets: [u8; Self::MAX],
}

impl HwAddr {
    /// The size of chaddr, in octets.
    pub const MAX: usize = 16;

    /// The address of hardware type `htype` and these octets; `None` if there are more than chaddr can hold.
    #[must_use]
    pub fn new(htype: u8, octets: &[u8]) -> Option<Self> {
        let mut padded = [0; Self::MAX];
        padded.get_mut(..octets.len())?.copy_from_slice(octets);
        Some(Self { htype, len: u8::try_from(octets.len()).ok()?, octets: padded })
    }

    /// An Ethernet address (htype 1).
    #[must_use]
    pub fn ethernet(mac: [u8; 6]) -> Self {
        let mut octets = [0; Self::MAX];
        if let Some(place) = octets.first_chunk_mut() {
            *place = mac;
        }
        Self { htype: 1, len: 6, octets }
    }

    /// The Ethernet address, if it is one: the kernel knows clients by it.
    #[must_use]
    pub fn mac(&self) -> Option<[u8; 6]> {
        if self.htype == 1 { self.octets().try_into().ok() } else { None }
    }

    /// The hardware type, as in ARP.
    #[must_use]
    pub fn htype(&self) -> u8 {
        self.htype
    }

    /// The octets of the address, as many as hlen said.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        self.octets.get(..usize::from(self.len)).unwrap_or(&self.octets)
    }
}

/// Octets in hex with colons; a type other than Ethernet goes before, with a slash.
impl fmt::Display for HwAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.htype != 1 {
            write!(f, "{}/", self.htype)?;
        }
        for (i, octet) in self.octets().iter().enumerate() {
            let colon = if i == 0 { "" } else { ":" };
            write!(f, "{colon}{octet:02x}")?;
        }
        Ok(())
    }
}
