//! A binding: whom an address was promised to, and for how long.

use std::net::Ipv4Addr;

use dhcp_ebpf::abi::Link;
use dhcp_ebpf::lease::BootSecs;

use super::identity::Identity;
use crate::store::HwAddr;

/// Who gave the client its last answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnsweredBy {
    /// The XDP program.
    Kernel,
    /// The daemon.
    Daemon,
}

/// What is known of the owner of an address, or of its last owner.
#[derive(Clone, Debug)]
pub struct Binding {
    /// What it said of itself in words of any length.
    pub words: Particulars,
    /// Its hardware address.
    pub chaddr: HwAddr,
    /// Whether its client identifier is unknown (the lease was adopted from the kernel's maps).
    pub adopted: bool,
    /// Who answered it last.
    pub answered_by: AnsweredBy,
    /// The link it is reached on.
    pub link: Link,
    /// The relay it is reached through, or 0.0.0.0.
    pub giaddr: Ipv4Addr,
    /// The address of ours that it talks to.
    pub server: Ipv4Addr,
    /// The lease time it was told, in seconds.
    pub lease_time: u32,
    /// When the promise ends, as far as is known here: the kernel may have extended it since.
    pub expiry: BootSecs,
    /// When the promise ended after the daemon's own last ACK: if the word says later, the kernel extended it.
    pub granted_until: BootSecs,
    /// No promise goes beyond this.
    pub committed_until: BootSecs,
    /// When it was last heard.
    pub last_heard: BootSecs,
    /// How many of its renewals the kernel answered.
    pub kernel_renewals: u64,
}

impl Binding {
    /// Who the owner is.
    #[must_use]
    pub fn identity(&self) -> Identity<'_> {
        Identity::new(self.words.client_id(), self.chaddr)
    }
}

/// Client identifier, relay agent information and host name, in one allocation: there may be millions of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Particulars {
    octets: Box<[u8]>,
    client_id: Option<std::num::NonZeroU16>,
    agent_info: Option<std::num::NonZeroU16>,
}

impl Particulars {
    /// Packs them. What is empty counts as absent, and so does what is longer than 65535 octets.
    #[must_use]
    pub fn new(client_id: Option<&[u8]>, agent_info: Option<&[u8]>, host_name: Option<&str>) -> Self {
        let length = |part: &[u8]| u16::try_from(part.len()).ok().and_then(std::num::NonZeroU16::new);
        let measured = |part: Option<&[u8]>| part.and_then(length);
        let (id_length, agent_length) = (measured(client_id), measured(agent_info));
        let parts = [
            client_id.filter(|_| id_length.is_some()),
            agent_info.filter(|_| agent_length.is_some()),
            host_name.map(str::as_bytes),
        ];
        let octets = parts.into_iter().flatten().flatten().copied().collect();
        Self { octets, client_id: id_length, agent_info: agent_length }
    }

    /// The client identifier (option 61).
    #[must_use]
    pub fn client_id(&self) -> Option<&[u8]> {
        self.client_id.map(|length| &self.octets[..usize::from(length.get())])
    }

    /// The value of option 82.
    #[must_use]
    pub fn agent_info(&self) -> Option<&[u8]> {
        let from = length(self.client_id);
        self.agent_info.map(|length| &self.octets[from..from + usize::from(length.get())])
    }

    /// The host name.
    #[must_use]
    pub fn host_name(&self) -> Option<&str> {
        let from = length(self.client_id) + length(self.agent_info);
        std::str::from_utf8(&self.octets[from..]).ok().filter(|name| !name.is_empty())
    }
}

fn length(part: Option<std::num::NonZeroU16>) -> usize {
    part.map_or(0, |length| usize::from(length.get()))
}
