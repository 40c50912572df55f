//! The part of docs/metrics.md that lists all metrics.

use super::families::{FAMILIES, Kind};

/// Between these lines of the page the metrics stand.
const BEGIN: &str =
    "<!-- metrics: written by `xdhcpd reference`, from dhcp-user/src/metrics/families.rs -->\n";
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    fn crate_dir() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    fn read(path: PathBuf) -> String {
        std::fs::read_to_string(path).expect("a file of the sources")
    }

    #[test]
    fn the_page_lists_all_metrics() {
        let page = read(crate_dir().join("docs/metrics.md"));
        let advice = "run `cargo run -p dhcp-user -- reference dhcp-user/docs`";
        assert!(with_metrics(&page).expect("the page has its marks") == page, "{advice}");
    }

    /// The names of series that a scrape gives.
    fn series() -> BTreeSet<String> {
        let of = |family: &super::super::families::Family| -> Vec<String> {
            let suffixes: &[&str] = match family.kind {
                Kind::Counter => &["_total"],
                Kind::Gauge => &[""],
                Kind::Histogram => &["_bucket", "_sum", "_count"],
            };
            suffixes.iter().map(|suffix| format!("{}{suffix}", family.name)).collect()
        };
        FAMILIES.iter().flat_map(of).collect()
    }

    #[test]
    fn dashboard_and_rules_ask_for_what_there_is() {
        let series = series();
        for file in ["xdhcpd.json", "xdhcpd.rules.yml"] {
            let text = read(crate_dir().join("packaging/dashboards").join(file));
            let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
            let asked: BTreeSet<&str> = words.filter(|word| word.starts_with("xdhcpd_")).collect();
            assert!(asked.len() > 9, "{file} asks for {asked:?}");
            for name in asked {
                assert!(series.contains(name), "{file} asks for {name}");
            }
        }
    }

    /// Prometheus' names, and no two metrics that only a suffix tells apart.
    #[test]
    fn names_are_names_and_each_stands_once() {
        let is_name = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        for family in FAMILIES {
            assert!(family.name.starts_with("xdhcpd_") && is_name(family.name), "{}", family.name);
            assert!(family.labels.iter().all(|label| is_name(label) && *label != "le"), "{}", family.name);
            assert!(family.help.ends_with('.') && !family.help.contains('\n'), "{}", family.name);
            assert!(!family.name.ends_with("_total"), "{}: the encoder adds it", family.name);
        }
        let names: BTreeSet<&str> = FAMILIES.iter().map(|family| family.name).collect();
        assert_eq!(names.len(), FAMILIES.len());
    }
}
