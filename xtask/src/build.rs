//! `cargo xtask build`: the BPF object, and the binary that carries it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};

use crate::{
    process,
    setup::{self, Purpose},
    toolchain::BpfToolchain,
    workspace,
};

/// Arguments of `cargo xtask build`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Optimise the daemon too (the BPF object always is)
    #[arg(long)]
    release: bool,
}

/// How the daemon is compiled.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    Dev,
    Release,
}

/// Builds, and says where the results are.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let profile = if args.release { Profile::Release } else { Profile::Dev };
    let toolchain = setup::prepare(Purpose::Build)?;
    let binary = everything(&toolchain, profile)?;
    let generator = load_generator(&toolchain)?;
    println!(
        "built {} and {}; for the tests: {}",
        workspace::bpf_object().display(),
        binary.display(),
        generator.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// Builds the BPF object, then the daemon around it; the daemon's path.
///
/// # Errors
/// When a compiler fails; it has said why by then.
pub(crate) fn everything(toolchain: &BpfToolchain, profile: Profile) -> Result<PathBuf> {
    bpf_object(toolchain, "dhcp-ebpf", &workspace::bpf_object())?;
    let mut cargo = cargo();
    cargo.args(["build", "--package", "dhcp-user", "--bin", "xdhcpd"]);
    let place = match profile {
        Profile::Dev => "debug",
        Profile::Release => {
            cargo.arg("--release");
            "release"
        }
    };
    process::run(&mut cargo).context("the daemon does not build")?;
    Ok(workspace::target_dir().join(place).join("xdhcpd"))
}

/// A cargo for the workspace's host crates, which embed the object that was built here and no other.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(workspace::cargo());
    cargo.current_dir(workspace::root()).env_remove("XDHCPD_BPF_OBJECT");
    if std::env::var_os("CARGO_TARGET_DIR").is_some() {
        // It may be relative to where we were started.
        cargo.env("CARGO_TARGET_DIR", workspace::target_dir());
    }
    cargo
}

/// Builds the kernel half of the load generator, which tests and benchmarks load as they run; its path.
///
/// # Errors
/// When a compiler fails; it has said why by then.
pub(crate) fn load_generator(toolchain: &BpfToolchain) -> Result<PathBuf> {
    let object = workspace::load_object();
    bpf_object(toolchain, "load-ebpf", &object)?;
    Ok(object)
}

/// Builds a package's BPF object in a target directory of its own, so that host builds stay fresh, and puts it where
/// those that need it look for it.
fn bpf_object(toolchain: &BpfToolchain, package: &str, object: &Path) -> Result<()> {
    let target_dir = object.parent().context("the object's place has no directory")?;
    let rust = &toolchain.rust;
    // Flags are separated by 0x1f, so that a path may hold spaces.
    let flags = [
        format!("-Clinker={}", toolchain.linker.display()),
        "-Ctarget-cpu=v3".into(),
        "-Clink-arg=--btf".into(),
        "-Cdebuginfo=2".into(),
        format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH),
    ]
    .join("\u{1f}");
    let mut cargo = Command::new(&rust.cargo);
    cargo
        .current_dir(workspace::root())
        .args(["build", "--release", "--package", package, "--bin", package, "--features", "program"])
        .args(["-Z", "build-std=core", "--target", "bpfel-unknown-none", "--target-dir"])
        .arg(target_dir)
        .env("RUSTC", &rust.rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER");
    process::run(&mut cargo).with_context(|| format!("the BPF object of {package} does not build"))?;
    copy_if_changed(&target_dir.join("bpfel-unknown-none/release").join(package), object)
}

/// An object that did not change keeps its time, and the daemon is not compiled again.
fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let built = fs::read(from).with_context(|| format!("can't read {}", from.display()))?;
    if fs::read(to).is_ok_and(|present| present == built) {
        return Ok(());
    }
    fs::write(to, built).with_context(|| format!("can't write {}", to.display()))
}
