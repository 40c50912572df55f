//! ISC dhcpd's configuration: `dhcpd.conf`.

use std::net::Ipv4Addr;

use super::draft::{Block, Draft, quoted};
use super::draft_subnets::interface_blocks;
use super::isc_classes::Classes;
use super::isc_meaning::{meaning, note_all, note_inside};
use super::isc_placing::{Host, Pool, place_host, place_pool};
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
    global.note_open(&mut all.server);
    let Reader { definitions, mut classes, mut server, mut subnets, pools, hosts } = all;
    for pool in &pools {
        place_pool(pool, &definitions, &mut classes, &mut subnets, &mut server);
    }
    for host in &hosts {
        place_host(host, &definitions, &mut classes, &mut subnets, &mut server);
    }
    let interfaces = interface_blocks(interfaces, &at, "dhcpd is told its interfaces when it is started");
    let mut blocks = vec![server];
    blocks.extend(interfaces);
    blocks.extend(classes.blocks());
    blocks.extend(subnets.into_iter().flatten());
    Ok(Draft { blocks })
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
                _ => note_all(&mut self.server, statement, meaning(statement)),
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
            note_inside(&mut self.server, &not_taken);
            *global = own.around(global);
        }
        rest
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
        if let Some((count, at)) = self.classes.per_circuit() {
            block.key(at, "max-leases-per-circuit", count.clone());
        }
        own.note_open(&mut block);
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
                _ => note_all(&mut block, &inner, meaning(&inner)),
            }
        }
        if !ranges.is_empty() {
            self.pools.push(Pool { at: at.clone(), body: ranges, outer: scope });
        }
        self.subnets.push(vec![block]);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn imported(text: &str) -> String {
        let read = |_: &str| Ok(text.as_bytes().to_vec());
        let draft = isc_config("i", &["eth1".to_owned()], &read).unwrap_or_else(|error| panic!("{error}"));
        let finished = draft.finish();
        assert!(finished.wrong.is_empty(), "{:?}\n{}", finished.wrong, finished.text);
        finished.text
    }

    #[test]
    fn each_line_inside_of_what_depends_on_the_client_is_named() {
        let chain = |n: u8| {
            format!(
                "if option arch = 00:0{n} {{\n filename \"a{n}\";\n}} elsif known {{\n option domain-name \"b{n}\";\n}} else {{\n if known {{\n  filename \"c{n}\";\n }}\n}}\n"
            )
        };
        let text = format!(
            "option arch code 93 = unsigned integer 16;\nclass \"pxe\" {{\n match if substring(option vendor-class-identifier, 0, 9) = \"PXEClient\";\n{}}}\nsubnet 192.0.2.0 netmask 255.255.255.0 {{\n{}pool {{\nrange 192.0.2.10 192.0.2.20;\n{}}}\n}}\ngroup {{\n host a {{\n hardware ethernet 2:0:0:0:0:1;\n fixed-address 192.0.2.5;\n{}}}\n}}\nshared-network n {{\n{}}}\n",
            chain(1),
            chain(2),
            chain(3),
            chain(4),
            chain(5)
        );
        let ours = imported(&text);
        for (line, number) in text.lines().zip(1_usize..) {
            let depends =
                ["filename", "option domain-name", "if ", "else"].iter().any(|word| line.contains(word));
            if depends && !line.contains("match if") {
                assert!(ours.contains(&format!("# i:{number}: ")), "{number}: {line}\n{text}\n{ours}");
            }
        }
    }

    #[test]
    fn an_inner_group_does_not_tell_clients_their_names() {
        let ours = imported(
            "use-host-decl-names on;\nsubnet 192.0.2.0 netmask 255.255.255.0 {}\ngroup {\nuse-host-decl-names off;\nhost a { hardware ethernet 2:0:0:0:0:1; fixed-address 192.0.2.5; }\n}\nhost b { hardware ethernet 2:0:0:0:0:2; fixed-address 192.0.2.6; }\n",
        );
        assert!(!ours.contains("host-name = \"a\""), "{ours}");
        assert!(ours.contains("host-name = \"b\""), "{ours}");
    }

    #[test]
    fn a_client_that_is_only_known_in_a_subnet_has_no_terms_there() {
        let ours = imported(
            "subnet 192.0.2.0 netmask 255.255.255.0 {}\nsubnet 198.51.100.0 netmask 255.255.255.0 { pool { deny unknown-clients; range 198.51.100.10 198.51.100.20; } }\nhost a { hardware ethernet 2:0:0:0:0:1; fixed-address 192.0.2.5; filename \"a.efi\"; option host-name \"x\"; }\n",
        );
        let keys = |what: &str| ours.lines().filter(|line| line.starts_with(what)).count();
        assert_eq!((keys("hw-address"), keys("boot-file-name"), keys("host-name")), (2, 1, 1), "{ours}");
    }
}
