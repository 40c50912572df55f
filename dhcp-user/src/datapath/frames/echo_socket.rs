//! A raw ICMP socket that sends echo requests and hears who answers them (RFC 792).

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use dhcp_ebpf::checksum::Sum;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, recv, sendto, socket,
};

use super::lost;

const ECHO_REPLY: u8 = 0;
const ECHO: u8 = 8;
/// Type, code, checksum, identifier, sequence number, and our token.
const LEN: usize = 16;

/// The socket. Its requests carry a token that nobody else can guess, so that nobody else can answer them.
#[derive(Debug)]
pub struct EchoSocket {
    fd: OwnedFd,
    token: [u8; 8],
}

impl EchoSocket {
    /// Opens the socket.
    ///
    /// # Errors
    /// When the process may not open raw sockets (`CAP_NET_RAW`).
    pub fn open() -> Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Inet, SockType::Raw, flags, SockProtocol::Icmp)
            .context("opening a raw ICMP socket (CAP_NET_RAW is needed)")?;
        lost::make_room(fd.as_fd());
        Ok(Self { fd, token: RandomState::new().hash_one(0).to_ne_bytes() })
    }

    /// Sends an echo request.
    ///
    /// # Errors
    /// When there is no way to the address.
    pub fn ask(&self, address: Ipv4Addr) -> io::Result<()> {
        let to = SockaddrIn::from(std::net::SocketAddrV4::new(address, 0));
        sendto(self.fd.as_raw_fd(), &request(self.token), &to, MsgFlags::empty())?;
        Ok(())
    }

    /// How many datagrams found no room in the socket since it was opened, wrapping around.
    ///
    /// # Errors
    /// When the kernel doesn't report it.
    pub fn lost(&self) -> io::Result<u32> {
        lost::count(self.fd.as_fd())
    }

    /// The next address that answered; `None` if there is none yet.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn answered(&self) -> io::Result<Option<Ipv4Addr>> {
        let mut datagram = [0; 128];
        loop {
            match recv(self.fd.as_raw_fd(), &mut datagram, MsgFlags::empty()) {
                Ok(len) => {
                    if let Some(address) = datagram.get(..len).and_then(|said| answerer(said, self.token)) {
                        return Ok(Some(address));
                    }
                }
                Err(nix::Error::EAGAIN) => return Ok(None),
                Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// An echo request; its identifier is a part of the token.
fn request(token: [u8; 8]) -> [u8; LEN] {
    let mut message = [0; LEN];
    message[0] = ECHO;
    message[4..6].copy_from_slice(&token[..2]);
    message[8..].copy_from_slice(&token);
    let pairs = message.as_chunks().0.iter();
    let sum = pairs.fold(Sum::default(), |sum, pair| sum.raw16(u16::from_ne_bytes(*pair)));
    message[2..4].copy_from_slice(&sum.checksum().to_ne_bytes());
    message
}

/// The sender of this IPv4 datagram, if it answers a request with that token.
fn answerer(datagram: &[u8], token: [u8; 8]) -> Option<Ipv4Addr> {
    let header = usize::from(datagram.first()? & 15) * 4;
    let source: [u8; 4] = *datagram.get(12..)?.first_chunk()?;
    let message: &[u8; LEN] = datagram.get(header..)?.first_chunk()?;
    let ours = message[0] == ECHO_REPLY && message[4..6] == token[..2] && message[8..] == token;
    ours.then(|| source.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: [u8; 8] = *b"whoisit?";

    fn datagram(message: &[u8]) -> Vec<u8> {
        let mut datagram = vec![0; 24];
        datagram[0] = 0x46;
        datagram[12..16].copy_from_slice(&[10, 9, 0, 7]);
        datagram.extend_from_slice(message);
        datagram
    }

    #[test]
    fn a_request_sums_up_to_all_ones() {
        let message = request(TOKEN);
        let sum = message
            .chunks_exact(2)
            .fold(Sum::default(), |sum, pair| sum.raw16(u16::from_ne_bytes([pair[0], pair[1]])));
        assert_eq!((message[0], sum.folded()), (ECHO, 0xffff));
    }

    #[test]
    fn only_the_answer_to_our_request_counts() {
        let mut answer = request(TOKEN);
        assert_eq!(answerer(&datagram(&answer), TOKEN), None, "a request is no answer");
        answer[0] = ECHO_REPLY;
        assert_eq!(answerer(&datagram(&answer), TOKEN), Some(Ipv4Addr::new(10, 9, 0, 7)));
        assert_eq!(answerer(&datagram(&answer), *b"whoisit!"), None);
        assert_eq!(answerer(&datagram(&answer[..LEN - 1]), TOKEN), None);
        assert_eq!(answerer(&[], TOKEN), None);
    }
}
