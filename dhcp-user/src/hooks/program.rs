//! One program, from its start to the end of all that it has started.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use super::call::{CallOutcome, Program};

/// So many of its last octets on standard error are reported.
const TOLD: usize = 200;
/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(10);
/// Where programs are found by those that hooks start.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How often it looks for left-behind processes before it leaves them to the next time.
const SWEEPS: usize = 50;

/// The programs that run. Any other child of this process was left behind by one.
#[derive(Debug, Default)]
pub(super) struct Running(Mutex<HashSet<i32>>);

impl Running {
    fn lock(&self) -> MutexGuard<'_, HashSet<i32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Ends all of them.
    pub(super) fn kill(&self) {
        for pid in self.lock().iter() {
            let _ = killpg(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        self.sweep();
    }

    fn start(&self, program: &Program) -> io::Result<Child> {
        let [path, words @ ..] = program.command.as_slice() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut command = Command::new(path);
        command.args(words).env_clear().env("PATH", PATH).current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut running = self.lock();
        let child = command.spawn()?;
        running.insert(pid_of(&child));
        Ok(child)
    }

    /// Ends what programs have left behind; how many that were.
    fn sweep(&self) -> u64 {
        let mut ended = HashSet::new();
        let running = self.lock();
        for _ in 0..SWEEPS {
            let left: Vec<i32> = children().into_iter().filter(|pid| !running.contains(pid)).collect();
            if left.is_empty() {
                break;
            }
            for pid in left {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                ended.insert(pid);
                let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
            }
            sleep(Duration::from_millis(1));
        }
        ended.len() as u64
    }
}

/// The processes whose parent is this one, by birth or because theirs has ended.
fn children() -> Vec<i32> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn pid_of(child: &Child) -> i32 {
    i32::try_from(child.id()).unwrap_or(i32::MAX)
}

/// Runs a program for an event, and says what became of it and how many processes it has left behind.
pub(super) fn run(program: &Program, event: &[u8], running: &Running) -> (CallOutcome, u64) {
    let mut child = match running.start(program) {
        Ok(child) => child,
        Err(error) => return (CallOutcome::NotStarted(error.to_string()), 0),
    };
    if let Some(mut stdin) = child.stdin.take() {
        // A pipe has room for an event; a program need not read it.
        let _ = stdin.write_all(event);
    }
    let mut stderr = StandardError::of(child.stderr.take());
    let timeout = Duration::from_secs(program.timeout.into());
    let is_over = wait(&child, &mut stderr, Instant::now() + timeout);
    let pid = pid_of(&child);
    // While it is not reaped, the group is its own.
    let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    let status = child.wait();
    running.lock().remove(&pid);
    let left_behind = running.sweep();
    stderr.read();
    let became = match status {
        _ if !is_over => {
            CallOutcome::TimedOut(format!("it took longer than {} s{}", program.timeout, stderr.told()))
        }
        Ok(status) if status.success() => CallOutcome::Done,
        Ok(status) => CallOutcome::Failed(format!("{}{}", ended(status), stderr.told())),
        Err(error) => CallOutcome::Failed(error.to_string()),
    };
    (became, left_behind)
}

/// Waits until it has ended, or its time is over; it is not reaped.
fn wait(child: &Child, stderr: &mut StandardError, until: Instant) -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    loop {
        stderr.read();
        match waitid(Id::Pid(Pid::from_raw(pid_of(child))), flags) {
            Ok(WaitStatus::StillAlive) if Instant::now() >= until => return false,
            Ok(WaitStatus::StillAlive) => stderr.wait(),
            _ => return true,
        }
    }
}

fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "it ended".to_owned(),
    }
}

/// A program's standard error: the end of it is kept.
struct StandardError {
    from: Option<ChildStderr>,
    last: Vec<u8>,
}

impl StandardError {
    fn of(from: Option<ChildStderr>) -> Self {
        let never_waits = |from: &ChildStderr| fcntl(from, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).is_ok();
        Self { from: from.filter(never_waits), last: Vec::new() }
    }

    /// Takes what there is, not more than a pipe holds.
    fn read(&mut self) {
        let mut octets = [0; 4096];
        for _ in 0..16 {
            match self.from.as_mut().map(|from| from.read(&mut octets)) {
                Some(Ok(length)) if length > 0 => {
                    self.last.extend(octets.iter().take(length));
                    let more = self.last.len().saturating_sub(TOLD);
                    self.last.drain(..more);
                }
                Some(Ok(_)) => self.from = None,
                _ => return,
            }
        }
    }

    /// Waits until there is more, or a moment.
    fn wait(&self) {
        match &self.from {
            Some(from) => {
                let mut fds = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
                let moment = PollTimeout::try_from(LOOK).unwrap_or(PollTimeout::ZERO);
                let _ = poll(&mut fds, moment);
            }
            None => sleep(LOOK),
        }
    }

    /// The last line, as part of a sentence.
    fn told(&self) -> String {
        let text = String::from_utf8_lossy(&self.last);
        match text.trim().lines().last() {
            Some(line) => format!(": {}", line.escape_debug()),
            None => String::new(),
        }
    }
}
