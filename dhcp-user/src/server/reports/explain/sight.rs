//! The report on a client: whether kernel or daemon decided its last message, why not the kernel, or why there was no
//! answer.

use std::net::Ipv4Addr;

use dhcp_ebpf::abi::Link;
use dhcp_ebpf::verdict::Why;

use super::differences;
use super::history::{Message, Outcome, Seen, about};
use super::{Last, PuntLog};
use crate::control::{AnsweredBy, Explanation, Heard, No, Subject, WallClock, colon_hex};
use crate::datapath::leases::table::Table;
use crate::journal::{vendor_texts, wire_text};
use crate::message::{Kind, Request};
use crate::policy::{AnsweredBy as Answered, Policy, Words as _};

/// All that it is found in.
pub(super) struct Sight<'s> {
    pub(super) punts: &'s PuntLog,
    pub(super) policy: &'s Policy,
    pub(super) table: &'s Table,
    pub(super) wall: WallClock,
    /// The name of the interface of a link.
    pub(super) name_of: &'s dyn Fn(Link) -> Option<String>,
}

impl Sight<'_> {
    /// Whether kernel or daemon decided a client's last message, and why not the kernel; or why there was no answer.
    /// Also the outcome of the last few messages to the daemon.
    pub(super) fn explain(&self, client: &Subject) -> Result<Explanation, No> {
        let (mac, named) = match client {
            Subject::HwAddress(mac) => (Some(*mac), None),
            Subject::Circuit(text) => {
                (self.punts.history.who_is_on(|circuit| wire_text(circuit) == *text), None)
            }
            Subject::Address(address) => {
                let address = *address;
                let lessee =
                    self.policy.lease(address).and_then(|lease| lease.chaddr.octets().try_into().ok());
                // Of an address that nobody has, who asked for it last is of more interest than who had it.
                let who_named = self.punts.history.who_named(address);
                let has_it = self.table.load(address).alive();
                (if has_it { lessee.or(who_named) } else { who_named.or(lessee) }, Some(address))
            }
        };
        let heard = mac.map(|mac| self.punts.history.of(&mac)).unwrap_or_default();
        let last = mac.and_then(|mac| self.punts.last.get(&mac));
        let last = last.filter(|last| named.is_none_or(|address| about(&last.request) == address));
        let named_last =
            heard.iter().rev().map(|message| message.about).find(|about| !about.is_unspecified());
        let address = named.or_else(|| last.map(|last| about(&last.request))).or(named_last);
        let explanation = |by: AnsweredBy, why: String, differs: Vec<String>| Explanation {
            address: address.unwrap_or(Ipv4Addr::UNSPECIFIED),
            hw_address: mac.map(|mac| colon_hex(&mac)),
            decided_by: by,
            why,
            differs,
            messages: heard.iter().map(|message| self.heard(message)).collect(),
        };
        let silent = mac.zip(heard.last()).and_then(|(mac, message)| match message.became {
            Outcome::Unanswered(why) if self.is_unanswered_yet(mac, message, named) => {
                Some((why, message.kind))
            }
            Outcome::Unanswered(_) | Outcome::Waiting | Outcome::Answered(_) => None,
        });
        let is_answered = |(address, mac)| self.kernel_answered_since(address, mac, last);
        if silent.is_none() && address.zip(mac).is_some_and(is_answered) {
            let why = "its last request was answered in the kernel".to_owned();
            return Ok(explanation(AnsweredBy::Kernel, why, Vec::new()));
        }
        if let Some(why) = heard.last().and_then(|message| gave_up(message, named)) {
            return Ok(explanation(AnsweredBy::Daemon, why.to_owned(), Vec::new()));
        }
        // A DISCOVER or an INFORM since says nothing of the kernel.
        let others = |message: &Message| {
            message.kind != Some(Kind::Request) && named.is_none_or(|named| message.about == named)
        };
        let is_the_last = !heard.last().is_some_and(others);
        let of_request = last.filter(|_| is_the_last || silent.is_some()).map(|last| {
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
        let Message { at, kind, link, relay, about, became, ref circuit, ref considered, .. } = *message;
        let given = |address: Ipv4Addr| Some(address).filter(|address| !address.is_unspecified());
        let (answered, why) = match became {
            Outcome::Waiting => (None, None),
            Outcome::Answered(by) => (Some(by.into()), None),
            Outcome::Unanswered(why) => (None, Some(why.words())),
        };
        let (subscriber, vendor) = (&message.subscriber, &message.relay_vendor);
        Heard {
            time: self.wall.at(at),
            message: kind.map_or("unread", Kind::name).into(),
            address: given(about),
            interface: (self.name_of)(link),
            vlan: [link.outer, link.inner].into_iter().filter(|id| *id != 0).collect(),
            relay: given(relay),
            circuit: circuit.as_deref().map(wire_text),
            subscriber: subscriber.as_deref().map(wire_text),
            relay_vendor: vendor_texts(vendor.as_deref()),
            subnets: considered.iter().map(ToString::to_string).collect(),
            answered,
            why,
        }
    }

    /// Whether this message, the client's last that came up, is about the address in the query, if there is one, and
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
        let told_last =
            || self.policy.lease(address).is_some_and(|view| view.answered_by == Answered::Kernel);
        word.alive()
            && self.has(mac, address)
            && match last {
                Some(last) => word != last.word,
                None => self.table.kernel_answered_last(address) || told_last(),
            }
    }
}

/// What a last message was that was taken, and to which no answer is due (RFC 2131 §4.3.3, §4.3.4).
fn gave_up(message: &Message, named: Option<Ipv4Addr>) -> Option<&'static str> {
    let is_meant = named.is_none_or(|named| message.about == named);
    match message.kind {
        _ if message.became != Outcome::Waiting || !is_meant => None,
        Some(Kind::Release) => Some("release: the client has given its address back, and no answer is due"),
        Some(Kind::Decline) => Some("decline: the client has found its address in use, and no answer is due"),
        _ => None,
    }
}

fn unheard(client: &Subject) -> No {
    let client = match client {
        Subject::Address(address) => address.to_string(),
        Subject::HwAddress(mac) => colon_hex(mac),
        Subject::Circuit(text) => format!("the circuit {text}"),
    };
    No(format!("nothing of {client} has gone up lately, or so much of others that it isn't remembered"))
}

fn reason(why: Option<Why>, request: &Request) -> String {
    let Some(why) = why else { return "no XDP program is attached to this interface".to_owned() };
    let selects = why == Why::Request && request.options.server.is_some();
    format!("{}: {}", why.name(), if selects { SELECTS } else { words(why) })
}

/// The case of [`Why::Request`] that is the daemon's in any case.
const SELECTS: &str = "it selects an offer, which the daemon decides";

const fn words(why: Why) -> &'static str {
    match why {
        Why::Request => "the client has just started, and its question was not answered before",
        Why::NoSlot => "no address near this one was leased on this link",
        Why::NotAlive => "the address is not leased",
        Why::Expired => "the lease had run out",
        Why::Horizon => "the lease would last longer than the store had foreseen",
        Why::UnknownQuestion => "this question was not answered for this lease before",
        Why::OtherIdentity => "the lease is of another client, link or address",
        Why::OtherServer => "it was sent to another address of the server than the lease's",
        Why::ForeignSource => "it did not come from the client's address",
        Why::NoRoom => "its frame could not be made long enough for the answer",
        Why::UnusualHeader => "its BOOTP header is not a plain client's",
        Why::BadLength => "the lengths of frame, IP and UDP disagree",
        Why::BadChecksum => "the checksum of its IP header or of its UDP datagram is wrong",
        Why::OptionsSize => "its options are too long or too short to be known by the kernel",
        Why::OtherMessage => "no message type was found among its first options",
        Why::Discover | Why::Decline | Why::Release | Why::Inform => "the daemon decides such messages",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `tests/tests/why_up.rs` brings each about on a wire.
    #[test]
    fn each_reason_why_the_kernel_leaves_a_message_to_the_daemon_is_documented() {
        let row = |why: &Why| match why {
            Why::Request => format!("| `{}` | {SELECTS}; or {} |", why.name(), words(*why)),
            _ => format!("| `{}` | {} |", why.name(), words(*why)),
        };
        let due: Vec<String> = Why::ALL.iter().map(row).collect();
        let page = include_str!("../../../../docs/predictions.md");
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        assert!(rows == due, "docs/predictions.md must have these rows:\n{}", due.join("\n"));
    }
}
