//! Who keeps to nothing: takes addresses under ever new names, speaks for others, declines what it gets; and clients of another
//! server, whose leases are taken over.

use std::net::Ipv4Addr;

use dhcp_user::control::{Portable, Treated};
use fuzz::chance::Chance;
use fuzz::parity::draft::{CIADDR, Draft, GIADDR};

use super::client::{Client, SECOND};
use super::reply::{Answer, Kind};
use super::site::{Location, OURS};
use super::world::owner;

/// All of them.
#[derive(Debug, Default)]
pub struct Strangers {
    /// What was promised to whom, until when.
    has: Vec<(Ipv4Addr, [u8; 6], u64)>,
    sent: u32,
    /// Whether the next offer is taken.
    takes: bool,
}

impl Strangers {
    /// The number that their transactions begin with.
    pub const NUMBER: u8 = 0xff;

    /// What they rely on.
    pub fn relies(&self, now: u64) -> impl Iterator<Item = ([u8; 7], Ipv4Addr, u64)> + '_ {
        let running = self.has.iter().filter(move |(_, _, until)| *until > now);
        running.map(|(address, mac, until)| (owner(*mac, Self::NUMBER), *address, *until))
    }

    /// Whether one of them answers for the address.
    #[must_use]
    pub fn uses(&self, address: Ipv4Addr, now: u64) -> bool {
        self.has.iter().any(|(has, _, until)| *has == address && *until > now)
    }

    /// Whether the address was this one's.
    #[must_use]
    pub fn had(&self, address: Ipv4Addr, mac: [u8; 6]) -> bool {
        self.has.iter().any(|(has, had, _)| (*has, *had) == (address, mac))
    }

    /// Nobody need keep anything for them.
    pub fn forget(&mut self) {
        self.has.clear();
    }

    /// Nobody need keep this address for them.
    pub fn end(&mut self, address: Ipv4Addr) {
        self.has.retain(|(has, _, _)| *has != address);
    }

    /// Whether somebody of this hardware address is one of them; else they pose as somebody.
    #[must_use]
    pub const fn are(mac: [u8; 6]) -> bool {
        mac[1] == 0x66
    }

    /// One of them has an address.
    pub fn acknowledged(&mut self, answer: &Answer, until: u64) {
        self.end(answer.yiaddr);
        self.has.push((answer.yiaddr, answer.mac, until));
    }

    fn xid(&mut self) -> u32 {
        self.sent += 1;
        u32::from(Self::NUMBER) << 24 | self.sent
    }

    fn draft(&mut self, mac: [u8; 6], area: &[u8], place: Location) -> Draft {
        let mut draft = Draft::new(mac, area.to_vec());
        draft.xid = self.xid();
        draft.tags = place.tags().to_vec();
        draft
    }

    /// Sends something.
    pub(crate) fn draw(&mut self, chance: &mut Chance<'_>, clients: &[Client], now: u64) -> Vec<Vec<u8>> {
        let place = *chance.pick(&[Location::Link, Location::Vlan]);
        let mac = [0x02, 0x66, 0, 0, 0, chance.octet() % 24];
        let victims: Vec<&Client> =
            clients.iter().filter(|client| client.lease.is_some_and(|lease| lease.until > now)).collect();
        let victim = (!victims.is_empty()).then(|| *chance.pick(&victims));
        let lease = victim.and_then(|victim| victim.lease);
        match (chance.below(10), victim, lease) {
            (0..=2, ..) => {
                self.takes = !chance.one_in(4);
                vec![self.draft(mac, &[53, 1, 1, 55, 3, 1, 3, 6, 255], place).write()]
            }
            // In the victim's name, from another link.
            (3, Some(victim), Some(lease)) => {
                let place = if victim.place == Location::Vlan { Location::Link } else { Location::Vlan };
                let [a, b, c, d] = lease.server.octets();
                let mut draft = self.draft(victim.mac, &[53, 1, 7, 54, 4, a, b, c, d, 255], place);
                (draft.stations, draft.hosts) = ((OURS, victim.mac), (lease.address, lease.server));
                draft.addresses[CIADDR] = lease.address;
                vec![draft.write()]
            }
            (4, Some(victim), Some(lease)) => {
                let place = if victim.place == Location::Vlan { Location::Link } else { Location::Vlan };
                let ([a, b, c, d], [e, f, g, h]) = (lease.server.octets(), lease.address.octets());
                let area = [53, 1, 4, 54, 4, a, b, c, d, 50, 4, e, f, g, h, 255];
                vec![self.draft(victim.mac, &area, place).write()]
            }
            // In its own name, for what is another's.
            (5, _, Some(lease)) => {
                let [e, f, g, h] = lease.address.octets();
                vec![self.draft(mac, &[53, 1, 3, 50, 4, e, f, g, h, 255], place).write()]
            }
            (6, _, Some(lease)) => {
                let mut draft = self.draft(mac, &[53, 1, 3, 55, 3, 1, 3, 6, 255], place);
                draft.hosts.0 = lease.address;
                draft.addresses[CIADDR] = lease.address;
                vec![draft.write()]
            }
            // In its own name, from the victim's link.
            (7, Some(victim), Some(lease)) if victim.place != Location::Relay => {
                let [a, b, c, d] = lease.server.octets();
                let mut draft = self.draft(mac, &[53, 1, 7, 54, 4, a, b, c, d, 255], victim.place);
                (draft.stations, draft.hosts) = ((OURS, mac), (lease.address, lease.server));
                draft.addresses[CIADDR] = lease.address;
                vec![draft.write()]
            }
            // In the victim's name, from its link: it moves to another address.
            (8, Some(victim), Some(lease)) if victim.place != Location::Relay => {
                let addresses: Vec<Ipv4Addr> = victim.place.addresses().collect();
                let mut area = vec![53, 1, 3, 54, 4];
                area.extend(lease.server.octets());
                area.extend([50, 4]);
                area.extend(chance.pick(&addresses).octets());
                area.extend(victim.identifier());
                area.push(255);
                vec![self.draft(victim.mac, &area, victim.place).write()]
            }
            // As a relay that nobody listed.
            _ => {
                let mut draft = self.draft(mac, &[53, 1, 1, 82, 3, 1, 1, 7, 255], place);
                draft.addresses[GIADDR] = Ipv4Addr::new(10, 0, 0, 10 + chance.octet() % 18);
                vec![draft.write()]
            }
        }
    }

    /// An answer comes in.
    pub(crate) fn hear(&mut self, answer: &Answer, _now: u64) -> Option<Vec<u8>> {
        if answer.kind != Kind::Offer || !Self::are(answer.mac) || !self.takes {
            return None;
        }
        let place = if answer.yiaddr.octets()[2] == 1 { Location::Vlan } else { Location::Link };
        let ([a, b, c, d], [e, f, g, h]) = (answer.server.octets(), answer.yiaddr.octets());
        let kind = if answer.mac[5] % 8 == 7 { 4 } else { 3 };
        Some(self.draft(answer.mac, &[53, 1, kind, 54, 4, a, b, c, d, 50, 4, e, f, g, h, 255], place).write())
    }

    /// A lease that another server has given.
    #[must_use]
    pub(crate) fn elsewhere(&self, address: Ipv4Addr, chance: &mut Chance<'_>, now: u64) -> (Portable, u64) {
        let secs = 300 + chance.below(4000) as u32;
        let lease = Portable {
            address,
            state: Treated::Leased,
            hw_address: Some(format!("02:77:00:00:00:{:02x}", address.octets()[3])),
            client_id: None,
            host_name: None,
            interface: None,
            vlan: Vec::new(),
            relay: None,
            relay_information: None,
            server: None,
            lease_time: secs,
            expires_in: secs,
            committed_for: secs,
            last_heard_ago: 0,
            kernel_renewals: 0,
            quarantines: 0,
            quarantine: None,
            expires: None,
            committed_until: None,
            last_heard: None,
        };
        (lease, now + u64::from(secs) * SECOND)
    }

    /// It was taken over.
    pub fn imported(&mut self, address: Ipv4Addr, until: u64) {
        self.has.push((address, [0x02, 0x77, 0, 0, 0, address.octets()[3]], until));
    }
}
