//! A binding: the client that an address was promised to, and for how long.

use std::net::Ipv4Addr;

use bytes::Bytes;
use dhcp_ebpf::abi::{CLOCK_LAG, Link};
use dhcp_ebpf::lease::{BootSecs, Word};

use super::identity::Identity;
use crate::message::AgentInformation;
use crate::policy::site::reservations::Owner;
use crate::store::HwAddr;

/// The lease time of a lease that never ends (RFC 2131 §3.3). No configuration can give it to a DHCP client.
pub(in crate::policy) const FOR_GOOD: u32 = u32::MAX;

/// How many seconds a promise of the kernel's may be longer than the lease time: it counts whole seconds, and one more by
/// which its clock may be behind.
#[expect(clippy::cast_possible_truncation, reason = "a second or two")]
const KERNEL_ROUNDS_UP: u32 = 1 + (CLOCK_LAG / 1_000_000_000) as u32;

/// How long a lease lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) struct LeaseTime {
    /// In seconds.
    pub(in crate::policy) secs: u32,
    /// Whether it would be longer if there were more room in the pool.
    pub(in crate::policy) shortened: bool,
}

impl LeaseTime {
    /// As long as the server does (RFC 2131 §3.3).
    pub(in crate::policy) const FOR_GOOD: Self = Self { secs: FOR_GOOD, shortened: false };
}

/// The parties that may end a lease before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// Its owner, who released it.
    Owner,
    /// The operator: its owner may not know, and is to learn of it.
    Operator,
}

/// The sender of the client's last answer: kernel or daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnsweredBy {
    /// The XDP program.
    Kernel,
    /// The daemon.
    Daemon,
}

/// The station that got a lease, as far as known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Station {
    /// Unknown: neither a record nor the kernel's maps have it.
    Unknown,
    /// It is the one that chaddr names, or another that is noted.
    Known,
}

/// The owner of an address, or its last owner.
#[derive(Clone, Debug)]
pub struct Binding {
    /// Its identity, and its options.
    pub particulars: Particulars,
    /// Whether its client identifier is unknown (the lease was adopted from the kernel's maps).
    pub adopted: bool,
    /// Whether it is known which station got it.
    pub station: Station,
    /// The party that ended it, if it did not expire.
    pub ended_by: Option<Party>,
    /// The sender of its last answer.
    pub answered_by: AnsweredBy,
    /// The link it is reached on.
    pub link: Link,
    /// The relay it is reached through, or 0.0.0.0.
    pub giaddr: Ipv4Addr,
    /// The address of ours that it talks to.
    pub server: Ipv4Addr,
    /// The lease time of its last answer, in seconds.
    pub lease_time: u32,
    /// Whether that would have been longer, had there been more room in the pool.
    pub shortened: bool,
    /// When the promise ends, as far as is known here: the kernel may have extended it since.
    pub expiry: BootSecs,
    /// When the promise ended after the daemon's own last ACK: if the word says later, the kernel extended it.
    pub granted_until: BootSecs,
    /// When the last promise on former terms was made, at the latest: the kernel may have made it, for another lease time
    /// than this. 0 if there was none.
    pub former_promise: BootSecs,
    /// No promise goes beyond this.
    pub committed_until: BootSecs,
    /// When it was last heard.
    pub last_heard: BootSecs,
    /// How many of its renewals the kernel answered.
    pub kernel_renewals: u32,
    /// The classes with a limit in whose count the lease is: by their names, which outlast a configuration. Few have any.
    pub counted_in: Box<[String]>,
}

impl Binding {
    /// The owner's identity.
    #[must_use]
    pub fn identity(&self) -> Identity<'_> {
        Identity::new(self.client_id(), self.chaddr())
    }

    /// The keys by which its reservation may be found.
    pub(in crate::policy) fn owner(&self) -> Owner<'_> {
        Owner {
            client_id: self.client_id(),
            chaddr: self.chaddr(),
            agent_info: self.agent_info(),
            adopted: self.adopted,
        }
    }

    /// The names of the classes in whose count its lease is.
    pub(in crate::policy) fn classes(&self) -> &[String] {
        &self.counted_in
    }

    /// When it was last heard, by the daemon or by the kernel: `word` is the lease's, as it is at `now`.
    #[must_use]
    pub fn heard(&self, word: Word, now: BootSecs) -> BootSecs {
        let extended = BootSecs(word.expiry().0.saturating_sub(self.lease_time));
        // A promise that reaches further was not made to this client now: an earlier owner's, or what may have been
        // promised before a restart.
        let by_kernel = word.expiry() > self.granted_until && extended <= now.plus(KERNEL_ROUNDS_UP);
        if by_kernel { self.last_heard.max(extended.min(now)) } else { self.last_heard }
    }

    /// Whether the last promise, read from its `word`, may have been made after `arrival`.
    ///
    /// A promise is rounded up to whole seconds and an arrival down. So only a promise whose second had begun before
    /// the arrival is certain to be older. The word does not show who promised: kernel and daemon may have done so in
    /// the same second.
    #[must_use]
    pub fn promised_after(&self, word: Word, arrival: BootSecs) -> bool {
        self.promise_of(word).max(self.former_promise) > arrival
    }

    /// When the promise in `word` was made on these terms, at the latest.
    #[must_use]
    pub fn promise_of(&self, word: Word) -> BootSecs {
        BootSecs(word.expiry().0.saturating_sub(self.lease_time))
    }

    /// Whether its owner has it for good (BOOTP). The kernel knows nothing of such a lease, and its word stays dead: a
    /// word's expiry can't go back, and the address is to be used again when the operator ends the lease.
    #[must_use]
    pub fn is_for_good(&self) -> bool {
        self.expiry == BootSecs::NEVER
    }

    /// Whether the client got its address without end, as a BOOTP client, after the DHCP message about it that came
    /// in at `arrival`; in doubt, it did. Messages that begin an exchange wait in another queue than those that end a
    /// lease.
    #[must_use]
    pub fn is_for_good_since(&self, arrival: BootSecs) -> bool {
        self.is_for_good() && self.last_heard >= arrival
    }

    /// The lease time of its owner's last answer, if known: a BOOTP client got none.
    pub(in crate::policy) fn told(&self) -> Option<LeaseTime> {
        let told = LeaseTime { secs: self.lease_time, shortened: self.shortened };
        (![0, FOR_GOOD].contains(&self.lease_time)).then_some(told)
    }

    /// Its owner loses it at `now`, and may not know. The promise in the word, `promised`, remains; a lease without
    /// end has no end to wait for.
    pub(in crate::policy) fn end(&mut self, now: BootSecs, promised: BootSecs) {
        let last = if self.is_for_good() { now } else { self.expiry };
        self.expiry = last.max(promised);
        self.committed_until = self.expiry;
    }

    /// Its hardware address.
    #[must_use]
    pub fn chaddr(&self) -> HwAddr {
        let all = &self.particulars;
        HwAddr::new(all.htype, all.part(0)).unwrap_or_default()
    }

    /// Its client identifier (option 61).
    #[must_use]
    pub fn client_id(&self) -> Option<&[u8]> {
        Some(self.particulars.part(1)).filter(|id| !id.is_empty())
    }

    /// The relay's information on it: the value of option 82.
    #[must_use]
    pub fn agent_info(&self) -> Option<&[u8]> {
        Some(self.particulars.part(2)).filter(|info| !info.is_empty())
    }

    /// The same, read.
    pub(in crate::policy) fn agent(&self) -> Option<AgentInformation> {
        Some(AgentInformation::read(Bytes::copy_from_slice(self.agent_info()?)))
    }

    /// Its host name.
    #[must_use]
    pub fn host_name(&self) -> Option<&str> {
        std::str::from_utf8(self.particulars.part(3)).ok().filter(|name| !name.is_empty())
    }
}

/// Hardware address, client identifier, relay agent information and host name, in one allocation: there may be
/// millions of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Particulars {
    /// One after the other.
    octets: Box<[u8]>,
    /// Where the client identifier, the agent information and the host name begin.
    starts: [u16; 3],
    htype: u8,
}

impl Particulars {
    /// Packs them. An empty value counts as absent. A value that is too long for a datagram is cut.
    #[must_use]
    pub fn new(
        chaddr: HwAddr,
        client_id: Option<&[u8]>,
        agent_info: Option<&[u8]>,
        host_name: Option<&str>,
    ) -> Self {
        let parts = [
            chaddr.octets(),
            client_id.unwrap_or_default(),
            agent_info.unwrap_or_default(),
            host_name.unwrap_or_default().as_bytes(),
        ];
        let mut octets = parts.concat();
        octets.truncate(usize::from(u16::MAX));
        let mut end = 0;
        let [before @ .., _] = parts;
        let starts = before.map(|part| {
            end = (end + part.len()).min(octets.len());
            u16::try_from(end).unwrap_or(u16::MAX)
        });
        Self { octets: octets.into_boxed_slice(), starts, htype: chaddr.htype() }
    }

    fn part(&self, number: usize) -> &[u8] {
        let bound = |at: usize| self.starts.get(at).map_or(self.octets.len(), |start| usize::from(*start));
        let start = if number == 0 { 0 } else { bound(number - 1) };
        self.octets.get(start..bound(number)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn particulars_come_out_as_they_went_in() {
        let chaddr = HwAddr::new(6, b"123").expect("short");
        for (id, info, name) in [
            (None, None, None),
            (Some(b"id".as_slice()), None, None),
            (None, Some(b"info".as_slice()), Some("name")),
            (Some(b"id".as_slice()), Some(b"info".as_slice()), Some("name")),
        ] {
            let binding = Binding {
                particulars: Particulars::new(chaddr, id, info, name),
                adopted: false,
                station: Station::Unknown,
                ended_by: None,
                answered_by: AnsweredBy::Daemon,
                link: Link::default(),
                giaddr: Ipv4Addr::UNSPECIFIED,
                server: Ipv4Addr::UNSPECIFIED,
                lease_time: 0,
                shortened: false,
                expiry: BootSecs(0),
                granted_until: BootSecs(0),
                former_promise: BootSecs(0),
                committed_until: BootSecs(0),
                last_heard: BootSecs(0),
                kernel_renewals: 0,
                counted_in: Box::default(),
            };
            let out = (binding.chaddr(), binding.client_id(), binding.agent_info(), binding.host_name());
            assert_eq!(out, (chaddr, id, info, name));
        }
    }
}
