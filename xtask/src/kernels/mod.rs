//! `cargo xtask test kernel`: other kernels, booted in an emulated machine, with NICs that real drivers drive.
//!
//! The machine sees the files of this one, read only, so that it runs the very binaries that were built here. It has no disk, no
//! network but its own NICs, two and two of them on a wire, and ends with the tests.

mod image;
mod package;
mod wires;

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, ensure};

use crate::workspace;
pub(crate) use package::kernels;
use wires::Wires;

const EMULATOR: &str = "qemu-system-x86_64";
/// Emulated instructions take so many times as long.
const SLOWNESS: &str = "30";

/// A kernel out of its package.
pub(crate) struct Kernel {
    /// Its version as `uname -r` has it.
    pub(crate) version: String,
    tree: PathBuf,
}

impl Kernel {
    /// Boots the kernel, runs a shell script in there as root, and hands each line that it prints to `line`.
    ///
    /// # Errors
    /// When it doesn't come to the end of the script.
    pub(crate) fn run(&self, script: &str, mut line: impl FnMut(&str)) -> Result<()> {
        let image = image::of(self, script)?;
        let wires = Wires::of(EMULATOR)?;
        let mut qemu = wires.around(EMULATOR)?;
        // Emulated everywhere: what is seen does not depend on whether this machine can do more.
        qemu.args([
            "-machine",
            "q35",
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-smp",
            "2",
            "-m",
            "3072",
        ]);
        qemu.args(["-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio"]);
        qemu.arg("-kernel").arg(self.tree.join(format!("boot/vmlinuz-{}", self.version)));
        qemu.arg("-initrd")
            .arg(&image)
            .args(["-append", "console=ttyS0 quiet loglevel=2 no_timer_check panic=-1"]);
        qemu.args(["-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap"]);
        qemu.args(["-device", "virtio-9p-pci,fsdev=host,mount_tag=host"]);
        qemu.args(wires.arguments());
        let mut child =
            qemu.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("can't start qemu")?;
        let mut stdout = BufReader::new(child.stdout.take().context("qemu has no output")?);
        let (mut octets, mut ended) = (Vec::new(), false);
        while stdout.read_until(b'\n', &mut octets).context("can't read what the kernel says")? > 0 {
            let text = String::from_utf8_lossy(&octets);
            ended |= text.starts_with(ENDED);
            line(&text);
            octets.clear();
        }
        let status = child.wait().context("can't wait for qemu")?;
        ensure!(status.success(), "qemu failed ({status})");
        ensure!(ended, "Linux {} did not come to the end of the tests", self.version);
        Ok(())
    }
}

/// What `init.sh` says after the script.
const ENDED: &str = "job: ended";

/// The drivers that can't be tried, since this qemu has no NIC of theirs.
///
/// # Errors
/// When qemu can't be asked.
pub(crate) fn lacking() -> Result<Vec<&'static str>> {
    Ok(Wires::of(EMULATOR)?.lacking())
}

/// The script that runs test binaries, with a daemon to test: what has `filter` in its name, and nothing of what is `skipped`.
pub(crate) fn script(daemon: &Path, tests: &[PathBuf], filter: Option<&str>, skipped: &[&str]) -> String {
    let mut which = filter.map(|filter| format!("'{filter}'")).unwrap_or_default();
    which.extend(skipped.iter().map(|test| format!(" --skip {test}")));
    let run: String =
        tests.iter().map(|test| format!("'{}' --test-threads=1 {which}\n", test.display())).collect();
    format!(
        "cd '{}'\nexport PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/dev/shm TMPDIR=/dev/shm XDHCPD_SLOWNESS={SLOWNESS} \
         XDHCPD_BIN='{}'\nip link set lo up\n{run}",
        workspace::root().join("tests").display(),
        daemon.display(),
    )
}
