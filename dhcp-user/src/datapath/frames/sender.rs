//! Sends frames by packet sockets: each link has its own, so a link that takes nothing holds up no other.
//!
//! Frames in a link's queue count against the buffer of their socket. With one socket for all, a link that stands
//! still would fill it, and no frame would leave anywhere.
#![expect(clippy::cast_possible_truncation, reason = "sizes and constants of C's socket interface")]

use std::collections::HashMap;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use super::departure::Outgoing;
use super::packet_socket::{link_address, socket};

/// How many frames leave by one system call.
const BATCH: usize = 64;

/// Sends whole frames on any interface, and never waits.
#[derive(Debug)]
pub struct Sender {
    /// By the index of the interface.
    links: Mutex<HashMap<u32, Arc<OwnedFd>>>,
    /// For links that can have none of their own, because there are no descriptors left.
    spare: Arc<OwnedFd>,
}

impl Sender {
    /// Opens a socket; those of links are opened when there is something to send. They receive nothing.
    ///
    /// # Errors
    /// When the process may not open packet sockets (`CAP_NET_RAW`).
    pub fn open() -> anyhow::Result<Self> {
        Ok(Self { links: Mutex::default(), spare: Arc::new(socket(0)?) })
    }

    /// Sends frames, each on the interface with that index, those of one interface in order. Gives those that the kernel
    /// refused.
    pub fn send(&self, frames: &[Outgoing]) -> Vec<Outgoing> {
        let refused = self.send_all(frames).into_iter();
        refused.filter_map(|(at, _)| frames.get(at).cloned()).collect()
    }

    /// Sends frames as [`send`](Self::send) does. Gives the result for each.
    pub fn send_each(&self, frames: &[Outgoing]) -> Vec<io::Result<()>> {
        let mut sent: Vec<io::Result<()>> = frames.iter().map(|_| Ok(())).collect();
        for (at, code) in self.send_all(frames) {
            if let Some(sent) = sent.get_mut(at) {
                *sent = Err(io::Error::from_raw_os_error(code));
            }
        }
        sent
    }

    /// Gives the places of frames that the kernel refused, each with its error's number.
    fn send_all(&self, frames: &[Outgoing]) -> Vec<(usize, i32)> {
        let mut order: Vec<usize> = (0..frames.len()).collect();
        let link = |at: &usize| frames.get(*at).map_or(0, |(ifindex, _)| *ifindex);
        // Stable: the frames of a link keep their order.
        order.sort_by_key(link);
        let of_one = |places: &[usize]| {
            let on = places.first().map_or(0, link);
            self.send_on(on, frames, places)
        };
        order.chunk_by(|one, next| link(one) == link(next)).flat_map(of_one).collect()
    }

    /// The socket of a link.
    fn of(&self, ifindex: u32) -> Arc<OwnedFd> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = links.get(&ifindex) {
            return Arc::clone(own);
        }
        match socket(0) {
            Ok(own) => Arc::clone(links.entry(ifindex).or_insert(Arc::new(own))),
            Err(error) => {
                tracing::debug!(%error, ifindex, "this link shares the socket by which others send");
                Arc::clone(&self.spare)
            }
        }
    }

    /// Closes the sockets of all links but these.
    pub fn keep_only(&self, links: &[u32]) {
        let mut open = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|ifindex, _| links.contains(ifindex));
    }

    /// Closes the socket of a link that is no more: another one comes with another number.
    fn forget_if_gone(&self, ifindex: u32, error: &io::Error) {
        if matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO)) {
            self.links.lock().unwrap_or_else(PoisonError::into_inner).remove(&ifindex);
        }
    }

    /// Sends the frames of one link at `places`; gives the places of those that were refused.
    fn send_on(&self, ifindex: u32, frames: &[Outgoing], places: &[usize]) -> Vec<(usize, i32)> {
        let socket = self.of(ifindex);
        let (mut left, mut refused) = (places, Vec::new());
        while !left.is_empty() {
            let (now, later) = left.split_at(left.len().min(BATCH));
            if let Err((sent, error)) = send_batch(&socket, ifindex, frames, now, &mut refused) {
                // More would only be refused, too.
                let unsent = left.get(sent..).unwrap_or_default();
                tracing::debug!(%error, ifindex, frames = unsent.len(), "frames could not be sent");
                self.forget_if_gone(ifindex, &error);
                let code = error.raw_os_error().unwrap_or(libc::EIO);
                refused.extend(unsent.iter().map(|place| (*place, code)));
                return refused;
            }
            left = later;
        }
        refused
    }
}

/// Sends a batch: the frames at `places`. Those that are refused by themselves are added to `refused`.
///
/// # Errors
/// When the link takes no more: how many frames came before that, and why.
fn send_batch(
    socket: &OwnedFd,
    ifindex: u32,
    frames: &[Outgoing],
    places: &[usize],
    refused: &mut Vec<(usize, i32)>,
) -> Result<(), (usize, io::Error)> {
    let mut address = link_address(ifindex);
    let mut pieces: Vec<libc::iovec> = places
        .iter()
        .filter_map(|place| frames.get(*place))
        .map(|(_, frame)| libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() })
        .collect();
    let mut messages: Vec<libc::mmsghdr> = pieces
        .iter_mut()
        .map(|piece| {
            // SAFETY: all zero is a valid mmsghdr.
            let mut message: libc::mmsghdr = unsafe { zeroed() };
            message.msg_hdr.msg_name = (&raw mut address).cast();
            message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_ll>() as u32;
            message.msg_hdr.msg_iov = piece;
            message.msg_hdr.msg_iovlen = 1;
            message
        })
        .collect();
    let mut at = 0;
    while let Some(rest) = messages.get_mut(at..).filter(|rest| !rest.is_empty()) {
        // SAFETY: `rest` points at headers whose name and pieces (addresses, frames) outlive the call; sending
        // doesn't write through the pieces, nor to the name.
        let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), rest.len() as u32, 0) };
        match usize::try_from(sent) {
            Ok(sent) if sent > 0 => at += sent,
            _ => {
                let error = io::Error::last_os_error();
                match error.raw_os_error() {
                    Some(libc::EINTR) => {}
                    // The buffer is full of what the link doesn't take, or there is no link.
                    Some(libc::EAGAIN | libc::ENETDOWN | libc::ENODEV | libc::ENXIO) => {
                        return Err((at, error));
                    }
                    code => {
                        tracing::debug!(%error, ifindex, "a frame could not be sent");
                        refused.extend(places.get(at).map(|place| (*place, code.unwrap_or(libc::EIO))));
                        at += 1;
                    }
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Like `Sender::open`, without the right to open packet sockets.
    fn sender(links: std::ops::Range<u32>) -> io::Result<Sender> {
        let any = || std::fs::File::open("/dev/null").map(|file| Arc::new(OwnedFd::from(file)));
        let links = links.map(|ifindex| Ok((ifindex, any()?))).collect::<io::Result<_>>()?;
        Ok(Sender { links: Mutex::new(links), spare: any()? })
    }

    #[test]
    fn links_that_are_left_keep_no_descriptor() {
        let sender = sender(1..5).expect("descriptors");
        sender.keep_only(&[2, 4, 9]);
        let mut kept: Vec<u32> = sender.links.lock().expect("nobody panics").keys().copied().collect();
        kept.sort_unstable();
        assert_eq!(kept, [2, 4]);
    }
}
