//! Kea's client classes, as far as their expressions are comparisons that a `[[class]]` has too.

use std::collections::{BTreeMap, HashSet};

use super::draft::{Block, quoted};
use super::draft_match::{Value, written};
use super::json::Node;
use super::kea_scopes::{Definitions, Scope, octets, without_equivalent};
use super::origin::At;

/// Names of classes that are classes here too.
pub(super) type Classes = HashSet<String>;

/// The classes that map, each a table; the others are comments in one of their own.
pub(super) fn classes(dhcp4: &Node, definitions: &Definitions) -> (Vec<Block>, Classes) {
    let (mut blocks, mut known) = (Vec::new(), Classes::new());
    for node in dhcp4.get("client-classes").map(Node::list).unwrap_or_default() {
        let name = node.get("name").and_then(Node::text).unwrap_or_default();
        let test = node.get("test");
        let mut block = Block::new("[[class]]", &node.at);
        block.needed(&node.at, "name", quoted(name));
        match test.and_then(Node::text).map(matches) {
            Some(Some(matches)) => {
                let at = test.map_or(&node.at, |test| &test.at);
                block.needed(at, "match", written(&matches));
                known.insert(name.to_owned());
            }
            Some(None) => {
                block.refused = Some(format!(
                    "its test is none that `match` has: {}",
                    test.and_then(Node::text).unwrap_or_default()
                ));
            }
            None => block.refused = Some("it has no test; classes are not given by name here".to_owned()),
        }
        Scope::default().within(node).write(&mut block);
        definitions.options(node, &mut block);
        for (key, value) in node.entries() {
            match key.as_str() {
                "name" | "test" | "option-data" => {}
                key if Scope::has(key) => {}
                _ => without_equivalent(&mut block, key, value),
            }
        }
        blocks.push(block);
    }
    (blocks, known)
}

/// An expression as our `match`, if it is comparisons of one thing with `or`, or of several with `and`.
fn matches(test: &str) -> Option<BTreeMap<&'static str, Vec<Value>>> {
    let mut all: BTreeMap<&'static str, Vec<Value>> = BTreeMap::new();
    let by_and: Vec<&str> = test.split(" and ").collect();
    let both = by_and.len() > 1;
    if both && test.contains(" or ") {
        return None;
    }
    for comparison in by_and.iter().flat_map(|part| part.split(" or ")) {
        let (key, value) = comparison_of(comparison)?;
        let values = all.entry(key).or_default();
        if both && !values.is_empty() {
            return None;
        }
        values.push(value);
    }
    (both || all.len() == 1).then_some(all)
}

/// `option[60].hex == 'text'`, `substring(option[60].hex,0,9) == 'PXEClient'`, and the like.
fn comparison_of(text: &str) -> Option<(&'static str, Value)> {
    let text = unbraced(text.trim());
    let (left, right) = text.split_once("==")?;
    let octets = octets_of_literal(right.trim())?;
    let left: String = left.chars().filter(|c| !c.is_whitespace()).collect();
    if let Some(inside) = left.strip_prefix("substring(").and_then(|rest| rest.strip_suffix(')')) {
        let mut parts = inside.rsplitn(3, ',');
        let (length, start, what) = (parts.next()?, parts.next()?, parts.next()?);
        let fits = length.parse() == Ok(octets.len()) && start == "0";
        return fits.then_some((key_of(what)?, Value { octets, is_beginning: true }));
    }
    Some((key_of(&left)?, Value { octets, is_beginning: false }))
}

/// Without the parentheses around the whole.
fn unbraced(text: &str) -> &str {
    let inside = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    inside.filter(|inside| !inside.contains("==") || !inside.contains(") ==")).map_or(text, str::trim)
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
        _ => return None,
    })
}

fn octets_of_literal(text: &str) -> Option<Vec<u8>> {
    let is_literal =
        text.starts_with("0x") || (text.len() > 2 && text.starts_with('\'') && text.ends_with('\''));
    let inside = text.get(1..text.len().checked_sub(1)?)?;
    (is_literal && !inside.contains('\'')).then(|| octets(text)).flatten()
}

/// Which classes of the other server are classes here too.
fn restriction(node: &Node) -> Vec<(String, At)> {
    ["client-class", "client-classes"]
        .into_iter()
        .filter_map(|key| node.get(key))
        .flat_map(|node| match node.text() {
            Some(name) => vec![(name.to_owned(), node.at.clone())],
            None => node.list().iter().filter_map(|n| Some((n.text()?.to_owned(), n.at.clone()))).collect(),
        })
        .filter(|(name, _)| !name.is_empty())
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
