//! Links in the documentation lead somewhere, and every configuration key is documented.

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
                check_links(root, &page, findings)?;
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

fn check_links(root: &Path, page: &Path, findings: &mut Findings) -> Result<()> {
    let text = fs::read_to_string(page).with_context(|| format!("can't read {}", page.display()))?;
    let dir = page.parent().unwrap_or(root);
    for link in links(&text) {
        if !dir.join(link).exists() {
            let shown = page.strip_prefix(root).unwrap_or(page).display();
            findings.fault(format!("{shown}: the link to {link} leads nowhere"));
        }
    }
    Ok(())
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
    fn keys_are_what_sections_are_asked_for() {
        let text =
            r#"let a = section.or("state-dir", x, path); f(section.get("store")); other("no"); map.get(1)"#;
        let mut found = BTreeSet::new();
        gather(text.parse().unwrap(), &mut found);
        assert_eq!(found, BTreeSet::from(["state-dir".to_owned(), "store".to_owned()]));
    }
}
