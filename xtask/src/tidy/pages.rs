//! Links in the documentation lead somewhere, tables are whole, and every configuration key is documented.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use proc_macro2::{TokenStream, TokenTree};

use super::{Findings, listed};

/// Folders with pages for readers.
const PAGES: [&str; 3] = ["", "dhcp-user/docs", "tests"];
/// Where the configuration is read, and the page that has its keys.
const CONFIG: &str = "dhcp-user/src/config";
const KEYS: &str = "dhcp-user/docs/configuration.md";
/// By these calls a section is asked for a key.
const ASKS: [&str; 4] = ["get", "or", "optional", "required"];

pub(super) fn check(root: &Path, findings: &mut Findings) -> Result<()> {
    for dir in PAGES {
        for page in listed(&root.join(dir))? {
            if page.extension().is_some_and(|extension| extension == "md") {
                let text =
                    fs::read_to_string(&page).with_context(|| format!("can't read {}", page.display()))?;
                let shown = page.strip_prefix(root).unwrap_or(&page).display().to_string();
                check_links(&page, &text, &shown, findings);
                check_form(&text, &shown, findings);
            }
        }
    }
    let page = fs::read_to_string(root.join(KEYS)).with_context(|| format!("can't read {KEYS}"))?;
    for key in keys(&root.join(CONFIG))? {
        if ![
            format!("`{key}`"),
            format!("`{key} ="),
            format!("{{ {key} = "),
            format!(", {key} = "),
            format!("[{key}]"),
        ]
        .iter()
        .any(|form| page.contains(form))
        {
            findings.fault(format!("{KEYS} doesn't have the key `{key}`"));
        }
    }
    Ok(())
}

fn check_links(page: &Path, text: &str, shown: &str, findings: &mut Findings) {
    let dir = page.parent().unwrap_or(page);
    for link in links(text) {
        if !dir.join(link).exists() {
            findings.fault(format!("{shown}: the link to {link} leads nowhere"));
        }
    }
}

/// A page has a title, and each of its tables a head and as many cells in every row.
fn check_form(text: &str, shown: &str, findings: &mut Findings) {
    if !text.starts_with("# ") {
        findings.fault(format!("{shown}: it has no title"));
    }
    for line in wrong_rows(text) {
        findings.fault(format!(
            "{shown}:{line}: a table's row without a head, or with more or fewer cells than it"
        ));
    }
}

/// The lines of rows that don't fit into their tables.
fn wrong_rows(text: &str) -> Vec<usize> {
    let is_row = |line: &&str| line.starts_with('|');
    let is_rule = |line: &str| line.starts_with("| ---") || line.starts_with("|---");
    let lines: Vec<&str> = text.lines().collect();
    let mut wrong = Vec::new();
    let mut at = 0;
    while let Some(rest) = lines.get(at..).filter(|rest| !rest.is_empty()) {
        let table: Vec<&str> = rest.iter().copied().take_while(is_row).collect();
        let width = table.first().map_or(0, |head| cells(head));
        let is_headed = table.get(1).is_some_and(|rule| is_rule(rule))
            && table.first().is_some_and(|head| !is_rule(head));
        let misfits = table.iter().enumerate().filter(|(_, row)| !is_headed || cells(row) != width);
        wrong.extend(misfits.map(|(row, _)| at + row + 1));
        at += table.len().max(1);
    }
    wrong
}

/// How many cells a row has. A bar between backticks, or after a backslash, is none of its borders.
fn cells(row: &str) -> usize {
    let (mut borders, mut in_code, mut escaped) = (0, false, false);
    for character in row.trim_end().chars() {
        match character {
            '`' => in_code = !in_code,
            '|' if !in_code && !escaped => borders += 1,
            _ => {}
        }
        escaped = character == '\\';
    }
    usize::saturating_sub(borders, 1)
}

/// The files that a page links to; other sites and places in the page itself are left out.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
    let files = targets.map(|target| target.split_once('#').map_or(target, |(file, _)| file));
    files.filter(|file| !file.is_empty() && !file.contains("://")).collect()
}

/// The keys that the code below `dir` asks sections for.
fn keys(dir: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for path in listed(dir)? {
        if path.is_dir() && path.file_name().is_some_and(|name| name != "tests") {
            found.extend(keys(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(keys_in(&path)?);
        }
    }
    Ok(found)
}

fn keys_in(file: &PathBuf) -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(file).with_context(|| format!("can't read {}", file.display()))?;
    let tokens: TokenStream =
        text.parse().map_err(|error| anyhow::anyhow!("{} is no Rust: {error}", file.display()))?;
    let mut found = BTreeSet::new();
    gather(tokens, &mut found);
    Ok(found)
}

/// The text that is the first argument of each call that asks for a key.
fn gather(tokens: TokenStream, found: &mut BTreeSet<String>) {
    let mut asks = false;
    for token in tokens {
        match token {
            TokenTree::Ident(word) => asks = ASKS.iter().any(|ask| word == ask),
            TokenTree::Group(group) => {
                if asks && let Some(TokenTree::Literal(literal)) = group.stream().into_iter().next() {
                    let literal = literal.to_string();
                    let text = literal.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
                    found.extend(text.map(str::to_owned));
                }
                asks = false;
                gather(group.stream(), found);
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => asks = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_files_are_found() {
        let text =
            "See [this](a/b.md), [there](c.md#part), [here](#part) and [the site](https://example.org/x).";
        assert_eq!(links(text), ["a/b.md", "c.md"]);
    }

    #[test]
    fn rows_that_do_not_fit_their_table_are_found() {
        let good = "# T\n\n| a | b |\n| --- | --- |\n| `x|y` | 1 \\| 2 |\n\ntext\n";
        assert_eq!(wrong_rows(good), [0; 0]);
        assert_eq!(wrong_rows("| a | b |\n| --- | --- |\n| x |\n|\n"), [3, 4]);
        assert_eq!(wrong_rows("text\n| --- | --- |\n| x | y |\n"), [2, 3]);
    }

    #[test]
    fn keys_are_what_sections_are_asked_for() {
        let text =
            r#"let a = section.or("state-dir", x, path); f(section.get("store")); other("no"); map.get(1)"#;
        let mut found = BTreeSet::new();
        gather(text.parse().unwrap(), &mut found);
        assert_eq!(found, BTreeSet::from(["state-dir".to_owned(), "store".to_owned()]));
    }
}
