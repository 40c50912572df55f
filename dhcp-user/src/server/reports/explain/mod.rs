//! Why requests went up instead of being answered in the kernel, and why messages got no answer: the last ones of each
//! client, and what was known then.

mod differences;
mod history;
mod reasons;

use std::net::Ipv4Addr;
use std::sync::Arc;

use dhcp_ebpf::lease::{BootSecs, Word};
use dhcp_ebpf::slot::MEMOS;
use dhcp_ebpf::verdict::Why;

use crate::control::{AnsweredBy, Explanation, Heard, No, Subject};
use crate::datapath::leases::table::Table;
use crate::message::{Kind, Request};
use crate::policy::{Publication, Question, Words as _};
use crate::server::Server;
use history::{Became, CLIENTS, History, Message, Recent, Seen, about, sender, station};
pub(in crate::server) use reasons::{Lost, Unanswered};

/// Of so many requests in a second something is remembered. When more come nobody can ask of each of them, and to keep them
/// all would make room for them at the cost of all else.
const IN_A_SECOND: usize = CLIENTS;

/// What is remembered of requests that went up, and of what the kernel was told.
#[derive(Debug, Default)]
pub(in crate::server) struct WentUp {
    last: Recent<[u8; 6], Last>,
    /// All messages, whatever became of them.
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
    /// What the kernel knew of the lease when it came.
    known: Option<Arc<[Question]>>,
    /// The lease's word when it was decided: another one since then is the kernel's doing.
    word: Word,
}

impl WentUp {
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
        self.history.add(client, Message::of(request, Became::Waiting, seen));
        if request.kind == Kind::Request {
            let known = self.known.get(&about(request)).cloned();
            let word = table.load(about(request));
            self.last.insert(client, Last { request: Arc::clone(request), why, known, word });
        }
    }

    /// A request that was read is not decided.
    pub(in crate::server) fn refused(&mut self, request: &Request, why: Unanswered, table: &Table) {
        let client = sender(request);
        self.lately.count(request.arrival);
        if self.lately.too_many() {
            return self.history.forget(&client);
        }
        let seen = self.seen(&client, about(request), table);
        self.history.add(client, Message::of(request, Became::Unanswered(why), seen));
    }

    /// A frame of the interface `ifindex` was not read, or can't be.
    pub(in crate::server) fn unread(
        &mut self,
        frame: &[u8],
        ifindex: u32,
        at: BootSecs,
        why: Unanswered,
        table: &Table,
    ) {
        let Some(station) = station(frame) else { return };
        self.lately.count(at);
        if !self.lately.too_many() {
            let seen = self.seen(&station, Ipv4Addr::UNSPECIFIED, table);
            self.history.add(station, Message::unread(at, ifindex, why, seen));
        }
    }

    /// The word by which the kernel's next answer to this client will be known: of the address that its message is about,
    /// else of that which its last request was about.
    fn seen(&self, client: &[u8; 6], named: Ipv4Addr, table: &Table) -> Seen {
        let last = || self.last.get(client).map(|last| about(&last.request));
        let address = Some(named).filter(|address| !address.is_unspecified()).or_else(last).unwrap_or(named);
        Seen { address, word: table.load(address) }
    }

    /// A request was answered by a message of this kind.
    pub(in crate::server) fn answered(&mut self, request: &Request, by: &'static str) {
        self.history.became(request, Became::Answered(by));
    }

    /// A request was decided, and gets no answer.
    pub(in crate::server) fn unanswered(&mut self, request: &Request, why: Unanswered) {
        self.history.became(request, Became::Unanswered(why));
    }

    /// The answer to a client in the exchange of this number could not be sent.
    pub(in crate::server) fn unsent(&mut self, client: &[u8; 6], xid: u32) {
        self.history.unsent(client, xid);
    }

    /// The kernel was told of a lease, whose word is `word` now.
    pub(in crate::server) fn published(&mut self, lease: Publication, word: Word) {
        if let Some(last) =
            self.last.get_mut(&lease.chaddr).filter(|last| about(&last.request) == lease.address)
        {
            last.word = word;
        }
        self.history.written(&lease.chaddr, lease.address, word);
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
    pub(in crate::server) fn explain(&self, client: Subject) -> Result<Explanation, No> {
        let (mac, named) = match client {
            Subject::HwAddress(mac) => (Some(mac), None),
            Subject::Address(address) => {
                let lessee =
                    self.policy.lease(address).and_then(|lease| lease.chaddr.octets().try_into().ok());
                // Of an address that nobody has, who asked for it last is of more interest than who had it.
                let who_named = self.went_up.history.who_named(address);
                let has_it = self.table.load(address).alive();
                (if has_it { lessee.or(who_named) } else { who_named.or(lessee) }, Some(address))
            }
        };
        let heard = mac.map(|mac| self.went_up.history.of(&mac)).unwrap_or_default();
        let last = mac.and_then(|mac| self.went_up.last.get(&mac));
        let last = last.filter(|last| named.is_none_or(|address| about(&last.request) == address));
        let named_last =
            heard.iter().rev().map(|message| message.about).find(|about| !about.is_unspecified());
        let address = named.or_else(|| last.map(|last| about(&last.request))).or(named_last);
        let explanation = |by: AnsweredBy, why: String, differs: Vec<String>| Explanation {
            address: address.unwrap_or(Ipv4Addr::UNSPECIFIED),
            decided_by: by,
            why,
            differs,
            messages: heard.iter().map(|message| self.heard(message)).collect(),
        };
        let silent = mac.zip(heard.last()).and_then(|(mac, message)| match message.became {
            Became::Unanswered(why) if self.is_unanswered_yet(mac, message, named) => {
                Some((why, message.kind))
            }
            Became::Unanswered(_) | Became::Waiting | Became::Answered(_) => None,
        });
        let is_answered = |(address, mac)| self.kernel_answered_since(address, mac, last);
        if silent.is_none() && address.zip(mac).is_some_and(is_answered) {
            let why = "its last request was answered in the kernel".to_owned();
            return Ok(explanation(AnsweredBy::Kernel, why, Vec::new()));
        }
        let of_request = last.map(|last| {
            let known = last.known.as_deref();
            (reason(last.why, &last.request), differences::of(&last.request, last.why, known))
        });
        match (silent, of_request) {
            (Some((why, kind)), of_request) => {
                let of_it = of_request.filter(|_| kind == Some(Kind::Request));
                let differs = of_it.map(|(_, differs)| differs).unwrap_or_default();
                Ok(explanation(AnsweredBy::Daemon, why.words(), differs))
            }
            (None, Some((why, differs))) => Ok(explanation(AnsweredBy::Daemon, why, differs)),
            (None, None) if !heard.is_empty() => {
                let why = "the daemon decides all messages but renewals and reboots".to_owned();
                Ok(explanation(AnsweredBy::Daemon, why, Vec::new()))
            }
            (None, None) => Err(unheard(client)),
        }
    }

    /// A message as it is shown.
    fn heard(&self, message: &Message) -> Heard {
        let Message { at, kind, link, relay, about, became, .. } = *message;
        let given = |address: Ipv4Addr| Some(address).filter(|address| !address.is_unspecified());
        let (answered, why) = match became {
            Became::Waiting => (None, None),
            Became::Answered(by) => (Some(by.into()), None),
            Became::Unanswered(why) => (None, Some(why.words())),
        };
        Heard {
            time: self.wall.at(at),
            message: kind.map_or("unread", Kind::name).into(),
            address: given(about),
            interface: self.name_of(link),
            vlan: [link.outer, link.inner].into_iter().filter(|id| *id != 0).collect(),
            relay: given(relay),
            answered,
            why,
        }
    }

    /// Whether this message of a client, its last that came up, is about the address that was asked after, if one was, and
    /// the kernel has not answered the client since.
    fn is_unanswered_yet(&self, mac: [u8; 6], message: &Message, named: Option<Ipv4Addr>) -> bool {
        let Seen { address, word } = message.seen;
        let now = self.table.load(address);
        let is_answered = now.alive() && now != word && self.has(mac, address);
        let is_meant = named.is_none_or(|named| message.about == named || message.about.is_unspecified());
        is_meant && !is_answered
    }

    /// Whether this client has the lease of `address`.
    fn has(&self, mac: [u8; 6], address: Ipv4Addr) -> bool {
        self.policy.lease(address).is_some_and(|lease| lease.chaddr.octets() == mac)
    }

    /// Whether the kernel renewed this client's lease of `address` after `last` went up: each renewal of its own changes
    /// the word.
    fn kernel_answered_since(&self, address: Ipv4Addr, mac: [u8; 6], last: Option<&Last>) -> bool {
        let word = self.table.load(address);
        let told = || self.policy.lease(address).map(|view| self.lease(&view).last_answered_by);
        word.alive()
            && self.has(mac, address)
            && match last {
                Some(last) => word != last.word,
                None => told() == Some(AnsweredBy::Kernel),
            }
    }
}

fn unheard(client: Subject) -> No {
    let client = match client {
        Subject::Address(address) => address.to_string(),
        Subject::HwAddress(mac) => crate::control::colon_hex(&mac),
    };
    No(format!("nothing of {client} has gone up lately, or so much of others that it isn't remembered"))
}

fn reason(why: Option<Why>, request: &Request) -> String {
    let Some(why) = why else { return "no XDP program is attached to this interface".to_owned() };
    let words = match why {
        Why::Request if request.options.server.is_some() => "it selects an offer, which the daemon decides",
        Why::Request => "the client has just started, and its question was not answered before",
        Why::NoSlot => "no address near this one was leased on this link",
        Why::NotAlive => "the address is not leased",
        Why::Expired => "the lease had run out",
        Why::Horizon => "the lease would last longer than the store had foreseen",
        Why::UnknownQuestion => "this question was not answered for this lease before",
        Why::OtherIdentity => "the lease is of another client, link or address",
        Why::OtherServer => "it was sent to another address of the server than the lease's",
        Why::ForeignSource => "it was unicast, but not from the client's address",
        Why::NoRoom => "its frame could not be made long enough for the answer",
        Why::UnusualHeader => "its BOOTP header is not a plain client's",
        Why::BadLength => "the lengths of frame, IP and UDP disagree",
        Why::BadChecksum => "the checksum of its IP header is wrong",
        Why::OptionsSize => "its options are too long or too short to be known by the kernel",
        Why::OtherMessage => "no message type was found among its first options",
        Why::Discover | Why::Decline | Why::Release | Why::Inform => "the daemon decides such messages",
    };
    format!("{}: {words}", why.name())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What became of a message is put down to that message, and only the last few of a client are kept.
    #[test]
    fn the_last_messages_of_a_client_are_told_with_what_became_of_them() {
        let mut history = History::default();
        let sent = |xid: u32, kind| {
            let draft = crate::policy::tests::wire::Draft::new(kind, 1);
            crate::policy::tests::wire::Draft { xid, ..draft }.request(7)
        };
        let seen = Seen { address: Ipv4Addr::UNSPECIFIED, word: Word::default() };
        for xid in 0..9 {
            history.add(sender(&sent(xid, 1)), Message::of(&sent(xid, 1), Became::Waiting, seen));
        }
        history.became(&sent(7, 1), Became::Answered("offer"));
        history.became(&sent(7, 3), Became::Answered("ack"));
        history.became(&sent(1, 1), Became::Answered("offer"));
        let became: Vec<Became> = history.of(&sender(&sent(0, 1))).iter().map(|heard| heard.became).collect();
        assert_eq!(became, [Became::Waiting, Became::Waiting, Became::Answered("offer"), Became::Waiting]);
    }

    #[test]
    fn the_latest_entries_are_kept_and_the_earliest_go() {
        let mut recent = Recent::default();
        for key in 0..3 * CLIENTS {
            recent.insert(key, key);
            recent.insert(0, key);
        }
        let kept = (0..3 * CLIENTS).filter(|key| recent.get(key).is_some()).count();
        assert!((CLIENTS..=2 * CLIENTS).contains(&kept), "{kept}");
        assert_eq!(recent.get(&0), Some(&(3 * CLIENTS - 1)));
        assert_eq!(recent.get(&(3 * CLIENTS - 1)), Some(&(3 * CLIENTS - 1)));
        assert_eq!(recent.get(&1), None);
        recent.forget(&0);
        assert_eq!(recent.get(&0), None);
    }

    #[test]
    fn of_so_many_in_a_second_and_no_more_something_is_remembered() {
        let mut lately = Lately::default();
        for second in [BootSecs(7), BootSecs(8)] {
            let remembered = (0..2 * IN_A_SECOND).filter(|_| {
                lately.count(second);
                !lately.too_many()
            });
            assert_eq!(remembered.count(), IN_A_SECOND);
        }
    }
}
