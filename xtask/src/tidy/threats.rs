//! The page of threats agrees with the code: the tests that it names exist, and it lists each use of `unsafe`.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, anyhow};
use proc_macro2::{TokenStream, TokenTree};

use super::{Findings, Source};

/// The page.
const PAGE: &str = "dhcp-user/docs/threats.md";
/// Where tests are that are named by file and function.
const TESTS: &str = "tests/tests";
/// The shipped sources: their uses of `unsafe` are listed.
const SHIPPED: [&str; 2] = ["dhcp-ebpf/src", "dhcp-user/src"];

/// Compares the page with tests and sources.
pub(super) fn check(root: &Path, sources: &[Source], findings: &mut Findings) -> Result<()> {
    let page = fs::read_to_string(root.join(PAGE)).with_context(|| format!("can't read {PAGE}"))?;
    for (file, test) in tests(&page) {
        let path = format!("{TESTS}/{file}.rs");
        let text = fs::read_to_string(root.join(&path)).unwrap_or_default();
        if !text.contains(&format!("fn {test}(")) {
            findings.fault(format!("{PAGE}: there is no test {test} in {path}"));
        }
    }
    let mut listed = listed(&page);
    for source in sources.iter().filter(|source| SHIPPED.iter().any(|dir| source.path.starts_with(dir))) {
        let path = source.path.display().to_string();
        let tokens: TokenStream =
            source.text.parse().map_err(|error| anyhow!("{path} is no Rust: {error}"))?;
        let (found, said) = (uses(tokens), listed.remove(path.as_str()).unwrap_or_default());
        if found != said {
            findings.fault(format!("{PAGE}: {path} uses `unsafe` {found} times, and {said} are listed"));
        }
    }
    for path in listed.into_keys() {
        findings.fault(format!("{PAGE}: {path} is listed, and is not there"));
    }
    Ok(())
}

/// File and function of the tests that a page names.
fn tests(page: &str) -> Vec<(&str, &str)> {
    let quoted = page.split('`').skip(1).step_by(2);
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
    };
    quoted
        .filter_map(|text| text.split_once(": "))
        .filter(|(file, test)| is_name(file) && is_name(test))
        .collect()
}

/// The files that a page lists, and how many uses each is said to have.
fn listed(page: &str) -> BTreeMap<&str, usize> {
    let rows = page.lines().filter_map(|line| {
        let (path, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        Some((path, rest.split_once(' ')?.0.parse().ok()?))
    });
    rows.collect()
}

/// How often the word stands in the code.
fn uses(tokens: TokenStream) -> usize {
    let count = |token| match token {
        TokenTree::Ident(word) => usize::from(word == "unsafe"),
        TokenTree::Group(group) => uses(group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => 0,
    };
    tokens.into_iter().map(count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tests_are_told_from_other_code() {
        let page = "`cli: it_ends`, `rate-limit: 5` and `metrics-listen`";
        assert_eq!(tests(page), [("cli", "it_ends")]);
    }

    #[test]
    fn rows_are_read_and_uses_counted() {
        let page = "| `a/b.rs` | 2 | why |\n| x | 3 |";
        assert_eq!(listed(page).into_iter().collect::<Vec<_>>(), [("a/b.rs", 2)]);
        let code = "fn f() { unsafe { g() } // unsafe\n unsafe { \"unsafe\" } }";
        assert_eq!(uses(code.parse().expect("it is Rust")), 2);
    }
}
