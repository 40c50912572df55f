//! Reload: the configuration file read again, and applied to the running server.
//!
//! All that may fail is done before anything is changed. Then, in this order: leases whose address is gone are revoked, which
//! is committed in its turn; the kernel forgets the answers that may have changed (the next renewal of each lease is
//! answered, and shared with the kernel, anew). Who asked for it has the answer when all of it is on disk.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Result, bail};

use super::capacity::{self, Capacity};
use super::explain::WentUp;
use super::regroup::Regrouped;
use super::{Server, service, start};
use crate::clock::BootNanos;
use crate::config::Config;
use crate::control::{Reloaded, Reply};
use crate::policy::Interface;
use crate::probe::Prober;

/// A configuration that can be gone over to.
struct Next {
    config: Config,
    facts: Vec<Interface>,
    prober: Option<Prober>,
    regrouped: Regrouped,
}

impl Server {
    /// Reads the configuration again and goes on with it; if it can't be, nothing is changed and `reply` is no.
    pub(super) fn reload(&mut self, reply: Option<Reply<Reloaded>>) {
        service::reloading();
        match self.next() {
            Ok(next) => {
                let done = self.go_over(next);
                self.when_on_disk(move |committed| {
                    if let Some(reply) = reply {
                        reply
                            .done(committed.map(|()| done).map_err(|error| format!("reloaded, but {error}")));
                    }
                });
            }
            Err(error) => {
                let why = format!("{error:#}");
                tracing::warn!(why, "not reloaded: the former configuration stays in force");
                if let Some(reply) = reply {
                    reply.no(why);
                }
            }
        }
        service::ready(self);
    }

    /// Reads the configuration and gets all that it needs.
    fn next(&mut self) -> Result<Next> {
        let config = Config::load(&self.file)?;
        let fixed = changes_for_a_restart(&self.config, &config);
        if !fixed.is_empty() {
            bail!("{} can't be changed while the server runs: restart it", fixed.join(", "));
        }
        let facts = self.facts_of(&config);
        Capacity::of(&config).check_beside(&Capacity::of(&self.config), capacity::memory_left())?;
        self.table.check_room(capacity::leasable(&config))?;
        for address in capacity::leasable(&config) {
            self.table.reserve(address)?;
        }
        let prober = start::prober(&config, &facts)?;
        let ours = start::ours(&config, &facts);
        if let Some(kernel) = &mut self.kernel {
            let both: Vec<Ipv4Addr> = self.ours.union(&ours).copied().collect();
            kernel.know_addresses(&both)?;
        }
        // Last, since it is what must be undone.
        let regrouped = self.regroup(&config)?;
        Ok(Next { config, facts, prober, regrouped })
    }

    fn go_over(&mut self, next: Next) -> Reloaded {
        let Next { config, facts, prober, regrouped } = next;
        let now = BootNanos::now().floor();
        self.mark_former();
        let mut actions = Vec::new();
        let done = self.policy.reconfigure(now, &self.table, &config, facts.clone(), &mut actions);
        self.policy.carry_out_probes();
        self.prober = prober;
        self.config = Arc::new(config);
        self.queue(actions);
        let renumbered = self.follow_configuration(regrouped, &facts);
        let facts = self.facts();
        let rewritten = self.go_on_with(&facts, &renumbered);
        // What was known before says nothing about what is asked from now on.
        self.went_up = WentUp::default();
        self.look_at = self.slots_per_beat();
        tracing::info!(
            config = %self.file.display(),
            leases_kept = done.kept,
            leases_revoked = done.withdrawn,
            "configuration reloaded"
        );
        Reloaded { rewritten, revoked: done.withdrawn }
    }
}

/// What differs between two configurations that a running server can't change.
fn changes_for_a_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let (a, b) = (&old.server, &new.server);
    let changes = [
        ("state-dir", a.state_dir != b.state_dir),
        ("control-socket", a.control_socket != b.control_socket),
        ("metrics-listen", a.metrics_listen != b.metrics_listen),
        ("store", a.store != b.store),
        ("pin-dir", a.pin_dir != b.pin_dir),
    ];
    changes.into_iter().filter(|(_, changed)| *changed).map(|(what, _)| what).collect()
}
