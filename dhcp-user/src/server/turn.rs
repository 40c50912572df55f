//! One batch: reads frames, decides events, and carries out the decisions in the order that keeps promises.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::Server;
use super::commit::decided::Decided;
use super::commit::not_committed::NotCommitted;
use super::commit::thread::Ended;
use super::reports::events::event_record;
use super::reports::explain::{Glimpse, Lost, Unanswered};
use super::reports::narration::{NARRATOR, narrate};
use crate::clock::BootNanos;
use crate::datapath::frames::frame;
use crate::datapath::frames::ring::Arrival;
use crate::message::{Kind, Request};
use crate::policy::{Action, Event, Granted, LeaseEvent, Publication, Reply, Weight, Words as _};
use crate::pulse::Stage;

/// Frames that waited longer than this many nanoseconds are dropped: their senders have repeated them, or given up.
const STALE: u64 = 4_000_000_000;

impl Server {
    /// Reads a frame. An unusable one is counted.
    pub(super) fn admit(&mut self, arrival: Arrival) -> Option<Event> {
        self.captures.came(&arrival);
        let at = BootNanos(arrival.at);
        if BootNanos::now().0.saturating_sub(at.0) > STALE {
            self.leave_unread(&arrival, Unanswered::Lost(Lost::Stale));
            return None;
        }
        if let Err(limit) = self.limits.check_frame(&arrival.frame, arrival.ifindex, at.0) {
            self.leave_unread(&arrival, Unanswered::Limited(limit));
            return None;
        }
        match Request::read(arrival.frame.clone(), arrival.ifindex, at.floor()) {
            Ok(request) if arrival.why.is_none() && !self.is_for_us(&request) => {
                self.refuse(&request, Unanswered::Lost(Lost::NotForUs));
                None
            }
            Ok(request) => {
                // Where no program runs, nothing is promised between a frame's arrival and now.
                let unseen = || arrival.why.is_none().then(|| self.table.load(request.ciaddr));
                let request =
                    Request { word: arrival.word.or_else(unseen), ..self.policy.judge_agent(request) };
                self.traffic.received(request.kind.name());
                self.busy.note(&request);
                if request.kind == Kind::Request && !request.ciaddr.is_unspecified() {
                    self.measuring.renewal();
                }
                request.oddities().for_each(|what| self.traffic.odd(what));
                let begun = || self.policy.has_begun(&request);
                // What can't be from where it says it is gets no answer, and takes nothing of its client's share.
                if self.policy.admits(&request)
                    && let Err(limit) = self.limits.check(&request, at.0, begun)
                {
                    self.refuse(&request, Unanswered::Limited(limit));
                    return None;
                }
                tracing::trace!(kind = request.kind.name(), chaddr = %request.chaddr, why = ?arrival.why, "received");
                let request = Arc::new(request);
                self.punts.note(&request, arrival.why, &self.table);
                Some(Event::Message(request))
            }
            Err(malformed) => {
                self.leave_unread(&arrival, Unanswered::Malformed(malformed));
                None
            }
        }
    }

    /// A frame is not looked into any further.
    fn leave_unread(&mut self, arrival: &Arrival, why: Unanswered) {
        self.traffic.dropped(why.name());
        let at = BootNanos(arrival.at).floor();
        let Self { punts, policy, table, .. } = self;
        let glimpse = || Glimpse::of(&arrival.frame, arrival.ifindex);
        punts.unread(glimpse, at, why, table, |seen| policy.considered_at(seen.link, seen.relay));
        self.complain_of_frame(&arrival.frame, arrival.ifindex, why);
        self.captures.became(&arrival.frame, arrival.ifindex, || no_answer(why));
    }

    /// A request is not decided.
    fn refuse(&mut self, request: &Request, why: Unanswered) {
        self.traffic.dropped(why.name());
        let Self { punts, policy, table, .. } = self;
        punts.refused(request, why, table, || policy.considered(request));
        self.complain_of(request, why);
        self.became(request, || no_answer(why));
    }

    /// A request that was decided gets no answer.
    fn leave_unanswered(&mut self, request: &Request, why: Unanswered) {
        self.traffic.dropped(why.name());
        self.note_unanswered(request, why);
        self.complain_of(request, why);
        self.became(request, || no_answer(why));
    }

    fn note_unanswered(&mut self, request: &Request, why: Unanswered) {
        let Self { punts, policy, .. } = self;
        punts.unanswered(request, why, || policy.considered(request));
    }

    /// Shows the outcome of a request to captures.
    fn became(&mut self, request: &Request, what: impl FnOnce() -> String) {
        self.captures.became(&request.frame, request.link.ifindex, what);
    }

    /// Whether a frame that no program looked at was sent to us.
    fn is_for_us(&self, request: &Request) -> bool {
        let Some(served) = self.interfaces.get(&request.link.ifindex) else { return false };
        let station = request.eth_dst == served.facts.mac || request.eth_dst == [0xff; 6];
        station && (request.ip_dst.is_broadcast() || self.ours.contains(&request.ip_dst))
    }

    /// Decides events. Actions that need no disk are carried out at once, all others in order as commits end, from
    /// the next [`commit_next`](Self::commit_next) on. A failed commit is reported, and the actions that need it are
    /// not carried out.
    pub(super) fn decide(&mut self, events: Vec<Event>) {
        let (mut at_once, mut actions) = (Vec::new(), Vec::new());
        for event in events {
            let unanswered = unanswered_kind(&event);
            self.policy.handle(BootNanos::now().floor(), &self.table, event, &mut actions);
            if let Some(request) = unanswered.filter(|request| !is_refused(request, &actions)) {
                self.became(&request, || "taken by the daemon".to_owned());
            }
            #[cfg(feature = "simulation")]
            self.decide_wrongly(&mut actions, &mut at_once);
            let waits = actions.iter().any(Action::waits);
            let decided = actions.drain(..).map(Decided::Action);
            (if waits { &mut self.decided } else { &mut at_once }).extend(decided);
        }
        self.carry_out(at_once, &Ok(()));
    }

    /// Goes on when the thread that has the store has done something.
    pub(super) fn ended(&mut self, ended: Ended) {
        match ended {
            Ended::Commit(commit) => self.committed(commit),
            Ended::Read(read) => self.audited(read),
            Ended::Looked(error) => self.found_wrong(error),
        }
    }

    /// Does what was decided beside commits, as far as it may be done.
    pub(super) fn carry_out(&mut self, decided: Vec<Decided>, committed: &Result<(), NotCommitted>) {
        let mut leaving = Vec::new();
        for one in decided {
            match one {
                Decided::Order(number) => self.orders.ended(number, committed),
                Decided::Former => self.former = self.former.saturating_sub(1),
                Decided::Action(action) if committed.is_err() && !self.needs_no_commit(&action) => {
                    if let Action::Reply { request, .. } = &action {
                        let why = Unanswered::Lost(Lost::NotCommitted);
                        self.note_unanswered(request, why);
                        self.became(request, || no_answer(why));
                    }
                }
                Decided::Action(action) => self.act(action, &mut leaving),
            }
        }
        self.events.hand_over();
        if !leaving.is_empty() {
            let stage = self.pulse.stage();
            self.pulse.at(Stage::Sending);
            self.outbox.send(leaving);
            self.pulse.at(stage);
        }
        self.count_unsent();
        self.table.tidy();
    }

    fn act(&mut self, action: Action, leaving: &mut Vec<(u32, Bytes)>) {
        match action {
            Action::Commit(_) => {}
            Action::Publish(lease) => self.publish(lease),
            Action::Horizon { address, generation, until } => {
                self.table.move_horizon(address, generation, until);
            }
            Action::Reply { request, reply, granted } => {
                leaving.extend(self.leave(&request, &reply, granted));
            }
            Action::Silence { request, why } => self.leave_unanswered(&request, Unanswered::Silent(why)),
            Action::Probe { address, via, except } => {
                #[cfg(feature = "simulation")]
                self.aside.asked.push((address, via));
                if let Some(prober) = &mut self.prober {
                    prober.begin(address, via, except);
                }
            }
            Action::Event(event) => self.tell(event),
        }
    }

    pub(super) fn publish(&mut self, mut lease: Publication) {
        if self.former > 0
            && let Some(present) = self.policy.basis(lease.address, lease.link)
            && present != lease.basis
        {
            // It was decided before a change of what answers rest on: the lease holds, the answers don't.
            (lease.basis, lease.memos) = (present, Vec::new());
        }
        match self.table.publish(&lease) {
            Ok(published) if published.without_room > 0 => {
                tracing::debug!(address = %lease.address, questions = published.without_room, "no room in the maps");
                self.traffic.dropped("memo-without-room");
            }
            Ok(_) => {}
            Err(overtaken) => {
                return tracing::debug!(address = %lease.address, %overtaken, "not published");
            }
        }
        let word = self.table.load(lease.address);
        self.punts.published(lease, word);
    }

    /// The frame of a reply, unless the lease in it was revoked meanwhile.
    fn leave(&mut self, request: &Request, reply: &Reply, granted: Option<Granted>) -> Option<(u32, Bytes)> {
        if let Some(lease) = granted
            && self.table.load(lease.address).generation() != lease.generation
            && !wrong!(OvertakenSent)
        {
            self.leave_unanswered(request, Unanswered::Lost(Lost::Overtaken));
            return None;
        }
        if let Some(lease) = granted
            && !self.counts_from_now(request, lease)
        {
            self.leave_unanswered(request, Unanswered::Lost(Lost::NotCommitted));
            return None;
        }
        let ifindex = request.link.ifindex;
        let Some(served) = self.interfaces.get(&ifindex) else {
            self.leave_unanswered(request, Unanswered::Lost(Lost::UnknownInterface));
            return None;
        };
        let Some(frame) = frame::write(request, reply, served.facts.mac) else {
            self.leave_unanswered(request, Unanswered::Lost(Lost::ReplyTooLong));
            return None;
        };
        if let Reply::Offer { answer, .. }
        | Reply::Ack { answer, .. }
        | Reply::InformAck { answer, .. }
        | Reply::Nak { answer, .. } = reply
            && request.agent_info().is_some_and(|said| !answer.returns(said))
        {
            self.traffic.odd("relay-information-without-room");
        }
        if let Some(lease) = granted {
            self.table.answered(lease.address);
            self.policy.answered(lease.address);
        }
        if !reply.answer().complete {
            self.traffic.odd("options-without-room");
        }
        let sent = match reply {
            Reply::Offer { .. } => "offer",
            Reply::Ack { .. } | Reply::InformAck { .. } => "ack",
            Reply::Nak { .. } => "nak",
            Reply::Bootp { .. } => "bootreply",
            Reply::Lease { status, .. } => status.name(),
        };
        self.traffic.sent(sent);
        self.punts.answered(request, sent, &self.table);
        self.became(request, || format!("answered by the daemon: {sent}"));
        self.captures.leaves(&frame, ifindex, sent);
        Some((ifindex, frame))
    }

    /// Promises as much as the client takes from an ACK that leaves now, and not when it was decided: it may have repeated
    /// its request since, and counts from when it last did (RFC 2131 §4.4.1). Whether the store bears that.
    ///
    /// A lease without end, and one without a promise in its word, is promised for as long as it lasts.
    fn counts_from_now(&mut self, request: &Request, lease: Granted) -> bool {
        let now = BootNanos::now().floor();
        if now <= lease.at || !self.table.load(lease.address).alive() || wrong!(LateAckFromDecision) {
            return true;
        }
        let until = now.plus(1).plus(lease.lease_time);
        let is_promised = self.table.prolong(lease.address, lease.generation, until);
        if is_promised {
            self.policy.answered_late(lease.address, until);
            let word = self.table.load(lease.address);
            self.punts.written(&request.mac().unwrap_or_default(), lease.address, word);
        }
        is_promised
    }

    fn tell(&mut self, event: LeaseEvent) {
        let weight = event.weight();
        let has_line = self.narration.has_line(weight, Instant::now());
        let is_written = has_line || tracing::enabled!(target: NARRATOR, tracing::Level::DEBUG);
        if !is_written && weight != Weight::Detail {
            self.narration.leave_out(event.kind());
        }
        let which = self.events.use_of(weight);
        if is_written {
            let told = event_record(&event, |link| self.name_of(link));
            narrate(&told, weight, has_line);
            self.events.tell_as(told, which);
        } else if self.events.is_wanted(which) {
            let interface = event.link().and_then(|link| self.name_of(link));
            self.events.happened(event, interface, which);
        }
    }
}

/// The capture's comment on a request without an answer.
fn no_answer(why: Unanswered) -> String {
    format!("no answer: {}", why.name())
}

/// The message of an event, if it is of a kind that nothing answers (RFC 2131 §4.3.3, §4.3.4).
fn unanswered_kind(event: &Event) -> Option<Arc<Request>> {
    match event {
        Event::Message(request) if matches!(request.kind, Kind::Release | Kind::Decline) => {
            Some(Arc::clone(request))
        }
        _ => None,
    }
}

/// Whether `request` is among the messages that `actions` leave without effect.
fn is_refused(request: &Arc<Request>, actions: &[Action]) -> bool {
    let is_it = |action: &Action| matches!(action, Action::Silence { request: refused, .. } if Arc::ptr_eq(refused, request));
    actions.iter().any(is_it)
}
