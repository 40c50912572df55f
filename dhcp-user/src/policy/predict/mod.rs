//! Predictions: the requests of the renew class to expect after this one, and their answers.
//!
//! A client's renewals repeat the options of the request that got it the lease, less those that only belong there
//! (RFC 2131 §4.3.2: no server identifier, no requested address), or those of its DISCOVER; or they differ as those
//! of the first device of its kind did ([`kinds`]). A prediction that misses costs one trip to the daemon and one
//! memo; its answer is still the one that the daemon would give.

mod areas;
mod discovers;
mod kinds;
mod recipe;

use std::net::Ipv4Addr;

use dhcp_ebpf::lease::BootSecs;
use dhcp_ebpf::slot::{Destination, MEMOS};

use super::book::Book;
use super::site::Site;
use crate::message::options::code;
use crate::message::{AgentInformation, Form, Kind, Request};
use crate::policy::action::{Ground, Memo, Question};
use crate::policy::answer::{self, Answer, Type};
use crate::policy::book::binding::LeaseTime;
use crate::policy::book::identity::Keyed;
use crate::policy::book::state::State;
use crate::policy::site::place::Place;
use crate::policy::terms::given::{is_lasting, prolonged, terms};
use crate::policy::terms::membership::{is_admitted, is_dropped, kept_agent};
use areas::{Areas, Going, Selected};
use discovers::Discovers;
use kinds::Kinds;

/// No option area longer than this is hashed in the kernel.
const LONGEST_AREA: usize = 512;

/// The remembered messages that predictions are made from.
#[derive(Debug)]
pub(super) struct Predictions {
    discovers: Discovers,
    kinds: Kinds,
}

impl Predictions {
    pub(super) fn new(keyed: Keyed) -> Self {
        Self { discovers: Discovers::default(), kinds: Kinds::new(keyed) }
    }

    /// A client was made an offer.
    pub(super) fn note_discover(&mut self, request: &Request) {
        self.discovers.note(request);
    }

    /// The habits of the client that sent `request` and has, or gets, the lease of `place` until `until`. Learns from
    /// this request for its kind.
    pub(super) fn habits(
        &mut self,
        forecast: Forecast<'_>,
        now: BootSecs,
        place: Place,
        request: &Request,
        until: BootSecs,
    ) -> Habits {
        let address = forecast.book.address(place);
        let Some(mac) = request.mac().filter(|_| request.kind == Kind::Request) else {
            return Habits::default();
        };
        let asked = areas::past_relay(&request.area, request);
        if let Some(going) = forecast.goes_on(request, address) {
            if request.plain {
                self.kinds.heard((mac, address), going, &asked, until);
            }
            return Habits::default();
        }
        let discover = self.discovers.take(request);
        let selected = Selected { select: &asked, discover: discover.as_deref(), address };
        let learnt = self.kinds.met(mac, request, &selected, now, until);
        Habits { learnt, discovered: areas::after_discover(&selected) }
    }
}

/// The client's habits, beside the request that it sent.
#[derive(Debug, Default)]
pub(super) struct Habits {
    /// As others of its kind ask.
    learnt: Areas,
    /// Made of its DISCOVER.
    discovered: Areas,
}

/// What the site and the book say of questions to come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forecast<'a> {
    pub(super) site: &'a Site,
    pub(super) book: &'a Book,
}

impl Forecast<'_> {
    /// The questions that the client of `request` asked or may ask about its lease of `place`, each with the daemon's
    /// answer. Each question is classified by its own options, and by the relay information `kept_agent` if it bypasses the
    /// relay. `ack` is the answer to `request`, if it holds each time. Asked questions come first, then the
    /// likeliest; no more than the kernel remembers.
    pub(super) fn memos(
        &self,
        place: Place,
        (server, lease_time): (Ipv4Addr, u32),
        request: &Request,
        kept_agent: Option<&AgentInformation>,
        ack: Option<&Answer>,
        habits: Habits,
    ) -> Vec<Memo> {
        if request.mac().is_none() {
            return Vec::new();
        }
        // What the relay says now is kept with the lease.
        let kept_agent = request.options.agent.as_ref().or(kept_agent);
        let mut memos: Vec<Memo> = Vec::with_capacity(MEMOS);
        for (form, ground, differs) in self.forms(self.book.address(place), request, habits) {
            let known = |memo: &Memo| {
                memo.question.options == form.area
                    && (memo.question.ciaddr, memo.question.giaddr) == (form.ciaddr, form.giaddr)
            };
            if memos.len() == MEMOS || memos.iter().any(known) {
                continue;
            }
            let answer = match differs {
                Differs::InWhatNoAnswerSays => {
                    ack.filter(|ack| ack.complete && is_publishable_as(&form, request)).cloned()
                }
                Differs::InMore => Request::expected(request.link, request.chaddr, form.clone())
                    .ok()
                    .map(|asked| self.site.judge_agent(asked))
                    .filter(|asked| is_publishable(asked) && is_of_same_client(asked, request))
                    .filter(|asked| self.is_granted_alike(place, lease_time, asked, kept_agent))
                    .and_then(|asked| self.answer_as(place, server, lease_time, &asked, kept_agent)),
            };
            let to = self.destination_of(&form, place, request);
            memos.extend(answer.map(|answer| Memo { question: Question::from(form), answer, to, ground }));
        }
        memos
    }

    /// The destination that a renewal without a relay must have for an answer from the lease of `place`. A client
    /// behind a relay unicasts past it, over the link that the relay is on. A broadcast on that link comes from a
    /// client that is there, where the address is of another network (RFC 2131 §4.3.2).
    fn destination_of(&self, form: &Form, place: Place, request: &Request) -> Destination {
        if form.ciaddr.is_unspecified() || !form.giaddr.is_unspecified() {
            return Destination::Any;
        }
        let subnets = &self.site.subnets;
        let chosen =
            request.options.subnet.map(|address| subnets.containing(address).map(|id| subnets.segment(id)));
        let here = chosen.unwrap_or_else(|| subnets.on_link(request.link).cloned());
        let is_here = here.is_some_and(|segment| segment.contains(&self.book.subnet(place)));
        if is_here { Destination::Any } else { Destination::Unicast }
    }

    /// The answer that the owner of `address` would get to `question` now; none if the kernel is to know none.
    pub(super) fn answer_to(&self, address: Ipv4Addr, question: &Question) -> Option<Answer> {
        let place = self.book.find(address)?;
        let owner = self.book.binding(place).filter(|_| self.book.state(place) == State::Leased)?;
        let Question { ciaddr, giaddr, relay_src: ip_src, ref options } = *question;
        let form = Form { ciaddr, giaddr, ip_src, ip_dst: Ipv4Addr::BROADCAST, area: options.clone() };
        let asked = Request::expected(owner.link, owner.chaddr(), form).ok()?;
        let asked = Some(self.site.judge_agent(asked)).filter(is_publishable)?;
        self.goes_on(&asked, address)?;
        // Its pool may have been closed to the client's class.
        let admitted = self.book.is_reserved(place) || is_admitted(self.site, self.book, place, &asked);
        if !admitted || is_dropped(self.site, self.book, place, &asked) {
            return None;
        }
        let told = LeaseTime { secs: owner.lease_time, shortened: owner.shortened };
        let lease_time = prolonged(self.site, self.book, place, told, &asked).secs;
        let kept_agent = kept_agent(self.site, self.book, place, &asked);
        self.answer_as(place, owner.server, lease_time, &asked, kept_agent.as_ref())
    }

    /// The whole answer to `asked` from the lease of `place`.
    fn answer_as(
        &self,
        place: Place,
        server: Ipv4Addr,
        lease_time: u32,
        asked: &Request,
        kept_agent: Option<&AgentInformation>,
    ) -> Option<Answer> {
        let terms = terms(self.site, self.book, place, server, lease_time, asked, kept_agent);
        answer::answer(Type::Ack, &terms, asked).filter(|answer| answer.complete)
    }

    /// How `request` goes on with a lease of `address`, if it is of the renew class: one that names a server is if it
    /// names us, and `ciaddr` is the address (small stacks leave options 50 and 54 in for ever).
    fn goes_on(&self, request: &Request, address: Ipv4Addr) -> Option<Going> {
        let Request { ciaddr, ref options, .. } = *request;
        let asks_for_it = options.requested.is_none_or(|requested| requested == address);
        let names_us = options.server.is_none_or(|server| self.site.subnets.is_ours(server));
        match ciaddr.is_unspecified() {
            true => (options.server.is_none() && options.requested == Some(address)).then_some(Going::Reboot),
            false => (ciaddr == address && names_us && (options.server.is_none() || asks_for_it))
                .then_some(Going::Renewal),
        }
    }

    /// Whether `asked` would be granted as the lease of `place` is: for the same time, and in the same pool.
    fn is_granted_alike(
        &self,
        place: Place,
        lease_time: u32,
        asked: &Request,
        kept_agent: Option<&AgentInformation>,
    ) -> bool {
        let subnet = self.book.subnet(place);
        let pool = self.book.pool(place).filter(|_| !self.book.is_reserved(place));
        let admits = pool.is_none_or(|pool| {
            let admits = pool.admits;
            admits.is_open() || admits.admits(self.site.classes_in(subnet, asked, kept_agent))
        });
        admits
            && !self.site.drops(subnet, asked, kept_agent)
            && is_lasting(self.site, self.book, place, lease_time, asked)
    }

    /// The form that came, if it is of the renew class, and those that may follow, the likeliest first.
    fn forms(&self, address: Ipv4Addr, request: &Request, habits: Habits) -> Vec<(Form, Ground, Differs)> {
        use Differs::{InMore, InWhatNoAnswerSays};
        use Going::{Reboot, Renewal};
        let mut forms = Vec::with_capacity(MEMOS + 2);
        if request.plain && self.goes_on(request, address).is_some() {
            forms.push((areas::came(request), Ground::Asked, InWhatNoAnswerSays));
        }
        let names_us = request.options.server.is_some_and(|server| self.site.subnets.is_ours(server));
        let own = Areas::of(&request.area, address);
        let expected = [
            (Renewal, habits.learnt.renewal, InMore),
            (Renewal, own.renewal, InWhatNoAnswerSays),
            (Reboot, habits.learnt.reboot, InMore),
            (Reboot, own.reboot, InWhatNoAnswerSays),
            (Renewal, habits.discovered.renewal, InMore),
            (Reboot, habits.discovered.reboot, InMore),
            (Renewal, names_us.then(|| request.area.to_vec()), InWhatNoAnswerSays),
        ];
        for (going, area, differs) in expected {
            let Some(area) = area else { continue };
            let mut expect = |form, differs| forms.push((form, Ground::Expected, differs));
            match going {
                // A client behind a relay renews past it, and broadcasts through it later (RFC 2131 §4.4.5).
                Renewal if request.relayed() => {
                    expect(areas::direct(areas::past_relay(&area, request).into_owned(), address), InMore);
                    if differs == InWhatNoAnswerSays {
                        expect(areas::relayed(request, area, address), differs);
                    }
                }
                Renewal => {
                    // A switch that adds option 82 to what is broadcast may let pass what is unicast.
                    let past_switch =
                        request.agent_info().map(|_| areas::past_relay(&area, request).into_owned());
                    expect(areas::direct(area, address), differs);
                    if let Some(area) = past_switch {
                        expect(areas::direct(area, address), InMore);
                    }
                }
                Reboot if request.relayed() => {
                    let through = if differs == InMore { areas::through_relay(area, request) } else { area };
                    expect(areas::relayed(request, through, Ipv4Addr::UNSPECIFIED), differs);
                }
                Reboot => expect(areas::direct(area, Ipv4Addr::UNSPECIFIED), differs),
            }
        }
        forms
    }
}

/// Whether the answer to this very question may be published.
fn is_publishable(asked: &Request) -> bool {
    is_hashed_whole(&asked.area) && is_answered_by_options_alone(asked) && !is_source_port_asked(asked)
}

/// The same of a `form` that `request` was made into by leaving out what no answer says, or what its relay added.
fn is_publishable_as(form: &Form, request: &Request) -> bool {
    let by_relay = !form.giaddr.is_unspecified();
    is_hashed_whole(&form.area)
        && is_answered_by_options_alone(request)
        && !(by_relay && is_source_port_asked(request))
}

/// Whether no other area hashes alike: zeros at the end count for nothing, so a question does not end in one. Without an END
/// (RFC 2131 §4.1) it may: an option's value would be taken for padding.
fn is_hashed_whole(area: &[u8]) -> bool {
    area.len() <= LONGEST_AREA && area.last().is_some_and(|last| *last != code::PAD)
}

/// Whether there is no more to it than the option area has, and no proof is asked for (RFC 3118).
fn is_answered_by_options_alone(request: &Request) -> bool {
    !request.options.overloaded && request.options.get(code::AUTHENTICATION).is_none()
}

/// Whether the answer would have to go to another port than the kernel's do (RFC 8357).
fn is_source_port_asked(request: &Request) -> bool {
    request.options.agent.as_ref().is_some_and(|agent| agent.source_port)
}

/// Whether `asked` is of the client that sent `request`, and selects the same subnet (RFC 3011), so that the lease of
/// one is the other's.
fn is_of_same_client(asked: &Request, request: &Request) -> bool {
    let (asked, sent) = (&asked.options, &request.options);
    asked.client_id == sent.client_id && asked.subnet == sent.subnet
}

impl From<Form> for Question {
    fn from(Form { ciaddr, giaddr, ip_src, area, .. }: Form) -> Self {
        let relay_src = if giaddr.is_unspecified() { giaddr } else { ip_src };
        Self { ciaddr, giaddr, relay_src, options: area }
    }
}

/// How a form differs from the request that it was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Differs {
    /// In addresses, and in options 50 and 54, which are in no answer and make no class: its answer is the request's.
    InWhatNoAnswerSays,
    /// In options that an answer may depend on, those of a relay included.
    InMore,
}
