//! What the operator does.

use std::net::Ipv4Addr;

use dhcp_user::config::Pool;
use dhcp_user::policy::{Event, Reuse, State as AddressState};
use dhcp_user::server::simulated::Simulated;
use fuzz::chance::Chance;

use crate::ledger::Broken;
use crate::site::{Location, Version};

use super::World;

impl World {
    /// Who has what another configuration gives to nobody, or to somebody else, may be refused.
    pub(super) fn change_version(&mut self, version: Version) {
        self.note(|| format!("         {version:?} is in force"));
        self.version = version;
        for client in &mut self.clients {
            let (place, number) = (client.place, client.number);
            let ends = client.relies(self.now).any(|(address, _)| !version.grants(address, place, number));
            // What is reserved for it is another address than it has.
            client.is_excused |= ends || version.reserves(place, number);
        }
    }

    pub(super) fn reload(&mut self, chance: &mut Chance<'_>) -> Result<(), Broken> {
        let version = *chance.pick(&Version::ALL);
        let Some(server) = &mut self.server else { return Ok(()) };
        if server.reload(version.config()) {
            self.coming = Some(version);
        }
        self.went_on()
    }

    pub(super) fn operator_release(&mut self, chance: &mut Chance<'_>) -> Result<(), Broken> {
        let leases: Vec<Ipv4Addr> =
            self.clients.iter().filter_map(|client| Some(client.lease?.address)).collect();
        // Orders come when they are least convenient: while the client is about to go on with its lease.
        let asked = self.clients.iter().filter(|client| client.awaits_ack());
        let asked: Vec<Ipv4Addr> = asked.filter_map(|client| Some(client.lease?.address)).collect();
        let leases = if asked.is_empty() || chance.one_in(3) { leases } else { asked };
        if leases.is_empty() {
            return Ok(());
        }
        let address = *chance.pick(&leases);
        let reuse = if chance.one_in(3) { Reuse::AtOnce } else { Reuse::WhenClean };
        let Some(server) = &mut self.server else { return Ok(()) };
        if server.policy().state(address) != Some(AddressState::Leased) {
            return Ok(());
        }
        server.order(Event::OperatorRelease { address, reuse });
        self.note(|| format!("         the operator ends {address}, {reuse:?}"));
        for client in
            self.clients.iter_mut().filter(|client| client.relies(self.now).any(|(has, _)| has == address))
        {
            (client.is_excused, client.is_ended) = (true, true);
            if reuse == Reuse::AtOnce {
                client.has_no_more(address);
            }
        }
        self.strangers.end(address);
        self.went_on()
    }

    pub(super) fn clear(&mut self) -> Result<(), Broken> {
        let Some(server) = &mut self.server else { return Ok(()) };
        let range = Pool { first: Ipv4Addr::new(10, 0, 0, 0), last: Ipv4Addr::new(10, 255, 255, 255) };
        server.order(Event::QuarantineClear { range, why: None });
        self.went_on()
    }

    pub(super) fn import(&mut self, chance: &mut Chance<'_>) -> Result<(), Broken> {
        let place = *chance.pick(&Location::ALL);
        let addresses: Vec<Ipv4Addr> = place.addresses().collect();
        let address = *chance.pick(&addresses);
        let now = self.now;
        let Some(server) = &mut self.server else { return Ok(()) };
        let (lease, until) = self.strangers.elsewhere(address, chance, now);
        let taken = server.import(&lease).is_ok();
        self.went_on()?;
        self.settle(chance.any())?;
        if taken && self.server.as_ref().is_some_and(Simulated::is_idle) {
            self.tally.imports += 1;
            self.strangers.imported(address, until);
        }
        Ok(())
    }
}
