//! An XDP program that passes everything, for the far end of a veth pair.
//!
//! A frame that a driver sends back by `XDP_TX` over veth arrives only if the peer runs an XDP program too. Two
//! instructions are enough, and written here the harness needs no object file of the server it judges.

use anyhow::{Context, Result};
use nix::net::if_::if_nametoindex;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::namespace::Namespace;

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_OBJ_PIN: libc::c_long = 6;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_LINK_UPDATE: libc::c_long = 29;
const BPF_LINK_DETACH: libc::c_long = 34;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

/// `r0 = XDP_PASS; exit`, as the kernel's `struct bpf_insn` has it in memory.
const PASS: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 2, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];

/// The attachment: gone when dropped.
#[derive(Debug)]
pub struct Pass {
    link: OwnedFd,
}

impl Pass {
    /// Attaches the program to an interface of `namespace`, in the driver.
    ///
    /// # Errors
    /// When the kernel refuses to load or to attach it.
    pub fn attach(namespace: &Namespace, interface: &str) -> Result<Self> {
        let program = load().context("cannot load the passing XDP program")?;
        Self::attach_other(namespace, interface, &program)
    }

    /// Attaches another XDP program in the same way.
    ///
    /// # Errors
    /// When the kernel refuses to attach it.
    pub fn attach_other(namespace: &Namespace, interface: &str, program: impl AsFd) -> Result<Self> {
        let program = program.as_fd();
        let link = namespace.enter(|| link(program, if_nametoindex(interface)?))?;
        Ok(Self { link: link.with_context(|| format!("cannot attach an XDP program to {interface}"))? })
    }

    /// Puts another XDP program in its place, between two frames.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn replace(&self, program: impl AsFd) -> Result<()> {
        let update = LinkUpdate {
            link_fd: self.link.as_raw_fd().cast_unsigned(),
            new_prog_fd: program.as_fd().as_raw_fd().cast_unsigned(),
        };
        call(BPF_LINK_UPDATE, &update).context("cannot replace an XDP program").map(drop)
    }
}

impl Pass {
    /// Takes the program off: from then on the far end is one that runs none.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn detach(&self) -> Result<()> {
        let detach = LinkDetach { link_fd: self.link.as_raw_fd().cast_unsigned() };
        call(BPF_LINK_DETACH, &detach).context("cannot take an XDP program off").map(drop)
    }
}

/// Pins the program at `path`, for `ip link set … xdpdrv pinned`: what is attached so stays when its process is gone.
///
/// # Errors
/// When the kernel refuses.
pub fn pin(path: &Path) -> Result<()> {
    let program = load().context("cannot load the passing XDP program")?;
    let name = CString::new(path.as_os_str().as_bytes())?;
    let pin =
        ObjPin { pathname: name.as_ptr() as u64, bpf_fd: program.as_raw_fd().cast_unsigned(), flags: 0 };
    call(BPF_OBJ_PIN, &pin).with_context(|| format!("cannot pin a program at {}", path.display())).map(drop)
}

#[repr(C)]
struct ObjPin {
    pathname: u64,
    bpf_fd: u32,
    flags: u32,
}

#[repr(C)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    unused: [u64; 5],
    expected_attach_type: u64,
}

#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

#[repr(C)]
struct LinkUpdate {
    link_fd: u32,
    new_prog_fd: u32,
}

#[repr(C)]
struct LinkDetach {
    link_fd: u32,
}

fn load() -> io::Result<OwnedFd> {
    bpf(
        BPF_PROG_LOAD,
        &ProgLoad {
            prog_type: BPF_PROG_TYPE_XDP,
            insn_cnt: 2,
            insns: PASS.as_ptr() as u64,
            license: c"GPL".as_ptr() as u64,
            unused: [0; 5],
            // Programs can only replace each other if they say alike what they are for.
            expected_attach_type: u64::from(BPF_XDP) << 32,
        },
    )
}

fn link(program: BorrowedFd<'_>, ifindex: u32) -> io::Result<OwnedFd> {
    bpf(
        BPF_LINK_CREATE,
        &LinkCreate {
            prog_fd: program.as_raw_fd().cast_unsigned(),
            target_ifindex: ifindex,
            attach_type: BPF_XDP,
            flags: XDP_FLAGS_DRV_MODE,
        },
    )
}

/// A command that makes something.
fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: load and link return a new descriptor that nobody else owns.
    call(command, attributes).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

fn call<T>(command: libc::c_long, attributes: &T) -> io::Result<RawFd> {
    // SAFETY: all callers pass the leading part of the kernel's `union bpf_attr` for the command, by reference and
    // with its size; the kernel takes the rest for zero. What pointers it holds are to strings and code
    // that outlive the call.
    let status = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    match i32::try_from(status) {
        Ok(status) if status >= 0 => Ok(status),
        _ => Err(io::Error::last_os_error()),
    }
}
