//! Which names a file takes from which module of its crate.
//!
//! Paths that begin with `crate`, `super` or `self` are read, in `use` declarations and anywhere else. What is compiled for
//! tests only is left out: tests may look at everything.

use anyhow::{Context, Result};
use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens as _;

use super::Source;

/// A path from the crate's root: modules, then names.
pub(super) type Names = Vec<String>;

/// A source file as a module of its crate.
#[derive(Debug)]
pub(super) struct Module {
    /// Its place: empty for `lib.rs` and `main.rs`.
    pub(super) place: Names,
    /// Whether it is the head of a folder (`mod.rs`, or the crate's root).
    pub(super) is_head: bool,
    /// What it names of its crate.
    pub(super) named: Vec<Names>,
    /// Files below it that are compiled for tests only.
    pub(super) for_tests: Vec<Names>,
}

/// Reads the files of the crate whose sources are in `dir`, less those that are compiled for tests only.
///
/// # Errors
/// When one is no Rust.
pub(super) fn modules(dir: &str, sources: &[Source]) -> Result<Vec<Module>> {
    let mut modules: Vec<Module> = sources.iter().map(|source| module(dir, source)).collect::<Result<_>>()?;
    let for_tests: Vec<Names> = modules.iter().flat_map(|module| module.for_tests.clone()).collect();
    modules.retain(|module| !for_tests.iter().any(|place| module.place.starts_with(place)));
    Ok(modules)
}

/// Reads a file of the crate whose sources are in `dir`.
///
/// # Errors
/// When it is no Rust.
pub(super) fn module(dir: &str, source: &Source) -> Result<Module> {
    let shown = source.path.display();
    let file = syn::parse_file(&source.text).with_context(|| format!("{shown} is no Rust"))?;
    let within = source.path.strip_prefix(dir).unwrap_or(&source.path).with_extension("");
    let mut place: Names = within.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    let is_head = place.last().is_some_and(|name| ["mod", "lib", "main"].contains(&name.as_str()));
    if is_head {
        place.pop();
    }
    let mut named = Vec::new();
    read(&file.items, &place, &mut named);
    let for_tests = file.items.iter().filter_map(|item| match item {
        syn::Item::Mod(module) if is_for_tests(&module.attrs) => {
            Some([place.as_slice(), &[module.ident.to_string()]].concat())
        }
        _ => None,
    });
    Ok(Module { for_tests: for_tests.collect(), place, is_head, named })
}

fn read(items: &[syn::Item], place: &[String], named: &mut Vec<Names>) {
    for item in items {
        match item {
            syn::Item::Use(item) => imported(&item.tree, &mut Vec::new(), place, named),
            syn::Item::Mod(module) if is_for_tests(&module.attrs) => {}
            syn::Item::Mod(syn::ItemMod { content: Some((_, items)), ident, .. }) => {
                let inner = [place, &[ident.to_string()]].concat();
                read(items, &inner, named);
            }
            other => paths(other.to_token_stream(), place, named),
        }
    }
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    let is_cfg = |attribute: &&syn::Attribute| attribute.path().is_ident("cfg");
    attributes.iter().filter(is_cfg).any(|cfg| {
        let tokens = cfg.meta.to_token_stream().into_iter();
        tokens.filter_map(|token| if let TokenTree::Group(group) = token { Some(group) } else { None }).any(
            |group| {
                group
                    .stream()
                    .into_iter()
                    .any(|token| matches!(token, TokenTree::Ident(word) if word == "test"))
            },
        )
    })
}

/// Every name of a `use` tree.
fn imported(tree: &syn::UseTree, before: &mut Names, place: &[String], named: &mut Vec<Names>) {
    match tree {
        syn::UseTree::Path(path) => {
            before.push(path.ident.to_string());
            imported(&path.tree, before, place, named);
            before.pop();
        }
        syn::UseTree::Group(group) => {
            group.items.iter().for_each(|tree| imported(tree, before, place, named));
        }
        syn::UseTree::Name(syn::UseName { ident, .. })
        | syn::UseTree::Rename(syn::UseRename { ident, .. }) => {
            before.push(ident.to_string());
            note(before, place, named);
            before.pop();
        }
        syn::UseTree::Glob(_) => note(before, place, named),
    }
}

/// Every path in tokens that begins at the crate, at a parent or here.
fn paths(tokens: TokenStream, place: &[String], named: &mut Vec<Names>) {
    let mut path: Names = Vec::new();
    let mut colons = 0;
    for token in tokens {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
            TokenTree::Ident(word) => {
                if colons != 2 || path.is_empty() {
                    note(&path, place, named);
                    path = Vec::new();
                }
                if !path.is_empty() || is_anchor(&word) {
                    path.push(word.to_string());
                }
                colons = 0;
            }
            TokenTree::Group(group) => {
                note(&std::mem::take(&mut path), place, named);
                colons = 0;
                paths(group.stream(), place, named);
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {
                note(&std::mem::take(&mut path), place, named);
                colons = 0;
            }
        }
    }
    note(&path, place, named);
}

fn is_anchor(word: &Ident) -> bool {
    word == "crate" || word == "super" || word == "self"
}

/// Notes a path, from the crate's root on.
fn note(path: &[String], place: &[String], named: &mut Vec<Names>) {
    let mut from: Names = place.to_vec();
    let mut rest = path;
    match rest.first().map(String::as_str) {
        Some("crate") => (from, rest) = (Vec::new(), &rest[1..]),
        Some("self") => rest = &rest[1..],
        Some("super") => {}
        _ => return,
    }
    while rest.first().is_some_and(|name| name == "super") {
        from.pop();
        rest = &rest[1..];
    }
    if !rest.is_empty() {
        from.extend(rest.iter().filter(|name| *name != "self").cloned());
        named.push(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(path: &str, text: &str) -> Vec<String> {
        let source = Source { path: path.into(), text: text.into() };
        let mut named: Vec<String> =
            module("a/src", &source).unwrap().named.iter().map(|names| names.join("::")).collect();
        named.sort();
        named.dedup();
        named
    }

    #[test]
    fn paths_are_read_wherever_they_stand() {
        let text = "use crate::store::{self, Record, log::Log as Kept};
            use super::words::*;
            fn f(a: super::Turn) -> crate::clock::Nanos { vec![self::inner::X, crate::limits::most()] }";
        let expected = [
            "clock::Nanos",
            "limits::most",
            "policy::Turn",
            "policy::grant::inner::X",
            "policy::words",
            "store",
            "store::Record",
            "store::log::Log",
        ];
        assert_eq!(named("a/src/policy/grant.rs", text), expected);
    }

    #[test]
    fn what_is_for_tests_is_left_out() {
        let text = "#[cfg(test)] mod tests { use crate::store::Record; } fn f() { crate::a::b() }";
        assert_eq!(named("a/src/lib.rs", text), ["a::b"]);
        let source = Source { path: "a/src/b/mod.rs".into(), text: "#[cfg(test)] mod trials; mod c;".into() };
        assert_eq!(module("a/src", &source).unwrap().for_tests, [["b", "trials"]]);
    }
}
