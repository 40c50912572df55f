//! Paths: the workspace, its target directory, and the directory that outlives a clone.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::process;

/// The directory of the workspace's `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&package).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Cargo's target directory for this workspace, absolute.
pub(crate) fn target_dir() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) if Path::new(&dir).is_absolute() => dir.into(),
        Some(dir) => env::current_dir().unwrap_or_default().join(dir),
        None => root().join("target"),
    }
}

/// The platform that the compiler builds for when none is named.
///
/// # Errors
/// When the compiler doesn't say.
pub(crate) fn platform() -> Result<String> {
    let version = process::output(Command::new("rustc").arg("-vV"))?;
    let platform = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(platform.context("rustc doesn't say which platform this is")?.to_owned())
}

/// The BPF object that the daemon's build embeds. `dhcp-user/build.rs` looks for it at the same place.
pub(crate) fn bpf_object() -> PathBuf {
    target_dir().join("bpf/xdhcpd.o")
}

/// The BPF object of the load generator. `tests/src/load/object.rs` looks for it at the same place.
pub(crate) fn load_object() -> PathBuf {
    target_dir().join("bpf/load.o")
}

/// Where tools are installed that a fresh clone should find again.
///
/// # Errors
/// When neither `XDG_CACHE_HOME` nor `HOME` is set.
pub(crate) fn tools_dir() -> Result<PathBuf> {
    if let Some(cache) = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute()) {
        return Ok(cache.join("xdhcpd"));
    }
    let home = env::var_os("HOME").context("HOME is not set; set it to a directory that may hold tools")?;
    Ok(Path::new(&home).join(".cache/xdhcpd"))
}

/// Where cargo keeps the sources of packages.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    let home = || Some(Path::new(&env::var_os("HOME")?).join(".cargo"));
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home)
}

/// The cargo that runs this task, so that its children are of the same toolchain.
pub(crate) fn cargo() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}
