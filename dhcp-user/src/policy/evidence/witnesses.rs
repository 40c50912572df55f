//! Stations whose answers to probes prove nothing: a station that answers for many free addresses is a router that
//! does proxy ARP (RFC 1027), or a forger. It also limits the answers of all stations of a link, since a forger can
//! claim any hardware address.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use dhcp_ebpf::abi::Link;
use dhcp_ebpf::lease::BootSecs;

use super::credit::{Account, Allowance, Credit};
use crate::policy::action::Via;

/// A station that answers for so many free addresses of a link is not believed.
const MANY: usize = 3;
/// Within so many seconds.
const WHILE: u32 = 600;
/// For so many seconds it is not believed.
const DISBELIEVED_FOR: u32 = 3600;
/// The number of stations with recorded answers. The one recorded longest ago is forgotten first.
const MOST_STATIONS: usize = 1024;
/// So many of a link are not believed. With more the link is a liar's playground, and probes find nothing out.
const MOST_DISBELIEVED: usize = 64;

/// How many answers are believed of the stations of one link.
const ALLOWANCE: Allowance = Allowance { in_a_row: 64, one_more_after: 600 };
/// The number of links with an account.
const MOST_LINKS: usize = 4096;

/// A station on a link.
type Station = (Link, [u8; 6]);

/// The recorded answers of stations.
#[derive(Debug, Default)]
pub(in crate::policy) struct Witnesses {
    said: BTreeMap<Station, Testimony>,
    disbelieved: BTreeMap<Station, Disbelief>,
    /// The account of each link.
    links: BTreeMap<Link, Account>,
}

#[derive(Debug)]
struct Testimony {
    since: BootSecs,
    addresses: Vec<Ipv4Addr>,
}

#[derive(Debug)]
struct Disbelief {
    until: BootSecs,
    addresses: Vec<Ipv4Addr>,
}

/// How far an answer is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Credence {
    /// The address is in use.
    Believed,
    /// The address may be in use. The link has more answers than its credit: they may be false.
    Doubted {
        /// Whether to report that.
        tell: bool,
    },
    /// It proves nothing.
    Disbelieved,
    /// It proves nothing, as has just turned out: the station has answered for all these.
    FoundOut(Vec<Ipv4Addr>),
}

impl Witnesses {
    /// The station has answered for `address`, which is nobody's.
    pub(in crate::policy) fn heard(
        &mut self,
        now: BootSecs,
        link: Link,
        station: [u8; 6],
        address: Ipv4Addr,
    ) -> Credence {
        self.forget(now);
        let key = (link, station);
        if self.disbelieved.contains_key(&key) {
            return Credence::Disbelieved;
        }
        if self.said.len() >= MOST_STATIONS && !self.said.contains_key(&key) {
            let oldest = self.said.iter().min_by_key(|(_, said)| said.since).map(|(station, _)| *station);
            oldest.map(|station| self.said.remove(&station));
        }
        let said = self.said.entry(key).or_insert_with(|| Testimony { since: now, addresses: Vec::new() });
        if said.since.plus(WHILE) <= now {
            *said = Testimony { since: now, addresses: Vec::new() };
        }
        if !said.addresses.contains(&address) {
            said.addresses.push(address);
        }
        let on_link = self.disbelieved.keys().filter(|(there, _)| *there == link).count();
        if said.addresses.len() < MANY || on_link >= MOST_DISBELIEVED {
            return self.charge(now, link);
        }
        let addresses = std::mem::take(&mut said.addresses);
        self.said.remove(&key);
        let until = now.plus(DISBELIEVED_FOR);
        self.disbelieved.insert(key, Disbelief { until, addresses: addresses.clone() });
        Credence::FoundOut(addresses)
    }

    /// One more answer from this link.
    fn charge(&mut self, now: BootSecs, link: Link) -> Credence {
        if self.links.len() >= MOST_LINKS && !self.links.contains_key(&link) {
            self.links.retain(|_, account| !account.is_full(now));
            if self.links.len() >= MOST_LINKS {
                return Credence::Doubted { tell: false };
            }
        }
        match self.links.entry(link).or_insert_with(|| Account::new(ALLOWANCE, now)).charge(now) {
            Credit::Good => Credence::Believed,
            Credit::Spent { tell } => Credence::Doubted { tell },
        }
    }

    /// The links that lately had more answers than their credit.
    pub(in crate::policy) fn doubted(&self, now: BootSecs) -> impl Iterator<Item = Link> {
        self.links.iter().filter(move |(_, account)| account.is_spent(now)).map(|(link, _)| *link)
    }

    /// The stations whose answers to a probe don't count.
    pub(in crate::policy) fn disbelieved_on(&mut self, now: BootSecs, via: Via) -> Arc<[[u8; 6]]> {
        let Via::Arp(link) = via else { return Arc::default() };
        if self.disbelieved.is_empty() {
            return Arc::default();
        }
        self.forget(now);
        self.disbelieved.keys().filter(|(there, _)| *there == link).map(|(_, station)| *station).collect()
    }

    /// The stations that are not believed, and the addresses that they answered for.
    pub(in crate::policy) fn disbelieved(
        &self,
        now: BootSecs,
    ) -> impl Iterator<Item = (Link, [u8; 6], &[Ipv4Addr])> {
        let still = self.disbelieved.iter().filter(move |(_, disbelief)| now < disbelief.until);
        still.map(|((link, station), disbelief)| (*link, *station, &*disbelief.addresses))
    }

    /// Interfaces have other indices.
    pub(in crate::policy) fn relink(&mut self, now: impl Fn(u32) -> u32) {
        let anew = |(link, station): Station| (Link { ifindex: now(link.ifindex), ..link }, station);
        let said = std::mem::take(&mut self.said).into_iter();
        self.said = said.map(|(station, said)| (anew(station), said)).collect();
        let disbelieved = std::mem::take(&mut self.disbelieved).into_iter();
        self.disbelieved = disbelieved.map(|(station, disbelief)| (anew(station), disbelief)).collect();
        let links = std::mem::take(&mut self.links).into_iter();
        self.links =
            links.map(|(link, account)| (Link { ifindex: now(link.ifindex), ..link }, account)).collect();
    }

    fn forget(&mut self, now: BootSecs) {
        self.disbelieved.retain(|_, disbelief| now < disbelief.until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: Link = Link { ifindex: 3, outer: 0, inner: 0 };
    const OTHER: Link = Link { ifindex: 4, ..LINK };
    const STATION: [u8; 6] = [2, 0, 0, 0, 0, 7];

    fn heard(witnesses: &mut Witnesses, now: u32, link: Link, last: u8) -> Credence {
        witnesses.heard(BootSecs(now), link, STATION, Ipv4Addr::new(192, 0, 2, last))
    }

    #[test]
    fn who_answers_for_many_is_not_believed_on_that_link_for_a_while() {
        let mut witnesses = Witnesses::default();
        for last in [1, 2, 2, 1] {
            assert_eq!(heard(&mut witnesses, 100, LINK, last), Credence::Believed);
        }
        assert_eq!(heard(&mut witnesses, 100, OTHER, 3), Credence::Believed, "another link");
        let all = [1, 2, 3].map(|last| Ipv4Addr::new(192, 0, 2, last)).to_vec();
        assert_eq!(heard(&mut witnesses, 101, LINK, 3), Credence::FoundOut(all));
        assert_eq!(heard(&mut witnesses, 102, LINK, 4), Credence::Disbelieved);
        let on =
            |witnesses: &mut Witnesses, now, link| witnesses.disbelieved_on(BootSecs(now), Via::Arp(link));
        assert_eq!(*on(&mut witnesses, 102, LINK), [STATION]);
        assert!(on(&mut witnesses, 102, OTHER).is_empty());
        assert!(on(&mut witnesses, 101 + DISBELIEVED_FOR, LINK).is_empty());
        assert_eq!(heard(&mut witnesses, 101 + DISBELIEVED_FOR, LINK, 4), Credence::Believed);
    }

    #[test]
    fn who_answers_for_several_now_and_then_is_believed() {
        let mut witnesses = Witnesses::default();
        for round in 0..9 {
            let now = 100 + u32::from(round) * WHILE / 2;
            assert_eq!(heard(&mut witnesses, now, LINK, round), Credence::Believed);
        }
    }

    #[test]
    fn what_is_known_of_stations_has_an_end() {
        let mut witnesses = Witnesses::default();
        for number in 0..3000u32 {
            let [_, _, high, low] = number.to_be_bytes();
            witnesses.heard(BootSecs(100 + number), LINK, [2, 0, 0, 0, high, low], Ipv4Addr::LOCALHOST);
        }
        assert_eq!(witnesses.said.len(), MOST_STATIONS);
    }

    #[test]
    fn stations_without_number_are_doubted() {
        let mut witnesses = Witnesses::default();
        let mut said = |now: u32, link, number: u8| {
            let address = Ipv4Addr::new(192, 0, 2, number);
            witnesses.heard(BootSecs(now), link, [2, 0, 0, 0, 9, number], address)
        };
        for number in 0..64 {
            assert_eq!(said(100, LINK, number), Credence::Believed);
        }
        assert_eq!(said(100, LINK, 64), Credence::Doubted { tell: true });
        assert_eq!(said(101, LINK, 65), Credence::Doubted { tell: false });
        assert_eq!(said(101, OTHER, 66), Credence::Believed, "another link");
        assert_eq!(said(700, LINK, 67), Credence::Believed, "one more after ten minutes");
        assert_eq!(said(700, LINK, 68), Credence::Doubted { tell: true });
        assert_eq!(witnesses.doubted(BootSecs(701)).collect::<Vec<_>>(), [LINK]);
        assert_eq!(witnesses.doubted(BootSecs(1400)).count(), 0);
    }
}
