//! The maps, and the only places where the program touches their memory.

use aya_ebpf::helpers::{bpf_jiffies64, bpf_ktime_get_boot_ns};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray, RingBuf};
use core::intrinsics::{AtomicOrdering, atomic_cxchg};
use dhcp_ebpf::abi::{self, Control, Mac, NetAddr, RunKey, live};
use dhcp_ebpf::leads;
use dhcp_ebpf::lease::Now;
use dhcp_ebpf::question::{Hash, Keys};
use dhcp_ebpf::renewal::Maps;
use dhcp_ebpf::slot::{CHUNK_CELLS, Cells, SLOT_CELLS, Slot};
use dhcp_ebpf::verdict::Verdict;

const MMAPABLE: u32 = aya_ebpf::bindings::BPF_F_MMAPABLE;

// Sizes are those of a small site; the loader sets those that the configuration needs.
#[map]
static SLOTS: Array<[u64; SLOT_CELLS]> = Array::with_max_entries(256, MMAPABLE);
#[map]
static CHUNKS: Array<[u64; CHUNK_CELLS]> = Array::with_max_entries(256, MMAPABLE);
#[map]
static RUNS: HashMap<RunKey, u32> = HashMap::with_max_entries(64, 0);
#[map]
static NEAR: PerCpuArray<Near> = PerCpuArray::with_max_entries(NEARBY, 0);
#[map]
static QUESTIONS: Array<[u64; leads::LINE]> = Array::with_max_entries(64, MMAPABLE);
#[map]
static KEYS: Array<Keys> = Array::with_max_entries(1, 0);
#[map]
static CONTROL: Array<[u64; Control::CELLS]> = Array::with_max_entries(1, MMAPABLE);
#[map]
static INTERFACES: HashMap<u32, Mac> = HashMap::with_max_entries(256, 0);
#[map]
static STATIONS: Array<Mac> = Array::with_max_entries(abi::STATIONS, 0);
#[map]
static ADDRESSES: HashMap<NetAddr, u32> = HashMap::with_max_entries(1024, 0);
#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Verdict::COUNTERS as u32, 0);
#[map]
static CLOCK: PerCpuArray<Clock> = PerCpuArray::with_max_entries(1, 0);
#[map]
pub static BEGUN: RingBuf = RingBuf::with_byte_size(4 << 20, 0);
#[map]
pub static FRESH: RingBuf = RingBuf::with_byte_size(4 << 20, 0);
#[map]
static OUTGOING: Array<[u64; live::CELLS]> = Array::with_max_entries(live::FRAMES, MMAPABLE);
#[map]
static CALL: Array<[u64; live::Call::CELLS]> = Array::with_max_entries(1, MMAPABLE);

/// Entries of `QUESTIONS`, set by the loader.
#[unsafe(no_mangle)]
static QUESTION_LINES: u32 = 64;

/// Runs that a CPU remembers: those of a million addresses that follow each other.
const NEARBY: u32 = 4096;

/// Where `RUNS` led last for a net, on one CPU: two lines of memory less than looking there. A net's run stays where it
/// is for as long as there are the maps; whether it is led to yet does not matter, since the slot says whose it is.
#[repr(C)]
#[derive(Clone, Copy)]
struct Near {
    /// No link is all zero.
    link: u64,
    net: u32,
    first: u32,
}

/// The clock as it was read last on a CPU.
#[repr(C)]
#[derive(Clone, Copy)]
struct Clock {
    /// The kernel's tick then.
    tick: u64,
    now: Now,
    /// The tick in which the ring of new exchanges was last found full.
    full: u64,
}

/// Cells of map memory.
#[derive(Clone, Copy)]
pub struct MapCells(*mut u64);

impl Cells for MapCells {
    #[inline(always)]
    fn load(&self, cell: usize) -> u64 {
        // SAFETY: the pointer comes from a lookup that succeeded and the verifier proves each access to lie inside
        // the value; elements of arrays are never freed. The daemon writes at the same time: volatile, so that
        // the value is read once, here, and whole (an aligned 64-bit load).
        unsafe { self.0.wrapping_add(cell).read_volatile() }
    }

    #[cfg(not(bpf_target_arch = "x86_64"))]
    #[inline(always)]
    fn load_acquire(&self, cell: usize) -> u64 {
        // SAFETY: as for `load`. Swapping zero for zero is a fetch with the order of a full barrier, which a plain
        // load has only on x86-64.
        unsafe {
            atomic_cxchg::<u64, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(
                self.0.wrapping_add(cell),
                0,
                0,
            )
            .0
        }
    }

    #[inline(always)]
    fn fetch_ahead(&self, cell: usize) {
        // SAFETY: as for `load`; the upper two octets of an aligned cell are aligned. They are zero, whoever writes the
        // cell, and so they stay. A load that misses would hold up whatever comes some hundred instructions after it; a
        // store waits in the processor's buffer, and asks for the line in the state that the swap needs.
        unsafe { self.0.wrapping_add(cell).cast::<u16>().wrapping_add(3).write_volatile(0) }
    }

    #[inline(always)]
    fn swap(&self, cell: usize, from: u64, to: u64) -> Result<(), u64> {
        // SAFETY: as for `load`; BPF's 64-bit compare-and-swap is atomic towards the daemon's atomics.
        let (found, swapped) = unsafe {
            atomic_cxchg::<u64, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(
                self.0.wrapping_add(cell),
                from,
                to,
            )
        };
        if swapped { Ok(()) } else { Err(found) }
    }
}

/// Boot time, at most [`CLOCK_LAG`](dhcp_ebpf::abi::CLOCK_LAG) behind: read anew at each tick of the kernel's, since reading
/// the clock costs more than anything else that is done for a renewal.
#[inline(always)]
pub fn now() -> Now {
    // SAFETY: helpers without arguments; XDP programs may call them since 5.5 and 5.8.
    let (tick, read) = unsafe { (bpf_jiffies64(), || Now::at(bpf_ktime_get_boot_ns())) };
    let Some(clock) = CLOCK.get_ptr_mut(0) else { return read() };
    // SAFETY: the element is this CPU's alone and the program is not interrupted by itself.
    unsafe {
        if (*clock).tick != tick {
            (*clock).tick = tick;
            (*clock).now = read();
        }
        (*clock).now
    }
}

/// The ring of new exchanges is full. In a tick, a few milliseconds, the daemon takes a small part of what it holds: so
/// whatever comes until the next one need not try.
#[inline(always)]
pub fn found_full() {
    if let Some(clock) = CLOCK.get_ptr_mut(0) {
        // SAFETY: as for reading the clock.
        unsafe { (*clock).full = (*clock).tick };
    }
}

/// The program's maps.
pub struct KernelMaps;

impl Maps for KernelMaps {
    type Cells = MapCells;

    #[inline(always)]
    fn interface(&self, ifindex: u32) -> Option<Mac> {
        if let Some(station) = STATIONS.get(ifindex)
            && !station.is_unset()
        {
            return Some(*station);
        }
        // SAFETY: read at once; an element reused meanwhile can give another interface's address for one frame.
        unsafe { INTERFACES.get(ifindex) }.copied()
    }

    #[inline(always)]
    fn is_ours(&self, address: NetAddr) -> bool {
        ADDRESSES.get_ptr(address).is_some()
    }

    #[inline(always)]
    fn keys(&self) -> Option<&Keys> {
        KEYS.get(0)
    }

    #[inline(always)]
    fn run(&self, key: RunKey) -> Option<u32> {
        let near = NEAR.get_ptr_mut(key.net % NEARBY)?;
        // SAFETY: the element is this CPU's alone and the program is not interrupted by itself.
        let Near { link, net, first } = unsafe { *near };
        if (link, net) == (key.link, key.net) {
            return Some(first);
        }
        // SAFETY: read at once; the slot says whose it is, whatever this says.
        let first = *unsafe { RUNS.get(key) }?;
        // SAFETY: as for reading it.
        unsafe { *near = Near { link: key.link, net: key.net, first } };
        Some(first)
    }

    #[inline(always)]
    fn asked(&self, hash: Hash) -> Option<u32> {
        // SAFETY: a constant of the program, which the loader writes before the program is loaded.
        let count = unsafe { (&raw const QUESTION_LINES).read_volatile() };
        let [first, second] = leads::lines(hash, count);
        let line = |line| QUESTIONS.get_ptr_mut(line).map(|cells| MapCells(cells.cast()));
        leads::find(&[line(first)?, line(second)?], hash)
    }

    #[inline(always)]
    fn slot(&self, index: u32) -> Option<Slot<MapCells>> {
        SLOTS.get_ptr_mut(index).map(|cells| Slot(MapCells(cells.cast())))
    }

    #[inline(always)]
    fn chunk(&self, index: u32) -> Option<MapCells> {
        CHUNKS.get_ptr_mut(index).map(|cells| MapCells(cells.cast()))
    }

    #[inline(always)]
    fn heartbeat(&self) -> u64 {
        CONTROL.get_ptr_mut(0).map_or(0, |cells| MapCells(cells.cast()).load(Control::HEARTBEAT))
    }

    #[inline(always)]
    fn sheds(&self) -> bool {
        // SAFETY: as for reading the clock, which is done before anything else.
        CLOCK.get_ptr_mut(0).is_some_and(|clock| unsafe { (*clock).full == (*clock).tick })
    }
}

/// The cells of a call, which the program writes while the daemon waits for its end.
#[derive(Clone, Copy)]
pub struct CallCells(MapCells);

impl CallCells {
    #[inline(always)]
    pub fn load(self, cell: usize) -> u64 {
        self.0.load(cell)
    }

    #[inline(always)]
    pub fn store(self, cell: usize, value: u64) {
        // SAFETY: as for a load. One CPU at a time runs a call, and the daemon reads when it is over.
        unsafe { self.0.0.wrapping_add(cell).write_volatile(value) }
    }
}

/// The call that is running, if one is.
#[inline(always)]
pub fn call() -> Option<CallCells> {
    CALL.get_ptr_mut(0).map(|cells| CallCells(MapCells(cells.cast())))
}

/// A frame of the call.
#[inline(always)]
pub fn outgoing(number: u32) -> Option<MapCells> {
    OUTGOING.get_ptr_mut(number).map(|cells| MapCells(cells.cast()))
}

/// Counts an outcome by its number.
#[inline(always)]
pub fn count(counter: u32) {
    if let Some(counter) = COUNTERS.get_ptr_mut(counter) {
        // SAFETY: the element is this CPU's alone and the program is not interrupted by itself.
        unsafe { *counter += 1 };
    }
}
