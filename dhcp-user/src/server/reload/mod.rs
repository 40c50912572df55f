//! Reload: the configuration file read again, and applied to the running server.
//!
//! All that may fail is done before anything is changed, and what may take its time by another thread (`configuring.rs`).
//! Then, in this order: leases whose address is gone are revoked, which is committed in its turn; the kernel forgets the
//! answers that may have changed (the next renewal of each lease is answered, and shared with the kernel, anew). Who asked for
//! it has the answer when all of it is done, and on disk.

pub(super) mod configuring;
pub(super) mod regroup;
pub(super) mod stale;

use std::collections::{HashSet, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Result, bail};

use super::Server;
use super::process::service;
use super::reports::explain::PuntLog;
use crate::clock::BootNanos;
use crate::config::Config;
use crate::control::{Reloaded, Reply};
use crate::policy::Interface;
use configuring::Next;
use regroup::Regrouped;

/// Who waits for a reload: one at a time is under way.
#[derive(Debug, Default)]
pub(super) struct Reloads {
    under_way: Option<Asked>,
    waiting: VecDeque<Asked>,
}

/// Who asked for a reload: an operator, or nobody who waits (SIGHUP).
type Asked = Option<Reply<Reloaded>>;

impl Server {
    /// Has the configuration read again, after the reloads that were asked for before.
    pub(super) fn reload(&mut self, asked: Asked) {
        // One that nobody waits for is as good as the last that has not begun.
        if asked.is_some() || self.reloads.waiting.is_empty() {
            self.reloads.waiting.push_back(asked);
        }
        self.next_reload();
    }

    fn next_reload(&mut self) {
        if self.reloads.under_way.is_none() {
            self.reloads.under_way = self.reloads.waiting.pop_front();
            if self.reloads.under_way.is_some() {
                service::reloading();
                self.configuring.make(&self.file, self.facts(), &self.policy, &self.config);
            }
        }
    }

    /// Goes over to a configuration that was read; if it can't be, nothing is changed, and the answer is no.
    pub(super) fn configured(&mut self, made: Result<Box<Next>>) {
        if made.as_ref().is_ok_and(|next| next.facts != self.facts()) {
            // Interfaces have changed meanwhile.
            return self.configuring.make(&self.file, self.facts(), &self.policy, &self.config);
        }
        match made.and_then(|next| Ok((self.check(&next)?, next))) {
            Ok(((facts, regrouped), next)) => {
                let revoked = self.go_over(*next, &facts, regrouped);
                self.forget_stale(Some(revoked));
            }
            Err(error) => {
                let why = format!("{error:#}");
                tracing::warn!(why, "not reloaded: the former configuration stays in force");
                self.end_reload(|reply| reply.no(why));
            }
        }
    }

    /// The kernel has forgotten so many answers that a reload may have changed.
    pub(super) fn forgotten(&mut self, rewritten: u64, revoked: u64) {
        let Some(asked) = self.reloads.under_way.take() else { return };
        self.when_on_disk(move |committed| {
            if let Some(reply) = asked {
                let done = committed.map(|()| Reloaded { rewritten, revoked });
                reply.done(done.map_err(|error| format!("reloaded, but {error}")));
            }
        });
        service::ready(self);
        self.next_reload();
    }

    fn end_reload(&mut self, answer: impl FnOnce(Reply<Reloaded>)) {
        if let Some(reply) = self.reloads.under_way.take().flatten() {
            answer(reply);
        }
        service::ready(self);
        self.next_reload();
    }

    /// Gets what a configuration needs beside the present one. Gives the interfaces that it has, and what was done to attach
    /// to them.
    ///
    /// # Errors
    /// When it can't be gone over to. All is as it was then.
    fn check(&mut self, next: &Next) -> Result<(Vec<Interface>, Regrouped)> {
        let fixed = changes_for_a_restart(&self.config, &next.config);
        if !fixed.is_empty() {
            bail!("{} can't be changed while the server runs: restart it", fixed.join(", "));
        }
        let facts = self.facts_of(&next.config);
        self.table.check_room(next.leasable.iter().copied())?;
        for address in &next.leasable {
            self.table.reserve(*address)?;
        }
        // Last, since it is what must be undone.
        let own = facts.iter().flat_map(|facts| &facts.addresses);
        let all: HashSet<Ipv4Addr> = self.ours.iter().chain(&next.ours).chain(own).copied().collect();
        let regrouped = self.know_all(&all).and_then(|()| self.regroup(&next.config));
        if regrouped.is_err()
            && let Self { kernel: Some(kernel), ours, .. } = self
            && let Err(error) = kernel.know_addresses(ours)
        {
            tracing::warn!("{error:#}; the kernel may know addresses that are not of this configuration");
        }
        Ok((facts, regrouped?))
    }

    fn know_all(&mut self, addresses: &HashSet<Ipv4Addr>) -> Result<()> {
        self.kernel.as_mut().map_or(Ok(()), |kernel| kernel.know_addresses(addresses))
    }

    /// Gives how many leases that has ended.
    fn go_over(&mut self, next: Next, facts: &[Interface], regrouped: Regrouped) -> u64 {
        let Next { config, policy, prober, .. } = next;
        let now = BootNanos::now().floor();
        self.mark_former();
        let mut actions = Vec::new();
        let (done, former) = self.policy.go_over_to(policy, now, &self.table, &mut actions);
        self.policy.carry_out_probes();
        self.alive();
        self.prober = prober;
        let former = (former, std::mem::replace(&mut self.config, Arc::new(config)));
        self.configuring.discard(former);
        self.queue(actions);
        // Policy was made for the interfaces as they are, and goes on with those of the new configuration.
        let renumbered = self.follow_configuration(regrouped, facts);
        self.alive();
        let facts = self.facts();
        self.go_on_with(&facts, &renumbered);
        self.let_tagged_pass_everywhere();
        self.warn_of_configuration();
        self.alive();
        // What was known before says nothing about what is asked from now on.
        self.punts = PuntLog::default();
        self.look_at = self.slots_per_beat();
        tracing::info!(
            config = %self.file.display(),
            leases_kept = done.kept,
            leases_revoked = done.withdrawn,
            "configuration reloaded"
        );
        done.withdrawn
    }
}

/// What differs between two configurations that a running server can't change.
fn changes_for_a_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let (a, b) = (&old.server, &new.server);
    let changes = [
        ("state-dir", a.state_dir != b.state_dir),
        ("control-socket", a.control_socket != b.control_socket),
        ("control-group", a.control_group != b.control_group),
        ("control-read-group", a.control_read_group != b.control_read_group),
        ("event-log", a.event_log != b.event_log),
        ("metrics-listen", a.metrics_listen != b.metrics_listen),
        ("kea-api-listen", a.kea_api_listen != b.kea_api_listen),
        ("store", a.store != b.store),
        ("pin-dir", a.pin_dir != b.pin_dir),
        ("[journal]", old.journal != new.journal),
        ("[[hook]]", old.hooks != new.hooks),
    ];
    changes.into_iter().filter(|(_, changed)| *changed).map(|(what, _)| what).collect()
}
