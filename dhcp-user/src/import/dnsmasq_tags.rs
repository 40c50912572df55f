//! dnsmasq's tags: the lines that set a tag make a class of ours, and the lines for a tag belong to that class.

use std::collections::BTreeMap;

use super::dnsmasq_options::{boot, code_of, option};
use super::dnsmasq_syntax::{Line, Wanted};
use super::draft::{Block, quoted};
use super::draft_match::{Matches, Value, both, class, known, nobody, written};
use super::leases::octets;
use super::origin::At;

/// The tag of clients with a `dhcp-host`.
const KNOWN: &str = "known";
/// And of those without one, as lines for them have it.
const UNKNOWN: &str = "!known";

/// The tags of a configuration.
#[derive(Default)]
pub(super) struct Tags {
    /// Tags that are classes here, in their order.
    classes: Vec<Class>,
    /// The lines for the clients of one tag.
    by_tag: BTreeMap<String, Vec<Line>>,
    /// The lines for all clients.
    pub(super) everybody: Vec<Line>,
    /// The boot lines of each subnet.
    pub(super) boot: Vec<Line>,
    used: Vec<String>,
    /// The clients that get no answer, by what they are known by.
    ignored: BTreeMap<&'static str, (At, Vec<Value>)>,
}

/// Who has a tag.
struct Class {
    name: String,
    at: At,
    by: By,
    /// Where it is said that they get no answer.
    dropped: Option<At>,
}

enum By {
    /// What the client sends: the lines that say so.
    Lines(Vec<Line>),
    /// Whether it has a `dhcp-host`.
    Known(bool),
    /// Its `dhcp-host`.
    Host,
    /// All of several tags.
    All(Matches),
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
                | "dhcp-subscrid"
                | "dhcp-match"
        ) || Self::is_of_many(line)
    }

    /// Whether a `dhcp-host` gives a tag to all whose hardware addresses begin so, and nothing else.
    pub(super) fn is_of_many(line: &Line) -> bool {
        let wanted = Wanted::of(line);
        let [address] = wanted.rest[..] else { return false };
        line.key == "dhcp-host"
            && !wanted.sets.is_empty()
            && wanted.tags.is_empty()
            && address.ends_with(":*")
            && hw_address(address).is_some()
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
            match tags.classes.iter_mut().find(|class| class.name == name) {
                Some(Class { by: By::Lines(lines), .. }) => lines.push(line.clone()),
                _ => tags.add(&line.at, &name, By::Lines(vec![line.clone()])),
            }
        }
        let of_hosts: Vec<&str> = lines
            .iter()
            .filter(|line| line.key == "dhcp-host" && !Self::has(line))
            .flat_map(|line| Wanted::of(line).sets)
            .collect();
        for line in lines.iter().filter(|line| line.key.starts_with("dhcp-")) {
            for tag in asked(line) {
                let name = tag.trim_start_matches(['!', '#']);
                let is_there = |tags: &Self, name: &str| tags.classes.iter().any(|class| class.name == name);
                let of_range = line.key == "dhcp-range";
                if name == KNOWN {
                    // A pool denies the class of all who have a tag.
                    let is_known = tag == KNOWN || of_range;
                    let name = if is_known { KNOWN } else { UNKNOWN };
                    if !is_there(&tags, name) {
                        tags.add(&line.at, name, By::Known(is_known));
                    }
                } else if of_hosts.contains(&name)
                    && !is_there(&tags, name)
                    && matches!(line.key.as_str(), "dhcp-range" | "dhcp-ignore")
                {
                    tags.add(&line.at, name, By::Host);
                }
            }
        }
        tags
    }

    fn add(&mut self, at: &At, name: &str, by: By) {
        self.classes.push(Class { name: name.to_owned(), at: at.clone(), by, dropped: None });
    }

    pub(super) fn is_class(&self, name: &str) -> bool {
        self.classes.iter().any(|class| class.name == name && class.by.condition().is_ok())
    }

    /// Whether it is a class that only a `dhcp-host` puts its client into.
    pub(super) fn is_by_host(&self, name: &str) -> bool {
        self.classes.iter().any(|class| class.name == name && matches!(class.by, By::Host))
    }

    /// Whether it matters if a client has a `dhcp-host`.
    pub(super) fn ask_known(&self) -> bool {
        self.classes.iter().any(|class| class.by.asks_known())
    }

    /// Gives no answer to the clients with this value of this key.
    pub(super) fn ignore(&mut self, at: &At, key: &'static str, value: Value) {
        self.ignored.entry(key).or_insert_with(|| (at.clone(), Vec::new())).1.push(value);
    }

    /// Gives no answer to the clients that have all tags of a `dhcp-ignore`, or says why they get one.
    pub(super) fn ignore_tagged(&mut self, line: &Line) -> Result<(), String> {
        let tags = asked(line);
        if let [tag] = tags[..]
            && let Some(class) = self.classes.iter_mut().find(|class| class.name == tag.replace('#', "!"))
            && class.by.condition().is_ok()
        {
            class.dropped = Some(line.at.clone());
            return Ok(());
        }
        let mut all = Matches::new();
        for tag in &tags {
            let found = self.classes.iter().find(|class| class.name == tag.replace('#', "!"));
            let one = found.and_then(|class| class.by.condition().ok()).ok_or_else(|| match *tag {
                tag if tag.starts_with(['!', '#']) => {
                    format!("a class here is of clients that have something, not of those without \"{tag}\"")
                }
                tag => format!("no class here has tag \"{tag}\""),
            })?;
            all = both(all, one).ok_or("a class has one list of values for each thing that is compared")?;
        }
        if all.is_empty() {
            return Err("it names no tag".to_owned());
        }
        let name = format!("ignored: {}", tags.join(", "));
        let (at, dropped) = (line.at.clone(), Some(line.at.clone()));
        self.classes.push(Class { name, at, by: By::All(all), dropped });
        Ok(())
    }

    /// Where a line with these tags belongs.
    /// `of_ranges` are the tags that ranges set.
    pub(super) fn home(&mut self, wanted: &Wanted<'_>, of_ranges: &[&str]) -> Result<&mut Vec<Line>, String> {
        match wanted.tags[..] {
            [] => Ok(&mut self.everybody),
            ["!known" | "#known"] => Ok(self.by_tag.entry(UNKNOWN.to_owned()).or_default()),
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
        for of_tag in std::mem::take(&mut self.classes) {
            let Class { name, at, by, dropped } = of_tag;
            let mut block = match by.condition() {
                Ok(matches) => {
                    let mut block = Block::new("[[class]]", &at);
                    block.needed(&at, "name", quoted(&name));
                    block.needed(&at, "match", written(&matches));
                    self.used.push(name.clone());
                    self.lines_for(&name, &mut block);
                    block
                }
                Err(why) => {
                    let mut block = Block::new("[[class]]", &at);
                    block.needed(&at, "name", quoted(&name));
                    block.refused = Some(why);
                    by.lines().iter().for_each(|line| block.note(&line.at, line.shown()));
                    block
                }
            };
            if block.refused.is_none() {
                by.explain(&at, &mut block);
            }
            if let Some(at) = dropped {
                block.needed(&at, "drop", "true");
            }
            blocks.push(block);
        }
        for (key, (at, values)) in std::mem::take(&mut self.ignored) {
            let mut block = class(&at, &format!("ignored, by {key}"), &Matches::from([(key, values)]));
            block.needed(&at, "drop", "true");
            blocks.push(block);
        }
    }

    fn lines_for(&self, name: &str, block: &mut Block) {
        for line in self.by_tag.get(name).into_iter().flatten() {
            if line.key == "dhcp-boot" { boot(block, line) } else { option(block, line) }
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

impl By {
    /// What the clients have in common: one thing, of several values.
    fn condition(&self) -> Result<Matches, String> {
        match self {
            Self::Lines(lines) => matches(lines),
            Self::Known(is_known) => Ok(known(*is_known)),
            Self::Host => Ok(nobody()),
            Self::All(matches) => Ok(matches.clone()),
        }
    }

    fn lines(&self) -> &[Line] {
        if let Self::Lines(lines) = self { lines } else { &[] }
    }

    fn asks_known(&self) -> bool {
        match self {
            Self::Known(_) => true,
            Self::All(matches) => matches.contains_key("known"),
            Self::Lines(_) | Self::Host => false,
        }
    }

    /// Says where the class differs from what the tag means.
    fn explain(&self, at: &At, block: &mut Block) {
        match self {
            Self::Lines(lines) => {
                for line in lines.iter().skip(1) {
                    block.holds(&line.at, format!("{}: in the `match` above", line.shown()));
                }
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
            }
            Self::Host => {
                block.note(at, "only reservations put clients into it: no client has this hardware address");
            }
            Self::Known(_) | Self::All(_) => {}
        }
    }
}

/// The tags that a line is for.
fn asked(line: &Line) -> Vec<&str> {
    let wanted = Wanted::of(line);
    // Before there were prefixes these were tags.
    let bare = if line.key == "dhcp-ignore" { wanted.rest } else { Vec::new() };
    wanted.tags.into_iter().chain(bare).collect()
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
        ("dhcp-mac" | "dhcp-host", [address]) => hw_address(address).map(|value| ("hw-address", value)),
        ("dhcp-circuitid", [id]) => Some(("circuit-id", exactly(octets(id).unwrap_or_else(|| text(id))))),
        ("dhcp-subscrid", [id]) => Some(("subscriber-id", exactly(octets(id).unwrap_or_else(|| text(id))))),
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
pub(super) fn hw_address(text: &str) -> Option<Value> {
    let first = text.trim_end_matches(":*");
    let first = first.rsplit('-').next()?;
    let octets = octets(first)?;
    let is_beginning = octets.len() < 6;
    Some(Value { octets, is_beginning })
}
