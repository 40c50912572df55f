//! Ends and starts: of the daemon, and of the machine.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use dhcp_user::server::simulated::{Machine, Simulated, sizes_for};
use dhcp_user::store::{BootId, Expected, Log, Loss, Promised, Store as _, StoreId};
use fuzz::chance::Chance;

use crate::client::{Manner, SECOND};
use crate::disk::Damage;
use crate::ledger::{Broken, Invariant, Noted};
use crate::maps::Maps;
use crate::site::{Version, interface, ours};

use super::World;

impl World {
    pub(super) fn kill(&mut self, chance: &mut Chance<'_>) {
        let Some(server) = self.server.take() else { return };
        self.tally.kills += 1;
        if chance.one_in(4) {
            // It is told to end.
            let _ = server.finish();
            self.medium.kill();
        } else {
            self.medium.kill();
            drop(server);
        }
        self.probes.clear();
        if chance.one_in(2) {
            self.rings.iter_mut().for_each(VecDeque::clear);
        }
    }

    pub(super) fn cut_power(&mut self, chance: u64) -> Result<(), Broken> {
        let mut drawn = Chance::seeded(chance);
        self.medium.draw_from(drawn.any());
        self.tally.power_cuts += 1;
        if drawn.one_in(2)
            && let Some(server) = &mut self.server
        {
            // In the middle of what the disk is at.
            self.medium.cut_power_after(1 + drawn.below(4) as u32);
            server.disk();
        }
        self.medium.cut_power();
        self.server = None;
        self.maps = None;
        if self.is_recovering {
            self.lost();
        }
        self.at_driver.clear();
        self.rings.iter_mut().for_each(VecDeque::clear);
        self.probes.clear();
        // It is off for a while.
        self.now += (1 + drawn.below(900) as u64) * SECOND;
        self.booted = self.now;
        self.boot += 1;
        self.same_boot = false;
        self.set_clocks();
        Ok(())
    }

    pub(super) fn damage(&mut self, chance: &mut Chance<'_>) {
        if self.server.is_some() {
            return;
        }
        let how = *chance.pick(&Damage::ALL);
        if let Some(what) = self.medium.damage(how, chance) {
            self.is_damaged = true;
            self.note(|| format!("         {what}"));
        }
    }

    pub(super) fn start(&mut self, chance: u64) -> Result<(), Broken> {
        if self.server.is_some() {
            return Ok(());
        }
        let mut drawn = Chance::seeded(chance);
        self.medium.draw_from(drawn.any());
        if drawn.one_in(6) {
            let version = *drawn.pick(&Version::ALL);
            self.change_version(version);
        }
        let config = self.version.config();
        let needed = sizes_for(&config);
        if drawn.one_in(8) || self.maps.as_ref().is_some_and(|maps| !maps.have_room(&needed)) {
            // Another version's maps are given up.
            self.maps = None;
            self.at_driver.clear();
        }
        let mut dies = drawn.one_in(8).then(|| 1 + drawn.below(6) as u32);
        if self.accept == Loss::Accepted {
            // One thing at a time: the operator has seen to the disk.
            dies = None;
            self.medium.fail_syncs(0);
            self.medium.set_full(false);
        }
        let rests_on = self.maps.as_ref().and_then(|maps| maps.rests_on);
        let promised = rests_on.map(|(store, number)| Promised { store: StoreId(store), number });
        let expected = Expected { promised, loss: self.accept };
        let (boot, now) = (BootId(self.boot), self.boot_secs());
        let fresh = StoreId(u128::from(self.seed) << 64 | u128::from(drawn.any()));
        let opened = Log::open_on(self.medium.open(), fresh, boot, now, expected);
        let mut store = match opened {
            Ok(store) => store,
            Err(error) => return self.did_not_open(&error),
        };
        let has_lost = store.has_lost();
        let records = match store.load() {
            Ok(records) => records,
            Err(error) => {
                drop(store);
                return self.did_not_open(&error);
            }
        };
        if has_lost {
            self.is_recovering = true;
            self.lost();
            let mut contents = self.on_disk.contents();
            contents.records = records.into_iter().map(|record| (record.address, record)).collect();
            contents.doubtful.clear();
        } else {
            let vain = self.opened_in_vain.map_or(0, |since| ((self.now - since) / SECOND) as u32 + 1);
            self.on_disk.contents().compare(&records, now, self.same_boot, vain)?;
        }
        self.opened_in_vain = None;
        (self.same_boot, self.is_damaged, self.accept) = (true, false, Loss::Refused);
        self.on_disk.contents().at = now;
        let maps = self.maps.get_or_insert_with(|| Maps::new(drawn.any(), needed, ours()));
        let machine = Machine {
            seed: drawn.any(),
            config,
            interfaces: vec![interface()],
            store: Box::new(Noted::new(store, self.on_disk.clone())),
            table: maps.table(),
            adopted_from: rests_on.map(|(store, _)| store),
        };
        if let Some(operations) = dies {
            self.medium.cut_power_after(operations);
        }
        match Simulated::start(machine) {
            Ok(server) => (self.server, self.is_recovering, self.coming) = (Some(server), false, None),
            Err(_) => {
                // It died on the way: killed, if the disk is what it was.
                self.tally.kills += 1;
                self.medium.kill();
            }
        }
        if self.medium.is_dark() {
            return self.cut_power(drawn.any());
        }
        self.medium.cut_power_after(u32::MAX);
        let beat = self.boot_time();
        if let Some(maps) = self.maps.as_mut().filter(|_| self.server.is_some()) {
            maps.heartbeat = beat;
        }
        self.went_on()?;
        self.audit()
    }

    pub(super) fn did_not_open(&mut self, error: &dhcp_user::store::StoreError) -> Result<(), Broken> {
        self.medium.kill();
        self.note(|| format!("         not opened: {error}"));
        self.opened_in_vain.get_or_insert(self.now);
        if error.is_loss() {
            if !self.is_damaged {
                return Broken::because(
                    Invariant::Damage,
                    format!("nothing is damaged, and it is refused: {error}"),
                );
            }
            self.tally.damages += 1;
            self.accept = Loss::Accepted;
        }
        Ok(())
    }

    /// The operator has accepted a loss: what the maps know holds.
    pub(super) fn lost(&mut self) {
        let live: Vec<(Ipv4Addr, [u8; 6])> = self
            .maps
            .iter()
            .flat_map(Maps::live)
            .map(|slot| {
                let identity = slot.identity();
                (identity.address.into(), identity.chaddr.bytes())
            })
            .collect();
        for client in &mut self.clients {
            // The maps know no identifiers: its client may not be known again, and of the lines of a RAS one gets what another
            // had. Nobody else gets the address.
            let known = client.manner != Manner::Line
                && client.lease.is_some_and(|lease| live.contains(&(lease.address, client.mac)));
            (client.is_excused, client.is_unknown) = (true, true);
            if !known {
                (client.is_void, client.is_excused) = (true, true);
                client.pending.clear();
            }
        }
        self.strangers.forget();
    }
}
