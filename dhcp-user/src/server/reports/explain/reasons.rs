//! The reasons why a message got no answer, in words: the finding, and what to do about it.
//!
//! Every reason has its text here. A new reason without a text does not compile.

use crate::limits::Limit;
use crate::message::Malformed;
use crate::policy::Silence;

/// Why a message got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Unanswered {
    /// Policy gives none.
    Silent(Silence),
    /// It could not be read.
    Malformed(Malformed),
    /// It was one too many.
    Limited(Limit),
    /// It was lost on its way through the server.
    Lost(Lost),
}

/// Where a message or its answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Lost {
    Stale,
    NotForUs,
    Overtaken,
    UnknownInterface,
    ReplyTooLong,
    NotCommitted,
    NotSent,
}

impl Lost {
    /// Its name as a counter.
    pub(in crate::server) const fn name(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::NotForUs => "not-for-us",
            Self::Overtaken => "overtaken",
            Self::UnknownInterface => "unknown-interface",
            Self::ReplyTooLong => "reply-too-long",
            Self::NotCommitted => "not-committed",
            Self::NotSent => "not-sent",
        }
    }
}

impl Unanswered {
    /// Its name, that of its counter.
    pub(in crate::server) fn name(self) -> &'static str {
        match self {
            Self::Silent(why) => why.name(),
            Self::Malformed(why) => why.name(),
            Self::Limited(why) => why.name(),
            Self::Lost(why) => why.name(),
        }
    }

    /// Whether the operator has something to mend: otherwise no client gets an answer there.
    pub(in crate::server) const fn is_to_be_mended(self) -> bool {
        match self {
            Self::Silent(why) => matches!(
                why,
                Silence::NoSubnet
                    | Silence::NoServerId
                    | Silence::RelayIsUs
                    | Silence::RelaySource
                    | Silence::NoPool
                    | Silence::Exhausted
                    | Silence::ReservationHeld
                    | Silence::PortInUse
                    | Silence::DeviceCap
                    | Silence::CircuitCap
                    | Silence::ClassCap
                    | Silence::DeclinedTooOften
                    | Silence::QueryNotAllowed
                    | Silence::Unanswerable
            ),
            Self::Limited(why) => matches!(why, Limit::Link | Limit::Circuit | Limit::Leasequery),
            Self::Lost(why) => matches!(why, Lost::Stale | Lost::ReplyTooLong),
            Self::Malformed(_) => false,
        }
    }

    /// The finding, and what to do, if the operator can do anything.
    pub(in crate::server) fn words(self) -> String {
        let (found, advice) = match self {
            Self::Silent(why) => silent(why),
            Self::Malformed(why) => {
                let advice = "a client or relay that keeps sending such messages has to be mended";
                return format!("{}: it can't be read: {why}; {advice}", why.name());
            }
            Self::Limited(why) => limited(why),
            Self::Lost(why) => lost(why),
        };
        let name = self.name();
        if advice.is_empty() { format!("{name}: {found}") } else { format!("{name}: {found}; {advice}") }
    }
}

fn silent(why: Silence) -> (&'static str, &'static str) {
    match why {
        Silence::NoSubnet => (
            "no subnet is served where it came from",
            "add a subnet for this interface and VLAN, or list the relay's address in `relays` of one",
        ),
        Silence::NoServerId => (
            "a subnet is served where it came from, and this server has no address to serve it from",
            "set `server-id` of the subnet, or give the interface an address",
        ),
        Silence::RelayIsUs => {
            ("its giaddr is an address of this server", "a relay on this machine must use another")
        }
        Silence::SourceMismatch => (
            "its source address is not the client's (ciaddr), or is one of ours",
            "look for address translation between client and server",
        ),
        Silence::ImpossibleAddress => (
            "the address that it has (ciaddr) is no client's: the first or last one of its subnet, or this server's own",
            "look at how the client got that address",
        ),
        Silence::NotOnLink => (
            "it was sent to this server alone from another network, where a client has to go through a relay",
            "let a relay send it",
        ),
        Silence::RelaySource => (
            "its giaddr, or the source of what a relay sent, is 0.0.0.0, an address of this server, or one of a pool",
            "list the relay's address in `relays`, or take it out of the pool; else somebody poses as a relay",
        ),
        Silence::ForeignOrigin => (
            "it would end a lease, and came another way than that lease was got",
            "somebody may be posing as the client; else end the lease with `lease release`",
        ),
        Silence::OtherServer => (
            "it is for another server, which the client names (option 54)",
            "if there should be no other, look for it at that address",
        ),
        Silence::UnknownClient => (
            "nothing is known of the client or of the address it asks for, and another server may know (RFC 2131 §4.3.2)",
            "it starts anew with a DISCOVER by itself",
        ),
        Silence::NotAuthoritative => (
            "what it asks for is refused, and its subnet is not authoritative, so nothing is said",
            "set `authoritative = true` if there is no other server",
        ),
        Silence::NakLimited => (
            "a NAK is due, and as many as there may be in a second were sent to those who renew what is not known",
            "the client is told when it repeats; look for who sends so many",
        ),
        Silence::NoAddress => ("it does not say which address it is about (option 50 or ciaddr)", ""),
        Silence::NoServer => ("it has to name its server (option 54), and does not", ""),
        Silence::NoPool => (
            "no pool is for clients of its classes",
            "add a pool for its class, or one for all, or change the class",
        ),
        Silence::ClassDrop => {
            ("the client is in a class with `drop`", "take it out of the class if it is to be served")
        }
        Silence::Exhausted => (
            "no address is free",
            "enlarge the pool, shorten `lease-time`, or look at `orphans` and `quarantine`",
        ),
        Silence::ReservationHeld => (
            "the address that is reserved for the client is not to be had yet: another has it, or was promised or offered it, or it is in quarantine; and no other is free",
            "see with `lease show` whose it is, and until when; `lease release --now` ends that",
        ),
        Silence::Probing => ("the free addresses are being probed", "the client is answered when it repeats"),
        Silence::ProbeUnknown => (
            "whether the address is in use could not be found out: answers to the probe may have been lost",
            "the client is answered when it repeats",
        ),
        Silence::DeviceCap => (
            "the device holds as many leases as it may: `max-leases-per-device`, or `max-leases-per-device-in-use` if each answers its probes",
            "look at `orphans`, or raise the limit",
        ),
        Silence::CircuitCap => (
            "the clients of its relay's port hold as many leases as they may together: `max-leases-per-circuit`",
            "see which devices are behind the port, or raise the limit",
        ),
        Silence::ClassCap => (
            "the clients of its class hold as many leases as they may together: `max-leases`",
            "raise the limit, or look at `leases` for what is not used",
        ),
        Silence::PortInUse => (
            "the address is reserved for its relay's port, and another device on that port has it and answers for it",
            "take the other device off the port, or end its lease with `lease release`",
        ),
        Silence::NotOwner => ("it would end a lease that is not the sender's", ""),
        Silence::AnotherNode => ("another node of this site answers for that address", ""),
        Silence::DeclinedTooOften => (
            "the device keeps as many addresses out of use as it may: it lost its lease, and the address stays in use",
            "look for what answers for its addresses; then `quarantine clear`",
        ),
        Silence::Overtaken => ("the lease was extended after it was sent, so it is void", ""),
        Silence::Bootp => {
            ("it is BOOTP, which is not served in its subnet", "set `bootp` there if it should be")
        }
        Silence::QueryNotAllowed => {
            ("it asks about leases, and is not listed", "list the sender in `leasequery-from`")
        }
        Silence::UnclearQuery => ("it asks about no lease, or about several at once (RFC 4388 §6.4)", ""),
        Silence::Unanswerable => (
            "not even what an answer must have fits into what the client takes (option 57)",
            "shorten what the relay adds (option 82)",
        ),
    }
}

const fn limited(why: Limit) -> (&'static str, &'static str) {
    match why {
        Limit::Link => (
            "more that is new came on its link than `rate-limit` lets through",
            "raise it if these are clients; else look for who floods",
        ),
        Limit::Circuit => (
            "more that is new came by its relay's port than `circuit-rate-limit` lets through",
            "raise it if these are clients; else look at that port",
        ),
        Limit::Client => (
            "the client sends more than one that behaves does",
            "it is answered when it slows down; look at why it goes on asking",
        ),
        Limit::Leasequery => (
            "more questions about leases came than `leasequery-rate-limit` lets through",
            "raise it if need be",
        ),
    }
}

const fn lost(why: Lost) -> (&'static str, &'static str) {
    match why {
        Lost::Stale => (
            "it waited longer than a client waits",
            "the server can't keep up: look at `stats` for what comes so often",
        ),
        Lost::NotForUs => ("it was sent to another station or server", ""),
        Lost::Overtaken => ("the lease ended while its answer was made", "the client repeats"),
        Lost::UnknownInterface => ("the interface it came on is served no more", "look at `status`"),
        Lost::ReplyTooLong => ("the answer is longer than a frame", "give the client fewer options"),
        Lost::NotCommitted => (
            "the store took no commit, or too late, and nothing is promised without one",
            "look at `status` and the log: the disk may be full",
        ),
        Lost::NotSent => (
            "it was answered, and its link did not take the answer",
            "look at the interface: its carrier, its queue; the client repeats",
        ),
    }
}

/// All variants of an enum, as many as they are: one that is left out does not compile.
macro_rules! all {
    ($of:ident { $($variant:ident $(($value:literal))?),+ $(,)? }) => {{
        const fn complete(one: $of) {
            match one {
                $($of::$variant { .. })|+ => {}
            }
        }
        [$($of::$variant $(($value))?),+].map(|one| { complete(one); one })
    }};
}

fn silences() -> impl Iterator<Item = Silence> {
    all!(Silence {
        NoSubnet,
        NoServerId,
        RelayIsUs,
        RelaySource,
        SourceMismatch,
        ImpossibleAddress,
        NotOnLink,
        ForeignOrigin,
        OtherServer,
        UnknownClient,
        NotAuthoritative,
        NakLimited,
        NoAddress,
        NoServer,
        NoPool,
        ClassDrop,
        Exhausted,
        ReservationHeld,
        Probing,
        ProbeUnknown,
        DeviceCap,
        CircuitCap,
        ClassCap,
        PortInUse,
        NotOwner,
        AnotherNode,
        DeclinedTooOften,
        Overtaken,
        Bootp,
        QueryNotAllowed,
        UnclearQuery,
        Unanswerable,
    })
    .into_iter()
}

fn limits() -> impl Iterator<Item = Limit> {
    all!(Limit { Link, Circuit, Client, Leasequery }).into_iter()
}

fn losses() -> impl Iterator<Item = Lost> {
    all!(Lost { Stale, NotForUs, Overtaken, UnknownInterface, ReplyTooLong, NotCommitted, NotSent })
        .into_iter()
}

fn defects() -> impl Iterator<Item = Malformed> {
    all!(Malformed {
        NotDhcp, Truncated, TooManyTags, IpHeaderLength, IpLength, Fragment, IpChecksum, IpSource, UdpLength,
        UdpChecksum, Short, NotRequest, HardwareAddressLength, Cookie, RelayAddress, ClientAddress,
        OptionTruncated, Overload, OptionLength(118), MessageType, ServerMessage, ClientIdentifier, NoIdentity,
    })
    .into_iter()
}

/// All reasons that there are.
pub(in crate::server) fn every() -> Vec<Unanswered> {
    let silent = silences().map(Unanswered::Silent).chain(limits().map(Unanswered::Limited));
    let lost = losses().map(Unanswered::Lost).chain(defects().map(Unanswered::Malformed));
    silent.chain(lost).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_begin_with_the_name_of_the_counter_and_say_what_to_do() {
        let exhausted = Unanswered::Silent(Silence::Exhausted).words();
        assert!(exhausted.starts_with("exhausted: no address is free; enlarge"), "{exhausted}");
        let mine = Unanswered::Silent(Silence::NotOwner).words();
        assert_eq!(mine, "not-owner: it would end a lease that is not the sender's");
        let malformed = Unanswered::Malformed(Malformed::OptionLength(118)).words();
        assert!(malformed.starts_with("option-length: it can't be read: option 118 of a wrong length; "));
        for why in [Lost::Stale, Lost::NotCommitted, Lost::NotSent] {
            let words = Unanswered::Lost(why).words();
            assert!(words.starts_with(&format!("{}: ", why.name())), "{words}");
        }
    }

    /// The tables that `docs/explain.md` must have.
    fn documented() -> Vec<String> {
        let row = |name: &str, (found, advice): (&str, &str)| format!("| `{name}` | {found} | {advice} |");
        let silences = silences().map(|why| row(why.name(), silent(why)));
        let limits = limits().map(|why| row(why.name(), limited(why)));
        let losses = losses().map(|why| row(why.name(), lost(why)));
        let malformed = defects().map(|why| format!("| `{}` | {why} |", why.name()));
        silences.chain(limits).chain(losses).chain(malformed).collect()
    }

    #[test]
    fn each_reason_is_documented_in_the_words_that_are_said() {
        let page = include_str!("../../../../docs/explain.md");
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        let due = documented();
        assert!(rows == due, "docs/explain.md must have these rows:\n{}", due.join("\n"));
    }
}
