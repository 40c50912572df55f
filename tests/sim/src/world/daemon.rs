//! The daemon's steps while it runs.

use dhcp_user::policy::Outcome;
use fuzz::chance::Chance;

use crate::client::State;
use crate::ledger::Broken;

use super::World;

impl World {
    pub(super) fn take(&mut self) -> Result<(), Broken> {
        let Some(server) = &mut self.server else { return Ok(()) };
        let arrived = self.rings.iter_mut().flat_map(|ring| ring.drain(..)).collect();
        server.take(arrived);
        self.went_on()
    }

    pub(super) fn beat(&mut self) -> Result<(), Broken> {
        let now = self.boot_time();
        let Some(server) = &mut self.server else { return Ok(()) };
        server.beat();
        if let Some(maps) = &mut self.maps {
            maps.heartbeat = now;
        }
        self.went_on()
    }

    pub(super) fn disk(&mut self, chance: u64) -> Result<(), Broken> {
        self.medium.draw_from(chance);
        if let Some(server) = &mut self.server {
            server.disk();
            self.tally.commits = self.on_disk.contents().commits;
        }
        Ok(())
    }

    /// Takes over what the server has done.
    pub(super) fn went_on(&mut self) -> Result<(), Broken> {
        let Some(server) = &mut self.server else { return Ok(()) };
        if server.has_reloaded()
            && let Some(version) = self.coming.take()
        {
            self.tally.reloads += 1;
            self.change_version(version);
        }
        let Some(server) = &mut self.server else { return Ok(()) };
        let (asked, sent) = (server.asked(), server.sent());
        if let Some(maps) = &mut self.maps {
            maps.rests_on = Some(server.rests_on());
        }
        for (address, _) in asked {
            let user = self.user_of(address);
            self.probes.push((address, user));
        }
        sent.into_iter().try_for_each(|(_, frame)| self.leaves(frame.to_vec(), false))
    }

    pub(super) fn probe(&mut self, chance: &mut Chance<'_>) -> Result<(), Broken> {
        if self.probes.is_empty() {
            return Ok(());
        }
        let (address, before) =
            self.probes.remove(if self.is_rough { chance.below(self.probes.len()) } else { 0 });
        if self.server.is_none() {
            return Ok(());
        }
        // The answer, or that there was none, may have come when the probe began.
        let is_early = chance.one_in(2);
        let user = if is_early { before } else { self.user_of(address) };
        let outcome = match user {
            _ if self.is_rough && chance.one_in(6) => Outcome::Unknown,
            Some(user) => Outcome::Answered(Some(user)),
            None => Outcome::Silent,
        };
        self.note(|| format!("         {address}: {outcome:?}"));
        if let Outcome::Answered(_) = outcome {
            self.tally.answered += 1;
        } else if outcome == Outcome::Silent {
            // Whoever is away finds his lease ended, where the operator has ended it, or the store has forgotten it.
            for client in &mut self.clients {
                let may_be = client.is_ended || client.is_unknown;
                if may_be && (is_early || client.state == State::Off) {
                    client.has_no_more(address);
                }
            }
        }
        if let Some(server) = &mut self.server {
            server.probed(address, outcome);
        }
        self.went_on()
    }

    /// Does all that is under way.
    pub(super) fn settle(&mut self, chance: u64) -> Result<(), Broken> {
        let mut drawn = Chance::seeded(chance);
        for round in 0..60 {
            if !self.is_busy() {
                return Ok(());
            }
            while !self.to_server.is_empty() || !self.to_clients.is_empty() {
                self.deliver(&mut drawn)?;
            }
            while !self.at_driver.is_empty() {
                self.promise()?;
            }
            if self.server.is_none() {
                self.probes.clear();
                continue;
            }
            if self.rings.iter().any(|ring| !ring.is_empty()) {
                self.take()?;
            }
            self.disk(drawn.any())?;
            if self.medium.is_dark() {
                return Ok(());
            }
            if let Some(server) = &mut self.server {
                server.hear();
                self.went_on()?;
            }
            if !self.probes.is_empty() {
                self.probe(&mut drawn)?;
            }
            // What clients do at once.
            let now = self.now;
            for number in 1..=self.clients.len() as u8 {
                if self.clients[usize::from(number) - 1].due <= now {
                    self.client(number);
                }
            }
            if round > 40 {
                // A disk that takes nothing is tried again later.
                break;
            }
        }
        Ok(())
    }
}
