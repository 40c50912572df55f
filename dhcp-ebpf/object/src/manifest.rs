//! What stands beside a built object: of which sources it is, and by which compiler and linker.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// Facts about one object. Two builds of the same sources by the same compiler and linker are the same octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The hash of all that it is made of.
    pub sources: String,
    /// The hash of the object itself, as `sha256sum` prints it.
    pub object: String,
    /// The machine it is for: some of the kernel's structures differ.
    pub architecture: String,
    /// How many instructions its programs have before the kernel compiles them.
    pub instructions: u64,
    /// What `rustc --version` says.
    pub compiler: String,
    /// The compiler's LLVM.
    pub llvm: String,
    /// What `bpf-linker --version` says.
    pub linker: String,
}

impl Manifest {
    /// Where an object's manifest is.
    pub fn path(object: &Path) -> PathBuf {
        object.with_extension("toml")
    }

    /// The manifest of an object.
    ///
    /// # Errors
    /// When there is none, or it lacks something.
    pub fn beside(object: &Path) -> io::Result<Self> {
        let path = Self::path(object);
        let text = fs::read_to_string(&path)?;
        Self::parse(&text).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{} lacks something", path.display()))
        })
    }

    /// Whether both were made by the same compiler and linker.
    pub fn same_toolchain(&self, other: &Self) -> bool {
        (&self.architecture, &self.compiler, &self.llvm, &self.linker)
            == (&other.architecture, &other.compiler, &other.llvm, &other.linker)
    }

    /// Reads what [`Display`](fmt::Display) writes: one key a line, values without escapes.
    fn parse(text: &str) -> Option<Self> {
        let field = |key: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(" = "));
            lines.find(|(name, _)| *name == key).map(|(_, value)| value.trim_matches('"').to_owned())
        };
        Some(Self {
            sources: field("sources")?,
            object: field("object")?,
            architecture: field("architecture")?,
            instructions: field("instructions")?.parse().ok()?,
            compiler: field("compiler")?,
            llvm: field("llvm")?,
            linker: field("linker")?,
        })
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sources, object, architecture, instructions, compiler, llvm, linker } = self;
        writeln!(
            f,
            "# What the object beside this is made of, and by what. `cargo xtask build --record` writes both."
        )?;
        writeln!(f, "sources = \"{sources}\"")?;
        writeln!(f, "object = \"{object}\"")?;
        writeln!(f, "architecture = \"{architecture}\"")?;
        writeln!(f, "instructions = {instructions}")?;
        writeln!(f, "compiler = \"{compiler}\"")?;
        writeln!(f, "llvm = \"{llvm}\"")?;
        writeln!(f, "linker = \"{linker}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let manifest = Manifest {
            sources: "ab".into(),
            object: "cd".into(),
            architecture: "x86_64".into(),
            instructions: 2590,
            compiler: "rustc 1.97.0-nightly (0123 2026-05-01)".into(),
            llvm: "22.1.0".into(),
            linker: "bpf-linker 0.13.0".into(),
        };
        assert_eq!(Manifest::parse(&manifest.to_string()), Some(manifest));
    }

    #[test]
    fn a_conflict_that_git_left_is_no_manifest() {
        assert_eq!(Manifest::parse("<<<<<<< HEAD\nsources = \"ab\"\n=======\n"), None);
    }
}
