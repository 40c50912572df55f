//! Memory that user space and the generator's programs share: the only file that touches it.

use anyhow::{Context, Result};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// The values of an array map made with `BPF_F_MMAPABLE`, as 64-bit cells.
#[derive(Debug)]
pub(crate) struct Shared {
    at: NonNull<AtomicU64>,
    cells: usize,
}

// SAFETY: the mapping is the value's alone until it is dropped, and is only handed out as atomics, which any thread
// may use.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// Maps a map of `cells` cells.
    ///
    /// # Errors
    /// When it is smaller, or can't be mapped.
    pub(crate) fn map(map: impl AsFd, cells: usize) -> Result<Self> {
        let octets = NonZeroUsize::new(cells * size_of::<u64>()).context("a map without cells")?;
        // SAFETY: a fresh mapping, nowhere near memory in use; the kernel keeps the map's pages as long as they are
        // mapped, and refuses a length beyond them.
        let at = unsafe {
            mmap(None, octets, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED, map, 0)
        }
        .context("cannot map a BPF array")?;
        Ok(Self { at: at.cast(), cells })
    }

    /// All cells.
    pub(crate) fn cells(&self) -> &[AtomicU64] {
        // SAFETY: `cells` atomics lie there, page-aligned, for as long as `self` does; programs change them by aligned
        // 64-bit stores and compare-and-swap, as another thread would.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.cells) }
    }

    /// Writes consecutive cells.
    ///
    /// # Panics
    /// When they are beyond the end.
    pub(crate) fn write(&self, from: usize, values: &[u64]) {
        for (cell, value) in self.cells()[from..from + values.len()].iter().zip(values) {
            cell.store(*value, Ordering::Release);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this length, and every borrow of it has ended.
        if let Err(error) = unsafe { munmap(self.at.cast(), self.cells * size_of::<u64>()) } {
            eprintln!("cannot unmap a BPF array: {error}");
        }
    }
}
