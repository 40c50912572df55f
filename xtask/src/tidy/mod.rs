//! `cargo xtask tidy`: the rules of the tree that no compiler holds.
//!
//! ```text
//! files.rs    each file says its one job, is not too long, and has a name that says what it is
//! imports.rs  which file takes names from which
//! circles.rs  neighbours that take names from each other, folder by folder
//! order.rs    the order of folders that the page on architecture lists
//! pages.rs    links in the documentation lead somewhere; every configuration key is documented
//! threats.rs  the page of threats names tests that are there, and lists every use of `unsafe`
//! ```

mod circles;
mod files;
mod imports;
mod order;
mod pages;
mod threats;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};

use crate::{object, workspace};

/// Where sources of crates are, from the workspace's directory.
const CRATES: [&str; 6] = [
    "dhcp-ebpf/src",
    "dhcp-ebpf/object/src",
    "dhcp-user/src",
    "xtask/src",
    "tests/src",
    "tests/load-ebpf/src",
];

/// The findings of all checks.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Each fails the check.
    faults: Vec<String>,
    /// Notes, which are no faults.
    warnings: Vec<String>,
}

impl Findings {
    pub(super) fn fault(&mut self, what: String) {
        self.faults.push(what);
    }

    pub(super) fn warn(&mut self, what: String) {
        self.warnings.push(what);
    }
}

/// Looks at the whole tree; fails if anything is wrong with it.
///
/// # Errors
/// When a file can't be read or is no Rust.
pub(crate) fn main() -> Result<ExitCode> {
    let root = workspace::root();
    let mut findings = Findings::default();
    let mut all = Vec::new();
    for dir in CRATES {
        let sources = sources(&root, Path::new(dir))?;
        files::check(&sources, &mut findings);
        let modules = imports::modules(dir, &sources)?;
        circles::check(dir, &modules, &mut findings);
        if dir == order::CRATE {
            order::check(&root, &modules, &mut findings)?;
        }
        all.extend(sources);
    }
    threats::check(&root, &all, &mut findings)?;
    pages::check(&root, &mut findings)?;
    object::stale()?.into_iter().for_each(|what| findings.fault(what));
    for warning in &findings.warnings {
        println!("note: {warning}");
    }
    for fault in &findings.faults {
        println!("fault: {fault}");
    }
    println!("tidy: {} faults, {} notes", findings.faults.len(), findings.warnings.len());
    Ok(if findings.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A source file.
#[derive(Debug)]
pub(super) struct Source {
    /// From the workspace's directory.
    path: PathBuf,
    text: String,
}

/// The Rust files below `dir`, in order.
fn sources(root: &Path, dir: &Path) -> Result<Vec<Source>> {
    let mut found = Vec::new();
    for path in listed(&root.join(dir))? {
        let from_root = path.strip_prefix(root).unwrap_or(&path).to_owned();
        if path.is_dir() {
            found.extend(sources(root, &from_root)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
            found.push(Source { path: from_root, text });
        }
    }
    Ok(found)
}

fn listed(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("can't read {}", dir.display()))?;
    let mut paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.sort();
    Ok(paths)
}
