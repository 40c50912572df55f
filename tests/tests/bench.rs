//! The benchmark, run as an operator would: what makes it fail, what it then says, and what is no failure.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use system_tests::process::output;
use system_tests::world::World;

/// Runs it, with its results in `dir`.
fn bench(dir: &Path, words: &[&str], setting: (&str, &Path)) -> Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.arg("--results").arg(dir).arg("--quick").args(words).env(setting.0, setting.1);
    output(&mut command)
}

/// A server that leases addresses that are not in the pool it was told of.
fn server_that_is_wrong(dir: &Path) -> Result<PathBuf> {
    let right = std::env::var("XDHCPD_BIN").context("XDHCPD_BIN does not name the xdhcpd to test")?;
    let path = dir.join("wrong");
    let script = format!(
        r#"#!/bin/sh
for word; do
    case "$word" in *.toml) [ "$1" = run ] && sed -i 's/"10\.0\.1\.0 - 10\.0/"10.100.1.0 - 10.100/' "$word" ;; esac
done
exec {right} "$@"
"#
    );
    fs::write(&path, script)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// The report names what was wrong, the exit status says no, and nobody can publish it.
#[test]
fn a_wrong_reply_fails_the_whole_run() -> Result<()> {
    let world = World::new("bench-wrong")?;
    let wrong = server_that_is_wrong(world.dir())?;
    let done = bench(world.dir(), &["memory"], ("XDHCPD_BIN", &wrong))?;
    ensure!(!done.status.success(), "a run with wrong replies is no success");
    let report =
        fs::read_to_string(world.dir().join("report.json")).context("a run that fails has a report")?;
    let report: Value = serde_json::from_str(&report)?;
    let failure = report["sections"][0]["failure"].as_str().unwrap_or_default();
    ensure!(failure.contains("wrong replies"), "{report}");
    let page = fs::read_to_string(world.dir().join("report.html"))?;
    ensure!(page.contains("This run has failed"), "the page does not say so");

    let refused = bench(world.dir(), &["publish"], ("XDHCPD_BIN", &wrong))?;
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(!refused.status.success() && said.contains("nothing to publish"), "{said}");
    Ok(())
}

#[test]
fn where_nothing_can_be_measured_it_says_so_at_once() -> Result<()> {
    let world = World::new("bench-unable")?;
    let done = bench(world.dir(), &["memory"], ("XDHCPD_LOAD_OBJECT", Path::new("/nowhere")))?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(!done.status.success(), "that is no success");
    ensure!(said.contains("nothing can be measured here") && said.contains("/nowhere"), "{said}");
    ensure!(!world.dir().join("report.json").exists(), "there is nothing to report");
    Ok(())
}
