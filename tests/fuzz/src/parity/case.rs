//! Failures that were, by name: steps in a world, which must show no difference ever again.
//!
//! A case is a file in `cases/`: the seed of its world, then a step a line. What fails is printed so.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context as _, Result};

use super::loaded::Loaded;
use super::world::{Step, World};

/// Steps in a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// What the world follows from.
    pub seed: u64,
    /// What happens there.
    pub steps: Vec<Step>,
}

impl Case {
    /// Does the steps.
    ///
    /// # Errors
    /// With the first difference.
    pub fn run(&self, loaded: Option<&mut Loaded>) -> Result<()> {
        let mut world = World::new(self.seed, loaded)?;
        for (number, step) in self.steps.iter().enumerate() {
            world.step(step).with_context(|| format!("step {number}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "world {:#x}", self.seed)?;
        self.steps.iter().try_for_each(|step| writeln!(f, "{step:?}"))
    }
}

impl FromStr for Case {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let world = lines.next().and_then(|line| line.strip_prefix("world 0x")).context("no world")?;
        Ok(Self {
            seed: u64::from_str_radix(world, 16)?,
            steps: lines.map(str::parse).collect::<Result<_>>()?,
        })
    }
}

/// All cases there are, with their names.
///
/// # Errors
/// When one can't be read.
pub fn all() -> Result<Vec<(String, Case)>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path)?;
        cases.push((name.clone(), text.parse().with_context(|| format!("the case {name}"))?));
    }
    cases.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(cases)
}
