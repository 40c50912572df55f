//! ISC dhcpd's classes, as far as a `[[class]]` can match the same.

use std::collections::BTreeMap;

use super::draft::{Block, quoted};
use super::draft_match::{Matches, Value, both, class, known, written};
use super::isc_meaning::note_all;
use super::isc_scopes::{Definitions, Scope};
use super::isc_syntax::{Statement, Word};
use super::leases::colons;
use super::origin::At;

/// The value that a class is matched by.
#[derive(Clone, Copy, Debug)]
struct Subject {
    key: &'static str,
    /// How many octets from the beginning, if not all.
    first: Option<usize>,
    /// Whether the type of the hardware is before the address.
    with_type: bool,
}

/// The classes of a configuration, by name.
#[derive(Debug, Default)]
pub(super) struct Classes {
    blocks: Vec<Block>,
    /// The classes whose members are subclasses: their subject, and their values.
    by_value: BTreeMap<String, (Subject, At, Vec<Value>)>,
    known: Vec<String>,
    /// How many leases the clients of a circuit may hold together.
    per_circuit: Option<(String, At)>,
    /// The clients that get no answer, by what they are known by.
    unserved: BTreeMap<&'static str, (At, Vec<Value>)>,
}

/// The names of the classes that stand for clients with a `host`, and for those without.
const KNOWN: [&str; 2] = ["unknown clients", "known clients"];

impl Classes {
    pub(super) fn is_known(&self, name: &str) -> bool {
        self.known.iter().any(|known| known == name)
    }

    /// The class of the clients that have a `host`, or of those that have none.
    pub(super) fn of_known(&mut self, is_known: bool, at: &At) -> String {
        let name = if is_known { KNOWN[1] } else { KNOWN[0] };
        if !self.is_known(name) {
            let mut block = class(at, name, &known(is_known));
            block.note(at, "known there: it has a host declaration; here: it has a reservation in the subnet that it is served from");
            self.blocks.push(block);
            self.known.push(name.to_owned());
        }
        name.to_owned()
    }

    /// Whether a pool with these classes is for clients with a `host`, or for those without.
    pub(super) fn asks_known(listed: &str) -> bool {
        KNOWN.iter().any(|name| listed.contains(&quoted(name)))
    }

    /// Gives no answer to the client with this identifier, as [`host_key`] writes it.
    pub(super) fn leave_unserved(&mut self, key: &'static str, value: &str, at: &At) {
        let Some(octets) = super::leases::octets(value) else { return };
        let (_, values) = self.unserved.entry(key).or_insert_with(|| (at.clone(), Vec::new()));
        values.push(Value { octets, is_beginning: false });
    }

    /// The limit on the leases of each circuit, and its place.
    pub(super) fn per_circuit(&self) -> Option<&(String, At)> {
        self.per_circuit.as_ref()
    }

    /// Takes `class "NAME" { … }`.
    pub(super) fn class(&mut self, statement: &Statement, outer: &Scope, definitions: &Definitions) {
        let at = &statement.at;
        let name = statement.words.get(1).map(|word| word.text.clone()).unwrap_or_default();
        let mut block = Block::new("[[class]]", at);
        block.needed(at, "name", quoted(&name));
        let mut own = Scope::default();
        let mut matched = None;
        let (mut limit, mut spawned) = (None, None);
        for inner in statement.body() {
            let words = &inner.words[..];
            match inner.texts().as_slice() {
                ["match", "if", ..] => match condition(words.get(2..).unwrap_or_default(), definitions) {
                    Some(matches) => {
                        block.needed(&inner.at, "match", written(&matches));
                        matched = Some(matches);
                    }
                    None => {
                        block.refused =
                            Some(format!("its condition is none that `match` has: {}", inner.shown()));
                    }
                },
                ["match", ..] => match subject(words.get(1..).unwrap_or_default(), definitions) {
                    Some(subject) => {
                        self.by_value.insert(name.clone(), (subject, inner.at.clone(), Vec::new()));
                    }
                    None => {
                        block.refused = Some(format!(
                            "its subclasses are by what `match` has no key for: {}",
                            inner.shown()
                        ));
                    }
                },
                ["spawn", "with", ..] => {
                    let by = subject(words.get(2..).unwrap_or_default(), definitions);
                    spawned = Some((inner, by.filter(|by| by.first.is_none()).map(|by| by.key)));
                }
                ["lease", "limit", count] => limit = Some((inner, (*count).to_owned())),
                _ if own.take(inner) => {}
                _ => note_all(&mut block, inner, meaning(inner)),
            }
        }
        match (spawned, limit) {
            (None, None) => {}
            (None, Some((inner, count))) => block.key(&inner.at, "max-leases", count),
            // A class of each circuit, with a limit: that is a limit of the subnets.
            (Some((inner, Some("circuit-id"))), Some((limit, count)))
                if matched.as_ref().is_none_or(|matches| *matches == any("circuit-id")) =>
            {
                if matched.is_none() {
                    let matches = any("circuit-id");
                    block.needed(&inner.at, "match", written(&matches));
                    matched = Some(matches);
                }
                block.holds(&inner.at, format!("{}: each circuit has max-leases-per-circuit", inner.shown()));
                block.holds(&limit.at, format!("{}: max-leases-per-circuit of the subnets", limit.shown()));
                self.per_circuit = Some((count, limit.at.clone()));
            }
            (Some((inner, _)), limit) => {
                block.refused = Some(format!(
                    "{}: classes don't make others here; [[subnet]] has max-leases-per-circuit and max-leases-per-device",
                    inner.shown()
                ));
                if let Some((limit, _)) = limit {
                    block.note(&limit.at, limit.shown());
                }
            }
        }
        closed(&own, &mut block);
        own.write_own(outer, &mut block);
        for option in &own.options {
            definitions.option(option, &mut block);
        }
        if matched.is_some() && block.refused.is_none() {
            self.known.push(name.clone());
        } else if block.refused.is_none() && !self.by_value.contains_key(&name) {
            block.refused =
                Some("it has no `match`; nothing else puts a client into a class here".to_owned());
        }
        self.blocks.push(block);
    }

    /// Takes `subclass "NAME" VALUE`, with a body or without.
    pub(super) fn subclass(
        &mut self,
        statement: &Statement,
        outer: &Scope,
        definitions: &Definitions,
    ) -> bool {
        let [_, name, value] = &statement.words[..] else { return false };
        let Some((subject, at, values)) = self.by_value.get_mut(&name.text) else { return false };
        let Some(value) = subject.value(value) else { return false };
        let at = at.clone();
        if statement.body.is_some() {
            let key = subject.key;
            let title =
                format!("{} {}", name.text, statement.words.get(2).map_or("", |word| word.text.as_str()));
            let mut block = Block::new("[[class]]", &statement.at);
            block.needed(&statement.at, "name", quoted(&title));
            block.needed(&at, "match", written(&BTreeMap::from([(key, vec![value.clone()])])));
            let mut own = Scope::default();
            for inner in statement.body() {
                match inner.texts().as_slice() {
                    ["lease", "limit", count] => block.key(&inner.at, "max-leases", *count),
                    _ if own.take(inner) => {}
                    _ => note_all(&mut block, inner, meaning(inner)),
                }
            }
            closed(&own, &mut block);
            own.write_own(outer, &mut block);
            own.options.iter().for_each(|option| definitions.option(option, &mut block));
            self.blocks.push(block);
        }
        values.push(value);
        if !self.known.contains(&name.text) {
            self.known.push(name.text.clone());
        }
        true
    }

    /// Takes a global `if CONDITION { … }` and its `else` branches; the last `else` is the caller's.
    pub(super) fn conditional(&mut self, chain: &[&Statement], outer: &Scope, definitions: &Definitions) {
        let first = self.blocks.len();
        for (place, statement) in chain.iter().enumerate() {
            let begins = statement.words.iter().position(|word| matches!(word.text.as_str(), "if" | "elsif"));
            let words = begins.and_then(|at| statement.words.get(at.saturating_add(1)..)).unwrap_or_default();
            let at = &statement.at;
            let mut block = Block::new("[[class]]", at);
            let name = format!("if of line {}.{}", at.line, place.saturating_add(1));
            block.needed(at, "name", quoted(&name));
            match condition(words, definitions) {
                Some(matches) => block.needed(at, "match", written(&matches)),
                None => {
                    block.refused =
                        Some(format!("its condition is none that `match` has: {}", statement.shown()));
                }
            }
            let mut own = Scope::default();
            for inner in statement.body() {
                if !own.take(inner) {
                    note_all(&mut block, inner, meaning(inner));
                }
            }
            closed(&own, &mut block);
            own.write_own(outer, &mut block);
            own.options.iter().for_each(|option| definitions.option(option, &mut block));
            if place == 0 {
                block.note(
                    at,
                    "what a class sets is nearer to the client here than what subnets and pools set",
                );
            }
            // The last class that a client is in counts, and the first condition that holds.
            self.blocks.insert(first, block);
        }
    }

    /// All of them; a class without a member is none.
    pub(super) fn blocks(mut self) -> Vec<Block> {
        for (name, (subject, at, values)) in self.by_value {
            let title = quoted(&name);
            let is_it = |block: &&mut Block| {
                block.items.iter().any(|item| matches!(item, super::draft::Item::Key { key, value, .. } if key == "name" && *value == title))
            };
            let Some(block) = self.blocks.iter_mut().find(is_it) else { continue };
            if values.is_empty() {
                block.refused = Some("no subclass says who is in it".to_owned());
            } else {
                block.needed(&at, "match", written(&BTreeMap::from([(subject.key, values)])));
            }
        }
        for (key, (at, values)) in self.unserved {
            let mut block = class(&at, &format!("not served, by {key}"), &BTreeMap::from([(key, values)]));
            block.needed(&at, "drop", "true");
            self.blocks.push(block);
        }
        self.blocks
    }
}

/// A class whose clients are not served.
fn closed(own: &Scope, block: &mut Block) {
    own.note_open(block);
    if let Some((false, at)) = &own.booting {
        block.needed(at, "drop", "true");
    }
    if let Some((false, at)) = &own.unknown {
        block.note(at, "unknown-clients: who is known is said of pools here");
    }
}

/// Clients that send this, whatever it is.
fn any(key: &'static str) -> Matches {
    Matches::from([(key, vec![Value { octets: Vec::new(), is_beginning: true }])])
}

fn meaning(statement: &Statement) -> &'static str {
    match statement.texts().first() {
        Some(&"lease") => "a limit here is of a class, and a number of leases",
        Some(&("if" | "elsif" | "else" | "switch")) => {
            "what depends on the client is a [[class]] of its own here"
        }
        _ => super::isc_meaning::meaning(statement),
    }
}

impl Subject {
    /// A value to compare with; none if it can't be one.
    fn value(&self, word: &Word) -> Option<Value> {
        let mut octets = word.octets()?;
        let mut first = self.first;
        if self.with_type {
            // Ethernet (RFC 1700).
            (octets.first() == Some(&1)).then(|| octets.remove(0))?;
            first = first.map(|first| first.saturating_sub(1));
        }
        let whole = self.key == "hw-address" && octets.len() == 6;
        let is_beginning = first.is_some() && !whole;
        let fits = first.is_none_or(|first| first == octets.len());
        (fits && !octets.is_empty()).then_some(Value { octets, is_beginning })
    }
}

/// `option NAME`, `hardware`, or `substring(…, 0, LENGTH)` of them.
fn subject(words: &[Word], definitions: &Definitions) -> Option<Subject> {
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    match texts.as_slice() {
        ["hardware"] => Some(Subject { key: "hw-address", first: None, with_type: true }),
        ["option", name] => {
            let key = match (*name, definitions.code(name)) {
                ("agent.circuit-id", _) => "circuit-id",
                ("agent.remote-id", _) => "remote-id",
                ("agent.subscriber-id", _) => "subscriber-id",
                (_, Some(60)) => "vendor-class",
                (_, Some(61)) => "client-id",
                (_, Some(77)) => "user-class",
                (_, Some(93)) => "architecture",
                _ => return None,
            };
            Some(Subject { key, first: None, with_type: false })
        }
        ["substring", "(", inner @ .., ",", start, ",", length, ")"] => {
            let inner = subject(words.get(2..2_usize.checked_add(inner.len())?)?, definitions)?;
            let length = length.parse().ok()?;
            match (inner, *start) {
                // The address without the type before it.
                (Subject { with_type: true, first: None, .. }, "1") => {
                    Some(Subject { first: Some(length), with_type: false, ..inner })
                }
                (Subject { first: None, .. }, "0") => Some(Subject { first: Some(length), ..inner }),
                _ => None,
            }
        }
        ["(", .., ")"] => subject(words.get(1..words.len().checked_sub(1)?)?, definitions),
        _ => None,
    }
}

/// A condition as our `match`, if it is comparisons of one thing with `or`, or of several with `and`.
fn condition(words: &[Word], definitions: &Definitions) -> Option<Matches> {
    let words = unbraced(words);
    let by_and = split(words, "and");
    let mut all = Matches::new();
    for part in by_and {
        let part = unbraced(part);
        let by_or = split(part, "or");
        let mut one = Matches::new();
        for comparison in by_or {
            let (key, value) = comparison_of(unbraced(comparison), definitions)?;
            one.entry(key).or_default().push(value);
        }
        if one.len() != 1 || one.get("known").is_some_and(|values| values.len() > 1) {
            return None;
        }
        all = both(all, one)?;
    }
    Some(all)
}

fn comparison_of(words: &[Word], definitions: &Definitions) -> Option<(&'static str, Value)> {
    match words {
        [word] if !word.quoted && word.text == "known" => return Some(("known", Value::truth(true))),
        [not, word] if not.text == "not" && word.text == "known" => {
            return Some(("known", Value::truth(false)));
        }
        _ => {}
    }
    if let [word, rest @ ..] = words
        && word.text == "exists"
    {
        let option = [Word { text: "option".to_owned(), quoted: false }, rest.first()?.clone()];
        let subject = subject(&option, definitions).filter(|_| rest.len() == 1)?;
        // `architecture` has numbers, and no beginnings of them.
        return (subject.key != "architecture")
            .then(|| (subject.key, Value { octets: Vec::new(), is_beginning: true }));
    }
    let at = words.iter().position(|word| !word.quoted && word.text == "=")?;
    let (left, right) = (words.get(..at)?, words.get(at.checked_add(1)?..)?);
    let (subject, value) = match (left, right) {
        (left, [value]) => (subject(left, definitions)?, value),
        ([value], right) => (subject(right, definitions)?, value),
        _ => return None,
    };
    let value = subject.value(value)?;
    (subject.key != "architecture" || value.octets.len() == 2).then_some((subject.key, value))
}

/// The parts between words that aren't in parentheses.
fn split<'w>(words: &'w [Word], by: &str) -> Vec<&'w [Word]> {
    let (mut parts, mut depth, mut begin) = (Vec::new(), 0_usize, 0_usize);
    for (place, word) in words.iter().enumerate() {
        match word.text.as_str() {
            _ if word.quoted => {}
            "(" => depth = depth.saturating_add(1),
            ")" => depth = depth.saturating_sub(1),
            text if text == by && depth == 0 => {
                parts.extend(words.get(begin..place));
                begin = place.saturating_add(1);
            }
            _ => {}
        }
    }
    parts.extend(words.get(begin..));
    parts
}

/// Without the parentheses around the whole.
fn unbraced(words: &[Word]) -> &[Word] {
    let [open, inside @ .., close] = words else { return words };
    if open.quoted || open.text != "(" || close.quoted || close.text != ")" {
        return words;
    }
    let mut depth = 1_usize;
    for word in inside.iter().filter(|word| !word.quoted) {
        match word.text.as_str() {
            "(" => depth = depth.saturating_add(1),
            ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return words;
        }
    }
    unbraced(inside)
}

/// How a client with a `host` declaration is known: the key, and its value as ours is written.
pub(super) fn host_key(statement: &Statement, definitions: &Definitions) -> Option<(&'static str, String)> {
    let texts = statement.texts();
    match texts.as_slice() {
        ["hardware", "ethernet", _] => {
            let octets = statement.words.get(2)?.octets()?;
            Some(("hw-address", colons(&octets)))
        }
        ["option", name, _] | ["host-identifier", "option", name, _] => {
            let octets = statement.words.last()?.octets()?;
            match (*name, definitions.code(name)) {
                ("agent.circuit-id", _) => Some(("circuit-id", colons(&octets))),
                (_, Some(61)) => Some(("client-id", colons(&octets))),
                _ => None,
            }
        }
        ["uid", _] => Some(("client-id", colons(&statement.words.last()?.octets()?))),
        _ => None,
    }
}
