//! ISC dhcpd's configuration: `dhcpd.conf`.

use std::net::Ipv4Addr;

use super::draft::{Block, Draft, list, quoted};
use super::draft_subnets::{holds, interface_blocks, pool_range};
use super::isc_classes::{Classes, host_key};
use super::isc_meaning::meaning;
use super::isc_scopes::{Definitions, Scope};
use super::isc_syntax::{Statement, parse};
use super::origin::{At, Unreadable};

/// Reads `file`; `read` fetches it and those it includes, `interfaces` are those to serve.
///
/// # Errors
/// [`Unreadable`] if it isn't built as dhcpd's are.
pub fn isc_config(
    file: &str,
    interfaces: &[String],
    read: &dyn Fn(&str) -> Result<Vec<u8>, String>,
) -> Result<Draft, Unreadable> {
    let statements = parse(file, read)?;
    let at = At::start_of(file);
    let mut all = Reader {
        definitions: Definitions::default(),
        classes: Classes::default(),
        server: Block::new("[server]", &at),
        subnets: Vec::new(),
        pools: Vec::new(),
        hosts: Vec::new(),
    };
    all.definitions(&statements);
    let (mut global, nested) = all.scope(&statements);
    all.classes(&statements, &global);
    let nested = all.otherwise(nested, &mut global);
    for option in std::mem::take(&mut global.options) {
        all.definitions.option(&option, &mut all.server);
    }
    all.level(&nested, &global, &Scope::default(), None);
    let Reader { definitions, classes, mut server, mut subnets, pools, hosts } = all;
    let places = Places { definitions: &definitions, classes: &classes };
    pools.iter().for_each(|pool| places.pool(pool, &mut subnets, &mut server));
    hosts.iter().for_each(|host| places.host(host, &mut subnets, &mut server));
    let interfaces = interface_blocks(interfaces, &at, "dhcpd is told its interfaces when it is started");
    let mut blocks = vec![server];
    blocks.extend(interfaces);
    blocks.extend(classes.blocks());
    blocks.extend(subnets.into_iter().flatten());
    Ok(Draft { blocks })
}

/// A pool, or the ranges of a subnet that are in none, with the scope that it is in.
struct Pool {
    at: At,
    body: Vec<Statement>,
    outer: Scope,
}

/// A client with a declaration of its own: its terms, and those of the groups around it.
struct Host {
    statement: Statement,
    group: Scope,
    outer: Scope,
}

struct Reader {
    definitions: Definitions,
    classes: Classes,
    server: Block,
    /// Each with its own tables behind it.
    subnets: Vec<Vec<Block>>,
    pools: Vec<Pool>,
    hosts: Vec<Host>,
}

impl Reader {
    /// Takes what defines options, wherever it stands.
    fn definitions(&mut self, statements: &[Statement]) {
        for statement in statements {
            if is_definition(statement) {
                self.definitions.take(statement, &mut self.server);
            }
            self.definitions(statement.body());
        }
    }

    /// Takes the classes, wherever they stand: they hold for all.
    fn classes(&mut self, statements: &[Statement], global: &Scope) {
        for statement in statements {
            match statement.texts().first() {
                Some(&"class") => self.classes.class(statement, global, &self.definitions),
                Some(&"subclass") => {
                    if !self.classes.subclass(statement, global, &self.definitions) {
                        let what = format!("{}: who is in that class can't be said here", statement.shown());
                        self.server.note(&statement.at, what);
                    }
                }
                _ => self.classes(statement.body(), global),
            }
        }
    }

    /// The terms that stand at one level, and the declarations there.
    fn scope(&mut self, statements: &[Statement]) -> (Scope, Vec<Statement>) {
        let mut scope = Scope::default();
        let rest = statements.iter().filter(|statement| !is_definition(statement) && !scope.take(statement));
        let rest = rest.cloned().collect();
        (scope, rest)
    }

    fn level(
        &mut self,
        statements: &[Statement],
        scope: &Scope,
        group: &Scope,
        network: Option<(&str, &At)>,
    ) {
        let mut rest = statements.iter().peekable();
        while let Some(statement) = rest.next() {
            let texts = statement.texts();
            match texts.as_slice() {
                ["class" | "subclass", ..] => {}
                ["subnet", ..] => self.subnet(statement, scope, group, network),
                ["shared-network", name] => {
                    let (own, nested) = self.scope(statement.body());
                    self.level(&nested, &scope.around(&own), group, Some((name, &statement.at)));
                }
                ["group", ..] => {
                    let (own, nested) = self.scope(statement.body());
                    self.level(&nested, &scope.around(&own), &group.around(&own), network);
                }
                ["host", _] => self.hosts.push(Host {
                    statement: statement.clone(),
                    group: group.clone(),
                    outer: scope.clone(),
                }),
                ["pool"] => self.pools.push(Pool {
                    at: statement.at.clone(),
                    body: statement.body().to_vec(),
                    outer: scope.clone(),
                }),
                ["if", ..] if network.is_none() => {
                    let mut chain = vec![statement];
                    let is_branch = |next: &&&Statement| {
                        let texts = next.texts();
                        texts.first() == Some(&"elsif") || texts.get(..2) == Some(&["else", "if"])
                    };
                    while let Some(branch) = rest.next_if(|next| is_branch(&next)) {
                        chain.push(branch);
                    }
                    self.classes.conditional(&chain, scope, &self.definitions);
                }
                _ => {
                    self.server.note(&statement.at, format!("{}: {}", statement.shown(), meaning(statement)));
                    self.lost(statement.body());
                }
            }
        }
    }

    /// The statements of a global last `else` hold for every client without a more specific term.
    fn otherwise(&mut self, nested: Vec<Statement>, global: &mut Scope) -> Vec<Statement> {
        let mut rest = Vec::new();
        let mut is_in_chain = false;
        for statement in nested {
            let texts = statement.texts();
            if texts != ["else"] || !is_in_chain {
                is_in_chain = matches!(texts.first(), Some(&("if" | "elsif" | "else")));
                rest.push(statement);
                continue;
            }
            is_in_chain = false;
            let what = "else: what it sets is for all here, if no [[class]] or subnet sets it";
            self.server.note(&statement.at, what);
            let (own, not_taken) = self.scope(statement.body());
            self.lost(&not_taken);
            *global = own.around(global);
        }
        rest
    }

    /// Notes all statements of a body as not converted.
    fn lost(&mut self, body: &[Statement]) {
        for statement in body {
            self.server.note(&statement.at, format!("{}: in what is left out above", statement.shown()));
            self.lost(statement.body());
        }
    }

    fn subnet(&mut self, statement: &Statement, outer: &Scope, group: &Scope, network: Option<(&str, &At)>) {
        let at = &statement.at;
        let mut block = Block::new("[[subnet]]", at);
        let texts = statement.texts();
        let prefix = match texts.as_slice() {
            ["subnet", address, "netmask", mask] => prefix(address, mask),
            _ => None,
        };
        block.needed(at, "prefix", quoted(&prefix.unwrap_or_else(|| statement.shown())));
        if let Some((name, at)) = network {
            block.key(at, "shared-network", quoted(name));
        }
        let (own, nested) = self.scope(statement.body());
        let scope = outer.around(&own);
        scope.write_subnet(&mut block, at);
        let dynamic = statement.body().iter().flat_map(|inner| std::iter::once(inner).chain(inner.body()));
        let dynamic =
            dynamic.map(Statement::texts).any(|texts| texts.starts_with(&["range", "dynamic-bootp"]));
        let (bootp, bootp_at) = scope.bootp.clone().unwrap_or((true, at.clone()));
        if bootp {
            block.key(&bootp_at, "bootp", if dynamic { "\"dynamic\"" } else { "true" });
        }
        scope.options.iter().for_each(|option| self.definitions.option(option, &mut block));
        let mut ranges = Vec::new();
        for inner in nested {
            match inner.texts().as_slice() {
                ["class" | "subclass", ..] => {}
                ["range", ..] => ranges.push(inner),
                ["pool"] => {
                    let (at, body) = (inner.at.clone(), inner.body().to_vec());
                    self.pools.push(Pool { at, body, outer: scope.clone() });
                }
                ["host", _] => self.hosts.push(Host {
                    statement: inner.clone(),
                    group: group.clone(),
                    outer: outer.clone(),
                }),
                ["group", ..] => {
                    let (own, nested) = self.scope(inner.body());
                    self.level(&nested, &outer.around(&own), &group.around(&own), network);
                }
                ["interface", name] => block.note(&inner.at, format!("interface {name}: a subnet is served on the interface that has its server's address, or through a relay")),
                _ => {
                    block.note(&inner.at, format!("{}: {}", inner.shown(), meaning(&inner)));
                    self.lost(inner.body());
                }
            }
        }
        if !ranges.is_empty() {
            self.pools.push(Pool { at: at.clone(), body: ranges, outer: scope });
        }
        self.subnets.push(vec![block]);
    }
}

/// The declarations that go into a subnet by their address.
struct Places<'c> {
    definitions: &'c Definitions,
    classes: &'c Classes,
}

impl Places<'_> {
    fn pool(&self, pool: &Pool, subnets: &mut [Vec<Block>], server: &mut Block) {
        let mut own = Scope::default();
        let (mut ranges, mut notes, mut refused) = (Vec::new(), Vec::new(), None);
        let (mut allow, mut deny) = (Vec::new(), Vec::new());
        for inner in &pool.body {
            let texts = inner.texts();
            match texts.as_slice() {
                ["range", "dynamic-bootp", ends @ ..] | ["range", ends @ ..] => {
                    ranges.push((&inner.at, ends.join(" - ")));
                }
                [word @ ("allow" | "deny"), "members", "of", class] => {
                    let wanted = if *word == "allow" { &mut allow } else { &mut deny };
                    if self.classes.is_known(class) {
                        wanted.push((inner.at.clone(), (*class).to_owned()));
                    } else {
                        refused = Some(format!("{}: there is no such class of here", inner.shown()));
                    }
                }
                ["allow", "all", "clients"] | ["deny", "dynamic", "bootp", "clients"] => {
                    notes.push((&inner.at, format!("{}: so it is without a word", inner.shown())));
                }
                ["allow" | "deny", ..] => {
                    refused =
                        Some(format!("{}: pools are opened and closed by [[class]] here", inner.shown()));
                }
                _ if own.take(inner) => {}
                _ => notes.push((&inner.at, format!("{}: {}", inner.shown(), meaning(inner)))),
            }
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
            for (key, classes) in [("allow", &allow), ("deny", &deny)] {
                if let Some((at, _)) = classes.first() {
                    block.needed(at, key, list(classes.iter().map(|(_, name)| name.as_str())));
                }
            }
            block.refused.clone_from(&refused);
            own.write_own(&pool.outer, &mut block);
            own.options.iter().for_each(|option| self.definitions.option(option, &mut block));
            if place == 0 {
                notes.iter().for_each(|(at, what)| block.note(at, what.clone()));
            }
            // Pools before reservations, as they are read.
            home.push(block);
        }
        if ranges.is_empty() {
            server.note(&pool.at, "a pool without a range");
            notes.iter().for_each(|(at, what)| server.note(at, what.clone()));
        }
    }

    fn host(&self, host: &Host, subnets: &mut [Vec<Block>], server: &mut Block) {
        let Host { statement: host, group, outer } = host;
        let at = &host.at;
        let name = host.words.get(1).map(|word| word.text.clone()).unwrap_or_default();
        let mut addresses: Vec<(At, String)> = Vec::new();
        let mut block = Block::new("[[subnet.reservation]]", at);
        let mut own = Scope::default();
        let mut host_name = None;
        let mut keys = Vec::new();
        for inner in host.body() {
            if let Some((key, value)) = host_key(inner, self.definitions) {
                keys.push((inner.at.clone(), key, value));
                continue;
            }
            match inner.texts().as_slice() {
                ["fixed-address", listed @ ..] => addresses.extend(
                    listed
                        .iter()
                        .filter(|text| **text != ",")
                        .map(|text| (inner.at.clone(), (*text).to_owned())),
                ),
                ["option", "host-name", text] => host_name = Some((inner.at.clone(), (*text).to_owned())),
                _ if own.take(inner) => {}
                _ => block.note(&inner.at, format!("{}: {}", inner.shown(), meaning(inner))),
            }
        }
        if host_name.is_none() && outer.host_names {
            host_name = Some((at.clone(), name.clone()));
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
        // What the groups around it set is the client's own as well; what all have it has from its subnet.
        let own = group.around(&own);
        if let Some((at, host_name)) = host_name {
            block.key(&at, "host-name", quoted(&host_name));
        }
        if addresses.is_empty() {
            addresses.push((at.clone(), String::new()));
        }
        for (at, address) in addresses {
            let parsed = address.parse::<Ipv4Addr>().ok();
            let home = subnets.iter_mut().find(|blocks| parsed.is_some_and(|address| holds(blocks, address)));
            let mut block = Block {
                header: block.header,
                at: block.at.clone(),
                items: block.items.clone(),
                refused: block.refused.clone(),
            };
            block.needed(&at, "address", quoted(&address));
            own.write_own(outer, &mut block);
            own.options.iter().for_each(|option| self.definitions.option(option, &mut block));
            match home {
                Some(home) => home.push(block),
                None => {
                    let why = match address.as_str() {
                        "" => "it has no fixed-address".to_owned(),
                        address => format!("{address} is no address in one of the subnets"),
                    };
                    server.note(&at, format!("host {name} is left out: {why}"));
                    server.left_out(&block);
                }
            }
        }
    }
}

fn is_definition(statement: &Statement) -> bool {
    let texts = statement.texts();
    matches!(texts.as_slice(), ["option", _, "code", ..] | ["option", "space", ..])
}

/// `ADDRESS/LENGTH` of an address and a mask.
fn prefix(address: &str, mask: &str) -> Option<String> {
    let mask = mask.parse::<Ipv4Addr>().ok()?.to_bits();
    let length = mask.leading_ones();
    (mask.count_ones() == length).then(|| super::draft_subnets::canonical(&format!("{address}/{length}")))
}
