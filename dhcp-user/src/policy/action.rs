//! The inputs and outputs of policy: events, actions and their contents.

use std::net::Ipv4Addr;
use std::sync::Arc;

use dhcp_ebpf::abi::Link;
use dhcp_ebpf::lease::{BootSecs, Word};
use dhcp_ebpf::slot::Destination;

use super::answer::Answer;
use super::event::LeaseEvent;
use super::terms::basis::Basis;
use crate::config::Pool;
use crate::message::Request;
use crate::store::{Change, HwAddr, QuarantineCause};

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A request came in.
    Message(Arc<Request>),
    /// The kernel was seen to have extended a lease.
    Extended {
        /// Whose address it is.
        address: Ipv4Addr,
        /// Its word, as read.
        word: Word,
        /// How often the kernel answered since the last such report; at least once.
        renewals: u32,
        /// Whether the daemon has not answered the client since.
        is_last_answer: bool,
    },
    /// Time went by.
    Tick,
    /// A probe has come to an end.
    Probed {
        /// The address.
        address: Ipv4Addr,
        /// Its result.
        outcome: Outcome,
    },
    /// The operator ends a lease.
    OperatorRelease {
        /// Its address.
        address: Ipv4Addr,
        /// When that is free.
        reuse: Reuse,
    },
    /// The operator ends quarantines.
    QuarantineClear {
        /// Of these addresses.
        range: Pool,
        /// Only quarantines of this cause, if one is given.
        why: Option<QuarantineCause>,
    },
}

/// When an address is free whose lease the operator has ended: its client may count on it still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// When a probe finds nobody using it; at the latest when the promise is over.
    WhenClean,
    /// At once.
    AtOnce,
}

/// An action for the shell. Of a batch it carries out all commits as one, then the rest in order.
///
/// Batches may overlap: policy may decide the next batch before this one is done, as long as batches are done in
/// order. Only the actions of an event of which none [waits](Self::waits) may overtake.
#[derive(Clone, Debug)]
pub enum Action {
    /// To be on disk before anything else of this batch is done.
    Commit(Change),
    /// Publish this to the kernel. Void if the word then has another generation.
    Publish(Publication),
    /// The kernel may promise up to `until` for this address. Void if the word then has another generation.
    Horizon {
        /// The lease's address.
        address: Ipv4Addr,
        /// The generation of its word that this was decided on.
        generation: u16,
        /// The new horizon.
        until: BootSecs,
    },
    /// To be sent.
    Reply {
        /// The request that is answered.
        request: Arc<Request>,
        /// The answer.
        reply: Reply,
        /// The grant that it acknowledges: the reply is not sent if the word then has another generation.
        granted: Option<Granted>,
    },
    /// A request that gets no answer, and why.
    Silence {
        /// The request.
        request: Arc<Request>,
        /// The reason.
        why: Silence,
    },
    /// An address to be probed: an [`Event::Probed`] is due within [`PATIENCE`](super::PATIENCE) seconds.
    Probe {
        /// The address.
        address: Ipv4Addr,
        /// How.
        via: Via,
        /// Stations whose answers don't count.
        except: Arc<[[u8; 6]]>,
    },
    /// Log this, and send it to followers.
    Event(LeaseEvent),
}

impl Action {
    /// Whether something is promised by it, for which what was decided must be on disk.
    #[must_use]
    pub const fn promises(&self) -> bool {
        matches!(self, Self::Publish(_) | Self::Horizon { .. } | Self::Reply { granted: Some(_), .. })
    }

    /// Whether it must wait for earlier decisions. Of replies only an OFFER need not: the receiver of any other reply
    /// knows that all earlier messages have been handled.
    #[must_use]
    pub const fn waits(&self) -> bool {
        let offers = matches!(self, Self::Reply { reply: Reply::Offer { .. }, .. });
        matches!(self, Self::Commit(_) | Self::Reply { .. }) && !offers || self.promises()
    }
}

/// How to find out whether somebody uses an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// ARP requests with sender address 0.0.0.0 (RFC 5227 §2.1.1) on this link.
    Arp(Link),
    /// ICMP echo requests: the address is behind a router.
    Icmp,
}

/// The result of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody answered.
    Silent,
    /// Somebody uses the address: this station, where it is known.
    Answered(Option<[u8; 6]>),
    /// Nobody could be asked: the link is down, or there is no route.
    Unreachable,
    /// Nobody was heard, but answers may have been lost, however often they were asked for.
    Unknown,
}

/// The grant that an ACK acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The lease's address.
    pub address: Ipv4Addr,
    /// The generation of its word.
    pub generation: u16,
    /// When that was decided.
    pub at: BootSecs,
    /// For how long the client has the address from when the ACK leaves at the latest, in seconds.
    pub lease_time: u32,
}

/// A lease, for its slot.
///
/// If the word is alive, the slot belongs to the same client already: the promise is moved ahead and the memos
/// are added, in the place of all that rest on another basis. If it is dead, the slot is written anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The lease's address.
    pub address: Ipv4Addr,
    /// The link the client is reached on.
    pub link: Link,
    /// The client's Ethernet address; zero if it has none (there are no memos then).
    pub chaddr: [u8; 6],
    /// The address of ours that the client talks to.
    pub server: Ipv4Addr,
    /// The generation of the word that this was decided on.
    pub generation: u16,
    /// When the promise ends.
    pub expiry: BootSecs,
    /// How far the kernel may promise: the commit has the same time.
    pub horizon: BootSecs,
    /// The basis of the answers in `memos`.
    pub basis: Basis,
    /// The questions known or expected, with their answers.
    pub memos: Vec<Memo>,
}

/// A question and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memo {
    /// What may be asked.
    pub question: Question,
    /// The answer.
    pub answer: Answer,
    /// Where it must be sent to be answered so.
    pub to: Destination,
    /// Why it is known.
    pub ground: Ground,
}

/// Why a question is to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// It was asked.
    Asked,
    /// It may be asked: it displaces no question that was asked before.
    Expected,
}

/// All of a request that its answer may depend on, beside the link and chaddr of the lease.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Question {
    /// `ciaddr`.
    pub ciaddr: Ipv4Addr,
    /// `giaddr`.
    pub giaddr: Ipv4Addr,
    /// Source of the datagram if `giaddr` is set, else 0.0.0.0.
    pub relay_src: Ipv4Addr,
    /// The option area, through END.
    pub options: Vec<u8>,
}

/// An answer to a request. Where it goes follows from the request (RFC 2131 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// DHCPOFFER.
    Offer {
        /// The address offered.
        yiaddr: Ipv4Addr,
        /// The address of ours that it comes from.
        server: Ipv4Addr,
        /// The rest.
        answer: Answer,
    },
    /// DHCPACK of a lease.
    Ack {
        /// The address leased.
        yiaddr: Ipv4Addr,
        /// The address of ours that it comes from.
        server: Ipv4Addr,
        /// The rest.
        answer: Answer,
    },
    /// DHCPACK of an INFORM: no address, no lease.
    InformAck {
        /// The address of ours that it comes from.
        server: Ipv4Addr,
        /// The rest.
        answer: Answer,
    },
    /// The BOOTREPLY to a client that speaks BOOTP only (RFC 951 §7.3, RFC 1534 §2).
    Bootp {
        /// The address it has from now on, or 0.0.0.0 if it has one already.
        yiaddr: Ipv4Addr,
        /// The address of ours that it comes from.
        server: Ipv4Addr,
        /// The rest.
        answer: Answer,
    },
    /// DHCPNAK. It is broadcast, or sent to the relay with the broadcast bit set (RFC 2131 §4.3.2).
    Nak {
        /// The address of ours that it comes from.
        server: Ipv4Addr,
        /// Its options.
        answer: Answer,
    },
    /// The answer to a LEASEQUERY (RFC 4388 §6.4.2): it reports a lease and makes none.
    Lease {
        /// What is known.
        status: LeaseStatus,
        /// The address that it is about, or 0.0.0.0 if there is none.
        ciaddr: Ipv4Addr,
        /// The hardware address of the client that has it; as asked if nobody has.
        chaddr: HwAddr,
        /// The address of ours that it comes from.
        server: Ipv4Addr,
        /// Its options.
        answer: Answer,
    },
}

impl Reply {
    /// Its contents beside the addresses in its header.
    #[must_use]
    pub const fn answer(&self) -> &Answer {
        match self {
            Self::Offer { answer, .. }
            | Self::Ack { answer, .. }
            | Self::InformAck { answer, .. }
            | Self::Bootp { answer, .. }
            | Self::Nak { answer, .. }
            | Self::Lease { answer, .. } => answer,
        }
    }
}

/// The result of a LEASEQUERY, which is the answer's message type (RFC 4388 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseStatus {
    /// DHCPLEASEUNASSIGNED: the address is ours to give, and nobody has it.
    Unassigned,
    /// DHCPLEASEUNKNOWN: neither address nor client is known here.
    Unknown,
    /// DHCPLEASEACTIVE.
    Active,
}

impl LeaseStatus {
    /// Its name as a counter.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unassigned => "lease-unassigned",
            Self::Unknown => "lease-unknown",
            Self::Active => "lease-active",
        }
    }
}

/// Why a well-formed request gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Silence {
    /// No subnet is served there.
    NoSubnet,
    /// A subnet is served there, and this server has no address to serve it from.
    NoServerId,
    /// `giaddr` is one of our own addresses.
    RelayIsUs,
    /// The source of a message is not its `ciaddr`, where it has to be, or is an address of ours.
    SourceMismatch,
    /// `ciaddr` is an address that no client can have.
    ImpossibleAddress,
    /// Unicast from elsewhere, where nobody can begin anything without a relay.
    NotOnLink,
    /// By a relay whose address, or source, is one that we lease to clients.
    RelaySource,
    /// RELEASE or DECLINE that came another way than the lease was got.
    ForeignOrigin,
    /// It is for another server.
    OtherServer,
    /// We know nothing of the client, and another server may (RFC 2131 §4.3.2).
    UnknownClient,
    /// A NAK would be due, but the subnet is not authoritative.
    NotAuthoritative,
    /// A NAK would be due, but as many as may be broadcast in a second were.
    NakLimited,
    /// A message that lacks the address it is about.
    NoAddress,
    /// A message that must name its server, and does not.
    NoServer,
    /// No pool is for clients of these classes.
    NoPool,
    /// The client is in a class that drops.
    ClassDrop,
    /// No free address.
    Exhausted,
    /// The address reserved for the client is not to be had yet, and no other is free.
    ReservationHeld,
    /// All free addresses are being probed.
    Probing,
    /// Answers to the probe for this client may have been lost: it is to ask again.
    ProbeUnknown,
    /// The device holds as many leases as it may.
    DeviceCap,
    /// The clients of the circuit hold as many leases as they may.
    CircuitCap,
    /// The clients of its class hold as many leases as they may.
    ClassCap,
    /// The address reserved for the client's port is in use by another device, or offered to one.
    PortInUse,
    /// RELEASE or DECLINE from somebody who isn't the owner.
    NotOwner,
    /// About an address, or a reservation, that another node of the site is to answer for.
    AnotherNode,
    /// DECLINE from a device that keeps as many addresses out of use as it may: it loses the lease, and the address
    /// stays in use for others.
    DeclinedTooOften,
    /// The lease was extended after the message was sent.
    Overtaken,
    /// BOOTP, which is not served in this subnet.
    Bootp,
    /// A LEASEQUERY from a sender that the configuration doesn't list.
    QueryNotAllowed,
    /// A LEASEQUERY about nothing, or about several things at once.
    UnclearQuery,
    /// The options that the answer needs don't fit.
    Unanswerable,
}

impl Silence {
    /// Its name as a counter.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoSubnet => "no-subnet",
            Self::NoServerId => "no-server-id",
            Self::RelayIsUs => "relay-is-us",
            Self::SourceMismatch => "source-mismatch",
            Self::ImpossibleAddress => "impossible-address",
            Self::NotOnLink => "not-on-link",
            Self::RelaySource => "relay-source",
            Self::ForeignOrigin => "foreign-origin",
            Self::OtherServer => "other-server",
            Self::UnknownClient => "unknown-client",
            Self::NotAuthoritative => "not-authoritative",
            Self::NakLimited => "nak-limited",
            Self::NoAddress => "no-address",
            Self::NoServer => "no-server",
            Self::NoPool => "no-pool",
            Self::ClassDrop => "class-drop",
            Self::Exhausted => "exhausted",
            Self::ReservationHeld => "reservation-held",
            Self::Probing => "probing",
            Self::ProbeUnknown => "probe-unknown",
            Self::DeviceCap => "device-cap",
            Self::CircuitCap => "circuit-cap",
            Self::ClassCap => "class-cap",
            Self::PortInUse => "port-in-use",
            Self::NotOwner => "not-owner",
            Self::AnotherNode => "another-node",
            Self::DeclinedTooOften => "declined-too-often",
            Self::Overtaken => "overtaken",
            Self::Bootp => "bootp",
            Self::QueryNotAllowed => "leasequery-not-allowed",
            Self::UnclearQuery => "unclear-leasequery",
            Self::Unanswerable => "unanswerable",
        }
    }
}
