//! Why requests went up instead of being answered in the kernel, and why messages got no answer: the last messages of
//! each client, with the questions known then.

mod differences;
mod glimpse;
mod history;
mod reasons;
mod sight;
#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;
use std::sync::Arc;

use dhcp_ebpf::abi::Link;
use dhcp_ebpf::lease::{BootSecs, Word};
use dhcp_ebpf::slot::MEMOS;
use dhcp_ebpf::verdict::Why;

use crate::config::Prefix;
use crate::control::{Explanation, No, Subject};
use crate::datapath::leases::table::Table;
use crate::message::{Kind, Request};
use crate::policy::{Publication, Question, Words as _};
use crate::server::Server;
pub(in crate::server) use glimpse::Glimpse;
use history::{CLIENTS, History, Message, Outcome, Recent, Seen, about};
pub(in crate::server) use history::{circuit, sender};
pub(in crate::server) use reasons::{Lost, Unanswered, every};
use sight::Sight;

/// Of so many requests in a second something is remembered. When more come nobody can ask of each of them, and to keep them
/// all would make room for them at the cost of all else.
const IN_A_SECOND: usize = CLIENTS;

/// The remembered requests that went up, and the published leases.
#[derive(Debug, Default)]
pub(in crate::server) struct PuntLog {
    last: Recent<[u8; 6], Last>,
    /// All messages, with any outcome.
    history: History,
    /// The questions that were last shared with the kernel, the latest first, by the address they are about.
    known: Recent<Ipv4Addr, Arc<[Question]>>,
    lately: Lately,
}

/// The last request of a client that went up.
#[derive(Clone, Debug)]
struct Last {
    request: Arc<Request>,
    why: Option<Why>,
    /// The questions of the lease that the kernel knew when it came.
    known: Option<Arc<[Question]>>,
    /// The lease's word when it was decided: another one since then is the kernel's doing.
    word: Word,
}

impl Last {
    fn is(&self, request: &Request) -> bool {
        std::ptr::eq(&*self.request, request)
    }
}

impl PuntLog {
    /// A request went up; `why` is the program's reason, none where no program is attached.
    pub(in crate::server) fn note(&mut self, request: &Arc<Request>, why: Option<Why>, table: &Table) {
        let client = sender(request);
        self.lately.count(request.arrival);
        if self.lately.too_many() {
            // Nothing is better than what is not the last any more.
            self.history.forget(&client);
            return self.last.forget(&client);
        }
        let seen = self.seen(&client, about(request), table);
        self.history.add(client, Message::of(request, Outcome::Waiting, seen));
        if request.kind == Kind::Request {
            let known = self.known.get(&about(request)).cloned();
            let word = table.load(about(request));
            self.last.insert(client, Last { request: Arc::clone(request), why, known, word });
        }
    }

    /// A request that was read is not decided; `considered` says for which subnets it might have been.
    pub(in crate::server) fn refused(
        &mut self,
        request: &Request,
        why: Unanswered,
        table: &Table,
        considered: impl FnOnce() -> Box<[Prefix]>,
    ) {
        let client = sender(request);
        self.lately.count(request.arrival);
        if self.lately.too_many() {
            return self.history.forget(&client);
        }
        let seen = self.seen(&client, about(request), table);
        let message = Message::of(request, Outcome::Unanswered(why), seen).considered_for(considered());
        self.history.add(client, message);
    }

    /// A frame was not read, or can't be; `glimpse` is what can be made out of it.
    pub(in crate::server) fn unread(
        &mut self,
        glimpse: impl FnOnce() -> Option<Glimpse>,
        at: BootSecs,
        why: Unanswered,
        table: &Table,
        considered: impl FnOnce(&Glimpse) -> Box<[Prefix]>,
    ) {
        self.lately.count(at);
        if !self.lately.too_many()
            && let Some(glimpse) = glimpse()
        {
            let client = glimpse.client;
            let seen = self.seen(&client, glimpse.about, table);
            let considered = considered(&glimpse);
            self.history.add(client, Message::unread(at, glimpse, why, seen).considered_for(considered));
        }
    }

    /// The word by which the kernel's next answer to this client will be known: of the address that its message is about,
    /// else of that which its last request was about.
    fn seen(&self, client: &[u8; 6], named: Ipv4Addr, table: &Table) -> Seen {
        let last = || self.last.get(client).map(|last| about(&last.request));
        let address = Some(named).filter(|address| !address.is_unspecified()).or_else(last).unwrap_or(named);
        Seen { address, word: table.load(address) }
    }

    /// A request is answered by a message of this kind.
    pub(in crate::server) fn answered(&mut self, request: &Request, by: &'static str, table: &Table) {
        if let Some(last) = self.last.get_mut(&sender(request)).filter(|last| last.is(request)) {
            last.word = table.load(about(request));
        }
        self.history.became(request, Outcome::Answered(by), Box::default);
    }

    /// A request was decided, and gets no answer; `considered` says for which subnets it was.
    pub(in crate::server) fn unanswered(
        &mut self,
        request: &Request,
        why: Unanswered,
        considered: impl FnOnce() -> Box<[Prefix]>,
    ) {
        self.history.became(request, Outcome::Unanswered(why), considered);
    }

    /// The answer to a client in the exchange of this number could not be sent.
    pub(in crate::server) fn unsent(
        &mut self,
        client: &[u8; 6],
        xid: u32,
        considered: impl FnOnce(Link, Ipv4Addr) -> Box<[Prefix]>,
    ) {
        self.history.unsent(client, xid, considered);
    }

    /// The daemon has written the word of an address of this client.
    pub(in crate::server) fn written(&mut self, client: &[u8; 6], address: Ipv4Addr, word: Word) {
        if let Some(last) = self.last.get_mut(client).filter(|last| about(&last.request) == address) {
            last.word = word;
        }
        self.history.written(client, address, word);
    }

    /// A lease was published, whose word is `word` now.
    pub(in crate::server) fn published(&mut self, lease: Publication, word: Word) {
        self.written(&lease.chaddr, lease.address, word);
        if lease.memos.is_empty() {
            return;
        }
        if self.lately.too_many() {
            return self.known.forget(&lease.address);
        }
        let mut known: Vec<Question> = lease.memos.into_iter().map(|memo| memo.question).collect();
        let earlier = self.known.get(&lease.address).into_iter().flat_map(|earlier| earlier.iter());
        let earlier: Vec<Question> = earlier.filter(|question| !known.contains(question)).cloned().collect();
        known.extend(earlier);
        known.truncate(MEMOS);
        self.known.insert(lease.address, known.into());
    }
}

impl Server {
    /// Who decided a client's last message, and why not the kernel; or why there was no answer. And what became of the
    /// last few that the daemon got.
    pub(in crate::server) fn explain(&self, client: &Subject) -> Result<Explanation, No> {
        let Self { punts, policy, table, wall, .. } = self;
        let name_of = |link| self.name_of(link);
        Sight { punts, policy, table, wall: *wall, name_of: &name_of }.explain(client)
    }
}

/// How many requests came in the present second.
#[derive(Debug, Default)]
struct Lately {
    second: BootSecs,
    came: usize,
}

impl Lately {
    fn count(&mut self, second: BootSecs) {
        let before = if self.second == second { self.came } else { 0 };
        *self = Self { second, came: before + 1 };
    }

    fn too_many(&self) -> bool {
        self.came > IN_A_SECOND
    }
}
