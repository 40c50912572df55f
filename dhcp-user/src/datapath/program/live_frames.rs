//! Frames sent from the kernel: a system call for hundreds, each written by the XDP program and taken by the driver as it is.
//!
//! The daemon writes the frames into a map and has the kernel run the program so often on blank frames
//! (`BPF_PROG_TEST_RUN` with live frames, since Linux 5.18). The program writes each over a blank one and returns
//! `XDP_TX`. The kernel then hands it to the driver's `ndo_xdp_xmit`: no socket buffer, no queueing discipline. It
//! has to be the attached program: for any other the kernel rewrites the calls of XDP programs twice a call, and
//! waits each time until no processor runs the old ones.
//!
//! The system call doesn't say which frames the driver took. A program at the tracepoint behind the driver's function does,
//! in the order that they were sent, each time for frames of this thread alone. Without that program nothing is sent this way.
//!
//! Each frame has a page of memory to itself. A network card sends the frame, and the page comes back. Over a veth
//! the page then belongs to the receiver, as for every frame that went through a program at the far end: some fifty
//! fill a socket of default size (212,992 octets) until it is read.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::programs::RawTracePoint;
use aya::programs::raw_trace_point::RawTracePointLink;
use dhcp_ebpf::abi::live::{CELLS, Call, FRAME, FRAMES, LAST, LEN, LONGEST, MARK};
use dhcp_ebpf::abi::{maps, programs};
use dhcp_ebpf::slot::{Cells as _, CellsMut as _};

use super::capture::CapturingProgram;
use super::object::{Rest, region, xdp};
use crate::datapath::frames::departure::{Live, Outgoing};
use crate::datapath::interfaces::netlink::{self, Attached};
use crate::datapath::leases::memory::{Region, SharedCells};

/// `BPF_PROG_TEST_RUN` and `BPF_F_TEST_XDP_LIVE_FRAMES` of linux/bpf.h.
const TEST_RUN: libc::c_long = 10;
const LIVE: u32 = 2;
/// Frames that the kernel sends before it looks after anything else.
const AT_A_TIME: u32 = 64;
/// How many values the tracepoint `xdp_devmap_xmit` gives.
const DEVMAP_XMIT: usize = 5;
/// The shortest frame that the kernel takes: an Ethernet header.
const SHORTEST: usize = 14;

/// The means to send frames from the kernel.
pub struct LiveFrames {
    program: OwnedFd,
    watch: OwnedFd,
    /// The kernel's number of the program.
    number: u32,
    /// The program that is attached instead while somebody captures.
    instead: CapturingProgram,
    frames: Region,
    call: Region,
    _watching: RawTracePointLink,
}

/// `struct xdp_md`: the description, for the kernel, of the frames that the program runs on.
#[repr(C)]
#[derive(Default)]
struct Blank {
    data: u32,
    data_end: u32,
    data_meta: u32,
    ingress_ifindex: u32,
    rx_queue_index: u32,
    egress_ifindex: u32,
}

/// The part of `union bpf_attr` that test runs use.
#[repr(C)]
#[derive(Default)]
struct TestRun {
    program: u32,
    result: u32,
    data_in_len: u32,
    data_out_len: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_in_len: u32,
    context_out_len: u32,
    context_in: u64,
    context_out: u64,
    flags: u32,
    cpu: u32,
    batch: u32,
    zero: u32,
}

impl LiveFrames {
    /// Takes what it needs from the loaded object, and begins to watch what drivers take.
    ///
    /// # Errors
    /// When the kernel doesn't let drivers be watched, or has no such tracepoint.
    pub(super) fn over(ebpf: &mut Ebpf, rest: Rest, instead: CapturingProgram) -> Result<Self> {
        let watch: &mut RawTracePoint = ebpf
            .program_mut(programs::TAKEN)
            .context("the BPF object has no program to watch drivers")?
            .try_into()?;
        watch.load().context("the kernel refused the program that watches what drivers take")?;
        let watching = watch.attach(programs::TAKEN_AT).context("watching what drivers take")?;
        let watching = watch.take_link(watching)?;
        let watch = watch.fd()?.as_fd().try_clone_to_owned().context("keeping the program that watches")?;
        let program = xdp(ebpf, rest.answering())?;
        let number = program.info().context("asking for the number of the XDP program")?.id();
        let program = program.fd()?.as_fd().try_clone_to_owned().context("keeping the XDP program")?;
        let mut map = |name: &str, cells| {
            region(&ebpf.take_map(name).with_context(|| format!("the BPF object has no map {name}"))?, cells)
        };
        let frames = map(maps::OUTGOING, FRAMES as usize * CELLS)?;
        Ok(Self {
            program,
            watch,
            number,
            instead,
            frames,
            call: map(maps::CALL, Call::CELLS)?,
            _watching: watching,
        })
    }

    /// Has the kernel send the `count` frames that are in their places.
    fn call(&self, ifindex: u32, count: u32, longest: usize) -> io::Result<()> {
        test_run(&self.watch, TestRun::default(), &[], &[0_u64; DEVMAP_XMIT])?;
        let blank = [0_u8; MARK + LONGEST];
        let blank = blank.get(..MARK + longest).unwrap_or(&blank);
        let [data, data_end] = [MARK, blank.len()].map(|at| u32::try_from(at).unwrap_or(u32::MAX));
        let context = Blank { data, data_end, ingress_ifindex: ifindex, ..Blank::default() };
        let run = TestRun { repeat: count, flags: LIVE, batch: AT_A_TIME.min(count), ..TestRun::default() };
        test_run(&self.program, run, blank, &context)
    }
}

/// Runs a program on `data` in a context.
fn test_run<T>(program: &OwnedFd, run: TestRun, data: &[u8], context: &T) -> io::Result<()> {
    let len = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
    let mut run = TestRun {
        program: program.as_raw_fd().cast_unsigned(),
        data_in_len: len(data.len()),
        data_in: if data.is_empty() { 0 } else { data.as_ptr() as u64 },
        context_in_len: len(size_of::<T>()),
        context_in: std::ptr::from_ref(context) as u64,
        ..run
    };
    // SAFETY: the leading part of the kernel's `union bpf_attr`, with its size; the kernel may write its results into it.
    // What it points to outlives the call, has the length given, and is only read.
    let status = unsafe { libc::syscall(libc::SYS_bpf, TEST_RUN, &raw mut run, size_of::<TestRun>()) };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

impl Live for LiveFrames {
    /// Only where the program is in the driver: there frames that come and go by it are known to arrive.
    fn serves(&self, ifindex: u32) -> bool {
        match netlink::occupant(ifindex) {
            Ok(Some(there)) => {
                let is_ours = there.program == self.number || self.instead.is(there.program);
                is_ours && there.attached == Attached::Native
            }
            Ok(None) => false,
            Err(error) => {
                tracing::debug!(
                    ifindex,
                    error = format!("{error:#}"),
                    "the attached program can't be asked for"
                );
                false
            }
        }
    }

    fn takes(&self, frame: &[u8]) -> bool {
        (SHORTEST..=LONGEST).contains(&frame.len())
    }

    fn most(&self) -> usize {
        FRAMES as usize
    }

    fn send(&mut self, ifindex: u32, frames: &[Outgoing]) -> Vec<usize> {
        let cells = self.frames.cells();
        let mut longest = SHORTEST;
        let mut count = 0;
        for ((_, frame), number) in frames.iter().zip(0..FRAMES) {
            let Some(place) = cells.element(number, CELLS) else { break };
            write(place, frame);
            longest = longest.max(frame.len());
            count = number + 1;
        }
        let call = self.call.cells();
        call.store(Call::NEXT, 0);
        call.store(Call::NOTES, 0);
        call.store(Call::COUNT, count.into());
        let ran = self.call(ifindex, count, longest);
        call.store(Call::COUNT, 0);
        if let Err(error) = ran {
            // A signal ended it early, or all numbers for the memory of such calls are taken by frames still on their way.
            tracing::debug!(%error, ifindex, "not all frames were sent from the kernel");
        }
        left(frames.len(), &Told::by(call))
    }
}

/// Writes a frame into its place.
fn write(place: SharedCells<'_>, frame: &[u8]) {
    let (words, rest) = frame.as_chunks();
    for (at, word) in words.iter().enumerate() {
        place.store(FRAME + at, u64::from_ne_bytes(*word));
    }
    if !rest.is_empty() {
        let mut word = [0; 8];
        word.iter_mut().zip(rest).for_each(|(to, octet)| *to = *octet);
        place.store(FRAME + words.len(), u64::from_ne_bytes(word));
    }
    place.store(LEN, frame.len() as u64);
    place.store(LAST, frame.last_chunk().map_or(0, |last| u64::from_ne_bytes(*last)));
}

/// The kernel's report on a call.
struct Told {
    /// How many frames the program has sent.
    sent: usize,
    /// Their results, in order: so many taken by the driver, then so many not; `None` if there was no room for all.
    notes: Option<Vec<(usize, usize)>>,
}

impl Told {
    fn by(call: SharedCells<'_>) -> Self {
        let number = |cell| usize::try_from(call.load(cell)).unwrap_or(usize::MAX);
        let notes = number(Call::NOTES);
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        let note = |at| {
            let note = call.load(Call::FIRST_NOTE + at);
            (note as u32 as usize, (note >> 32) as usize)
        };
        let notes = (notes <= Call::MOST_NOTES).then(|| (0..notes).map(note).collect());
        Self { sent: number(Call::NEXT), notes }
    }
}

/// Which of `count` frames have not left, by their places; all of them unless it is known of each that was sent.
fn left(count: usize, told: &Told) -> Vec<usize> {
    let notes = told.notes.as_deref().unwrap_or_default();
    let known: usize = notes.iter().map(|(taken, not)| taken + not).sum();
    if known != told.sent || told.sent > count {
        return (0..count).collect();
    }
    let mut left = Vec::new();
    let mut at = 0;
    for (taken, not) in notes {
        left.extend(at + taken..at + taken + not);
        at += taken + not;
    }
    left.extend(at..count);
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(sent: usize, notes: &[(usize, usize)]) -> Told {
        Told { sent, notes: Some(notes.to_vec()) }
    }

    #[test]
    fn what_the_driver_has_not_taken_is_left_in_order() {
        assert!(left(40, &told(40, &[(16, 0), (16, 0), (8, 0)])).is_empty());
        assert_eq!(left(40, &told(40, &[(16, 0), (13, 3), (8, 0)])), [29, 30, 31]);
        assert_eq!(left(20, &told(20, &[(0, 16), (2, 2)])), (0..16).chain(18..20).collect::<Vec<_>>());
    }

    #[test]
    fn what_was_never_sent_is_left() {
        assert_eq!(left(20, &told(16, &[(15, 1)])), [15, 16, 17, 18, 19]);
        assert_eq!(left(3, &told(0, &[])), [0, 1, 2]);
    }

    #[test]
    fn everything_is_left_when_it_is_not_known_of_each_frame() {
        // One was refused before the driver was asked.
        assert_eq!(left(4, &told(4, &[(3, 0)])), [0, 1, 2, 3]);
        assert_eq!(left(4, &told(3, &[(4, 0)])), [0, 1, 2, 3]);
        assert_eq!(left(2, &told(3, &[(3, 0)])), [0, 1]);
        assert_eq!(left(4, &Told { sent: 4, notes: None }), [0, 1, 2, 3]);
    }

    #[test]
    fn a_frame_lies_in_its_place_with_its_last_octets_apart() {
        let memory = Region::heap(CELLS);
        for len in [14, 342, 343, 347, LONGEST] {
            let frame: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).expect("below 251")).collect();
            write(memory.cells(), &frame);
            let octets: Vec<u8> =
                (FRAME..CELLS).flat_map(|cell| memory.cells().load(cell).to_ne_bytes()).collect();
            assert_eq!(memory.cells().load(LEN), len as u64);
            assert_eq!(octets[..len], frame);
            assert_eq!(memory.cells().load(LAST).to_ne_bytes(), frame[len - 8..]);
        }
    }
}
