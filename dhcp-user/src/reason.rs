//! An error in words for the operator: each cause once, and what to do where a limit of the system is the cause.

use std::io;

use nix::errno::Errno;

use crate::process_limits;

/// The error and its causes. A cause that the error before it has said already is left out.
#[must_use]
pub fn told(error: &anyhow::Error) -> String {
    let mut all = String::new();
    let mut before = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if !before.is_empty() && before.contains(&cause) {
            continue;
        }
        if !all.is_empty() {
            all.push_str(": ");
        }
        all.push_str(&cause);
        before = cause;
    }
    if let Some(advice) = errno(error).and_then(|errno| advice(errno, &all)) {
        all.push_str("; ");
        all.push_str(advice);
    }
    all
}

/// The system's error at the root of this one.
#[must_use]
pub fn errno(error: &anyhow::Error) -> Option<Errno> {
    error.chain().find_map(|cause| {
        let of_io = || cause.downcast_ref::<io::Error>()?.raw_os_error().map(Errno::from_raw);
        cause.downcast_ref::<Errno>().copied().or_else(of_io)
    })
}

fn advice(errno: Errno, what: &str) -> Option<&'static str> {
    match errno {
        Errno::EMFILE => Some(
            "this process may have no more open files: raise its limit (`ulimit -n`, `LimitNOFILE=` in a unit)",
        ),
        Errno::ENFILE => Some("the machine may have no more open files: raise fs.file-max"),
        Errno::ENOMEM => Some(
            "memory is short: free some, or let this process have more (`ulimit -v`, `MemoryMax=` in a unit); smaller pools \
             take less",
        ),
        Errno::EAGAIN if what.contains("thread") && process_limits::is_memory_limited() => Some(
            "this process may have no more threads, or no memory for their stacks: raise its limits (`ulimit -u`, `-d` and \
             `-v`, `TasksMax=`, `LimitDATA=` and `LimitAS=` in a unit)",
        ),
        Errno::EAGAIN if what.contains("thread") => Some(
            "this process may have no more threads: raise its limit (`ulimit -u`, `TasksMax=` in a unit)",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("can't read it: {source}")]
    struct Twice {
        source: io::Error,
    }

    #[test]
    fn each_cause_is_said_once_and_a_limit_with_what_to_do() {
        let absent = Twice { source: io::Error::from_raw_os_error(libc::ENOENT) };
        let error = anyhow::Error::from(absent).context("starting");
        assert_eq!(told(&error), "starting: can't read it: No such file or directory (os error 2)");
        let error = Err::<(), _>(Errno::EMFILE).context("opening a socket").expect_err("an error");
        assert!(
            told(&error).contains("opening a socket: EMFILE: Too many open files; this process"),
            "{}",
            told(&error)
        );
        let error = anyhow::Error::from(io::Error::from_raw_os_error(libc::EAGAIN));
        assert!(!told(&error).contains("threads"));
        assert!(told(&error.context("starting the thread `x`")).contains("TasksMax"));
    }
}
