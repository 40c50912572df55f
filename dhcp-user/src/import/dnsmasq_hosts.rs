//! dnsmasq's `dhcp-host`: clients with an address or terms of their own, and those that get no answer.

use std::net::Ipv4Addr;

use super::dnsmasq_options::{boot, option};
use super::dnsmasq_ranges::time;
use super::dnsmasq_syntax::{Line, Wanted};
use super::dnsmasq_tags::{Tags, hw_address};
use super::draft::{Block, list, quoted, seconds};
use super::draft_match::Value;
use super::draft_subnets::holds;
use super::leases::{colons, octets};

/// Writes each client into the subnet of its address, or into all if it has none.
pub(super) fn hosts(lines: &[Line], tags: &mut Tags, subnets: &mut [Vec<Block>], server: &mut Block) {
    for line in lines.iter().filter(|line| line.key == "dhcp-host" && !Tags::is_of_many(line)) {
        if Wanted::of(line).rest.contains(&"ignore") {
            if let Err(why) = ignored(line, tags) {
                server.note(&line.at, format!("{} is left out: {why}", line.shown()));
            }
            continue;
        }
        let (block, address) = host(line, tags);
        let is_for_all = address.is_none()
            && block.refused.is_none()
            && (block.gives_more_than_an_identity() || tags.ask_known());
        if is_for_all && !subnets.is_empty() {
            subnets.iter_mut().for_each(|blocks| blocks.push(block.clone()));
            continue;
        }
        let home = subnets.iter_mut().find(|blocks| address.is_some_and(|address| holds(blocks, address)));
        match home {
            Some(home) => home.push(block),
            None => {
                let why = match (address, &block.refused) {
                    (Some(address), _) => format!("{address} is no address in one of the subnets"),
                    (None, Some(why)) => why.clone(),
                    (None, None) => "it has no IPv4 address, and nothing else for its client".to_owned(),
                };
                server.note(&line.at, format!("{} is left out: {why}", line.shown()));
                server.left_out(&block);
            }
        }
    }
}

/// Gives no answer to the clients of a line with `ignore`.
fn ignored(line: &Line, tags: &mut Tags) -> Result<(), &'static str> {
    let wanted = Wanted::of(line);
    if !wanted.tags.is_empty() {
        return Err("it is for clients with certain tags only");
    }
    let mut found = Vec::new();
    for part in wanted.rest.iter().filter(|part| !matches!(**part, "ignore" | "")) {
        match part.strip_prefix("id:") {
            Some("*") => return Err("it is for clients with any identifier"),
            Some(id) => found.push(("client-id", Value { octets: identifier(id), is_beginning: false })),
            None => match hw_address(part).filter(|_| part.contains(':')) {
                Some(value) => found.push(("hw-address", value)),
                None => {
                    return Err("a client is not known by its name here: add its hw-address or client-id");
                }
            },
        }
    }
    for (key, value) in found {
        tags.ignore(&line.at, key, value);
    }
    Ok(())
}

/// The octets of a client identifier: a text's own where it isn't written in digits.
fn identifier(id: &str) -> Vec<u8> {
    octets(id).filter(|_| id.contains(':')).unwrap_or_else(|| id.as_bytes().to_vec())
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
            (Some(id), _) => Some(("client-id", identifier(id))),
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
    let (classes, sets): (Vec<&str>, Vec<&str>) = wanted.sets.iter().partition(|set| tags.is_by_host(set));
    if !classes.is_empty() {
        block.key(at, "class", list(classes));
    }
    for set in sets {
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
