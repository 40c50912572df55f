//! dnsmasq's `dhcp-range`: addresses, and with them the subnet that they are in.

use std::net::Ipv4Addr;

use super::dnsmasq_options::option;
use super::dnsmasq_syntax::{Line, Wanted};
use super::dnsmasq_tags::Tags;
use super::draft::{Block, list, quoted, seconds};
use super::draft_subnets::{canonical, pool_range};
use super::origin::At;

/// The lease time where none is written.
const LEASE_TIME: u64 = 3600;
/// The shortest that is taken there.
const SHORTEST: u64 = 120;

/// Addresses of a subnet.
pub(super) struct Range {
    pub(super) at: At,
    first: Ipv4Addr,
    /// None if only reservations are served.
    last: Option<Ipv4Addr>,
    mask: Option<Ipv4Addr>,
    lease_time: u64,
    wanted: Vec<String>,
    pub(super) sets: Vec<String>,
    without_equivalent: Vec<String>,
}

impl Range {
    pub(super) fn of(line: &Line) -> Result<Self, String> {
        let wanted = Wanted::of(line);
        let mut rest = wanted.rest.iter().copied();
        let first = rest.next().unwrap_or_default();
        let Ok(first) = first.parse() else {
            return Err("it has no IPv4 address at its beginning; DHCPv6 is another server's".to_owned());
        };
        let mut range = Self {
            at: line.at.clone(),
            first,
            last: None,
            mask: None,
            lease_time: LEASE_TIME,
            wanted: wanted.tags.iter().map(|tag| (*tag).to_owned()).collect(),
            sets: wanted.sets.iter().map(|tag| (*tag).to_owned()).collect(),
            without_equivalent: Vec::new(),
        };
        for (place, part) in rest.enumerate() {
            match (part, part.parse::<Ipv4Addr>()) {
                ("static", _) => {}
                ("proxy", _) => return Err("a proxy for PXE gives no addresses".to_owned()),
                ("", _) => {}
                (_, Ok(address)) if place == 0 => range.last = Some(address),
                (_, Ok(address)) if range.mask.is_none() => range.mask = Some(address),
                (broadcast, Ok(_)) => range
                    .without_equivalent
                    .push(format!("{broadcast}: the broadcast address is that of the prefix")),
                (part, _) => match time(part) {
                    Some(time) => range.lease_time = time,
                    None => range
                        .without_equivalent
                        .push(format!("{part}: it is unknown here, and not looked at")),
                },
            }
        }
        Ok(range)
    }

    /// The subnet, by the mask that is written, or else the smallest with both ends up to 254 hosts.
    pub(super) fn prefix(&self) -> String {
        let last = self.last.unwrap_or(self.first);
        let length = match self.mask {
            Some(mask) => mask.to_bits().leading_ones(),
            None => (self.first.to_bits() ^ last.to_bits()).leading_zeros().min(24),
        };
        canonical(&format!("{}/{length}", self.first))
    }

    pub(super) fn subnet(&self, block: &mut Block, authoritative: Option<&At>, bootp: bool) {
        let at = &self.at;
        block.needed(at, "prefix", quoted(&self.prefix()));
        if self.mask.is_none() {
            block.note(at, "no netmask is written there, but the interface's is meant: put the prefix right");
        }
        block.key(at, "lease-time", seconds(self.lease_time));
        // A client gets what it asks for there, up to what is configured.
        block.key(at, "min-lease-time", seconds(SHORTEST.min(self.lease_time)));
        block.key(authoritative.unwrap_or(at), "authoritative", authoritative.is_some().to_string());
        block.key(at, "bootp", if bootp { "\"dynamic\"" } else { "true" });
    }

    /// Its pool, if it has one, for those who have its tags and with what is for those it sets.
    pub(super) fn pool(&self, tags: &mut Tags) -> Option<Block> {
        let at = &self.at;
        let mut block = Block::new("[[subnet.pools]]", at);
        let prefix = self.prefix();
        pool_range(&mut block, at, Some(&prefix), &format!("{} - {}", self.first, self.last?));
        if self.lease_time != LEASE_TIME {
            block.key(at, "lease-time", seconds(self.lease_time));
        }
        let (mut allow, mut deny) = (Vec::new(), Vec::new());
        for tag in &self.wanted {
            let (name, list) = match tag.strip_prefix(['!', '#']) {
                Some(name) => (name, &mut deny),
                None => (tag.as_str(), &mut allow),
            };
            if tags.is_class(name) {
                list.push(name);
            } else {
                block.refused =
                    Some(format!("it is for clients with tag \"{tag}\", and no class here has that name"));
            }
        }
        if allow.len() > 1 {
            block.refused = Some(
                "it is for clients with all of these tags; a pool here is for any of its classes".to_owned(),
            );
        }
        for (key, names) in [("allow", allow), ("deny", deny)] {
            if !names.is_empty() {
                block.needed(at, key, list(names));
            }
        }
        for what in &self.without_equivalent {
            block.note(at, what);
        }
        for set in &self.sets {
            for line in tags.of_range(set) {
                if line.key == "dhcp-boot" {
                    super::dnsmasq_options::boot(&mut block, line);
                } else {
                    option(&mut block, line);
                }
            }
        }
        Some(block)
    }
}

/// A time in seconds, or with `m`, `h`, `d`, `w` behind it; or for good.
pub(super) fn time(text: &str) -> Option<u64> {
    if text == "infinite" {
        return Some(crate::config::LONGEST_TIME.into());
    }
    let digits = text.trim_end_matches(['s', 'm', 'h', 'd', 'w', 'S', 'M', 'H', 'D', 'W']);
    let unit = text.get(digits.len()..)?;
    let unit: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    Some(
        digits
            .parse::<u64>()
            .ok()?
            .saturating_mul(unit)
            .max(SHORTEST)
            .min(crate::config::LONGEST_TIME.into()),
    )
}
