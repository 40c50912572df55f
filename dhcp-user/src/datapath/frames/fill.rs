//! How full a ring between kernel and daemon is: the two positions that the kernel keeps in front of it.

use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::unistd::{SysconfVar, sysconf};

/// How full a ring is, read from outside.
#[derive(Debug)]
pub struct Fill {
    /// How many octets it holds.
    size: u64,
    /// Two pages, each with a position at its beginning: how far it is read, and how far it is written.
    at: NonNull<AtomicU64>,
    page: usize,
}

// SAFETY: the mapping belongs to this alone until it is dropped, may be read from any thread, and is only read as atomics.
unsafe impl Send for Fill {}

impl Fill {
    /// Of the ring of `size` octets that is `map`.
    ///
    /// # Errors
    /// When it can't be mapped.
    pub fn of(map: impl AsFd, size: u32) -> Result<Self> {
        let page =
            sysconf(SysconfVar::PAGE_SIZE).ok().flatten().context("the system has no size of pages")?;
        let page = usize::try_from(page).context("the size of pages")?;
        let bytes = NonZeroUsize::new(2 * page).context("the size of pages is zero")?;
        // SAFETY: a fresh mapping, nowhere near memory in use, that is only read. The kernel keeps the pages for as long as
        // they are mapped.
        let at = unsafe { mmap(None, bytes, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, map, 0) }
            .context("mapping the positions of a ring")?;
        Ok(Self { size: u64::from(size), at: at.cast(), page })
    }

    /// How many octets it holds at most.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// How many octets wait to be read.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        // What is read goes before: it never overtakes what is written.
        let [read, written] = [0, self.page / size_of::<AtomicU64>()].map(|cell| {
            // SAFETY: both pages are mapped for as long as `self` lives, and each begins with an aligned 64-bit position
            // (linux/ringbuf.c), which kernel and reader change by single stores.
            unsafe { self.at.add(cell).as_ref() }.load(Ordering::Acquire)
        });
        written.saturating_sub(read).min(self.size)
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        // SAFETY: mapped by `of` with this length, and nobody else has it.
        if let Err(error) = unsafe { munmap(self.at.cast(), 2 * self.page) } {
            tracing::warn!(%error, "unmapping the positions of a ring");
        }
    }
}
