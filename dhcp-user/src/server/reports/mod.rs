//! Reports for operators, from policy, table and counters.

pub(super) mod busiest;
pub(super) mod capture;
pub(super) mod complaints;
pub(super) mod events;
pub(super) mod explain;
pub(super) mod measuring;
pub(super) mod narration;
pub(super) mod traffic;

use std::net::Ipv4Addr;

use anyhow::Result;
use dhcp_ebpf::abi::Link;
use dhcp_ebpf::slot::MEMOS;

use super::Server;
use crate::clock::BootNanos;
use crate::control::{
    self, ClassFill, InterfaceStatus, Lease, LeaseDetail, LeaseFilter, Memo, No, Orphan, OrphanLease, Page,
    PoolCounts, Quarantined, Query, Stage, Stats, Status, TrafficStats, WallClock, colon_hex,
};
use crate::hooks::Hooks;
use crate::journal::{vendor_texts, wire_text};
use crate::message::AgentInformation;
use crate::policy::{AnsweredBy, LeaseView, PoolView, Source, State, Words as _};
use crate::reason;
use crate::store::{HwAddr, QuarantineCause};

/// A pool as it is shown.
fn counts(pool: &PoolView) -> PoolCounts {
    PoolCounts {
        subnet: pool.subnet.to_string(),
        pool: pool.pool.to_string(),
        size: pool.tally.size(),
        free: pool.tally.of(State::Free),
        offered: pool.tally.of(State::Offered),
        leased: pool.tally.of(State::Leased),
        grace: pool.tally.of(State::Grace),
        quarantined: pool.tally.of(State::Quarantined),
        reserved: pool.tally.of(State::Reserved),
    }
}

impl Server {
    /// Answers an operator's query. A change is reported as done when it is on disk. A report shows decided states,
    /// on disk or not.
    pub(super) fn answer(&mut self, query: Query) {
        // Wall time may have been set (by NTP, after a boot with a wrong clock) since moments were last shown.
        self.wall = WallClock::read().map_or(self.wall, |read| self.wall.unless_set(read));
        match query {
            Query::Status(reply) => reply.give(self.status()),
            Query::Stats(reply) => match self.stats() {
                Ok(stats) => reply.give(stats),
                Err(error) => reply.no(format!("the kernel's counters can't be read: {error:#}")),
            },
            Query::Figures(reply) => {
                let figures = self.figures().map(Box::new);
                reply
                    .done(figures.map_err(|error| format!("the kernel's counters can't be read: {error:#}")));
            }
            Query::Measured(reply) => reply.done(self.measured().map_err(|error| reason::told(&error))),
            Query::Pools(reply) => reply.give(self.pools()),
            Query::Leases { after, most, filter, reply } => reply.give(self.leases(after, most, &filter)),
            Query::LeaseShow(address, reply) => match self.policy.lease(address) {
                Some(lease) => reply.give(self.lease_detail(&lease)),
                None => reply.no(format!("no lease of {address}")),
            },
            Query::LeaseRelease { address, now, reply } => self.release(address, now, reply),
            Query::Audit { after, most, reply } => self.audit(after, most, reply),
            Query::Orphans { after, most, reply } => reply.give(self.orphans(after, most)),
            Query::Quarantine(reply) => reply.give(self.quarantine()),
            Query::QuarantineClear { prefix, why, reply } => self.clear(prefix, why, reply),
            Query::Events(reply) => reply.give(self.events.listen()),
            Query::Capture(reply) => reply.done(self.capture().map_err(|error| reason::told(&error))),
            Query::Explain(client, reply) => match self.explain(&client) {
                Ok(explanation) => reply.give(explanation),
                Err(No(why)) => reply.no(why),
            },
            Query::Export { export, most, reply } => reply.give(self.export(&export, most)),
            Query::Import(leases, reply) => self.import(&leases, reply),
            Query::ReservationList(reply) => self.configuring.list(&self.config, reply),
            Query::ReservationEdit(edit, reply) => {
                self.configuring.edit(&self.file, &self.config, edit, reply);
            }
            Query::Reload(reply) => self.reload(Some(reply)),
        }
    }

    pub(super) fn status(&self) -> Status {
        let mut interfaces: Vec<_> = self
            .interfaces
            .values()
            .map(|served| {
                let (xdp, obstacle) = self.attachment(served);
                let configured =
                    self.config.interfaces.iter().find(|configured| configured.name == served.facts.name);
                InterfaceStatus {
                    name: served.facts.name.clone(),
                    xdp,
                    xdp_configured: configured.map_or("off", |configured| configured.xdp.name()).into(),
                    xdp_why: self
                        .caller(served)
                        .or_else(|| served.why.clone())
                        .filter(|_| obstacle.is_none()),
                    driver: served.driver.clone(),
                    link: served.link,
                    addresses: served.facts.addresses.clone(),
                    obstacle,
                    attaching: self.attaching.concerns(served.facts.ifindex),
                }
            })
            .collect();
        interfaces.sort_by(|a, b| a.name.cmp(&b.name));
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            stage: Stage::Serving,
            uptime_seconds: BootNanos::now().0.saturating_sub(self.started.0) / 1_000_000_000,
            interfaces,
            store: self.nodes.store().into(),
            trouble: self.trouble(),
            leases: self.policy.leased() as u64,
            classes: self
                .policy
                .limited_classes()
                .map(|class| ClassFill { name: class.name, held: class.held, max_leases: class.most })
                .collect(),
        }
    }

    /// Trouble that the operator should see to; none when all is well.
    fn trouble(&self) -> Option<String> {
        let all = [
            self.disk_trouble(),
            self.nodes.trouble(),
            self.link_trouble(),
            self.attaching.trouble(),
            self.configuring.trouble(),
            self.loses_answers(),
            self.loses_replies(),
            self.journal_trouble(),
            self.events.trouble(),
            self.hooks.as_ref().and_then(Hooks::trouble),
        ];
        let all = all.into_iter().flatten();
        let all: Vec<String> = all.chain(self.weak_evidence()).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Evidence against addresses that is not believed.
    fn weak_evidence(&self) -> impl Iterator<Item = String> {
        let now = BootNanos::now().floor();
        let liars = self.policy.disbelieved(now).map(|(link, station, _)| {
            let on = self.name_of(link).unwrap_or_default();
            let station = colon_hex(&station);
            format!("{station} on {on} answers ARP for addresses that are nobody's (proxy ARP?): its answers don't count")
        });
        let declines = self.policy.spent_declines(now).map(|source| {
            let from = match source {
                Source::Link(link) => self.name_of(*link).unwrap_or_default(),
                Source::Relay(relay, None) => format!("relay {relay}"),
                Source::Relay(relay, Some(circuit)) => {
                    format!("relay {relay}, circuit {}", colon_hex(circuit))
                }
            };
            format!("many DECLINEs came from {from}: they put addresses out of use for minutes only")
        });
        let crowds = self.policy.doubted_links(now).map(|link| {
            let on = self.name_of(link).unwrap_or_default();
            format!("very many stations on {on} answer ARP for free addresses: they put them out of use for minutes only")
        });
        liars.chain(crowds).chain(declines).collect::<Vec<_>>().into_iter()
    }

    pub(super) fn stats(&self) -> Result<Stats> {
        let counters = self.kernel.as_ref().map(|kernel| kernel.counters()).transpose()?.unwrap_or_default();
        let interfaces = self.config.interfaces.iter().map(|interface| interface.name.clone());
        Ok(Stats {
            kernel: traffic::kernel(&counters),
            daemon: TrafficStats {
                events_not_kept: self.events.not_kept(),
                control_clients_left_out: self.connections.left_out(),
                ..self.traffic.report(interfaces)
            },
            hooks: self.hooks.as_ref().map(Hooks::counts).unwrap_or_default(),
        })
    }

    fn pools(&self) -> Vec<PoolCounts> {
        self.policy.pools().map(|pool| counts(&pool)).collect()
    }

    fn leases(&self, after: Option<Ipv4Addr>, most: usize, filter: &LeaseFilter) -> Page<Lease> {
        let now = jiff::Timestamp::now();
        let (page, next) = self.policy.leases_after(after, most);
        let undurable = self.undurable();
        let items = page
            .iter()
            .filter(|lease| matches!(lease.state, State::Leased | State::Grace))
            .map(|view| Lease { not_committed: undurable.change(view.address).is_some(), ..self.lease(view) })
            .filter(|lease| filter.fits(lease, now))
            .collect();
        Page { items, next }
    }

    /// A lease with the kernel's changes up to now.
    pub(super) fn lease(&self, view: &LeaseView) -> Lease {
        let word = self.table.load(view.address);
        let unreported = self.table.unreported(view.address);
        let leased = view.state == State::Leased && word.alive();
        let expires = if leased { word.expiry().max(view.expires) } else { view.expires };
        let by_the_kernel = self.table.kernel_answered_last(view.address);
        let kernel_last = match view.state {
            State::Leased if word.alive() => by_the_kernel,
            // Of a new lease that is being committed; the slot tells of the one before.
            State::Leased => view.answered_by == AnsweredBy::Kernel,
            _ => by_the_kernel || view.answered_by == AnsweredBy::Kernel,
        };
        let agent = view.agent_info.clone().map(|raw| AgentInformation::read(raw.into()));
        let vlan = [view.link.outer, view.link.inner].into_iter().filter(|id| *id != 0).collect();
        Lease {
            address: view.address,
            hw_address: view.chaddr.to_string(),
            client_id: view.client_id.as_deref().map(colon_hex),
            host_name: view.host_name.clone(),
            state: view.state.name().into(),
            subnet: view.subnet.to_string(),
            interface: view.interface.clone(),
            vlan,
            relay: Some(view.giaddr).filter(|relay| !relay.is_unspecified()),
            relay_information: view.agent_info.as_deref().map(colon_hex),
            circuit_id: agent.as_ref().and_then(|agent| agent.circuit_id.as_deref()).map(wire_text),
            remote_id: agent.as_ref().and_then(|agent| agent.remote_id.as_deref()).map(wire_text),
            subscriber_id: agent.as_ref().and_then(|agent| agent.subscriber_id.as_deref()).map(wire_text),
            relay_vendor: vendor_texts(agent.as_ref().and_then(|agent| agent.vendor_information.as_deref())),
            last_heard: self.wall.at(view.last_heard),
            expires: self.wall.at(expires),
            committed_until: self.wall.at(view.committed_until),
            last_answered_by: if kernel_last {
                control::AnsweredBy::Kernel
            } else {
                control::AnsweredBy::Daemon
            },
            kernel_renewals: view.kernel_renewals + u64::from(unreported),
            not_committed: false,
        }
    }

    fn lease_detail(&self, view: &LeaseView) -> LeaseDetail {
        let memos = self.table.slot(view.address).map_or_else(Vec::new, |(_, slot)| {
            (0..MEMOS)
                .map(|index| slot.memo(index))
                .filter(|memo| memo.hash != 0 && slot.word().alive())
                .collect()
        });
        let memos = memos
            .into_iter()
            .map(|memo| {
                let (head, body) = self.table.answer(memo.place);
                Memo {
                    giaddr: head.giaddr.into(),
                    question: format!("{:016x}", memo.hash),
                    lease_time: head.lease_time,
                    answer: colon_hex(&body),
                }
            })
            .collect();
        let not_committed = self.undurable().change(view.address).is_some();
        LeaseDetail { lease: Lease { not_committed, ..self.lease(view) }, memos }
    }

    fn orphans(&self, after: Option<Ipv4Addr>, most: usize) -> Page<Orphan> {
        let (devices, next) = self.policy.orphans_after(after, most);
        let items = devices
            .into_iter()
            .map(|device| Orphan {
                hw_address: device.chaddr.to_string(),
                cap: device.cap,
                leases: device
                    .leases
                    .into_iter()
                    .map(|lease| OrphanLease {
                        address: lease.address,
                        client_id: lease.client_id.as_deref().map(colon_hex),
                        last_heard: self.wall.at(lease.last_heard),
                    })
                    .collect(),
            })
            .collect();
        Page { items, next }
    }

    fn quarantine(&self) -> Vec<Quarantined> {
        self.policy
            .quarantined()
            .map(|address| Quarantined {
                address: address.address,
                since: self.wall.at(address.since),
                until: self.wall.at(address.until),
                why: match address.why {
                    QuarantineCause::Declined => "declined".into(),
                    QuarantineCause::Probe => "probe".into(),
                },
                by: address.by.as_ref().map(HwAddr::to_string).unwrap_or_default(),
            })
            .collect()
    }

    /// The name of the interface of a link.
    pub(super) fn name_of(&self, link: Link) -> Option<String> {
        self.interfaces.get(&link.ifindex).map(|served| served.facts.name.clone())
    }
}
