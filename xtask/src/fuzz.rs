//! `cargo xtask fuzz`: libFuzzer around each target, which looks for inputs that reach new code, until it is stopped.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};

use crate::{
    build, process,
    setup::{self, Purpose},
    workspace,
};

/// Arguments of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The target; all, one after the other, when not given
    target: Option<String>,
    /// Stop after one round, in which each target has so many seconds
    #[arg(long, value_name = "SECONDS")]
    time: Option<u32>,
    /// Try this one input, and show what fails
    #[arg(long, value_name = "FILE", requires = "target")]
    input: Option<PathBuf>,
}

/// How many seconds each target has in a round.
const TURN: u32 = 60;

/// What has the compiler count which code was reached, and by which comparisons; libFuzzer reads that. Sums that don't fit
/// and assertions fail.
const COVERAGE: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Coverflow-checks=on",
    "-Cdebug-assertions=on",
];

/// Builds the targets, and runs one or all. What fails is kept, and ends it.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    setup::prepare(Purpose::Build)?;
    let corpora = workspace::root().join("tests/fuzz/corpus");
    let targets = targets(&corpora)?;
    let wanted: Vec<&String> =
        targets.iter().filter(|name| args.target.as_ref().is_none_or(|wanted| wanted == *name)).collect();
    if wanted.is_empty() {
        bail!(
            "there is no target {}: there are {}",
            args.target.as_deref().unwrap_or(""),
            targets.join(", ")
        );
    }
    let program = program()?;
    loop {
        for target in &wanted {
            run(&program, target, args, &corpora.join(target))?;
        }
        if args.time.is_some() || args.input.is_some() {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// The names of the targets: each has a corpus.
fn targets(corpora: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(corpora).with_context(|| format!("can't read {}", corpora.display()))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Builds the program that has libFuzzer in it.
fn program() -> Result<PathBuf> {
    if process::find("c++").is_none() {
        bail!("libFuzzer is C++: install a compiler (on Debian: apt-get install g++)");
    }
    // Where a platform is named, programs that only the build runs are compiled without these.
    let platform = workspace::platform()?;
    let target_dir = workspace::target_dir().join("fuzz");
    let mut cargo = build::cargo();
    cargo.args(["build", "--release", "--package", "fuzz", "--bin", "fuzz", "--features", "libfuzzer"]);
    cargo.args(["--target", &platform]).arg("--target-dir").arg(&target_dir);
    cargo.env("RUSTFLAGS", COVERAGE.join(" "));
    process::run(&mut cargo).context("the fuzz targets do not build")?;
    Ok(target_dir.join(platform).join("release/fuzz"))
}

fn run(program: &Path, target: &str, args: &Args, kept: &Path) -> Result<()> {
    let mut fuzz = Command::new(program);
    fuzz.env("XDHCPD_FUZZ_TARGET", target);
    if let Some(input) = &args.input {
        return process::run(fuzz.arg(input));
    }
    // What leads to new code is kept from run to run beside what was built; what is worth it goes into the corpus by hand.
    let results = workspace::target_dir().join("fuzz");
    let found = results.join("corpus").join(target);
    fs::create_dir_all(&found).with_context(|| format!("can't make {}", found.display()))?;
    let failed = results.join(format!("failed-{target}-"));
    let time = args.time.unwrap_or(TURN);
    println!("{target}: {time} s; inputs that reach new code go to {}", found.display());
    fuzz.arg(format!("-max_total_time={time}"))
        .arg(format!("-artifact_prefix={}", failed.display()))
        .args(["-timeout=20", "-max_len=8192", "-print_final_stats=1", "-verbosity=0"])
        .arg(&found)
        .arg(kept);
    process::run(&mut fuzz).with_context(|| {
        format!(
            "{target} failed: the input is in {}…; show it by `cargo xtask fuzz {target} --input FILE`, mend it, and put it into {}",
            failed.display(),
            kept.display()
        )
    })
}
