//! Gives up, for good, the rights that the daemon no longer needs once it serves, so that an attacker who takes it
//! over gains least.
//!
//! Maps, program and sockets of the start are open by then. Attaching anew and packet sockets remain. Under a service
//! manager most rights were never given: this code takes none for granted, and asks for none.

use std::collections::BTreeMap;
use std::io;

use anyhow::{Context as _, Result};
use nix::sys::prctl::set_no_new_privs;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// Numbers of capabilities (capability.h) that are kept, if the process has them: to attach, to load and map, and for
/// packet sockets. The unit for systemd gives the same.
const KEPT: [u32; 4] = [CAP_NET_ADMIN, CAP_NET_RAW, CAP_PERFMON, CAP_BPF];
const CAP_NET_ADMIN: u32 = 12;
const CAP_NET_RAW: u32 = 13;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// More than there are.
const CAPABILITIES: u32 = 64;
/// `_LINUX_CAPABILITY_VERSION_3`: sets of 64 bits, in two halves.
const VERSION: u32 = 0x2008_0522;

/// System calls that nothing here makes after the start, and that are valuable to an attacker who takes a daemon
/// over.
const REFUSED: [libc::c_long; 26] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_open_by_handle_at,
    libc::SYS_userfaultfd,
];

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Gives up this thread's capabilities but the few that are kept. Threads that it starts have no more.
///
/// # Errors
/// When the kernel doesn't let it.
pub fn give_up() -> io::Result<()> {
    keep_only(&KEPT)
}

/// Gives up all of this thread's capabilities, and that a program that it starts could gain any.
///
/// # Errors
/// When the kernel doesn't let it.
pub fn give_up_all() -> io::Result<()> {
    keep_only(&[])?;
    Ok(set_no_new_privs()?)
}

fn keep_only(kept: &[u32]) -> io::Result<()> {
    // SAFETY: these take numbers, and touch no memory.
    unsafe {
        // Whoever may not change the bounding set needs no more than not to gain by exec, which is refused.
        for capability in (0..CAPABILITIES).filter(|capability| !kept.contains(capability)) {
            libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0);
        }
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    }
    let mut header = Header { version: VERSION, pid: 0 };
    let mut halves = [Half::default(); 2];
    // SAFETY: the header and the two halves that this version has outlive the call.
    if unsafe { libc::syscall(libc::SYS_capget, &raw mut header, halves.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    for (number, half) in (0..).zip(&mut halves) {
        let of_half = kept.iter().filter(|capability| *capability / 32 == number);
        let of_half = of_half.fold(0, |set, capability| set | 1 << (capability % 32));
        let held = half.permitted & of_half;
        *half = Half { effective: held, permitted: held, inheritable: 0 };
    }
    // SAFETY: as above; the kernel only reads them.
    if unsafe { libc::syscall(libc::SYS_capset, &raw const header, halves.as_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Has every thread of the process refused what none needs any more, and gain nothing by a program's rights
/// (`no_new_privs`).
///
/// # Errors
/// When the kernel has no such filters.
pub fn refuse() -> Result<()> {
    let rules: BTreeMap<i64, Vec<_>> = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let refusal = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let machine = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refusal, machine)?;
    let program: BpfProgram = filter.try_into()?;
    seccompiler::apply_filter_all_threads(&program).context("setting a filter for system calls")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a thread of its own: it is for good.
    #[test]
    fn what_is_given_up_is_gone_for_this_thread_alone() {
        let effective = || {
            let status = std::fs::read_to_string("/proc/thread-self/status").expect("a thread's status");
            let line = status.lines().find_map(|line| line.strip_prefix("CapEff:\t").map(str::to_owned));
            u64::from_str_radix(&line.expect("its capabilities"), 16).expect("a number")
        };
        let before = effective();
        let kept = KEPT.iter().fold(0, |set, capability| set | 1_u64 << capability);
        let after = std::thread::spawn(move || {
            give_up().expect("less is always to be had");
            effective()
        });
        assert_eq!(after.join().expect("a thread"), before & kept);
        assert_eq!(effective(), before);
    }
}
