//! What must always be so.

use std::net::Ipv4Addr;

use dhcp_user::policy::State as AddressState;
use dhcp_user::store::Standing;

use crate::client::{Manner, SECOND, State};
use crate::ledger::{Broken, Invariant};
use crate::maps::Maps;

use super::{BOOT, BOUND, PATIENCE, Step, World};

impl World {
    pub(super) fn check(&self) -> Result<(), Broken> {
        let now = self.now;
        let contents = self.on_disk.contents();
        for slot in self.maps.iter().flat_map(Maps::live) {
            let identity = slot.identity();
            let address: Ipv4Addr = identity.address.into();
            let ahead = slot.horizon().max(slot.word().expiry());
            let record = contents.records.get(&address);
            let covered = record
                .is_some_and(|record| record.standing == Standing::Leased && record.committed_until >= ahead);
            // After an end was decided by a daemon that is no more, the next one sees to it.
            if self.server.is_some() && !covered {
                return Broken::because(
                    Invariant::Covered,
                    format!("the kernel may promise {address} until {ahead:?}, and committed is {record:?}"),
                );
            }
        }
        drop(contents);
        let Some(server) = &self.server else { return Ok(()) };
        let boot = self.booted;
        for client in self.clients.iter().filter(|client| !client.is_excused) {
            for (address, until) in client.relies(now).filter(|(address, _)| self.version.gives(*address)) {
                let lease = server.policy().lease(address);
                let word = server.table().slot(address).map(|(_, slot)| slot.word());
                let stands = lease.as_ref().is_some_and(|lease| {
                    let promised = word
                        .filter(|word| word.alive())
                        .map_or(lease.expires, |word| word.expiry().max(lease.expires));
                    let ends = (u64::from(promised.0) * SECOND + boot).saturating_sub(BOOT);
                    // What was promised at an address that its client has moved from, as far as the server knows, is kept, and
                    // renewed.
                    matches!(lease.state, AddressState::Leased | AddressState::Grace)
                        && lease.chaddr.octets() == client.mac
                        && ends >= until
                });
                if !stands {
                    return Broken::because(
                        Invariant::AckSurvives,
                        format!(
                            "{} relies on {address} for {} s more, and the server has {lease:?}, {word:?}",
                            client.number,
                            (until - now) / SECOND
                        ),
                    );
                }
            }
        }
        if self.tally.steps.is_multiple_of(64)
            && let Some(found) = server.policy().audit_counts().first()
        {
            return Broken::because(Invariant::Audit, found.what.clone());
        }
        // While nothing is under way policy, store and maps agree about every address.
        if self.tally.steps.is_multiple_of(256) && !self.is_busy() { self.audit() } else { Ok(()) }
    }

    /// What the server knows of an address.
    pub(super) fn known(&self, address: Ipv4Addr) -> String {
        let Some(server) = &self.server else { return String::new() };
        let policy = server.policy();
        let word = server.table().slot(address).map(|(_, slot)| (slot.word(), slot.horizon()));
        format!(
            "{:?}, {:?}, {word:?} at {:?}",
            policy.state(address),
            policy.record(address),
            self.boot_secs()
        )
    }

    pub(super) fn audit(&self) -> Result<(), Broken> {
        let Some(server) = &self.server else { return Ok(()) };
        let contents = self.on_disk.contents();
        let found = server.audit(|address| contents.records.get(&address).cloned());
        match found.first() {
            Some(found) if contents.doubtful.is_empty() => {
                let known = found.split_once(':').and_then(|(address, _)| address.parse().ok());
                let known = known.map(|address| self.known(address)).unwrap_or_default();
                Broken::because(Invariant::Audit, format!("{found}: {known}"))
            }
            _ => Ok(()),
        }
    }

    /// Three hours in which all is well.
    pub(super) fn calm(&mut self) -> Result<(), Broken> {
        self.is_rough = false;
        self.medium.set_full(false);
        self.medium.fail_syncs(0);
        self.squatters.clear();
        for _ in 0..8 {
            self.step(Step::Start(self.seed ^ self.tally.steps))?;
        }
        if self.server.is_none() {
            return Broken::because(Invariant::Starved, "the daemon does not start");
        }
        self.clear()?;
        let now = self.now;
        for client in self.clients.iter_mut().filter(|client| client.state == State::Off) {
            client.due = client.due.min(now + 600 * SECOND);
        }
        let end = self.now + BOUND;
        while self.now < end {
            let (due, number) = self.next_due().unwrap_or((end, 1));
            // Probes and retries have their time.
            let pause = if self.is_busy() { SECOND / 4 } else { 60 * SECOND };
            let to = due.clamp(self.now, self.now + pause);
            self.step(Step::Pass(((to - self.now) / 1_000_000 + 1) as u32))?;
            self.step(Step::Beat)?;
            if due <= self.now {
                self.step(Step::Client(number))?;
            }
            self.step(Step::Settle(self.tally.steps))?;
        }
        for client in self.clients.iter().filter(|client| client.manner == Manner::Steady) {
            if client.without(self.now) > PATIENCE {
                return Broken::because(
                    Invariant::Starved,
                    format!(
                        "{} has no lease after three hours in which all was well: {:?} at {:?}",
                        client.number, client.state, client.place
                    ),
                );
            }
        }
        self.audit()
    }
}
