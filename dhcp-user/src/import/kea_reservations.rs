//! Kea's reservations, and where it looks for them.

use super::draft::{Block, list, quoted};
use super::json::{Json, Node};
use super::kea_classes::{Classes, restriction};
use super::kea_scopes::{Definitions, Scope, octets, without_equivalent};
use super::leases::colons;

/// Where reservations for a subnet's clients are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Modes {
    pub(super) global: bool,
    pub(super) in_subnet: bool,
}

/// The modes of a subnet, by the scopes that it is in, the narrowest first.
pub(super) fn modes(scopes: &[Option<&Node>]) -> Modes {
    let flag = |key| {
        let set = scopes.iter().flatten().find_map(|scope| scope.get(key));
        set.map(|node| node.value == Json::Bool(true))
    };
    // The one key that there was before Kea 1.9.
    let former = scopes.iter().flatten().find_map(|scope| scope.get("reservation-mode")?.text());
    Modes {
        global: flag("reservations-global").unwrap_or(former == Some("global")),
        in_subnet: flag("reservations-in-subnet").unwrap_or(!matches!(former, Some("global" | "disabled"))),
    }
}

/// Whether a reservation is of an address.
pub(super) fn has_address(node: &Node) -> bool {
    node.get("ip-address").and_then(Node::text).is_some_and(|text| !text.is_empty() && text != "0.0.0.0")
}

/// A reservation, with an address or without.
pub(super) fn reservation(node: &Node, definitions: &Definitions, known: &Classes) -> Block {
    let mut block = Block::new("[[subnet.reservation]]", &node.at);
    for (key, value) in node.entries() {
        let text = value.text().unwrap_or_default();
        match key.as_str() {
            "hw-address" | "client-id" | "circuit-id" => match octets(text) {
                Some(octets) => block.needed(&value.at, key, quoted(&colons(&octets))),
                None => block.note(&value.at, format!("{key} = {text}: not octets")),
            },
            "duid" | "flex-id" => {
                block.note(
                    &value.at,
                    format!("{key} = {text}: reservations are by hw-address, client-id or circuit-id"),
                );
            }
            "ip-address" if !has_address(node) => {}
            "ip-address" => block.needed(&value.at, "address", quoted(text)),
            "hostname" if text.is_empty() => {}
            "hostname" => block.key(&value.at, "host-name", quoted(text)),
            "option-data" | "client-class" | "client-classes" => {}
            key if Scope::has(key) => {}
            _ => without_equivalent(&mut block, key, value),
        }
    }
    let (ours, lost): (Vec<_>, Vec<_>) =
        restriction(node).into_iter().partition(|(name, _)| known.contains(name));
    for (name, at) in lost {
        block.note(&at, format!("client-classes: no [[class]] here is \"{name}\""));
    }
    if let Some((_, at)) = ours.first() {
        block.key(at, "class", list(ours.iter().map(|(name, _)| name.as_str())));
    }
    definitions.options(node, &mut block);
    Scope::default().within(node).write(&mut block);
    block
}
