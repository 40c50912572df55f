//! Receive offloads that an XDP program can't live with, turned off.

use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

/// `ETHTOOL_GFLAGS` and `ETHTOOL_SFLAGS` of linux/ethtool.h.
const GET_FLAGS: u32 = 0x25;
const SET_FLAGS: u32 = 0x26;
/// The driver takes VLAN tags off before the program sees the frame: every frame would look untagged.
const RX_VLAN: u32 = 1 << 8;
/// The driver merges frames.
const LRO: u32 = 1 << 15;

#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// Turns off VLAN tag stripping and large receive offload of an interface. Gives whether anything was changed.
///
/// # Errors
/// When the driver doesn't let it.
pub fn see_frames_as_they_came(interface: &str) -> io::Result<bool> {
    // SAFETY: no memory is passed; the descriptor is new and belongs to nobody else.
    let socket = unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd)
    };
    let flags = match ethtool(&socket, interface, GET_FLAGS, 0) {
        // A driver without such offloads has nothing to turn off.
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(false),
        flags => flags?,
    };
    if flags & (RX_VLAN | LRO) == 0 {
        return Ok(false);
    }
    ethtool(&socket, interface, SET_FLAGS, flags & !(RX_VLAN | LRO))?;
    Ok(true)
}

fn ethtool(socket: &OwnedFd, interface: &str, command: u32, data: u32) -> io::Result<u32> {
    let mut value = Value { command, data };
    // SAFETY: all zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { zeroed() };
    let name = interface.as_bytes();
    if name.len() >= request.ifr_name.len() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: the request names the interface and points at the value; both outlive the call.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(value.data) }
}
