//! A configuration for dnsmasq: `dnsmasq.conf`.

use std::fmt::Write as _;

use super::source::{Source, all_there, follows, hardware, only_known};
use super::written::one_line;
use crate::config::{
    Boot, Bootp, Class, ClassSet, LeaseTimes, Match, OptionForm, OptionSet, Pattern, Probe, Reservation,
    ReservationKey, Subnet, option_form,
};

/// The whole of it.
pub(super) fn text(source: &Source<'_>) -> String {
    let mut writer = Writer { source, text: String::new(), lost: Vec::new() };
    writer.whole();
    let comments = source.lost().into_iter().chain(writer.lost);
    let comments: String = comments.map(|line| format!("# {line}\n")).collect();
    comments + &writer.text
}

struct Writer<'s, 'c> {
    source: &'s Source<'c>,
    text: String,
    lost: Vec<String>,
}

impl Writer<'_, '_> {
    fn has(&self, table: &str, name: &str, keys: &[&str]) {
        keys.iter().for_each(|key| self.source.written.has(table, name, key));
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(&one_line(line));
        self.text.push('\n');
    }

    fn whole(&mut self) {
        let config = self.source.config;
        // The DNS is another server's.
        self.line("port=0");
        self.has("server", "", &["options", "next-server", "server-hostname", "boot-file-name"]);
        if config.server.probe == Probe::Off {
            self.has("server", "", &["probe"]);
            self.line("no-ping");
        }
        for interface in &config.interfaces {
            self.has("interface", &interface.name, &["name"]);
            self.line(&format!("interface={}", interface.name));
        }
        let authoritative = config.subnets.iter().all(|subnet| subnet.authoritative);
        if authoritative {
            self.line("dhcp-authoritative");
        }
        if config.subnets.iter().any(|subnet| subnet.bootp == Bootp::Dynamic) {
            self.line("bootp-dynamic");
        }
        for class in &config.classes {
            self.class(class);
        }
        for (subnet, number) in config.subnets.iter().zip(1_u32..) {
            let name = subnet.prefix.to_string();
            if authoritative || !subnet.authoritative {
                self.has("subnet", &name, &["authoritative"]);
            }
            // What is for one subnet of several has its tag.
            let tag = (config.subnets.len() > 1).then(|| format!("subnet{number}"));
            self.subnet(subnet, &name, tag.as_deref());
        }
    }

    fn class(&mut self, class: &Class) {
        let name = &class.name;
        let tag = tag_of(name);
        let known = only_known(&class.matches);
        let lines = match known {
            Some(_) => Some(Vec::new()),
            None => setting(&class.matches, &tag),
        };
        let Some(lines) = lines else { return };
        self.has("class", name, &["name", "match", "drop", "options"]);
        lines.iter().for_each(|line| self.line(line));
        let tag = match known {
            Some(true) => "known".to_owned(),
            Some(false) => "!known".to_owned(),
            None => tag,
        };
        if class.drop {
            self.line(&format!("dhcp-ignore=tag:{tag}"));
        }
        self.options(&class.overrides.options, Some(&tag));
        self.boot(&class.overrides.boot, Some(&tag), "class", name);
    }

    fn subnet(&mut self, subnet: &Subnet, name: &str, tag: Option<&str>) {
        self.has("subnet", name, &["prefix", "reservations-file", "bootp", "options", "lease-time"]);
        if subnet.relays.iter().all(|relay| subnet.prefix.contains(*relay)) {
            self.has("subnet", name, &["relays"]);
        }
        self.times("subnet", name, &subnet.times);
        let mask = subnet.prefix.netmask();
        let set = tag.map(|tag| format!("set:{tag},")).unwrap_or_default();
        if subnet.pools.is_empty() {
            self.line(&format!(
                "dhcp-range={set}{},static,{mask},{}",
                subnet.prefix.network, subnet.times.lease
            ));
        }
        for (pool, number) in subnet.pools.iter().zip(1_u32..) {
            let range = pool.range.to_string();
            let allow = self.tags(pool.admits.allow, "");
            let deny = self.tags(pool.admits.deny, "!");
            if allow.len() > 1 {
                // All of several tags are wanted there, and one of several classes here: nobody gets in.
                self.line(&format!(
                    "# dhcp-range of {range}: for any of several classes, which is all of them there"
                ));
                continue;
            }
            self.has("pool", &range, &["range", "allow", "options", "lease-time"]);
            // Who is in a class that isn't there can't be kept out.
            if all_there(&self.source.config.classes, pool.admits.deny, |class| {
                only_known(&class.matches).is_some() || setting(&class.matches, "x").is_some()
            }) {
                self.has("pool", &range, &["deny"]);
            }
            let overrides = &pool.overrides;
            let own = (!overrides.is_empty())
                .then(|| format!("{}pool{number}", tag.map(|tag| format!("{tag}-")).unwrap_or_default()));
            // A range sets one tag there: what is for its subnet is for its own tag as well.
            let sets = own.as_ref().map_or_else(|| set.clone(), |own| format!("set:{own},"));
            let wanted: String = allow.iter().chain(&deny).map(|tag| format!("{tag},")).collect();
            let lease = overrides.times.map_or(subnet.times.lease, |times| times.lease);
            self.line(&format!(
                "dhcp-range={wanted}{sets}{},{},{mask},{lease}",
                pool.range.first, pool.range.last
            ));
            if let Some(times) = &overrides.times {
                self.times("pool", &range, times);
            }
            let (mut options, mut boot) = (overrides.options.clone(), overrides.boot.clone());
            if own.is_some() && tag.is_some() {
                for (code, value) in &subnet.options.0 {
                    options.0.entry(*code).or_insert_with(|| value.clone());
                }
                boot.file = boot.file.or_else(|| subnet.boot.file.clone());
                boot.server_name = boot.server_name.or_else(|| subnet.boot.server_name.clone());
                boot.next_server = boot.next_server.or(subnet.boot.next_server);
            }
            self.options(&options, own.as_deref());
            self.boot(&boot, own.as_deref(), "pool", &range);
        }
        self.options(&subnet.options, tag);
        self.boot(&subnet.boot, tag, "subnet", name);
        for (own, place) in subnet.reservations.iter().zip(1_u32..) {
            self.host(own, subnet, &format!("{place} of {name}"), tag);
        }
    }

    /// The tags of classes, each with what goes before it.
    fn tags(&self, set: ClassSet, not: &str) -> Vec<String> {
        let classes = &self.source.config.classes;
        let mut all: Vec<String> = set
            .last_first()
            .filter_map(|place| classes.get(place))
            .map(|class| match (only_known(&class.matches), not) {
                (Some(true), not) => format!("tag:{not}known"),
                (Some(false), "") => "tag:!known".to_owned(),
                (Some(false), _) => "tag:known".to_owned(),
                (None, not) => format!("tag:{not}{}", tag_of(&class.name)),
            })
            .collect();
        all.reverse();
        all
    }

    fn times(&self, table: &str, name: &str, times: &LeaseTimes) {
        // A client gets what it asks for there, up to the lease time, and T1 and T2 follow from that.
        if follows(times) {
            self.has(table, name, &["renew-time", "rebind-time"]);
        }
        if times.max == times.lease {
            self.has(table, name, &["max-lease-time"]);
        }
    }

    fn host(&mut self, own: &Reservation, subnet: &Subnet, name: &str, tag: Option<&str>) {
        let client = match &own.key {
            ReservationKey::HwAddress(octets) => digits(octets),
            ReservationKey::ClientId(octets) => match &octets[..] {
                [one] => format!("id:0{one:x}"),
                several => format!("id:{}", digits(several)),
            },
            // Who is on a port can't be told by a host there.
            ReservationKey::Circuit { .. } => return,
        };
        self.has(
            "reservation",
            name,
            &["hw-address", "client-id", "address", "host-name", "class", "options", "lease-time"],
        );
        let overrides = &own.overrides;
        let mut parts = vec![client];
        let classes = self.source.config.classes.iter().enumerate();
        let in_them: Vec<usize> = own.classes.last_first().collect();
        parts.extend(
            classes
                .filter(|(place, _)| in_them.contains(place))
                .map(|(_, class)| format!("set:{}", tag_of(&class.name))),
        );
        let has_terms = !overrides.options.0.is_empty() || overrides.boot != Boot::default();
        let own_tag = has_terms.then(|| {
            format!(
                "{}host{}",
                tag.map(|tag| format!("{tag}-")).unwrap_or_default(),
                name.split(' ').next().unwrap_or_default()
            )
        });
        parts.extend(own_tag.iter().map(|tag| format!("set:{tag}")));
        parts.extend(own.address.map(|address| address.to_string()));
        parts.extend(own.host_name.clone());
        if let Some(times) = &overrides.times {
            parts.push(times.lease.to_string());
            self.times("reservation", name, times);
        }
        if own.address.is_none() {
            self.lost.push(one_line(&format!(
                "reservation {name} ({}): it is for the client in all subnets there, and here in {}",
                own.key, subnet.prefix
            )));
        }
        self.line(&format!("dhcp-host={}", parts.join(",")));
        self.options(&overrides.options, own_tag.as_deref());
        self.boot(&overrides.boot, own_tag.as_deref(), "reservation", name);
    }

    fn options(&mut self, options: &OptionSet, tag: Option<&str>) {
        let tag = tag.map(|tag| format!("tag:{tag},")).unwrap_or_default();
        for (code, value) in &options.0 {
            let list = |parts: Vec<String>| parts.join(",");
            let shown = match option_form(*code, value) {
                OptionForm::Addresses(all) => list(all.iter().map(ToString::to_string).collect()),
                OptionForm::Pairs(all) => {
                    list(all.iter().map(|(one, other)| format!("{one},{other}")).collect())
                }
                // The letter says how many octets a number has.
                OptionForm::Numbers(octets, all) if matches!(all[..], [number] if number >= 0) => {
                    let letter = ["", "b", "s", "", "i"].get(octets).copied().unwrap_or_default();
                    format!("{}{letter}", all.first().copied().unwrap_or_default())
                }
                OptionForm::Text(text) if is_text(&text) => text,
                _ => octets(value),
            };
            self.line(&format!("dhcp-option={tag}{code},{shown}"));
        }
    }

    fn boot(&mut self, boot: &Boot, tag: Option<&str>, table: &str, name: &str) {
        let Some(file) = &boot.file else { return };
        let tag = tag.map(|tag| format!("tag:{tag},")).unwrap_or_default();
        let mut line = format!("dhcp-boot={tag}{file}");
        match (&boot.server_name, boot.next_server) {
            (None, None) => {}
            (server, address) => {
                let _ = write!(line, ",{}", server.as_deref().unwrap_or_default());
                if let Some(address) = address {
                    let _ = write!(line, ",{address}");
                }
            }
        }
        self.has(table, name, &["boot-file-name", "server-hostname", "next-server"]);
        self.line(&line);
    }
}

/// A class's name as a tag.
fn tag_of(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

fn digits(octets: &[u8]) -> String {
    let pairs: Vec<String> = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    pairs.join(":")
}

/// The octets of a value: one alone as a number.
fn octets(value: &[u8]) -> String {
    match value {
        [one] => one.to_string(),
        several => digits(several),
    }
}

/// Whether it is taken for text there, and for nothing else.
fn is_text(text: &str) -> bool {
    text.contains(|c: char| c.is_ascii_alphabetic() && !c.is_ascii_hexdigit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
}

/// The lines that give a class's clients their tag; none if there are no such.
fn setting(matches: &Match, tag: &str) -> Option<Vec<String>> {
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
    if !relay_vendor.is_empty() || known.is_some() {
        return None;
    }
    let mut by: Vec<Vec<String>> = Vec::new();
    let mut add = |patterns: &[Pattern], line: &dyn Fn(&Pattern) -> Option<String>| -> Option<()> {
        if !patterns.is_empty() {
            by.push(patterns.iter().map(line).collect::<Option<Vec<_>>>()?);
        }
        Some(())
    };
    let text =
        |octets: &[u8]| std::str::from_utf8(octets).ok().filter(|text| is_text(text)).map(str::to_owned);
    add(vendor_class, &|pattern| match pattern {
        Pattern::Exactly(octets) => Some(format!("dhcp-match=set:{tag},60,{}", text(octets)?)),
        Pattern::Beginning(none) if none.is_empty() => Some(format!("dhcp-match=set:{tag},60")),
        Pattern::Beginning(octets) => Some(format!("dhcp-vendorclass=set:{tag},{}", text(octets)?)),
    })?;
    add(user_class, &|pattern| match pattern {
        Pattern::Exactly(octets) => Some(format!("dhcp-match=set:{tag},77,{}", text(octets)?)),
        Pattern::Beginning(none) if none.is_empty() => Some(format!("dhcp-match=set:{tag},77")),
        Pattern::Beginning(octets) => Some(format!("dhcp-userclass=set:{tag},{}", text(octets)?)),
    })?;
    add(&hardware, &|pattern| {
        let (octets, missing) = match pattern {
            Pattern::Exactly(octets) => (octets, 0),
            Pattern::Beginning(octets) => (octets, 6_usize.checked_sub(octets.len())?),
        };
        let mut parts: Vec<String> = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        parts.resize(octets.len().saturating_add(missing), "*".to_owned());
        Some(format!("dhcp-mac=set:{tag},{}", parts.join(":")))
    })?;
    add(client_id, &|pattern| match pattern {
        Pattern::Exactly(octets) if octets.len() > 1 => {
            Some(format!("dhcp-match=set:{tag},61,{}", digits(octets)))
        }
        _ => None,
    })?;
    for (word, patterns) in
        [("dhcp-circuitid", circuit_id), ("dhcp-remoteid", remote_id), ("dhcp-subscrid", subscriber_id)]
    {
        add(patterns, &|pattern| match pattern {
            Pattern::Exactly(octets) => {
                let shown = text(octets).or_else(|| (octets.len() > 1).then(|| digits(octets)))?;
                Some(format!("{word}=set:{tag},{shown}"))
            }
            Pattern::Beginning(_) => None,
        })?;
    }
    if !architecture.is_empty() {
        by.push(
            architecture
                .iter()
                .map(|number| format!("dhcp-match=set:{tag},option:client-arch,{number}"))
                .collect(),
        );
    }
    // All of several things can't be asked by one tag.
    match by.len() {
        1 => by.pop(),
        _ => None,
    }
}
