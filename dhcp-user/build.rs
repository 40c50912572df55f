//! Tells the crate where the BPF object is that it embeds.

use std::{env, path::PathBuf};

const OBJECT: &str = "XDHCPD_BPF_OBJECT";

fn main() {
    println!("cargo::rerun-if-env-changed={OBJECT}");
    println!("cargo::rerun-if-env-changed=CARGO_TARGET_DIR");
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    // A relative target directory is relative to where cargo was started. That is not known here; the workspace is the
    // best guess, and `cargo xtask build` makes it absolute.
    let object = env::var_os(OBJECT).map_or_else(
        || {
            workspace
                .join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
                .join("bpf/xdhcpd.o")
        },
        PathBuf::from,
    );
    println!("cargo::rerun-if-changed={}", object.display());
    match object.canonicalize() {
        Ok(object) => println!("cargo::rustc-env={OBJECT}={}", object.display()),
        Err(error) => {
            println!("cargo::error=no BPF object at {} ({error}): run `cargo xtask build`", object.display());
        }
    }
}
