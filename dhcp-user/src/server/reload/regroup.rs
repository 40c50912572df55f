//! Interfaces that a reload adds, removes, or attaches another way.
//!
//! Attaching may fail. So it comes before all other changes, one interface after the other, and is undone when one of
//! them fails. A thread does it (`links/attaching.rs`), and the former configuration is in force meanwhile. The state
//! of interfaces comes from the last reading (`links`): this code asks nobody and waits for nobody.

use std::collections::VecDeque;

use anyhow::{Result, bail};

use crate::config::{self, Config, XdpMode};
use crate::datapath::interfaces::netlink::LinkState;
use crate::datapath::program::attachment::Attachment;
use crate::policy::{Interface, Renumbered};
use crate::reason;
use crate::server::Server;
use crate::server::equipment::absent::{is_there, missing};
use crate::server::links::ServedInterface;
use crate::server::links::attaching::{Purpose, Work};

/// The interfaces of the next configuration, after everything that may fail.
#[derive(Default)]
pub(in crate::server) struct Regrouped {
    /// Those that are attached another way: index and result.
    changed: Vec<(u32, Attachment)>,
    /// Those that were not served and are there.
    joined: Vec<(LinkState, Attachment)>,
}

/// The attachments to try, the one under way, and those done, which may have to be undone.
#[derive(Default)]
pub(in crate::server) struct Regrouping {
    left: VecDeque<Move>,
    under_way: Option<Move>,
    done: Vec<Move>,
    regrouped: Regrouped,
}

/// An interface is attached another way, or taken in.
struct Move {
    configured: config::Interface,
    before: Before,
    state: LinkState,
}

/// How an interface was attached before this was tried.
enum Before {
    NotServed,
    As(config::Interface),
}

impl Regrouping {
    /// The result, when all are done; and the steps to undo it.
    pub(super) fn into_done(self) -> (Regrouped, Undoing) {
        (self.regrouped, Undoing { left: self.done, under_way: None })
    }

    /// The steps to undo the work, when one of them has failed; and the name of that one.
    pub(super) fn into_undoing(mut self) -> (Undoing, String) {
        let failed = self.under_way.take();
        let name = failed.as_ref().map_or_else(String::new, |failed| failed.configured.name.clone());
        self.done.extend(failed);
        (Undoing { left: self.done, under_way: None }, name)
    }

    /// Takes in what came of the one that is under way.
    pub(super) fn note(&mut self, attachment: Attachment) {
        let Some(done) = self.under_way.take() else { return };
        match done.before {
            Before::NotServed => self.regrouped.joined.push((done.state.clone(), attachment)),
            Before::As(_) => self.regrouped.changed.push((done.state.facts.ifindex, attachment)),
        }
        self.done.push(done);
    }
}

/// The former state to restore.
#[derive(Default)]
pub(in crate::server) struct Undoing {
    left: Vec<Move>,
    under_way: Option<Move>,
}

impl Server {
    /// Policy's descriptions of the interfaces of `config`, in its order, and after them of those that are no longer
    /// served.
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

    /// The attachments for `config` that differ from the present ones.
    ///
    /// # Errors
    /// When there is no program to attach.
    pub(super) fn begin_regrouping(&self, config: &Config) -> Result<Regrouping> {
        let wants = |interface: &config::Interface| interface.xdp != XdpMode::Off;
        if self.kernel.is_none() && config.interfaces.iter().any(wants) {
            bail!("no interface had the XDP program until now: `xdp` other than \"off\" needs a restart");
        }
        let mut left = VecDeque::new();
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
            left.push_back(Move { configured: configured.clone(), before, state });
        }
        Ok(Regrouping { left, ..Regrouping::default() })
    }

    /// Has the next of them done; true if all are.
    pub(super) fn regroup_on(&mut self, regrouping: &mut Regrouping) -> bool {
        while let Some(next) = regrouping.left.pop_front() {
            let is_ordered = self.has_program()
                && self.order_for(&next.state, work(next.configured.xdp), Purpose::Regrouping);
            regrouping.under_way = Some(next);
            if is_ordered {
                return false;
            }
            regrouping.note(Attachment::default());
        }
        true
    }

    /// Has the next of them attached as before; true if all are.
    pub(super) fn undo_on(&mut self, undoing: &mut Undoing) -> bool {
        while let Some(next) = undoing.left.pop() {
            let facts = &next.state.facts;
            let is_ordered = match &next.before {
                Before::NotServed => self.have_detached(&facts.name, facts.ifindex, Purpose::Regrouping),
                Before::As(former) => {
                    self.has_program() && self.order_for(&next.state, work(former.xdp), Purpose::Regrouping)
                }
            };
            if is_ordered {
                undoing.under_way = Some(next);
                return false;
            }
        }
        true
    }

    /// The result of undoing one.
    pub(super) fn undone(&mut self, undoing: &mut Undoing, result: Result<Attachment>) {
        let Some(done) = undoing.under_way.take() else { return };
        let Interface { name, ifindex, .. } = &done.state.facts;
        // What was found meanwhile is not how it is now.
        if let Some(served) = self.interfaces.get_mut(ifindex) {
            served.look_anew();
        }
        if let Err(error) = result {
            let error = reason::told(&error);
            tracing::warn!(interface = name, error, "can't be attached as before; it is tried again");
            if let Before::As(_) = done.before {
                self.listen_meanwhile(*ifindex);
            }
        }
    }

    const fn has_program(&self) -> bool {
        self.kernel.is_some()
    }

    /// Changes over to the interfaces of the configuration now in force, with `facts` of
    /// [`facts_of`](Self::facts_of). Returns the indices that stand for others from now on.
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
                if self.have_detached(&gone.name, gone.ifindex, Purpose::Leaving) {
                    self.reloads.one_leaves();
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
            self.change_over(ifindex, attachment, None);
        }
        for (state, attachment) in regrouped.joined {
            if let Some(left) = self.left.iter().find(|left| left.name == state.facts.name) {
                renumbered.push((left.ifindex, state.facts.ifindex));
            }
            self.welcome(&state, attachment);
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

    /// The state of an interface by the last reading.
    fn seen(&self, name: &str) -> Option<&LinkState> {
        self.seen.links.iter().find(|state| state.facts.name == name)
    }
}

const fn work(wanted: XdpMode) -> Work {
    match wanted {
        XdpMode::Off => Work::Detach,
        XdpMode::Auto | XdpMode::Native | XdpMode::Generic | XdpMode::External => Work::Attach(wanted),
    }
}
