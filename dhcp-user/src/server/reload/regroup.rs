//! Interfaces that a reload takes in, takes out, or attaches another way.
//!
//! What may fail is attaching. It is tried before anything else is changed, and undone when one of them fails. What is known of
//! interfaces that are there is what the last look at them found (`links`): nobody is asked and waited for.

use anyhow::{Context as _, Result, bail};

use crate::config::{self, Config, XdpMode};
use crate::datapath::interfaces::netlink::LinkState;
use crate::datapath::program::attachment::Attachment;
use crate::policy::{Interface, Renumbered};
use crate::server::Server;
use crate::server::equipment::absent::{is_there, missing};
use crate::server::links::{ServedInterface, attach};

/// What becomes of the interfaces of the next configuration, all that may fail done.
#[derive(Default)]
pub(in crate::server) struct Regrouped {
    /// Those that are attached another way: index and what came of it.
    changed: Vec<(u32, Attachment)>,
    /// Those that were not served and are there.
    joined: Vec<(LinkState, Attachment)>,
}

/// How an interface was attached before this was tried.
enum Before {
    NotServed,
    As(config::Interface),
}

impl Server {
    /// What policy is to know of the interfaces of `config`, in its order, and after them of those that are served no more.
    pub(in crate::server) fn facts_of(&mut self, config: &Config) -> Vec<Interface> {
        let mut facts: Vec<Interface> = Vec::new();
        for configured in &config.interfaces {
            let name = &configured.name;
            let known = self.served(name).map(|served| served.facts.clone());
            let there = || self.seen(name).map(|state| state.facts.clone());
            let left = || self.left.iter().find(|facts| facts.name == *name).cloned();
            let interface = known.or_else(there).or_else(left);
            facts.push(interface.unwrap_or_else(|| missing(name, self.vacancy())));
        }
        let leaving: Vec<Interface> = self.leaving(config).map(|served| served.facts.clone()).collect();
        for gone in leaving {
            facts.push(Interface { ifindex: self.vacancy(), addresses: Vec::new(), ..gone });
        }
        let is_configured = |name: &str| config.interfaces.iter().any(|configured| configured.name == name);
        facts.extend(self.left.iter().filter(|left| !is_configured(&left.name)).cloned());
        facts
    }

    /// Attaches the program as `config` has it, where that is not as it is.
    ///
    /// # Errors
    /// When one can't be attached. All are attached as before then.
    pub(in crate::server) fn regroup(&mut self, config: &Config) -> Result<Regrouped> {
        let wants = |interface: &config::Interface| interface.xdp != XdpMode::Off;
        if self.kernel.is_none() && config.interfaces.iter().any(wants) {
            bail!("no interface had the XDP program until now: `xdp` other than \"off\" needs a restart");
        }
        let mut done = Regrouped::default();
        let mut undo = Vec::new();
        for configured in &config.interfaces {
            let former = self.config.interfaces.iter().find(|former| former.name == configured.name).cloned();
            let Some(state) = self.seen(&configured.name).cloned() else { continue };
            let is_served = self.served(&configured.name).is_some_and(|served| is_there(&served.facts));
            let before = match former {
                Some(former) if former.xdp == configured.xdp => continue,
                Some(former) if is_served => Before::As(former),
                // It is taken in by the next look.
                Some(_) => continue,
                None => Before::NotServed,
            };
            let attached = self.attach_as(configured, &state);
            // It takes its time, and there may be many.
            self.alive();
            match (attached, &before) {
                (Ok(attachment), Before::NotServed) => done.joined.push((state.clone(), attachment)),
                (Ok(attachment), Before::As(_)) => done.changed.push((state.facts.ifindex, attachment)),
                (Err(error), _) => {
                    undo.push((before, state));
                    self.undo(undo);
                    return Err(error).with_context(|| format!("interface {}", configured.name));
                }
            }
            undo.push((before, state));
        }
        Ok(done)
    }

    fn undo(&mut self, done: Vec<(Before, LinkState)>) {
        for (before, state) in done {
            let undone = match before {
                Before::NotServed => self.take_off(&state.facts),
                Before::As(former) => self.attach_as(&former, &state).map(drop),
            };
            self.alive();
            if let Err(error) = undone {
                let interface = state.facts.name;
                tracing::warn!(interface, error = format!("{error:#}"), "can't be attached as before");
            }
        }
    }

    fn attach_as(&mut self, configured: &config::Interface, state: &LinkState) -> Result<Attachment> {
        if configured.xdp == XdpMode::Off {
            self.take_off(&state.facts)?;
        }
        attach(self.kernel.as_mut(), configured, state)
    }

    fn take_off(&mut self, facts: &Interface) -> Result<()> {
        self.kernel.as_mut().map_or(Ok(()), |kernel| kernel.forget_interface(&facts.name, facts.ifindex))
    }

    /// Goes over to the interfaces of the configuration that is in force by now, with `facts` of [`facts_of`](Self::facts_of).
    /// Gives the indices that stand for others from now on.
    pub(in crate::server) fn follow_configuration(
        &mut self,
        regrouped: Regrouped,
        facts: &[Interface],
    ) -> Vec<Renumbered> {
        let mut renumbered = Vec::new();
        let indexed = |name: &str| facts.iter().find(|facts| facts.name == name).map(|facts| facts.ifindex);
        let config = std::sync::Arc::clone(&self.config);
        for gone in self.leaving(&config).map(|served| served.facts.clone()).collect::<Vec<_>>() {
            if is_there(&gone) {
                if let Err(error) = self.take_off(&gone) {
                    let error = format!("{error:#}");
                    tracing::warn!(interface = gone.name, error, "the program may still be attached");
                }
                self.table.forget_interface(gone.ifindex);
                self.alive();
            }
            self.interfaces.remove(&gone.ifindex);
            tracing::info!(interface = gone.name, "served no more; its leases are kept");
            if let Some(vacant) = indexed(&gone.name) {
                renumbered.push((gone.ifindex, vacant));
            }
        }
        for (ifindex, attachment) in regrouped.changed {
            self.go_over_to(ifindex, attachment, None);
        }
        for (state, attachment) in regrouped.joined {
            let name = state.facts.name.clone();
            if let Some(left) = self.left.iter().find(|left| left.name == name) {
                renumbered.push((left.ifindex, state.facts.ifindex));
            }
            if let Err(error) = self.welcome(&state, attachment) {
                // It may be gone already; the next look tells.
                tracing::warn!(interface = name, error = format!("{error:#}"), "can't be served");
            }
        }
        for configured in &config.interfaces {
            if self.served(&configured.name).is_none()
                && let Some(missing) = facts.iter().find(|facts| facts.name == configured.name)
            {
                tracing::warn!(
                    interface = configured.name,
                    "there is no such interface yet; it is served when it comes"
                );
                let ifindex = if is_there(missing) { self.vacancy() } else { missing.ifindex };
                self.miss(Interface { ifindex, ..missing.clone() });
            }
        }
        let is_configured = |name: &str| config.interfaces.iter().any(|configured| configured.name == name);
        self.left = facts.iter().filter(|facts| !is_configured(&facts.name)).cloned().collect();
        renumbered
    }

    /// The interfaces that are served and are not in `config`.
    fn leaving<'a>(&'a self, config: &'a Config) -> impl Iterator<Item = &'a ServedInterface> {
        let served = self.interfaces.values();
        served.filter(|served| config.interfaces.iter().all(|one| one.name != served.facts.name))
    }

    pub(in crate::server) fn served(&self, name: &str) -> Option<&ServedInterface> {
        self.interfaces.values().find(|served| served.facts.name == name)
    }

    /// What the last look found of an interface.
    fn seen(&self, name: &str) -> Option<&LinkState> {
        self.seen.links.iter().find(|state| state.facts.name == name)
    }
}
