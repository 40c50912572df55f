//! The RFCs' requirements on a server: one file for each RFC, written by hand.

use std::{fmt, fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// An RFC and its requirements.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rfc {
    pub(super) number: u16,
    pub(super) title: String,
    /// A note for the reader before the table.
    pub(super) note: Option<String>,
    /// In the order of the RFC.
    pub(super) requirement: Vec<Requirement>,
}

/// One thing asked of a server.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Requirement {
    /// By this name tests claim it; it is unique in its RFC.
    pub(super) id: String,
    /// Where it stands; several sections are separated by commas.
    pub(super) section: String,
    pub(super) strength: Strength,
    /// The requirement, in words of ours.
    pub(super) text: String,
    /// Where it has to be shown.
    #[serde(default)]
    pub(super) shown: Shown,
    /// This server's other behaviour, and why.
    pub(super) otherwise: Option<String>,
}

impl Requirement {
    pub(super) fn sections(&self) -> impl Iterator<Item = &str> {
        self.section.split(", ")
    }
}

/// How strongly it is asked (RFC 2119).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Strength {
    #[serde(rename = "MUST")]
    Must,
    #[serde(rename = "MUST NOT")]
    MustNot,
    #[serde(rename = "SHOULD")]
    Should,
    #[serde(rename = "SHOULD NOT")]
    ShouldNot,
    #[serde(rename = "SHALL")]
    Shall,
    #[serde(rename = "SHALL NOT")]
    ShallNot,
    /// Said of servers without a word of RFC 2119.
    #[serde(rename = "stated")]
    Stated,
}

impl Strength {
    /// The longer ones first, so that none is taken for the beginning of another.
    const WORDS: [(&'static str, Self); 7] = [
        ("MUST NOT", Self::MustNot),
        ("MUST", Self::Must),
        ("SHOULD NOT", Self::ShouldNot),
        ("SHOULD", Self::Should),
        ("SHALL NOT", Self::ShallNot),
        ("SHALL", Self::Shall),
        ("stated", Self::Stated),
    ];

    /// The strength that `text` begins with, and what follows it.
    pub(super) fn split_from(text: &str) -> Option<(Self, &str)> {
        Self::WORDS.iter().find_map(|(word, strength)| Some((*strength, text.strip_prefix(word)?)))
    }
}

impl fmt::Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::WORDS.iter().find(|(_, strength)| strength == self);
        f.write_str(word.map_or("", |(word, _)| word))
    }
}

/// Where a requirement has to be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Shown {
    /// By any test.
    #[default]
    Anywhere,
    /// On the wire, with the XDP program attached and without it.
    Wire,
    /// On the wire, for answers of the kernel's and for answers of the daemon's.
    Kernel,
}

/// All requirements, by the number of the RFC.
///
/// # Errors
/// When a file can't be read, says something else, or has two requirements of one name.
pub(super) fn read(dir: &Path) -> Result<Vec<Rfc>> {
    let mut rfcs = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("can't read {}", dir.display()))? {
        let path = entry?.path();
        let text = fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
        rfcs.push(parse(&text).with_context(|| format!("{} is wrong", path.display()))?);
    }
    rfcs.sort_by_key(|rfc| rfc.number);
    Ok(rfcs)
}

/// One file of requirements.
///
/// # Errors
/// As [`read`].
pub(super) fn parse(text: &str) -> Result<Rfc> {
    let rfc: Rfc = toml::from_str(text)?;
    for (at, wanted) in rfc.requirement.iter().enumerate() {
        let before = rfc.requirement.get(..at).unwrap_or_default();
        ensure!(before.iter().all(|other| other.id != wanted.id), "there are two of the name {}", wanted.id);
    }
    Ok(rfc)
}
