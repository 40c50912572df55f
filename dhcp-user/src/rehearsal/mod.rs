//! A reload rehearsed: leases go over from one configuration to the next by the daemon's own steps, with no kernel, no disk
//! and no client.
//!
//! What ends is what policy withdraws as it goes over. What changes is found by asking the policy before and the policy
//! after for the same renewal.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

mod interfaces;
mod renewal;
#[cfg(test)]
mod tests;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use dhcp_ebpf::lease::BootSecs;

use crate::config::{Config, Pool};
use crate::control::Portable;
use crate::policy::{Action, Interface, LeaseView};
use crate::policy::{ChangeoverProgress, Happened, LeaseEvent, Policy, STEP, State};
use renewal::{Answered, Contents};
use words::Memory;

/// Keys policy's hashes: nobody chooses identities here.
const SEED: u64 = 0;

/// What becomes of leases.
#[derive(Debug, Default)]
pub struct Rehearsed {
    /// How many leases go on.
    pub kept: u64,
    /// How many end.
    pub ended: u64,
    /// How many may have other answers: the daemon answers the next renewal of each, not the kernel.
    pub asked_anew: u64,
    /// The leases by what becomes of them.
    pub fates: BTreeMap<Fate, Vec<Ipv4Addr>>,
    /// The leases that are none of the configuration before, by reason.
    pub strange: BTreeMap<String, u64>,
}

/// What becomes of a lease.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// The address is its client's no more. Nobody gets it before the promise ends.
    Ends,
    /// The client's next renewal gets a NAK.
    Refused,
    /// The client's next renewal gets no answer, and why not.
    Unanswered(&'static str),
    /// The client's next renewal is answered with other contents.
    Changed(Vec<Changed>),
    /// It stays as it is.
    Same,
    /// It can't be told from the lease alone: the configuration before doesn't renew it either, as far as the lease shows.
    Untold,
}

/// A difference of two answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Changed {
    /// What differs.
    pub what: Item,
    /// What it was.
    pub from: Option<Vec<u8>>,
    /// What it will be.
    pub to: Option<Vec<u8>>,
}

/// A part of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// An option, by its code.
    Option(u8),
    /// A field of the header, by its key in the configuration.
    Field(&'static str),
}

/// Takes `leases` over from `old` to `new`, as a reload would. `here` are the interfaces of this machine.
#[must_use]
pub fn rehearse(
    old: &Config,
    new: &Config,
    leases: &[Portable],
    here: &[Interface],
    now: BootSecs,
) -> Rehearsed {
    let mut told = Rehearsed::default();
    let (before, after) = interfaces::interfaces(old, new, leases, here);
    let records: Vec<_> = leases.iter().filter_map(|lease| lease.record(now).ok()).collect();
    let imported = |told: &mut Rehearsed| {
        let (mut policy, words) = (Policy::new(old, before.clone(), SEED), Memory::default());
        for record in &records {
            let mut actions = Vec::new();
            if let Err(why) = policy.import(now, &words, record, &mut actions) {
                let count = told.strange.entry(why.to_string()).or_default();
                *count = count.saturating_add(1);
            }
            words.carry_out(&actions);
        }
        (policy, words)
    };
    // One is asked and one goes over: what is asked may change it.
    let (mut asked, asked_words) = imported(&mut Rehearsed::default());
    let (mut policy, words) = imported(&mut told);
    let known: Vec<(LeaseView, Option<crate::policy::Basis>)> = policy
        .leases()
        .filter(|lease| lease.state == State::Leased)
        .map(|lease| (policy.basis(lease.address, lease.link), lease))
        .map(|(basis, lease)| (lease, basis))
        .collect();

    let withdrawn = go_over(&mut policy, &words, new, after, now, &mut told);

    let wanted = renewal::wanted(old, new);
    for (lease, basis) in known {
        let fate = if withdrawn.contains(&lease.address) {
            Fate::Ends
        } else {
            if policy.basis(lease.address, lease.link) != basis {
                told.asked_anew = told.asked_anew.saturating_add(1);
            }
            let was = renewal::asked(&mut asked, &asked_words, now, &lease, &wanted);
            let will = renewal::asked(&mut policy, &words, now, &lease, &wanted);
            fate(was, will)
        };
        told.fates.entry(fate).or_default().push(lease.address);
    }
    told
}

/// The steps of a reload; gives the addresses whose leases have ended.
fn go_over(
    policy: &mut Policy,
    words: &Memory,
    new: &Config,
    after: Vec<Interface>,
    now: BootSecs,
    told: &mut Rehearsed,
) -> BTreeSet<Ipv4Addr> {
    let mut withdrawn = BTreeSet::new();
    let next = policy.successor()(new, after);
    let mut going = policy.begin_changeover(next);
    while !policy.bring_along(&mut going, now, STEP) {}
    policy.change_over(going);
    loop {
        let mut actions = Vec::new();
        let settled = policy.settle_some(now, words, STEP, &mut actions);
        words.carry_out(&actions);
        withdrawn.extend(actions.iter().filter_map(|action| match action {
            Action::Event(LeaseEvent::Lease { address, what: Happened::Withdrawn, .. }) => Some(*address),
            _ => None,
        }));
        if let ChangeoverProgress::All(done, _) = settled {
            told.kept = done.kept;
            told.ended = done.withdrawn;
            return withdrawn;
        }
    }
}

fn fate(was: Option<Answered>, will: Option<Answered>) -> Fate {
    match (was, will) {
        (Some(Answered::Ack(was)), Some(Answered::Ack(will))) => match differences(&was, &will) {
            none if none.is_empty() => Fate::Same,
            some => Fate::Changed(some),
        },
        (Some(Answered::Ack(_)), Some(Answered::Nak)) => Fate::Refused,
        (Some(Answered::Ack(_)), Some(Answered::Silence(why))) => Fate::Unanswered(why),
        _ => Fate::Untold,
    }
}

fn differences(was: &Contents, will: &Contents) -> Vec<Changed> {
    let mut all = Vec::new();
    let codes: BTreeSet<u8> = was.options.keys().chain(will.options.keys()).copied().collect();
    for code in codes {
        let (from, to) = (was.options.get(&code).cloned(), will.options.get(&code).cloned());
        if from != to {
            all.push(Changed { what: Item::Option(code), from, to });
        }
    }
    let names: BTreeSet<&'static str> = was.fields.keys().chain(will.fields.keys()).copied().collect();
    for name in names {
        let text = |contents: &Contents| contents.fields.get(name).map(|text| text.clone().into_bytes());
        let (from, to) = (text(was), text(will));
        if from != to {
            all.push(Changed { what: Item::Field(name), from, to });
        }
    }
    all
}

/// The addresses of `old` that `new` has in no pool and no reservation: whatever lease there is of them ends.
#[must_use]
pub fn lost(old: &Config, new: &Config) -> Vec<Pool> {
    let next = Policy::new(new, Vec::new(), SEED);
    let of = |config: &Config| -> Vec<Pool> {
        let pools = config.subnets.iter().flat_map(|subnet| {
            let reserved = subnet.reservations.iter().filter_map(|own| own.address);
            let reserved = reserved.map(|address| Pool { first: address, last: address });
            subnet.pools.iter().map(|pool| pool.range).chain(reserved)
        });
        pools.collect()
    };
    let gone: BTreeSet<Ipv4Addr> =
        of(old).into_iter().flat_map(Pool::iter).filter(|address| next.state(*address).is_none()).collect();
    runs(gone)
}

/// The reservations of `new` whose address another client may have by `old`, each with its client: a lease of another ends.
#[must_use]
pub fn contested(old: &Config, new: &Config) -> Vec<(Ipv4Addr, String)> {
    let former = Policy::new(old, Vec::new(), SEED);
    let before = old.subnets.iter().flat_map(|subnet| &subnet.reservations);
    let owners: BTreeMap<Ipv4Addr, _> = before.filter_map(|own| Some((own.address?, &own.key))).collect();
    let after = new.subnets.iter().flat_map(|subnet| &subnet.reservations);
    let addressed = after.filter_map(|own| Some((own.address?, &own.key)));
    let contested = addressed
        .filter(|(address, key)| former.state(*address).is_some() && owners.get(address) != Some(key));
    contested.map(|(address, key)| (address, key.to_string())).collect()
}

/// Addresses as ranges.
pub fn runs(addresses: impl IntoIterator<Item = Ipv4Addr>) -> Vec<Pool> {
    let mut runs: Vec<Pool> = Vec::new();
    for address in addresses {
        match runs.last_mut() {
            Some(run) if run.last.to_bits().checked_add(1) == Some(address.to_bits()) => run.last = address,
            _ => runs.push(Pool { first: address, last: address }),
        }
    }
    runs
}
