//! Keeps a program of ours apart from the machine: however it ends, nothing of it is left.
//!
//! It runs in a PID namespace whose first process it is, so the kernel ends every program it started when it ends. Its
//! mounts, network namespaces, links and BPF pins live in namespaces that end with the last of these programs. What
//! is left is one directory, and the process that waits outside removes it.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitCode};

use anyhow::{Context, Result, ensure};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, Uid, mkdtemp};

/// The first argument of the process inside.
pub const INSIDE: &str = "inside";

/// What interrupts the program.
const INTERRUPTIONS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// Where tracepoints are looked up.
const TRACEFS: &str = "/sys/kernel/tracing";

const NONE: Option<&str> = None;

/// Runs this program inside, with [`INSIDE`] and these arguments, and cleans up after it.
///
/// # Errors
/// Without root's rights, or when the kernel has no such namespaces.
pub fn run_inside(arguments: &[OsString]) -> Result<ExitCode> {
    ensure!(Uid::effective().is_root(), "this makes network and mount namespaces of its own: run it as root");
    let signals: SigSet = INTERRUPTIONS.into_iter().chain([Signal::SIGCHLD]).collect();
    signals.thread_block().context("cannot hold signals back")?;
    let dir =
        mkdtemp(&std::env::temp_dir().join("xdhcpd-inside-XXXXXX")).context("cannot make a directory")?;
    let done = start(&dir, arguments).and_then(|child| wait(child, &signals));
    fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    done
}

fn start(dir: &Path, arguments: &[OsString]) -> Result<Child> {
    // Children begin in the new namespace; this process stays where it is.
    unshare(CloneFlags::CLONE_NEWPID).context("cannot make a PID namespace")?;
    Command::new(std::env::current_exe()?)
        .arg(INSIDE)
        .args(arguments)
        .env("TMPDIR", dir)
        .spawn()
        .context("cannot start the program inside")
}

fn wait(mut child: Child, signals: &SigSet) -> Result<ExitCode> {
    let mut interrupted = false;
    loop {
        let signal = signals.wait().context("cannot wait for a signal")?;
        if INTERRUPTIONS.contains(&signal) {
            interrupted = true;
            kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGKILL)
                .context("cannot end the program inside")?;
        } else if let Some(status) = child.try_wait()? {
            if interrupted {
                println!("\nInterrupted; nothing is left behind on this machine.");
            }
            return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
    }
}

/// Makes the namespaces fit for use, as the first process in them.
///
/// # Errors
/// When the kernel refuses a mount.
pub fn settle_in() -> Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL).context("cannot tie this process to the one outside")?;
    // The process outside holds them back for itself; programs started here would never hear that they should end.
    SigSet::all().thread_unblock().context("cannot let signals through")?;
    unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace")?;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)
        .context("cannot keep mounts private")?;
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), NONE).context("cannot mount /proc")?;
    if !Path::new(TRACEFS).join("events").exists() {
        // Where the kernel has none, whoever needs it says so.
        let _ = mount(Some("tracefs"), TRACEFS, Some("tracefs"), MsFlags::empty(), NONE);
    }
    Ok(())
}
