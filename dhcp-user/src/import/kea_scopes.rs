//! The common part of Kea's scopes: options, and terms that an inner scope inherits.

use std::collections::HashMap;

use super::draft::{Block, quoted, seconds};
use super::draft_options::{add_option, hex, name_of};
use super::json::{Json, Node};
use super::origin::At;

/// Keys that an inner scope inherits, and our names of them.
const TERMS: [(&str, &str, Form); 9] = [
    ("valid-lifetime", "lease-time", Form::Seconds),
    ("min-valid-lifetime", "min-lease-time", Form::Seconds),
    ("max-valid-lifetime", "max-lease-time", Form::Seconds),
    ("renew-timer", "renew-time", Form::Seconds),
    ("rebind-timer", "rebind-time", Form::Seconds),
    ("next-server", "next-server", Form::Text),
    ("server-hostname", "server-hostname", Form::Text),
    ("boot-file-name", "boot-file-name", Form::Text),
    ("authoritative", "authoritative", Form::Word),
];

#[derive(Clone, Copy)]
enum Form {
    Seconds,
    Text,
    Word,
}

/// Terms as they hold at one place of the configuration.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    terms: HashMap<&'static str, (String, At)>,
}

impl Scope {
    pub(super) fn has(key: &str) -> bool {
        TERMS.iter().any(|(name, ..)| *name == key)
    }

    /// The terms inside of `node`.
    pub(super) fn within(&self, node: &Node) -> Self {
        let mut inner = self.clone();
        for (theirs, ours, form) in TERMS {
            let Some(node) = node.get(theirs) else { continue };
            // What is empty, or nobody's address, says that there is none.
            let value = node.scalar().filter(|text| !text.is_empty() && text != "0.0.0.0");
            let value = value.map(|text| match (form, node.number()) {
                (Form::Seconds, Some(number)) => seconds(number),
                (Form::Word, _) if matches!(node.value, Json::Bool(_)) => text,
                _ => quoted(&text),
            });
            match value {
                Some(value) => inner.terms.insert(ours, (value, node.at.clone())),
                None => inner.terms.remove(ours),
            };
        }
        inner
    }

    /// Writes the terms into `block`, in the order of our own.
    pub(super) fn write(&self, block: &mut Block) {
        for (_, ours, _) in TERMS {
            if let Some((value, at)) = self.terms.get(ours) {
                block.key(at, ours, value.clone());
            }
        }
    }

    /// The boot fields, if no scope inside of `dhcp4` says that it has none: only then they can be the server's.
    pub(super) fn take_boot(&mut self, dhcp4: &Node) -> Self {
        let mut boot = Self::default();
        if !has_no_boot(dhcp4, 0) {
            for ours in BOOT {
                boot.terms.extend(self.terms.remove_entry(ours));
            }
        }
        boot
    }

    /// Kea's defaults.
    pub(super) fn with_defaults(&self, at: &At) -> Self {
        let mut terms = HashMap::from([
            ("lease-time", (seconds(7200), at.clone())),
            ("authoritative", ("false".to_owned(), at.clone())),
        ]);
        terms.extend(self.terms.clone());
        Self { terms }
    }
}

/// Fields of the header that tell a client from where to boot.
const BOOT: [&str; 3] = ["next-server", "server-hostname", "boot-file-name"];

/// Whether a subnet or shared network says that there is nothing to boot from.
fn has_no_boot(scope: &Node, depth: usize) -> bool {
    let says_none =
        |key| scope.get(key).and_then(Node::text).is_some_and(|text| matches!(text, "" | "0.0.0.0"));
    (depth > 0 && BOOT.into_iter().any(says_none))
        || ["subnet4", "shared-networks"].into_iter().any(|key| {
            let inner = scope.get(key).map(Node::list).unwrap_or_default();
            inner.iter().any(|node| has_no_boot(node, depth.saturating_add(1)))
        })
}

/// Options that the configuration defines, by name and space.
#[derive(Debug, Default)]
pub(super) struct Definitions(HashMap<(String, String), (u8, Node)>);

impl Definitions {
    pub(super) fn of(dhcp4: &Node, server: &mut Block) -> Self {
        let mut all = Self::default();
        for node in dhcp4.get("option-def").map(Node::list).unwrap_or_default() {
            let name = node.get("name").and_then(Node::text).unwrap_or_default().to_owned();
            let space = node.get("space").and_then(Node::text).unwrap_or("dhcp4").to_owned();
            let code = node.get("code").and_then(Node::number).and_then(|code| u8::try_from(code).ok());
            match code {
                Some(code) if space == "dhcp4" => {
                    server.note(
                        &node.at,
                        format!("option-def \"{name}\" is code-{code} here, written in octets"),
                    );
                    all.0.insert((space, name), (code, node.clone()));
                }
                _ => {
                    server.note(&node.at, format!("option-def \"{name}\" in space \"{space}\": only the options of DHCPv4 itself are known here; what is inside of an option is written in octets"));
                }
            }
        }
        all
    }

    /// Adds the options of `node`'s `option-data` to `block`.
    pub(super) fn options(&self, node: &Node, block: &mut Block) {
        for option in node.get("option-data").map(Node::list).unwrap_or_default() {
            self.option(option, block);
        }
    }

    fn option(&self, option: &Node, block: &mut Block) {
        let at = &option.at;
        let name = option.get("name").and_then(Node::text);
        let code = option.get("code").and_then(Node::number);
        let space = option.get("space").and_then(Node::text).unwrap_or("dhcp4");
        let data = option.get("data").and_then(Node::scalar).unwrap_or_default();
        for (key, value) in option.entries() {
            match key.as_str() {
                "name" | "code" | "space" | "data" | "csv-format" => {}
                "always-send" | "never-send" if value.value == Json::Bool(false) => {
                    block.holds(&value.at, format!("{key} = false: so it is without a word"));
                }
                "always-send" => block.note(
                    &value.at,
                    "always-send: an option is sent to who asks for it, and what must be is always",
                ),
                _ => without_equivalent(block, key, value),
            }
        }
        let shown = name.map_or_else(|| format!("code {}", code.unwrap_or_default()), str::to_owned);
        if space != "dhcp4" {
            return block.note(at, format!("option {shown} = {data} of space \"{space}\": write the option around it in octets (code-N = \"hex:…\")"));
        }
        if option.get("client-class").is_some() || option.get("client-classes").is_some() {
            return block.note(
                at,
                format!("option {shown} = {data} is for some classes only: give it to a [[class]]"),
            );
        }
        let defined = name.and_then(|name| self.0.get(&(space.to_owned(), name.to_owned())));
        let code = defined.map(|(code, _)| *code).or_else(|| code.and_then(|code| u8::try_from(code).ok()));
        let in_octets = option.get("csv-format").is_some_and(|node| node.value == Json::Bool(false));
        let key = match (name, code) {
            (_, Some(code)) => name_of(code),
            (Some(name), None) => name.to_owned(),
            (None, None) => {
                return block.note(at, format!("option-data = {data}: it has no name and no code"));
            }
        };
        if in_octets {
            return match octets(&data) {
                Some(octets) => {
                    add_option(block, at, &code.map_or(key, |code| format!("code-{code}")), &hex(&octets));
                }
                None => block.note(at, format!("option {shown} = {data}: not octets")),
            };
        }
        match defined.map(|(_, definition)| encoded(definition, &data)) {
            Some(Some(octets)) => add_option(block, at, &key, &hex(&octets)),
            Some(None) => block.note(at, format!("option {shown} = {data}: of a type that isn't known here; write it in octets (code-N = \"hex:…\")")),
            None => add_option(block, at, &key, &data),
        }
    }
}

/// The octets of a value of a defined option, if its type is one of the plain ones.
fn encoded(definition: &Node, data: &str) -> Option<Vec<u8>> {
    let kind = definition.get("type").and_then(Node::text)?;
    let is_array = definition.get("array").is_some_and(|node| node.value == Json::Bool(true));
    if kind == "string" {
        return Some(data.as_bytes().to_vec());
    }
    if kind == "binary" {
        return octets(data);
    }
    let one = |text: &str| -> Option<Vec<u8>> {
        let text = text.trim();
        Some(match kind {
            "ipv4-address" => text.parse::<std::net::Ipv4Addr>().ok()?.octets().to_vec(),
            "uint8" => text.parse::<u8>().ok()?.to_be_bytes().to_vec(),
            "uint16" => text.parse::<u16>().ok()?.to_be_bytes().to_vec(),
            "uint32" => text.parse::<u32>().ok()?.to_be_bytes().to_vec(),
            "boolean" => vec![u8::from(text.parse::<bool>().ok()?)],
            _ => return None,
        })
    };
    if is_array {
        data.split(',').map(one).collect::<Option<Vec<_>>>().map(|all| all.concat())
    } else {
        one(data)
    }
}

/// Octets as Kea has them: a text in single quotes, or digits with or without separators.
pub(super) fn octets(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    if let Some(quoted) = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
        return Some(quoted.as_bytes().to_vec());
    }
    let text = text.strip_prefix("0x").unwrap_or(text);
    let digits: Vec<u8> = text
        .split([':', ' ', '-'])
        .flat_map(|part| {
            if part.len() == 1 {
                vec![b'0', *part.as_bytes().first().unwrap_or(&b'0')]
            } else {
                part.as_bytes().to_vec()
            }
        })
        .collect();
    let pair = |pair: &[u8]| {
        u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16)
            .ok()
            .filter(|_| pair.len() == 2 && pair.iter().all(u8::is_ascii_hexdigit))
    };
    digits.chunks(2).map(pair).collect::<Option<Vec<u8>>>().filter(|octets| !octets.is_empty())
}

/// Says of a key that has no equivalent what that means.
pub(super) fn without_equivalent(block: &mut Block, key: &str, node: &Node) {
    let value = node.scalar().map(|text| format!(" = {text}")).unwrap_or_default();
    let text = |what: &str| format!("{key}{value}: {what}");
    match so_here(key, node) {
        Some(how) => block.holds(&node.at, text(how)),
        None => block.note(&node.at, text(meaning(key))),
    }
}

/// How it is so here without a key, if it is.
fn so_here(key: &str, node: &Node) -> Option<&'static str> {
    let is = |wanted| node.value == Json::Bool(wanted);
    match key {
        "id" => Some("a subnet is known by its prefix"),
        "reservations-global" if is(true) => {
            Some("global reservations are in each of the subnets that look for them")
        }
        "reservations-global" => Some("a reservation holds in its own subnet"),
        "reservations-in-subnet" if is(true) => Some("a reservation holds in its own subnet"),
        "reservations-in-subnet" => Some("the reservations of this scope are left out"),
        "reservations-out-of-pool" => {
            Some("a reserved address is for its client alone, in a pool and outside")
        }
        "reservation-mode" => Some("the reservations of each subnet are those that are looked for there"),
        "host-reservation-identifiers" => {
            Some("reservations are by hw-address, client-id or circuit-id, all at once")
        }
        "early-global-reservations-lookup" => Some("a client's reservation is known before its classes"),
        "echo-client-id" if is(true) => Some("the client identifier is always returned (RFC 6842)"),
        "match-client-id" if is(true) => Some("a client is who its identifier says (RFC 2131, section 4.2)"),
        "store-extended-info" => Some("what a relay says of a lease is always kept"),
        "4o6-interface" | "4o6-interface-id" | "4o6-subnet" if node.text() == Some("") => {
            Some("there is none")
        }
        "ddns-send-updates"
        | "ddns-update-on-renew"
        | "ddns-override-no-update"
        | "ddns-override-client-update"
            if is(false) =>
        {
            Some("names aren't written into the DNS by this server")
        }
        "calculate-tee-times" if is(false) => Some("the times are those that are written"),
        _ => None,
    }
}

fn meaning(key: &str) -> &'static str {
    match key {
        "comment" | "user-context" => "a remark for people, and no setting",
        "lease-database" | "lease-databases" => {
            "leases are kept below [server] state-dir; bring them along with `xdhcpd import-leases`"
        }
        "hosts-database" | "hosts-databases" => {
            "reservations in a database aren't brought along: write them into this file"
        }
        "control-socket" | "control-sockets" => {
            "the daemon has a control socket of its own: [server] control-socket"
        }
        "loggers" => "messages go to standard error, and so to the journal",
        "hooks-libraries" => "there are no loadable libraries; what they did isn't done",
        "dhcp-ddns"
        | "dhcp-queue-control"
        | "multi-threading"
        | "sanity-checks"
        | "statistic-default-sample-count"
        | "statistic-default-sample-age"
        | "parked-packet-limit" => "it has no such part; nothing depends on it",
        key if key.starts_with("ddns-") => "names aren't written into the DNS by this server",
        "expired-leases-processing" => "expired addresses are kept by `grace` and reused oldest first",
        "interface" => {
            "a subnet is served on the interface that has its server's address, or through `relays`"
        }
        "dhcp-socket-type"
        | "outbound-interface"
        | "re-detect"
        | "service-sockets-max-retries"
        | "service-sockets-retry-wait-time"
        | "service-sockets-require-all" => {
            "packets are taken in the driver, and answered where they came from"
        }
        "match-client-id" => {
            "a client is who its identifier says (RFC 2131, section 4.2); a reservation by hw-address holds whatever it sends"
        }
        "echo-client-id" => "the client identifier is always returned (RFC 6842)",
        "calculate-tee-times" | "t1-percent" | "t2-percent" => {
            "write renew-time and rebind-time; by default 1/2 and 7/8"
        }
        "cache-threshold" | "cache-max-age" => "renewals are answered in the kernel, without a write",
        "require-client-classes"
        | "evaluate-additional-classes"
        | "only-if-required"
        | "only-in-additional-list" => "a class holds wherever its `match` fits",
        "4o6-interface" | "4o6-interface-id" | "4o6-subnet" | "dhcp4o6-port" => {
            "DHCPv4 over DHCPv6 isn't spoken"
        }
        _ => "there is no such setting here; what it did isn't done",
    }
}
