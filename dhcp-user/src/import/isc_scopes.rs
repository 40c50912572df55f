//! The common part of ISC dhcpd's scopes: options, and terms that an inner scope inherits.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

use super::draft::{Block, quoted, seconds};
use super::draft_options::{add_option, hex, name_of, takes_octets};
use super::isc_syntax::{Statement, Word};
use super::origin::At;

/// The server's default.
const LEASE_TIME: u64 = 43_200;
const MAX_LEASE_TIME: u64 = 86_400;

/// Durations, and our names of them.
const TIMES: [(&str, &str); 5] = [
    ("default-lease-time", "lease-time"),
    ("max-lease-time", "max-lease-time"),
    ("min-lease-time", "min-lease-time"),
    ("dhcp-renewal-time", "renew-time"),
    ("dhcp-rebinding-time", "rebind-time"),
];
const TEXTS: [(&str, &str); 4] = [
    ("next-server", "next-server"),
    ("server-name", "server-hostname"),
    ("filename", "boot-file-name"),
    ("server-identifier", "server-id"),
];

/// Options whose names differ from ours, by code.
const NAMES: [(&str, u8); 22] = [
    ("ien116-name-servers", 5),
    ("nisplus-domain", 64),
    ("bootfile-name", 67),
    ("mobile-ip-home-agent", 68),
    ("default-url", 114),
    ("architecture-type", 93),
    ("pxe-system-type", 93),
    ("client-architecture-type", 93),
    ("pxe-interface-id", 94),
    ("pxe-client-id", 97),
    ("nwip-domain", 62),
    ("loader-configfile", 209),
    ("loader-pathprefix", 210),
    ("loader-reboottime", 211),
    ("ipv4-address-andsf", 142),
    ("vivco", 124),
    ("vivso", 125),
    ("dhcp-client-identifier", 61),
    ("vendor-class-identifier", 60),
    ("user-class", 77),
    ("wpad-url", 252),
    ("sip-servers", 120),
];

/// Terms as they hold at one place of the configuration.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    times: BTreeMap<&'static str, (u64, At)>,
    texts: BTreeMap<&'static str, (String, At)>,
    pub(super) options: Vec<Statement>,
    pub(super) authoritative: Option<(bool, At)>,
    pub(super) bootp: Option<(bool, At)>,
    /// Whether clients without a `host` are served.
    pub(super) unknown: Option<(bool, At)>,
    /// Whether clients are served at all.
    pub(super) booting: Option<(bool, At)>,
    /// Whether a client is told the name of its `host`.
    pub(super) host_names: Option<bool>,
}

impl Scope {
    /// Takes a statement that sets a term or an option; not others.
    pub(super) fn take(&mut self, statement: &Statement) -> bool {
        if statement.body.is_some() {
            return false;
        }
        let at = &statement.at;
        let texts = statement.texts();
        match texts.as_slice() {
            ["option", name, value] if self.time(name, value, at) => {}
            ["option", "dhcp-server-identifier", address] => self.text("server-id", address, at),
            ["option", _, "code", ..] | ["option", "space", ..] => return false,
            ["option", _, ..] => self.options.push(statement.clone()),
            [name, value] if self.time(name, value, at) => {}
            [name, value] if TEXTS.iter().any(|(theirs, _)| theirs == name) => {
                let ours = TEXTS.iter().find(|(theirs, _)| theirs == name).map_or("", |(_, ours)| ours);
                self.text(ours, value, at);
            }
            ["authoritative"] => self.authoritative = Some((true, at.clone())),
            ["not", "authoritative"] => self.authoritative = Some((false, at.clone())),
            ["allow", "bootp"] => self.bootp = Some((true, at.clone())),
            ["deny" | "ignore", "bootp"] => self.bootp = Some((false, at.clone())),
            ["allow", "unknown-clients"] | ["boot-unknown-clients", "on" | "true"] => {
                self.unknown = Some((true, at.clone()));
            }
            ["deny" | "ignore", "unknown-clients"] | ["boot-unknown-clients", "off" | "false"] => {
                self.unknown = Some((false, at.clone()));
            }
            ["allow", "booting"] => self.booting = Some((true, at.clone())),
            ["deny" | "ignore", "booting"] => self.booting = Some((false, at.clone())),
            ["use-host-decl-names", value] => self.host_names = Some(matches!(*value, "on" | "true")),
            _ => return false,
        }
        true
    }

    fn time(&mut self, name: &str, value: &str, at: &At) -> bool {
        let Some((_, ours)) = TIMES.iter().find(|(theirs, _)| *theirs == name) else { return false };
        // For good, where it says so; ten years are the longest that is known here.
        let number = if value == "infinite" || value == "-1" { Ok(u64::MAX) } else { value.parse() };
        number.is_ok_and(|number: u64| self.times.insert(ours, (number, at.clone())).is_none_or(|_| true))
    }

    fn text(&mut self, ours: &'static str, value: &str, at: &At) {
        self.texts.insert(ours, (quoted(value), at.clone()));
    }

    /// Writes a subnet's terms: all that hold in it.
    pub(super) fn write_subnet(&self, block: &mut Block, at: &At) {
        self.write_times(block, at);
        self.write_texts(block);
        let (authoritative, its_at) = self.authoritative.clone().unwrap_or((false, at.clone()));
        block.key(&its_at, "authoritative", authoritative.to_string());
    }

    /// Notes what this scope says of who is served, where nobody is refused by it.
    pub(super) fn note_open(&self, block: &mut Block) {
        for (what, said) in [("unknown-clients", &self.unknown), ("booting", &self.booting)] {
            if let Some((true, at)) = said {
                block.holds(at, format!("allow {what}: so it is without a word"));
            }
        }
    }

    /// Writes the terms of a scope that overrides a subnet, whose terms are `outer`.
    pub(super) fn write_own(&self, outer: &Self, block: &mut Block) {
        if let Some((_, at)) = self.times.values().next() {
            let mut all = outer.times.clone();
            all.extend(self.times.clone());
            Self { times: all, ..Self::default() }.write_times(block, &at.clone());
        }
        self.write_texts(block);
        if let Some((_, at)) = &self.authoritative {
            block.note(at, "authoritative: it is said of a whole subnet here");
        }
    }

    fn write_times(&self, block: &mut Block, at: &At) {
        let or = |ours: &str, default: u64| {
            let (time, at) = self.times.get(ours).cloned().unwrap_or((default, at.clone()));
            (time.min(crate::config::LONGEST_TIME.into()), at)
        };
        let (max, max_at) = or("max-lease-time", MAX_LEASE_TIME);
        let (lease, lease_at) = or("lease-time", LEASE_TIME.min(max));
        let lease = lease.min(max);
        block.key(&lease_at, "lease-time", seconds(lease));
        block.key(&max_at, "max-lease-time", seconds(max));
        for ours in ["min-lease-time", "renew-time", "rebind-time"] {
            if let Some((time, at)) = self.times.get(ours) {
                block.key(at, ours, seconds(*time));
            }
        }
    }

    fn write_texts(&self, block: &mut Block) {
        for (ours, (value, at)) in &self.texts {
            // Only a subnet has a server's address of its own.
            if *ours == "server-id" && block.header != "[[subnet]]" {
                block.note(at, format!("server-identifier {value}: only a [[subnet]] has a server-id"));
            } else {
                block.key(at, *ours, value.clone());
            }
        }
    }

    /// The terms of an inner scope that sets `inner`.
    pub(super) fn around(&self, inner: &Self) -> Self {
        let mut all = self.clone();
        all.times.extend(inner.times.clone());
        all.texts.extend(inner.texts.clone());
        all.options = inner.options.iter().chain(&self.options).cloned().collect();
        all.authoritative = inner.authoritative.clone().or(all.authoritative);
        all.bootp = inner.bootp.clone().or(all.bootp);
        all.unknown = inner.unknown.clone().or(all.unknown);
        all.booting = inner.booting.clone().or(all.booting);
        all.host_names = inner.host_names.or(all.host_names);
        all
    }
}

/// Options that the configuration defines: their codes, and of which types they are.
#[derive(Debug, Default)]
pub(super) struct Definitions(HashMap<String, (u8, Vec<String>)>);

impl Definitions {
    /// Takes `option NAME code N = TYPE`, or says that it can't.
    pub(super) fn take(&mut self, statement: &Statement, notes: &mut Block) {
        let texts = statement.texts();
        let (name, code, kind) = match texts.as_slice() {
            ["option", name, "code", code, "=", kind @ ..] => (*name, code.parse::<u8>().ok(), kind),
            _ => ("", None, &[][..]),
        };
        let what = statement.shown();
        match code {
            Some(code) if !name.contains('.') => {
                notes.note(&statement.at, format!("{what}: it is {} here", name_of(code)));
                let kind = kind.iter().map(|word| (*word).to_owned()).collect();
                self.0.insert(name.to_owned(), (code, kind));
            }
            _ => notes.note(&statement.at, format!("{what}: only the options of DHCPv4 itself are known here; what is inside of an option is written in octets")),
        }
    }

    /// The code of an option that is defined here, or whose name differs from ours.
    pub(super) fn code(&self, name: &str) -> Option<u8> {
        let named = || NAMES.iter().find(|(theirs, _)| *theirs == name).map(|(_, code)| *code);
        self.0.get(name).map(|(code, _)| *code).or_else(named)
    }

    /// Adds what `option NAME VALUE, …` says, unless it was set nearer to the client.
    pub(super) fn option(&self, statement: &Statement, block: &mut Block) {
        let at = &statement.at;
        let (Some(name), Some(value)) = (statement.words.get(1), statement.words.get(2..)) else {
            return block.note(at, format!("{}: an option without a value", statement.shown()));
        };
        let name = name.text.as_str();
        // `option NAME = EXPRESSION` is computed for each client.
        if value.first().is_some_and(|word| !word.quoted && word.text == "=") || name.contains('.') {
            return block.note(at, format!("{}: what is computed, or inside of another option, is written in octets (code-N = \"hex:…\")", statement.shown()));
        }
        let code = self.code(name);
        let key = code.map_or_else(|| name.to_owned(), name_of);
        if block.has(&format!("options.{key}")) {
            return;
        }
        let parts = value.split(|word| !word.quoted && word.text == ",");
        let parts: Vec<Vec<&Word>> = parts.map(|part| part.iter().collect()).collect();
        if let Some((code, kind)) = self.0.get(name) {
            let kind: Vec<&str> = kind.iter().map(String::as_str).collect();
            return match encoded(&kind, &parts) {
                Some(octets) => add_option(block, at, &octets_key(&key, *code), &hex(&octets)),
                None => block.note(
                    at,
                    format!(
                        "{}: of a type that isn't known here; write it in octets (code-{code} = \"hex:…\")",
                        statement.shown()
                    ),
                ),
            };
        }
        // Octets, where the option is of octets, have colons between.
        if let [one] = &parts[..]
            && let [word] = one[..]
            && !word.quoted
            && takes_octets(&key)
            && let Some(octets) = word.octets()
        {
            return add_option(block, at, &key, &hex(&octets));
        }
        // Of pairs each has a part of its own here.
        let texts: Vec<&str> = parts.iter().flatten().map(|word| word.text.as_str()).collect();
        add_option(block, at, &key, &texts.join(", "));
    }
}

/// An option that has a name and a form is given in octets by its number.
fn octets_key(key: &str, code: u8) -> String {
    if takes_octets(key) { key.to_owned() } else { format!("code-{code}") }
}

/// The octets of a value of a defined option, if its type is one of the plain ones.
fn encoded(kind: &[&str], parts: &[Vec<&Word>]) -> Option<Vec<u8>> {
    let kinds: Vec<&[&str]> = match kind {
        ["array", "of", "{", inner @ .., "}"] => {
            let record: Vec<&[&str]> = inner.split(|word| *word == ",").collect();
            return record_of(&record, parts);
        }
        ["array", "of", inner @ ..] => vec![inner; parts.len()],
        ["{", inner @ .., "}"] => inner.split(|word| *word == ",").collect(),
        one => vec![one],
    };
    if kinds.len() == parts.len() {
        let all: Option<Vec<Vec<u8>>> =
            kinds.iter().zip(parts).map(|(kind, part)| one(kind, part.first()?, part.len())).collect();
        return all.map(|all| all.concat());
    }
    record_of(&kinds, parts)
}

/// Records in a row, their fields side by side.
fn record_of(kinds: &[&[&str]], parts: &[Vec<&Word>]) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    for part in parts {
        if part.len() != kinds.len() {
            return None;
        }
        for (kind, word) in kinds.iter().zip(part) {
            octets.extend(one(kind, word, 1)?);
        }
    }
    Some(octets)
}

fn one(kind: &[&str], word: &Word, words: usize) -> Option<Vec<u8>> {
    if words != 1 {
        return None;
    }
    let text = word.text.as_str();
    let signs: &[&str] = &["unsigned", "signed"];
    let kind = match kind {
        [sign, rest @ ..] if signs.contains(sign) => rest,
        whole => whole,
    };
    Some(match kind {
        ["ip-address"] => text.parse::<Ipv4Addr>().ok()?.octets().to_vec(),
        ["integer", "8"] => {
            let signed = || text.parse::<i8>().ok().map(|number| number.to_be_bytes().to_vec());
            text.parse::<u8>().ok().map(|number| vec![number]).or_else(signed)?
        }
        ["integer", "16"] => {
            let signed = || text.parse::<i16>().ok().map(|number| number.to_be_bytes().to_vec());
            text.parse::<u16>().ok().map(|number| number.to_be_bytes().to_vec()).or_else(signed)?
        }
        ["integer", "32"] => {
            let signed = || text.parse::<i32>().ok().map(|number| number.to_be_bytes().to_vec());
            text.parse::<u32>().ok().map(|number| number.to_be_bytes().to_vec()).or_else(signed)?
        }
        ["boolean"] => vec![u8::from(matches!(text, "true" | "on"))],
        ["text"] => text.as_bytes().to_vec(),
        ["string"] => word.octets()?,
        _ => return None,
    })
}
