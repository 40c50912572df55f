//! The Rust compiler and the linker that make the BPF object: found, or installed.

mod linker;
mod rust;

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::packages::Apt;
pub(crate) use rust::BpfRust;

/// A compiler with the source of `core`, and a linker that reads its bitcode.
pub(crate) struct BpfToolchain {
    pub(crate) rust: BpfRust,
    pub(crate) linker: PathBuf,
}

type InstallRust = fn(&mut Apt) -> Result<BpfRust>;

/// What this machine has already.
pub(crate) fn find() -> Option<BpfToolchain> {
    [rust::from_rustup(), rust::from_debian()]
        .into_iter()
        .flatten()
        .find_map(|rust| linker::find(&rust).map(|linker| BpfToolchain { rust, linker }))
}

/// Installs what is missing: rustup's nightly where it can be had, else Debian's packages.
///
/// # Errors
/// When neither can be had: says why, and what to install by hand.
pub(crate) fn install(apt: &mut Apt) -> Result<BpfToolchain> {
    let mut refusals = Vec::new();
    let sources: [(_, InstallRust); 2] =
        [("rustup", rust::install_from_rustup), ("Debian", rust::install_from_debian)];
    for (source, install) in sources {
        let installed = install(apt).and_then(|rust| {
            let linker = linker::install(&rust, apt)?;
            Ok(BpfToolchain { rust, linker })
        });
        match installed {
            Ok(toolchain) => return Ok(toolchain),
            Err(refusal) => {
                println!("setup: no compiler by {source}: {refusal:#}");
                refusals.push(format!("  - by {source}: {refusal:#}"));
            }
        }
    }
    bail!(
        "no Rust that can build BPF programs:\n{}\nInstall one by hand: `rustup toolchain install nightly \
         --component rust-src`, and bpf-linker from https://github.com/aya-rs/bpf-linker/releases on the PATH",
        refusals.join("\n")
    )
}
