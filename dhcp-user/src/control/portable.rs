//! A lease on its way from one server to another: a line of JSON with all data that the other needs to honour it.
//!
//! Seconds count from the moment of the export: a lease has as many left at its new server as at that moment, however
//! long the way took, whatever the clocks of the two machines show. Moments are for people.

use std::net::Ipv4Addr;

use dhcp_ebpf::lease::BootSecs;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::report::{colon_hex, from_colon_hex};
use super::wall::WallClock;
use crate::store::{HwAddr, QuarantineCause, Record, Standing};

/// A server's state of an address, for another server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Portable {
    /// The address.
    pub address: Ipv4Addr,
    /// How to treat it.
    pub state: Treated,
    /// The hardware address of its owner or last owner, or of the station that uses it in spite of a quarantine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hw_address: Option<String>,
    /// The owner's client identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The owner's host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_name: Option<String>,
    /// The interface that the owner is reached on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The VLAN ids it is reached with, outer first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vlan: Vec<u16>,
    /// The relay it is reached through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<Ipv4Addr>,
    /// Its relay information (option 82), in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay_information: Option<String>,
    /// The server identifier of its last answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Ipv4Addr>,
    /// The lease time of its last answer, in seconds.
    #[serde(default)]
    pub lease_time: u32,
    /// For how many seconds it is known to be promised.
    #[serde(default)]
    pub expires_in: u32,
    /// For how many seconds it may have been promised: the other server has to honour these.
    #[serde(default)]
    pub committed_for: u32,
    /// How many seconds ago the owner was last heard.
    #[serde(default)]
    pub last_heard_ago: u32,
    /// How many renewals the kernel has answered.
    #[serde(default)]
    pub kernel_renewals: u64,
    /// How often the address was in quarantine.
    #[serde(default)]
    pub quarantines: u32,
    /// Its quarantine, while it is in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<Confined>,
    /// When the lease expires, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// When all has run out that may have been promised, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed_until: Option<Timestamp>,
    /// When the owner was last heard, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_heard: Option<Timestamp>,
}

/// How to treat an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Treated {
    /// Promised to its owner.
    Leased,
    /// Expired, and not yet to be reused.
    Grace,
    /// Free; its last owner is preferred.
    Free,
    /// Seen in use by somebody it was not promised to.
    Quarantined,
}

/// A quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Confined {
    /// How many seconds ago it began.
    pub since_ago: u32,
    /// For how many seconds it lasts yet.
    pub ends_in: u32,
    /// How it was found that the address is in use.
    pub why: Cause,
    /// The station that uses it, or the client that declined it.
    #[serde(default)]
    pub by: String,
}

/// How it was found that an address is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Its owner declined it.
    Declined,
    /// Somebody answered a probe.
    Probe,
}

impl Portable {
    /// The contents of `record`, at the second `now` (rounded down).
    #[must_use]
    pub fn of(record: &Record, now: BootSecs, wall: WallClock) -> Self {
        let left = |moment: BootSecs| match moment {
            BootSecs::NEVER => moment.0,
            _ => moment.0.saturating_sub(now.0),
        };
        let ago = |moment: BootSecs| now.0.saturating_sub(moment.0);
        let (state, quarantine) = match &record.standing {
            Standing::Leased => (Treated::Leased, None),
            Standing::Grace | Standing::Ended => (Treated::Grace, None),
            Standing::Free => (Treated::Free, None),
            Standing::Quarantined { since, until, why, by } => {
                let (since_ago, ends_in, by) = (ago(*since), left(*until), by.clone());
                let why = match why {
                    QuarantineCause::Declined => Cause::Declined,
                    QuarantineCause::Probe => Cause::Probe,
                };
                (Treated::Quarantined, Some(Confined { since_ago, ends_in, why, by }))
            }
        };
        let has_owner = !record.chaddr.octets().is_empty() || record.client_id.is_some();
        let shown = |moment: BootSecs| Some(wall.at(moment)).filter(|_| has_owner && quarantine.is_none());
        Self {
            address: record.address,
            state,
            hw_address: (!record.chaddr.octets().is_empty()).then(|| record.chaddr.to_string()),
            client_id: record.client_id.as_deref().map(colon_hex),
            host_name: record.host_name.clone(),
            interface: Some(record.interface.clone()).filter(|name| !name.is_empty()),
            vlan: [record.vlan.0, record.vlan.1].into_iter().filter(|id| *id != 0).collect(),
            relay: Some(record.giaddr).filter(|relay| !relay.is_unspecified()),
            relay_information: record.agent_info.as_deref().map(colon_hex),
            server: Some(record.server).filter(|server| !server.is_unspecified()),
            lease_time: record.lease_time,
            expires_in: left(record.expiry),
            committed_for: left(record.committed_until.max(record.expiry)),
            last_heard_ago: ago(record.last_heard),
            kernel_renewals: record.kernel_renewals,
            quarantines: record.recurrences,
            expires: shown(record.expiry),
            committed_until: shown(record.committed_until.max(record.expiry)),
            last_heard: shown(record.last_heard),
            quarantine,
        }
    }

    /// The record it makes at the second `now` (rounded down). Rounding adds to a promise, and never takes away.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn record(&self, now: BootSecs) -> Result<Record, String> {
        let till = |seconds: u32| now.plus(1).plus(seconds);
        let since = |seconds: u32| BootSecs(now.0.saturating_sub(seconds));
        let octets = |what: &str, text: &Option<String>| match text {
            Some(text) => {
                from_colon_hex(text).map(Some).ok_or_else(|| format!("{what} is no octets: {text}"))
            }
            None => Ok(None),
        };
        let promises = self.state == Treated::Leased;
        let ends = |seconds: u32| if promises { till(seconds) } else { now.min(till(seconds)) };
        let standing = match (self.state, &self.quarantine) {
            (Treated::Leased, None) => Standing::Leased,
            (Treated::Grace, None) => Standing::Grace,
            (Treated::Free, None) => Standing::Free,
            (Treated::Quarantined, Some(confined)) => Standing::Quarantined {
                since: since(confined.since_ago),
                until: till(confined.ends_in),
                why: match confined.why {
                    Cause::Declined => QuarantineCause::Declined,
                    Cause::Probe => QuarantineCause::Probe,
                },
                by: confined.by.clone(),
            },
            (Treated::Quarantined, None) => return Err("it has no quarantine".to_owned()),
            (_, Some(_)) => return Err("it has a quarantine and is not quarantined".to_owned()),
        };
        let vlan = match self.vlan[..] {
            [] => (0, 0),
            [outer] => (outer, 0),
            [outer, inner] => (outer, inner),
            _ => return Err("it has more than two VLAN ids".to_owned()),
        };
        Ok(Record {
            address: self.address,
            standing,
            recurrences: self.quarantines,
            client_id: octets("client-id", &self.client_id)?.filter(|id| !id.is_empty()),
            chaddr: self.hw_address.as_deref().map_or(Ok(HwAddr::default()), hw_address)?,
            interface: self.interface.clone().unwrap_or_default(),
            vlan,
            giaddr: self.relay.unwrap_or(Ipv4Addr::UNSPECIFIED),
            server: self.server.unwrap_or(Ipv4Addr::UNSPECIFIED),
            host_name: self.host_name.clone(),
            lease_time: self.lease_time,
            expiry: ends(self.expires_in),
            committed_until: ends(self.committed_for.max(self.expires_in)),
            kernel_renewals: self.kernel_renewals,
            last_heard: since(self.last_heard_ago),
            agent_info: octets("relay-information", &self.relay_information)?,
            adopted: false,
            shortened: false,
            classes: Vec::new(),
        })
    }
}

/// A hardware address as it is shown: a type other than Ethernet goes before, with a slash.
fn hw_address(text: &str) -> Result<HwAddr, String> {
    let wrong = || format!("hw-address is none: {text}");
    let (htype, octets) = match text.split_once('/') {
        Some((htype, octets)) => (htype.parse().map_err(|_| wrong())?, octets),
        None => (1, text),
    };
    match from_colon_hex(octets) {
        // Of whom nothing is known.
        Some(none) if none.is_empty() => Ok(HwAddr::default()),
        octets => octets.and_then(|octets| HwAddr::new(htype, &octets)).ok_or_else(wrong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: BootSecs = BootSecs(10_000);

    fn wall() -> WallClock {
        WallClock::booted("2026-01-01T00:00:00Z".parse().unwrap())
    }

    fn leased() -> Record {
        Record {
            address: Ipv4Addr::new(192, 0, 2, 10),
            standing: Standing::Leased,
            recurrences: 2,
            client_id: Some(vec![1, 2, 3]),
            chaddr: HwAddr::new(6, b"\x02\x10\x20").unwrap(),
            interface: "eth0.100".to_owned(),
            vlan: (200, 100),
            giaddr: Ipv4Addr::new(198, 51, 100, 1),
            server: Ipv4Addr::new(192, 0, 2, 1),
            host_name: Some("caf\u{e9}".to_owned()),
            lease_time: 600,
            expiry: NOW.plus(500),
            committed_until: NOW.plus(1100),
            kernel_renewals: 7,
            last_heard: BootSecs(NOW.0 - 99),
            agent_info: Some(vec![1, 1, 9]),
            adopted: false,
            shortened: false,
            classes: Vec::new(),
        }
    }

    fn travelled(record: &Record, from: BootSecs, to: BootSecs) -> Record {
        let line = serde_json::to_string(&Portable::of(record, from, wall())).unwrap();
        serde_json::from_str::<Portable>(&line).unwrap().record(to).unwrap()
    }

    #[test]
    fn a_lease_has_left_at_its_new_server_what_it_had_at_the_old_one() {
        for there in [BootSecs(0), BootSecs(12), BootSecs(4_000_000_000)] {
            let arrived = travelled(&leased(), NOW, there);
            let expected = Record {
                expiry: there.plus(501),
                committed_until: there.plus(1101),
                last_heard: BootSecs(there.0.saturating_sub(99)),
                ..leased()
            };
            assert_eq!(arrived, expected);
        }
    }

    #[test]
    fn what_is_for_good_is_for_good_at_the_new_server() {
        let record = Record { expiry: BootSecs::NEVER, committed_until: BootSecs::NEVER, ..leased() };
        for there in [BootSecs(0), NOW, BootSecs(4_000_000_000)] {
            let arrived = travelled(&record, NOW, there);
            assert_eq!((arrived.expiry, arrived.committed_until), (BootSecs::NEVER, BootSecs::NEVER));
        }
    }

    #[test]
    fn what_has_run_out_promises_nothing_at_the_new_server() {
        for standing in [Standing::Free, Standing::Grace] {
            let record =
                Record { standing, expiry: BootSecs(9_000), committed_until: BootSecs(9_000), ..leased() };
            let arrived = travelled(&record, NOW, NOW);
            assert!(arrived.expiry <= NOW && arrived.committed_until <= NOW, "{arrived:?}");
        }
    }

    #[test]
    fn a_quarantine_travels_with_what_it_has_left() {
        let standing = Standing::Quarantined {
            since: BootSecs(NOW.0 - 10),
            until: NOW.plus(3600),
            why: QuarantineCause::Probe,
            by: "02:00:00:00:00:09".to_owned(),
        };
        let arrived = travelled(&Record { standing: standing.clone(), ..leased() }, NOW, NOW);
        let Standing::Quarantined { since, until, why, by } = arrived.standing else { panic!("{arrived:?}") };
        assert_eq!((since, until), (BootSecs(NOW.0 - 10), NOW.plus(3601)));
        assert_eq!((why, by.as_str()), (QuarantineCause::Probe, "02:00:00:00:00:09"));
    }

    #[test]
    fn a_promise_without_end_has_none_at_the_new_server() {
        let record = Record { committed_until: BootSecs(u32::MAX), ..leased() };
        let line = Portable::of(&record, NOW, wall());
        assert_eq!(line.record(NOW).unwrap().committed_until, BootSecs(u32::MAX));
    }

    #[test]
    fn nonsense_is_refused_in_words() {
        let good = Portable::of(&leased(), NOW, wall());
        let confined = Confined { since_ago: 0, ends_in: 1, why: Cause::Probe, by: String::new() };
        let wrong = [
            Portable { hw_address: Some("0/zz".to_owned()), ..good.clone() },
            Portable { hw_address: Some("00:".repeat(17)), ..good.clone() },
            Portable { client_id: Some("1".to_owned()), ..good.clone() },
            Portable { relay_information: Some("01-02".to_owned()), ..good.clone() },
            Portable { vlan: vec![1, 2, 3], ..good.clone() },
            Portable { quarantine: Some(confined), ..good.clone() },
            Portable { state: Treated::Quarantined, ..good.clone() },
        ];
        for line in wrong {
            assert!(!line.record(NOW).expect_err("refused").is_empty());
        }
        assert!(good.record(NOW).is_ok());
    }
}
