//! dnsmasq's tags: the lines that set a tag make a class of ours, and the lines for a tag belong to that class.

use std::collections::BTreeMap;

use super::dnsmasq_options::{boot, code_of, option};
use super::dnsmasq_syntax::{Line, Wanted};
use super::draft::{Block, quoted};
use super::draft_match::{Matches, Value, written};
use super::leases::octets;

/// The tags of a configuration.
#[derive(Default)]
pub(super) struct Tags {
    /// Tags by what clients send: the lines that set each, in their order.
    classes: Vec<(String, Vec<Line>)>,
    /// The lines for the clients of one tag.
    by_tag: BTreeMap<String, Vec<Line>>,
    /// The lines for all clients.
    pub(super) everybody: Vec<Line>,
    /// The boot lines of each subnet.
    pub(super) boot: Vec<Line>,
    used: Vec<String>,
}

impl Tags {
    /// Whether a line says who has a tag.
    pub(super) fn has(line: &Line) -> bool {
        matches!(
            line.key.as_str(),
            "dhcp-vendorclass"
                | "dhcp-userclass"
                | "dhcp-mac"
                | "dhcp-circuitid"
                | "dhcp-remoteid"
                | "dhcp-match"
        )
    }

    pub(super) fn of(lines: &[Line]) -> Self {
        let mut tags = Self::default();
        for line in lines.iter().filter(|line| Self::has(line)) {
            let wanted = Wanted::of(line);
            // Before there were prefixes the first part was the tag.
            let name = wanted
                .sets
                .first()
                .or(wanted.rest.first())
                .map(|name| (*name).to_owned())
                .unwrap_or_default();
            match tags.classes.iter_mut().find(|(known, _)| *known == name) {
                Some((_, lines)) => lines.push(line.clone()),
                None => tags.classes.push((name, vec![line.clone()])),
            }
        }
        tags
    }

    pub(super) fn is_class(&self, name: &str) -> bool {
        self.classes.iter().any(|(known, lines)| known == name && matches(lines).is_ok())
    }

    /// Where a line with these tags belongs.
    /// `of_ranges` are the tags that ranges set.
    pub(super) fn home(&mut self, wanted: &Wanted<'_>, of_ranges: &[&str]) -> Result<&mut Vec<Line>, String> {
        match wanted.tags[..] {
            [] => Ok(&mut self.everybody),
            [tag] if tag.starts_with('!') => Err(format!(
                "it is for clients without tag \"{tag}\": give it to all, and another value to the class"
            )),
            // A range and what is in it have their own; a host's is looked for with the hosts.
            [tag] => Ok(self.by_tag.entry(tag.to_owned()).or_default()),
            [first, second] if of_ranges.iter().any(|set| *set == first || *set == second) => {
                Err("a class holds in all subnets: what is for a class in one subnet only has no place"
                    .to_owned())
            }
            _ => {
                Err("it is for clients with all of these tags: write a [[class]] whose `match` has them all"
                    .to_owned())
            }
        }
    }

    /// The lines for clients in a range that sets this tag.
    pub(super) fn of_range(&mut self, set: &str) -> &[Line] {
        self.of_host(set)
    }

    /// The lines for a host with this tag.
    pub(super) fn of_host(&mut self, set: &str) -> &[Line] {
        if self.is_class(set) {
            return &[];
        }
        self.used.push(set.to_owned());
        self.by_tag.get(set).map(Vec::as_slice).unwrap_or_default()
    }

    /// Its classes, with their lines.
    pub(super) fn classes(&mut self, blocks: &mut Vec<Block>) {
        for (name, lines) in std::mem::take(&mut self.classes) {
            let Some(first) = lines.first() else { continue };
            let mut block = Block::new("[[class]]", &first.at);
            block.needed(&first.at, "name", quoted(&name));
            match matches(&lines) {
                Ok(matches) => {
                    block.needed(&first.at, "match", written(&matches));
                    self.used.push(name.clone());
                    let inexact =
                        |line: &&Line| matches!(line.key.as_str(), "dhcp-vendorclass" | "dhcp-userclass");
                    if let Some(line) = lines.iter().find(inexact) {
                        block.note(
                            &line.at,
                            format!(
                                "{}: found anywhere in the text there, only at its beginning here",
                                line.shown()
                            ),
                        );
                    }
                    for line in self.by_tag.get(&name).into_iter().flatten() {
                        if line.key == "dhcp-boot" {
                            boot(&mut block, line);
                        } else {
                            option(&mut block, line);
                        }
                    }
                }
                Err(why) => {
                    block.refused = Some(why);
                    for line in &lines {
                        block.note(&line.at, line.shown());
                    }
                }
            }
            blocks.push(block);
        }
    }

    /// Says what was for a tag that nobody has here.
    pub(super) fn unused(&self, server: &mut Block) {
        for (tag, lines) in &self.by_tag {
            if !self.used.contains(tag) {
                for line in lines {
                    let what =
                        format!("{}: no class, pool or reservation here has tag \"{tag}\"", line.shown());
                    server.note(&line.at, what);
                }
            }
        }
    }
}

/// What a tag's clients have in common: one thing, of several values.
fn matches(lines: &[Line]) -> Result<Matches, String> {
    let mut all = Matches::new();
    for line in lines {
        let (key, value) =
            match_of(line).ok_or_else(|| format!("{}: `match` has nothing like it", line.shown()))?;
        all.entry(key).or_default().push(value);
    }
    if all.len() == 1 {
        Ok(all)
    } else {
        Err("several things give this tag, and a class must fit in all of its `match`".to_owned())
    }
}

fn match_of(line: &Line) -> Option<(&'static str, Value)> {
    let wanted = Wanted::of(line);
    let rest = wanted.rest.get(usize::from(wanted.sets.is_empty())..)?;
    let text = |text: &str| text.as_bytes().to_vec();
    let exactly = |octets| Value { octets, is_beginning: false };
    match (line.key.as_str(), rest) {
        ("dhcp-vendorclass", [beginning]) => {
            Some(("vendor-class", Value { octets: text(beginning), is_beginning: true }))
        }
        ("dhcp-userclass", [beginning]) => {
            Some(("user-class", Value { octets: text(beginning), is_beginning: true }))
        }
        ("dhcp-mac", [address]) => hw_address(address).map(|value| ("hw-address", value)),
        ("dhcp-circuitid", [id]) => Some(("circuit-id", exactly(octets(id).unwrap_or_else(|| text(id))))),
        ("dhcp-remoteid", [id]) => Some(("remote-id", exactly(octets(id).unwrap_or_else(|| text(id))))),
        ("dhcp-match", [option, value @ ..]) => {
            let code = if let Some(name) = option.strip_prefix("vi-encap:") {
                name.parse::<u8>().ok().and(None)
            } else {
                code_of(option)
            };
            let key = match code? {
                60 => "vendor-class",
                61 => "client-id",
                77 => "user-class",
                93 => "architecture",
                _ => return None,
            };
            match value {
                [] if key != "architecture" => Some((key, Value { octets: Vec::new(), is_beginning: true })),
                [number] if key == "architecture" => {
                    Some((key, exactly(number.parse::<u16>().ok()?.to_be_bytes().to_vec())))
                }
                [value] => match value.strip_suffix('*') {
                    Some(beginning) => Some((key, Value { octets: text(beginning), is_beginning: true })),
                    None => Some((
                        key,
                        exactly(octets(value).filter(|_| value.contains(':')).unwrap_or_else(|| text(value))),
                    )),
                },
                _ => None,
            }
        }
        _ => None,
    }
}

/// A hardware address, perhaps with `*` for octets at its end.
fn hw_address(text: &str) -> Option<Value> {
    let first = text.trim_end_matches(":*");
    let first = first.rsplit('-').next()?;
    let octets = octets(first)?;
    let is_beginning = octets.len() < 6;
    Some(Value { octets, is_beginning })
}
