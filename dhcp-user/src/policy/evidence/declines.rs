//! The limit on DECLINEs: a DECLINE costs its sender nothing, and many of them may be false.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use dhcp_ebpf::abi::Link;
use dhcp_ebpf::lease::BootSecs;

use super::credit::{Account, Allowance, Credit};
use crate::message::Request;

/// How many are believed of one source.
const ALLOWANCE: Allowance = Allowance { in_a_row: 8, one_more_after: 3 * 3600 };
/// The number of sources with an account. DECLINEs of further sources are not believed.
const MOST_SOURCES: usize = 4096;

/// The source of DECLINEs: a link of ours, or a relay's port. The sender can claim any other identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A link of ours.
    Link(Link),
    /// A relay, and the circuit if it names it (RFC 3046 §3.1).
    Relay(Ipv4Addr, Option<Vec<u8>>),
}

impl Source {
    fn of(request: &Request) -> Self {
        if !request.relayed() {
            return Self::Link(request.link);
        }
        let circuit = request.options.agent.as_ref().and_then(|agent| agent.circuit_id.as_deref());
        Self::Relay(request.giaddr, circuit.map(<[u8]>::to_vec))
    }
}

/// The DECLINEs of all sources.
#[derive(Debug, Default)]
pub(in crate::policy) struct Declines(BTreeMap<Source, Account>);

impl Declines {
    pub(in crate::policy) fn judge(&mut self, now: BootSecs, request: &Request) -> Credit {
        let source = Source::of(request);
        if self.0.len() >= MOST_SOURCES && !self.0.contains_key(&source) {
            self.0.retain(|_, account| !account.is_full(now));
            if self.0.len() >= MOST_SOURCES {
                return Credit::Spent { tell: false };
            }
        }
        self.0.entry(source).or_insert_with(|| Account::new(ALLOWANCE, now)).charge(now)
    }

    /// Where too many came from lately.
    pub(in crate::policy) fn spent(&self, now: BootSecs) -> impl Iterator<Item = &Source> {
        self.0.iter().filter(move |(_, account)| account.is_spent(now)).map(|(source, _)| source)
    }

    /// Interfaces have other indices.
    pub(in crate::policy) fn relink(&mut self, now: impl Fn(u32) -> u32) {
        let anew = |source| match source {
            Source::Link(link) => Source::Link(Link { ifindex: now(link.ifindex), ..link }),
            relay @ Source::Relay(..) => relay,
        };
        self.0 = std::mem::take(&mut self.0)
            .into_iter()
            .map(|(source, account)| (anew(source), account))
            .collect();
    }
}
