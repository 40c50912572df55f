//! The maps, and the only places where the programs touch their memory.

use aya_ebpf::helpers::bpf_get_smp_processor_id;
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use core::intrinsics::{AtomicOrdering, atomic_cxchg};
use load_ebpf::client::Word;
use load_ebpf::counts::{self, Count};
use load_ebpf::lane::{self, LANES as LANE_COUNT, Lane, SORTS};
use load_ebpf::latency::{BUCKETS, KINDS, Kind, bucket};

const MMAPABLE: u32 = aya_ebpf::bindings::BPF_F_MMAPABLE;

// Sizes are set by the loader.
#[map]
static CLIENTS: Array<[u64; 2]> = Array::with_max_entries(1, MMAPABLE);
#[map]
static OWNERS: Array<u64> = Array::with_max_entries(1, 0);
#[map]
static FLOOR: Array<[u64; 8]> = Array::with_max_entries(1, MMAPABLE);
#[map]
static FLOOR_ANSWER: Array<[u64; 8]> = Array::with_max_entries(1, MMAPABLE);
#[map]
static POOL: Array<u64> = Array::with_max_entries(1, MMAPABLE);
#[map]
static TRACED: Array<u64> = Array::with_max_entries(1, MMAPABLE);
#[map]
static LANES: Array<[u64; lane::CELLS]> = Array::with_max_entries((LANE_COUNT * SORTS) as u32, MMAPABLE);
#[map]
static TURNS: Array<[u64; lane::TURN_CELLS]> = Array::with_max_entries(1, MMAPABLE);
#[map]
static COUNTS: Array<[u64; counts::CELLS]> = Array::with_max_entries(1, MMAPABLE);
#[map]
static LATENCIES: Array<u64> = Array::with_max_entries(1, MMAPABLE);

/// Cells of a map's element.
#[derive(Clone, Copy)]
pub struct Cells(*mut u64);

impl Cells {
    /// Reads a cell.
    #[inline(always)]
    pub fn get(self, cell: usize) -> u64 {
        // SAFETY: the pointer comes from a lookup that succeeded, elements of arrays are never freed, and the verifier
        // proves the access to lie inside. Others write at the same time: one aligned load, volatile.
        unsafe { self.0.wrapping_add(cell).read_volatile() }
    }

    /// Writes a cell.
    #[inline(always)]
    pub fn set(self, cell: usize, value: u64) {
        // SAFETY: as above.
        unsafe { self.0.wrapping_add(cell).write_volatile(value) };
    }

    /// Replaces `from` by `to`, and tells whether it was there.
    #[inline(always)]
    pub fn swap(self, cell: usize, from: u64, to: u64) -> bool {
        // SAFETY: as above; the exchange is atomic towards every other CPU.
        unsafe {
            atomic_cxchg::<u64, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(
                self.0.wrapping_add(cell),
                from,
                to,
            )
            .1
        }
    }
}

/// A client's memory.
#[derive(Clone, Copy)]
pub struct Client(Cells);

impl Client {
    /// How far it has come.
    #[inline(always)]
    pub fn word(self) -> Word {
        Word(self.0.get(0))
    }

    /// Takes a step, unless somebody else took one.
    #[inline(always)]
    pub fn step(self, from: Word, to: Word) -> bool {
        self.0.swap(0, from.0, to.0)
    }

    /// Takes a step that nobody else can be taking.
    #[inline(always)]
    pub fn set(self, to: Word) {
        self.0.set(0, to.0);
    }

    /// When it began to wait (ns); 0 if that is not timed.
    #[inline(always)]
    pub fn since(self) -> u64 {
        self.0.get(1)
    }

    /// Begins to wait.
    #[inline(always)]
    pub fn begin(self, now: u64) {
        self.0.set(1, now);
    }
}

/// Client `number`, if there is one.
#[inline(always)]
pub fn client(number: u32) -> Option<Client> {
    CLIENTS.get_ptr_mut(number).map(|cells| Client(Cells(cells.cast())))
}

/// What all sorts of clients share of a lane.
#[inline(always)]
pub fn lane(lane: Lane) -> Option<Cells> {
    LANES.get_ptr_mut(lane as u32 * SORTS as u32).map(|cells| Cells(cells.cast()))
}

/// What client `number` sends on a lane.
#[inline(always)]
pub fn frame(lane: Lane, number: u32) -> Option<Cells> {
    LANES.get_ptr_mut(lane as u32 * SORTS as u32 + lane::sort(number) as u32).map(|cells| Cells(cells.cast()))
}

/// The lease of a raw address as the floor has it.
#[inline(always)]
pub fn floor(address: u32) -> Option<Cells> {
    let first = Cells(POOL.get_ptr_mut(0)?).get(0) as u32;
    FLOOR.get_ptr_mut(u32::from_be(address).wrapping_sub(first)).map(|cells| Cells(cells.cast()))
}

/// The options that the floor answers with.
#[inline(always)]
pub fn floor_answer() -> Option<Cells> {
    FLOOR_ANSWER.get_ptr_mut(0).map(|cells| Cells(cells.cast()))
}

/// Whose turn it is on a lane of this CPU.
#[inline(always)]
pub fn turns(lane: Lane) -> Option<Cells> {
    TURNS.get_ptr_mut(cpu() * LANE_COUNT as u32 + lane as u32).map(|cells| Cells(cells.cast()))
}

/// Makes client `number` the holder of a raw address; `false` if another holds it or it is in no pool.
#[inline(always)]
pub fn own(address: u32, number: u32) -> bool {
    let Some(owner) = owner(address) else { return false };
    let holder = u64::from(number) + 1;
    owner.swap(0, 0, holder) || owner.get(0) == holder
}

/// Lets nobody hold a raw address.
#[inline(always)]
pub fn disown(address: u32) {
    if let Some(owner) = owner(address) {
        owner.set(0, 0);
    }
}

#[inline(always)]
fn owner(address: u32) -> Option<Cells> {
    let first = Cells(POOL.get_ptr_mut(0)?).get(0) as u32;
    OWNERS.get_ptr_mut(u32::from_be(address).wrapping_sub(first)).map(Cells)
}

/// Whether the drops of an interface are counted.
#[inline(always)]
pub fn is_traced(ifindex: u32) -> bool {
    TRACED.get_ptr_mut(0).is_some_and(|cell| Cells(cell).get(0) == u64::from(ifindex))
}

/// Counts something.
#[inline(always)]
pub fn count(what: Count) {
    count_all(what, 1);
}

/// Counts something that has happened so often.
#[inline(always)]
pub fn count_all(what: Count, times: u64) {
    if let Some(cells) = COUNTS.get_ptr_mut(cpu()) {
        let cells = Cells(cells.cast());
        cells.set(what as usize, cells.get(what as usize) + times);
    }
}

/// How often something was counted on this CPU.
#[inline(always)]
pub fn counted(what: Count) -> u64 {
    COUNTS.get_ptr_mut(cpu()).map_or(0, |cells| Cells(cells.cast()).get(what as usize))
}

/// Counts a time in its histogram.
#[inline(always)]
pub fn took(kind: Kind, nanoseconds: u64) {
    let row = (cpu() * KINDS as u32 + kind as u32) * BUCKETS as u32;
    if let Some(count) = LATENCIES.get_ptr_mut(row + bucket(nanoseconds)) {
        let count = Cells(count);
        count.set(0, count.get(0) + 1);
    }
}

#[inline(always)]
fn cpu() -> u32 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_get_smp_processor_id() }
}
