//! Limits of this process (setrlimit(2)) that it can't live with: told before they hurt.
//!
//! A stack that is too small, or memory that is refused before there is a log, ends a process by a signal and without a word. So
//! the least of each is looked at before the language's runtime starts, and what a daemon takes at once before it starts
//! threads. What it comes to take later is compared with what the limits leave, as with the machine's memory. With a megabyte or
//! two of memory the system can't even load the program, and ends it by a signal before anything of ours runs.

use std::fs;

use anyhow::{Result, ensure};
use nix::sys::resource::{Resource, getrlimit};

/// The main thread's stack: with less, reading the command line overflows it.
const STACK: u64 = 1 << 20;
/// The main thread's stack where it is raised: the usual size.
const USUAL_STACK: u64 = 8 << 20;
/// Memory of its own, and addresses, without which no command gets as far as a message.
const DATA: u64 = 24 << 20;
const ADDRESSES: u64 = 64 << 20;
/// What a daemon takes at once: the stacks of its threads, and the addresses that the allocator reserves.
const DATA_OF_A_DAEMON: u64 = 64 << 20;
const ADDRESSES_OF_A_DAEMON: u64 = 256 << 20;

const STACK_IS_SMALL: &[u8] =
    b"xdhcpd: this process may have less than 1 MiB of stack: raise the limit (`ulimit -s`, \
    `LimitSTACK=` in a unit)\n";
const DATA_IS_SMALL: &[u8] =
    b"xdhcpd: this process may have less than 24 MiB of memory: raise the limit (`ulimit -d`, \
    `LimitDATA=` in a unit)\n";
const ADDRESSES_ARE_SMALL: &[u8] =
    b"xdhcpd: this process may have less than 64 MiB of address space: raise the limit \
    (`ulimit -v`, `LimitAS=` in a unit)\n";

/// Ends a process that could not go on, with the reason; raises the limit of the stack where it may. For before the runtime
/// starts: it uses little stack and no memory.
pub fn look_before_the_runtime() {
    let stack = limit(libc::RLIMIT_STACK);
    if stack.rlim_cur < STACK {
        let raised = libc::rlimit { rlim_cur: stack.rlim_max.min(USUAL_STACK), ..stack };
        // SAFETY: the kernel reads the structure, which outlives the call.
        let is_raised = unsafe { libc::setrlimit(libc::RLIMIT_STACK, &raw const raised) } == 0;
        if !is_raised || raised.rlim_cur < STACK {
            end(STACK_IS_SMALL);
        }
    }
    if limit(libc::RLIMIT_DATA).rlim_cur < DATA {
        end(DATA_IS_SMALL);
    }
    if limit(libc::RLIMIT_AS).rlim_cur < ADDRESSES {
        end(ADDRESSES_ARE_SMALL);
    }
}

/// A limit; none where it can't be learnt.
fn limit(of: libc::__rlimit_resource_t) -> libc::rlimit {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the kernel writes one structure, which outlives the call.
    unsafe { libc::getrlimit(of, &raw mut limit) };
    limit
}

fn end(why: &[u8]) {
    // SAFETY: the kernel reads the octets, which live for ever; then the process ends without running anything more.
    unsafe {
        libc::write(libc::STDERR_FILENO, why.as_ptr().cast(), why.len());
        libc::_exit(1);
    }
}

/// Whether a daemon can start its threads.
///
/// # Errors
/// When it can't; the message says what to raise.
pub fn enough_for_a_daemon() -> Result<()> {
    let both = [
        (Resource::RLIMIT_DATA, "memory", DATA_OF_A_DAEMON, "`ulimit -d`, `LimitDATA=` in a unit"),
        (Resource::RLIMIT_AS, "address space", ADDRESSES_OF_A_DAEMON, "`ulimit -v`, `LimitAS=` in a unit"),
    ];
    for (resource, what, least, advice) in both {
        let Ok((may, _)) = getrlimit(resource) else { continue };
        ensure!(
            may >= least,
            "this process may have {} MiB of {what}, and a daemon needs {} MiB at least: raise the limit ({advice})",
            may >> 20,
            least >> 20
        );
    }
    Ok(())
}

/// Octets that the limits of this process leave it; `None` where there are none, or they can't be learnt.
#[must_use]
pub fn memory_left() -> Option<u64> {
    let taken = fs::read_to_string("/proc/self/status").ok()?;
    let left = [(Resource::RLIMIT_DATA, "VmData:"), (Resource::RLIMIT_AS, "VmSize:")];
    let left = left.into_iter().filter_map(|(resource, name)| {
        let (may, _) =
            getrlimit(resource).ok().filter(|(may, _)| *may != nix::sys::resource::RLIM_INFINITY)?;
        let line = taken.lines().find_map(|line| line.strip_prefix(name))?;
        let kilo: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(may.saturating_sub(kilo.saturating_mul(1024)))
    });
    left.min()
}

/// Whether a limit of this process's memory is set.
#[must_use]
pub fn is_memory_limited() -> bool {
    [Resource::RLIMIT_DATA, Resource::RLIMIT_AS]
        .into_iter()
        .any(|resource| getrlimit(resource).is_ok_and(|(may, _)| may != nix::sys::resource::RLIM_INFINITY))
}
