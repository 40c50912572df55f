//! Events: what happens to leases, for the log and for followers.

use std::fmt;
use std::net::Ipv4Addr;

use dhcp_ebpf::abi::Link;

use super::book::Book;
use super::book::binding::Binding;
use super::site::place::Place;
use crate::config::{Pool, Prefix};
use crate::message::Request;
use crate::store::{HwAddr, QuarantineCause};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseEvent {
    /// Something happened to the lease of an address.
    Lease {
        /// The address.
        address: Ipv4Addr,
        /// What happened.
        what: Happened,
        /// The client concerned, if there is one.
        client: Option<Client>,
    },
    /// A pool became this full: 80, 95 or 100 percent of its addresses can't be given to a new client.
    PoolFull {
        /// The subnet.
        subnet: Prefix,
        /// The pool.
        pool: Pool,
        /// The share that was passed, in percent.
        percent: u8,
    },
    /// A client got no address since its subnet has none left.
    Exhausted {
        /// The subnet.
        subnet: Prefix,
        /// The client that asked.
        client: Client,
    },
    /// A station answers probes for many free addresses: its answers prove nothing.
    ProbeLiar {
        /// The link it is on.
        link: Link,
        /// Its hardware address.
        station: [u8; 6],
        /// The addresses that it has answered for.
        addresses: Vec<Ipv4Addr>,
    },
    /// So many stations answer probes on this link that addresses are out of use for minutes only.
    ManyAnswers {
        /// The link.
        link: Link,
        /// The station that answered last.
        station: [u8; 6],
    },
    /// So many DECLINEs came from there that addresses are out of use for minutes only.
    ManyDeclines {
        /// The subnet.
        subnet: Prefix,
        /// The client that declined last.
        client: Client,
    },
    /// A client got no address since the one that is reserved for its port is in use by another device.
    PortInUse {
        /// The address.
        address: Ipv4Addr,
        /// The client that asked.
        client: Client,
    },
    /// A client got no address since its device holds as many as it may.
    DeviceCap {
        /// The subnet.
        subnet: Prefix,
        /// The client that asked.
        client: Client,
        /// How many it may hold.
        cap: u32,
    },
    /// A client got no address since the clients of its circuit hold as many as they may.
    CircuitCap {
        /// The subnet.
        subnet: Prefix,
        /// The client that asked.
        client: Client,
        /// How many they may hold together.
        cap: u32,
    },
    /// A client got no address since the clients of its class hold as many as they may.
    ClassCap {
        /// The name of the class.
        class: String,
        /// Who asked.
        client: Client,
        /// How many they may hold together.
        cap: u32,
    },
}

/// How much an event weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// It says why a client got no answer; that is reported by itself.
    Detail,
    /// It is usual.
    Usual,
    /// The operator may want to see to it some day.
    Notice,
    /// The operator should see to it.
    Warning,
    /// The same, but rare enough that it always has its line.
    Alarm,
}

impl LeaseEvent {
    /// The word for events of its kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Lease { what, .. } => what.kind(),
            Self::PoolFull { percent, .. } if *percent < 100 => "pool-filling",
            Self::PoolFull { .. } => "pool-full",
            Self::Exhausted { .. } => "exhausted",
            Self::ProbeLiar { .. } => "probe-liar",
            Self::ManyAnswers { .. } => "many-answers",
            Self::ManyDeclines { .. } => "many-declines",
            Self::PortInUse { .. } => "port-in-use",
            Self::DeviceCap { .. } => "device-cap",
            Self::CircuitCap { .. } => "circuit-cap",
            Self::ClassCap { .. } => "class-cap",
        }
    }

    /// The link that it has to do with.
    #[must_use]
    pub fn link(&self) -> Option<Link> {
        match self {
            Self::Lease { client, .. } => client.as_ref().map(|client| client.link),
            Self::PoolFull { .. } => None,
            Self::ProbeLiar { link, .. } | Self::ManyAnswers { link, .. } => Some(*link),
            Self::Exhausted { client, .. }
            | Self::ManyDeclines { client, .. }
            | Self::PortInUse { client, .. }
            | Self::DeviceCap { client, .. }
            | Self::CircuitCap { client, .. }
            | Self::ClassCap { client, .. } => Some(client.link),
        }
    }

    /// How much it weighs.
    #[must_use]
    pub const fn weight(&self) -> Weight {
        match self {
            Self::Lease { what: Happened::Declined | Happened::Quarantined(_), .. } => Weight::Warning,
            Self::ProbeLiar { .. } | Self::ManyAnswers { .. } | Self::ManyDeclines { .. } => Weight::Alarm,
            Self::PoolFull { percent, .. } if *percent >= 100 => Weight::Warning,
            Self::PoolFull { .. } => Weight::Notice,
            Self::Lease { .. } => Weight::Usual,
            Self::Exhausted { .. }
            | Self::PortInUse { .. }
            | Self::DeviceCap { .. }
            | Self::CircuitCap { .. }
            | Self::ClassCap { .. } => Weight::Detail,
        }
    }
}

/// What happened to a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// It was granted.
    Granted,
    /// The daemon extended it.
    Renewed,
    /// Its client gave it back.
    Released,
    /// The operator ended it.
    ReleasedByOperator,
    /// It ran out.
    Expired,
    /// Its client took another address.
    Moved,
    /// Its client found somebody else using the address.
    Declined,
    /// The address is out of use.
    Quarantined(QuarantineCause),
    /// The address may be used again.
    QuarantineOver,
    /// It was taken from a device that holds too many and is silent.
    Reclaimed,
    /// Its subnet, pool or reservation is gone.
    Withdrawn,
}

impl Happened {
    /// The word for events of its kind.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Renewed => "renewed",
            Self::Released => "released",
            Self::ReleasedByOperator => "released-by-operator",
            Self::Expired => "expired",
            Self::Moved => "moved",
            Self::Declined => "declined",
            Self::Quarantined(_) => "quarantined",
            Self::QuarantineOver => "quarantine-over",
            Self::Reclaimed => "reclaimed",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// The identity of a client, and where it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its client identifier.
    pub client_id: Option<Vec<u8>>,
    /// Its hardware address.
    pub chaddr: HwAddr,
    /// The client's own host name (option 12).
    pub host_name: Option<String>,
    /// The link it is reached on.
    pub link: Link,
    /// The relay it is reached through, or 0.0.0.0.
    pub giaddr: Ipv4Addr,
    /// The relay's information on it (option 82).
    pub agent_info: Option<Vec<u8>>,
}

impl Client {
    /// The client that has the address at `place`, or had it last.
    pub(super) fn owner_of(book: &Book, place: Place) -> Option<Self> {
        book.binding(place).map(Self::from)
    }
}

impl From<&Binding> for Client {
    fn from(binding: &Binding) -> Self {
        Self {
            client_id: binding.client_id().map(<[u8]>::to_vec),
            chaddr: binding.chaddr(),
            host_name: binding.host_name().map(str::to_owned),
            link: binding.link,
            giaddr: binding.giaddr,
            agent_info: binding.agent_info().map(<[u8]>::to_vec),
        }
    }
}

impl From<&Request> for Client {
    fn from(request: &Request) -> Self {
        Self {
            client_id: request.options.client_id.as_ref().map(|id| id.to_vec()),
            chaddr: request.chaddr,
            host_name: request.host_name().map(str::to_owned),
            link: request.link,
            giaddr: request.giaddr,
            agent_info: request.believed_agent_info().map(|info| info.to_vec()),
        }
    }
}

/// Hardware address, then what else there is, as in a log line.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.chaddr)?;
        if let Some(id) = &self.client_id {
            write!(f, " client-id {}", Hex(id))?;
        }
        if !self.giaddr.is_unspecified() {
            write!(f, " via {}", self.giaddr)?;
        }
        if let Some(info) = &self.agent_info {
            write!(f, " relay information {}", Hex(info))?;
        }
        Ok(())
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}
