//! The private world of one test: a mount namespace of its own, a directory, a BPF file system.
//!
//! Real DHCP clients rewrite `/etc/resolv.conf` and keep leases under `/var` even inside a network namespace. Here
//! `/etc` is read-only and their directories are empty file systems of this world alone.

use anyhow::{Context, Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{Uid, mkdtemp};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Directories that programs under test write to by habit: each world sees its own, empty.
const PRIVATE: [&str; 6] = [
    "/run",
    "/var/lib/NetworkManager",
    "/var/lib/connman",
    "/var/lib/dhcp",
    "/var/lib/dhcpcd",
    "/var/lib/misc",
];

const NONE: Option<&str> = None;

/// The mount namespace of the calling thread, and all that a test writes.
#[derive(Debug)]
pub struct World {
    home: File,
    dir: PathBuf,
}

impl World {
    /// Moves the calling thread, and every program it starts from now on, into a new world.
    ///
    /// # Errors
    /// Without root's rights, or when a file system cannot be mounted.
    pub fn new(name: &str) -> Result<Self> {
        ensure!(
            Uid::effective().is_root(),
            "these tests make network and mount namespaces: run them as root (`sudo -E cargo xtask test net`)"
        );
        let dir = mkdtemp(&std::env::temp_dir().join(format!("xdhcpd-{name}-XXXXXX")))?;
        let world = Self { home: File::open("/proc/thread-self/ns/mnt")?, dir };
        unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace")?;
        mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)
            .context("cannot keep mounts private")?;
        world.furnish()?;
        Ok(world)
    }

    fn furnish(&self) -> Result<()> {
        mount(Some("/etc"), "/etc", NONE, MsFlags::MS_BIND, NONE).context("cannot bind /etc")?;
        mount(NONE, "/etc", NONE, MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, NONE)
            .context("cannot make /etc read-only")?;
        for dir in PRIVATE.iter().filter(|dir| Path::new(dir).is_dir()) {
            mount(Some("tmpfs"), *dir, Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))
                .with_context(|| format!("cannot mount a private {dir}"))?;
        }
        let bpf = self.bpf();
        fs::create_dir(&bpf)?;
        mount(Some("bpf"), &bpf, Some("bpf"), MsFlags::empty(), Some("mode=0700"))
            .context("cannot mount a BPF file system (is CONFIG_BPF_SYSCALL set?)")
    }

    /// The directory that everything this test writes goes to.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The mount point of this world's BPF file system.
    #[must_use]
    pub fn bpf(&self) -> PathBuf {
        self.dir.join("bpf")
    }

    /// Writes a file of this world and returns its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.dir.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = umount2(&self.bpf(), MntFlags::MNT_DETACH);
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            eprintln!("cannot remove {}: {error}", self.dir.display());
        }
        // A test runner told to use one thread goes on to the next test on this one.
        if let Err(error) = setns(&self.home, CloneFlags::CLONE_NEWNS) {
            eprintln!("cannot leave the mount namespace of {}: {error}", self.dir.display());
        }
    }
}
