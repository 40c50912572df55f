//! The compiler: rustup's nightly or Debian's, either with the source of `core` beside it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{packages::Apt, process, workspace};

/// The oldest minor version of Rust 1 that compiles the workspace (`rust-version` in `Cargo.toml`).
const OLDEST_RUST: u32 = 90;

/// How many seconds rustup may take to download.
const RUSTUP_PATIENCE: &str = "300";

/// Debian's compilers and the packages that hold their source; newest first.
const DEBIAN_PACKAGES: [(&str, &str); 2] = [("rustc-web", "rust-web-src"), ("rustc", "rust-src")];

/// A compiler that can build `core` for BPF.
pub(crate) struct BpfRust {
    pub(crate) cargo: PathBuf,
    pub(crate) rustc: PathBuf,
    /// As the compiler gives it, e.g. `1.97.0-nightly`.
    pub(crate) release: String,
    /// Major version of its LLVM.
    pub(crate) llvm: u32,
    /// What it says of itself, e.g. `rustc 1.97.0-nightly (d1cd4f04a 2026-05-02)`.
    pub(crate) version: String,
    /// The whole version of its LLVM.
    pub(crate) llvm_version: String,
}

impl BpfRust {
    /// Where its libraries are.
    pub(crate) fn sysroot(&self) -> Option<PathBuf> {
        Some(self.rustc.parent()?.parent()?.to_path_buf())
    }

    /// A tool that takes sections out of objects: the compiler's own, or that of Debian's LLVM.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn objcopy(&self) -> Result<Command> {
        let host = format!("lib/rustlib/{}-unknown-linux-gnu/bin/rust-objcopy", std::env::consts::ARCH);
        if let Some(sysroot) = self.sysroot().filter(|sysroot| sysroot.join(&host).exists()) {
            let mut objcopy = Command::new(sysroot.join(host));
            objcopy.env("LD_LIBRARY_PATH", sysroot.join("lib"));
            return Ok(objcopy);
        }
        let of_llvm = PathBuf::from(format!("/usr/lib/llvm-{}/bin/llvm-objcopy", self.llvm));
        let found = if of_llvm.exists() { Some(of_llvm) } else { process::find("llvm-objcopy") };
        found.map(Command::new).with_context(|| {
            format!("neither rust-objcopy nor llvm-objcopy is there: install Debian's llvm-{}", self.llvm)
        })
    }
}

/// rustup's nightly, if it has the source of `core`.
pub(crate) fn from_rustup() -> Option<BpfRust> {
    if !has_nightly() {
        return None;
    }
    let rustc = nightly_program("rustc")?;
    let cargo = nightly_program("cargo")?;
    let sysroot = rustc.parent()?.parent()?;
    with_source(cargo, &rustc, sysroot)
}

/// Debian's compiler, if it is new enough and has the source of `core`.
pub(crate) fn from_debian() -> Option<BpfRust> {
    with_source(workspace::cargo(), Path::new("/usr/bin/rustc"), Path::new("/usr"))
}

/// Adds nightly, or its source, by rustup. A refusal is remembered, so that it isn't asked at every call.
///
/// # Errors
/// When there is no rustup, or it can't download.
pub(crate) fn install_from_rustup(_: &mut Apt) -> Result<BpfRust> {
    if let Some(rust) = from_rustup() {
        return Ok(rust);
    }
    if process::find("rustup").is_none() {
        bail!("there is no rustup");
    }
    let refusal = workspace::target_dir().join("xtask/rustup-refused");
    if refusal.exists() {
        bail!("rustup could not add the source of core before (remove {} to ask again)", refusal.display());
    }
    let request: &[&str] = if has_nightly() {
        &["component", "add", "rust-src", "--toolchain", "nightly"]
    } else {
        &[
            "toolchain",
            "install",
            "nightly",
            "--profile",
            "minimal",
            "--component",
            "rust-src",
            "--no-self-update",
        ]
    };
    println!("setup: rustup {}", request.join(" "));
    let asked = process::run(Command::new("timeout").args([RUSTUP_PATIENCE, "rustup"]).args(request));
    match (asked, from_rustup()) {
        (Ok(()), Some(rust)) => Ok(rust),
        (asked, _) => {
            fs::create_dir_all(workspace::target_dir().join("xtask"))
                .and_then(|()| fs::write(&refusal, format!("{asked:?}\n")))
                .with_context(|| format!("can't write {}", refusal.display()))?;
            asked?;
            bail!(
                "rustup's nightly is older than Rust 1.{OLDEST_RUST} or has no source: `rustup update nightly`"
            )
        }
    }
}

/// Installs Debian's compiler with its source.
///
/// # Errors
/// When Debian's is too old, or can't be installed.
pub(crate) fn install_from_debian(apt: &mut Apt) -> Result<BpfRust> {
    if let Some(rust) = from_debian() {
        return Ok(rust);
    }
    for (compiler, source) in DEBIAN_PACKAGES {
        let version = apt.candidate(compiler)?;
        if version.as_deref().and_then(minor).is_some_and(|found| found >= OLDEST_RUST) {
            apt.install(&[compiler, source])?;
            return from_debian().with_context(|| format!("{compiler} and {source} lack the source of core"));
        }
    }
    bail!("no Debian package brings Rust 1.{OLDEST_RUST} or newer")
}

/// Never lets rustup install a toolchain just because it was asked about it.
fn rustup() -> Command {
    let mut command = Command::new("rustup");
    command.env("RUSTUP_AUTO_INSTALL", "0");
    command
}

fn has_nightly() -> bool {
    process::find("rustup").is_some()
        && process::output(rustup().args(["toolchain", "list"])).is_ok_and(|toolchains| {
            let host = format!("nightly-{}-", std::env::consts::ARCH);
            toolchains.lines().any(|line| line.starts_with(&host))
        })
}

fn nightly_program(name: &str) -> Option<PathBuf> {
    let path = process::output(rustup().args(["which", "--toolchain", "nightly", name])).ok()?;
    Some(PathBuf::from(path.trim()))
}

fn with_source(cargo: PathBuf, rustc: &Path, sysroot: &Path) -> Option<BpfRust> {
    if !sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml").exists() {
        return None;
    }
    let version = process::output(Command::new(rustc).arg("-vV")).ok()?;
    let field = |name: &str| version.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let release = field("release:")?.to_owned();
    let llvm_version = field("LLVM version:")?.to_owned();
    let llvm = llvm_version.split('.').next()?.parse().ok()?;
    let described = version.lines().next()?.to_owned();
    (minor(&release)? >= OLDEST_RUST).then(|| BpfRust {
        cargo,
        rustc: rustc.to_path_buf(),
        release,
        llvm,
        version: described,
        llvm_version,
    })
}

/// 96 of `1.96.0+dfsg1-1~deb12u2`.
fn minor(version: &str) -> Option<u32> {
    version.strip_prefix("1.")?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minor_version_is_read_from_either_source() {
        assert_eq!(minor("1.96.0+dfsg1-1~deb12u2"), Some(96));
        assert_eq!(minor("1.97.0-nightly"), Some(97));
        assert_eq!(minor("2.0.0"), None);
    }
}
