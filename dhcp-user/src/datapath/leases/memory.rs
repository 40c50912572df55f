//! Memory that the kernel and the daemon share: the only file that touches map memory.

use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use dhcp_ebpf::slot::{Cells, CellsMut, SLOT_CELLS, Slot};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// `MEMBARRIER_CMD_GLOBAL` of linux/membarrier.h.
const GLOBAL: libc::c_int = 1;

/// Waits until each program that is running has ended. Where the kernel has no way to, it returns at once.
pub fn let_programs_end() {
    // SAFETY: takes two integers and touches no memory. The kernel waits for each CPU to have been elsewhere since, as
    // it does before it frees what a program may be reading (RCU).
    if unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0) } < 0 {
        tracing::debug!(error = %std::io::Error::last_os_error(), "programs that are running can't be waited for");
    }
}

/// A run of 64-bit cells: the values of a BPF array map, or ordinary memory laid out alike.
#[derive(Debug)]
pub struct Region(Backing);

#[derive(Debug)]
enum Backing {
    Heap(Box<[AtomicU64]>),
    /// Of a simulation: it outlives the daemon, as a map does.
    #[cfg(feature = "simulation")]
    Shared(std::sync::Arc<[AtomicU64]>),
    Mapped {
        at: NonNull<AtomicU64>,
        cells: usize,
    },
}

// SAFETY: the mapping belongs to the region alone until it is dropped, may be used from any thread, and is only
// handed out as atomics.
unsafe impl Send for Region {}

impl Region {
    /// Memory of no map, all zero: for an instance without a kernel part.
    #[must_use]
    pub fn heap(cells: usize) -> Self {
        Self(Backing::Heap((0..cells).map(|_| AtomicU64::new(0)).collect()))
    }

    /// Memory of no map, all zero, for a simulation: it outlives the daemon, as a map does.
    #[cfg(feature = "simulation")]
    #[must_use]
    pub fn shared(cells: usize) -> Self {
        Self(Backing::Shared((0..cells).map(|_| AtomicU64::new(0)).collect()))
    }

    /// The same memory once more, if it is [`shared`](Self::shared).
    #[cfg(feature = "simulation")]
    #[must_use]
    pub fn again(&self) -> Option<Self> {
        match &self.0 {
            Backing::Shared(cells) => Some(Self(Backing::Shared(std::sync::Arc::clone(cells)))),
            Backing::Heap(_) | Backing::Mapped { .. } => None,
        }
    }

    /// The values of an array map created with `BPF_F_MMAPABLE`: `cells` of 8 bytes.
    ///
    /// # Errors
    /// When the map can't be mapped, for instance because it is smaller.
    pub fn mapped(map: impl AsFd, cells: usize) -> Result<Self> {
        let bytes =
            NonZeroUsize::new(cells * size_of::<u64>()).context("a map without entries can't be mapped")?;
        // SAFETY: a fresh mapping, nowhere near memory in use. The kernel keeps the map's pages for as long as they
        // are mapped, and refuses a length beyond the map.
        let at = unsafe {
            mmap(None, bytes, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED, map, 0)
        }
        .context("mapping a BPF array")?;
        Ok(Self(Backing::Mapped { at: at.cast(), cells }))
    }

    /// All cells.
    #[must_use]
    pub fn cells(&self) -> SharedCells<'_> {
        SharedCells(match &self.0 {
            Backing::Heap(cells) => cells,
            #[cfg(feature = "simulation")]
            Backing::Shared(cells) => cells,
            // SAFETY: `cells` atomics lie there, page-aligned, for as long as `self` does; the kernel changes them
            // by aligned 64-bit stores and compare-and-swap only, as another thread would.
            Backing::Mapped { at, cells } => unsafe { std::slice::from_raw_parts(at.as_ptr(), *cells) },
        })
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if let Backing::Mapped { at, cells } = self.0 {
            // SAFETY: mapped by `mapped` with this length; every borrow of it ended before the drop.
            if let Err(error) = unsafe { munmap(at.cast(), cells * size_of::<u64>()) } {
                tracing::warn!(%error, "unmapping a BPF array");
            }
        }
    }
}

/// A view of cells that the kernel may be reading and writing.
#[derive(Clone, Copy, Debug)]
pub struct SharedCells<'a>(&'a [AtomicU64]);

impl<'a> From<&'a [AtomicU64]> for SharedCells<'a> {
    fn from(cells: &'a [AtomicU64]) -> Self {
        Self(cells)
    }
}

impl<'a> SharedCells<'a> {
    /// The `count` cells of element `index`, when elements have that many.
    #[must_use]
    pub fn element(self, index: u32, count: usize) -> Option<Self> {
        let from = index as usize * count;
        self.0.get(from..from + count).map(SharedCells)
    }

    /// Slot `index`, when these are the cells of slots.
    #[must_use]
    pub fn slot(self, index: u32) -> Option<Slot<Self>> {
        self.element(index, SLOT_CELLS).map(Slot)
    }

    /// How many cells there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

// Whoever has cells has as many as it uses: `element` gives no fewer. Each renewal passes here.
#[expect(clippy::indexing_slicing, reason = "a cell that is not there is a mistake of ours, not of a frame")]
impl Cells for SharedCells<'_> {
    fn load(&self, cell: usize) -> u64 {
        self.0[cell].load(Ordering::Acquire)
    }

    fn swap(&self, cell: usize, from: u64, to: u64) -> Result<(), u64> {
        self.0[cell].compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).map(|_| ())
    }
}

#[expect(clippy::indexing_slicing, reason = "as above")]
impl CellsMut for SharedCells<'_> {
    fn store(&self, cell: usize, value: u64) {
        self.0[cell].store(value, Ordering::Release);
    }
}
