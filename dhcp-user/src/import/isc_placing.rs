//! ISC dhcpd's pools and hosts, which go into a subnet by their addresses.

use std::net::Ipv4Addr;

use super::draft::{Block, list, quoted};
use super::draft_subnets::{holds, pool_range};
use super::isc_classes::{Classes, host_key};
use super::isc_meaning::{meaning, note_all};
use super::isc_scopes::{Definitions, Scope};
use super::isc_syntax::Statement;
use super::origin::At;

/// A pool, or the ranges of a subnet that are in none, with the scope that it is in.
pub(super) struct Pool {
    pub(super) at: At,
    pub(super) body: Vec<Statement>,
    pub(super) outer: Scope,
}

/// A client with a declaration of its own: its terms, and those of the groups around it.
pub(super) struct Host {
    pub(super) statement: Statement,
    pub(super) group: Scope,
    pub(super) outer: Scope,
}

/// Puts each range of a pool into its subnet.
pub(super) fn place_pool(
    pool: &Pool,
    definitions: &Definitions,
    classes: &mut Classes,
    subnets: &mut [Vec<Block>],
    server: &mut Block,
) {
    let mut own = Scope::default();
    let (mut ranges, mut notes, mut refused) = (Vec::new(), Vec::new(), None);
    let (mut allow, mut deny) = (Vec::<(At, String)>::new(), Vec::<(At, String)>::new());
    let mut held = Vec::new();
    for inner in &pool.body {
        let texts = inner.texts();
        match texts.as_slice() {
            ["range", "dynamic-bootp", ends @ ..] | ["range", ends @ ..] => {
                ranges.push((&inner.at, ends.join(" - ")));
            }
            [word @ ("allow" | "deny"), "members", "of", class] => {
                let wanted = if *word == "allow" { &mut allow } else { &mut deny };
                if classes.is_known(class) {
                    wanted.push((inner.at.clone(), (*class).to_owned()));
                } else {
                    refused = Some(format!("{}: there is no such class of here", inner.shown()));
                }
            }
            [word @ ("allow" | "deny"), who @ ("known-clients" | "unknown-clients")]
            | [word @ ("allow" | "deny"), who @ ("known" | "unknown"), "clients"] => {
                let wanted = if *word == "allow" { &mut allow } else { &mut deny };
                let class = classes.of_known(who.starts_with("known"), &inner.at);
                wanted.push((inner.at.clone(), class));
            }
            ["allow", "all", "clients"] | ["deny", "dynamic", "bootp", "clients"] => {
                held.push((&inner.at, format!("{}: so it is without a word", inner.shown())));
            }
            ["allow" | "deny", ..] => {
                refused = Some(format!("{}: pools are opened and closed by [[class]] here", inner.shown()));
            }
            _ if own.take(inner) => {}
            _ => notes.push(inner),
        }
    }
    let around = pool.outer.around(&own);
    if let Some((false, at)) = &around.unknown {
        deny.push((at.clone(), classes.of_known(false, at)));
    }
    if let Some((false, at)) = &around.booting {
        refused = Some(format!("no client of it is served ({at})"));
    }
    for (place, (at, range)) in ranges.iter().enumerate() {
        let first = range.split(" - ").next().and_then(|first| first.parse::<Ipv4Addr>().ok());
        let home = subnets.iter_mut().find(|blocks| first.is_some_and(|first| holds(blocks, first)));
        let Some(home) = home else {
            server.note(at, format!("range {range}: in none of the subnets"));
            continue;
        };
        let mut block = Block::new("[[subnet.pools]]", &pool.at);
        let prefix = home
            .first()
            .and_then(|block| block.value("prefix"))
            .map(|prefix| prefix.trim_matches('"').to_owned());
        let written = if range.contains(" - ") { range.clone() } else { format!("{range} - {range}") };
        pool_range(&mut block, at, prefix.as_deref(), &written);
        for (key, listed) in [("allow", &allow), ("deny", &deny)] {
            if let Some((at, _)) = listed.first() {
                block.needed(at, key, list(listed.iter().map(|(_, name)| name.as_str())));
            }
            for (at, name) in listed.iter().skip(1) {
                block.holds(at, format!("{key} {name}: in the list above"));
            }
        }
        block.refused.clone_from(&refused);
        own.write_own(&pool.outer, &mut block);
        own.options.iter().for_each(|option| definitions.option(option, &mut block));
        if place == 0 {
            notes.iter().for_each(|inner| note_all(&mut block, inner, meaning(inner)));
            held.iter().for_each(|(at, what)| block.holds(at, what.clone()));
        }
        // Pools before reservations, as they are read.
        home.push(block);
    }
    if ranges.is_empty() {
        server.note(&pool.at, "a pool without a range");
        notes.iter().for_each(|inner| note_all(server, inner, meaning(inner)));
        held.iter().for_each(|(at, what)| server.note(at, what.clone()));
    }
}

/// Puts a client into the subnet of each of its addresses. One without an address, and one that is known by another subnet's
/// pools, is in every subnet where that matters.
pub(super) fn place_host(
    host: &Host,
    definitions: &Definitions,
    classes: &mut Classes,
    subnets: &mut [Vec<Block>],
    server: &mut Block,
) {
    let Host { statement: host, group, outer } = host;
    let at = &host.at;
    let name = host.words.get(1).map(|word| word.text.clone()).unwrap_or_default();
    let mut addresses: Vec<(At, String)> = Vec::new();
    let mut block = Block::new("[[subnet.reservation]]", at);
    let mut own = Scope::default();
    let mut host_name = None;
    let mut keys = Vec::new();
    for inner in host.body() {
        if let Some((key, value)) = host_key(inner, definitions) {
            keys.push((inner.at.clone(), key, value));
            continue;
        }
        match inner.texts().as_slice() {
            ["fixed-address", listed @ ..] => addresses.extend(
                listed.iter().filter(|text| **text != ",").map(|text| (inner.at.clone(), (*text).to_owned())),
            ),
            ["option", "host-name", text] => host_name = Some((inner.at.clone(), (*text).to_owned())),
            _ if own.take(inner) => {}
            _ => note_all(&mut block, inner, meaning(inner)),
        }
    }
    if host_name.is_none() && outer.host_names == Some(true) {
        host_name = Some((at.clone(), name.clone()));
    }
    // What the groups around it set is the client's own as well; what all have it has from its subnet.
    let own = group.around(&own);
    if let Some((false, closed_at)) = &own.booting {
        for (_, key, value) in &keys {
            classes.leave_unserved(key, value, closed_at);
        }
        block.refused = Some(format!("its client is not served ({closed_at})"));
    }
    // A client that has several ways to be known has a reservation by the first: it holds whatever else it sends.
    let mut keys = keys.into_iter();
    match keys.next() {
        Some((at, key, value)) => block.needed(&at, key, quoted(&value)),
        None => block.refused = Some(format!("host {name}: it doesn't say by what its client is known")),
    }
    for (at, key, value) in keys {
        block.note(&at, format!("{key} {value}: a reservation is by one of them; make another for a client that shows only this one"));
    }
    let only_known = block.clone();
    own.note_open(&mut block);
    if let Some((at, host_name)) = host_name {
        block.key(&at, "host-name", quoted(&host_name));
    }
    let complete = |address: Option<&(At, String)>| {
        let mut block = block.clone();
        if let Some((at, address)) = address {
            block.needed(at, "address", quoted(address));
        }
        own.write_own(outer, &mut block);
        own.options.iter().for_each(|option| definitions.option(option, &mut block));
        block
    };
    let mut has_place = false;
    let mut left = Vec::new();
    for listed in &addresses {
        let parsed = listed.1.parse::<Ipv4Addr>().ok();
        let home = subnets.iter_mut().find(|blocks| parsed.is_some_and(|address| holds(blocks, address)));
        match home {
            Some(home) => {
                has_place = true;
                home.push(complete(Some(listed)));
            }
            None => left.push(listed),
        }
    }
    let everywhere = complete(None);
    let gives = addresses.is_empty() && everywhere.gives_more_than_an_identity();
    for blocks in subnets.iter_mut() {
        let has_it = blocks.iter().any(|block| block.header == everywhere.header && block.at == *at);
        if everywhere.refused.is_none() && !has_it && (gives || asks_known(blocks)) {
            has_place = true;
            // Where it is only known, nothing that it has elsewhere holds.
            blocks.push(if gives { everywhere.clone() } else { only_known.clone() });
        }
    }
    for (at, address) in left {
        let why = format!("host {name} is left out: {address} is no address in one of the subnets");
        server.note(at, why);
        server.left_out(&complete(Some(&(at.clone(), address.clone()))));
    }
    if !has_place && addresses.is_empty() {
        let why = match &everywhere.refused {
            Some(why) => why.clone(),
            None => "it has no address, and nothing else for its client".to_owned(),
        };
        server.note(at, format!("host {name} is left out: {why}"));
        server.left_out(&everywhere);
    }
}

/// Whether a pool of the subnet is for clients with a `host`, or for those without.
fn asks_known(blocks: &[Block]) -> bool {
    let lists = |block: &Block| {
        ["allow", "deny"].into_iter().any(|key| block.value(key).is_some_and(Classes::asks_known))
    };
    blocks.iter().any(lists)
}
