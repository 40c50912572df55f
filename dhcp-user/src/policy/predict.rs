//! What a client will ask next: the requests of the renew class to expect after this one, and their answers.
//!
//! A client's renewals repeat the options of the request that got it the lease, less those that only belong there
//! (RFC 2131 §4.3.2: no server identifier, no requested address). A prediction that misses costs one trip to the
//! daemon, so what is not known is left out, never guessed.

use std::net::Ipv4Addr;

use super::Policy;
use super::action::{Memo, Question};
use super::addresses::{Place, State};
use super::answer::{self, Answer, Type};
use crate::message::options::{code, without};
use crate::message::{AgentInformation, Form, Request};

/// No option area longer than this is hashed in the kernel.
const LONGEST_AREA: usize = 512;

impl Policy {
    /// The questions that the client which sent `request` asked or may ask about its lease of `place`, each with the
    /// answer that it would get from here: each is classified by what it says itself, and by what the relay `said`
    /// where it passes it by. `ack` is the answer to `request`.
    pub(super) fn memos(
        &self,
        place: Place,
        (server, lease_time): (Ipv4Addr, u32),
        request: &Request,
        said: Option<&AgentInformation>,
        ack: &Answer,
    ) -> Vec<Memo> {
        if !publishable(request) {
            return Vec::new();
        }
        // What the relay says now is kept with the lease.
        let said = request.options.agent.as_ref().or(said);
        let mut memos: Vec<Memo> = Vec::with_capacity(3);
        for (form, differs) in forms(self.all.address(place), request) {
            let memo = match differs {
                Differs::InWhatNoAnswerSays => {
                    ack.complete.then(|| Memo { question: Question::from(form), answer: ack.clone() })
                }
                Differs::InTheRelay => Request::expected(request.link, request.chaddr, form)
                    .ok()
                    .and_then(|asked| self.remember(place, server, lease_time, &asked, said)),
            };
            memos.extend(memo.filter(|memo| memos.iter().all(|there| there.question != memo.question)));
        }
        memos
    }

    /// The answer that the owner of `address` would get to `question` now; none if the kernel is to know none.
    ///
    /// What was published on the present [basis](Policy::basis) is this.
    #[must_use]
    pub fn memo(&self, address: Ipv4Addr, question: &Question) -> Option<Memo> {
        let place = self.all.find(address)?;
        let owner = self.binding(place).filter(|_| self.all.state(place) == State::Leased)?;
        let Question { ciaddr, giaddr, relay_src: ip_src, ref options } = *question;
        let form = Form { ciaddr, giaddr, ip_src, ip_dst: Ipv4Addr::BROADCAST, area: options.clone() };
        let asked = Request::expected(owner.link, owner.chaddr(), form).ok().filter(publishable)?;
        // Its pool may have been closed to the client's class.
        let admitted = self.all.entry(place).reserved() || self.is_admitted(place, &asked);
        if !admitted {
            return None;
        }
        let lease_time = self.prolonged(place, owner.lease_time, &asked);
        let said = self.said(place, &asked);
        self.remember(place, owner.server, lease_time, &asked, said.as_ref())
    }

    fn remember(
        &self,
        place: Place,
        server: Ipv4Addr,
        lease_time: u32,
        asked: &Request,
        said: Option<&AgentInformation>,
    ) -> Option<Memo> {
        let terms = self.terms(place, server, lease_time, asked, said);
        let answer = answer::answer(Type::Ack, &terms, asked)?;
        answer.complete.then(|| Memo { question: question(asked), answer })
    }
}

/// All of `request` that its answer may depend on, beside link and chaddr.
fn question(request: &Request) -> Question {
    Question {
        ciaddr: request.ciaddr,
        giaddr: request.giaddr,
        relay_src: if request.relayed() { request.ip_src } else { Ipv4Addr::UNSPECIFIED },
        options: request.area.to_vec(),
    }
}

/// Whether the kernel may be told anything of requests like this one.
fn publishable(request: &Request) -> bool {
    let options = &request.options;
    request.mac().is_some()
        && !options.overloaded
        // What the kernel hashes ends with END.
        && options.ended
        && options.get(code::AUTHENTICATION).is_none()
        && options.agent.as_ref().is_none_or(|agent| !agent.source_port)
        && request.area.len() <= LONGEST_AREA
}

impl From<Form> for Question {
    fn from(Form { ciaddr, giaddr, ip_src, area, .. }: Form) -> Self {
        let relay_src = if giaddr.is_unspecified() { giaddr } else { ip_src };
        Self { ciaddr, giaddr, relay_src, options: area }
    }
}

/// What a form differs in from the request it was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Differs {
    /// In addresses, and in options 50 and 54, which are in no answer and make no class: its answer is the request's.
    InWhatNoAnswerSays,
    /// A relay has added to the one, and passes the other by.
    InTheRelay,
}

/// The form that came, if it is of the renew class, and those that may follow.
fn forms(address: Ipv4Addr, request: &Request) -> Vec<(Form, Differs)> {
    let relayed = request.relayed();
    let relay = |area: Vec<u8>, ciaddr| Form {
        ciaddr,
        giaddr: request.giaddr,
        ip_src: request.ip_src,
        ip_dst: request.ip_dst,
        area,
    };
    let alone = |area: Vec<u8>, ciaddr| Form {
        ciaddr,
        giaddr: Ipv4Addr::UNSPECIFIED,
        ip_src: ciaddr,
        ip_dst: Ipv4Addr::BROADCAST,
        area,
    };
    let same = Differs::InWhatNoAnswerSays;
    let mut forms = Vec::with_capacity(3);
    let names_server = request.options.server.is_some();
    if request.plain && !names_server {
        let area = request.area.to_vec();
        let form = if relayed { relay(area, request.ciaddr) } else { alone(area, request.ciaddr) };
        forms.push((form, same));
    }
    let renewal = without(&request.area, &[code::REQUESTED_ADDRESS, code::SERVER_IDENTIFIER]);
    if relayed {
        let direct = without(&renewal, &[code::AGENT_INFORMATION]);
        forms.push((relay(renewal, address), same));
        forms.push((alone(direct, address), Differs::InTheRelay));
    } else {
        forms.push((alone(renewal, address), same));
    }
    // INIT-REBOOT names the address, and where option 50 stands among the others only a request that has it tells.
    if request.options.requested == Some(address) {
        let reboot = without(&request.area, &[code::SERVER_IDENTIFIER]);
        let unspecified = Ipv4Addr::UNSPECIFIED;
        let form = if relayed { relay(reboot, unspecified) } else { alone(reboot, unspecified) };
        forms.push((form, same));
    }
    forms
}
