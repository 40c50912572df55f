//! Kea's subnets, alone and in shared networks, with their pools.

use super::draft::{Block, list, quoted};
use super::draft_subnets::{canonical, holds, pool_range};
use super::json::Node;
use super::kea_classes::{Classes, allowed};
use super::kea_reservations::{has_address, modes, reservation};
use super::kea_scopes::{Definitions, Scope, without_equivalent};

/// The context of a subnet.
struct Around<'k> {
    dhcp4: &'k Node,
    definitions: &'k Definitions,
    known: &'k Classes,
}

/// The subnets, each with its own tables behind it.
pub(super) fn subnets(
    dhcp4: &Node,
    global: &Scope,
    definitions: &Definitions,
    known: &Classes,
    server: &mut Block,
) -> Vec<Block> {
    let around = Around { dhcp4, definitions, known };
    let mut all: Vec<Vec<Block>> = Vec::new();
    for node in dhcp4.get("subnet4").map(Node::list).unwrap_or_default() {
        all.push(around.subnet(node, None, &global.within(node)));
    }
    for network in dhcp4.get("shared-networks").map(Node::list).unwrap_or_default() {
        for (key, value) in network.entries() {
            match key.as_str() {
                "name" | "subnet4" | "option-data" | "relay" | "client-class" | "client-classes" => {}
                key if Scope::has(key) => {}
                _ => without_equivalent(server, key, value),
            }
        }
        let scope = global.within(network);
        for node in network.get("subnet4").map(Node::list).unwrap_or_default() {
            all.push(around.subnet(node, Some(network), &scope.within(node)));
        }
    }
    for node in dhcp4.get("reservations").map(Node::list).unwrap_or_default() {
        let address = node.get("ip-address").and_then(Node::text).and_then(|text| text.parse().ok());
        let home = all.iter().any(|blocks| address.is_some_and(|address| holds(blocks, address)));
        match (has_address(node), home) {
            (true, false) => {
                server.note(&node.at, "a global reservation of an address that is in none of the subnets: an address is reserved in its own subnet here");
                server.left_out(&reservation(node, definitions, known));
            }
            _ if !around.are_global_looked_at() => {
                server.note(
                    &node.at,
                    "a global reservation, which no subnet there looks for: reservations-global is false",
                );
                server.left_out(&reservation(node, definitions, known));
            }
            _ => {}
        }
    }
    all.into_iter().flatten().collect()
}

impl Around<'_> {
    fn subnet(&self, node: &Node, network: Option<&Node>, scope: &Scope) -> Vec<Block> {
        let mut block = Block::new("[[subnet]]", &node.at);
        let prefix = node.get("subnet");
        let written = prefix.and_then(Node::text).unwrap_or_default();
        block.needed(prefix.map_or(&node.at, |prefix| &prefix.at), "prefix", quoted(&canonical(written)));
        if let Some(name) = network.and_then(|network| network.get("name")) {
            block.key(&name.at, "shared-network", quoted(name.text().unwrap_or_default()));
        }
        scope.with_defaults(&node.at).write(&mut block);
        if let Some(relay) = node.get("relay").or_else(|| network.and_then(|network| network.get("relay"))) {
            let addresses = relay.get("ip-addresses").map(Node::list).unwrap_or_default().iter();
            let addresses: Vec<&str> = addresses
                .chain(relay.get("ip-address"))
                .filter_map(Node::text)
                .filter(|a| *a != "0.0.0.0")
                .collect();
            if !addresses.is_empty() {
                block.key(&relay.at, "relays", list(addresses));
            }
        }
        self.definitions.options(node, &mut block);
        if let Some(network) = network {
            self.definitions.options(network, &mut block);
        }
        for (key, value) in node.entries() {
            match key.as_str() {
                "subnet" | "pools" | "option-data" | "reservations" | "relay" | "client-class"
                | "client-classes" => {}
                key if Scope::has(key) => {}
                _ => without_equivalent(&mut block, key, value),
            }
        }
        let mut blocks = vec![block];
        for pool in node.get("pools").map(Node::list).unwrap_or_default() {
            blocks.push(self.pool(pool, &[Some(node), network]));
        }
        let modes = modes(&[Some(node), network, Some(self.dhcp4)]);
        for own in node.get("reservations").map(Node::list).unwrap_or_default() {
            let mut own = reservation(own, self.definitions, self.known);
            if !modes.in_subnet {
                own.refused = Some("there the reservations of this subnet aren't looked for: reservations-in-subnet is false".to_owned());
            }
            blocks.push(own);
        }
        if modes.global {
            // A reservation holds in its own subnet here: each has one that is for all.
            let all = self.dhcp4.get("reservations").map(Node::list).unwrap_or_default();
            let fitting = all.iter().filter(|node| {
                let address = node.get("ip-address").and_then(Node::text).and_then(|text| text.parse().ok());
                !has_address(node) || address.is_some_and(|address| holds(&blocks, address))
            });
            let fitting: Vec<Block> =
                fitting.map(|node| reservation(node, self.definitions, self.known)).collect();
            blocks.extend(fitting);
        }
        blocks
    }

    /// Whether some subnet looks for global reservations.
    fn are_global_looked_at(&self) -> bool {
        let networks = self.dhcp4.get("shared-networks").map(Node::list).unwrap_or_default();
        let networks = networks.iter().map(Some);
        std::iter::once(None).chain(networks).any(|network| {
            let place = network.unwrap_or(self.dhcp4);
            let nodes = place.get("subnet4").map(Node::list).unwrap_or_default();
            nodes.iter().any(|node| modes(&[Some(node), network, Some(self.dhcp4)]).global)
        })
    }

    /// A pool; it is for the classes of all that it is in, which must be one of ours or it isn't opened at all.
    fn pool(&self, node: &Node, outer: &[Option<&Node>]) -> Block {
        let mut block = Block::new("[[subnet.pools]]", &node.at);
        let range = node.get("pool");
        let written = range.and_then(Node::text).unwrap_or_default();
        let range_at = range.map_or(&node.at, |range| &range.at);
        let prefix =
            outer.iter().flatten().next().and_then(|subnet| subnet.get("subnet")).and_then(Node::text);
        pool_range(&mut block, range_at, prefix, written);
        let mut restricted = false;
        for place in [Some(node)].iter().chain(outer).flatten() {
            match allowed(place, self.known) {
                Ok(None) => {}
                Ok(Some(names)) if !restricted => {
                    restricted = true;
                    block.needed(&place.at, "allow", list(names.iter().map(String::as_str)));
                }
                Ok(Some(names)) => {
                    block.refused = Some(format!(
                        "it is for clients that are in {} and in another class as well; a pool here is for any of its classes",
                        names.join(", ")
                    ));
                }
                Err((at, name)) => {
                    block.refused =
                        Some(format!("it is for class \"{name}\" only ({at}), which there is none of here"));
                }
            }
        }
        self.definitions.options(node, &mut block);
        Scope::default().within(node).write(&mut block);
        for (key, value) in node.entries() {
            match key.as_str() {
                "pool" | "option-data" | "client-class" | "client-classes" => {}
                key if Scope::has(key) => {}
                _ => without_equivalent(&mut block, key, value),
            }
        }
        block
    }
}
