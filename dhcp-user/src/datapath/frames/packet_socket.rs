//! Packet sockets: requests come in by them where no XDP program is attached. Replies leave by those of `sender.rs`.
#![expect(clippy::cast_possible_truncation, reason = "sizes and constants of C's socket interface")]

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use bytes::Bytes;

use super::lost;

/// Ethernet types as packet sockets want them.
const ETH_P_ALL: u16 = 0x0003;

/// Which frames a [`Receiver`] takes; the rest never wakes the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// UDP to port 67, and every frame that still has a tag.
    Dhcp,
    /// ARP, with up to two tags.
    Arp,
}

/// A socket that receives frames of one kind on one interface, tags and all. It doesn't see what this host sends.
#[derive(Debug)]
pub struct Receiver {
    socket: OwnedFd,
    ifindex: u32,
}

/// A frame that came in by a packet socket.
#[derive(Debug)]
pub struct Received {
    /// The frame, with the tag that the kernel took off put back.
    pub frame: Bytes,
    /// The interface.
    pub ifindex: u32,
}

impl Receiver {
    /// Opens a socket on the interface with this index.
    ///
    /// # Errors
    /// When the process may not open packet sockets, or the interface is gone.
    pub fn open(ifindex: u32, wanted: Wanted) -> Result<Self> {
        let socket = socket(0)?;
        set_option(&socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &only(wanted))
            .context("filtering a packet socket")?;
        set_option(&socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1i32)
            .context("leaving out what is sent")?;
        set_option(&socket, libc::SOL_PACKET, libc::PACKET_AUXDATA, &1i32).context("asking for VLAN tags")?;
        if wanted == Wanted::Arp {
            lost::make_room(socket.as_fd());
        }
        let mut address = link_address(ifindex);
        address.sll_protocol = ETH_P_ALL.to_be();
        // SAFETY: the address is a sockaddr_ll and its length is given.
        let bound = unsafe {
            libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size_of::<libc::sockaddr_ll>() as u32)
        };
        if bound != 0 {
            return Err(io::Error::last_os_error())
                .with_context(|| format!("listening on interface {ifindex}"));
        }
        Ok(Self { socket, ifindex })
    }

    /// How many frames found no room in the socket since it was opened, wrapping around.
    ///
    /// # Errors
    /// When the kernel doesn't report it.
    pub fn lost(&self) -> io::Result<u32> {
        lost::count(self.as_fd())
    }

    /// The next frame; `None` if there is none yet.
    ///
    /// # Errors
    /// When the socket fails, for instance because the interface is gone.
    pub fn receive(&self) -> io::Result<Option<Received>> {
        let mut frame = vec![0u8; 2048];
        let mut control = [0u64; 16];
        let mut piece = libc::iovec { iov_base: frame.as_mut_ptr().cast(), iov_len: frame.len() };
        // SAFETY: all zero is a valid msghdr.
        let mut message: libc::msghdr = unsafe { zeroed() };
        message.msg_iov = &raw mut piece;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        // SAFETY: every pointer of `message` is to a local that outlives the call, with its true length.
        let len = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
        let Ok(len) = usize::try_from(len) else {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
        };
        frame.truncate(len);
        if let Some((protocol, tag)) = taken_off(&message)
            && frame.len() >= 12
        {
            frame.splice(12..12, protocol.to_be_bytes().into_iter().chain(tag.to_be_bytes()));
        }
        Ok(Some(Received { frame: frame.into(), ifindex: self.ifindex }))
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Receiver {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.socket.as_raw_fd()
    }
}

/// The VLAN tag that the kernel took off a frame: protocol and control field.
fn taken_off(message: &libc::msghdr) -> Option<(u16, u16)> {
    // SAFETY: `message` was filled in by recvmsg and its control buffer is still there.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: the CMSG functions give headers that lie whole inside the control buffer.
        let (level, kind) = unsafe { ((*header).cmsg_level, (*header).cmsg_type) };
        if level == libc::SOL_PACKET && kind == libc::PACKET_AUXDATA {
            // SAFETY: the kernel puts a tpacket_auxdata behind such a header; it may be unaligned.
            let data = unsafe { libc::CMSG_DATA(header).cast::<libc::tpacket_auxdata>().read_unaligned() };
            let tagged = data.tp_status & libc::TP_STATUS_VLAN_VALID != 0;
            return tagged.then_some((data.tp_vlan_tpid, data.tp_vlan_tci));
        }
        // SAFETY: as above.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    None
}

pub(super) fn socket(protocol: u16) -> Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::socket(libc::AF_PACKET, kind, i32::from(protocol.to_be())) };
    if fd < 0 {
        return Err(io::Error::last_os_error()).context("opening a packet socket (CAP_NET_RAW is needed)");
    }
    // SAFETY: a descriptor that was just opened and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(super) fn link_address(ifindex: u32) -> libc::sockaddr_ll {
    // SAFETY: all zero is a valid sockaddr_ll.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = i32::try_from(ifindex).unwrap_or_default();
    address.sll_halen = 6;
    address
}

fn set_option<T>(socket: &OwnedFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    // SAFETY: the value outlives the call and its length is given.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as u32,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The classic BPF filter that takes what is wanted.
fn only(wanted: Wanted) -> libc::sock_fprog {
    const fn op(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
        libc::sock_filter { code, jt, jf, k }
    }
    const LOAD_HALF: u16 = 0x28;
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_HALF_INDEXED: u16 = 0x48;
    const LOAD_HEADER_LENGTH: u16 = 0xb1;
    const JUMP_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    static DHCP: [libc::sock_filter; 11] = [
        op(LOAD_HALF, 0, 0, 12),
        op(JUMP_EQUAL, 7, 0, 0x8100),
        op(JUMP_EQUAL, 6, 0, 0x88a8),
        op(JUMP_EQUAL, 0, 6, 0x0800),
        op(LOAD_BYTE, 0, 0, 23),
        op(JUMP_EQUAL, 0, 4, 17),
        op(LOAD_HEADER_LENGTH, 0, 0, 14),
        op(LOAD_HALF_INDEXED, 0, 0, 16),
        op(JUMP_EQUAL, 0, 1, 67),
        op(RETURN, 0, 0, 0xffff),
        op(RETURN, 0, 0, 0),
    ];
    static ARP: [libc::sock_filter; 11] = [
        op(LOAD_HALF, 0, 0, 12),
        op(JUMP_EQUAL, 7, 0, 0x0806),
        op(JUMP_EQUAL, 1, 0, 0x8100),
        op(JUMP_EQUAL, 0, 6, 0x88a8),
        op(LOAD_HALF, 0, 0, 16),
        op(JUMP_EQUAL, 3, 0, 0x0806),
        op(JUMP_EQUAL, 0, 3, 0x8100),
        op(LOAD_HALF, 0, 0, 20),
        op(JUMP_EQUAL, 0, 1, 0x0806),
        op(RETURN, 0, 0, 0xffff),
        op(RETURN, 0, 0, 0),
    ];
    let filter = match wanted {
        Wanted::Dhcp => &DHCP,
        Wanted::Arp => &ARP,
    };
    libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() }
}
