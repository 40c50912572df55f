//! bpf-linker: it reads the bitcode of compilers whose LLVM is not newer than its own.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self as std_process, Command},
};

use anyhow::{Context, Result, bail};

use super::BpfRust;
use crate::{packages::Apt, process, workspace};

const VERSION: &str = "0.13.0";

/// The LLVM versions that this bpf-linker can be built with.
const LLVMS: [u32; 3] = [21, 22, 23];

/// A linker that fits a compiler: one that was installed here, or one on the `PATH`.
pub(crate) fn find(rust: &BpfRust) -> Option<PathBuf> {
    let installed = fitting(rust).filter_map(|llvm| Some(home(llvm).ok()?.join("bin/bpf-linker")));
    let on_path = process::find("bpf-linker").filter(|linker| links_bitcode_of(rust, linker));
    installed.filter(|linker| starts(linker)).chain(on_path).next()
}

/// Builds a linker with Debian's LLVM, unless one is there.
///
/// # Errors
/// When Debian has no LLVM that fits, or the build fails.
pub(crate) fn install(rust: &BpfRust, apt: &mut Apt) -> Result<PathBuf> {
    if let Some(linker) = find(rust) {
        return Ok(linker);
    }
    let llvm = obtain_llvm(rust, apt)
        .with_context(|| format!("bpf-linker needs the libraries of LLVM {} or newer", rust.llvm))?;
    let home = home(llvm)?;
    println!(
        "setup: building bpf-linker {VERSION} with LLVM {llvm} into {} (a minute or two)",
        home.display()
    );
    process::run(
        Command::new(workspace::cargo())
            // The work is LLVM's, which is optimised anyway; the rest compiles in two thirds of the time as it is.
            .args([
                "install",
                "--debug",
                "bpf-linker",
                "--version",
                VERSION,
                "--locked",
                "--quiet",
                "--no-default-features",
            ])
            .args(["--features", &format!("llvm-{llvm}"), "--root"])
            .arg(&home)
            .env("LLVM_PREFIX", prefix(llvm))
            .env_remove("CARGO_TARGET_DIR")
            .env_remove("RUSTFLAGS"),
    )?;
    find(rust).with_context(|| format!("the bpf-linker in {} does not start", home.display()))
}

fn fitting(rust: &BpfRust) -> impl Iterator<Item = u32> {
    let oldest = rust.llvm;
    LLVMS.into_iter().filter(move |llvm| *llvm >= oldest)
}

fn home(llvm: u32) -> Result<PathBuf> {
    Ok(workspace::tools_dir()?.join(format!("bpf-linker-{VERSION}-llvm-{llvm}")))
}

fn prefix(llvm: u32) -> PathBuf {
    format!("/usr/lib/llvm-{llvm}").into()
}

/// Also false when the LLVM it was built with has been removed since.
fn starts(linker: &Path) -> bool {
    process::output(Command::new(linker).arg("--version")).is_ok()
}

/// A linker from elsewhere doesn't say which LLVM it has: let it link something.
fn links_bitcode_of(rust: &BpfRust, linker: &Path) -> bool {
    let dir = env::temp_dir().join(format!("xdhcpd-linker-trial-{}", std_process::id()));
    let (source, bitcode, object) = (dir.join("trial.rs"), dir.join("trial.bc"), dir.join("trial.o"));
    let linked = fs::create_dir(&dir)
        .and_then(|()| {
            fs::write(
                &source,
                "#![no_std] #[unsafe(no_mangle)] pub extern \"C\" fn f(x: u64) -> u64 { x + 1 }",
            )
        })
        .map_err(anyhow::Error::from)
        .and_then(|()| {
            let compile =
                ["--crate-type=lib", "--edition=2024", "-O", "-Cdebuginfo=2", "--emit=llvm-bc", "-o"];
            process::output(Command::new(&rust.rustc).args(compile).arg(&bitcode).arg(&source))?;
            let link = ["--target=bpfel-unknown-none", "--btf", "--emit=obj", "--export=f", "-o"];
            process::output(Command::new(linker).args(link).arg(&object).arg(&bitcode))
        })
        .is_ok();
    // Whatever is left is in the temporary directory.
    let _ = fs::remove_dir_all(&dir);
    linked
}

/// Makes sure that LLVM's libraries and a C++ library are there; the LLVM version found or installed.
fn obtain_llvm(rust: &BpfRust, apt: &mut Apt) -> Result<u32> {
    let complete = |llvm: &u32| {
        prefix(*llvm).join("lib/libLLVM.so").exists() && prefix(*llvm).join("lib/libPolly.a").exists()
    };
    let cxx = if process::find("c++").is_some() { None } else { Some("g++") };
    if let Some(llvm) = fitting(rust).find(complete) {
        if let Some(cxx) = cxx {
            apt.install(&[cxx])?;
        }
        return Ok(llvm);
    }
    for llvm in fitting(rust) {
        let (llvm_dev, polly_dev) = (format!("llvm-{llvm}-dev"), format!("libpolly-{llvm}-dev"));
        if apt.candidate(&llvm_dev)?.is_some() && apt.candidate(&polly_dev)?.is_some() {
            let packages: Vec<&str> =
                [llvm_dev.as_str(), polly_dev.as_str()].into_iter().chain(cxx).collect();
            apt.install(&packages)?;
            return Ok(llvm);
        }
    }
    bail!(
        "Rust {} has LLVM {}, and no Debian package brings one that bpf-linker {VERSION} could use with it",
        rust.release,
        rust.llvm
    )
}
