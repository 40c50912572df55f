//! An event, as it is sent, kept and handed on; and the list of all kinds with their fields.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A word out of a list of ours, or one that another version has.
type Word = std::borrow::Cow<'static, str>;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EventRecord {
    /// Its number in the event log; none if it is not in there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// When.
    pub time: Timestamp,
    /// The kind: `granted`, `released`, `pool-filling`, …
    pub what: Word,
    /// The address it happened to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
    /// The client's hardware address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hw_address: Option<String>,
    /// The client's identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The client's own host name (option 12).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_name: Option<String>,
    /// The prefix of the subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,
    /// The interface that the client is reached on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The VLAN ids it is reached with, outer first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vlan: Vec<u16>,
    /// The relay it is reached through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<Ipv4Addr>,
    /// Its relay information (option 82), in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay_information: Option<String>,
    /// How many events are meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// More, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl EventRecord {
    /// An event of this moment, without other fields yet.
    #[must_use]
    pub fn now(what: impl Into<Word>) -> Self {
        Self {
            number: None,
            time: Timestamp::now(),
            what: what.into(),
            address: None,
            hw_address: None,
            client_id: None,
            host_name: None,
            subnet: None,
            interface: None,
            vlan: Vec::new(),
            relay: None,
            relay_information: None,
            count: None,
            detail: None,
        }
    }
}

/// A kind of events.
#[derive(Clone, Copy, Debug)]
pub struct EventKind {
    /// The word in `what`.
    pub name: &'static str,
    /// Its meaning, in words.
    pub means: &'static str,
    /// The fields that events of it have always, beside `time` and `what`.
    pub always: &'static [&'static str],
    /// Those that they may have.
    pub maybe: &'static [&'static str],
}

/// The fields of a client.
const CLIENT: &[&str] =
    &["hw-address", "client-id", "host-name", "interface", "vlan", "relay", "relay-information"];
/// The same where its hardware address is always there.
const OF_CLIENT: &[&str] = &["client-id", "host-name", "interface", "vlan", "relay", "relay-information"];
const LINK: &[&str] = &["interface", "vlan"];

const fn kind(
    name: &'static str,
    means: &'static str,
    always: &'static [&'static str],
    maybe: &'static [&'static str],
) -> EventKind {
    EventKind { name, means, always, maybe }
}

const fn lease(name: &'static str, means: &'static str) -> EventKind {
    kind(name, means, &["address"], CLIENT)
}

/// All kinds, in the order in which they are described.
pub const EVENT_KINDS: &[EventKind] = &[
    lease("granted", "a client got a lease"),
    lease("renewed", "the daemon extended a lease; renewals in the kernel are no events"),
    lease("released", "its client gave a lease back"),
    lease("released-by-operator", "an operator ended a lease"),
    lease("expired", "a lease ran out"),
    lease("moved", "its client took another address"),
    lease("declined", "its client found somebody else using the address"),
    lease("reclaimed", "it was taken from a device that holds too many leases and is silent"),
    lease("withdrawn", "no configuration has the address any more"),
    kind("quarantined", "an address is out of use: `detail` says why", &["address", "detail"], CLIENT),
    lease("quarantine-over", "the address may be used again"),
    kind("pool-filling", "a pool became 80 or 95 % full", &["subnet", "detail"], &[]),
    kind("pool-full", "a pool has no address left", &["subnet", "detail"], &[]),
    kind("exhausted", "a client got no address: none is left", &["subnet", "hw-address"], OF_CLIENT),
    kind(
        "device-cap",
        "a client got no address: its device holds as many as it may",
        &["subnet", "hw-address", "detail"],
        OF_CLIENT,
    ),
    kind(
        "circuit-cap",
        "a client got no address: its circuit holds as many as it may",
        &["subnet", "hw-address", "detail"],
        OF_CLIENT,
    ),
    kind(
        "class-cap",
        "a client got no address: the clients of its class hold as many as they may",
        &["hw-address", "detail"],
        OF_CLIENT,
    ),
    kind(
        "port-in-use",
        "a client got no address: another device has the one of its port",
        &["address", "hw-address", "detail"],
        OF_CLIENT,
    ),
    kind(
        "probe-liar",
        "a station answers probes for addresses that are nobody's",
        &["hw-address", "detail"],
        LINK,
    ),
    kind("many-answers", "very many stations answer probes on a link", &["hw-address", "detail"], LINK),
    kind(
        "many-declines",
        "very many DECLINEs come from one place",
        &["subnet", "hw-address", "detail"],
        OF_CLIENT,
    ),
    kind("answers-lost", "answers of the kernel did not leave by a driver", &["interface", "detail"], &[]),
    kind(
        "xdp-changed",
        "the program was attached another way, or an offload in its way turned off again",
        &["interface", "detail"],
        &[],
    ),
    kind("started", "the daemon begins to serve; `detail` is its version", &["detail"], &[]),
    kind("stopped", "it ends in order", &[], &[]),
    kind(
        "lost",
        "so many events are not in the log (`count`), or some may not be, and why",
        &["detail"],
        &["count"],
    ),
    kind(
        "missed",
        "said to a follower, and never in the log: it has missed so many (`count`)",
        &["count", "detail"],
        &[],
    ),
];

/// The kinds that mean the end of a lease.
pub const ENDS: &[&str] = &[
    "released",
    "released-by-operator",
    "expired",
    "moved",
    "declined",
    "reclaimed",
    "withdrawn",
    "quarantined",
];

/// The fields, their JSON types, and their meanings.
const FIELDS: &[(&str, &str, &str)] = &[
    (
        "number",
        "number",
        "which it is in the log: one more than the one before; not there if it is not in the log",
    ),
    ("time", "text, RFC 3339", "when it happened"),
    ("what", "text", "its kind: see below"),
    ("address", "text", "the IPv4 address it happened to"),
    ("hw-address", "text", "the client's hardware address, or the station's, as `02:00:00:00:00:01`"),
    ("client-id", "text", "the client's identifier (option 61), in hexadecimal"),
    ("host-name", "text", "what the client calls itself (option 12)"),
    ("subnet", "text", "the subnet's prefix"),
    ("interface", "text", "where the client is reached"),
    ("vlan", "list of numbers", "the VLAN ids, outer first"),
    ("relay", "text", "the relay's address (giaddr)"),
    ("relay-information", "text", "what the relay says of the client (option 82), in hexadecimal"),
    ("count", "number", "how many events are meant"),
    ("detail", "text", "more, in words: for people, and may change"),
];

/// Between these lines of the page the schema stands.
const BEGIN: &str = "<!-- events: written by `xdhcpd reference`, from dhcp-user/src/events/record.rs -->\n";
const END: &str = "<!-- end of events -->\n";

/// A page with the schema of this version between its two marks; nothing if it lacks them.
#[must_use]
pub fn with_events(page: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{}{END}{after}", schema()))
}

fn schema() -> String {
    let mut text = String::from("\n| Field | JSON | What it says |\n| --- | --- | --- |\n");
    for (name, json, says) in FIELDS {
        text += &format!("| `{name}` | {json} | {says} |\n");
    }
    text += "\n| `what` | Means | Fields always there | and those that may be |\n| --- | --- | --- | --- |\n";
    let quoted = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    };
    for kind in EVENT_KINDS {
        let (always, maybe) = (quoted(kind.always), quoted(kind.maybe));
        text += &format!("| `{}` | {} | {always} | {maybe} |\n", kind.name, kind.means);
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_page_has_every_kind_and_its_fields() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/events.md");
        let page = std::fs::read_to_string(page).expect("the page");
        let advice = "run `cargo run -p dhcp-user -- reference dhcp-user/docs`";
        assert!(with_events(&page).expect("the page has its marks") == page, "{advice}");
    }

    /// A record with every field set has exactly the fields of the list, and kinds name no others.
    #[test]
    fn the_list_of_fields_is_that_of_a_record() {
        let text = || Some("x".to_owned());
        let full = EventRecord {
            number: Some(1),
            address: Some(Ipv4Addr::LOCALHOST),
            hw_address: text(),
            client_id: text(),
            host_name: text(),
            subnet: text(),
            interface: text(),
            vlan: vec![1],
            relay: Some(Ipv4Addr::LOCALHOST),
            relay_information: text(),
            count: Some(1),
            detail: text(),
            ..EventRecord::now("granted")
        };
        let full = serde_json::to_value(full).expect("JSON");
        let has: BTreeSet<&str> = full.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(has, FIELDS.iter().map(|(name, ..)| *name).collect());
        for kind in EVENT_KINDS {
            assert!(kind.always.iter().chain(kind.maybe).all(|field| has.contains(field)), "{}", kind.name);
        }
        let names: BTreeSet<&str> = EVENT_KINDS.iter().map(|kind| kind.name).collect();
        assert_eq!(names.len(), EVENT_KINDS.len());
        assert!(ENDS.iter().all(|end| names.contains(end)));
    }
}
