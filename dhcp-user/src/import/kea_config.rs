//! Kea's DHCPv4 configuration: `kea-dhcp4.conf`.

use super::draft::{Block, Draft, quoted, seconds};
use super::json::{self, Node};
use super::kea_classes::classes;
use super::kea_scopes::{Definitions, Scope, without_equivalent};
use super::kea_subnets::subnets;
use super::origin::{At, Unreadable};

/// Reads `file`; `read` fetches it and those it includes, `interfaces` are those to serve, instead of the file's.
///
/// # Errors
/// [`Unreadable`] if it isn't built as Kea's are.
pub fn kea_config(
    file: &str,
    interfaces: &[String],
    read: &dyn Fn(&str) -> Result<Vec<u8>, String>,
) -> Result<Draft, Unreadable> {
    let whole = json::parse(file, read)?;
    let Some(dhcp4) = whole.get("Dhcp4") else {
        return Err(Unreadable::new(&whole.at, "there is no \"Dhcp4\" in it"));
    };
    let mut server = Block::new("[server]", &dhcp4.at);
    for (key, node) in whole.entries().iter().filter(|(key, _)| key != "Dhcp4") {
        server.note(&node.at, format!("\"{key}\" is another server's, or unknown, and not looked at"));
    }
    let definitions = Definitions::of(dhcp4, &mut server);
    let (classes, known) = classes(dhcp4, &definitions);
    let mut global = Scope::default().within(dhcp4);
    global.take_boot(dhcp4).write(&mut server);
    definitions.options(dhcp4, &mut server);
    globals(dhcp4, &mut server);
    let mut interface_blocks = served(dhcp4, interfaces, &mut server);
    let subnets = subnets(dhcp4, &global, &definitions, &known, &mut server);
    let mut blocks = vec![server];
    blocks.append(&mut interface_blocks);
    blocks.extend(classes);
    blocks.extend(subnets);
    Ok(Draft { blocks })
}

fn globals(dhcp4: &Node, server: &mut Block) {
    for (key, node) in dhcp4.entries() {
        match key.as_str() {
            "interfaces-config" | "option-def" | "option-data" | "client-classes" | "subnet4"
            | "shared-networks" | "reservations" => {}
            key if Scope::has(key) => {}
            "decline-probation-period" | "offer-lifetime" => match node.number().filter(|time| *time > 0) {
                Some(time) => {
                    let ours = if key == "offer-lifetime" { "offer-hold" } else { "quarantine" };
                    server.key(&node.at, ours, seconds(time));
                }
                None => without_equivalent(server, key, node),
            },
            _ => without_equivalent(server, key, node),
        }
    }
}

/// The interfaces that are named, or else one whose name the operator must put right.
fn served(dhcp4: &Node, named: &[String], server: &mut Block) -> Vec<Block> {
    let config = dhcp4.get("interfaces-config");
    let at = config.map_or(&dhcp4.at, |node| &node.at);
    for (key, node) in config.map(Node::entries).unwrap_or_default() {
        if key != "interfaces" {
            without_equivalent(server, key, node);
        }
    }
    let block = |name: &str, at: &At| {
        let mut block = Block::new("[[interface]]", at);
        block.needed(at, "name", quoted(name));
        block
    };
    if !named.is_empty() {
        return named.iter().map(|name| block(name, at)).collect();
    }
    let mut blocks: Vec<Block> = Vec::new();
    for node in config.and_then(|node| node.get("interfaces")).map(Node::list).unwrap_or_default() {
        let written = node.text().unwrap_or_default();
        let (name, address) = written.split_once('/').unwrap_or((written, ""));
        if name == "*" || name.is_empty() {
            server.note(&node.at, format!("\"interfaces\": \"{written}\": each interface is named here"));
            continue;
        }
        let mut block = block(name, &node.at);
        if !address.is_empty() {
            let what =
                format!("\"{written}\": the interface is served with all its addresses, not {address} alone");
            block.note(&node.at, what);
        }
        blocks.push(block);
    }
    if blocks.is_empty() {
        let mut placeholder = block("eth0", at);
        placeholder
            .note(at, "no interface is named there: put the name right, or import with --interface NAME");
        blocks.push(placeholder);
    }
    blocks
}
