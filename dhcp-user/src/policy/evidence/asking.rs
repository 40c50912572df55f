//! Probes: which addresses are asked after, for whom, and which clients wait for that.

use std::sync::Arc;

use dhcp_ebpf::abi::Link;

use super::probe::{CLEAN_FOR, MOST_PROBES, PATIENCE, Purpose, Running, Waiter, Waiting};
use super::{Evidence, Inquiry};
use crate::config::Probe;
use crate::message::Request;
use crate::policy::action::{Action, Via};
use crate::policy::book::client_origin::ClientOrigin;
use crate::policy::book::identity::Identity;
use crate::policy::book::offers::ClientKey;
use crate::policy::book::state::{State, Stock};
use crate::policy::site::Site;
use crate::policy::site::place::Place;
use crate::policy::site::subnet_id::SubnetId;
use crate::policy::turn::Turn;

impl Evidence {
    /// Whether addresses of `subnet` are probed: as the subnet says, else its interface, else the server.
    pub(in crate::policy) fn probing(&self, site: &Site, subnet: SubnetId) -> bool {
        if wrong!(Unprobed) {
            return false;
        }
        let interface = || {
            let name = &site.subnets.interface(self.link(site, subnet)?.ifindex)?.name;
            site.probe_on.get(name).copied()
        };
        let wanted = site.subnets.get(subnet).probe.or_else(interface).unwrap_or(site.settings.probe);
        wanted == Probe::Auto && self.probes.carried_out
    }

    /// The link that clients of `subnet` are on, if they are on one of ours.
    pub(super) fn link(&self, site: &Site, subnet: SubnetId) -> Option<Link> {
        site.subnets.link(subnet).or_else(|| self.probes.heard_on.get(&subnet).copied())
    }
}

impl Inquiry<'_> {
    /// Remembers where the clients of a subnet are.
    pub(in crate::policy) fn note_way(&mut self, segment: &[SubnetId], request: &Request) {
        if self.evidence.probes.carried_out && !request.relayed() {
            for subnet in segment.iter().filter(|subnet| self.site.subnets.link(**subnet).is_none()) {
                self.evidence.probes.heard_on.insert(*subnet, request.link);
            }
        }
    }

    /// The probe that the client already waits for, if any. A request repeated from the same origin replaces the
    /// earlier one; a sender that uses the client's name elsewhere does not get its answer.
    pub(in crate::policy) fn waits(
        &mut self,
        request: &Arc<Request>,
        segment: &[SubnetId],
    ) -> Option<Waiting> {
        let who = Identity::of(request);
        segment.iter().find_map(|id| {
            let place = self.evidence.probes.waiting.get(&ClientKey(*id, who))?;
            let waiter = self.evidence.probes.running.get_mut(place)?.waiter.as_mut()?;
            if who != Identity::of(&waiter.request) {
                return None;
            }
            if ClientOrigin::of(request) != ClientOrigin::of(&waiter.request) {
                return Some(Waiting::Elsewhere);
            }
            waiter.request = Arc::clone(request);
            Some(Waiting::Here)
        })
    }

    /// Whether the address can be taken to be used by nobody but the client: because it is its own, or was offered to
    /// it, or nobody answered a probe.
    pub(in crate::policy) fn is_unused(&self, turn: &Turn<'_>, place: Place, request: &Request) -> bool {
        let nobodys = self.book.state(place) == State::Free && !self.book.recognises(place, request);
        !nobodys || !self.evidence.probing(self.site, self.book.subnet(place)) || self.is_clean(turn, place)
    }

    pub(in crate::policy) fn is_clean(&self, turn: &Turn<'_>, place: Place) -> bool {
        self.book.stock(place) == Stock::Probed
            && self.evidence.probes.clean.get(&place).is_some_and(|since| turn.now < since.plus(CLEAN_FOR))
    }

    pub(in crate::policy) fn wait_for(&mut self, request: &Arc<Request>, place: Place) -> bool {
        let Some(running) = self.evidence.probes.running.get_mut(&place) else { return false };
        // Leases that are asked after are no candidates that failed: each is asked after once.
        let counts = !matches!(running.purpose, Purpose::Reclaim { .. });
        let tries = self.evidence.probes.tries.saturating_add(u8::from(counts));
        running.waiter = Some(Waiter { request: Arc::clone(request), tries });
        if let Purpose::Candidate(_) = running.purpose {
            self.book.restock(place, Stock::Awaited);
        }
        let subnet = self.book.subnet(place);
        self.evidence.probes.waiting.insert((subnet, Identity::of(request).into()), place);
        true
    }

    /// Has the address probed; false if too many are, or enough for this client.
    pub(in crate::policy) fn start_probe(
        &mut self,
        turn: &mut Turn<'_>,
        place: Place,
        purpose: Purpose,
        waiter: Option<&Arc<Request>>,
    ) -> bool {
        let for_any = matches!(purpose, Purpose::Candidate(_) | Purpose::Need);
        let enough = for_any && waiter.is_some() && self.evidence.probes.has_tried_enough();
        if enough || self.evidence.probes.running.len() >= MOST_PROBES {
            return false;
        }
        // One that was about something else, and lost its meaning.
        self.claim(place);
        if let Purpose::Candidate(_) = purpose {
            self.book.restock(place, Stock::Probing);
        }
        let until = turn.after(PATIENCE);
        let via = self.evidence.link(self.site, self.book.subnet(place)).map_or(Via::Icmp, Via::Arp);
        self.evidence.probes.running.insert(place, Running { purpose, via, until, waiter: None });
        if let Some(request) = waiter {
            self.wait_for(request, place);
        }
        self.ask(turn, place, purpose, via);
        true
    }

    /// Probes the address. Stations whose answers prove nothing are ignored. A probe for the address's holder still
    /// hears that holder, whatever other addresses it answers for.
    pub(super) fn ask(&mut self, turn: &mut Turn<'_>, place: Place, purpose: Purpose, via: Via) {
        let mut except = self.evidence.witnesses.disbelieved_on(turn.now, via);
        let is_heard = |station: &[u8; 6]| purpose.asks_holder() && self.book.is_of_holder(place, *station);
        if except.iter().any(is_heard) {
            except = except.iter().copied().filter(|station| !is_heard(station)).collect();
        }
        turn.out.push(Action::Probe { address: self.book.address(place), via, except });
        self.rearm(place);
    }

    /// The address may be asked for again.
    pub(in crate::policy) fn end_lingering(&mut self, place: Place) {
        self.evidence.probes.lingering.remove(&place);
        if self.book.stock(place) == Stock::Lingering {
            self.book.restock(place, Stock::Freed);
        }
    }

    /// No outcome of a probe was reported: it proves nothing.
    pub(in crate::policy) fn give_up_probe(&mut self, place: Place) {
        let Some(running) = self.evidence.probes.running.remove(&place) else { return };
        if let Purpose::Candidate(stock) = running.purpose {
            self.book.restock(place, stock);
        }
        if let Some(waiter) = running.waiter {
            self.no_longer_waits(place, &waiter.request);
        }
    }

    /// The address gets an owner before its probe ends, or in spite of an earlier result.
    pub(in crate::policy) fn claim(&mut self, place: Place) {
        let Some(running) = self.evidence.probes.running.remove(&place) else { return };
        if let Purpose::Candidate(stock) = running.purpose {
            self.book.restock(place, stock);
        }
        self.stop_waiting(place, running.waiter);
    }

    pub(super) fn stop_waiting(&mut self, place: Place, waiter: Option<Waiter>) {
        if let Some(waiter) = waiter {
            self.no_longer_waits(place, &waiter.request);
            self.evidence.probes.again.push_back(waiter);
        }
    }

    pub(super) fn no_longer_waits(&mut self, place: Place, request: &Request) {
        self.evidence.probes.waiting.remove(&ClientKey(self.book.subnet(place), Identity::of(request)));
    }

    /// The address may leave quarantine if nobody answers for it.
    pub(in crate::policy) fn parole(&mut self, turn: &mut Turn<'_>, place: Place) {
        let running = self.evidence.probes.running.contains_key(&place);
        if !running && !self.start_probe(turn, place, Purpose::Parole, None) {
            self.book.postpone(place, turn.after(PATIENCE));
        }
    }
}
