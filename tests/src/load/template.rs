//! The requests that the generator repeats: built here once, filled in for each client in the kernel.

use anyhow::{Context, Result, ensure};
use load_ebpf::lane::{
    CELLS, CHAIN, CIADDR, CIRCUIT, CIRCUIT_AT, ETHERNET_SOURCE, FILL, FRAME, FRAME_CELLS, HOST_NAME,
    IDENTIFIER, IP_SOURCE, IP_SUM, LINK_HEADER, REQUESTED, SORTS, TIMED, UDP_SUM,
};
use std::net::Ipv4Addr;

use crate::client::ServerAddress;
use crate::wire::{
    BROADCAST, CLIENT_PORT, Envelope, Kind, Mac, Message, SERVER_PORT, SHORTEST_BOOTP, Tag, UDP, options,
};

/// What clients ask their server to tell (RFC 2132 §9.8): as dhclient does, Windows, macOS, and a small device.
const DHCLIENT: &[u8] = &[1, 28, 2, 3, 15, 6, 119, 12, 44, 47, 26, 121, 42];
const WINDOWS: &[u8] = &[1, 3, 6, 15, 31, 33, 43, 44, 46, 47, 119, 121, 249, 252];
const MACOS: &[u8] = &[1, 121, 3, 6, 15, 114, 119, 252, 95, 44, 46];
const SMALL: &[u8] = &[1, 3, 6, 12, 15, 28, 42];
/// Option 82 of a relay that tells circuits apart: a circuit-id and a remote-id, whose first four octets each circuit has of
/// its own (RFC 3046 §2.0).
const OF_CIRCUIT: [u8; 20] = *b"\x01\x08\0\0\0\0-olt\x02\x08pon-port";
/// Where in an option 82 these four octets are.
const OWN_OCTETS: usize = 2 + 2;

/// What clients of one sort send beside what all send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sort {
    /// Option 61: its hardware address.
    identifier: bool,
    /// Option 12: a name of its own.
    host_name: bool,
    /// Behind a relay that adds option 82, by which it renews, too (RFC 5107).
    relayed: bool,
    wanted: &'static [u8],
}

/// What clients are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sorts {
    /// All send the same but for their hardware addresses.
    #[default]
    Alike,
    /// Of ten, six send an identifier, seven a host name of their own, three are behind a relay that adds an option 82 of 20
    /// octets for each, and four parameter lists are among them.
    Mixed,
}

impl Sorts {
    /// The clients of each sort.
    fn sorts(self) -> [Option<Sort>; SORTS] {
        let sort =
            |identifier, host_name, relayed, wanted| Some(Sort { identifier, host_name, relayed, wanted });
        match self {
            Self::Alike => [None; SORTS],
            Self::Mixed => [
                sort(true, true, false, WINDOWS),
                sort(true, true, false, MACOS),
                sort(true, false, true, SMALL),
                sort(false, true, false, DHCLIENT),
                sort(true, true, false, WINDOWS),
                sort(true, false, true, SMALL),
                sort(false, true, false, DHCLIENT),
                sort(true, true, false, MACOS),
                sort(false, false, true, SMALL),
                sort(false, true, false, SMALL),
            ],
        }
    }
}

/// How clients reach the server.
#[derive(Clone, Debug, Default)]
pub struct Way {
    /// VLAN tags, outermost first; at most two.
    pub tags: Vec<Tag>,
    /// The relay that they are behind, if they are.
    pub relay: Option<Relay>,
}

/// A relay (RFC 2131 §4.1, RFC 3046).
#[derive(Clone, Debug)]
pub struct Relay {
    /// Its hardware address on the server's link.
    pub mac: Mac,
    /// giaddr, and where its messages come from.
    pub address: Ipv4Addr,
    /// Option 82, if it adds one.
    pub agent_info: Option<Vec<u8>>,
}

/// The state in which clients ask for an extension (RFC 2131 §4.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Unicast, from the leased address; never through the relay.
    Renewing,
    /// Broadcast, through the relay if there is one.
    Rebinding,
    /// Broadcast without ciaddr, through the relay if there is one.
    InitReboot,
}

/// Builds the lanes' frames for one server and one way to it.
#[derive(Debug)]
pub(crate) struct Templates<'a> {
    pub(crate) server: ServerAddress,
    pub(crate) way: &'a Way,
    /// What these clients send of their own, if they are not all alike.
    pub(crate) sort: Option<Sort>,
}

/// The templates of all sorts of clients.
pub(crate) fn templates(server: ServerAddress, way: &Way, clients: Sorts) -> [Templates<'_>; SORTS] {
    clients.sorts().map(|sort| Templates { server, way, sort })
}

/// A lane's cells.
pub(crate) type LaneCells = [u64; CELLS];

impl Templates<'_> {
    pub(crate) fn discover(&self) -> Result<LaneCells> {
        let mut cells = self.lane(Kind::Discover, &[], Kept::Nothing, 0)?;
        cells[TIMED] = 1;
        Ok(cells)
    }

    pub(crate) fn select(&self) -> Result<LaneCells> {
        let named: &[(u8, &[u8])] = &[(50, &[0; 4]), (54, &self.server.ip.octets())];
        self.lane(Kind::Request, named, Kept::Nothing, REQUESTED)
    }

    pub(crate) fn renew(&self, form: Form) -> Result<LaneCells> {
        match form {
            Form::Renewing if self.sort.is_some() && self.relay().is_some() => self.renew(Form::Rebinding),
            Form::Renewing => self.lane(Kind::Request, &[], Kept::Unicast, CIADDR),
            Form::Rebinding => self.lane(Kind::Request, &[], Kept::Address, CIADDR),
            Form::InitReboot => self.lane(Kind::Request, &[(50, &[0; 4])], Kept::Nothing, REQUESTED),
        }
    }

    /// RFC 2131 §4.4.6: unicast, ciaddr set.
    pub(crate) fn release(&self) -> Result<LaneCells> {
        self.lane(Kind::Release, &[(54, &self.server.ip.octets())], Kept::Unicast, CIADDR)
    }

    /// RFC 2131 §4.4.4: broadcast, ciaddr not set.
    pub(crate) fn decline(&self) -> Result<LaneCells> {
        let named: &[(u8, &[u8])] = &[(50, &[0; 4]), (54, &self.server.ip.octets())];
        self.lane(Kind::Decline, named, Kept::Nothing, REQUESTED)
    }

    fn lane(&self, kind: Kind, named: &[(u8, &[u8])], kept: Kept, fill: u64) -> Result<LaneCells> {
        let (envelope, giaddr) = self.envelope(kept);
        let mut message = Message::from_client([0; 6], 0, self.options(kind, named, giaddr.is_some()));
        message.giaddr = giaddr.unwrap_or(Ipv4Addr::UNSPECIFIED);
        message.hops = giaddr.is_some().into();
        let options = message.options.clone();
        let frame = envelope.frame(&message.encode())?;
        let relayed = if giaddr.is_some() { 0 } else { ETHERNET_SOURCE };
        let from_address = if kept != Kept::Nothing && giaddr.is_none() { IP_SOURCE } else { 0 };
        let own = match self.sort.filter(|_| matches!(kind, Kind::Discover | Kind::Request)) {
            Some(Sort { identifier, host_name, .. }) => {
                [(identifier, IDENTIFIER), (host_name, HOST_NAME), (giaddr.is_some(), CIRCUIT)]
                    .into_iter()
                    .filter(|(is_sent, _)| *is_sent)
                    .fold(0, |own, (_, bit)| own | bit)
            }
            None => 0,
        };
        let link_header = 14 + 4 * self.way.tags.len();
        let mut cells = cells(&frame, link_header, fill | relayed | from_address | own)?;
        if own & CIRCUIT != 0 {
            let agent = [&[82, 20][..], &OF_CIRCUIT].concat();
            let at = options
                .windows(agent.len())
                .position(|found| found == agent)
                .context("option 82 is there")?;
            cells[CIRCUIT_AT] = (link_header + 28 + 240 + at + OWN_OCTETS) as u64;
        }
        Ok(cells)
    }

    /// What is around a message, and its giaddr if it comes through a relay.
    fn envelope(&self, kept: Kept) -> (Envelope, Option<Ipv4Addr>) {
        let direct = Envelope {
            eth_src: [0; 6],
            eth_dst: if kept == Kept::Unicast { self.server.mac } else { BROADCAST },
            tags: self.way.tags.clone(),
            ip_src: Ipv4Addr::UNSPECIFIED,
            ip_dst: if kept == Kept::Unicast { self.server.ip } else { Ipv4Addr::BROADCAST },
            src_port: CLIENT_PORT,
            dst_port: SERVER_PORT,
        };
        match self.relay() {
            Some(relay) if kept != Kept::Unicast => {
                let relayed = Envelope {
                    eth_src: relay.mac,
                    eth_dst: self.server.mac,
                    ip_src: relay.address,
                    ip_dst: self.server.ip,
                    src_port: SERVER_PORT,
                    ..direct
                };
                (relayed, Some(relay.address))
            }
            _ => (direct, None),
        }
    }

    /// The relay that these clients are behind, if they are.
    fn relay(&self) -> Option<&Relay> {
        self.way.relay.as_ref().filter(|_| self.sort.is_none_or(|sort| sort.relayed))
    }

    /// RFC 2131 §4.3.2 and table 5: 53 first, then 50, what the client says of itself, what else only this message has, and
    /// what all have.
    fn options(&self, kind: Kind, named: &[(u8, &[u8])], relayed: bool) -> Vec<u8> {
        let kind_octet = [kind as u8];
        type Named<'a> = Vec<(u8, &'a [u8])>;
        let (requested, others): (Named<'_>, Named<'_>) = named.iter().partition(|(code, _)| *code == 50);
        let mut list: Vec<(u8, &[u8])> = vec![(53, &kind_octet)];
        list.extend(requested);
        let asks = matches!(kind, Kind::Discover | Kind::Request);
        match self.sort.filter(|_| asks) {
            Some(sort) => {
                list.extend([(61, &[1, 0, 0, 0, 0, 0, 0][..])].iter().filter(|_| sort.identifier));
                list.extend([(12, &[0; 8][..])].iter().filter(|_| sort.host_name));
                list.extend(others);
                list.push((55, sort.wanted));
            }
            None => {
                list.extend(others);
                list.extend([(12, &b"client"[..]), (55, DHCLIENT)].iter().filter(|_| asks));
            }
        }
        let agent = match self.sort {
            Some(_) => Some(&OF_CIRCUIT[..]).filter(|_| asks),
            None => self.way.relay.as_ref().and_then(|relay| relay.agent_info.as_deref()),
        };
        list.extend(agent.filter(|_| relayed).map(|info| (82, info)));
        options(&list)
    }
}

/// What of its lease the client's message uses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Nothing,
    /// The address, but not the way to the server.
    Address,
    /// Both.
    Unicast,
}

fn cells(frame: &[u8], link_header: usize, fill: u64) -> Result<LaneCells> {
    ensure!(
        frame.len() == FRAME + link_header - 14 && frame.len() <= 8 * FRAME_CELLS,
        "a request has {} octets of BOOTP, and the generator sends {SHORTEST_BOOTP}: choose shorter options",
        frame.len() - link_header - 28
    );
    let mut frame = frame.to_vec();
    frame[link_header + 10..link_header + 12].fill(0);
    frame[link_header + 26..link_header + 28].fill(0);
    let (header, udp) = frame[link_header..].split_at(20);
    let pseudo = [&header[12..20], &[0, UDP], &udp[4..6]].concat();
    let mut cells = [0; CELLS];
    cells[IP_SUM] = sum(header);
    cells[UDP_SUM] = sum(udp) + sum(&pseudo);
    cells[LINK_HEADER] = link_header as u64;
    cells[FILL] = fill;
    cells[CHAIN] = 0;
    for (cell, octets) in cells.iter_mut().zip(frame.chunks(8)) {
        let mut eight = [0; 8];
        eight[..octets.len()].copy_from_slice(octets);
        *cell = u64::from_ne_bytes(eight);
    }
    Ok(cells)
}

/// The sum of raw 16-bit words, carries still in the upper bits.
fn sum(octets: &[u8]) -> u64 {
    octets.chunks(2).map(|pair| u64::from(u16::from_ne_bytes([pair[0], *pair.get(1).unwrap_or(&0)]))).sum()
}

/// The pool as the generator knows it: its first address as a number.
pub(crate) fn as_number(address: Ipv4Addr) -> u64 {
    u64::from(u32::from(address))
}

/// The number of bits that count `span` clients.
pub(crate) fn bits(span: u32) -> Result<u64> {
    let last = span.checked_sub(1).context("no clients at all")?;
    Ok(u64::from((u32::BITS - last.leading_zeros()).max(1)))
}
