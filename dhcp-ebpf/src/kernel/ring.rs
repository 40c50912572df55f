//! Sends frames up to the daemon, whole, with the time of their arrival and the reason.

use super::maps::{self, BEGUN, FRESH, KernelMaps};
use super::packet::Packet;
use aya_ebpf::bindings::xdp_action;
use aya_ebpf::maps::RingBuf;
use dhcp_ebpf::abi::{RECORD_LARGE, RECORD_SMALL, RecordHeader};
use dhcp_ebpf::frame::{Frame as _, bounded};
use dhcp_ebpf::renewal::{Triaged, triage};
use dhcp_ebpf::verdict::{Dropped, Ring, Verdict};

/// A record: header and frame. Records have two sizes, since a reservation must be of constant size.
#[repr(C)]
struct Record<const WORDS: usize> {
    header: RecordHeader,
    frame: [u64; WORDS],
}

/// Copies the frame into a record of its ring, counts what became of it and says what to do with it.
///
/// `why` is the number of a `Why`; the verifier shall not know which. `nanos` is boot time.
#[inline(never)]
pub fn send(packet: &mut Packet, why: usize, ifindex: u32, nanos: u64) -> u32 {
    let Triaged { message, word } = match triage(packet, &KernelMaps, ifindex, nanos) {
        Ok(triaged) => triaged,
        Err(passed) => {
            maps::count(Verdict::Pass(passed).counter());
            return xdp_action::XDP_PASS;
        }
    };
    let why = message.reason(why);
    let len = packet.len();
    let header =
        RecordHeader { arrival: nanos, ifindex, len: len as u16, why: why as u8, zero: 0, word: word.0 };
    let (buffer, full) = match message.ring() {
        Ring::Begun => (&BEGUN, Dropped::BegunFull),
        Ring::Fresh => (&FRESH, Dropped::FreshFull),
    };
    let sent = if len <= RECORD_SMALL {
        copy::<{ RECORD_SMALL / 8 }>(packet, buffer, header).ok_or(full)
    } else if len <= RECORD_LARGE {
        copy::<{ RECORD_LARGE / 8 }>(packet, buffer, header).ok_or(full)
    } else {
        Err(Dropped::TooLong)
    };
    if sent == Err(Dropped::FreshFull) {
        maps::found_full();
    }
    maps::count(match sent {
        Ok(()) => Verdict::up_counter(why),
        Err(dropped) => Verdict::Drop(dropped).counter(),
    });
    xdp_action::XDP_DROP
}

#[inline(always)]
fn copy<const WORDS: usize>(packet: &mut Packet, buffer: &RingBuf, header: RecordHeader) -> Option<()> {
    let mut entry = buffer.reserve::<Record<WORDS>>(0)?;
    let record = entry.as_mut_ptr();
    let len = usize::from(header.len);
    // SAFETY: `record` points at reserved memory of the record's size and alignment (ring records are 8-aligned);
    // only the program has it until it is submitted. Words behind the frame's end keep old content of the ring,
    // which the daemon doesn't read: the header says how much counts.
    unsafe {
        (&raw mut (*record).header).write(header);
        let to = (&raw mut (*record).frame).cast::<u64>();
        let mut word = 0;
        while word < WORDS {
            let at = 8 * word;
            let Some(from) = packet.window::<8>(at) else { break };
            to.add(word).write(from.raw64::<0>());
            word += 1;
        }
        // The last bytes, by the word that ends with the frame. A frame with a UDP header has more than a word.
        let last = bounded(len.wrapping_sub(8), 8 * WORDS - 8);
        if let Some(from) = packet.window::<8>(last) {
            to.byte_add(last).write_volatile(from.raw64::<0>());
        }
    }
    entry.submit(0);
    Some(())
}
