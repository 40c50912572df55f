//! Which BPF object a descriptor stands for: a name in a bpffs says nothing about that.

use std::cell::UnsafeCell;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use super::pins::bpf;

/// `BPF_OBJ_GET_INFO_BY_FD` of linux/bpf.h.
const OBJECT_INFO: libc::c_long = 15;
/// `BPF_PROG_TYPE_XDP`.
const XDP: u32 = 6;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Map,
    Program,
    Link,
}

/// One object of this kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) kind: Kind,
    /// The kernel's type of maps, programs or links.
    of_type: u32,
    /// No two objects of a kind have the same.
    pub(super) id: u32,
}

impl Identity {
    /// The object of this descriptor.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn of(object: &OwnedFd) -> io::Result<Self> {
        let kind = match fs::read_link(format!("/proc/self/fd/{}", object.as_raw_fd()))?.to_str() {
            Some("anon_inode:bpf-map") => Kind::Map,
            Some("anon_inode:bpf-prog") => Kind::Program,
            _ => Kind::Link,
        };
        // The information on each kind begins with these two.
        let information = UnsafeCell::new([0_u32; 2]);
        #[repr(C)]
        struct Ask {
            object: u32,
            length: UnsafeCell<u32>,
            information: u64,
        }
        let ask = Ask {
            object: object.as_raw_fd().cast_unsigned(),
            length: UnsafeCell::new(u32::try_from(size_of::<[u32; 2]>()).unwrap_or(0)),
            information: information.get() as u64,
        };
        bpf(OBJECT_INFO, &ask)?;
        let [of_type, id] = information.into_inner();
        Ok(Self { kind, of_type, id })
    }

    /// In words, with its number.
    pub(super) fn name(self) -> String {
        let kind = match self.kind {
            Kind::Map => "map",
            Kind::Program if self.is_xdp() => "XDP program",
            Kind::Program => "program that is none for XDP",
            Kind::Link => "link",
        };
        format!("a {kind} (id {})", self.id).replace("a XDP", "an XDP")
    }

    /// Whether it is an XDP program.
    pub(super) const fn is_xdp(self) -> bool {
        matches!(self.kind, Kind::Program) && self.of_type == XDP
    }
}
