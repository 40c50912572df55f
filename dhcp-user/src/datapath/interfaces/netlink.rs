//! The kernel's interfaces by netlink: their state, and reports of changes.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use anyhow::{Context as _, Result, bail};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, LinkXdp, XdpAttached,
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::policy::Interface;

/// An interface as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// Name, addresses and so on.
    pub facts: Interface,
    /// Whether frames pass: it is up, and has a carrier.
    pub is_up: bool,
    /// The index of the bridge, bond or other interface that it is a port of.
    pub controller: Option<u32>,
    /// The XDP program on it.
    pub xdp: Option<Occupant>,
}

/// How a program is attached to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// In the driver.
    Native,
    /// In the stack.
    Generic,
}

impl Attached {
    /// The name that `status` uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// An XDP program that is attached to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occupant {
    /// Where it runs.
    pub attached: Attached,
    /// The kernel's number of the program.
    pub program: u32,
}

/// The interfaces and addresses of a network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// The Ethernet interfaces with their IPv4 addresses, in the kernel's order.
    pub links: Vec<LinkState>,
    /// Each IPv4 address of the host, with the name of its interface, of any kind.
    pub addresses: Vec<(String, Ipv4Addr)>,
}

/// This network namespace at present.
///
/// # Errors
/// When netlink fails.
pub fn namespace() -> Result<Namespace> {
    let mut here = Namespace::default();
    let mut names = HashMap::new();
    for message in dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))? {
        if let RouteNetlinkMessage::NewLink(link) = message {
            names.extend(name(&link).map(|name| (link.header.index, name)));
            here.links.extend(described(&link));
        }
    }
    for message in dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))? {
        let RouteNetlinkMessage::NewAddress(message) = message else { continue };
        let (Some(address), index) = (local(&message), message.header.index) else { continue };
        here.addresses.push((names.get(&index).cloned().unwrap_or_default(), address));
        if let Some(link) = here.links.iter_mut().find(|link| link.facts.ifindex == index) {
            link.facts.addresses.push(address);
        }
    }
    Ok(here)
}

/// The XDP program on an interface; none if there is none, or no such interface.
///
/// # Errors
/// When netlink fails.
pub fn occupant(ifindex: u32) -> Result<Option<Occupant>> {
    Ok(link(ifindex)?.as_ref().and_then(occupant_of))
}

/// Whether an interface is a bond of others.
///
/// # Errors
/// When netlink fails.
pub fn is_bond(ifindex: u32) -> Result<bool> {
    Ok(link(ifindex)?.as_ref().is_some_and(is_bond_in))
}

fn link(ifindex: u32) -> Result<Option<LinkMessage>> {
    let mut wanted = LinkMessage::default();
    wanted.header.index = ifindex;
    let answer = ask(RouteNetlinkMessage::GetLink(wanted), NLM_F_ACK)?;
    Ok(answer.into_iter().find_map(|message| match message {
        RouteNetlinkMessage::NewLink(link) if link.header.index == ifindex => Some(link),
        _ => None,
    }))
}

fn is_bond_in(link: &LinkMessage) -> bool {
    link.attributes.iter().any(|attribute| {
        matches!(attribute, LinkAttribute::LinkInfo(of) if of.contains(&LinkInfo::Kind(InfoKind::Bond)))
    })
}

fn described(link: &LinkMessage) -> Option<LinkState> {
    let (mut mac, mut mtu, mut controller) = (None, 0, None);
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::Address(value) => mac = <[u8; 6]>::try_from(value.as_slice()).ok(),
            LinkAttribute::Mtu(value) => mtu = *value,
            LinkAttribute::Controller(index) => controller = Some(*index).filter(|index| *index != 0),
            _ => {}
        }
    }
    let passing = LinkFlags::Up | LinkFlags::LowerUp;
    Some(LinkState {
        facts: Interface {
            name: name(link)?,
            ifindex: link.header.index,
            mac: mac?,
            mtu,
            addresses: Vec::new(),
        },
        is_up: link.header.flags.contains(passing),
        controller,
        xdp: occupant_of(link),
    })
}

fn name(link: &LinkMessage) -> Option<String> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    })
}

fn occupant_of(link: &LinkMessage) -> Option<Occupant> {
    let xdp = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Xdp(xdp) => Some(xdp),
        _ => None,
    })?;
    let attached = xdp.iter().find_map(|xdp| match xdp {
        LinkXdp::Attached(XdpAttached::Driver | XdpAttached::Hardware | XdpAttached::Multiple) => {
            Some(Attached::Native)
        }
        LinkXdp::Attached(XdpAttached::SocketBuffer) => Some(Attached::Generic),
        _ => None,
    })?;
    let program = xdp.iter().find_map(|xdp| match xdp {
        LinkXdp::ProgId(id) | LinkXdp::DrvProgId(id) | LinkXdp::SkbProgId(id) => Some(*id),
        _ => None,
    });
    Some(Occupant { attached, program: program? })
}

fn local(message: &AddressMessage) -> Option<Ipv4Addr> {
    message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(IpAddr::V4(address)) => Some(*address),
        _ => None,
    })
}

/// Asks for all of a kind.
pub(super) fn dump(request: RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>> {
    ask(request, NLM_F_DUMP)
}

/// Asks, and collects what comes up to its end.
fn ask(request: RouteNetlinkMessage, flags: u16) -> Result<Vec<RouteNetlinkMessage>> {
    let socket = Socket::new(NETLINK_ROUTE).context("opening a netlink socket")?;
    socket.connect(&SocketAddr::new(0, 0)).context("connecting the netlink socket")?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(request));
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);
    socket.send(&bytes, 0).context("asking netlink")?;

    let mut found = Vec::new();
    loop {
        let (bytes, _) = socket.recv_from_full().context("reading netlink")?;
        for message in messages(&bytes) {
            match message?.payload {
                NetlinkPayload::Done(_) => return Ok(found),
                NetlinkPayload::Error(error) if error.code.is_none() => return Ok(found),
                NetlinkPayload::Error(error) if error.raw_code() == -libc::ENODEV => return Ok(found),
                NetlinkPayload::Error(error) => bail!("netlink: {error}"),
                NetlinkPayload::InnerMessage(inner) => found.push(inner),
                _ => {}
            }
        }
    }
}

/// The messages of a datagram.
fn messages(bytes: &[u8]) -> impl Iterator<Item = Result<NetlinkMessage<RouteNetlinkMessage>>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).context("decoding netlink");
        let length = message.as_ref().map_or(0, |message| message.header.length as usize);
        // What can't be decoded ends the datagram: there is no telling where the next begins.
        rest = if length == 0 { &[] } else { rest.get(length.next_multiple_of(4)..).unwrap_or_default() };
        Some(message)
    })
}

/// Tells when something about interfaces or their IPv4 addresses may have changed.
pub struct Changes(Socket);

impl Changes {
    /// Begins to listen.
    ///
    /// # Errors
    /// When netlink fails.
    pub fn listen() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.add_membership(libc::RTNLGRP_LINK)?;
        socket.add_membership(libc::RTNLGRP_IPV4_IFADDR)?;
        socket.set_non_blocking(true)?;
        Ok(Self(socket))
    }

    /// Reads all waiting reports, if there are any; returns the interfaces that were moved into another network
    /// namespace, by their index here. The caller reads all else anew: reports may be incomplete.
    pub fn take(&self) -> Option<Vec<u32>> {
        let mut moved = Vec::new();
        let mut told = false;
        loop {
            let bytes = match self.0.recv_from_full() {
                Ok((bytes, _)) => bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return told.then_some(moved),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // More was told than there was room for, most likely.
                Err(error) => {
                    tracing::debug!(%error, "changes of interfaces were missed");
                    return Some(moved);
                }
            };
            told = true;
            for message in messages(&bytes).map_while(Result::ok) {
                if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link)) = message.payload
                    && link.attributes.iter().any(|what| matches!(what, LinkAttribute::NewNetnsId(_)))
                {
                    moved.push(link.header.index);
                }
            }
        }
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Changes {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bond_is_told_from_other_interfaces() {
        let of_kind = |kind| {
            let mut link = LinkMessage::default();
            link.attributes =
                vec![LinkAttribute::Mtu(1500), LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)])];
            link
        };
        assert!(is_bond_in(&of_kind(InfoKind::Bond)));
        assert!(!is_bond_in(&of_kind(InfoKind::Bridge)));
        assert!(!is_bond_in(&LinkMessage::default()));
    }
}
