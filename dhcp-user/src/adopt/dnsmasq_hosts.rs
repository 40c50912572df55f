//! dnsmasq's `dhcp-host`: clients with an address of their own.

use std::net::Ipv4Addr;

use super::dnsmasq_options::{boot, option};
use super::dnsmasq_ranges::time;
use super::dnsmasq_syntax::{Line, Wanted};
use super::dnsmasq_tags::Tags;
use super::draft::{Block, quoted, seconds};
use super::draft_subnets::holds;
use super::leases::{colons, octets};

/// Writes each client into the subnet of its address.
pub(super) fn hosts(lines: &[Line], tags: &mut Tags, subnets: &mut [Vec<Block>], server: &mut Block) {
    for line in lines.iter().filter(|line| line.key == "dhcp-host") {
        let (block, address) = host(line, tags);
        let home = subnets.iter_mut().find(|blocks| address.is_some_and(|address| holds(blocks, address)));
        match home {
            Some(home) => home.push(block),
            None => {
                let why = match address {
                    Some(address) => format!("{address} is no address in one of the subnets"),
                    None => "it has no IPv4 address".to_owned(),
                };
                server.note(&line.at, format!("{} is left out: {why}", line.shown()));
                server.left_out(&block);
            }
        }
    }
}

fn host(line: &Line, tags: &mut Tags) -> (Block, Option<Ipv4Addr>) {
    let at = &line.at;
    let mut block = Block::new("[[subnet.reservation]]", at);
    let wanted = Wanted::of(line);
    let (mut address, mut has_key) = (None, false);
    if !wanted.tags.is_empty() {
        block.refused = Some("it is for clients with certain tags only".to_owned());
    }
    for part in &wanted.rest {
        let id = part.strip_prefix("id:");
        let key = match (id, octets(part.rsplit('-').next().unwrap_or_default())) {
            (Some("*"), _) => {
                block.note(at, "id:*: a reservation by hw-address holds whatever identifier is sent");
                continue;
            }
            (Some(id), _) => Some((
                "client-id",
                octets(id).filter(|_| id.contains(':')).unwrap_or_else(|| id.as_bytes().to_vec()),
            )),
            (None, Some(octets)) if octets.len() == 6 => Some(("hw-address", octets)),
            _ => None,
        };
        match key {
            Some((key, octets)) if !has_key => {
                has_key = true;
                block.needed(at, key, quoted(&colons(&octets)));
            }
            Some((key, octets)) => block
                .note(at, format!("{key} {}: an address is reserved for one client here", colons(&octets))),
            None => match (*part, part.parse::<Ipv4Addr>()) {
                ("", _) => {}
                ("ignore", _) => block.refused = Some("its client is ignored: nobody is, here".to_owned()),
                (_, Ok(parsed)) => {
                    address = Some(parsed);
                    block.needed(at, "address", quoted(part));
                }
                (part, _) if part.starts_with('[') => {
                    block.note(at, format!("{part}: DHCPv6 is another server's"));
                }
                (part, _) if part.starts_with(|c: char| c.is_ascii_digit()) && time(part).is_some() => {
                    block.key(at, "lease-time", seconds(time(part).unwrap_or_default()));
                }
                ("infinite", _) => block.key(at, "lease-time", seconds(crate::config::LONGEST_TIME.into())),
                (part, _) if part.contains('*') => {
                    block.note(at, format!("{part}: a hardware address with a wildcard is a [[class]]'s"));
                }
                (part, _) => block.key(at, "host-name", quoted(part)),
            },
        }
    }
    if !has_key && block.refused.is_none() {
        block.refused =
            Some("a client is not known by its name here: add its hw-address or client-id".to_owned());
    }
    for set in &wanted.sets {
        let lines = tags.of_host(set).to_vec();
        if lines.is_empty() {
            block.note(at, format!("set:{set}: nothing is for that tag alone"));
        }
        for line in lines {
            if line.key == "dhcp-boot" { boot(&mut block, &line) } else { option(&mut block, &line) }
        }
    }
    (block, address)
}
