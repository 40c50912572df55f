//! A hostile kernel: system calls of a running program fail while a test wants them to, whoever makes them.
//!
//! Unlike `faults.rs` it works on a running program, and on calls without a function in the C library (`bpf`). It
//! uses strace, which stops at each such call, so it is for rare calls.

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::Process;
use crate::wait::{PROMPT, until};

/// What strace does with a program, until this is dropped.
#[derive(Debug)]
#[must_use = "it ends when this is dropped"]
pub struct Injection {
    strace: Process,
    trace: PathBuf,
}

impl Injection {
    /// Calls of `call` fail with `error`; where a path is given only those that concern it.
    ///
    /// # Errors
    /// Without strace (`cargo xtask setup` installs it), or when it can't have the program.
    pub fn fail(pid: Pid, dir: &Path, call: &str, error: &str, path: Option<&Path>) -> Result<Self> {
        let inject = format!("inject={call}:error={error}");
        let mut words = vec!["-e".to_owned(), format!("trace={call}"), "-e".to_owned(), inject];
        words.extend(path.iter().flat_map(|path| ["-P".to_owned(), path.display().to_string()]));
        Self::strace(pid, dir, &words)
    }

    /// Only looks on.
    ///
    /// # Errors
    /// As [`fail`](Self::fail).
    pub fn watch(pid: Pid, dir: &Path) -> Result<Self> {
        Self::strace(pid, dir, &[])
    }

    fn strace(pid: Pid, dir: &Path, words: &[String]) -> Result<Self> {
        let trace = dir.join("strace.out");
        // Of an earlier one nothing is to be read.
        let _ = std::fs::remove_file(&trace);
        let mut command = Command::new("strace");
        command.args(["-f", "-p", &pid.to_string(), "-o"]).arg(&trace).args(words);
        let log = dir.join("strace.log");
        let _ = std::fs::remove_file(&log);
        let mut strace = Process::start("strace", command, &log)?;
        until("strace to have the program", PROMPT, || {
            anyhow::ensure!(strace.is_running()?, "strace: {}", strace.log());
            Ok(strace.log().contains("attached").then_some(()))
        })?;
        strace.hush();
        Ok(Self { strace, trace })
    }

    /// How many calls have failed so.
    ///
    /// # Errors
    /// When what strace wrote can't be read.
    pub fn failed(&self) -> Result<usize> {
        let trace = std::fs::read_to_string(&self.trace).unwrap_or_default();
        Ok(trace.lines().filter(|line| line.contains("(INJECTED)")).count())
    }

    /// The names of all calls that were made until now. It ends with that.
    ///
    /// # Errors
    /// When what strace wrote can't be read.
    pub fn calls(mut self) -> Result<BTreeSet<String>> {
        self.strace.signal(Signal::SIGINT)?;
        self.strace.wait(PROMPT)?;
        let trace = std::fs::read_to_string(&self.trace).context("what strace saw")?;
        let call = |line: &str| {
            let call = line.split_once(' ')?.1.trim_start();
            let (name, _) = call.split_once('(')?;
            name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_').then(|| name.to_owned())
        };
        Ok(trace.lines().filter_map(call).collect())
    }
}

impl Drop for Injection {
    fn drop(&mut self) {
        // Told so it lets the program go; killed it would, too, and leave a call half done.
        let _ = self.strace.signal(Signal::SIGINT);
        let _ = self.strace.wait(PROMPT);
    }
}
