//! Neighbours that take names from each other, folder by folder.
//!
//! In each folder its files and folders may take names from each other in one direction only: a reader can begin at the
//! bottom. The head of a folder (`mod.rs`) stands above what it brings together, and belongs to no circle with it.

use std::collections::{BTreeMap, BTreeSet};

use super::Findings;
use super::imports::{Module, Names};

/// Circles that are known, by crate, folder and members: to be taken apart. A new one is a fault, and so is one that stands
/// here and is gone.
const KNOWN: [(&str, &str, &[&str]); 0] = [];

/// The imports among the neighbours of one folder: the first name that was seen for each pair.
pub(super) type Neighbours = BTreeMap<String, BTreeMap<String, String>>;

pub(super) fn check(dir: &str, modules: &[Module], findings: &mut Findings) {
    let mut known: Vec<_> = KNOWN.iter().filter(|(of, ..)| *of == dir).collect();
    for (folder, neighbours) in folders(modules) {
        let folder = folder.join("/");
        for circle in circles(&neighbours) {
            let before = known.len();
            known.retain(|(_, of, members)| !(*of == folder && circle.iter().eq(members.iter())));
            if known.len() < before {
                findings.warn(format!("{dir}/{folder}: a known circle: {}", circle.join(", ")));
            } else {
                findings.fault(format!("{dir}/{folder}: a circle: {}", told(&circle, &neighbours)));
            }
        }
    }
    for (_, folder, members) in known {
        let members = members.join(", ");
        findings.fault(format!("{dir}/{folder}: the circle of {members} is gone: strike it off the list"));
    }
}

/// For each folder, which of its neighbours takes names from which.
pub(super) fn folders(modules: &[Module]) -> BTreeMap<Names, Neighbours> {
    let by_place: BTreeMap<&[String], &Module> =
        modules.iter().map(|module| (module.place.as_slice(), module)).collect();
    let mut folders: BTreeMap<Names, Neighbours> = BTreeMap::new();
    for module in modules {
        for named in &module.named {
            let target = led_to(named, &by_place);
            let from = &module.place;
            let level = from.iter().zip(target).take_while(|(a, b)| a == b).count();
            // Up to a head above, or down from one: no neighbours.
            let (Some(here), Some(there)) = (from.get(level), target.get(level)) else { continue };
            folders
                .entry(from[..level].to_vec())
                .or_default()
                .entry(here.clone())
                .or_default()
                .entry(there.clone())
                .or_insert_with(|| format!("{} takes {}", from.join("/"), named.join("::")));
        }
    }
    folders
}

/// The module that a path leads to: the deepest there is; where a folder's head takes a name from a module below and hands
/// it on, that module.
fn led_to<'a>(named: &'a [String], modules: &BTreeMap<&'a [String], &'a Module>) -> &'a [String] {
    let deepest = (0..=named.len()).rev().find(|length| modules.contains_key(&named[..*length]));
    let module = deepest.and_then(|length| modules.get(&named[..length]));
    let (Some(module), Some(length)) = (module, deepest) else { return &[] };
    let handed_on = named.get(length).filter(|_| module.is_head).and_then(|name| {
        let below = |other: &&Names| other.len() > length + 1 && other.starts_with(&module.place);
        module.named.iter().filter(below).find(|other| other.last() == Some(name))
    });
    handed_on.map_or(&module.place, |other| led_to(other, modules))
}

/// The circles among neighbours: those that reach each other. Each is sorted.
fn circles(neighbours: &Neighbours) -> Vec<Vec<String>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        neighbours.keys().map(|name| (name.as_str(), reach(name, neighbours))).collect();
    let mut found: BTreeSet<Vec<String>> = BTreeSet::new();
    for (name, others) in &reached {
        let circle: Vec<String> = others
            .iter()
            .filter(|other| reached.get(*other).is_some_and(|back| back.contains(name)))
            .map(ToString::to_string)
            .collect();
        if circle.len() > 1 {
            found.insert(circle);
        }
    }
    found.into_iter().collect()
}

fn reach<'a>(from: &str, neighbours: &'a Neighbours) -> BTreeSet<&'a str> {
    let mut all = BTreeSet::new();
    let mut next = vec![from];
    while let Some(name) = next.pop() {
        let others = neighbours.get(name).into_iter().flat_map(BTreeMap::keys);
        for other in others.map(String::as_str) {
            if all.insert(other) {
                next.push(other);
            }
        }
    }
    all
}

/// A circle with what ties it.
fn told(circle: &[String], neighbours: &Neighbours) -> String {
    let ties = circle.iter().flat_map(|from| neighbours.get(from).into_iter().flatten());
    let ties: Vec<&str> = ties.filter(|(to, _)| circle.contains(to)).map(|(_, tie)| tie.as_str()).collect();
    format!("{} ({})", circle.join(", "), ties.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::{Source, imports};

    fn found(files: &[(&str, &str)]) -> Vec<(String, Vec<String>)> {
        let modules: Vec<Module> = files
            .iter()
            .map(|(path, text)| Source { path: path.into(), text: (*text).into() })
            .map(|source| imports::module("a/src", &source).unwrap())
            .collect();
        folders(&modules)
            .iter()
            .flat_map(|(folder, neighbours)| {
                circles(neighbours).into_iter().map(move |circle| (folder.join("/"), circle))
            })
            .collect()
    }

    fn circle(folder: &str, members: &[&str]) -> (String, Vec<String>) {
        (folder.to_owned(), members.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn two_files_that_take_from_each_other_are_a_circle() {
        let files = [
            ("a/src/lib.rs", "mod b; mod c; mod d;"),
            ("a/src/b.rs", "use crate::c::X;"),
            ("a/src/c.rs", "fn f() { super::b::y() }"),
            ("a/src/d.rs", "use crate::b::y;"),
        ];
        assert_eq!(found(&files), [circle("", &["b", "c"])]);
        assert_eq!(found(&files[..2]), []);
    }

    #[test]
    fn folders_are_neighbours_too_and_heads_are_above_what_they_hold() {
        let files = [
            ("a/src/lib.rs", "mod b; mod c;"),
            ("a/src/b/mod.rs", "mod deep; pub use deep::X; use crate::c::Y;"),
            ("a/src/b/deep.rs", "use super::Turn;"),
            ("a/src/c.rs", "use crate::b::X;"),
        ];
        assert_eq!(found(&files), [circle("", &["b", "c"])]);
    }

    #[test]
    fn a_name_that_a_head_hands_on_is_from_where_it_was_made() {
        let files = [
            ("a/src/b/mod.rs", "mod one; mod two; pub use self::one::X;"),
            ("a/src/b/one.rs", "use super::two::Y;"),
            ("a/src/b/two.rs", "use super::X;"),
        ];
        assert_eq!(found(&files), [circle("b", &["one", "two"])]);
    }
}
