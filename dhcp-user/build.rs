//! Tells the crate where the BPF object is that it embeds: the recorded one if it is of these sources, else the one that
//! `cargo xtask build` made.

use std::{
    env,
    path::{Path, PathBuf},
};

use bpf_object::{Recorded, XDHCPD};

const OBJECT: &str = "XDHCPD_BPF_OBJECT";

fn main() {
    println!("cargo::rerun-if-env-changed={OBJECT}");
    println!("cargo::rerun-if-env-changed=CARGO_TARGET_DIR");
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    for path in bpf_object::watched(&XDHCPD) {
        println!("cargo::rerun-if-changed={}", workspace.join(path).display());
    }
    let object = env::var_os(OBJECT).map_or_else(|| object(&workspace), PathBuf::from);
    println!("cargo::rerun-if-changed={}", object.display());
    match object.canonicalize() {
        Ok(object) => println!("cargo::rustc-env={OBJECT}={}", object.display()),
        Err(error) => {
            println!(
                "cargo::error=no BPF object of these sources, neither {} nor {} ({error}): run `cargo xtask build`",
                XDHCPD.recorded(&workspace).display(),
                object.display()
            );
        }
    }
}

/// The recorded object, or where a built one is.
fn object(workspace: &Path) -> PathBuf {
    let architecture = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let fits = |object: &Path| matches!(XDHCPD.fits(object, workspace, &architecture), Ok(Recorded::Fits));
    let recorded = XDHCPD.recorded(workspace);
    if fits(&recorded) {
        return recorded;
    }
    // A relative target directory is relative to where cargo was started. That is not known here; the workspace is the
    // best guess, and `cargo xtask build` makes it absolute.
    let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let built = workspace.join(target).join("bpf/xdhcpd.o");
    if built.exists() && !fits(&built) {
        println!("cargo::warning=the BPF object embedded is of other sources: run `cargo xtask build`");
    }
    built
}
