//! The order of folders that the page on architecture lists: each takes names only from those above it in its table.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};

use super::{
    Findings,
    circles::{self, Neighbours},
    imports::{Module, Names},
};

/// Where the sources of the folders are that the page lists.
pub(super) const CRATE: &str = "dhcp-user/src";
const PAGE: &str = "dhcp-user/docs/architecture.md";

/// A table of the page.
struct Table {
    /// The heading that it stands under.
    heading: &'static str,
    /// The folder whose members it lists, in `dhcp-user/src`.
    folder: &'static str,
    /// What the folder's head declares for the last member only: who has it may do anything.
    for_the_last: Option<&'static str>,
}

const TABLES: [Table; 2] = [
    Table { heading: "### Inside policy", folder: "policy", for_the_last: Some("Policy") },
    Table { heading: "### Inside the server", folder: "server", for_the_last: None },
];

pub(super) fn check(root: &Path, modules: &[Module], findings: &mut Findings) -> Result<()> {
    let page = fs::read_to_string(root.join(PAGE)).with_context(|| format!("can't read {PAGE}"))?;
    let folders = circles::folders(modules);
    for table in &TABLES {
        let members = listed(&page, table.heading);
        faults(table, &members, modules, &folders).into_iter().for_each(|what| findings.fault(what));
    }
    Ok(())
}

/// The members in the first column of the table under `heading`, in order.
fn listed<'a>(page: &'a str, heading: &str) -> Vec<&'a str> {
    let section = page.split(heading).nth(1).unwrap_or_default();
    let section = section.split("\n#").next().unwrap_or_default();
    let first = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    first.map(|name| name.trim_end_matches('/').trim_end_matches(".rs")).collect()
}

fn faults(
    table: &Table,
    members: &[&str],
    modules: &[Module],
    folders: &BTreeMap<Names, Neighbours>,
) -> Vec<String> {
    let Table { folder, for_the_last, heading } = table;
    let mut faults = Vec::new();
    let is_there =
        |name: &str| modules.iter().any(|module| module.place.iter().eq([folder, name].iter().copied()));
    let missing = members.iter().filter(|name| !is_there(name));
    faults.extend(missing.map(|name| format!("{PAGE}: \"{heading}\" lists {name}, which is not there")));
    let heads = modules.iter().filter(|module| module.is_head && module.place.len() == 2);
    let heads = heads.filter(|module| module.place.first().is_some_and(|first| first == folder));
    let unlisted =
        heads.filter_map(|module| module.place.last()).filter(|name| !members.contains(&name.as_str()));
    faults.extend(unlisted.map(|name| format!("{PAGE}: \"{heading}\" does not list {name}/")));
    let rank = |name: &str| members.iter().position(|member| *member == name);
    let ties = folders.get([(*folder).to_owned()].as_slice()).into_iter().flatten();
    for (from, targets) in ties {
        for (to, tie) in targets {
            if rank(from).zip(rank(to)).is_some_and(|(from, to)| from < to) {
                faults.push(format!("{folder}: {from} uses {to}, which {PAGE} lists below it ({tie})"));
            }
        }
    }
    let Some(name) = for_the_last else { return faults };
    for module in modules {
        let Some(member) = module.place.get(1).filter(|_| module.place.starts_with(&[(*folder).to_owned()]))
        else {
            continue;
        };
        let is_lower = rank(member).is_some_and(|rank| rank + 1 < members.len());
        let takes = module.named.iter().any(|named| named.iter().take(2).eq([folder, name].iter().copied()));
        if is_lower && takes {
            faults.push(format!(
                "{}: only {} may have {name}",
                module.place.join("/"),
                members.last().unwrap_or(name)
            ));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::{Source, imports};

    const PAGE: &str =
        "### Inside a\n\n| Folder | |\n| --- | --- |\n| `low/` | |\n| `high/` | |\n\n### More\n| `no/` | |\n";

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let sources = files.iter().map(|(path, text)| Source { path: path.into(), text: (*text).into() });
        let sources: Vec<Source> = sources.collect();
        let modules = imports::modules("c/src", &sources).unwrap();
        let table = Table { heading: "### Inside a", folder: "a", for_the_last: Some("All") };
        faults(&table, &listed(PAGE, table.heading), &modules, &circles::folders(&modules))
    }

    #[test]
    fn a_folder_takes_names_from_those_above_it_only() {
        let head = ("c/src/a/mod.rs", "mod low; mod high; struct All;");
        let right = [
            head,
            ("c/src/a/low/mod.rs", "struct Low;"),
            ("c/src/a/high/mod.rs", "use crate::a::{All, low::Low};"),
        ];
        assert_eq!(found(&right), [""; 0]);
        let wrong = [head, ("c/src/a/low/mod.rs", "use crate::a::high::High;"), ("c/src/a/high/mod.rs", "")];
        assert_eq!(found(&wrong).len(), 1, "{:?}", found(&wrong));
        assert!(found(&wrong)[0].contains("low uses high"));
    }

    #[test]
    fn only_the_last_folder_has_the_whole() {
        let files = [
            ("c/src/a/low/mod.rs", "mod one;"),
            ("c/src/a/low/one.rs", "use crate::a::All;"),
            ("c/src/a/high/mod.rs", ""),
        ];
        assert_eq!(found(&files), ["a/low/one: only high may have All"]);
    }

    #[test]
    fn the_table_lists_the_folders_that_are_there() {
        let files = [("c/src/a/low/mod.rs", ""), ("c/src/a/new/mod.rs", "")];
        let found = found(&files);
        assert!(found.iter().any(|fault| fault.contains("lists high")), "{found:?}");
        assert!(found.iter().any(|fault| fault.contains("does not list new/")), "{found:?}");
    }
}
