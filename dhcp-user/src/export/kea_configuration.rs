//! A configuration for Kea: `kea-dhcp4.conf`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::source::{Source, all_there, hardware};
use super::written::one_line;
use crate::config::{
    Boot, Class, ClassSet, DynamicPool, LeaseTimes, Match, OptionForm, OptionSet, Overrides, Pattern,
    Reservation, ReservationKey, Subnet, option_form, option_name,
};

/// The options that Kea knows by the same names and in the same forms, the last of them.
const LAST_PLAIN: u8 = 76;
type Object = Map<String, Value>;

/// The whole of it.
pub(super) fn text(source: &Source<'_>) -> String {
    let dhcp4 = Writer { source }.dhcp4();
    let mut text: String = source.lost().iter().map(|line| format!("// {line}\n")).collect();
    let json = serde_json::to_string_pretty(&json!({ "Dhcp4": dhcp4 })).unwrap_or_default();
    text.push_str(&json);
    text.push('\n');
    text
}

struct Writer<'s, 'c> {
    source: &'s Source<'c>,
}

impl Writer<'_, '_> {
    fn has(&self, table: &str, name: &str, key: &str) {
        self.source.written.has(table, name, key);
    }

    fn dhcp4(&self) -> Object {
        let config = self.source.config;
        let mut all = Object::new();
        for interface in &config.interfaces {
            self.has("interface", &interface.name, "name");
        }
        let names: Vec<&str> = config.interfaces.iter().map(|interface| interface.name.as_str()).collect();
        all.insert("interfaces-config".to_owned(), json!({ "interfaces": names }));
        all.insert("decline-probation-period".to_owned(), json!(config.server.quarantine));
        self.has("server", "", "quarantine");
        // What the server sets is in each subnet.
        for key in ["options", "next-server", "server-hostname", "boot-file-name"] {
            self.has("server", "", key);
        }
        let mut classes: Vec<Value> = Vec::new();
        let mut dropped: Vec<String> = Vec::new();
        for class in config.classes.iter().rev() {
            if let Some(object) = self.class(class) {
                classes.push(object.into());
                if class.drop && class.name != "DROP" {
                    dropped.push(format!("member('{}')", class.name));
                }
            }
        }
        // A class is known to those after it.
        if !dropped.is_empty() {
            classes.push(json!({ "name": "DROP", "test": dropped.join(" or ") }));
        }
        let mut networks: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        let mut alone = Vec::new();
        for (subnet, id) in config.subnets.iter().zip(1_u32..) {
            let object = self.subnet(subnet, id, &mut classes).into();
            match &subnet.shared_network {
                Some(name) => networks.entry(name).or_default().push(object),
                None => alone.push(object),
            }
        }
        if !classes.is_empty() {
            all.insert("client-classes".to_owned(), classes.into());
        }
        all.insert("subnet4".to_owned(), alone.into());
        if !networks.is_empty() {
            let networks: Vec<Value> = networks
                .into_iter()
                .map(|(name, subnets)| {
                    let is_authoritative = self.is_authoritative(name);
                    json!({ "name": name, "authoritative": is_authoritative, "subnet4": subnets })
                })
                .collect();
            all.insert("shared-networks".to_owned(), networks.into());
        }
        all
    }

    /// Whether all subnets of a shared network are authoritative.
    fn is_authoritative(&self, network: &str) -> bool {
        let all = &self.source.config.subnets;
        let mut its = all.iter().filter(|subnet| subnet.shared_network.as_deref() == Some(network));
        its.all(|subnet| subnet.authoritative)
    }

    fn class(&self, class: &Class) -> Option<Object> {
        let test = expression(&class.matches)?;
        for key in ["name", "match", "drop", "options", "next-server", "server-hostname", "boot-file-name"] {
            self.has("class", &class.name, key);
        }
        let mut object = Object::new();
        object.insert("name".to_owned(), class.name.clone().into());
        object.insert("test".to_owned(), test.into());
        self.overrides(&mut object, &class.overrides);
        if let Some(times) = &class.overrides.times {
            self.source.has_times("class", &class.name, &["lease-time", "min-lease-time", "max-lease-time"]);
            lifetimes(&mut object, times);
        }
        Some(object)
    }

    fn overrides(&self, object: &mut Object, overrides: &Overrides) {
        options(object, &overrides.options);
        boot(object, &overrides.boot);
    }

    fn subnet(&self, subnet: &Subnet, id: u32, classes: &mut Vec<Value>) -> Object {
        let name = subnet.prefix.to_string();
        for key in [
            "prefix",
            "reservations-file",
            "shared-network",
            "relays",
            "options",
            "next-server",
            "server-hostname",
            "boot-file-name",
        ] {
            self.has("subnet", &name, key);
        }
        self.source.has_times(
            "subnet",
            &name,
            &["lease-time", "min-lease-time", "max-lease-time", "renew-time", "rebind-time"],
        );
        let mut object = Object::new();
        object.insert("id".to_owned(), id.into());
        object.insert("subnet".to_owned(), name.clone().into());
        // The subnets of a shared network have what it has, or the file is refused.
        let authoritative =
            subnet.shared_network.as_ref().map_or(subnet.authoritative, |name| self.is_authoritative(name));
        if authoritative == subnet.authoritative {
            self.has("subnet", &name, "authoritative");
        }
        object.insert("authoritative".to_owned(), authoritative.into());
        lifetimes(&mut object, &subnet.times);
        object.insert("renew-timer".to_owned(), subnet.times.renew.into());
        object.insert("rebind-timer".to_owned(), subnet.times.rebind.into());
        if !subnet.relays.is_empty() {
            let relays: Vec<String> = subnet.relays.iter().map(ToString::to_string).collect();
            object.insert("relay".to_owned(), json!({ "ip-addresses": relays }));
        }
        let mut own = subnet.options.clone();
        if let Some(server) = subnet.server_id {
            self.has("subnet", &name, "server-id");
            own.0.insert(54, server.octets().to_vec());
        }
        options(&mut object, &own);
        boot(&mut object, &subnet.boot);
        let pools: Vec<Value> = subnet.pools.iter().map(|pool| self.pool(pool, classes).into()).collect();
        if !pools.is_empty() {
            object.insert("pools".to_owned(), pools.into());
        }
        let own = subnet.reservations.iter().zip(1_u32..);
        let own: Vec<Value> = own
            .filter_map(|(own, place)| self.reservation(own, &format!("{place} of {name}")))
            .map(Value::from)
            .collect();
        if !own.is_empty() {
            object.insert("reservations".to_owned(), own.into());
        }
        object
    }

    fn pool(&self, pool: &DynamicPool, classes: &mut Vec<Value>) -> Object {
        let range = pool.range.to_string();
        for key in ["range", "allow", "options"] {
            self.has("pool", &range, key);
        }
        let classes_here = &self.source.config.classes;
        // Who is in a class that isn't there can't be kept out.
        if all_there(classes_here, pool.admits.deny, |class| expression(&class.matches).is_some()) {
            self.has("pool", &range, "deny");
        }
        let mut object = Object::new();
        object.insert("pool".to_owned(), range.clone().into());
        options(&mut object, &pool.overrides.options);
        let (allow, deny) = (self.members(pool.admits.allow), self.members(pool.admits.deny));
        let class = match (&allow[..], &deny[..]) {
            ([], []) => return object,
            ([one], []) => one.clone(),
            (allow, deny) => {
                let member = |name: &String| format!("member('{name}')");
                let admitted = allow.iter().map(member).collect::<Vec<_>>().join(" or ");
                let refused = deny.iter().map(|name| format!("not member('{name}')"));
                let admitted = (!allow.is_empty()).then(|| format!("({admitted})"));
                let test: Vec<String> = admitted.into_iter().chain(refused).collect();
                let name = format!("clients of {range}");
                classes.push(json!({ "name": name, "test": test.join(" and ") }));
                name
            }
        };
        object.insert("client-class".to_owned(), class.into());
        object
    }

    /// The names of classes; one that has no form there is kept out of the pool as its name is nobody's.
    fn members(&self, set: ClassSet) -> Vec<String> {
        let classes = &self.source.config.classes;
        let mut names: Vec<String> =
            set.last_first().filter_map(|place| classes.get(place)).map(|class| class.name.clone()).collect();
        names.reverse();
        names
    }

    fn reservation(&self, own: &Reservation, name: &str) -> Option<Object> {
        let mut object = Object::new();
        let (key, octets) = match &own.key {
            ReservationKey::HwAddress(octets) => ("hw-address", &octets[..]),
            ReservationKey::ClientId(octets) => ("client-id", &octets[..]),
            ReservationKey::Circuit { id, remote_id: None } => ("circuit-id", &id[..]),
            // Of two at once there is none.
            ReservationKey::Circuit { .. } => return None,
        };
        let between = if key == "circuit-id" { "" } else { ":" };
        object.insert(key.to_owned(), digits(octets, between).into());
        let without_key = object.len();
        if let Some(address) = own.address {
            object.insert("ip-address".to_owned(), address.to_string().into());
        }
        if let Some(host_name) = &own.host_name {
            object.insert("hostname".to_owned(), host_name.clone().into());
        }
        let classes = self.members(own.classes);
        if !classes.is_empty() {
            object.insert("client-classes".to_owned(), classes.into());
        }
        self.overrides(&mut object, &own.overrides);
        // A reservation of nothing is an error there.
        if object.len() == without_key {
            return None;
        }
        for key in [
            "hw-address",
            "client-id",
            "circuit-id",
            "address",
            "host-name",
            "class",
            "options",
            "next-server",
            "server-hostname",
            "boot-file-name",
        ] {
            self.has("reservation", name, key);
        }
        Some(object)
    }
}

fn lifetimes(object: &mut Object, times: &LeaseTimes) {
    object.insert("valid-lifetime".to_owned(), times.lease.into());
    object.insert("min-valid-lifetime".to_owned(), times.min.into());
    object.insert("max-valid-lifetime".to_owned(), times.max.into());
}

fn boot(object: &mut Object, boot: &Boot) {
    if let Some(address) = boot.next_server {
        object.insert("next-server".to_owned(), address.to_string().into());
    }
    if let Some(name) = &boot.server_name {
        object.insert("server-hostname".to_owned(), name.clone().into());
    }
    if let Some(file) = &boot.file {
        object.insert("boot-file-name".to_owned(), file.clone().into());
    }
}

fn options(object: &mut Object, options: &OptionSet) {
    let all: Vec<Value> = options.0.iter().map(|(code, value)| option(*code, value)).collect();
    if !all.is_empty() {
        object.insert("option-data".to_owned(), all.into());
    }
}

fn option(code: u8, value: &[u8]) -> Value {
    let list = |parts: Vec<String>| parts.join(", ");
    let data = match option_form(code, value) {
        OptionForm::Addresses(all) => Some(list(all.iter().map(ToString::to_string).collect())),
        OptionForm::Numbers(_, all) => Some(list(all.iter().map(ToString::to_string).collect())),
        OptionForm::Truth(is_set) => Some(is_set.to_string()),
        // A comma would end it there.
        OptionForm::Text(text) => Some(text).filter(|text| !text.contains([',', '\\'])),
        OptionForm::Pairs(_) | OptionForm::Octets(_) => None,
    };
    match data.filter(|_| code <= LAST_PLAIN) {
        Some(data) => json!({ "name": option_name(code), "data": data }),
        None => json!({ "code": code, "csv-format": false, "data": digits(value, "") }),
    }
}

fn digits(octets: &[u8], between: &str) -> String {
    let pairs: Vec<String> = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    pairs.join(between)
}

/// The expression of a class; none if it would be longer than anybody wants.
fn expression(matches: &Match) -> Option<String> {
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
    let by = |what: &str, patterns: &[Pattern]| -> Option<String> {
        let all: Vec<String> = patterns.iter().map(|pattern| comparison(what, pattern)).collect();
        any(all)
    };
    let numbers = architecture.iter().map(|number| format!("option[93].hex == 0x{number:04x}")).collect();
    let vendors = relay_vendor.iter().map(|(number, said)| {
        let is_there = format!("substring(relay4[9].hex,0,4) == 0x{number:08x}");
        match said {
            Pattern::Beginning(none) if none.is_empty() => is_there,
            Pattern::Exactly(octets) => {
                format!("relay4[9].hex == 0x{number:08x}{:02x}{}", octets.len(), digits(octets, ""))
            }
            Pattern::Beginning(octets) => format!(
                "({is_there} and substring(relay4[9].hex,5,{}) == 0x{})",
                octets.len(),
                digits(octets, "")
            ),
        }
    });
    let parts = [
        by("option[60]", vendor_class),
        by("option[77]", user_class),
        by("pkt4.mac", &hardware),
        by("option[61]", client_id),
        by("relay4[1]", circuit_id),
        by("relay4[2]", remote_id),
        by("relay4[6]", subscriber_id),
        any(vendors.collect()),
        any(numbers),
        known.map(|known| format!("member('{}')", if known { "KNOWN" } else { "UNKNOWN" })),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    Some(one_line(&parts.join(" and ")))
}

fn any(all: Vec<String>) -> Option<String> {
    match &all[..] {
        [] => None,
        [one] => Some(one.clone()),
        several => Some(format!("({})", several.join(" or "))),
    }
}

fn comparison(what: &str, pattern: &Pattern) -> String {
    let whole = if what == "pkt4.mac" { what.to_owned() } else { format!("{what}.hex") };
    let literal = |octets: &[u8]| {
        let is_plain = octets.iter().all(|o| o.is_ascii_graphic() && !b"'\\".contains(o) || *o == b' ');
        match std::str::from_utf8(octets) {
            Ok(text) if is_plain && what.starts_with("option") => format!("'{text}'"),
            _ => format!("0x{}", digits(octets, "")),
        }
    };
    match pattern {
        Pattern::Exactly(octets) => format!("{whole} == {}", literal(octets)),
        Pattern::Beginning(none) if none.is_empty() && what == "pkt4.mac" => "member('ALL')".to_owned(),
        Pattern::Beginning(none) if none.is_empty() => format!("{what}.exists"),
        Pattern::Beginning(octets) => format!("substring({whole},0,{}) == {}", octets.len(), literal(octets)),
    }
}
