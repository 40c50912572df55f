//! The part of docs/configuration.md that lists all keys.

use super::TABLES;

/// Between these lines of the page the keys stand.
const BEGIN: &str = "<!-- keys: written by `xdhcpd reference`, from dhcp-user/src/config/keys/table.rs -->\n";
const END: &str = "<!-- end of keys -->\n";

/// A page with the keys of this version between its two marks; nothing if it lacks them.
#[must_use]
pub fn with_keys(page: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{}\n{END}{after}", keys()))
}

fn keys() -> String {
    let mut text = String::new();
    for table in TABLES {
        text += &format!(
            "\n### {}\n\n| Key | Value | Default | What it does |\n| --- | --- | --- | --- |\n",
            table.heading()
        );
        for key in table.keys() {
            let (kind, default) = (key.kind.described(), key.default.described());
            text += &format!("| `{}` | {kind} | {default} | {} |\n", key.name, key.what);
        }
    }
    text
}
