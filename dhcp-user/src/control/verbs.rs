//! The verbs of the protocol, as it describes itself: to programs by `hello`, to people by a page.

use serde::{Deserialize, Serialize};

use super::report::Word;

/// The version of the protocol. It grows when a program that spoke the one before could not go on; verbs, arguments and keys
/// may be added without that.
pub const PROTOCOL: u64 = 1;

/// The daemon's description of its protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Hello {
    /// The version of the protocol.
    pub protocol: u64,
    /// The daemon's.
    pub version: Word,
    /// What the asking user may do: `read` or `change`.
    pub access: Word,
    /// All verbs.
    pub verbs: Vec<VerbDescription>,
}

/// The daemon's description of a verb.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct VerbDescription {
    /// Its name.
    pub verb: Word,
    /// The right that it needs: `read` or `change`.
    pub access: Word,
    /// Its arguments; those that end with `?` may be left out.
    pub arguments: Vec<Word>,
    /// Its answer, in words.
    pub answers: Word,
}

/// A verb, its arguments, its answer, and an example.
pub(super) struct Verb {
    pub(super) name: &'static str,
    pub(super) access: &'static str,
    pub(super) arguments: &'static [&'static str],
    answers: &'static str,
    pub(super) example: &'static str,
}

const fn verb(
    name: &'static str,
    access: &'static str,
    arguments: &'static [&'static str],
    answers: &'static str,
    example: &'static str,
) -> Verb {
    Verb { name, access, arguments, answers, example }
}

const READ: &str = "read";
const CHANGE: &str = "change";

/// All of them.
pub(super) const VERBS: &[Verb] = &[
    verb(
        "hello",
        READ,
        &[],
        "one item: protocol, version, verbs, and what whoever asks may do",
        r#"{"verb":"hello"}"#,
    ),
    verb(
        "status",
        READ,
        &[],
        "one item: version, interfaces, store, how full the classes with `max-leases` are, trouble",
        r#"{"verb":"status"}"#,
    ),
    verb("stats", READ, &[], "one item: every counter of kernel and daemon", r#"{"verb":"stats"}"#),
    verb("figures", READ, &[], "one item: what `top` shows", r#"{"verb":"figures"}"#),
    verb("pools", READ, &[], "an item for each pool", r#"{"verb":"pools"}"#),
    verb(
        "leases",
        READ,
        &["filter?"],
        "an item for each lease that fits",
        r#"{"verb":"leases","filter":{"state":"leased","limit":10}}"#,
    ),
    verb(
        "lease-show",
        READ,
        &["address"],
        "one item: a lease, and what the kernel can answer",
        r#"{"verb":"lease-show","address":"192.0.2.10"}"#,
    ),
    verb(
        "lease-release",
        CHANGE,
        &["address", "now?"],
        "one item, when it is on disk",
        r#"{"verb":"lease-release","address":"192.0.2.10","now":true}"#,
    ),
    verb(
        "audit",
        READ,
        &[],
        "one item: whether policy, store and kernel agree, and where not",
        r#"{"verb":"audit"}"#,
    ),
    verb("orphans", READ, &[], "an item for each device with several leases", r#"{"verb":"orphans"}"#),
    verb("quarantine", READ, &[], "an item for each address in quarantine", r#"{"verb":"quarantine"}"#),
    verb(
        "quarantine-clear",
        CHANGE,
        &["address", "len?", "why?"],
        "one item, when it is on disk",
        r#"{"verb":"quarantine-clear","address":"192.0.2.0","len":24,"why":"probe"}"#,
    ),
    verb(
        "explain",
        READ,
        &["client"],
        "one item: what became of a client's last messages",
        r#"{"verb":"explain","client":{"address":"192.0.2.10"}}"#,
    ),
    verb(
        "events",
        READ,
        &["since?", "follow?"],
        "an item for each event (see [Events](events.md)); without end unless `follow` is false",
        r#"{"verb":"events","since":4711}"#,
    ),
    verb(
        "capture",
        CHANGE,
        &["filter?"],
        "an item for each frame, without end; it exchanges the program in the kernel",
        r#"{"verb":"capture"}"#,
    ),
    verb("export", READ, &[], "an item for each address, of which the last counts", r#"{"verb":"export"}"#),
    verb("import", CHANGE, &[], "an item for each part that was sent (see below)", r#"{"verb":"import"}"#),
    verb(
        "reservation-list",
        READ,
        &[],
        "an item for each reservation that the daemon keeps",
        r#"{"verb":"reservation-list"}"#,
    ),
    verb(
        "reservation-add",
        CHANGE,
        &["reservation"],
        "one item, when it is on disk and in force",
        r#"{"verb":"reservation-add","reservation":{"subnet":"192.0.2.0/24","hw-address":"02:00:00:00:00:01","address":"192.0.2.7"}}"#,
    ),
    verb(
        "reservation-remove",
        CHANGE,
        &["client", "subnet?"],
        "the same",
        r#"{"verb":"reservation-remove","client":{"hw-address":"02:00:00:00:00:01"},"subnet":"192.0.2.0/24"}"#,
    ),
    verb("reload", CHANGE, &[], "one item, when every lease has its new answers", r#"{"verb":"reload"}"#),
];

impl Hello {
    pub(super) fn to(access: &'static str) -> Self {
        let described = |verb: &Verb| VerbDescription {
            verb: verb.name.into(),
            access: verb.access.into(),
            arguments: verb.arguments.iter().map(|argument| (*argument).into()).collect(),
            answers: verb.answers.into(),
        };
        Self {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").into(),
            access: access.into(),
            verbs: VERBS.iter().map(described).collect(),
        }
    }
}

/// Between these lines of the page the verbs stand.
const BEGIN: &str = "<!-- verbs: written by `xdhcpd reference`, from dhcp-user/src/control/verbs.rs -->\n";
const END: &str = "<!-- end of verbs -->\n";

/// A page with the verbs of this version between its two marks; nothing if it lacks them.
#[must_use]
pub fn with_verbs(page: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    let mut text = String::from(
        "\n| Verb | For | Arguments | Answers with | Example |\n| --- | --- | --- | --- | --- |\n",
    );
    for verb in VERBS {
        let arguments: Vec<String> = verb.arguments.iter().map(|argument| format!("`{argument}`")).collect();
        text += &format!(
            "| `{}` | {} | {} | {} | `{}` |\n",
            verb.name,
            verb.access,
            arguments.join(", "),
            verb.answers,
            verb.example
        );
    }
    Some(format!("{before}{BEGIN}{text}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::request::Request;
    use super::*;

    #[test]
    fn the_page_has_every_verb() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/control.md");
        let page = std::fs::read_to_string(page).expect("the page");
        let advice = "run `cargo run -p dhcp-user -- reference dhcp-user/docs`";
        assert!(with_verbs(&page).expect("the page has its marks") == page, "{advice}");
    }

    /// The list agrees with the requests that the daemon understands, their rights and arguments.
    #[test]
    fn the_list_of_verbs_is_that_of_requests() {
        let unknown = Request::read(br#"{"verb":"?"}"#).expect_err("no verb");
        let (_, known) = unknown.split_once("expected one of ").expect("a list");
        let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        assert_eq!(known, VERBS.iter().map(|verb| verb.name).collect::<Vec<_>>());
        for verb in VERBS {
            let request = Request::read(verb.example.as_bytes()).expect(verb.name);
            assert_eq!(request.takes_change(), verb.access == CHANGE, "{}", verb.name);
            let example: serde_json::Value = serde_json::from_str(verb.example).expect("JSON");
            let example = example.as_object().expect("an object");
            let arguments: Vec<&str> = verb.arguments.iter().map(|name| name.trim_end_matches('?')).collect();
            assert!(
                example.keys().all(|key| key == "verb" || arguments.contains(&key.as_str())),
                "{}",
                verb.name
            );
            // What is not marked may not be left out.
            for needed in verb.arguments.iter().filter(|name| !name.ends_with('?')) {
                let mut less = example.clone();
                less.remove(*needed);
                let line = serde_json::to_vec(&less).expect("JSON");
                assert!(Request::read(&line).is_err(), "{} without {needed}", verb.name);
            }
            // An argument that is none is refused, and so is one that is marked and nonsense.
            for argument in arguments.into_iter().chain(["colour"]) {
                let mut more = example.clone();
                more.insert(argument.to_owned(), serde_json::json!({"no": "sense"}));
                let line = serde_json::to_vec(&more).expect("JSON");
                assert!(Request::read(&line).is_err(), "{} with a senseless {argument}", verb.name);
            }
        }
    }
}
