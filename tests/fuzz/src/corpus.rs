//! Inputs that are kept: for each target a few that lead far into its parser, and whatever has failed once.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// An input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its file's name.
    pub name: String,
    /// What it is.
    pub octets: Vec<u8>,
}

/// Where those of a target are.
#[must_use]
pub fn directory(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// Those of a target, by name.
///
/// # Errors
/// When they can't be read.
pub fn of(target: &str) -> Result<Vec<Input>> {
    let directory = directory(target);
    let mut inputs = Vec::new();
    for entry in std::fs::read_dir(&directory).with_context(|| format!("reading {}", directory.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        inputs.push(Input { name, octets: std::fs::read(&path)? });
    }
    inputs.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(inputs)
}
