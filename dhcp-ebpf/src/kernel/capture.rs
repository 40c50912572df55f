//! Copies of what comes and of what the program answers, for whoever captures.

use super::packet::Packet;
use aya_ebpf::bindings::BPF_RB_NO_WAKEUP;
use aya_ebpf::macros::map;
use aya_ebpf::maps::ring_buf::RingBufEntry;
use aya_ebpf::maps::{PerCpuArray, RingBuf};
use dhcp_ebpf::abi::RECORD_LARGE;
use dhcp_ebpf::abi::capture::{CAME, Header, LEFT};
use dhcp_ebpf::frame::{Frame as _, bounded, opaque};

// The loader makes it larger where frames are captured.
#[map]
static CAPTURED: RingBuf = RingBuf::with_byte_size(4096, 0);
#[map]
static UNCAPTURED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

const WORDS: usize = RECORD_LARGE / 8;

/// A header and a frame.
#[repr(C)]
struct Record {
    header: Header,
    frame: [u64; WORDS],
}

/// A copy of a frame that came, made before it is known what becomes of the frame; or none.
pub struct Came {
    copy: Option<RingBufEntry<Record>>,
    /// 1 if there is one. To the verifier of Linux 6.1 memory of a ring may still be null where it was found not to be: asked a second
    /// time, it follows a way on which a copy is never handed over. A number that was written on each way it knows.
    is_there: usize,
}

/// Copies a frame that comes, unless no server's port is where one would be.
#[inline(always)]
pub fn came(packet: &mut Packet, ifindex: u32, at: u64) -> Came {
    // Where UDP has its port, after no tag, one and two.
    let is_to_server = is_to_server(packet, 36) || is_to_server(packet, 40) || is_to_server(packet, 44);
    if is_to_server && let Some(copy) = copied(packet, ifindex, at, CAME) {
        return Came { copy: Some(copy), is_there: opaque(1) };
    }
    Came { copy: None, is_there: opaque(0) }
}

/// Copies the answer that a frame has become.
#[inline(always)]
pub fn left(packet: &mut Packet, ifindex: u32, at: u64, counter: u32) {
    if let Some(copy) = copied(packet, ifindex, at, LEFT) {
        keep(copy, counter);
    }
}

impl Came {
    /// Hands the copy over, with the counter of what became of the frame.
    #[inline(always)]
    pub fn keep(self, counter: u32) {
        if let Some(copy) = self.copy() {
            keep(copy, counter);
        }
    }

    /// Takes the copy back: somebody else tells of the frame.
    #[inline(always)]
    pub fn forget(self) {
        if let Some(copy) = self.copy() {
            copy.discard(u64::from(BPF_RB_NO_WAKEUP));
        }
    }

    #[inline(always)]
    fn copy(self) -> Option<RingBufEntry<Record>> {
        if self.is_there != 1 {
            return None;
        }
        // SAFETY: it is 1 only where there is one, in `came`.
        Some(unsafe { self.copy.unwrap_unchecked() })
    }
}

#[inline(always)]
fn keep(mut copy: RingBufEntry<Record>, counter: u32) {
    // SAFETY: reserved memory that the program alone has; its header was written.
    unsafe { (*copy.as_mut_ptr()).header.counter = counter as u8 };
    copy.submit(0);
}

#[inline(always)]
fn is_to_server(packet: &mut Packet, at: usize) -> bool {
    packet.window::<2>(at).is_some_and(|port| port.be16::<0>() == 67)
}

#[inline(always)]
fn copied(packet: &mut Packet, ifindex: u32, at: u64, direction: u8) -> Option<RingBufEntry<Record>> {
    let len = packet.len();
    let Some(mut entry) = CAPTURED.reserve::<Record>(0) else {
        if let Some(missed) = UNCAPTURED.get_ptr_mut(0) {
            // SAFETY: the element is this CPU's alone and the program is not interrupted by itself.
            unsafe { *missed += 1 };
        }
        return None;
    };
    let record = entry.as_mut_ptr();
    // SAFETY: `record` points at reserved memory of the record's size and alignment; only the program has it until it is
    // submitted. Words behind the frame's end keep old content of the ring, which the daemon doesn't read.
    unsafe {
        (&raw mut (*record).header).write(Header { at, ifindex, len: len as u16, counter: 0, direction });
        let to = (&raw mut (*record).frame).cast::<u64>();
        let mut word = 0;
        while word < WORDS {
            let Some(from) = packet.window::<8>(8 * word) else { break };
            to.add(word).write(from.raw64::<0>());
            word += 1;
        }
        let last = bounded(len.wrapping_sub(8), 8 * WORDS - 8);
        if let Some(from) = packet.window::<8>(last) {
            to.byte_add(last).write_volatile(from.raw64::<0>());
        }
    }
    Some(entry)
}
