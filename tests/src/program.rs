//! The XDP program on an interface, as the kernel describes it.

use anyhow::{Context, Result};
use aya::programs::{ProgramInfo, loaded_programs};
use aya::sys::{Stats, enable_stats};
use serde_json::Value;
use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::namespace::Namespace;

/// What the kernel knows of the program on an interface.
///
/// # Errors
/// When there is no program, or the kernel tells nothing of it.
pub fn attached(namespace: &Namespace, interface: &str) -> Result<ProgramInfo> {
    let said: Value = serde_json::from_str(&namespace.ip(&format!("-json link show dev {interface}"))?)?;
    let id = said[0]["xdp"]["prog"]["id"].as_u64();
    let id = id.with_context(|| format!("no program on {interface}: {said}"))?;
    let program = loaded(|program| u64::from(program.id()) == id)?;
    program.with_context(|| format!("program {id} is on {interface}, but not loaded"))
}

/// What the kernel knows of a program of this name, whoever has loaded it.
///
/// # Errors
/// When there is no such program, or the kernel tells nothing of it.
pub fn named(name: &str) -> Result<ProgramInfo> {
    loaded(|program| program.name_as_str() == Some(name))?
        .with_context(|| format!("no program {name} is loaded"))
}

fn loaded(wanted: impl Fn(&ProgramInfo) -> bool) -> Result<Option<ProgramInfo>> {
    for program in loaded_programs() {
        let program = program.context("cannot list the programs that are loaded")?;
        if wanted(&program) {
            return Ok(Some(program));
        }
    }
    Ok(None)
}

/// As long as this is kept, the kernel counts how often programs run and for how long: which costs each run two looks at
/// the clock.
#[derive(Debug)]
pub struct Timed {
    _enabled: OwnedFd,
}

impl Timed {
    /// Begins.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn begin() -> Result<Self> {
        let enabled = enable_stats(Stats::RunTime).context("the kernel does not time programs")?;
        Ok(Self { _enabled: enabled })
    }

    /// The time that one run of the program on an interface took while `work` was done.
    ///
    /// # Errors
    /// When it never ran, or `work` failed.
    pub fn each(
        &self,
        namespace: &Namespace,
        interface: &str,
        work: impl FnOnce() -> Result<()>,
    ) -> Result<Duration> {
        let before = attached(namespace, interface)?;
        work()?;
        let after = attached(namespace, interface)?;
        let runs = u32::try_from(after.run_count() - before.run_count())?;
        let time = after.run_time().saturating_sub(before.run_time());
        time.checked_div(runs).with_context(|| format!("the program on {interface} did not run"))
    }
}
