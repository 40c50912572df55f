//! How much is put out of use on the word of clients: a DECLINE costs its sender nothing, and many of them may be lies.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use dhcp_ebpf::abi::Link;
use dhcp_ebpf::lease::BootSecs;

use crate::message::Request;

/// So many DECLINEs in a row are believed of one source.
const IN_A_ROW: u32 = 8;
/// And one more each time so many seconds have gone by.
const ONE_MORE_AFTER: u32 = 3 * 3600;
/// Of so many of them it is known how much came from there. What comes from more is not believed.
const MOST_SOURCES: usize = 4096;
/// It is told of again after so many seconds.
const TELL_AGAIN: u32 = 600;

/// Where DECLINEs come from: a link of ours, or a relay's port. Who sends them can call itself anything.
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

#[derive(Debug)]
struct Account {
    /// How many more are believed.
    left: u32,
    /// Since when nothing was added to that.
    since: BootSecs,
    /// When one was not believed, and when that was told of.
    overdrawn: Option<BootSecs>,
    told: Option<BootSecs>,
}

/// Whether a DECLINE is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Credit {
    /// It is.
    Good,
    /// Too many came from there.
    Spent {
        /// Whether that is to be told of.
        tell: bool,
    },
}

impl Declines {
    pub(in crate::policy) fn judge(&mut self, now: BootSecs, request: &Request) -> Credit {
        let source = Source::of(request);
        if self.0.len() >= MOST_SOURCES && !self.0.contains_key(&source) {
            self.0.retain(|_, account| account.at(now) < IN_A_ROW);
            if self.0.len() >= MOST_SOURCES {
                return Credit::Spent { tell: false };
            }
        }
        let fresh = || Account { left: IN_A_ROW, since: now, overdrawn: None, told: None };
        let account = self.0.entry(source).or_insert_with(fresh);
        let left = account.at(now);
        if left > account.left {
            let gained = (left - account.left).saturating_mul(ONE_MORE_AFTER);
            account.since = if left == IN_A_ROW { now } else { account.since.plus(gained) };
            account.left = left;
        }
        if let Some(less) = account.left.checked_sub(1) {
            if account.left == IN_A_ROW {
                account.since = now;
            }
            account.left = less;
            return Credit::Good;
        }
        account.overdrawn = Some(now);
        let tell = account.told.is_none_or(|told| told.plus(TELL_AGAIN) <= now);
        if tell {
            account.told = Some(now);
        }
        Credit::Spent { tell }
    }

    /// Where too many came from lately.
    pub(in crate::policy) fn spent(&self, now: BootSecs) -> impl Iterator<Item = &Source> {
        let lately = move |account: &Account| account.overdrawn.is_some_and(|at| now < at.plus(TELL_AGAIN));
        self.0.iter().filter(move |(_, account)| lately(account)).map(|(source, _)| source)
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

impl Account {
    /// How many more are believed by now.
    fn at(&self, now: BootSecs) -> u32 {
        let gained = now.0.saturating_sub(self.since.0) / ONE_MORE_AFTER;
        self.left.saturating_add(gained).min(IN_A_ROW)
    }
}
