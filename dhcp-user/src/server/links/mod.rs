//! The life of interfaces: through all their changes the server serves what it can, and keeps leases.
//!
//! A thread of its own reads all interfaces when netlink reports a change, and now and then in any case. This module
//! compares the result with its own state, so nothing depends on whether each change was reported, or in which order.

pub(super) mod attaching;
mod external;
mod listening;
mod looking;
mod tagged;
mod transmission;
mod unsent;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::Server;
use super::commit::decided::Decided;
use super::equipment;
use super::equipment::absent::{is_there, vacant};
use super::process::service;
use crate::config;
use crate::control::{LinkStatus, Xdp};
use crate::datapath::interfaces::netlink::{Attached, LinkState, Namespace, Occupant};
use crate::datapath::program::attachment::{Attachment, Reached};
use crate::datapath::program::occupant;
use crate::policy::{Action, Interface, Renumbered};
use listening::{Listener, is_listened_on};
pub(super) use looking::{Drivers, Found, Look, watch};
use transmission::Transmission;
use unsent::Unsent;

/// Kernel and drivers that take longer to answer are trouble.
const LATE: Duration = Duration::from_secs(5);

/// An interface that is served, or would be if it were there.
#[derive(Debug)]
pub(super) struct ServedInterface {
    pub(super) facts: Interface,
    pub(super) xdp: Xdp,
    /// Why it is attached so, where that was not simply asked for.
    pub(super) why: Option<String>,
    /// The name of its driver, if that is known.
    pub(super) driver: Option<String>,
    /// Whether the answers given to the driver leave.
    pub(super) transmission: Transmission,
    /// The daemon's replies that it has not taken.
    pub(super) unsent: Unsent,
    pub(super) link: LinkStatus,
    controller: Option<u32>,
    /// The listener where no program is attached.
    listener: Option<Listener>,
    /// Why nobody can listen there at present.
    unheard: Option<String>,
    /// The program that the last look found on it; none before it was looked at as it is served now.
    found: Option<Option<Occupant>>,
    /// Since when it is attached as it is. An earlier reading says nothing about that.
    since: Instant,
    /// The occupant when our program could not be attached.
    refused: Option<Option<Occupant>>,
}

impl ServedInterface {
    /// One that isn't there.
    fn missing(facts: Interface) -> Self {
        Self {
            facts,
            xdp: Xdp::Off,
            why: None,
            driver: None,
            transmission: Transmission::default(),
            unsent: Unsent::default(),
            link: LinkStatus::Missing,
            controller: None,
            listener: None,
            unheard: None,
            found: None,
            since: Instant::now(),
            refused: None,
        }
    }

    /// It is attached another way from now on: earlier findings no longer count.
    pub(super) fn look_anew(&mut self) {
        (self.found, self.since) = (None, Instant::now());
    }
}

impl Server {
    /// Begins to serve an interface that is there and attached so; one without the program is listened on.
    pub(super) fn welcome(&mut self, state: &LinkState, attachment: Attachment) {
        let LinkState { facts, controller, .. } = state.clone();
        let Attachment { reached, why, sent } = attachment;
        let xdp = reached.map_or(Xdp::Off, Xdp::from);
        let (link, ifindex) = (status(state), facts.ifindex);
        let driver = self.drivers.get(&ifindex).cloned();
        tracing::info!(
            interface = facts.name,
            driver,
            ?xdp,
            why,
            ?link,
            addresses = ?facts.addresses,
            "interface served"
        );
        self.let_tagged_pass(&facts.name, ifindex);
        let refused = (reached.is_none() && why.is_some()).then_some(state.xdp);
        let transmission = Transmission::after(sent);
        let served = ServedInterface {
            xdp,
            why,
            driver,
            transmission,
            link,
            controller,
            refused,
            ..ServedInterface::missing(facts)
        };
        self.interfaces.insert(ifindex, served);
        if is_listened_on(xdp) {
            self.listen_again(ifindex);
        }
    }

    /// Notes that an interface of the configuration isn't there.
    pub(super) fn miss(&mut self, facts: Interface) {
        let missing = ServedInterface::missing(facts);
        self.interfaces.insert(missing.facts.ifindex, missing);
    }

    /// The descriptions of the configured interfaces, in the order of the configuration, and of those that are no
    /// longer served.
    pub(super) fn facts(&self) -> Vec<Interface> {
        let configured = self.config.interfaces.iter();
        let served = configured.filter_map(|configured| Some(self.served(&configured.name)?.facts.clone()));
        served.chain(self.left.iter().cloned()).collect()
    }

    /// An index that stands for an interface that isn't there, and for no other.
    pub(super) fn vacancy(&mut self) -> u32 {
        self.vacancies += 1;
        vacant(self.vacancies)
    }

    /// Applies the result of a reading.
    pub(super) fn looked(&mut self, look: Look) {
        match look {
            Ok(found) => {
                if self.blind.take().is_some() {
                    tracing::info!("interfaces can be looked at again");
                }
                self.follow(&found);
            }
            Err(why) => {
                if self.blind.is_none() {
                    tracing::warn!(why, "interfaces can't be looked at; it is tried again and again");
                }
                self.blind = Some(why);
            }
        }
    }

    /// The interfaces that can't be read or listened on at present.
    pub(super) fn link_trouble(&self) -> Option<String> {
        let blind = self.blind.iter().map(|why| format!("interfaces can't be looked at: {why}"));
        let failure = self.interfaces.values().filter_map(|served| {
            let failure = match &served.listener {
                Some(listener) => listener.failure(),
                None => served.unheard.clone(),
            };
            failure.map(|why| format!("{} can't be listened on: {why}", served.facts.name))
        });
        let late = self.looking.late(LATE).map(|waits| {
            format!(
                "the kernel has not answered a look at interfaces for {} s: changes of interfaces are not followed until \
                 it does; all else goes on",
                waits.as_secs()
            )
        });
        let mut all: Vec<String> = blind.chain(late).chain(failure).collect();
        all.sort_unstable();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Compares a reading with the present state, and applies the changes.
    fn follow(&mut self, found: &Found) {
        let had = std::mem::replace(&mut self.seen, found.here.clone()).addresses;
        self.drivers.clone_from(&found.drivers);
        let before = self.facts();
        let mut renumbered = Vec::new();
        for configured in &self.config.clone().interfaces {
            let Some(known) = before.iter().find(|facts| facts.name == configured.name) else { continue };
            let state = found.here.links.iter().find(|state| state.facts.name == configured.name);
            let is_same = state.is_some_and(|state| state.facts.ifindex == known.ifindex);
            // There may be many, and each is listened on.
            self.alive();
            if is_there(known) && !is_same {
                self.lose(known, found, &mut renumbered);
            }
            let Some(state) = state else { continue };
            if is_there(known) && is_same {
                self.follow_one(configured, state, found);
            } else if let Some(vacant) = self.served(&configured.name).map(|missing| missing.facts.ifindex) {
                self.gain(vacant, configured, state, &mut renumbered);
            }
        }
        self.alive();
        self.judge_transmission(&found.counts);
        let facts = self.facts();
        if facts != before || had != self.seen.addresses {
            self.go_on_with(&facts, &renumbered);
        }
        if facts != before {
            service::tell(self);
        }
    }

    /// An interface is gone. Where it went it is not ours to serve: the program is taken off it.
    fn lose(&mut self, known: &Interface, found: &Found, renumbered: &mut Vec<Renumbered>) {
        let Interface { name, ifindex, .. } = known;
        let elsewhere = found.here.links.iter().find(|state| state.facts.ifindex == *ifindex);
        let how = match elsewhere {
            Some(state) => format!("was renamed {}", state.facts.name),
            None if found.moved.contains(ifindex) => "was moved into another network namespace".to_owned(),
            None => "was removed".to_owned(),
        };
        tracing::warn!(
            interface = name,
            how,
            "interface gone; its leases are kept, and served when it is back"
        );
        self.have_left(name, *ifindex);
        self.table.forget_interface(*ifindex);
        self.interfaces.remove(ifindex);
        let vacant = self.vacancy();
        self.miss(Interface { ifindex: vacant, addresses: Vec::new(), ..known.clone() });
        renumbered.push((*ifindex, vacant));
    }

    /// An interface has come, or come back.
    fn gain(
        &mut self,
        vacant: u32,
        configured: &config::Interface,
        state: &LinkState,
        renumbered: &mut Vec<Renumbered>,
    ) {
        self.welcome(state, Attachment::default());
        self.interfaces.remove(&vacant);
        renumbered.push((vacant, state.facts.ifindex));
        self.have_attached(state, configured.xdp);
    }

    /// Applies the changes of an interface that is still there.
    fn follow_one(&mut self, configured: &config::Interface, state: &LinkState, found: &Found) {
        let Some(served) = self.interfaces.get_mut(&state.facts.ifindex) else { return };
        let interface = &configured.name;
        if served.link != status(state) {
            served.link = status(state);
            match served.link {
                LinkStatus::Up => tracing::info!(interface, "link up"),
                _ => tracing::warn!(interface, "link down; its clients can't be reached"),
            }
        }
        if served.facts.mac != state.facts.mac {
            let mac = crate::control::colon_hex(&state.facts.mac);
            tracing::info!(interface, mac, "hardware address changed");
        }
        if served.facts.addresses != state.facts.addresses {
            tracing::info!(
                interface,
                before = ?served.facts.addresses,
                now = ?state.facts.addresses,
                "addresses changed"
            );
        }
        if served.facts.mtu != state.facts.mtu {
            tracing::info!(interface, before = served.facts.mtu, now = state.facts.mtu, "MTU changed");
        }
        if served.controller != state.controller {
            served.controller = state.controller;
            let of = state.controller.and_then(|index| {
                found.here.links.iter().find(|link| link.facts.ifindex == index).map(|link| &link.facts.name)
            });
            match of {
                Some(of) => tracing::warn!(
                    interface,
                    of,
                    "became a port of another interface; it is served on, but an address that is moved there is \
                     not this interface's any more (`server-id` names one for it)"
                ),
                None => tracing::info!(interface, "is no port of another interface any more"),
            }
        }
        served.facts = state.facts.clone();
        served.driver = found.drivers.get(&state.facts.ifindex).cloned();
        let is_unheard = served.unheard.is_some();
        if found.began > served.since {
            served.found = Some(state.xdp);
            self.follow_attachment(configured, state, found.tag_takers.get(&state.facts.ifindex));
        }
        if is_unheard {
            self.listen_again(state.facts.ifindex);
        }
    }

    /// Names, indices or addresses have changed: applies them to policy, probes and kernel, and voids the answers
    /// that would differ now.
    pub(super) fn go_on_with(&mut self, facts: &[Interface], renumbered: &[Renumbered]) {
        self.mark_former();
        let moved = self.policy.relink(facts.to_vec(), renumbered);
        self.policy.set_host(host(&self.seen));
        let Self { policy, table, decided, .. } = self;
        let published = moved.into_iter().filter_map(|address| policy.publication(table, address));
        // Some of them may not be on disk yet.
        decided.extend(published.map(|lease| Decided::Action(Action::Publish(lease))));
        self.ours = equipment::ours(&self.config, facts);
        self.warn_of_own();
        self.know(facts);
        self.limits = equipment::limits(&self.config, facts);
        let there: Vec<u32> =
            facts.iter().filter(|facts| is_there(facts)).map(|facts| facts.ifindex).collect();
        self.outbox.follow(&there);
        if let Some(prober) = &mut self.prober {
            prober.follow(facts.iter().filter(|facts| is_there(facts)));
        }
        self.forget_stale(None);
    }

    /// Warns of likely mistakes in the configuration. Whether something leads to a subnet is known only if all
    /// interfaces are there, with their addresses.
    pub(super) fn warn_of_configuration(&self) {
        self.config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let facts = || self.interfaces.values().map(|served| &served.facts);
        if facts().all(|facts| is_there(facts) && !facts.addresses.is_empty()) {
            let own: Vec<Ipv4Addr> = facts().flat_map(|facts| facts.addresses.iter().copied()).collect();
            self.config.unreachable_beside(&own).iter().for_each(|warning| tracing::warn!("{warning}"));
        }
    }

    /// Says which addresses of this host are in pools or reserved, and so leased to nobody; of each once.
    pub(super) fn warn_of_own(&mut self) {
        let own: BTreeSet<Ipv4Addr> = self.policy.own_in_pools().collect();
        for address in own.difference(&self.warned_of) {
            let here = self.seen.addresses.iter().find(|(_, there)| there == address);
            let interface = here.map(|(name, _)| name.as_str());
            tracing::warn!(%address, interface, "an address of this host is in a pool or reserved: it is leased to nobody");
        }
        self.warned_of = own;
    }

    /// Has the kernel part know the interfaces that are there, and our addresses.
    pub(super) fn know(&mut self, facts: &[Interface]) {
        let Self { kernel: Some(kernel), ours, .. } = self else { return };
        let mut there = facts.iter().filter(|facts| is_there(facts));
        let told = there.try_for_each(|facts| kernel.know_interface(facts.ifindex, facts.mac));
        if let Err(error) = told.and_then(|()| kernel.know_addresses(ours)) {
            tracing::warn!("{error:#}; requests it doesn't know of go to the host's stack");
        }
    }

    /// The program on an interface by the last reading: ours, or a foreign one. It does not ask anew, which could
    /// take its time.
    pub(super) fn attachment(&self, served: &ServedInterface) -> (Xdp, Option<String>) {
        if !is_there(&served.facts) {
            return (Xdp::Off, None);
        }
        if served.xdp == Xdp::External {
            return (Xdp::External, self.not_called(served));
        }
        let is_ours = |there| self.kernel.as_ref().is_some_and(|kernel| kernel.is_ours(there));
        let refused = || served.why.clone().filter(|_| served.refused.is_some());
        match served.found {
            Some(Some(there)) if is_ours(there) => (there.attached.into(), None),
            Some(Some(other)) => (Xdp::Off, Some(occupant::described(&served.facts.name, other))),
            Some(None) => (Xdp::Off, refused()),
            None => (served.xdp, refused()),
        }
    }
}

/// All addresses of the host.
pub(super) fn host(here: &Namespace) -> BTreeSet<Ipv4Addr> {
    here.addresses.iter().map(|(_, address)| *address).collect()
}

fn status(state: &LinkState) -> LinkStatus {
    if state.is_up { LinkStatus::Up } else { LinkStatus::Down }
}

impl From<Reached> for Xdp {
    fn from(reached: Reached) -> Self {
        match reached {
            Reached::Attached(attached) => attached.into(),
            Reached::External => Self::External,
        }
    }
}

impl From<Attached> for Xdp {
    fn from(attached: Attached) -> Self {
        match attached {
            Attached::Native => Self::Native,
            Attached::Generic => Self::Generic,
        }
    }
}
