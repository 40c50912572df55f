//! The BPF objects that are kept beside the sources: what they were made of, and whether that is what is at hand.
//!
//! ```text
//! sources.rs    everything that goes into an object, as one hash
//! manifest.rs   what stands beside a built object: of which sources it is, and by which compiler and linker
//! ```
//!
//! The daemon's build script and `cargo xtask build` ask here, so that both judge alike.

mod manifest;
mod sources;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

pub use manifest::Manifest;

/// A program that is built for the kernel.
#[derive(Debug)]
pub struct Program {
    /// Its package, which has a binary of the same name.
    pub package: &'static str,
    /// The package's directory, from the workspace's.
    directory: &'static str,
    /// Where the recorded object is, from the workspace's directory.
    recorded: &'static str,
}

/// The XDP program that the daemon embeds.
pub const XDHCPD: Program =
    Program { package: "dhcp-ebpf", directory: "dhcp-ebpf", recorded: "dhcp-ebpf/object/xdhcpd.o" };

/// The kernel half of the load generator.
pub const LOAD: Program =
    Program { package: "load-ebpf", directory: "tests/load-ebpf", recorded: "dhcp-ebpf/object/load.o" };

/// What a recorded object is to the sources at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// They make it.
    Fits,
    /// It is of other sources, or for another architecture, or not what its manifest describes.
    Differs,
}

impl Program {
    /// Where the recorded object is.
    pub fn recorded(&self, workspace: &Path) -> PathBuf {
        workspace.join(self.recorded)
    }

    /// What the compiler is told beside what cargo tells it; every object is of these.
    pub fn flags(&self, architecture: &str) -> Vec<String> {
        vec![
            "-Ctarget-cpu=v3".into(),
            "-Clink-arg=--btf".into(),
            // The linker makes the type information that the kernel wants from it.
            "-Cdebuginfo=2".into(),
            format!("--cfg=bpf_target_arch=\"{architecture}\""),
        ]
    }

    /// A hash of everything that the object is made of, for a machine of this architecture.
    ///
    /// # Errors
    /// When a source can't be read.
    pub fn sources(&self, workspace: &Path, architecture: &str) -> io::Result<String> {
        let mut parts = sources::of(self, workspace)?;
        parts.push(("flags".into(), self.flags(architecture).join("\n")));
        let mut hash = Sha256::new();
        for (name, text) in parts {
            // Lengths first: no part can pass for the end of the one before.
            for field in [name, text] {
                hash.update((field.len() as u64).to_le_bytes());
                hash.update(field);
            }
        }
        Ok(shown(hash))
    }

    /// Whether an object and the manifest beside it are what the sources at hand make.
    ///
    /// # Errors
    /// When a source can't be read. An object that can't be is none.
    pub fn fits(&self, object: &Path, workspace: &Path, architecture: &str) -> io::Result<Recorded> {
        let (Ok(bytes), Ok(manifest)) = (fs::read(object), Manifest::beside(object)) else {
            return Ok(Recorded::Differs);
        };
        let fits =
            manifest.object == hash(&bytes) && manifest.sources == self.sources(workspace, architecture)?;
        Ok(if fits { Recorded::Fits } else { Recorded::Differs })
    }
}

/// The hash of an object's octets, as a manifest has it.
pub fn hash(bytes: &[u8]) -> String {
    shown(Sha256::new().chain_update(bytes))
}

fn shown(hash: Sha256) -> String {
    hash.finalize().iter().map(|octet| format!("{octet:02x}")).collect()
}

/// What a build has to look at again when it changes, from the workspace's directory.
pub fn watched(program: &Program) -> [String; 5] {
    [
        format!("{}/src", program.directory),
        format!("{}/Cargo.toml", program.directory),
        program.recorded.to_owned(),
        "Cargo.toml".into(),
        "Cargo.lock".into(),
    ]
}
