//! Requirements on the machine itself, which no package can add.

use std::fs;

use anyhow::{Context, Result, bail};

/// `bpf_xdp_adjust_tail` that grows in native mode, XDP links and BPF ring buffers are all older than this.
const OLDEST_KERNEL: (u32, u32) = (5, 15);

/// Checks processor, operating system and kernel.
///
/// # Errors
/// Names what is missing and how to get it.
pub(crate) fn check() -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("xdhcpd answers inside Linux's network drivers: use a Linux machine or a virtual one");
    }
    if !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        bail!("{} is not supported: use an x86_64 or aarch64 machine", std::env::consts::ARCH);
    }
    let release =
        fs::read_to_string("/proc/sys/kernel/osrelease").context("can't read the kernel's release")?;
    if version(&release).is_none_or(|found| found < OLDEST_KERNEL) {
        bail!(
            "kernel {} is too old: boot {}.{} or newer (Debian 12 and Ubuntu 22.04 have it)",
            release.trim(),
            OLDEST_KERNEL.0,
            OLDEST_KERNEL.1
        );
    }
    let filesystems = fs::read_to_string("/proc/filesystems").context("can't read /proc/filesystems")?;
    if !filesystems.lines().any(|line| line.split_whitespace().next_back() == Some("bpf")) {
        bail!(
            "this kernel has no bpffs: boot one with CONFIG_BPF_SYSCALL=y and CONFIG_BPF_JIT=y \
             (every distribution's own kernel has them)"
        );
    }
    Ok(())
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_release_is_compared_by_number() {
        assert_eq!(version("5.4.0-150-generic\n"), Some((5, 4)));
        assert_eq!(version("6.18.44-fc-v669"), Some((6, 18)));
        assert_eq!(version("custom"), None);
        assert!(version("5.9.1") < Some(OLDEST_KERNEL));
        assert!(version("5.15.0") >= Some(OLDEST_KERNEL));
    }
}
