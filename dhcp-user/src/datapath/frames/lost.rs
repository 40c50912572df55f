//! Frames that found no room in a socket: the kernel counts them, the socket's reader sees nothing.
#![expect(clippy::cast_possible_truncation, reason = "sizes and constants of C's socket interface")]

use std::io;
use std::mem::{size_of, size_of_val};
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// `SO_MEMINFO` gives so many numbers (`SK_MEMINFO_VARS`), this one being what was dropped (`SK_MEMINFO_DROPS`).
const NUMBERS: usize = 9;
const DROPS: usize = 8;

/// How many octets a socket keeps until they are read, if the kernel lets it.
const ROOM: libc::c_int = 1 << 20;

/// How many frames or datagrams the socket has lost since it was opened, wrapping around.
pub(super) fn count(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut numbers = [0u32; NUMBERS];
    let mut len = size_of_val(&numbers) as libc::socklen_t;
    // SAFETY: the buffer and its length are locals that outlive the call, and the length is the buffer's.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            numbers.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(numbers[DROPS])
}

/// Has the socket lose less: it gets more room than is usual. Without the right to have so much it gets what it may have.
pub(super) fn make_room(socket: BorrowedFd<'_>) {
    for option in [libc::SO_RCVBUFFORCE, libc::SO_RCVBUF] {
        // SAFETY: the value is a constant, and its length is given.
        let done = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                option,
                std::ptr::from_ref(&ROOM).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        if done == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn what_finds_no_room_is_counted() {
        let full = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let to = full.local_addr().expect("its address");
        let sender = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        assert_eq!(count(full.as_fd()).expect("a count"), 0);
        // No receive buffer is as large as this.
        for _ in 0..100_000 {
            sender.send_to(&[0; 1000], to).expect("sent");
            if count(full.as_fd()).expect("a count") > 0 {
                return;
            }
        }
        panic!("100 MB found room");
    }
}
