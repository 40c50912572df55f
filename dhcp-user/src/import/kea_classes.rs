//! Kea's client classes, as far as their expressions are comparisons that a `[[class]]` has too.

use std::collections::{BTreeMap, HashSet};

use super::draft::{Block, quoted};
use super::draft_match::{Matches, Value, both, class, known, nobody, written};
use super::json::{Json, Node};
use super::kea_scopes::{Definitions, Scope, octets, without_equivalent};
use super::origin::At;

/// Names of classes that are classes here too.
pub(super) type Classes = HashSet<String>;

/// Kea drops who is in it.
const DROP: &str = "DROP";

/// The classes that map, each a table; the others are comments in one of their own.
pub(super) fn classes(dhcp4: &Node, definitions: &Definitions) -> (Vec<Block>, Classes) {
    let (mut blocks, mut conditions) = (Vec::new(), BTreeMap::new());
    let (mut asked, mut reserved) = (BTreeMap::new(), BTreeMap::new());
    referred(dhcp4, false, &mut asked, &mut reserved);
    let mut names = Classes::new();
    for node in dhcp4.get("client-classes").map(Node::list).unwrap_or_default() {
        let name = node.get("name").and_then(Node::text).unwrap_or_default();
        let test = node.get("test");
        let mut block = Block::new("[[class]]", &node.at);
        block.needed(&node.at, "name", quoted(name));
        match test.and_then(Node::text).map(|test| matches(test, &conditions)) {
            Some(Some(matches)) => {
                let at = test.map_or(&node.at, |test| &test.at);
                block.needed(at, "match", written(&matches));
                conditions.insert(name.to_owned(), matches);
                names.insert(name.to_owned());
            }
            Some(None) => {
                block.refused = Some(format!(
                    "its test is none that `match` has: {}",
                    test.and_then(Node::text).unwrap_or_default()
                ));
            }
            None if reserved.contains_key(name) => by_reservation(&mut block, &node.at, &mut names, name),
            None => {
                block.refused = Some("it has no test, and no reservation puts a client into it".to_owned());
            }
        }
        if name == DROP {
            block.needed(&node.at, "drop", "true");
        }
        Scope::default().within(node).write(&mut block);
        definitions.options(node, &mut block);
        if node.get("option-data").is_some_and(|options| !options.list().is_empty()) {
            block.note(&node.at, "there an option of a subnet or pool counts before the same one of a class; here that of the class does");
        }
        for (key, value) in node.entries() {
            match key.as_str() {
                "name" | "test" | "option-data" => {}
                "user-context" => limits(&mut block, value),
                "only-if-required" | "only-in-additional-list" if value.value == Json::Bool(false) => {
                    block.holds(&value.at, format!("{key} = false: a class holds wherever its `match` fits"));
                }
                key if Scope::has(key) => {}
                _ => without_equivalent(&mut block, key, value),
            }
        }
        blocks.push(block);
    }
    // The first class that a client is in counts there, and the last one here.
    blocks.reverse();
    for (name, at) in asked.iter().chain(&reserved) {
        if names.contains(name) {
            continue;
        }
        let block = match built_in(name) {
            Some(matches) => class(at, name, &matches),
            None if name == DROP => {
                let mut block = Block::new("[[class]]", at);
                block.needed(at, "name", quoted(name));
                by_reservation(&mut block, at, &mut names, name);
                block.needed(at, "drop", "true");
                block
            }
            None => continue,
        };
        names.insert(name.clone());
        blocks.push(block);
    }
    (blocks, names)
}

/// Writes the `match` of a class that only reservations put clients into.
fn by_reservation(block: &mut Block, at: &At, names: &mut Classes, name: &str) {
    block.needed(at, "match", written(&nobody()));
    block.note(at, "only reservations put clients into it: no client has this hardware address");
    names.insert(name.to_owned());
}

/// The limit on the leases of a class, which one of Kea's hooks keeps.
fn limits(block: &mut Block, context: &Node) {
    let limit = context.get("limits").and_then(|limits| limits.get("address-limit"));
    match limit.and_then(Node::number) {
        Some(limit) => block.key(&context.at, "max-leases", limit.to_string()),
        None => without_equivalent(block, "user-context", context),
    }
}

/// The names of classes that pools and subnets are for, and those that reservations give.
fn referred(
    node: &Node,
    is_reservation: bool,
    asked: &mut BTreeMap<String, At>,
    reserved: &mut BTreeMap<String, At>,
) {
    let names = if is_reservation { &mut *reserved } else { &mut *asked };
    for (name, at) in restriction(node) {
        names.entry(name).or_insert(at);
    }
    for key in ["subnet4", "shared-networks", "pools"] {
        for inner in node.get(key).map(Node::list).unwrap_or_default() {
            referred(inner, false, asked, reserved);
        }
    }
    for inner in node.get("reservations").map(Node::list).unwrap_or_default() {
        referred(inner, true, asked, reserved);
    }
}

/// The condition of a class that Kea itself puts clients into.
fn built_in(name: &str) -> Option<Matches> {
    match name {
        "ALL" => {
            Some(Matches::from([("hw-address", vec![Value { octets: Vec::new(), is_beginning: true }])]))
        }
        "KNOWN" => Some(known(true)),
        "UNKNOWN" => Some(known(false)),
        name => {
            let octets = name.strip_prefix("VENDOR_CLASS_")?.as_bytes().to_vec();
            Some(Matches::from([("vendor-class", vec![Value { octets, is_beginning: false }])]))
        }
    }
}

/// An expression as our `match`: comparisons of one thing with `or`, or of several with `and`. `others` are the conditions
/// of the classes before.
fn matches(test: &str, others: &BTreeMap<String, Matches>) -> Option<Matches> {
    let test = unbraced(test.trim());
    let by_or = split(test, "or");
    if by_or.len() > 1 {
        let mut all = Matches::new();
        for part in by_or {
            let one = matches(part, others)?;
            if one.len() != 1 {
                return None;
            }
            for (key, values) in one {
                all.entry(key).or_default().extend(values);
            }
        }
        return (all.len() == 1 && !all.contains_key("known")).then_some(all);
    }
    let by_and = split(test, "and");
    if by_and.len() > 1 {
        return by_and.into_iter().try_fold(Matches::new(), |all, part| both(all, matches(part, others)?));
    }
    if let Some(rest) = test.strip_prefix("not ") {
        let inner = matches(rest, others)?;
        return [true, false].into_iter().find(|is| inner == known(*is)).map(|is| known(!is));
    }
    if let Some(name) = test.strip_prefix("member(").and_then(|rest| rest.strip_suffix(')')) {
        let name = name.trim().strip_prefix('\'')?.strip_suffix('\'')?;
        return built_in(name).or_else(|| others.get(name).cloned());
    }
    if let Some(key) = test.strip_suffix(".exists").and_then(|what| key_of(&format!("{what}.hex"))) {
        let any = Value { octets: Vec::new(), is_beginning: true };
        // `architecture` has numbers, and no beginnings of them.
        return (key != "architecture").then(|| Matches::from([(key, vec![any])]));
    }
    let (key, value) = comparison_of(test)?;
    Some(Matches::from([(key, vec![value])]))
}

/// The parts between words that stand neither in parentheses nor in quotes.
fn split<'t>(text: &'t str, by: &str) -> Vec<&'t str> {
    let (mut parts, mut depth, mut in_quotes, mut begin) = (Vec::new(), 0_usize, false, 0_usize);
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '\'' => in_quotes = !in_quotes,
            _ if in_quotes => {}
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 && (before.is_whitespace() || before == ')') => {
                let rest = text.get(at..).and_then(|rest| rest.strip_prefix(by));
                if let Some(rest) =
                    rest.filter(|rest| rest.starts_with(|c: char| c.is_whitespace() || c == '('))
                {
                    parts.extend(text.get(begin..at));
                    begin = text.len().saturating_sub(rest.len());
                }
            }
            _ => {}
        }
        before = c;
    }
    parts.extend(text.get(begin..));
    parts
}

/// `option[60].hex == 'text'`, `substring(option[60].hex,0,9) == 'PXEClient'`, and the like.
fn comparison_of(text: &str) -> Option<(&'static str, Value)> {
    let (left, right) = text.split_once("==")?;
    let octets = octets_of_literal(right.trim())?;
    let left: String = left.chars().filter(|c| !c.is_whitespace()).collect();
    if let Some(inside) = left.strip_prefix("substring(").and_then(|rest| rest.strip_suffix(')')) {
        let mut parts = inside.rsplitn(3, ',');
        let (length, start, what) = (parts.next()?, parts.next()?, parts.next()?);
        let fits = length.parse() == Ok(octets.len()) && start == "0";
        return fits.then_some(()).and_then(|()| valued(key_of(what)?, octets, true));
    }
    valued(key_of(&left)?, octets, false)
}

/// The value of a key, in the form that it has here.
fn valued(key: &'static str, octets: Vec<u8>, is_beginning: bool) -> Option<(&'static str, Value)> {
    let octets = match key {
        "relay-vendor" => vendor_of(&octets, is_beginning)?,
        "architecture" if is_beginning || octets.len() != 2 => return None,
        _ => octets,
    };
    let is_beginning = is_beginning && !(key == "hw-address" && octets.len() == 6);
    Some((key, Value { octets, is_beginning }))
}

/// Sub-option 9 (RFC 4243): an enterprise number, and behind its length what is said under it.
fn vendor_of(octets: &[u8], is_beginning: bool) -> Option<Vec<u8>> {
    match octets.split_at_checked(4)? {
        (_, []) if is_beginning => Some(octets.to_vec()),
        (number, [length, said @ ..]) if is_beginning || usize::from(*length) == said.len() => {
            (!said.is_empty()).then(|| [number, said].concat())
        }
        _ => None,
    }
}

/// Without the parentheses around the whole.
fn unbraced(text: &str) -> &str {
    let Some(inside) = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) else { return text };
    let (mut depth, mut in_quotes) = (1_usize, false);
    for c in inside.chars() {
        match c {
            '\'' => in_quotes = !in_quotes,
            '(' if !in_quotes => depth = depth.saturating_add(1),
            ')' if !in_quotes => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return text;
        }
    }
    unbraced(inside.trim())
}

fn key_of(what: &str) -> Option<&'static str> {
    Some(match what {
        "option[60].hex"
        | "option[60].text"
        | "option[vendor-class-identifier].hex"
        | "option[vendor-class-identifier].text" => "vendor-class",
        "option[77].hex" | "option[77].text" | "option[user-class].hex" | "option[user-class].text" => {
            "user-class"
        }
        "option[61].hex" | "option[dhcp-client-identifier].hex" => "client-id",
        "option[93].hex" | "option[client-system].hex" => "architecture",
        "pkt4.mac" => "hw-address",
        "relay4[1].hex" | "option[82].option[1].hex" => "circuit-id",
        "relay4[2].hex" | "option[82].option[2].hex" => "remote-id",
        "relay4[6].hex" | "option[82].option[6].hex" => "subscriber-id",
        "relay4[9].hex" | "option[82].option[9].hex" => "relay-vendor",
        _ => return None,
    })
}

fn octets_of_literal(text: &str) -> Option<Vec<u8>> {
    let is_literal =
        text.starts_with("0x") || (text.len() > 2 && text.starts_with('\'') && text.ends_with('\''));
    let inside = text.get(1..text.len().checked_sub(1)?)?;
    (is_literal && !inside.contains('\'')).then(|| octets(text)).flatten()
}

/// The classes that a pool or subnet is for, or that a reservation gives.
pub(super) fn restriction(node: &Node) -> Vec<(String, At)> {
    ["client-class", "client-classes"]
        .into_iter()
        .filter_map(|key| node.get(key))
        .flat_map(|node| match node.text() {
            Some(name) => vec![(name.to_owned(), node.at.clone())],
            None => node.list().iter().filter_map(|n| Some((n.text()?.to_owned(), n.at.clone()))).collect(),
        })
        // All clients are in `ALL`.
        .filter(|(name, _)| !name.is_empty() && name != "ALL")
        .collect()
}

/// The classes that `node` admits, as ours; none if one of them has no equivalent.
pub(super) fn allowed(node: &Node, known: &Classes) -> Result<Option<Vec<String>>, (At, String)> {
    let wanted = restriction(node);
    if wanted.is_empty() {
        return Ok(None);
    }
    let lost = wanted.iter().find(|(name, _)| !known.contains(name));
    match lost {
        Some((name, at)) => Err((at.clone(), name.clone())),
        None => Ok(Some(wanted.into_iter().map(|(name, _)| name).collect())),
    }
}
