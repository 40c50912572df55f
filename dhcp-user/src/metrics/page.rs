//! The part of docs/metrics.md that lists all metrics.

use super::families::{FAMILIES, Kind};

/// Between these lines of the page the metrics stand.
const BEGIN: &str = "<!-- metrics: written by `xdhcpd reference`, from dhcp-user/src/metrics/families.rs -->\n";
const END: &str = "<!-- end of metrics -->\n";

/// A page with the metrics of this version between its two marks; nothing if it lacks them.
#[must_use]
pub fn with_metrics(page: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{}{END}{after}", metrics()))
}

fn metrics() -> String {
    let mut text = String::from("\n| Metric | Type | Labels | What it is |\n| --- | --- | --- | --- |\n");
    for family in FAMILIES {
        let suffix = if family.kind == Kind::Counter { "_total" } else { "" };
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        text += &format!(
            "| `{}{suffix}` | {} | {} | {} |\n",
            family.name,
            family.kind.name(),
            labels.join(", "),
            family.help
        );
    }
    text.push('\n');
    text
}
