//! File descriptors that the runtime watches.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use tokio::io::unix::AsyncFd;

/// Has the runtime watch what `inner` reads from.
///
/// # Errors
/// When the descriptor can't be watched.
pub fn watched<T: AsFd + AsRawFd>(inner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: `inner` owns an open descriptor (it can be borrowed as one) and gives the same one each time: the types
    // this is used with, a BPF ring, a packet socket and a netlink socket, keep theirs until they are dropped.
    Ok(unsafe { AsyncFd::register(inner) }?)
}
