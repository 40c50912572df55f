//! What the kernel says of its interfaces, by netlink.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result, bail};
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkMessage, LinkXdp, XdpAttached};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::kernel::Attached;
use crate::policy::Interface;

/// The interfaces of this network namespace with their IPv4 addresses, in the kernel's order.
///
/// # Errors
/// When netlink fails.
pub fn interfaces() -> Result<Vec<Interface>> {
    let mut interfaces = Vec::new();
    for message in dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))? {
        if let RouteNetlinkMessage::NewLink(link) = message {
            interfaces.extend(described(&link));
        }
    }
    for message in dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))? {
        if let RouteNetlinkMessage::NewAddress(message) = message
            && let Some(address) = local(&message)
            && let Some(interface) =
                interfaces.iter_mut().find(|interface| interface.ifindex == message.header.index)
        {
            interface.addresses.push(address);
        }
    }
    Ok(interfaces)
}

/// How an XDP program is attached to an interface, if one is.
///
/// # Errors
/// When netlink fails.
pub fn xdp_mode(ifindex: u32) -> Result<Option<Attached>> {
    for message in dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))? {
        let RouteNetlinkMessage::NewLink(link) = message else { continue };
        if link.header.index != ifindex {
            continue;
        }
        let xdp = link.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::Xdp(xdp) => Some(xdp),
            _ => None,
        });
        return Ok(xdp.into_iter().flatten().find_map(|xdp| match xdp {
            LinkXdp::Attached(XdpAttached::Driver | XdpAttached::Hardware) => Some(Attached::Native),
            LinkXdp::Attached(XdpAttached::SocketBuffer) => Some(Attached::Generic),
            _ => None,
        }));
    }
    Ok(None)
}

fn described(link: &LinkMessage) -> Option<Interface> {
    let mut name = None;
    let mut mac = None;
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(value) => name = Some(value.clone()),
            LinkAttribute::Address(value) => mac = <[u8; 6]>::try_from(value.as_slice()).ok(),
            _ => {}
        }
    }
    Some(Interface { name: name?, ifindex: link.header.index, mac: mac?, addresses: Vec::new() })
}

fn local(message: &AddressMessage) -> Option<Ipv4Addr> {
    message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(IpAddr::V4(address)) => Some(*address),
        _ => None,
    })
}

/// Asks for all of a kind and collects what comes.
fn dump(request: RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>> {
    let socket = Socket::new(NETLINK_ROUTE).context("opening a netlink socket")?;
    socket.connect(&SocketAddr::new(0, 0)).context("connecting the netlink socket")?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(request));
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);
    socket.send(&bytes, 0).context("asking netlink")?;

    let mut found = Vec::new();
    loop {
        let (bytes, _) = socket.recv_from_full().context("reading netlink")?;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let message =
                NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).context("decoding netlink")?;
            let len = usize::try_from(message.header.length)?.next_multiple_of(4).min(rest.len());
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(found),
                NetlinkPayload::Error(error) => bail!("netlink: {error}"),
                NetlinkPayload::InnerMessage(inner) => found.push(inner),
                _ => {}
            }
            if len == 0 {
                break;
            }
            rest = &rest[len..];
        }
    }
}
