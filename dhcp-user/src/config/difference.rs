//! The differences between two configurations, by the tables and keys of the file.

use std::collections::BTreeMap;
use std::fmt::Debug;

use super::class::Pattern;
use super::lease_times::LeaseTimes;
use super::options::{OptionSet, option_name, shown};
use super::overrides::Boot;
use super::{Class, ClassSet, Config, DynamicPool, Match, Overrides, Reservation, Server, Subnet};

/// A table that one of the configurations has, or both with other contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The table: `subnet`, `pool`, `reservation`, `class`, `interface`, `server`, `journal` or `hook`.
    pub table: &'static str,
    /// Which of them.
    pub name: String,
    /// The subnet that it is in, for what is in one.
    pub subnet: Option<String>,
    /// What differs.
    pub what: What,
}

/// How a table differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Only the later configuration has it.
    Added,
    /// Only the earlier one has it.
    Removed,
    /// These keys of it differ.
    Changed(Vec<Key>),
}

/// A key with another value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its name.
    pub name: String,
    /// The earlier value.
    pub from: Option<String>,
    /// The later value.
    pub to: Option<String>,
}

/// A table's keys and their values, as far as they are set.
type Keys = BTreeMap<String, String>;

/// All differences, in the order of the tables in the reference.
#[must_use]
pub fn differences(old: &Config, new: &Config) -> Vec<Difference> {
    let mut all = Vec::new();
    let mut compare =
        |table, subnet: Option<&str>, old: BTreeMap<String, Keys>, new: BTreeMap<String, Keys>| {
            let gone = old.keys().filter(|name| !new.contains_key(*name)).map(|name| (name, What::Removed));
            let kept = new.iter().filter_map(|(name, keys)| match old.get(name) {
                None => Some((name, What::Added)),
                Some(before) if before == keys => None,
                Some(before) => Some((name, What::Changed(changed(before, keys)))),
            });
            let subnet = subnet.map(str::to_owned);
            all.extend(gone.chain(kept).map(|(name, what)| Difference {
                table,
                name: name.clone(),
                subnet: subnet.clone(),
                what,
            }));
        };
    let one = |keys| BTreeMap::from([(String::new(), keys)]);
    compare("server", None, one(server(&old.server)), one(server(&new.server)));
    let journal = |config: &Config| config.journal.iter().map(|own| (String::new(), debugged(own))).collect();
    compare("journal", None, journal(old), journal(new));
    let hooks = |config: &Config| {
        config.hooks.iter().zip(1_u32..).map(|(own, at)| (at.to_string(), debugged(own))).collect()
    };
    compare("hook", None, hooks(old), hooks(new));
    let interfaces =
        |config: &Config| config.interfaces.iter().map(|own| (own.name.clone(), debugged(own))).collect();
    compare("interface", None, interfaces(old), interfaces(new));
    let classes = |config: &Config| {
        let each = config.classes.iter().enumerate();
        each.map(|(at, own)| (own.name.clone(), class(at, own))).collect()
    };
    compare("class", None, classes(old), classes(new));
    let subnets = |config: &Config| -> BTreeMap<String, Keys> {
        config.subnets.iter().map(|own| (own.prefix.to_string(), subnet(own))).collect()
    };
    compare("subnet", None, subnets(old), subnets(new));
    for before in &old.subnets {
        let Some(after) = new.subnets.iter().find(|subnet| subnet.prefix == before.prefix) else { continue };
        let name = before.prefix.to_string();
        let pools = |config: &Config, subnet: &Subnet| -> BTreeMap<String, Keys> {
            let one = |own: &DynamicPool| (own.range.to_string(), pool(config, own));
            subnet.pools.iter().map(one).collect()
        };
        compare("pool", Some(&name), pools(old, before), pools(new, after));
        if before.reservations != after.reservations || old.classes != new.classes {
            let own = |config: &Config, subnet: &Subnet| -> BTreeMap<String, Keys> {
                let one = |own: &Reservation| (own.key.to_string(), reservation(config, own));
                subnet.reservations.iter().map(one).collect()
            };
            compare("reservation", Some(&name), own(old, before), own(new, after));
        }
    }
    all
}

fn changed(before: &Keys, after: &Keys) -> Vec<Key> {
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let key = |name: &String| Key {
        name: name.clone(),
        from: before.get(name).cloned(),
        to: after.get(name).cloned(),
    };
    names.into_iter().map(key).filter(|key| key.from != key.to).collect()
}

/// Sets a key, if it has a value.
fn set(keys: &mut Keys, name: &str, value: Option<String>) {
    keys.extend(value.map(|value| (name.to_owned(), value)));
}

/// The fields of a table in which the names of fields are those of its keys.
fn debugged(table: &impl Debug) -> Keys {
    let shown = format!("{table:?}");
    let fields = shown.split_once(" { ").map_or("", |(_, fields)| fields.trim_end_matches(" }"));
    let mut keys = Keys::new();
    for field in fields.split(", ") {
        match (field.split_once(": "), keys.last_entry()) {
            (Some((name, value)), _) if name.chars().all(|c| c.is_ascii_lowercase() || c == '_') => {
                let value =
                    value.strip_prefix("Some(").and_then(|value| value.strip_suffix(')')).unwrap_or(value);
                if value != "None" {
                    keys.insert(name.replace('_', "-"), value.to_lowercase());
                }
            }
            (_, Some(mut last)) => {
                last.get_mut().push_str(", ");
                last.get_mut().push_str(field);
            }
            (_, None) => {}
        }
    }
    keys
}

fn server(server: &Server) -> Keys {
    // What clients get of it is in each subnet.
    debugged(&Server { options: OptionSet::default(), boot: Boot::default(), ..server.clone() })
}

fn seconds(seconds: u32) -> String {
    match seconds {
        0 => "0s".to_owned(),
        s if s % 86_400 == 0 => format!("{}d", s / 86_400),
        s if s % 3600 == 0 => format!("{}h", s / 3600),
        s if s % 60 == 0 => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

fn times(keys: &mut Keys, times: &LeaseTimes) {
    let LeaseTimes { lease, renew, rebind, min, max, when_full } = times;
    for (name, time) in [
        ("lease-time", Some(*lease)),
        ("renew-time", Some(*renew)),
        ("rebind-time", Some(*rebind)),
        ("min-lease-time", Some(*min)),
        ("max-lease-time", Some(*max)),
        ("lease-time-when-full", *when_full),
    ] {
        set(keys, name, time.map(seconds));
    }
}

fn boot(keys: &mut Keys, boot: &Boot) {
    let Boot { next_server, server_name, file } = boot;
    set(keys, "next-server", next_server.map(|address| address.to_string()));
    set(keys, "server-hostname", server_name.clone());
    set(keys, "boot-file-name", file.clone());
}

fn options(keys: &mut Keys, options: &OptionSet) {
    for (code, value) in &options.0 {
        keys.insert(format!("options.{}", option_name(*code)), shown(*code, value));
    }
}

fn overrides(keys: &mut Keys, overrides: &Overrides) {
    let Overrides { options: own, boot: fields, times: own_times } = overrides;
    options(keys, own);
    boot(keys, fields);
    if let Some(own) = own_times {
        times(keys, own);
    }
}

fn names(config: &Config, set: ClassSet) -> Option<String> {
    let mut names: Vec<&str> =
        set.last_first().filter_map(|at| Some(config.classes.get(at)?.name.as_str())).collect();
    names.reverse();
    (!names.is_empty()).then(|| names.join(", "))
}

fn pool(config: &Config, pool: &DynamicPool) -> Keys {
    let mut keys = Keys::new();
    set(&mut keys, "allow", names(config, pool.admits.allow));
    set(&mut keys, "deny", names(config, pool.admits.deny));
    overrides(&mut keys, &pool.overrides);
    keys
}

fn reservation(config: &Config, own: &Reservation) -> Keys {
    let Reservation { key: _, address, host_name, classes, overrides: terms } = own;
    let mut keys = Keys::new();
    set(&mut keys, "address", address.map(|address| address.to_string()));
    set(&mut keys, "host-name", host_name.clone());
    set(&mut keys, "class", names(config, *classes));
    overrides(&mut keys, terms);
    keys
}

/// With its place: later classes override earlier ones.
fn class(at: usize, class: &Class) -> Keys {
    let Class { name: _, matches, overrides: terms, drop, max_leases } = class;
    let mut keys = Keys::new();
    set(&mut keys, "its place", Some(format!("{}", at.saturating_add(1))));
    set(&mut keys, "match", Some(matched(matches)));
    set(&mut keys, "drop", drop.then(|| "true".to_owned()));
    set(&mut keys, "max-leases", max_leases.map(|most| most.to_string()));
    overrides(&mut keys, terms);
    keys
}

fn matched(matches: &Match) -> String {
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
    let pattern = |pattern: &Pattern| {
        let (octets, star) = match pattern {
            Pattern::Exactly(octets) => (octets, ""),
            Pattern::Beginning(octets) => (octets, "*"),
        };
        format!("{}{star}", octets.escape_ascii())
    };
    let digits = |pattern: &Pattern| {
        let (octets, star) = match pattern {
            Pattern::Exactly(octets) => (octets, ""),
            Pattern::Beginning(octets) => (octets, ":*"),
        };
        let pairs: Vec<String> = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        format!("{}{star}", pairs.join(":"))
    };
    let all = |name: &str, patterns: &[Pattern], shown: &dyn Fn(&Pattern) -> String| {
        let values: Vec<String> = patterns.iter().map(shown).collect();
        (!values.is_empty()).then(|| format!("{name} {}", values.join(", ")))
    };
    let numbers: Vec<String> = architecture.iter().map(u16::to_string).collect();
    let vendors: Vec<String> =
        relay_vendor.iter().map(|(number, said)| format!("{number}/{}", digits(said))).collect();
    let parts = [
        all("vendor-class", vendor_class, &pattern),
        all("user-class", user_class, &pattern),
        all("hw-address", hw_address, &digits),
        hw_listed.as_ref().map(|listed| format!("hw-address-file of {} ({:08x})", listed.len(), sum(listed))),
        all("client-id", client_id, &digits),
        all("circuit-id", circuit_id, &pattern),
        all("remote-id", remote_id, &pattern),
        all("subscriber-id", subscriber_id, &pattern),
        (!vendors.is_empty()).then(|| format!("relay-vendor {}", vendors.join(", "))),
        (!numbers.is_empty()).then(|| format!("architecture {}", numbers.join(", "))),
        known.map(|known| format!("known {known}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// A number that another list has not, but for one time in 2^32.
fn sum(listed: &[[u8; 6]]) -> u32 {
    listed
        .iter()
        .flatten()
        .fold(0x811c_9dc5_u32, |sum, octet| (sum ^ u32::from(*octet)).wrapping_mul(0x0100_0193))
}

fn subnet(subnet: &Subnet) -> Keys {
    let Subnet {
        prefix: _,
        vlan,
        shared_network,
        pools: _,
        times: own_times,
        grace,
        authoritative,
        bootp,
        relays,
        server_id,
        probe,
        max_leases_per_device,
        max_leases_per_ras_device,
        max_leases_per_device_in_use,
        max_leases_per_circuit,
        trust_agent_information,
        options: own,
        boot: fields,
        reservations: _,
    } = subnet;
    let mut keys = Keys::new();
    let tags: Vec<String> =
        [vlan.outer, vlan.inner].iter().filter(|id| **id != 0).map(u16::to_string).collect();
    set(&mut keys, "vlan", (!tags.is_empty()).then(|| tags.join(", ")));
    set(&mut keys, "shared-network", shared_network.clone());
    let listed: Vec<String> = relays.iter().map(ToString::to_string).collect();
    set(&mut keys, "relays", (!listed.is_empty()).then(|| listed.join(", ")));
    set(&mut keys, "server-id", server_id.map(|address| address.to_string()));
    set(&mut keys, "grace", Some(seconds(*grace)));
    set(&mut keys, "authoritative", Some(authoritative.to_string()));
    set(&mut keys, "bootp", Some(format!("{bootp:?}").to_lowercase()));
    set(&mut keys, "probe", probe.map(|probe| format!("{probe:?}").to_lowercase()));
    set(&mut keys, "max-leases-per-device", Some(max_leases_per_device.to_string()));
    set(&mut keys, "max-leases-per-ras-device", Some(max_leases_per_ras_device.to_string()));
    set(&mut keys, "max-leases-per-device-in-use", Some(max_leases_per_device_in_use.to_string()));
    set(&mut keys, "max-leases-per-circuit", max_leases_per_circuit.map(|most| most.to_string()));
    set(&mut keys, "trust-agent-information", trust_agent_information.map(|trust| trust.to_string()));
    times(&mut keys, own_times);
    options(&mut keys, own);
    boot(&mut keys, fields);
    keys
}
