//! Turns a frame into a typed DHCP request, or into the reason why it is none.

// What is read here anybody may have sent.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

mod agent;
mod datagram;
mod malformed;
mod names;
pub mod options;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
mod tlv;

use std::net::Ipv4Addr;

use bytes::Bytes;
use dhcp_ebpf::abi::Link;
use dhcp_ebpf::lease::{BootSecs, Word};
use dhcproto::v4::MessageType;

pub use agent::{AgentInformation, vendors};
pub use malformed::Malformed;
pub use options::Options;

use crate::store::HwAddr;
use datagram::{Datagram, array};

const BOOTREQUEST: u8 = 1;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const SNAME: std::ops::Range<usize> = 44..108;
const FILE: std::ops::Range<usize> = 108..236;
const OPTIONS_AT: usize = 240;
/// The least octets of the vendor area of a BOOTP message after its cookie (RFC 951 §3).
const VENDOR_AREA: usize = 60;

/// The client's message to a server (option 53, RFC 2131 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// DHCPDISCOVER: which servers are there?
    Discover,
    /// DHCPREQUEST: selecting, confirming or extending a lease.
    Request,
    /// DHCPDECLINE: somebody else uses the address.
    Decline,
    /// DHCPRELEASE: the address is given back.
    Release,
    /// DHCPINFORM: configuration for an address got otherwise.
    Inform,
    /// DHCPLEASEQUERY (RFC 4388).
    LeaseQuery,
    /// No DHCP message type: the BOOTREQUEST of a client that speaks BOOTP only (RFC 1534 §2).
    Bootp,
}

impl Kind {
    /// Its name in counters and log lines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Discover => "discover",
            Self::Request => "request",
            Self::Decline => "decline",
            Self::Release => "release",
            Self::Inform => "inform",
            Self::LeaseQuery => "leasequery",
            Self::Bootp => "bootp",
        }
    }
}

/// One DHCP request, checked. Addresses that are not set are 0.0.0.0, as on the wire.
#[derive(Clone, Debug)]
pub struct Request {
    /// The whole frame, as it came.
    pub frame: Bytes,
    /// Where it came from.
    pub link: Link,
    /// The second it came in (rounded down).
    pub arrival: BootSecs,
    /// Source of the frame: the client, its relay or the router before it.
    pub eth_src: [u8; 6],
    /// Destination of the frame.
    pub eth_dst: [u8; 6],
    /// Source of the datagram.
    pub ip_src: Ipv4Addr,
    /// Destination of the datagram.
    pub ip_dst: Ipv4Addr,
    /// How many relays it passed.
    pub hops: u8,
    /// The client's number for this exchange.
    pub xid: u32,
    /// Seconds since the client began, as it says.
    pub secs: u16,
    /// The flags; the highest bit asks for a broadcast answer.
    pub flags: u16,
    /// The address the client has, in the states that have one.
    pub ciaddr: Ipv4Addr,
    /// The relay it came through.
    pub giaddr: Ipv4Addr,
    /// The client's hardware address.
    pub chaddr: HwAddr,
    /// The message type.
    pub kind: Kind,
    /// The option area as it came, through END, or through its last option if it has none.
    pub area: Bytes,
    /// The options in it, and in sname and file if these were overloaded.
    pub options: Options,
    /// `sname`, as it came.
    pub sname: Bytes,
    /// Octets after the cookie, padding included: as many the sender of a BOOTREQUEST takes in the reply.
    pub vendor_area: usize,
    /// Whether the rest is plain: sname and file zero, only zeros after END.
    pub plain: bool,
    /// The lease word of the address that a RELEASE is about, as it was on arrival, if that is known.
    pub word: Option<Word>,
}

impl Request {
    /// Reads the Ethernet frame that came in on interface `ifindex` at `arrival`.
    ///
    /// # Errors
    /// The first defect found, in the order of the layers.
    pub fn read(frame: Bytes, ifindex: u32, arrival: BootSecs) -> Result<Self, Malformed> {
        let Datagram { eth_src, eth_dst, link, ip_src, ip_dst, payload } = Datagram::read(&frame, ifindex)?;
        if payload.len() < OPTIONS_AT {
            return Err(Malformed::Short);
        }
        let [op, htype, hlen, hops] = array(&payload, 0)?;
        if op != BOOTREQUEST {
            return Err(Malformed::NotRequest);
        }
        let chaddr = payload
            .get(28..28 + usize::from(hlen))
            .and_then(|octets| HwAddr::new(htype, octets))
            .ok_or(Malformed::HardwareAddressLength)?;
        let rest = payload.slice(OPTIONS_AT..);
        let extent = match array(&payload, 236)? {
            // A BOOTP client may have nothing to say, and not even a cookie (RFC 951 §3).
            COOKIE | [0, 0, 0, 0] if is_blank(&rest) => 0,
            COOKIE => options::extent(&rest)?,
            _ => return Err(Malformed::Cookie),
        };
        let area = rest.slice(..extent);
        let giaddr: Ipv4Addr = array(&payload, 24)?.into();
        let options = Options::read(&area, &payload.slice(FILE), &payload.slice(SNAME), giaddr)?;
        let unused = [payload.get(SNAME), payload.get(FILE), rest.get(extent..)];
        let plain = unused.into_iter().all(|field| field.is_some_and(is_zero));
        let request = Self {
            link,
            arrival,
            eth_src,
            eth_dst,
            ip_src,
            ip_dst,
            hops,
            xid: u32::from_be_bytes(array(&payload, 4)?),
            secs: u16::from_be_bytes(array(&payload, 8)?),
            flags: u16::from_be_bytes(array(&payload, 10)?),
            ciaddr: array(&payload, 12)?.into(),
            giaddr,
            chaddr,
            kind: kind(&options)?,
            area,
            options,
            sname: payload.slice(SNAME),
            vendor_area: rest.len(),
            plain,
            frame,
            word: None,
        };
        request.check()?;
        Ok(request)
    }

    fn check(&self) -> Result<(), Malformed> {
        if !host(self.giaddr) {
            return Err(Malformed::RelayAddress);
        }
        if !host(self.ciaddr) {
            return Err(Malformed::ClientAddress);
        }
        // A question about an address names no client (RFC 4388 §6.2).
        let names_client = self.options.client_id.is_some() || !self.chaddr.octets().is_empty();
        if !names_client && self.kind != Kind::LeaseQuery {
            return Err(Malformed::NoIdentity);
        }
        Ok(())
    }

    /// The DHCP message of a client on `link` that is to be expected, in no frame yet.
    ///
    /// # Errors
    /// Any defect of the options.
    pub fn expected(link: Link, chaddr: HwAddr, form: Form) -> Result<Self, Malformed> {
        let area = Bytes::from(form.area);
        let options = Options::read(&area, &Bytes::new(), &Bytes::new(), form.giaddr)?;
        Ok(Self {
            word: None,
            frame: Bytes::new(),
            link,
            arrival: BootSecs(0),
            eth_src: [0; 6],
            eth_dst: [0; 6],
            ip_src: form.ip_src,
            ip_dst: form.ip_dst,
            hops: 0,
            xid: 0,
            secs: 0,
            flags: 0,
            ciaddr: form.ciaddr,
            giaddr: form.giaddr,
            chaddr,
            kind: kind(&options)?,
            sname: Bytes::new(),
            vendor_area: area.len(),
            area,
            options,
            plain: true,
        })
    }

    /// Whether a relay sent it.
    #[must_use]
    pub fn relayed(&self) -> bool {
        !self.giaddr.is_unspecified()
    }

    /// Whether the client sent it to one host, not to all; for a relayed message, by the relay's flag (RFC 5010).
    #[must_use]
    pub fn unicast(&self) -> bool {
        if self.relayed() {
            self.options.agent.as_ref().and_then(|agent| agent.unicast).unwrap_or(false)
        } else {
            !self.ip_dst.is_broadcast() && self.eth_dst != [0xff; 6]
        }
    }

    /// The client's Ethernet address, if that is what chaddr has.
    #[must_use]
    pub fn mac(&self) -> Option<[u8; 6]> {
        self.chaddr.mac()
    }

    /// The value of option 82, as it came, from a relay or not.
    #[must_use]
    pub fn agent_info(&self) -> Option<&Bytes> {
        self.options.get(options::code::AGENT_INFORMATION)
    }

    /// The same, if it is believed.
    #[must_use]
    pub fn believed_agent_info(&self) -> Option<&Bytes> {
        self.options.agent.as_ref().map(|agent| &agent.raw)
    }

    /// From now on option 82 is only echoed.
    pub fn disbelieve_agent(&mut self) {
        self.options.agent = None;
    }

    /// Option 82 is believed of a switch that is no relay: where its client is, and nothing that only a relay can know.
    pub fn believe_switch(&mut self) {
        if let Some(agent) = &mut self.options.agent {
            (agent.link_selection, agent.server_override, agent.unicast) = (None, None, None);
        }
    }

    /// Its harmless faults, by the names of their counters.
    pub fn oddities(&self) -> impl Iterator<Item = &'static str> {
        let named = self.options.get(options::code::HOST_NAME).is_some();
        let fqdn = self.options.get(options::code::FQDN);
        let stranger =
            !self.relayed() && !self.unicast() && self.mac().is_some_and(|mac| mac != self.eth_src);
        [
            (named && self.host_name().is_none(), "unusable-host-name"),
            (fqdn.is_some_and(|fqdn| !names::is_fqdn(fqdn)), "unusable-fqdn"),
            (self.options.small_max_size, "small-maximum-size"),
            (stranger, "sent-for-another"),
            (self.agent_info().is_some() && self.options.agent.is_none(), "untrusted-agent-information"),
            (!self.options.ended, "no-end"),
            (self.options.odd_length, "wish-of-wrong-length"),
            (self.options.agent.as_ref().is_some_and(|agent| !agent.whole), "unusable-agent-information"),
        ]
        .into_iter()
        .filter_map(|(odd, name)| odd.then_some(name))
    }

    /// The server that a BOOTP client wants to hear from by name (`sname`), if it wants one.
    #[must_use]
    pub fn server_name(&self) -> Option<&[u8]> {
        let sname = self.sname.split(|octet| *octet == 0).next();
        sname.filter(|name| !name.is_empty())
    }

    /// The host name the client gives (option 12), if it is one that can be shown and stored.
    #[must_use]
    pub fn host_name(&self) -> Option<&str> {
        names::host_name(self.options.get(options::code::HOST_NAME)?)
    }
}

/// The parts in which one request of a client differs from another.
#[derive(Clone, Debug)]
pub struct Form {
    /// Its `ciaddr`.
    pub ciaddr: Ipv4Addr,
    /// Its `giaddr`.
    pub giaddr: Ipv4Addr,
    /// Source of the datagram.
    pub ip_src: Ipv4Addr,
    /// Destination of the datagram.
    pub ip_dst: Ipv4Addr,
    /// Its option area, through END.
    pub area: Vec<u8>,
}

fn kind(options: &Options) -> Result<Kind, Malformed> {
    let Some(value) = options.get(options::code::MESSAGE_TYPE) else { return Ok(Kind::Bootp) };
    let Some(octet) = options::same_octet(value) else { return Err(Malformed::MessageType) };
    match MessageType::from(octet) {
        MessageType::Discover => Ok(Kind::Discover),
        MessageType::Request => Ok(Kind::Request),
        MessageType::Decline => Ok(Kind::Decline),
        MessageType::Release => Ok(Kind::Release),
        MessageType::Inform => Ok(Kind::Inform),
        MessageType::LeaseQuery => Ok(Kind::LeaseQuery),
        MessageType::Unknown(_) => Err(Malformed::MessageType),
        _ => Err(Malformed::ServerMessage),
    }
}

/// Whether this is a whole vendor area with nothing in it.
fn is_blank(area: &[u8]) -> bool {
    area.first() == Some(&0) && area.len() >= VENDOR_AREA && is_zero(area)
}

/// Whether a field is all zeros. All of it is looked at, which is faster than to stop at the first octet that isn't.
fn is_zero(field: &[u8]) -> bool {
    field.iter().fold(0, |all, octet| all | octet) == 0
}

/// Whether a host can have this address, or it is not set.
fn host(address: Ipv4Addr) -> bool {
    !address.is_multicast() && !address.is_broadcast() && !address.is_loopback()
}
