//! Makes and extends promises: commit, then publish, then the ACK.

use std::net::Ipv4Addr;
use std::sync::Arc;

use dhcp_ebpf::lease::{BootSecs, Word};

use super::Exchange;
use super::origin::Origin;
use crate::message::{AgentInformation, Kind, Request};
use crate::policy::action::{Action, Granted, Publication, Reply, Silence};
use crate::policy::answer::{self, Type};
use crate::policy::book::binding::{AnsweredBy, Binding, FOR_GOOD, LeaseTime, Particulars};
use crate::policy::book::identity::Identity;
use crate::policy::book::state::State;
use crate::policy::event::{Client, Happened};
use crate::policy::predict::Forecast;
use crate::policy::site::place::Place;
use crate::policy::terms::basis::basis_at;
use crate::policy::terms::given::{is_lasting, terms};
use crate::policy::terms::membership::{has_other_agent_info, kept_agent};
use crate::policy::terms::reserved::reserved_elsewhere;
use crate::policy::turn::Turn;
use crate::policy::words::revoke_anyway;
use crate::store::Change;

impl Exchange<'_> {
    /// Leases the address at `place` to the client for `lease_time`, or extends the lease it has, and ACKs.
    ///
    /// The address must be the client's to have ([`Exchange::available`], or `Book::recognises` it).
    pub(super) fn grant(
        &mut self,
        turn: &mut Turn<'_>,
        request: &Arc<Request>,
        place: Place,
        granted: LeaseTime,
    ) {
        let lease_time = granted.secs;
        let subnet = self.book.subnet(place);
        if self.over_cap(turn, subnet, request, Some(place)) {
            return self.tell_cap(turn, request, subnet);
        }
        if self.over_circuit_cap(subnet, request, Some(place)) {
            return self.tell_circuit_cap(turn, request, subnet);
        }
        if let Some(class) = self.over_class_cap(subnet, request, Some(place)) {
            return self.tell_class_cap(turn, request, class);
        }
        let origin = self.origins().origin_for(place, request);
        let Some(server) = self.site.subnets.server(subnet, origin.link) else {
            return turn.silence(request, Silence::NoServerId);
        };
        let address = self.book.address(place);
        let kept_agent = kept_agent(self.site, self.book, place, request);
        let Some(reply) = self.granting(place, server, lease_time, request, kept_agent.as_ref()) else {
            return turn.silence(request, Silence::Unanswerable);
        };
        // What is not to be so for good is the daemon's to say each time.
        let lasting = is_lasting(self.site, self.book, place, lease_time, request);
        let memos = match &reply {
            Reply::Ack { answer, .. }
                if !origin.is_kept && reserved_elsewhere(self.site, self.book, place, request).is_none() =>
            {
                let forecast = Forecast { site: self.site, book: self.book };
                let habits =
                    self.predictions.habits(forecast, turn.now, place, request, turn.after(lease_time));
                let ack = Some(answer).filter(|_| lasting);
                forecast.memos(place, (server, lease_time), request, kept_agent.as_ref(), ack, habits)
            }
            _ => Vec::new(),
        };
        let renews = self.book.state(place) == State::Leased && self.book.recognises(place, request);
        let extends = self.extends(place, request, &origin, server, lease_time);
        let word = if extends { turn.words.load(address) } else { self.make_way(turn, place) };
        self.leave_others(turn, place, request);
        self.bind(turn, place, request, (origin, server), granted, word, extends);
        let Some(binding) = self.book.binding(place) else { return };
        let (expiry, horizon, client) = (binding.expiry, binding.committed_until, Client::from(binding));
        let shared = !binding.is_for_good();
        let what = if renews { Happened::Renewed } else { Happened::Granted };
        let generation = word.generation();
        if !wrong!(GrantUnwritten) {
            turn.out.push(Action::Commit(Change::Put(self.book.record(self.site, place))));
        }
        let publication = shared.then(|| Publication {
            address,
            link: origin.link,
            chaddr: request.mac().unwrap_or_default(),
            server,
            generation,
            expiry,
            horizon,
            basis: basis_at(self.site, self.book, place, origin.link),
            memos,
        });
        turn.out.extend(publication.map(Action::Publish));
        turn.out.push(Action::Reply {
            request: Arc::clone(request),
            reply,
            granted: Some(Granted { address, generation, at: turn.now, lease_time }),
        });
        turn.tell(address, what, Some(client));
        self.inquiry().rearm(place);
        turn.watch_fullness(self.site, self.book, place);
    }

    /// The reply by which the address at `place` becomes the client's.
    fn granting(
        &self,
        place: Place,
        server: Ipv4Addr,
        lease_time: u32,
        request: &Request,
        kept_agent: Option<&AgentInformation>,
    ) -> Option<Reply> {
        let yiaddr = self.book.address(place);
        let terms = terms(self.site, self.book, place, server, lease_time, request, kept_agent);
        match request.kind {
            Kind::Bootp => {
                answer::bootp(&terms, request).map(|answer| Reply::Bootp { yiaddr, server, answer })
            }
            _ => {
                answer::answer(Type::Ack, &terms, request).map(|answer| Reply::Ack { yiaddr, server, answer })
            }
        }
    }

    /// Whether the lease goes on as the kernel knows it: same client, same way to it, same lease time, same classes
    /// by its relay information.
    fn extends(
        &self,
        place: Place,
        request: &Request,
        origin: &Origin,
        server: Ipv4Addr,
        lease_time: u32,
    ) -> bool {
        self.book.state(place) == State::Leased
            && self.book.recognises(place, request)
            && (origin.is_kept || !has_other_agent_info(self.site, self.book, place, request))
            && self.book.binding(place).is_some_and(|binding| {
                binding.chaddr() == request.chaddr
                    && binding.link == origin.link
                    && binding.server == server
                    && binding.lease_time == lease_time
                    && binding.is_for_good() == (lease_time == FOR_GOOD)
            })
    }

    /// The client moves to `place` from its other addresses, in the subnet and on the link.
    fn leave_others(&mut self, turn: &mut Turn<'_>, place: Place, request: &Request) {
        let subnet = self.book.subnet(place);
        let kept = self.kept_identifier(place, request).map(Box::<[u8]>::from);
        let who = Identity::new(request.options.client_id.as_deref().or(kept.as_deref()), request.chaddr);
        if let Some(former) = self.book.owned(subnet, who).filter(|former| *former != place) {
            self.tenure().vacate(turn, former);
        }
        for id in self.site.segment(request).iter().filter(|id| **id != subnet) {
            // There it may go on being the last owner of an address that it has no lease of.
            let leased = |former: &Place| self.book.state(*former) == State::Leased;
            if let Some(former) = self.book.owned(*id, who).filter(leased) {
                self.tenure().vacate(turn, former);
            }
        }
    }

    /// The identifier by which a client that omits it is known at `place`: it is bound by it there.
    fn kept_identifier(&self, place: Place, request: &Request) -> Option<&[u8]> {
        let omitted = request.options.client_id.is_none() && self.book.recognises(place, request);
        self.book.binding(place).filter(|_| omitted)?.client_id()
    }

    /// Ends what the kernel may still promise of the address, so that its slot can be written anew.
    fn make_way(&mut self, turn: &Turn<'_>, place: Place) -> Word {
        let address = self.book.address(place);
        let word = turn.words.load(address);
        // A grant of this very batch may not be published yet: it must find another generation.
        if word.alive() || self.book.state(place) == State::Leased {
            revoke_anyway(turn.words, address)
        } else {
            word
        }
    }

    /// Writes down who has the address and until when.
    #[expect(clippy::too_many_arguments, reason = "each is a fact of the one decision made in `grant`")]
    fn bind(
        &mut self,
        turn: &Turn<'_>,
        place: Place,
        request: &Request,
        (origin, server): (Origin, Ipv4Addr),
        LeaseTime { secs: lease_time, shortened }: LeaseTime,
        word: Word,
        extends: bool,
    ) {
        let promise = turn.after(lease_time);
        // The word of an address never goes back, whoever had it before.
        let expiry = promise.max(word.expiry());
        let ahead = turn.after(self.site.settings.horizon(lease_time));
        let same = self.book.recognises(place, request);
        let counted_in = self.counts_of_lease(place, request);
        self.book.take_offer(place);
        self.inquiry().claim(place);
        self.evidence.probes.forget_clean(place);
        if !same {
            self.evidence.probes.changes_hands(place);
        }
        let former = self.book.binding(place).filter(|_| same);
        let (expiry, floor) = match former {
            // A promise of this very batch may not be in the word yet.
            Some(old) if extends => (expiry.max(old.expiry), old.committed_until),
            _ => (expiry, expiry),
        };
        let former_promise = former.map_or(BootSecs(0), |old| {
            if extends { old.former_promise } else { old.promise_of(word).max(old.former_promise) }
        });
        let kernel_renewals = former.map_or(0, |old| old.kernel_renewals);
        // This answer has not left yet.
        let answered_by = former.map_or(AnsweredBy::Daemon, |old| old.answered_by);
        let (agent_info, client_id) = former.map_or((None, None), |old| (old.agent_info(), old.client_id()));
        let Origin { link, giaddr, station, other_station, is_kept } = origin;
        // A direct renewal has no relay information, and some clients omit their identifier: the lease's own still
        // hold.
        let client_id = request.options.client_id.as_deref().or(client_id);
        // Nor does somebody elsewhere say where the client is, or what it is called.
        let told = request.believed_agent_info().map(AsRef::as_ref).filter(|_| !is_kept);
        let agent_info = told.or(agent_info);
        let former_name = former.and_then(Binding::host_name).filter(|_| is_kept);
        let host_name = if is_kept { former_name } else { request.host_name() };
        let owner = Box::new(Binding {
            particulars: Particulars::new(request.chaddr, client_id, agent_info, host_name),
            adopted: false,
            station,
            ended_by: None,
            answered_by,
            link,
            giaddr,
            server,
            lease_time,
            shortened,
            expiry,
            granted_until: expiry,
            former_promise,
            committed_until: if wrong!(NoHorizon) {
                turn.after(lease_time / 2)
            } else {
                ahead.max(floor).max(expiry)
            },
            last_heard: turn.now,
            kernel_renewals,
            counted_in,
        });
        self.book.grant(place, owner, other_station);
    }
}
