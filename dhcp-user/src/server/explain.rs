//! Why requests went up instead of being answered in the kernel: the last one of each client, and what was known then.

use std::hash::Hash;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ahash::HashMap;
use bytes::Bytes;
use dhcp_ebpf::lease::{BootSecs, Word};
use dhcp_ebpf::slot::MEMOS;
use dhcp_ebpf::verdict::Why;

use super::{Server, refused};
use crate::control::{AnsweredBy, Explanation, No, Subject};
use crate::datapath::table::Table;
use crate::message::{Kind, Request, options};
use crate::policy::{Publication, Question, Words as _};

/// How many clients are remembered at least; at most twice as many are.
const CLIENTS: usize = 4096;
/// Of so many requests in a second something is remembered. When more come nobody can ask of each of them, and to keep them
/// all would make room for them at the cost of all else.
const IN_A_SECOND: usize = CLIENTS;

/// What is remembered of requests that went up, and of what the kernel was told.
#[derive(Debug, Default)]
pub(super) struct WentUp {
    last: Recent<[u8; 6], Last>,
    /// The questions that were last shared with the kernel, the latest first, by the address they are about.
    known: Recent<Ipv4Addr, Arc<[Question]>>,
    /// The last message of a client that got no answer, unless it got one since.
    refused: Recent<[u8; 6], Refused>,
    lately: Lately,
}

/// A message that got no answer.
#[derive(Clone, Copy, Debug)]
struct Refused {
    kind: Kind,
    address: Ipv4Addr,
    /// The counter that it was counted by.
    why: &'static str,
    /// The word of the address then.
    word: Word,
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
    pub(super) fn note(&mut self, request: &Arc<Request>, why: Option<Why>, table: &Table) {
        let Some(mac) = request.mac().filter(|_| request.kind == Kind::Request) else { return };
        self.lately.count(request.arrival);
        if self.lately.too_many() {
            // Nothing is better than what is not the last any more.
            return self.last.forget(&mac);
        }
        let known = self.known.get(&about(request)).cloned();
        let word = table.load(about(request));
        self.last.insert(mac, Last { request: Arc::clone(request), why, known, word });
    }

    /// A request gets no answer, and is counted by this name.
    pub(super) fn refused(&mut self, request: &Request, why: &'static str, table: &Table) {
        let Some(mac) = request.mac().filter(|_| !self.lately.too_many()) else { return };
        let address = about(request);
        let word = table.load(address);
        self.refused.insert(mac, Refused { kind: request.kind, address, why, word });
    }

    /// A request is answered.
    pub(super) fn answered(&mut self, request: &Request) {
        if let Some(mac) = request.mac().filter(|_| !self.refused.is_empty()) {
            self.refused.forget(&mac);
        }
    }

    /// The kernel was told of a lease, whose word is `word` now.
    pub(super) fn published(&mut self, lease: Publication, word: Word) {
        if let Some(last) =
            self.last.get_mut(&lease.chaddr).filter(|last| about(&last.request) == lease.address)
        {
            last.word = word;
        }
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
    /// Who decided a client's last request, and why not the kernel.
    pub(super) fn explain(&self, client: Subject) -> Result<Explanation, No> {
        let (mac, named) = match client {
            Subject::HwAddress(mac) => (Some(mac), None),
            Subject::Address(address) => {
                let lease = self.policy.lease(address).ok_or_else(|| No(format!("no lease of {address}")))?;
                (lease.chaddr.octets().try_into().ok(), Some(address))
            }
        };
        let refused = mac.and_then(|mac| self.went_up.refused.get(&mac));
        let refused = refused.filter(|refused| named.is_none_or(|address| refused.address == address));
        if let Some(Refused { kind, address, why, .. }) =
            refused.copied().filter(|refused| self.table.load(refused.address) == refused.word)
        {
            let why = format!("{} got no answer, {why}: {}", kind.name(), refused::in_words(why));
            return Ok(Explanation { address, decided_by: AnsweredBy::Daemon, why, differs: Vec::new() });
        }
        let last = mac.and_then(|mac| self.went_up.last.get(&mac));
        let last = last.filter(|last| named.is_none_or(|address| about(&last.request) == address));
        let nothing = || {
            let client = match client {
                Subject::Address(address) => address.to_string(),
                Subject::HwAddress(mac) => crate::control::colon_hex(&mac),
            };
            No(format!(
                "no request of {client} has gone up lately, or so many of others that it isn't remembered"
            ))
        };
        let address = named.or_else(|| last.map(|last| about(&last.request))).ok_or_else(nothing)?;
        if self.kernel_answered_since(address, last) {
            let why = "its last request was answered in the kernel".to_owned();
            return Ok(Explanation { address, decided_by: AnsweredBy::Kernel, why, differs: Vec::new() });
        }
        let last = last.ok_or_else(nothing)?;
        let differs = last.known.as_deref().map(|known| nearest(&last.request, known)).unwrap_or_default();
        let differs = if last.why.is_some_and(is_about_the_question) { differs } else { Vec::new() };
        Ok(Explanation {
            address,
            decided_by: AnsweredBy::Daemon,
            why: reason(last.why, &last.request),
            differs,
        })
    }

    /// Whether the kernel renewed the lease of `address` after `last` went up: each renewal of its own changes the word.
    fn kernel_answered_since(&self, address: Ipv4Addr, last: Option<&Last>) -> bool {
        let word = self.table.load(address);
        let told = || self.policy.lease(address).map(|view| self.lease(&view).last_answered_by);
        word.alive()
            && match last {
                Some(last) => word != last.word,
                None => told() == Some(AnsweredBy::Kernel),
            }
    }
}

/// The address that a request is about.
fn about(request: &Request) -> Ipv4Addr {
    if request.ciaddr.is_unspecified() {
        request.options.requested.unwrap_or(Ipv4Addr::UNSPECIFIED)
    } else {
        request.ciaddr
    }
}

/// Whether the kernel found that it doesn't know what was asked.
fn is_about_the_question(why: Why) -> bool {
    matches!(why, Why::UnknownQuestion | Why::Request)
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

/// In what `request` differs from the nearest of the questions known.
fn nearest(request: &Request, known: &[Question]) -> Vec<String> {
    let all = known.iter().map(|known| differences(request, known));
    all.min_by_key(Vec::len).unwrap_or_default()
}

fn differences(request: &Request, known: &Question) -> Vec<String> {
    let mut found = Vec::new();
    let fields = [
        ("ciaddr", request.ciaddr != known.ciaddr),
        ("giaddr", request.giaddr != known.giaddr),
        ("relay's source address", request.relayed() && request.ip_src != known.relay_src),
    ];
    found.extend(fields.into_iter().filter(|(_, differs)| *differs).map(|(field, _)| field.to_owned()));
    let asked = options::list(&request.area);
    let known_options = options::list(&Bytes::copy_from_slice(&known.options));
    let mut codes: Vec<u8> = asked.iter().chain(&known_options).map(|(code, _)| *code).collect();
    codes.sort_unstable();
    codes.dedup();
    let values = |list: &[(u8, Bytes)], code: u8| -> Vec<Bytes> {
        list.iter().filter(|(there, _)| *there == code).map(|(_, value)| value.clone()).collect()
    };
    let changed = codes.into_iter().filter(|code| values(&asked, *code) != values(&known_options, *code));
    let before = found.len();
    found.extend(changed.map(|code| format!("option {code}")));
    if found.len() == before && request.area[..] != known.options[..] {
        found.push("order of options, or padding between them".to_owned());
    }
    found
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

/// The entries that were inserted last: at least [`CLIENTS`] of them, and at most twice as many.
#[derive(Debug)]
struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self { young: HashMap::default(), old: HashMap::default() }
    }
}

impl<K: Eq + Hash, V> Recent<K, V> {
    fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= CLIENTS && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    fn is_empty(&self) -> bool {
        self.young.is_empty() && self.old.is_empty()
    }

    fn forget(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }

    fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.young.get_mut(key).or_else(|| self.old.get_mut(key))
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
