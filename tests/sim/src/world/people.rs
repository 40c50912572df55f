//! Who is on the network: clients, and who uses addresses without asking; what they rely on.

use std::net::Ipv4Addr;

use fuzz::chance::Chance;

use crate::client::{Manner, SECOND, State};
use crate::site::Location;

use super::{World, owner};

impl World {
    pub(super) fn client(&mut self, number: u8) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(usize::from(number) - 1) else { return };
        if client.due > now {
            return;
        }
        let frame = client.act(now);
        self.to_server.extend(frame.map(|frame| (self.now, frame)));
    }

    pub(super) fn whim(&mut self, number: u8, chance: &mut Chance<'_>) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(usize::from(number) - 1) else { return };
        let hours = if chance.one_in(4) { 3 } else { 1 };
        let until = now + (1 + chance.below(3600 * hours) as u64) * SECOND;
        if client.state == State::Off {
            return;
        }
        let has = client.state == State::Bound && client.lease.is_some_and(|lease| lease.until > now);
        if has && client.manner == Manner::Steady && chance.one_in(6) {
            let frame = client.bounce(now + chance.below(4) as u64 * SECOND / 2);
            self.to_server.extend(frame.map(|frame| (self.now, frame)));
        } else if has && chance.one_in(2) {
            let frame = client.release(until);
            self.to_server.extend(frame.map(|frame| (self.now, frame)));
        } else {
            client.switch_off(until);
        }
    }

    pub(super) fn squat(&mut self, chance: &mut Chance<'_>) {
        let place = *chance.pick(&Location::ALL);
        let addresses: Vec<Ipv4Addr> = place.addresses().collect();
        let address = *chance.pick(&addresses);
        let now = self.now;
        let is_used = self.promises(now).any(|(_, promised, _)| promised == address);
        if self.squatters.remove(&address).is_none() && !is_used {
            self.squatters.insert(address, now);
        }
    }

    /// Everything that somebody relies on: whose it is, the address, and until when.
    pub(super) fn promises(&self, now: u64) -> impl Iterator<Item = ([u8; 7], Ipv4Addr, u64)> + '_ {
        let clients = self.clients.iter().flat_map(move |client| {
            client.relies(now).map(|(address, until)| (owner(client.mac, client.number), address, until))
        });
        clients.chain(self.strangers.relies(now))
    }

    pub(super) fn is_used(&self, address: Ipv4Addr, but: Option<u8>) -> bool {
        self.squatters.contains_key(&address)
            || self.clients.iter().any(|client| Some(client.number) != but && client.uses(address, self.now))
            || self.strangers.uses(address, self.now)
    }

    /// Who answers for an address, by hardware address.
    pub(super) fn user_of(&self, address: Ipv4Addr) -> Option<[u8; 6]> {
        let client = self.clients.iter().find(|client| client.uses(address, self.now));
        let user = client.map_or([2, 0x59, 0, 0, 0, address.octets()[3]], |client| client.mac);
        self.is_used(address, None).then_some(user)
    }
}
