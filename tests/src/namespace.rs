//! Network namespaces that live as long as the value that stands for them.
//!
//! They are entered by `setns` alone: `ip netns exec` would also change the mount namespace, and pins made in
//! there would be invisible to everybody else.

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use crate::wire::Mac;
use crate::{process, wait};

const THIS: &str = "/proc/thread-self/ns/net";

/// A network namespace without a name: nothing on the host can refer to it by accident.
#[derive(Debug)]
pub struct Namespace {
    fd: OwnedFd,
    origin: Origin,
}

/// Whose a namespace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Ours, with all that is in it.
    Made,
    /// It was there before, and so was what is in it.
    Found,
}

impl Namespace {
    /// A new namespace with its loopback up, and no IPv6 chatter unless a test asks for it.
    ///
    /// # Errors
    /// Without the right to make one.
    pub fn new() -> Result<Self> {
        let fd = thread::spawn(|| -> Result<OwnedFd> {
            unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
            Ok(File::open(THIS)?.into())
        })
        .join()
        .map_err(|_| anyhow::anyhow!("the thread that makes namespaces panicked"))??;
        let namespace = Self { fd, origin: Origin::Made };
        namespace.set("net/ipv6/conf/default/disable_ipv6", "1")?;
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// The namespace that the calling thread is in, for the machine's own interfaces. What is in it is left alone.
    ///
    /// # Errors
    /// Without `/proc`.
    pub fn here() -> Result<Self> {
        Ok(Self { fd: File::open(THIS)?.into(), origin: Origin::Found })
    }

    /// Runs `work` with the calling thread inside the namespace.
    ///
    /// # Errors
    /// When the namespace cannot be entered. What `work` returns is passed on as it is.
    pub fn enter<T>(&self, work: impl FnOnce() -> T) -> Result<T> {
        let _back = Return(File::open(THIS)?);
        setns(&self.fd, CloneFlags::CLONE_NEWNET).context("cannot enter a network namespace")?;
        Ok(work())
    }

    /// A command that will run inside the namespace, and in the mount namespace of whoever starts it.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let fd = self.fd.as_raw_fd();
        // SAFETY: the closure runs in the forked child and makes one system call, which is async-signal-safe; the
        // descriptor was copied by the fork and is not touched by any other thread of the child (it has none).
        unsafe { command.pre_exec(move || join_namespace(fd)) };
        command
    }

    /// Runs `ip` with the words of `arguments` inside the namespace.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn ip(&self, arguments: &str) -> Result<String> {
        process::run(self.command("ip").args(arguments.split_whitespace()))
    }

    /// Writes a kernel setting of the namespace, named by its path under `/proc/sys`.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn set(&self, name: &str, value: &str) -> Result<()> {
        self.enter(|| fs::write(format!("/proc/sys/{name}"), value))?
            .with_context(|| format!("cannot set {name}"))
    }

    /// Joins this namespace and `other` by a veth pair without checksum offload, both ends up.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn join(&self, here: &End, other: &Self, there: &End) -> Result<()> {
        self.join_by(1, here, other, there)
    }

    /// As [`join`](Self::join), with `queues` queues each way: what one CPU sends, the same CPU receives.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn join_by(&self, queues: usize, here: &End, other: &Self, there: &End) -> Result<()> {
        let queues = format!("numtxqueues {queues} numrxqueues {queues}");
        self.ip(&format!(
            "link add {} address {} {queues} type veth peer name {} address {} {queues} netns /proc/{}/fd/{}",
            here.name,
            spelled(here.mac),
            there.name,
            spelled(there.mac),
            std::process::id(),
            other.fd.as_raw_fd(),
        ))?;
        for (namespace, end) in [(self, here), (other, there)] {
            process::run(namespace.command("ethtool").args(["-K", end.name, "tx", "off"]))?;
            if let Some((address, len)) = end.address {
                namespace.ip(&format!("address add {address}/{len} dev {}", end.name))?;
            }
        }
        // Both ends first get their settings, then both come up: neither sees the other half-made.
        self.ip(&format!("link set {} up", here.name))?;
        other.ip(&format!("link set {} up", there.name))?;
        // The kernel puts the first end to work only some time after it has seen the second: until then what is sent
        // there is dropped in silence.
        self.wait_until_up(here.name)?;
        other.wait_until_up(there.name)
    }

    /// Moves an interface into another namespace.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn give(&self, interface: &str, other: &Self) -> Result<()> {
        let (pid, fd) = (std::process::id(), other.fd.as_raw_fd());
        self.ip(&format!("link set {interface} netns /proc/{pid}/fd/{fd}")).map(drop)
    }

    fn wait_until_up(&self, interface: &str) -> Result<()> {
        wait::until(&format!("{interface} to come up"), wait::PROMPT, || {
            Ok(self.ip(&format!("link show {interface}"))?.contains(" state UP ").then_some(()))
        })
    }
}

impl Namespace {
    /// Kills every program in the namespace, those included that their parents have left behind.
    ///
    /// # Errors
    /// When one of them does not go, or the namespace was not made here.
    pub fn evacuate(&self) -> Result<()> {
        ensure!(self.origin == Origin::Made, "the programs of this namespace are not ours to kill");
        let ours = File::from(self.fd.try_clone()?).metadata()?.ino();
        wait::until("the programs of a namespace to go", wait::PROMPT, || {
            let left = members(ours)?;
            for pid in &left {
                // It may just have gone by itself.
                let _ = kill(*pid, Signal::SIGKILL);
            }
            Ok(left.is_empty().then_some(()))
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if self.origin == Origin::Found {
            return;
        }
        if let Err(error) = self.evacuate() {
            eprintln!("{error:#}");
        }
    }
}

/// The processes whose network namespace has this inode; never this one, whose threads come and go.
fn members(namespace: u64) -> Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let there = fs::metadata(entry.path().join("ns/net")).is_ok_and(|file| file.ino() == namespace);
        if there && pid != std::process::id().cast_signed() {
            found.push(Pid::from_raw(pid));
        }
    }
    Ok(found)
}

/// One end of a veth pair.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// Interface name.
    pub name: &'static str,
    /// Hardware address.
    pub mac: Mac,
    /// Address and length of its prefix, if it is to have one.
    pub address: Option<(Ipv4Addr, u8)>,
}

/// Takes the thread back to the namespace it came from.
struct Return(File);

impl Drop for Return {
    fn drop(&mut self) {
        if let Err(error) = setns(&self.0, CloneFlags::CLONE_NEWNET) {
            // Going on would do to the wrong namespace what the test means for its own.
            eprintln!("cannot return from a network namespace: {error}");
            std::process::abort();
        }
    }
}

fn join_namespace(fd: RawFd) -> std::io::Result<()> {
    // SAFETY: setns takes two integers and touches no memory of ours.
    let status = unsafe { libc::setns(fd, libc::CLONE_NEWNET) };
    if status == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// A hardware address with colons between its octets.
#[must_use]
pub fn spelled(mac: Mac) -> String {
    mac.map(|octet| format!("{octet:02x}")).join(":")
}
