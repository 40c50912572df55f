//! A packet socket: whole frames out, whole frames in, VLAN tags included.

use anyhow::{Context, Result, bail};
use nix::net::if_::if_nametoindex;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::{Duration, Instant};

use crate::namespace::Namespace;

const LONGEST_FRAME: usize = 65_600;

/// Room for what arrives while a test is busy elsewhere.
const RECEIVE_BUFFER: libc::c_int = 4 << 20;

// The C interface has one size of integer for a constant and another for the field it belongs in.
const FAMILY: u16 = 17;
const EVERY_PROTOCOL: u16 = 3;
const INT_LEN: libc::socklen_t = 4;
const ADDRESS_LEN: libc::socklen_t = 20;
const STATISTICS_LEN: libc::socklen_t = 8;
const MEMBERSHIP_LEN: libc::socklen_t = 16;
const PROMISCUOUS: u16 = 1;
const _: () = assert!(
    FAMILY as libc::c_int == libc::AF_PACKET
        && EVERY_PROTOCOL as libc::c_int == libc::ETH_P_ALL
        && INT_LEN as usize == size_of::<libc::c_int>()
        && ADDRESS_LEN as usize == size_of::<libc::sockaddr_ll>()
        && STATISTICS_LEN as usize == size_of::<libc::tpacket_stats>()
        && MEMBERSHIP_LEN as usize == size_of::<libc::packet_mreq>()
        && PROMISCUOUS as libc::c_int == libc::PACKET_MR_PROMISC
);

/// What a packet socket gets to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sees {
    /// What arrives at the interface.
    Arrivals,
    /// What arrives and what this host sends, other packet sockets' frames included.
    Everything,
}

/// A packet socket bound to one interface.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
}

impl PacketSocket {
    /// Opens a socket on an interface of `namespace`.
    ///
    /// # Errors
    /// When there is no such interface, or without the right to open one.
    pub fn open(namespace: &Namespace, interface: &str, sees: Sees) -> Result<Self> {
        namespace
            .enter(|| Self::open_here(if_nametoindex(interface)?, sees))?
            .with_context(|| format!("cannot open a packet socket on {interface}"))
    }

    fn open_here(ifindex: u32, sees: Sees) -> io::Result<Self> {
        // SAFETY: three integers in; out comes an error or a new descriptor that nobody else owns.
        let fd = unsafe {
            let fd = libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0);
            done(fd)?;
            OwnedFd::from_raw_fd(fd)
        };
        let socket = Self { fd };
        socket.option(libc::SOL_PACKET, libc::PACKET_AUXDATA, 1)?;
        socket.option(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, (sees == Sees::Arrivals).into())?;
        socket.option(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, RECEIVE_BUFFER)?;
        socket.bind(ifindex)?;
        Ok(socket)
    }

    fn option(&self, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
        // SAFETY: the pointer and the length describe `value`, which outlives the call.
        done(unsafe {
            libc::setsockopt(self.fd.as_raw_fd(), level, name, (&raw const value).cast(), INT_LEN)
        })
    }

    fn bind(&self, ifindex: u32) -> io::Result<()> {
        // SAFETY: `sockaddr_ll` is plain integers, for which all zeros is a value.
        let mut address: libc::sockaddr_ll = unsafe { zeroed() };
        address.sll_family = FAMILY;
        address.sll_protocol = EVERY_PROTOCOL.to_be();
        address.sll_ifindex = ifindex.cast_signed();
        // SAFETY: the pointer and the length describe `address`, which outlives the call.
        done(unsafe { libc::bind(self.fd.as_raw_fd(), (&raw const address).cast(), ADDRESS_LEN) })
    }

    /// For as long as the socket is open, its interface takes frames to any hardware address.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn overhear(&self, namespace: &Namespace, interface: &str) -> Result<()> {
        let ifindex = namespace.enter(|| if_nametoindex(interface))??;
        let everything = libc::packet_mreq {
            mr_ifindex: ifindex.cast_signed(),
            mr_type: PROMISCUOUS,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        // SAFETY: the pointer and the length describe `everything`, which outlives the call.
        done(unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_ADD_MEMBERSHIP,
                (&raw const everything).cast(),
                MEMBERSHIP_LEN,
            )
        })
        .with_context(|| format!("{interface} does not take frames to other hardware addresses"))
    }

    /// Sends one frame as it is.
    ///
    /// # Errors
    /// When the interface refuses it (shorter than an Ethernet header, longer than its MTU).
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        // SAFETY: the pointer and the length describe `frame`.
        let sent = unsafe { libc::send(self.fd.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        done(sent).with_context(|| format!("cannot send a frame of {} octets", frame.len()))
    }

    /// The next frame that arrives before `deadline`, or `None`.
    ///
    /// # Errors
    /// When the interface went away, or when none is left but some did not find room in the socket: the one that is
    /// waited for may be among them.
    pub fn receive(&self, deadline: Instant) -> Result<Option<Vec<u8>>> {
        let left = deadline.saturating_duration_since(Instant::now());
        if self.readable(left)? {
            return Ok(Some(self.read()?));
        }
        match self.lost()? {
            0 => Ok(None),
            lost => bail!("{lost} frames arrived while the socket was full: read it, or open it later"),
        }
    }

    /// How many frames did not find room since this was last asked.
    fn lost(&self) -> io::Result<u32> {
        let mut statistics = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
        let mut len = STATISTICS_LEN;
        // SAFETY: the pointers are to `statistics` and to its length, and both outlive the call.
        done(unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut statistics).cast(),
                &raw mut len,
            )
        })?;
        Ok(statistics.tp_drops)
    }

    fn readable(&self, within: Duration) -> io::Result<bool> {
        let mut poll = libc::pollfd { fd: self.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let millis = libc::c_int::try_from(within.as_millis()).unwrap_or(libc::c_int::MAX);
        // SAFETY: one `pollfd`, which outlives the call.
        let ready = unsafe { libc::poll(&raw mut poll, 1, millis) };
        done(ready)?;
        Ok(ready > 0)
    }

    /// Reads one frame and puts the tag back that the kernel took out of it.
    fn read(&self) -> io::Result<Vec<u8>> {
        let mut frame = vec![0_u8; LONGEST_FRAME];
        let mut control = [0_u64; 16];
        let mut part = libc::iovec { iov_base: frame.as_mut_ptr().cast(), iov_len: frame.len() };
        // SAFETY: `msghdr` is integers and pointers, for which all zeros is a value.
        let mut message: libc::msghdr = unsafe { zeroed() };
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        // SAFETY: `message` points to `part` and `control`, with their lengths; both outlive the call.
        let got = unsafe { libc::recvmsg(self.fd.as_raw_fd(), &raw mut message, 0) };
        done(got)?;
        frame.truncate(got.unsigned_abs());
        // SAFETY: `message` was filled by recvmsg just now and its control buffer is still there.
        if let Some(tag) = unsafe { stripped_tag(&message) } {
            frame.splice(12..12, tag);
        }
        Ok(frame)
    }
}

/// The outermost tag of a frame, which the kernel hands over beside it.
///
/// # Safety
/// `message` must come from a successful `recvmsg` whose control buffer is still alive.
unsafe fn stripped_tag(message: &libc::msghdr) -> Option<[u8; 4]> {
    // SAFETY: as promised by the caller.
    let mut control = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !control.is_null() {
        // SAFETY: the macros return pointers to whole headers inside the buffer, or null.
        let header = unsafe { &*control };
        if header.cmsg_level == libc::SOL_PACKET && header.cmsg_type == libc::PACKET_AUXDATA {
            // SAFETY: the kernel writes one `tpacket_auxdata` after a header of this type.
            let aux: libc::tpacket_auxdata = unsafe { ptr::read_unaligned(libc::CMSG_DATA(control).cast()) };
            if aux.tp_status & libc::TP_STATUS_VLAN_VALID != 0 {
                let [a, b] = aux.tp_vlan_tpid.to_be_bytes();
                let [c, d] = aux.tp_vlan_tci.to_be_bytes();
                return Some([a, b, c, d]);
            }
        }
        // SAFETY: as above.
        control = unsafe { libc::CMSG_NXTHDR(message, control) };
    }
    None
}

fn done<T: Default + PartialOrd>(status: T) -> io::Result<()> {
    if status < T::default() { Err(io::Error::last_os_error()) } else { Ok(()) }
}
