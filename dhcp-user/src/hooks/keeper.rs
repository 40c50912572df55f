//! Keeps a runner running: one that ends although the daemon has not is started again.
//!
//! The daemon can start no program once it serves, so the keeper was started before. It has one thread, and does nothing
//! but wait for the runner, which is a copy of itself.

use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, read};

use super::call::{FromRunner, Program};
use super::program::Running;
use super::runner::{self, Begin};
use crate::privileges;

/// How long it waits before it starts a runner again, first and at most; the longer, the sooner the last one ended.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The list of hooks is shorter.
const LONGEST_LINE: usize = 16 << 20;

/// Runs programs as the daemon says on standard input, and says on standard output what became of them, until the daemon
/// has ended.
///
/// # Errors
/// When rights can't be given up, no process can be had, or what the daemon says is not understood.
pub fn run() -> io::Result<()> {
    privileges::give_up_all()?;
    // Where these processes are stopped and the daemon ends, the kernel lets them go on with a SIGHUP. They have to end in order,
    // and programs with them. A handler is inherited by the runner, and not by programs.
    signal_hook::flag::register(libc::SIGHUP, Arc::new(AtomicBool::new(false)))?;
    // What programs leave behind when the runner ends comes to this process, which ends it.
    set_child_subreaper(true)?;
    let stdin = io::stdin();
    let programs: Vec<Program> = serde_json::from_slice(&first_line(stdin.as_fd())?)?;
    let (mut begin, mut wait) = (Begin::AtALine, FIRST_WAIT);
    loop {
        let began = Instant::now();
        // SAFETY: this process has one thread, so the copy has all that it needs.
        let runner = match unsafe { fork() }? {
            ForkResult::Child => return runner::run(&programs, begin),
            ForkResult::Parent { child } => child,
        };
        let how = loop {
            match waitpid(runner, None) {
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
                // The daemon has ended.
                Ok(WaitStatus::Exited(_, 0)) => return Ok(()),
                Ok(WaitStatus::Exited(_, status)) => break format!("exit status {status}"),
                Ok(WaitStatus::Signaled(_, signal, _)) => break format!("ended by {signal}"),
                Ok(_) => {}
            }
        };
        Running::default().kill();
        if began.elapsed() > LONGEST_WAIT {
            wait = FIRST_WAIT;
        }
        tell(&FromRunner::Ended { how, again_in: wait.as_secs() })?;
        if has_ended(stdin.as_fd(), wait) {
            return Ok(());
        }
        wait = (wait * 2).min(LONGEST_WAIT);
        begin = Begin::Anywhere;
        tell(&FromRunner::Begun)?;
    }
}

/// The first line, and nothing that follows it: that is the runner's.
fn first_line(from: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut octet = [0];
    while line.len() < LONGEST_LINE {
        match read(from, &mut octet) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(0) => break,
            Ok(_) if octet == *b"\n" => return Ok(line),
            Ok(_) => line.extend(octet),
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

fn tell(what: &FromRunner) -> io::Result<()> {
    // The runner's last line may lack its end.
    let mut line = b"\n".to_vec();
    serde_json::to_writer(&mut line, what)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line).and_then(|()| out.flush())
}

/// Waits, and says whether the daemon has ended meanwhile.
fn has_ended(daemon: BorrowedFd<'_>, wait: Duration) -> bool {
    let until = Instant::now() + wait;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(daemon, PollFlags::empty())];
        match poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO)) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(_) if left.is_zero() => return false,
            Err(_) => {}
        }
    }
}
