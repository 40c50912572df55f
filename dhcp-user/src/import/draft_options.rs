//! An option of another server, in the form that our configuration has for it.

use super::draft::{Block, list, quoted};
use super::origin::At;
use crate::config::{Config, option_name};

/// Adds the option to `block`, or a note that says why it is missing. `name` is one of ours, or `code-N`.
pub(super) fn add_option(block: &mut Block, at: &At, name: &str, data: &str) {
    if name.is_empty() || !name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-') {
        return block.note(at, format!("option {name} = {data}: no option has such a name here"));
    }
    let key = format!("options.{name}");
    if block.has(&key) {
        return block
            .note(at, format!("option {name} = {data}: given before, nearer to the client or earlier"));
    }
    match forms(data).into_iter().find(|form| is_taken(name, form)) {
        Some(value) => block.key(at, key, value),
        None => block.note(at, format!("option {name} = {data} can't be taken: {}", why_not(name, data))),
    }
}

/// Our configuration's name of the option with this code.
pub(super) fn name_of(code: u8) -> String {
    option_name(code)
}

/// The forms a value may have to have, the narrowest first.
fn forms(data: &str) -> Vec<String> {
    let parts = parts(data);
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let mut forms = Vec::new();
    if parts.iter().all(|part| part.parse::<i64>().is_ok()) {
        let numbers: Vec<String> =
            parts.iter().filter_map(|part| part.parse::<i64>().ok()).map(|n| n.to_string()).collect();
        forms.extend((numbers.len() == 1).then(|| numbers.join("")));
        forms.push(format!("[{}]", numbers.join(", ")));
    }
    match data {
        "true" | "1" | "yes" | "on" => forms.push("true".to_owned()),
        "false" | "0" | "no" | "off" => forms.push("false".to_owned()),
        _ => {}
    }
    forms.push(list(parts));
    forms.push(quoted(data));
    // A text that can't be one would be taken for these octets' digits.
    forms.extend(
        (!data.is_empty() && !data.contains(char::is_control)).then(|| quoted(&hex(data.as_bytes()))),
    );
    forms
}

/// The parts between commas, except commas after a backslash.
fn parts(data: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = data.chars();
    while let Some(c) = chars.next() {
        match (c, parts.last_mut()) {
            (',', _) => parts.push(String::new()),
            ('\\', Some(part)) => part.extend(chars.next()),
            (c, Some(part)) => part.push(c),
            (_, None) => {}
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

/// Octets as our configuration has them.
pub(super) fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::from("hex:"), |text, octet| format!("{text}{octet:02x}"))
}

fn is_taken(name: &str, value: &str) -> bool {
    judged(name, value).is_ok()
}

fn judged(name: &str, value: &str) -> Result<Config, String> {
    let text = format!(
        "[server]\noptions.{name} = {value}\n[[interface]]\nname = \"a\"\n[[subnet]]\nprefix = \"192.0.2.0/24\"\n\
         pools = [\"192.0.2.8 - 192.0.2.9\"]\n"
    );
    Config::parse(&text, "").map_err(|errors| errors.first().map(|e| e.message.clone()).unwrap_or_default())
}

fn why_not(name: &str, data: &str) -> String {
    judged(name, &quoted(data)).err().unwrap_or_default()
}

/// Whether this option can be written in octets.
pub(super) fn takes_octets(name: &str) -> bool {
    is_taken(name, &quoted("hex:0a")) && !is_taken(name, &quoted("no digits"))
}
