//! A configuration for ISC dhcpd: `dhcpd.conf`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::source::{Source, all_there, hardware, only_known};
use super::written::one_line;
use crate::config::{
    Boot, Bootp, Class, ClassSet, DynamicPool, LeaseTimes, Match, OptionForm, OptionSet, Pattern, Probe,
    Reservation, ReservationKey, Subnet, option_form, option_name,
};

/// The options that dhcpd has in the same forms, the last of them.
const LAST_PLAIN: u8 = 76;
/// The whole of it.
pub(super) fn text(source: &Source<'_>) -> String {
    let mut writer = Writer { source, defined: BTreeSet::new(), lost: Vec::new() };
    let body = writer.body();
    let mut text = String::new();
    for line in source.lost().into_iter().chain(writer.lost) {
        let _ = writeln!(text, "# {line}");
    }
    let names: Vec<&str> = source.config.interfaces.iter().map(|interface| interface.name.as_str()).collect();
    let _ = writeln!(
        text,
        "# {}",
        one_line(&format!(
            "serve these interfaces (Debian: /etc/default/isc-dhcp-server): {}",
            names.join(" ")
        ))
    );
    for code in writer.defined {
        let _ = writeln!(text, "option code-{code} code {code} = string;");
    }
    text + &body
}

struct Writer<'s, 'c> {
    source: &'s Source<'c>,
    /// Options that it doesn't know by a name.
    defined: BTreeSet<u8>,
    lost: Vec<String>,
}

impl Writer<'_, '_> {
    fn has(&self, table: &str, name: &str, keys: &[&str]) {
        keys.iter().for_each(|key| self.source.written.has(table, name, key));
    }

    fn body(&mut self) -> String {
        let config = self.source.config;
        for interface in &config.interfaces {
            self.has("interface", &interface.name, &["name"]);
        }
        self.has(
            "server",
            "",
            &["options", "next-server", "server-hostname", "boot-file-name", "quarantine", "probe"],
        );
        let asks = |asked: fn(&Match) -> bool| config.classes.iter().any(|class| asked(&class.matches));
        let mut text = String::from("ddns-update-style none;\n");
        let _ = writeln!(text, "abandon-lease-time {};", config.server.quarantine);
        let _ = writeln!(text, "ping-check {};", config.server.probe == Probe::Auto);
        if asks(|matches| !matches.architecture.is_empty()) {
            text.push_str("option architecture-type code 93 = unsigned integer 16;\n");
        }
        if asks(|matches| !matches.subscriber_id.is_empty()) {
            text.push_str("option agent.subscriber-id code 6 = string;\n");
        }
        if asks(|matches| !matches.user_class.is_empty()) {
            text.push_str("option user-class code 77 = string;\n");
        }
        for class in &config.classes {
            text.push_str(&self.class(class));
        }
        let mut networks: BTreeMap<&str, String> = BTreeMap::new();
        for subnet in &config.subnets {
            let one = self.subnet(subnet);
            match &subnet.shared_network {
                Some(name) => networks.entry(name).or_default().push_str(&one),
                None => text.push_str(&one),
            }
        }
        for (name, subnets) in networks {
            let _ = writeln!(text, "shared-network {} {{\n{subnets}}}", quoted(name));
        }
        for subnet in &config.subnets {
            let name = subnet.prefix.to_string();
            for (own, place) in subnet.reservations.iter().zip(1_u32..) {
                text.push_str(&self.host(own, &name, place));
            }
        }
        text
    }

    fn class(&mut self, class: &Class) -> String {
        // Pools say these themselves.
        let is_plain = class.overrides.is_empty() && !class.drop && class.max_leases.is_none();
        if only_known(&class.matches).is_some() && is_plain {
            self.has("class", &class.name, &["name", "match"]);
            return String::new();
        }
        let Some(condition) = condition(&class.matches) else { return String::new() };
        self.has(
            "class",
            &class.name,
            &[
                "name",
                "match",
                "drop",
                "max-leases",
                "options",
                "next-server",
                "server-hostname",
                "boot-file-name",
            ],
        );
        let mut text = format!("class {} {{\n  match if {condition};\n", quoted(&class.name));
        if class.drop {
            text.push_str("  ignore booting;\n");
        }
        if let Some(most) = class.max_leases {
            let _ = writeln!(text, "  lease limit {most};");
        }
        if let Some(own) = &class.overrides.times {
            self.has_times("class", &class.name);
            times(&mut text, own);
        }
        self.options(&mut text, &class.overrides.options);
        boot(&mut text, &class.overrides.boot);
        text.push_str("}\n");
        text
    }

    fn has_times(&self, table: &str, name: &str) {
        let keys = ["lease-time", "min-lease-time", "max-lease-time", "renew-time", "rebind-time"];
        self.source.has_times(table, name, &keys);
    }

    fn subnet(&mut self, subnet: &Subnet) -> String {
        let name = subnet.prefix.to_string();
        self.has(
            "subnet",
            &name,
            &[
                "prefix",
                "shared-network",
                "reservations-file",
                "authoritative",
                "bootp",
                "server-id",
                "options",
                "next-server",
                "server-hostname",
                "boot-file-name",
                "probe",
            ],
        );
        self.has_times("subnet", &name);
        // A relay is told by the subnet that its address is in.
        if subnet.relays.iter().all(|relay| subnet.prefix.contains(*relay)) {
            self.has("subnet", &name, &["relays"]);
        }
        let mut text = format!("subnet {} netmask {} {{\n", subnet.prefix.network, subnet.prefix.netmask());
        text.push_str(if subnet.authoritative { "  authoritative;\n" } else { "  not authoritative;\n" });
        text.push_str(if subnet.bootp == Bootp::Off { "  deny bootp;\n" } else { "  allow bootp;\n" });
        if let Some(probe) = subnet.probe {
            let _ = writeln!(text, "  ping-check {};", probe == Probe::Auto);
        }
        if let Some(server) = subnet.server_id {
            let _ = writeln!(text, "  server-identifier {server};");
        }
        times(&mut text, &subnet.times);
        self.options(&mut text, &subnet.options);
        boot(&mut text, &subnet.boot);
        for pool in &subnet.pools {
            self.pool(&mut text, pool, subnet.bootp == Bootp::Dynamic);
        }
        text.push_str("}\n");
        text
    }

    fn pool(&mut self, text: &mut String, pool: &DynamicPool, is_for_bootp: bool) {
        let range = pool.range.to_string();
        let all = &self.source.config.classes;
        let (allow, deny) = (self.members(pool.admits.allow), self.members(pool.admits.deny));
        if allow.is_empty() && !pool.admits.allow.is_empty() {
            // It is for nobody whom there is a class of.
            return;
        }
        if all_there(all, pool.admits.allow, is_there) {
            self.has("pool", &range, &["allow"]);
        }
        // Who is in a class that isn't there can't be kept out.
        if all_there(all, pool.admits.deny, is_there) {
            self.has("pool", &range, &["deny"]);
        }
        self.has("pool", &range, &["range", "options", "next-server", "server-hostname", "boot-file-name"]);
        let dynamic = if is_for_bootp { "dynamic-bootp " } else { "" };
        let _ = writeln!(text, "  pool {{\n    range {dynamic}{} {};", pool.range.first, pool.range.last);
        for (word, listed) in [("allow", allow), ("deny", deny)] {
            for who in listed {
                let _ = writeln!(text, "    {word} {who};");
            }
        }
        if let Some(own) = &pool.overrides.times {
            self.has_times("pool", &range);
            times(text, own);
        }
        self.options(text, &pool.overrides.options);
        boot(text, &pool.overrides.boot);
        text.push_str("  }\n");
    }

    /// Whom a pool allows or denies, as far as there are such classes.
    fn members(&self, set: ClassSet) -> Vec<String> {
        let classes = &self.source.config.classes;
        let mut all: Vec<String> = set
            .last_first()
            .filter_map(|place| classes.get(place))
            .filter(|class| is_there(class))
            .map(|class| match only_known(&class.matches) {
                Some(true) => "known-clients".to_owned(),
                Some(false) => "unknown-clients".to_owned(),
                None => format!("members of {}", quoted(&class.name)),
            })
            .collect();
        all.reverse();
        all
    }

    fn host(&mut self, own: &Reservation, subnet: &str, place: u32) -> String {
        let name = format!("{place} of {subnet}");
        let known = match &own.key {
            ReservationKey::HwAddress(octets) => format!("hardware ethernet {}", digits(octets)),
            ReservationKey::ClientId(octets) => format!("option dhcp-client-identifier {}", digits(octets)),
            ReservationKey::Circuit { id, remote_id: None } => {
                format!("host-identifier option agent.circuit-id {}", digits(id))
            }
            // Of two at once there is none.
            ReservationKey::Circuit { .. } => return String::new(),
        };
        self.has(
            "reservation",
            &name,
            &[
                "hw-address",
                "client-id",
                "circuit-id",
                "address",
                "host-name",
                "options",
                "next-server",
                "server-hostname",
                "boot-file-name",
            ],
        );
        let label: String = subnet.chars().map(|c| if c.is_ascii_digit() { c } else { '-' }).collect();
        let mut text = format!("host h{place}-{label} {{\n  {known};\n");
        if let Some(address) = own.address {
            let _ = writeln!(text, "  fixed-address {address};");
        } else {
            self.lost.push(one_line(&format!(
                "reservation {name} ({}): it is for the client in all subnets there, and here in {subnet}",
                own.key
            )));
        }
        if let Some(host_name) = &own.host_name {
            let _ = writeln!(text, "  option host-name {};", quoted(host_name));
        }
        if let Some(own) = &own.overrides.times {
            self.has_times("reservation", &name);
            times(&mut text, own);
        }
        self.options(&mut text, &own.overrides.options);
        boot(&mut text, &own.overrides.boot);
        text.push_str("}\n");
        text
    }

    fn options(&mut self, text: &mut String, options: &OptionSet) {
        for (code, value) in &options.0 {
            let list = |parts: Vec<String>| parts.join(", ");
            let plain = match option_form(*code, value) {
                OptionForm::Addresses(all) => Some(list(all.iter().map(ToString::to_string).collect())),
                OptionForm::Pairs(all) => {
                    Some(list(all.iter().map(|(one, other)| format!("{one} {other}")).collect()))
                }
                OptionForm::Numbers(_, all) => Some(list(all.iter().map(ToString::to_string).collect())),
                OptionForm::Truth(is_set) => Some(is_set.to_string()),
                OptionForm::Text(text) => Some(quoted(&text)),
                OptionForm::Octets(_) => None,
            };
            let name = match *code {
                5 => "ien116-name-servers".to_owned(),
                64 => "nisplus-domain".to_owned(),
                67 => "bootfile-name".to_owned(),
                code => option_name(code),
            };
            match plain.filter(|_| *code <= LAST_PLAIN) {
                Some(plain) => {
                    let _ = writeln!(text, "  option {name} {plain};");
                }
                None => {
                    self.defined.insert(*code);
                    let _ = writeln!(text, "  option code-{code} {};", digits(value));
                }
            }
        }
    }
}

/// Whether there is such a class, or pools say it themselves.
fn is_there(class: &Class) -> bool {
    only_known(&class.matches).is_some() || condition(&class.matches).is_some()
}

fn times(text: &mut String, times: &LeaseTimes) {
    let _ = writeln!(
        text,
        "  default-lease-time {}; min-lease-time {}; max-lease-time {};\n  option dhcp-renewal-time {}; option dhcp-rebinding-time {};",
        times.lease, times.min, times.max, times.renew, times.rebind
    );
}

fn boot(text: &mut String, boot: &Boot) {
    if let Some(address) = boot.next_server {
        let _ = writeln!(text, "  next-server {address};");
    }
    if let Some(name) = &boot.server_name {
        let _ = writeln!(text, "  server-name {};", quoted(name));
    }
    if let Some(file) = &boot.file {
        let _ = writeln!(text, "  filename {};", quoted(file));
    }
}

/// Text in quotes, its own quotes and backslashes escaped.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in one_line(text).chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

fn digits(octets: &[u8]) -> String {
    let pairs: Vec<String> = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    pairs.join(":")
}

/// The condition of a class, if dhcpd has one.
fn condition(matches: &Match) -> Option<String> {
    let Match {
        vendor_class,
        user_class,
        hw_address,
        hw_listed,
        client_id,
        circuit_id,
        remote_id,
        subscriber_id,
        relay_vendor,
        architecture,
        known,
    } = matches;
    let hardware = hardware(hw_address, hw_listed.as_deref())?;
    // It has no name for a vendor's sub-option.
    if !relay_vendor.is_empty() {
        return None;
    }
    let by = |what: &str, patterns: &[Pattern]| {
        any(patterns.iter().map(|pattern| comparison(what, pattern)).collect())
    };
    let numbers = architecture.iter().map(|number| {
        let [high, low] = number.to_be_bytes();
        format!("option architecture-type = {high:02x}:{low:02x}")
    });
    let parts = [
        by("vendor-class-identifier", vendor_class),
        by("user-class", user_class),
        any(hardware.iter().map(of_hardware).collect()),
        by("dhcp-client-identifier", client_id),
        by("agent.circuit-id", circuit_id),
        by("agent.remote-id", remote_id),
        by("agent.subscriber-id", subscriber_id),
        any(numbers.collect()),
        known.map(|known| if known { "known" } else { "not known" }.to_owned()),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    Some(parts.join(" and "))
}

fn any(all: Vec<String>) -> Option<String> {
    match &all[..] {
        [] => None,
        [one] => Some(format!("({one})")),
        several => Some(format!(
            "({})",
            several.iter().map(|one| format!("({one})")).collect::<Vec<_>>().join(" or ")
        )),
    }
}

fn comparison(option: &str, pattern: &Pattern) -> String {
    let literal = |octets: &[u8]| {
        let is_plain = octets.iter().all(|o| o.is_ascii_graphic() && !b"\"\\".contains(o) || *o == b' ');
        match std::str::from_utf8(octets) {
            Ok(text) if is_plain => format!("\"{text}\""),
            _ => hex(octets),
        }
    };
    match pattern {
        Pattern::Exactly(octets) => format!("option {option} = {}", literal(octets)),
        Pattern::Beginning(none) if none.is_empty() => format!("exists {option}"),
        Pattern::Beginning(octets) => {
            format!("substring (option {option}, 0, {}) = {}", octets.len(), literal(octets))
        }
    }
}

/// With the type of the hardware before the address.
fn of_hardware(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Exactly(octets) => format!("hardware = 01:{}", digits(octets)),
        Pattern::Beginning(octets) => {
            format!(
                "substring (hardware, 0, {}) = {}",
                octets.len().saturating_add(1),
                hex(&[&[1], &octets[..]].concat())
            )
        }
    }
}

/// A single octet would be taken for a number.
fn hex(octets: &[u8]) -> String {
    match octets {
        [one] => format!("\"\\{one:03o}\""),
        several => digits(several),
    }
}
