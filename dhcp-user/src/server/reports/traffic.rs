//! The daemon's counters: messages in and out, everything it did not answer, by reason, and oddities.

use std::borrow::Cow;
use std::collections::BTreeMap;

use dhcp_ebpf::verdict::{Dropped, Passed, Renewal, Verdict, Why};

use super::explain::{Unanswered, every};
use crate::control::{KernelStats, TrafficStats};
use crate::logging;
use crate::server::process::service;

/// The kinds of messages that are received; each has a counter from the start.
const RECEIVED: [&str; 7] = ["discover", "request", "decline", "release", "inform", "leasequery", "bootp"];
/// The kinds of replies that are sent.
const SENT: [&str; 7] =
    ["offer", "ack", "nak", "bootreply", "lease-unassigned", "lease-unknown", "lease-active"];

/// Counted as dropped beside messages without an answer: memos that found no room in the kernel's maps.
const OTHERWISE: [&str; 1] = ["memo-without-room"];
/// The oddities in spite of which messages were served.
const ODD: [&str; 10] = [
    "unusable-host-name",
    "unusable-fqdn",
    "small-maximum-size",
    "sent-for-another",
    "untrusted-agent-information",
    "unusable-agent-information",
    "no-end",
    "wish-of-wrong-length",
    "relay-information-without-room",
    "options-without-room",
];

/// Counters of the daemon, by name.
#[derive(Debug)]
pub(in crate::server) struct Traffic {
    received: BTreeMap<&'static str, u64>,
    sent: BTreeMap<&'static str, u64>,
    dropped: BTreeMap<&'static str, u64>,
    odd: BTreeMap<&'static str, u64>,
    /// Replies that could not be sent, by interface.
    not_sent: BTreeMap<String, u64>,
}

impl Traffic {
    pub(in crate::server) fn new() -> Self {
        let zeros = |names: &[&'static str]| names.iter().map(|name| (*name, 0)).collect();
        Self {
            received: zeros(&RECEIVED),
            sent: zeros(&SENT),
            dropped: every()
                .into_iter()
                .map(Unanswered::name)
                .chain(OTHERWISE)
                .map(|name| (name, 0))
                .collect(),
            odd: zeros(&ODD),
            not_sent: BTreeMap::new(),
        }
    }

    pub(in crate::server) fn received(&mut self, kind: &'static str) {
        *self.received.entry(kind).or_default() += 1;
    }

    pub(in crate::server) fn sent(&mut self, kind: &'static str) {
        *self.sent.entry(kind).or_default() += 1;
    }

    pub(in crate::server) fn dropped(&mut self, why: &'static str) {
        *self.dropped.entry(why).or_default() += 1;
    }

    /// Replies that could not be sent, by the name of their interface if that is known.
    pub(in crate::server) fn not_sent(&mut self, interface: Option<&str>, replies: u64) {
        *self.dropped.entry("not-sent").or_default() += replies;
        if let Some(interface) = interface {
            *self.not_sent.entry(interface.to_owned()).or_default() += replies;
        }
    }

    /// A message that has something wrong with it, and is served.
    pub(in crate::server) fn odd(&mut self, what: &'static str) {
        *self.odd.entry(what).or_default() += 1;
    }

    /// All counters, those by interface for these at least.
    pub(in crate::server) fn report(&self, interfaces: impl Iterator<Item = String>) -> TrafficStats {
        let none = interfaces.map(|interface| (interface, 0));
        TrafficStats {
            received: words(&self.received),
            sent: words(&self.sent),
            dropped: words(&self.dropped),
            odd: words(&self.odd),
            not_sent: none.chain(self.not_sent.clone()).collect(),
            log_lines_dropped: logging::lines_dropped(),
            notifications_dropped: service::notifications_dropped(),
            events_not_kept: 0,
            control_clients_left_out: 0,
        }
    }
}

fn words(counters: &BTreeMap<&'static str, u64>) -> BTreeMap<Cow<'static, str>, u64> {
    counters.iter().map(|(name, count)| (Cow::Borrowed(*name), *count)).collect()
}

/// The program's counters, by name.
pub(in crate::server) fn kernel(counters: &[u64]) -> KernelStats {
    let count = |verdict: Verdict| counters.get(verdict.counter() as usize).copied().unwrap_or(0);
    KernelStats {
        acked: Renewal::ALL
            .iter()
            .map(|state| (state.name().into(), count(Verdict::Reply(*state))))
            .collect(),
        punted: Why::ALL.iter().map(|why| (why.name().into(), count(Verdict::Up(*why)))).collect(),
        passed: Passed::ALL.iter().map(|why| count(Verdict::Pass(*why))).sum(),
        passed_why: Passed::ALL.iter().map(|why| (why.name().into(), count(Verdict::Pass(*why)))).collect(),
        dropped: Dropped::ALL.iter().map(|why| (why.name().into(), count(Verdict::Drop(*why)))).collect(),
    }
}
